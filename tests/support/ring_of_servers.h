// SPDX-License-Identifier: Apache-2.0
// Servers without sockets that form a ring: the real Server and Ring each, in a directory of its
// own, over links that a seed delays and a test breaks (sim_links.h), under a clock that moves only
// when a test says so. There may be more of them than replicas of a key.
//
//   RingOfServers ring(5, 3);              five nodes, three replicas
//   RingClient client(ring, 0);            of the first node
//   CHECK(client("SET k v") == "+OK\r\n");
//   ring.Stop(1); ring.PassUntil(...); ring.Start(1);
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/claim.h"
#include "cluster/forming.h"
#include "server/ring.h"
#include "server/server.h"
#include "server/tsc_clock.h"
#include "tests/support/sim_links.h"

namespace redynamo {

class RingClient;

class RingServer {
 public:
  RingServer(const Clock& clock, const std::string& options, int partitions)
      : clock_(clock),
        options_(options + "ring-partitions " + std::to_string(partitions) + "\n"),
        partitions_(partitions) {
    char name[] = "/tmp/ring_server_XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~RingServer() {
    Stop(nullptr);
    std::filesystem::remove_all(dir_);
  }

  // Makes the data directory; gives the node's id.
  Id128 Prepare() {
    EngineOptions options;
    options.dir = dir_;
    options.log_segment_bytes = 1 << 20;
    options.partitions = partitions_;
    auto engine = Engine::Open(options, {}, &clock_);
    REQUIRE(engine.ok());
    id_ = (*engine)->NodeId();
    REQUIRE((*engine)->Close(false).ok());
    return id_;
  }

  void Start(const RingDocument& document, SimNetwork* network) {
    std::ofstream(dir_ + "/ring", std::ios::binary) << EncodeRingDocument(document);
    settings_ = std::make_unique<Settings>();
    std::string text =
        "dir " + dir_ + "\nappendfsync no\nwarm-up no\nlog-segment-bytes 1mb\n" + options_;
    REQUIRE(settings_->LoadText(text, "the test").ok());
    server_ = std::make_unique<Server>(settings_.get(), &clock_, 1);
    ring_ = std::make_unique<Ring>(*server_, [] {});
    REQUIRE(ring_->Load().ok());
    wire::Hello hello;
    hello.node_id = id_;
    hello.cluster_id = document.cluster_id;
    hello.partitions = uint32_t(document.partitions());
    hello.databases = 16;
    hello.capabilities = capabilities;
    ring_->SetLinks(&network->Add(hello, ring_.get()));
    server_->SetRing(ring_.get());
    EngineHooks hooks =
        server_->MakeEngineHooks([] {}, [](const Status& status) { FAIL(status.message()); });
    auto engine = Engine::Open(server_->MakeEngineOptions(), hooks, &clock_);
    REQUIRE_MESSAGE(engine.ok(), engine.status().message());
    server_->AttachEngine(std::move(*engine));
    REQUIRE(ring_->EngineReady(&server_->engine()).ok());
  }
  // As if the process were killed.
  void Stop(SimNetwork* network) {
    if (!server_) return;
    if (network) network->Remove(id_);
    if (server_->has_engine()) ring_->EngineGone();
    ring_.reset();
    server_->SetRing(nullptr);
    server_.reset();
    settings_.reset();
  }
  bool running() const { return server_ != nullptr; }

  void Turn() {
    server_->PollEngine();
    ring_->ResumeSettled();
    REQUIRE(server_->EndTurn().ok());
    ring_->TurnWritten();
    ring_->Flush(server_->ReleasablePosition());
  }
  void Tick() {
    server_->Tick(1000);
    ring_->Tick();
  }

  Server& server() { return *server_; }
  Ring& ring() { return *ring_; }
  Node& node() { return ring_->node(); }
  const Id128& id() const { return id_; }

  uint64_t capabilities = kCapabilities;  // that it says to have, from its next start on

 private:
  const Clock& clock_;
  std::string options_, dir_;
  int partitions_;
  Id128 id_{};
  std::unique_ptr<Settings> settings_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Ring> ring_;
};

class RingOfServers {
 public:
  RingOfServers(int nodes, int n, uint64_t seed = 1, const std::string& options = "",
                int partitions = kPartitionsDefault)
      : network_({.seed = seed}), random_(seed) {
    TscClock::Calibrate();
    for (int i = 0; i < nodes; i++) {
      nodes_.push_back(std::make_unique<RingServer>(clock_, options, partitions));
    }
    auto self = [&](int i) {
      std::string text = "127.0.0.1:" + std::to_string(7001 + i);
      return Forming::Self{nodes_[size_t(i)]->Prepare(), text, text};
    };
    Forming forming(self(0), uint32_t(nodes));
    for (int i = 1; i < nodes; i++) {
      REQUIRE(forming.Learn(Forming(self(i), uint32_t(nodes)).Message()).ok());
    }
    Result<RingDocument> document = FirstDocument(forming, nodes, random_);
    REQUIRE(document.ok());
    document_ = *document;
    document_.n = n;
    Claim claim = ClaimHomes(ClaimInputOf(document_));
    for (size_t p = 0; p < document_.views.size(); p++) document_.views[p].homes = claim.homes[p];
    for (int i = 0; i < nodes; i++) Start(i);
    Pass(1000);
  }

  void Start(int i) { nodes_[size_t(i)]->Start(document_, &network_); }
  void Stop(int i) { nodes_[size_t(i)]->Stop(&network_); }
  // Messages are delivered, and turns go by, until nothing happens any more. Defined below.
  void Rest();
  // One message after the other, until something holds: what comes next is under way then.
  bool StepUntil(const std::function<bool()>& done) {
    for (int steps = 0; steps < 100'000 && !done(); steps++) {
      if (!network_.Step()) Pass(100);
      for (auto& node : nodes_) {
        if (node->running()) node->Turn();
      }
    }
    return done();
  }
  // Time goes by.
  void Pass(int64_t ms) {
    for (; ms > 0; ms -= 100) {
      clock_.AdvanceMs(100);
      for (auto& node : nodes_) {
        if (node->running()) node->Tick();
      }
      Rest();
    }
  }
  bool PassUntil(const std::function<bool()>& done, int64_t ms_max = 20'000) {
    for (int64_t ms = 0; ms < ms_max && !done(); ms += 100) Pass(100);
    return done();
  }
  // Until every node knows that all homes have all that it has, and keeps nothing for others.
  bool Settle() {
    return PassUntil([this] {
      for (auto& node : nodes_) {
        if (!node->running()) continue;
        const Node& real = node->node();
        if (!real.exchange()->AllTold() || real.guests()->partitions() > 0) return false;
      }
      return true;
    });
  }

  RingServer& node(int i) { return *nodes_[size_t(i)]; }
  int size() const { return int(nodes_.size()); }
  int NumberOf(const Id128& id) const {
    for (int i = 0; i < size(); i++) {
      if (nodes_[size_t(i)]->id() == id) return i;
    }
    return -1;
  }
  // A key that begins with `name` and that node `i` coordinates, as long as it can be reached.
  std::string KeyOf(int i, const std::string& name = "key") const {
    for (int number = 0;; number++) {
      std::string key = name + std::to_string(number);
      const View& view = document_.views[size_t(PartitionOfSlot(KeySlot(key)))];
      if (document_.members[view.homes[0]].id.bytes == nodes_[size_t(i)]->id()) return key;
    }
  }
  const RingDocument& document() const { return document_; }
  SimNetwork& network() { return network_; }
  ManualClock& clock() { return clock_; }

 private:
  friend class RingClient;
  ManualClock clock_;
  SimNetwork network_;
  Random random_;
  RingDocument document_;
  std::vector<std::unique_ptr<RingServer>> nodes_;
  std::vector<RingClient*> clients_;
};

// Its requests run one after the other, as a connection's pipeline does.
class RingClient : public Transport {
 public:
  RingClient(RingOfServers& ring, int node) : ring_(ring), server_(ring.node(node).server()) {
    SessionIdentity who;
    who.id = server_.clients().NextId();
    who.address = "127.0.0.1:" + std::to_string(5000 + who.id);
    who.local_address = "127.0.0.1:6379";
    who.loopback = true;
    session = std::make_unique<Session>(server_, *this, std::move(who));
    ring.clients_.push_back(this);
  }
  ~RingClient() override { std::erase(ring_.clients_, this); }

  void Wake() override {}
  void Resume() override {}
  size_t InputBytes() const override { return 0; }
  size_t InputFreeBytes() const override { return 0; }

  // Words without blanks. The reply, and what else has come by then.
  std::string operator()(std::string_view line) {
    Send(line);
    ring_.PassUntil([this] { return idle(); });
    return Take();
  }
  void Send(std::string_view line) {
    std::vector<std::string>& words = requests_.emplace_back();
    for (size_t at = 0; at <= line.size();) {
      size_t end = std::min(line.find(' ', at), line.size());
      words.emplace_back(line.substr(at, end - at));
      at = end + 1;
    }
    Run();
  }
  // True when something was run.
  bool Run() {
    bool ran = false;
    while (session->state == SessionState::kRunning && next_ < requests_.size()) {
      args_.assign(requests_[next_].begin(), requests_[next_].end());
      next_++;
      ran = true;
      server_.dispatcher().Execute(*session, args_);
    }
    return ran;
  }
  // Everything that was sent is answered, and what that rests on is in the log.
  bool idle() const {
    bool ran = session->state == SessionState::kRunning && next_ == requests_.size();
    session->output.Release(server_.ReleasablePosition());
    return ran && !session->output.HasHeldReplies() && !session->output.HasHeld();
  }
  std::string Take() {
    OutputBuffer& output = session->output;
    output.Release(server_.ReleasablePosition());
    std::string bytes;
    while (output.HasReleased()) {
      iovec piece;
      output.Gather(&piece, 1, false);
      bytes.append(static_cast<char*>(piece.iov_base), piece.iov_len);
      output.Consume(piece.iov_len);
    }
    return bytes;
  }

  std::unique_ptr<Session> session;

 private:
  RingOfServers& ring_;
  Server& server_;
  std::deque<std::vector<std::string>> requests_;  // a parked command's bytes must stay
  size_t next_ = 0;
  std::vector<std::string_view> args_;
};

// Some messages a turn, as it is when there are many.
inline void RingOfServers::Rest() {
  constexpr int kMessagesPerTurn = 20;
  for (bool busy = true; busy;) {
    busy = false;
    for (int i = 0; i < kMessagesPerTurn && network_.Step(); i++) busy = true;
    for (auto& node : nodes_) {
      if (node->running()) node->Turn();
    }
    for (RingClient* client : clients_) busy |= client->Run();
    busy |= network_.Step();  // what that has sent
  }
}

}  // namespace redynamo
