// SPDX-License-Identifier: Apache-2.0
// The checkers bite: with any of these rules left out (base/sabotage.h) the simulator must find
// that something is wrong. Each runs in a process of its own, until the first seed that shows it.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "base/sabotage.h"
#include "tests/sim/swarm.h"

namespace redynamo {
namespace {

struct Row {
  Sabotage rule;
  const char* name;
  uint32_t faults;        // the weather in which it matters
  uint64_t first, seeds;  // of which at most so many are tried
};

constexpr uint32_t kOrder = kFaultOvertaking | kFaultLoss | kFaultCuts;
constexpr Row kRows[] = {
    {Sabotage::kForgetGone, "a removal is remembered", kOrder, 1, 400},
    {Sabotage::kForgetClear, "a clear is remembered", kOrder, 1, 400},
    {Sabotage::kNoRotation, "an old disk gets a new actor", kFaultOldDisk, 1, 400},
    {Sabotage::kAckBeforeDurable, "acknowledged is durable",
     kFaultPower | kFaultSlowDisk | kFaultLostDisk, 1200, 800},
    {Sabotage::kOneCopy, "W replicas have it", kFaultLostDisk | kFaultCuts | kFaultLoss, 1, 400},
    {Sabotage::kGuestDropsAtOnce, "a guest waits for the homes",
     kFaultLostDisk | kFaultIsolation | kFaultKill, 1, 800},
    {Sabotage::kNoPull, "what is missing is pulled", kOrder, 1, 100},
    {Sabotage::kBaseUnheeded, "a base is there before what hangs on it",
     kFaultAll & ~uint32_t(kFaultMembers), 1, 1000},
    {Sabotage::kThinCounts, "stand-ins do not stand on what may be lost",
     kFaultAll & ~uint32_t(kFaultMembers), 850, 1000},
    {Sabotage::kReadAlone, "a read asks R replicas", kOrder | kClientsRead, 1, 400},
};

TEST_CASE("sabotage: each rule that is left out is caught") {
  if (std::getenv("SIM_SEEDS")) return;  // a part of all this only, or the process below
  for (const Row& row : kRows) {
    std::string name = row.name;
    CAPTURE(name);
    std::string command = fmt::format(
        "SIM_SABOTAGE={} SIM_FAULTS={} SIM_SEED={} SIM_SEEDS={} /proc/{}/exe --abort-after=1 "
        "--test-case='sim: whatever*' >/dev/null 2>&1",
        int(row.rule), row.faults, row.first, row.seeds, getpid());
    CHECK_MESSAGE(system(command.c_str()) != 0, "nothing was found wrong without it");
  }
}

}  // namespace
}  // namespace redynamo
