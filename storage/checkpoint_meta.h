// SPDX-License-Identifier: Apache-2.0
// What a checkpoint stores beside rows: meta records of the row store, ingested with them as one.
//
//   "checkpoint"   := version:1 position:8 databases_position:8 count (namespace)* namespaces
//   "slots" ns:2   := (live position sum [deadlines])*   per slot; varints; big-endian ns
//   sum            := 0x00                    unknown
//                   | 0x01                    no rows
//                   | 0x02 sum:8              of the hashes of the rows on disk (storage/row_sum.h)
//                     its first byte + 0x10:  deadlines follows: so many of the keys have one
//                     its first byte + 0x20:  that number is a guess, until it has been counted
//   "clocks"       := clock*                  per partition, see PartitionClock
//   "irregular"    := partition*              varints: which ones have a record of their own,
//   "irregular" partition:2 := clears key*    see irregular.h
//   "dots"         := partition*              varints: which ones have a record of their own,
//   "dots" partition:2 := rows dots           see dot_index.h
//   "counters"     := (partition actor n floor)*   varints: own counters of replicas that were let
//                                             go once (replica_drop.cc); absent when there are none
//
// Clocks and unfinished clears of whole partitions hold as of `position`: replay joins every record
// from there on, so none of them may count as seen before. A slot's rows, and the irregular rows of
// its keys, hold as of the slot's own position, and so do the elements of its collections, though
// captured in slices (element_capture.h); replay skips effects on it up to there. (Fragments of a
// regular string may be captured later than its slot: replaying over them what they have already
// ends in the same, since each write removes the one before.) The dot index holds as of some moment
// of the checkpoint: what replay adds to it again is the same.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "storage/row_store.h"
#include "storage/version.h"

namespace redynamo {

struct CapturedSlot {
  uint64_t live = 0;       // keys that stand on disk
  uint64_t position = 0;   // of the log, as of which: replay skips up to it
  uint64_t sum = 0;        // of the hashes of the rows that stand on disk
  uint64_t deadlines = 0;  // keys that stand on disk and have one
  bool sum_known = true;
  bool deadlines_known = true;
};

// Beside the partition's clock, which does not say it: see Partition.
struct OwnCounter {
  uint16_t actor = 0;  // local index
  uint64_t n = 0, floor = 0;
};

struct CheckpointMeta {
  uint64_t position = 0;              // where replay starts
  uint64_t database_ns_position = 0;  // of the last exchange of databases that is in database_ns
  std::vector<uint16_t> database_ns;  // by database number
  std::vector<std::vector<CapturedSlot>> slots;  // by namespace; kSlotCount, or none yet
  std::vector<PartitionClock> clocks;            // by partition
  std::map<uint16_t, std::string> irregular;     // by partition: bytes of its record
  std::map<uint16_t, std::string> dots;          // likewise
  std::map<uint16_t, OwnCounter> counters;       // by partition
};

// Format 1 has no sums: they are unknown then. Formats 1 and 2 do not tell of deadlines, format 3
// only whether there may be some. Format 5 is format 4 with counters. A fresh store gives the state
// of an empty node with `databases` databases. Fewer databases than the directory has is refused.
Result<CheckpointMeta> LoadCheckpointMeta(RowStore* store, int databases);
Status PutCheckpointMeta(const CheckpointMeta& meta, IngestBatch* batch);

}  // namespace redynamo
