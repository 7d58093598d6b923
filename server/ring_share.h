// SPDX-License-Identifier: Apache-2.0
// Commands that concern all keys, on a ring: KEYS, SCAN, DBSIZE, RANDOMKEY, FLUSHDB, FLUSHALL. Each
// partition is answered for by the node that coordinates it, so that each key comes once: every
// such node gets its *share*, a set of partitions, and runs the command within that
// (Keyspace::Within), after it has made its copy as new as R replicas'
// (cluster/fresh_partitions.h).
//
// SCAN's cursors are positions, which are alike on all nodes since the ring's document has their
// seed; so any node can go on with the cursor of another one. One call covers a run of partitions
// that by this node's own keys should hold about COUNT keys:
//
//   SCAN c COUNT 10     partitions 7 8 9 10 would hold 10 keys
//     node 1 (7, 10): up to position x, there are more      keys below x are given, and x is the
//     node 2 (8):     all                                   next cursor; what came from beyond is
//     node 3 (9):     all                                   read again by the next call
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/resp_writer.h"
#include "server/command_table.h"
#include "server/gather.h"

namespace redynamo {

// What a plan needs to know beside the command. All of it lives as long as the server.
struct WholeCommand {
  const Command& command;
  std::span<const std::string_view> argv;
  RespVersion version;
  uint64_t keys_here;  // of the database, on this node
  Random& random;
};
// A plan for the command, when it is one of those and its arguments can be read.
GatherChoice PlanWhole(Node& node, const WholeCommand& whole);

// Whether this node is a home of every partition: then even what cannot be spread, as in EXEC, has
// all keys here.
bool IsHomeOfAll(const Node& node);

// Why this node cannot answer for these partitions; empty: it can.
std::string ShareRefusal(Node& node, const PartitionSet& share, bool writes,
                         const RequestQuorum& quorum);

}  // namespace redynamo
