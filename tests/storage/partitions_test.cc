// SPDX-License-Identifier: Apache-2.0
#include "storage/partition_set.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>

#include "storage/engine.h"
#include "storage/file_system.h"
#include "storage/identity.h"
#include "tests/support/scratch_directory.h"

namespace redynamo {
namespace {

Result<std::unique_ptr<Engine>> OpenWith(const std::string& dir, int partitions) {
  EngineOptions options;
  options.dir = dir;
  options.log_segment_bytes = 1 << 20;
  options.partitions = partitions;
  return Engine::Open(options, {}, &SystemClock());
}

// The command's keys are in memory by then.
void Run(Engine& engine, const std::string& key, const std::function<void(StringView)>& command) {
  KeyRef ref{0, key};
  bool loaded = engine.Resident({&ref, 1});
  auto done = [&loaded](const Status& status) {
    REQUIRE_MESSAGE(status.ok(), status.message());
    loaded = true;
  };
  if (!loaded) engine.Load({&ref, 1}, done);
  while (!loaded) {
    engine.Poll();
    engine.Tick(SystemClock().WallMs(), 1000);
    REQUIRE(engine.WriteTurn().ok());
  }
  REQUIRE(engine.ReserveWrite(1 << 20).ok());
  engine.BeginCommand(SystemClock().WallMs());
  command(engine.Database(0).String(key));
  engine.EndCommand();
  REQUIRE(engine.WriteTurn().ok());
}

void Write(Engine& engine, const std::string& key, const std::string& value) {
  Run(engine, key, [&](StringView view) { view.Set(value); });
}

std::string Shown(Engine& engine, const std::string& key) {
  std::string value;
  Run(engine, key, [&](StringView view) { value = view.exists() ? view.value() : ""; });
  return value;
}

// As what comes after finds it.
struct Usual {
  ~Usual() { SetPartitionCount(kPartitionsDefault); }
};

// In the identity file, behind its magic.
uint32_t FormatOf(const std::string& dir) {
  Result<std::string> bytes = PosixFileSystem().ReadWhole(dir + "/identity");
  REQUIRE(bytes.ok());
  return uint8_t((*bytes)[7]);
}

}  // namespace

TEST_CASE("partitions: every slot is in one of them, whatever their number") {
  Usual usual;
  for (int count = kPartitionsLeast; count <= kPartitionsMost; count *= 2) {
    CAPTURE(count);
    REQUIRE(IsPartitionCount(uint64_t(count)));
    SetPartitionCount(count);
    CHECK(PartitionCount() == count);
    CHECK(PartitionCount() * SlotsPerPartition() == kSlotCount);
    CHECK(PartitionOfSlot(0) == 0);
    CHECK(PartitionOfSlot(kSlotCount - 1) == count - 1);
    for (int slot = 1; slot < kSlotCount; slot++) {
      int step = PartitionOfSlot(uint16_t(slot)) - PartitionOfSlot(uint16_t(slot - 1));
      if (step != (slot % SlotsPerPartition() == 0)) FAIL("slot ", slot);
    }
    CHECK(PartitionSet::All().size() == size_t(count));
    PartitionSet set;
    set.Add(count - 1);
    CHECK(set.NextFrom(0) == count - 1);
    CHECK(PartitionSet::All().Nth(size_t(count) - 3) == count - 3);
    CHECK(set.NextFrom(count) == count);
    CHECK(set.Encode().size() == size_t(count) / 8);
    CHECK(PartitionSet::Decode(set.Encode()) == set);
    CHECK_FALSE(PartitionSet::Decode(set.Encode() + "x").has_value());
  }
  for (uint64_t wrong : {0u, 1u, 32u, 63u, 96u, 1000u, 8192u, 16384u}) {
    CHECK_FALSE(IsPartitionCount(wrong));
  }
}

TEST_CASE("partitions: a directory keeps the number that it was made with") {
  Usual usual;
  for (int count : {64, 256, 1024, 4096}) {
    CAPTURE(count);
    ScratchDirectory dir;
    for (int start = 0; start < 3; start++) {
      auto engine = OpenWith(dir.path(), count);
      REQUIRE_MESSAGE(engine.ok(), engine.status().message());
      CHECK(PartitionCount() == count);
      for (int i = 0; i < 500; i++) {
        std::string key = "key" + std::to_string(i);
        CHECK(Shown(**engine, key) == (start ? std::to_string(start - 1) : ""));
        Write(**engine, key, std::to_string(start));
      }
      bool checkpoint = start == 1;
      REQUIRE((*engine)->Close(checkpoint).ok());
    }
    CHECK(FormatOf(dir.path()) == (count == kPartitionsDefault ? 2 : 3));
    for (int other : {64, 256, 1024, 4096}) {
      if (other == count) continue;
      auto engine = OpenWith(dir.path(), other);
      REQUIRE_FALSE(engine.ok());
      CHECK(engine.status().code() == StatusCode::kInvalidArgument);
      CHECK(engine.status().message() ==
            "the data directory was made with ring-partitions " + std::to_string(count) +
                ", which stays: set that, not " + std::to_string(other) +
                ", or start with an empty directory");
    }
    auto engine = OpenWith(dir.path(), count);  // nothing has come of it
    REQUIRE_MESSAGE(engine.ok(), engine.status().message());
    CHECK(Shown(**engine, "key499") == "2");
  }
}

TEST_CASE("partitions: a directory that nothing was written to takes another number") {
  Usual usual;
  ScratchDirectory dir;
  for (int count : {1024, 64, 4096, 128}) {
    CAPTURE(count);
    auto engine = OpenWith(dir.path(), count);
    REQUIRE_MESSAGE(engine.ok(), engine.status().message());
    CHECK(PartitionCount() == count);
    if (count == 128) Write(**engine, "key", "value");
    REQUIRE((*engine)->Close(true).ok());
  }
  CHECK_FALSE(OpenWith(dir.path(), 64).ok());
  auto engine = OpenWith(dir.path(), 128);
  REQUIRE(engine.ok());
  CHECK(Shown(**engine, "key") == "value");
}

TEST_CASE("partitions: numbers that there cannot be are refused before anything is made") {
  Usual usual;
  ScratchDirectory dir;
  for (int wrong : {-1, 0, 1, 32, 1000, 8192}) {
    auto engine = OpenWith(dir / "data", wrong);
    REQUIRE_FALSE(engine.ok());
    CHECK(engine.status().message() ==
          "there can be 64, 128, ... 4096 partitions, not " + std::to_string(wrong));
    CHECK_FALSE(PosixFileSystem().Exists(dir / "data/identity"));
  }
}

}  // namespace redynamo
