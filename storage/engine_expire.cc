// SPDX-License-Identifier: Apache-2.0
// Removing expired keys that nobody asks for, by removal events. Resident ones are found by walking
// slots that have deadlines. Of cold ones each slot knows a time before which none is due; when
// that has come, the background reads the slot's heads, what has expired is removed, and
// the earliest deadline among the rest is when to look again:
//
//   SET k v EX 60, checkpoint, page-out   slot: nothing cold is due before k's deadline
//   60 s later                            heads are read; k goes as any expired key
//
// The background reads a batch, the data thread removes it, and so on until nothing is due, with
// pauses that leave the data thread most of its time. A batch is void when a checkpoint has been
// ingested since it was read; it is read again.
#include <algorithm>
#include <array>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr int kSweepRows = 32;
constexpr int kColdSweepSlots = 64;        // whose heads are read by one background task
constexpr size_t kColdSweepKeysMax = 256;  // removed in one go
// The data thread is left alone for so many times as long as that took: a tenth is for sweeps.
constexpr int64_t kColdSweepPauses = 9;
// A sweep is followed at once by the next when it has removed one key a slot, or one in so many.
constexpr uint64_t kWorthPart = 8;
constexpr int64_t kColdRetryMs = 60'000;  // after a failure

}  // namespace

// As Redis' sampling: each slot moves the average by a share, so that it follows what changes. An
// average of deadlines, not of times to live, stays right while nobody looks.
void EngineImpl::NoteDeadlines(Namespace& space, double average_ms) {
  constexpr double kShare = 0.02;
  double& average = space.average_deadline_ms;
  average = average == 0 ? average_ms : average + (average_ms - average) * kShare;
}

// Walks slots that have deadlines, a few rows each; expired keys go by removal events.
bool EngineImpl::SweepExpired(int64_t deadline_us) {
  uint32_t slots = uint32_t(namespaces_.size()) * kSlotCount;
  for (uint32_t walked = 0; walked < slots; walked++) {
    uint16_t ns = uint16_t(sweep_slot_ / kSlotCount), slot = uint16_t(sweep_slot_ % kSlotCount);
    if (namespaces_[ns]->volatiles == 0) {  // a whole database without deadlines
      if (namespaces_[ns]->cold_volatiles <= 0) namespaces_[ns]->average_deadline_ms = 0;
      sweep_slot_ = uint32_t(ns + 1) * kSlotCount % slots;
      walked += kSlotCount - 1;
      continue;
    }
    SlotTable* table = Slot(ns, slot);
    if (table && table->volatiles > 0) {
      std::vector<Row*> expired;
      int64_t ttl_sum = 0, with_ttl = 0;  // of times to live: sums of deadlines would overflow
      table->rows.ForEach([&](Row* row) {
        if (!row->live() || !row->Has(Row::kHasDeadline)) return;
        if (Expired(row)) {
          if (RemovalIsDue(slot, row)) expired.push_back(row);
          return;
        }
        ttl_sum += row->deadline().at_ms - now_ms_;
        with_ttl++;
      });
      if (with_ttl > 0) {
        NoteDeadlines(*namespaces_[ns], double(now_ms_) + double(ttl_sum) / double(with_ttl));
      }
      for (size_t i = 0; i < expired.size(); i++) {
        BeginCommand(now_ms_);
        uint64_t hash = RowTable::HashOf(expired[i]->key(), seed_, kPositionHashBits);
        bool room = RemoveExpired(ns, slot, hash, expired[i]);
        EndCommand();
        if (!room) return false;
        if (i % kSweepRows == kSweepRows - 1 && clock_->MonotonicUs() >= deadline_us) return true;
      }
    }
    sweep_slot_ = (sweep_slot_ + 1) % slots;
    if (walked % kSweepRows == 0 && clock_->MonotonicUs() >= deadline_us) return false;
  }
  return false;
}

void EngineImpl::NoteColdDeadline(Namespace* space, SlotTable* table, int64_t at_ms) {
  table->cold_deadline_ms = std::min(table->cold_deadline_ms, at_ms);
  space->cold_deadline_ms = std::min(space->cold_deadline_ms, at_ms);
}

// A walk over the heads of slots [first, first + kColdSweepSlots), batch by batch.
struct EngineImpl::ColdSweep {
  ~ColdSweep() {
    for (Row* row : expired) FreeWholeRow(row);
  }
  uint16_t ns, first;
  int64_t now_ms;
  uint64_t epoch;  // of the namespace: another one ends the walk
  std::array<bool, kColdSweepSlots> due{};
  std::array<int64_t, kColdSweepSlots> earliest_ms{};  // deadline that is still to come
  std::string from;                                    // head key; empty: the beginning
  uint64_t heads = 0, removed = 0;
  // Of the batch being read:
  uint64_t checkpoints = 0;  // so many had ended; one more voids it
  std::vector<Row*> expired;
  int64_t ttl_sum = 0, with_ttl = 0;  // of those to come
  std::string next;                   // head key to go on from; empty: that was the end
};

// What goes is a mark until a checkpoint takes it from the disk, too: not when memory is full of
// what only a checkpoint can let go.
bool EngineImpl::ColdSweepsWait() const {
  bool warming_up = options_.warm_up && !warm_up_done_;  // soon resident, most of them
  return warming_up || !active_expire_ || DirtyMemoryHigh() || WritersMustWait();
}

// Begins a sweep of the next slots in which a cold key may be due, unless one is under way.
void EngineImpl::StepColdSweep(int64_t pause_us) {
  if (cold_sweep_busy_ || ColdSweepsWait()) return;
  int64_t begin_us = clock_->MonotonicUs();
  for (auto& space : namespaces_) {
    if (space->cold_deadline_ms > now_ms_) continue;
    int64_t earliest_ms = kNoColdDeadline;
    for (uint32_t i = 0; i < kSlotCount; i++) {
      uint16_t slot = uint16_t((cold_sweep_slot_ + i) % kSlotCount);
      SlotTable* table = space->slots[slot].get();
      if (!table) continue;
      if (table->cold() == 0) table->cold_deadline_ms = kNoColdDeadline;
      if (table->cold_deadline_ms <= now_ms_) {
        pause_us += (clock_->MonotonicUs() - begin_us) * kColdSweepPauses;
        return StartColdSweep(space->id, slot, pause_us);
      }
      earliest_ms = std::min(earliest_ms, table->cold_deadline_ms);
    }
    space->cold_deadline_ms = earliest_ms;
  }
}

void EngineImpl::StartColdSweep(uint16_t ns, uint16_t first, int64_t pause_us) {
  auto sweep = std::make_shared<ColdSweep>();
  sweep->ns = ns;
  sweep->first = first;
  sweep->now_ms = now_ms_;
  sweep->epoch = namespaces_[ns]->epoch;
  sweep->earliest_ms.fill(kNoColdDeadline);
  for (int i = 0; i < kColdSweepSlots && first + i < kSlotCount; i++) {
    SlotTable* table = Slot(ns, uint16_t(first + i));
    if (!table || table->cold_deadline_ms > now_ms_) continue;
    sweep->due[size_t(i)] = true;
    table->cold_deadline_ms = kNoColdDeadline;  // what is paged out meanwhile brings it down again
  }
  cold_sweep_busy_ = true;
  cold_sweep_slot_ = uint32_t(first) + kColdSweepSlots;
  PostColdSweep(std::move(sweep), pause_us);
}

void EngineImpl::PostColdSweep(std::shared_ptr<ColdSweep> sweep, int64_t pause_us) {
  sweep->checkpoints = stats_.checkpoints;
  expire_pool_->Post([this, sweep, pause_us] {
    expire_pool_->Pause(pause_us);
    Status status = ReadColdSweep(sweep.get());
    PostToDataThread([this, sweep, status] { FinishColdSweep(sweep, status); });
  });
}

// In the background: the next batch.
Status EngineImpl::ReadColdSweep(ColdSweep* sweep) {
  uint64_t end = std::min<uint64_t>(sweep->first + kColdSweepSlots, kSlotCount);
  KeyRange range = PositionRange(sweep->ns, uint64_t(sweep->first) << kPositionHashBits,
                                 (end << kPositionHashBits) - 1);
  auto it = store_->NewHeadIterator(sweep->from.empty() ? range.lower : sweep->from, range.upper);
  sweep->next.clear();
  for (; it->Valid() && !stopping_; it->Next()) {
    Result<HeadKey> head = DecodeHeadKey(it->key());
    if (!head.ok()) return head.status();
    size_t index = size_t(head->position >> kPositionHashBits) - sweep->first;
    if (index >= sweep->due.size() || !sweep->due[index]) continue;
    sweep->heads++;
    ObjectType type;
    int64_t deadline_ms;
    Status status = ReadHeadSummary(it->value(), &type, &deadline_ms);
    if (!status.ok()) return status;
    if (deadline_ms == kNoDeadline) continue;
    if (deadline_ms > sweep->now_ms) {
      sweep->earliest_ms[index] = std::min(sweep->earliest_ms[index], deadline_ms);
      sweep->ttl_sum += deadline_ms - sweep->now_ms;
      sweep->with_ttl++;
      continue;
    }
    if (sweep->expired.size() == kColdSweepKeysMax) {
      sweep->next = it->key();
      break;
    }
    Result<Row*> built = BuildObject(sweep->ns, head->position, head->key, it->value());
    if (!built.ok()) return built.status();
    sweep->expired.push_back(*built);
  }
  return it->status();
}

void EngineImpl::FinishColdSweep(const std::shared_ptr<ColdSweep>& sweep, const Status& status) {
  if (stopping_) return;
  Namespace& space = *namespaces_[sweep->ns];
  std::vector<Row*> expired;
  expired.swap(sweep->expired);
  int64_t begin_us = clock_->MonotonicUs();
  bool same_space = sweep->epoch == space.epoch;
  bool stands = status.ok() && same_space && sweep->checkpoints == stats_.checkpoints;
  if (stands && sweep->with_ttl > 0) {
    double average_ttl_ms = double(sweep->ttl_sum) / double(sweep->with_ttl);
    NoteDeadlines(space, double(sweep->now_ms) + average_ttl_ms);
  }
  sweep->ttl_sum = sweep->with_ttl = 0;
  if (stands) sweep->removed += expired.size();
  bool room = true;  // in the log
  for (Row* row : expired) {
    if (stands && room) {
      room = RemoveCold(sweep->ns, row);
    } else {
      FreeObject(row);
    }
  }
  int64_t pause_us = (clock_->MonotonicUs() - begin_us) * kColdSweepPauses;
  bool goes_on = status.ok() && same_space && room && !ColdSweepsWait();
  if (goes_on && stands) sweep->from = sweep->next;
  if (goes_on && (!stands || !sweep->next.empty())) return PostColdSweep(sweep, pause_us);
  if (!status.ok()) LogWarning("looking for expired keys on disk failed: " + status.message());
  for (int i = 0; i < kColdSweepSlots; i++) {
    if (!sweep->due[size_t(i)]) continue;
    SlotTable* table = Slot(sweep->ns, uint16_t(sweep->first + i));
    int64_t next_ms = goes_on       ? sweep->earliest_ms[size_t(i)]
                      : status.ok() ? 0
                                    : now_ms_ + kColdRetryMs;
    if (table) NoteColdDeadline(&space, table, next_ms);
  }
  cold_sweep_busy_ = false;
  // Else most of what is read only says that it is not due yet: the next tick is soon enough.
  bool worth_it = sweep->removed >= kColdSweepSlots || sweep->removed * kWorthPart >= sweep->heads;
  if (goes_on && worth_it) StepColdSweep(pause_us);
}

// The object was read from disk; nothing has changed there since. False when the log has no room.
bool EngineImpl::RemoveCold(uint16_t ns, Row* row) {
  std::string key(row->key());
  uint16_t slot = KeySlot(key);
  uint64_t hash = RowTable::HashOf(key, seed_, kPositionHashBits);
  BeginCommand(now_ms_);
  InstallLoaded(ns, key, row);
  Row* installed = Slot(ns, slot)->rows.Find(hash, key);  // or what was there already
  // Where it is another node's business, it stays in memory, for the sweep when that fails.
  bool due = installed && installed->live() && Expired(installed) && RemovalIsDue(slot, installed);
  bool room = !due || RemoveExpired(ns, slot, hash, installed);
  EndCommand();
  return room;
}

}  // namespace redynamo
