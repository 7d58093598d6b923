// SPDX-License-Identifier: Apache-2.0
// What the members of the ring think of each other: alive, suspect, down. SWIM (Das, Gupta and
// Motivala, 2002) with suspicion, incarnations and, of Lifeguard (Dadgar et al., 2018), timeouts
// that shrink with every further accuser and grow while this node's own questions stay unanswered.
// The links are the direct probes: each pings its peer and notices silence. What is added here:
//
//   the link a-d is lost, the others are well           d is lost
//   a ── PING_REQ d ──> b, c                            a ── PING_REQ d ──> b, c
//     <── "I reach it"                                    <── "I do not"    (or silence)
//   nothing is published: only a goes round d           a: d is suspect (incarnation 7) ── GOSSIP
//                                                       … d hears of it: "alive, 8" refutes it
//                                                       … or nobody does: d is down
//
// A node that reaches none of those whom it could ask publishes nothing: it is more likely cut off
// itself. Nothing here decides where requests go (that is the node's own doubt, at once) nor
// who is a member (an operator's); it is what operators and clients are told.
//
// Incarnations begin with the wall clock at the start of a process and only their owner raises
// them. Among two statements about a node the higher incarnation holds; of the same, down over
// suspect over alive.
//
// No socket, no clock, no thread: the node tells the time. Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "cluster/message.h"

namespace redynamo {

struct FailureDetectorTimes {
  int64_t probe_ms = 1000;       // between two rounds of questions about a node
  int64_t answer_ms = 500;       // others get to answer them
  int64_t gossip_ms = 200;       // while there is news; else kIdleGossips times as long
  int64_t suspicion_ms = 1000;   // times 4 log10(n + 1), at least once
  int64_t suspicion_spread = 6;  // times that, while there is one accuser only
  static constexpr int64_t kIdleGossips = 5;
};

class FailureDetector {
 public:
  static constexpr int kAsked = 3;         // for one probe, and told by one gossip
  static constexpr int kAwarenessMax = 8;  // Lifeguard's local health multiplier

  // What of a member is thought here.
  struct Opinion {
    wire::MemberState state = wire::MemberState::kAlive;
    uint64_t incarnation = 0;
    int64_t since_ms = 0;      // of the state; 0: from the beginning
    size_t accusers = 0;       // of a suspect, this node included
    bool only_others = false;  // this node does not reach it, others do
  };
  struct Stats {
    uint64_t probes = 0;                            // rounds of questions
    uint64_t probes_reached = 0;                    // whose target others reached
    uint64_t suspected = 0, refuted = 0, died = 0;  // transitions seen here
    uint64_t gossips_sent = 0;
  };
  struct Surroundings {
    std::function<bool(const Id128&)> reaches;  // over this node's own link, as of now
    std::function<bool(const Id128&)> speaks;   // it knows these messages
    std::function<void(const Id128&, Message)> send;
    // A member has come into another state, which `opinion` says.
    std::function<void(const Id128&, const Opinion& opinion)> changed;
    std::function<uint64_t()> ring_epoch;
  };

  FailureDetector(const Id128& self, uint64_t incarnation, uint64_t random_seed,
                  Surroundings surroundings, FailureDetectorTimes times = {})
      : self_(self),
        incarnation_(incarnation),
        random_(random_seed),
        surroundings_(std::move(surroundings)),
        times_(times) {}

  // Requests from here on; before the first one. See Node::first_request_.
  void NumberFrom(uint64_t first) { next_request_ = first; }
  // The other members from here on; of those that stay what is thought stays.
  void SetMembers(const std::vector<Id128>& others);
  void Tick(int64_t now_ms);

  Status On(const Id128& peer, const wire::PingReq& message);
  Status On(const Id128& peer, const wire::PingReqReply& message);
  Status On(const Id128& peer, const wire::Gossip& message);

  // Of another member; a node that is none is alive.
  Opinion OpinionOf(const Id128& member) const;
  uint64_t incarnation() const { return incarnation_; }  // this node's own
  int awareness() const { return awareness_; }  // 0: this node's own health is not in doubt
  const Stats& stats() const { return stats_; }

 private:
  struct Probe {
    uint64_t request_id = 0;  // 0: none is under way
    int64_t until_ms = 0;
    std::set<Id128> asked;  // that have not answered
    int answered = 0;
  };
  struct Member {
    Opinion opinion;
    std::set<Id128> accusers;
    int64_t suspected_ms = 0;  // when the timeout began
    Probe probe;
    int64_t next_probe_ms = 0;
    int64_t next_told_ms = 0;  // a suspect that is reached is told so itself
    int news = 0;              // gossips that shall still speak of it
  };

  void Doubt(const Id128& id, Member& member);
  void BeginProbe(const Id128& id, Member& member);
  void EndProbe(const Id128& id, Member& member, bool reached);
  void Suspect(const Id128& id, Member& member, uint64_t incarnation, const Id128& accuser);
  void Become(const Id128& id, Member& member, wire::MemberState state, uint64_t incarnation);
  void Learn(const Id128& from, const wire::Gossip::Member& said);
  int64_t SuspicionMs(const Member& member) const;
  std::vector<Id128> SomeReached(const Id128& but);
  void SendGossip(const Id128& peer, const Id128& about);
  void GossipSome();
  int Rounds() const;

  const Id128 self_;
  uint64_t incarnation_;
  Random random_;
  Surroundings surroundings_;
  FailureDetectorTimes times_;
  std::map<Id128, Member> members_;  // the others
  int own_news_ = 0;
  int awareness_ = 0;
  int64_t now_ms_ = 0, next_gossip_ms_ = 0;
  int quiet_gossips_ = 0;  // since the last one
  uint64_t next_request_ = 1;
  Stats stats_;
};

}  // namespace redynamo
