// SPDX-License-Identifier: Apache-2.0
// Trees over the rows of a partition: the safety net below pulling (REPLICATION.md section 5.5).
//
//   root                     of one partition
//    |-- leaf (ns 0, slot 80)      the sum of the hashes of its rows (storage/row_sum.h)
//    |-- leaf (ns 0, slot 81)
//    '-- ...                       16 slots in each namespace
//
// Two replicas that have seen the same dots, and know the same beyond them, have the same rows: so
// where clocks agree, sums must agree. Where clocks differ, a leaf can still be compared unless one
// of the dots in which they differ has touched it; the dot index knows. What then differs was lost
// or changed behind the engine's back, and is repaired by the union of live dots: each side gives
// its rows, and takes those versions that it neither has nor knows to be removed. Absence proves
// nothing, so no repair removes anything.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "storage/replica_clock.h"

namespace redynamo {

struct LeafId {
  uint16_t ns = 0;
  uint16_t slot = 0;
  auto operator<=>(const LeafId&) const = default;
};

struct TreeLeaf {
  LeafId id;
  bool settled = true;  // false: not to be compared now; `sum` means nothing
  uint64_t sum = 0;
  bool operator==(const TreeLeaf&) const = default;
};

// Of one partition, as of one moment.
struct Tree {
  bool ready =
      false;  // false: too many rows have changed since their capture, and nothing is given
  ReplicaClock clock;
  uint64_t irregular_hash = 0;
  std::vector<TreeLeaf> leaves;  // ascending; without those that are empty and settled
  uint64_t Root() const;         // 64 bits of the leaves; replicas with equal ones have equal ones
};

// The rows of one leaf, for the other side's AcceptLeaf.
struct LeafRows {
  Status status;  // then there are no bytes
  std::string bytes;
};

// What became of another replica's leaf.
struct LeafAccepted {
  // kCorruption, kInvalidArgument, kNoSpace as in Accepted. kBusy: events that the other side lacks
  // have touched the leaf, so what it shows may have been removed here: later. Then nothing has
  // been done.
  Status status;
  uint64_t position = 0;   // of the log, when versions or rows were written
  uint64_t repaired = 0;   // versions that had been missing here
  uint64_t rewritten = 0;  // versions whose contents were wrong here
  uint64_t undecided = 0;  // versions with two contents, and nothing says which is right
  bool rebuilt = false;    // the leaf was damaged on disk here, and has been written anew
  bool own_actor_rotated = false;
};

}  // namespace redynamo
