// SPDX-License-Identifier: Apache-2.0
// How many replicas each node is to hold, before any partition is looked at: the first half of
// claim (claim.h).
//
// All partitions are alike, so a table exists for numbers c(s) exactly when c(s) <= Q and, for each
// host and zone, Q times the fewest and most replicas of one partition that it may have bound the
// sum of its nodes' c(s). Shares are the proportional point within those bounds: weight times a
// factor common to all that are not at a bound (water filling, on the tree of zones, hosts, nodes).
// They are rounded from the root down, so that zones and hosts are within one of their share, too.
#pragma once

#include <string>
#include <vector>

#include "cluster/claim.h"

namespace redynamo {

// The failure domains of the nodes that take replicas, and how many replicas of one partition may
// stand in each. Zones contain hosts.
struct ClaimDomains {
  struct Bounds {
    int least = 0, most = 0;
  };
  int replicas = 0;            // per partition
  std::vector<int> node_host;  // by node; -1: takes no replicas
  std::vector<int> node_zone;
  std::vector<int> host_zone;
  std::vector<std::vector<MemberIndex>> host_nodes;
  std::vector<std::vector<int>> zone_hosts;
  std::vector<Bounds> host, zone;
  // Where a bound from below is not 0: at most as many as there are replicas.
  std::vector<int> zones_with_least;               // their own, or that of a host in it
  std::vector<std::vector<int>> hosts_with_least;  // by zone
  bool has_least = false;                          // there are such zones
  bool zones_named = false;
  std::vector<std::string> torn_hosts;  // whose nodes name different zones
};

ClaimDomains DomainsOf(const ClaimInput& input);

// Replicas by node, before rounding.
struct ClaimShares {
  std::vector<double> bounded;    // by weights, within all bounds
  std::vector<double> by_weight;  // by weights alone: what cannot always be
};
// REQUIRES: domains.replicas > 0.
ClaimShares SharesOf(const ClaimInput& input, const ClaimDomains& domains);

// What rounding may make of the shares: floor and ceiling, by node, host and zone.
struct QuotaBounds {
  std::vector<ClaimDomains::Bounds> node, host, zone;
};
QuotaBounds QuotaBoundsOf(const ClaimDomains& domains, const ClaimShares& shares);

// Rounds shares to whole replicas, up where the node already holds more, so that fewer move.
// `held`: replicas by node today.
std::vector<int> QuotasOf(const ClaimInput& input, const ClaimDomains& domains,
                          const ClaimShares& shares, const std::vector<int>& held);

// Proportional to weights, adding up to `total`, none above its cap: what fills a cap leaves the
// rest to others.
std::vector<double> FillByWeight(const std::vector<double>& weights,
                                 const std::vector<double>& caps, double total);

// Whole numbers on either side of a share; what is within rounding errors of a whole is that.
int ShareFloor(double share);
int ShareCeil(double share);

}  // namespace redynamo
