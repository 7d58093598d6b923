// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <nmmintrin.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <cstring>

namespace redynamo {
namespace {

// table[k][b]: the CRC of byte b followed by k zero bytes, so that four bytes go in one step.
using Crc16Tables = std::array<std::array<uint16_t, 256>, 4>;

constexpr Crc16Tables MakeCrc16Tables() {
  Crc16Tables tables{};
  for (int i = 0; i < 256; i++) {
    uint16_t crc = uint16_t(i << 8);
    for (int bit = 0; bit < 32; bit++) {
      crc = uint16_t(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
      if (bit % 8 == 7) tables[bit / 8][i] = crc;
    }
  }
  return tables;
}
constexpr Crc16Tables kCrc16 = MakeCrc16Tables();

uint16_t Crc16(std::string_view bytes) {
  uint16_t crc = 0;
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 4; p += 4, n -= 4) {
    crc = kCrc16[3][(crc >> 8 ^ uint8_t(p[0])) & 0xff] ^ kCrc16[2][(crc ^ uint8_t(p[1])) & 0xff] ^
          kCrc16[1][uint8_t(p[2])] ^ kCrc16[0][uint8_t(p[3])];
  }
  for (; n > 0; p++, n--) crc = uint16_t(crc << 8 ^ kCrc16[0][(crc >> 8 ^ uint8_t(*p)) & 0xff]);
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
