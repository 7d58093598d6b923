// SPDX-License-Identifier: Apache-2.0
#include "cluster/exchange.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "storage/slot_table.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/held_links.h"

namespace redynamo {
namespace {

// A replica, its exchange, and the peer that is its other end.
struct End {
  explicit End(const std::function<Exchange::PlaceOf(const End&)>& place_of) {
    node.options.keep_dots = true;
    node.Restart();
    exchange = std::make_unique<Exchange>(*node.engine, links, pace, id(), place_of(*this),
                                          PartitionCount());
  }
  Id128 id() const { return node.engine->NodeId(); }
  void Write(std::string_view key) {
    node.Do({key}, [&](Keyspace keys) { keys.String(key).Set("v"); });
    REQUIRE(node.engine->WriteTurn().ok());
    exchange->LogAdvanced(node.engine->ReplyPosition());
  }
  // Gives the other end all that was sent to it, of these kinds; all others are lost.
  void DeliverTo(End& other, std::initializer_list<MessageKind> kinds) {
    auto sent = std::exchange(links.sent, {});
    for (const HeldLinks::Sent& one : sent) {
      if (std::find(kinds.begin(), kinds.end(), one.kind) == kinds.end()) continue;
      CHECK(VisitMessage(one.kind, one.payload, [&](const auto& message) {
              if constexpr (requires { other.exchange->On(id(), message); }) {
                return other.exchange->On(id(), message);
              }
              return Status::Ok();
            }).ok());
    }
    REQUIRE(other.node.engine->WriteTurn().ok());
    other.exchange->LogAdvanced(other.node.engine->ReplyPosition());
  }

  EngineFixture node;
  HeldLinks links;
  ServingPace pace{50};
  std::unique_ptr<Exchange> exchange;
};

struct Pair {
  Place place;
  Exchange::PlaceOf place_of = [this](int) -> const Place& { return place; };
  End a{[this](const End&) { return place_of; }}, b{[this](const End&) { return place_of; }};

  Pair() {
    place.writers = {a.id(), b.id()};
    place.read = {place.writers, 2};
    place.self_reads = place.self_writes = true;
  }
  void LinkUp() {
    a.exchange->PeerUp(b.id(), b.node.engine->Actor());
    b.exchange->PeerUp(a.id(), a.node.engine->Actor());
  }
};

constexpr auto kTold = {MessageKind::kReport, MessageKind::kClocks};

TEST_CASE("exchange: what a peer has beyond is pulled at once over a fresh link") {
  Pair pair;
  pair.a.Write("k");
  pair.LinkUp();
  pair.a.DeliverTo(pair.b, kTold);
  CHECK(pair.b.links.Count(MessageKind::kPull) == 1);
  pair.b.DeliverTo(pair.a, {MessageKind::kPull});
  pair.a.DeliverTo(pair.b, {MessageKind::kPullBatch});
  int partition = PartitionOfSlot(KeySlot("k"));
  CHECK(pair.b.node.engine->ClockHash(partition) == pair.a.node.engine->ClockHash(partition));
}

TEST_CASE("exchange: a pull over a fresh link that is not answered is asked for again") {
  Pair pair;
  pair.a.Write("k");
  pair.LinkUp();
  pair.a.DeliverTo(pair.b, kTold);
  REQUIRE(pair.b.links.Count(MessageKind::kPull) == 1);
  pair.b.links.sent.clear();  // lost; and the peer has nothing new to tell
  int pulls = 0;
  for (int64_t now_ms = 1000; now_ms <= 10'000; now_ms += 1000) {
    pair.b.exchange->Tick(now_ms);
    pulls += pair.b.links.Count(MessageKind::kPull);
    pair.b.links.sent.clear();
  }
  CHECK(pulls >= 1);
}

TEST_CASE("exchange: while this node's own writes are slow, pulls wait for their turn") {
  Pair pair;
  pair.a.Write("k");
  pair.LinkUp();
  pair.a.DeliverTo(pair.b, kTold);
  int64_t now_ms = 1000;
  pair.a.pace.Tick(now_ms);
  pair.a.pace.NoteWrite(1000);
  pair.a.pace.Tick(now_ms += 600);
  pair.a.pace.Served(8 << 20);
  pair.b.DeliverTo(pair.a, {MessageKind::kPull});
  CHECK(pair.a.links.Count(MessageKind::kPullBatch) == 0);
  pair.a.exchange->Tick(now_ms);
  CHECK(pair.a.links.Count(MessageKind::kPullBatch) == 0);
  for (; now_ms < 10'000 && pair.a.links.Count(MessageKind::kPullBatch) == 0; now_ms += 100) {
    pair.a.pace.Tick(now_ms);
    pair.a.exchange->Tick(now_ms);
  }
  CHECK(now_ms > 2000);  // 8 MiB at 4 MiB/s, or faster as there are no slow writes any more
  REQUIRE(pair.a.links.Count(MessageKind::kPullBatch) == 1);
  CHECK(pair.a.exchange->stats().served_pulls == 1);
}

TEST_CASE("exchange: what each writer has is known only when all have said so") {
  Pair pair;
  int partition = PartitionOfSlot(KeySlot("k"));
  pair.a.Write("k");
  CHECK(pair.a.exchange->WritersClock(partition).empty());
  CHECK_FALSE(pair.a.exchange->AllTold());
  pair.LinkUp();
  pair.a.DeliverTo(pair.b, kTold);
  pair.b.DeliverTo(pair.a, {MessageKind::kPull});
  pair.a.DeliverTo(pair.b, {MessageKind::kPullBatch});
  pair.b.exchange->Tick(1000);
  pair.b.DeliverTo(pair.a, kTold);
  CHECK(pair.a.exchange->WritersClock(partition) == pair.a.node.engine->ClockOf(partition));
  CHECK(pair.a.exchange->AllTold());
}

TEST_CASE("exchange: a guest tells the writers, does not pull, and is known as one") {
  Place place_of_a, place_of_b;  // a is no writer, b is
  std::vector<const Place*> places = {&place_of_a, &place_of_b};
  int made = 0;
  auto give = [&](const End&) -> Exchange::PlaceOf {
    const Place* place = places[size_t(made++)];
    return [place](int) -> const Place& { return *place; };
  };
  End a(give), b(give);
  for (Place* place : {&place_of_a, &place_of_b}) place->writers = {b.id()};
  place_of_b.self_writes = place_of_b.self_reads = true;
  int partition = PartitionOfSlot(KeySlot("k"));
  a.Write("k");
  b.Write("{k}2");
  a.exchange->PeerUp(b.id(), b.node.engine->Actor());
  b.exchange->PeerUp(a.id(), a.node.engine->Actor());
  a.DeliverTo(b, kTold);
  CHECK(b.exchange->GuestsOf(partition) == std::vector<Id128>{a.id()});
  CHECK(b.links.Count(MessageKind::kPull) == 1);
  b.DeliverTo(a, {MessageKind::kPull});
  a.DeliverTo(b, {MessageKind::kPullBatch});
  b.exchange->Tick(1000);
  b.DeliverTo(a, kTold);
  CHECK(a.links.Count(MessageKind::kPull) == 0);
  CHECK(a.exchange->WritersCover(partition, a.node.engine->ClockOf(partition), nullptr));
}

}  // namespace
}  // namespace redynamo
