// SPDX-License-Identifier: Apache-2.0
// Nodes that are nothing but their links, all on one loop and one thread, over loopback sockets;
// and peers made of a bare socket, which say what a test wants.
//
//   PeerLoop loop;
//   TestNode a(loop, 1), b(loop, 2);
//   a.links->Connect(b.address());
//   CHECK(loop.Until([&] { return a.IsUp(b) && b.IsUp(a); }));
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cluster/message.h"
#include "protocol/frame.h"
#include "server/uv_peer_links.h"

namespace redynamo {

inline constexpr int64_t kPeerSecondsMax = 30;

// As fast as a loaded machine allows: silence and handshakes are what tests wait for.
inline constexpr LinkTimes kTestTimes{.ping_ms = 50,
                                      .silence_ms = 1000,
                                      .handshake_ms = 2000,
                                      .backoff_min_ms = 10,
                                      .backoff_max_ms = 100,
                                      .settle_ms = 100};

inline Id128 NodeId(uint8_t n) { return {n}; }

// The machine's clock, which a test can put forward.
class ShiftedClock : public Clock {
 public:
  int64_t WallMs() const override { return SystemClock().WallMs() + shift_ms; }
  int64_t MonotonicUs() const override { return SystemClock().MonotonicUs() + shift_ms * 1000; }
  int64_t shift_ms = 0;
};

class PeerLoop {
 public:
  PeerLoop() {
    signal(SIGPIPE, SIG_IGN);  // as the server does
    REQUIRE(uv_loop_init(&loop_) == 0);
  }
  ~PeerLoop() {
    while (uv_run(&loop_, UV_RUN_DEFAULT) != 0) {
    }
    CHECK(uv_loop_close(&loop_) == 0);
  }
  uv_loop_t* uv() { return &loop_; }

  // One turn of the loop: the links that want it are flushed before it waits, and after it. It
  // waits for at most a tick of the links.
  void Turn() {
    Flush();
    uv_run(&loop_, UV_RUN_ONCE);
    Flush();
  }
  void WantFlush(UvPeerLinks* links) { wanted_.push_back(links); }
  void Forget(UvPeerLinks* links) { std::erase(wanted_, links); }

  // Turns until it is true; false when that takes too long.
  bool Until(const std::function<bool()>& condition) {
    int64_t deadline_us = SystemClock().MonotonicUs() + kPeerSecondsMax * 1'000'000;
    while (!condition()) {
      if (SystemClock().MonotonicUs() > deadline_us) return false;
      Turn();
    }
    return true;
  }
  // Turns for so long, for what must not happen.
  void For(int64_t ms) {
    int64_t end_us = SystemClock().MonotonicUs() + ms * 1000;
    while (SystemClock().MonotonicUs() < end_us) Turn();
  }

  ShiftedClock clock;

 private:
  void Flush() {
    std::vector<UvPeerLinks*> wanted;
    wanted.swap(wanted_);
    for (UvPeerLinks* links : wanted) links->Flush();
  }

  uv_loop_t loop_;
  std::vector<UvPeerLinks*> wanted_;
};

inline sockaddr_storage Loopback(int port) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(uint16_t(port));
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline wire::Hello HelloOf(uint8_t node) {
  return {.cluster_id = NodeId(99),
          .node_id = NodeId(node),
          .process = 1000u + node,
          .wall_ms = SystemClock().WallMs(),
          .partitions = 1024};
}

class TestNode : public LinkEvents {
 public:
  explicit TestNode(PeerLoop& loop, uint8_t n, wire::Hello hello, PeerLinksOptions options,
                    int port = 0, uint64_t process = 0)
      : id(NodeId(n)), loop_(loop) {
    static uint64_t processes = 0;
    if (process == 0) process = ++processes;
    links = std::make_unique<UvPeerLinks>(
        loop.uv(), loop.clock, *this, process, [this] { loop_.WantFlush(links.get()); }, options);
    links->SetSelf(hello);
    Status status = links->Listen(Loopback(port), 16);
    REQUIRE_MESSAGE(status.ok(), status.message());
  }
  TestNode(PeerLoop& loop, uint8_t n)
      : TestNode(loop, n, HelloOf(n), PeerLinksOptions{.times = kTestTimes, .bounds = {}}) {}
  ~TestNode() override { Stop(); }
  // As if the process were gone.
  void Stop() {
    if (links) loop_.Forget(links.get());
    links.reset();
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(links->port()); }
  bool IsUp(const TestNode& other) const { return links->IsUp(other.id); }
  size_t ups() const { return size_t(std::ranges::count(events, "up")); }
  size_t downs() const { return events.size() - ups() - changes; }

  void OnPeerUp(const wire::Hello& hello) override {
    events.emplace_back("up");
    hellos.push_back(hello);
  }
  void OnPeerChanged(const wire::Hello& hello) override {
    events.emplace_back("changed");
    changes++;
    hellos.push_back(hello);
  }
  void OnPeerDown(const Id128&, LinkDown reason) override {
    events.emplace_back(LinkDownText(reason));
    if (on_down) on_down();
  }
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) override {
    if (refuse_messages) return Corruption("refused by the test");
    messages.push_back({peer, kind, std::string(payload)});
    return Status::Ok();
  }
  // The records of all Events that have come, one after the other.
  std::vector<std::string> Records() const {
    std::vector<std::string> records;
    for (const Received& message : messages) {
      wire::Events events;
      if (message.kind != MessageKind::kEvents) continue;
      CHECK(wire::Events::Decode(message.payload, &events).ok());
      records.emplace_back(events.record);
    }
    return records;
  }

  struct Received {
    Id128 peer;
    MessageKind kind;
    std::string payload;
  };
  const Id128 id;
  std::unique_ptr<UvPeerLinks> links;
  std::vector<std::string> events;  // "up", "changed", or why it went down
  std::vector<wire::Hello> hellos;
  std::vector<Received> messages;
  size_t changes = 0;
  bool refuse_messages = false;
  std::function<void()> on_down;

 private:
  PeerLoop& loop_;
};

// A bare socket connected to a node's ring port. It never blocks: what it waits for, the test's
// loop must bring about.
class RawPeer {
 public:
  explicit RawPeer(const TestNode& node) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage address = Loopback(node.links->port());
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in)) == 0);
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~RawPeer() { Close(); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  void Send(std::string_view bytes) {
    REQUIRE(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == ssize_t(bytes.size()));
  }
  void Say(Message message) { Send(Framed(message)); }
  static std::string Framed(Message message) {
    std::string payload, frame;
    message.EncodeTo(&payload);
    AppendMessage(&frame, uint8_t(message.kind()), payload);
    return frame;
  }
  // Takes what has come; true when the node has closed.
  bool Closed() {
    char bytes[65536];
    while (!closed_) {
      ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
      if (n < 0 && errno == EAGAIN) break;
      closed_ = n <= 0;
      if (n > 0) CHECK(reader_.Feed({bytes, size_t(n)}));
      FramedMessage message;
      while (reader_.Next(&message) == FrameResult::kMessage) kinds_.push_back(message.kind);
    }
    return closed_;
  }
  // How many messages of that kind have come.
  size_t Heard(MessageKind kind) {
    Closed();
    return size_t(std::ranges::count(kinds_, uint8_t(kind)));
  }

 private:
  int fd_ = -1;
  bool closed_ = false;
  FrameReader reader_;
  std::vector<uint8_t> kinds_;
};

}  // namespace redynamo
