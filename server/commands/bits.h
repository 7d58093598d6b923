// SPDX-License-Identifier: Apache-2.0
// Bits of byte strings, numbered as Redis does: bit 0 is the highest bit of byte 0. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace redynamo {

// Ones among the bits first_bit..last_bit, both included. REQUIRES: last_bit < 8 * bytes.size().
uint64_t CountBits(std::string_view bytes, uint64_t first_bit, uint64_t last_bit);

// The first bit of value `bit` in first_bit..last_bit, both included; -1 if there is none.
// REQUIRES: last_bit < 8 * bytes.size().
int64_t FindBit(std::string_view bytes, bool bit, uint64_t first_bit, uint64_t last_bit);

enum class BitOperation : uint8_t { kAnd, kOr, kXor, kNot };

// Applies `operand`, as if padded with zero bytes to result->size(), to *result: for kAnd, kOr,
// kXor. REQUIRES: operand.size() <= result->size().
void CombineBits(BitOperation operation, std::string_view operand, std::string* result);
void InvertBits(std::string* result);

// An integer field of BITFIELD: i1..i64, u1..u63.
struct FieldType {
  bool is_signed = false;
  uint8_t bits = 0;
};

// "i5", "u63". False if it is no such type.
bool ParseFieldType(std::string_view text, FieldType* type);

// The field at a bit offset; bits beyond the end are zero. A signed field is extended.
int64_t ReadField(std::string_view bytes, uint64_t bit_offset, FieldType type);

// The bytes that hold a field, after its change: to be written at byte `offset`.
struct FieldPatch {
  uint64_t offset;
  uint8_t length;  // 1 to 9
  char bytes[9];
  std::string_view view() const { return {bytes, length}; }
};
FieldPatch PatchField(std::string_view bytes, uint64_t bit_offset, FieldType type, int64_t value);

enum class FieldOverflow : uint8_t { kWrap, kSaturate, kFail };

// What a field becomes that should hold `exact`, and whether it did not fit. With kFail and an
// overflow the value is meaningless.
struct FieldResult {
  bool overflowed;
  int64_t value;
};
FieldResult FitField(__int128 exact, FieldType type, FieldOverflow overflow);

}  // namespace redynamo
