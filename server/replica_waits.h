// SPDX-License-Identifier: Apache-2.0
// WAIT and WAITAOF on a ring of several nodes: how many other replicas are known to have what a
// connection has written. Nodes that coordinated its writes know; each is asked for its own part,
// and the smallest number is the answer.
//
//   client of a:   SET x (coordinated by b)   SET y (by c)   WAIT 2 100
//   a ──> b: WAIT 2 100      b: "of all that I have written, 2 others have each"    2
//   a ──> c: WAIT 2 100      c: one of its records is not at the third node yet     1, in time: 2
//   a: min = 2
//
// A coordinator that cannot be reached is not waited for: what was known of its part before counts,
// at least the quorum with which the writes were answered.
//
// A node answers for all that it has coordinated so far, not only for this client's part: it may
// wait for more than it would have to, never for less.
//
// WAITAOF asks in two steps: first who has it all, then, of these, who has its log on disk up to
// where it is then. Only those who are in both count.
//
// Whoever waits is asked for in rounds of kRoundMs, so that nothing is left behind by clients that
// have gone. Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "cluster/node.h"
#include "server/session.h"

namespace redynamo {

class Server;

// The handlers, also of a ring of one: server/commands/wait.cc.
Reply Wait(CommandContext& context, ArgReader& args);
Reply WaitAof(CommandContext& context, ArgReader& args);

class ReplicaWaits {
 public:
  static constexpr int64_t kRoundMs = 200;

  struct Wish {
    int64_t replicas = 0;
    bool on_disk = false;  // WAITAOF
    int64_t local = 0;     // WAITAOF: 1 if the coordinators' own disks count
    int64_t until_ms = 0;  // of the monotonic clock; 0: for ever
  };

  // `node` is not there yet when this is made.
  ReplicaWaits(Server& server, std::function<Node&()> node)
      : server_(server), node_(std::move(node)) {}

  // The reply to the session's WAIT or WAITAOF, or none: then it is deferred, and answered later.
  // REQUIRES: it is not in EXEC.
  Reply Start(Session& session, const Wish& wish);
  // What is known now, of what this node has coordinated: for EXEC, which does not wait.
  Reply Now(bool on_disk);
  // Answers those whose wait is over: once a turn, after acknowledgements have been counted.
  void Check();
  // Asks again where it was in vain; now and then.
  void Tick();
  size_t under_way() const { return own_.size() + clients_.size(); }

 private:
  // Of a peer's client, or this node's part of one of its own.
  struct OwnWait {
    DeferredReply client;
    Wish wish;
    uint64_t up_to = 0;  // record
    uint64_t position = 0;
    // Of the second step of WAITAOF, which begins when enough have it, or at last by this time: who
    // had all when it began, and who says that it is on disk.
    bool second = false;
    int64_t second_ms = 0;
    std::set<Id128> complete{}, on_disk{};
    size_t asked = 0;
  };
  struct Part {
    bool asking = false, answered = false;
    int64_t local = 0, replicas = 0;  // as last answered, or known before
  };
  struct ClientWait {
    DeferredReply client;
    Wish wish;
    std::map<Id128, Part> parts;  // by coordinator
  };

  Reply StartOwn(Session& session, const Wish& wish);
  void BeginSecond(uint64_t id, OwnWait& wait);
  std::optional<Reply> ReplyTo(uint64_t id, OwnWait& wait);
  void Ask(uint64_t id, ClientWait& wait);
  void Answered(uint64_t id, const Id128& coordinator, const ForwardOutcome& outcome);
  std::optional<Reply> ReplyTo(const ClientWait& wait);
  int64_t NowMs() const;
  // What is known by now, for the next time.
  void Remember(const ClientWait& wait);
  bool Over(const Wish& wish) const { return wish.until_ms != 0 && wish.until_ms <= NowMs(); }
  Reply Render(const Wish& wish, int64_t local, int64_t replicas) const;
  int64_t ReachableReplicas();

  Server& server_;
  std::function<Node&()> node_;
  std::map<uint64_t, OwnWait> own_;
  std::map<uint64_t, ClientWait> clients_;
  uint64_t next_id_ = 1;
};

}  // namespace redynamo
