// SPDX-License-Identifier: Apache-2.0
#include "cluster/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace redynamo {
namespace {

Status NotFound(const std::string& message) { return {StatusCode::kNotFound, message}; }

int HoldersOf(const RingDocument& document) {
  return int(std::ranges::count_if(document.members, &Member::takes_replicas));
}

Status Join(const Member& joining, RingDocument* document) {
  for (const Member& member : document->members) {
    if (member.takes_replicas() && member.ring_address == joining.ring_address &&
        member.id != joining.id) {
      return InvalidArgument(NameOf(member) + " has that ring address; if its data directory was " +
                             "lost, replace it");
    }
  }
  std::optional<MemberIndex> known = document->Find(joining.id);
  if (known && document->members[*known].in_ring()) {
    return InvalidArgument("node " + joining.id.digits() + " is in the ring already, as " +
                           document->members[*known].ring_address.ToString());
  }
  uint64_t incarnation = known ? document->members[*known].incarnation + 1 : 1;
  if (!known) document->members.emplace_back();
  Member& member = known ? document->members[*known] : document->members.back();
  member = joining;
  member.state = MemberState::kJoining;
  member.incarnation = incarnation;
  return Status::Ok();
}

Status Leave(const NodeId& leaving, RingDocument* document) {
  std::optional<MemberIndex> found = document->Find(leaving);
  if (!found || !document->members[*found].in_ring()) {
    return NotFound("node " + leaving.digits() + " is not in the ring");
  }
  Member& member = document->members[*found];
  if (member.state == MemberState::kLeaving) {
    return InvalidArgument(NameOf(member) + " is leaving already");
  }
  member.state = MemberState::kLeaving;
  return Status::Ok();
}

Status Forget(const NodeId& forgotten, RingDocument* document) {
  std::optional<MemberIndex> found = document->Find(forgotten);
  if (!found) return NotFound("node " + forgotten.digits() + " is not known to the ring");
  const Member& member = document->members[*found];
  if (member.in_ring()) {
    return InvalidArgument(NameOf(member) + " is in the ring: only a removed node can be " +
                           "forgotten, so take it out first (RING.LEAVE). One that was removed " +
                           "and had the same address is named by its 40 digits, see RING.NODES");
  }
  *document = WithoutMember(*document, *found);
  return Status::Ok();
}

std::string BytesText(uint64_t bytes) {
  if (bytes < 10ull << 10) return fmt::format("{} bytes", bytes);
  if (bytes < 10ull << 20) return fmt::format("{:.0f} KiB", double(bytes) / (1 << 10));
  if (bytes < 10ull << 30) return fmt::format("{:.0f} MiB", double(bytes) / (1 << 20));
  return fmt::format("{:.0f} GiB", double(bytes) / (1 << 30));
}

void CollectTransfers(const std::vector<uint64_t>& partition_bytes, RingPlan* plan) {
  std::map<std::pair<MemberIndex, MemberIndex>, PlannedTransfer> transfers;
  std::vector<bool> moved(plan->document.views.size());
  for (const ClaimStep& step : plan->claim.steps) {
    for (const PartitionChange& change : step) {
      if (change.add == kNoMember && change.remove == kNoMember) continue;
      PlannedTransfer& transfer = transfers[{change.remove, change.add}];
      transfer.from = change.remove;
      transfer.to = change.add;
      transfer.partitions++;
      moved[change.partition] = moved[change.partition] || change.add != kNoMember;
      if (change.add != kNoMember && change.partition < partition_bytes.size()) {
        transfer.bytes += partition_bytes[change.partition];
      }
    }
  }
  for (const auto& [ends, transfer] : transfers) {
    plan->transfers.push_back(transfer);
    plan->bytes += transfer.bytes;
  }
  plan->partitions_moved = int(std::ranges::count(moved, true));
}

std::string StateText(const Member& member) {
  switch (member.state) {
    case MemberState::kJoining: return ", joins";
    case MemberState::kLeaving: return ", leaves";
    default: return "";
  }
}

}  // namespace

Result<RingDocument> NewRing(const Id128& cluster_id, uint64_t seed, int partitions, int n,
                             std::vector<Member> members) {
  RingDocument document;
  document.cluster_id = cluster_id;
  document.seed = seed;
  document.epoch = 1;
  document.n = n;
  document.members = std::move(members);
  for (Member& member : document.members) member.state = MemberState::kMember;
  if (partitions < 1 || !ValidPartitionCount(uint64_t(partitions))) {
    return InvalidArgument(fmt::format("a ring has a power of two partitions, at most {}, not {}",
                                       kSlotCount, partitions));
  }
  document.views.resize(size_t(partitions));
  for (View& view : document.views) view.homes = {0};  // so that the rest can be validated
  Status status = ValidateRingDocument(document);
  if (!status.ok()) return status;
  for (View& view : document.views) view.homes = {};
  Claim claim = ClaimFor(document);
  for (size_t p = 0; p < document.views.size(); p++) document.views[p] = {1, {}, claim.homes[p]};
  return document;
}

Result<RingDocument> WithChange(const RingDocument& document, const RingChange& change) {
  RingDocument next = document;
  next.epoch++;
  Status status;
  bool leaves = change.kind == RingChangeKind::kLeave || change.kind == RingChangeKind::kReplace;
  bool joins = change.kind == RingChangeKind::kJoin || change.kind == RingChangeKind::kReplace;
  if (change.kind == RingChangeKind::kForget) status = Forget(change.leaving, &next);
  if (leaves) status = Leave(change.leaving, &next);
  if (status.ok() && joins) status = Join(change.joining, &next);
  if (status.ok() && HoldersOf(next) == 0) {
    return InvalidArgument("the last node that holds data cannot leave");
  }
  if (status.ok()) status = ValidateRingDocument(next);
  if (!status.ok()) return status;
  return next;
}

std::vector<PartitionChange> NextChanges(const RingDocument& document) {
  Claim claim = ClaimFor(document);
  std::vector<PartitionChange> out;
  std::vector<bool> begun(document.views.size());
  for (const ClaimStep& step : claim.steps) {
    for (const PartitionChange& change : step) {
      if (begun[change.partition]) continue;
      begun[change.partition] = true;
      if (document.views[change.partition].settled()) out.push_back(change);
    }
  }
  std::ranges::sort(out, {}, &PartitionChange::partition);
  return out;
}

bool FinishMembers(RingDocument* document, bool complete, const std::set<MemberIndex>& held_back) {
  bool changed = false, removed = false;
  std::vector<bool> named(document->members.size());
  for (const View& view : document->views) {
    for (MemberIndex m : view.homes) named[m] = true;
    if (view.pending != kNoMember) named[view.pending] = true;
    if (view.leaver != kNoMember) named[view.leaver] = true;
  }
  for (size_t m = 0; m < document->members.size(); m++) {
    Member& member = document->members[m];
    MemberState before = member.state;
    bool may_go = !named[m] && !removed && !held_back.contains(MemberIndex(m));
    if (before == MemberState::kLeaving && may_go) member.state = MemberState::kRemoved;
    if (before == MemberState::kJoining && complete) member.state = MemberState::kMember;
    removed = removed || (member.state == MemberState::kRemoved && member.state != before);
    changed = changed || member.state != before;
  }
  return changed;
}

bool FinishMembers(RingDocument* document) {
  bool settled = std::ranges::all_of(document->views, &View::settled);
  return FinishMembers(document, settled && NextChanges(*document).empty());
}

Result<RingPlan> PlanChange(const RingDocument& document, const RingChange& change,
                            const std::vector<uint64_t>& partition_bytes) {
  Result<RingDocument> next = WithChange(document, change);
  if (!next.ok()) return next.status();
  RingPlan plan;
  plan.document = std::move(*next);
  if (change.kind == RingChangeKind::kForget) {
    plan.forgotten = NameOf(document.members[*document.Find(change.leaving)]);
    return plan;
  }
  plan.claim = ClaimFor(plan.document);
  plan.under_way =
      int(std::ranges::count_if(document.views, [](const View& v) { return !v.settled(); }));
  CollectTransfers(partition_bytes, &plan);
  return plan;
}

std::vector<std::string> PlanLines(const RingPlan& plan) {
  const Claim& claim = plan.claim;
  const auto& members = plan.document.members;
  std::vector<std::string> out;
  if (!plan.forgotten.empty()) {
    out.push_back("node " + plan.forgotten + " was removed, holds nothing, and is forgotten: " +
                  "RING.NODES does not list it any more");
    out.push_back("should it come back with its old data, it is told to start with an empty " +
                  std::string("directory and ring-join, as a removed node is"));
    return out;
  }
  out.push_back(fmt::format("{} partitions, {} replicas each, on {} nodes",
                            plan.document.partitions(), claim.replicas, HoldersOf(plan.document)));
  out.push_back(
      fmt::format("{} of {} replicas move (at least {} must), in {} partitions and {} step{}{}",
                  claim.moves, plan.document.partitions() * claim.replicas, claim.moves_least,
                  plan.partitions_moved, claim.steps.size(), claim.steps.size() == 1 ? "" : "s",
                  plan.bytes > 0 ? ", " + BytesText(plan.bytes) : ""));
  if (plan.under_way > 0) {
    out.push_back(
        fmt::format("{} partitions are still changing; they are finished first", plan.under_way));
  }
  for (size_t m = 0; m < members.size(); m++) {
    if (!members[m].in_ring()) continue;
    const ClaimCounts& node = claim.nodes[m];
    out.push_back(fmt::format("node {}{}: {} replicas, then {}; first of {}, then {}",
                              NameOf(members[m]), StateText(members[m]), node.replicas_before,
                              node.replicas_after, node.firsts_before, node.firsts_after));
  }
  for (const PlannedTransfer& transfer : plan.transfers) {
    std::string from = transfer.from == kNoMember ? "" : NameOf(members[transfer.from]);
    std::string to = transfer.to == kNoMember ? "" : NameOf(members[transfer.to]);
    std::string bytes = transfer.bytes > 0 ? ", " + BytesText(transfer.bytes) : "";
    if (from.empty()) {
      out.push_back(fmt::format("copy to {}: {} partitions{}", to, transfer.partitions, bytes));
    } else if (to.empty()) {
      out.push_back(fmt::format("drop at {}: {} partitions", from, transfer.partitions));
    } else {
      out.push_back(
          fmt::format("move {} to {}: {} partitions{}", from, to, transfer.partitions, bytes));
    }
  }
  for (const ClaimProblem& problem : claim.problems) out.push_back("impossible: " + problem.text);
  return out;
}

}  // namespace redynamo
