// SPDX-License-Identifier: Apache-2.0
// Whole nodes of a ring in one thread: the real Node on the real Engine, each on a machine of its
// own (sim_machine.h), over links that a seed delays, loses and cuts (sim_links.h), under a clock
// that a test moves. The same seed and calls give the same history.
//
//   SimRing ring(3, {.seed = 7});
//   ring.node(0).Write(...)      a command that this node coordinates; see Settled
//   ring.network().Cut(...), ring.Crash(1), ring.Start(1)
//   int d = ring.AddBlank();     a node that asks to be taken into the ring
//   ring.Settle()                everything is healed, and goes on until all replicas agree
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/node.h"
#include "tests/support/sim_links.h"
#include "tests/support/sim_machine.h"

namespace redynamo {

class SimRing;

class SimRingNode : public NodeHost, public LinkEvents {
 public:
  SimRingNode(SimRing& ring, int number);
  ~SimRingNode() override { Stop(); }

  bool Open(uint64_t seed);  // the engine alone; false when its disk is full
  // In the ring of the document that it has, or else asking to be taken into one.
  void Start();
  void Stop();  // as kill -9: what was not written is lost
  // The disk, while the node does not run. All that the node keeps is on it.
  void PowerLoss(CrashKeeps keeps) { machine_.PowerLoss(keeps); }
  void Wipe();
  void KeepCopy() { copy_ = {machine_.Copy(), document, vote_}; }
  void RestoreCopy();  // REQUIRES: KeepCopy
  bool has_copy() const { return copy_.has_value(); }
  SimMachine& machine() { return machine_; }
  // Nothing becomes durable, nothing is read from disk: the machine is that slow.
  bool disk_stands_still = false;
  bool stands_still = false;     // as SIGSTOP: SimRing::Pause
  uint64_t last_forward = 0;     // the request that a peer has sent here; a test answers it
  bool disk_is_damaged = false;  // then it may find so, and not start
  int64_t clock_ahead_ms = 0;
  uint64_t capabilities = kCapabilities;  // of the build that Start runs
  std::optional<RingDocument> document;   // as on its disk
  bool asks = true;                       // without one: to be taken in
  bool running() const { return node_ != nullptr; }
  Engine& engine() { return *engine_; }
  Node& node() { return *node_; }
  const Id128& id() const { return id_; }
  // " 9fe12d8f:1-3,5-17" for each actor: its dots.
  std::string ClockText(int partition) const {
    std::string text;
    for (const auto& [actor, dots] : engine_->ClockOf(partition).actors) {
      text += " " + ShortId(actor);
      for (const auto& [first, last] : dots.intervals()) {
        text +=
            (text.back() == ' ' ? ":" : ",") + std::to_string(first) + "-" + std::to_string(last);
      }
    }
    return text.empty() ? " (nothing)" : text;
  }
  std::string id_text() const { return std::to_string(number_) + " (" + ShortId(id_) + ")"; }

  // Reads the key from disk if it is not in memory; false while the disk stands still.
  bool MakeResident(const std::string& key);
  // Runs `change` as one command. `settled` is called when its outcome is known, at most once.
  void Write(const std::function<void(Keyspace)>& change,
             std::function<void(PendingWrites::Outcome)> settled);
  void Turn();

  // --- NodeHost ---
  void WriteSettled(const PendingWrites::Waiter& waiter, PendingWrites::Outcome outcome) override {
    auto node = waiting_.extract(waiter.reply_id);
    REQUIRE(!node.empty());
    settled_.push_back({node.mapped().position, outcome, std::move(node.mapped().settled)});
  }
  void ForwardArrived(const Id128&, const wire::Forward& command) override {
    last_forward = command.request_id;
  }
  Status KeepDocument(const RingDocument& kept) override;
  Status KeepVote(std::string_view state) override {
    vote_ = state;
    return Status::Ok();
  }

  // --- LinkEvents ---
  void OnPeerUp(const wire::Hello& hello) override { node_->OnPeerUp(hello); }
  void OnPeerChanged(const wire::Hello& hello) override { node_->OnPeerChanged(hello); }
  void OnPeerDown(const Id128& peer, LinkDown reason) override { node_->OnPeerDown(peer, reason); }
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) override {
    return node_->OnMessage(peer, kind, payload);
  }

 private:
  class OwnClock : public Clock {
   public:
    explicit OwnClock(const SimRingNode& node) : node_(node) {}
    int64_t WallMs() const override;
    int64_t MonotonicUs() const override;

   private:
    const SimRingNode& node_;
  };
  struct Kept {
    SimMachine::DiskCopy disk;
    std::optional<RingDocument> document;
    std::string vote;
  };

  SimRing& ring_;
  int number_;
  SimMachine machine_;
  OwnClock clock_{*this};
  std::optional<Kept> copy_;
  bool failed_ = false;  // its log cannot be written any more: the process has to end
  std::string vote_;
  Id128 id_{};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Node> node_;
  uint64_t next_reply_ = 1;
  using OnSettled = std::function<void(PendingWrites::Outcome)>;
  struct Reply {
    uint64_t position = 0;  // of the own log, which has to be safe too
    OnSettled settled;
  };
  std::map<uint64_t, Reply> waiting_;
  struct Settled {
    uint64_t position;
    PendingWrites::Outcome outcome;
    OnSettled settled;
  };
  std::vector<Settled> settled_;
};

class SimRing {
 public:
  // `n`: replicas of a partition; 0: as many as nodes.
  SimRing(int nodes, SimLinksOptions options, int n = 0, bool sloppy = true,
          SyncMode sync = SyncMode::kNo, int partitions = kPartitionsDefault)
      : options_{.n = n ? n : nodes, .sloppy = sloppy, .partitions = partitions},
        sync_(sync),
        network_(options),
        random_(options.seed) {
    for (int i = 0; i < nodes; i++) nodes_.push_back(std::make_unique<SimRingNode>(*this, i));
    for (auto& node : nodes_) REQUIRE(node->Open(0));
    Forming forming(SelfOf(0), uint32_t(nodes));
    for (int i = 1; i < nodes; i++) {
      REQUIRE(forming.Learn(Forming(SelfOf(i), uint32_t(nodes)).Message()).ok());
    }
    Result<RingDocument> document = FirstDocument(forming, options_.n, random_);
    REQUIRE(document.ok());
    for (int i = 0; i < nodes; i++) {
      nodes_[size_t(i)]->document = *document;
      Start(i);
    }
    for (int i = 0; i < 20; i++) Pass(100);
  }

  // `asks`: it wants to be taken in, and need not be named.
  int AddBlank(bool asks = true) {
    nodes_.push_back(std::make_unique<SimRingNode>(*this, size()));
    nodes_.back()->asks = asks;
    REQUIRE(nodes_.back()->Open(0));
    Start(size() - 1);
    return size() - 1;
  }
  void Start(int i) { nodes_[size_t(i)]->Start(); }
  // The node does and hears nothing until Resume.
  void Pause(int i) {
    nodes_[size_t(i)]->stands_still = true;
    for (auto& other : nodes_) network_.Stall(other->id(), nodes_[size_t(i)]->id());
  }
  void Resume(int i) {
    nodes_[size_t(i)]->stands_still = false;
    for (auto& other : nodes_) network_.Flow(other->id(), nodes_[size_t(i)]->id());
  }
  void Crash(int i) { nodes_[size_t(i)]->Stop(); }
  Forming::Self SelfOf(int i) const {
    std::string text = "127.0.0.1:" + std::to_string(7000 + i);
    return Forming::Self{
        .node_id = nodes_[size_t(i)]->id(), .ring_address = text, .client_address = text};
  }
  // The newest document that any running node has.
  const RingDocument& document() const {
    const RingDocument* newest = nullptr;
    for (const auto& node : nodes_) {
      if (node->document && (!newest || node->document->epoch > newest->epoch)) {
        newest = &*node->document;
      }
    }
    return *newest;
  }
  // Time goes on: ticks, and whatever messages there are by then.
  void Pass(int64_t ms) {
    clock_.AdvanceMs(ms);
    for (auto& node : nodes_) {
      if (!node->running() || node->stands_still) continue;
      node->node().Tick();
      node->engine().Tick(clock_.WallMs() + node->clock_ahead_ms, 1000);
      node->Turn();
    }
    for (int round = 0; round < 1000 && network_.Step(); round++) {
      for (auto& node : nodes_) {
        if (node->running() && !node->stands_still) node->Turn();
      }
    }
  }
  // No faults any more, but for nodes that do not run.
  void Heal() {
    network_.HealAll();
    for (auto& node : nodes_) {
      node->stands_still = node->disk_stands_still = false;
      node->machine().files().SetCapacity(SimMachine::kDiskBytes);
    }
  }
  // Until no change is under way, every node knows that all writers have all of it, and nobody
  // keeps anything for others; false when that takes too long. Those in `lost` stay away.
  bool Settle(const std::set<int>& lost = {}) {
    Heal();
    for (int i = 0; i < size(); i++) {
      if (!lost.contains(i) && !nodes_[size_t(i)]->running()) Start(i);
    }
    for (int round = 0; round < 3000; round++) {
      Pass(100);
      if (AtRest()) return true;
    }
    return false;
  }
  bool AtRest() const {
    const RingDocument& newest = document();
    for (const View& view : newest.views) {
      if (!view.settled()) return false;
    }
    for (const Member& member : newest.members) {
      if (member.state == MemberState::kJoining || member.state == MemberState::kLeaving) {
        return false;
      }
    }
    for (const auto& node : nodes_) {
      if (!node->running()) continue;
      const Node& real = node->node();
      if (!real.formed() || real.document().epoch != newest.epoch) return false;
      if (real.guests()->partitions() > 0 || real.pending_writes().unsettled() > 0) return false;
      if (!real.removed() && !real.exchange()->AllTold()) return false;
    }
    return true;
  }

  // Why it is not at rest.
  std::string Describe() const {
    std::string out;
    for (const auto& node : nodes_) {
      out += "\n" + node->id_text() + ": ";
      if (!node->running() || !node->node().formed()) {
        out += node->running() ? "no ring" : "down";
        continue;
      }
      const Node& real = node->node();
      int moving = 0;
      for (const View& view : real.document().views) moving += !view.settled();
      out += "epoch " + std::to_string(real.document().epoch) + ", " + std::to_string(moving) +
             " moving" + (real.removed() ? ", removed" : "") +
             (real.exchange()->AllTold() ? "" : ", not all told") + ", keeps " +
             std::to_string(real.guests()->partitions()) + ", fetches " +
             std::to_string(real.transfer()->running());
      for (const GuestReport& report : real.guests()->Report(0)) {
        out += "\n  keeps " + std::to_string(report.partition) + " owed to " +
               std::to_string(report.owed_to.size()) + ": clock" +
               node->ClockText(report.partition);
        for (const auto& other : nodes_) {
          if (!other->running() || !other->node().formed()) continue;
          out += "\n    at " + other->id_text() + ":" + other->ClockText(report.partition) +
                 (other->node().PlaceOf(report.partition).self_writes ? "w" : "") +
                 (other->node().exchange()->GuestsOf(report.partition).empty() ? "" : "g");
        }
      }
      if (const ClaimantStep* step = real.membership()->step()) {
        for (const std::string& line : step->waiting) out += "\n  " + line;
      }
    }
    return out;
  }

  SimRingNode& node(int i) { return *nodes_[size_t(i)]; }
  int size() const { return int(nodes_.size()); }
  SimRingNode* Find(const Id128& id) {
    for (auto& node : nodes_) {
      if (node->id() == id) return node.get();
    }
    return nullptr;
  }
  SimNetwork& network() { return network_; }
  ManualClock& clock() { return clock_; }
  Random& random() { return random_; }
  const NodeOptions& options() const { return options_; }
  SyncMode sync() const { return sync_; }

 private:
  NodeOptions options_;
  SyncMode sync_;
  ManualClock clock_;
  SimNetwork network_;
  Random random_;
  std::vector<std::unique_ptr<SimRingNode>> nodes_;
};

inline SimRingNode::SimRingNode(SimRing& ring, int number)
    : ring_(ring), number_(number), machine_(ring.random().Next()) {}

inline int64_t SimRingNode::OwnClock::WallMs() const {
  return node_.ring_.clock().WallMs() + node_.clock_ahead_ms;
}
inline int64_t SimRingNode::OwnClock::MonotonicUs() const {
  return node_.ring_.clock().MonotonicUs();
}

inline void SimRingNode::Wipe() {
  machine_.Wipe();
  document.reset();
  vote_.clear();
}

inline void SimRingNode::RestoreCopy() {
  machine_.Restore(copy_->disk);
  document = copy_->document;
  vote_ = copy_->vote;
}

inline bool SimRingNode::Open(uint64_t seed) {
  EngineOptions options;
  options.dir = "data";
  options.environment = &machine_;
  options.databases = 1;
  options.sync = ring_.sync();
  options.log_segment_bytes = 64 << 10;
  options.warm_up = false;
  options.keep_dots = true;
  options.seed = seed;
  options.partitions = ring_.options().partitions;
  if (number_ % 3 == 1) options.hashed_rows_max = 0;  // all of its sets are large ones
  EngineHooks hooks;
  hooks.on_own_record = [this](const OwnRecord& record) {
    if (node_) node_->OnOwnRecord(record);
  };
  hooks.on_fatal = [this](const Status&) { failed_ = true; };
  auto engine = Engine::Open(options, hooks, &clock_);
  bool full = machine_.files().FreeBytes("data").ok() &&
              *machine_.files().FreeBytes("data") < SimMachine::kDiskBytes / 2;
  bool found = disk_is_damaged && engine.status().code() == StatusCode::kCorruption;
  if (!engine.ok() && (full || found)) return false;  // the process says why, and ends
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  engine_ = std::move(*engine);
  id_ = engine_->NodeId();
  return true;
}

inline void SimRingNode::Start() {
  engine_.reset();
  failed_ = false;
  if (!Open(document ? document->seed : 0)) return;
  wire::Hello hello;
  hello.node_id = id_;
  if (document) hello.cluster_id = document->cluster_id;
  hello.partitions = uint32_t(ring_.options().partitions);
  hello.databases = 1;
  hello.capabilities = capabilities;
  NodeOptions options = ring_.options();
  options.databases = 1;
  options.capabilities = capabilities;
  options.ring_address = options.client_address = ring_.SelfOf(number_).ring_address;
  Links& links = ring_.network().Add(hello, this);
  node_ = std::make_unique<Node>(clock_, links, *this, ring_.random().Next(), options);
  if (document) {
    REQUIRE(node_->Join(engine_.get(), *document, vote_).ok());
  } else {
    node_->AwaitRing(ring_.SelfOf(number_), asks);
  }
}

inline Status SimRingNode::KeepDocument(const RingDocument& kept) {
  bool first = !document;
  document = kept;
  if (!first) return Status::Ok();
  node_->SetEngine(nullptr);
  engine_.reset();
  REQUIRE(Open(document->seed));
  node_->SetEngine(engine_.get());
  return Status::Ok();
}

inline void SimRingNode::Stop() {
  if (!node_) return;
  ring_.network().Remove(id_);
  node_.reset();
  engine_.reset();
  waiting_.clear();
  settled_.clear();
}

inline bool SimRingNode::MakeResident(const std::string& key) {
  KeyRef ref{0, key};
  while (!engine_->Resident({&ref, 1})) {
    if (disk_stands_still) return false;
    bool loaded = false;
    engine_->Load({&ref, 1}, [&](const Status& status) {
      REQUIRE_MESSAGE(status.ok(), status.message());
      loaded = true;
    });
    while (!loaded) {
      engine_->RunBackground();
      engine_->Poll();
    }
  }
  return true;
}

inline void SimRingNode::Write(const std::function<void(Keyspace)>& change,
                               std::function<void(PendingWrites::Outcome)> settled) {
  uint64_t before = node_->last_record();
  if (!engine_->ReserveWrite(1 << 10).ok()) return;  // a full disk: -MISCONF
  engine_->BeginCommand(clock_.WallMs());
  change(engine_->Database(0));
  uint64_t position = engine_->EndCommand();
  if (node_->last_record() == before) return;
  uint64_t reply_id = next_reply_++;
  waiting_[reply_id] = {position, std::move(settled)};
  node_->Await(node_->last_record(), {1, reply_id});
}

inline void SimRingNode::Turn() {
  if (!disk_stands_still) engine_->RunBackground();
  engine_->Poll();
  Status written = engine_->WriteTurn();
  if (failed_) return Stop();  // as exit code 74
  REQUIRE_MESSAGE(written.ok(), written.message());
  node_->TurnWritten();
  std::erase_if(settled_, [&](const Settled& reply) {
    if (reply.position > engine_->ReplyPosition()) return false;
    reply.settled(reply.outcome);
    return true;
  });
}

}  // namespace redynamo
