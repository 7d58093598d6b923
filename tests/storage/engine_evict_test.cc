// SPDX-License-Identifier: Apache-2.0
// Redis' eviction policies: while there is a key that may go, no write is refused.
#include "tests/support/engine_fixture.h"

using namespace redynamo;

namespace {

constexpr uint64_t kRoomBytes = 10 << 20;  // tables of slots take some of it
const std::string kValue(4000, 'v');

struct EvictionFixture : EngineFixture {
  explicit EvictionFixture(EvictionPolicy policy) {
    options.policy = policy;
    options.maxmemory_bytes = engine->Stats().used_memory_bytes + kRoomBytes;
    engine->Reconfigure(options);
  }
  // A write as the server admits it; false: -OOM.
  bool Put(int i, bool with_deadline) {
    if (engine->OutOfMemory()) return false;
    Do({"key:" + std::to_string(i)}, [&](Keyspace keys) {
      std::string key = "key:" + std::to_string(i);
      DeadlineChange deadline = DeadlineChange::At(SystemClock().WallMs() + 1'000'000 + i);
      keys.String(key).Set(kValue, with_deadline ? deadline : DeadlineChange::Clear());
    });
    return true;
  }
};

}  // namespace

TEST_CASE("evict: writes go on under every policy while keys may go") {
  for (EvictionPolicy policy :
       {EvictionPolicy::kAllKeysLru, EvictionPolicy::kAllKeysLfu, EvictionPolicy::kAllKeysRandom,
        EvictionPolicy::kVolatileLru, EvictionPolicy::kVolatileLfu, EvictionPolicy::kVolatileRandom,
        EvictionPolicy::kVolatileTtl}) {
    CAPTURE(int(policy));
    EvictionFixture t(policy);
    int refused = 0;
    for (int i = 0; i < 8000; i++) refused += !t.Put(i, true);
    CHECK(refused == 0);
    EngineStats stats = t.engine->Stats();
    CHECK(stats.evicted_keys > 1000);
    CHECK(stats.used_memory_bytes < t.options.maxmemory_bytes + (4 << 20));  // of 32 written
  }
}

TEST_CASE("evict: the few keys with a deadline are found among many without") {
  EvictionFixture t(EvictionPolicy::kVolatileLru);
  int refused = 0;
  for (int i = 0; i < 1500; i++) refused += !t.Put(i, i % 50 == 0);
  CHECK(refused == 0);
  int written = 1500;
  while (written < 20'000 && t.Put(written, false)) written++;
  CHECK(written < 20'000);  // nothing is left that may go
  CHECK(t.engine->Database(0).volatile_keys() == 0);
  CHECK(t.engine->Stats().evicted_keys == 30);
}

TEST_CASE("evict: noeviction refuses, and no key goes") {
  EvictionFixture t(EvictionPolicy::kNoEviction);
  int written = 0;
  while (written < 20'000 && t.Put(written, true)) written++;
  CHECK(written < 20'000);
  CHECK(t.engine->Stats().evicted_keys == 0);
  CHECK(t.engine->Database(0).size() == uint64_t(written));
}
