// SPDX-License-Identifier: Apache-2.0
#include "cluster/claim_flow.h"

#include <algorithm>
#include <bit>
#include <tuple>

#include "base/check.h"

namespace redynamo {
namespace {

constexpr int kFar = INT32_MAX / 2;
// A path's length: cost first, then hops, of which there are at most three a node.
constexpr int kHop = 1, kCost = 4 * kRingMembersMax;
constexpr uint32_t kNoPartition = UINT32_MAX;
constexpr int kSlack = 3;  // replicas that a node may be ahead while a fresh ring is filled

// A set of partitions, walked in their order.
class PartitionSet {
 public:
  explicit PartitionSet(size_t partitions) : words_((partitions + 63) / 64) {}
  void Add(uint32_t p) { words_[p / 64] |= 1ull << p % 64; }
  void Remove(uint32_t p) { words_[p / 64] &= ~(1ull << p % 64); }
  template <typename F>
  void ForEach(F f) const {
    for (size_t w = 0; w < words_.size(); w++) {
      for (uint64_t rest = words_[w]; rest != 0; rest &= rest - 1) {
        f(uint32_t(w * 64 + size_t(std::countr_zero(rest))));
      }
    }
  }

 private:
  std::vector<uint64_t> words_;
};

class Placement {
 public:
  Placement(const ClaimDomains& domains, const std::vector<HomeList>& old,
            const std::vector<int>& quotas, const QuotaBounds& bounds)
      : domains_(domains),
        bounds_(bounds),
        old_(old),
        homes_(old),
        nodes_(quotas.size()),
        nodes_end_(MemberIndex(quotas.size())),
        lacks_(quotas),
        held_(nodes_, PartitionSet(old.size())),
        partners_(nodes_ * nodes_),
        edges_(nodes_ * nodes_) {}

  ClaimPlacement Run() {
    KeepWhatMayStay();
    ClaimPlacement out;
    out.moves_least = MovesLeast();
    if (dropped_) Augment(0);  // else there is nothing that costs nothing
    FillDirectly();
    GiveDirectly();
    Augment(kFar);
    while (Moves() > out.moves_least && RoundBetter()) {
    }
    out.not_placed = int(MissingReplicas());
    out.homes = std::move(homes_);
    return out;
  }

 private:
  struct Edge {
    int cost = kFar;
    uint32_t partition = kNoPartition;
  };
  struct Hop {
    uint32_t partition;
    MemberIndex out, in;  // out may be kNoMember: a missing replica is placed
  };

  size_t Missing(uint32_t p) const { return size_t(domains_.replicas) - homes_[p].size(); }
  size_t MissingReplicas() const {
    size_t sum = 0;
    for (uint32_t p = 0; p < homes_.size(); p++) sum += Missing(p);
    return sum;
  }
  int Cost(uint32_t p, MemberIndex node) const { return old_[p].Contains(node) ? 0 : 1; }

  static int CountIn(const HomeList& homes, const std::vector<int>& domain_of, int domain) {
    return int(std::count_if(homes.begin(), homes.end(),
                             [&](MemberIndex m) { return domain_of[m] == domain; }));
  }
  int TooManyWithLeast(const HomeList& homes) const;
  int Violation(const HomeList& homes) const;
  bool Fits(uint32_t p, MemberIndex out, MemberIndex in) const;
  void Place(uint32_t p, MemberIndex node);
  void Drop(uint32_t p, MemberIndex node);
  void Exchange(const Hop& hop);

  void KeepWhatMayStay();
  int MovesLeast() const;
  int Moves() const;
  void FillDirectly();
  void GiveDirectly();
  bool GiveOne(MemberIndex from, MemberIndex to);
  int PartnersOf(uint32_t p, MemberIndex node, MemberIndex without) const;

  void Augment(int cost_max);
  void FindEdges();
  void FindDistances();
  bool SendTo(MemberIndex node);
  bool FindPathTo(MemberIndex to, std::vector<Hop>* path);
  uint32_t PartitionFor(MemberIndex from, MemberIndex to, const Edge& edge) const;
  bool SendAlong(const std::vector<Hop>& path);

  size_t FindNegativeCycle(std::vector<size_t>* before) const;
  bool RoundBetter();

  const ClaimDomains& domains_;
  const QuotaBounds& bounds_;
  const std::vector<HomeList>& old_;
  std::vector<HomeList> homes_;
  size_t nodes_;
  MemberIndex nodes_end_;   // the same
  bool dropped_ = false;    // some home could have stayed, but for another one
  std::vector<int> lacks_;  // by node: quota less what it holds; below 0 it has too many
  std::vector<PartitionSet> held_;
  std::vector<int> partners_;      // by two nodes: partitions that both hold
  std::vector<Edge> edges_;        // by two nodes: the cheapest partition to pass on
  std::vector<int> distance_;      // by node: length of the shortest path to it
  std::vector<bool> dead_end_;     // by node: no path of that length is left
  std::vector<uint32_t> lacking_;  // partitions that had too few homes when distances were found
};

// How many replicas too many a partition with these homes has, in zones and altogether, once what
// hosts and zones have to have at least is added.
int Placement::TooManyWithLeast(const HomeList& homes) const {
  int need = int(homes.size()), too_many = 0;
  for (int z : domains_.zones_with_least) {
    auto bounds = domains_.zone[size_t(z)];
    int there = CountIn(homes, domains_.node_zone, z), with_hosts = there;
    for (int h : domains_.hosts_with_least[size_t(z)]) {
      int least = domains_.host[size_t(h)].least;
      with_hosts += std::max(0, least - CountIn(homes, domains_.node_host, h));
    }
    too_many += std::max(0, with_hosts - std::max(there, bounds.most));
    need += std::max(with_hosts, bounds.least) - there;
  }
  return too_many + std::max(0, need - domains_.replicas);
}

// How many replicas too many there are for the bounds: 0 when the list is valid, or becomes so by
// adding to it.
int Placement::Violation(const HomeList& homes) const {
  int sum = TooManyWithLeast(homes);
  for (size_t i = 0; i < homes.size(); i++) {  // each home that is one too many, in turn
    int in_host = 0, in_zone = 0;
    for (size_t j = 0; j <= i; j++) {
      in_host += domains_.node_host[homes[j]] == domains_.node_host[homes[i]];
      in_zone += domains_.node_zone[homes[j]] == domains_.node_zone[homes[i]];
    }
    sum += in_host > domains_.host[size_t(domains_.node_host[homes[i]])].most;
    sum += in_zone > domains_.zone[size_t(domains_.node_zone[homes[i]])].most;
  }
  return sum;
}

// Whether `in` may take the place of `out` (or, kNoMember, of a missing replica).
bool Placement::Fits(uint32_t p, MemberIndex out, MemberIndex in) const {
  if (domains_.node_host[in] < 0) return false;
  int host = domains_.node_host[in], zone = domains_.node_zone[in], in_host = 1, in_zone = 1;
  for (MemberIndex m : homes_[p]) {
    if (m == in) return false;
    if (m == out) continue;
    in_host += domains_.node_host[m] == host;
    in_zone += domains_.node_zone[m] == zone;
  }
  if (in_host > domains_.host[size_t(host)].most) return false;
  if (in_zone > domains_.zone[size_t(zone)].most) return false;
  if (!domains_.has_least) return true;
  HomeList after = homes_[p];
  if (out == kNoMember) {
    after.Add(in);
  } else {
    after.Replace(out, in);
  }
  return TooManyWithLeast(after) == 0;
}

void Placement::Place(uint32_t p, MemberIndex node) {
  for (MemberIndex m : homes_[p]) {
    partners_[m * nodes_ + node]++;
    partners_[node * nodes_ + m]++;
  }
  homes_[p].Add(node);
  held_[node].Add(p);
  lacks_[node]--;
}

void Placement::Drop(uint32_t p, MemberIndex node) {
  homes_[p].Remove(node);
  held_[node].Remove(p);
  lacks_[node]++;
  for (MemberIndex m : homes_[p]) {
    partners_[m * nodes_ + node]--;
    partners_[node * nodes_ + m]--;
  }
}

void Placement::Exchange(const Hop& hop) {
  if (hop.out != kNoMember) Drop(hop.partition, hop.out);
  Place(hop.partition, hop.in);
}

// Of homes that cannot all stay, the node with most to give goes.
void Placement::KeepWhatMayStay() {
  std::vector<HomeList> stay(homes_.size());
  stay.swap(homes_);
  for (uint32_t p = 0; p < stay.size(); p++) {
    for (MemberIndex m : stay[p]) {
      if (domains_.node_host[m] >= 0) Place(p, m);
    }
  }
  for (uint32_t p = 0; p < homes_.size(); p++) {
    for (int violation = Violation(homes_[p]); violation > 0;) {
      std::tuple<int, int, MemberIndex> best{violation + 1, 0, kNoMember};
      for (MemberIndex m : homes_[p]) {
        HomeList without = homes_[p];
        without.Remove(m);
        best = std::min(best, {Violation(without), lacks_[m], m});
      }
      violation = std::get<0>(best);
      Drop(p, std::get<2>(best));
      dropped_ = true;
    }
  }
}

int Placement::MovesLeast() const {
  int lack = 0, rounded_up = domains_.replicas * int(homes_.size()), may_keep = 0;
  std::vector<int> held(nodes_, 0);
  for (const HomeList& list : old_) {
    for (MemberIndex m : list) held[m]++;
  }
  for (size_t m = 0; m < nodes_; m++) {
    auto [least, most] = bounds_.node[m];
    lack += std::max(0, least - held[m]);
    rounded_up -= least;
    may_keep += held[m] > least && most > least;
  }
  return std::max(lack + std::max(0, rounded_up - may_keep), int(MissingReplicas()));
}

int Placement::Moves() const {
  int moves = 0;
  for (size_t p = 0; p < homes_.size(); p++) moves += int(homes_[p].Minus(old_[p]).size());
  return moves;
}

int Placement::PartnersOf(uint32_t p, MemberIndex node, MemberIndex without) const {
  int sum = 0;
  for (MemberIndex m : homes_[p]) {
    if (m != without) sum += partners_[m * nodes_ + node];
  }
  return sum;
}

// Places missing replicas, each at a node that lacks most, relative to what it lacked at first; but
// before all at one that lacks as many as there are partitions left. Of nodes that are nearly alike
// in this, at the one that is least together with the homes that are there.
void Placement::FillDirectly() {
  std::vector<int> at_first = lacks_;
  size_t left = 0;
  for (uint32_t p = 0; p < homes_.size(); p++) left += Missing(p) > 0;
  auto urgency = [&](MemberIndex m) {
    return lacks_[m] >= int(left) ? 2 : double(lacks_[m]) / at_first[m];
  };
  for (uint32_t p = 0; p < homes_.size(); p++) {
    if (Missing(p) == 0) continue;
    while (Missing(p) > 0) {
      std::vector<MemberIndex> possible;
      double highest = 0;
      for (MemberIndex m = 0; m < nodes_end_; m++) {
        if (lacks_[m] <= 0 || !Fits(p, kNoMember, m)) continue;
        possible.push_back(m);
        highest = std::max(highest, urgency(m));
      }
      if (possible.empty()) break;
      std::tuple<int, double, MemberIndex> best{INT32_MAX, 0, kNoMember};
      for (MemberIndex m : possible) {
        if (urgency(m) < highest - double(kSlack) / at_first[m]) continue;
        best = std::min(best, {PartnersOf(p, m, kNoMember), -urgency(m), m});
      }
      Place(p, std::get<2>(best));
    }
    left--;
  }
}

// Passes replicas from nodes with too many to nodes that lack some, where one exchange does it.
void Placement::GiveDirectly() {
  std::vector<bool> stuck(nodes_);
  while (true) {
    MemberIndex to = kNoMember;
    for (MemberIndex m = 0; m < nodes_end_; m++) {
      if (lacks_[m] > 0 && !stuck[m] && (to == kNoMember || lacks_[m] > lacks_[to])) to = m;
    }
    if (to == kNoMember) return;
    std::vector<MemberIndex> givers;
    for (MemberIndex m = 0; m < nodes_end_; m++) {
      if (lacks_[m] < 0) givers.push_back(m);
    }
    std::ranges::stable_sort(givers, {}, [&](MemberIndex m) { return lacks_[m]; });
    stuck[to] = std::ranges::none_of(givers, [&](MemberIndex from) { return GiveOne(from, to); });
  }
}

// Of a giver's partitions, first one that did not change yet (so that one step is enough), then
// the one whose other homes are least together with `to`.
bool Placement::GiveOne(MemberIndex from, MemberIndex to) {
  std::tuple<bool, int, uint32_t> best{true, INT32_MAX, kNoPartition};
  held_[from].ForEach([&](uint32_t p) {
    if (!Fits(p, from, to) || Cost(p, to) - Cost(p, from) > 1) return;
    bool changed = homes_[p].Minus(old_[p]).size() > 0;
    best = std::min(best, {changed, PartnersOf(p, to, from), p});
  });
  if (std::get<2>(best) == kNoPartition) return false;
  Exchange({std::get<2>(best), from, to});
  return true;
}

// Sends along shortest paths of at most this cost, until there is none: all that are as short as
// the shortest, then distances are found anew (as Dinic does).
void Placement::Augment(int cost_max) {
  while (true) {
    bool done = std::ranges::all_of(lacks_, [](int lack) { return lack <= 0; });
    if (done) return;
    FindEdges();
    FindDistances();
    int nearest = kFar;
    for (MemberIndex m = 0; m < nodes_end_; m++) {
      if (lacks_[m] > 0) nearest = std::min(nearest, distance_[m]);
    }
    if (nearest >= kFar || nearest / kCost > cost_max) return;
    dead_end_.assign(nodes_, false);
    bool sent = false;
    for (MemberIndex m = 0; m < nodes_end_; m++) {
      if (distance_[m] / kCost != nearest / kCost) continue;
      while (lacks_[m] > 0 && SendTo(m)) sent = true;
    }
    if (!sent) return;  // does not happen: nothing was sent that could be in the way of the first
  }
}

void Placement::FindEdges() {
  std::ranges::fill(edges_, Edge{});
  for (uint32_t p = 0; p < homes_.size(); p++) {
    int cost_in_least = old_[p].Minus(homes_[p]).empty() ? 1 : 0;
    for (MemberIndex out : homes_[p]) {
      Edge* row = &edges_[out * nodes_];
      int cost_out = Cost(p, out);
      for (MemberIndex in = 0; in < nodes_end_; in++) {
        if (row[in].cost <= cost_in_least - cost_out) continue;  // nothing cheaper in here
        int cost = Cost(p, in) - cost_out;
        if (cost < row[in].cost && Fits(p, out, in)) row[in] = {cost, p};
      }
    }
  }
}

// Bellman and Ford, from all nodes with too many replicas and all partitions with too few.
void Placement::FindDistances() {
  distance_.assign(nodes_, kFar);
  lacking_.clear();
  for (MemberIndex m = 0; m < nodes_end_; m++) {
    if (lacks_[m] < 0) distance_[m] = 0;
  }
  for (uint32_t p = 0; p < homes_.size(); p++) {
    if (Missing(p) == 0) continue;
    lacking_.push_back(p);
    for (MemberIndex m = 0; m < nodes_end_; m++) {
      int length = Cost(p, m) * kCost + kHop;
      if (length < distance_[m] && Fits(p, kNoMember, m)) distance_[m] = length;
    }
  }
  bool shorter = true;
  for (size_t round = 0; shorter && round < nodes_; round++) {
    shorter = false;
    for (MemberIndex from = 0; from < nodes_end_; from++) {
      if (distance_[from] >= kFar) continue;
      for (MemberIndex to = 0; to < nodes_end_; to++) {
        const Edge& edge = edges_[from * nodes_ + to];
        if (edge.partition == kNoPartition) continue;
        int length = distance_[from] + edge.cost * kCost + kHop;
        if (length >= distance_[to]) continue;
        distance_[to] = length;
        shorter = true;
      }
    }
  }
}

// Sends one replica along a shortest path. False when none is left of this length.
bool Placement::SendTo(MemberIndex node) {
  std::vector<Hop> path;
  if (!FindPathTo(node, &path)) return false;
  std::ranges::reverse(path);
  return SendAlong(path);
}

// Backwards: appends the last hop first. Lengths leave no cycles, so it ends.
bool Placement::FindPathTo(MemberIndex to, std::vector<Hop>* path) {
  if (dead_end_[to]) return false;
  if (distance_[to] == 0 && lacks_[to] < 0) return true;
  for (uint32_t p : lacking_) {
    if (Missing(p) > 0 && distance_[to] == Cost(p, to) * kCost + kHop && Fits(p, kNoMember, to)) {
      path->push_back({p, kNoMember, to});
      return true;
    }
  }
  for (MemberIndex from = 0; from < nodes_end_; from++) {
    if (distance_[from] >= kFar || dead_end_[from]) continue;
    const Edge& edge = edges_[from * nodes_ + to];
    if (edge.partition == kNoPartition) continue;
    if (distance_[from] + edge.cost * kCost + kHop != distance_[to]) continue;
    uint32_t p = PartitionFor(from, to, edge);
    if (p == kNoPartition) continue;
    path->push_back({p, from, to});
    if (FindPathTo(from, path)) return true;
    path->pop_back();
  }
  dead_end_[to] = true;
  return false;
}

// One that can still be passed on at the edge's cost.
uint32_t Placement::PartitionFor(MemberIndex from, MemberIndex to, const Edge& edge) const {
  auto possible = [&](uint32_t p) {
    return homes_[p].Contains(from) && Cost(p, to) - Cost(p, from) == edge.cost &&
           Fits(p, from, to);
  };
  if (possible(edge.partition)) return edge.partition;
  uint32_t found = kNoPartition;
  held_[from].ForEach([&](uint32_t p) {
    if (found == kNoPartition && possible(p)) found = p;
  });
  return found;
}

// All of it or nothing.
bool Placement::SendAlong(const std::vector<Hop>& path) {
  for (size_t i = 0; i < path.size(); i++) {
    const Hop& hop = path[i];
    if ((hop.out == kNoMember || homes_[hop.partition].Contains(hop.out)) &&
        Fits(hop.partition, hop.out, hop.in)) {
      Exchange(hop);
      continue;
    }
    while (i-- > 0) {
      Drop(path[i].partition, path[i].in);
      if (path[i].out != kNoMember) Place(path[i].partition, path[i].out);
    }
    return false;
  }
  return true;
}

// Bellman and Ford, from everywhere at once. The corners are nodes, then hosts, zones and the ring
// as a whole: from a node up to what contains it goes who gets one more, down goes who gets one
// less. Returns a corner of a negative cycle, which `before` leads around; or `corners`.
size_t Placement::FindNegativeCycle(std::vector<size_t>* before) const {
  const size_t hosts = nodes_, zones = hosts + domains_.host.size();
  const size_t ring = zones + domains_.zone.size(), corners = ring + 1;
  std::vector<int> count(corners, 0), length(corners, 0);
  for (const HomeList& list : homes_) {
    for (MemberIndex m : list) {
      count[m]++;
      count[hosts + size_t(domains_.node_host[m])]++;
      count[zones + size_t(domains_.node_zone[m])]++;
    }
  }
  before->assign(corners, corners);
  size_t changed = corners;
  auto reach = [&](size_t from, size_t to, int cost) {
    if (length[from] + cost >= length[to]) return;
    length[to] = length[from] + cost;
    (*before)[to] = from;
    changed = to;
  };
  auto up_and_down = [&](size_t part, size_t whole, ClaimDomains::Bounds bounds) {
    if (count[part] < bounds.most) reach(part, whole, kHop);
    if (count[part] > bounds.least) reach(whole, part, kHop);
  };
  for (size_t round = 0; round < corners; round++) {
    changed = corners;
    for (size_t from = 0; from < nodes_; from++) {
      for (size_t to = 0; to < nodes_; to++) {
        const Edge& edge = edges_[from * nodes_ + to];
        if (edge.partition != kNoPartition) reach(from, to, edge.cost * kCost + kHop);
      }
    }
    for (size_t m = 0; m < nodes_; m++) {
      if (domains_.node_host[m] < 0) continue;
      up_and_down(m, hosts + size_t(domains_.node_host[m]), bounds_.node[m]);
    }
    for (size_t h = 0; h < domains_.host.size(); h++) {
      up_and_down(hosts + h, zones + size_t(domains_.host_zone[h]), bounds_.host[h]);
    }
    for (size_t z = 0; z < domains_.zone.size(); z++) up_and_down(zones + z, ring, bounds_.zone[z]);
    if (changed == corners) return corners;
  }
  for (size_t i = 0; i < corners; i++) changed = (*before)[changed];  // now it is on the cycle
  return changed;
}

// Sends a replica along a negative cycle; false when there is none.
bool Placement::RoundBetter() {
  FindEdges();
  std::vector<size_t> before;
  size_t start = FindNegativeCycle(&before);
  if (start == before.size()) return false;
  std::vector<Hop> path;
  size_t at = start;
  do {
    size_t from = before[at];
    if (at < nodes_ && from < nodes_) {
      path.push_back({edges_[from * nodes_ + at].partition, MemberIndex(from), MemberIndex(at)});
    }
    at = from;
  } while (at != start);
  std::ranges::reverse(path);
  return SendAlong(path);
}

}  // namespace

ClaimPlacement PlaceReplicas(const ClaimDomains& domains, const std::vector<HomeList>& old,
                             const std::vector<int>& quotas, const QuotaBounds& bounds) {
  return Placement(domains, old, quotas, bounds).Run();
}

}  // namespace redynamo
