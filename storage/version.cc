// SPDX-License-Identifier: Apache-2.0
#include "storage/version.h"

#include <algorithm>

namespace redynamo {

bool IntervalSet::Contains(uint64_t n) const {
  auto after = std::upper_bound(intervals_.begin(), intervals_.end(), n,
                                [](uint64_t v, const Interval& i) { return v < i.first; });
  return after != intervals_.begin() && n <= std::prev(after)->last;
}

void IntervalSet::AddRange(uint64_t first, uint64_t last) {
  if (!intervals_.empty() && intervals_.back().last + 1 == first) {  // the usual case: the next one
    intervals_.back().last = last;
    return;
  }
  auto begin = std::lower_bound(intervals_.begin(), intervals_.end(), first,
                                [](const Interval& i, uint64_t v) { return i.last + 1 < v; });
  auto end = begin;
  while (end != intervals_.end() && end->first <= last + 1) {
    first = std::min(first, end->first);
    last = std::max(last, end->last);
    ++end;
  }
  auto at = intervals_.erase(begin, end);
  intervals_.insert(at, {first, last});
}

bool IntervalSet::Covers(const IntervalSet& other) const {
  for (const Interval& wanted : other.intervals_) {
    auto after = std::upper_bound(intervals_.begin(), intervals_.end(), wanted.first,
                                  [](uint64_t v, const Interval& i) { return v < i.first; });
    if (after == intervals_.begin() || std::prev(after)->last < wanted.last) return false;
  }
  return true;
}

IntervalSet IntervalSet::Minus(const IntervalSet& other) const {
  IntervalSet out;
  for (auto [first, last] : intervals_) {
    for (const Interval& hole : other.intervals_) {
      if (hole.last < first || hole.first > last) continue;
      if (hole.first > first) out.intervals_.push_back({first, hole.first - 1});
      first = hole.last + 1;
      if (first > last) break;
    }
    if (first <= last) out.intervals_.push_back({first, last});
  }
  return out;
}

bool PartitionClock::Contains(Dot dot) const {
  auto it = actors_.find(DotActor(dot));
  return it != actors_.end() && it->second.Contains(DotCounter(dot));
}

void PartitionClock::Add(Dot dot) { actors_[DotActor(dot)].Add(DotCounter(dot)); }

void PartitionClock::Join(const PartitionClock& other) {
  for (const auto& [actor, set] : other.actors_) {
    IntervalSet& mine = actors_[actor];
    for (const auto& interval : set.intervals()) mine.AddRange(interval.first, interval.last);
  }
}

bool PartitionClock::Covers(const PartitionClock& other) const {
  for (const auto& [actor, set] : other.actors_) {
    auto it = actors_.find(actor);
    if (it == actors_.end() ? !set.intervals().empty() : !it->second.Covers(set)) return false;
  }
  return true;
}

PartitionClock PartitionClock::Minus(const PartitionClock& other) const {
  PartitionClock out;
  for (const auto& [actor, set] : actors_) {
    auto it = other.actors_.find(actor);
    IntervalSet rest = it == other.actors_.end() ? set : set.Minus(it->second);
    if (!rest.intervals().empty()) out.actors_[actor] = std::move(rest);
  }
  return out;
}

uint64_t PartitionClock::Max(uint16_t actor) const {
  auto it = actors_.find(actor);
  return it == actors_.end() ? 0 : it->second.max();
}

void PartitionClock::EncodeTo(std::string* out) const {
  PutVarint(out, actors_.size());
  for (const auto& [actor, set] : actors_) {
    PutVarint(out, actor);
    PutVarint(out, set.intervals().size());
    uint64_t previous = 0;
    for (const auto& interval : set.intervals()) {
      PutVarint(out, interval.first - previous);
      PutVarint(out, interval.last - interval.first);
      previous = interval.last;
    }
  }
}

bool PartitionClock::Decode(ByteReader* in, PartitionClock* out) {
  uint64_t actor_count = in->Varint();
  for (uint64_t a = 0; a < actor_count && in->ok(); a++) {
    uint64_t actor = in->Varint();
    uint64_t interval_count = in->Varint();
    if (actor > 0xffff) return false;
    uint64_t previous = 0;
    for (uint64_t i = 0; i < interval_count && in->ok(); i++) {
      uint64_t first = previous + in->Varint();
      uint64_t last = first + in->Varint();
      if (first <= previous || last < first || last >> kDotCounterBits) return false;
      out->actors_[uint16_t(actor)].AddRange(first, last);
      previous = last;
    }
  }
  return in->ok();
}

}  // namespace redynamo
