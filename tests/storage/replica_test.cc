// SPDX-License-Identifier: Apache-2.0
// What replicas give to and take from each other, case by case.
#include <doctest/doctest.h>

#include <filesystem>
#include <vector>

#include "tests/support/replica_nodes.h"

using namespace redynamo;

namespace {

std::function<void(Keyspace)> Set(std::string key, std::string value) {
  return [=](Keyspace keys) { keys.String(key).Set(value); };
}
int PartitionOfKey(std::string_view key) { return PartitionOfSlot(KeySlot(key)); }

// One byte of each place changed, and each prefix: nothing of it may be accepted.
template <typename Try>
void ForEachDamage(const std::string& bytes, Try&& attempt) {
  for (size_t i = 0; i < bytes.size(); i++) {
    std::string flipped = bytes;
    flipped[i] = char(flipped[i] ^ (1 << i % 8));
    attempt(flipped);
    attempt(bytes.substr(0, i));
  }
  attempt(bytes + '\0');
}

}  // namespace

TEST_CASE("replica: a record joins at another node, once") {
  ReplicaNode a(0), b(1);
  std::string record = a.Do(Set("k", "v"));
  Accepted accepted = b.Accept(record);
  REQUIRE(accepted.status.ok());
  REQUIRE(accepted.events.size() == 1);
  CHECK(accepted.events[0].partition == PartitionOfKey("k"));
  CHECK(accepted.events[0].dot == PortableDot{a.engine->identity_.actors[0], 1});
  CHECK(!accepted.duplicate[0]);
  CHECK(accepted.position == b.engine->log_->appended());
  CHECK(b.Get("k") == "v");
  CHECK(a.Agrees(&b, PartitionOfKey("k")));
  uint64_t before = b.engine->log_->appended();
  accepted = b.Accept(record);
  CHECK(accepted.duplicate[0]);
  CHECK(accepted.position <= before);
  CHECK(accepted.position > 0);
  CHECK(b.engine->log_->appended() == before);
}

TEST_CASE("replica: an actor that could not be saved is nobody's until it is") {
  ReplicaNode a(0), b(1), other(2);
  std::string record = a.Do(Set("k", "a"));
  int partition = PartitionOfKey("k");
  PullAnswer answer = a.Pull(partition, {});
  std::string in_the_way = b.options.dir + "/identity.tmp";
  std::filesystem::create_directory(in_the_way);  // as a full disk: the file cannot be written
  for (int i = 0; i < 2; i++) {  // the second time the actor is known, but still not on disk
    CHECK(!b.Accept(record).status.ok());
    CHECK(!b.AcceptBatch(partition, answer.bytes).status.ok());
  }
  CHECK(b.side().ClockOf(partition).empty());
  std::filesystem::remove(in_the_way);
  CHECK(b.AcceptBatch(partition, answer.bytes).status.ok());
  b.Checkpoint();  // the actor's index is on disk now
  b.Crash();
  CHECK(b.Accept(other.Do(Set("k2", "other"))).status.ok());  // the next index is another one
  CHECK(b.Get("k") == "a");
  CHECK(a.Agrees(&b, partition));
}

TEST_CASE("replica: damaged records and batches change nothing") {
  ReplicaNode a(0), b(1);
  std::string record = a.Do([](Keyspace keys) {
    keys.Hash("{h}").Set("f", "v");
    CHECK(keys.Hash("{h}").Add("n", 7).ok());
    keys.String("{h}s").Set("x", DeadlineChange::At(kJoinNowMs + 1000));
    keys.Clear();
    keys.Set("{h}t").Add("m");
  });
  int partition = PartitionOfKey("{h}");
  PullAnswer answer = a.Pull(partition, {});
  REQUIRE(answer.kind == PullAnswer::kBatch);
  uint64_t before = b.engine->log_->appended();
  ForEachDamage(record, [&](const std::string& bytes) { REQUIRE(!b.Accept(bytes).status.ok()); });
  ForEachDamage(answer.bytes, [&](const std::string& bytes) {
    REQUIRE(!b.AcceptBatch(partition, bytes).status.ok());
  });
  CHECK(!b.AcceptBatch(partition + 1, answer.bytes).status.ok());
  CHECK(b.engine->log_->appended() == before);
  CHECK(b.side().ClockOf(partition).empty());
  CHECK(b.engine->identity_.actors.size() == 1);
  CHECK(b.AcceptBatch(partition, answer.bytes).status.ok());
  CHECK(a.Agrees(&b, partition));
}

TEST_CASE("replica: another content for a known dot is a conflict, and is not taken") {
  ReplicaNode a(0), b(1), twin(0);  // two nodes with one actor: what a rollback would make
  REQUIRE(b.Accept(a.Do(Set("k", "one"))).status.ok());
  Accepted accepted = b.Accept(twin.Do(Set("k", "two")));
  CHECK(accepted.status.ok());
  CHECK(accepted.dot_conflict);
  CHECK(b.Get("k") == "one");
  REQUIRE(twin.side().RotateActor().ok());
  accepted = b.Accept(twin.Do(Set("k", "three")));
  CHECK(!accepted.dot_conflict);
  CHECK(!accepted.duplicate[0]);
}

TEST_CASE("replica: a node that has lost what it sent takes another actor when it sees it") {
  ReplicaNode a(0), b(1);
  REQUIRE(b.Accept(a.Do(Set("k", "one"))).status.ok());
  a.Checkpoint();
  std::string copy = a.options.dir + "_copy";
  REQUIRE(a.engine->WriteTurn().ok());
  std::filesystem::copy(a.options.dir, copy, std::filesystem::copy_options::recursive);
  REQUIRE(b.Accept(a.Do(Set("k", "two"))).status.ok());
  // The disk as it was, in the same place and within one boot: nothing tells but the peers.
  a.engine.reset();
  for (const char* part : {"log", "rows", "identity"}) {
    std::filesystem::remove_all(a.options.dir + "/" + part);
    std::filesystem::copy(copy + "/" + part, a.options.dir + "/" + part,
                          std::filesystem::copy_options::recursive);
  }
  a.Open();
  int partition = PartitionOfKey("k");
  REQUIRE(a.engine->identity_.actors.size() == 1);
  SUBCASE("by a record") {
    Accepted accepted = a.Accept(b.Do(Set("k", "three")));
    CHECK(accepted.status.ok());
    CHECK(accepted.own_actor_rotated);
  }
  SUBCASE("by a batch") {
    PullAnswer answer = b.Pull(partition, a.side().ClockOf(partition));
    Accepted accepted = a.AcceptBatch(partition, answer.bytes);
    CHECK(accepted.status.ok());
    CHECK(accepted.own_actor_rotated);
    CHECK(a.Get("k") == "two");
  }
  SUBCASE("by a clock") { CHECK(a.Pull(partition, b.side().ClockOf(partition)).status.ok()); }
  CHECK(a.engine->identity_.actors.size() >= 2);
  std::string record = a.Do(Set("k", "four"));
  Accepted accepted = b.Accept(record);
  CHECK(!accepted.dot_conflict);
  CHECK(!accepted.duplicate[0]);
  while (a.PullFrom(&b, partition)) {
  }
  while (b.PullFrom(&a, partition)) {
  }
  CHECK(a.Agrees(&b, partition));
  CHECK(a.Get("k") == b.Get("k"));
  a.Crash();
  CHECK(a.Agrees(&b, partition));
  std::filesystem::remove_all(copy);
}

TEST_CASE("replica: counters are exact when increments of three nodes cross") {
  ReplicaNode a(0), b(1), c(2);
  std::vector<ReplicaNode*> nodes{&a, &b, &c};
  int partition = PartitionOfKey("n");
  Random random(5);
  int64_t sum = 0, field_sum = 0;
  for (int i = 0; i < 200; i++) {
    int64_t n = int64_t(random.Below(100)) - 50;
    ReplicaNode& node = *nodes[random.Below(3)];
    std::string record = node.Do([&](Keyspace keys) {
      CHECK(keys.String("n").Add(n).ok());
      CHECK(keys.Hash("{n}h").Add("f", 2 * n).ok());
    });
    sum += n;
    field_sum += 2 * n;
    for (ReplicaNode* other : nodes) {
      if (other != &node && random.Below(2)) CHECK(other->Accept(record).status.ok());
    }
    if (random.Below(20) == 0) node.Crash();
    if (random.Below(30) == 0) REQUIRE(node.side().RotateActor().ok());
    if (random.Below(10) == 0) nodes[random.Below(3)]->PullFrom(&node, partition, 500);
  }
  for (int round = 0; round < 2; round++) {
    for (ReplicaNode* to : nodes) {
      for (ReplicaNode* from : nodes) {
        while (to != from && to->PullFrom(from, partition, 300)) {
        }
      }
    }
  }
  for (ReplicaNode* node : nodes) CHECK(node->Agrees(&a, partition));
  for (ReplicaNode* node : nodes) {
    CHECK(node->Get("n") == std::to_string(sum));
    node->Do([&](Keyspace keys) {
      HashView hash = keys.Hash("{n}h");
      CHECK(*hash.Add("f", 0) == field_sum);
    });
  }
}

TEST_CASE("replica: a counter goes on beyond the totals that the table can say") {
  ReplicaNode a(0), b(1);
  for (int i = 0; i < 300; i++) {
    std::string record = a.Do([](Keyspace keys) {
      CHECK(keys.String("n").Add(1).ok());
      CHECK(keys.Hash("{n}h").Add("f", 1).ok());
    });
    CHECK(b.Accept(record).status.ok());
    REQUIRE(a.side().RotateActor().ok());
  }
  CHECK(a.Get("n") == "300");
  CHECK(b.Get("n") == "300");
  CHECK(a.Agrees(&b, PartitionOfKey("n")));
  CHECK(a.side().KeyStateHash(0, "{n}h") == b.side().KeyStateHash(0, "{n}h"));
  b.Crash();
  CHECK(b.Get("n") == "300");
}

TEST_CASE("replica: a key overwritten often while a node is away is one row of a batch") {
  ReplicaNode a(0), b(1);
  for (int i = 0; i < 1000; i++) a.Do(Set("k", "value " + std::to_string(i)));
  DotIndexStats stats = a.side().DotStats();
  CHECK(stats.dots == 1000);
  CHECK(stats.rows == 1);
  PullAnswer answer = a.Pull(PartitionOfKey("k"), {});
  CHECK(answer.bytes.size() < 12'000);  // a checksum for each event, and the value once
  CHECK(!answer.more);
  CHECK(b.AcceptBatch(PartitionOfKey("k"), answer.bytes).status.ok());
  CHECK(b.Get("k") == "value 999");
  CHECK(a.Agrees(&b, PartitionOfKey("k")));
  for (ReplicaNode* node : {&a, &b}) {
    node->side().ForgetDots(PartitionOfKey("k"), a.side().ClockOf(PartitionOfKey("k")));
    CHECK(node->side().DotStats().dots == 0);
    CHECK(node->side().DotStats().rows == 0);
    CHECK(node->side().DotStats().bytes == 0);
  }
}

TEST_CASE("replica: the dot index outlives a crash, by checkpoint and by log") {
  ReplicaNode a(0), b(1);
  a.Do(Set("k", "one"));
  a.Do([](Keyspace keys) { keys.Set("{k}s").Add("gone"); });
  a.Do([](Keyspace keys) { keys.Find("{k}s").Remove(); });
  a.Checkpoint();
  a.Do(Set("k", "two"));
  DotIndexStats before = a.side().DotStats();
  a.Crash();
  CHECK(a.side().DotStats().dots == before.dots);
  CHECK(a.side().DotStats().rows == before.rows);
  CHECK(a.side().DotStats().bytes == before.bytes);
  while (b.PullFrom(&a, PartitionOfKey("k"))) {
  }
  CHECK(b.Get("k") == "two");
  CHECK(a.Agrees(&b, PartitionOfKey("k")));
  b.Crash();  // what was pulled is in its index, too
  ReplicaNode c(2);
  while (c.PullFrom(&b, PartitionOfKey("k"))) {
  }
  CHECK(c.Agrees(&a, PartitionOfKey("k")));
}

TEST_CASE("replica: dots that are no longer in the index cannot be pulled") {
  ReplicaNode a(0), b(1), c(2, [](EngineOptions*o) { o->dot_index_bytes_max = 20'000; });
  int partition = PartitionOfKey("k");
  for (int i = 0; i < 300; i++) {
    std::string record = a.Do(Set("{k}" + std::to_string(i), "v"));
    CHECK(c.Accept(record).status.ok());
  }
  CHECK(c.side().DotStats().bytes <= 20'000);
  CHECK(c.side().DotStats().dropped > 50);
  CHECK(c.Pull(partition, {}).kind == PullAnswer::kNeedFull);
  while (b.PullFrom(&a, partition)) {
  }
  CHECK(b.Agrees(&c, partition));
  CHECK(c.Pull(partition, b.side().ClockOf(partition)).kind == PullAnswer::kNothing);
  a.side().KeepDots(false);
  CHECK(a.side().DotStats().dots == 0);
  CHECK(a.Pull(partition, {}).kind == PullAnswer::kNeedFull);
}

TEST_CASE("replica: what is on disk only is read before a join and before an answer") {
  ReplicaNode a(0), b(1);
  int partition = PartitionOfKey("{k}");
  auto grow = [](ReplicaNode& node) {
    for (int i = 0; i < 50; i++) {
      node.Do([&](Keyspace keys) {
        keys.Hash("{k}h").Set("f" + std::to_string(i), std::string(100, char('a' + i % 26)));
        keys.String("{k}" + std::to_string(i)).Set("v");
      });
    }
  };
  grow(a);
  while (b.PullFrom(&a, partition, 2000)) {
  }
  for (ReplicaNode* node : {&a, &b}) {
    node->Checkpoint();
    node->Crash();  // all is cold
  }
  CHECK(b.engine->Ns(0).resident == 0);
  std::string change = a.Do([&](Keyspace keys) {
    Row* row;
    CHECK(a.engine->LoadNow(0, "{k}h", &row).ok());
    CHECK(a.engine->LoadNow(0, "{k}7", &row).ok());
    CHECK(keys.Hash("{k}h").Remove("f3"));
    CHECK(keys.Find("{k}7").Remove());
  });
  Accepted accepted = b.Accept(change);
  CHECK(accepted.status.ok());
  CHECK(b.side().IrregularHash(partition) == 0);
  ReplicaNode c(2);
  while (c.PullFrom(&b, partition, 1500)) {
  }
  ActorNames names;
  CHECK(ToText(c.Rows(partition, &names)) == ToText(a.Rows(partition, &names)));
  CHECK(c.engine->Digest() == a.engine->Digest());
}

TEST_CASE("replica: a row that a batch has twice does not bring back what was removed unseen") {
  ReplicaNode writer(0), a(1), b(2);
  std::string first = writer.Do(Set("k", "1"));
  std::string second = writer.Do(Set("k", "2"));
  std::string third = writer.Do(Set("k", "3"));
  REQUIRE(a.Accept(second).status.ok());  // knows that the first is removed
  REQUIRE(a.Accept(third).status.ok());
  REQUIRE(b.Accept(first).status.ok());
  REQUIRE(b.Accept(third).status.ok());  // shows the first, and knows that the second is removed
  int partition = PartitionOfKey("k");
  a.PullFrom(&b, partition);  // the row comes for the first event, and as an irregular one
  std::vector<RowReport> rows = a.side().ExplainKey(0, "k", 10);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].live.size() == 1);
  CHECK(a.Get("k") == "3");
  b.PullFrom(&a, partition);
  CHECK(a.Agrees(&b, partition));
  CHECK(b.side().KeyStateHash(0, "k") == a.side().KeyStateHash(0, "k"));
}

TEST_CASE("replica: siblings are explained, and a hash tells whether replicas agree") {
  ReplicaNode a(0), b(1);
  std::string x = a.Do(Set("k", "x"), kJoinNowMs), y = b.Do(Set("k", "y"), kJoinNowMs + 5);
  CHECK(a.side().KeyStateHash(0, "k") != b.side().KeyStateHash(0, "k"));
  CHECK(a.side().KeyStateHash(0, "none") == 0);
  CHECK(a.Accept(y).status.ok());
  CHECK(b.Accept(x).status.ok());
  CHECK(a.side().KeyStateHash(0, "k") == b.side().KeyStateHash(0, "k"));
  std::vector<RowReport> rows = a.side().ExplainKey(0, "k", 10);
  REQUIRE(rows.size() == 1);
  REQUIRE(rows[0].live.size() == 2);
  CHECK(rows[0].kind == RowKind::kBase);
  CHECK(rows[0].live[0].value == "y");  // what is shown comes first
  CHECK(rows[0].live[0].dot.actor == b.engine->identity_.actors[0]);
  CHECK(rows[0].live[1].value == "x");
  CHECK(!rows[0].unseen);
  a.Do([](Keyspace keys) {
    for (int i = 0; i < 20; i++) keys.Set("{k}s").Add(std::to_string(i));
  });
  CHECK(a.side().ExplainKey(0, "{k}s", 7).size() == 7);
  CHECK(a.side().ExplainKey(1, "k", 7).empty());
}

TEST_CASE("replica: who watches a key hears of another node's write") {
  ReplicaNode a(0), b(1);
  std::vector<std::string> heard;
  int cleared = 0;
  b.engine->hooks_.on_key_changed = [&](int database, std::string_view key) {
    heard.push_back(std::to_string(database) + ":" + std::string(key));
  };
  b.engine->hooks_.on_database_cleared = [&](int database) { cleared += database == 0; };
  std::string record = a.Do(Set("k", "v"));
  CHECK(b.Accept(record).status.ok());
  CHECK(b.Accept(record).status.ok());
  CHECK(heard == std::vector<std::string>{"0:k"});
  CHECK(b.Accept(a.Do([](Keyspace keys) { keys.Clear(); })).status.ok());
  CHECK(cleared == 1);
  CHECK(b.Get("k") == "(none)");
}

TEST_CASE("replica: a database that this node does not have is refused") {
  ReplicaNode a(0, [](EngineOptions*o) { o->databases = 3; }), b(1);
  std::string record;
  a.engine->BeginCommand(kJoinNowMs);
  Keyspace(a.engine.get(), 2).String("k").Set("v");
  a.engine->EndCommand();
  Accepted accepted = b.Accept(a.records[0]);
  CHECK(accepted.status.code() == StatusCode::kInvalidArgument);
  PullAnswer answer = a.Pull(PartitionOfKey("k"), {});
  accepted = b.AcceptBatch(PartitionOfKey("k"), answer.bytes);
  CHECK(accepted.status.code() == StatusCode::kInvalidArgument);
}

TEST_CASE("replica: clocks have one spelling, and none but it is read") {
  ReplicaClock clock;
  Random random(3);
  for (int i = 0; i < 200; i++) {
    Id128 actor{};
    actor[3] = uint8_t(random.Below(5));
    clock.actors[actor].AddRange(1 + random.Below(300), 300 + random.Below(3));
    clock.Add({actor, 400 + 2 * random.Below(50)});
    std::string bytes;
    clock.EncodeTo(&bytes);
    ByteReader in(bytes);
    ReplicaClock back;
    REQUIRE(ReplicaClock::Decode(&in, &back));
    REQUIRE(in.empty());
    REQUIRE(back == clock);
    REQUIRE(back.Hash() == clock.Hash());
    REQUIRE(clock.Covers(back));
    REQUIRE(clock.Minus(back).empty());
    for (size_t n = 0; n < bytes.size(); n++) {
      ByteReader part(std::string_view(bytes).substr(0, n));
      REQUIRE(!ReplicaClock::Decode(&part, &back));
    }
  }
  ReplicaClock more = clock;
  more.Add({{{9}}, 1});
  CHECK(more.Covers(clock));
  CHECK(!clock.Covers(more));
  CHECK(more.Minus(clock).actors.size() == 1);
  CHECK(more.Hash() != clock.Hash());
  clock.Join(more);
  CHECK(clock == more);
  CHECK(ReplicaClock().Hash() == 0);
}
