// SPDX-License-Identifier: Apache-2.0
// RING.JOIN, RING.LEAVE, RING.REPLACE and RING.FORGET as an operator gives them: without COMMIT the
// plan is answered, with it the members decide it. A node that joins is first reached at its ring
// address; the answer waits for it, and then until it has the document: before that it would take
// commands as a node by itself.
//
// Data thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/plan.h"
#include "server/command.h"
#include "server/session.h"

namespace redynamo {

class Node;
class Server;

struct RingWish {
  RingChangeKind kind = RingChangeKind::kJoin;
  std::string joining;  // kJoin, kReplace: a ring address
  std::string leaving;  // else: 40 digits or a ring address
  bool commit = false;
};

// Begins what a client wishes for; its reply comes later, unless it is an error at once.
Reply BeginRingChange(CommandContext& context, RingWish wish);

class RingChanges {
 public:
  explicit RingChanges(Server& server) : server_(server) {}

  // Answers the client, perhaps later. REQUIRES: the node is in a ring.
  void Begin(RingWish wish, const DeferredReply& client, Node* node, int64_t now_ms);
  void Tick(Node* node, int64_t now_ms);

 private:
  struct Pending {
    RingWish wish;
    DeferredReply client;
    int64_t until_ms = 0;
  };
  // A node that has been taken in, and has not said so yet.
  struct Arriving {
    Id128 id{};
    uint64_t ring_epoch = 0;
    DeferredReply client;
    int64_t until_ms = 0;
  };
  // False while the joining node has not been reached.
  bool TryEnd(const Pending& pending, Node* node);
  void Carry(const RingChange& change, const Pending& pending, Node* node);

  Server& server_;
  std::vector<Pending> pending_;
  std::vector<Arriving> arriving_;
};

}  // namespace redynamo
