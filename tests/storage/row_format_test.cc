// SPDX-License-Identifier: Apache-2.0
#include "storage/row_format.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/random.h"

using namespace redynamo;

namespace {

std::string RandomBytes(Random* random, size_t length_max) {
  std::string out(random->Below(length_max + 1), '\0');
  // Few distinct bytes, extremes among them, so that prefixes and carries are common.
  for (char& c : out) c = "\x00\x01\x61\xfe\xff"[random->Below(5)];
  return out;
}

auto Order(const RowKey& r) {
  return std::tuple(r.ns, r.position, r.key.size(), r.key, r.kind, r.element_hash, r.element);
}

}  // namespace

TEST_CASE("row_format: the header's example has these bytes") {
  RowKey row{1, 5, "ab", 2, 7, "f"};
  std::string bytes = EncodeRowKey(row);
  CHECK(HexForMessage(bytes) ==
        "00010000000000000500000002616202000000000007"
        "66");
  CHECK(HexForMessage(EncodeHeadKey({1, 5, "ab"})) == "0001000000000000056162");
  CHECK(bytes.starts_with(RowPrefix(1, 5, "ab")));
  CHECK(bytes.starts_with(RowPrefix(1, 5, "ab", 2)));
}

TEST_CASE("row_format: keys round-trip, and bytes sort as fields do") {
  Random random(1);
  std::vector<std::string> texts;
  for (int i = 0; i < 400; i++) texts.push_back(RandomBytes(&random, 4));
  std::vector<RowKey> rows;
  for (int i = 0; i < 400; i++) {
    rows.push_back({uint16_t(random.Below(3) * 255), random.Below(2) * (kPositionCount - 1),
                    texts[random.Below(texts.size())], uint8_t(random.Below(3) * 127),
                    random.Below(2) * (kElementHashCount - 1), texts[random.Below(texts.size())]});
  }
  for (const RowKey& row : rows) {
    std::string bytes = EncodeRowKey(row);
    REQUIRE(DecodeRowKey(bytes).ok());
    CHECK(*DecodeRowKey(bytes) == row);
    HeadKey head{row.ns, row.position, row.key};
    CHECK(*DecodeHeadKey(EncodeHeadKey(head)) == head);
    const RowKey& other = rows[random.Below(rows.size())];
    CHECK((bytes < EncodeRowKey(other)) == (Order(row) < Order(other)));
  }
}

TEST_CASE("row_format: a range holds the rows of its key, kind or positions and no others") {
  Random random(2);
  for (int i = 0; i < 5000; i++) {
    std::string key = RandomBytes(&random, 3), other_key = RandomBytes(&random, 3);
    std::string element = RandomBytes(&random, 3);
    uint64_t position = random.Below(3) * (kPositionCount / 2 - 1);
    uint64_t other_position = random.Below(3) * (kPositionCount / 2 - 1);
    uint8_t kind = uint8_t(random.Below(3) * 127), other_kind = uint8_t(random.Below(3) * 127);
    RowKey row{uint16_t(random.Below(2) * 0xffff), other_position, other_key, other_kind,
               random.Below(kElementHashCount),    element};
    std::string bytes = EncodeRowKey(row);
    auto holds = [&](const KeyRange& range) {
      return bytes >= range.lower && (range.upper.empty() || bytes < range.upper);
    };
    bool same_key = row.ns == 0xffff && position == other_position && key == other_key;
    CHECK(holds(RowRange(0xffff, position, key)) == same_key);
    CHECK(holds(RowRange(0xffff, position, key, kind)) == (same_key && kind == other_kind));
    CHECK(holds(NamespaceRange(0xffff)) == (row.ns == 0xffff));
    uint64_t first = std::min(position, row.position);
    CHECK(holds(PositionRange(row.ns, first, row.position)));
    CHECK(holds(PositionRange(row.ns, position, position)) == (row.position == position));
    CHECK(bytes >= RowSeekKey(row.ns, row.position, row.key, row.kind, row.element_hash));
    if (row.element_hash + 1 < kElementHashCount) {
      CHECK(bytes < RowSeekKey(row.ns, row.position, row.key, row.kind, row.element_hash + 1));
    }
  }
}

TEST_CASE("row_format: upper bounds carry, and all 0xff has none") {
  CHECK(PrefixUpperBound("a") == "b");
  CHECK(PrefixUpperBound("a\xff\xff") == "b");
  CHECK(PrefixUpperBound("\xff\xff") == "");
  CHECK(PrefixUpperBound("") == "");
}

TEST_CASE("row_format: what no encoder wrote is refused") {
  std::string head = EncodeHeadKey({1, 5, "key"});
  CHECK(DecodeHeadKey(head.substr(0, 8)).status().code() == StatusCode::kCorruption);
  head[2] = '\x20';  // bit 53 of the position
  CHECK_FALSE(DecodeHeadKey(head).ok());

  std::string row = EncodeRowKey({1, 5, "key", 1, 9, ""});
  for (size_t n = 0; n < row.size(); n++) CHECK_FALSE(DecodeRowKey(row.substr(0, n)).ok());
  row[9] = '\x7f';  // a key longer than the bytes that follow
  CHECK_FALSE(DecodeRowKey(row).ok());
}

TEST_CASE("row_format: any flipped bit, and a value under another key, fail the checksum") {
  std::string stored = SealValue("key", "payload");
  CHECK(UnsealValue("key", stored) == "payload");
  CHECK_FALSE(UnsealValue("kex", stored));
  CHECK_FALSE(UnsealValue("key", stored.substr(1)));
  CHECK_FALSE(UnsealValue("key", "abc"));
  CHECK(UnsealValue("key", SealValue("key", "")) == "");
  for (size_t bit = 0; bit < stored.size() * 8; bit++) {
    std::string damaged = stored;
    damaged[bit / 8] ^= char(1 << bit % 8);
    CHECK_FALSE(UnsealValue("key", damaged));
  }
}
