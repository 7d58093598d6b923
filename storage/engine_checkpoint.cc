// SPDX-License-Identifier: Apache-2.0
// Checkpoints (ENGINE.md section 2).
//
// A checkpoint walks namespaces and slots in key order on the data thread, a slice at a time. A
// slot's capture copies its dirty rows into a buffer of operations and notes the log position and
// key count as of which that holds; element rows of a large collection follow in slices, but show
// the same moment (element_capture.h). A background task turns the buffers into sorted files and,
// once the log is synced beyond the last position captured, ingests them with the meta records in
// one atomic step. A captured row counts as clean at once; if the checkpoint fails, rows with its
// number become dirty again.
#include <algorithm>
#include <deque>
#include <tuple>

#include "base/check.h"
#include "base/log_line.h"
#include "storage/checkpoint_meta.h"
#include "storage/engine_impl.h"
#include "storage/long_string.h"
#include "storage/object_format.h"
#include "storage/replica_side.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr uint64_t kBufferBytes = 1 << 20;        // handed to the background at this size
constexpr uint64_t kInFlightBytesMax = 16 << 20;  // capture waits beyond this
constexpr size_t kFragmentSlice = 64;
constexpr int64_t kRetryMs = 1000;  // after a failure
// A tail that a restart would notice is not left to the timer once nothing is written any more.
constexpr uint64_t kIdleCheckpointBytes = 16 << 20;
constexpr int64_t kIdleCheckpointMs = 3000;

enum class Op : uint8_t { kPutHead, kDeleteHead, kHeadRange, kPutRow, kDeleteRow, kRowRange };

struct Operation {
  Op op;
  std::string key;
  std::string value;  // or the range's upper bound
};

Status Write(IngestBatch* batch, const Operation& o) {
  switch (o.op) {
    case Op::kPutHead: return batch->PutHead(o.key, o.value);
    case Op::kDeleteHead: return batch->DeleteHead(o.key);
    case Op::kHeadRange: return batch->DeleteHeadRange(o.key, o.value);
    case Op::kPutRow: return batch->PutRow(o.key, o.value);
    case Op::kDeleteRow: return batch->DeleteRow(o.key);
    case Op::kRowRange: return batch->DeleteRowRange(o.key, o.value);
  }
  return Status::Ok();
}

}  // namespace

struct EngineImpl::CheckpointJob {
  enum class State { kCapture, kWaitSync, kCommit };

  // A key of the slot being captured whose element rows need work, in key order.
  struct ElementWork {
    std::string key;
    uint64_t hash;
    bool delete_first;
    RowKind kind;
    Collection* collection;  // if its elements are rows
    LongString* text;        // if its fragments are rows; neither: only the range is deleted
    uint32_t from = 0;       // fragment to go on from
    ElementCapture capture = {};
    std::unique_ptr<Collection> orphan = nullptr;  // the collection, when its key has let go of it
  };
  struct AbsentElements {
    uint16_t ns, slot;
    uint64_t hash;
    std::string key;
    std::vector<std::string> elements;
  };

  State state = State::kCapture;
  CheckpointMeta meta;
  int dots_at = 0;  // partition whose dot index comes next; before all slots
  size_t ns = 0;
  size_t slot = 0;
  std::deque<ElementWork> work;  // of the current slot, whose collections point into it
  size_t work_at = 0;
  std::vector<Operation> buffer;
  uint64_t buffer_bytes = 0;
  std::shared_ptr<IngestBatch> batch;  // background only, but for creation
  std::shared_ptr<std::atomic<uint64_t>> in_flight = std::make_shared<std::atomic<uint64_t>>(0);
  std::shared_ptr<Status> write_status = std::make_shared<Status>();  // background only
  LogPosition sync_target = 0;
  int64_t begin_us = 0;
  uint64_t rows = 0;
  uint64_t changes_at_begin = 0;
  std::vector<EngineImpl::LeafToCount> to_count;  // leaves whose sum is not known
  std::vector<std::pair<uint16_t, uint16_t>> absent_slots;
  std::vector<AbsentElements> absent_elements;
  std::vector<std::pair<uint16_t, uint16_t>> wiped_slots;
  std::vector<std::tuple<uint16_t, uint16_t, std::string>> stale_keys;
  std::vector<std::function<void(Status)>> waiters;

  void Add(Op op, std::string key, std::string value = {}) {
    buffer_bytes += key.size() + value.size() + sizeof(Operation);
    buffer.push_back({op, std::move(key), std::move(value)});
  }
};

// Here because only this file knows a CheckpointJob whole.
EngineImpl::EngineImpl(const EngineOptions& options, EngineHooks hooks, const Clock* clock)
    : options_(options),
      hooks_(std::move(hooks)),
      environment_(options.environment ? *options.environment : MachineEnvironment()),
      clock_(clock) {
  whole_load_rows_max_ = options.whole_load_rows_max;
  whole_load_bytes_max_ = options.whole_load_bytes_max;
  replica_ = std::make_unique<ReplicaSide>(this);
  replica_->KeepDots(options.keep_dots);
}

EngineImpl::~EngineImpl() {
  stopping_ = true;
  if (scrub_pool_) scrub_pool_->Stop();
  if (expire_pool_) expire_pool_->Stop();
  if (checkpoint_pool_) checkpoint_pool_->Stop();
  if (background_) background_->Stop();
  if (free_pool_) free_pool_->Stop();
}

// The own dots beyond the floor are dense (invariant I2), so own_n says them all.
PartitionClock EngineImpl::ClockOf(int partition) const {
  const Partition& p = partitions_[partition];
  PartitionClock clock = p.clock;
  if (p.own_n > p.own_floor) clock.AddRange(self_, p.own_floor + 1, p.own_n);
  return clock;
}

bool EngineImpl::Capturing() const {
  return checkpoint_ && checkpoint_->state == CheckpointJob::State::kCapture;
}

bool EngineImpl::CheckpointDue() const {
  uint64_t bytes = log_->bytes_since(checkpoint_position_);
  if (bytes == 0) return false;
  int64_t now_ms = clock_->MonotonicUs() / 1000;
  if (!stats_.last_checkpoint_ok && now_ms - last_checkpoint_end_ms_ < kRetryMs) return false;
  bool timer = now_ms - last_checkpoint_end_ms_ >= options_.checkpoint_interval_ms;
  bool idle = bytes >= kIdleCheckpointBytes && idle_position_ == log_->appended() &&
              now_ms - idle_since_ms_ >= kIdleCheckpointMs;
  bool wanted = bytes >= options_.checkpoint_log_bytes || idle || timer || DirtyMemoryHigh();
  return wanted && !store_->IngestPressure();
}

bool EngineImpl::CheckpointUrgent() const {
  uint64_t bytes = log_->bytes_since(checkpoint_position_);
  bool awaited = checkpoint_wanted_ || (checkpoint_ && !checkpoint_->waiters.empty());
  return awaited || bytes > options_.checkpoint_log_bytes + options_.checkpoint_log_bytes / 2 ||
         DirtyMemoryHigh() || WritersMustWait();
}

void EngineImpl::StartCheckpoint() {
  checkpoint_wanted_ = false;
  checkpoint_ = std::make_unique<CheckpointJob>();
  CheckpointJob& job = *checkpoint_;
  capture_number_++;
  job.begin_us = clock_->MonotonicUs();
  job.meta.position = log_->appended();
  job.meta.slots.resize(namespaces_.size());
  // As of the start: see checkpoint_meta.h.
  for (int p = 0; p < PartitionCount(); p++) {
    job.meta.clocks.push_back(ClockOf(p));
    const Partition& own = partitions_[p];
    if (own.own_floor > 0) job.meta.counters[uint16_t(p)] = {self_, own.own_n, own.own_floor};
    const IrregularIndex* index = own.irregular.get();
    if (index) EncodeClears(index->clears, &job.meta.irregular[uint16_t(p)]);
  }
  job.batch = store_->NewIngest();
  job.changes_at_begin = changes_;
  job.waiters.swap(checkpoint_waiters_);
}

// The slot's irregular rows, as of now.
void EngineImpl::CaptureIrregular(CheckpointJob* job, uint16_t ns, uint16_t slot) {
  int partition = PartitionOfSlot(slot);
  const IrregularIndex* index = partitions_[partition].irregular.get();
  if (!index) return;
  auto it = index->keys.lower_bound({ns, slot, {}});
  if (it == index->keys.end() || it->first.ns != ns || it->first.slot != slot) return;
  auto [record, is_new] = job->meta.irregular.try_emplace(uint16_t(partition));
  if (is_new) EncodeClears({}, &record->second);
  for (; it != index->keys.end() && it->first.ns == ns && it->first.slot == slot; ++it) {
    EncodeKeyRows(it->first, it->second, &record->second);
  }
  FinishFragmentCapture(ns, slot);
}

// Copies the slot's dirty rows into the job; element work is left in job->work.
void EngineImpl::CaptureSlot(CheckpointJob* job, uint16_t ns, uint16_t slot) {
  SlotTable* table = Slot(ns, slot);
  if (!table) return;  // never used: replay of what comes from now on skips nothing
  std::vector<CapturedSlot>& slots = job->meta.slots[ns];
  if (slots.empty()) slots.resize(kSlotCount);  // the first slot of a database that is in use
  CapturedSlot& captured = slots[slot];
  captured.position = log_->appended();
  captured.live = table->live;
  if (table->wiped) {
    uint64_t first = uint64_t(slot) << kPositionHashBits;
    KeyRange range = PositionRange(ns, first, first + (1ull << kPositionHashBits) - 1);
    job->Add(Op::kHeadRange, range.lower, range.upper);
    job->Add(Op::kRowRange, range.lower, range.upper);
    table->wiped = false;
    job->wiped_slots.emplace_back(ns, slot);
  }
  if (table->rows.marked()) CaptureRows(job, ns, slot, table);
  CaptureSum(*table, ns, slot, &captured, &job->to_count);
}

void EngineImpl::CaptureRows(CheckpointJob* job, uint16_t ns, uint16_t slot, SlotTable* table) {
  std::vector<Row*> rows;
  table->rows.CollectMarked(0, SIZE_MAX, &rows);
  bool absents = false;
  for (Row* row : rows) {
    if (!row->Has(Row::kDirty)) continue;
    CaptureRow(job, ns, slot, table, row);
    absents |= !row->live();
  }
  table->on_disk = true;
  if (absents) job->absent_slots.emplace_back(ns, slot);
}

void EngineImpl::CaptureRow(CheckpointJob* job, uint16_t ns, uint16_t slot, SlotTable* table,
                            Row* row) {
  uint64_t hash = RowTable::HashOf(row->key(), seed_, kPositionHashBits);
  uint64_t position = uint64_t(slot) << kPositionHashBits | hash >> (64 - kPositionHashBits);
  std::string head_key = EncodeHeadKey({ns, position, row->key()});
  uint64_t dirty_before = DirtyBytes(row);
  row->flags &= uint16_t(~Row::kDirty);
  row->capture = capture_number_;
  bool delete_first = row->Has(Row::kStaleRows);
  Collection* native = nullptr;  // if its elements are rows of their own
  LongString* text = row->row_form() == RowForm::kLong ? row->long_string() : nullptr;
  bool put_head = !text || text->head_dirty;
  job->rows += put_head;
  if (!row->live()) {
    job->Add(Op::kDeleteHead, std::move(head_key));
  } else {
    row->flags |= Row::kOnDisk;
    Seal(hash, row);
    table->sum += CleanSum(hash, row);
    if (ElementSum* sum = SumOf(row)) table->sum += sum->Settle();
    if (put_head) job->Add(Op::kPutHead, std::move(head_key), EncodeHead(row));
    if (text && put_head) {
      text->head_dirty = false;
      text->head_capture = capture_number_;
    }
    if (row->row_form() == RowForm::kCollection && row->collection()->native()) {
      native = row->collection();
    }
    if (native || text) row->flags |= Row::kHasRows;
    row->flags &= uint16_t(~Row::kStaleRows);
  }
  CountDirty(*table, -uint64_t{1}, DirtyBytes(row) - dirty_before);
  if (delete_first) job->stale_keys.emplace_back(ns, slot, row->key());
  if (delete_first || native || text) {
    RowKind kind = text ? RowKind::kFragment : ElementKind(row);
    job->work.push_back({std::string(row->key()), hash, delete_first, kind, native, text});
    if (native) native->set_capture(&job->work.back().capture);
    if (text) text->sum().BeginCapture();
  }
}

// One slice of element rows. True when the slot's work is done.
bool EngineImpl::CaptureElements(CheckpointJob* job, uint16_t ns, uint16_t slot) {
  if (job->work_at == job->work.size()) {
    job->work.clear();
    job->work_at = 0;
    return true;
  }
  CheckpointJob::ElementWork& work = job->work[job->work_at];
  uint64_t position = uint64_t(slot) << kPositionHashBits | work.hash >> (64 - kPositionHashBits);
  if (work.capture.from == 0 && work.from == 0 && work.delete_first) {
    KeyRange range = RowRange(ns, position, work.key);
    job->Add(Op::kRowRange, range.lower, range.upper);
  }
  bool done = true;
  if (work.collection) {
    done = CaptureElementSlice(job, ns, slot, position);
  } else if (work.text) {
    SlotTable* table = Slot(ns, slot);
    Row* row = table ? table->rows.Find(work.hash, work.key) : nullptr;
    bool same = row && row->row_form() == RowForm::kLong && row->long_string() == work.text &&
                work.text->sum().capturing();
    uint64_t dirty_before = same ? BesideBytes(row) : 0;
    work.from = same ? CaptureFragmentSlice(job, ns, position, row) : 0;
    if (same) CountDirty(*table, 0, BesideBytes(row) - dirty_before);
    done = work.from == 0;
    if (same && done) {
      uint64_t late = work.text->sum().EndCapture();
      uint64_t more = work.text->sum().Settle();
      table->sum += more;
      job->meta.slots[ns][slot].sum += more + late;
    }
    if (!same) NoSumOf(job, ns, slot);
  }
  if (done) job->work_at++;
  return false;
}

// Rows of the slot that were to be captured have vanished: they stay on disk in some older version.
void EngineImpl::NoSumOf(CheckpointJob* job, uint16_t ns, uint16_t slot) {
  job->meta.slots[ns][slot].sum_known = false;
  auto of_slot = [&](const LeafToCount& leaf) { return leaf.ns == ns && leaf.slot == slot; };
  auto counted = std::find_if(job->to_count.begin(), job->to_count.end(), of_slot);
  if (counted == job->to_count.end()) return;
  DropCounting({*counted});
  job->to_count.erase(counted);
}

bool EngineImpl::CaptureElementSlice(CheckpointJob* job, uint16_t ns, uint16_t slot,
                                     uint64_t position) {
  CheckpointJob::ElementWork& work = job->work[job->work_at];
  RowTable* table = work.collection->table();
  uint64_t dirty_before = work.collection->dirty_bytes();
  std::vector<Row*> elements;
  uint64_t next = table->CollectMarked(work.capture.from, options_.capture_slice_rows, &elements);
  CheckpointJob::AbsentElements absent{ns, slot, work.hash, work.key, {}};
  auto put = [&](uint64_t hash, std::string_view element, bool live, std::string payload) {
    std::string key = EncodeRowKey(
        {ns, position, work.key, uint8_t(work.kind), hash >> (64 - kElementHashBits), element});
    job->Add(live ? Op::kPutRow : Op::kDeleteRow, std::move(key), std::move(payload));
    job->rows++;
  };
  auto& before = work.capture.before;
  uint64_t& sum = job->meta.slots[ns][slot].sum;
  auto put_images_below = [&](const auto& end) {
    for (auto it = before.begin(); it != end; it = before.erase(it)) {
      if (it->second.live) {
        Result<Row*> image = DecodeElement(it->first.second, it->second.payload);
        CHECK_THAT(image.ok());
        sum +=
            hasher_.ElementRow(work.hash, it->first.first, work.kind == RowKind::kMember, *image);
        FreeRow(*image);
      }
      put(it->first.first, it->first.second, it->second.live, std::move(it->second.payload));
    }
  };
  for (Row* element : elements) {
    if (!element->Has(Row::kDirty)) continue;
    uint64_t hash = table->HashOf(element->key());
    if (!before.empty()) {
      put_images_below(before.upper_bound(std::pair(hash, std::string(element->key()))));
    }
    if (element->Has(Row::kChangedSince)) {
      element->flags &= uint16_t(~Row::kChangedSince);
      table->MarkDirty(hash);
      continue;
    }
    sum += work.collection->TurnClean(hash, element);
    element->capture = capture_number_;
    if (element->live()) element->flags |= Row::kOnDisk;
    if (!element->live()) absent.elements.emplace_back(element->key());
    put(hash, element->key(), element->live(), element->live() ? EncodeElement(element) : "");
  }
  put_images_below(next == 0 ? before.end() : before.lower_bound(std::pair(next, std::string())));
  work.capture.from = next;
  if (!work.orphan) {  // else it counts no more
    CountDirty(*Slot(ns, slot), 0, work.collection->dirty_bytes() - dirty_before);
  }
  if (!absent.elements.empty()) job->absent_elements.push_back(std::move(absent));
  if (next != 0) return false;
  work.collection->set_capture(nullptr);
  if (!work.orphan) Slot(ns, slot)->sum += work.collection->sum().Settle();
  if (work.orphan) FreeCollection(work.orphan.release());
  work.collection = nullptr;
  return true;
}

// Unlike elements, fragments are captured as they are when their slice comes. An irregular key's
// must not be later than its head.
void EngineImpl::FinishFragmentCapture(uint16_t ns, uint16_t slot) {
  CheckpointJob* job = checkpoint_.get();
  bool running = job && job->state == CheckpointJob::State::kCapture && !job->work.empty();
  if (!running || job->ns != ns || job->slot != slot) return;
  auto waits = [](const CheckpointJob::ElementWork& work) { return work.text != nullptr; };
  while (std::any_of(job->work.begin() + ptrdiff_t(job->work_at), job->work.end(), waits)) {
    CaptureElements(job, ns, slot);
  }
}

bool EngineImpl::CapturingElementsOf(uint16_t slot) const {
  const CheckpointJob* job = checkpoint_.get();
  return job && job->slot == slot && !job->work.empty();
}

void EngineImpl::KeepCaptured(Collection* c) {
  for (CheckpointJob::ElementWork& work : checkpoint_->work) {
    if (work.collection == c) work.orphan.reset(c);
  }
}

void EngineImpl::DropElementCapture(uint16_t ns, uint16_t slot) {
  CheckpointJob* job = checkpoint_.get();
  if (!job || job->ns != ns || job->slot != slot) return;
  for (CheckpointJob::ElementWork& work : job->work) {
    if (work.orphan) continue;
    if (work.collection) NoSumOf(job, ns, slot);
    work.collection = nullptr;
  }
}

uint64_t EngineImpl::CaptureFragmentSlice(CheckpointJob* job, uint16_t ns, uint64_t position,
                                          Row* row) {
  LongString* text = row->long_string();
  std::vector<uint32_t> dirty;
  uint32_t next = text->CollectDirty(job->work[job->work_at].from, kFragmentSlice, &dirty);
  for (uint32_t index : dirty) {
    std::string key =
        EncodeRowKey({ns, position, row->key(), uint8_t(RowKind::kFragment), index, {}});
    const LongString::Fragment* fragment = text->Find(index);
    uint64_t sum = 0;
    job->rows++;
    if (fragment) {
      std::string_view bytes = text->FragmentBytes(index, *fragment);
      sum = hasher_.Fragment(position << (64 - kPositionHashBits), row->dot, index, fragment->dot,
                             fragment->hlc, bytes);
      job->Add(Op::kPutRow, std::move(key),
               EncodeFragment({row->dot, fragment->dot, fragment->hlc, bytes}));
    } else {
      job->Add(Op::kDeleteRow, std::move(key));
    }
    text->MarkCaptured(index, capture_number_, sum);
  }
  text->sum().SlicePassed(next);
  return next;
}

// Hands the filled buffer to the background, which writes it into the batch's files.
void EngineImpl::FlushCapture(CheckpointJob* job) {
  if (job->buffer.empty()) return;
  auto operations = std::make_shared<std::vector<Operation>>(std::move(job->buffer));
  job->buffer.clear();
  uint64_t bytes = job->buffer_bytes;
  job->buffer_bytes = 0;
  *job->in_flight += bytes;
  checkpoint_pool_->Post([this, operations, bytes, batch = job->batch, status = job->write_status,
                          in_flight = job->in_flight] {
    for (const Operation& o : *operations) {
      if (status->ok()) *status = Write(batch.get(), o);
    }
    *in_flight -= bytes;
    if (hooks_.wake) hooks_.wake();
  });
}

bool EngineImpl::StepCheckpoint(int64_t deadline_us) {
  CheckpointJob& job = *checkpoint_;
  checkpoint_pool_->SetUrgent(CheckpointUrgent());
  if (job.state == CheckpointJob::State::kWaitSync) {
    if (log_->synced() < job.sync_target) return false;
    checkpoint_waits_sync_ = false;
    ApplySyncMode();
    job.state = CheckpointJob::State::kCommit;
    checkpoint_pool_->Post([this, &job] {
      Status status = *job.write_status;
      if (status.ok()) status = PutCheckpointMeta(job.meta, job.batch.get());
      if (status.ok()) status = job.batch->Commit();
      if (!status.ok()) job.batch->Abandon();
      job.batch.reset();
      std::shared_ptr<const RowSnapshot> snapshot;  // as this checkpoint has left it
      if (status.ok() && !job.to_count.empty()) snapshot = store_->TakeSnapshot();
      PostToDataThread([this, status, snapshot] { FinishCheckpoint(status, snapshot); });
    });
    return false;
  }
  if (job.state == CheckpointJob::State::kCommit) return false;
  for (; job.dots_at < PartitionCount(); job.dots_at++) {
    if (clock_->MonotonicUs() >= deadline_us) return true;
    std::string dots = replica_->EncodeDots(job.dots_at);
    if (!dots.empty()) job.meta.dots[uint16_t(job.dots_at)] = std::move(dots);
  }
  while (job.ns < namespaces_.size()) {
    if (*job.in_flight > kInFlightBytesMax) return false;  // the background wakes us
    if (clock_->MonotonicUs() >= deadline_us) return true;
    uint16_t ns = uint16_t(job.ns), slot = uint16_t(job.slot);
    if (job.work.empty()) {
      CaptureSlot(&job, ns, slot);
      CaptureIrregular(&job, ns, slot);
    }
    bool done = CaptureElements(&job, ns, slot);
    if (job.buffer_bytes >= kBufferBytes) FlushCapture(&job);
    if (!done) continue;
    if (namespaces_[ns]->tables == 0) job.slot = kSlotCount - 1;  // an unused database
    if (++job.slot == kSlotCount) {
      job.slot = 0;
      job.ns++;
    }
  }
  FlushCapture(&job);
  job.meta.database_ns = database_ns_;
  job.meta.database_ns_position = std::max(database_ns_position_, job.meta.position);
  job.sync_target = log_->appended();
  job.state = CheckpointJob::State::kWaitSync;
  checkpoint_waits_sync_ = true;
  ApplySyncMode();
  return true;
}

void EngineImpl::FinishCheckpoint(Status status, std::shared_ptr<const RowSnapshot> snapshot) {
  std::unique_ptr<CheckpointJob> job = std::move(checkpoint_);
  last_checkpoint_end_ms_ = clock_->MonotonicUs() / 1000;
  stats_.last_checkpoint_ok = status.ok();
  if (status.ok()) {
    checkpoint_position_ = job->meta.position;
    log_->ReleaseBefore(checkpoint_position_);
    DropAbsents(*job);
    for (LeafToCount& leaf : job->to_count) leaf.stored = job->meta.slots[leaf.ns][leaf.slot].sum;
    CountLeaves(std::move(job->to_count), std::move(snapshot));
    stats_.checkpoints++;
    stats_.checkpoint_rows += job->rows;
    stats_.last_checkpoint_ms = (clock_->MonotonicUs() - job->begin_us) / 1000;
    stats_.last_checkpoint_unix_s = clock_->WallMs() / 1000;
    changes_ -= std::min(changes_, job->changes_at_begin);
  } else {
    stats_.checkpoint_failures++;
    LogWarning("checkpoint failed, nothing is lost, the log is kept: " + status.message());
    RedirtyCaptured(*job);
    DropCounting(job->to_count);
  }
  for (auto& waiter : job->waiters) {
    if (waiter) waiter(status);
  }
}

// What was absent and captured is now absent on disk too.
void EngineImpl::DropAbsents(const CheckpointJob& job) {
  for (auto [ns, slot] : job.absent_slots) {
    SlotTable* table = Slot(ns, slot);
    if (!table) continue;
    std::vector<Row*> gone;
    table->rows.ForEach([&](Row* row) {
      bool done = !row->live() && !row->Has(Row::kDirty) && row->capture == capture_number_;
      if (done) gone.push_back(row);
    });
    for (Row* row : gone) {
      uint64_t hash = RowTable::HashOf(row->key(), seed_, kPositionHashBits);
      if (!listings_.empty()) NoteForListings(ns, slot, hash, row);
      table->rows.Erase(hash, row);
      FreeRow(row);
      table->absents--;
    }
  }
  for (const auto& item : job.absent_elements) {
    SlotTable* table = Slot(item.ns, item.slot);
    Row* row = table ? table->rows.Find(item.hash, item.key) : nullptr;
    if (!row || row->row_form() != RowForm::kCollection || !row->collection()->native()) continue;
    RowTable* elements = row->collection()->table();
    for (const std::string& name : item.elements) {
      Row* element = elements->Find(elements->HashOf(name), name);
      if (element && !element->live() && !element->Has(Row::kDirty) &&
          element->capture == capture_number_) {
        row->collection()->DropAbsent(element);
      }
    }
  }
}

void EngineImpl::RedirtyCaptured(const CheckpointJob& job) {
  for (const auto& [ns, slot, key] : job.stale_keys) {
    Row* row = MakeSlot(ns, slot).rows.Find(RowTable::HashOf(key, seed_, kPositionHashBits), key);
    if (row) row->flags |= Row::kStaleRows;
  }
  for (auto [ns, slot] : job.wiped_slots) MakeSlot(ns, slot).wiped = true;
  for (auto& space : namespaces_) {
    for (auto& table : space->slots) {
      if (!table) continue;
      table->rows.ForEach([&](Row* row) {
        bool elements_captured = false;
        uint64_t dirty_before = DirtyBytes(row);
        if (row->row_form() == RowForm::kCollection && row->collection()->native()) {
          RowTable* elements = row->collection()->table();
          elements->ForEach([&](Row* element) {
            if (element->capture != capture_number_ || element->Has(Row::kDirty)) return;
            uint64_t hash = elements->HashOf(element->key());
            row->collection()->TurnDirty(hash, element);
            elements->MarkDirty(hash);
            elements_captured = true;
          });
        }
        if (row->row_form() == RowForm::kLong) {
          elements_captured = row->long_string()->Redirty(capture_number_);
        }
        CountDirty(*table, 0, DirtyBytes(row) - dirty_before);
        if (row->capture != capture_number_ && !elements_captured) return;
        MarkDirty(*table, RowTable::HashOf(row->key(), seed_, kPositionHashBits), row);
      });
    }
  }
}

}  // namespace redynamo
