// SPDX-License-Identifier: Apache-2.0
#include "server/cluster_view.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "server/ring.h"
#include "server/server.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr uint64_t kEpochOfOne = 1;

// With a link, what the node says now; else what it said when it joined.
ClusterNode Announced(const Member& member, const std::vector<LinkReport>& links) {
  ClusterNode node;
  node.id = member.id.bytes;
  node.host = member.client_host.empty() ? member.ring_address.host : member.client_host;
  node.port = member.cluster_port;
  node.ring_port = member.ring_address.port;
  auto of_member = [&](const LinkReport& link) { return link.hello.node_id == node.id; };
  auto link = std::ranges::find_if(links, of_member);
  node.linked = link != links.end();
  RingAddress client, ring;
  if (!node.linked || !RingAddress::Parse(link->hello.client_address, &client)) return node;
  node.host = client.host;
  node.port = uint16_t(link->hello.cluster_port);
  if (RingAddress::Parse(link->hello.ring_address, &ring)) node.ring_port = ring.port;
  return node;
}

}  // namespace

bool ClusterView::on() const { return server_.config().cluster_port != 0; }

const Ring* ClusterView::FormedRing() const {
  const Ring* ring = server_.ring();
  return ring && ring->node().formed() ? ring : nullptr;
}

bool ClusterView::Alone() const {
  return !server_.ring() || (!FormedRing() && !server_.ring()->waiting());
}

std::string ClusterView::OwnHost(const Session& asking) const {
  const Config& config = server_.config();
  RingAddress reached;
  bool ask = Alone() && config.ring_announce.empty();
  if (ask && RingAddress::Parse(asking.identity.local_address, &reached)) return reached.host;
  return Ring::HostOf(config);
}

// --- the map ---

const ClusterMap& ClusterView::Map(const Session& asking) {
  Moment now{OwnHost(asking), server_.ring() ? server_.ring()->view_version() : 0};
  if (moment_ == now) return map_;
  map_ = MakeMap(now.host);
  moment_ = std::move(now);
  for (auto& versions : bytes_) versions = {};
  return map_;
}

ClusterNode ClusterView::OwnNode(const std::string& host) const {
  const Config& config = server_.config();
  ClusterNode node;
  node.id = server_.engine().NodeId();
  node.host = host;
  node.port = uint16_t(config.cluster_port);
  node.ring_port = Ring::PortOf(config);
  node.self = true;
  return node;
}

ClusterMap ClusterView::MakeMap(const std::string& host) const {
  ClusterMap map;
  map.made_unix_ms = server_.now_ms();
  map.nodes.push_back(OwnNode(host));
  if (Alone()) {
    map.epoch = kEpochOfOne;
    map.nodes[0].slots.push_back({0, kSlotCount - 1});
    return map;
  }
  const Ring* ring = FormedRing();
  map.formed = ring != nullptr;
  if (!ring) return map;
  map.epoch = ring->node().document().epoch;
  AddMembers(*ring, &map);
  AddSlots(*ring, &map);
  return map;
}

void ClusterView::AddMembers(const Ring& ring, ClusterMap* map) const {
  const Node& node = ring.node();
  std::vector<LinkReport> links = ring.links().Report();
  for (const Member& member : node.document().members) {
    if (!member.in_ring() || member.id.bytes == node.self()) continue;
    ClusterNode other = Announced(member, links);
    if (other.port == 0) continue;
    other.answers = node.Healthy(other.id);
    other.down =
        node.detector() && node.detector()->OpinionOf(other.id).state == wire::MemberState::kDown;
    map->nodes.push_back(std::move(other));
  }
}

void ClusterView::AddSlots(const Ring& ring, ClusterMap* map) const {
  const Node& node = ring.node();
  std::map<Id128, ClusterNode*> listed;
  for (ClusterNode& entry : map->nodes) listed[entry.id] = &entry;
  auto entry_of = [&](const Id128& id) {
    auto found = listed.find(id);
    return found == listed.end() ? nullptr : found->second;
  };
  for (int p = 0; p < node.document().partitions(); p++) {
    const Place& place = node.PlaceOf(p);
    std::optional<Id128> coordinator = node.CoordinatorOf(p);
    ClusterNode* owner = coordinator ? entry_of(*coordinator) : nullptr;
    int reachable = int(node.FallbacksOf(p).size());
    for (const Id128& home : place.read.members) {
      bool good = node.Healthy(home);
      reachable += good;
      // Behind the coordinator another healthy home; when none can be reached the first of all.
      if (!owner && (good || !coordinator)) owner = entry_of(home);
    }
    if (!owner) owner = &map->nodes[0];
    int first = FirstSlotOf(p, node.document().partitions());
    int end = FirstSlotOf(p + 1, node.document().partitions());
    for (int slot = first; slot < end; slot++) AddSlot(uint16_t(slot), owner);
    int needed = std::max(place.read.needed, place.write_new.needed);
    if (reachable < needed) map->slots_lost += end - first;
  }
}

ClusterTraffic ClusterView::Traffic() const {
  if (!server_.ring()) return {};
  LinkStats links = server_.ring()->links().Stats();
  return {links.messages_out, links.messages_in, links.dropped_events};
}

std::optional<PartitionSet> ClusterView::OwnShare(const Session& asking) {
  const Ring* ring = FormedRing();
  if (!ring || !ring->several()) return std::nullopt;
  PartitionSet share;
  for (const SlotRange& range : Map(asking).nodes[0].slots) {
    for (int p = PartitionOfSlot(range.first); p <= PartitionOfSlot(range.last); p++) share.Add(p);
  }
  return share;
}

// --- its bytes ---

std::string_view ClusterView::Kept(Shown what, const Session& asking) {
  const ClusterMap& map = Map(asking);
  std::string& bytes = bytes_[what][asking.version() == RespVersion::kResp3];
  if (!bytes.empty()) return bytes;
  switch (what) {
    case kSlots: WriteReply(ClusterSlotsReply(map), asking.version(), &bytes); break;
    case kShards: WriteReply(ClusterShardsReply(map), asking.version(), &bytes); break;
    case kNodes: AppendVerbatim(ClusterNodesText(map), asking.version(), &bytes); break;
    case kShownCount: break;
  }
  return bytes;
}

std::string_view ClusterView::Slots(const Session& asking) { return Kept(kSlots, asking); }
std::string_view ClusterView::Shards(const Session& asking) { return Kept(kShards, asking); }
std::string_view ClusterView::Nodes(const Session& asking) { return Kept(kNodes, asking); }

// --- one slot ---

SlotPlaces ClusterView::PlacesOf(uint16_t slot, const Session& asking) {
  const Ring* ring = FormedRing();
  if (!ring || !ring->several()) return {true, true, true, true, true};
  const Node& node = ring->node();
  int partition = PartitionOfSlot(slot);
  SlotPlaces places;
  std::optional<Id128> coordinator = node.CoordinatorOf(partition);
  places.reachable = coordinator.has_value();
  places.coordinated_here = coordinator == node.self();
  if (!places.reachable || places.coordinated_here) return places;
  const Place& place = node.PlaceOf(partition);
  places.home_here = place.self_reads;
  places.coordinator_announced = Map(asking).Find(*coordinator) != nullptr;
  int either = place.read.needed + place.write_new.needed;
  places.reads_overlap = size_t(either) > place.read.members.size();
  return places;
}

std::string ClusterView::CoordinatorAddress(uint16_t slot, const Session& asking) {
  std::optional<Id128> id = server_.ring()->node().CoordinatorOf(PartitionOfSlot(slot));
  const ClusterNode* node = id ? Map(asking).Find(*id) : nullptr;
  CHECK_THAT(node);
  return node->host + ":" + std::to_string(node->port);
}

}  // namespace redynamo
