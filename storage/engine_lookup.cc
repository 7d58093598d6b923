// SPDX-License-Identifier: Apache-2.0
// Finding keys: places, access clocks, and keys whose time is over.
#include <algorithm>

#include "storage/engine_impl.h"

namespace redynamo {
namespace {

constexpr uint32_t kAccessMask = (1 << 24) - 1;
constexpr int kLfuStart = 5;  // a new key is not the first to go

}  // namespace

int EngineImpl::DatabaseOf(uint16_t ns) const {
  for (size_t db = 0; db < database_ns_.size(); db++) {
    if (database_ns_[db] == ns) return int(db);
  }
  return -1;
}

SlotTable& EngineImpl::MakeSlot(uint16_t ns, uint16_t slot) {
  auto& table = namespaces_[ns]->slots[slot];
  if (!table) {
    table = std::make_unique<SlotTable>(seed_);
    namespaces_[ns]->tables++;
  }
  return *table;
}

// With an LFU policy the 24 bits are minutes (16) and a logarithmic counter (8), else seconds: Redis'
// two clocks, so that OBJECT FREQ and IDLETIME mean what they mean there.
uint32_t EngineImpl::AccessNow() const {
  if (lfu()) return uint32_t((now_ms_ / 60'000 & 0xffff) << 8 | kLfuStart);
  return uint32_t(now_ms_ / 1000) & kAccessMask;
}

int EngineImpl::Frequency(const Row* row) const {
  int counter = int(row->access & 0xff);
  uint32_t minutes = (uint32_t(now_ms_ / 60'000) - (row->access >> 8)) & 0xffff;
  int decay = options_.lfu_decay_minutes > 0 ? int(minutes) / options_.lfu_decay_minutes : 0;
  return std::max(0, counter - decay);
}

int64_t EngineImpl::IdleSeconds(const Row* row) const {
  return (uint32_t(now_ms_ / 1000) - row->access) & kAccessMask;
}

void EngineImpl::TouchAccess(Row* row) {
  if (!lfu()) {
    row->access = AccessNow();
    return;
  }
  int counter = Frequency(row);
  if (counter < 255) {
    double base = std::max(0, counter - kLfuStart);
    if (random_.Unit() < 1.0 / (base * options_.lfu_log_factor + 1)) counter++;
  }
  row->access = uint32_t((now_ms_ / 60'000 & 0xffff) << 8 | uint32_t(counter)) & kAccessMask;
}

bool EngineImpl::RemoveExpired(uint16_t ns, uint16_t slot, uint64_t hash, Row* row) {
  if (!record_ && !log_->Reserve(row->key_len() + 256).ok()) return false;
  std::string key(row->key());
  KeyView view;
  view.engine_ = this;
  view.ns_ = ns;
  view.slot_ = slot;
  view.hash_ = hash;
  view.key_ = key;
  view.row_ = row;
  RemoveKey(&view);
  stats_.expired_keys++;
  int database = DatabaseOf(ns);
  if (hooks_.on_expired && database >= 0) hooks_.on_expired(database, key);
  return true;
}

void EngineImpl::Lookup(int database, std::string_view key, bool access, KeyView* view) {
  KeyPlace place{KeySlot(key), 0};
  uint16_t ns = NamespaceOf(database);
  view->engine_ = this;
  view->ns_ = ns;
  view->slot_ = place.slot;
  view->hash_ = RowTable::HashOf(key, seed_, kPositionHashBits);
  view->key_ = key;
  view->row_ = nullptr;
  DependOnSlot(place.slot);
  SlotTable* table = Slot(ns, place.slot);
  Row* row = table ? table->rows.Find(view->hash_, key) : nullptr;
  if (row && row->live()) {
    if (!Expired(row)) {
      view->row_ = row;
    } else if (!replaying_) {
      RemoveExpired(ns, place.slot, view->hash_, row);
    }
  }
  if (!access) return;
  if (view->row_) {
    TouchAccess(view->row_);
    stats_.keyspace_hits++;
  } else {
    stats_.keyspace_misses++;
  }
}

}  // namespace redynamo
