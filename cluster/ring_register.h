// SPDX-License-Identifier: Apache-2.0
// How members decide the next ring document by majority (REPLICATION.md section 6; CASPaxos,
// Rystsov 2018, after Lamport's single-decree Paxos).
//
// Each epoch is an instance of its own: document e + 1 is decided once a majority of the members of
// document e has accepted it under one ballot. So whoever has decided document e knows who votes on
// the next, and there is one history of documents, whoever is cut off, slow or dead.
//
//   proposer, round 1            members of document e (A, itself; B; C)
//   PREPARE(e+1, 1.A)     ──>    promise: nothing from lower ballots; what was accepted so far?
//   majority promised     <──    PROMISE(granted, accepted ballot and document, if any)
//   ACCEPT(e+1, 1.A, doc) ──>    doc is the one accepted under the highest ballot, else its own
//   majority accepted     <──    ACCEPTED: decided; all are told by RING_DOCUMENT
//
// A promise and an acceptance are durable before they are answered. A node promises its own ballot
// durably before it asks others, so no ballot is ever used for two documents. A member that has
// decided more answers with its document; one that has decided less asks for it and does not vote.
// Where another ballot came first, the proposer waits for a random, growing while and asks in a
// higher round. One that finds another's document accepted carries that one through, and tells its
// caller that another change came first.
//
// A document may add or remove one member at most, so that majorities of neighbouring documents
// have a member in common, and a node that has missed some hears of them.
//
// No sockets, files or timers. One thread. Times in ms of any clock that does not go back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "cluster/message.h"
#include "cluster/ring_document.h"

namespace redynamo {

// Whether `next` may be decided after `before`: the epoch is one higher, the ring is the same
// (cluster id, seed, partitions), members keep their places, one member at most comes into or goes
// out of the ring, and each view is the same or one step further; or a removed member is left out,
// and nothing else is changed. kInvalidArgument says what is wrong. REQUIRES: both are valid ring
// documents.
Status ValidateSuccessor(const RingDocument& before, const RingDocument& next);

enum class RingOutcome : uint8_t {
  kDecided,       // the proposed document is the ring's
  kAnotherFirst,  // another one is: make the change anew on that, if it still is one. Where the
                  // ring is several documents further, the own one may be among them.
  kNoMajority,    // not enough members answered in time
  kNotKept,       // this node's storage failed
  kRefused,       // not a successor of the newest document, or not by this node, or not now
};

struct RingDecision {
  RingOutcome outcome = RingOutcome::kDecided;
  // Members may have accepted the document: somebody may carry it through later. Only with
  // kNoMajority and kNotKept.
  bool may_come = false;
  std::string text;  // what an operator reads: who answered, who is missing, what is wrong
};

// The register's surroundings.
class RingRegisterHost {
 public:
  virtual ~RingRegisterHost() = default;
  // May lose it. `message` is valid until this returns; nothing of the register is called within.
  virtual void Send(const Id128& peer, Message message) = 0;
  // Keeps `state` durably in place of what was kept before; when it cannot, the register does not
  // answer. An error must not leave a mixture of both.
  virtual Status Keep(std::string_view state) = 0;
  // By this node's proposal `document` has been decided: keep it durably, adopt it and tell all
  // members. May call SetDocument. An error does not undo the decision.
  virtual Status Decided(const RingDocument& document) = 0;
};

struct RingRegisterTimes {
  int64_t resend_ms = 200;       // to those who have not answered
  int64_t backoff_min_ms = 50;   // before another round; each time twice as long, and up to as much
  int64_t backoff_max_ms = 800;  // again is added at random
};

class RingRegister {
 public:
  using Done = std::function<void(const RingDecision&)>;

  // `host` and `random` must outlive the register.
  RingRegister(const Id128& self, RingRegisterHost& host, Random& random,
               RingRegisterTimes times = {});

  // What Keep was given last, before the first message or proposal; nothing when there was none.
  // kCorruption, or kUnsupported for a newer format: then the node may have promised what it does
  // not know any more, and must not be run as a member. Bytes from a backup are as bad.
  Status Restore(std::string_view state);

  // The newest decided document, whether it came by gossip, from disk or by Decided; it is durable
  // here. Older ones are ignored.
  void SetDocument(const RingDocument& document);

  // Lets `next`, made from the newest document, be decided. `done` is called once, from On or Tick,
  // as their last action; it may call Propose. While one proposal is under way others are refused.
  void Propose(const RingDocument& next, int64_t now_ms, int64_t deadline_ms, Done done);
  bool proposing() const { return proposal_.has_value(); }

  // From `peer`. kCorruption: the message cannot come from a member that works, close its link.
  Status On(const Id128& peer, const wire::RingPrepare& message, int64_t now_ms);
  Status On(const Id128& peer, const wire::RingPromise& message, int64_t now_ms);
  Status On(const Id128& peer, const wire::RingAccept& message, int64_t now_ms);
  Status On(const Id128& peer, const wire::RingAccepted& message, int64_t now_ms);
  // Some times a second.
  void Tick(int64_t now_ms);

  // --- figures ---
  uint64_t rounds() const { return rounds_; }        // begun by this node
  uint64_t decisions() const { return decisions_; }  // that its proposals came to
  // The ballot and epoch for which this node has accepted something that is not known to be decided
  // (0: none).
  uint64_t accepted_epoch() const;

 private:
  // What is kept. Of one instance only: when that is decided, nobody's vote on it is needed.
  struct Acceptor {
    uint64_t epoch = 0;  // of the document to be decided
    wire::Ballot promised{}, accepted{};
    std::string document;  // what was accepted
  };
  struct Proposal {
    enum State : uint8_t { kPreparing, kAccepting };
    uint64_t epoch = 0;
    std::string own;            // the caller's document
    std::vector<Id128> voters;  // the members of the document before
    Done done;
    int64_t begun_ms = 0, deadline_ms = 0;
    State state = kPreparing;
    wire::Ballot ballot{};
    std::set<Id128> granted, refused;  // in this state of this round
    std::set<Id128> answered;          // anything, at any time
    wire::Ballot found{};              // the highest accepted one among the promises
    std::string value;                 // what is to be accepted
    uint64_t highest_round = 0;        // that anybody said to have promised
    bool own_left = false;             // somebody may have accepted the own document
    int rounds = 0;
    int64_t resend_at_ms = 0;
    int64_t next_round_at_ms = 0;  // 0: no need of one yet
  };
  struct Ended {
    RingDecision decision;
    Done done;
  };

  Status KeepAcceptor(Acceptor next);
  // The acceptor of this epoch, a blank one if nothing was promised yet.
  Acceptor AcceptorOf(uint64_t epoch) const;
  // Whether this node answers `peer` about this epoch; else tells or asks who is behind.
  bool Votes(const Id128& peer, uint64_t epoch);
  // Whether the answer is one to what the proposal asks now.
  bool Answers(const Id128& peer, uint64_t epoch, const wire::Ballot& ballot,
               const wire::Ballot& promised, Proposal::State state);
  Result<RingDocument> DecodeSuccessor(std::string_view bytes) const;

  void StartRound(int64_t now_ms);
  void TryAccept(int64_t now_ms);
  void TryDecide();
  void Ask(int64_t now_ms);
  void NoteRefusal(const Id128& peer, int64_t now_ms);
  bool Majority() const;
  void EndByDeadline();
  void End(RingOutcome outcome, std::string text);
  void CallDone();
  std::string NameOf(const Id128& id) const;

  const Id128 self_;
  RingRegisterHost& host_;
  Random& random_;
  const RingRegisterTimes times_;
  std::optional<RingDocument> document_;
  Acceptor acceptor_;
  std::optional<Proposal> proposal_;
  std::vector<Ended> ended_;  // whose callers have not been told
  uint64_t rounds_ = 0, decisions_ = 0;
};

}  // namespace redynamo
