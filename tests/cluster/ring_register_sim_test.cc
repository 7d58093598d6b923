// SPDX-License-Identifier: Apache-2.0
// The register under trouble: losses, late and doubled messages, crashes, failing disks, several
// proposers at once, members that come and go. Goal: one document per epoch, callers are told the
// truth, and once trouble ends a majority decides. Method: tests/support/register_sim.h, many
// seeds.
#include <doctest/doctest.h>

#include "tests/support/register_sim.h"

using namespace redynamo;

namespace {

RegisterSimOptions Drawn(uint64_t seed) {
  Random random(seed);
  RegisterSimOptions options;
  options.seed = seed;
  options.nodes = int(1 + random.Below(7));
  options.members = int(1 + random.Below(uint64_t(options.nodes)));
  return options;
}

bool Caught(RegisterLie lie, uint64_t seeds) {
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    RegisterSimOptions options = Drawn(seed);
    options.lie = lie;
    RegisterSim sim(options);
    sim.Run(10'000);
    if (!sim.fault().empty()) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("ring register: under trouble there is one document per epoch, then it goes on") {
  uint64_t decided = 0, rounds = 0, ends = 0;
  for (uint64_t seed = 1; seed <= 1500; seed++) {
    CAPTURE(seed);
    RegisterSim sim(Drawn(seed));
    sim.Run(10'000);
    REQUIRE(sim.fault() == "");
    sim.Heal();
    sim.Run(2'000);  // old proposals end, and all hear of the newest document
    uint64_t before = sim.newest_epoch();
    for (size_t tries = 0; tries < 3 && sim.newest_epoch() < before + 2; tries++) {
      for (int node = 0; node < Drawn(seed).nodes; node++) sim.Propose(node, 5'000);
      sim.Run(1'000);
    }
    CHECK(sim.newest_epoch() >= before + 2);
    REQUIRE(sim.fault() == "");
    decided += sim.newest_epoch();
    rounds += sim.rounds();
    ends += sim.outcomes().size();
  }
  MESSAGE(decided << " documents decided, " << ends << " proposals ended");
  CHECK(decided > 1500 * 10);
}

TEST_CASE("ring register: in a healthy ring a proposal is decided in a moment") {
  for (uint64_t seed = 1; seed <= 50; seed++) {
    CAPTURE(seed);
    RegisterSim sim({.seed = seed, .nodes = 5, .members = 5, .rough = false});
    sim.Propose(int(seed % 5), 1'000);
    sim.Run(150);
    REQUIRE(sim.outcomes().size() == 1);
    CHECK(sim.outcomes()[0].decision.outcome == RingOutcome::kDecided);
    CHECK(sim.newest_epoch() == 2);
    sim.Run(500);
    for (int node = 0; node < 5; node++) CHECK(sim.document(node)->epoch == 2);
  }
}

TEST_CASE("ring register: a minority decides nothing and says so, and later it goes on") {
  for (uint64_t seed = 1; seed <= 50; seed++) {
    CAPTURE(seed);
    RegisterSim sim({.seed = seed, .nodes = 5, .members = 5, .rough = false});
    for (int node = 0; node < 3; node++) sim.Crash(node);
    for (int i = 0; i < 5; i++) {
      sim.Propose(3, 900);
      sim.Propose(4, 900);
      sim.Run(1'000);
    }
    CHECK(sim.newest_epoch() == 1);
    REQUIRE(sim.outcomes().size() == 10);
    for (const RegisterSim::Outcome& outcome : sim.outcomes()) {
      CHECK(outcome.decision.outcome == RingOutcome::kNoMajority);
      CHECK(outcome.decision.text.find("10.0.0.1:17379") != std::string::npos);
    }
    sim.Restart(1);
    sim.Propose(3, 2'000);
    sim.Run(2'000);
    CHECK(sim.newest_epoch() == 2);
    CHECK(sim.fault() == "");
  }
}

TEST_CASE("ring register: the comparison notices when a promise of the protocol does not hold") {
  CHECK(Caught(RegisterLie::kKeepForgets, 300));
  CHECK(Caught(RegisterLie::kPromiseHidesAccepted, 300));
  CHECK(Caught(RegisterLie::kRefusalCounts, 300));
}
