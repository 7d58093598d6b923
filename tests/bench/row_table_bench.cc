// SPDX-License-Identifier: Apache-2.0
// The table of rows alone: filling it, and finding rows in it, one by one and as a pipeline does.
#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

#include "storage/row_table.h"

namespace redynamo {
namespace {

constexpr uint64_t kSeed = 7;
constexpr int kHashBits = 48;  // as of a large collection

class Filled {
 public:
  explicit Filled(size_t rows) : table_(kSeed, kHashBits) {
    for (size_t i = 0; i < rows; i++) {
      std::string key = "field:" + std::to_string(i);
      table_.Insert(table_.HashOf(key), NewRow(key, 16, false));
    }
  }
  ~Filled() {
    table_.ForEach([](Row* row) { FreeRow(row); });
  }
  RowTable& table() { return table_; }

 private:
  RowTable table_;
};

// Rows inserted a second, growth and splits included.
void BM_RowTableInsert(benchmark::State& state) {
  size_t rows = size_t(state.range(0));
  for (auto _ : state) {
    Filled filled(rows);
    benchmark::DoNotOptimize(filled.table().size());
  }
  state.SetItemsProcessed(int64_t(state.iterations() * rows));
}
BENCHMARK(BM_RowTableInsert)->Arg(1000)->Arg(100'000)->Unit(benchmark::kMillisecond);

// Random finds among 1 M rows; 16 at a time, with the cache asked ahead when Arg is 1.
void BM_RowTableFind(benchmark::State& state) {
  constexpr size_t kRows = 1'000'000;
  constexpr size_t kPipeline = 16;
  Filled filled(kRows);
  const RowTable& table = filled.table();
  Random random(1);
  std::array<std::string, kPipeline> keys;
  std::array<uint64_t, kPipeline> hashes;
  std::array<const RowTable*, kPipeline> levels;
  for (auto _ : state) {
    for (size_t i = 0; i < kPipeline; i++) {
      keys[i] = "field:" + std::to_string(random.Below(kRows));
      hashes[i] = table.HashOf(keys[i]);
      levels[i] = &table;
    }
    for (bool deeper = state.range(0) == 1; deeper;) {
      deeper = false;
      for (size_t i = 0; i < kPipeline; i++) {
        const RowTable* next = levels[i]->PrefetchLevel(hashes[i]);
        deeper |= next != levels[i];
        levels[i] = next;
      }
    }
    if (state.range(0) == 1) {
      for (size_t i = 0; i < kPipeline; i++) levels[i]->PrefetchWords(hashes[i]);
      for (size_t i = 0; i < kPipeline; i++) levels[i]->PrefetchRow(hashes[i]);
    }
    for (size_t i = 0; i < kPipeline; i++) {
      benchmark::DoNotOptimize(table.Find(hashes[i], keys[i]));
    }
  }
  state.SetItemsProcessed(int64_t(state.iterations() * kPipeline));
}
BENCHMARK(BM_RowTableFind)->Arg(0)->Arg(1);

// A slice of a checkpoint's walk or of HSCAN: 2,048 rows in hash order.
void BM_RowTableCollect(benchmark::State& state) {
  Filled filled(1'000'000);
  std::vector<Row*> rows;
  uint64_t from = 0;
  int64_t given = 0;
  for (auto _ : state) {
    rows.clear();
    from = filled.table().Collect(from, 2048, &rows);
    given += int64_t(rows.size());
  }
  state.SetItemsProcessed(given);
}
BENCHMARK(BM_RowTableCollect);

}  // namespace
}  // namespace redynamo
