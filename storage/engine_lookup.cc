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

// With an LFU policy the 24 bits are minutes (16) and a logarithmic counter (8), else seconds:
// Redis' two clocks, so that OBJECT FREQ and IDLETIME mean what they mean there.
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

bool EngineImpl::RemovalIsDue(uint16_t slot, const Row* row) const {
  if (!hooks_.removal_delay_ms) return true;
  return row->deadline().at_ms + hooks_.removal_delay_ms(PartitionOfSlot(slot)) <= now_ms_;
}

bool EngineImpl::RemoveExpired(uint16_t ns, uint16_t slot, uint64_t hash, Row* row) {
  if (!log_->ReserveMore(row->key_len() + EventLogBytes()).ok()) return false;
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

// Each pass touches memory that the pass before has asked for: slot pointer, table, words, row, and
// the row's collection.
void EngineImpl::Prefetch(int database, std::span<const LookupHint> hints) {
  Namespace& space = Ns(NamespaceOf(database));
  probes_.clear();
  element_probes_.clear();
  next_probe_ = 0;
  for (const LookupHint& hint : hints) {
    if (probes_.empty() || probes_.back().key.data() != hint.key.data()) {
      uint64_t hash = RowTable::HashOf(hint.key, seed_, kPositionHashBits);
      Probe probe{hint.key, hash, KeySlot(hint.key)};
      __builtin_prefetch(&space.slots[probe.slot]);
      probes_.push_back(probe);
    }
    if (!hint.element.data()) continue;
    element_probes_.push_back({hint.element, uint32_t(probes_.size() - 1)});
  }
  for (const Probe& p : probes_) __builtin_prefetch(space.slots[p.slot].get());
  for (const Probe& p : probes_) {
    if (SlotTable* table = space.slots[p.slot].get()) table->rows.PrefetchWords(p.hash);
  }
  for (const Probe& p : probes_) {
    if (SlotTable* table = space.slots[p.slot].get()) table->rows.PrefetchRow(p.hash);
  }
  if (!element_probes_.empty()) PrefetchElements(space);
  if (space.sparse > 0) QueueProbedElements(space);
  if (space.live == space.resident) return;
  // Cold ones are read as one batch, before the first command that needs one is parked.
  for (const Probe& p : probes_) {
    KeyRef ref{database, p.key, ElementNeed::kNone};
    if (!Resident({&ref, 1})) QueueLoad({space.id, std::string(p.key)});
  }
}

// Elements of sparse collections that must be read, likewise as one batch.
void EngineImpl::QueueProbedElements(const Namespace& space) {
  uint32_t queued = UINT32_MAX;
  for (const ElementProbe& e : element_probes_) {
    if (!e.collection || !e.collection->sparse() || e.collection->Knows(e.element)) continue;
    if (queued != e.key_probe) {
      queued = e.key_probe;
      const Probe& p = probes_[queued];
      ColdRead& item = element_queue_.emplace_back();
      item.source = SourceOf(space.slots[p.slot]->rows.Find(p.hash, p.key));
      item.serial = e.collection->sparse_state()->serial;
      item.checkpoints = stats_.checkpoints;
    }
    element_queue_.back().want.names.emplace_back(e.element);
  }
}

// The same for elements: the key's collection, its blob or the levels of its table, words, row.
void EngineImpl::PrefetchElements(Namespace& space) {
  const ElementProbe* last = nullptr;
  for (ElementProbe& e : element_probes_) {
    if (last && last->key_probe == e.key_probe) {
      e.collection = last->collection;
    } else {
      const Probe& p = probes_[e.key_probe];
      const SlotTable* slot = space.slots[p.slot].get();
      const Row* row = slot ? slot->rows.Find(p.hash, p.key) : nullptr;
      bool collection = row && row->row_form() == RowForm::kCollection;
      e.collection = collection ? row->collection() : nullptr;
      if (e.collection) __builtin_prefetch(e.collection);
    }
    last = &e;
  }
  for (ElementProbe& e : element_probes_) {
    if (!e.collection) continue;
    e.table = e.collection->table();
    if (!e.table) {
      e.collection->packed().Prefetch();
      continue;
    }
    e.hash = e.table->HashOf(e.element);
    e.table = e.table->PrefetchLevel(e.hash);
  }
  for (bool deeper = true; deeper;) {
    deeper = false;
    for (ElementProbe& e : element_probes_) {
      const RowTable* next = e.table ? e.table->PrefetchLevel(e.hash) : nullptr;
      deeper |= next != e.table;
      e.table = next;
    }
  }
  for (const ElementProbe& e : element_probes_) {
    if (e.table) e.table->PrefetchWords(e.hash);
  }
  for (const ElementProbe& e : element_probes_) {
    if (e.table) e.table->PrefetchRow(e.hash);
  }
}

void EngineImpl::Locate(std::string_view key, uint16_t* slot, uint64_t* hash) {
  for (size_t i = next_probe_; i < probes_.size(); i++) {
    const Probe& p = probes_[i];
    if (p.key.data() != key.data() || p.key.size() != key.size()) continue;
    next_probe_ = i;
    *slot = p.slot;
    *hash = p.hash;
    return;
  }
  *slot = KeySlot(key);
  *hash = RowTable::HashOf(key, seed_, kPositionHashBits);
}

void EngineImpl::Lookup(int database, std::string_view key, bool access, KeyView* view) {
  uint16_t ns = NamespaceOf(database);
  view->engine_ = this;
  view->ns_ = ns;
  Locate(key, &view->slot_, &view->hash_);
  view->key_ = key;
  view->row_ = nullptr;
  DependOnSlot(view->slot_);
  SlotTable* table = Slot(ns, view->slot_);
  Row* row = table ? table->rows.Find(view->hash_, key) : nullptr;
  if (row && row->live()) {
    if (!Expired(row)) {
      view->row_ = row;
    } else if (!replaying_) {
      RemoveExpired(ns, view->slot_, view->hash_, row);
    }
  }
  if (access && view->row_) TouchAccess(view->row_);
}

}  // namespace redynamo
