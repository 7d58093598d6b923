// SPDX-License-Identifier: Apache-2.0
// Giving memory back: expired keys, and eviction at maxmemory. `page-out` lets go of clean objects,
// which stay on disk; Redis' policies remove keys.
#include <malloc.h>

#include <algorithm>

#include "storage/engine_impl.h"

extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value,
                       size_t new_size) __attribute__((weak));

namespace redynamo {
namespace {

constexpr int64_t kMemoryReadIntervalUs = 2000;
constexpr int kSweepRows = 32;
constexpr uint64_t kDirtyMemoryPercent = 25;
constexpr uint64_t kDirtyStopPercent = 50;
constexpr uint64_t kMeanRowBytes = 200;

uint64_t AllocatedBytes() {
  if (mallctl) {
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    mallctl("epoch", &epoch, &size, &epoch, size);
    size_t allocated = 0;
    size = sizeof allocated;
    if (mallctl("stats.allocated", &allocated, &size, nullptr, 0) == 0) return allocated;
  }
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

bool IsVolatilePolicy(EvictionPolicy p) {
  return p == EvictionPolicy::kVolatileLru || p == EvictionPolicy::kVolatileLfu ||
         p == EvictionPolicy::kVolatileRandom || p == EvictionPolicy::kVolatileTtl;
}

}  // namespace

uint64_t EngineImpl::UsedMemory() const {
  int64_t now_us = clock_->MonotonicUs();
  if (memory_bytes_ == 0 || now_us - memory_read_us_ >= kMemoryReadIntervalUs) {
    memory_read_us_ = now_us;
    memory_bytes_ = AllocatedBytes();
  }
  return memory_bytes_;
}

bool EngineImpl::DirtyMemoryHigh() const {
  return options_.maxmemory_bytes > 0 &&
         stats_.dirty_rows * kMeanRowBytes >= options_.maxmemory_bytes * kDirtyMemoryPercent / 100;
}

bool EngineImpl::WritersMustWait() const {
  return options_.maxmemory_bytes > 0 && options_.policy == EvictionPolicy::kPageOut &&
         checkpoint_ && stats_.last_checkpoint_ok &&
         stats_.dirty_rows * kMeanRowBytes >= options_.maxmemory_bytes * kDirtyStopPercent / 100 &&
         UsedMemory() > options_.maxmemory_bytes + options_.maxmemory_bytes / 10;
}

// Walks slots that have deadlines, a few rows each; expired keys go by removal events.
bool EngineImpl::SweepExpired(int64_t deadline_us) {
  uint32_t slots = uint32_t(namespaces_.size()) * kSlotCount;
  for (uint32_t walked = 0; walked < slots; walked++) {
    uint16_t ns = uint16_t(sweep_slot_ / kSlotCount), slot = uint16_t(sweep_slot_ % kSlotCount);
    if (namespaces_[ns]->volatiles == 0) {  // a whole database without deadlines
      sweep_slot_ = uint32_t(ns + 1) * kSlotCount % slots;
      walked += kSlotCount - 1;
      continue;
    }
    SlotTable* table = Slot(ns, slot);
    if (table && table->volatiles > 0) {
      std::vector<Row*> expired;
      table->rows.ForEach([&](Row* row) {
        if (row->live() && Expired(row)) expired.push_back(row);
      });
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

bool EngineImpl::OutOfMemory() {
  if (options_.maxmemory_bytes == 0 || options_.policy == EvictionPolicy::kPageOut) return false;
  if (UsedMemory() <= options_.maxmemory_bytes) return false;
  EvictToLimit(clock_->MonotonicUs() + 1000);
  memory_bytes_ = 0;
  return UsedMemory() > options_.maxmemory_bytes;
}

// Lets go of the best of a few sampled rows of the slot. True when one went.
bool EngineImpl::EvictFrom(SlotTable& table, uint16_t ns, uint16_t slot) {
  EvictionPolicy policy = options_.policy;
  bool page_out = policy == EvictionPolicy::kPageOut;
  Row* best = nullptr;
  int64_t best_score = INT64_MIN;
  for (int i = 0; i < std::max(1, options_.maxmemory_samples); i++) {
    Row* row = table.rows.Sample(random_);
    if (!row->live()) continue;
    if (page_out && (row->Has(Row::kDirty) || !row->Has(Row::kOnDisk) ||
                     (checkpoint_ && row->capture == capture_number_))) {
      continue;
    }
    if (IsVolatilePolicy(policy) && !row->Has(Row::kHasDeadline)) continue;
    int64_t score;
    if (policy == EvictionPolicy::kVolatileTtl) {
      score = -row->deadline().at_ms;
    } else if (lfu()) {
      score = -Frequency(row);
    } else if (policy == EvictionPolicy::kAllKeysRandom ||
               policy == EvictionPolicy::kVolatileRandom) {
      score = int64_t(random_.Next() >> 2);
    } else {
      score = IdleSeconds(row);
    }
    if (score > best_score) {
      best = row;
      best_score = score;
    }
  }
  if (!best) return false;
  uint64_t hash = RowTable::HashOf(best->key(), seed_, kPositionHashBits);
  if (page_out) {
    if (best->Has(Row::kHasDeadline)) {
      table.volatiles--;
      namespaces_[ns]->volatiles--;
    }
    table.resident--;
    namespaces_[ns]->resident--;
    table.rows.Erase(hash, best);
    FreeObject(best);
    stats_.paged_out_keys++;
    return true;
  }
  std::string key(best->key());
  KeyView view;
  view.engine_ = this;
  view.ns_ = ns;
  view.slot_ = slot;
  view.hash_ = hash;
  view.key_ = key;
  view.row_ = best;
  if (!record_ && !log_->Reserve(key.size() + 256).ok()) return false;
  bool own_record = record_ == nullptr;
  RemoveKey(&view);
  if (own_record) EndCommand();
  stats_.evicted_keys++;
  int database = DatabaseOf(ns);
  if (hooks_.on_evicted && database >= 0) hooks_.on_evicted(database, key);
  return true;
}

bool EngineImpl::EvictToLimit(int64_t deadline_us) {
  if (options_.maxmemory_bytes == 0 || options_.policy == EvictionPolicy::kNoEviction) return false;
  if (UsedMemory() <= options_.maxmemory_bytes) return false;
  uint32_t slots = uint32_t(namespaces_.size()) * kSlotCount;
  uint32_t barren = 0;
  for (int step = 0; barren < slots; step++) {
    if (step % 64 == 63) {
      if (UsedMemory() <= options_.maxmemory_bytes) return false;
      if (clock_->MonotonicUs() >= deadline_us) return true;
    }
    uint16_t ns = uint16_t(evict_slot_ / kSlotCount), slot = uint16_t(evict_slot_ % kSlotCount);
    evict_slot_ = (evict_slot_ + 1) % slots;
    if (namespaces_[ns]->resident == 0) {
      evict_slot_ = uint32_t(ns + 1) * kSlotCount % slots;
      barren += kSlotCount;
      continue;
    }
    SlotTable* table = Slot(ns, slot);
    bool went = table && table->rows.size() > 0 && EvictFrom(*table, ns, slot);
    barren = went ? 0 : barren + 1;
  }
  // Nothing clean to let go of: a checkpoint makes more of it.
  if (options_.policy == EvictionPolicy::kPageOut && stats_.dirty_rows > 0)
    checkpoint_wanted_ = true;
  return false;
}

}  // namespace redynamo
