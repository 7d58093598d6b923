// SPDX-License-Identifier: Apache-2.0
// In which order the homes of each partition stand, given who they are: the last part of claim
// (claim.h). Rank 0 coordinates the writes of its partitions (REPLICATION.md 4.1), so each node is
// to be rank 0 of its share of partitions; rank 1 takes over when rank 0 is suspected, so rank 1 of
// one node's partitions should be many nodes.
#pragma once

#include <vector>

#include "cluster/claim_quota.h"

namespace redynamo {

// The node shares of rank 0: by weight, at most what the node holds.
std::vector<double> FirstSharesOf(const ClaimInput& input, const ClaimDomains& domains,
                                  const std::vector<HomeList>& homes);

// Gives `homes` (in any order) their ranks: homes that were there keep theirs, a new one takes the
// rank of the one that it replaces, and then as few partitions as shortest paths find change their
// rank 0 until every node is within one of its share. Deterministic.
void RankHomes(const std::vector<HomeList>& old, const std::vector<double>& first_shares,
               std::vector<HomeList>* homes);

}  // namespace redynamo
