// SPDX-License-Identifier: Apache-2.0
// The hashes that name places: a key's cluster slot, its position, an element's order inside a
// collection, and the checksum of everything on disk.
#pragma once

#include <cstdint>
#include <string_view>

namespace redynamo {

inline constexpr int kSlotCount = 16384;
inline constexpr int kPositionHashBits = 39;  // 14 + 39 = 53 bits: exact in a double
inline constexpr int kElementHashBits = 48;

// CRC32C (Castagnoli) of `bytes`, continuing from `crc`.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

// Redis Cluster's slot: CRC16/XMODEM of the key, or of the part between the first '{' and the next
// '}' when that part is not empty (https://redis.io/docs/reference/cluster-spec/).
uint16_t KeySlot(std::string_view key);

// Where a key lives: slot (14 bits) and 39 bits of XXH3 under the data directory's seed.
struct KeyPlace {
  uint16_t slot;
  uint64_t hash39;
  uint64_t position() const { return uint64_t(slot) << kPositionHashBits | hash39; }
};
KeyPlace PlaceOf(std::string_view key, uint64_t seed);

// 48 bits of XXH3: the order of elements inside a large collection, in memory and on disk.
uint64_t ElementHash(std::string_view element, uint64_t seed);

// A 64-bit hash whose value two nodes must agree on (leaf sums, digests).
uint64_t StableHash(std::string_view bytes, uint64_t seed = 0);

}  // namespace redynamo
