// SPDX-License-Identifier: Apache-2.0
#include "storage/replica_clock.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace redynamo {

bool ReplicaClock::Contains(const PortableDot& dot) const {
  auto it = actors.find(dot.actor);
  return it != actors.end() && it->second.Contains(dot.n);
}

bool ReplicaClock::Covers(const ReplicaClock& other) const {
  return std::all_of(other.actors.begin(), other.actors.end(), [&](const auto& item) {
    auto it = actors.find(item.first);
    return it != actors.end() && it->second.Covers(item.second);
  });
}

ReplicaClock ReplicaClock::Minus(const ReplicaClock& other) const {
  ReplicaClock out;
  for (const auto& [actor, set] : actors) {
    auto it = other.actors.find(actor);
    IntervalSet rest = it == other.actors.end() ? set : set.Minus(it->second);
    if (!rest.intervals().empty()) out.actors[actor] = std::move(rest);
  }
  return out;
}

void ReplicaClock::Join(const ReplicaClock& other) {
  for (const auto& [actor, set] : other.actors) {
    IntervalSet& mine = actors[actor];
    for (const auto& interval : set.intervals()) mine.AddRange(interval.first, interval.last);
  }
}

uint64_t ReplicaClock::Hash() const {
  if (actors.empty()) return 0;
  std::string bytes;
  EncodeTo(&bytes);
  return StableHash(bytes);
}

void ReplicaClock::EncodeTo(std::string* out) const {
  PutVarint(out, actors.size());
  for (const auto& [actor, set] : actors) {
    out->append(reinterpret_cast<const char*>(actor.data()), actor.size());
    PutVarint(out, set.intervals().size());
    uint64_t previous = 0;
    for (const auto& interval : set.intervals()) {
      PutVarint(out, interval.first - previous);
      PutVarint(out, interval.last - interval.first);
      previous = interval.last;
    }
  }
}

bool ReplicaClock::Decode(ByteReader* in, ReplicaClock* out) {
  out->actors.clear();
  uint64_t actor_count = in->Varint();
  for (uint64_t a = 0; a < actor_count && in->ok(); a++) {
    Id128 actor{};
    std::string_view id = in->Bytes(actor.size());
    uint64_t interval_count = in->Varint();
    if (!in->ok() || interval_count == 0) return false;
    std::memcpy(actor.data(), id.data(), actor.size());
    if (!out->actors.empty() && actor <= out->actors.rbegin()->first) return false;
    IntervalSet& set = out->actors[actor];
    uint64_t previous = 0;
    for (uint64_t i = 0; i < interval_count; i++) {
      uint64_t gap = in->Varint(), length = in->Varint();
      if (!in->ok() || gap == 0 || (previous > 0 && gap == 1)) return false;
      if (gap >> kDotCounterBits || length >> kDotCounterBits) return false;
      uint64_t first = previous + gap, last = first + length;
      if (last >> kDotCounterBits) return false;
      set.AddRange(first, last);
      previous = last;
    }
  }
  return in->ok();
}

}  // namespace redynamo
