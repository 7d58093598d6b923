// SPDX-License-Identifier: Apache-2.0
// Thousands of lives of a ring. Another choice of seeds: SIM_SEED (the first), SIM_SEEDS (how
// many), SIM_FAULTS (which kinds of faults they may have, bits of SwarmFault).
#include "tests/sim/swarm.h"

#include <doctest/doctest.h>

#include "base/log_line.h"
#include "base/sabotage.h"

namespace redynamo {
namespace {

struct Total {
  uint64_t reached = 0, undecided = 0, refused = 0, reads = 0, delivered = 0;
};

void RunSeeds(uint64_t first, uint64_t count, uint32_t may, Total* total) {
  sabotage = Sabotage(NumberOf("SIM_SABOTAGE", 0));  // see sabotage_test.cc
  SetLogLevel(LogLevel::kWarning);
  for (uint64_t seed = first; seed < first + count; seed++) {
    CAPTURE(seed);
    Swarm swarm(seed, may);
    uint32_t faults = swarm.faults();
    CAPTURE(faults);
    SwarmResult result = swarm.Run();
    CHECK_MESSAGE(result.settled, "faults ", result.faults, result.state);
    total->reached += result.history.reached;
    total->undecided += result.history.undecided;
    total->refused += result.history.refused;
    total->reads += result.history.reads;
    total->delivered += result.delivered;
  }
  SetLogLevel(LogLevel::kNotice);
}

TEST_CASE("sim: whatever happens to a ring, nothing answered is lost, and all agree in the end") {
  Total total;
  uint32_t may = uint32_t(NumberOf("SIM_FAULTS", kMayAll & ~uint32_t(kFaultMembers)));
  uint64_t count = NumberOf("SIM_SEEDS", 2850);
  RunSeeds(NumberOf("SIM_SEED", 1), count, may, &total);
  MESSAGE(count, " seeds: ", total.reached, " writes answered, ", total.undecided,
          " of unknown outcome, ", total.refused, " refused, ", total.reads, " reads, ",
          total.delivered, " messages");
  if (count < 50 || std::getenv("SIM_FAULTS")) return;
  CHECK(total.reached > count * 10);  // and the faults did bite
  CHECK(total.undecided > count / 2);
  CHECK(total.refused > count / 2);
  CHECK(total.reads > count);
}

// What the simulator has found, kept.
TEST_CASE("sim: scenarios that once went wrong") {
  Total total;
  uint32_t may = kFaultAll & ~uint32_t(kFaultMembers);
  SUBCASE("an answered increment hangs on a base that only a lost disk had") {
    RunSeeds(21, 1, may, &total);
  }
  SUBCASE("the same, acknowledged by a stand-in") { RunSeeds(893, 1, may, &total); }
  SUBCASE("a stand-in has an increment, and what it hangs on was lost on its way there") {
    RunSeeds(1'000'051, 1, kMayAll, &total);
    RunSeeds(1'000'011, 1, kMayAll, &total);
  }
  SUBCASE("a guest waits for the removed dot of a machine that lost its power") {
    RunSeeds(18, 1, may, &total);
    RunSeeds(99, 1, may, &total);
  }
  SUBCASE("a guest waits for a removed dot that a lost disk had") {
    RunSeeds(126, 1, may, &total);
    RunSeeds(229, 1, may, &total);
  }
  SUBCASE("an actor that a full disk could not save had an index on disk all the same") {
    for (uint64_t seed : {1553u, 2339u, 2610u}) RunSeeds(seed, 1, may | kClientsRead, &total);
  }
  SUBCASE("a stand-in lets go of what it has pulled for a read") {
    RunSeeds(87, 1, kFaultCuts | kClientsRead, &total);
  }
}

// Rings change in many small steps, each with a new document: these seeds take longer.
TEST_CASE("sim: the same while nodes join and leave") {
  Total total;
  uint32_t may = uint32_t(NumberOf("SIM_FAULTS", kMayAll)) | kFaultMembers;
  uint64_t count = NumberOf("SIM_MEMBER_SEEDS", NumberOf("SIM_SEEDS", 150) >= 150 ? 150 : 5);
  RunSeeds(NumberOf("SIM_SEED", 1) + 1'000'000, count, may, &total);
  MESSAGE(count, " seeds: ", total.reached, " writes answered, ", total.undecided,
          " of unknown outcome, ", total.refused, " refused, ", total.delivered, " messages");
  CHECK(total.reached > count);
}

TEST_CASE("sim: the same seed gives the same history") {
  SetLogLevel(LogLevel::kWarning);
  for (uint64_t seed : {3u, 10u, 77u}) {
    CAPTURE(seed);
    SwarmResult one = Swarm(seed, kFaultAll).Run(), again = Swarm(seed, kFaultAll).Run();
    CHECK(one.digest == again.digest);
    CHECK(one.delivered == again.delivered);
    CHECK(one.history.reached == again.history.reached);
    CHECK(Swarm(seed + 1, kFaultAll).Run().digest != one.digest);
  }
  SetLogLevel(LogLevel::kNotice);
}

}  // namespace
}  // namespace redynamo
