// SPDX-License-Identifier: Apache-2.0
// Whole nodes of a ring in one thread: the real Node on the real Engine, each in a directory of its
// own, over links that a seed delays, loses and cuts (sim_links.h), under a clock that a test
// moves.
//
//   SimRing ring(3, seed);
//   ring.node(0).Write(...)      a command that this node coordinates; see Settled
//   ring.network().Cut(...), ring.Crash(1), ring.Start(1)
//   ring.Settle()                everything is healed, and goes on until all replicas agree
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/node.h"
#include "tests/support/sim_links.h"

namespace redynamo {

class SimRing;

class SimRingNode : public NodeHost, public LinkEvents {
 public:
  SimRingNode(SimRing& ring, int number);
  ~SimRingNode() override {
    Stop();
    std::filesystem::remove_all(dir_);
  }

  void Open(uint64_t seed);  // the engine alone
  void Start(const RingDocument& document);
  void Stop();  // as kill -9: what was not written is lost
  bool running() const { return node_ != nullptr; }
  Engine& engine() { return *engine_; }
  Node& node() { return *node_; }
  const Id128& id() const { return id_; }

  // Runs `change` as one command. `settled` is called when its outcome is known, at most once.
  void Write(const std::function<void(Keyspace)>& change,
             std::function<void(PendingWrites::Outcome)> settled);
  void Turn();

  // --- NodeHost ---
  void WriteSettled(const PendingWrites::Waiter& waiter, PendingWrites::Outcome outcome) override {
    auto node = waiting_.extract(waiter.reply_id);
    REQUIRE(!node.empty());
    node.mapped()(outcome);
  }
  void ForwardArrived(const Id128&, const wire::Forward&) override {}
  Status KeepDocument(const RingDocument&) override { return Status::Ok(); }

  // --- LinkEvents ---
  void OnPeerUp(const wire::Hello& hello) override { node_->OnPeerUp(hello); }
  void OnPeerChanged(const wire::Hello& hello) override { node_->OnPeerChanged(hello); }
  void OnPeerDown(const Id128& peer, LinkDown reason) override { node_->OnPeerDown(peer, reason); }
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) override {
    return node_->OnMessage(peer, kind, payload);
  }

 private:
  SimRing& ring_;
  std::string dir_;
  Id128 id_{};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Node> node_;
  uint64_t next_reply_ = 1;
  std::map<uint64_t, std::function<void(PendingWrites::Outcome)>> waiting_;
};

class SimRing {
 public:
  SimRing(int nodes, SimLinksOptions options) : network_(options), random_(options.seed) {
    for (int i = 0; i < nodes; i++) nodes_.push_back(std::make_unique<SimRingNode>(*this, i));
    auto self = [](const SimRingNode& node, int port) {
      std::string text = "127.0.0.1:" + std::to_string(port);
      return Forming::Self{node.id(), text, text};
    };
    for (auto& node : nodes_) node->Open(0);
    Forming forming(self(*nodes_[0], 7000), uint32_t(nodes));
    for (int i = 1; i < nodes; i++) {
      Forming other(self(*nodes_[size_t(i)], 7000 + i), uint32_t(nodes));
      REQUIRE(forming.Learn(other.Message()).ok());
    }
    Result<RingDocument> document = FirstDocument(forming, nodes, random_);
    REQUIRE(document.ok());
    document_ = *document;
    for (int i = 0; i < nodes; i++) Start(i);
    for (int i = 0; i < 20; i++) Pass(100);
  }

  void Start(int i) { nodes_[size_t(i)]->Start(document_); }
  void Crash(int i) { nodes_[size_t(i)]->Stop(); }
  // Time goes on: ticks, and whatever messages there are by then.
  void Pass(int64_t ms) {
    clock_.AdvanceMs(ms);
    for (auto& node : nodes_) {
      if (!node->running()) continue;
      node->node().Tick();
      node->engine().Tick(clock_.WallMs(), 1000);
      node->Turn();
    }
    for (int round = 0; round < 1000 && network_.Step(); round++) {
      for (auto& node : nodes_) {
        if (node->running()) node->Turn();
      }
    }
  }
  // Until every node knows that all others have all of it; false when that takes too long.
  bool Settle() {
    network_.HealAll();
    for (int i = 0; i < int(nodes_.size()); i++) {
      if (!nodes_[size_t(i)]->running()) Start(i);
    }
    for (int round = 0; round < 600; round++) {
      Pass(100);
      bool all = true;
      for (auto& node : nodes_) all = all && node->node().exchange()->AllTold();
      if (all) return true;
    }
    return false;
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

 private:
  ManualClock clock_;
  SimNetwork network_;
  Random random_;
  RingDocument document_;
  std::vector<std::unique_ptr<SimRingNode>> nodes_;
};

inline SimRingNode::SimRingNode(SimRing& ring, int number) : ring_(ring) {
  char name[] = "/tmp/sim_ring_XXXXXX";
  dir_ = mkdtemp(name);
}

inline void SimRingNode::Open(uint64_t seed) {
  EngineOptions options;
  options.dir = dir_;
  options.databases = 1;
  options.sync = SyncMode::kNo;
  options.log_segment_bytes = 1 << 20;
  options.warm_up = false;
  options.keep_dots = true;
  options.seed = seed;
  EngineHooks hooks;
  hooks.on_own_record = [this](const OwnRecord& record) {
    if (node_) node_->OnOwnRecord(record);
  };
  auto engine = Engine::Open(options, hooks, &ring_.clock());
  REQUIRE(engine.ok());
  engine_ = std::move(*engine);
  id_ = engine_->NodeId();
}

inline void SimRingNode::Start(const RingDocument& document) {
  engine_.reset();
  Open(document.seed);
  wire::Hello hello;
  hello.node_id = id_;
  hello.cluster_id = document.cluster_id;
  hello.partitions = uint32_t(document.partitions());
  hello.databases = 1;
  NodeOptions options;
  options.n = int(document.members.size());
  options.databases = 1;
  Links& links = ring_.network().Add(hello, this);
  node_ = std::make_unique<Node>(ring_.clock(), links, *this, ring_.random().Next(), options);
  REQUIRE(node_->Join(engine_.get(), document).ok());
}

inline void SimRingNode::Stop() {
  if (!node_) return;
  ring_.network().Remove(id_);
  node_.reset();
  engine_.reset();
  waiting_.clear();
}

inline void SimRingNode::Write(const std::function<void(Keyspace)>& change,
                               std::function<void(PendingWrites::Outcome)> settled) {
  uint64_t before = node_->last_record();
  engine_->BeginCommand(ring_.clock().WallMs());
  change(engine_->Database(0));
  engine_->EndCommand();
  if (node_->last_record() == before) return;
  uint64_t reply_id = next_reply_++;
  waiting_[reply_id] = std::move(settled);
  node_->Await(node_->last_record(), {1, reply_id});
}

inline void SimRingNode::Turn() {
  engine_->Poll();
  REQUIRE(engine_->WriteTurn().ok());
  node_->TurnWritten();
}

}  // namespace redynamo
