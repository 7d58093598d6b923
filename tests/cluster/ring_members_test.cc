// SPDX-License-Identifier: Apache-2.0
// Changes of membership on whole simulated rings: nodes join, leave and are replaced while clients
// write, links are cut and nodes are killed.
#include <doctest/doctest.h>

#include "base/log_line.h"
#include "tests/support/ring_history.h"

namespace redynamo {
namespace {

void Fill(SimRing& ring, History* history, int writes) {
  for (int i = 0; i < writes; i++) {
    WriteSome(ring, history, history->serial++);
    if (i % 5 == 0) ring.Pass(10);
  }
}

Status Change(SimRing& ring, int by, RingChangeKind kind, int joining, int leaving) {
  RingChange change{.kind = kind, .joining = {}, .leaving = {}};
  if (leaving >= 0) change.leaving = NodeId{ring.node(leaving).id()};
  if (joining >= 0) {
    const Member* candidate = ring.node(by).node().FindCandidate(ring.SelfOf(joining).ring_address);
    if (!candidate) return {StatusCode::kNotFound, "no such candidate"};
    change.joining = *candidate;
  }
  std::optional<Status> ended;
  ring.node(by).node().ChangeMembers(change, [&](const Status& status) { ended = status; });
  for (int i = 0; i < 200 && !ended; i++) ring.Pass(100);
  REQUIRE(ended);
  return *ended;
}

int ReplicasOf(const RingDocument& document, const Id128& id) {
  int count = 0;
  for (const View& view : document.views) {
    for (MemberIndex m : view.homes) count += document.members[m].id.bytes == id;
  }
  return count;
}

TEST_CASE("ring: a fourth node that joins gets its share, and what was answered before") {
  SetLogLevel(LogLevel::kWarning);
  SimRing ring(3, {.seed = 1}, 3);
  History history;
  Fill(ring, &history, 300);
  int fourth = ring.AddBlank();
  REQUIRE(ring.Settle());
  CHECK(ring.document().members.size() == 4);
  for (int i = 0; i < 4; i++) {
    CHECK(ReplicasOf(ring.document(), ring.node(i).id()) == PartitionCount() * 3 / 4);
  }
  CHECK(ring.node(fourth).node().transfer()->running() == 0);
  CheckRing(ring, history);
  CHECK(history.reached == 300);
  Fill(ring, &history, 300);
  REQUIRE(ring.Settle());
  CheckRing(ring, history);
}

TEST_CASE("ring: a node that leaves lets go of all, and takes no commands afterwards") {
  SimRing ring(4, {.seed = 2}, 3);
  History history;
  Fill(ring, &history, 300);
  REQUIRE(Change(ring, 0, RingChangeKind::kLeave, -1, 3).ok());
  REQUIRE(ring.Settle());
  CHECK(ReplicasOf(ring.document(), ring.node(3).id()) == 0);
  CHECK(ring.node(3).node().removed());
  uint16_t slot = 0;
  Node::Route route = ring.node(3).node().RouteOf({&slot, 1}, false, Node::Forwarding::kPrefer);
  CHECK(route.kind == Node::Route::kRefuse);
  CheckRing(ring, history);
}

TEST_CASE("ring: a dead node is replaced by a blank one, and nothing answered is lost") {
  SimRing ring(3, {.seed = 3}, 3);
  History history;
  Fill(ring, &history, 300);
  ring.Crash(1);
  for (int i = 0; i < 10; i++) ring.Pass(100);
  Fill(ring, &history, 100);
  int fresh = ring.AddBlank(false);
  for (int i = 0; i < 10; i++) ring.Pass(100);
  REQUIRE(Change(ring, 0, RingChangeKind::kReplace, fresh, 1).ok());
  REQUIRE(ring.Settle({1}));
  CHECK(ReplicasOf(ring.document(), ring.node(fresh).id()) == PartitionCount());
  CheckRing(ring, history);
  ring.Start(1);  // the dead one is back, and hears that it was removed
  for (int i = 0; i < 50; i++) ring.Pass(100);
  CHECK(ring.node(1).node().removed());
}

TEST_CASE("ring: a removed node is forgotten, and is a stranger when it comes back") {
  SimRing ring(4, {.seed = 5}, 3);
  History history;
  Fill(ring, &history, 200);
  CHECK_FALSE(Change(ring, 0, RingChangeKind::kForget, -1, 1).ok());  // a member
  ring.Crash(1);
  REQUIRE(Change(ring, 0, RingChangeKind::kLeave, -1, 1).ok());
  REQUIRE(ring.Settle({1}));
  REQUIRE(Change(ring, 2, RingChangeKind::kForget, -1, 1).ok());
  REQUIRE(ring.Settle({1}));
  CHECK(ring.document().members.size() == 3);
  CHECK_FALSE(ring.document().Find(NodeId{ring.node(1).id()}));
  CheckRing(ring, history);
  ring.Start(1);  // with a document in which it is a member
  for (int i = 0; i < 50; i++) ring.Pass(100);
  CHECK(ring.node(1).node().removed());
  CHECK(ring.document().members.size() == 3);
  Fill(ring, &history, 200);
  REQUIRE(ring.Settle());
  CheckRing(ring, history);
}

TEST_CASE("ring: a minority cannot change the ring") {
  SimRing ring(3, {.seed = 4}, 3);
  ring.Crash(1);
  ring.Crash(2);
  int fresh = ring.AddBlank(false);
  for (int i = 0; i < 10; i++) ring.Pass(100);
  Status status = Change(ring, 0, RingChangeKind::kJoin, fresh, -1);
  CHECK_FALSE(status.ok());
  CHECK(ring.document().members.size() == 3);
}

void RunHistory(uint64_t seed, History* history, uint64_t* changes) {
  SimRing ring(3 + int(seed % 2),
               {.seed = seed, .overtakes_percent = seed % 2 * 5, .drops_percent = seed % 3 * 10}, 3,
               seed % 3 != 0);
  Random& random = ring.random();
  uint64_t serial = 0;
  auto any = [&] { return int(random.Below(uint64_t(ring.size()))); };
  for (int step = 0; step < 120; step++) {
    int a = any(), b = any();
    switch (random.Below(14)) {
      case 0:
        if (a != b) ring.network().Cut(ring.node(a).id(), ring.node(b).id());
        break;
      case 1: ring.network().HealAll(); break;
      case 2:
        if (ring.node(a).running() && random.Below(2)) ring.Crash(a);
        break;
      case 3:
        if (!ring.node(a).running()) ring.Start(a);
        break;
      case 4: ring.Pass(int64_t(random.Below(1500))); break;
      case 5:
        if (ring.size() < 6 && random.Below(3) == 0) {
          ring.AddBlank();
          ++*changes;
        }
        break;
      case 6: {
        auto stays = [](const Member& member) { return member.takes_replicas(); };
        auto staying = std::ranges::count_if(ring.document().members, stays);
        if (staying <= 3 || random.Below(3) > 0 || !ring.node(a).running() ||
            !ring.node(a).node().formed() || ring.node(a).node().removed()) {
          break;
        }
        RingChange change{.kind = RingChangeKind::kLeave, .joining = {}, .leaving = {}};
        change.leaving = NodeId{ring.node(b).id()};
        ring.node(a).node().ChangeMembers(change, [](const Status&) {});
        ++*changes;
        break;
      }
      default:
        for (uint64_t n = random.Below(6); n > 0; n--) WriteSome(ring, history, serial++);
        for (uint64_t n = random.Below(30); n > 0; n--) ring.network().Step();
        if (random.Below(2)) ring.Pass(10);
    }
  }
  REQUIRE_MESSAGE(ring.Settle(), ring.Describe());
  CheckRing(ring, *history);
}

TEST_CASE("ring: random histories with changes of membership lose nothing that was answered") {
  SetLogLevel(LogLevel::kWarning);
  uint64_t reached = 0, changes = 0;
  uint64_t first = NumberOf("RING_SEED", 1), count = NumberOf("RING_MEMBER_SEEDS", 10);
  for (uint64_t seed = first; seed < first + count; seed++) {
    CAPTURE(seed);
    History history;
    RunHistory(seed, &history, &changes);
    reached += history.reached;
  }
  SetLogLevel(LogLevel::kNotice);
  if (count < 10) return;
  CHECK(reached > 500);
  CHECK(changes > 10);
}

}  // namespace
}  // namespace redynamo
