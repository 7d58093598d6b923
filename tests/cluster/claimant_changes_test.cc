// SPDX-License-Identifier: Apache-2.0
// Whole changes of membership, by claimants that hear of everything late. Goal: they come to their
// end, as planned; no document breaks a rule; no read misses an acknowledged write. Method:
// tests/support/claimant_world.h, seeds.
#include <doctest/doctest.h>

#include "tests/support/claimant_world.h"

using namespace redynamo;

namespace {

using World = ClaimantWorld;

std::string Lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

// At rest, as the claim has it, and nothing is left.
void CheckAtRest(const World& world) {
  const RingDocument& document = world.document();
  CHECK(world.fault() == "");
  CHECK(world.AtRest());
  Claim claim = ClaimFor(document);
  for (size_t p = 0; p < document.views.size(); p++) {
    CHECK(document.views[p].homes == claim.homes[p]);
    for (MemberIndex m : document.views[p].homes) {
      CHECK(document.members[m].state == MemberState::kMember);
    }
  }
}

// Carries the change out and compares with what was planned.
void CarryOut(World* world, const RingChange& change) {
  RingPlan plan = *PlanChange(world->document(), change);
  int copies = world->copies();
  world->Change(change);
  REQUIRE_MESSAGE(world->RunUntilAtRest(), world->fault(), Lines(world->waiting()));
  CheckAtRest(*world);
  CHECK(world->copies() - copies == plan.claim.moves);
  for (size_t m = 0; m < plan.claim.nodes.size(); m++) {
    int holds = 0;
    for (const View& view : world->document().views) holds += view.homes.Contains(MemberIndex(m));
    CHECK(holds == plan.claim.nodes[m].replicas_after);
  }
}

bool AnyAt(const World& world, ViewPhase phase, MemberIndex pending) {
  return std::ranges::any_of(world.document().views, [&](const View& view) {
    return view.phase == phase && view.pending == pending;
  });
}

// Runs until a read misses something, over several seeds.
bool Caught(ClaimantLie lie) {
  for (uint64_t seed = 1; seed <= 60; seed++) {
    World world({.seed = seed, .partitions = 4, .lie = lie});
    for (int node = 4; node <= 9 && world.fault().empty(); node++) {
      world.Change(World::Replace(node - 3, node));
      world.RunUntilAtRest();
    }
    if (world.fault().find("misses an acknowledged write") != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("claimant: a fourth node joins three") {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    World world({.seed = seed});
    CarryOut(&world, World::Join(4));
    CHECK(world.reads() > 30);
  }
}

TEST_CASE("claimant: a node leaves four, and then three") {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    World world({.seed = seed, .nodes = 4});
    CarryOut(&world, World::Leave(1 + int(seed % 4)));
    CarryOut(&world, World::Leave(1 + int((seed + 1) % 4)));
    CHECK(world.document().views[0].homes.size() == 2);
  }
}

TEST_CASE("claimant: a node takes the place of another one, alive or dead") {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    CAPTURE(seed);
    World world({.seed = seed, .nodes = 3 + int(seed % 2)});
    if (seed % 3 > 0) world.Kill(2);
    CarryOut(&world, World::Replace(2, 7));
    CHECK(world.MemberOf(2).state == MemberState::kRemoved);
  }
}

TEST_CASE("claimant: a dead node leaves, and the others take over what it held") {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    World world({.seed = seed, .nodes = 5});
    world.Kill(3);
    CarryOut(&world, World::Leave(3));
  }
}

TEST_CASE("claimant: one after another joins, up to eight nodes") {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    CAPTURE(seed);
    World world({.seed = seed, .partitions = 32, .nodes = 1});
    for (int node = 2; node <= 8; node++) CarryOut(&world, World::Join(node));
  }
}

TEST_CASE("claimant: other quorums than two of three") {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    CAPTURE(seed);
    ClaimantOptions options{.moves_at_once = 6, .moves_at_once_per_receiver = 3};
    options.r = seed % 2 == 0 ? 1 : 3;
    options.w = seed % 2 == 0 ? 3 : 1;
    World world({.seed = seed, .claimant = options});
    CarryOut(&world, World::Join(4));
    CarryOut(&world, World::Replace(1, 5));
    CarryOut(&world, World::Leave(2));
  }
}

TEST_CASE("claimant: changes that overlap come to one end") {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    CAPTURE(seed);
    World world({.seed = seed, .nodes = 5});
    world.Change(World::Join(6));
    world.Run(int(seed * 40));
    world.Change(World::Leave(2));
    world.Run(int(seed * 20));
    world.Change(World::Replace(4, 7));
    REQUIRE_MESSAGE(world.RunUntilAtRest(), world.fault(), Lines(world.waiting()));
    CheckAtRest(world);
  }
}

TEST_CASE("claimant: a node that dies in the middle of a change can be sent away") {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    CAPTURE(seed);
    Random random(seed);
    int nodes = int(3 + random.Below(3));
    World world({.seed = seed, .nodes = nodes});
    for (int next = nodes + 1; next <= nodes + 4; next++) {
      std::vector<int> in_ring;
      for (const Member& member : world.document().members) {
        if (member.state == MemberState::kMember) in_ring.push_back(member.id.bytes[0]);
      }
      if (in_ring.size() < 3) {
        CarryOut(&world, World::Join(next));
        continue;
      }
      int one = in_ring[random.Below(in_ring.size())], dies = one;
      bool shrinks = random.Below(3) == 0;
      world.Change(shrinks           ? World::Leave(one)
                   : random.Below(2) ? World::Join(next)
                                     : World::Replace(one, next));
      world.Run(int(random.Below(1'500)));
      while (dies == one) dies = in_ring[random.Below(in_ring.size())];
      world.Kill(dies);
      world.Run(int(random.Below(1'500)));
      world.Change(World::Leave(dies));
      REQUIRE_MESSAGE(world.RunUntilAtRest(), world.fault(), Lines(world.waiting()));
      CheckAtRest(world);
    }
  }
}

TEST_CASE("claimant: a newcomer that dies half way is waited for, and taken back by a leave") {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    CAPTURE(seed);
    World world({.seed = seed});
    world.Change(World::Join(4));
    while (!AnyAt(world, ViewPhase::kWriteBothReadOld, world.IndexOf(4))) world.Step();
    world.Kill(4);
    world.Run(8'000);
    REQUIRE(world.fault() == "");
    CHECK_FALSE(world.Settled());
    CHECK(Lines(world.waiting()).find("waits for 10.0.0.4:17379") != std::string::npos);
    CHECK(Lines(world.waiting()).find("RING.LEAVE") != std::string::npos);
    world.Change(World::Leave(4));
    REQUIRE_MESSAGE(world.RunUntilAtRest(), world.fault(), Lines(world.waiting()));
    CheckAtRest(world);
    CHECK(world.MemberOf(4).state == MemberState::kRemoved);
    CarryOut(&world, World::Join(5));
  }
}

TEST_CASE("claimant: a newcomer that is sent away in phase 2 goes back through 1, alive or dead") {
  int went_back = 0;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    CAPTURE(seed);
    World world({.seed = seed});
    for (int node = 4; node <= 6; node++) {
      world.Change(World::Join(node));
      while (!AnyAt(world, ViewPhase::kWriteBothReadNew, world.IndexOf(node))) world.Step();
      if (seed % 2) world.Kill(node);
      world.Change(World::Leave(node));
      REQUIRE_MESSAGE(world.RunUntilAtRest(), world.fault(), Lines(world.waiting()));
      CheckAtRest(world);
    }
    went_back += world.went_back_from_2();
  }
  CHECK(went_back > 50);
}

TEST_CASE("claimant: reads miss writes when what is waited for did not happen") {
  CHECK_FALSE(Caught(ClaimantLie::kNone));
  CHECK(Caught(ClaimantLie::kArrivesEarly));
  CHECK(Caught(ClaimantLie::kPullsNothing));
  CHECK(Caught(ClaimantLie::kPullsFromOne));
  CHECK(Caught(ClaimantLie::kPullsEarly));
}
