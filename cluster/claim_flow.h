// SPDX-License-Identifier: Apache-2.0
// Which node holds which partition, given how many each is to hold, with the fewest moves: the
// second half of claim (claim.h).
//
// It is a flow of least cost: each partition sends one unit per replica through its zones and hosts
// (bounded) to nodes (one unit each), and each node takes its quota. A unit costs 1 where the node
// did not hold the partition before, else 0. Starting from the homes that may stay, which cost
// nothing, units that are missing in partitions, or too many at nodes, are sent along cheapest
// paths to nodes that lack some (successive shortest paths: the result is optimal, because no
// cheaper path than the last one ever appears).
//
// Paths need only nodes as corners. An edge from s to t is one partition in which t may take the
// place of s: inside a partition the way from s up to the domain that both are in, and down to t,
// has room exactly when that one exchange leaves the partition valid. The cost of the edge is +1, 0
// or -1, as s and t did or did not hold that partition at first.
#pragma once

#include <cstdint>
#include <vector>

#include "cluster/claim_quota.h"

namespace redynamo {

struct ClaimPlacement {
  std::vector<HomeList> homes;  // by partition, in no meaningful order of ranks
  int moves_least = 0;
  int not_placed = 0;  // replicas without a place: 0, unless quotas do not fit the domains
};

// Deterministic; `old` are the homes by partition, which may break bounds or name nodes that take
// no replicas any more. `quotas` are within `bounds`.
ClaimPlacement PlaceReplicas(const ClaimDomains& domains, const std::vector<HomeList>& old,
                             const std::vector<int>& quotas, const QuotaBounds& bounds);

}  // namespace redynamo
