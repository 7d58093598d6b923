// SPDX-License-Identifier: Apache-2.0
// Clocks and dots as they travel between nodes: actors are spelt as their 128-bit ids, never as the
// indexes under which one data directory knows them (REPLICATION.md section 2).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "storage/identity.h"
#include "storage/version.h"

namespace redynamo {

// The n-th event of an actor in some partition; n counts from 1.
struct PortableDot {
  Id128 actor{};
  uint64_t n = 0;
  auto operator<=>(const PortableDot&) const = default;
};

struct EventId {
  uint16_t partition = 0;
  PortableDot dot;
  auto operator<=>(const EventId&) const = default;
};

// What a replica of a partition has seen. Equal clocks have equal bytes and hashes on all nodes.
struct ReplicaClock {
  std::map<Id128, IntervalSet> actors;  // none is empty

  bool empty() const { return actors.empty(); }
  bool Contains(const PortableDot& dot) const;
  bool Covers(const ReplicaClock& other) const;
  // The dots of this clock that `other` does not have.
  ReplicaClock Minus(const ReplicaClock& other) const;
  void Join(const ReplicaClock& other);
  void Add(const PortableDot& dot) { actors[dot.actor].Add(dot.n); }
  bool operator==(const ReplicaClock&) const = default;

  // 64 bits of all of it; 0 when empty.
  uint64_t Hash() const;
  // Grammar: count, then per actor in ascending order: 16 bytes of id, interval count, then
  // (gap, length - 1) pairs; all varint.
  void EncodeTo(std::string* out) const;
  // False on bytes that EncodeTo does not give.
  static bool Decode(ByteReader* in, ReplicaClock* out);
};

}  // namespace redynamo
