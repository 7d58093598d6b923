// SPDX-License-Identifier: Apache-2.0
#include "cluster/view.h"

#include "base/check.h"

namespace redynamo {

void HomeList::Add(MemberIndex m) {
  CHECK_THAT(size_ < kCapacity);
  members_[size_++] = m;
}

void HomeList::Remove(MemberIndex m) {
  MemberIndex* last = std::remove(members_.data(), members_.data() + size_, m);
  size_ = uint8_t(last - members_.data());
  std::fill(last, members_.data() + kCapacity, MemberIndex{0});
}

void HomeList::Replace(MemberIndex out, MemberIndex in) {
  std::replace(members_.data(), members_.data() + size_, out, in);
}

bool HomeList::SameMembers(const HomeList& other) const {
  return size_ == other.size_ && Minus(other).empty();
}

HomeList HomeList::Minus(const HomeList& other) const {
  HomeList out;
  for (MemberIndex m : *this) {
    if (!other.Contains(m)) out.Add(m);
  }
  return out;
}

HomeList View::NewHomes() const {
  HomeList out = homes;
  if (phase != ViewPhase::kWriteBothReadOld && phase != ViewPhase::kWriteBothReadNew) return out;
  if (leaver == kNoMember) {
    out.Add(pending);
  } else if (pending == kNoMember) {
    out.Remove(leaver);
  } else {
    out.Replace(leaver, pending);
  }
  return out;
}

bool ViewIsConsistent(const View& view) {
  const HomeList& homes = view.homes;
  if (homes.empty() || homes.size() > size_t(kReplicasMax)) return false;
  for (size_t i = 0; i < homes.size(); i++) {
    if (homes[i] == kNoMember || std::count(homes.begin(), homes.end(), homes[i]) > 1) return false;
  }
  bool pending = view.pending != kNoMember, leaver = view.leaver != kNoMember;
  switch (view.phase) {
    case ViewPhase::kOld: return !pending && !leaver;
    case ViewPhase::kWriteBothReadOld:
    case ViewPhase::kWriteBothReadNew:
      if (!pending && !leaver) return false;
      if (pending && homes.Contains(view.pending)) return false;
      if (leaver && !homes.Contains(view.leaver)) return false;
      return homes.size() + pending - leaver >= 1 &&
             homes.size() + pending - leaver <= size_t(kReplicasMax);
    case ViewPhase::kNew: return !pending && !(leaver && homes.Contains(view.leaver));
  }
  return false;
}

std::optional<View> BeginChange(const View& view, MemberIndex pending, MemberIndex leaver) {
  if (!view.settled()) return std::nullopt;
  View next = view;
  next.epoch++;
  next.phase = ViewPhase::kWriteBothReadOld;
  next.pending = pending;
  next.leaver = leaver;
  if (!ViewIsConsistent(next)) return std::nullopt;
  return next;
}

std::optional<View> NextPhase(const View& view) {
  View next = view;
  next.epoch++;
  switch (view.phase) {
    case ViewPhase::kOld: return std::nullopt;
    case ViewPhase::kWriteBothReadOld: next.phase = ViewPhase::kWriteBothReadNew; break;
    case ViewPhase::kWriteBothReadNew:
      next.phase = ViewPhase::kNew;
      next.homes = view.NewHomes();
      next.pending = kNoMember;
      break;
    case ViewPhase::kNew:
      next.phase = ViewPhase::kOld;
      next.leaver = kNoMember;
      break;
  }
  return next;
}

std::optional<View> PreviousPhase(const View& view) {
  View next = view;
  next.epoch++;
  switch (view.phase) {
    case ViewPhase::kOld:
    case ViewPhase::kNew: return std::nullopt;
    case ViewPhase::kWriteBothReadOld:
      next.phase = ViewPhase::kOld;
      next.pending = next.leaver = kNoMember;
      break;
    case ViewPhase::kWriteBothReadNew: next.phase = ViewPhase::kWriteBothReadOld; break;
  }
  return next;
}

std::optional<View> Reorder(const View& view, const HomeList& order) {
  if (!view.settled() || !order.SameMembers(view.homes)) return std::nullopt;
  View next = view;
  next.epoch++;
  next.homes = order;
  if (!ViewIsConsistent(next)) return std::nullopt;
  return next;
}

bool Quorum::Met(std::span<const MemberIndex> acked) const {
  int count = 0;
  for (MemberIndex m : members) count += std::ranges::find(acked, m) != acked.end();
  return count >= needed;
}

namespace {

Quorum Of(const HomeList& members, int configured) {
  return {members, std::min(configured, int(members.size()))};
}

}  // namespace

WriteQuorum WriteQuorumOf(const View& view, int w) {
  bool both =
      view.phase == ViewPhase::kWriteBothReadOld || view.phase == ViewPhase::kWriteBothReadNew;
  if (!both) return {view.homes, Of(view.homes, w), Of(view.homes, w)};
  WriteQuorum out{view.homes, Of(view.homes, w), Of(view.NewHomes(), w)};
  if (view.pending != kNoMember) out.targets.Add(view.pending);
  return out;
}

Quorum ReadQuorumOf(const View& view, int r) {
  return Of(view.phase == ViewPhase::kWriteBothReadNew ? view.NewHomes() : view.homes, r);
}

}  // namespace redynamo
