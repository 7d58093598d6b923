// SPDX-License-Identifier: Apache-2.0
// Changes of membership on one node: what an operator asks for is proposed to the members
// (ring_register.h), and what has been decided is carried through step by step by whichever member
// is the claimant (claimant.h). Nothing of it is remembered but the documents themselves.
//
//   RING.JOIN c ──> Change ──> register: document 8, c joins
//   claimant, while something may be done:   document 9, 16 partitions begin to move
//                                            document 10, these read from their new homes …
//
// Data thread only. Times in ms of the monotonic clock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cluster/claimant.h"
#include "cluster/ring_register.h"

namespace redynamo {

class Membership : public RingRegisterHost {
 public:
  // What the node does for it.
  class Surroundings {
   public:
    virtual ~Surroundings() = default;
    virtual void SendToMember(const Id128& peer, Message message) = 0;
    virtual Status KeepVote(std::string_view state) = 0;
    // Keep it durably, adopt it, tell the others.
    virtual Status DocumentDecided(const RingDocument& document) = 0;
    // By index of members of the newest document.
    virtual std::vector<MemberReport> MemberReports() const = 0;
  };
  // ok, or why not: for an operator.
  using Done = std::function<void(const Status&)>;

  Membership(const Id128& self, Surroundings& around, Random& random, ClaimantOptions options);

  // What KeepVote was given last; before anything else.
  Status Restore(std::string_view vote) { return register_.Restore(vote); }
  void SetDocument(const RingDocument& document);

  // Has the ring decide the change. `done` is called once, not from within.
  void Change(const RingChange& change, int64_t now_ms, Done done);
  void OnProgress(const Id128& from, const wire::ViewProgress& message) {
    claimant_.OnProgress(from, message);
  }
  // The register's messages.
  template <typename Message>
  requires requires(RingRegister& to, const Message& message) { to.On(Id128{}, message, 0); }
  Status On(const Id128& peer, const Message& message, int64_t now_ms) {
    return register_.On(peer, message, now_ms);
  }
  void Tick(int64_t now_ms);

  // What this node, as claimant, has found last; null when it is not the claimant.
  const ClaimantStep* step() const { return step_ ? &*step_ : nullptr; }
  const RingRegister& ring_register() const { return register_; }

  // --- RingRegisterHost ---
  void Send(const Id128& peer, Message message) override { around_.SendToMember(peer, message); }
  Status Keep(std::string_view state) override { return around_.KeepVote(state); }
  Status Decided(const RingDocument& document) override {
    return around_.DocumentDecided(document);
  }

 private:
  // An operator's wish: makes the next document from the newest one.
  struct Wish {
    std::function<Result<RingDocument>(const RingDocument&)> next;
    int64_t deadline_ms = 0;
    Done done;
  };
  void Begin(Wish wish, int64_t now_ms);
  void Propose(int64_t now_ms);
  void EndWish(const Status& status);
  void Drive(int64_t now_ms);

  Id128 self_;
  Surroundings& around_;
  RingRegister register_;
  Claimant claimant_;
  std::optional<RingDocument> document_;
  std::optional<Wish> wish_;
  std::optional<ClaimantStep> step_;
  int64_t next_drive_ms_ = 0;
  int64_t now_ms_ = 0;
};

}  // namespace redynamo
