// SPDX-License-Identifier: Apache-2.0
// Homes that compare their rows: equal ones nearly for nothing, and what was lost is found and
// mended on both sides, on whole nodes over simulated links.
#include "cluster/merkle.h"

#include <doctest/doctest.h>
#include <poll.h>

#include "base/hash.h"
#include "base/log_line.h"
#include "storage/replica_batch.h"
#include "storage/row_format.h"
#include "storage/slot_table.h"
#include "tests/support/sim_ring.h"

namespace redynamo {
namespace {

const int kPartition = PartitionOfSlot(KeySlot("{t}"));

void Write(SimRingNode& node, const std::string& key, const std::string& value) {
  node.Write([&](Keyspace keys) { keys.String(key).Set(value); }, [](PendingWrites::Outcome) {});
}

std::string Get(SimRingNode& node, const std::string& key) {
  KeyRef ref{0, key};
  for (bool done = node.engine().Resident({&ref, 1}); !done; poll(nullptr, 0, 1)) {
    node.engine().Load({&ref, 1}, [&](const Status&) { done = true; });
    node.Turn();
    done = done || node.engine().Resident({&ref, 1});
  }
  StringView view = node.engine().Database(0).String(key);
  return view.exists() ? std::string(view.value()) : "(none)";
}

MerkleStats Total(SimRing& ring) {
  MerkleStats total;
  for (int i = 0; i < ring.size(); i++) {
    const MerkleStats& one = ring.node(i).node().merkle()->stats();
    total.rounds += one.rounds;
    total.equal += one.equal;
    total.leaves_compared += one.leaves_compared;
    total.mismatches += one.mismatches;
    total.repaired += one.repaired;
    total.rewritten += one.rewritten;
    total.rebuilt_leaves += one.rebuilt_leaves;
    total.bytes_sent += one.bytes_sent;
    total.bytes_received += one.bytes_received;
  }
  return total;
}

bool PassUntil(SimRing& ring, const std::function<bool()>& reached) {
  for (int i = 0; i < 3000 && !reached(); i++) {
    ring.Pass(100);
    poll(nullptr, 0, 1);  // the background reads
  }
  return reached();
}

bool HasKey(SimRing& ring, int node, const std::string& key) {
  return !ring.node(node).engine().ExplainKey(0, key, 1).empty();
}

void Checkpoint(SimRing& ring, SimRingNode& node) {
  bool done = false;
  node.engine().Checkpoint([&](const Status& status) { done = status.ok(); });
  REQUIRE(PassUntil(ring, [&] { return done; }));
}

// As if a node had joined half of an event: its clock says that it was seen, its row is not there.
void SeeWithoutRows(SimRingNode& node, const PortableDot& dot) {
  std::vector<Id128> actors{dot.actor};
  BatchWriter batch(kPartition, actors);
  batch.AddDot(MakeDot(0, dot.n), 0, {}, {});
  bool joined = false;
  node.engine().AcceptBatch(kPartition, batch.Finish(), [&](const Accepted& accepted) {
    joined = accepted.status.ok() && !accepted.duplicate[0];
  });
  REQUIRE(joined);
}

}  // namespace

TEST_CASE("merkle: equal homes compare for less than a kilobyte a round") {
  SimRing ring(3, {.seed = 3});
  for (int i = 0; i < 300; i++) Write(ring.node(i % 3), "key" + std::to_string(i), "value");
  REQUIRE(ring.Settle());
  MerkleStats before = Total(ring);
  for (int i = 0; i < 600; i++) ring.Pass(100);
  MerkleStats after = Total(ring);
  uint64_t rounds = after.rounds - before.rounds;
  CHECK(rounds >= 100);  // two of the three nodes ask, each once a second
  CHECK(rounds <= 130);
  CHECK(after.equal - before.equal >= rounds - 3);
  CHECK(after.mismatches == 0);
  uint64_t bytes = after.bytes_sent - before.bytes_sent;
  CHECK(bytes / rounds < 1024);
  CHECK(bytes / rounds > 20);
  CHECK(after.leaves_compared > before.leaves_compared);
}

TEST_CASE("merkle: an event that has lost its rows is found, confirmed and mended") {
  SetLogLevel(LogLevel::kWarning);
  SimRing ring(3, {.seed = 5});
  Write(ring.node(0), "{t}before", "value");
  REQUIRE(ring.Settle());
  for (int other : {1, 2}) ring.network().Cut(ring.node(0).id(), ring.node(other).id());
  Write(ring.node(0), "{t}lost", "value");
  ring.Pass(10);
  std::vector<RowReport> rows = ring.node(0).engine().ExplainKey(0, "{t}lost", 1);
  REQUIRE(rows.size() == 1);
  SeeWithoutRows(ring.node(1), rows[0].live[0].dot);
  ring.network().HealAll();
  REQUIRE(ring.Settle());
  CHECK(HasKey(ring, 0, "{t}lost"));
  CHECK(!HasKey(ring, 1, "{t}lost"));
  SUBCASE("in turn") {}
  SUBCASE("on demand, by whoever is asked") { ring.node(1).node().merkle()->CheckNow(kPartition); }
  REQUIRE(PassUntil(ring, [&] { return Get(ring.node(1), "{t}lost") == "value"; }));
  REQUIRE(PassUntil(ring, [&] { return HasKey(ring, 2, "{t}lost"); }));
  CHECK(Total(ring).mismatches >= 1);
  CHECK(Total(ring).repaired >= 1);
  for (int i = 0; i < 100; i++) ring.Pass(100);
  MerkleStats done = Total(ring);
  for (int i = 0; i < 300; i++) ring.Pass(100);
  CHECK(Total(ring).mismatches == done.mismatches);
  for (int i = 0; i < 3; i++) {
    CHECK(ring.node(i).node().merkle()->suspects() == 0);
    CHECK(ring.node(i).engine().Digest() == ring.node(0).engine().Digest());
  }
  SetLogLevel(LogLevel::kNotice);
}

TEST_CASE("merkle: rows damaged on disk are read, found and mended from another home") {
  SetLogLevel(LogLevel::kWarning);
  SimRing ring(3, {.seed = 7});
  for (int i = 0; i < 20; i++) Write(ring.node(i % 3), "{t}" + std::to_string(i), "value");
  REQUIRE(ring.Settle());
  SimRingNode& node = ring.node(1);
  Checkpoint(ring, node);
  ring.Crash(1);
  {
    auto store = node.machine().OpenRows("data/rows", 0);
    REQUIRE(store.ok());
    auto batch = (*store)->NewIngest();
    auto it = (*store)->NewHeadIterator({}, {});
    for (int i = 0; i < 5; i++, it->Next()) REQUIRE(batch->DeleteHead(it->key()).ok());
    std::string other(it->value());
    other.back() = 'x';
    REQUIRE(batch->PutHead(it->key(), other).ok());
    it.reset();
    REQUIRE(batch->Commit().ok());
  }
  ring.Start(1);
  REQUIRE(ring.Settle());
  CHECK(node.engine().Digest() != ring.node(0).engine().Digest());
  CHECK(node.node().merkle()->CheckNow(kPartition) == 2);
  REQUIRE(PassUntil(ring, [&] { return node.node().merkle()->stats().rebuilt_leaves > 0; }));
  CHECK(node.node().merkle()->stats().damaged_leaves == 1);
  CHECK(node.node().merkle()->stats().repaired == 5);
  CHECK(node.node().merkle()->stats().rewritten == 1);
  CHECK(node.node().merkle()->damaged() == 0);
  CHECK(node.engine().Digest() == ring.node(0).engine().Digest());
  Checkpoint(ring, node);
  ring.Crash(1);
  ring.Start(1);
  REQUIRE(ring.Settle());
  CHECK(node.engine().Digest() == ring.node(0).engine().Digest());
  SetLogLevel(LogLevel::kNotice);
}

TEST_CASE("merkle: a comparison with nonsense from a peer is refused") {
  SimRing ring(2, {.seed = 9});
  Write(ring.node(0), "{t}k", "value");
  REQUIRE(ring.Settle());
  Merkle& merkle = *ring.node(0).node().merkle();
  const Id128& peer = ring.node(1).id();
  CHECK(!merkle.On(peer, wire::TreeGet{1, 16383, 0, 0, {}}).ok());
  CHECK(!merkle.On(peer, wire::TreeGet{1, 5, 0, 0, "not a clock"}).ok());
  CHECK(merkle.On(peer, wire::Leaves{12345, 5, wire::TreeAnswer::kEqual, {}, {}}).ok());
  CHECK(merkle.On(peer, wire::LeafRows{1, 60'000, 100, wire::LeafRows::kAnswer, 0, "x"}).ok());
  CHECK(merkle.On(peer, wire::LeafRows{1, 0, 100, 0xff, 0, "nonsense"}).ok());
  CHECK(Get(ring.node(0), "{t}k") == "value");
  REQUIRE(ring.Settle());
}

}  // namespace redynamo
