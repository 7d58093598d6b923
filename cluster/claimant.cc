// SPDX-License-Identifier: Apache-2.0
#include "cluster/claimant.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/check.h"

namespace redynamo {
namespace {

constexpr size_t kNamedPartitionsMax = 4;  // in a waiting line

bool CanForm(const Quorum& quorum, const std::vector<bool>& arrived) {
  int rest = int(std::ranges::count_if(quorum.members, [&](MemberIndex m) { return !arrived[m]; }));
  return rest >= quorum.needed;
}

// Whether members that have not arrived could still read or write by `view`.
bool QuorumLeft(const View& view, const ClaimantOptions& options,
                const std::vector<bool>& arrived) {
  WriteQuorum write = WriteQuorumOf(view, options.w);
  return CanForm(ReadQuorumOf(view, options.r), arrived) ||
         (CanForm(write.of_old, arrived) && CanForm(write.of_new, arrived));
}

}  // namespace

HomeList PullersOf(const View& view) {
  if (view.pending == kNoMember) return view.NewHomes();
  return {view.pending};
}

int PullSourcesNeeded(const View& view, int w) {
  int homes = int(view.homes.size());
  return homes - std::min(w, homes) + 1;
}

HomeList HeirsOf(const RingDocument& document, const View& view) {
  HomeList out;
  for (MemberIndex m : view.homes) {
    if (document.members[m].takes_replicas()) out.Add(m);
  }
  return out.empty() ? view.homes : out;
}

MemberIndex ClaimantOf(const RingDocument& document, const std::vector<MemberReport>& reports) {
  CHECK_THAT(reports.size() == document.members.size());
  MemberIndex second = kNoMember;
  for (size_t m = 0; m < reports.size(); m++) {
    const Member& member = document.members[m];
    if (!member.in_ring() || reports[m].unreachable_ms > 0) continue;
    if (member.state == MemberState::kMember) return MemberIndex(m);
    if (second == kNoMember) second = MemberIndex(m);
  }
  return second;
}

void Claimant::SetDocument(const RingDocument& document) {
  if (document_ && document.epoch <= document_->epoch) return;
  KeepPlaces(document);
  seen_.resize(document.views.size());
  for (size_t p = 0; p < document.views.size(); p++) {
    const View& view = document.views[p];
    const View* old = document_ ? &document_->views[p] : nullptr;
    if (old && old->epoch == view.epoch) continue;
    seen_[p] = {document.epoch, Before::kUnknown};
    if (old && old->epoch + 1 == view.epoch) {
      bool back = old->phase == ViewPhase::kWriteBothReadNew;
      seen_[p].before = back ? Before::kBack : Before::kForward;
    }
    auto through = through_.find(uint32_t(p));
    if (through == through_.end()) continue;
    std::erase_if(through->second, [&](const auto& said) { return said.second < view.epoch; });
    if (through->second.empty()) through_.erase(through);
  }
  if (to_do_) KeepWhatIsToDo(document);
  document_ = document;
}

void Claimant::KeepPlaces(const RingDocument& next) {
  std::vector<uint64_t> arrived(next.members.size()), guests(next.members.size());
  std::map<MemberIndex, MemberIndex> places;
  for (size_t m = 0; document_ && m < document_->members.size(); m++) {
    std::optional<MemberIndex> place = next.Find(document_->members[m].id);
    if (!place) continue;
    places[MemberIndex(m)] = *place;
    arrived[*place] = arrived_[m];
    guests[*place] = guests_[m];
  }
  bool all_stay = places.size() == arrived_.size();
  arrived_ = std::move(arrived);
  guests_ = std::move(guests);
  if (all_stay) return;
  for (auto& [partition, said] : through_) {
    std::map<MemberIndex, uint64_t> kept;
    for (const auto& [m, view_epoch] : said) {
      if (places.contains(m)) kept[places[m]] = view_epoch;
    }
    said = std::move(kept);
  }
}

void Claimant::KeepWhatIsToDo(const RingDocument& next) {
  std::erase_if(*to_do_, [&](const ToDo& one) {
    return next.views[one.change.partition].epoch != one.view_epoch;
  });
  bool done = std::ranges::none_of(*to_do_, &ToDo::moves) &&
              std::ranges::all_of(next.views, &View::settled);
  // Partitions that need a second change, or went back, are found when the rest is done.
  if (done || made_ != next || next.members != document_->members) to_do_.reset();
}

void Claimant::OnProgress(const Id128& from, const wire::ViewProgress& message) {
  std::optional<MemberIndex> m =
      document_ ? document_->Find(NodeId{from}) : std::optional<MemberIndex>();
  if (!m) return;
  arrived_[*m] = std::max(arrived_[*m], message.ring_epoch);
  guests_[*m] = message.guests;
  for (const wire::ViewProgress::Entry& entry : message.entries) {
    if (entry.partition >= document_->views.size() ||
        entry.view_epoch < document_->views[entry.partition].epoch) {
      continue;
    }
    uint64_t& epoch = through_[entry.partition][*m];
    epoch = std::max(epoch, entry.view_epoch);
  }
}

// One call of Next.
class Claimant::Turn {
 public:
  Turn(Claimant& claimant, const std::vector<MemberReport>& reports, ClaimantStep* step)
      : claimant_(claimant),
        options_(claimant.options_),
        document_(*claimant.document_),
        reports_(reports),
        step_(*step),
        moving_to_(document_.members.size()) {}

  void Run() {
    for (const View& view : document_.views) {
      step_.phases[size_t(view.phase)]++;
      step_.begun += !view.settled();
      if (view.pending != kNoMember) moving_to_[view.pending]++;
    }
    if (!claimant_.to_do_) FindWhatIsToDo();
    if (AtRest()) return;
    next_ = document_;
    for (uint32_t p = 0; p < document_.views.size(); p++) {
      if (!document_.views[p].settled()) MoveOn(p);
    }
    Begin();
    bool complete = step_.begun == 0 && claimant_.to_do_->empty();
    bool members_changed = FinishMembers(&next_, complete, HeldBack());
    if (!done_.empty() || members_changed) {
      next_.epoch++;
      step_.next = std::move(next_);
    }
    Describe(members_changed);
  }

 private:
  // The order of lines.
  enum class Cause { kArrive, kSource, kPull, kHandOver, kReach, kGuests };
  struct Waits {
    std::set<uint32_t> partitions;
    uint64_t epoch = 0;  // of the document that has to arrive
  };

  bool AtRest() const {
    return step_.begun == 0 && claimant_.to_do_->empty() &&
           std::ranges::all_of(document_.members, [](const Member& member) {
             return member.state == MemberState::kMember || member.state == MemberState::kRemoved;
           });
  }
  void FindWhatIsToDo() {
    claimant_.to_do_.emplace();
    for (const PartitionChange& change : NextChanges(document_)) {
      claimant_.to_do_->push_back({change, document_.views[change.partition].epoch});
    }
    claimant_.claims_++;
  }

  bool TakesReplicas(MemberIndex m) const { return document_.members[m].takes_replicas(); }
  bool Reachable(MemberIndex m) const { return reports_[m].unreachable_ms == 0; }
  bool GivenUp(MemberIndex leaver) const {
    return reports_[leaver].unreachable_ms > options_.leaver_patience_ms;
  }
  bool IsThrough(uint32_t partition, MemberIndex m) const {
    auto said = claimant_.through_.find(partition);
    if (said == claimant_.through_.end()) return false;
    auto epoch = said->second.find(m);
    return epoch != said->second.end() && epoch->second == document_.views[partition].epoch;
  }

  // The views that may have been before this one, as far as their quorums differ. Behind phase 3
  // and 0 there may have been several, whose newcomer or leaver is not known any more; but all of
  // them read from, and write to, quorums of these homes as phase 0 does.
  std::vector<View> ViewsBefore(uint32_t partition) const {
    View before = document_.views[partition];
    Before known = claimant_.seen_[partition].before;
    std::vector<View> out;
    auto add = [&](ViewPhase phase) {
      before.phase = phase;
      out.push_back(before);
    };
    switch (before.phase) {
      case ViewPhase::kWriteBothReadOld:
        if (known != Before::kBack) add(ViewPhase::kOld);
        if (known != Before::kForward) add(ViewPhase::kWriteBothReadNew);
        break;
      case ViewPhase::kWriteBothReadNew: add(ViewPhase::kWriteBothReadOld); break;
      case ViewPhase::kOld:
      case ViewPhase::kNew: add(ViewPhase::kOld); break;
    }
    return out;
  }

  bool MayLeave(uint32_t partition) {
    uint64_t since = claimant_.seen_[partition].since;
    std::vector<bool> arrived(document_.members.size());
    for (size_t m = 0; m < arrived.size(); m++) arrived[m] = claimant_.arrived_[m] >= since;
    bool may = true;
    for (const View& before : ViewsBefore(partition)) {
      if (!QuorumLeft(before, options_, arrived)) continue;
      may = false;
      for (MemberIndex m : WriteQuorumOf(before, options_.w).targets) {
        if (!arrived[m]) WaitFor(Cause::kArrive, m, partition).epoch = since;
      }
    }
    return may;
  }

  void MoveOn(uint32_t partition) {
    const View& view = document_.views[partition];
    if (!MayLeave(partition)) return;
    if (view.pending != kNoMember && !TakesReplicas(view.pending)) {
      return Take(partition, PreviousPhase(view), "go back");
    }
    if (view.phase == ViewPhase::kWriteBothReadOld && !HasPulled(partition)) return;
    if (view.phase == ViewPhase::kNew && !HasHandedOver(partition)) return;
    if (view.phase == ViewPhase::kWriteBothReadNew && view.pending != kNoMember) {
      moving_to_[view.pending]--;  // it has all, and may be given the next
    }
    static constexpr std::array<std::string_view, 4> kTo = {"", "to phase 2", "to phase 3",
                                                            "settle"};
    Take(partition, NextPhase(view), kTo[size_t(view.phase)]);
  }

  bool HasPulled(uint32_t partition) {
    const View& view = document_.views[partition];
    bool all = true;
    // One that is leaving may be dead, and is not to hold up its own replacement. Among R that stay
    // there must still be one that has pulled.
    int excused_max =
        view.pending == kNoMember ? std::min(options_.r, int(view.NewHomes().size())) - 1 : 0;
    for (MemberIndex puller : PullersOf(view)) {
      if (IsThrough(partition, puller)) continue;
      if (!TakesReplicas(puller) && excused_max-- > 0) continue;
      all = false;
      WaitFor(Cause::kPull, puller, partition);
      int there = int(std::ranges::count_if(
          view.homes, [&](MemberIndex m) { return m == puller || Reachable(m); }));
      if (there >= PullSourcesNeeded(view, options_.w)) continue;
      for (MemberIndex m : view.homes) {
        if (m != puller && !Reachable(m)) WaitFor(Cause::kSource, m, partition);
      }
    }
    return all;
  }

  bool HasHandedOver(uint32_t partition) {
    MemberIndex leaver = document_.views[partition].leaver;
    if (leaver == kNoMember || IsThrough(partition, leaver) || GivenUp(leaver)) return true;
    WaitFor(Cause::kHandOver, leaver, partition);
    return false;
  }

  void Begin() {
    int under_way = step_.begun;
    bool ranks_only = step_.begun == 0;
    for (const ToDo& one : *claimant_.to_do_) {
      if (!one.moves()) continue;
      const PartitionChange& change = one.change;
      ranks_only = false;
      step_.remaining++;
      if (under_way >= options_.moves_at_once || !MayMoveTo(change.add, change.partition)) continue;
      if (!MayLeave(change.partition)) continue;
      std::optional<View> begun =
          BeginChange(document_.views[change.partition], change.add, change.remove);
      if (!begun) continue;
      Take(change.partition, begun, "begin to move");
      step_.remaining--;
      under_way++;
      if (change.add != kNoMember) moving_to_[change.add]++;
    }
    // Ranks come last: until all homes have come, the claim may still think otherwise of them.
    if (!ranks_only) return;
    for (const ToDo& one : *claimant_.to_do_) {
      const PartitionChange& change = one.change;
      if (!MayLeave(change.partition)) continue;
      Take(change.partition, Reorder(document_.views[change.partition], change.after),
           "change ranks");
    }
  }

  bool MayMoveTo(MemberIndex receiver, uint32_t partition) {
    if (receiver == kNoMember) return true;
    if (!Reachable(receiver)) {
      WaitFor(Cause::kReach, receiver, partition);
      return false;
    }
    return moving_to_[receiver] < options_.moves_at_once_per_receiver;
  }

  // Leaving members that keep replicas for others. Once they leave they are given no more of them.
  std::set<MemberIndex> HeldBack() {
    std::set<MemberIndex> out;
    for (size_t i = 0; i < document_.members.size(); i++) {
      MemberIndex m = MemberIndex(i);
      if (document_.members[i].state != MemberState::kLeaving) continue;
      if (claimant_.guests_[i] == 0 || GivenUp(m)) continue;
      WaitFor(Cause::kGuests, m, 0);  // of no partition in particular
      out.insert(m);
    }
    return out;
  }

  void Take(uint32_t partition, const std::optional<View>& view, std::string_view what) {
    if (!view) return;
    next_.views[partition] = *view;
    done_[std::string(what)]++;
  }

  Waits& WaitFor(Cause cause, MemberIndex member, uint32_t partition) {
    Waits& waits = waits_[{cause, member}];
    waits.partitions.insert(partition);
    return waits;
  }

  void Describe(bool members_changed) {
    for (const auto& [what, partitions] : done_) {
      step_.what += fmt::format("{}{} {}", step_.what.empty() ? "" : ", ", partitions, what);
    }
    if (members_changed) step_.what += step_.what.empty() ? "members" : ", members";
    for (const auto& [of, waits] : waits_) {
      step_.waiting.push_back(fmt::format("waits for {} {}{}", NameOf(document_.members[of.second]),
                                          Text(of.first, waits), Absence(of.first, of.second)));
    }
  }

  std::string Text(Cause cause, const Waits& waits) const {
    std::string names;
    size_t named = 0;
    for (uint32_t p : waits.partitions) {
      if (named++ == kNamedPartitionsMax) break;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", p);
    }
    std::string what = waits.partitions.size() == 1 ? "partition " + names : "partitions " + names;
    if (waits.partitions.size() > kNamedPartitionsMax) {
      what += fmt::format(" and {} more", waits.partitions.size() - kNamedPartitionsMax);
    }
    switch (cause) {
      case Cause::kArrive: return fmt::format("to have document {}: {}", waits.epoch, what);
      case Cause::kSource:
        return fmt::format(
            "to be pulled from: {} (too few of the old homes are there, with W = {})", what,
            options_.w);
      case Cause::kPull: return "to pull " + what;
      case Cause::kHandOver: return "to hand over, before it leaves, " + what;
      case Cause::kReach: return "to be there before it is given " + what;
      case Cause::kGuests: return "to hand over what it keeps for others, before it leaves";
    }
    return what;
  }

  std::string Absence(Cause cause, MemberIndex m) const {
    if (Reachable(m)) return "";
    std::string out = fmt::format("; it has been out of reach for {} s", AbsentSeconds(m));
    if (cause == Cause::kHandOver || cause == Cause::kGuests) {
      return out +
             fmt::format(", after {} s it is not waited for", options_.leaver_patience_ms / 1000);
    }
    if (document_.members[m].state == MemberState::kLeaving) return out;
    return out + "; if it is gone for good: RING.LEAVE or RING.REPLACE";
  }
  int64_t AbsentSeconds(MemberIndex m) const { return reports_[m].unreachable_ms / 1000; }

  Claimant& claimant_;
  const ClaimantOptions& options_;
  const RingDocument& document_;
  const std::vector<MemberReport>& reports_;
  RingDocument next_;
  ClaimantStep& step_;
  std::vector<int> moving_to_;       // by member: partitions on their way to it
  std::map<std::string, int> done_;  // partitions, by what happens to them
  std::map<std::pair<Cause, MemberIndex>, Waits> waits_;
};

ClaimantStep Claimant::Next(const std::vector<MemberReport>& reports) {
  CHECK_THAT(document_ && reports.size() == document_->members.size());
  for (size_t m = 0; m < reports.size(); m++) {
    arrived_[m] = std::max(arrived_[m], reports[m].ring_epoch);
  }
  ClaimantStep step;
  Turn(*this, reports, &step).Run();
  made_ = step.next;
  return step;
}

}  // namespace redynamo
