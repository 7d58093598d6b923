// SPDX-License-Identifier: Apache-2.0
#include "cluster/claimant.h"

#include <doctest/doctest.h>

#include "tests/support/claimant_world.h"

using namespace redynamo;

namespace {

constexpr uint64_t kEpoch = 20;  // of the document
constexpr uint64_t kViewEpoch = 10;

// One partition, members 0 to 3.
RingDocument Document(const View& view) {
  RingDocument document;
  document.epoch = kEpoch;
  document.views = {view};
  for (int i = 1; i <= 4; i++) {
    document.members.push_back(ClaimantWorld::NodeNumber(i));
    document.members.back().state = MemberState::kMember;
  }
  return document;
}

// 3 takes the place of 2 among 0, 1, 2.
View Replacing(ViewPhase phase) {
  View view{kViewEpoch, phase, {0, 1, 2}, 3, 2};
  if (phase == ViewPhase::kNew) view = {kViewEpoch, phase, {0, 1, 3}, kNoMember, 2};
  return view;
}

std::vector<MemberReport> Arrived(std::vector<uint64_t> epochs) {
  std::vector<MemberReport> reports;
  for (uint64_t epoch : epochs) reports.push_back({epoch, 0});
  return reports;
}

Id128 Id(int member) { return ClaimantWorld::NodeNumber(member + 1).id.bytes; }

void SayThrough(Claimant* claimant, int member, uint64_t view_epoch = kViewEpoch) {
  wire::ViewProgress message{.ring_epoch = 1, .entries = {{0, view_epoch}}};
  claimant->OnProgress(Id(member), message);
}

Claimant Of(const RingDocument& document, ClaimantOptions options = {}) {
  Claimant claimant(options);
  claimant.SetDocument(document);
  return claimant;
}

bool Waits(const ClaimantStep& step, const std::string& text) {
  return std::ranges::any_of(
      step.waiting, [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

}  // namespace

TEST_CASE("claimant: phase 1 is left when who comes has pulled and no old quorum is left") {
  Claimant claimant = Of(Document(Replacing(ViewPhase::kWriteBothReadOld)));
  constexpr uint64_t E = kEpoch;
  ClaimantStep step = claimant.Next(Arrived({E, 0, 0, E}));
  CHECK_FALSE(step.next);
  CHECK(step.begun == 1);
  CHECK(step.phases == std::array<int, 4>{0, 1, 0, 0});
  CHECK(Waits(step, "waits for 10.0.0.2:17379 (02020202) to have document 20: partition 0"));
  CHECK(Waits(step, "waits for 10.0.0.3:17379 (03030303) to have document 20"));
  CHECK(step.waiting.size() == 2);

  step = claimant.Next(Arrived({E, E - 1, E, E}));  // 1 may be behind: alone it is no quorum
  CHECK_FALSE(step.next);
  CHECK(Lines(step.waiting) == "waits for 10.0.0.4:17379 (04040404) to pull partition 0\n");
  SayThrough(&claimant, 1);                  // not the one that comes
  SayThrough(&claimant, 3, kViewEpoch - 1);  // of an earlier view
  CHECK_FALSE(claimant.Next(Arrived({E, 0, E, E})).next);
  SayThrough(&claimant, 3);
  step = claimant.Next(Arrived({E, 0, E, E}));
  REQUIRE(step.next);
  CHECK(step.next->epoch == E + 1);
  CHECK(step.next->views[0] == *NextPhase(Replacing(ViewPhase::kWriteBothReadOld)));
  CHECK(step.what == "1 to phase 2");
  CHECK(step.waiting.empty());
}

TEST_CASE("claimant: when none comes, all that stay have to pull") {
  View view{kViewEpoch, ViewPhase::kWriteBothReadOld, {0, 1, 2}, kNoMember, 2};
  Claimant claimant = Of(Document(view));
  std::vector<MemberReport> all = Arrived({kEpoch, kEpoch, kEpoch, kEpoch});
  SayThrough(&claimant, 0);
  SayThrough(&claimant, 2);
  ClaimantStep step = claimant.Next(all);
  CHECK_FALSE(step.next);
  CHECK(Lines(step.waiting) == "waits for 10.0.0.2:17379 (02020202) to pull partition 0\n");
  SayThrough(&claimant, 1);
  CHECK(claimant.Next(all).next);
}

TEST_CASE("claimant: one that stays, but is leaving too, need not pull; two would be too many") {
  View view{kViewEpoch, ViewPhase::kWriteBothReadOld, {0, 1, 2}, kNoMember, 2};
  RingDocument document = Document(view);
  document.members[1].state = document.members[2].state = MemberState::kLeaving;
  std::vector<MemberReport> reports = Arrived({kEpoch, 0, kEpoch, kEpoch});
  Claimant claimant = Of(document);
  CHECK_FALSE(claimant.Next(reports).next);
  SayThrough(&claimant, 0);
  CHECK(claimant.Next(reports).next);
  Claimant other = Of(document, {.r = 1, .w = 3});  // then it may be read alone
  for (MemberReport& report : reports) report.ring_epoch = kEpoch;
  SayThrough(&other, 0);
  CHECK_FALSE(other.Next(reports).next);
  document.members[0].state = MemberState::kLeaving;
  CHECK_FALSE(Of(document).Next(reports).next);
}

TEST_CASE("claimant: who leaves does not wait for others that leave") {
  RingDocument document = Document(Replacing(ViewPhase::kNew));
  const View& view = document.views[0];
  CHECK(HeirsOf(document, view) == HomeList{0, 1, 3});
  document.members[1].state = MemberState::kLeaving;
  CHECK(HeirsOf(document, view) == HomeList{0, 3});
  document.members[0].state = document.members[3].state = MemberState::kLeaving;
  CHECK(HeirsOf(document, view) == HomeList{0, 1, 3});
}

TEST_CASE("claimant: phase 2 is left when neither list can write and the old one cannot read") {
  Claimant claimant = Of(Document(Replacing(ViewPhase::kWriteBothReadNew)));
  constexpr uint64_t E = kEpoch;
  // 1 and 2 may still read by phase 1; that only 3 of the new list has not come is not enough.
  CHECK_FALSE(claimant.Next(Arrived({E, 0, 0, E})).next);
  ClaimantStep step = claimant.Next(Arrived({E, E, 0, 0}));
  REQUIRE(step.next);
  CHECK(step.next->views[0].phase == ViewPhase::kNew);
  CHECK(step.next->views[0].homes == HomeList{0, 1, 3});
}

TEST_CASE("claimant: phase 3 waits for who leaves, unless that is gone for long") {
  Claimant claimant = Of(Document(Replacing(ViewPhase::kNew)));
  std::vector<MemberReport> reports = Arrived({kEpoch, 0, kEpoch, kEpoch});
  ClaimantStep step = claimant.Next(reports);
  CHECK_FALSE(step.next);
  CHECK(Waits(step, "10.0.0.3:17379 (03030303) to hand over, before it leaves, partition 0"));
  reports[2].unreachable_ms = 30'000;
  step = claimant.Next(reports);
  CHECK_FALSE(step.next);
  CHECK(Waits(step, "out of reach for 30 s, after 30 s it is not waited for"));
  reports[2].unreachable_ms++;
  REQUIRE(claimant.Next(reports).next);
  CHECK(claimant.Next(reports).next->views[0].settled());
  reports[0].ring_epoch = 0;  // the leaver is no reason to pass over the others
  Claimant other = Of(Document(Replacing(ViewPhase::kNew)));
  CHECK_FALSE(other.Next(reports).next);
  reports = Arrived({kEpoch, 0, 0, kEpoch});
  CHECK_FALSE(other.Next(reports).next);
  SayThrough(&other, 2);
  CHECK(other.Next(reports).next);
}

TEST_CASE("claimant: a node that comes and is leaving again makes the views go back") {
  RingDocument document = Document(Replacing(ViewPhase::kWriteBothReadNew));
  document.members[3].state = MemberState::kLeaving;
  Claimant claimant = Of(document);
  std::vector<MemberReport> reports = Arrived({kEpoch, 0, kEpoch, 0});
  reports[3].unreachable_ms = 1'000'000;
  CHECK_FALSE(claimant.Next(Arrived({kEpoch, 0, 0, 0})).next);
  ClaimantStep step = claimant.Next(reports);
  REQUIRE(step.next);
  CHECK(step.what == "1 go back");
  CHECK(step.next->views[0].phase == ViewPhase::kWriteBothReadOld);

  // From phase 2 to 0, a node that is still in 2 may not find a quorum there: 1 and 3 are one.
  claimant.SetDocument(*step.next);
  reports[0].ring_epoch = reports[2].ring_epoch = kEpoch + 1;
  ClaimantStep waits = claimant.Next(reports);
  CHECK_FALSE(waits.next);
  CHECK(Waits(waits, "10.0.0.2:17379 (02020202) to have document 21"));
  reports[1].ring_epoch = kEpoch + 1;
  REQUIRE(claimant.Next(reports).next);
  CHECK(claimant.Next(reports).next->views[0].settled());
  CHECK(claimant.Next(reports).next->views[0].homes == HomeList{0, 1, 2});
}

TEST_CASE("claimant: who did not see where phase 1 came from allows for both") {
  View view = Replacing(ViewPhase::kWriteBothReadOld);
  RingDocument before = Document({kViewEpoch - 1, ViewPhase::kOld, {0, 1, 2}});
  RingDocument document = Document(view);
  before.epoch--;
  document.members[3].state = MemberState::kLeaving;
  before.members[3].state = MemberState::kLeaving;
  std::vector<MemberReport> reports = Arrived({kEpoch, 0, kEpoch, 0});
  Claimant saw = Of(before);
  saw.SetDocument(document);
  CHECK(saw.Next(reports).next);  // from phase 0: 1 alone is no quorum
  Claimant fresh = Of(document);
  CHECK_FALSE(fresh.Next(reports).next);  // from phase 2: 1 and 3 would be
}

TEST_CASE("claimant: to have arrived is to have the view, not the newest document") {
  View view = Replacing(ViewPhase::kWriteBothReadNew);
  Claimant saw = Of(Document(view));
  RingDocument later = Document(view);
  later.epoch += 5;  // other partitions went on
  saw.SetDocument(later);
  std::vector<MemberReport> reports = Arrived({kEpoch, kEpoch, kEpoch, kEpoch});
  CHECK(saw.Next(reports).next);
  Claimant fresh = Of(later);
  CHECK_FALSE(fresh.Next(reports).next);
  CHECK(fresh.Next(Arrived({kEpoch + 5, kEpoch + 5, 0, 0})).next);
  CHECK(fresh.Next(reports).next);  // what was durable stays so
}

TEST_CASE("claimant: reports that come before their document count once that is there") {
  RingDocument before = Document({kViewEpoch - 1, ViewPhase::kOld, {0, 1, 2}});
  before.epoch--;
  Claimant claimant = Of(before);
  SayThrough(&claimant, 3);
  claimant.SetDocument(Document(Replacing(ViewPhase::kWriteBothReadOld)));
  CHECK(claimant.Next(Arrived({kEpoch, kEpoch, kEpoch, kEpoch})).next);
  wire::ViewProgress message{.ring_epoch = 99, .entries = {{7, kViewEpoch}}};
  claimant.OnProgress(Id(3), message);    // no such partition
  claimant.OnProgress(Id128{}, message);  // no such member
}

TEST_CASE("claimant: with W = 1 a dead old home is said to be missing") {
  Claimant claimant = Of(Document(Replacing(ViewPhase::kWriteBothReadOld)), {.r = 3, .w = 1});
  std::vector<MemberReport> reports = Arrived({kEpoch, kEpoch, kEpoch, kEpoch});
  CHECK_FALSE(Waits(claimant.Next(reports), "to be pulled from"));
  reports[2].unreachable_ms = 1'000'000;
  ClaimantStep step = claimant.Next(reports);
  CHECK_FALSE(step.next);
  CHECK(Waits(step, "10.0.0.3:17379 (03030303) to be pulled from: partition 0"));
}

TEST_CASE("claimant: so many pullers, and so many sources") {
  View view = Replacing(ViewPhase::kWriteBothReadOld);
  CHECK(PullersOf(view) == HomeList{3});
  CHECK(PullSourcesNeeded(view, 1) == 3);
  CHECK(PullSourcesNeeded(view, 2) == 2);
  CHECK(PullSourcesNeeded(view, 3) == 1);
  CHECK(PullSourcesNeeded(view, 9) == 1);
  view.pending = kNoMember;
  CHECK(PullersOf(view) == HomeList{0, 1});
}

TEST_CASE("claimant: the first full member in reach drives") {
  RingDocument document = Document(Replacing(ViewPhase::kNew));
  std::vector<MemberReport> reports(4);
  CHECK(ClaimantOf(document, reports) == 0);
  document.members[0].state = MemberState::kLeaving;
  CHECK(ClaimantOf(document, reports) == 1);
  reports[1].unreachable_ms = 1;
  document.members[2].state = MemberState::kRemoved;
  CHECK(ClaimantOf(document, reports) == 3);
  reports[3].unreachable_ms = 1;
  CHECK(ClaimantOf(document, reports) == 0);
  reports[0].unreachable_ms = 1;
  CHECK(ClaimantOf(document, reports) == kNoMember);
}

namespace {

RingDocument Ring(int nodes, int partitions) {
  std::vector<Member> members;
  for (int i = 1; i <= nodes; i++) members.push_back(ClaimantWorld::NodeNumber(i));
  return *NewRing({}, 1, partitions, 3, members);
}

std::vector<MemberReport> AllAt(const RingDocument& document) {
  return std::vector<MemberReport>(document.members.size(), MemberReport{document.epoch, 0});
}

}  // namespace

TEST_CASE("claimant: only so many partitions begin to move at once, and so many to one node") {
  RingDocument document = *WithChange(Ring(3, 1024), ClaimantWorld::Join(4));
  ClaimantStep step = Of(document).Next(AllAt(document));
  REQUIRE(step.next);
  CHECK(step.what == "16 begin to move");
  CHECK(step.remaining == 768 - 16);
  document = *step.next;
  step = Of(document).Next(AllAt(document));
  CHECK_FALSE(step.next);  // full
  CHECK(step.begun == 16);
  CHECK(step.remaining == 768 - 16);

  document = *WithChange(Ring(9, 1024), ClaimantWorld::Leave(4));
  step = Of(document).Next(AllAt(document));
  CHECK(step.what == "64 begin to move");
}

TEST_CASE("claimant: a whole change takes few claims, and documents by the limits") {
  RingDocument document = *WithChange(Ring(3, 64), ClaimantWorld::Join(4));
  RingPlan plan = *PlanChange(Ring(3, 64), ClaimantWorld::Join(4));
  Claimant claimant = Of(document, {.moves_at_once_per_receiver = 8});
  int documents = 0, remaining = 48;
  while (true) {
    for (size_t m = 0; m < document.members.size(); m++) {  // all is done at once
      wire::ViewProgress message{.ring_epoch = document.epoch};
      for (size_t p = 0; p < document.views.size(); p++) {
        message.entries.push_back({uint16_t(p), document.views[p].epoch});
      }
      claimant.OnProgress(document.members[m].id.bytes, message);
    }
    ClaimantStep step = claimant.Next(AllAt(document));
    CHECK(step.remaining <= remaining);
    remaining = step.remaining;
    if (!step.next) break;
    documents++;
    document = *step.next;
    claimant.SetDocument(document);
  }
  CHECK(documents >= 48 / 8 * 2);
  CHECK(documents < 48 / 8 * 2 + 8);
  CHECK(claimant.claims() <= 4);
  CHECK(document.members[3].state == MemberState::kMember);
  for (size_t p = 0; p < document.views.size(); p++) {
    CHECK(document.views[p].homes.SameMembers(plan.claim.homes[p]));
  }
}

TEST_CASE("claimant: nothing begins to move to a node that is not there") {
  RingDocument document = *WithChange(Ring(3, 64), ClaimantWorld::Join(4));
  std::vector<MemberReport> reports = AllAt(document);
  reports[3].unreachable_ms = 7'000;
  ClaimantStep step = Of(document).Next(reports);
  CHECK_FALSE(step.next);
  CHECK(step.remaining == 48);
  CHECK(Waits(step, "10.0.0.4:17379 (04040404) to be there before it is given partitions"));
  CHECK(Waits(step, "and 44 more; it has been out of reach for 7 s; if it is gone for good"));
}

TEST_CASE("claimant: members that leave go one by one, and when they keep nothing for others") {
  RingDocument document = Ring(3, 16);
  for (int i = 4; i <= 5; i++) {  // two that hold nothing
    document.members.push_back(ClaimantWorld::NodeNumber(i));
    document.members.back().state = MemberState::kLeaving;
  }
  Claimant claimant = Of(document);
  ClaimantStep step = claimant.Next(AllAt(document));
  REQUIRE(step.next);
  CHECK(step.what == "members");
  CHECK(step.next->members[3].state == MemberState::kRemoved);
  CHECK(step.next->members[4].state == MemberState::kLeaving);
  claimant.SetDocument(*step.next);
  claimant.OnProgress(Id(4), {.ring_epoch = 2, .guests = 3});
  std::vector<MemberReport> reports = AllAt(document);
  step = claimant.Next(reports);
  CHECK_FALSE(step.next);
  CHECK(Waits(step, "10.0.0.5:17379 (05050505) to hand over what it keeps for others"));
  reports[4].unreachable_ms = 31'000;
  CHECK(claimant.Next(reports).next);
  reports[4].unreachable_ms = 0;
  claimant.OnProgress(Id(4), {.ring_epoch = 2, .guests = 0});
  step = claimant.Next(reports);
  REQUIRE(step.next);
  CHECK(step.next->members[4].state == MemberState::kRemoved);
}

TEST_CASE("claimant: a ring at rest is left alone") {
  RingDocument document = Ring(5, 256);
  ClaimantStep step = Of(document).Next(AllAt(document));
  CHECK_FALSE(step.next);
  CHECK(step.waiting.empty());
  CHECK(step.phases == std::array<int, 4>{256, 0, 0, 0});
  CHECK(step.begun + step.remaining == 0);
}

TEST_CASE("claimant: what members have said is still theirs when one before them is forgotten") {
  RingDocument document = Ring(3, 16);
  for (int i = 4; i <= 5; i++) {
    document.members.push_back(ClaimantWorld::NodeNumber(i));
    document.members.back().state = i == 4 ? MemberState::kRemoved : MemberState::kLeaving;
  }
  Claimant claimant = Of(document);
  claimant.OnProgress(Id(4), {.ring_epoch = 2, .guests = 3});
  document = WithoutMember(document, 3);
  document.epoch++;
  claimant.SetDocument(document);
  ClaimantStep step = claimant.Next(AllAt(document));
  CHECK_FALSE(step.next);
  CHECK(Waits(step, "10.0.0.5:17379 (05050505) to hand over what it keeps for others"));
  claimant.OnProgress(Id(4), {.ring_epoch = 2, .guests = 0});
  step = claimant.Next(AllAt(document));
  REQUIRE(step.next);
  CHECK(step.next->members[3].state == MemberState::kRemoved);
}

TEST_CASE("claimant: who is through is still through when a member before it is forgotten") {
  RingDocument document = Document(Replacing(ViewPhase::kWriteBothReadOld));
  document.members.insert(document.members.begin(), ClaimantWorld::NodeNumber(9));
  document.members[0].state = MemberState::kRemoved;
  document.views[0].homes = {1, 2, 3};
  document.views[0].pending = 4;
  document.views[0].leaver = 3;
  Claimant claimant = Of(document);
  std::vector<MemberReport> reports = Arrived({kEpoch, kEpoch, kEpoch, kEpoch, kEpoch});
  CHECK_FALSE(claimant.Next(reports).next);
  SayThrough(&claimant, 3);
  document = WithoutMember(document, 0);
  document.epoch++;
  claimant.SetDocument(document);
  reports.erase(reports.begin());
  ClaimantStep step = claimant.Next(reports);
  REQUIRE(step.next);
  CHECK(step.next->views[0].phase == ViewPhase::kWriteBothReadNew);
}
