// SPDX-License-Identifier: Apache-2.0
// What a bare socket can do to a node's ring port: garbage, halves, silence, floods. A second node
// is linked all the while, and must not notice.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/uv_peer_links.h"
#include "tests/server/uv_peers.h"

using namespace redynamo;

namespace {

constexpr uint64_t kSmallQueueBytes = 256 * 1024;

PeerLinksOptions SmallBounds() {
  return {.times = kTestTimes,
          .bounds = {.queue_bytes = kSmallQueueBytes,
                     .queue_bytes_closing = 4 * kSmallQueueBytes,
                     .strangers = 5,
                     .spares = 2}};
}

std::string DownOf(LinkDown reason) { return std::string(LinkDownText(reason)); }

// Node 1, linked with node 2; a test's stranger is node 3 if it says who it is.
struct Fixture {
  PeerLoop loop;
  TestNode a{loop, 1, HelloOf(1), SmallBounds()};
  TestNode b{loop, 2};

  Fixture() {
    b.links->Connect(a.address());
    CHECK(loop.Until([&] { return a.IsUp(b) && b.IsUp(a); }));
    a.events.clear();
  }
  ~Fixture() {
    CHECK(a.IsUp(b));
    CHECK(b.events == std::vector<std::string>{"up"});
    size_t before = b.messages.size();
    CHECK(a.links->Send(b.id, wire::RingGet{}) == SendResult::kQueued);
    CHECK(loop.Until([&] { return b.messages.size() > before; }));
  }
  bool Greet(RawPeer* peer) {
    peer->Say(HelloOf(3));
    return loop.Until([&] { return a.links->IsUp(NodeId(3)); });
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "peer strangers: bytes that are no frames close their connection only") {
  for (std::string_view bytes : {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "*1\r\n$4\r\nPING\r\n",
                                 "\xff\xff\xff\xff\x01\x01"
                                 "abcdefghijkl"}) {
    RawPeer peer(a);
    peer.Send(bytes);
    CHECK(loop.Until([&] { return peer.Closed(); }));
    CHECK(peer.Heard(MessageKind::kHello) == 1);
  }
  CHECK(a.links->Stats().bad_streams == 3);
  CHECK(a.events.empty());
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: any message before a Hello closes the connection") {
  RawPeer impatient(a), unknown(a), long_winded(a);
  impatient.Say(wire::Events{.record = "x"});
  std::string frame, big;
  AppendMessage(&frame, 200, "of a later version");
  unknown.Send(frame);
  AppendMessage(&big, uint8_t(MessageKind::kHello), std::string(5000, 'x'));
  long_winded.Send(big.substr(0, 100));  // its length is enough
  CHECK(loop.Until([&] { return impatient.Closed() && unknown.Closed() && long_winded.Closed(); }));
  CHECK(a.messages.empty());
  CHECK(a.links->Stats().bad_streams == 3);
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: who says nothing is closed when the handshake is due") {
  RawPeer silent(a), half(a);
  half.Send(RawPeer::Framed(HelloOf(3)).substr(0, 20));
  CHECK(loop.Until([&] { return silent.Closed() && half.Closed(); }));
  CHECK(a.events.empty());
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: too many of them are closed at once") {
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 8; ++i) peers.push_back(std::make_unique<RawPeer>(a));
  auto closed = [&] {
    return std::ranges::count_if(peers, [](auto& peer) { return peer->Closed(); });
  };
  REQUIRE(loop.Until([&] { return closed() >= 3; }));
  CHECK(!peers[0]->Closed());
  CHECK(Greet(peers[0].get()));
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: frames may come a byte at a time") {
  RawPeer peer(a);
  std::string stream = RawPeer::Framed(HelloOf(3)) + RawPeer::Framed(wire::Events{.record = "one"});
  for (char c : stream) {
    peer.Send({&c, 1});
    loop.Turn();
  }
  CHECK(loop.Until([&] { return a.messages.size() == 1; }));
  CHECK(a.Records() == std::vector<std::string>{"one"});
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: half a message is no message") {
  auto peer = std::make_unique<RawPeer>(a);
  REQUIRE(Greet(peer.get()));
  peer->Send(RawPeer::Framed(wire::Events{.record = "whole"}));
  peer->Send(RawPeer::Framed(wire::Events{.record = "half"}).substr(0, 14));
  peer.reset();
  CHECK(loop.Until([&] { return a.downs() == 1; }));
  CHECK(a.events == std::vector<std::string>{"up", DownOf(LinkDown::kClosed)});
  CHECK(a.Records() == std::vector<std::string>{"whole"});
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a linked peer that sends garbage is down at once") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  std::string frame = RawPeer::Framed(wire::Events{.record = "damaged"});
  frame.back() ^= 1;
  peer.Send(frame);
  CHECK(loop.Until([&] { return peer.Closed(); }));
  CHECK(a.events == std::vector<std::string>{"up", DownOf(LinkDown::kBadBytes)});
  CHECK(a.messages.empty());
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a payload that the node refuses ends the link") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  a.refuse_messages = true;
  peer.Say(wire::Events{.record = "x"});
  peer.Say(wire::Events{.record = "y"});
  CHECK(loop.Until([&] { return peer.Closed(); }));
  CHECK(a.events == std::vector<std::string>{"up", DownOf(LinkDown::kBadBytes)});
  a.refuse_messages = false;
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: kinds that are not known are skipped and counted") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  std::string stream;
  AppendMessage(&stream, 200, "of a later version");
  AppendMessage(&stream, 0, "");
  peer.Send(stream + RawPeer::Framed(wire::Events{.record = "known"}));
  CHECK(loop.Until([&] { return a.messages.size() == 1; }));
  CHECK(a.links->Stats().unknown_messages == 2);
  CHECK(a.links->IsUp(NodeId(3)));
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a peer that says no more is down after the silence") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  CHECK(loop.Until([&] { return peer.Closed(); }));
  CHECK(peer.Heard(MessageKind::kPing) > 2);
  CHECK(a.events == std::vector<std::string>{"up", DownOf(LinkDown::kSilent)});
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a node that was held up does not blame them for it") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  loop.For(150);  // the last that came from it has been noted
  loop.clock.shift_ms += 20 * kTestTimes.silence_ms;
  loop.For(100);
  CHECK(a.events == std::vector<std::string>{"up"});
  CHECK(loop.Until([&] { return a.downs() == 1; }));  // its silence counts all the same
}

TEST_CASE("peer strangers: what a socket does not take at once follows when it does") {
  PeerLoop loop;
  PeerLinksOptions options{.times = kTestTimes, .bounds = {}};
  options.times.ping_ms = options.times.silence_ms = 1'000'000;  // no other reason to write
  TestNode a(loop, 1, HelloOf(1), options);
  RawPeer peer(a);
  peer.Say(HelloOf(3));
  REQUIRE(loop.Until([&] { return a.links->IsUp(NodeId(3)); }));
  std::string record(64 * 1024, 'x');
  for (int i = 0; i < 400; ++i) {
    CHECK(a.links->Send(NodeId(3), wire::Events{.record = record}) == SendResult::kQueued);
  }
  CHECK(loop.Until([&] { return peer.Heard(MessageKind::kEvents) == 400; }));
  CHECK(a.links->Report()[0].queued_bytes == 0);
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: pings are answered, and any byte breaks the silence") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  int64_t end_us = SystemClock().MonotonicUs() + 2 * kTestTimes.silence_ms * 1000;
  uint64_t pings = 0;
  while (SystemClock().MonotonicUs() < end_us) {
    peer.Say(wire::Ping{.sequence = ++pings});
    loop.For(20);
  }
  CHECK(loop.Until([&] { return peer.Heard(MessageKind::kAck) == pings; }));
  CHECK(a.events == std::vector<std::string>{"up"});
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a second Hello of another node ends the link") {
  RawPeer peer(a);
  REQUIRE(Greet(&peer));
  peer.Say(HelloOf(4));
  CHECK(loop.Until([&] { return peer.Closed(); }));
  CHECK(a.events == std::vector<std::string>{"up", DownOf(LinkDown::kBadBytes)});
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a full queue drops events and keeps the rest") {
  RawPeer peer(a);  // does not read
  REQUIRE(Greet(&peer));
  std::string record(64 * 1024, 'x');
  wire::Events events{.record = record};
  SendResult result = SendResult::kQueued;
  int sent = 0;
  while (result == SendResult::kQueued && sent < 5000) {
    result = a.links->Send(NodeId(3), events);
    sent++;
    if (sent % 4 == 0) a.links->Flush();
  }
  CHECK(result == SendResult::kDropped);
  CHECK(a.links->Stats().dropped_events == 1);
  CHECK(a.links->Report()[1].queued_bytes > kSmallQueueBytes);
  CHECK(a.links->Report()[1].queued_bytes < 2 * kSmallQueueBytes);
  CHECK(a.links->Send(NodeId(3), wire::RingGet{}) == SendResult::kQueued);
  CHECK(a.links->Stats().control_over_bound == 1);

  // It reads again: all that was queued comes, and events are taken again.
  REQUIRE(loop.Until([&] { return peer.Heard(MessageKind::kRingGet) == 1; }));
  CHECK(peer.Heard(MessageKind::kEvents) == size_t(sent - 1));
  CHECK(a.links->Send(NodeId(3), events) == SendResult::kQueued);
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a queue far beyond its bound closes the link") {
  RawPeer peer(a);  // does not read
  REQUIRE(Greet(&peer));
  std::string rows(64 * 1024, 'x');
  SendResult result = SendResult::kQueued;
  for (int i = 0; i < 5000 && result == SendResult::kQueued; ++i) {
    result = a.links->Send(NodeId(3), wire::PullBatch{.batch = rows});
  }
  CHECK(result == SendResult::kNotConnected);
  CHECK(a.events == std::vector<std::string>{"up"});  // never from within
  CHECK(loop.Until([&] { return a.downs() == 1; }));
  CHECK(a.events[1] == DownOf(LinkDown::kNotReading));
}

TEST_CASE_FIXTURE(Fixture,
                  "peer strangers: a peer's second connection takes over when one breaks") {
  auto first = std::make_unique<RawPeer>(a);
  REQUIRE(Greet(first.get()));
  RawPeer second(a);
  second.Say(HelloOf(3));
  second.Say(wire::Events{.record = "over the spare"});
  REQUIRE(loop.Until([&] { return a.messages.size() == 1; }));
  CHECK(a.events == std::vector<std::string>{"up"});
  first.reset();
  REQUIRE(loop.Until([&] { return a.events.size() == 3; }));
  CHECK(a.events == std::vector<std::string>{"up", DownOf(LinkDown::kClosed), "up"});
  CHECK(a.links->Send(NodeId(3), wire::RingGet{}) == SendResult::kQueued);
  CHECK(loop.Until([&] { return second.Heard(MessageKind::kRingGet) == 1; }));
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: a peer's connections are bounded") {
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 6; ++i) {
    peers.push_back(std::make_unique<RawPeer>(a));
    peers.back()->Say(HelloOf(3));
  }
  auto open = [&] {
    return std::ranges::count_if(peers, [](auto& peer) { return !peer->Closed(); });
  };
  REQUIRE(loop.Until([&] { return open() <= 3; }));  // the link and two spares
  CHECK(!peers[0]->Closed());
  CHECK(a.events == std::vector<std::string>{"up"});
}

TEST_CASE_FIXTURE(Fixture, "peer strangers: the node may close links from within an event") {
  auto first = std::make_unique<RawPeer>(a);
  REQUIRE(Greet(first.get()));
  RawPeer second(a), third(a);
  second.Say(HelloOf(3));
  third.Say(HelloOf(4));
  REQUIRE(loop.Until([&] { return a.links->IsUp(NodeId(4)); }));
  a.on_down = [&] {
    a.on_down = nullptr;
    a.links->Disconnect(NodeId(4));
    a.links->Connect(b.address());
  };
  first.reset();
  CHECK(loop.Until([&] { return third.Closed(); }));
  CHECK(a.links->IsUp(NodeId(3)));
  CHECK(!a.links->IsUp(NodeId(4)));
}
