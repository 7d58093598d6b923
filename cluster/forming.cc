// SPDX-License-Identifier: Apache-2.0
#include "cluster/forming.h"

#include <utility>

#include "cluster/plan.h"
#include "storage/partition_set.h"

namespace redynamo {

Forming::Forming(Self self, uint32_t expected) : self_(self.node_id), expected_(expected) {
  members_[self_] = std::move(self);
}

wire::Bootstrap Forming::Message() const {
  wire::Bootstrap message;
  message.expected = expected_;
  for (const auto& [id, member] : members_) {
    message.members.push_back({.node_id = id,
                               .ring_address = member.ring_address,
                               .client_address = member.client_address,
                               .cluster_port = member.cluster_port,
                               .host = member.host,
                               .zone = member.zone,
                               .weight = member.weight});
  }
  return message;
}

Result<bool> Forming::Learn(const wire::Bootstrap& message) {
  if (message.expected != expected_) {
    return InvalidArgument("a peer waits for a ring of " + std::to_string(message.expected) +
                           " nodes, this node for one of " + std::to_string(expected_) +
                           "; give all of them the same ring-bootstrap");
  }
  std::map<Id128, Self> all = members_;
  for (const wire::Bootstrap::Member& member : message.members) {
    all.try_emplace(member.node_id, Self{.node_id = member.node_id,
                                         .ring_address = std::string(member.ring_address),
                                         .client_address = std::string(member.client_address),
                                         .cluster_port = uint16_t(member.cluster_port),
                                         .host = std::string(member.host),
                                         .zone = std::string(member.zone),
                                         .weight = member.weight});
  }
  if (all.size() > expected_) {
    return InvalidArgument("more than the " + std::to_string(expected_) +
                           " nodes of ring-bootstrap have come; name the same ring-seeds on all "
                           "of them, and start no others with it");
  }
  bool news = all.size() > members_.size();
  members_ = std::move(all);
  return news;
}

Result<Member> MemberOf(const wire::Bootstrap::Member& said) {
  Member member;
  member.id.bytes = said.node_id;
  RingAddress client;
  if (!RingAddress::Parse(said.ring_address, &member.ring_address) ||
      !RingAddress::Parse(said.client_address, &client)) {
    return InvalidArgument("a node announces an address that is none: '" +
                           std::string(said.ring_address) + "', '" +
                           std::string(said.client_address) + "'");
  }
  member.client_host = client.host;
  member.client_port = client.port;
  member.cluster_port = uint16_t(said.cluster_port);
  member.host = said.host;
  member.zone = said.zone;
  member.weight = said.weight;
  return member;
}

Result<RingDocument> FirstDocument(const Forming& forming, int n, Random& random) {
  Id128 cluster_id{};
  for (uint8_t& byte : cluster_id) byte = uint8_t(random.Next());
  std::vector<Member> members;
  wire::Bootstrap said = forming.Message();
  for (const wire::Bootstrap::Member& one : said.members) {
    Result<Member> member = MemberOf(one);
    if (!member.ok()) return member.status();
    members.push_back(std::move(*member));
  }
  return NewRing(cluster_id, random.Next() | 1, PartitionCount(), n, std::move(members));
}

}  // namespace redynamo
