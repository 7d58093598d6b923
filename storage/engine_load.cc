// SPDX-License-Identifier: Apache-2.0
// Cold keys: a turn's misses go to the background as one sorted MultiGet; what comes back is
// installed on the data thread unless the namespace was cleared meanwhile. A key under load is not
// resident, so nobody can have changed it: a write waits for the same load.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr size_t kKnownAbsentMax = 65'536;
constexpr size_t kLoadBatchLeast = 32;  // fewer keys are not worth a second thread
constexpr int kWarmUpSlots = 64;        // read by one background task
constexpr uint64_t kWarmUpMemoryPercent = 90;

}  // namespace

Result<Row*> EngineImpl::BuildObject(uint16_t ns, uint64_t position, std::string_view key,
                                     std::optional<std::string_view> payload) {
  if (!payload) return static_cast<Row*>(nullptr);
  Result<DecodedHead> head = DecodeHead(key, *payload, seed_);
  if (!head.ok()) return head.status();
  uint64_t key_hash = position << (64 - kPositionHashBits);
  Seal(key_hash, head->row);
  if (head->may_have_fragments) {
    Status status = LoadFragments(ns, position, &head->row);
    if (status.ok()) return head->row;
    FreeWholeRow(head->row);
    return status;
  }
  if (!head->native) return head->row;
  Collection* c = head->row->collection();
  c->SetHasher(&hasher_, key_hash, head->row->object_type() == ObjectType::kSet);
  c->MakeSparse(head->element_count);
  c->sparse_state()->ns = ns;
  uint64_t rows_max = whole_load_rows_max_;
  if (head->element_count > rows_max) return head->row;
  ElementSource source{ns, position, std::string(key), ElementKind(head->row)};
  ElementsRead read;
  HashRange range;
  Status status = ReadRange(source, {0, rows_max + 1}, whole_load_bytes_max_, &read, &range);
  if (!status.ok()) {
    delete c;
    FreeRow(head->row);
    return status;
  }
  read.ranges.push_back(range);
  c->Install(&read);
  if (range.to == kElementHashEnd && !c->MakeWhole()) {
    LogWarning("a collection had another number of elements than its head said; it is right now");
  }
  return head->row;
}

bool EngineImpl::KnownAbsent(uint16_t ns, std::string_view key) const {
  return !known_absent_.empty() && known_absent_.contains({ns, std::string(key)});
}

void EngineImpl::InstallLoaded(uint16_t ns, std::string_view key, Row* row) {
  uint16_t slot = KeySlot(key);
  SlotTable& table = MakeSlot(ns, slot);
  uint64_t hash = RowTable::HashOf(key, seed_, kPositionHashBits);
  if (table.rows.Find(hash, key) || table.cold() == 0) {  // resident by another way, or cleared
    FreeObject(row);
    return;
  }
  row->access = AccessNow();
  table.rows.Insert(hash, row);
  table.resident++;
  namespaces_[ns]->resident++;
  if (row->Has(Row::kHasDeadline)) {
    table.volatiles++;
    namespaces_[ns]->volatiles++;
    CountColdVolatiles(ns, table, -1);
  }
  bool sparse = row->row_form() == RowForm::kCollection && row->collection()->sparse();
  if (!sparse) return;
  row->collection()->sparse_state()->serial = ++sparse_serial_;
  CountSparse(ns, slot, 1);
}

Status EngineImpl::LoadNow(uint16_t ns, std::string_view key, Row** row) {
  *row = nullptr;
  uint64_t hash = RowTable::HashOf(key, seed_, kPositionHashBits);
  uint16_t slot = KeySlot(key);
  uint64_t position = uint64_t(slot) << kPositionHashBits | hash >> (64 - kPositionHashBits);
  std::string head_key = EncodeHeadKey({ns, position, key});
  std::vector<std::optional<std::string>> found;
  Status status = store_->MultiGetHeads({&head_key, 1}, &found);
  if (!status.ok() || !found[0]) return status;
  Result<Row*> built = BuildObject(ns, position, key, *found[0]);
  if (!built.ok()) return built.status();
  InstallLoaded(ns, key, *built);
  *row = Slot(ns, slot)->rows.Find(hash, key);
  return Status::Ok();
}

bool EngineImpl::Resident(std::span<const KeyRef> keys) {
  for (const KeyRef& ref : keys) {
    uint16_t ns = NamespaceOf(ref.database);
    const Namespace& space = *namespaces_[ns];
    if (space.live == space.resident && space.sparse == 0) continue;
    SlotTable* table = Slot(ns, KeySlot(ref.key));
    if (!table || (table->cold() == 0 && table->sparse == 0)) continue;
    uint64_t hash = RowTable::HashOf(ref.key, seed_, kPositionHashBits);
    if (const Row* row = table->rows.Find(hash, ref.key)) {
      bool sparse = row->row_form() == RowForm::kCollection && row->collection()->sparse();
      if (!sparse || HasNeeded(ref, *row->collection())) continue;
      return false;
    }
    if (table->cold() == 0) continue;
    if (KnownAbsent(ns, ref.key)) continue;
    return false;
  }
  return true;
}

PendingLoad& EngineImpl::QueueLoad(LoadKey key) {
  auto [it, is_new] = pending_loads_.try_emplace(key);
  if (is_new) {
    it->second.epoch = namespaces_[key.first]->epoch;
    it->second.checkpoints = stats_.checkpoints;
    load_queue_.push_back(std::move(key));
  }
  return it->second;
}

void EngineImpl::Load(std::span<const KeyRef> keys, std::function<void(Status)> done) {
  auto call = std::make_shared<LoadCall>();
  call->missing = 0;
  call->done = std::move(done);
  for (const KeyRef& ref : keys) {
    if (Resident({&ref, 1})) continue;
    uint16_t ns = NamespaceOf(ref.database);
    uint64_t hash = RowTable::HashOf(ref.key, seed_, kPositionHashBits);
    if (Row* row = Slot(ns, KeySlot(ref.key))->rows.Find(hash, ref.key)) {
      LoadElements(ref, ns, row, call);
      continue;
    }
    PendingLoad& load = QueueLoad({ns, std::string(ref.key)});
    if (!load.under_way) AddWant(ref, nullptr, &load.want);
    load.calls.push_back(call);
    call->missing++;
  }
  if (call->missing == 0) PostToDataThread([call] { call->done(Status::Ok()); });
}

// As many batches are under way as threads read them; what is asked for meanwhile is the next one.
// So batches grow with the load, and with them the work that their keys share.
void EngineImpl::FlushLoads() {
  while (load_batches_under_way_ < kBackgroundThreads) {
    size_t waiting = load_queue_.size() + element_queue_.size();
    if (waiting == 0) return;
    size_t idle_threads = size_t(kBackgroundThreads - load_batches_under_way_);
    size_t share = (waiting + idle_threads - 1) / idle_threads;
    auto batch = std::make_shared<std::vector<ColdRead>>();
    TakeLoads(std::min(waiting, std::max(share, kLoadBatchLeast)), batch.get());
    load_batches_under_way_++;
    PostLoads(std::move(batch));
  }
}

void EngineImpl::TakeLoads(size_t count, std::vector<ColdRead>* batch) {
  size_t heads = std::min(count, load_queue_.size());
  for (size_t i = 0; i < heads; i++) {
    LoadKey& key = load_queue_[i];
    PendingLoad& load = pending_loads_.at(key);
    load.under_way = true;
    ColdRead& item = batch->emplace_back();
    uint64_t hash = RowTable::HashOf(key.second, seed_, kPositionHashBits);
    uint64_t position =
        uint64_t(KeySlot(key.second)) << kPositionHashBits | hash >> (64 - kPositionHashBits);
    item.source = {key.first, position, std::move(key.second), {}};
    item.checkpoints = load.checkpoints;
    item.want = std::move(load.want);
  }
  load_queue_.erase(load_queue_.begin(), load_queue_.begin() + ptrdiff_t(heads));
  size_t others = std::min(count - heads, element_queue_.size());
  auto end = element_queue_.begin() + ptrdiff_t(others);
  std::move(element_queue_.begin(), end, std::back_inserter(*batch));
  std::vector<ColdRead> rest(std::make_move_iterator(end),
                             std::make_move_iterator(element_queue_.end()));
  element_queue_.swap(rest);
}

void EngineImpl::PostLoads(std::shared_ptr<std::vector<ColdRead>> batch) {
  stats_.cold_load_batches++;
  background_->Post([this, batch] {
    Status status = ReadCold(batch.get());
    PostToDataThread([this, batch, status] { FinishLoads(batch.get(), status); });
  });
}

// Heads as one sorted MultiGet, then elements.
Status EngineImpl::ReadCold(std::vector<ColdRead>* batch) {
  std::vector<std::pair<std::string, ColdRead*>> wanted;
  std::vector<ColdRead*> with_elements;
  for (ColdRead& item : *batch) {
    const ElementSource& s = item.source;
    if (item.serial != 0) {
      with_elements.push_back(&item);
    } else {
      wanted.emplace_back(EncodeHeadKey({s.ns, s.position, s.key}), &item);
    }
  }
  std::sort(wanted.begin(), wanted.end());
  std::vector<std::string> keys;
  for (const auto& [head_key, item] : wanted) keys.push_back(head_key);
  std::vector<std::optional<std::string>> found;
  if (!keys.empty()) {
    Status status = store_->MultiGetHeads(keys, &found);
    if (!status.ok()) return status;
  }
  for (size_t i = 0; i < wanted.size(); i++) {
    ColdRead& item = *wanted[i].second;
    std::optional<std::string_view> payload;
    if (found[i]) payload = *found[i];
    Result<Row*> built =
        BuildObject(item.source.ns, item.source.position, item.source.key, payload);
    if (!built.ok()) return built.status();
    item.row = *built;
    bool sparse = item.row && item.row->row_form() == RowForm::kCollection &&
                  item.row->collection()->sparse();
    if (!sparse || item.want.empty()) continue;
    item.source.kind = ElementKind(item.row);
    with_elements.push_back(&item);
  }
  Status status = ReadElements(with_elements);
  if (!status.ok()) return status;
  for (ColdRead* item : with_elements) {
    if (item->row) item->row->collection()->Install(&item->read);
  }
  return status;
}

void EngineImpl::FinishLoads(std::vector<ColdRead>* batch, const Status& status) {
  load_batches_under_way_--;
  FlushLoads();  // the thread that has read these reads on while they are installed
  if (!status.ok()) LogWarning("reading cold keys failed: " + status.message());
  std::vector<std::shared_ptr<LoadCall>> ready;
  auto finish = [&](std::vector<std::shared_ptr<LoadCall>>& calls) {
    for (auto& call : calls) {
      if (!status.ok()) call->status = status;
      if (--call->missing == 0) ready.push_back(call);
    }
  };
  for (ColdRead& item : *batch) {
    if (item.serial != 0) {
      FinishElements(&item, status);
      finish(item.calls);
      continue;
    }
    LoadKey key{item.source.ns, item.source.key};
    auto node = pending_loads_.extract(key);
    bool stands = status.ok() && node && item.checkpoints == stats_.checkpoints &&
                  node.mapped().epoch == namespaces_[key.first]->epoch;
    if (item.row && stands) {
      InstallLoaded(key.first, key.second, std::exchange(item.row, nullptr));
      stats_.cold_loads++;
    } else if (stands) {
      if (known_absent_.size() >= kKnownAbsentMax) known_absent_.clear();
      known_absent_.insert(key);
    }
    if (node) finish(node.mapped().calls);
  }
  for (auto& call : ready) call->done(call->status);
}

bool EngineImpl::WarmUpFull() const {
  uint64_t limit = options_.maxmemory_bytes * kWarmUpMemoryPercent / 100;
  return limit > 0 && UsedMemory() >= limit;
}

// After all heads, the large collections, one after another. False when there is none left.
bool EngineImpl::WarmUpLarge() {
  if (!whole_loads_.empty()) return true;
  while (!warm_up_large_.empty() && !WarmUpFull()) {
    auto [ns, key] = std::move(warm_up_large_.back());
    warm_up_large_.pop_back();
    SlotTable* table = Slot(ns, KeySlot(key));
    uint64_t hash = RowTable::HashOf(key, seed_, kPositionHashBits);
    Row* row = table ? table->rows.Find(hash, key) : nullptr;
    bool large = row && row->row_form() == RowForm::kCollection && row->collection()->sparse();
    if (!large) continue;
    LoadWhole(ns, row, nullptr);
    return true;
  }
  return false;
}

// Streams slots into memory after a start, until all is resident or memory is nearly full.
bool EngineImpl::StepWarmUp() {
  if (warm_up_done_ || warm_up_busy_ || !options_.warm_up) return false;
  uint32_t end = uint32_t(namespaces_.size()) * kSlotCount;
  while (warm_up_slot_ < end) {
    SlotTable* table =
        Slot(uint16_t(warm_up_slot_ / kSlotCount), uint16_t(warm_up_slot_ % kSlotCount));
    if (table && table->cold() > 0) break;
    warm_up_slot_++;
  }
  if (warm_up_slot_ >= end || WarmUpFull()) {
    warm_up_done_ = !WarmUpLarge();
    return false;
  }
  uint16_t ns = uint16_t(warm_up_slot_ / kSlotCount);
  uint16_t first = uint16_t(warm_up_slot_ % kSlotCount);
  uint16_t last = uint16_t(std::min<int>(first + kWarmUpSlots, kSlotCount) - 1);
  warm_up_slot_ += last - first + 1;
  warm_up_busy_ = true;
  warm_up_checkpoints_ = stats_.checkpoints;
  uint64_t epoch = namespaces_[ns]->epoch;
  background_->Post([this, ns, first, last, epoch] {
    uint64_t lower = uint64_t(first) << kPositionHashBits;
    uint64_t upper = (uint64_t(last) + 1) << kPositionHashBits;
    KeyRange range = PositionRange(ns, lower, upper - 1);
    std::vector<Row*> rows;
    Status status;
    auto it = store_->NewHeadIterator(range.lower, range.upper);
    for (; it->Valid() && status.ok(); it->Next()) {
      Result<HeadKey> head = DecodeHeadKey(it->key());
      status = head.status();
      if (!status.ok()) break;
      Result<Row*> built = BuildObject(ns, head->position, head->key, it->value());
      status = built.status();
      if (status.ok()) rows.push_back(*built);
    }
    if (status.ok()) status = it->status();
    PostToDataThread([this, ns, epoch, rows, status] {
      warm_up_busy_ = false;
      if (!status.ok()) LogWarning("warm-up stopped: " + status.message());
      if (!status.ok()) warm_up_done_ = true;
      // A checkpoint may have removed keys on disk since these were read: then they are dropped,
      // and loaded when asked for.
      bool stands = epoch == namespaces_[ns]->epoch && warm_up_checkpoints_ == stats_.checkpoints;
      for (Row* row : rows) {
        if (stands) {
          std::string key(row->key());
          bool large = row->row_form() == RowForm::kCollection && row->collection()->sparse();
          InstallLoaded(ns, key, row);
          if (large) warm_up_large_.emplace_back(ns, key);
        } else {
          FreeObject(row);
        }
      }
    });
  });
  return false;
}

}  // namespace redynamo
