// SPDX-License-Identifier: Apache-2.0
// What whole nodes think of each other: failure_detector.h behind the real Node.
#include <doctest/doctest.h>

#include "base/log_line.h"
#include "tests/support/sim_ring.h"

namespace redynamo {
namespace {

wire::MemberState Thinks(SimRing& ring, int by, int of) {
  return ring.node(by).node().detector()->OpinionOf(ring.node(of).id()).state;
}

bool AllThink(SimRing& ring, int of, wire::MemberState state) {
  for (int i = 0; i < ring.size(); i++) {
    if (i != of && ring.node(i).running() && Thinks(ring, i, of) != state) return false;
  }
  return true;
}

bool PassUntil(SimRing& ring, const std::function<bool()>& done) {
  for (int i = 0; i < 300 && !done(); i++) ring.Pass(100);
  return done();
}

TEST_CASE("ring health: all hear of a node that is down, and that it is back") {
  SetLogLevel(LogLevel::kWarning);
  SimRing ring(4, {.seed = 5}, 3);
  CHECK(AllThink(ring, 2, wire::MemberState::kAlive));
  ring.Crash(2);
  CHECK(PassUntil(ring, [&] { return AllThink(ring, 2, wire::MemberState::kSuspect); }));
  CHECK(PassUntil(ring, [&] { return AllThink(ring, 2, wire::MemberState::kDown); }));
  ring.Start(2);
  CHECK(PassUntil(ring, [&] { return AllThink(ring, 2, wire::MemberState::kAlive); }));
  SetLogLevel(LogLevel::kNotice);
}

TEST_CASE("ring health: a link that is cut is not a node that is down") {
  SetLogLevel(LogLevel::kWarning);
  SimRing ring(4, {.seed = 6}, 3);
  ring.network().Cut(ring.node(0).id(), ring.node(1).id());
  for (int i = 0; i < 300; i++) {
    ring.Pass(100);
    REQUIRE(AllThink(ring, 0, wire::MemberState::kAlive));
    REQUIRE(AllThink(ring, 1, wire::MemberState::kAlive));
  }
  CHECK(ring.node(0).node().detector()->OpinionOf(ring.node(1).id()).only_others);
  CHECK_FALSE(ring.node(0).node().Healthy(ring.node(1).id()));  // requests go round it all the same
  ring.network().HealAll();
  for (int i = 0; i < 10; i++) ring.Pass(100);
  CHECK_FALSE(ring.node(0).node().detector()->OpinionOf(ring.node(1).id()).only_others);
  SetLogLevel(LogLevel::kNotice);
}

}  // namespace
}  // namespace redynamo
