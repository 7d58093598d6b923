// SPDX-License-Identifier: Apache-2.0
// How much memory only a checkpoint can let go: exact after whatever has happened, in bytes, and
// what it takes to begin one.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/stepping_engine.h"

namespace redynamo {
namespace {

constexpr uint64_t kMegabyte = 1 << 20;
constexpr uint64_t kMaxMemory = 64 * kMegabyte;

struct Dirtying : SteppingEngine {
  Dirtying() {
    options.checkpoint_interval_ms = 3'600'000;
    options.maxmemory_bytes = kMaxMemory;
    options.whole_load_rows_max = 1000;
    Crash();
  }
  uint64_t Bytes() const { return engine->stats_.dirty_bytes; }
  bool Due() const { return engine->CheckpointDue(); }
  void FillHash(const std::string& key, int fields, size_t bytes) {
    std::string value(bytes, 'v');
    for (int i = 0; i < fields; i++) {
      Do({key}, [&](Keyspace keys) { keys.Hash(key).Set(std::to_string(i), value); });
    }
  }
  void Remove(const std::string& key) {
    Do({key}, [&](Keyspace keys) { keys.Find(key).Remove(); });
  }
};

TEST_CASE("dirty memory: elements of one large collection begin a checkpoint") {
  Dirtying t;
  t.FillHash("hash", 3000, 1000);
  CHECK(t.Bytes() > 3000 * 1000);
  CHECK(t.Bytes() < 3000 * 1200);
  CHECK(!t.Due());
  t.FillHash("hash", 3000, 5700);
  CHECK(t.engine->stats_.dirty_rows == 1);
  CHECK(t.Bytes() > 3000 * 5700);
  CHECK(t.Due());
  t.Checkpoint();
  CHECK(t.Bytes() == 0);
  CHECK(!t.Due());
}

TEST_CASE(
    "dirty memory: few large strings begin a checkpoint, what they wrote in one place does not") {
  Dirtying t;
  std::string megabyte(kMegabyte, 'v');
  for (int i = 0; i < 30; i++) {
    t.Do({"hot"}, [&](Keyspace keys) { keys.String("hot").Set(megabyte); });
  }
  CHECK(t.Bytes() < kMegabyte + 1000);
  CHECK(!t.Due());
  for (int i = 0; i < 16; i++) {
    std::string key = std::to_string(i);
    t.Do({key}, [&](Keyspace keys) { keys.String(key).Set(megabyte); });
  }
  CHECK(t.Due());
}

TEST_CASE("dirty memory: a bit in a large string dirties its fragment, not the string") {
  Dirtying t;
  t.Do({"bits"}, [](Keyspace keys) { keys.String("bits").Set(std::string(20 * kMegabyte, 'b')); });
  CHECK(t.Due());
  t.Checkpoint();
  REQUIRE(t.Bytes() == 0);
  t.Do({"bits"}, [](Keyspace keys) { keys.String("bits").Overwrite(5 * kMegabyte, "x"); });
  CHECK(t.Bytes() > 0);
  CHECK(t.Bytes() < 3 * kFragmentBytes);
  t.Checkpoint();
  CHECK(t.Bytes() == 0);
}

TEST_CASE("dirty memory: what is removed or cleared counts no more") {
  for (bool on_disk : {false, true}) {
    CAPTURE(on_disk);
    Dirtying t;
    t.FillHash("hash", 3000, 5700);
    t.FillHash("small", 10, 30);
    t.Do({"text"}, [](Keyspace keys) { keys.String("text").Set(std::string(kMegabyte, 't')); });
    if (on_disk) t.Checkpoint();
    t.FillHash("hash", 3000, 5800);
    t.FillHash("small", 12, 31);
    t.Do({"text"}, [](Keyspace keys) { keys.String("text").Overwrite(5000, "x"); });
    CHECK(t.Due());
    t.CheckDirty();
    t.Remove("hash");
    t.CheckDirty();
    CHECK(!t.Due());
    t.Remove("small");
    t.Remove("text");
    t.CheckDirty();
    CHECK(t.engine->stats_.dirty_rows == (on_disk ? 3 : 0));  // marks of what stands on disk
    CHECK(t.Bytes() < 200);
    t.FillHash("hash", 3000, 5700);
    CHECK(t.Due());
    t.Do({}, [](Keyspace keys) { keys.Clear(); });
    CHECK(t.engine->stats_.dirty_rows <= (on_disk ? 2 : 0));  // marks again
    CHECK(t.Bytes() < 200);
    CHECK(!t.Due());
    t.CheckDirty();
  }
}

TEST_CASE(
    "dirty memory: the timer's checkpoint takes a clear to the disk, though nothing is dirty") {
  Dirtying t;
  t.options.checkpoint_interval_ms = 2000;
  t.Crash();
  t.FillHash("hash", 100, 100);
  t.Checkpoint();
  t.Do({}, [](Keyspace keys) { keys.Clear(); });
  REQUIRE(t.engine->stats_.dirty_rows == 0);
  t.clock.AdvanceUs(3'000'000);
  CHECK(t.Due());
  t.Checkpoint();
  t.clock.AdvanceUs(3'000'000);
  CHECK(!t.Due());
}

// Elements change before, during and after their capture, which fails now and then.
TEST_CASE("dirty memory: the figure is what a walk finds, in random histories") {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    CAPTURE(seed);
    Random random(seed);
    Dirtying t;
    t.options.whole_load_rows_max = 200;
    t.Crash();
    for (int step = 0; step < 150; step++) {
      std::string key = "k" + std::to_string(random.Below(6));
      std::string value(random.Below(80), 'v');
      switch (random.Below(12)) {
        case 0: t.Do({key}, [&](Keyspace keys) { keys.String(key).Set(value); }); break;
        case 1: t.Remove(key); break;
        case 2:
        case 3:
          t.Do({key}, [&](Keyspace keys) {
            HashView hash = keys.Hash(key);
            if (hash.wrong_type()) return;
            uint64_t fields = random.Below(400);
            for (uint64_t i = 0; i < fields; i++) {
              hash.Set(std::to_string(random.Below(500)), value);
            }
          });
          break;
        case 4:
          t.Do({key}, [&](Keyspace keys) {
            HashView hash = keys.Hash(key);
            if (hash.wrong_type()) return;
            for (int i = 0; i < 50; i++) hash.Remove(std::to_string(random.Below(500)));
          });
          break;
        case 5:
          t.Do({key}, [&](Keyspace keys) {
            StringView text = keys.String(key);
            if (!text.wrong_type()) text.Overwrite(random.Below(40'000), value + "x");
          });
          break;
        case 6:
          t.Do({key}, [&](Keyspace keys) {
            if (keys.Find(key).exists()) keys.Find(key).SetDeadline(t.clock.wall_ms + 1'000'000);
          });
          break;
        case 7:
          t.Do({key}, [&](Keyspace keys) {
            StringView text = keys.String(key);
            if (!text.wrong_type()) (void)text.Add(1);
          });
          break;
        case 8: t.StepToSlices(key); break;
        case 9:
          for (int i = 0; i < 3; i++) t.Step();
          break;
        case 10:
          t.store->fail_commits = random.Below(3) == 0;
          t.Checkpoint();
          t.store->fail_commits = false;
          t.PageOutAll();
          break;
        case 11:
          if (random.Below(3) == 0) {
            t.Crash();
          } else if (random.Below(3) == 0) {
            t.Do({}, [](Keyspace keys) { keys.Clear(); });
          }
          break;
      }
      t.CheckDirty();
    }
  }
}

}  // namespace
}  // namespace redynamo
