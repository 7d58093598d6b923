// SPDX-License-Identifier: Apache-2.0
#include "server/commands/lcs.h"

#include <algorithm>
#include <limits>

namespace redynamo {

uint64_t LcsTable::BytesFor(size_t a_length, size_t b_length) {
  unsigned __int128 bytes = (unsigned __int128)(a_length + 1) * (b_length + 1) * sizeof(uint32_t);
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  return bytes > kMax ? kMax : uint64_t(bytes);
}

LcsTable::LcsTable(std::string_view a, std::string_view b)
    : a_(a), b_(b), cells_((a.size() + 1) * (b.size() + 1)) {
  const size_t width = b.size() + 1;
  for (size_t i = 1; i <= a.size(); i++) {
    const uint32_t* above = &cells_[(i - 1) * width];
    uint32_t* row = &cells_[i * width];
    for (size_t j = 1; j <= b.size(); j++) {
      row[j] = a[i - 1] == b[j - 1] ? above[j - 1] + 1 : std::max(above[j], row[j - 1]);
    }
  }
}

// Calls on_match(index in a, index in b) for each byte of the subsequence, last first.
template <typename OnMatch>
void LcsTable::WalkBack(OnMatch on_match) const {
  size_t i = a_.size(), j = b_.size();
  while (i > 0 && j > 0) {
    if (a_[i - 1] == b_[j - 1]) {
      on_match(uint32_t(--i), uint32_t(--j));
    } else if (At(i - 1, j) > At(i, j - 1)) {
      i--;
    } else {
      j--;
    }
  }
}

std::string LcsTable::Subsequence() const {
  std::string bytes;
  bytes.reserve(length());
  WalkBack([&](uint32_t i, uint32_t) { bytes.push_back(a_[i]); });
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::vector<LcsRun> LcsTable::Runs() const {
  std::vector<LcsRun> runs;
  WalkBack([&](uint32_t i, uint32_t j) {
    if (!runs.empty() && runs.back().a_first == i + 1 && runs.back().b_first == j + 1) {
      runs.back().a_first = i;
      runs.back().b_first = j;
    } else {
      runs.push_back({i, i, j, j});
    }
  });
  return runs;
}

}  // namespace redynamo
