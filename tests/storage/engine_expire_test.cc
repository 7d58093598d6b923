// SPDX-License-Identifier: Apache-2.0
// Expired keys on disk go although nobody asks for them.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/stepping_engine.h"

namespace redynamo {
namespace {

constexpr int kKeys = 300;
constexpr int64_t kSoonMs = 1000, kLaterMs = 5000;

// Keys without a deadline, with one that comes soon, and with one that comes later.
void Fill(SteppingEngine* t) {
  auto set = [t](const std::string& key, DeadlineChange deadline) {
    t->Do({key}, [&](Keyspace keys) { keys.String(key).Set("value", deadline); });
  };
  for (int i = 0; i < kKeys; i++) {
    std::string n = std::to_string(i);
    set("stays" + n, DeadlineChange::Clear());
    set("soon" + n, DeadlineChange::At(t->clock.wall_ms + kSoonMs));
    set("later" + n, DeadlineChange::At(t->clock.wall_ms + kLaterMs));
  }
}

// Ticks until the sweeps have nothing left to do now.
void Settle(SteppingEngine* t) {
  EngineImpl& engine = *t->engine;
  auto due = [&] {
    return engine.cold_sweep_busy_ || engine.namespaces_[0]->cold_deadline_ms <= t->clock.wall_ms;
  };
  constexpr int kTurnsMax = 20'000;
  for (int i = 0; i == 0 || (due() && i < kTurnsMax); i++) {
    engine.Tick(t->clock.wall_ms, 1000);
    t->Turn();
  }
  REQUIRE(!due());
}

uint64_t Live(const SteppingEngine& t) { return t.engine->namespaces_[0]->live; }

TEST_CASE("expire: keys that were paged out go when their time has come") {
  SteppingEngine t;
  Fill(&t);
  t.Checkpoint();
  t.PageOutAll();
  REQUIRE(t.engine->namespaces_[0]->resident == 0);
  Settle(&t);
  CHECK(Live(t) == 3 * kKeys);
  t.clock.wall_ms += kSoonMs;
  Settle(&t);
  CHECK(Live(t) == 2 * kKeys);
  CHECK(t.engine->stats_.expired_keys == kKeys);
  // The rest was not touched, and is known to be due later only.
  CHECK(t.engine->namespaces_[0]->resident == 0);
  CHECK(t.engine->namespaces_[0]->cold_deadline_ms > t.clock.wall_ms);
  t.clock.wall_ms += kLaterMs;
  Settle(&t);
  CHECK(Live(t) == kKeys);
  CHECK(t.engine->namespaces_[0]->cold_deadline_ms == kNoColdDeadline);
}

TEST_CASE("expire: keys that a restart leaves on disk go, too") {
  SteppingEngine t;
  Fill(&t);
  t.Checkpoint();
  t.Crash();
  REQUIRE(t.engine->namespaces_[0]->resident == 0);
  Settle(&t);  // learns of the deadlines
  CHECK(Live(t) == 3 * kKeys);
  t.clock.wall_ms += kLaterMs;
  Settle(&t);
  CHECK(Live(t) == kKeys);
  // What was removed stays so, on disk as well.
  t.Checkpoint();
  t.Crash();
  CHECK(Live(t) == kKeys);
  t.Do({"soon1"}, [&](Keyspace keys) { CHECK(!keys.String("soon1").exists()); });
  t.Do({"stays1"}, [&](Keyspace keys) { CHECK(keys.String("stays1").value() == "value"); });
}

TEST_CASE("expire: a key that got another deadline in memory is not removed for its old one") {
  SteppingEngine t;
  int64_t soon = t.clock.wall_ms + kSoonMs;
  t.Do({"k"}, [&](Keyspace keys) { keys.String("k").Set("v", DeadlineChange::At(soon)); });
  t.Do({"other"}, [&](Keyspace keys) { keys.String("other").Set("v", DeadlineChange::At(soon)); });
  t.Checkpoint();
  t.PageOutAll();
  t.Do({"k"}, [&](Keyspace keys) { keys.String("k").Persist(); });
  t.clock.wall_ms = soon;
  Settle(&t);
  CHECK(Live(t) == 1);
  t.Do({"k"}, [&](Keyspace keys) { CHECK(keys.String("k").value() == "v"); });
}

TEST_CASE("expire: all of a slot goes before the next checkpoint, however much that is") {
  SteppingEngine t;
  constexpr int kMany = 1500;
  for (std::string tag : {"{a}", "{b}"}) {
    for (int i = 0; i < kMany; i++) {
      std::string key = tag + std::to_string(i);
      DeadlineChange soon = DeadlineChange::At(t.clock.wall_ms + kSoonMs);
      t.Do({key}, [&](Keyspace keys) { keys.String(key).Set("v", soon); });
    }
  }
  t.Checkpoint();
  t.PageOutAll();
  t.clock.wall_ms += kSoonMs;
  Settle(&t);
  CHECK(Live(t) == 0);
  CHECK(t.engine->stats_.expired_keys == 2 * kMany);
}

TEST_CASE("expire: after one tick all cold keys that are due go, in steps that are short") {
  SteppingEngine t;
  constexpr uint64_t kMany = 6000, kStep = 256;
  for (uint64_t i = 0; i < kMany; i++) {  // a third of them in one slot
    std::string key = (i % 3 ? "" : "{slot}") + std::to_string(i);
    DeadlineChange soon = DeadlineChange::At(t.clock.wall_ms + kSoonMs);
    t.Do({key}, [&](Keyspace keys) { keys.String(key).Set("v", soon); });
  }
  t.Checkpoint();
  t.PageOutAll();
  t.clock.wall_ms += kSoonMs;
  t.engine->Tick(t.clock.wall_ms, 1000);
  uint64_t longest = 0;
  for (int turns = 0; t.engine->cold_sweep_busy_ && turns < 20'000; turns++) {
    uint64_t before = Live(t);
    t.Turn();
    longest = std::max(longest, before - Live(t));
  }
  CHECK(Live(t) == 0);
  CHECK(longest <= kStep);
}

TEST_CASE("expire: a sweep goes on when a checkpoint or a clear comes between its steps") {
  for (bool clear : {false, true}) {
    SteppingEngine t;
    for (int i = 0; i < 3000; i++) {
      std::string key = "{slot}" + std::to_string(i);
      DeadlineChange soon = DeadlineChange::At(t.clock.wall_ms + kSoonMs);
      t.Do({key}, [&](Keyspace keys) { keys.String(key).Set("v", soon); });
    }
    t.Checkpoint();
    t.PageOutAll();
    t.clock.wall_ms += kSoonMs;
    t.engine->Tick(t.clock.wall_ms, 1000);
    while (Live(t) == 3000) t.Turn();
    REQUIRE(Live(t) > 0);
    if (clear) {
      t.Do({}, [](Keyspace keys) { keys.Clear(); });
      t.Do({"{slot}new"}, [&](Keyspace keys) { keys.String("{slot}new").Set("v"); });
    }
    t.Checkpoint();
    Settle(&t);
    CHECK(Live(t) == (clear ? 1 : 0));
    t.Checkpoint();
    t.Crash();
    CHECK(Live(t) == (clear ? 1 : 0));
  }
}

TEST_CASE("expire: without active expiry cold keys stay until they are asked for") {
  SteppingEngine t;
  Fill(&t);
  t.Checkpoint();
  t.PageOutAll();
  t.engine->active_expire_ = false;
  t.clock.wall_ms += kLaterMs;
  t.engine->Tick(t.clock.wall_ms, 1000);
  CHECK(!t.engine->cold_sweep_busy_);
  CHECK(Live(t) == 3 * kKeys);
}

}  // namespace
}  // namespace redynamo
