// SPDX-License-Identifier: Apache-2.0
#include "server/cluster_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/hash.h"

namespace redynamo {
namespace {

// "fail?" is Redis' word for a node that this one doubts, "fail" for one that all do.
std::string_view HealthFlag(const ClusterNode& node) {
  if (node.down) return ",fail";
  return node.linked && node.answers ? "" : ",fail?";
}

std::string_view HealthWord(const ClusterNode& node) {
  return node.linked && node.answers && !node.down ? "online" : "fail";
}

}  // namespace

const ClusterNode* ClusterMap::Find(const Id128& id) const {
  auto found = std::ranges::find(nodes, id, &ClusterNode::id);
  return found == nodes.end() ? nullptr : &*found;
}

const ClusterNode* ClusterMap::Find(std::string_view digits) const {
  Id128 id;
  return ParseId128Digits(digits, &id) ? Find(id) : nullptr;
}

void AddSlot(uint16_t slot, ClusterNode* node) {
  bool goes_on = !node->slots.empty() && node->slots.back().last + 1 == slot;
  if (goes_on) {
    node->slots.back().last = slot;
  } else {
    node->slots.push_back({slot, slot});
  }
}

Reply ClusterSlotsReply(const ClusterMap& map) {
  std::vector<std::pair<SlotRange, const ClusterNode*>> ranges;
  for (const ClusterNode& node : map.nodes) {
    for (const SlotRange& range : node.slots) ranges.emplace_back(range, &node);
  }
  std::ranges::sort(ranges, {}, [](const auto& entry) { return entry.first.first; });
  Reply list = Reply::Array();
  for (const auto& [range, node] : ranges) {
    Reply owner = Reply::Array();
    owner.AddBulk(node->host).AddInteger(node->port).AddBulk(Id128Digits(node->id));
    owner.Add(Reply::Map());  // of other endpoints: there are none
    Reply entry = Reply::Array();
    entry.AddInteger(range.first).AddInteger(range.last).Add(std::move(owner));
    list.Add(std::move(entry));
  }
  return list;
}

Reply ClusterShardsReply(const ClusterMap& map) {
  Reply list = Reply::Array();
  for (const ClusterNode& node : map.nodes) {
    Reply slots = Reply::Array();
    for (const SlotRange& range : node.slots) {
      slots.AddInteger(range.first).AddInteger(range.last);
    }
    Reply member = Reply::Map();
    member.AddView("id").AddBulk(Id128Digits(node.id));
    member.AddView("port").AddInteger(node.port);
    member.AddView("ip").AddBulk(node.host);
    member.AddView("endpoint").AddBulk(node.host);
    member.AddView("role").AddView("master");
    member.AddView("replication-offset").AddInteger(0);  // it has no replicas to compare with
    member.AddView("health").AddView(HealthWord(node));
    Reply nodes = Reply::Array();
    nodes.Add(std::move(member));
    Reply shard = Reply::Map();
    shard.AddView("slots").Add(std::move(slots));
    shard.AddView("nodes").Add(std::move(nodes));
    list.Add(std::move(shard));
  }
  return list;
}

// A pong has been received just now from whom there is a link with: links are pinged each second
// and closed when they are silent.
std::string ClusterNodesText(const ClusterMap& map) {
  std::string text;
  auto out = std::back_inserter(text);
  for (const ClusterNode& node : map.nodes) {
    int64_t pong_ms = node.self || !node.linked ? 0 : map.made_unix_ms;
    fmt::format_to(out, "{} {}:{}@{} {}master{} - 0 {} {} {}", Id128Digits(node.id), node.host,
                   node.port, node.ring_port, node.self ? "myself," : "", HealthFlag(node), pong_ms,
                   map.epoch, node.linked ? "connected" : "disconnected");
    for (const SlotRange& range : node.slots) {
      fmt::format_to(out, " {}", range.first);
      if (range.last != range.first) fmt::format_to(out, "-{}", range.last);
    }
    text += '\n';
  }
  return text;
}

// "fail" only when nothing at all can be served: libraries then turn away from the whole ring.
std::string ClusterInfoText(const ClusterMap& map, const ClusterTraffic& traffic) {
  int assigned = map.formed ? kSlotCount : 0;
  int lost = std::min(map.slots_lost, assigned);
  auto has_slots = [](const ClusterNode& node) { return !node.slots.empty(); };
  return fmt::format(
      "cluster_state:{}\r\ncluster_slots_assigned:{}\r\ncluster_slots_ok:{}\r\n"
      "cluster_slots_pfail:0\r\ncluster_slots_fail:{}\r\ncluster_known_nodes:{}\r\n"
      "cluster_size:{}\r\ncluster_current_epoch:{}\r\ncluster_my_epoch:{}\r\n"
      "cluster_stats_messages_sent:{}\r\ncluster_stats_messages_received:{}\r\n"
      "total_cluster_links_buffer_limit_exceeded:{}\r\n",
      lost < assigned ? "ok" : "fail", assigned, assigned - lost, lost, map.nodes.size(),
      std::ranges::count_if(map.nodes, has_slots), map.epoch, map.epoch, traffic.sent,
      traffic.received, traffic.dropped);
}

}  // namespace redynamo
