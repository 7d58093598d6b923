// SPDX-License-Identifier: Apache-2.0
// Ring registers of up to seven nodes over a network that loses, delays, doubles and reorders what
// is sent, with disks that fail and processes that end and come back with what they had kept. One
// seed is one history. Messages travel encoded. Whatever is decided or adopted is compared: per
// epoch there is one document, or fault() says what there is.
//
// A lie makes one promise of the protocol untrue, to prove that the comparison notices.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "cluster/plan.h"
#include "cluster/ring_register.h"

namespace redynamo {

enum class RegisterLie {
  kNone,
  kKeepForgets,           // what was kept is gone after a crash
  kPromiseHidesAccepted,  // a promise does not say what was accepted before
  kRefusalCounts,         // a vote that was refused is counted
};

struct RegisterSimOptions {
  uint64_t seed = 1;
  int nodes = 5;
  int members = 5;    // at first; others are joined, and may be removed, by changes
  bool rough = true;  // losses, long delays, crashes, failing disks
  RegisterLie lie = RegisterLie::kNone;
};

class RegisterSim {
 public:
  struct Outcome {
    uint64_t epoch = 0;
    std::string document;
    RingDecision decision;
  };

  explicit RegisterSim(RegisterSimOptions options)
      : options_(options), random_(options.seed), rough_(options.rough) {
    loss_percent_ = rough_ ? (random_.Below(4) * 15) : 0;
    RingDocument first;
    first.cluster_id.fill(7);
    first.epoch = 1;
    first.n = 1;
    first.views.resize(4);
    for (View& view : first.views) view = {1, ViewPhase::kOld, {0}};
    for (int i = 0; i < options.members; i++) {
      first.members.push_back(MemberOf(i));
      first.members.back().state = MemberState::kMember;
    }
    decided_[1] = EncodeRingDocument(first);
    for (int i = 0; i < options.nodes; i++) {
      nodes_.push_back(std::make_unique<Node>(*this, i));
      if (i < options.members) nodes_.back()->disk_document = decided_[1];
      nodes_.back()->Start();
    }
  }

  static Id128 IdOf(int node) {
    Id128 id{};
    id[0] = uint8_t(node + 1);
    return id;
  }
  static Member MemberOf(int node) {
    Member member;
    member.id.bytes = IdOf(node);
    member.ring_address = {"10.0.0." + std::to_string(node + 1), 17379};
    return member;
  }

  int64_t now_ms() const { return now_ms_; }
  bool up(int node) const { return nodes_[size_t(node)]->register_ != nullptr; }
  const RingDocument* document(int node) const {
    const auto& held = nodes_[size_t(node)]->document;
    return held ? &*held : nullptr;
  }
  uint64_t newest_epoch() const { return decided_.rbegin()->first; }
  RingDocument newest() const { return *DecodeRingDocument(decided_.rbegin()->second); }
  const std::vector<Outcome>& outcomes() const { return outcomes_; }
  uint64_t rounds() const { return rounds_; }

  // The first thing that is wrong, or "".
  std::string fault() const {
    if (!fault_.empty()) return fault_;
    for (const Outcome& outcome : outcomes_) {
      auto found = decided_.find(outcome.epoch);
      bool came = found != decided_.end() && found->second == outcome.document;
      RingOutcome said = outcome.decision.outcome;
      if (said == RingOutcome::kDecided && !came) return "told that it is decided, but it is not";
      bool may = outcome.decision.may_come || said == RingOutcome::kDecided ||
                 said == RingOutcome::kAnotherFirst;
      if (came && !may) return "told that it will not come, but it did: " + outcome.decision.text;
    }
    return "";
  }

  // A change that no other proposal makes. One in three also lets a node come or go.
  RingDocument Change(const RingDocument& before) {
    RingDocument next = before;
    next.epoch++;
    next.members[0].capabilities = ++unique_;
    if (random_.Below(3) > 0 || options_.nodes == 1) return next;
    int node = int(1 + random_.Below(uint64_t(options_.nodes - 1)));
    std::optional<MemberIndex> known = next.Find(NodeId{IdOf(node)});
    if (!known) {
      next.members.push_back(MemberOf(node));
    } else if (next.members[*known].in_ring()) {
      next.members[*known].state = MemberState::kRemoved;
    } else {
      next.members[*known].state = MemberState::kJoining;
      next.members[*known].incarnation++;
    }
    return next;
  }

  // At the node, on the document that it has. Its end is in outcomes().
  void Propose(int node, int64_t limit_ms) {
    Node& at = *nodes_[size_t(node)];
    if (!at.register_ || !at.document) return;
    Outcome outcome;
    RingDocument next = Change(*at.document);
    outcome.epoch = next.epoch;
    outcome.document = EncodeRingDocument(next);
    at.register_->Propose(next, now_ms_, now_ms_ + limit_ms,
                          [this, outcome](const RingDecision& decision) mutable {
                            outcome.decision = decision;
                            outcomes_.push_back(outcome);
                          });
  }

  void Crash(int node) { nodes_[size_t(node)]->Stop(); }
  void Restart(int node) {
    if (!up(node)) nodes_[size_t(node)]->Start();
  }
  // From now on nothing goes wrong, and everybody is there.
  void Heal() {
    rough_ = false;
    loss_percent_ = 0;
    for (int i = 0; i < options_.nodes; i++) Restart(i);
  }

  void Run(int64_t ms) {
    for (int64_t end = now_ms_ + ms; now_ms_ < end && fault_.empty();) {
      now_ms_ += kStepMs;
      while (!queue_.empty() && queue_.begin()->first.first <= now_ms_) {
        Event event = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        Deliver(event);
      }
      for (auto& node : nodes_) {
        if (node->register_) node->register_->Tick(now_ms_);
        if (random_.Below(rough_ ? 200 : 20) == 0) node->Gossip();
      }
      if (rough_) Trouble();
    }
  }

 private:
  static constexpr int64_t kStepMs = 5;
  struct Event {
    int from = 0, to = 0;
    MessageKind kind = MessageKind::kRingGet;
    std::string payload;
  };

  struct Node : RingRegisterHost {
    Node(RegisterSim& sim, int index) : sim(sim), index(index) {}
    RegisterSim& sim;
    int index;
    std::string disk_document, disk_votes;
    std::optional<RingDocument> document;
    std::unique_ptr<RingRegister> register_;

    void Start() {
      document.reset();
      register_ = std::make_unique<RingRegister>(IdOf(index), *this, sim.random_);
      if (!disk_votes.empty()) CHECK_THAT(register_->Restore(disk_votes).ok());
      if (disk_document.empty()) return;
      document = *DecodeRingDocument(disk_document);
      register_->SetDocument(*document);
    }
    void Stop() {
      if (register_) sim.rounds_ += register_->rounds();
      register_.reset();
    }
    void Gossip() {
      if (!register_) return;
      int to = int(sim.random_.Below(sim.nodes_.size()));
      Send(IdOf(to), wire::RingGet{document ? document->epoch : 0});
    }
    void Adopt(const RingDocument& next) {
      sim.Compare(next.epoch, EncodeRingDocument(next));
      if (document && next.epoch <= document->epoch) return;
      disk_document = EncodeRingDocument(next);
      document = next;
      register_->SetDocument(next);
    }

    void Send(const Id128& peer, Message message) override {
      std::string payload;
      message.EncodeTo(&payload);
      sim.Enqueue({index, peer[0] - 1, message.kind(), std::move(payload)});
    }
    Status Keep(std::string_view state) override {
      bool fails = sim.rough_ && sim.random_.Below(50) == 0;
      bool kept = !fails || sim.random_.Below(2) == 0;
      if (kept && sim.options_.lie != RegisterLie::kKeepForgets) disk_votes = state;
      if (fails) return {StatusCode::kIoError, "the disk fails"};
      return Status::Ok();
    }
    Status Decided(const RingDocument& next) override {
      if (sim.rough_ && sim.random_.Below(50) == 0) {
        sim.Compare(next.epoch, EncodeRingDocument(next));
        return {StatusCode::kIoError, "the disk fails"};
      }
      Adopt(next);
      std::string bytes = EncodeRingDocument(next);
      for (size_t i = 0; i < sim.nodes_.size(); i++) {
        bool told = !sim.rough_ || sim.random_.Below(3) == 0;
        if (told && int(i) != index) Send(IdOf(int(i)), wire::RingDocument{next.epoch, bytes});
      }
      return Status::Ok();
    }
  };

  void Compare(uint64_t epoch, const std::string& bytes) {
    auto [found, fresh] = decided_.emplace(epoch, bytes);
    if (found->second != bytes && fault_.empty()) {
      fault_ = fmt::format("two documents of epoch {}", epoch);
    }
  }

  void Enqueue(Event event) {
    if (random_.Below(100) < loss_percent_) return;
    int copies = rough_ && random_.Below(10) == 0 ? 2 : 1;
    for (int i = 0; i < copies; i++) {
      uint64_t longest = rough_ && random_.Below(10) == 0 ? 600 : 20;
      queue_[{now_ms_ + int64_t(random_.Below(longest)), sequence_++}] = event;
    }
  }

  void Deliver(const Event& event) {
    Node& node = *nodes_[size_t(event.to)];
    if (!node.register_) return;
    Status status = VisitMessage(event.kind, event.payload, [&](const auto& body) {
      return Receive(node, IdOf(event.from), body);
    });
    if (!status.ok() && fault_.empty()) fault_ = "refused bytes: " + status.message();
  }

  Status Receive(Node& node, const Id128& from, wire::RingPromise message) {
    if (options_.lie == RegisterLie::kPromiseHidesAccepted) message.accepted = {};
    return node.register_->On(from, message, now_ms_);
  }
  Status Receive(Node& node, const Id128& from, wire::RingAccepted message) {
    if (options_.lie == RegisterLie::kRefusalCounts) message.granted = true;
    return node.register_->On(from, message, now_ms_);
  }
  Status Receive(Node& node, const Id128& from, const wire::RingGet& message) {
    if (node.document && node.document->epoch > message.have_epoch) {
      std::string bytes = EncodeRingDocument(*node.document);
      node.Send(from, wire::RingDocument{node.document->epoch, bytes});
    }
    return Status::Ok();
  }
  Status Receive(Node& node, const Id128& from, const wire::RingDocument& message) {
    Result<RingDocument> document = DecodeRingDocument(message.document);
    if (!document.ok()) return document.status();
    node.Adopt(*document);
    return Status::Ok();
  }
  template <typename T>
  Status Receive(Node& node, const Id128& from, const T& message) {
    if constexpr (requires { node.register_->On(from, message, now_ms_); }) {
      return node.register_->On(from, message, now_ms_);
    }
    return Status::Ok();
  }

  void Trouble() {
    int node = int(random_.Below(nodes_.size()));
    switch (random_.Below(100)) {
      case 0:
      case 1: Crash(node); break;
      case 2:
      case 3:
      case 4:
      case 5:
      case 6: Restart(node); break;
      case 7:
      case 8:
      case 9: Propose(node, int64_t(50 + random_.Below(1500))); break;
      case 10:  // several at once
        for (int i = 0; i < options_.nodes; i++) Propose(i, int64_t(50 + random_.Below(1500)));
        break;
      default: break;
    }
  }

  const RegisterSimOptions options_;
  Random random_;
  bool rough_;
  uint64_t loss_percent_ = 0;
  int64_t now_ms_ = 0;
  uint64_t sequence_ = 0, unique_ = 0, rounds_ = 0;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<std::pair<int64_t, uint64_t>, Event> queue_;
  std::map<uint64_t, std::string> decided_;  // by epoch
  std::vector<Outcome> outcomes_;
  std::string fault_;
};

}  // namespace redynamo
