// SPDX-License-Identifier: Apache-2.0
// A replica of a node that is no home any more, until it is let go: with a home at the other end of
// links that the test delivers.
#include "cluster/guests.h"

#include <doctest/doctest.h>

#include "storage/replica_batch.h"
#include "storage/slot_table.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/held_links.h"

namespace redynamo {
namespace {

const int kPartition = PartitionOfSlot(KeySlot("k"));

struct End {
  explicit End(bool home) {
    node.options.keep_dots = true;
    node.options.seed = 7;  // as of one ring: sums are of rows at their positions
    node.Restart();
    place.self_writes = place.self_reads = home;
  }
  void Begin(const Id128& writer) {
    auto place_of = [this](int) -> const Place& { return place; };
    place.writers = {writer};
    exchange = std::make_unique<Exchange>(engine(), links, pace, id(), place_of, PartitionCount());
    merkle = std::make_unique<Merkle>(
        engine(), links, repairs, [](int) { return std::vector<Id128>{}; },
        [this](int partition) { return exchange->Settled(partition); }, PartitionCount(), id());
    guests =
        std::make_unique<Guests>(engine(), *exchange, *merkle, place_of, PartitionCount(), 1 << 20);
    guests->ViewsChanged(0);
  }
  Engine& engine() { return *node.engine; }
  Id128 id() const { return node.engine->NodeId(); }
  void Pass(int64_t now_ms) {
    node.engine->Poll();
    REQUIRE(node.engine->WriteTurn().ok());
    exchange->LogAdvanced(node.engine->ReplyPosition());
    exchange->Tick(now_ms);
    merkle->Tick(now_ms);
    guests->Tick(now_ms);
  }

  Place place;
  EngineFixture node;
  HeldLinks links;
  ServingPace pace{0};
  RepairLog repairs{SystemClock()};
  std::unique_ptr<Exchange> exchange;
  std::unique_ptr<Merkle> merkle;
  std::unique_ptr<Guests> guests;
};

struct Pair {
  End guest{false}, home{true};
  int64_t now_ms = 1000;
  bool home_answers_trees = true;
  int compared = 0;

  void Begin() {
    guest.Begin(home.id());
    home.Begin(home.id());
    guest.exchange->PeerUp(home.id(), home.engine().Actor());
    home.exchange->PeerUp(guest.id(), guest.engine().Actor());
  }
  void Deliver(End& from, End& to) {
    for (const HeldLinks::Sent& one : std::exchange(from.links.sent, {})) {
      CHECK(VisitMessage(one.kind, one.payload, [&](const auto& message) {
              if constexpr (requires { to.exchange->On(from.id(), message); }) {
                return to.exchange->On(from.id(), message);
              } else if constexpr (requires { to.merkle->On(from.id(), message); }) {
                compared += one.kind == MessageKind::kTreeGet;
                if (&to == &home && !home_answers_trees) return Status::Ok();
                return to.merkle->On(from.id(), message);
              }
              return Status::Ok();
            }).ok());
    }
  }
  // Until the replica is let go, or the time is over; how long it took.
  int64_t PassUntilLetGo(int64_t most_ms) {
    int64_t begin_ms = now_ms;
    for (; now_ms < begin_ms + most_ms && guest.guests->partitions() > 0; now_ms += 100) {
      for (End* end : {&guest, &home}) end->Pass(now_ms);
      Deliver(guest, home);
      Deliver(home, guest);
    }
    return now_ms - begin_ms;
  }
};

bool HasKey(End& end, const std::string& key) {
  return !end.engine().ExplainKey(0, key, 1).empty();
}

TEST_CASE("guests: a former home lets go when clocks and leaves say that another one has it all") {
  Pair pair;
  pair.guest.node.Do({"k"}, [](Keyspace keys) { keys.String("k").Set("value"); });
  pair.Begin();
  REQUIRE(pair.guest.guests->Holds(kPartition));
  CHECK(pair.PassUntilLetGo(10'000) < 5000);
  CHECK(pair.compared >= 1);
  CHECK_FALSE(pair.guest.engine().HoldsReplica(kPartition));
  CHECK(HasKey(pair.home, "k"));
  CHECK(pair.guest.merkle->stats().mismatches == 0);
}

TEST_CASE("guests: what the new home has lost is given to it first") {
  Pair pair;
  pair.guest.node.Do({"k"}, [](Keyspace keys) { keys.String("k").Set("value"); });
  std::vector<RowReport> rows = pair.guest.engine().ExplainKey(0, "k", 1);
  REQUIRE(rows.size() == 1);
  PortableDot dot = rows[0].live[0].dot;
  // The home's clock says that it has seen the event, whose row it has not.
  std::vector<Id128> actors{dot.actor};
  BatchWriter batch(kPartition, actors);
  batch.AddDot(MakeDot(0, dot.n), 0, {}, {});
  bool joined = false;
  pair.home.engine().AcceptBatch(kPartition, batch.Finish(),
                                 [&](const Accepted& accepted) { joined = accepted.status.ok(); });
  REQUIRE(joined);
  pair.Begin();
  CHECK(pair.PassUntilLetGo(60'000) >= 5000);  // a difference is confirmed first
  CHECK(pair.guest.guests->partitions() == 0);
  CHECK(HasKey(pair.home, "k"));
  CHECK(pair.guest.merkle->stats().mismatches == 1);
  CHECK(pair.home.merkle->stats().repaired == 1);
  CHECK(pair.guest.merkle->suspects() == 0);
}

TEST_CASE("guests: when nobody compares, the clocks decide after a while") {
  Pair pair;
  pair.guest.node.Do({"k"}, [](Keyspace keys) { keys.String("k").Set("value"); });
  pair.home_answers_trees = false;
  pair.Begin();
  int64_t took_ms = pair.PassUntilLetGo(60'000);
  CHECK(took_ms >= 15'000);
  CHECK(took_ms < 30'000);
  CHECK(pair.compared == 3);
  CHECK(HasKey(pair.home, "k"));
}

}  // namespace
}  // namespace redynamo
