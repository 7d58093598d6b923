// SPDX-License-Identifier: Apache-2.0
// Changes of membership: what RING.JOIN, RING.LEAVE, RING.REPLACE and RING.FORGET would do, told
// before it is done, and how it then comes about. Pure functions of ring documents; REPLICATION.md
// section 6.
//
// A change marks members as joining or leaving: one new document, by majority. From then on any
// member can carry it out from the document alone: it begins NextChanges, moves the views through
// their phases (view.h), and, when nothing is left to do, FinishMembers makes the joining ones
// members and the leaving ones removed. Nothing else has to be remembered, so it does not matter
// who dies half way.
//
// Forgetting is one document by itself: the member is left out, and those after it move up.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cluster/claim.h"
#include "cluster/ring_document.h"

namespace redynamo {

enum class RingChangeKind { kJoin, kLeave, kReplace, kForget };

struct RingChange {
  RingChangeKind kind = RingChangeKind::kJoin;
  Member joining;  // kJoin, kReplace; its state and incarnation are given to it
  NodeId leaving;  // kLeave, kReplace; kForget: the removed one
};

// A ring of fresh nodes: all are members at once, and hold empty replicas of their share. At least
// one, no id or ring address twice; kInvalidArgument says what is wrong.
Result<RingDocument> NewRing(const Id128& cluster_id, uint64_t seed, int partitions, int n,
                             std::vector<Member> members);

// The next document: members marked, epoch + 1, no view changed. kNotFound for a node that is not
// in the ring; kInvalidArgument for one that is there already or on its way out, an address in use
// (a node that replaces another may have its address), or the last node that holds replicas. A
// removed node that joins again gets a new incarnation. Only a removed node can be forgotten.
Result<RingDocument> WithChange(const RingDocument& document, const RingChange& change);

// What may begin now: partitions whose view is settled and lack something that the claim for this
// document gives them, at most one change each. In the order of partitions.
std::vector<PartitionChange> NextChanges(const RingDocument& document);

// Joining members become members when the change is `complete`: all views are settled and nothing
// is left to begin. A leaving member that no view names, and that is not `held_back`, becomes
// removed; one at a time, since majorities of neighbouring documents have to meet
// (ring_register.h). True if anything changed (the epoch did not; that is the caller's).
bool FinishMembers(RingDocument* document, bool complete,
                   const std::set<MemberIndex>& held_back = {});
// The same, where `complete` is found out.
bool FinishMembers(RingDocument* document);

// Replicas that node `to` gets so that `from` may let them go; kNoMember: from nobody, or to nobody
// (the number of replicas changes).
struct PlannedTransfer {
  MemberIndex from = kNoMember, to = kNoMember;
  int partitions = 0;
  uint64_t bytes = 0;
};

struct RingPlan {
  RingDocument document;                   // as WithChange made it
  Claim claim;                             // its target, steps and problems
  std::vector<PlannedTransfer> transfers;  // by from, then to
  int partitions_moved = 0;                // that get another home
  uint64_t bytes = 0;                      // that travel
  int under_way = 0;                       // partitions of earlier changes that are not through
  std::string forgotten;                   // kForget: its name; then nothing moves
};

// `partition_bytes`: what one replica of each partition takes; empty when it is not known.
Result<RingPlan> PlanChange(const RingDocument& document, const RingChange& change,
                            const std::vector<uint64_t>& partition_bytes = {});

// What an operator reads, a line each: a summary, one line a node, one a transfer, and what is
// impossible.
std::vector<std::string> PlanLines(const RingPlan& plan);

}  // namespace redynamo
