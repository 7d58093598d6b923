// SPDX-License-Identifier: Apache-2.0
// A replica that is let go is gone whatever comes between, its counter goes on, and it can be
// filled again.
#include <doctest/doctest.h>

#include "storage/collection.h"
#include "storage/row_format.h"
#include "tests/support/flaky_row_store.h"
#include "tests/support/replica_nodes.h"

using namespace redynamo;

namespace {

int PartitionOfKey(std::string_view key) { return PartitionOfSlot(KeySlot(key)); }
const int kPartition = PartitionOfKey("{t}");

// Something of every form, in several slots' worth of one partition and a key elsewhere.
void Fill(ReplicaNode& node) {
  node.Do([](Keyspace keys) {
    keys.String("{t}s").Set("text");
    keys.String("{t}d").Set("text", DeadlineChange::At(kJoinNowMs + 1'000'000));
    CHECK(keys.String("{t}n").Add(7).ok());
    keys.String("{t}long").Set(std::string(20'000, 'x'));
    keys.Hash("{t}h").Set("f", "v");
    keys.String("elsewhere").Set("stays");
  });
  node.Do([](Keyspace keys) {
    for (int i = 0; i < 50; i++) keys.Set("{t}m").Add("member" + std::to_string(i));
    keys.String("{t}long").Overwrite(9000, "changed");
    CHECK(keys.Hash("{t}h").Add("n", 3).ok());
  });
  node.engine->BeginCommand(kJoinNowMs);
  Keyspace(node.engine.get(), 1).String("{t}other").Set("in database 1");
  node.engine->EndCommand();
  REQUIRE(node.engine->WriteTurn().ok());
}

ReplicaClock ClockOf(ReplicaNode& node) { return node.side().ClockOf(kPartition); }

Status Drop(ReplicaNode& node) {
  Status status = node.side().Drop(kPartition, ClockOf(node));
  REQUIRE(node.engine->WriteTurn().ok());
  return status;
}

// Nothing of the partition is left, and all figures say so.
void CheckGone(ReplicaNode& node, uint64_t own_n) {
  ActorNames names;
  CHECK(!node.side().Holds(kPartition));
  CHECK(node.side().ClockHash(kPartition) == 0);
  CHECK(node.side().IrregularHash(kPartition) == 0);
  CHECK(node.side().BytesOf(kPartition) == 0);
  CHECK(node.Rows(kPartition, &names).keys.empty());
  CHECK(node.engine->partitions_[kPartition].own_n == own_n);
  CHECK(node.engine->Ns(0).live == 1);
  CHECK(node.engine->Ns(1).live == 0);
  CHECK(node.engine->Ns(0).volatiles + uint64_t(node.engine->Ns(0).cold_volatiles) == 0);
  CHECK(node.Get("elsewhere") == "stays");
  CHECK(node.Get("{t}s") == "(none)");
}

// What the disk has of the partition, once a checkpoint has followed.
void CheckGoneFromDisk(ReplicaNode& node) {
  for (uint16_t ns = 0; ns < 2; ns++) {
    uint64_t first = uint64_t(kPartition) * SlotsPerPartition();
    KeyRange range = PositionRange(ns, first << kPositionHashBits,
                                   ((first + SlotsPerPartition()) << kPositionHashBits) - 1);
    CHECK(!node.engine->store_->NewHeadIterator(range.lower, range.upper)->Valid());
    CHECK(!node.engine->store_->NewRowIterator(range.lower, range.upper)->Valid());
  }
}

void FullSync(ReplicaNode& to, ReplicaNode& from) {
  bool complete = false;
  uint64_t cursor = 0;
  do {
    FullAnswer piece = from.Full(kPartition, cursor, 200);
    REQUIRE(piece.status.ok());
    Accepted accepted = to.AcceptFull(kPartition, piece.bytes);
    REQUIRE(accepted.status.ok());
    complete = accepted.full_complete;
    cursor = piece.next;
  } while (cursor != 0);
  REQUIRE(complete);
}

void MustBeEqual(ReplicaNode& a, ReplicaNode& b) {
  ActorNames names;
  CHECK(a.Agrees(&b, kPartition));
  CHECK(ToText(a.Rows(kPartition, &names)) == ToText(b.Rows(kPartition, &names)));
}

void StartCheckpoint(ReplicaNode& node) {
  node.engine->checkpoint_wanted_ = true;
  node.engine->Tick(kJoinNowMs, 1);
  REQUIRE(node.engine->checkpoint_);
}

void FinishCheckpoint(ReplicaNode& node) {
  while (node.engine->checkpoint_) {
    node.engine->Tick(kJoinNowMs, 1000);
    REQUIRE(node.engine->WriteTurn().ok());
    node.engine->Poll();
  }
}

}  // namespace

TEST_CASE("drop: a replica goes whole, however it was kept and whatever follows") {
  enum Kept { kDirty, kCaptured, kCold, kPartlyCold };
  enum Then { kNothing, kCrash, kCheckpoint, kCheckpointCrash, kCrashCheckpointCrash };
  for (Kept kept : {kDirty, kCaptured, kCold, kPartlyCold}) {
    for (Then then : {kNothing, kCrash, kCheckpoint, kCheckpointCrash, kCrashCheckpointCrash}) {
      CAPTURE(int(kept));
      CAPTURE(int(then));
      ReplicaNode node(0);
      Fill(node);
      uint64_t own_n = node.engine->partitions_[kPartition].own_n;
      CHECK(own_n == 3);
      CHECK(node.side().Holds(kPartition));
      CHECK(node.side().BytesOf(kPartition) > 10'000);
      if (kept != kDirty) node.Checkpoint();
      if (kept >= kCold) {
        node.Crash();
        CHECK(node.engine->Ns(0).resident == 0);
        CHECK(node.side().BytesOf(kPartition) > 500);
      }
      if (kept == kPartlyCold) {
        CHECK(node.Get("{t}s") == "text");
        node.Do([](Keyspace keys) { keys.String("{t}s").Set("newer"); });
        own_n++;
      }
      REQUIRE(Drop(node).ok());
      CheckGone(node, own_n);
      CHECK(node.side().DotStats().dots == 1);  // of the key elsewhere
      if (then == kCrash || then == kCrashCheckpointCrash) node.Crash();
      if (then >= kCheckpoint) node.Checkpoint();
      if (then >= kCheckpointCrash) node.Crash();
      if (then >= kCheckpoint) CheckGoneFromDisk(node);
      CheckGone(node, own_n);
    }
  }
}

TEST_CASE("drop: the own counter goes on without a dot used twice") {
  ReplicaNode node(0), home(1);
  Fill(node);
  while (home.PullFrom(&node, kPartition)) {
  }
  ReplicaClock before = ClockOf(node);
  REQUIRE(Drop(node).ok());
  int crashes = 0;
  SUBCASE("without a restart") {}
  SUBCASE("from the log") {
    node.Crash();
    crashes = 1;
  }
  SUBCASE("from a checkpoint") {
    node.Checkpoint();
    node.Crash();
    crashes = 1;
  }
  SUBCASE("dropped twice, from a checkpoint and the log") {
    node.Checkpoint();
    std::string record = node.Do([](Keyspace keys) { keys.String("{t}s").Set("between"); });
    CHECK(home.Accept(record).status.ok());
    REQUIRE(Drop(node).ok());
    node.Crash();
    crashes = 1;
    before.Add({node.engine->identity_.actors[0], 4});
  }
  REQUIRE(node.engine->identity_.actors.size() <= 2);
  std::string record = node.Do([](Keyspace keys) { keys.String("{t}s").Set("new"); });
  ReplicaClock after = ClockOf(node);
  REQUIRE(after.actors.size() == 1);
  CHECK(after.actors.begin()->first == node.engine->identity_.actors[node.engine->self_]);
  for (const auto& interval : after.actors.begin()->second.intervals()) {
    CHECK(!before.Contains({after.actors.begin()->first, interval.first}));
  }
  Accepted accepted = home.Accept(record);
  CHECK(!accepted.dot_conflict);
  CHECK(!accepted.duplicate[0]);
  // A home shows own dots that the clock here does not have any more: that is no amnesia.
  Id128 actor = node.engine->identity_.actors[node.engine->self_];
  accepted = node.Accept(home.Do([](Keyspace keys) { keys.String("{t}s").Set("from home"); }));
  CHECK(accepted.status.ok());
  CHECK(!accepted.own_actor_rotated);
  while (node.PullFrom(&home, kPartition)) {
  }
  CHECK(node.engine->identity_.actors[node.engine->self_] == actor);
  CHECK(node.engine->identity_.own == 0);
  MustBeEqual(node, home);
  CHECK(node.Get("{t}s") == home.Get("{t}s"));
  for (int i = 0; i <= crashes; i++) {
    node.Crash();
    MustBeEqual(node, home);
  }
}

TEST_CASE("drop: what is dropped is filled again, own events included") {
  ReplicaNode node(0), home(1);
  Fill(node);
  while (home.PullFrom(&node, kPartition)) {
  }
  home.Do([](Keyspace keys) { keys.Set("{t}m").Remove("member7"); });
  node.Checkpoint();
  node.Crash();
  REQUIRE(Drop(node).ok());
  SUBCASE("by pulling") {
    while (node.PullFrom(&home, kPartition, 500)) {
    }
  }
  SUBCASE("by a full sync") { FullSync(node, home); }
  SUBCASE("by a full sync after a checkpoint") {
    node.Checkpoint();
    FullSync(node, home);
  }
  SUBCASE("by records that come again, late") {
    ReplicaNode third(2);
    while (third.PullFrom(&home, kPartition)) {
    }
    CHECK(node.Accept(third.Do([](Keyspace k) { k.String("{t}s").Set("third"); })).status.ok());
    CHECK(node.side().IrregularHash(kPartition) != 0);  // it removes what has not come again
    while (node.PullFrom(&home, kPartition)) {
    }
    while (home.PullFrom(&node, kPartition)) {
    }
  }
  MustBeEqual(node, home);
  node.Crash();
  MustBeEqual(node, home);
  node.Checkpoint();
  node.Crash();
  MustBeEqual(node, home);
  CHECK(node.Get("{t}s") == home.Get("{t}s"));
}

TEST_CASE("drop: what not every home has is not let go") {
  ReplicaNode node(0), home(1);
  Fill(node);
  while (home.PullFrom(&node, kPartition)) {
  }
  ReplicaClock theirs = ClockOf(home);
  node.Do([](Keyspace keys) { keys.String("{t}s").Set("unknown to the home"); });
  CHECK(node.side().Drop(kPartition, theirs).code() == StatusCode::kBusy);
  CHECK(node.Get("{t}s") == "unknown to the home");
}

TEST_CASE("drop: whoever has a removal knows as much of it, though its original never comes") {
  ReplicaNode guest(2), writer(3), home(1);
  std::string first = writer.Do([](Keyspace keys) { keys.String("{t}k").Set("1"); });
  std::string second = writer.Do([](Keyspace keys) { keys.Find("{t}k").Remove(); });
  CHECK(guest.Accept(second).status.ok());
  CHECK(guest.side().Drop(kPartition, {}).code() == StatusCode::kBusy);
  CHECK(home.Accept(second).status.ok());
  CHECK(guest.side().Drop(kPartition, ClockOf(home)).ok());
  CHECK(!guest.side().Holds(kPartition));
  CHECK(home.Accept(first).status.ok());
  CHECK(home.Get("{t}k") == home.Get("{t}never written"));
}

TEST_CASE("drop: no drop while a checkpoint captures, and one behind its capture is sound") {
  bool fails = false, crash = false;
  SUBCASE("the checkpoint succeeds") {}
  SUBCASE("the checkpoint fails") { fails = true; }
  SUBCASE("a crash before it is committed") { crash = true; }
  ReplicaNode node(0);
  Fill(node);
  auto flaky = std::make_unique<FlakyRowStore>(std::move(node.engine->store_));
  FlakyRowStore* store = flaky.get();
  node.engine->store_ = std::move(flaky);
  store->fail_commits = fails;
  uint64_t own_n = node.engine->partitions_[kPartition].own_n;
  StartCheckpoint(node);
  REQUIRE(node.engine->Capturing());
  CHECK(Drop(node).code() == StatusCode::kBusy);
  CHECK(node.Get("{t}s") == "text");
  while (node.engine->Capturing()) node.engine->Tick(kJoinNowMs, 1000);
  REQUIRE(node.engine->checkpoint_);
  REQUIRE(Drop(node).ok());
  if (!crash) FinishCheckpoint(node);
  store->fail_commits = false;
  CheckGone(node, own_n);
  if (!crash) {
    node.Checkpoint();
    CheckGoneFromDisk(node);
  }
  node.Crash();
  CheckGone(node, own_n);
  node.Checkpoint();
  CheckGoneFromDisk(node);
  node.Crash();
  CheckGone(node, own_n);
}

TEST_CASE("drop: a drop that was not written is not done, and the replica is whole") {
  ReplicaNode node(0), home(1);
  Fill(node);
  while (home.PullFrom(&node, kPartition)) {
  }
  node.Checkpoint();
  REQUIRE(node.side().Drop(kPartition, ClockOf(node)).ok());
  CHECK(!node.side().Holds(kPartition));
  node.engine.reset();  // the turn's records are lost
  node.Open();
  MustBeEqual(node, home);
  CHECK(node.Get("{t}s") == "text");
}

TEST_CASE("drop: reads under way and expiry meet an empty partition") {
  ReplicaNode node(0);
  Fill(node);
  node.Checkpoint();
  node.Crash();
  int done = 0;
  KeyRef ref{0, "{t}m"};
  node.engine->Load({&ref, 1}, [&](const Status& status) { done += status.ok(); });
  int cleared = 0, changed = 0;
  node.engine->hooks_.on_database_cleared = [&](int) { cleared++; };
  node.engine->hooks_.on_key_changed = [&](int, std::string_view) { changed++; };
  REQUIRE(Drop(node).ok());
  CHECK(cleared == 2);  // both databases had keys there
  CHECK(changed == 0);
  while (done == 0) {
    REQUIRE(node.engine->WriteTurn().ok());
    node.engine->Poll();
  }
  CHECK(node.engine->Resident({&ref, 1}));
  for (int i = 0; i < 20; i++) node.engine->Tick(kJoinNowMs + 2'000'000, 1000);
  CheckGone(node, node.engine->partitions_[kPartition].own_n);
  CHECK(node.records.empty());  // nothing was left to expire
}

TEST_CASE("drop: another actor of the directory begins anew") {
  ReplicaNode node(0), home(1);
  Fill(node);
  while (home.PullFrom(&node, kPartition)) {
  }
  REQUIRE(Drop(node).ok());
  node.Checkpoint();
  REQUIRE(node.side().RotateActor().ok());
  CHECK(!node.side().Holds(kPartition));
  node.Crash();
  CHECK(!node.side().Holds(kPartition));
  std::string record = node.Do([](Keyspace keys) { keys.String("{t}s").Set("new"); });
  Accepted accepted = home.Accept(record);
  CHECK(!accepted.duplicate[0]);
  CHECK(accepted.events[0].dot.n == 1);
  while (node.PullFrom(&home, kPartition)) {
  }
  MustBeEqual(node, home);
  node.Crash();
  MustBeEqual(node, home);
}
