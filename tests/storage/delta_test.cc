// SPDX-License-Identifier: Apache-2.0
#include "storage/delta.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "tests/support/random_record.h"

using namespace redynamo;

namespace {

struct Seen {
  EventHeader event;
  Effect effect;
};

std::vector<Seen> ReadAll(std::string_view record, Status* status) {
  std::vector<Seen> out;
  uint64_t hlc;
  *status = ReadEvents(record, &hlc, [&](const EventHeader& event, const Effect& effect) {
    out.push_back({event, effect});
    return Status::Ok();
  });
  return out;
}

}  // namespace

TEST_CASE("delta: the example of the grammar is what SET writes") {
  std::string record("\x01", 1);
  PutFixed64(&record, 0x0102030405060708);
  PutEvent(&record, {5, 0, MakeDot(0, 8)});
  PutEffectHead(&record, RowKind::kBase, kTagValue | kTagRemoved, "k");
  PutRemoved(&record, MakeDot(0, 7));
  PutLengthPrefixed(&record, "v");
  using namespace std::string_view_literals;
  CHECK(std::string_view(record).substr(9) == "\xff\x05\x00\x08\x00\x31\x01k\x01\x00\x07\x01v"sv);
  Status status;
  std::vector<Seen> seen = ReadAll(record, &status);
  REQUIRE(status.ok());
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].event.partition == 5);
  CHECK(seen[0].event.dot == MakeDot(0, 8));
  CHECK(seen[0].effect.key == "k");
  CHECK(seen[0].effect.removed == std::vector<Dot>{MakeDot(0, 7)});
  CHECK(seen[0].effect.value == "v");
}

TEST_CASE("delta: whatever is written is read back") {
  Random random(3);
  for (int round = 0; round < 500; round++) {
    RandomRecord written(random);
    Status status;
    std::vector<Seen> seen = ReadAll(written.bytes, &status);
    REQUIRE_MESSAGE(status.ok(), status.message());
    REQUIRE(seen.size() == written.effects.size());
    for (size_t i = 0; i < seen.size(); i++) {
      const auto& [event, want] = written.effects[i];
      const Effect& got = seen[i].effect;
      CHECK(seen[i].event.dot == event.dot);
      CHECK(seen[i].event.partition == event.partition);
      CHECK(seen[i].event.ns == event.ns);
      CHECK(got.kind == want.kind);
      CHECK(got.key == want.key);
      CHECK(got.element == want.element);
      CHECK(got.base_dot == want.base_dot);
      CHECK(got.index == want.index);
      CHECK(got.removed == want.removed);
      CHECK(got.has_value == want.has_value);
      CHECK(got.had_deadline == want.had_deadline);
      CHECK(got.value == want.value);
      CHECK(got.number == want.number);
      CHECK(got.context == want.context);
      if (want.kind == RowKind::kClear) CHECK(got.scope == want.scope);
    }
  }
}

TEST_CASE("delta: a record cut anywhere or with a byte changed is refused or read, never trusted") {
  Random random(4);
  for (int round = 0; round < 200; round++) {
    RandomRecord written(random);
    size_t inside = written.last_effect_at + 1;  // between tokens a cut makes a shorter record
    Status status;
    for (size_t cut = inside; cut < written.bytes.size(); cut++) {
      ReadAll(std::string_view(written.bytes).substr(0, cut), &status);
      CHECK(!status.ok());
    }
    for (int i = 0; i < 50; i++) {
      std::string damaged = written.bytes;
      damaged[random.Below(damaged.size())] = char(random.Next());
      for (const Seen& seen : ReadAll(damaged, &status)) {
        CHECK(seen.event.partition <= 0x3fff);
        CHECK(DotCounter(seen.event.dot) > 0);
        for (Dot dot : seen.effect.removed) CHECK(DotCounter(dot) > 0);
      }
    }
  }
}

TEST_CASE("delta: a dot with counter 0 is no dot") {
  std::string record("\x01", 1);
  PutFixed64(&record, 1);
  PutEvent(&record, {5, 0, MakeDot(1, 0)});
  PutEffectHead(&record, RowKind::kMember, kTagValue, "k");
  PutLengthPrefixed(&record, "m");
  Status status;
  ReadAll(record, &status);
  CHECK(status.code() == StatusCode::kCorruption);
  std::string removing("\x01", 1);
  PutFixed64(&removing, 1);
  PutEvent(&removing, {5, 0, MakeDot(1, 1)});
  PutEffectHead(&removing, RowKind::kMember, kTagRemoved, "k");
  PutLengthPrefixed(&removing, "m");
  PutRemoved(&removing, MakeDot(1, 0));
  ReadAll(removing, &status);
  CHECK(status.code() == StatusCode::kCorruption);
}

TEST_CASE("delta: the grammar's example of a fragment; one that is too long or empty is refused") {
  auto record = [](uint64_t index, size_t length) {
    std::string bytes("\x01", 1);
    PutFixed64(&bytes, 0x0102030405060708);
    PutEvent(&bytes, {5, 0, MakeDot(0, 9)});
    PutEffectHead(&bytes, RowKind::kFragment, kTagValue, "k");
    PutDot(&bytes, MakeDot(0, 8));
    PutVarint(&bytes, index);
    PutLengthPrefixed(&bytes, std::string(length, 'x'));
    return bytes;
  };
  using namespace std::string_view_literals;
  std::string example = record(1, 905);
  std::string_view start = "\xff\x05\x00\x09\x00\x14\x01k\x00\x08\x01\x89\x07x"sv;
  CHECK(std::string_view(example).substr(9).starts_with(start));
  Status status;
  std::vector<Seen> seen = ReadAll(example, &status);
  REQUIRE(status.ok());
  CHECK(seen[0].effect.kind == RowKind::kFragment);
  CHECK(seen[0].effect.base_dot == MakeDot(0, 8));
  CHECK(seen[0].effect.index == 1);
  CHECK(seen[0].effect.value.size() == 905);
  for (auto [index, length] : std::vector<std::pair<uint64_t, size_t>>{
           {1, 0}, {1, kFragmentBytes + 1}, {kFragmentsMax, 1}, {1ull << 32, 1}}) {
    ReadAll(record(index, length), &status);
    CHECK(status.code() == StatusCode::kCorruption);
  }
}
