// SPDX-License-Identifier: Apache-2.0
#include "server/commands/lcs.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/random.h"

namespace redynamo {
namespace {

bool IsSubsequence(std::string_view part, std::string_view whole) {
  size_t found = 0;
  for (char c : whole) {
    if (found < part.size() && part[found] == c) found++;
  }
  return found == part.size();
}

// By trying everything; exponential.
uint32_t LengthByForce(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return 0;
  if (a[0] == b[0]) return 1 + LengthByForce(a.substr(1), b.substr(1));
  return std::max(LengthByForce(a.substr(1), b), LengthByForce(a, b.substr(1)));
}

std::string RandomText(Random& random, size_t length_max) {
  std::string text(random.Below(length_max + 1), ' ');
  for (char& c : text) c = char('a' + random.Below(3));
  return text;
}

TEST_CASE("lcs: the runs of the manual's example are found last first") {
  LcsTable table("ohmytext", "mynewtext");
  CHECK(table.length() == 6);
  CHECK(table.Subsequence() == "mytext");
  std::vector<LcsRun> runs = table.Runs();
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].a_first == 4);
  CHECK(runs[0].a_last == 7);
  CHECK(runs[0].b_first == 5);
  CHECK(runs[0].b_last == 8);
  CHECK(runs[1].a_first == 2);
  CHECK(runs[1].a_last == 3);
  CHECK(runs[1].b_first == 0);
  CHECK(runs[1].b_last == 1);
}

TEST_CASE("lcs: nothing is common when a string is empty") {
  CHECK(LcsTable("", "abc").length() == 0);
  CHECK(LcsTable("abc", "").Runs().empty());
  CHECK(LcsTable("", "").Subsequence().empty());
}

TEST_CASE("lcs: length, subsequence and runs agree with trying everything when texts are random") {
  Random random(7);
  for (int round = 0; round < 300; round++) {
    std::string a = RandomText(random, 9), b = RandomText(random, 9);
    LcsTable table(a, b);
    CAPTURE(a);
    CAPTURE(b);
    CHECK(table.length() == LengthByForce(a, b));
    std::string common = table.Subsequence();
    CHECK(common.size() == table.length());
    CHECK(IsSubsequence(common, a));
    CHECK(IsSubsequence(common, b));
    std::string from_runs;
    std::vector<LcsRun> runs = table.Runs();
    for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
      CHECK(a.substr(run->a_first, run->length()) == b.substr(run->b_first, run->length()));
      from_runs += a.substr(run->a_first, run->length());
    }
    CHECK(from_runs == common);
  }
}

TEST_CASE("lcs: the bytes of a table do not overflow when strings are huge") {
  CHECK(LcsTable::BytesFor(1, 1) == 16);
  CHECK(LcsTable::BytesFor(size_t(1) << 40, size_t(1) << 40) == ~uint64_t(0));
}

}  // namespace
}  // namespace redynamo
