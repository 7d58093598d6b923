// SPDX-License-Identifier: Apache-2.0
#include "cluster/claim_quota.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

namespace redynamo {
namespace {

constexpr double kRounding = 1e-6;  // shares are below 2^17, computed to about 2^-36
constexpr int kBisections = 100;    // more than a double has bits

// The smallest limit k so that members which can take capacity[i] each take `total` together, none
// more than k. Then each gets k - 1 at least: that is as even as it can be.
std::vector<ClaimDomains::Bounds> EvenBounds(const std::vector<int>& capacity, int total) {
  int k = 1;
  auto taken = [&](int most) {
    int sum = 0;
    for (int c : capacity) sum += std::min(c, most);
    return sum;
  };
  while (taken(k) < total) k++;
  std::vector<ClaimDomains::Bounds> bounds;
  for (int c : capacity) bounds.push_back({std::min(c, k - 1), std::min(c, k)});
  return bounds;
}

void FindHosts(const ClaimInput& input, ClaimDomains* out) {
  std::map<std::string, int> by_label;
  for (size_t s = 0; s < input.nodes.size(); s++) {
    const ClaimNode& node = input.nodes[s];
    if (!node.takes_replicas) continue;
    int host = int(out->host_nodes.size());
    if (!node.host.empty()) host = by_label.try_emplace(node.host, host).first->second;
    if (host == int(out->host_nodes.size())) out->host_nodes.emplace_back();
    out->host_nodes[size_t(host)].push_back(MemberIndex(s));
    out->node_host[s] = host;
  }
}

// A host is in the zone that the first of its nodes with a zone names.
void FindZones(const ClaimInput& input, ClaimDomains* out) {
  std::map<std::string, int> by_label;
  for (size_t h = 0; h < out->host_nodes.size(); h++) {
    std::string label;
    bool torn = false;
    for (MemberIndex s : out->host_nodes[h]) {
      const std::string& zone = input.nodes[s].zone;
      torn = torn || (!zone.empty() && !label.empty() && zone != label);
      if (label.empty()) label = zone;
    }
    if (torn) out->torn_hosts.push_back(input.nodes[out->host_nodes[h][0]].host);
    out->zones_named = out->zones_named || !label.empty();
    int zone = int(out->zone_hosts.size());
    if (!label.empty()) zone = by_label.try_emplace(label, zone).first->second;
    if (zone == int(out->zone_hosts.size())) out->zone_hosts.emplace_back();
    out->zone_hosts[size_t(zone)].push_back(int(h));
    out->host_zone.push_back(zone);
    for (MemberIndex s : out->host_nodes[h]) out->node_zone[s] = zone;
  }
}

// The tree of zones, hosts and nodes, with bounds on each, in units of replicas per partition.
struct Group {
  double least = 0, most = 0;
  double weight = 0;             // of a leaf
  MemberIndex node = kNoMember;  // of a leaf
  std::vector<Group> parts;

  // What the group takes when each node wants its weight times `factor`.
  double At(double factor) const {
    double sum = parts.empty() ? weight * factor : 0;
    for (const Group& part : parts) sum += part.At(factor);
    return std::clamp(sum, least, most);
  }
};

Group TreeOf(const ClaimInput& input, const ClaimDomains& domains) {
  Group root;
  root.least = root.most = domains.replicas;
  for (size_t z = 0; z < domains.zone_hosts.size(); z++) {
    Group zone{double(domains.zone[z].least), double(domains.zone[z].most), 0, kNoMember, {}};
    for (int h : domains.zone_hosts[z]) {
      auto bounds = domains.host[size_t(h)];
      Group host{double(bounds.least), double(bounds.most), 0, kNoMember, {}};
      for (MemberIndex s : domains.host_nodes[size_t(h)]) {
        host.parts.push_back({0, 1, double(input.nodes[s].weight), s, {}});
      }
      zone.parts.push_back(std::move(host));
    }
    root.parts.push_back(std::move(zone));
  }
  return root;
}

void Fill(const Group& group, double total, double partitions, std::vector<double>* shares) {
  if (group.parts.empty()) {
    (*shares)[group.node] = total * partitions;
    return;
  }
  double low = 0, high = 1;  // weights are whole numbers: at 1 every node is full
  for (int i = 0; i < kBisections; i++) {
    double middle = (low + high) / 2, sum = 0;
    for (const Group& part : group.parts) sum += part.At(middle);
    (sum < total ? low : high) = middle;
  }
  for (const Group& part : group.parts) Fill(part, part.At(high), partitions, shares);
}

struct Part {
  double share = 0;
  int held = 0;
  int quota = 0;
};

// Splits `total` into quotas, each the floor or the ceiling of its share.
void Round(std::vector<Part>* parts, int total) {
  std::vector<size_t> order;
  for (size_t i = 0; i < parts->size(); i++) {
    Part& part = (*parts)[i];
    part.quota = ShareFloor(part.share);
    total -= part.quota;
    if (ShareCeil(part.share) > part.quota) order.push_back(i);
  }
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    const Part &left = (*parts)[a], &right = (*parts)[b];
    bool left_holds = left.held > left.quota, right_holds = right.held > right.quota;
    if (left_holds != right_holds) return left_holds;
    return left.share - left.quota > right.share - right.quota + kRounding;
  });
  for (size_t i = 0; i < order.size() && total > 0; i++, total--) (*parts)[order[i]].quota++;
}

}  // namespace

int ShareFloor(double share) { return int(std::floor(share + kRounding)); }
int ShareCeil(double share) { return int(std::ceil(share - kRounding)); }

ClaimDomains DomainsOf(const ClaimInput& input) {
  ClaimDomains out;
  out.node_host.assign(input.nodes.size(), -1);
  out.node_zone.assign(input.nodes.size(), -1);
  FindHosts(input, &out);
  FindZones(input, &out);
  std::vector<int> host_nodes, zone_capacity(out.zone_hosts.size()), zone_least = zone_capacity;
  for (const auto& nodes : out.host_nodes) host_nodes.push_back(int(nodes.size()));
  int nodes = std::accumulate(host_nodes.begin(), host_nodes.end(), 0);
  out.replicas = std::min(input.n, nodes);
  if (nodes == 0) return out;
  out.host = EvenBounds(host_nodes, out.replicas);
  out.hosts_with_least.resize(out.zone_hosts.size());
  for (size_t h = 0; h < out.host.size(); h++) {
    size_t zone = size_t(out.host_zone[h]);
    zone_capacity[zone] += out.host[h].most;
    zone_least[zone] += out.host[h].least;
    if (out.host[h].least > 0) out.hosts_with_least[zone].push_back(int(h));
  }
  out.zone = EvenBounds(zone_capacity, out.replicas);
  for (size_t z = 0; z < out.zone.size(); z++) {  // hosts come first
    out.zone[z].most = std::max(out.zone[z].most, zone_least[z]);
  }
  // Where hosts force more on some zones, others cannot insist on theirs.
  auto sum_least = [&] {
    int sum = 0;
    for (size_t z = 0; z < out.zone.size(); z++) sum += std::max(out.zone[z].least, zone_least[z]);
    return sum;
  };
  for (size_t z = 0; z < out.zone.size() && sum_least() > out.replicas; z++) {
    out.zone[z].least = zone_least[z];
  }
  for (size_t z = 0; z < out.zone.size(); z++) {
    if (out.zone[z].least > 0 || zone_least[z] > 0) out.zones_with_least.push_back(int(z));
  }
  out.has_least = !out.zones_with_least.empty();
  return out;
}

ClaimShares SharesOf(const ClaimInput& input, const ClaimDomains& domains) {
  ClaimShares out;
  double partitions = double(input.homes.size());
  out.bounded.assign(input.nodes.size(), 0);
  Fill(TreeOf(input, domains), domains.replicas, partitions, &out.bounded);
  double weights = 0;
  for (const ClaimNode& node : input.nodes) weights += node.takes_replicas ? node.weight : 0;
  for (const ClaimNode& node : input.nodes) {
    double weight = node.takes_replicas ? node.weight : 0;
    out.by_weight.push_back(partitions * domains.replicas * weight / weights);
  }
  return out;
}

QuotaBounds QuotaBoundsOf(const ClaimDomains& domains, const ClaimShares& shares) {
  std::vector<double> host(domains.host.size()), zone(domains.zone.size());
  for (size_t s = 0; s < shares.bounded.size(); s++) {
    if (domains.node_host[s] < 0) continue;
    host[size_t(domains.node_host[s])] += shares.bounded[s];
    zone[size_t(domains.node_zone[s])] += shares.bounded[s];
  }
  auto bounds = [](const std::vector<double>& of) {
    std::vector<ClaimDomains::Bounds> out;
    for (double share : of) out.push_back({ShareFloor(share), ShareCeil(share)});
    return out;
  };
  return {bounds(shares.bounded), bounds(host), bounds(zone)};
}

std::vector<int> QuotasOf(const ClaimInput& input, const ClaimDomains& domains,
                          const ClaimShares& shares, const std::vector<int>& held) {
  auto add = [](Part* sum, double share, int held) {
    sum->share += share;
    sum->held += held;
  };
  std::vector<Part> zones(domains.zone_hosts.size()), hosts(domains.host_nodes.size());
  for (size_t s = 0; s < input.nodes.size(); s++) {
    if (domains.node_host[s] < 0) continue;
    add(&hosts[size_t(domains.node_host[s])], shares.bounded[s], held[s]);
    add(&zones[size_t(domains.node_zone[s])], shares.bounded[s], held[s]);
  }
  Round(&zones, domains.replicas * int(input.homes.size()));
  for (size_t z = 0; z < zones.size(); z++) {
    std::vector<Part> inside;
    for (int h : domains.zone_hosts[z]) inside.push_back(hosts[size_t(h)]);
    Round(&inside, zones[z].quota);
    for (size_t i = 0; i < inside.size(); i++) {
      hosts[size_t(domains.zone_hosts[z][i])].quota = inside[i].quota;
    }
  }
  std::vector<int> quotas(input.nodes.size(), 0);
  for (size_t h = 0; h < hosts.size(); h++) {
    std::vector<Part> inside;
    for (MemberIndex s : domains.host_nodes[h]) inside.push_back({shares.bounded[s], held[s], 0});
    Round(&inside, hosts[h].quota);
    for (size_t i = 0; i < inside.size(); i++) quotas[domains.host_nodes[h][i]] = inside[i].quota;
  }
  return quotas;
}

std::vector<double> FillByWeight(const std::vector<double>& weights,
                                 const std::vector<double>& caps, double total) {
  std::vector<double> out(weights.size(), 0);
  std::vector<bool> full(weights.size(), false);
  for (size_t round = 0; round <= weights.size(); round++) {
    double weight = 0, left = total;
    for (size_t i = 0; i < weights.size(); i++) {
      if (full[i]) {
        left -= caps[i];
      } else {
        weight += weights[i];
      }
    }
    if (weight <= 0) break;
    bool changed = false;
    for (size_t i = 0; i < weights.size(); i++) {
      if (full[i]) continue;
      out[i] = weights[i] * left / weight;
      if (out[i] >= caps[i] && weights[i] > 0) full[i] = changed = true, out[i] = caps[i];
    }
    if (!changed) break;
  }
  return out;
}

}  // namespace redynamo
