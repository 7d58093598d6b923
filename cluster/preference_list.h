// SPDX-License-Identifier: Apache-2.0
// Whom a key concerns (Dynamo sections 4.3, 4.4 and 4.6; REPLICATION.md sections 2 and 4.1): the
// homes of its partition in the order of their ranks, and behind them, when homes are suspected,
// fallbacks that stand in for them (sloppy quorum). Pure functions of a ring document.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/ring_document.h"

namespace redynamo {

// By MemberIndex; shorter than the members means that the rest is healthy. Local to each node.
using Suspects = std::vector<bool>;

inline bool Suspected(const Suspects& suspects, MemberIndex m) {
  return m < suspects.size() && suspects[m];
}

// REQUIRES for all: slot < kSlotCount, partition < document.partitions().
struct PreferenceList {
  int partition = 0;
  HomeList homes;    // whose answers count for R, rank 0 first: who may coordinate, in this order
  HomeList targets;  // to whom writes go: homes, and during a change pending and leaver
};
PreferenceList PreferenceListOf(const RingDocument& document, uint16_t slot);

// Rank 0, or whoever stands in for it: the first home that is not suspected.
std::optional<MemberIndex> FirstHealthy(const HomeList& homes, const Suspects& suspects);

// Up to `count` members that may hold a guest replica of the partition, in the order in which to
// ask them: the first owners (rank 0) of the partitions that follow clockwise, and behind them
// those that are first nowhere; without the partition's write targets, suspects, and nodes that
// leave. As long as there are such, only nodes on hosts where neither a home nor an earlier
// fallback stands.
std::vector<MemberIndex> FallbacksOf(const RingDocument& document, int partition,
                                     const Suspects& suspects, size_t count);

}  // namespace redynamo
