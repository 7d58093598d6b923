// SPDX-License-Identifier: Apache-2.0
// The view of a partition: who its homes are, and how far a change of one of them has come
// (REPLICATION.md section 6, after Scylla's topology phases). Pure values and functions.
//
// A change brings one new home X in (pending), lets one old home O go (leaver), or both. X, say,
// takes the place of O in (A, B, O):
//
//   phase                    homes    pending leaver   writes go to   enough acks       reads from
//   0 old                    A B O                     A B O          W of A B O        A B O
//   1 write both, read old   A B O    X       O        A B O X        W of A B O, and   A B O
//   2 write both, read new   A B O    X       O        A B O X        W of A B X        A B X
//   3 new                    A B X            O        A B X          W of A B X        A B X
//   0 old, the next epoch    A B X
//
// In phase 1 X fetches what the others hold; in 3 O keeps its data, read-only, until every new home
// has it. Two participants may be one step apart, and then still every read meets every write,
// since R + W > N: in phases 1 and 2 the acknowledgements hold a write quorum of either list.
// Phases 0 and 2 do not meet, nor do 1 and 3; so requests from further away are refused, and the
// claimant takes a step only when all have taken the one before. (Any W + 1 of the N + 1 are
// enough acks; so are W of those that stay.)
//
// `epoch` grows by one with every change of the view, phases included: views of a partition are
// ordered by it, and two of them are neighbours when it differs by at most one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

namespace redynamo {

// Which member: its place in RingDocument::members, which never changes while it is in there.
using MemberIndex = uint16_t;
inline constexpr MemberIndex kNoMember = 0xffff;

inline constexpr int kReplicasMax = 8;  // of a partition: the largest ring-n

// Up to kReplicasMax homes and one pending, in the order of their ranks; a value, no allocation.
class HomeList {
 public:
  static constexpr size_t kCapacity = kReplicasMax + 1;

  HomeList() = default;
  HomeList(std::initializer_list<MemberIndex> members) {
    for (MemberIndex m : members) Add(m);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const MemberIndex* begin() const { return members_.data(); }
  const MemberIndex* end() const { return members_.data() + size_; }
  MemberIndex operator[](size_t rank) const { return members_[rank]; }
  bool Contains(MemberIndex m) const { return std::find(begin(), end(), m) != end(); }

  // REQUIRES: size() < kCapacity, m is not in it.
  void Add(MemberIndex m);
  void Remove(MemberIndex m);                     // the ranks behind move up
  void Replace(MemberIndex out, MemberIndex in);  // in takes the rank of out
  void Swap(size_t rank, size_t other) { std::swap(members_[rank], members_[other]); }
  bool SameMembers(const HomeList& other) const;  // in any order
  // The members of this list that `other` does not have, in order.
  HomeList Minus(const HomeList& other) const;

  bool operator==(const HomeList& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }

 private:
  std::array<MemberIndex, kCapacity> members_{};
  uint8_t size_ = 0;
};

// The numbers are on disk and wire.
enum class ViewPhase : uint8_t {
  kOld = 0,
  kWriteBothReadOld = 1,
  kWriteBothReadNew = 2,
  kNew = 3,
};

struct View {
  uint64_t epoch = 0;
  ViewPhase phase = ViewPhase::kOld;
  HomeList homes;                   // rank 0 first; the old list in phases 0 to 2
  MemberIndex pending = kNoMember;  // only in phases 1 and 2
  MemberIndex leaver = kNoMember;   // only in phases 1 to 3

  bool settled() const { return phase == ViewPhase::kOld; }
  bool operator==(const View&) const = default;

  HomeList NewHomes() const;  // the homes once the change under way, if any, is through
};

// Whether the parts of a view fit together: no member twice, pending and leaver as above, at least
// one home before and after, at most kReplicasMax.
bool ViewIsConsistent(const View& view);

// Whether a request made under one view may be served under the other (invariant I10).
inline bool Adjacent(const View& a, const View& b) {
  return a.epoch - b.epoch + 1 <= 2;  // in either direction; wraps on purpose
}

// Steps. Each gives the next view, its epoch one higher, or nothing when the step is not possible.
// From phase 0 to 1. Either of the two may be kNoMember, and then N changes.
std::optional<View> BeginChange(const View& view, MemberIndex pending, MemberIndex leaver);
// From 1 to 2, 2 to 3, 3 to 0.
std::optional<View> NextPhase(const View& view);
// Back from 1 to 0, or 2 to 1, when the pending home has died.
std::optional<View> PreviousPhase(const View& view);
// The same homes with other ranks. Phase 0 only: moves no data.
std::optional<View> Reorder(const View& view, const HomeList& order);

// `needed` of `members` have to answer.
struct Quorum {
  HomeList members;
  int needed = 0;

  // Whether `acked` has that many of them. A fallback's ack counts as that of the home it stands
  // for; a member that is in `acked` twice counts once.
  bool Met(std::span<const MemberIndex> acked) const;
};

// A write goes to all of `targets` and is done when both quorums are met (they are the same outside
// of phases 1 and 2).
struct WriteQuorum {
  HomeList targets;
  Quorum of_old, of_new;

  bool Met(std::span<const MemberIndex> acked) const {
    return of_old.Met(acked) && of_new.Met(acked);
  }
};

// `w` and `r` as configured; a list of fewer homes needs all of them and no more.
WriteQuorum WriteQuorumOf(const View& view, int w);
// Whose answers count for R. Homes that recover do not, whatever the view says.
Quorum ReadQuorumOf(const View& view, int r);

}  // namespace redynamo
