// SPDX-License-Identifier: Apache-2.0
// What has to be true of every claim, whatever led to it, and a ring of plain nodes to try it on.
// Rules are spelt out here once more, from REPLICATION.md, not taken from the code under test.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "cluster/claim.h"
#include "cluster/claim_quota.h"

namespace redynamo {

// Where a node stands for the purposes of distinctness.
inline std::string HostLabel(const ClaimInput& input, MemberIndex m) {
  return input.nodes[m].host.empty() ? "node " + std::to_string(m) : input.nodes[m].host;
}
inline std::map<MemberIndex, std::string> ZoneLabels(const ClaimInput& input) {
  std::map<std::string, std::string> zone_of_host;
  for (size_t s = 0; s < input.nodes.size(); s++) {
    if (!input.nodes[s].takes_replicas) continue;
    std::string& zone = zone_of_host[HostLabel(input, MemberIndex(s))];
    if (zone.empty()) zone = input.nodes[s].zone;
  }
  std::map<MemberIndex, std::string> out;
  for (size_t s = 0; s < input.nodes.size(); s++) {
    std::string host = HostLabel(input, MemberIndex(s)), zone = zone_of_host[host];
    out[MemberIndex(s)] = zone.empty() ? "host " + host : zone;
  }
  return out;
}

class ClaimChecker {
 public:
  ClaimChecker(const ClaimInput& input, const Claim& claim) : input_(input), claim_(claim) {
    for (size_t s = 0; s < input.nodes.size(); s++) {
      if (input.nodes[s].takes_replicas) takers_.push_back(MemberIndex(s));
    }
    zones_ = ZoneLabels(input);
  }

  // The first thing that is wrong, or "".
  std::string Fault() {
    Homes();
    Counts();
    Shares();
    Moves();
    StepsLeadThere();
    if (claim_.Has(ClaimProblemKind::kNotPlaced)) Say("some replica found no node");
    return fault_;
  }

 private:
  void Say(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }

  size_t DistinctHosts(const HomeList& homes) const {
    std::set<std::string> seen;
    for (MemberIndex m : homes) seen.insert(HostLabel(input_, m));
    return seen.size();
  }
  template <typename Label>
  static void Spread(const HomeList& homes, const Label& label, size_t* distinct, int* most) {
    std::map<std::string, int> count;
    for (MemberIndex m : homes) *most = std::max(*most, ++count[label(m)]);
    *distinct = count.size();
  }

  void Homes() {
    std::set<std::string> hosts, zones;
    for (MemberIndex m : takers_) {
      hosts.insert(HostLabel(input_, m));
      zones.insert(zones_.at(m));
    }
    size_t replicas = std::min(size_t(input_.n), takers_.size());
    for (const HomeList& homes : claim_.homes) {
      if (homes.size() != replicas)
        Say("a partition has " + std::to_string(homes.size()) + " homes");
      std::set<MemberIndex> nodes(homes.begin(), homes.end());
      if (nodes.size() != homes.size()) Say("a node is home twice");
      for (MemberIndex m : homes) {
        if (!input_.nodes[m].takes_replicas) Say("a node that takes none has a replica");
      }
      size_t on_hosts = 0, in_zones = 0;
      int most = 0;
      Spread(
          homes, [&](MemberIndex m) { return HostLabel(input_, m); }, &on_hosts, &most);
      Spread(
          homes, [&](MemberIndex m) { return zones_.at(m); }, &in_zones, &most);
      if (on_hosts != std::min(replicas, hosts.size())) Say("hosts are not distinct");
      if (in_zones != std::min(replicas, zones.size())) Say("zones are not distinct");
    }
  }

  void Counts() {
    for (size_t s = 0; s < claim_.nodes.size(); s++) {
      const ClaimCounts& node = claim_.nodes[s];
      int replicas = 0, firsts = 0;
      for (const HomeList& homes : claim_.homes) {
        replicas += homes.Contains(MemberIndex(s));
        firsts += homes[0] == MemberIndex(s);
      }
      if (replicas != node.replicas_after || firsts != node.firsts_after) Say("counts are wrong");
      if (std::abs(replicas - node.share) >= 1) Say("replicas are off the share");
      if (std::abs(firsts - node.first_share) >= 1 &&
          !claim_.Has(ClaimProblemKind::kFirstsUneven)) {
        Say("firsts are off the share");
      }
    }
    bool plain = std::ranges::all_of(takers_, [&](MemberIndex m) {
      return input_.nodes[m].weight == input_.nodes[takers_[0]].weight &&
             input_.nodes[m].host.empty() && input_.nodes[m].zone.empty();
    });
    if (plain) WithinOne();
  }

  void WithinOne() {
    auto replicas = [&](MemberIndex m) { return claim_.nodes[m].replicas_after; };
    auto firsts = [&](MemberIndex m) { return claim_.nodes[m].firsts_after; };
    auto [least, most] = std::ranges::minmax(takers_, {}, replicas);
    if (replicas(most) - replicas(least) > 1) Say("replicas differ by more than one");
    auto [few, many] = std::ranges::minmax(takers_, {}, firsts);
    if (firsts(many) - firsts(few) > 1) Say("firsts differ by more than one");
    if (claim_.Has(ClaimProblemKind::kFirstsUneven)) Say("even firsts are called uneven");
  }

  // Shares are proportional unless a bound stands in the way: if a has more per weight than b, then
  // nothing could go from a to b.
  void Shares() {
    ClaimDomains domains = DomainsOf(input_);
    double partitions = double(input_.homes.size()), sum = 0;
    std::vector<double> host(domains.host.size()), zone(domains.zone.size());
    for (MemberIndex m : takers_) {
      sum += claim_.nodes[m].share;
      host[size_t(domains.node_host[m])] += claim_.nodes[m].share / partitions;
      zone[size_t(domains.node_zone[m])] += claim_.nodes[m].share / partitions;
    }
    if (std::abs(sum - partitions * domains.replicas) > 1e-3) Say("shares do not add up");
    auto at_most = [](double v, int bound) { return v > bound - 1e-6; };
    auto at_least = [](double v, int bound) { return v < bound + 1e-6; };
    for (MemberIndex a : takers_) {
      for (MemberIndex b : takers_) {
        double of_a = claim_.nodes[a].share / input_.nodes[a].weight;
        double of_b = claim_.nodes[b].share / input_.nodes[b].weight;
        if (of_a <= of_b * (1 + 1e-9) + 1e-9) continue;
        size_t ha = size_t(domains.node_host[a]), hb = size_t(domains.node_host[b]);
        size_t za = size_t(domains.node_zone[a]), zb = size_t(domains.node_zone[b]);
        bool blocked = at_most(claim_.nodes[b].share / partitions, 1) ||
                       (ha != hb && (at_most(host[hb], domains.host[hb].most) ||
                                     at_least(host[ha], domains.host[ha].least))) ||
                       (za != zb && (at_most(zone[zb], domains.zone[zb].most) ||
                                     at_least(zone[za], domains.zone[za].least)));
        if (!blocked) Say("shares are not proportional");
      }
    }
  }

  void Moves() {
    int moves = 0;
    for (size_t p = 0; p < input_.homes.size(); p++) {
      moves += int(claim_.homes[p].Minus(input_.homes[p]).size());
    }
    if (moves != claim_.moves) Say("moves are counted wrong");
    if (moves < claim_.moves_least) Say("fewer moves than the bound");
  }

  void StepsLeadThere() {
    std::vector<HomeList> at = input_.homes;
    for (const ClaimStep& step : claim_.steps) {
      for (size_t i = 0; i < step.size(); i++) {
        const PartitionChange& change = step[i];
        if (i > 0 && step[i - 1].partition >= change.partition) Say("a step is out of order");
        HomeList& homes = at[change.partition];
        HomeList came = change.after.Minus(homes), went = homes.Minus(change.after);
        if (came.size() > 1 || went.size() > 1) Say("a step changes more than one member");
        if ((came.empty() ? kNoMember : came[0]) != change.add ||
            (went.empty() ? kNoMember : went[0]) != change.remove) {
          Say("a step does not do what it says");
        }
        homes = change.after;
        const HomeList& before = input_.homes[change.partition];
        bool apart = DistinctHosts(before) == before.size() &&
                     DistinctHosts(claim_.homes[change.partition]) == size_t(claim_.replicas);
        if (apart && DistinctHosts(homes) < homes.size()) Say("a step puts two on one host");
      }
    }
    for (size_t p = 0; p < at.size(); p++) {
      if (!input_.homes[p].empty() && at[p] != claim_.homes[p]) Say("steps do not lead there");
    }
  }

  const ClaimInput& input_;
  const Claim& claim_;
  std::vector<MemberIndex> takers_;
  std::map<MemberIndex, std::string> zones_;
  std::string fault_;
};

inline std::string FaultOf(const ClaimInput& input, const Claim& claim) {
  return ClaimChecker(input, claim).Fault();
}

inline ClaimInput FreshInput(int partitions, int n, size_t nodes) {
  ClaimInput input;
  input.n = n;
  input.nodes.resize(nodes);
  input.homes.resize(size_t(partitions));
  return input;
}

// The same members with the claimed table.
inline ClaimInput After(const ClaimInput& input, const Claim& claim) {
  ClaimInput next = input;
  next.homes = claim.homes;
  return next;
}

}  // namespace redynamo
