// SPDX-License-Identifier: Apache-2.0
// Links between nodes over real sockets: what two or three nodes make of each other.
// uv_peer_strangers_test.cc has what others may do to them.
#include "server/uv_peer_links.h"

#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/log_line.h"
#include "tests/server/uv_peers.h"
#include "tests/support/scratch_directory.h"

using namespace redynamo;

namespace {

using Texts = std::vector<std::string>;

const PeerLinksOptions kOptions{.times = kTestTimes, .bounds = {}};

wire::Events Event(std::string_view record) { return {.request_id = 7, .record = record}; }

bool BothUp(const TestNode& a, const TestNode& b) { return a.IsUp(b) && b.IsUp(a); }

Texts LinesOf(const std::string& path) {
  std::ifstream file(path);
  Texts lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// One connection is left on either side.
bool Settled(const TestNode& a, const TestNode& b) {
  return BothUp(a, b) && a.links->Stats().connections == 1 && b.links->Stats().connections == 1;
}

}  // namespace

TEST_CASE("peer links: a dial makes one link, over which messages go both ways") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  CHECK(a.links->Send(b.id, Event("too early")) == SendResult::kNotConnected);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  CHECK(a.hellos[0].node_id == b.id);
  CHECK(a.hellos[0].process != b.hellos[0].process);
  CHECK(b.hellos[0].wall_ms > 0);

  CHECK(a.links->Send(b.id, Event("from a")) == SendResult::kQueued);
  CHECK(b.links->Send(a.id, Event("from b")) == SendResult::kQueued);
  CHECK(b.links->Send(a.id, wire::EventsAck{.request_id = 7}) == SendResult::kQueued);
  REQUIRE(loop.Until([&] { return a.messages.size() == 2 && b.messages.size() == 1; }));
  CHECK(b.Records() == Texts{"from a"});
  CHECK(a.Records() == Texts{"from b"});
  CHECK(a.messages[1].kind == MessageKind::kEventsAck);
  CHECK(a.messages[1].peer == b.id);
}

TEST_CASE("peer links: the report shows round trips, addresses and figures") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] {
    auto reports = a.links->Report();
    return BothUp(a, b) && reports[0].round_trip_us >= 0;
  }));
  LinkReport report = a.links->Report()[0];
  CHECK(report.hello.node_id == b.id);
  CHECK(report.address == b.address());
  CHECK(report.dialled);
  CHECK(!b.links->Report()[0].dialled);
  CHECK(report.round_trip_us < 10'000'000);
  CHECK(std::abs(report.clock_skew_ms) < 10'000);
  CHECK(report.messages_in >= 2);
  CHECK(report.messages_out >= 2);
  LinkStats stats = a.links->Stats();
  CHECK(stats.links_up == 1);
  CHECK(stats.bytes_in == report.bytes_in);
  CHECK(stats.bytes_out == report.bytes_out);
  CHECK(stats.links_lost == 0);
}

TEST_CASE("peer links: many messages of one turn arrive in order") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  Texts sent;
  for (int i = 0; i < 20'000; ++i) {
    sent.push_back(std::to_string(i) + std::string(size_t(i % 97), 'x'));
    REQUIRE(a.links->Send(b.id, Event(sent.back())) == SendResult::kQueued);
  }
  REQUIRE(loop.Until([&] { return b.messages.size() == sent.size(); }));
  CHECK(b.Records() == sent);
}

TEST_CASE("peer links: a message of many frames arrives whole, between small ones") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  std::string big(70u << 20, '\0');
  for (size_t i = 0; i < big.size(); i += 4096) big[i] = char(i >> 12);
  for (const std::string& record : {std::string("before"), big, std::string("after")}) {
    CHECK(a.links->Send(b.id, wire::PullBatch{.batch = record}) == SendResult::kQueued);
  }
  REQUIRE(loop.Until([&] { return b.messages.size() == 3; }));
  wire::PullBatch batch;
  CHECK(wire::PullBatch::Decode(b.messages[1].payload, &batch).ok());
  CHECK((batch.batch == big));
  CHECK(b.messages[2].payload.ends_with("after"));
  CHECK(a.downs() == 0);
}

TEST_CASE("peer links: a node that starts again is linked again as another process") {
  PeerLoop loop;
  TestNode a(loop, 1);
  auto b = std::make_unique<TestNode>(loop, 2);
  int port = b->links->port();
  a.links->Connect(b->address());
  REQUIRE(loop.Until([&] { return BothUp(a, *b); }));
  b.reset();
  REQUIRE(loop.Until([&] { return a.downs() == 1; }));
  CHECK(a.links->Send(NodeId(2), Event("lost")) == SendResult::kNotConnected);
  b = std::make_unique<TestNode>(loop, 2, HelloOf(2), kOptions, port);
  REQUIRE(loop.Until([&] { return BothUp(a, *b); }));
  CHECK(a.events == Texts{"up", std::string(LinkDownText(LinkDown::kClosed)), "up"});
  CHECK(a.hellos[0].process != a.hellos[1].process);
}

TEST_CASE("peer links: a new process takes the place of one whose connection seems alive") {
  PeerLoop loop;
  TestNode a(loop, 1), old(loop, 2);
  old.links->Connect(a.address());
  REQUIRE(loop.Until([&] { return BothUp(a, old); }));
  TestNode fresh(loop, 2);
  fresh.links->Connect(a.address());
  REQUIRE(loop.Until([&] { return a.hellos.size() == 2; }));
  CHECK(a.events == Texts{"up", std::string(LinkDownText(LinkDown::kRestarted)), "up"});
  CHECK(a.hellos[1].process == fresh.links->Stats().links_up + a.hellos[0].process);
}

TEST_CASE("peer links: a node that dials too early links when the other one listens") {
  PeerLoop loop;
  TestNode a(loop, 1);
  int port;
  {
    TestNode b(loop, 2);
    port = b.links->port();
  }
  a.links->Connect("127.0.0.1:" + std::to_string(port));
  loop.For(50);
  CHECK(a.events.empty());
  TestNode b(loop, 2, HelloOf(2), kOptions, port);
  CHECK(loop.Until([&] { return BothUp(a, b); }));
}

TEST_CASE("peer links: a name is looked up, and every address of it tried") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect("localhost:" + std::to_string(b.links->port()));
  CHECK(loop.Until([&] { return BothUp(a, b); }));
  TestNode c(loop, 3);  // goes away while its lookup is under way
  c.links->Connect("localhost:1");
  c.links->Connect("no host:and no port");
}

TEST_CASE("peer links: a node that is forgotten is not dialled again, but stays linked") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  a.links->Forget(b.address());
  loop.For(30);
  CHECK(BothUp(a, b));
  a.links->Disconnect(b.id);
  REQUIRE(loop.Until([&] { return a.downs() == 1 && b.downs() == 1; }));
  loop.For(3 * kTestTimes.backoff_max_ms);
  CHECK(a.ups() == 1);
}

TEST_CASE("peer links: Disconnect closes the link, and the address is dialled again") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  a.links->Disconnect(b.id);
  CHECK(a.events.size() == 1);  // never from within
  CHECK(a.links->Send(b.id, Event("x")) == SendResult::kNotConnected);
  REQUIRE(loop.Until([&] { return a.ups() == 2 && b.ups() == 2; }));
  CHECK(a.events[1] == LinkDownText(LinkDown::kDisconnected));
  CHECK(b.events[1] == LinkDownText(LinkDown::kClosed));
}

// --- double dials ---

TEST_CASE("peer links: of a double dial the smaller id's is kept, and nothing is lost") {
  for (int round = 0; round < 10; ++round) {
    PeerLoop loop;
    TestNode a(loop, 1), b(loop, 2);
    a.links->Connect(b.address());
    for (int i = 0; i < round / 2; ++i) loop.Turn();
    b.links->Connect(a.address());
    int sent_by_a = 0, sent_by_b = 0;
    auto send = [&] {
      sent_by_a += a.links->Send(b.id, Event("a")) == SendResult::kQueued;
      sent_by_b += b.links->Send(a.id, Event("b")) == SendResult::kQueued;
    };
    REQUIRE(loop.Until([&] {
      send();
      return Settled(a, b) && sent_by_a > 20 && sent_by_b > 20;
    }));
    REQUIRE(loop.Until([&] {
      return int(b.messages.size()) == sent_by_a && int(a.messages.size()) == sent_by_b;
    }));
    CHECK(a.events == Texts{"up"});
    CHECK(b.events == Texts{"up"});
    CHECK(a.links->Report()[0].dialled);
    CHECK(!b.links->Report()[0].dialled);
  }
}

TEST_CASE("peer links: three nodes that all dial each other end with one link a pair") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2), c(loop, 3);
  TestNode* all[] = {&a, &b, &c};
  for (TestNode* from : all) {
    for (TestNode* to : all) from->links->Connect(to->address());  // itself included
  }
  REQUIRE(loop.Until([&] {
    return std::ranges::all_of(all, [](TestNode* node) {
      LinkStats stats = node->links->Stats();
      return stats.links_up == 2 && stats.connections == 2;
    });
  }));
  for (TestNode* node : all) CHECK(node->events == Texts{"up", "up"});
}

TEST_CASE("peer links: two addresses of one node make one link") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  REQUIRE(b.links->Listen(Loopback(0), 16).ok());
  std::string second = b.address();
  a.links->Connect(second);
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  a.links->Connect("localhost:" + std::to_string(b.links->port()));
  REQUIRE(loop.Until([&] { return a.links->Stats().connections > 1; }));
  REQUIRE(loop.Until([&] { return Settled(a, b); }));
  loop.For(2 * kTestTimes.backoff_max_ms);
  CHECK(Settled(a, b));
  CHECK(a.events == Texts{"up"});
}

TEST_CASE("peer links: a node that reaches itself knows it, and does not dial again") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(a.address());
  REQUIRE(loop.Until([&] { return a.links->Stats().messages_in >= 2; }));  // both ends' Hellos
  uint64_t messages = a.links->Stats().messages_in;
  loop.For(3 * kTestTimes.backoff_max_ms);
  CHECK(a.links->Stats().messages_in == messages);
  CHECK(a.links->Stats().connections == 0);
  CHECK(a.links->Stats().refused_handshakes == 0);
  CHECK(a.events.empty());
}

// --- who belongs together ---

TEST_CASE("peer links: a node of another ring is refused by both sides") {
  PeerLoop loop;
  wire::Hello other = HelloOf(2);
  other.cluster_id = NodeId(98);
  ScratchDirectory dir;
  std::string log_path = dir.path() + "/log";
  REQUIRE(OpenLog(log_path, LogLevel::kNotice).ok());
  TestNode a(loop, 1), b(loop, 2, other, kOptions);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] {
    return a.links->Stats().refused_handshakes > 2 && b.links->Stats().refused_handshakes > 2;
  }));
  REQUIRE(OpenLog("", LogLevel::kNotice).ok());
  Texts lines = LinesOf(log_path);
  REQUIRE(lines.size() == 2);  // one of each, however often they try
  auto said = [&](const std::string& text) {
    return std::ranges::count_if(lines, [&](auto& line) { return line.ends_with(text); }) == 1;
  };
  CHECK(said("Ring: no link with node 02000000 at " + b.address() +
             ": it belongs to ring 62000000, this node to ring 63000000"));
  CHECK(
      said("Ring: no link with node 01000000 at 127.0.0.1: it belongs to ring 63000000, this "
           "node to ring 62000000"));
  CHECK(a.events.empty());
  CHECK(b.events.empty());
  CHECK(a.links->Send(b.id, Event("x")) == SendResult::kNotConnected);
}

TEST_CASE("peer links: a copied data directory is refused") {
  PeerLoop loop;
  TestNode a(loop, 1), copy(loop, 1);
  a.links->Connect(copy.address());
  REQUIRE(loop.Until([&] { return a.links->Stats().refused_handshakes > 0; }));
  CHECK(a.events.empty());
}

TEST_CASE("peer links: a node without a ring is linked, and tells when it has joined one") {
  PeerLoop loop;
  wire::Hello blank = HelloOf(2);
  blank.cluster_id = {};
  TestNode a(loop, 1), b(loop, 2, blank, kOptions);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  wire::Hello joined = HelloOf(2);
  joined.ring_epoch = 5;
  b.links->SetSelf(joined);
  b.links->SetSelf(joined);  // tells nothing new
  REQUIRE(loop.Until([&] { return a.changes == 1; }));
  CHECK(a.hellos[1].cluster_id == joined.cluster_id);
  CHECK(a.hellos[1].ring_epoch == 5);
  loop.For(30);
  CHECK(a.changes == 1);
  CHECK(b.events == Texts{"up"});
}

TEST_CASE("peer links: a node that joins another ring loses its links") {
  PeerLoop loop;
  wire::Hello blank = HelloOf(2);
  blank.cluster_id = {};
  TestNode a(loop, 1), b(loop, 2, blank, kOptions);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  wire::Hello elsewhere = HelloOf(2);
  elsewhere.cluster_id = NodeId(98);
  b.links->SetSelf(elsewhere);
  REQUIRE(loop.Until([&] { return a.downs() == 1 && b.downs() == 1; }));
  CHECK(b.events[1] == LinkDownText(LinkDown::kRefused));
  loop.For(2 * kTestTimes.backoff_max_ms);
  CHECK(a.ups() == 1);
}

TEST_CASE("peer links: a peer's clock is compared with this node's") {
  PeerLoop loop;
  TestNode a(loop, 1), b(loop, 2);
  a.links->Connect(b.address());
  REQUIRE(loop.Until([&] { return BothUp(a, b); }));
  RawPeer ahead(a);
  wire::Hello hello = HelloOf(3);
  hello.wall_ms += 3'600'000;
  ahead.Say(hello);
  REQUIRE(loop.Until([&] { return a.links->IsUp(NodeId(3)); }));
  CHECK(a.links->Report()[1].clock_skew_ms > 3'500'000);
}
