// SPDX-License-Identifier: Apache-2.0
#include "cluster/forming.h"

#include <utility>

#include "cluster/claim.h"

namespace redynamo {

Forming::Forming(Self self, uint32_t expected) : self_(self.node_id), expected_(expected) {
  members_[self_] = std::move(self);
}

wire::Bootstrap Forming::Message() const {
  wire::Bootstrap message;
  message.expected = expected_;
  for (const auto& [id, member] : members_) {
    message.members.push_back({id, 0, member.ring_address, member.client_address});
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
    all.try_emplace(member.node_id, Self{member.node_id, std::string(member.ring_address),
                                         std::string(member.client_address)});
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

Result<RingDocument> FirstDocument(const Forming& forming, int n, Random& random) {
  if (int(forming.members().size()) > n) {
    return InvalidArgument("a ring of more than ring-n nodes cannot be formed yet: ring-n is " +
                           std::to_string(n) + ", ring-bootstrap " +
                           std::to_string(forming.members().size()));
  }
  RingDocument document;
  for (uint8_t& byte : document.cluster_id) byte = uint8_t(random.Next());
  document.seed = random.Next() | 1;
  document.epoch = 1;
  document.n = n;
  for (const auto& [id, known] : forming.members()) {
    Member& member = document.members.emplace_back();
    member.id.bytes = id;
    member.state = MemberState::kMember;
    RingAddress client;
    if (!RingAddress::Parse(known.ring_address, &member.ring_address) ||
        !RingAddress::Parse(known.client_address, &client)) {
      return InvalidArgument("a node announces an address that is none: '" + known.ring_address +
                             "', '" + known.client_address + "'");
    }
    member.client_host = client.host;
    member.client_port = client.port;
  }
  document.views.resize(size_t(kRingPartitionsDefault));
  ClaimInput wishes = ClaimInputOf(document);
  Claim claim = ClaimHomes(wishes);
  for (size_t p = 0; p < document.views.size(); p++) {
    document.views[p].epoch = 1;
    document.views[p].homes = claim.homes[p];
  }
  Status valid = ValidateRingDocument(document);
  if (!valid.ok()) return valid;
  return document;
}

}  // namespace redynamo
