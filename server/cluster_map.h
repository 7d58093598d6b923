// SPDX-License-Identifier: Apache-2.0
// What CLUSTER SLOTS, SHARDS, NODES and INFO say: the ring as a Redis Cluster of masters only, each
// with the slots that it coordinates. All slots are always somebody's, and a node is in one shard,
// its own: client libraries rely on both (REPLICATION.md section 11). A value; cluster_view.h makes
// it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/id128.h"
#include "protocol/reply.h"

namespace redynamo {

struct SlotRange {
  uint16_t first = 0, last = 0;
  bool operator==(const SlotRange&) const = default;
};

struct ClusterNode {
  Id128 id{};
  std::string host;        // as clients are told, an IPv6 address without brackets
  uint16_t port = 0;       // of cluster clients
  uint16_t ring_port = 0;  // where Redis has its bus port
  bool self = false;
  bool linked = true;            // this node has a link with it; with itself always
  bool answers = true;           // and it does not owe answers
  bool down = false;             // as the members of the ring think
  std::vector<SlotRange> slots;  // in order, apart from each other
  bool operator==(const ClusterNode&) const = default;
};

struct ClusterMap {
  bool formed = true;
  uint64_t epoch = 0;  // of the ring document
  int64_t made_unix_ms = 0;
  int slots_lost = 0;              // too few of their homes can be reached
  std::vector<ClusterNode> nodes;  // those with a cluster port, this one among them

  // Null when it has no cluster port, or is no member.
  const ClusterNode* Find(const Id128& id) const;
  // By 40 digits.
  const ClusterNode* Find(std::string_view digits) const;
};

// Between nodes, since the start.
struct ClusterTraffic {
  uint64_t sent = 0, received = 0, dropped = 0;  // messages
};

// Gives the slot to the node, behind the slots that it has: call it with ascending slots.
void AddSlot(uint16_t slot, ClusterNode* node);

Reply ClusterSlotsReply(const ClusterMap& map);
Reply ClusterShardsReply(const ClusterMap& map);
// One line a node: "<id> <host:port@ring port> <flags> - <ping sent> <pong received> <epoch> <link>
// <slots>...".
std::string ClusterNodesText(const ClusterMap& map);
std::string ClusterInfoText(const ClusterMap& map, const ClusterTraffic& traffic);

}  // namespace redynamo
