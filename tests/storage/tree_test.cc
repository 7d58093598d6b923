// SPDX-License-Identifier: Apache-2.0
// Trees and the repair of leaves: equal replicas have equal trees whatever form their rows have;
// what differs behind the engine's back is found, and mended by union; nothing that was removed
// comes back.
#include "storage/tree.h"

#include <doctest/doctest.h>
#include <poll.h>

#include "storage/rocks_row_store.h"
#include "storage/row_format.h"
#include "tests/support/replica_nodes.h"

using namespace redynamo;

namespace {

const int kPartition = PartitionOfSlot(KeySlot("{t}"));
const LeafId kLeaf{0, KeySlot("{t}")};

void Fill(ReplicaNode& node) {
  node.Do([](Keyspace keys) {
    for (int i = 0; i < 20; i++) keys.String("{t}s" + std::to_string(i)).Set("value");
    keys.String("{t}d").Set("text", DeadlineChange::At(kJoinNowMs + 1'000'000));
    CHECK(keys.String("{t}n").Add(7).ok());
    keys.String("{t}long").Set(std::string(20'000, 'x'));
    keys.Hash("{t}h").Set("f", "v");
    for (int i = 0; i < 50; i++) keys.Set("{t}m").Add("member" + std::to_string(i));
  });
  node.Do([](Keyspace keys) {
    keys.String("{t}long").Overwrite(9000, "changed");
    CHECK(keys.Hash("{t}h").Add("n", 3).ok());
    CHECK(keys.String("{t}n").Add(4).ok());
    keys.Find("{t}m").SetDeadline(kJoinNowMs + 2'000'000);
    keys.Set("{t}m").Remove("member7");
  });
}

void PullAllFrom(ReplicaNode& to, ReplicaNode& from) {
  while (to.PullFrom(&from, kPartition)) {
  }
}

uint64_t SumOf(ReplicaNode& node) {
  Tree tree = node.side().TreeOf(kPartition);
  REQUIRE(tree.ready);
  REQUIRE(tree.leaves.size() == 1);
  REQUIRE(tree.leaves[0].id == kLeaf);
  REQUIRE(tree.leaves[0].settled);
  return tree.leaves[0].sum;
}

uint64_t Verify(ReplicaNode& node) {
  uint64_t damaged = UINT64_MAX;
  node.side().Verify(kPartition, [&](const Status& status, uint64_t found) {
    CHECK(status.ok());
    damaged = found;
  });
  while (damaged == UINT64_MAX) {
    node.engine->Poll();
    poll(nullptr, 0, 1);  // the background reads
  }
  return damaged;
}

// As the two sides of a repair do it.
std::pair<LeafAccepted, LeafAccepted> Unite(ReplicaNode& a, ReplicaNode& b) {
  LeafAccepted at_b = b.side().AcceptLeaf(kLeaf, a.side().RowsOfLeaf(kLeaf).bytes);
  LeafAccepted at_a = a.side().AcceptLeaf(kLeaf, b.side().RowsOfLeaf(kLeaf).bytes);
  REQUIRE(a.engine->WriteTurn().ok());
  REQUIRE(b.engine->WriteTurn().ok());
  return {at_a, at_b};
}

void MustBeEqual(ReplicaNode& a, ReplicaNode& b) {
  ActorNames names;
  CHECK(a.Agrees(&b, kPartition));
  CHECK(a.engine->Ns(0).live == b.engine->Ns(0).live);
  CHECK(ToText(a.Rows(kPartition, &names)) == ToText(b.Rows(kPartition, &names)));
  CHECK(SumOf(a) == SumOf(b));
}

// The key is gone from memory, and nothing tells.
void Lose(ReplicaNode& node, std::string_view key) {
  SlotTable& table = *node.engine->Slot(0, KeySlot(key));
  uint64_t hash = table.rows.HashOf(key);
  Row* row = table.rows.Find(hash, key);
  REQUIRE(row);
  node.engine->ApplyRemove(0, KeySlot(key), hash, row);
}

// Changes what stands on disk while the engine is away.
void ChangeOnDisk(ReplicaNode& node, const std::function<void(RowStore*, IngestBatch*)>& change) {
  node.Checkpoint();
  REQUIRE(node.engine->WriteTurn().ok());
  node.engine.reset();
  auto store = RocksRowStore::Open(node.options.dir + "/rows", {});
  REQUIRE(store.ok());
  auto batch = (*store)->NewIngest();
  change(store->get(), batch.get());
  REQUIRE(batch->Commit().ok());
  batch.reset();
  store->reset();
  node.Open();
}

std::string HeadKeyOf(RowStore* store, std::string_view key) {
  for (auto it = store->NewHeadIterator({}, {}); it->Valid(); it->Next()) {
    if (DecodeHeadKey(it->key())->key == key) return std::string(it->key());
  }
  FAIL("no such key on disk");
  return {};
}

}  // namespace

TEST_CASE("tree: each form of rows has the same sum where it was written and where it came") {
  using Body = std::function<void(Keyspace)>;
  const Body kBodies[] = {
      [](Keyspace keys) { keys.String("{t}").Set("v"); },
      [](Keyspace keys) { keys.String("{t}").Set("v", DeadlineChange::At(kJoinNowMs + 9)); },
      [](Keyspace keys) { CHECK(keys.String("{t}").Add(7).ok()); },
      [](Keyspace keys) {
        keys.String("{t}").Set("10");
        CHECK(keys.String("{t}").Add(7).ok());
      },
      [](Keyspace keys) {
        keys.String("{t}").Set(std::string(20'000, 'x'));
        keys.String("{t}").Overwrite(9000, "changed");
      },
      [](Keyspace keys) { keys.Hash("{t}").Set("f", "v"); },
      [](Keyspace keys) { CHECK(keys.Hash("{t}").Add("f", 3).ok()); },
      [](Keyspace keys) { keys.Set("{t}").Add("m"); },
      [](Keyspace keys) {
        for (int i = 0; i < 50; i++) keys.Set("{t}").Add("member" + std::to_string(i));
        keys.Find("{t}").SetDeadline(kJoinNowMs + 9);
      },
  };
  for (size_t i = 0; i < std::size(kBodies); i++) {
    CAPTURE(i);
    ReplicaNode a(0), b(1), c(2);
    REQUIRE(b.Accept(a.Do(kBodies[i])).status.ok());
    PullAllFrom(c, b);
    uint64_t sum = SumOf(a);
    CHECK(SumOf(b) == sum);
    CHECK(SumOf(c) == sum);
    a.Checkpoint();
    CHECK(SumOf(a) == sum);
    CHECK(Verify(a) == 0);
    b.Checkpoint();
    b.Crash();
    CHECK(SumOf(b) == sum);
  }
}

TEST_CASE("tree: rows have one sum, changed or captured or cold, at every replica") {
  ReplicaNode a(0), b(1), c(2);
  Fill(a);
  PullAllFrom(b, a);
  PullAllFrom(c, b);
  uint64_t sum = SumOf(a);
  CHECK(sum != 0);
  CHECK(SumOf(b) == sum);
  CHECK(SumOf(c) == sum);
  b.Checkpoint();
  CHECK(SumOf(b) == sum);
  c.Checkpoint();
  c.Crash();
  CHECK(c.engine->Ns(0).resident == 0);
  CHECK(SumOf(c) == sum);
  CHECK(a.side().TreeOf(kPartition).Root() == c.side().TreeOf(kPartition).Root());
  // Clean rows that change again, elements and fragments among them.
  std::string record = b.Do([](Keyspace keys) {
    keys.Set("{t}m").Add("new");
    keys.Set("{t}m").Remove("member3");
    keys.String("{t}long").Overwrite(1, "also changed");
    keys.Hash("{t}h").Set("f", "w");
    keys.Find("{t}s1").Remove();
  });
  CHECK(SumOf(b) != sum);
  REQUIRE(a.Accept(record).status.ok());
  REQUIRE(c.Accept(record).status.ok());
  CHECK(SumOf(a) == SumOf(b));
  CHECK(SumOf(c) == SumOf(b));
  c.Crash();
  c.Checkpoint();
  while (!c.side().TreeOf(kPartition).leaves.at(0).settled) {
    c.engine->Poll();
    poll(nullptr, 0, 1);  // a sum that is counted anew
  }
  CHECK(SumOf(c) == SumOf(b));
}

TEST_CASE("tree: siblings count, and what is known beyond the clock is not compared") {
  ReplicaNode a(0), b(1);
  std::string x = a.Do([](Keyspace keys) { keys.String("{t}k").Set("x"); });
  std::string y = b.Do([](Keyspace keys) { keys.String("{t}k").Set("y"); });
  REQUIRE(b.Accept(x).status.ok());
  uint64_t one_way = SumOf(b);
  REQUIRE(a.Accept(y).status.ok());
  CHECK(SumOf(a) == one_way);
  ReplicaNode c(2), d(3);
  std::string first = a.Do([](Keyspace keys) { keys.String("{t}k").Set("z"); });
  REQUIRE(c.Accept(y).status.ok());
  REQUIRE(c.Accept(first).status.ok());  // it removes x, which has not come here
  Tree tree = c.side().TreeOf(kPartition);
  REQUIRE(tree.leaves.size() == 1);
  CHECK(!tree.leaves[0].settled);
  REQUIRE(c.Accept(x).status.ok());
  CHECK(SumOf(c) == SumOf(a));
}

TEST_CASE("tree: too much that has changed is not hashed at once") {
  ReplicaNode a(0);
  for (int part = 0; part < 5; part++) {
    a.Do([&](Keyspace keys) {
      for (int i = 0; i < 5000; i++) keys.String("{t}" + std::to_string(5000 * part + i)).Set("v");
    });
  }
  CHECK(!a.side().TreeOf(kPartition).ready);
  a.Checkpoint();
  CHECK(a.side().TreeOf(kPartition).ready);
}

TEST_CASE("tree: the leaves that dots have touched are known while the index has them") {
  ReplicaNode a(0);
  a.Do([](Keyspace keys) { keys.String("{t}k").Set("x"); });
  std::set<LeafId> leaves;
  CHECK(a.side().TouchedLeaves(kPartition, a.side().ClockOf(kPartition), &leaves));
  CHECK(leaves == std::set<LeafId>{kLeaf});
  a.Do([](Keyspace keys) { keys.Clear(); });
  CHECK(a.side().TouchedLeaves(kPartition, a.side().ClockOf(kPartition), &leaves));
  CHECK(leaves.size() == size_t(SlotsPerPartition()));
  a.side().ForgetDots(kPartition, a.side().ClockOf(kPartition));
  CHECK(!a.side().TouchedLeaves(kPartition, a.side().ClockOf(kPartition), &leaves));
  CHECK(a.side().TouchedLeaves(kPartition, {}, &leaves));
}

TEST_CASE("leaf: versions lost on either side come back, and stay") {
  ReplicaNode a(0), b(1);
  Fill(a);
  PullAllFrom(b, a);
  Lose(a, "{t}s3");
  Lose(a, "{t}long");
  Lose(b, "{t}m");
  Lose(b, "{t}n");
  CHECK(SumOf(a) != SumOf(b));
  auto [at_a, at_b] = Unite(a, b);
  CHECK(at_a.status.ok());
  CHECK(at_b.status.ok());
  CHECK(at_a.repaired >= 3);   // a string; a long one with its fragment
  CHECK(at_b.repaired == 52);  // 49 members and their deadline; a base with its total
  CHECK(at_a.position > 0);
  MustBeEqual(a, b);
  CHECK(a.Get("{t}s3") == "value");
  CHECK(b.Get("{t}n") == "11");
  for (ReplicaNode* node : {&a, &b}) node->Crash();
  MustBeEqual(a, b);
  auto again = Unite(a, b);
  CHECK(again.first.repaired + again.second.repaired == 0);
  CHECK(again.first.position + again.second.position == 0);
  for (ReplicaNode* node : {&a, &b}) node->Checkpoint();
  for (ReplicaNode* node : {&a, &b}) node->Crash();
  MustBeEqual(a, b);
}

TEST_CASE("leaf: what was removed here does not come back from who has not heard of it") {
  ReplicaNode a(0), b(1);
  Fill(a);
  PullAllFrom(b, a);
  LeafRows before = b.side().RowsOfLeaf(kLeaf);
  a.Do([](Keyspace keys) {
    keys.Find("{t}s3").Remove();
    keys.Set("{t}m").Remove("member9");
  });
  CHECK(a.side().AcceptLeaf(kLeaf, before.bytes).status.code() == StatusCode::kBusy);
  CHECK(a.Get("{t}s3") == "(none)");
  a.side().ForgetDots(kPartition, a.side().ClockOf(kPartition));
  CHECK(a.side().AcceptLeaf(kLeaf, before.bytes).status.code() == StatusCode::kBusy);
  PullAllFrom(a, b);
  // An event that touches another leaf is no obstacle.
  ReplicaNode c(2);
  FullAnswer piece;
  PullAllFrom(c, b);
  std::string other;
  for (int i = 0; other.empty(); i++) {
    std::string key = "x" + std::to_string(i);
    bool fits = PartitionOfSlot(KeySlot(key)) == kPartition && KeySlot(key) != kLeaf.slot;
    if (fits) other = key;
  }
  c.Do([&](Keyspace keys) { keys.String(other).Set("v"); });
  Lose(c, "{t}s4");
  LeafAccepted accepted = c.side().AcceptLeaf(kLeaf, before.bytes);
  CHECK(accepted.status.ok());
  CHECK(accepted.repaired == 1);
  CHECK(c.Get("{t}s4") == "value");
  // What is known to be removed before it was seen stays removed.
  ReplicaNode d(3);
  REQUIRE(d.Accept(a.Do([](Keyspace keys) { keys.Find("{t}s5").Remove(); })).status.ok());
  accepted = d.side().AcceptLeaf(kLeaf, a.side().RowsOfLeaf(kLeaf).bytes);
  CHECK(accepted.status.ok());
  CHECK(d.Get("{t}s5") == "(none)");
  CHECK(d.Get("{t}s6") == "value");
  accepted = d.side().AcceptLeaf(kLeaf, before.bytes);
  CHECK(d.Get("{t}s5") == "(none)");
}

namespace {

enum class Damage { kLostKey, kContents, kGarbage, kLostElement, kLostCollection, kAllLost };

void DoDamage(Damage damage, RowStore* store, IngestBatch* batch) {
  std::string string = HeadKeyOf(store, "{t}s3"), set = HeadKeyOf(store, "{t}m");
  if (damage == Damage::kLostKey) REQUIRE(batch->DeleteHead(string).ok());
  if (damage == Damage::kGarbage) REQUIRE(batch->PutHead(string, "garbage").ok());
  if (damage == Damage::kLostCollection) REQUIRE(batch->DeleteHead(set).ok());
  if (damage == Damage::kContents) {
    std::vector<std::optional<std::string>> found;
    REQUIRE(store->MultiGetHeads({&string, 1}, &found).ok());
    std::string other = *found[0];
    REQUIRE(other.ends_with("value"));
    other.back() = 'x';
    REQUIRE(batch->PutHead(string, other).ok());
  }
  if (damage == Damage::kLostElement) {
    auto it = store->NewRowIterator({}, {});
    while (DecodeRowKey(it->key())->kind != uint8_t(RowKind::kMember)) it->Next();
    REQUIRE(batch->DeleteRow(it->key()).ok());
  }
  if (damage == Damage::kAllLost) {
    for (auto it = store->NewHeadIterator({}, {}); it->Valid(); it->Next()) {
      REQUIRE(batch->DeleteHead(it->key()).ok());
    }
  }
}

}  // namespace

TEST_CASE("leaf: damage on disk is found by reading, and mended from a replica") {
  static constexpr std::pair<Damage, uint64_t> kDamages[] = {
      {Damage::kLostKey, 1},     {Damage::kContents, 0},        {Damage::kGarbage, 1},
      {Damage::kLostElement, 1}, {Damage::kLostCollection, 50}, {Damage::kAllLost, 79},
  };
  for (auto [damage, repaired] : kDamages) {
    CAPTURE(int(damage));
    ReplicaNode a(0), b(1);
    Fill(a);
    PullAllFrom(b, a);
    uint64_t live = a.engine->Ns(0).live;
    CHECK(Verify(a) == 0);
    ChangeOnDisk(a, [&, what = damage](auto* store, auto* batch) { DoDamage(what, store, batch); });
    CHECK(Verify(a) == 1);
    CHECK(a.side().DamagedLeaves() == std::vector<LeafId>{kLeaf});
    CHECK(!a.side().TreeOf(kPartition).leaves.at(0).settled);
    LeafAccepted accepted = a.side().AcceptLeaf(kLeaf, b.side().RowsOfLeaf(kLeaf).bytes);
    REQUIRE(a.engine->WriteTurn().ok());
    CHECK(accepted.status.ok());
    CHECK(accepted.rebuilt);
    CHECK(accepted.rewritten == (damage == Damage::kContents));
    CHECK(accepted.repaired == repaired);
    CHECK(accepted.undecided == 0);
    CHECK(a.side().DamagedLeaves().empty());
    CHECK(a.engine->Ns(0).live == live);
    MustBeEqual(a, b);
    for (bool checkpoint : {false, true}) {
      if (checkpoint) a.Checkpoint();
      a.Crash();
      MustBeEqual(a, b);
      CHECK(a.engine->Ns(0).live == live);
    }
    CHECK(Verify(a) == 0);
  }
}

TEST_CASE("leaf: damaged rows of a leaf change nothing") {
  ReplicaNode a(0), b(1);
  a.Do([](Keyspace keys) { keys.Hash("{t}h").Set("f", "v"); });
  std::string bytes = a.side().RowsOfLeaf(kLeaf).bytes;
  uint64_t before = b.engine->log_->appended();
  for (size_t i = 0; i < bytes.size(); i++) {
    std::string flipped = bytes;
    flipped[i] = char(flipped[i] ^ (1 << i % 8));
    REQUIRE(!b.side().AcceptLeaf(kLeaf, flipped).status.ok());
    REQUIRE(!b.side().AcceptLeaf(kLeaf, bytes.substr(0, i)).status.ok());
  }
  CHECK(!b.side().AcceptLeaf({0, uint16_t(kLeaf.slot ^ 1)}, bytes).status.ok());
  CHECK(b.engine->log_->appended() == before);
  CHECK(b.side().AcceptLeaf(kLeaf, bytes).status.ok());
  CHECK(b.side().IrregularHash(kPartition) != 0);  // shown, but its event has not come
}
