// SPDX-License-Identifier: Apache-2.0
#include "storage/row_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

using namespace redynamo;

namespace {

// A table, and the same rows in the order that a walk must have.
struct Tables {
  explicit Tables(int hash_bits) : table(42, hash_bits), bits(hash_bits) {}
  ~Tables() {
    table.ForEach([](Row* row) { FreeRow(row); });
  }
  uint64_t Hash(std::string_view key) const { return RowTable::HashOf(key, 42, bits); }
  void Insert(const std::string& key) {
    Row* row = NewRow(key, 0, false);
    table.Insert(Hash(key), row);
    model[{Hash(key), key}] = row;
  }
  void Erase(const std::string& key) {
    auto it = model.find({Hash(key), key});
    table.Erase(it->first.first, it->second);
    FreeRow(it->second);
    model.erase(it);
  }
  void CheckAgainstModel() const {
    REQUIRE(table.size() == model.size());
    for (const auto& [at, row] : model) REQUIRE(table.Find(at.first, at.second) == row);
    std::set<Row*> walked;
    table.ForEach([&](Row* row) { walked.insert(row); });
    CHECK(walked.size() == model.size());
  }

  RowTable table;
  int bits;
  std::map<std::pair<uint64_t, std::string>, Row*> model;
};

std::string Name(uint64_t n) { return "row" + std::to_string(n); }

// Every row of the table by pages of `count`, as SCAN walks.
std::vector<Row*> Pages(const RowTable& table, size_t count) {
  std::vector<Row*> all;
  uint64_t from = 0;
  do {
    std::vector<Row*> page;
    from = table.Collect(from, count, &page);
    all.insert(all.end(), page.begin(), page.end());
    if (from != 0) REQUIRE(page.size() >= count);
  } while (from != 0);
  return all;
}

}  // namespace

TEST_CASE("row table: random inserts and erases equal a map, through splits") {
  // 12 hash bits: many rows share a position; 39 and 48: as keys and elements have.
  for (int bits : {12, 39, 48}) {
    CAPTURE(bits);
    Tables t(bits);
    Random random(static_cast<uint64_t>(bits));
    uint64_t range = bits == 12 ? 3000 : 30000;
    for (int step = 0; step < 60000; step++) {
      std::string key = Name(random.Below(range));
      bool there = t.model.contains({t.Hash(key), key});
      if (step % 9973 == 0) t.CheckAgainstModel();
      // First mostly inserts, at the end mostly erases.
      bool insert = random.Below(60000) > uint64_t(step);
      if (insert && !there) t.Insert(key);
      if (!insert && there) t.Erase(key);
    }
    t.CheckAgainstModel();
    CHECK(t.table.Find(t.Hash("never"), "never") == nullptr);
  }
}

TEST_CASE("row table: a walk by pages is in hash order and neither misses nor repeats") {
  for (auto [bits, rows] : {std::pair{39, 10}, {39, 3000}, {39, 20000}, {10, 3000}}) {
    CAPTURE(bits);
    CAPTURE(rows);
    Tables t(bits);
    for (int i = 0; i < rows; i++) t.Insert(Name(uint64_t(i)));
    std::vector<Row*> want;
    for (const auto& [at, row] : t.model) want.push_back(row);
    for (size_t count : {1, 7, 10, 4096, 100000}) {
      CAPTURE(count);
      CHECK(Pages(t.table, count) == want);
    }
  }
}

TEST_CASE("row table: rows that stay are given by every walk, whatever else changes") {
  Tables t(39);
  Random random(11);
  for (int i = 0; i < 6000; i++) t.Insert(Name(uint64_t(i)));
  std::set<std::string> stay, given;
  for (int i = 0; i < 6000; i += 3) stay.insert(Name(uint64_t(i)));
  uint64_t from = 0;
  do {
    std::vector<Row*> page;
    from = t.table.Collect(from, 25, &page);
    for (Row* row : page) given.emplace(row->key());
    for (int i = 0; i < 40; i++) {  // others come and go, so that the table grows and splits
      uint64_t n = random.Below(20000);
      std::string key = Name(n);
      if (stay.contains(key)) continue;
      t.model.contains({t.Hash(key), key}) ? t.Erase(key) : t.Insert(key);
    }
  } while (from != 0);
  for (const std::string& key : stay) REQUIRE(given.contains(key));
}

TEST_CASE("row table: marked leaves give all their dirty rows, in order, and lose the mark") {
  Tables t(39);
  Random random(12);
  for (int i = 0; i < 20000; i++) t.Insert(Name(uint64_t(i)));
  for (int round = 0; round < 20; round++) {
    std::map<std::pair<uint64_t, std::string>, Row*> dirty;
    for (uint64_t i = random.Below(200); i > 0; i--) {
      auto it = t.model.find({t.Hash(Name(i)), Name(i)});
      it->second->flags |= Row::kDirty;
      t.table.MarkDirty(it->first.first);
      dirty.insert(*it);
    }
    CHECK(t.table.marked() == !dirty.empty());
    std::vector<Row*> found;
    uint64_t from = 0;
    do {
      std::vector<Row*> page;
      from = t.table.CollectMarked(from, 64, &page);
      for (Row* row : page) {
        if (!row->Has(Row::kDirty)) continue;
        row->flags &= uint16_t(~Row::kDirty);
        found.push_back(row);
      }
    } while (from != 0);
    std::vector<Row*> want;
    for (const auto& [at, row] : dirty) want.push_back(row);
    CHECK(found == want);
    CHECK(!t.table.marked());
  }
}

TEST_CASE("row table: marks survive the split of a leaf") {
  Tables t(39);
  for (int i = 0; i < 4000; i++) t.Insert(Name(uint64_t(i)));
  t.table.MarkDirty(t.Hash(Name(17)));
  for (int i = 4000; i < 6000; i++) t.Insert(Name(uint64_t(i)));
  std::vector<Row*> found;
  t.table.CollectMarked(0, SIZE_MAX, &found);
  Row* marked = t.table.Find(t.Hash(Name(17)), Name(17));
  CHECK(std::find(found.begin(), found.end(), marked) != found.end());
}

TEST_CASE("row table: samples reach every row") {
  Tables t(39);
  Random random(13);
  for (int i = 0; i < 300; i++) t.Insert(Name(uint64_t(i)));
  std::set<Row*> drawn;
  for (int i = 0; i < 20000; i++) drawn.insert(t.table.Sample(random));
  CHECK(drawn.size() == 300);
}

TEST_CASE("row table: samples are never absent rows, and the last live one is found") {
  for (int rows : {300, 20000}) {
    CAPTURE(rows);
    Tables t(39);
    Random random(14);
    std::set<Row*> live;
    for (int i = 0; i < rows; i++) t.Insert(Name(uint64_t(i)));
    for (const auto& [at, row] : t.model) live.insert(row);
    auto mark = [&](int i, bool absent) {
      Row* row = t.table.Find(t.Hash(Name(uint64_t(i))), Name(uint64_t(i)));
      t.table.SetAbsent(t.Hash(Name(uint64_t(i))), row, absent);
      absent ? void(live.erase(row)) : void(live.insert(row));
    };
    for (int i = 0; i < rows - 1; i++) {
      mark(i, true);
      if (i % 100 == 0) REQUIRE(live.contains(t.table.Sample(random)));
    }
    for (int i = 0; i < 10; i++) REQUIRE(live.contains(t.table.Sample(random)));
    // Marks survive growth and splits, and leave with their rows.
    for (int i = rows; i < rows + 5000; i++) t.Insert(Name(uint64_t(i)));
    for (int i = rows; i < rows + 5000; i++) t.Erase(Name(uint64_t(i)));
    REQUIRE(live.contains(t.table.Sample(random)));
    for (int i = 0; i < rows / 2; i++) t.Erase(Name(uint64_t(i)));
    REQUIRE(live.contains(t.table.Sample(random)));
    mark(rows - 2, false);
    mark(rows - 1, true);
    for (int i = 0; i < 10; i++) REQUIRE(live.contains(t.table.Sample(random)));
    CHECK(live.size() == 1);
  }
}

TEST_CASE("row table: neighbours are distinct live rows, every one in its turn, all when few") {
  for (int rows : {1, 7, 300, 20000}) {
    CAPTURE(rows);
    Tables t(39);
    Random random(15);
    Row* found[64];
    CHECK(t.table.SampleNeighbours(random, 5, found) == 0);
    std::set<Row*> live;
    for (int i = 0; i < rows; i++) t.Insert(Name(uint64_t(i)));
    for (const auto& [at, row] : t.model) live.insert(row);
    for (int i = 0; i < rows; i += 3) {
      Row* row = t.table.Find(t.Hash(Name(uint64_t(i))), Name(uint64_t(i)));
      t.table.SetAbsent(t.Hash(Name(uint64_t(i))), row, true);
      live.erase(row);
    }
    std::set<Row*> seen;
    for (int i = 0; i < 100 * rows; i++) {
      size_t count = t.table.SampleNeighbours(random, 5, found);
      REQUIRE(count == std::min<size_t>(5, live.size()));
      std::set<Row*> drawn(found, found + count);
      REQUIRE(drawn.size() == count);
      for (Row* row : drawn) REQUIRE(live.contains(row));
      seen.insert(drawn.begin(), drawn.end());
      if (seen.size() == live.size() && i > 100) break;
    }
    CHECK(seen.size() == live.size());
  }
}

TEST_CASE("row table: expected rows in hash order take no more space than in any order") {
  constexpr uint64_t kRows = 30'000;
  Tables random(48);
  for (uint64_t i = 0; i < kRows; i++) random.Insert(Name(i));
  Tables ordered(48);
  ordered.table.Expect(kRows);
  size_t most = 0;
  for (const auto& [at, row] : random.model) {
    ordered.Insert(at.second);
    most = std::max(most, ordered.table.memory_bytes());
  }
  ordered.CheckAgainstModel();
  CHECK(most < 2 * random.table.memory_bytes());
}

TEST_CASE("row table: space comes back when most rows have gone") {
  Tables t(48);
  for (uint64_t i = 0; i < 20'000; i++) t.Insert(Name(i));
  size_t full = t.table.memory_bytes();
  for (uint64_t i = 0; i < 20'000; i++) {
    if (i % 50 != 0) t.Erase(Name(i));
  }
  t.CheckAgainstModel();
  CHECK(t.table.memory_bytes() < full / 2);
  for (uint64_t i = 0; i < 20'000; i += 50) t.Erase(Name(i));
  for (uint64_t i = 0; i < 5'000; i++) t.Insert(Name(i));
  t.CheckAgainstModel();
}
