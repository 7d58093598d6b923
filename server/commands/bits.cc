// SPDX-License-Identifier: Apache-2.0
// Words of 64 bits do the bulk; the ragged bits at both ends are masked. A word is loaded
// big-endian where the position of a bit matters, so that the highest bit is the first one.
#include "server/commands/bits.h"

#include <bit>
#include <cstring>

#include "base/number.h"

namespace redynamo {
namespace {

uint64_t LoadWord(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

// Byte `index` with the bits outside first_bit..last_bit cleared.
uint8_t MaskedByte(std::string_view bytes, uint64_t index, uint64_t first_bit, uint64_t last_bit) {
  uint8_t byte = uint8_t(bytes[index]);
  if (index == first_bit / 8) byte &= uint8_t(0xff >> first_bit % 8);
  if (index == last_bit / 8) byte &= uint8_t(0xff << (7 - last_bit % 8));
  return byte;
}

// The first byte index in [at, end) that is not `filler`, or end.
uint64_t SkipBytes(std::string_view bytes, uint64_t at, uint64_t end, uint8_t filler) {
  const uint64_t pattern = 0x0101010101010101u * filler;
  while (at + 8 <= end && LoadWord(bytes.data() + at) == pattern) at += 8;
  while (at < end && uint8_t(bytes[at]) == filler) at++;
  return at;
}

}  // namespace

uint64_t CountBits(std::string_view bytes, uint64_t first_bit, uint64_t last_bit) {
  const uint64_t first = first_bit / 8, last = last_bit / 8;
  uint64_t ones = uint64_t(std::popcount(MaskedByte(bytes, first, first_bit, last_bit)));
  if (first == last) return ones;
  uint64_t at = first + 1;
  uint64_t lanes[4] = {};  // independent sums: the processor counts four words at a time
  for (; at + 32 <= last; at += 32) {
    for (int lane = 0; lane < 4; lane++) {
      lanes[lane] += uint64_t(std::popcount(LoadWord(bytes.data() + at + 8 * lane)));
    }
  }
  ones += lanes[0] + lanes[1] + lanes[2] + lanes[3];
  for (; at + 8 <= last; at += 8) ones += uint64_t(std::popcount(LoadWord(bytes.data() + at)));
  for (; at < last; at++) ones += uint64_t(std::popcount(uint8_t(bytes[at])));
  return ones + uint64_t(std::popcount(MaskedByte(bytes, last, first_bit, last_bit)));
}

int64_t FindBit(std::string_view bytes, bool bit, uint64_t first_bit, uint64_t last_bit) {
  const uint8_t flip = bit ? 0 : 0xff;  // turns the search for a zero into that for a one
  const uint64_t first = first_bit / 8, last = last_bit / 8;
  for (uint64_t at = first; at <= last; at++) {
    uint8_t byte = uint8_t(bytes[at]) ^ flip;
    if (at == first) byte &= uint8_t(0xff >> first_bit % 8);
    if (at == last) byte &= uint8_t(0xff << (7 - last_bit % 8));
    if (byte != 0) return int64_t(at * 8) + std::countl_zero(byte);
    if (at + 1 < last) at = SkipBytes(bytes, at + 1, last, flip) - 1;
  }
  return -1;
}

void CombineBits(BitOperation operation, std::string_view operand, std::string* result) {
  char* out = result->data();
  size_t at = 0;
  auto combine = [&](auto function) {
    for (; at + 8 <= operand.size(); at += 8) {
      uint64_t word = function(LoadWord(out + at), LoadWord(operand.data() + at));
      std::memcpy(out + at, &word, 8);
    }
    for (; at < operand.size(); at++) out[at] = char(function(out[at], operand[at]));
  };
  switch (operation) {
    case BitOperation::kAnd:
      combine([](auto a, auto b) { return a & b; });
      std::memset(out + at, 0, result->size() - at);
      break;
    case BitOperation::kOr: combine([](auto a, auto b) { return a | b; }); break;
    case BitOperation::kXor: combine([](auto a, auto b) { return a ^ b; }); break;
    case BitOperation::kNot: break;
  }
}

void InvertBits(std::string* result) {
  for (char& byte : *result) byte = char(~byte);
}

bool ParseFieldType(std::string_view text, FieldType* type) {
  if (text.empty() || (text[0] != 'i' && text[0] != 'u')) return false;
  bool is_signed = text[0] == 'i';
  int64_t bits;
  if (!ParseInt64(text.substr(1), &bits) || bits < 1 || bits > (is_signed ? 64 : 63)) return false;
  *type = {is_signed, uint8_t(bits)};
  return true;
}

int64_t ReadField(std::string_view bytes, uint64_t bit_offset, FieldType type) {
  const uint64_t first = bit_offset / 8;
  unsigned __int128 window = 0;  // the nine bytes that can hold a field of 64 bits
  for (uint64_t i = 0; i < 9; i++) {
    uint8_t byte = first + i < bytes.size() ? uint8_t(bytes[first + i]) : 0;
    window = window << 8 | byte;
  }
  const int below = 72 - int(bit_offset % 8) - type.bits;  // bits after the field
  uint64_t value = uint64_t(window >> below);
  if (type.bits == 64) return int64_t(value);
  value &= (uint64_t(1) << type.bits) - 1;
  if (type.is_signed && value >> (type.bits - 1)) value |= ~uint64_t(0) << type.bits;
  return int64_t(value);
}

FieldPatch PatchField(std::string_view bytes, uint64_t bit_offset, FieldType type, int64_t value) {
  FieldPatch patch;
  patch.offset = bit_offset / 8;
  patch.length = uint8_t((bit_offset % 8 + type.bits + 7) / 8);
  unsigned __int128 window = 0;
  for (uint64_t i = 0; i < patch.length; i++) {
    uint8_t byte = patch.offset + i < bytes.size() ? uint8_t(bytes[patch.offset + i]) : 0;
    window = window << 8 | byte;
  }
  const int below = patch.length * 8 - int(bit_offset % 8) - type.bits;
  const unsigned __int128 ones = ((unsigned __int128)(1) << type.bits) - 1;
  window &= ~(ones << below);
  window |= ((unsigned __int128)(uint64_t(value)) & ones) << below;
  for (int i = patch.length - 1; i >= 0; i--) {
    patch.bytes[i] = char(uint8_t(window));
    window >>= 8;
  }
  return patch;
}

FieldResult FitField(__int128 exact, FieldType type, FieldOverflow overflow) {
  const __int128 span = __int128(1) << type.bits;
  const __int128 low = type.is_signed ? -(span / 2) : 0;
  const __int128 high = low + span - 1;
  if (exact >= low && exact <= high) return {false, int64_t(exact)};
  if (overflow == FieldOverflow::kSaturate) return {true, int64_t(exact > high ? high : low)};
  __int128 wrapped = exact & (span - 1);
  if (wrapped > high) wrapped -= span;
  return {true, int64_t(wrapped)};
}

}  // namespace redynamo
