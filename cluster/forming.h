// SPDX-License-Identifier: Apache-2.0
// How K blank nodes become a ring (ring-bootstrap K, with ring-seeds): each tells the others whom
// it has heard of. Once K are known, the one with the smallest id makes the first ring document and
// sends it to all; the others take it if it lists exactly the K that they know.
//
// All K name the same K addresses, so there is one set of nodes that can ever be complete: two
// documents cannot come into being. A node that has a document, or data, is not blank.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "cluster/message.h"
#include "cluster/ring_document.h"

namespace redynamo {

class Forming {
 public:
  struct Self {
    Id128 node_id{};
    std::string ring_address, client_address;
    uint16_t cluster_port = 0;   // 0: none
    std::string host{}, zone{};  // failure domains, see ring_document.h
    uint32_t weight = kRingWeightDefault;
  };

  Forming(Self self, uint32_t expected);

  // What to say to a peer. The views live as long as this does and nothing is learnt.
  wire::Bootstrap Message() const;
  // True when somebody new is in it. kInvalidArgument when the peer waits for another number of
  // nodes, or there are more of them than that.
  Result<bool> Learn(const wire::Bootstrap& message);

  bool complete() const { return members_.size() == expected_; }
  // Whether it is this node that makes the document. REQUIRES: complete().
  bool leads() const { return members_.begin()->first == self_; }
  const std::map<Id128, Self>& members() const { return members_; }
  uint32_t expected() const { return expected_; }

 private:
  Id128 self_;
  uint32_t expected_;
  std::map<Id128, Self> members_;
};

// What a blank node has said of itself; kInvalidArgument when it cannot be.
Result<Member> MemberOf(const wire::Bootstrap::Member& said);

// The first document of the ring that the members form, with `n` replicas of each partition.
// kInvalidArgument when what they say of themselves cannot be.
Result<RingDocument> FirstDocument(const Forming& forming, int n, Random& random);

}  // namespace redynamo
