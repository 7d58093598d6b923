// SPDX-License-Identifier: Apache-2.0
#include "server/commands/bits.h"

#include <doctest/doctest.h>

#include <limits>

#include "base/random.h"
#include "server/commands/index_range.h"

namespace redynamo {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

bool Bit(std::string_view bytes, uint64_t at) { return uint8_t(bytes[at / 8]) >> (7 - at % 8) & 1; }

// Random bytes with long runs of zeros and ones in them.
std::string RandomBytes(Random& random, size_t length) {
  std::string bytes(length, '\0');
  for (char& byte : bytes) {
    uint64_t kind = random.Below(8);
    byte = kind < 4 ? '\0' : kind < 7 ? '\xff' : char(random.Next());
  }
  return bytes;
}

TEST_CASE("bits: counting and finding agree with looking at each bit when ranges are random") {
  Random random(11);
  for (int round = 0; round < 2000; round++) {
    std::string bytes = RandomBytes(random, 1 + random.Below(90));
    uint64_t bits = bytes.size() * 8;
    uint64_t first = random.Below(bits);
    uint64_t last = first + random.Below(bits - first);
    uint64_t ones = 0;
    int64_t first_one = -1, first_zero = -1;
    for (uint64_t i = first; i <= last; i++) {
      ones += Bit(bytes, i);
      int64_t& place = Bit(bytes, i) ? first_one : first_zero;
      if (place < 0) place = int64_t(i);
    }
    CHECK(CountBits(bytes, first, last) == ones);
    CHECK(FindBit(bytes, true, first, last) == first_one);
    CHECK(FindBit(bytes, false, first, last) == first_zero);
  }
}

TEST_CASE("bits: a bit is found behind many words that lack it") {
  std::string bytes(1000, '\xff');
  bytes[777] = '\xdf';
  CHECK(FindBit(bytes, false, 3, 7999) == 777 * 8 + 2);
  CHECK(FindBit(std::string(1000, '\0'), true, 0, 7999) == -1);
}

TEST_CASE("bits: a shorter operand counts as padded with zeros") {
  const std::string operand = "\x0f\xf0\xff\x00\x55\xaa\x33\xcc\x11\x22";
  std::string base(12, '\x3c');
  std::string anded = base, ored = base, xored = base;
  CombineBits(BitOperation::kAnd, std::string_view(operand).substr(0, 3), &anded);
  CombineBits(BitOperation::kOr, std::string_view(operand).substr(0, 3), &ored);
  CombineBits(BitOperation::kXor, std::string_view(operand).substr(0, 3), &xored);
  CHECK(anded == std::string("\x0c\x30\x3c\0\0\0\0\0\0\0\0\0", 12));
  CHECK(ored == "\x3f\xfc\xff" + std::string(9, '\x3c'));
  CHECK(xored == "\x33\xcc\xc3" + std::string(9, '\x3c'));
  InvertBits(&base);
  CHECK(base == std::string(12, '\xc3'));
}

TEST_CASE("bits: words and single bytes are combined alike when lengths are random") {
  Random random(5);
  for (int round = 0; round < 200; round++) {
    std::string long_one = RandomBytes(random, 1 + random.Below(40));
    std::string operand = RandomBytes(random, random.Below(long_one.size() + 1));
    for (BitOperation operation : {BitOperation::kAnd, BitOperation::kOr, BitOperation::kXor}) {
      std::string expected = long_one;
      for (size_t i = 0; i < expected.size(); i++) {
        char other = i < operand.size() ? operand[i] : '\0';
        if (operation == BitOperation::kAnd) expected[i] &= other;
        if (operation == BitOperation::kOr) expected[i] |= other;
        if (operation == BitOperation::kXor) expected[i] ^= other;
      }
      std::string result = long_one;
      CombineBits(operation, operand, &result);
      CHECK(result == expected);
    }
  }
}

TEST_CASE("bits: a field's type is i1 to i64 or u1 to u63") {
  FieldType type;
  CHECK(ParseFieldType("i64", &type));
  CHECK(type.is_signed);
  CHECK(type.bits == 64);
  CHECK(ParseFieldType("u63", &type));
  CHECK_FALSE(type.is_signed);
  for (std::string_view bad : {"", "i", "u", "u64", "i65", "i0", "u-1", "x8", "I8", "i08", "8"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseFieldType(bad, &type));
  }
}

TEST_CASE("bits: a field reads as it was written, and its neighbours stay, at any offset") {
  Random random(3);
  for (int round = 0; round < 3000; round++) {
    std::string bytes = RandomBytes(random, 24);
    const std::string before = bytes;
    bool is_signed = random.Below(2) == 1;
    FieldType type = {is_signed, uint8_t(1 + random.Below(is_signed ? 64 : 63))};
    uint64_t offset = random.Below(bytes.size() * 8 - type.bits + 1);
    int64_t value = FitField(__int128(int64_t(random.Next())), type, FieldOverflow::kWrap).value;
    FieldPatch patch = PatchField(bytes, offset, type, value);
    bytes.replace(patch.offset, patch.length, patch.view());
    CHECK(bytes.size() == before.size());
    CHECK(ReadField(bytes, offset, type) == value);
    for (uint64_t i = 0; i < bytes.size() * 8; i++) {
      if (i < offset || i >= offset + type.bits) CHECK(Bit(bytes, i) == Bit(before, i));
    }
  }
}

TEST_CASE("bits: a field beyond the end reads as zeros") {
  CHECK(ReadField("", 0, {true, 64}) == 0);
  CHECK(ReadField("\xff", 4, {false, 8}) == 0xf0);
  CHECK(ReadField("\xff", 1'000'000, {false, 8}) == 0);
  CHECK(ReadField("\xff", 0, {true, 8}) == -1);
}

TEST_CASE("bits: overflow wraps, saturates or fails as asked") {
  struct Case {
    __int128 exact;
    FieldType type;
    bool overflowed;
    int64_t wrapped, saturated;
  };
  const Case cases[] = {
      {255, {false, 8}, false, 255, 255},
      {256, {false, 8}, true, 0, 255},
      {-1, {false, 8}, true, 255, 0},
      {127, {true, 8}, false, 127, 127},
      {128, {true, 8}, true, -128, 127},
      {-129, {true, 8}, true, 127, -128},
      {-128, {true, 8}, false, -128, -128},
      {1, {true, 1}, true, -1, 0},
      {__int128(kMax) + 1, {true, 64}, true, kMin, kMax},
      {__int128(kMin) - 1, {true, 64}, true, kMax, kMin},
      {__int128(kMax), {false, 63}, false, kMax, kMax},
      {__int128(kMax) + 1, {false, 63}, true, 0, kMax},
      {__int128(~uint64_t(0)), {false, 8}, true, 255, 255},
      {__int128(kMin) + kMin, {true, 64}, true, 0, kMin},
  };
  for (const Case& c : cases) {
    CAPTURE(int64_t(c.exact));
    CAPTURE(int(c.type.bits));
    FieldResult wrapped = FitField(c.exact, c.type, FieldOverflow::kWrap);
    FieldResult saturated = FitField(c.exact, c.type, FieldOverflow::kSaturate);
    CHECK(wrapped.overflowed == c.overflowed);
    CHECK(wrapped.value == c.wrapped);
    CHECK(saturated.overflowed == c.overflowed);
    CHECK(saturated.value == c.saturated);
    CHECK(FitField(c.exact, c.type, FieldOverflow::kFail).overflowed == c.overflowed);
  }
}

TEST_CASE("index range: only a pair of negative ends in the wrong order runs backwards") {
  CHECK(RunsBackwards(-1, -2));
  CHECK_FALSE(RunsBackwards(-2, -1));
  CHECK_FALSE(RunsBackwards(-1, 0));
  CHECK_FALSE(RunsBackwards(3, 2));
}

TEST_CASE("index range: negative ends count from the end, and all ends are clamped") {
  struct Case {
    int64_t start, end;
    uint64_t length;
    bool some;
    int64_t first, last;
  };
  const Case cases[] = {
      {0, -1, 5, true, 0, 4},   {-3, -2, 5, true, 2, 3},     {-100, 2, 5, true, 0, 2},
      {1, 100, 5, true, 1, 4},  {3, 2, 5, false, 0, 0},      {-1, -2, 5, false, 0, 0},
      {-9, -10, 5, true, 0, 0}, {5, 10, 5, false, 0, 0},     {0, 0, 0, false, 0, 0},
      {0, -100, 5, true, 0, 0}, {kMin, kMax, 5, true, 0, 4}, {kMax, kMax, 5, false, 0, 0},
  };
  for (Case c : cases) {
    CAPTURE(c.start);
    CAPTURE(c.end);
    CHECK(ClampRange(&c.start, &c.end, c.length) == c.some);
    if (!c.some) continue;
    CHECK(c.start == c.first);
    CHECK(c.end == c.last);
  }
}

}  // namespace
}  // namespace redynamo
