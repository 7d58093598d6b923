// SPDX-License-Identifier: Apache-2.0
// Claim: which nodes become the homes of which partitions. A pure function from the present table
// and the members to a new table, and the steps that lead there. REPLICATION.md section 6; the need
// for it is Dynamo's section 6.2, strategy 3 (equal partitions, placement apart from partitioning).
// Unlike Dynamo and Riak, the table is explicit: no node is found by walking, so no walk can end up
// at the same host twice (the tail violations of riak_core's claim).
//
// In this order:
//   1. A partition has min(n, nodes) homes, all distinct.
//   2. They stand on as many hosts as can be, as evenly as can be, and likewise in zones.
//   3. Each node holds its share of replicas, and is rank 0 for its share of partitions, both
//      rounded up or down. Shares are proportional to weights, as far as 1 and 2 let them: where a
//      zone has one node and each partition needs a replica there, that node has to hold them all.
//   4. As few replicas as possible change their node.
//   5. Of equal choices, that which spreads a node's partners, so that what a dead node did falls
//      on all others; then lower partitions and members first. So equal input gives equal output.
//
// How: 2 and 3 give every node its number of replicas (claim_quota.h). 4 is then a flow of least
// cost from partitions to nodes, where a home that is already there costs nothing; it is found by
// shortest augmenting paths, so balance and distinctness never depend on luck, and a state from
// which a search could not get on does not exist (claim_flow.h). Example: A, B and C hold all of 4
// partitions twice or thrice (8 replicas), D joins, each is to have 2. A gives one to D directly.
// Say C is below its share, B above, but B's partitions all have C already: then B gives one to D,
// and D another one to C.
//
// The number of moves is the least for any table with these shares, however they are rounded
// (claim_test.cc tries all tables of small rings). No less is possible than what nodes lack, the
// sum of max(0, share rounded down - held) and of shares that have to be rounded up, and than what
// partitions lack, homes that have left or stand where another one does; the greater one is
// `moves_least`. Equal nodes on hosts of their own reach it but for 2 of 27,482 claims in a walk of
// all short sequences; with random hosts, zones and weights moves are 1.3 % above it.
//
// Time (CPU; tests/bench/ring_bench.cc): a node joins 11 others with 1,024 partitions in 2 ms, 99
// with 16,384 in 13 ms. What is hardest of what was tried, 16,384 partitions of 8 replicas placed
// anew on 100 nodes of weights 1 to 100 on 40 hosts in 7 zones, takes half a second.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/ring_document.h"
#include "cluster/view.h"

namespace redynamo {

struct ClaimNode {
  bool takes_replicas = true;  // else what it holds goes elsewhere
  uint32_t weight = kRingWeightDefault;
  std::string host;  // empty: a host, or zone, of its own
  std::string zone;
};

struct ClaimInput {
  int n = 3;
  std::vector<ClaimNode> nodes;  // by MemberIndex
  std::vector<HomeList> homes;   // by partition; empty: the partition had none
};

enum class ClaimProblemKind {
  kNoNodes,           // nothing can be placed; the table stays as it is
  kFewNodes,          // fewer nodes than n: there are fewer replicas
  kFewHosts,          // fewer hosts than replicas: some hosts hold two of one partition
  kFewZones,          // the same for zones, when some node names its zone
  kHostInTwoZones,    // a host's nodes name different zones: the first one's counts for all
  kShareNotPossible,  // a node's weight asks for more or less than failure domains permit
  kFirstsUneven,      // a node is rank 0 for more or less than its share
  kNotPlaced,         // partitions that lack homes; a bug of claim's, reported instead of looped on
};

struct ClaimProblem {
  ClaimProblemKind kind;
  std::string text;  // one sentence for operators, members named by `names`
};

struct ClaimCounts {
  double share = 0;         // replicas by weight and failure domains
  double wanted_share = 0;  // by weight alone
  int replicas_before = 0, replicas_after = 0;
  double first_share = 0;
  int firsts_before = 0, firsts_after = 0;  // partitions in which it is rank 0
};

// What happens to one partition in one step. With neither, only ranks change.
struct PartitionChange {
  uint32_t partition = 0;
  MemberIndex add = kNoMember;
  MemberIndex remove = kNoMember;
  HomeList after;  // the homes once the step is through, ranks as they shall be then
  bool operator==(const PartitionChange&) const = default;
};

// At most one change per partition, in the order of partitions.
using ClaimStep = std::vector<PartitionChange>;

struct Claim {
  int replicas = 0;             // per partition
  std::vector<HomeList> homes;  // by partition
  std::vector<ClaimCounts> nodes;
  int moves = 0;        // replicas placed on a node that did not hold that partition
  int moves_least = 0;  // no table with these shares takes less; see above
  // One after another they lead from the present table to the new one. A partition that stands on
  // distinct hosts before and after does so between them. Partitions without homes are in none.
  std::vector<ClaimStep> steps;
  std::vector<ClaimProblem> problems;

  bool Has(ClaimProblemKind kind) const;
};

// REQUIRES: 1 <= n <= kReplicasMax, weights as in a ring document, homes are indices of nodes,
// distinct within a partition. `names` (as many as nodes, or none) stand in problems' texts.
Claim ClaimHomes(const ClaimInput& input, const std::vector<std::string>& names = {});

// Of a ring document: changes under way count as done, joining members take replicas, leaving and
// removed ones do not. Carried out in part, it may be computed anew from what is there then, by any
// member: altogether that moves no more than carrying out the first one.
ClaimInput ClaimInputOf(const RingDocument& document);
Claim ClaimFor(const RingDocument& document);

}  // namespace redynamo
