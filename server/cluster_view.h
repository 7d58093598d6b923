// SPDX-License-Identifier: Apache-2.0
// The ring as this node shows it to cluster clients, made anew whenever the ring document, a link
// or a node's health has changed, and kept as bytes until then: CLUSTER SLOTS must be answered at
// once however many ask (clients ask again when a node is lost, all at the same time).
//
// What a node announces by its latest Hello wins over the ring document, which has what it
// announced when it joined. A coordinator without a cluster port cannot be named: its slots are
// shown at the next home that has one, and are served there for it.
//
// Data thread only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/resp_writer.h"
#include "server/cluster_face.h"
#include "server/cluster_map.h"
#include "storage/partition_set.h"

namespace redynamo {

class Ring;
class Server;
class Session;

class ClusterView {
 public:
  explicit ClusterView(Server& server) : server_(server) {}

  // cluster-port is set.
  bool on() const;

  // The rest REQUIRES on() and an engine. `asking` matters on a ring of one that has no address of
  // its own: then it is the one by which the client has reached it.
  const ClusterMap& Map(const Session& asking);
  // The replies of CLUSTER SLOTS, SHARDS and NODES in the version that the session speaks. They
  // live until the next call.
  std::string_view Slots(const Session& asking);
  std::string_view Shards(const Session& asking);
  std::string_view Nodes(const Session& asking);
  ClusterTraffic Traffic() const;
  // The partitions whose slots are shown at this node: of a cluster client's commands on all keys
  // it answers for these, since such clients ask every node. Nothing: all of them.
  std::optional<PartitionSet> OwnShare(const Session& asking);

  SlotPlaces PlacesOf(uint16_t slot, const Session& asking);
  // "host:port" of the slot's coordinator. REQUIRES: PlacesOf(slot).coordinator_announced.
  std::string CoordinatorAddress(uint16_t slot, const Session& asking);

 private:
  // As long as this stays the same, so does the map.
  struct Moment {
    std::string host;      // of this node
    uint64_t version = 0;  // Ring::view_version
    bool operator==(const Moment&) const = default;
  };
  enum Shown { kSlots, kShards, kNodes, kShownCount };

  const Ring* FormedRing() const;
  bool Alone() const;  // a ring of one, and not about to be of more
  std::string OwnHost(const Session& asking) const;
  ClusterNode OwnNode(const std::string& host) const;
  ClusterMap MakeMap(const std::string& host) const;
  void AddMembers(const Ring& ring, ClusterMap* map) const;
  void AddSlots(const Ring& ring, ClusterMap* map) const;
  std::string_view Kept(Shown what, const Session& asking);

  Server& server_;
  std::optional<Moment> moment_;
  ClusterMap map_;
  std::array<std::array<std::string, 2>, kShownCount> bytes_;  // RESP2, RESP3; empty: not made yet
};

}  // namespace redynamo
