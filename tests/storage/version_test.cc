// SPDX-License-Identifier: Apache-2.0
#include "storage/version.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

using namespace redynamo;

namespace {

std::set<uint64_t> Flat(const IntervalSet& set) {
  std::set<uint64_t> out;
  for (auto [first, last] : set.intervals()) {
    for (uint64_t n = first; n <= last; n++) out.insert(n);
  }
  return out;
}

// Sorted, disjoint and with a gap between any two: what the header promises.
bool WellFormed(const IntervalSet& set) {
  uint64_t previous = 0;
  bool begun = false;
  for (auto [first, last] : set.intervals()) {
    if (last < first || (begun && first <= previous + 1)) return false;
    previous = last;
    begun = true;
  }
  return true;
}

PartitionClock RandomClock(Random& random) {
  PartitionClock clock;
  for (uint64_t i = random.Below(12); i > 0; i--) {
    uint64_t first = 1 + random.Below(60);
    clock.AddRange(uint16_t(random.Below(4)), first, first + random.Below(6));
  }
  return clock;
}

}  // namespace

TEST_CASE("version: a dot gives its actor and counter back") {
  for (uint16_t actor : {0, 1, 0x7fff, 0xffff}) {
    for (uint64_t n : {uint64_t(1), uint64_t(0xffffffff), (uint64_t(1) << kDotCounterBits) - 1}) {
      CHECK(DotActor(MakeDot(actor, n)) == actor);
      CHECK(DotCounter(MakeDot(actor, n)) == n);
    }
  }
}

TEST_CASE("version: an interval set equals a plain set under random ranges") {
  Random random(7);
  for (int round = 0; round < 300; round++) {
    IntervalSet set;
    std::set<uint64_t> model;
    for (int step = 0; step < 40; step++) {
      uint64_t first = 1 + random.Below(100);
      uint64_t last = random.Below(3) == 0 ? first + random.Below(20) : first;
      set.AddRange(first, last);
      for (uint64_t n = first; n <= last; n++) model.insert(n);
      REQUIRE(WellFormed(set));
    }
    CHECK(Flat(set) == model);
    CHECK(set.max() == *model.rbegin());
    for (uint64_t n = 0; n < 130; n++) CHECK(set.Contains(n) == model.contains(n));
  }
}

TEST_CASE("version: gaps stay gaps, and a range that fills them joins its neighbours") {
  IntervalSet set;
  for (uint64_t n : {1, 2, 3, 7}) set.Add(n);
  CHECK(set.intervals() == std::vector<IntervalSet::Interval>{{1, 3}, {7, 7}});
  set.AddRange(4, 6);
  CHECK(set.intervals() == std::vector<IntervalSet::Interval>{{1, 7}});
  set.AddRange(2, 5);
  CHECK(set.intervals() == std::vector<IntervalSet::Interval>{{1, 7}});
}

TEST_CASE("version: covering a set means holding each of its members") {
  Random random(8);
  for (int round = 0; round < 2000; round++) {
    IntervalSet a, b;
    for (int i = 0; i < 4; i++) {
      uint64_t at = 1 + random.Below(20);
      a.AddRange(at, at + random.Below(6));
      b.Add(1 + random.Below(20));
    }
    std::set<uint64_t> all = Flat(a), part = Flat(b);
    CHECK(a.Covers(b) == std::includes(all.begin(), all.end(), part.begin(), part.end()));
  }
}

TEST_CASE("version: clocks join as sets do, and covering is their order") {
  Random random(9);
  for (int round = 0; round < 1000; round++) {
    PartitionClock a = RandomClock(random), b = RandomClock(random), c = RandomClock(random);
    PartitionClock ab = a, ba = b, ab_c = a, a_bc = b;
    ab.Join(b);
    ba.Join(a);
    CHECK(ab == ba);
    ab_c.Join(b);
    ab_c.Join(c);
    a_bc.Join(c);
    a_bc.Join(a);
    CHECK(ab_c == a_bc);
    CHECK(ab.Covers(a));
    CHECK(ab.Covers(b));
    PartitionClock again = ab;
    again.Join(b);
    CHECK(again == ab);
    CHECK((a.Covers(b) && b.Covers(a)) == (a == b));
    PartitionClock only_a = a.Minus(b);
    CHECK(a.Minus(a).empty());
    for (const auto& [actor, set] : only_a.actors()) CHECK(WellFormed(set));
    for (uint16_t actor = 0; actor < 4; actor++) {
      CHECK(ab.Max(actor) == std::max(a.Max(actor), b.Max(actor)));
      for (uint64_t n = 1; n < 70; n++) {
        Dot dot = MakeDot(actor, n);
        CHECK(ab.Contains(dot) == (a.Contains(dot) || b.Contains(dot)));
        CHECK(only_a.Contains(dot) == (a.Contains(dot) && !b.Contains(dot)));
      }
    }
  }
}

TEST_CASE("version: a clock's bytes give the same clock back, and cut bytes none") {
  Random random(10);
  for (int round = 0; round < 500; round++) {
    PartitionClock clock = RandomClock(random);
    std::string bytes;
    clock.EncodeTo(&bytes);
    ByteReader in(bytes);
    PartitionClock back;
    REQUIRE(PartitionClock::Decode(&in, &back));
    CHECK(in.empty());
    CHECK(back == clock);
    ByteReader cut(std::string_view(bytes).substr(0, bytes.size() - 1));
    PartitionClock partial;
    CHECK(!PartitionClock::Decode(&cut, &partial));
  }
}

TEST_CASE("version: bytes that no clock encodes are refused") {
  auto decodes = [](std::string_view bytes) {
    ByteReader in(bytes);
    PartitionClock clock;
    return PartitionClock::Decode(&in, &clock);
  };
  using namespace std::string_view_literals;
  CHECK(decodes("\x01\x00\x01\x01\x00"sv));           // actor 0: [1,1]
  CHECK(!decodes("\x01\x00\x01\x00\x00"sv));          // counter 0 is no dot
  CHECK(!decodes("\x01\x80\x80\x04\x01\x01\x00"sv));  // actor 65536
  std::string huge("\x01\x00\x01", 3);
  PutVarint(&huge, 1);
  PutVarint(&huge, ~0ull);
  CHECK(!decodes(huge));                      // beyond 48 bits, and wrapping
  CHECK(!decodes("\xff\xff\xff\xff\x0f"sv));  // a count that the bytes cannot hold
}
