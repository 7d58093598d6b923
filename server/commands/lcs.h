// SPDX-License-Identifier: Apache-2.0
// The longest common subsequence of two strings, and the runs of bytes that it consists of. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace redynamo {

struct LcsRun {
  uint32_t a_first, a_last;  // inclusive indexes
  uint32_t b_first, b_last;
  uint32_t length() const { return a_last - a_first + 1; }
};

// Lengths of the longest common subsequences of all pairs of prefixes. Needs
// 4 * (|a| + 1) * (|b| + 1) bytes; the strings must outlive it.
class LcsTable {
 public:
  // The bytes that a table for these two needs; saturates.
  static uint64_t BytesFor(size_t a_length, size_t b_length);

  LcsTable(std::string_view a, std::string_view b);
  uint32_t length() const { return At(a_.size(), b_.size()); }
  // Walks back through the table; of equally long ways the one that keeps more of `a`, as Redis
  // does. The runs come last first.
  std::string Subsequence() const;
  std::vector<LcsRun> Runs() const;

 private:
  uint32_t At(size_t i, size_t j) const { return cells_[i * (b_.size() + 1) + j]; }
  template <typename OnMatch>
  void WalkBack(OnMatch on_match) const;

  std::string_view a_, b_;
  std::vector<uint32_t> cells_;
};

}  // namespace redynamo
