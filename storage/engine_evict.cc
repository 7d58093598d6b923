// SPDX-License-Identifier: Apache-2.0
// Giving memory back: eviction at maxmemory. `page-out` lets go of clean objects,
// which stay on disk; Redis' policies remove keys.
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "storage/engine_impl.h"

extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value,
                       size_t new_size) __attribute__((weak));
// Of the sanitizers' allocators, where they are linked: mallinfo2 knows nothing of those.
extern "C" size_t __sanitizer_get_current_allocated_bytes() __attribute__((weak));

namespace redynamo {
namespace {

constexpr int64_t kMemoryReadIntervalUs = 2000;
constexpr int64_t kEvictCommandUs = 1000;
constexpr int64_t kBarrenPauseUs = 50'000;
constexpr uint32_t kEvictWindow = 4 * kSlotCount;
constexpr uint32_t kBarrenDivisor = 64;  // fewer than one slot in so many gave a row
constexpr uint32_t kPrefetchSlots = 4;
constexpr int kSamplesMax = 64;
constexpr int64_t kIdleWholeSeconds = 60;
constexpr size_t kPageOutRows = 1024;  // of one large collection in one go
constexpr uint64_t kDirtyMemoryPercent = 25;
constexpr uint64_t kRoundedUpPart = 8;  // of what is asked for, the allocator adds on average
constexpr uint64_t kWritersWaitPercent = 103;

size_t AllocatorStat(const char* name) {
  size_t value = 0, size = sizeof value;
  return mallctl(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

// What is in use, as Redis counts it; with `holes` what that takes from the system: the allocator's
// pages and books. Holes in pages count up to a quarter of what is in use: letting go of more rows
// makes more holes, and would not end.
uint64_t AllocatedBytes(bool holes) {
  if (mallctl) {
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    mallctl("epoch", &epoch, &size, &epoch, size);
    size_t allocated = AllocatorStat("stats.allocated");
    size_t held = AllocatorStat("stats.active") + AllocatorStat("stats.metadata");
    if (allocated > 0)
      return holes ? std::clamp(held, allocated, allocated + allocated / 4) : allocated;
  }
  if (__sanitizer_get_current_allocated_bytes) return __sanitizer_get_current_allocated_bytes();
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
    memory_bytes_ = AllocatedBytes(options_.policy == EvictionPolicy::kPageOut);
  }
  return memory_bytes_;
}

bool EngineImpl::DirtyMemoryHigh() const {
  return options_.maxmemory_bytes > 0 && stats_.dirty_bytes + stats_.dirty_bytes / kRoundedUpPart >=
                                             options_.maxmemory_bytes / 100 * kDirtyMemoryPercent;
}

// Dirty rows, and those that the checkpoint under way has captured, cannot be let go of. When they
// fill memory, writers wait for that checkpoint; one that failed would never let them go on.
bool EngineImpl::WritersMustWait() const {
  return options_.maxmemory_bytes > 0 && options_.policy == EvictionPolicy::kPageOut &&
         stats_.last_checkpoint_ok &&
         UsedMemory() > options_.maxmemory_bytes / 100 * kWritersWaitPercent &&
         (checkpoint_ || store_->IngestPressure());
}

// Whether a key in memory may go under the policy, one of Redis'.
bool EngineImpl::AnyEvictable() const {
  bool only_volatile = IsVolatilePolicy(options_.policy);
  return std::ranges::any_of(namespaces_, [&](const auto& space) {
    return (only_volatile ? space->volatiles : space->resident) > 0;
  });
}

// As in Redis, a write is refused when nothing is left to evict; not when evicting takes longer
// than a command may: ticks go on with that.
bool EngineImpl::OutOfMemory() {
  if (options_.maxmemory_bytes == 0 || options_.policy == EvictionPolicy::kPageOut) return false;
  if (UsedMemory() <= options_.maxmemory_bytes) return false;
  if (options_.policy == EvictionPolicy::kNoEviction) return true;
  EvictToLimit(clock_->MonotonicUs() + kEvictCommandUs);
  if (AnyEvictable()) return false;
  memory_bytes_ = 0;
  if (UsedMemory() <= options_.maxmemory_bytes) return false;
  if (stats_.dirty_rows > 0) checkpoint_wanted_ = true;  // marks of removed keys go with it
  return true;
}

// The disk has it as it is here: it is clean, and no checkpoint under way is just about to bring it
// there.
bool EngineImpl::MayGo(const Row* row) const {
  bool captured_now = checkpoint_ && row->capture == capture_number_;
  return !row->Has(Row::kDirty) && !captured_now && row->Has(Row::kOnDisk) == row->live();
}

void EngineImpl::PageOut(SlotTable& table, uint16_t ns, uint64_t hash, Row* row) {
  Namespace& space = *namespaces_[ns];
  if (row->Has(Row::kHasDeadline)) {
    table.volatiles--;
    space.volatiles--;
    CountColdVolatiles(ns, table, 1);
    NoteColdDeadline(&space, &table, row->deadline().at_ms);
  }
  if (row->row_form() == RowForm::kCollection && row->collection()->sparse()) {
    CountSparse(ns, KeySlot(row->key()), -1);
  }
  table.resident--;
  space.resident--;
  if (!listings_.empty()) NoteForListings(ns, KeySlot(row->key()), hash, row);
  table.rows.Erase(hash, row);
  FreeObject(row);
  stats_.paged_out_keys++;
}

// A large collection goes by elements, unless it is idle or few are left.
bool EngineImpl::GoesByElements(const Row* row) const {
  if (row->row_form() != RowForm::kCollection || !row->collection()->native()) return false;
  Collection* c = row->collection();
  if (c->sparse() && c->sparse_state()->pinned) return true;
  if (c->size() <= options_.whole_load_rows_max) return false;
  bool whole = c->table()->size() < kPageOutRows || IdleSeconds(row) >= kIdleWholeSeconds;
  return !whole || !MayGo(row);
}

// True when it gave back memory.
bool EngineImpl::PageOutElements(uint16_t ns, uint16_t slot, Row* row) {
  Collection* c = row->collection();
  if (row->Has(Row::kStaleRows) || c->under_capture()) return false;
  bool was_sparse = c->sparse();
  if (was_sparse && c->sparse_state()->pinned) return false;
  size_t gone = c->LetRowsGo(kPageOutRows, [this](const Row* r) { return MayGo(r); });
  if (gone == 0) return false;
  if (!was_sparse) {
    c->sparse_state()->ns = ns;
    c->sparse_state()->serial = ++sparse_serial_;
    CountSparse(ns, slot, 1);
  }
  stats_.paged_out_elements += gone;
  evict_wins_ += uint32_t(gone);
  return true;
}

// Lets go of the best of a few sampled rows of the slot. True when one went.
bool EngineImpl::EvictFrom(SlotTable& table, uint16_t ns, uint16_t slot) {
  EvictionPolicy policy = options_.policy;
  bool page_out = policy == EvictionPolicy::kPageOut;
  Row* best = nullptr;
  int64_t best_score = INT64_MIN;
  Row* rows[kSamplesMax];
  size_t samples = size_t(std::clamp(options_.maxmemory_samples, 1, kSamplesMax));
  samples = table.rows.SampleNeighbours(random_, samples, rows);
  for (size_t i = 0; i < samples; i++) {
    Row* row = rows[i];
    if (!row->live()) continue;
    if (page_out && GoesByElements(row)) {
      if (PageOutElements(ns, slot, row)) return true;
      continue;
    }
    if (page_out && !MayGo(row)) continue;
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
    PageOut(table, ns, hash, best);
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
  if (!log_->ReserveMore(key.size() + EventLogBytes()).ok()) return false;
  bool own_record = record_ == nullptr;
  memory_bytes_ -= std::min(memory_bytes_, view.memory_bytes());  // until it is read again
  RemoveKey(&view);
  if (own_record) EndCommand();
  stats_.evicted_keys++;
  int database = DatabaseOf(ns);
  if (hooks_.on_evicted && database >= 0) hooks_.on_evicted(database, key);
  return true;
}

// Rows that may go are rare or absent: a round over many slots found next to none. To look again at
// once would take the time that the checkpoint and compactions need, which make more of them.
bool EngineImpl::EvictionBarren() {
  if (evict_tries_ < kEvictWindow) {
    return barren_checkpoints_ == stats_.checkpoints && clock_->MonotonicUs() < evict_retry_us_;
  }
  bool barren = evict_wins_ * kBarrenDivisor < evict_tries_;
  evict_tries_ = evict_wins_ = 0;
  if (!barren) return false;
  barren_checkpoints_ = stats_.checkpoints;
  evict_retry_us_ = clock_->MonotonicUs() + kBarrenPauseUs;
  if (options_.policy == EvictionPolicy::kPageOut && stats_.dirty_rows > 0) {
    checkpoint_wanted_ = true;
  }
  return true;
}

bool EngineImpl::EvictToLimit(int64_t deadline_us) {
  if (options_.maxmemory_bytes == 0 || options_.policy == EvictionPolicy::kNoEviction) return false;
  if (UsedMemory() <= options_.maxmemory_bytes) return false;
  uint32_t slots = uint32_t(namespaces_.size()) * kSlotCount;
  bool page_out = options_.policy == EvictionPolicy::kPageOut;
  bool only_volatile = IsVolatilePolicy(options_.policy);
  for (int step = 0; page_out ? !EvictionBarren() : AnyEvictable(); step++) {
    uint64_t seen = std::exchange(paged_out_elements_, stats_.paged_out_elements);
    if (step % 64 == 63 || seen != paged_out_elements_) {
      if (UsedMemory() <= options_.maxmemory_bytes) return false;
      if (clock_->MonotonicUs() >= deadline_us) return true;
    }
    uint16_t ns = uint16_t(evict_slot_ / kSlotCount), slot = uint16_t(evict_slot_ % kSlotCount);
    evict_slot_ = (evict_slot_ + 1) % slots;
    evict_tries_++;
    if (namespaces_[ns]->resident == 0 || (only_volatile && namespaces_[ns]->volatiles == 0)) {
      evict_slot_ = uint32_t(ns + 1) * kSlotCount % slots;
      continue;
    }
    // The next slots' tables are on their way while this one is looked at.
    __builtin_prefetch(Slot(ns, uint16_t((slot + kPrefetchSlots) % kSlotCount)));
    SlotTable* table = Slot(ns, slot);
    if (!table || (only_volatile && table->volatiles == 0)) continue;
    if (EvictFrom(*table, ns, slot)) evict_wins_++;
  }
  return false;
}

}  // namespace redynamo
