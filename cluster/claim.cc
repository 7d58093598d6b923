// SPDX-License-Identifier: Apache-2.0
#include "cluster/claim.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/check.h"
#include "cluster/claim_flow.h"
#include "cluster/claim_quota.h"
#include "cluster/claim_rank.h"

namespace redynamo {
namespace {

// Partitions often stand for gigabytes, so two transfers of one partition are two steps: first what
// adds a replica, then exchanges, then what only removes.
class Steps {
 public:
  Steps(const ClaimInput& input, std::vector<ClaimStep>* steps) : steps_(*steps) {
    std::map<std::string, int> hosts, zones;
    for (const ClaimNode& node : input.nodes) {
      host_of_.push_back(DomainOf(node.host, int(host_of_.size()), &hosts));
      zone_of_.push_back(DomainOf(node.zone, int(zone_of_.size()), &zones));
    }
  }

  void Add(uint32_t partition, const HomeList& old, const HomeList& target) {
    HomeList at = old, came = target.Minus(old), went = old.Minus(target);
    size_t step = 0;
    while (!came.empty() || !went.empty()) {
      PartitionChange change;
      change.partition = partition;
      std::tie(change.add, change.remove) = Choose(at, came, went);
      if (change.add != kNoMember) came.Remove(change.add);
      if (change.remove != kNoMember) went.Remove(change.remove);
      if (change.remove == kNoMember) {
        at.Add(change.add);
      } else if (change.add == kNoMember) {
        at.Remove(change.remove);
      } else {
        at.Replace(change.remove, change.add);
      }
      change.after = came.empty() && went.empty() ? target : at;
      Put(step++, change);
    }
    if (step == 0 && old != target)
      order_only_.push_back({partition, kNoMember, kNoMember, target});
  }

  // Ranks that change by themselves change in the last step.
  void Finish() {
    if (order_only_.empty()) return;
    if (steps_.empty()) steps_.emplace_back();
    ClaimStep& last = steps_.back();
    last.insert(last.end(), order_only_.begin(), order_only_.end());
    std::ranges::sort(last, {}, &PartitionChange::partition);
  }

 private:
  // The exchange after which most hosts, then zones, are distinct.
  std::pair<MemberIndex, MemberIndex> Choose(const HomeList& at, const HomeList& came,
                                             const HomeList& went) const {
    HomeList adds = came, removes = went;
    if (came.size() > went.size()) {
      removes = {kNoMember};
    } else if (came.empty()) {
      adds = {kNoMember};
    }
    std::tuple<int, int, size_t, size_t> best{INT32_MAX, 0, 0, 0};
    for (size_t i = 0; i < adds.size(); i++) {
      for (size_t j = 0; j < removes.size(); j++) {
        HomeList after = at;
        after.Remove(removes[j]);
        if (adds[i] != kNoMember) after.Add(adds[i]);
        best = std::min(best, {-Distinct(after, host_of_), -Distinct(after, zone_of_), i, j});
      }
    }
    return {adds[std::get<2>(best)], removes[std::get<3>(best)]};
  }

  // Of all nodes, those that leave included. Without a label it is the node's own, below 0.
  static int DomainOf(const std::string& label, int node, std::map<std::string, int>* labels) {
    if (label.empty()) return -1 - node;
    return labels->try_emplace(label, int(labels->size())).first->second;
  }

  static int Distinct(const HomeList& homes, const std::vector<int>& domain_of) {
    HomeList seen;
    for (MemberIndex m : homes) {
      bool known = std::any_of(seen.begin(), seen.end(),
                               [&](MemberIndex s) { return domain_of[s] == domain_of[m]; });
      if (!known) seen.Add(m);
    }
    return int(seen.size());
  }

  void Put(size_t step, const PartitionChange& change) {
    if (steps_.size() <= step) steps_.resize(step + 1);
    steps_[step].push_back(change);
  }

  std::vector<ClaimStep>& steps_;
  std::vector<int> host_of_, zone_of_;
  std::vector<PartitionChange> order_only_;
};

class Report {
 public:
  Report(const ClaimInput& input, const ClaimDomains& domains,
         const std::vector<std::string>& names, Claim* claim)
      : input_(input), domains_(domains), names_(names), claim_(*claim) {}

  void Domains() {
    int hosts = int(domains_.host_nodes.size()), zones = int(domains_.zone_hosts.size());
    int replicas = domains_.replicas;
    if (replicas < input_.n) {
      Add(ClaimProblemKind::kFewNodes, Count(replicas, "node") + " for " +
                                           Count(input_.n, "replica") + ": each partition has " +
                                           std::to_string(replicas));
    }
    if (hosts < replicas) {
      Add(ClaimProblemKind::kFewHosts, Count(hosts, "host") + " for " + Count(replicas, "replica") +
                                           ": replicas of a partition share a host");
    }
    if (zones < replicas && domains_.zones_named) {
      Add(ClaimProblemKind::kFewZones, Count(zones, "zone") + " for " + Count(replicas, "replica") +
                                           ": replicas of a partition share a zone");
    }
    for (const std::string& host : domains_.torn_hosts) {
      Add(ClaimProblemKind::kHostInTwoZones,
          "nodes on host '" + host + "' name different zones; the first one's counts for all");
    }
  }

  void Shares() {
    for (size_t s = 0; s < claim_.nodes.size(); s++) {
      const ClaimCounts& node = claim_.nodes[s];
      if (std::abs(node.share - node.wanted_share) >= 1) {
        Add(ClaimProblemKind::kShareNotPossible,
            Name(s) + " holds " + std::to_string(node.replicas_after) +
                " replicas where its weight asks for " +
                std::to_string(int(std::lround(node.wanted_share))) +
                ": distinct nodes, hosts and zones leave no other way");
      }
      if (node.firsts_after < ShareFloor(node.first_share) ||
          node.firsts_after > ShareCeil(node.first_share)) {
        Add(ClaimProblemKind::kFirstsUneven,
            Name(s) + " is rank 0 of " + std::to_string(node.firsts_after) +
                " partitions where its share is " +
                std::to_string(int(std::lround(node.first_share))));
      }
    }
  }

  void Add(ClaimProblemKind kind, std::string text) {
    claim_.problems.push_back({kind, std::move(text)});
  }

 private:
  static std::string Count(int count, const std::string& noun) {
    return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
  }
  std::string Name(size_t node) const {
    return names_.empty() ? "node " + std::to_string(node) : names_[node];
  }

  const ClaimInput& input_;
  const ClaimDomains& domains_;
  const std::vector<std::string>& names_;
  Claim& claim_;
};

void CountAll(const ClaimInput& input, Claim* claim) {
  for (size_t p = 0; p < input.homes.size(); p++) {
    const HomeList &old = input.homes[p], &now = claim->homes[p];
    for (MemberIndex m : old) claim->nodes[m].replicas_before++;
    for (MemberIndex m : now) claim->nodes[m].replicas_after++;
    if (!old.empty()) claim->nodes[old[0]].firsts_before++;
    if (!now.empty()) claim->nodes[now[0]].firsts_after++;
    claim->moves += int(now.Minus(old).size());
  }
}

void CheckInput(const ClaimInput& input, const std::vector<std::string>& names) {
  CHECK_THAT(input.n >= 1 && input.n <= kReplicasMax);
  CHECK_THAT(input.nodes.size() <= size_t(kRingMembersMax));
  CHECK_THAT(names.empty() || names.size() == input.nodes.size());
  for (const ClaimNode& node : input.nodes) {
    CHECK_THAT(node.weight >= 1 && node.weight <= kRingWeightMax);
  }
}

}  // namespace

bool Claim::Has(ClaimProblemKind kind) const {
  return std::ranges::any_of(problems, [&](const ClaimProblem& p) { return p.kind == kind; });
}

Claim ClaimHomes(const ClaimInput& input, const std::vector<std::string>& names) {
  CheckInput(input, names);
  Claim claim;
  claim.nodes.resize(input.nodes.size());
  claim.homes = input.homes;
  ClaimDomains domains = DomainsOf(input);
  claim.replicas = domains.replicas;
  Report report(input, domains, names, &claim);
  if (domains.replicas == 0) {
    CountAll(input, &claim);
    report.Add(ClaimProblemKind::kNoNodes, "no node is left to hold replicas");
    return claim;
  }
  std::vector<int> held(input.nodes.size(), 0);
  for (const HomeList& list : input.homes) {
    for (MemberIndex m : list) held[m]++;
  }
  ClaimShares shares = SharesOf(input, domains);
  ClaimPlacement placed = PlaceReplicas(
      domains, input.homes, QuotasOf(input, domains, shares, held), QuotaBoundsOf(domains, shares));
  std::vector<double> first_shares = FirstSharesOf(input, domains, placed.homes);
  RankHomes(input.homes, first_shares, &placed.homes);
  claim.homes = std::move(placed.homes);
  claim.moves_least = placed.moves_least;
  for (size_t s = 0; s < input.nodes.size(); s++) {
    claim.nodes[s].share = shares.bounded[s];
    claim.nodes[s].wanted_share = shares.by_weight[s];
    claim.nodes[s].first_share = first_shares[s];
  }
  CountAll(input, &claim);
  Steps steps(input, &claim.steps);
  for (uint32_t p = 0; p < input.homes.size(); p++) {
    if (!input.homes[p].empty()) steps.Add(p, input.homes[p], claim.homes[p]);
  }
  steps.Finish();
  report.Domains();
  report.Shares();
  if (placed.not_placed > 0) {
    report.Add(ClaimProblemKind::kNotPlaced,
               std::to_string(placed.not_placed) + " replicas found no node");
  }
  return claim;
}

ClaimInput ClaimInputOf(const RingDocument& document) {
  ClaimInput input;
  input.n = document.n;
  for (const Member& member : document.members) {
    input.nodes.push_back({member.takes_replicas(), member.weight, member.host, member.zone});
  }
  for (const View& view : document.views) input.homes.push_back(view.NewHomes());
  return input;
}

Claim ClaimFor(const RingDocument& document) {
  std::vector<std::string> names;
  for (const Member& member : document.members) names.push_back(member.ring_address.ToString());
  return ClaimHomes(ClaimInputOf(document), names);
}

}  // namespace redynamo
