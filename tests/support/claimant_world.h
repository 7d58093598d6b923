// SPDX-License-Identifier: Apache-2.0
// A ring whose members learn of documents late, pull, report and write in random order, while any
// of them is claimant. It knows the truth that claimants only hear of, and checks each document
// against it; and that a read which R members answer shows each write that W members acknowledged
// before.
//
//   write, read   a coordinator asks members, one after another, until by the newest view among
//                 them enough have answered; those whose view is further than a step away refuse
//   pull          what one old home has goes to who comes
//
// A lie makes one report untrue, to prove that what the claimant waits for is needed.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "cluster/claimant.h"
#include "cluster/ring_register.h"

namespace redynamo {

enum class ClaimantLie {
  kNone,
  kArrivesEarly,  // members say that they have documents which they have not
  kPullsNothing,  // who comes says that it has pulled
  kPullsFromOne,  // ... when it has from one old home
  kPullsEarly,    // ... from homes that had not arrived
};

struct ClaimantWorldOptions {
  uint64_t seed = 1;
  int partitions = 16;
  int nodes = 3;
  ClaimantOptions claimant = {.moves_at_once = 6, .moves_at_once_per_receiver = 3};
  ClaimantLie lie = ClaimantLie::kNone;
};

class ClaimantWorld {
 public:
  explicit ClaimantWorld(ClaimantWorldOptions options) : options_(options), random_(options.seed) {
    std::vector<Member> members;
    for (int i = 1; i <= options.nodes; i++) members.push_back(NodeNumber(i));
    newest_ = *NewRing({}, 1, options.partitions, 3, members);
    history_.push_back(newest_);
    acked_.resize(size_t(options.partitions));
    Grow();
    straggler_ = MemberIndex(random_.Below(nodes_.size()));
    for (Node& node : nodes_) node.known = node.told = newest_.epoch;
  }

  static Member NodeNumber(int number) {
    Member member;
    member.id.bytes.fill(uint8_t(number));
    member.ring_address = {"10.0.0." + std::to_string(number), 17379};
    return member;
  }
  static RingChange Join(int number) { return {RingChangeKind::kJoin, NodeNumber(number), {}}; }
  static RingChange Leave(int number) {
    return {RingChangeKind::kLeave, {}, NodeNumber(number).id};
  }
  static RingChange Replace(int old, int fresh) {
    return {RingChangeKind::kReplace, NodeNumber(fresh), NodeNumber(old).id};
  }

  const RingDocument& document() const { return newest_; }
  const std::string& fault() const { return fault_; }
  const std::vector<std::string>& waiting() const { return waiting_; }
  int copies() const { return copies_; }  // moves begun that bring a replica to a node
  int went_back_from_2() const { return went_back_from_2_; }
  uint64_t reads() const { return reads_; }
  MemberIndex IndexOf(int number) const { return *newest_.Find(NodeNumber(number).id); }
  const Member& MemberOf(int number) const { return newest_.members[IndexOf(number)]; }

  // An operator's change. REQUIRES: it is possible.
  void Change(const RingChange& change) {
    Result<RingDocument> next = WithChange(newest_, change);
    CHECK_THAT(next.ok());
    Commit(*next);
  }
  void Kill(int number) {
    Node& node = nodes_[IndexOf(number)];
    node.dead = true;
    node.dead_since_ms = now_ms_;
  }

  bool Settled() const {
    return std::ranges::all_of(newest_.views, &View::settled) &&
           std::ranges::all_of(newest_.members, [](const Member& member) {
             return member.state == MemberState::kMember || member.state == MemberState::kRemoved;
           });
  }
  // Nor is anything left to begin, ranks included.
  bool AtRest() const { return Settled() && NextChanges(newest_).empty(); }
  // False when it takes more steps, or something is wrong.
  bool RunUntilAtRest(int steps_max = 60'000) {
    while (!AtRest() && steps_max-- > 0 && fault_.empty()) Step();
    return fault_.empty() && AtRest();
  }
  void Run(int steps) {
    while (steps-- > 0 && fault_.empty()) Step();
  }

  void Step() {
    now_ms_ += 50;
    std::vector<MemberIndex> alive;
    for (size_t m = 0; m < nodes_.size(); m++) {
      if (!nodes_[m].dead && newest_.members[m].in_ring()) alive.push_back(MemberIndex(m));
    }
    MemberIndex m = alive[random_.Below(alive.size())];
    switch (random_.Below(14)) {
      case 0:
      case 1: Learn(m); break;
      case 2:
      case 3: Pull(m); break;
      case 4: HandOver(m); break;
      case 5:
      case 6: Report(m); break;
      case 7: TryClaim(m); break;
      case 8:
      case 9: Write(Coordinator(m)); break;
      case 10:
      case 11:
      case 12: Read(Coordinator(m)); break;
      default:
        if (random_.Below(20) == 0) nodes_[m].claimant = Claimant(options_.claimant);
        break;
    }
  }

 private:
  struct Node {
    explicit Node(ClaimantOptions options) : claimant(options) {}
    bool dead = false;
    int64_t dead_since_ms = 0;
    uint64_t known = 0;  // the document that it has; 0: none
    uint64_t told = 0;   // as others have heard
    std::map<uint32_t, std::pair<uint64_t, std::set<MemberIndex>>> pulled;  // view's epoch, sources
    std::map<uint32_t, uint64_t> through;                                   // truly
    std::map<uint32_t, std::set<uint64_t>> has;                             // writes
    Claimant claimant;
  };

  int W() const { return options_.claimant.w; }
  int R() const { return options_.claimant.r; }

  void Fault(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }
  void Grow() {
    while (nodes_.size() < newest_.members.size()) nodes_.emplace_back(options_.claimant);
  }
  // What the member takes for the partition's view; one of epoch 0 when it has no document.
  View ViewAt(MemberIndex m, uint32_t p) const {
    uint64_t known = nodes_[m].known;
    return known == 0 ? View{} : history_[known - history_[0].epoch].views[p];
  }
  int64_t DeadMs(MemberIndex m) const {
    return nodes_[m].dead ? now_ms_ - nodes_[m].dead_since_ms + 1 : 0;
  }

  // --- members ---

  void Learn(MemberIndex m) {
    uint64_t& known = nodes_[m].known;
    if (known == newest_.epoch || (m == straggler_ && random_.Below(8) > 0)) return;
    uint64_t from = std::max(known, history_[0].epoch - 1);
    known = random_.Below(2) == 0 ? newest_.epoch : from + 1 + random_.Below(newest_.epoch - from);
  }

  void Pull(MemberIndex m) {
    for (uint32_t p = 0; p < uint32_t(options_.partitions); p++) {
      View view = ViewAt(m, p);
      if (view.phase != ViewPhase::kWriteBothReadOld || !Pulls(view, m)) continue;
      auto& [epoch, sources] = nodes_[m].pulled[p];
      if (epoch != view.epoch) {
        epoch = view.epoch;
        sources.clear();
        if (view.homes.Contains(m)) sources.insert(m);
      }
      MemberIndex source = view.homes[random_.Below(view.homes.size())];
      bool arrived = ViewAt(source, p).epoch >= view.epoch;
      if (nodes_[source].dead || (!arrived && options_.lie != ClaimantLie::kPullsEarly)) continue;
      nodes_[m].has[p].insert(nodes_[source].has[p].begin(), nodes_[source].has[p].end());
      sources.insert(source);
      size_t needed = view.homes.size() - std::min(size_t(W()), view.homes.size()) + 1;
      if (options_.lie == ClaimantLie::kPullsFromOne) needed = 1;
      if (sources.size() >= needed) nodes_[m].through[p] = view.epoch;
    }
  }
  static bool Pulls(const View& view, MemberIndex m) {
    return view.pending != kNoMember ? view.pending == m
                                     : view.homes.Contains(m) && view.leaver != m;
  }

  void HandOver(MemberIndex m) {
    for (uint32_t p = 0; p < uint32_t(options_.partitions); p++) {
      View view = ViewAt(m, p);
      if (view.phase != ViewPhase::kNew || view.leaver != m || random_.Below(2) == 0) continue;
      const RingDocument& document = history_[nodes_[m].known - history_[0].epoch];
      bool all = true;
      for (MemberIndex home : view.homes) {
        if (nodes_[home].dead) {
          all = all && document.members[home].state == MemberState::kLeaving;
        } else {
          nodes_[home].has[p].insert(nodes_[m].has[p].begin(), nodes_[m].has[p].end());
        }
      }
      if (all) nodes_[m].through[p] = view.epoch;
    }
  }

  // To some of the others, about all that is not over.
  void Report(MemberIndex m) {
    Node& node = nodes_[m];
    node.told = options_.lie == ClaimantLie::kArrivesEarly ? newest_.epoch : node.known;
    wire::ViewProgress message{.ring_epoch = node.told};
    for (uint32_t p = 0; p < uint32_t(options_.partitions) && node.known != 0; p++) {
      View view = ViewAt(m, p);
      auto through = node.through.find(p);
      bool done = through != node.through.end() && through->second == view.epoch;
      bool claims = options_.lie == ClaimantLie::kPullsNothing && Pulls(view, m) &&
                    view.phase == ViewPhase::kWriteBothReadOld;
      if (done || claims) message.entries.push_back({uint16_t(p), view.epoch});
    }
    for (Node& other : nodes_) {
      if (random_.Below(3) > 0) other.claimant.OnProgress(newest_.members[m].id.bytes, message);
    }
  }

  // --- the claimant ---

  void TryClaim(MemberIndex m) {
    Node& node = nodes_[m];
    if (node.known != newest_.epoch) return;  // the register would refuse what it makes
    node.claimant.SetDocument(newest_);
    std::vector<MemberReport> reports;
    for (size_t i = 0; i < nodes_.size(); i++) {
      reports.push_back({i == m ? node.known : nodes_[i].told, DeadMs(MemberIndex(i))});
    }
    ClaimantStep step = node.claimant.Next(reports);
    waiting_ = step.waiting;
    if (step.next.has_value() == step.what.empty()) Fault("a step does not say what it is");
    if (step.begun > options_.claimant.moves_at_once) Fault("too many at once");
    if (!step.next) return;
    CheckDocument(*step.next);
    Commit(*step.next);
    node.known = newest_.epoch;
  }

  void Commit(const RingDocument& next) {
    Status status = ValidateSuccessor(newest_, next);
    if (status.ok()) status = ValidateRingDocument(next);
    if (!status.ok()) return Fault(status.message());
    newest_ = next;
    history_.push_back(next);
    Grow();
  }

  // --- the truth ---

  void CheckDocument(const RingDocument& next) {
    std::map<MemberIndex, int> receiving;
    for (uint32_t p = 0; p < uint32_t(options_.partitions); p++) {
      const View &view = newest_.views[p], &then = next.views[p];
      if (then.pending != kNoMember) receiving[then.pending]++;
      if (then == view) continue;
      if (!Adjacent(view, then)) Fault("views further than a step apart");
      if (options_.lie == ClaimantLie::kNone) CheckStep(p, view, then);
      copies_ += view.settled() && then.pending != kNoMember;
      went_back_from_2_ +=
          view.phase == ViewPhase::kWriteBothReadNew && then.phase == ViewPhase::kWriteBothReadOld;
    }
    for (const auto& [m, count] : receiving) {
      if (count > options_.claimant.moves_at_once_per_receiver) Fault("too many to one node");
    }
  }

  void CheckStep(uint32_t p, const View& view, const View& then) {
    CheckNoQuorumLeft(p, view);
    bool back = view.phase == ViewPhase::kWriteBothReadNew
                    ? then.phase == ViewPhase::kWriteBothReadOld
                    : view.phase == ViewPhase::kWriteBothReadOld && then.settled();
    if (back && newest_.members[view.pending].takes_replicas()) Fault("back without a reason");
    if (view.phase == ViewPhase::kWriteBothReadOld && !back) {
      int missing = 0;
      for (size_t m = 0; m < nodes_.size(); m++) {
        if (!Pulls(view, MemberIndex(m)) || nodes_[m].through[p] == view.epoch) continue;
        missing++;
        bool excused = view.pending == kNoMember && !newest_.members[m].takes_replicas();
        if (!excused || missing >= R()) Fault("phase 2 before it was pulled");
      }
    }
    if (view.phase == ViewPhase::kNew && view.leaver != kNoMember &&
        nodes_[view.leaver].through[p] != view.epoch &&
        DeadMs(view.leaver) <= options_.claimant.leaver_patience_ms) {
      Fault("settled before the leaver's data was handed over");
    }
  }

  void CheckNoQuorumLeft(uint32_t p, const View& view) {
    auto before = std::find_if(history_.rbegin(), history_.rend(), [&](const RingDocument& one) {
      return one.views[p].epoch + 1 == view.epoch;
    });
    if (before == history_.rend()) return;
    const View& old = before->views[p];
    auto left = [&](const HomeList& homes, int configured) {
      int there = 0;
      for (MemberIndex m : homes) there += ViewAt(m, p).epoch < view.epoch;
      return there >= std::min(configured, int(homes.size()));
    };
    HomeList fresh = old.NewHomes();
    bool both =
        old.phase == ViewPhase::kWriteBothReadOld || old.phase == ViewPhase::kWriteBothReadNew;
    bool reads = left(old.phase == ViewPhase::kWriteBothReadNew ? fresh : old.homes, R());
    bool writes = left(old.homes, W()) && (!both || left(fresh, W()));
    if (reads || writes) Fault("a view was left although the one before can form a quorum");
  }

  // --- clients ---

  // Members in random order, the coordinator first, until `enough` by the newest view among them.
  template <typename Enough>
  std::optional<std::vector<MemberIndex>> Ask(MemberIndex coordinator, uint32_t p,
                                              Enough&& enough) {
    View own = ViewAt(coordinator, p), newest = own;
    if (own.homes.empty() || !ReadHomesOf(own).Contains(coordinator)) return std::nullopt;
    std::vector<MemberIndex> asked, order;
    for (size_t m = 0; m < nodes_.size(); m++) order.push_back(MemberIndex(m));
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random_.Below(i)]);
    std::swap(*std::ranges::find(order, coordinator), order[0]);
    for (MemberIndex m : order) {
      View view = ViewAt(m, p);
      if (nodes_[m].dead || view.homes.empty() || !Adjacent(own, view)) continue;
      if (!WriteQuorumOf(view, W()).targets.Contains(m)) continue;
      if (view.epoch > newest.epoch) newest = view;
      asked.push_back(m);
      if (enough(newest, asked)) return asked;
      if (random_.Below(6) == 0) return std::nullopt;  // the client's patience ends
    }
    return std::nullopt;
  }
  static HomeList ReadHomesOf(const View& view) { return ReadQuorumOf(view, 1).members; }

  // One that is behind more often than others coordinates more often.
  MemberIndex Coordinator(MemberIndex m) const {
    bool able = !nodes_[straggler_].dead && newest_.members[straggler_].in_ring();
    return able && now_ms_ % 3 == 0 ? straggler_ : m;
  }
  // One that changes, if there is any, for the most part.
  uint32_t SomePartition() {
    std::vector<uint32_t> changing;
    for (uint32_t p = 0; p < newest_.views.size(); p++) {
      if (!newest_.views[p].settled()) changing.push_back(p);
    }
    if (changing.empty() || random_.Below(4) == 0) {
      return uint32_t(random_.Below(newest_.views.size()));
    }
    return changing[random_.Below(changing.size())];
  }

  void Write(MemberIndex m) {
    uint32_t p = SomePartition();
    uint64_t write = ++writes_;
    bool acknowledged = Ask(m, p, [&](const View& newest, const std::vector<MemberIndex>& asked) {
                          nodes_[asked.back()].has[p].insert(write);
                          return WriteQuorumOf(newest, W()).Met(asked);
                        }).has_value();
    if (acknowledged) acked_[p].insert(write);
  }

  void Read(MemberIndex m) {
    uint32_t p = SomePartition();
    auto asked = Ask(m, p, [&](const View& newest, const std::vector<MemberIndex>& answered) {
      return ReadQuorumOf(newest, R()).Met(answered);
    });
    if (!asked) return;
    reads_++;
    std::set<uint64_t> seen;
    for (MemberIndex one : *asked)
      seen.insert(nodes_[one].has[p].begin(), nodes_[one].has[p].end());
    if (!std::ranges::includes(seen, acked_[p])) {
      Fault(fmt::format("a read of partition {} misses an acknowledged write", p));
    }
  }

  const ClaimantWorldOptions options_;
  Random random_;
  int64_t now_ms_ = 0;
  RingDocument newest_;
  std::vector<RingDocument> history_;
  std::vector<Node> nodes_;                // by MemberIndex
  std::vector<std::set<uint64_t>> acked_;  // by partition: acknowledged writes
  std::vector<std::string> waiting_;
  std::string fault_;
  MemberIndex straggler_ = 0;  // learns of documents later than others
  int copies_ = 0, went_back_from_2_ = 0;
  uint64_t writes_ = 0, reads_ = 0;
};

}  // namespace redynamo
