// SPDX-License-Identifier: Apache-2.0
// The ring's partitions, and sets of them: what a node shall answer of a command that concerns all
// keys of the ring.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/hash.h"

namespace redynamo {

inline constexpr int kPartitionCount = 1024;
inline constexpr int kSlotsPerPartition = kSlotCount / kPartitionCount;
inline int PartitionOfSlot(uint16_t slot) { return slot / kSlotsPerPartition; }

// A value of 128 bytes.
class PartitionSet {
 public:
  static constexpr size_t kBytes = kPartitionCount / 8;

  static PartitionSet All() {
    PartitionSet all;
    all.words_.fill(~0ull);
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
  // The first one at or after `from`; kPartitionCount when there is none.
  int NextFrom(int from) const {
    for (size_t i = size_t(from) / 64; i < words_.size(); i++) {
      uint64_t word = words_[i];
      if (i == size_t(from) / 64) word &= ~0ull << (from % 64);
      if (word) return int(i * 64) + std::countr_zero(word);
    }
    return kPartitionCount;
  }

  // A bit for each partition, the lowest first: partition 0 is bit 0 of the first byte.
  std::string Encode() const {
    std::string bytes(kBytes, '\0');
    for (int p = 0; p < kPartitionCount; p++) {
      if (Contains(p)) bytes[size_t(p) / 8] = char(uint8_t(bytes[size_t(p) / 8]) | 1 << (p % 8));
    }
    return bytes;
  }
  // Nothing when these are not kBytes.
  static std::optional<PartitionSet> Decode(std::string_view bytes) {
    if (bytes.size() != kBytes) return std::nullopt;
    PartitionSet set;
    for (int p = 0; p < kPartitionCount; p++) {
      if (uint8_t(bytes[size_t(p) / 8]) >> (p % 8) & 1) set.Add(p);
    }
    return set;
  }
  bool operator==(const PartitionSet&) const = default;

 private:
  std::array<uint64_t, kPartitionCount / 64> words_{};
};

}  // namespace redynamo
