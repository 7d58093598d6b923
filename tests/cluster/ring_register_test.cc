// SPDX-License-Identifier: Apache-2.0
#include "cluster/ring_register.h"

#include <doctest/doctest.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "tests/support/register_sim.h"

using namespace redynamo;

namespace {

Id128 Id(int node) { return RegisterSim::IdOf(node); }

// Members 0 to `members` - 1, one of them a home.
RingDocument Ring(int members) {
  RingDocument document;
  document.cluster_id.fill(7);
  document.epoch = 5;
  document.n = 1;
  document.views.resize(4);
  for (View& view : document.views) view = {1, ViewPhase::kOld, {0}};
  for (int i = 0; i < members; i++) {
    document.members.push_back(RegisterSim::MemberOf(i));
    document.members.back().state = MemberState::kMember;
  }
  return document;
}

RingDocument Next(const RingDocument& before, uint64_t mark) {
  RingDocument next = before;
  next.epoch++;
  next.members[0].capabilities = mark;
  return next;
}

// One register, node 0, that keeps and notes all.
struct Fixture : RingRegisterHost {
  struct Sent {
    Id128 peer{};
    MessageKind kind{};
    std::string payload;
  };
  Random random{3};
  RingRegister register_{Id(0), *this, random};
  RingDocument document = Ring(3);
  std::vector<Sent> sent;
  std::vector<RingDecision> ends;
  std::string kept;
  bool disk_fails = false;
  std::vector<RingDocument> decided;

  explicit Fixture(int members = 3) : document(Ring(members)) { register_.SetDocument(document); }

  void Send(const Id128& peer, Message message) override {
    sent.push_back({peer, message.kind(), {}});
    message.EncodeTo(&sent.back().payload);
  }
  Status Keep(std::string_view state) override {
    if (disk_fails) return {StatusCode::kIoError, "the disk fails"};
    kept = state;
    return Status::Ok();
  }
  Status Decided(const RingDocument& next) override {
    if (disk_fails) return {StatusCode::kIoError, "the disk fails"};
    decided.push_back(next);
    return Status::Ok();
  }
  void Propose(const RingDocument& next, int64_t deadline_ms = 1000) {
    register_.Propose(next, 0, deadline_ms,
                      [this](const RingDecision& end) { ends.push_back(end); });
  }
  template <typename T>
  T Last() {  // of what was sent; its views are into `sent`
    T out;
    REQUIRE(!sent.empty());
    REQUIRE(sent.back().kind == T::kKind);
    REQUIRE(T::Decode(sent.back().payload, &out).ok());
    return out;
  }
  void PromiseFrom(int node) {
    wire::Ballot ballot{register_.rounds(), Id(0)};
    CHECK(register_
              .On(Id(node), wire::RingPromise{document.epoch + 1, ballot, true, ballot, {}, {}}, 0)
              .ok());
  }
  void AcceptedFrom(int node) {
    wire::Ballot ballot{register_.rounds(), Id(0)};
    CHECK(register_.On(Id(node), wire::RingAccepted{document.epoch + 1, ballot, true, ballot}, 0)
              .ok());
  }
};

std::string ErrorOf(const RingDocument& before, const RingDocument& next) {
  return ValidateSuccessor(before, next).message();
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("ring register: what follows a document is the same ring, one member and step further") {
  RingDocument before = Ring(3), next = Next(before, 1);
  CHECK(ErrorOf(before, next) == "");
  CHECK(ErrorOf(before, before) != "");
  RingDocument other = next;
  other.epoch++;
  CHECK(ErrorOf(before, other) == "document 7 does not follow 5");
  other = next;
  other.cluster_id[0]++;
  CHECK(Contains(ErrorOf(before, other), "another ring"));
  other = next;
  other.seed++;
  CHECK(Contains(ErrorOf(before, other), "another ring"));
  other = next;
  other.views.resize(2);
  CHECK(Contains(ErrorOf(before, other), "another ring"));
  other = next;
  other.members.push_back(RegisterSim::MemberOf(3));
  CHECK(ErrorOf(before, other) == "");  // one comes
  other.members[1].state = MemberState::kLeaving;
  CHECK(ErrorOf(before, other) == "");  // it still votes
  other.members[1].state = MemberState::kRemoved;
  CHECK(Contains(ErrorOf(before, other), "2 members come or go"));
  other.members.pop_back();
  CHECK(ErrorOf(before, other) == "");  // one goes
  other.members[2].state = MemberState::kRemoved;
  CHECK(Contains(ErrorOf(before, other), "2 members come or go"));
  other = next;
  other.members.pop_back();
  CHECK(Contains(ErrorOf(before, other), "missing"));
  other = next;
  std::swap(other.members[1], other.members[2]);
  CHECK(Contains(ErrorOf(before, other), "lost its place"));
  other = next;
  other.views[1] = *BeginChange(other.views[1], 1, 0);
  CHECK(ErrorOf(before, other) == "");
  other.views[1] = *NextPhase(other.views[1]);
  CHECK(Contains(ErrorOf(before, other), "partition 1"));
  other.views[1] = before.views[1];
  other.views[1].homes = {2};
  CHECK(Contains(ErrorOf(before, other), "partition 1"));  // changed, and the epoch is not
}

TEST_CASE("ring register: only a removed member may be left out, and nothing else with it") {
  RingDocument before = Ring(4);
  before.views[2].homes = {3};
  before.members[1].state = MemberState::kRemoved;
  RingDocument next = WithoutMember(before, 1);
  CHECK(next.views[2].homes == HomeList{2});
  CHECK(next.views[1].homes == HomeList{0});
  CHECK(ErrorOf(before, next) != "");  // not the next epoch
  next.epoch++;
  CHECK(ErrorOf(before, next) == "");
  RingDocument other = next;
  other.views[2].homes = {1};
  CHECK(Contains(ErrorOf(before, other), "missing"));
  other = next;
  other.members[0].weight++;
  CHECK(Contains(ErrorOf(before, other), "missing"));
  other = next;
  other.members[2] = RegisterSim::MemberOf(7);
  CHECK(Contains(ErrorOf(before, other), "missing"));
  other = WithoutMember(before, 2);  // a member
  other.epoch++;
  CHECK(Contains(ErrorOf(before, other), "missing"));
  before = Ring(4);
  before.members[3].state = MemberState::kRemoved;  // the last place
  next = WithoutMember(before, 3);
  next.epoch++;
  CHECK(ErrorOf(before, next) == "");
}

TEST_CASE("ring register: alone, a node decides at once") {
  Fixture one(1);
  one.Propose(Next(one.document, 9));
  REQUIRE(one.decided.size() == 1);
  CHECK(one.decided[0].members[0].capabilities == 9);
  CHECK(one.ends.empty());  // not from within Propose
  one.register_.Tick(1);
  REQUIRE(one.ends.size() == 1);
  CHECK(one.ends[0].outcome == RingOutcome::kDecided);
  CHECK(one.sent.empty());
  one.Propose(Next(one.decided[0], 10));
  CHECK(one.decided.size() == 2);
}

TEST_CASE("ring register: a majority promises, then accepts, and then it is decided") {
  Fixture f;
  f.Propose(Next(f.document, 9));
  CHECK(f.sent.size() == 2);
  CHECK(f.Last<wire::RingPrepare>().ballot == wire::Ballot{1, Id(0)});
  f.PromiseFrom(1);
  CHECK(f.sent.size() == 4);
  CHECK(f.Last<wire::RingAccept>().document == EncodeRingDocument(Next(f.document, 9)));
  f.PromiseFrom(2);  // late: counts for nothing
  CHECK(f.decided.empty());
  f.AcceptedFrom(4);  // no member
  CHECK(f.decided.empty());
  f.AcceptedFrom(2);
  REQUIRE(f.decided.size() == 1);
  REQUIRE(f.ends.size() == 1);
  CHECK(f.ends[0].outcome == RingOutcome::kDecided);
  CHECK_FALSE(f.register_.proposing());
}

TEST_CASE("ring register: what somebody else has accepted is carried through first") {
  Fixture five(5);
  five.Propose(Next(five.document, 9));
  std::string older = EncodeRingDocument(Next(five.document, 1));
  std::string newer = EncodeRingDocument(Next(five.document, 2));
  uint64_t epoch = five.document.epoch + 1;
  wire::RingPromise found{epoch, {1, Id(0)}, true, {1, Id(0)}, {0, {}}, ""};
  found.accepted = {3, Id(2)};
  found.document = newer;
  CHECK(five.register_.On(Id(1), found, 0).ok());
  found.accepted = {2, Id(4)};
  found.document = older;
  CHECK(five.register_.On(Id(2), found, 0).ok());
  CHECK(five.Last<wire::RingAccept>().document == newer);
  five.AcceptedFrom(3);
  five.AcceptedFrom(4);
  REQUIRE(five.decided.size() == 1);
  CHECK(five.decided[0].members[0].capabilities == 2);
  REQUIRE(five.ends.size() == 1);
  CHECK(five.ends[0].outcome == RingOutcome::kAnotherFirst);
}

TEST_CASE("ring register: another's newer document ends a proposal") {
  Fixture f;
  f.Propose(Next(f.document, 9));
  f.register_.SetDocument(Next(f.document, 1));
  CHECK_FALSE(f.register_.proposing());
  CHECK(f.ends.empty());  // not from within SetDocument
  f.register_.Tick(1);
  REQUIRE(f.ends.size() == 1);
  CHECK(f.ends[0].outcome == RingOutcome::kAnotherFirst);

  Fixture ours;  // carried through by somebody who found it
  ours.Propose(Next(ours.document, 9));
  ours.register_.SetDocument(Next(ours.document, 9));
  ours.register_.Tick(1);
  REQUIRE(ours.ends.size() == 1);
  CHECK(ours.ends[0].outcome == RingOutcome::kDecided);
}

TEST_CASE("ring register: without a majority the operator is told who is missing") {
  Fixture f(5);
  f.Propose(Next(f.document, 9), 1000);
  CHECK(f.sent.size() == 4);
  f.PromiseFrom(3);
  f.register_.Tick(500);
  CHECK(f.sent.size() == 7);  // again, to those who have not answered
  f.register_.Tick(999);
  CHECK(f.ends.empty());
  f.register_.Tick(1000);
  REQUIRE(f.ends.size() == 1);
  CHECK(f.ends[0].outcome == RingOutcome::kNoMajority);
  CHECK_FALSE(f.ends[0].may_come);
  CHECK(Contains(f.ends[0].text, "2 of 5 members answered, 3 must"));
  CHECK(Contains(f.ends[0].text, "10.0.0.2:17379 (02000000), 10.0.0.3:17379 (03000000), 10.0.0.5"));
  CHECK_FALSE(Contains(f.ends[0].text, "10.0.0.4"));

  Fixture late(3);
  late.Propose(Next(late.document, 9), 1000);
  late.PromiseFrom(1);  // ACCEPT leaves: somebody may have it
  late.register_.Tick(1000);
  REQUIRE(late.ends.size() == 1);
  CHECK(late.ends[0].may_come);
  CHECK(Contains(late.ends[0].text, "may still come about"));
}

TEST_CASE("ring register: refused by a higher ballot, it asks above that after a while") {
  Fixture f;
  f.Propose(Next(f.document, 9), 60'000);
  uint64_t epoch = f.document.epoch + 1;
  wire::RingPromise no{epoch, {1, Id(0)}, false, {7, Id(2)}, {}, {}};
  CHECK(f.register_.On(Id(2), no, 0).ok());
  f.register_.Tick(49);
  CHECK(f.register_.rounds() == 1);
  f.register_.Tick(100);
  CHECK(f.register_.rounds() == 2);
  CHECK(f.Last<wire::RingPrepare>().ballot == wire::Ballot{8, Id(0)});
  no.ballot = {1, Id(0)};
  no.promised = {20, Id(2)};
  CHECK(f.register_.On(Id(2), no, 100).ok());  // of the round before: no refusal of this one
  f.register_.Tick(1000);
  CHECK(f.register_.rounds() == 2);
}

TEST_CASE("ring register: proposals that cannot be are refused with a reason") {
  auto text = [](Fixture& f) {
    f.register_.Tick(1);
    REQUIRE(!f.ends.empty());
    CHECK(f.ends.back().outcome == RingOutcome::kRefused);
    return f.ends.back().text;
  };
  Fixture f;
  f.Propose(f.document);
  CHECK(Contains(text(f), "does not follow"));
  RingDocument bad = Next(f.document, 1);
  bad.n = 0;
  f.Propose(bad);
  CHECK(Contains(text(f), "replicas"));
  f.Propose(Next(f.document, 9));
  f.Propose(Next(f.document, 10));
  CHECK(Contains(text(f), "deciding another change"));
  CHECK(f.register_.proposing());
  RingDocument without = Next(f.document, 11);
  without.members[0].state = MemberState::kRemoved;
  for (View& view : without.views) view.homes = {1};
  f.register_.SetDocument(without);
  f.Propose(Next(without, 12));
  CHECK(Contains(text(f), "not a member"));
}

TEST_CASE("ring register: a vote is durable or not given") {
  Fixture f;
  uint64_t epoch = f.document.epoch + 1;
  f.disk_fails = true;
  CHECK(f.register_.On(Id(1), wire::RingPrepare{epoch, {1, Id(1)}}, 0).ok());
  std::string document = EncodeRingDocument(Next(f.document, 3));
  CHECK(f.register_.On(Id(1), wire::RingAccept{epoch, {1, Id(1)}, document}, 0).ok());
  CHECK(f.sent.empty());
  f.Propose(Next(f.document, 9));
  f.register_.Tick(1);
  REQUIRE(f.ends.size() == 1);
  CHECK(f.ends[0].outcome == RingOutcome::kNotKept);
  CHECK(f.sent.empty());
  f.disk_fails = false;
  CHECK(f.register_.On(Id(1), wire::RingPrepare{epoch, {1, Id(1)}}, 0).ok());
  CHECK(f.Last<wire::RingPromise>().granted);
  CHECK(f.register_.On(Id(1), wire::RingAccept{epoch, {1, Id(1)}, document}, 0).ok());
  CHECK(f.Last<wire::RingAccepted>().granted);
  CHECK(f.register_.accepted_epoch() == epoch);
  size_t answers = f.sent.size();
  f.disk_fails = true;  // repeated, it is known to be durable
  CHECK(f.register_.On(Id(1), wire::RingAccept{epoch, {1, Id(1)}, document}, 0).ok());
  CHECK(f.sent.size() == answers + 1);

  Fixture again;  // the same node after a crash
  REQUIRE(again.register_.Restore(f.kept).ok());
  CHECK(again.register_.On(Id(2), wire::RingPrepare{epoch, {1, Id(0)}}, 0).code() ==
        StatusCode::kCorruption);
  CHECK(again.register_.On(Id(2), wire::RingPrepare{epoch, {2, Id(2)}}, 0).ok());
  CHECK(again.Last<wire::RingPromise>().accepted == wire::Ballot{1, Id(1)});
  CHECK(again.Last<wire::RingPromise>().document == document);
  CHECK(again.register_.On(Id(1), wire::RingAccept{epoch, {1, Id(1)}, document}, 0).ok());
  CHECK(again.Last<wire::RingAccepted>().granted);  // it was, before
  CHECK(again.register_.On(Id(1), wire::RingPrepare{epoch, {1, Id(1)}}, 0).ok());
  CHECK_FALSE(again.Last<wire::RingPromise>().granted);
  CHECK(again.Last<wire::RingPromise>().promised == wire::Ballot{2, Id(2)});
}

TEST_CASE("ring register: a decision that cannot be kept here is not called done") {
  Fixture f;
  f.Propose(Next(f.document, 9));
  f.PromiseFrom(1);
  f.disk_fails = true;
  f.AcceptedFrom(1);
  REQUIRE(f.ends.size() == 1);
  CHECK(f.ends[0].outcome == RingOutcome::kNotKept);
  CHECK(f.ends[0].may_come);
}

TEST_CASE("ring register: who is behind asks, who is ahead tells, and neither votes") {
  Fixture f;
  uint64_t epoch = f.document.epoch + 1;
  CHECK(f.register_.On(Id(1), wire::RingPrepare{epoch + 1, {1, Id(1)}}, 0).ok());
  CHECK(f.Last<wire::RingGet>().have_epoch == f.document.epoch);
  CHECK(f.register_.On(Id(1), wire::RingAccept{epoch + 1, {1, Id(1)}, "not looked at"}, 0).ok());
  CHECK(f.Last<wire::RingGet>().have_epoch == f.document.epoch);
  CHECK(f.register_.On(Id(1), wire::RingPrepare{epoch - 1, {1, Id(1)}}, 0).ok());
  CHECK(f.Last<wire::RingDocument>().document == EncodeRingDocument(f.document));
  size_t sent = f.sent.size();
  CHECK(f.register_.On(Id(6), wire::RingPrepare{epoch, {1, Id(6)}}, 0).ok());  // no member
  CHECK(f.sent.size() == sent);
  CHECK(f.kept.empty());

  RingRegister blank(Id(0), f, f.random);
  CHECK(blank.On(Id(1), wire::RingPrepare{epoch, {1, Id(1)}}, 0).ok());
  CHECK(f.Last<wire::RingGet>().have_epoch == 0);
}

TEST_CASE("ring register: a vote of a later instance silences those before") {
  Fixture f;
  RingDocument next = Next(f.document, 1);
  f.register_.SetDocument(next);
  CHECK(f.register_.On(Id(1), wire::RingPrepare{next.epoch + 1, {1, Id(1)}}, 0).ok());
  Fixture lost;  // comes back with its votes, but without the document before
  REQUIRE(lost.register_.Restore(f.kept).ok());
  CHECK(lost.register_.On(Id(1), wire::RingPrepare{next.epoch, {1, Id(1)}}, 0).ok());
  CHECK(lost.sent.empty());
  lost.Propose(Next(lost.document, 2));
  lost.register_.Tick(1);
  REQUIRE(lost.ends.size() == 1);
  CHECK(lost.ends[0].outcome == RingOutcome::kRefused);
  lost.register_.SetDocument(next);
  CHECK(lost.register_.On(Id(2), wire::RingPrepare{next.epoch + 1, {1, Id(2)}}, 0).ok());
  CHECK(lost.Last<wire::RingPromise>().granted);  // 1 of node 2 is above 1 of node 1
}

TEST_CASE("ring register: what cannot come from a member that works is refused") {
  Fixture f;
  uint64_t epoch = f.document.epoch + 1;
  auto refused = [&](const auto& message) {
    return f.register_.On(Id(1), message, 0).code() == StatusCode::kCorruption;
  };
  std::string good = EncodeRingDocument(Next(f.document, 3));
  CHECK(refused(wire::RingPrepare{epoch, {1, Id(2)}}));
  CHECK(refused(wire::RingPrepare{epoch, {0, Id(1)}}));
  CHECK(refused(wire::RingAccept{epoch, {1, Id(2)}, good}));
  CHECK(refused(wire::RingAccept{epoch, {0, Id(1)}, good}));
  CHECK(refused(wire::RingAccept{epoch, {1, Id(1)}, good.substr(1)}));
  CHECK(refused(wire::RingAccept{epoch, {1, Id(1)}, EncodeRingDocument(f.document)}));
  RingDocument two = Next(f.document, 3);
  two.members[1].state = two.members[2].state = MemberState::kRemoved;
  CHECK(refused(wire::RingAccept{epoch, {1, Id(1)}, EncodeRingDocument(two)}));
  CHECK(f.kept.empty());
  CHECK_FALSE(refused(wire::RingAccept{epoch, {1, Id(1)}, good}));
  CHECK(refused(wire::RingAccept{epoch, {1, Id(1)}, EncodeRingDocument(Next(f.document, 4))}));

  f.Propose(Next(f.document, 9));
  wire::Ballot ballot{f.register_.rounds() + 1, Id(0)};  // above what it promised node 1
  REQUIRE(f.Last<wire::RingPrepare>().ballot == ballot);
  CHECK(refused(wire::RingPromise{epoch, ballot, true, ballot, {2, Id(2)}, "no document"}));
}

TEST_CASE("ring register: damaged votes are refused, with cause and remedy") {
  Fixture f;
  uint64_t epoch = f.document.epoch + 1;
  std::string document = EncodeRingDocument(Next(f.document, 3));
  REQUIRE(f.register_.On(Id(1), wire::RingAccept{epoch, {1, Id(1)}, document}, 0).ok());
  auto restored = [&](const std::string& bytes) {
    return RingRegister(Id(0), f, f.random).Restore(bytes);
  };
  CHECK(restored(f.kept).ok());
  for (size_t size = 0; size < f.kept.size(); size++)
    CHECK_FALSE(restored(f.kept.substr(0, size)).ok());
  Random random(1);
  for (int i = 0; i < 500; i++) {
    std::string changed = f.kept;
    changed[random.Below(changed.size())] ^= char(1 + random.Below(255));
    CHECK_FALSE(restored(changed).ok());
    // The same with a checksum that fits: refused, or a state that may be.
    changed.resize(changed.size() - 4);
    PutFixed32(&changed, Crc32c(changed));
    (void)restored(changed).ok();
  }
  CHECK(Contains(restored("").message(), "RING.REPLACE"));
  std::string newer = f.kept.substr(0, f.kept.size() - 4);
  newer[4] = 2;
  PutFixed32(&newer, Crc32c(newer));
  CHECK(restored(newer).code() == StatusCode::kUnsupported);
}
