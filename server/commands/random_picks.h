// SPDX-License-Identifier: Apache-2.0
// Which elements HRANDFIELD and SRANDMEMBER give. A count below zero asks for so many, repeats
// allowed; any other for so many different ones, at most all.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "server/command.h"

namespace redynamo {

// Latches Redis' texts for what is no number or out of its range.
inline int64_t ReadRandomCount(ArgReader& args) {
  int64_t count = args.Int64();
  if (args.ok() && count == std::numeric_limits<int64_t>::min()) {
    args.Fail(
        "ERR value is out of range, value must between -9223372036854775807 and "
        "9223372036854775807");
  }
  return count;
}

// True when `count` different ones of `size` are better found by drawing until they differ than by
// taking all and dropping some: a third or less of them is wanted.
inline bool DrawsAreCheaper(uint64_t count, uint64_t size) { return count <= size / 3; }

// Draws until `count` different elements have come, and takes each of them once. REQUIRES:
// DrawsAreCheaper, or it may take long.
template <typename Draw, typename KeyOf, typename Take>
void DrawDifferent(uint64_t count, Draw draw, KeyOf key_of, Take take) {
  absl::flat_hash_set<std::string_view> seen;
  seen.reserve(count);
  while (seen.size() < count) {
    auto element = draw();
    if (seen.insert(key_of(element)).second) take(element);
  }
}

// Moves `count` randomly chosen elements to the front of `all`, in random order, and drops the
// others.
template <typename Element>
void KeepRandom(std::vector<Element>* all, uint64_t count, Random& random) {
  for (uint64_t i = 0; i < count; i++) {
    std::swap((*all)[i], (*all)[i + random.Below(all->size() - i)]);
  }
  all->resize(count);
}

}  // namespace redynamo
