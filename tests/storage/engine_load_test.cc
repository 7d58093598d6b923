// SPDX-License-Identifier: Apache-2.0
// Keys that are on disk only: how they come into memory, and how they leave it.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/engine_fixture.h"

using namespace redynamo;

namespace {

std::string Name(int n) { return "key" + std::to_string(n); }

}  // namespace

TEST_CASE("cold keys: what is asked for while others are read shares few batches") {
  EngineFixture t;
  constexpr int kKeys = 3000, kKeysPerTurn = 10;
  for (int i = 0; i < kKeys; i++) t.Set(Name(i), "value" + std::to_string(i));
  REQUIRE(t.Checkpoint().ok());
  t.Restart();
  REQUIRE(t.engine->Stats().cold_keys == kKeys);
  int done = 0;
  for (int i = 0; i < kKeys; i++) {
    std::string name = Name(i);
    KeyRef ref{0, name};
    t.engine->Load({&ref, 1}, [&, i](Status status) {
      REQUIRE(status.ok());
      StringView view = t.engine->Database(0).String(Name(i));
      CHECK(view.value() == "value" + std::to_string(i));
      done++;
    });
    if (i % kKeysPerTurn == kKeysPerTurn - 1) REQUIRE(t.engine->WriteTurn().ok());
  }
  while (done < kKeys) t.Turn();
  CHECK(t.engine->Stats().cold_keys == 0);
  CHECK(t.engine->Stats().cold_loads == kKeys);
  CHECK(t.engine->Stats().cold_load_batches <= 8);
}

TEST_CASE(
    "page-out: lets go of all that is clean, beside removed keys that wait for a checkpoint") {
  EngineFixture t;
  t.options.maxmemory_bytes = 1;
  t.options.policy = EvictionPolicy::kPageOut;
  t.options.checkpoint_interval_ms = 3'600'000;
  t.Restart();
  constexpr int kKeys = 400;
  for (int i = 0; i < kKeys; i++) t.Set(Name(i), std::string(100, 'v'));
  REQUIRE(t.Checkpoint().ok());
  for (int i = 0; i < kKeys; i += 2) {
    t.Do({Name(i)}, [&](Keyspace keys) { CHECK(keys.Find(Name(i)).Remove()); });
  }
  while (t.engine->Stats().resident_keys > 0) t.Turn();
  CHECK(t.engine->Stats().cold_keys == kKeys / 2);
  for (int i = 0; i < kKeys; i++) {
    CHECK(t.Get(Name(i)) == (i % 2 == 0 ? "(none)" : std::string(100, 'v')));
  }
}
