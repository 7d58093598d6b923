// SPDX-License-Identifier: Apache-2.0
// The ring's partitions, and sets of them: what a node shall answer of a command that concerns all
// keys of the ring.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/hash.h"

namespace redynamo {

// How many there are is fixed when a data directory is made, and the same on all nodes of a ring:
// a power of two, neighbouring ranges of slots each. The engine says it when it opens a directory
// (SetPartitionCount), before anything else of it is used; engines of one process have the same.
inline constexpr int kPartitionsLeast = 64, kPartitionsMost = 4096, kPartitionsDefault = 1024;
inline bool IsPartitionCount(uint64_t count) {
  return std::has_single_bit(count) && count >= kPartitionsLeast && count <= kPartitionsMost;
}
namespace internal {
inline std::atomic<int> slots_per_partition_log2 =
    std::countr_zero(unsigned(kSlotCount)) - std::countr_zero(unsigned(kPartitionsDefault));
}  // namespace internal
inline int SlotsPerPartitionLog2() {
  return internal::slots_per_partition_log2.load(std::memory_order_relaxed);
}
inline int SlotsPerPartition() { return 1 << SlotsPerPartitionLog2(); }
inline int PartitionCount() { return kSlotCount >> SlotsPerPartitionLog2(); }
inline int PartitionOfSlot(uint16_t slot) { return slot >> SlotsPerPartitionLog2(); }
// REQUIRES: IsPartitionCount, and no engine is open.
inline void SetPartitionCount(int count) {
  internal::slots_per_partition_log2.store(
      std::countr_zero(unsigned(kSlotCount)) - std::countr_zero(unsigned(count)),
      std::memory_order_relaxed);
}

// A value of 512 bytes.
class PartitionSet {
 public:
  static size_t EncodedBytes() { return size_t(PartitionCount()) / 8; }

  static PartitionSet All() {
    PartitionSet all;
    std::fill_n(all.words_.begin(), size_t(PartitionCount()) / 64, ~0ull);
    return all;
  }
  bool Contains(int partition) const {
    return words_[size_t(partition) / 64] >> (partition % 64) & 1;
  }
  bool ContainsSlot(uint16_t slot) const { return Contains(PartitionOfSlot(slot)); }
  void Add(int partition) { words_[size_t(partition) / 64] |= 1ull << (partition % 64); }
  size_t size() const {
    size_t count = 0;
    for (uint64_t word : words_) count += size_t(std::popcount(word));
    return count;
  }
  bool empty() const { return size() == 0; }
  // The first one at or after `from`; PartitionCount() when there is none.
  int NextFrom(int from) const {
    for (size_t i = size_t(from) / 64; i < words_.size(); i++) {
      uint64_t word = words_[i];
      if (i == size_t(from) / 64) word &= ~0ull << (from % 64);
      if (word) return int(i * 64) + std::countr_zero(word);
    }
    return PartitionCount();
  }

  // The one with `n` lower ones. REQUIRES: n < size().
  int Nth(size_t n) const {
    int p = NextFrom(0);
    for (; n > 0; n--) p = NextFrom(p + 1);
    return p;
  }

  // A bit for each partition, the lowest first: partition 0 is bit 0 of the first byte.
  std::string Encode() const {
    std::string bytes(EncodedBytes(), '\0');
    for (int p = 0; p < PartitionCount(); p++) {
      if (Contains(p)) bytes[size_t(p) / 8] = char(uint8_t(bytes[size_t(p) / 8]) | 1 << (p % 8));
    }
    return bytes;
  }
  // Nothing when these are not EncodedBytes().
  static std::optional<PartitionSet> Decode(std::string_view bytes) {
    if (bytes.size() != EncodedBytes()) return std::nullopt;
    PartitionSet set;
    for (int p = 0; p < PartitionCount(); p++) {
      if (uint8_t(bytes[size_t(p) / 8]) >> (p % 8) & 1) set.Add(p);
    }
    return set;
  }
  bool operator==(const PartitionSet&) const = default;

 private:
  std::array<uint64_t, kPartitionsMost / 64> words_{};
};

}  // namespace redynamo
