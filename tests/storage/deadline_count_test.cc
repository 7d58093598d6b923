// SPDX-License-Identifier: Apache-2.0
// How many keys have a deadline (INFO: expires) is exact, wherever they are and whatever happens.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "tests/support/stepping_engine.h"

namespace redynamo {
namespace {

constexpr int64_t kHourMs = 3'600'000;

struct Counting : SteppingEngine {
  uint64_t Count(int database = 0) { return Keyspace(engine.get(), database).volatile_keys(); }
  void Set(const std::string& key, int64_t after_ms = 0) {
    DeadlineChange deadline =
        after_ms ? DeadlineChange::At(clock.wall_ms + after_ms) : DeadlineChange::Clear();
    Do({key}, [&](Keyspace keys) { keys.String(key).Set("value", deadline); });
  }
  // On disk only, after a checkpoint that has seen all so far.
  void MakeCold() {
    Checkpoint();
    PageOutAll();
    REQUIRE(engine->namespaces_[0]->resident == 0);
  }
  void TickUntilSwept() {
    for (int i = 0; i == 0 || engine->cold_sweep_busy_ ||
                    engine->namespaces_[0]->cold_deadline_ms <= clock.wall_ms;
         i++) {
      REQUIRE(i < 20'000);
      engine->Tick(clock.wall_ms, 1000);
      Turn();
    }
  }
};

TEST_CASE("deadlines: keys that were paged out still count, also after a restart") {
  Counting t;
  for (int i = 0; i < 100; i++) t.Set("with" + std::to_string(i), kHourMs);
  for (int i = 0; i < 100; i++) t.Set("without" + std::to_string(i));
  CHECK(t.Count() == 100);
  t.MakeCold();
  CHECK(t.Count() == 100);
  t.Crash();
  CHECK(t.Count() == 100);
  t.Do({"with1", "without1"}, [](Keyspace) {});  // loads them
  CHECK(t.Count() == 100);
}

TEST_CASE("deadlines: what replay does to cold keys without reading them is counted") {
  Counting t;
  for (const char* key : {"set", "set ex", "del", "persist", "expire", "stays"})
    t.Set(key, kHourMs);
  t.Set("plain");
  t.Do({"hash"}, [&](Keyspace keys) {
    keys.Hash("hash").Set("field", "value");
    keys.Peek("hash").SetDeadline(t.clock.wall_ms + kHourMs);
  });
  t.Do({"hash 2"}, [&](Keyspace keys) {
    keys.Hash("hash 2").Set("field", "value");
    keys.Find("hash 2").SetDeadline(t.clock.wall_ms + kHourMs);
  });
  t.MakeCold();
  REQUIRE(t.Count() == 8);
  t.Set("set");
  t.Set("set ex", kHourMs);
  t.Set("plain", kHourMs);
  t.Set("hash");  // a string takes the hash's place
  t.Do({"del"}, [](Keyspace keys) { keys.Find("del").Remove(); });
  t.Do({"hash 2"}, [](Keyspace keys) { keys.Find("hash 2").Remove(); });
  t.Do({"persist"}, [](Keyspace keys) { keys.Find("persist").Persist(); });
  t.Do({"expire"}, [&](Keyspace keys) { keys.Find("expire").SetDeadline(t.clock.wall_ms + 1); });
  CHECK(t.Count() == 4);  // "set ex", "plain", "expire", "stays"
  t.Crash();
  CHECK(t.engine->namespaces_[0]->resident < 8);  // "stays" was not read
  CHECK(t.Count() == 4);
  t.MakeCold();
  CHECK(t.Count() == 4);
  t.Crash();
  CHECK(t.Count() == 4);
}

TEST_CASE("deadlines: cold keys that expire, are flushed or change databases leave the count") {
  Counting t;
  t.options.databases = 2;
  t.Crash();
  for (int i = 0; i < 50; i++) t.Set("soon" + std::to_string(i), 1000);
  for (int i = 0; i < 50; i++) t.Set("later" + std::to_string(i), kHourMs);
  t.MakeCold();
  t.clock.wall_ms += 2000;
  t.TickUntilSwept();
  CHECK(t.Count() == 50);
  t.Crash();
  CHECK(t.Count() == 50);
  t.Do({}, [&](Keyspace) { t.engine->SwapDatabases(0, 1); });
  CHECK(t.Count(0) == 0);
  CHECK(t.Count(1) == 50);
  t.Crash();
  CHECK(t.Count(1) == 50);
  t.Do({}, [&](Keyspace) { Keyspace(t.engine.get(), 1).Clear(); });
  CHECK(t.Count(1) == 0);
  t.Crash();
  CHECK(t.Count(1) == 0);
}

// The count of a checkpoint of format 3 tells nothing; counting leaves sets it right.
TEST_CASE("deadlines: an older checkpoint's count is a guess until its leaves are counted") {
  Counting t;
  for (int i = 0; i < 100; i++) t.Set("k" + std::to_string(i), kHourMs);
  t.MakeCold();
  t.Crash();
  for (auto& table : t.engine->namespaces_[0]->slots) {  // as the format's reader leaves it
    if (!table) continue;
    t.engine->CountColdVolatiles(0, *table, -table->cold_volatiles);
    table->deadlines_unknown = table->sum_unknown = true;
  }
  CHECK(t.Count() == 0);
  t.Set("k1");
  t.Checkpoint();
  Result<CheckpointMeta> meta = LoadCheckpointMeta(t.engine->store_.get(), 1);
  REQUIRE(meta.ok());
  CHECK(!meta->slots[0][KeySlot("k2")].deadlines_known);
  while (t.engine->stats_.leaves_counted < 90) t.Turn();
  for (int i = 0; i < 100; i++) t.Turn();
  CHECK(t.Count() == 99);
  t.Set("k2");
  CHECK(t.Count() == 98);
  t.Checkpoint();
  t.Crash();
  CHECK(t.Count() == 98);
}

TEST_CASE("deadlines: the average time to live is of cold keys as well, and shrinks with time") {
  Counting t;
  for (int i = 0; i < 100; i++) t.Set("k" + std::to_string(i), kHourMs);
  t.engine->Tick(t.clock.wall_ms, 1'000'000);
  auto average = [&] {
    t.engine->BeginCommand(t.clock.wall_ms);
    return Keyspace(t.engine.get(), 0).average_ttl_ms();
  };
  CHECK(average() == kHourMs);
  t.MakeCold();
  t.clock.wall_ms += 1000;
  t.engine->Tick(t.clock.wall_ms, 1'000'000);
  CHECK(average() == kHourMs - 1000);
  t.Crash();
  t.TickUntilSwept();  // reads the heads
  CHECK(average() > kHourMs - 2000);
  CHECK(average() <= kHourMs - 1000);
}

// Random commands on few keys, between checkpoints, page-outs, crashes and clears.
TEST_CASE("deadlines: the count is right in random histories") {
  for (uint64_t seed = 1; seed <= 6; seed++) {
    CAPTURE(seed);
    Random random(seed);
    Counting t;
    std::map<std::string, bool> model;  // key -> has a deadline
    auto expected = [&] {
      uint64_t count = 0;
      for (const auto& [key, volatile_key] : model) count += volatile_key;
      return count;
    };
    for (int step = 0; step < 400; step++) {
      std::string key = "k" + std::to_string(random.Below(30));
      bool there = model.contains(key);
      switch (random.Below(14)) {
        case 0:
        case 1: t.Set(key), model[key] = false; break;
        case 2:
        case 3: t.Set(key, kHourMs), model[key] = true; break;
        case 4:
          if (there) t.Do({key}, [&](Keyspace keys) { keys.Find(key).Remove(); });
          model.erase(key);
          break;
        case 5:
          if (there) t.Do({key}, [&](Keyspace keys) { keys.Find(key).Persist(); });
          if (there) model[key] = false;
          break;
        case 6:
          if (!there) break;
          t.Do({key},
               [&](Keyspace keys) { keys.Find(key).SetDeadline(t.clock.wall_ms + kHourMs); });
          model[key] = true;
          break;
        case 7:
          if (there) break;
          t.Do({key}, [&](Keyspace keys) {
            for (int i = 0; i < 300; i++) keys.Set(key).Add(std::to_string(i));
            keys.Find(key).SetDeadline(t.clock.wall_ms + kHourMs);
          });
          model[key] = true;
          break;
        case 8: t.Checkpoint(); break;
        case 9: t.PageOutAll(); break;
        case 10: t.MakeCold(); break;
        case 11: t.Crash(); break;
        case 12:
          if (random.Below(4)) break;
          t.Do({}, [](Keyspace keys) { keys.Clear(); });
          model.clear();
          break;
        case 13:
          if (random.Below(4)) break;
          t.clock.wall_ms += kHourMs + 1;
          t.TickUntilSwept();
          t.engine->Tick(t.clock.wall_ms, 1'000'000);
          std::erase_if(model, [](const auto& entry) { return entry.second; });
          break;
      }
      REQUIRE(t.Count() == expected());
    }
  }
}

}  // namespace
}  // namespace redynamo
