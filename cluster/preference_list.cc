// SPDX-License-Identifier: Apache-2.0
#include "cluster/preference_list.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace redynamo {
namespace {

// Calls f with each member that may be a fallback, once, in clockwise order, until it says false.
template <typename F>
void WalkClockwise(const RingDocument& document, int partition, const HomeList& targets,
                   const Suspects& suspects, F f) {
  std::vector<bool> seen(document.members.size());
  auto visit = [&](MemberIndex m) {
    if (seen[m]) return true;
    seen[m] = true;
    bool possible =
        document.members[m].takes_replicas() && !targets.Contains(m) && !Suspected(suspects, m);
    return !possible || f(m);
  };
  size_t partitions = document.views.size();
  for (size_t i = 1; i < partitions; i++) {
    const HomeList& homes = document.views[(size_t(partition) + i) % partitions].homes;
    if (!homes.empty() && !visit(homes[0])) return;
  }
  for (size_t m = 0; m < document.members.size(); m++) {
    if (!visit(MemberIndex(m))) return;
  }
}

}  // namespace

PreferenceList PreferenceListOf(const RingDocument& document, uint16_t slot) {
  PreferenceList out;
  out.partition = RingPartitionOf(slot, document.partitions());
  const View& view = document.views[size_t(out.partition)];
  out.homes = ReadQuorumOf(view, 1).members;
  out.targets = WriteQuorumOf(view, 1).targets;
  return out;
}

std::optional<MemberIndex> FirstHealthy(const HomeList& homes, const Suspects& suspects) {
  for (MemberIndex m : homes) {
    if (!Suspected(suspects, m)) return m;
  }
  return std::nullopt;
}

std::vector<MemberIndex> FallbacksOf(const RingDocument& document, int partition,
                                     const Suspects& suspects, size_t count) {
  HomeList targets = WriteQuorumOf(document.views[size_t(partition)], 1).targets;
  std::set<std::string_view> used;  // hosts; without a label each node is on its own
  for (MemberIndex m : targets) used.insert(document.members[m].host);
  std::vector<MemberIndex> apart, same_host;
  if (count == 0) return apart;
  WalkClockwise(document, partition, targets, suspects, [&](MemberIndex m) {
    std::string_view host = document.members[m].host;
    bool is_apart = host.empty() || used.insert(host).second;
    (is_apart ? apart : same_host).push_back(m);
    return apart.size() < count;
  });
  for (MemberIndex m : same_host) {
    if (apart.size() < count) apart.push_back(m);
  }
  return apart;
}

}  // namespace redynamo
