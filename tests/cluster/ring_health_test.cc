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

TEST_CASE("ring: an answer is taken from who was asked, and in the life in which it was asked") {
  SimRing ring(3, {.seed = 4}, 3);
  auto ask = [&](int* answers) {
    wire::Forward command;
    command.args = {"PING"};
    ring.node(0).node().SendForward(ring.node(1).id(), command, true,
                                    [=](const ForwardOutcome&) { ++*answers; });
    uint64_t before = ring.node(1).last_forward;
    for (int i = 0; i < 20 && ring.node(1).last_forward == before; i++) ring.Pass(10);
    REQUIRE(ring.node(1).last_forward != before);
    return ring.node(1).last_forward;
  };
  auto answer = [&](int from, uint64_t request_id) {
    ring.node(from).node().AnswerForward(ring.node(0).id(), request_id, wire::ForwardStatus::kDone,
                                         ":1\r\n");
    ring.Pass(10);
  };
  int first = 0, second = 0;
  uint64_t before = ask(&first);
  ring.Crash(0);  // and its question is being worked on
  ring.Start(0);
  for (int i = 0; i < 20; i++) ring.Pass(100);
  uint64_t after = ask(&second);
  CHECK(after != before);
  answer(1, before);
  answer(2, after);
  CHECK(second == 0);
  answer(1, after);
  CHECK(second == 1);
  CHECK(first == 0);
}

}  // namespace
}  // namespace redynamo
