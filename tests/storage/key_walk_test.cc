// SPDX-License-Identifier: Apache-2.0
#include "storage/key_walk.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tests/support/engine_fixture.h"

using namespace redynamo;

namespace {

using Names = std::multiset<std::string>;

// Prepares the walk if it needs that, with `meanwhile` between the reading and the run.
void Walk(
    EngineFixture& t, const KeyWalk& walk, const std::function<void(Keyspace)>& body,
    const std::function<void()>& meanwhile = [] {}) {
  std::shared_ptr<KeyListings> listings;
  while (!t.engine->WalksReady({&walk, 1}, listings.get())) {
    bool done = false;
    t.engine->PrepareWalks({&walk, 1}, [&](const Status& status, auto prepared) {
      REQUIRE(status.ok());
      listings = prepared;
      done = true;
    });
    meanwhile();
    while (!done) t.Turn();
    meanwhile();
  }
  t.engine->UseListings(listings.get());
  t.engine->BeginCommand(SystemClock().WallMs());
  body(t.engine->Database(walk.database));
  t.engine->EndCommand();
  t.engine->UseListings(nullptr);
}

uint64_t Scan(
    EngineFixture& t, uint64_t cursor, uint64_t count, Names* names,
    const std::function<void()>& meanwhile = [] {}) {
  uint64_t next = 0;
  Walk(
      t, {KeyWalk::Kind::kScan, 0, cursor, count, {}},
      [&](Keyspace keys) {
        next = keys.Scan(cursor, count, [&](const WalkedKey& k) { names->emplace(k.key); });
      },
      meanwhile);
  return next;
}

Names Keys(
    EngineFixture& t, std::string_view pattern, const std::function<void()>& meanwhile = [] {}) {
  Names names;
  Walk(
      t, {KeyWalk::Kind::kAll, 0, 0, UINT64_MAX, pattern},
      [&](Keyspace keys) {
        keys.ForEachKey(pattern, [&](const WalkedKey& k) { names.emplace(k.key); });
      },
      meanwhile);
  return names;
}

}  // namespace

TEST_CASE("walk: SCAN of a slot with many cold keys reads few of them, and loads none") {
  EngineFixture t;
  for (int i = 0; i < 3000; i++) t.Set("{tag}" + std::to_string(i), "v");
  REQUIRE(t.Checkpoint().ok());
  t.Restart();
  Names names;
  uint64_t cursor = 0;
  size_t most = 0;
  do {
    size_t before = names.size();
    cursor = Scan(t, cursor, 10, &names);
    most = std::max(most, names.size() - before);
  } while (cursor != 0);
  CHECK(names.size() == 3000);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 3000);
  CHECK(most <= 12);
  CHECK(t.engine->Stats().resident_keys == 0);
}

TEST_CASE("walk: a scan of cold keys knows types and deadlines from the heads") {
  EngineFixture t;
  int64_t now = SystemClock().WallMs();
  t.Do({"h"}, [](Keyspace keys) { keys.Hash("h").Set("f", "v"); });
  t.Do({"e"}, [](Keyspace keys) { keys.Set("e").Add("m"); });
  t.Do({"s"},
       [&](Keyspace keys) { keys.String("s").Set("v", DeadlineChange::At(now + 1'000'000)); });
  t.Do({"x"}, [&](Keyspace keys) { keys.String("x").Set("v", DeadlineChange::At(now + 150)); });
  REQUIRE(t.Checkpoint().ok());
  t.Restart();
  while (SystemClock().WallMs() <= now + 150) poll(nullptr, 0, 1);
  std::map<std::string, ObjectType> types;
  Walk(t, {KeyWalk::Kind::kAll, 0, 0, UINT64_MAX, "*"}, [&](Keyspace keys) {
    keys.ForEachKey("*", [&](const WalkedKey& k) { types[std::string(k.key)] = k.type; });
  });
  CHECK(types == std::map<std::string, ObjectType>{{"h", ObjectType::kHash},
                                                   {"e", ObjectType::kSet},
                                                   {"s", ObjectType::kString}});
}

TEST_CASE("walk: RANDOMKEY gives cold keys, too") {
  EngineFixture t;
  std::set<std::string> seen;
  for (int i = 0; i < 20; i++) t.Set("k" + std::to_string(i), "v");
  REQUIRE(t.Checkpoint().ok());
  t.Restart();
  t.Get("k7");
  for (int i = 0; i < 300; i++) {
    Walk(t, {KeyWalk::Kind::kRandom, 0, 0, 0, {}}, [&](Keyspace keys) {
      Random random{uint64_t(i)};
      auto key = keys.RandomKey(random);
      REQUIRE(key);
      seen.insert(*key);
    });
  }
  CHECK(seen.size() == 20);
  CHECK(t.engine->Stats().resident_keys == 1);
}

// Keys come and go, are written to disk, paged out and loaded, also while a walk waits for its
// heads; KEYS gives exactly what is there as it runs, and a scan all that was there throughout.
TEST_CASE("walk: scans under change give what stays at least once, and nothing that never was") {
  for (uint64_t seed = 1; seed <= 3; seed++) {
    CAPTURE(seed);
    EngineFixture t;
    Random random(seed);
    std::set<std::string> now;
    std::set<std::string> stays;
    auto name = [&] {
      std::string n = std::to_string(random.Below(120));
      return random.Below(2) ? "{t}" + n : "k" + n;
    };
    auto change = [&] {
      for (uint64_t i = random.Below(6); i > 0; i--) {
        std::string key = name();
        switch (random.Below(16)) {
          case 0: t.engine->Checkpoint(nullptr); break;
          case 1: REQUIRE(t.Checkpoint().ok()); break;
          case 2:
            t.options.maxmemory_bytes = random.Below(3) ? 1 : 0;
            t.engine->Reconfigure(t.options);
            break;
          case 3:
          case 4:
          case 5:
          case 6:
            t.Do({key},
                 [&](Keyspace keys) { CHECK(keys.Find(key).Remove() == (now.erase(key) > 0)); });
            stays.erase(key);
            break;
          case 7: t.Get(key); break;
          case 8:
            if (random.Below(20)) break;
            t.Do({}, [](Keyspace keys) { keys.Clear(); });
            now.clear();
            stays.clear();
            break;
          default: t.Set(key, "v"); now.insert(key);
        }
        t.Turn();
      }
    };
    for (int i = 0; i < 100; i++) change();
    for (int round = 0; round < 12; round++) {
      stays = now;
      Names scanned;
      uint64_t cursor = 0;
      do {
        cursor = Scan(t, cursor, 1 + random.Below(20), &scanned, change);
        change();
      } while (cursor != 0);
      for (const std::string& key : stays) CHECK_MESSAGE(scanned.contains(key), key);
      Names all = Keys(t, "*", change);
      CHECK(all == Names(now.begin(), now.end()));
      Names tagged = Keys(t, "{t}*", change);
      Names expected;
      for (const std::string& key : now) {
        if (key.starts_with("{t}")) expected.insert(key);
      }
      CHECK(tagged == expected);
    }
  }
}

TEST_CASE("key walk: a listing that begins behind a key paged out meanwhile is not used") {
  EngineFixture t;
  t.Set("", "slot 0");
  t.Set("k", "a later slot");
  REQUIRE(t.Checkpoint().ok());
  auto set_limit = [&](uint64_t bytes) {
    t.options.maxmemory_bytes = bytes;
    t.engine->Reconfigure(t.options);
  };
  set_limit(1);
  for (int i = 0; i < 10'000 && t.engine->Stats().cold_keys < 2; i++) t.Turn();
  REQUIRE(t.engine->Stats().cold_keys == 2);
  set_limit(0);
  CHECK(t.Get("") == "slot 0");
  REQUIRE(t.engine->Stats().cold_keys == 1);

  std::vector<KeyWalk> walks{{KeyWalk::Kind::kScan, 0, 0, 100, {}}};
  std::shared_ptr<KeyListings> listings;
  auto prepare = [&] {
    t.engine->PrepareWalks(walks, [&](const Status& status, std::shared_ptr<KeyListings> read) {
      REQUIRE(status.ok());
      listings = std::move(read);
    });
  };
  prepare();
  set_limit(1);
  for (int i = 0; i < 10'000 && (!listings || t.engine->Stats().cold_keys < 2); i++) t.Turn();
  REQUIRE(t.engine->Stats().cold_keys == 2);
  CHECK_FALSE(t.engine->WalksReady(walks, listings.get()));
  listings = nullptr;
  prepare();
  for (int i = 0; i < 10'000 && !listings; i++) t.Turn();
  CHECK(t.engine->WalksReady(walks, listings.get()));
  int given = 0;
  t.engine->UseListings(listings.get());
  CHECK(t.engine->Database(0).Scan(0, 100, [&](const WalkedKey&) { given++; }) == 0);
  t.engine->UseListings(nullptr);
  CHECK(given == 2);
}

TEST_CASE("walk: within a share there are its partitions' keys only, in memory and on disk") {
  EngineFixture t;
  PartitionSet shares[3];
  for (int p = 0; p < PartitionCount(); p++) shares[p * 7 / 5 % 3].Add(p);
  Names all, of_share[3];
  auto add = [&](int i) {
    std::string key = "key" + std::to_string(i);
    t.Set(key, "v");
    all.insert(key);
    int partition = PartitionOfSlot(KeySlot(key));
    for (int s = 0; s < 3; s++) {
      if (shares[s].Contains(partition)) of_share[s].insert(key);
    }
  };
  for (int i = 0; i < 3000; i++) add(i);
  for (bool cold : {false, true}) {
    if (cold) {
      REQUIRE(t.Checkpoint().ok());
      t.Restart();
      for (int i = 3000; i < 3100; i++) add(i);
      CHECK(t.engine->Stats().resident_keys == 100);
    }
    for (int s = 0; s < 3; s++) {
      const PartitionSet* share = &shares[s];
      CHECK(t.engine->Database(0).Within(share).size() == of_share[s].size());
      Names listed, scanned;
      Walk(t, {KeyWalk::Kind::kAll, 0, 0, UINT64_MAX, "key*", share}, [&](Keyspace keys) {
        keys.Within(share).ForEachKey("key*", [&](const WalkedKey& k) { listed.emplace(k.key); });
      });
      CHECK(listed == of_share[s]);
      uint64_t cursor = 0;
      do {
        Walk(t, {KeyWalk::Kind::kScan, 0, cursor, 10, {}, share}, [&](Keyspace keys) {
          cursor = keys.Within(share).Scan(cursor, 10,
                                           [&](const WalkedKey& k) { scanned.emplace(k.key); });
        });
      } while (cursor != 0);
      CHECK(scanned == of_share[s]);
      Random random(5);
      for (int i = 0; i < 100; i++) {
        Walk(t, {KeyWalk::Kind::kRandom, 0, 0, 0, {}, share}, [&](Keyspace keys) {
          std::optional<std::string> drawn = keys.Within(share).RandomKey(random);
          CHECK((drawn && of_share[s].contains(*drawn)));
        });
      }
    }
  }
  t.engine->BeginCommand(SystemClock().WallMs());
  t.engine->Database(0).Within(&shares[1]).Clear();
  t.engine->EndCommand();
  CHECK(t.engine->Database(0).Within(&shares[1]).size() == 0);
  CHECK(t.engine->Database(0).size() == of_share[0].size() + of_share[2].size());
  t.Restart();
  CHECK(t.engine->Database(0).size() == of_share[0].size() + of_share[2].size());
  Names left = Keys(t, "*");
  CHECK(left.size() == of_share[0].size() + of_share[2].size());
  CHECK(std::ranges::none_of(of_share[1], [&](const auto& key) { return left.contains(key); }));
}
