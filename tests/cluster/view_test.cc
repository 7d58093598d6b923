// SPDX-License-Identifier: Apache-2.0
// Views: steps of a change, and that every read meets every write between neighbouring phases. All
// quorums are tried, for every n, r, w with r + w > n and every kind of change.
#include "cluster/view.h"

#include <doctest/doctest.h>

#include <vector>

using namespace redynamo;

namespace {

constexpr int kPhases = 4;

// The four views of one change.
std::vector<View> PhasesOf(View view, MemberIndex pending, MemberIndex leaver) {
  std::vector<View> out{view, *BeginChange(view, pending, leaver)};
  while (out.size() < kPhases) out.push_back(*NextPhase(out.back()));
  return out;
}

View OfSize(int homes) {
  View view;
  view.epoch = 7;
  for (int i = 0; i < homes; i++) view.homes.Add(MemberIndex(i));
  return view;
}

std::vector<MemberIndex> Members(unsigned bits) {
  std::vector<MemberIndex> out;
  for (MemberIndex m = 0; m < 16; m++) {
    if (bits >> m & 1) out.push_back(m);
  }
  return out;
}

// Whether each set of acks that completes a write meets each set of answers that completes a read.
bool Overlap(const View& write_view, const View& read_view, int members, int r, int w) {
  WriteQuorum write = WriteQuorumOf(write_view, w);
  Quorum read = ReadQuorumOf(read_view, r);
  for (unsigned acks = 0; acks < 1u << members; acks++) {
    if (!write.Met(Members(acks))) continue;
    for (unsigned answers = 0; answers < 1u << members; answers++) {
      if (!read.Met(Members(answers))) continue;
      bool meet = false;  // in a home that counts for the read
      for (MemberIndex m : Members(acks & answers)) meet = meet || read.members.Contains(m);
      if (!meet) return false;
    }
  }
  return true;
}

bool IsReadQuorum(const Quorum& quorum, unsigned answers) { return quorum.Met(Members(answers)); }

}  // namespace

TEST_CASE("view: reads meet writes in neighbouring phases of every change, whatever n, r and w") {
  int checked = 0;
  auto check = [&](const std::vector<View>& phases, int r, int w) {
    CAPTURE(r);
    CAPTURE(w);
    for (int a = 0; a < kPhases; a++) {
      for (int b = std::max(0, a - 1); b <= std::min(kPhases - 1, a + 1); b++) {
        CAPTURE(a);
        CAPTURE(b);
        int members = int(phases[0].homes.size()) + 1;
        CHECK(Overlap(phases[size_t(a)], phases[size_t(b)], members, r, w));
        CHECK(Adjacent(phases[size_t(a)], phases[size_t(b)]));
        checked++;
      }
    }
  };
  for (int n = 1; n <= 5; n++) {
    for (int r = 1; r <= n; r++) {
      for (int w = n + 1 - r; w <= n; w++) {
        for (int homes = 1; homes <= n; homes++) {  // a ring of fewer nodes than n has fewer
          CAPTURE(n);
          CAPTURE(homes);
          MemberIndex fresh = MemberIndex(homes), last = MemberIndex(homes - 1);
          check(PhasesOf(OfSize(homes), fresh, last), r, w);
          if (homes < n) check(PhasesOf(OfSize(homes), fresh, kNoMember), r, w);
          if (homes > 1) check(PhasesOf(OfSize(homes), kNoMember, 0), r, w);
        }
      }
    }
  }
  CHECK(checked > 2000);
}

TEST_CASE("view: phases 0 and 2, and 1 and 3, do not meet, and are not neighbours") {
  std::vector<View> phases = PhasesOf(OfSize(3), 3, 2);
  CHECK_FALSE(Overlap(phases[0], phases[2], 4, 2, 2));
  CHECK_FALSE(Overlap(phases[3], phases[1], 4, 2, 2));
  CHECK_FALSE(Overlap(phases[0], phases[3], 4, 2, 2));
  CHECK_FALSE(Adjacent(phases[0], phases[2]));
  CHECK_FALSE(Adjacent(phases[3], phases[1]));
  CHECK(Adjacent(phases[3], *NextPhase(phases[3])));
  View first, last;
  first.epoch = 0, last.epoch = UINT64_MAX;
  CHECK(Adjacent(first, first));
  CHECK_FALSE(Adjacent(View{5, {}, {}}, View{3, {}, {}}));
}

TEST_CASE("view: weaker quorums would not do during a change") {
  // W acks of any of the four, without looking at the two lists: {O, X} misses a read from {A, B}.
  View both = PhasesOf(OfSize(3), 3, 2)[1];
  CHECK_FALSE(WriteQuorumOf(both, 2).Met(std::vector<MemberIndex>{2, 3}));
  CHECK(IsReadQuorum(ReadQuorumOf(both, 2), 0b0011));
  // W of those that stay are enough, and so are any W + 1.
  CHECK(WriteQuorumOf(both, 2).Met(std::vector<MemberIndex>{0, 1}));
  for (unsigned acks = 0; acks < 16; acks++) {
    if (__builtin_popcount(acks) == 3) CHECK(WriteQuorumOf(both, 2).Met(Members(acks)));
  }
  CHECK_FALSE(WriteQuorumOf(both, 2).Met(std::vector<MemberIndex>{0, 0, 0}));
}

TEST_CASE("view: a change goes through its phases and may be taken back before reads are new") {
  View old = OfSize(3);
  std::vector<View> phases = PhasesOf(old, 9, 1);
  CHECK(phases[1].phase == ViewPhase::kWriteBothReadOld);
  CHECK(phases[1].homes == HomeList{0, 1, 2});
  CHECK(phases[1].NewHomes() == HomeList{0, 9, 2});
  CHECK(WriteQuorumOf(phases[1], 2).targets == HomeList{0, 1, 2, 9});
  CHECK(ReadQuorumOf(phases[1], 2).members == HomeList{0, 1, 2});
  CHECK(ReadQuorumOf(phases[2], 2).members == HomeList{0, 9, 2});
  CHECK(phases[3].homes == HomeList{0, 9, 2});
  CHECK(phases[3].leaver == 1);
  CHECK(WriteQuorumOf(phases[3], 2).targets == HomeList{0, 9, 2});
  View settled = *NextPhase(phases[3]);
  CHECK(settled == View{11, ViewPhase::kOld, {0, 9, 2}});
  for (const View& view : phases) CHECK(ViewIsConsistent(view));

  CHECK(*PreviousPhase(phases[1]) == View{9, ViewPhase::kOld, {0, 1, 2}});
  CHECK(PreviousPhase(phases[2])->phase == ViewPhase::kWriteBothReadOld);
  CHECK_FALSE(PreviousPhase(phases[3]));
  CHECK_FALSE(PreviousPhase(phases[0]));
  CHECK_FALSE(NextPhase(phases[0]));
}

TEST_CASE("view: changes that make no sense do not begin") {
  View view = OfSize(3);
  CHECK_FALSE(BeginChange(view, kNoMember, kNoMember));
  CHECK_FALSE(BeginChange(view, 1, kNoMember));  // is there
  CHECK_FALSE(BeginChange(view, 5, 6));          // 6 is not
  CHECK_FALSE(BeginChange(OfSize(1), kNoMember, 0));
  CHECK_FALSE(BeginChange(*BeginChange(view, 5, 1), 6, 2));  // one at a time
  CHECK_FALSE(BeginChange(OfSize(kReplicasMax), 20, kNoMember));
  CHECK(BeginChange(OfSize(kReplicasMax), 20, 0));
  CHECK_FALSE(Reorder(view, {0, 1}));
  CHECK_FALSE(Reorder(view, {0, 1, 3}));
  CHECK_FALSE(Reorder(*BeginChange(view, 5, 1), {2, 1, 0}));
  CHECK(Reorder(view, {2, 0, 1})->homes == HomeList{2, 0, 1});
  CHECK(Reorder(view, {2, 0, 1})->epoch == 8);
}
