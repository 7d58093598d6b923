// SPDX-License-Identifier: Apache-2.0
// What the engine holds per slot, namespace and partition.
//
// A slot's table holds resident keys; keys of the slot that are on disk only are *cold*. live
// counts both, so `live - resident` says whether a miss is final.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/hash.h"
#include "storage/irregular.h"
#include "storage/partition_set.h"
#include "storage/row_table.h"
#include "storage/version.h"

namespace redynamo {

// A cold_deadline_ms: no cold key has a deadline.
inline constexpr int64_t kNoColdDeadline = INT64_MAX;

struct SlotTable {
  explicit SlotTable(uint64_t seed) : rows(seed, kPositionHashBits) {}
  ~SlotTable();  // frees rows and collections

  RowTable rows;
  uint64_t live = 0;         // keys, resident or cold
  uint64_t resident = 0;     // live rows in `rows`
  uint32_t volatiles = 0;    // resident keys with a deadline
  uint32_t absents = 0;      // absent rows in `rows`
  uint32_t sparse = 0;       // sparse collections in `rows`
  bool on_disk = false;      // something may stand on disk for this slot
  bool wiped = false;        // what stands on disk for this slot is void: delete its range first
  uint64_t captured_at = 0;  // log position of its last capture: replay skips up to it
  uint64_t sum = 0;          // of the hashes of clean rows, resident or cold (storage/row_sum.h)
  uint64_t dirty_rows = 0;   // its part of EngineStats'
  uint64_t dirty_bytes = 0;
  bool sum_unknown = false;  // to be counted anew after the next checkpoint
  uint64_t sum_count = 0;    // of the count under way, whose result corrects `sum`; 0: none
  int64_t cold_deadline_ms = kNoColdDeadline;  // no cold key is due before (engine_expire.cc)
  int64_t cold_volatiles = 0;                  // cold keys with a deadline
  bool deadlines_unknown = false;              // cold_volatiles is a guess, to be counted anew
  uint64_t cold() const { return live - resident; }
};

struct Namespace {
  explicit Namespace(uint16_t id) : id(id) {}
  uint16_t id;
  std::array<std::unique_ptr<SlotTable>, kSlotCount> slots;
  uint64_t live = 0, resident = 0, volatiles = 0, sparse = 0;
  int64_t cold_volatiles = 0;
  uint32_t tables = 0;
  double average_deadline_ms = 0;              // a running figure of the expiry sweeps
  int64_t cold_deadline_ms = kNoColdDeadline;  // of the earliest slot, or before
  uint64_t epoch = 0;  // grows when the namespace is cleared: voids loads under way
};

// One replica of a ring partition: with one node, its clock is own dots 1..own_n and whatever
// earlier actors of this directory wrote. A replica that was let go (storage/replica_drop.cc) has
// seen nothing, but its counter goes on: own dots up to own_floor are seen if `clock` says so.
struct Partition {
  PartitionClock clock;                       // without what own_n says
  uint64_t own_n = 0;                         // dots given by the own actor, for ever
  uint64_t own_floor = 0;                     // own dots beyond it are seen
  uint64_t event_record = 0;                  // serial of the record that has an event here
  std::unique_ptr<IrregularIndex> irregular;  // none when empty
};

}  // namespace redynamo
