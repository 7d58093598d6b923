// SPDX-License-Identifier: Apache-2.0
#include "cluster/plan.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "tests/support/claim_checks.h"

using namespace redynamo;

namespace {

Member Node(int number) {
  Member member;
  member.id.bytes.fill(uint8_t(number));
  member.ring_address = {"10.0.0." + std::to_string(number), 17379};
  return member;
}

RingDocument Ring(int nodes, int partitions = 1024) {
  std::vector<Member> members;
  for (int i = 1; i <= nodes; i++) members.push_back(Node(i));
  return *NewRing({}, 1, partitions, 3, members);
}

RingChange Join(int number) { return {RingChangeKind::kJoin, Node(number), {}}; }
RingChange Leave(int number) { return {RingChangeKind::kLeave, {}, Node(number).id}; }
RingChange Replace(int old, int fresh) {
  return {RingChangeKind::kReplace, Node(fresh), Node(old).id};
}

std::string ErrorOf(const RingDocument& document, const RingChange& change) {
  Result<RingDocument> next = WithChange(document, change);
  return next.ok() ? "" : next.status().message();
}

bool Says(const RingPlan& plan, const std::string& text) {
  return std::ranges::any_of(PlanLines(plan), [&](const std::string& line) {
    return line.find(text) != std::string::npos;
  });
}

// Carries out what a document asks for, views moving at random, as a ring would. Returns the
// replicas that were copied.
int CarryOut(RingDocument* document, Random* random) {
  std::map<uint32_t, HomeList> after;
  int copied = 0;
  while (true) {
    for (const PartitionChange& change : NextChanges(*document)) {
      if (random->Below(3) == 0) continue;
      View& view = document->views[change.partition];
      if (change.add == kNoMember && change.remove == kNoMember) {
        view = *Reorder(view, change.after);
        continue;
      }
      view = *BeginChange(view, change.add, change.remove);
      after[change.partition] = change.after;
      copied += change.add != kNoMember;
    }
    bool any = false;
    for (size_t p = 0; p < document->views.size(); p++) {
      View& view = document->views[p];
      if (view.settled()) continue;
      any = true;
      if (random->Below(3) == 0) continue;
      view = *NextPhase(view);
      auto homes = after.find(uint32_t(p));  // none: the view was under way before
      if (view.settled() && homes != after.end()) view = *Reorder(view, homes->second);
    }
    FinishMembers(document);
    REQUIRE(ValidateRingDocument(*document).ok());
    if (!any && NextChanges(*document).empty()) return copied;
  }
}

}  // namespace

TEST_CASE("plan: a join is told before it is done") {
  RingDocument document = Ring(3);
  Result<RingPlan> plan = PlanChange(document, Join(4), std::vector<uint64_t>(1024, 1 << 20));
  REQUIRE(plan.ok());
  CHECK(plan->document.epoch == document.epoch + 1);
  CHECK(plan->document.members[3].state == MemberState::kJoining);
  CHECK(plan->document.views == document.views);
  CHECK(plan->claim.moves == 768);
  CHECK(plan->partitions_moved == 768);
  CHECK(plan->bytes == 768ull << 20);
  REQUIRE(plan->transfers.size() == 3);
  for (const PlannedTransfer& transfer : plan->transfers) {
    CHECK(transfer.to == 3);
    CHECK(transfer.partitions == 256);
  }
  CHECK(Says(*plan, "1024 partitions, 3 replicas each, on 4 nodes"));
  CHECK(
      Says(*plan,
           "768 of 3072 replicas move (at least 768 must), in 768 partitions and 1 step, 768 MiB"));
  CHECK(Says(*plan, "node 10.0.0.4:17379 (04040404), joins: 0 replicas, then 768"));
  CHECK(Says(*plan, "move 10.0.0.1:17379 (01010101) to 10.0.0.4:17379 (04040404): 256 partitions"));
  CHECK_FALSE(Says(*plan, "impossible"));
}

TEST_CASE("plan: what is impossible is told") {
  Result<RingPlan> plan = PlanChange(Ring(1), Join(2));
  REQUIRE(plan.ok());
  CHECK(Says(*plan, "impossible: 2 nodes for 3 replicas"));
  CHECK(Says(*plan, "copy to 10.0.0.2:17379"));
  plan = PlanChange(Ring(3), Leave(2));
  REQUIRE(plan.ok());
  CHECK(Says(*plan, "drop at 10.0.0.2:17379"));
  CHECK(plan->claim.moves == 0);
}

TEST_CASE("plan: changes that cannot be are refused with a reason") {
  RingDocument document = Ring(3);
  CHECK(ErrorOf(document, Join(2)).find("in the ring already") != std::string::npos);
  Member stranger = Node(9);
  stranger.ring_address = Node(1).ring_address;
  CHECK(ErrorOf(document, {RingChangeKind::kJoin, stranger, {}}).find("replace it") !=
        std::string::npos);
  CHECK(ErrorOf(document, {RingChangeKind::kReplace, stranger, Node(1).id}) == "");
  CHECK(ErrorOf(document, Leave(7)).find("not in the ring") != std::string::npos);
  CHECK(ErrorOf(document, Replace(7, 8)).find("not in the ring") != std::string::npos);
  CHECK(ErrorOf(document, Replace(1, 2)).find("in the ring already") != std::string::npos);
  CHECK(ErrorOf(document, Replace(1, 1)) != "");
  CHECK(ErrorOf(Ring(1), Leave(1)).find("last node") != std::string::npos);
  CHECK(ErrorOf(Ring(1), Replace(1, 2)) == "");
  RingDocument leaving = *WithChange(document, Leave(1));
  CHECK(ErrorOf(leaving, Leave(1)).find("leaving already") != std::string::npos);
  Member bad = Node(9);
  bad.weight = 0;
  CHECK(ErrorOf(document, {RingChangeKind::kJoin, bad, {}}).find("weight") != std::string::npos);
}

TEST_CASE("plan: a ring that cannot be is refused") {
  CHECK_FALSE(NewRing({}, 1, 1000, 3, {Node(1)}).ok());
  CHECK_FALSE(NewRing({}, 1, 0, 3, {Node(1)}).ok());
  CHECK_FALSE(NewRing({}, 1, 1024, 0, {Node(1)}).ok());
  CHECK_FALSE(NewRing({}, 1, 1024, 3, {}).ok());
  CHECK_FALSE(NewRing({}, 1, 1024, 3, {Node(1), Node(1)}).ok());
}

TEST_CASE("plan: a change carried out partition by partition ends balanced, with no move more") {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    CAPTURE(seed);
    Random random(seed);
    int nodes = int(1 + random.Below(6)), next = nodes + 1;
    RingDocument document = Ring(nodes, 64);
    for (int i = 0; i < 6; i++) {
      std::vector<int> in_ring;
      for (const Member& member : document.members) {
        if (member.in_ring()) in_ring.push_back(member.id.bytes[0]);
      }
      int one = in_ring[random.Below(in_ring.size())];
      RingChange change = Join(next);
      if (random.Below(3) == 0) change = Replace(one, next);
      if (in_ring.size() > 1 && random.Below(3) == 0) change = Leave(one);
      if (change.kind != RingChangeKind::kLeave) next++;
      Result<RingPlan> plan = PlanChange(document, change);
      REQUIRE(plan.ok());
      document = plan->document;
      CHECK(CarryOut(&document, &random) == plan->claim.moves);
      ClaimInput input = ClaimInputOf(document);
      Claim claim = ClaimFor(document);
      CHECK(FaultOf(input, claim) == "");
      CHECK(claim.steps.empty());
      for (const Member& member : document.members) {
        CHECK((member.state == MemberState::kMember || member.state == MemberState::kRemoved));
      }
    }
  }
}

TEST_CASE("plan: changes that meet half way end as if one had followed the other") {
  Random random(9);
  RingDocument document = *WithChange(Ring(5, 128), Join(6));
  for (const PartitionChange& change : NextChanges(document)) {
    if (change.add == kNoMember) continue;
    View& view = document.views[change.partition];
    view = *BeginChange(view, change.add, change.remove);
    if (random.Below(2)) view = *NextPhase(view);
  }
  Result<RingPlan> plan = PlanChange(document, Leave(6));
  REQUIRE(plan.ok());
  CHECK(plan->under_way > 0);
  CHECK(Says(*plan, "still changing"));
  document = *WithChange(plan->document, Leave(1));
  for (int round = 0; round < 20; round++) {
    for (View& view : document.views) {
      if (!view.settled()) view = *NextPhase(view);
    }
    for (const PartitionChange& change : NextChanges(document)) {
      View& view = document.views[change.partition];
      bool moves = change.add != kNoMember || change.remove != kNoMember;
      view = *(moves ? BeginChange(view, change.add, change.remove) : Reorder(view, change.after));
    }
    FinishMembers(&document);
    REQUIRE(ValidateRingDocument(document).ok());
  }
  CHECK(NextChanges(document).empty());
  CHECK(document.members[0].state == MemberState::kRemoved);
  CHECK(document.members[5].state == MemberState::kRemoved);
}

TEST_CASE("plan: a removed node that joins again has a new incarnation") {
  Random random(2);
  RingDocument document = *WithChange(Ring(4, 16), Leave(4));
  CarryOut(&document, &random);
  REQUIRE(document.members[3].state == MemberState::kRemoved);
  CHECK(document.members[3].incarnation == 1);
  document = *WithChange(document, Join(4));
  CHECK(document.members.size() == 4);
  CHECK(document.members[3].state == MemberState::kJoining);
  CHECK(document.members[3].incarnation == 2);
  CarryOut(&document, &random);
  CHECK(document.members[3].state == MemberState::kMember);
}

TEST_CASE("plan: a removed node can be forgotten, and nothing moves for that") {
  Random random(5);
  RingDocument document = Ring(5, 64);
  RingChange forget{.kind = RingChangeKind::kForget, .joining = {}, .leaving = Leave(2).leaving};
  Result<RingDocument> refused = WithChange(document, forget);
  CHECK(refused.status().code() == StatusCode::kInvalidArgument);
  CHECK(refused.status().message().find("RING.LEAVE") != std::string::npos);
  document = *WithChange(document, Leave(2));
  CHECK_FALSE(WithChange(document, forget).ok());  // it is leaving, and still there
  CarryOut(&document, &random);
  REQUIRE(document.members[1].state == MemberState::kRemoved);
  document = *WithChange(document, Join(6));  // views that change meanwhile keep who they wait for
  for (const PartitionChange& change : NextChanges(document)) {
    View& view = document.views[change.partition];
    if (change.add != kNoMember) view = *BeginChange(view, change.add, change.remove);
  }
  Result<RingPlan> plan = PlanChange(document, forget);
  REQUIRE(plan.ok());
  CHECK(Says(*plan, "is forgotten"));
  const RingDocument& next = plan->document;
  CHECK(next.epoch == document.epoch + 1);
  CHECK(next.members.size() == document.members.size() - 1);
  REQUIRE(ValidateRingDocument(next).ok());
  auto ids = [](const RingDocument& of, const View& view) {
    std::vector<NodeId> out;
    for (MemberIndex m : view.homes) out.push_back(of.members[m].id);
    for (MemberIndex m : {view.pending, view.leaver}) {
      out.push_back(m == kNoMember ? NodeId{} : of.members[m].id);
    }
    return out;
  };
  for (size_t p = 0; p < next.views.size(); p++) {
    CHECK(ids(next, next.views[p]) == ids(document, document.views[p]));
    CHECK(next.views[p].epoch == document.views[p].epoch);
  }
  document = next;
  CHECK(WithChange(document, forget).status().code() == StatusCode::kNotFound);
  CarryOut(&document, &random);
  CHECK(NextChanges(document).empty());
  document = *WithChange(document, Join(2));  // a stranger, to whom nothing is held
  CHECK(document.members.back().incarnation == 1);
}
