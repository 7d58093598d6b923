// SPDX-License-Identifier: Apache-2.0
// Who does what for each partition, by node ids: the ring document's views (view.h) spelt out for
// one node. Made anew for each document; a value, no I/O.
//
//   view of P: homes A B O, pending X, leaver O, phase 1      readers A B O      writers A B O X
//                                               phase 2      readers A B X      writers A B O X
//                                               phase 3      readers A B X      writers A B X
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "cluster/ring_document.h"

namespace redynamo {

// So many of `members` have to answer.
struct NodeQuorum {
  std::vector<Id128> members;
  int needed = 0;
  bool operator==(const NodeQuorum&) const = default;
};

struct Place {
  uint64_t epoch = 0;          // of the view
  NodeQuorum read;             // who coordinates, in this order, and whose answers count for R
  std::vector<Id128> writers;  // to whom events go, and who pulls: homes and pending
  // A write is done when both are met; outside of a change they are the same.
  NodeQuorum write_old, write_new;
  // Lets its replica go when the homes have all of it; only during a change.
  std::optional<Id128> leaver;
  bool self_reads = false, self_writes = false;

  bool Reads(const Id128& id) const;
  bool Writes(const Id128& id) const;
};

class Placement {
 public:
  Placement() = default;
  // `r` and `w` as configured: of fewer homes all are needed.
  Placement(const RingDocument& document, const Id128& self, int r, int w);

  size_t size() const { return places_.size(); }
  const Place& operator[](size_t partition) const { return places_[partition]; }

 private:
  std::vector<Place> places_;
};

}  // namespace redynamo
