// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <nmmintrin.h>
#include <xxhash.h>

#include <array>
#include <cstring>

namespace redynamo {
namespace {

constexpr std::array<uint16_t, 256> MakeCrc16Table() {
  std::array<uint16_t, 256> table{};
  for (int i = 0; i < 256; i++) {
    uint16_t crc = uint16_t(i << 8);
    for (int bit = 0; bit < 8; bit++) {
      crc = uint16_t(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrc16Table = MakeCrc16Table();

uint16_t Crc16(std::string_view bytes) {
  uint16_t crc = 0;
  for (char c : bytes) crc = uint16_t(crc << 8 ^ kCrc16Table[(crc >> 8 ^ uint8_t(c)) & 0xff]);
  return crc;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes, uint32_t crc) {
  uint64_t state = ~crc;
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    state = _mm_crc32_u64(state, word);
  }
  for (; n > 0; p++, n--) state = _mm_crc32_u8(uint32_t(state), uint8_t(*p));
  return ~uint32_t(state);
}

uint16_t KeySlot(std::string_view key) {
  size_t open = key.find('{');
  if (open != std::string_view::npos) {
    size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) {
      key = key.substr(open + 1, close - open - 1);
    }
  }
  return Crc16(key) & (kSlotCount - 1);
}

KeyPlace PlaceOf(std::string_view key, uint64_t seed) {
  uint64_t hash = XXH3_64bits_withSeed(key.data(), key.size(), seed);
  return {KeySlot(key), hash >> (64 - kPositionHashBits)};
}

uint64_t ElementHash(std::string_view element, uint64_t seed) {
  return XXH3_64bits_withSeed(element.data(), element.size(), seed) >> (64 - kElementHashBits);
}

uint64_t StableHash(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace redynamo
