// SPDX-License-Identifier: Apache-2.0
#include "storage/engine.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "tests/support/engine_fixture.h"

using namespace redynamo;

TEST_CASE("engine: what was written is there after a crash and after a restart") {
  EngineFixture t;
  t.Set("k", "v");
  t.Set("k", "longer value");
  t.Do({"n"}, [](Keyspace keys) {
    StringView n = keys.String("n");
    CHECK(*n.Add(5) == 5);
    CHECK(*n.Add(-7) == -2);
  });
  for (int round = 0; round < 2; round++) {
    round == 0 ? t.Crash() : t.Restart();
    CHECK(t.Get("k") == "longer value");
    CHECK(t.Get("n") == "-2");
    CHECK(t.engine->Database(0).size() == 2);
  }
}

TEST_CASE("engine: a checkpoint carries everything, and replay goes on from it") {
  EngineFixture t;
  t.Set("a", "1");
  t.Set("b", "2");
  t.Set("gone", "x");
  REQUIRE(t.Checkpoint().ok());
  t.Set("b", "3");
  t.Do({"gone"}, [](Keyspace keys) { CHECK(keys.Find("gone").Remove()); });
  t.Crash();
  CHECK(t.Get("a") == "1");
  CHECK(t.Get("b") == "3");
  CHECK(t.Get("gone") == "(none)");
  CHECK(t.engine->Database(0).size() == 2);
  REQUIRE(t.Checkpoint().ok());
  t.Restart();
  CHECK(t.engine->Stats().recovered_records == 0);
  CHECK(t.Get("gone") == "(none)");
  CHECK(t.engine->Database(0).size() == 2);
}

TEST_CASE("engine: a large hash is stored by rows, changed by rows, removed at once") {
  EngineFixture t;
  auto field = [](int i) { return "field" + std::to_string(i); };
  t.Do({"h"}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    for (int i = 0; i < 20000; i++) h.Set(field(i), std::to_string(i));
  });
  REQUIRE(t.Checkpoint().ok());
  uint64_t rows = t.engine->Stats().checkpoint_rows;
  t.Do({"h"}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    h.Set(field(7), "seven");
    CHECK(h.Remove(field(8)));
    CHECK(*h.Add(field(9), 1) == 10);
  });
  REQUIRE(t.Checkpoint().ok());
  CHECK(t.engine->Stats().checkpoint_rows - rows == 4);  // three elements and the head
  t.Crash();
  t.Do({"h"}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    CHECK(h.size() == 19999);
    CHECK(h.Find(field(7)) == "seven");
    CHECK(!h.Find(field(8)));
    CHECK(h.Find(field(9)) == "10");
    CHECK(h.Find(field(19999)) == "19999");
    CHECK(h.Remove(field(0)));
    h.KeyView::Remove();
    HashView again = keys.Hash("h");
    again.Set("only", "one");
  });
  REQUIRE(t.Checkpoint().ok());
  t.Crash();
  t.Do({"h"}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    CHECK(h.size() == 1);
    CHECK(h.Find("only") == "one");
  });
}

TEST_CASE("engine: clearing a database survives crash and checkpoint") {
  EngineFixture t;
  for (int i = 0; i < 500; i++) t.Set("k" + std::to_string(i), "v");
  REQUIRE(t.Checkpoint().ok());
  t.Do({}, [](Keyspace keys) { keys.Clear(); });
  t.Set("k1", "after");
  for (int round = 0; round < 2; round++) {
    t.Crash();
    CHECK(t.engine->Database(0).size() == 1);
    CHECK(t.Get("k1") == "after");
    CHECK(t.Get("k2") == "(none)");
    REQUIRE(t.Checkpoint().ok());
  }
}

TEST_CASE("engine: databases exchange amid a command's writes, also after a crash") {
  EngineFixture t;
  t.Set("k", "zero");
  t.Do({}, [&](Keyspace keys) {
    keys.String("before").Set("x");
    t.engine->SwapDatabases(0, 1);
    keys.String("after").Set("y");
  });
  for (int round = 0; round < 3; round++) {
    CHECK(t.engine->Database(0).size() == 1);
    CHECK(t.engine->Database(1).size() == 2);
    CHECK(t.Get("after") == "y");
    CHECK(t.Get("k") == "(none)");
    round == 0 ? t.Crash() : t.Restart();
  }
}

TEST_CASE("engine: an exchange of databases and what is written around it are one record") {
  EngineFixture t;
  t.Set("k", "zero");
  uint64_t records = t.engine->Stats().log_records;
  auto swap = [&](Keyspace keys) {
    keys.String("before").Set("x");
    t.engine->SwapDatabases(0, 1);
    keys.String("after").Set("y");
    t.engine->SwapDatabases(1, 2);
    t.engine->SwapDatabases(2, 1);
  };
  t.Do({}, swap);
  CHECK(t.engine->Stats().log_records == records + 1);
  // Never written: as if it had not been.
  REQUIRE(t.engine->ReserveWrite(1000).ok());
  t.engine->BeginCommand(SystemClock().WallMs());
  t.engine->Database(0).String("lost").Set("z");
  t.engine->SwapDatabases(0, 5);
  t.engine->EndCommand();
  for (int round = 0; round < 3; round++) {
    t.Crash();
    CHECK(t.engine->Database(0).size() == 1);
    CHECK(t.engine->Database(1).size() == 2);
    CHECK(t.engine->Database(5).size() == 0);
    CHECK(t.Get("after") == "y");
    CHECK(t.Get("lost") == "(none)");
    if (round == 1) REQUIRE(t.Checkpoint().ok());
  }
}

// Random commands against a plain model, with crashes, checkpoints and page-out in between.
TEST_CASE("engine: random histories equal a model across crashes and checkpoints") {
  for (uint64_t seed = 1; seed <= 2; seed++) {
    CAPTURE(seed);
    EngineFixture t;
    Random random(seed);
    std::map<std::string, std::string> strings;
    std::map<std::string, std::map<std::string, std::string>> hashes;
    std::map<std::string, std::set<std::string>> sets;
    t.options.packed_entries_max = 8;
    t.engine->Reconfigure(t.options);
    for (int step = 0; step < 1500; step++) {
      std::string n = std::to_string(random.Below(40));
      std::string value(random.Below(20), char('a' + random.Below(26)));
      switch (random.Below(12)) {
        case 0:
        case 1:
        case 2:
          t.Set("s" + n, value);
          strings["s" + n] = value;
          break;
        case 3: {
          std::string& v = strings["c" + n];
          int64_t now = v.empty() ? 0 : std::stoll(v);
          t.Do({"c" + n}, [&](Keyspace keys) { CHECK(*keys.String("c" + n).Add(3) == now + 3); });
          v = std::to_string(now + 3);
          break;
        }
        case 4:
        case 5: {
          std::string f = std::to_string(random.Below(30));
          t.Do({"h" + n}, [&](Keyspace keys) { keys.Hash("h" + n).Set(f, value); });
          hashes["h" + n][f] = value;
          break;
        }
        case 6: {
          std::string f = std::to_string(random.Below(30));
          bool had = hashes.contains("h" + n) && hashes["h" + n].erase(f);
          t.Do({"h" + n}, [&](Keyspace keys) { CHECK(keys.Hash("h" + n).Remove(f) == had); });
          if (hashes["h" + n].empty()) hashes.erase("h" + n);
          break;
        }
        case 7: {
          std::string m = std::to_string(random.Below(600));
          bool is_new = sets["e" + n].insert(m).second;
          t.Do({"e" + n}, [&](Keyspace keys) { CHECK(keys.Set("e" + n).Add(m) == is_new); });
          break;
        }
        case 8: {
          std::string key = std::string(1, "sche"[random.Below(4)]) + n;
          bool had = strings.erase(key) + hashes.erase(key) + sets.erase(key) > 0;
          t.Do({key}, [&](Keyspace keys) { CHECK(keys.Find(key).Remove() == had); });
          break;
        }
        case 9:
          if (random.Below(20) == 0) {
            REQUIRE(t.Checkpoint().ok());
          } else if (random.Below(10) == 0) {
            t.engine->Checkpoint(nullptr);  // runs beside what follows
          }
          t.Turn();
          break;
        case 10:
          if (random.Below(25) == 0) t.Crash();
          break;
        case 11:  // memory so short that whatever is clean goes
          t.options.maxmemory_bytes = random.Below(2) ? 1 : 0;
          t.engine->Reconfigure(t.options);
          break;
      }
    }
    for (int round = 0; round < 2; round++) {
      CHECK(t.engine->Database(0).size() == strings.size() + hashes.size() + sets.size());
      for (auto& [key, value] : strings) CHECK(t.Get(key) == value);
      for (auto& [key, fields] : hashes) {
        t.Do({key}, [&, &key = key, &fields = fields](Keyspace keys) {
          std::map<std::string, std::string> found;
          keys.Hash(key).ForEach([&](std::string_view f, std::string_view v) {
            found.emplace(f, v);
            return true;
          });
          CHECK(found == fields);
        });
      }
      for (auto& [key, members] : sets) {
        t.Do({key}, [&, &key = key, &members = members](Keyspace keys) {
          std::set<std::string> found;
          keys.Set(key).ForEach([&](std::string_view m) { return found.emplace(m).second; });
          CHECK(found == members);
        });
      }
      t.Crash();
    }
  }
}

TEST_CASE("engine: a scrub reads all that is on disk and counts what is damaged") {
  EngineFixture t;
  for (int i = 0; i < 300; i++) t.Set("k" + std::to_string(i), std::string(200, 'v'));
  t.Do({"h"}, [](Keyspace keys) {
    HashView h = keys.Hash("h");
    for (int i = 0; i < 300; i++) h.Set("f" + std::to_string(i), "v");
  });
  REQUIRE(t.Checkpoint().ok());
  t.options.scrub_interval_ms = 1;
  t.engine->Reconfigure(t.options);
  while (t.engine->Stats().scrub_rounds == 0) t.Turn();
  CHECK(t.engine->Stats().scrub_rows >= 601);
  CHECK(t.engine->Stats().scrub_errors == 0);
}

TEST_CASE("engine: the log's tail replays over cold keys without reading them") {
  EngineFixture t;
  for (int i = 0; i < 100; i++) t.Set("k" + std::to_string(i), "old");
  REQUIRE(t.Checkpoint().ok());
  t.Restart();
  for (int i = 0; i < 50; i++) t.Set("k" + std::to_string(i), "new");
  for (int i = 50; i < 60; i++) {
    std::string key = "k" + std::to_string(i);
    t.Do({key}, [&](Keyspace keys) { CHECK(keys.Find(key).Remove()); });
  }
  t.Set("another", "one");
  for (int round = 0; round < 2; round++) {
    t.Crash();
    CHECK(t.engine->Database(0).size() == 91);
    CHECK(t.Get("k0") == "new");
    CHECK(t.Get("k55") == "(none)");
    CHECK(t.Get("k70") == "old");
    CHECK(t.Get("another") == "one");
    REQUIRE(t.Checkpoint().ok());
  }
}
