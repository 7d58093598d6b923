// SPDX-License-Identifier: Apache-2.0
#include "cluster/placement.h"

#include <algorithm>

namespace redynamo {
namespace {

std::vector<Id128> IdsOf(const RingDocument& document, const HomeList& list) {
  std::vector<Id128> out;
  for (MemberIndex m : list) out.push_back(document.members[m].id.bytes);
  return out;
}

NodeQuorum Named(const RingDocument& document, const Quorum& quorum) {
  return {IdsOf(document, quorum.members), quorum.needed};
}

bool Has(const std::vector<Id128>& ids, const Id128& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

bool Place::Reads(const Id128& id) const { return Has(read.members, id); }

bool Place::Writes(const Id128& id) const { return Has(writers, id); }

Placement::Placement(const RingDocument& document, const Id128& self, int r, int w) {
  places_.resize(document.views.size());
  for (size_t p = 0; p < places_.size(); p++) {
    const View& view = document.views[p];
    Place& place = places_[p];
    WriteQuorum write = WriteQuorumOf(view, w);
    place.epoch = view.epoch;
    place.read = Named(document, ReadQuorumOf(view, r));
    place.writers = IdsOf(document, write.targets);
    place.write_old = Named(document, write.of_old);
    place.write_new = Named(document, write.of_new);
    if (view.leaver != kNoMember) place.leaver = document.members[view.leaver].id.bytes;
    place.self_reads = place.Reads(self);
    place.self_writes = place.Writes(self);
  }
}

}  // namespace redynamo
