// SPDX-License-Identifier: Apache-2.0
#include "storage/row_sum.h"

#include <doctest/doctest.h>

#include "storage/counter.h"
#include "storage/rocks_row_store.h"
#include "storage/row_format.h"
#include "tests/support/engine_fixture.h"

using namespace redynamo;

namespace {

// What is on disk is what the last checkpoint's sums say, and every leaf was compared but those
// whose sums are being counted anew.
struct ScrubResult {
  uint64_t leaves, mismatches, errors;
};

ScrubResult Scrub(EngineFixture& t) {
  EngineStats before = t.engine->Stats();
  t.options.scrub_interval_ms = 1;
  t.engine->Reconfigure(t.options);
  while (t.engine->Stats().scrub_rounds < before.scrub_rounds + 2) t.Turn();
  uint64_t rounds = t.engine->Stats().scrub_rounds - before.scrub_rounds;
  t.options.scrub_interval_ms = 0;
  t.engine->Reconfigure(t.options);
  EngineStats after = t.engine->Stats();
  return {(after.scrub_leaves - before.scrub_leaves) / rounds,
          (after.scrub_mismatches - before.scrub_mismatches) / rounds,
          (after.scrub_errors - before.scrub_errors) / rounds};
}

void MustAgree(EngineFixture& t) {
  ScrubResult found = Scrub(t);
  CHECK(found.mismatches == 0);
  CHECK(found.errors == 0);
}

void AddMembers(EngineFixture& t, const std::string& key, int from, int to) {
  t.Do({key}, [&](Keyspace keys) {
    SetView set = keys.Set(key);
    for (int i = from; i < to; i++) set.Add("member" + std::to_string(i));
  });
}

void WriteSomething(EngineFixture& t, Random& random) {
  std::string n = std::to_string(random.Below(30));
  std::string part = std::to_string(random.Below(40));
  std::string key = std::string(1, "schel"[random.Below(5)]) + n;
  int64_t deadline_ms = SystemClock().WallMs() + (random.Below(2) ? 1'000'000 : 20);
  uint64_t what = random.Below(4), offset = random.Below(20'000);
  auto body = [&](Keyspace keys) {
    KeyView view = keys.Find(key);
    if (view.exists() && what == 0 && n.size() == 1) {
      part.size() == 1 ? (void)view.Remove() : view.SetDeadline(deadline_ms);
    } else if (view.exists() && what == 1 && n.size() == 1) {
      part.size() == 1 ? (void)view.Persist() : keys.String(key).Set(part);
    } else if (key[0] == 's') {
      keys.String(key).Set(part);
    } else if (key[0] == 'c') {
      StringView counter = keys.String(key);
      if (!counter.wrong_type()) (void)counter.Add(3);
    } else if (key[0] == 'l') {
      StringView text = keys.String(key);
      if (!text.wrong_type()) text.Overwrite(offset, part);
    } else if (key[0] == 'e') {
      SetView set = keys.Set(key);
      if (!set.wrong_type()) (void)(what == 2 ? set.Remove(part) : set.Add(part));
    } else {
      HashView hash = keys.Hash(key);
      if (hash.wrong_type()) return;
      if (what == 1) (void)hash.Remove(part);
      if (what == 2) (void)hash.Add(part, 1);
      if (what == 3) hash.Set(part, n);
    }
  };
  t.Do({key}, body, int(random.Below(2)));
}

void DisturbEngine(EngineFixture& t, Random& random) {
  switch (random.Below(5)) {
    case 0:
      if (random.Below(12) == 0) t.engine->Checkpoint(nullptr);  // runs beside what follows
      t.Turn();
      break;
    case 1:
      if (random.Below(12)) break;
      REQUIRE(t.Checkpoint().ok());
      MustAgree(t);
      break;
    case 2:
      if (random.Below(20) == 0) t.Crash();
      break;
    case 3:
      t.options.maxmemory_bytes = random.Below(2) ? 1 : 0;
      t.engine->Reconfigure(t.options);
      break;
    case 4:
      if (random.Below(10)) break;
      bool clear = random.Below(3) == 0;
      t.Do({}, [&](Keyspace keys) {
        if (clear) keys.Clear();
        t.engine->SwapDatabases(0, 1);
      });
      break;
  }
}

}  // namespace

TEST_CASE("row sum: packed and native forms of the same rows have the same sum") {
  RowHasher hasher;
  Id128 first{}, second{};
  first[3] = 9;
  second[7] = 1;
  hasher.SetActors({first, second});
  constexpr uint64_t kSeed = 77, kKeyHash = 0x123456789abcdef0;
  Collection c(false);
  for (int i = 0; i < 50; i++) {
    std::string cell(CounterCell::SizeFor(1), '\0');
    CounterCell(cell.data()).Init(i);
    CounterCell(cell.data()).set_count(1);
    CounterCell(cell.data()).set_total(0, {MakeDot(1, 900 + i), 5000, 3 * i});
    bool counter = i % 7 == 0;
    c.Put("f" + std::to_string(i), counter ? cell : std::string(i, 'v'), counter,
          MakeDot(uint16_t(i % 2), 100 + i), 4000 + i);
  }
  uint64_t packed = hasher.Packed(kKeyHash, kSeed, false, c);
  CHECK(packed != 0);
  c.MakeNative(kSeed);
  c.SetHasher(&hasher, kKeyHash, false);
  std::vector<Row*> rows;
  c.table()->ForEach([&](Row* row) { rows.push_back(row); });
  for (Row* row : rows) c.TurnClean(c.table()->HashOf(row->key()), row);
  CHECK(c.sum().Settle() == packed);
  // The same rows on a node that knows the actors under other indexes.
  RowHasher other;
  other.SetActors({second, first});
  Row* row = NewRow("k", 1, false);
  row->value_data()[0] = 'v';
  row->type = unsigned(ObjectType::kString);
  row->dot = MakeDot(0, 7);
  RowHasher::SetCrc(row);
  uint64_t here = hasher.String(1, row);
  row->dot = MakeDot(1, 7);
  CHECK(other.String(1, row) == here);
  CHECK(hasher.String(1, row) != here);
  FreeRow(row);
}

TEST_CASE("row sum: writes between the slices of a large capture leave sums exact") {
  for (uint64_t seed = 1; seed <= 3; seed++) {
    CAPTURE(seed);
    EngineFixture t;
    Random random(seed);
    constexpr int kMembers = 9000;
    t.options.capture_slice_rows = 400;
    t.options.whole_load_rows_max = 2000;
    t.engine->Reconfigure(t.options);
    AddMembers(t, "big", 0, kMembers);
    AddMembers(t, "other", 0, 3000);
    if (seed % 2) REQUIRE(t.Checkpoint().ok());
    for (int round = 0; round < 3; round++) {
      t.Do({"big"}, [&](Keyspace keys) {
        SetView set = keys.Set("big");
        for (int i = 0; i < 800; i++) {
          std::string member = "member" + std::to_string(random.Below(kMembers));
          if (!set.Remove(member)) set.Add(member);
        }
      });
      bool done = false;
      t.engine->Checkpoint([&](const Status& status) {
        CHECK(status.ok());
        done = true;
      });
      while (!done) {
        t.engine->Poll();
        t.engine->Tick(SystemClock().WallMs(), 1 + int64_t(random.Below(40)));
        uint64_t what = random.Below(100);
        std::string member = "member" + std::to_string(random.Below(kMembers));
        t.Do({"big"}, [&](Keyspace keys) {
          if (what < 40) keys.Set("big").Remove(member);
          if (what >= 40 && what < 90) keys.Set("big").Add(member);
          if (what == 95 && round == 1) keys.Find("big").Remove();
          if (what == 96) keys.Find("other").SetDeadline(SystemClock().WallMs() + 1'000'000);
        });
        REQUIRE(t.engine->WriteTurn().ok());
      }
      MustAgree(t);
      if (random.Below(2)) t.Crash();
      REQUIRE(t.Checkpoint().ok());
      MustAgree(t);
    }
    CHECK(Scrub(t).leaves >= 1);
  }
}

TEST_CASE("row sum: leaves whose cold rows replay replaced unseen are counted anew") {
  EngineFixture t;
  for (int i = 0; i < 200; i++) t.Set("k" + std::to_string(i), "old");
  t.Do({"h"}, [](Keyspace keys) { keys.Hash("h").Set("f", "v"); });
  REQUIRE(t.Checkpoint().ok());
  uint64_t all = Scrub(t).leaves;
  CHECK(all > 150);
  t.Restart();
  for (int i = 0; i < 100; i++) t.Set("k" + std::to_string(i), "new");
  t.Do({"h"}, [](Keyspace keys) { keys.Find("h").Remove(); });
  t.Crash();
  for (int i = 0; i < 40; i++) t.Set("k" + std::to_string(i), "newer");
  REQUIRE(t.Checkpoint().ok());
  CHECK(Scrub(t).mismatches == 0);
  for (int i = 20; i < 60; i++) t.Set("k" + std::to_string(i), "newest");
  while (t.engine->Stats().leaves_counted < 90) t.Turn();
  REQUIRE(t.Checkpoint().ok());
  ScrubResult found = Scrub(t);
  CHECK(found.mismatches == 0);
  CHECK(found.leaves == all - 1);
  t.Restart();
  t.Set("k0", "again");
  REQUIRE(t.Checkpoint().ok());
  CHECK(Scrub(t).mismatches == 0);
}

TEST_CASE("row sum: a scrub finds rows changed, lost and left over, and names what is damaged") {
  EngineFixture t;
  for (int i = 0; i < 50; i++) t.Set("k" + std::to_string(i), "value");
  AddMembers(t, "big", 0, 2000);
  REQUIRE(t.Checkpoint().ok());
  MustAgree(t);
  REQUIRE(t.engine->Close(true).ok());
  t.engine.reset();
  auto store = RocksRowStore::Open(t.options.dir + "/rows", {});
  REQUIRE(store.ok());
  std::vector<std::pair<std::string, std::string>> heads, rows;
  for (auto it = (*store)->NewHeadIterator({}, {}); it->Valid(); it->Next()) {
    heads.emplace_back(it->key(), it->value());
  }
  for (auto it = (*store)->NewRowIterator({}, {}); it->Valid(); it->Next()) {
    rows.emplace_back(it->key(), it->value());
  }
  auto ingest = [&](const std::function<void(IngestBatch*)>& body) {
    auto batch = (*store)->NewIngest();
    body(batch.get());
    REQUIRE(batch->Commit().ok());
  };
  auto is_string = [](const auto& head) { return head.second.ends_with("value"); };
  auto head = std::find_if(heads.begin(), heads.end(), is_string);
  SUBCASE("content") {
    ingest([&](IngestBatch* b) {
      std::string other = head->second;
      other.back() = 'x';
      REQUIRE(b->PutHead(head->first, other).ok());
    });
  }
  SUBCASE("a lost key") {
    ingest([&](IngestBatch* b) { REQUIRE(b->DeleteHead(head->first).ok()); });
  }
  SUBCASE("a lost element") {
    ingest([&](IngestBatch* b) { REQUIRE(b->DeleteRow(rows[77].first).ok()); });
  }
  SUBCASE("an element left over") {
    ingest([&](IngestBatch* b) {
      std::string key = rows[77].first;
      key.back() = '#';
      REQUIRE(b->PutRow(key, rows[77].second).ok());
    });
  }
  SUBCASE("what no decoder takes") {
    ingest([&](IngestBatch* b) { REQUIRE(b->PutHead(head->first, "garbage").ok()); });
  }
  store->reset();
  t.Start();
  ScrubResult found = Scrub(t);
  CHECK(found.mismatches == 1);
  CHECK(found.leaves > 40);
}

// The invariant after each checkpoint, in random histories: strings, counters, deadlines, packed
// and large collections, long strings, removals, clears, exchanges, page-out, crashes, checkpoints
// beside writes.
TEST_CASE("row sum: after random histories what is on disk is what the sums say") {
  for (uint64_t seed = 1; seed <= 2; seed++) {
    CAPTURE(seed);
    EngineFixture t;
    Random random(seed);
    t.options.packed_entries_max = 6;
    t.options.set_intset_entries_max = 20;
    t.engine->Reconfigure(t.options);
    for (int step = 0; step < 1200; step++) {
      if (random.Below(16) < 11) {
        WriteSomething(t, random);
      } else {
        DisturbEngine(t, random);
      }
    }
    t.Crash();
    for (int round = 0; round < 2; round++) {
      REQUIRE(t.Checkpoint().ok());
      MustAgree(t);
    }
  }
}
