// SPDX-License-Identifier: Apache-2.0
#include "storage/packed_map.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "storage/counter.h"

using namespace redynamo;

namespace {

struct Item {
  std::string key, value;
  bool counter;
  Dot dot;
  uint64_t hlc;
  bool operator==(const Item&) const = default;
};

std::vector<Item> ItemsOf(const PackedMap& map) {
  std::vector<Item> out;
  for (auto e = map.First(); map.Valid(e); e = map.Next(e)) {
    out.push_back({std::string(e.key), std::string(e.value), e.counter, e.dot, e.hlc});
  }
  return out;
}

Item RandomItem(Random& random, std::string key) {
  Item item{std::move(key), std::string(random.Below(80), char('a' + random.Below(26))),
            random.Below(4) == 0, MakeDot(uint16_t(random.Below(3)), 1 + random.Below(1 << 20)),
            random.Next() >> random.Below(40)};
  if (item.counter) {
    item.value.assign(CounterCell::SizeFor(1), '\0');
    CounterCell cell(item.value.data());
    cell.Init(int64_t(random.Next()));
    cell.set_count(1);
    cell.set_total(0, {item.dot, item.hlc, -5});
  }
  return item;
}

}  // namespace

TEST_CASE("packed map: random changes equal a plain list in insertion order") {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    Random random(seed);
    PackedMap map;
    std::vector<Item> model;
    for (int step = 0; step < 200; step++) {
      Item item = RandomItem(random, "key" + std::to_string(random.Below(30)));
      auto at = std::find_if(model.begin(), model.end(),
                             [&](const Item& i) { return i.key == item.key; });
      auto e = map.Find(item.key);
      REQUIRE(map.Valid(e) == (at != model.end()));
      if (at == model.end()) {
        map.Append(item.key, item.value, item.counter, item.dot, item.hlc);
        model.push_back(item);
      } else if (random.Below(2)) {
        map.Replace(e, item.value, item.counter, item.dot, item.hlc);
        *at = item;
      } else {
        map.Erase(e);
        model.erase(at);
      }
      REQUIRE(map.size() == model.size());
    }
    CHECK(ItemsOf(map) == model);
    std::string bytes;
    map.EncodeTo(&bytes);
    PackedMap back;
    REQUIRE(back.Load(bytes));
    CHECK(ItemsOf(back) == model);
    back.Append("one more", "v", false, MakeDot(2, 9), 1);
    CHECK(back.size() == model.size() + 1);
  }
}

TEST_CASE("packed map: elements of one command cost three bytes beside their text") {
  PackedMap map;
  const Dot dot = MakeDot(3, 77);
  for (int i = 0; i < 10; i++) {
    map.Append("field" + std::to_string(i), "value00000", false, dot, 123456789);
  }
  CHECK(map.bytes() == 10 * (3 + 6 + 10));
  std::string bytes;
  map.EncodeTo(&bytes);
  PackedMap back;
  REQUIRE(back.Load(bytes));
  auto e = back.Find("field9");
  REQUIRE(back.Valid(e));
  CHECK(e.dot == dot);
  CHECK(e.hlc == 123456789);
  map.Replace(map.Find("field9"), "value00001", true, MakeDot(4, 77), 123456789);
  CHECK(map.Find("field9").dot == MakeDot(4, 77));  // another actor's is no base
}

TEST_CASE("packed map: an emptied map begins again") {
  PackedMap map;
  map.Append("k", "v", false, MakeDot(0, 1), 1);
  map.Erase(map.Find("k"));
  CHECK(map.size() == 0);
  CHECK(!map.Valid(map.First()));
  map.Append("k", "w", false, MakeDot(1, 500), 1ull << 60);
  CHECK(ItemsOf(map) == std::vector<Item>{{"k", "w", false, MakeDot(1, 500), 1ull << 60}});
}

TEST_CASE("packed map: damaged bytes are refused, or walk within their bounds") {
  Random random(5);
  PackedMap map;
  for (int i = 0; i < 20; i++) {
    Item item = RandomItem(random, std::to_string(i));
    map.Append(item.key, item.value, item.counter, item.dot, item.hlc);
  }
  std::string bytes;
  map.EncodeTo(&bytes);
  for (size_t cut = 0; cut < bytes.size(); cut++) {
    PackedMap back;
    CHECK(!back.Load(std::string_view(bytes).substr(0, cut)));
  }
  for (int i = 0; i < 5000; i++) {
    std::string damaged = bytes;
    damaged[random.Below(damaged.size())] = char(random.Next());
    PackedMap back;
    if (!back.Load(damaged)) continue;
    CHECK(ItemsOf(back).size() == back.size());
  }
}
