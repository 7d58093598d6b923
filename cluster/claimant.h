// SPDX-License-Identifier: Apache-2.0
// Who carries a change of membership through, and when: from the newest ring document and what the
// members have said, the next document, or whom it waits for. plan.h says what is left to do; this
// says what may be done now. The document that comes of it is decided by the register
// (ring_register.h), so it does no harm when two nodes think that they are claimant.
//
// Rules, found necessary by tests/model (ring_rules.py has each, and the seed that fails without):
//
//   any view      is left only when the view before it can form no quorum any more, neither to read
//                 nor to write, among members that have not arrived: only neighbouring views meet
//                 (view.h). Who could be reached is no matter: the others may reach one another.
//   phase 1 → 2   also waits for those who come (when none comes, for all that stay): each has
//                 pulled, after it had arrived, from N - W + 1 old homes that had arrived before
//                 the pull began. So it has all that was acknowledged under the old view alone.
//                 Of those that stay, some that are leaving too may be missing, fewer than R.
//   phase 3 → 0   also waits for who leaves: all new homes have what it has (HeirsOf).
//   back 2 → 1 → 0, when the node that comes is leaving, or was removed: in both phases writes
//                 reached a quorum of the old homes, so nothing has to be pulled.
//
// *Arrived*: the member has durably a document in which the view was this one. A document does not
// say when its views became what they are, so the claimant remembers in which document it first saw
// each of them; one that has just begun takes its first document, which is later or the same. So it
// never matters that other partitions' steps make ever newer documents.
//
// Who leaves and cannot be reached is not waited for longer than `leaver_patience_ms`. What was
// acknowledged is on a write quorum of the new homes by then: by the pulls what is older than phase
// 1 (if its other homes were too few for that, phase 1 was not left), by W what is newer. What goes
// with it was acknowledged to nobody, or a guest has it, and keeps it until all homes do.
// With W = 1 the pulls need every old home: then a dead node's partitions stay in phase 1, and it
// is said so, since writes that were acknowledged may be nowhere else.
//
// Values in, values out. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/message.h"
#include "cluster/plan.h"
#include "cluster/ring_document.h"

namespace redynamo {

inline constexpr int kMovesAtOnce = 64;             // partitions whose views are changing
inline constexpr int kMovesAtOncePerReceiver = 16;  // of these, on their way to one node

struct ClaimantOptions {
  int r = 2, w = 2;  // the smallest that any request of this ring uses
  int moves_at_once = kMovesAtOnce;
  int moves_at_once_per_receiver = kMovesAtOncePerReceiver;
  int64_t leaver_patience_ms = 30'000;
};

// What this node knows of a member at the moment. Nothing heard since the start: as unreachable as
// this node has been running.
struct MemberReport {
  uint64_t ring_epoch = 0;     // of the newest document that it has said to have durably
  int64_t unreachable_ms = 0;  // 0: there is a link
};

struct ClaimantStep {
  std::optional<RingDocument> next;  // to be proposed
  std::string what;                  // it does, for the log: "16 begin to move, 3 to phase 2"
  std::vector<std::string> waiting;  // a line for each member that something waits for
  std::array<int, 4> phases{};       // partitions of the newest document, by phase
  int begun = 0;                     // of these, not settled
  int remaining = 0;                 // settled ones that have yet to change a home
};

// Who has to pull before phase 2: those that come or, when none comes, all that stay.
HomeList PullersOf(const View& view);
// From so many old homes; a puller that is one itself counts. REQUIRES: w >= 1.
int PullSourcesNeeded(const View& view, int w);
// Who has to have all that the leaver has before it says so in phase 3: the homes that are not
// leaving themselves (they may be dead, and nobody takes their place before this one is settled);
// all, when every one is.
HomeList HeirsOf(const RingDocument& document, const View& view);

// Which member is to drive: the first that is a full member and can be reached, else the first that
// can be reached. By index of members, this node included; kNoMember: none.
MemberIndex ClaimantOf(const RingDocument& document, const std::vector<MemberReport>& reports);

class Claimant {
 public:
  explicit Claimant(ClaimantOptions options = {}) : options_(options) {}

  // The newest decided document; older ones are ignored. Every node tells its claimant of each, so
  // that it is of use when it has to take over.
  void SetDocument(const RingDocument& document);
  // From a member, about itself; of others, and of partitions that are not there, it is ignored.
  // What is said of views that the document does not have yet is kept until it does.
  void OnProgress(const Id128& from, const wire::ViewProgress& message);

  // What may be done now. `reports` by index of members, this node's own included. The claim is
  // computed when a change of members is seen, and again when all that it asked for is done; what
  // that takes stands in claim.h. Best not asked again before what it made is decided, or given up:
  // else that is taken for another node's, and costs a claim. REQUIRES: SetDocument was called,
  // reports are as many as members.
  ClaimantStep Next(const std::vector<MemberReport>& reports);

  uint64_t claims() const { return claims_; }  // computed so far

 private:
  enum class Before : uint8_t { kUnknown, kForward, kBack };
  struct Seen {
    uint64_t since = 0;  // the document in which this view was there first, as far as is known
    Before before = Before::kUnknown;
  };
  struct ToDo {
    PartitionChange change;
    uint64_t view_epoch = 0;  // of the partition when it was claimed
    bool moves() const { return change.add != kNoMember || change.remove != kNoMember; }
  };
  class Turn;

  // What members have said, by their places in `next`: they move up when one is forgotten.
  void KeepPlaces(const RingDocument& next);
  void KeepWhatIsToDo(const RingDocument& next);

  ClaimantOptions options_;
  std::optional<RingDocument> document_;
  std::vector<Seen> seen_;         // by partition
  std::vector<uint64_t> arrived_;  // by member: the newest document that it has durably
  std::vector<uint64_t> guests_;   // by member: as it said last
  // By partition: for which view's epoch members have said to be through.
  std::map<uint32_t, std::map<MemberIndex, uint64_t>> through_;
  // What NextChanges said, less what was begun since; nothing when it has to be asked anew: also
  // when a document is not the one made here, since two claims that are carried out by turns would
  // move more than one.
  std::optional<std::vector<ToDo>> to_do_;
  std::optional<RingDocument> made_;  // by the last Next
  uint64_t claims_ = 0;
};

}  // namespace redynamo
