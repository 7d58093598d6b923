// SPDX-License-Identifier: Apache-2.0
// Removing expired keys that nobody asks for, by removal events. Resident ones are found by walking
// slots that have deadlines. Of cold ones each slot knows a time before which none is due; when
// that has come, the background reads the slot's heads, what has expired is loaded and removed, and
// the earliest deadline among the rest is when to look again:
//
//   SET k v EX 60, checkpoint, page-out   slot: nothing cold is due before k's deadline
//   60 s later                            heads are read; k is loaded, and goes as any expired key
#include <algorithm>
#include <array>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr int kSweepRows = 32;
constexpr int kColdSweepSlots = 64;         // whose heads are read by one background task
constexpr size_t kColdSweepKeysMax = 1000;  // then the task's other slots wait for the next one
constexpr int64_t kColdRetryMs = 60'000;    // after a failure

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
        if (Expired(row)) return expired.push_back(row);
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

// Of one background task: heads of slots [first, first + kColdSweepSlots).
struct EngineImpl::ColdSweep {
  uint16_t ns, first;
  int64_t now_ms;
  std::array<bool, kColdSweepSlots> due{};
  std::array<int64_t, kColdSweepSlots> earliest_ms{};  // deadline that is still to come
  std::vector<std::string> expired;
};

// Begins a sweep of the next slots in which a cold key may be due, unless one is under way.
void EngineImpl::StepColdSweep() {
  bool warming_up = options_.warm_up && !warm_up_done_;  // soon resident, most of them
  if (cold_sweep_busy_ || warming_up || !active_expire_) return;
  for (auto& space : namespaces_) {
    if (space->cold_deadline_ms > now_ms_) continue;
    int64_t earliest_ms = kNoColdDeadline;
    for (uint32_t slot = 0; slot < kSlotCount; slot++) {
      SlotTable* table = space->slots[slot].get();
      if (!table) continue;
      if (table->cold() == 0) table->cold_deadline_ms = kNoColdDeadline;
      if (table->cold_deadline_ms <= now_ms_) return StartColdSweep(space->id, uint16_t(slot));
      earliest_ms = std::min(earliest_ms, table->cold_deadline_ms);
    }
    space->cold_deadline_ms = earliest_ms;
  }
}

void EngineImpl::StartColdSweep(uint16_t ns, uint16_t first) {
  auto sweep = std::make_shared<ColdSweep>();
  sweep->ns = ns;
  sweep->first = first;
  sweep->now_ms = now_ms_;
  sweep->earliest_ms.fill(kNoColdDeadline);
  for (int i = 0; i < kColdSweepSlots && first + i < kSlotCount; i++) {
    SlotTable* table = Slot(ns, uint16_t(first + i));
    if (!table || table->cold_deadline_ms > now_ms_) continue;
    sweep->due[size_t(i)] = true;
    table->cold_deadline_ms = kNoColdDeadline;  // what is paged out meanwhile brings it down again
  }
  cold_sweep_busy_ = true;
  scrub_pool_->Post([this, sweep] {
    Status status = ReadColdSweep(sweep.get());
    PostToDataThread([this, sweep, status] { FinishColdSweep(sweep, status); });
  });
}

// In the background.
Status EngineImpl::ReadColdSweep(ColdSweep* sweep) const {
  uint64_t end = std::min<uint64_t>(sweep->first + kColdSweepSlots, kSlotCount);
  KeyRange range = PositionRange(sweep->ns, uint64_t(sweep->first) << kPositionHashBits,
                                 (end << kPositionHashBits) - 1);
  auto it = store_->NewHeadIterator(range.lower, range.upper);
  size_t last = SIZE_MAX;
  for (; it->Valid() && !stopping_; it->Next()) {
    Result<HeadKey> head = DecodeHeadKey(it->key());
    if (!head.ok()) return head.status();
    size_t index = size_t(head->position >> kPositionHashBits) - sweep->first;
    if (index >= sweep->due.size() || !sweep->due[index]) continue;
    // Enough: the slots from this one on stay due. A slot that was begun is read to its end, since
    // what is removed stands on disk until the next checkpoint, and would be found first again.
    if (index != last && sweep->expired.size() >= kColdSweepKeysMax) {
      std::fill(sweep->earliest_ms.begin() + long(index), sweep->earliest_ms.end(), 0);
      break;
    }
    last = index;
    ObjectType type;
    int64_t deadline_ms;
    Status status = ReadHeadSummary(it->value(), &type, &deadline_ms);
    if (!status.ok()) return status;
    if (deadline_ms == kNoDeadline) continue;
    if (deadline_ms <= sweep->now_ms) {
      sweep->expired.emplace_back(head->key);
    } else {
      sweep->earliest_ms[index] = std::min(sweep->earliest_ms[index], deadline_ms);
    }
  }
  return it->status();
}

void EngineImpl::FinishColdSweep(const std::shared_ptr<ColdSweep>& sweep, const Status& status) {
  if (!status.ok()) LogWarning("looking for expired keys on disk failed: " + status.message());
  Namespace& space = *namespaces_[sweep->ns];
  for (int i = 0; i < kColdSweepSlots; i++) {
    if (!sweep->due[size_t(i)]) continue;
    SlotTable* table = Slot(sweep->ns, uint16_t(sweep->first + i));
    int64_t next_ms = status.ok() ? sweep->earliest_ms[size_t(i)] : now_ms_ + kColdRetryMs;
    if (table) NoteColdDeadline(&space, table, next_ms);
  }
  int database = DatabaseOf(sweep->ns);
  if (!status.ok() || database < 0 || sweep->expired.empty()) {
    cold_sweep_busy_ = false;
    return;
  }
  std::vector<KeyRef> refs;
  for (const std::string& key : sweep->expired) refs.push_back({database, key, ElementNeed::kNone});
  Load(refs, [this, sweep, database](const Status& loaded) {
    cold_sweep_busy_ = false;
    if (!loaded.ok()) return;  // it has been logged
    for (const std::string& key : sweep->expired) {
      BeginCommand(now_ms_);
      KeyView view;
      Lookup(database, key, /*access=*/false, &view);  // removes what has expired
      EndCommand();
    }
  });
}

}  // namespace redynamo
