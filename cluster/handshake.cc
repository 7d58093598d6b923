// SPDX-License-Identifier: Apache-2.0
#include "cluster/handshake.h"

#include <fmt/format.h>

namespace redynamo {
namespace {

HelloCheck Refuse(std::string reason) { return {HelloVerdict::kRefused, std::move(reason)}; }

}  // namespace

std::string ShortId(const Id128& id) {
  return fmt::format("{:02x}{:02x}{:02x}{:02x}", id[0], id[1], id[2], id[3]);
}

HelloCheck CheckHello(const wire::Hello& self, const wire::Hello& theirs) {
  if (theirs.node_id == Id128{} || theirs.process == 0) return Refuse("it does not say who it is");
  if (theirs.node_id == self.node_id) {
    if (theirs.process == self.process) return {HelloVerdict::kSelf, ""};
    return Refuse("another process runs with this node's id: was the data directory copied?");
  }
  if (theirs.oldest_version > self.version || self.oldest_version > theirs.version) {
    return Refuse(
        fmt::format("it speaks versions {} to {} of the ring's messages, this node {} to {}",
                    theirs.oldest_version, theirs.version, self.oldest_version, self.version));
  }
  const Id128 none{};
  if (theirs.cluster_id != self.cluster_id && theirs.cluster_id != none &&
      self.cluster_id != none) {
    return Refuse(fmt::format("it belongs to ring {}, this node to ring {}",
                              ShortId(theirs.cluster_id), ShortId(self.cluster_id)));
  }
  if (theirs.partitions != self.partitions) {
    return Refuse(fmt::format(
        "it has {} partitions, this node {}: give both the same ring-partitions, and the "
        "newer of them an empty directory",
        theirs.partitions, self.partitions));
  }
  return {};
}

}  // namespace redynamo
