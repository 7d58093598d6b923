// SPDX-License-Identifier: Apache-2.0
// Who wrote what: dots, and the exact clocks that say which dots a partition has seen
// (REPLICATION.md section 2; dotted version vectors, Preguiça et al. 2010).
//
// A dot (actor, n) names the n-th event of an actor in one partition; n is dense from 1. A clock
// holds, per actor, the exact set of seen n as intervals, so that gaps stay gaps:
//
//   seen 1 2 3 7 of actor 0       {0: [1,3] [7,7]}
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace redynamo {

// 16 bits of the actor's local index (see ActorTable), 48 bits of n. 0 is no dot.
using Dot = uint64_t;
inline constexpr int kDotCounterBits = 48;
inline Dot MakeDot(uint16_t actor, uint64_t n) { return uint64_t(actor) << kDotCounterBits | n; }
inline uint16_t DotActor(Dot dot) { return uint16_t(dot >> kDotCounterBits); }
inline uint64_t DotCounter(Dot dot) { return dot & ((1ull << kDotCounterBits) - 1); }

// A set of counters as sorted, disjoint, non-adjacent closed intervals.
class IntervalSet {
 public:
  struct Interval {
    uint64_t first, last;
    bool operator==(const Interval&) const = default;
  };
  bool Contains(uint64_t n) const;
  void Add(uint64_t n) { AddRange(n, n); }
  void AddRange(uint64_t first, uint64_t last);
  bool Covers(const IntervalSet& other) const;
  IntervalSet Minus(const IntervalSet& other) const;
  uint64_t max() const { return intervals_.empty() ? 0 : intervals_.back().last; }
  const std::vector<Interval>& intervals() const { return intervals_; }
  bool operator==(const IntervalSet&) const = default;

 private:
  std::vector<Interval> intervals_;
};

// The dots that one replica of a partition has applied.
class PartitionClock {
 public:
  bool Contains(Dot dot) const;
  void Add(Dot dot);
  void AddRange(uint16_t actor, uint64_t first, uint64_t last) {
    actors_[actor].AddRange(first, last);
  }
  void Join(const PartitionClock& other);
  bool Covers(const PartitionClock& other) const;
  // The dots of this clock that `other` does not have.
  PartitionClock Minus(const PartitionClock& other) const;
  uint64_t Max(uint16_t actor) const;
  bool empty() const { return actors_.empty(); }
  const std::map<uint16_t, IntervalSet>& actors() const { return actors_; }
  bool operator==(const PartitionClock&) const = default;

  // Grammar: count, then per actor: index, interval count, then (gap, length - 1) pairs; all
  // varint.
  void EncodeTo(std::string* out) const;
  static bool Decode(ByteReader* in, PartitionClock* out);  // false on malformed bytes

 private:
  std::map<uint16_t, IntervalSet> actors_;
};

}  // namespace redynamo
