// SPDX-License-Identifier: Apache-2.0
#include "base/number.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"

using namespace redynamo;

TEST_CASE("number: an integer is taken only in its canonical form") {
  int64_t value = 7;
  for (const char* bad : {"", "-", "+1", " 1", "1 ", "01", "-0", "-01", "1.0", "0x1", "1e3", "a",
                          "9223372036854775808", "-9223372036854775809", "18446744073709551616",
                          "99999999999999999999", "100000000000000000000"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseInt64(bad, &value));
  }
  CHECK_FALSE(ParseInt64(std::string_view("1\0", 2), &value));
  CHECK(value == 7);
  for (int64_t good : {int64_t(0), int64_t(1), int64_t(-1), int64_t(10), INT64_MAX, INT64_MIN}) {
    CHECK(ParseInt64(std::to_string(good), &value));
    CHECK(value == good);
    CHECK(FormatInt64(good) == std::to_string(good));
  }
  uint64_t large = 0;
  CHECK(ParseUint64("18446744073709551615", &large));
  CHECK(large == UINT64_MAX);
  CHECK_FALSE(ParseUint64("18446744073709551616", &large));
  CHECK_FALSE(ParseUint64("-1", &large));
}

TEST_CASE("number: a double is taken as strtod does, without spaces and NaN") {
  double value = 7;
  for (const char* bad : {"", " 1", "1 ", "nan", "-nan", "abc", "1e400", "-1e400", "1e-400", "1..2",
                          "--1", "1,5", "+-1"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseDouble(bad, &value));
  }
  CHECK_FALSE(ParseDouble(std::string_view("1\0", 2), &value));
  CHECK(value == 7);
  struct {
    const char* text;
    double value;
  } good[] = {{"1", 1},
              {"-1.5", -1.5},
              {"+2", 2},
              {"1e3", 1000},
              {".5", .5},
              {"5.", 5},
              {"0x10", 16},
              {"inf", INFINITY},
              {"-inf", -INFINITY},
              {"+INF", INFINITY},
              {"Infinity", INFINITY},
              {"4.9e-324", 4.9e-324}};
  for (auto& one : good) {
    CAPTURE(one.text);
    CHECK(ParseDouble(one.text, &value));
    CHECK(value == one.value);
  }
  CHECK(ParseDouble("0." + std::string(200, '0') + "1", &value));
  CHECK(value == 1e-201);
}

TEST_CASE("number: a double is written in the shortest form that reads back") {
  struct {
    double value;
    const char* text;
  } cases[] = {{0, "0"},
               {-0.0, "-0"},
               {3, "3"},
               {-17, "-17"},
               {0.1, "0.1"},
               {3.14, "3.14"},
               {-2.5, "-2.5"},
               {0.1 + 0.2, "0.30000000000000004"},
               {1e-4, "0.0001"},
               {1e-6, "0.000001"},
               {1e-7, "1e-7"},
               {1.5e-7, "1.5e-7"},
               {12345.678, "12345.678"},
               {12345.678901234, "1.2345678901234e+4"},
               {123.456789012, "123.456789012"},
               {1e15, "1000000000000000"},
               {4611686018427387904.0, "4611686018427387904"},
               {1e20, "1e+20"},
               {1.5e300, "1.5e+300"},
               {-1.7976931348623157e308, "-1.7976931348623157e+308"},
               {4.9e-324, "5e-324"},
               {INFINITY, "inf"},
               {-INFINITY, "-inf"},
               {NAN, "nan"}};
  for (auto& one : cases) CHECK(FormatDouble(one.value) == one.text);

  Random random(1);
  for (int i = 0; i < 100'000; ++i) {
    uint64_t bits = random.Next();
    double value, back;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    CHECK(FormatDouble(value).size() <= kDoubleCharsMax);
    REQUIRE(ParseDouble(FormatDouble(value), &back));
    REQUIRE(back == value);
  }
}

TEST_CASE("number: a long double is written without exponent and trailing zeros") {
  long double value = 0;
  CHECK(ParseLongDouble("10.50", &value));
  CHECK(FormatLongDouble(value) == "10.5");
  CHECK(ParseLongDouble("5.0e3", &value));
  CHECK(FormatLongDouble(value) == "5000");
  CHECK(FormatLongDouble(0.1L + 0.2L) == "0.3");
  CHECK(FormatLongDouble(-0.0L) == "0");
  CHECK(FormatLongDouble(-1e-30L) == "0");
  CHECK(FormatLongDouble(100) == "100");
  CHECK(FormatLongDouble(std::numeric_limits<long double>::max()).size() == 4933);
  CHECK(ParseLongDouble("inf", &value));
  CHECK(std::isinf(value));
  for (const char* bad : {"", " 1", "1 ", "nan", "1e5000", "1e-5000", "x", "1x"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseLongDouble(bad, &value));
  }
  CHECK(ParseLongDouble("1" + std::string(4000, '0'), &value));
  CHECK_FALSE(ParseLongDouble(std::string(5120, '1'), &value));
}
