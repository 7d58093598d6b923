// SPDX-License-Identifier: Apache-2.0
// Cold keys: a turn's misses go to the background as one sorted MultiGet; what comes back is
// installed on the data thread unless the namespace was cleared meanwhile. A key under load is not
// resident, so nobody can have changed it: a write waits for the same load.
#include <algorithm>

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
  if (head->may_have_fragments) {
    Status status = LoadFragments(ns, position, &head->row);
    if (status.ok()) return head->row;
    FreeWholeRow(head->row);
    return status;
  }
  if (!head->native) return head->row;
  KeyRange range = RowRange(ns, position, key);
  Status status;
  auto it = store_->NewRowIterator(range.lower, range.upper);
  for (; it->Valid() && status.ok(); it->Next()) {
    Result<RowKey> row_key = DecodeRowKey(it->key());
    if (!row_key.ok()) {
      status = row_key.status();
      break;
    }
    Result<Row*> element = DecodeElement(row_key->element, it->value());
    status = element.status();
    if (status.ok()) head->row->collection()->InstallRow(*element);
  }
  if (status.ok()) status = it->status();
  if (status.ok()) return head->row;
  delete head->row->collection();
  FreeRow(head->row);
  return status;
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
  }
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
    if (namespaces_[ns]->live == namespaces_[ns]->resident) continue;
    SlotTable* table = Slot(ns, KeySlot(ref.key));
    if (!table || table->cold() == 0) continue;
    uint64_t hash = RowTable::HashOf(ref.key, seed_, kPositionHashBits);
    if (table->rows.Find(hash, ref.key)) continue;
    if (!known_absent_.empty() && known_absent_.contains({ns, std::string(ref.key)})) continue;
    return false;
  }
  return true;
}

EngineImpl::PendingLoad& EngineImpl::QueueLoad(LoadKey key) {
  auto [it, is_new] = pending_loads_.try_emplace(key);
  if (is_new) {
    it->second.epoch = namespaces_[key.first]->epoch;
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
    QueueLoad({NamespaceOf(ref.database), std::string(ref.key)}).calls.push_back(call);
    call->missing++;
  }
  if (call->missing == 0) PostToDataThread([call] { call->done(Status::Ok()); });
}

// As many batches are under way as threads read them; what is asked for meanwhile is the next one.
// So batches grow with the load, and with them the work that their keys share.
void EngineImpl::FlushLoads() {
  while (!load_queue_.empty() && load_batches_under_way_ < kBackgroundThreads) {
    size_t idle_threads = size_t(kBackgroundThreads - load_batches_under_way_);
    size_t share = (load_queue_.size() + idle_threads - 1) / idle_threads;
    size_t count = std::min(load_queue_.size(), std::max(share, kLoadBatchLeast));
    auto begin = load_queue_.begin(), end = begin + ptrdiff_t(count);
    auto batch = std::make_shared<std::vector<LoadKey>>(std::make_move_iterator(begin),
                                                        std::make_move_iterator(end));
    load_queue_.erase(begin, end);
    load_batches_under_way_++;
    PostLoads(std::move(batch));
  }
}

void EngineImpl::PostLoads(std::shared_ptr<std::vector<LoadKey>> batch) {
  stats_.cold_load_batches++;
  background_->Post([this, batch] {
    struct Wanted {
      std::string head_key;
      uint64_t position;
      size_t index;
    };
    std::vector<Wanted> wanted;
    for (size_t i = 0; i < batch->size(); i++) {
      const auto& [ns, key] = (*batch)[i];
      uint64_t hash = RowTable::HashOf(key, seed_, kPositionHashBits);
      uint64_t position =
          uint64_t(KeySlot(key)) << kPositionHashBits | hash >> (64 - kPositionHashBits);
      wanted.push_back({EncodeHeadKey({ns, position, key}), position, i});
    }
    std::sort(wanted.begin(), wanted.end(),
              [](const Wanted& a, const Wanted& b) { return a.head_key < b.head_key; });
    std::vector<std::string> keys;
    for (const Wanted& w : wanted) keys.push_back(w.head_key);
    std::vector<std::optional<std::string>> found;
    Status status = store_->MultiGetHeads(keys, &found);
    std::vector<std::pair<LoadKey, Row*>> loaded;
    for (size_t i = 0; i < wanted.size(); i++) {
      const LoadKey& key = (*batch)[wanted[i].index];
      Row* row = nullptr;
      if (status.ok()) {
        std::optional<std::string_view> payload;
        if (found[i]) payload = *found[i];
        Result<Row*> built = BuildObject(key.first, wanted[i].position, key.second, payload);
        if (built.ok()) row = *built;
        if (!built.ok()) status = built.status();
      }
      loaded.emplace_back(key, row);
    }
    PostToDataThread([this, loaded = std::move(loaded), status] { FinishLoads(loaded, status); });
  });
}

void EngineImpl::FinishLoads(const std::vector<std::pair<LoadKey, Row*>>& loaded, Status status) {
  load_batches_under_way_--;
  FlushLoads();  // the thread that has read these reads on while they are installed
  if (!status.ok()) LogWarning("reading cold keys failed: " + status.message());
  std::vector<std::shared_ptr<LoadCall>> ready;
  for (const auto& [key, row] : loaded) {
    auto node = pending_loads_.extract(key);
    bool stands = node && node.mapped().epoch == namespaces_[key.first]->epoch;
    if (row && stands) {
      InstallLoaded(key.first, key.second, row);
      stats_.cold_loads++;
    } else if (row) {
      FreeObject(row);
    } else if (stands && status.ok()) {
      if (known_absent_.size() >= kKnownAbsentMax) known_absent_.clear();
      known_absent_.insert(key);
    }
    if (!node) continue;
    for (auto& call : node.mapped().calls) {
      if (!status.ok()) call->status = status;
      if (--call->missing == 0) ready.push_back(call);
    }
  }
  for (auto& call : ready) call->done(call->status);
}

// Streams slots into memory after a start, until all is resident or memory is nearly full.
bool EngineImpl::StepWarmUp() {
  if (warm_up_done_ || warm_up_busy_ || !options_.warm_up) return false;
  uint64_t limit = options_.maxmemory_bytes * kWarmUpMemoryPercent / 100;
  uint32_t end = uint32_t(namespaces_.size()) * kSlotCount;
  while (warm_up_slot_ < end) {
    SlotTable* table =
        Slot(uint16_t(warm_up_slot_ / kSlotCount), uint16_t(warm_up_slot_ % kSlotCount));
    if (table && table->cold() > 0) break;
    warm_up_slot_++;
  }
  if (warm_up_slot_ >= end || (limit > 0 && UsedMemory() >= limit)) {
    warm_up_done_ = true;
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
          InstallLoaded(ns, key, row);
        } else {
          FreeObject(row);
        }
      }
    });
  });
  return false;
}

}  // namespace redynamo
