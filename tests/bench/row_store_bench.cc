// SPDX-License-Identifier: Apache-2.0
// The cold tier: ingesting rows, and reading random heads whose files lie in the page cache.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/random.h"
#include "storage/rocks_row_store.h"
#include "storage/row_format.h"
#include "tests/support/scratch_directory.h"

using namespace redynamo;

namespace {

constexpr uint64_t kHeads = 2'000'000;
constexpr size_t kValueBytes = 100;

// Position n of kHeads, evenly spread as hashes are.
std::string HeadOf(uint64_t n) {
  uint64_t position = n * (kPositionCount / kHeads);
  return EncodeHeadKey({0, position, "key:" + std::to_string(100'000'000'000 + n)});
}

std::string RandomValue(Random* random) {
  std::string value(kValueBytes, '\0');
  for (char& c : value) c = char(random->Next() >> 56);
  return value;
}

// Every stride-th head of all.
void IngestHeads(RowStore* store, Random* random, uint64_t stride) {
  auto batch = store->NewIngest();
  for (uint64_t n = 0; n < kHeads; n += stride) {
    CHECK_THAT(batch->PutHead(HeadOf(n), RandomValue(random)).ok());
  }
  CHECK_THAT(batch->Commit().ok());
}

struct Fixture {
  explicit Fixture(const RocksRowStoreOptions& o) : options(o) {
    auto opened = RocksRowStore::Open(directory / "db", options);
    CHECK_THAT(opened.ok());
    store = std::move(*opened);
    Random random(1);
    IngestHeads(store.get(), &random, 1);
    CHECK_THAT(store->CompactAll().ok());
    IngestHeads(store.get(), &random, 10);
  }
  RocksRowStoreOptions options;
  ScratchDirectory directory;
  std::unique_ptr<RocksRowStore> store;
};

// A store of kHeads heads in the last level and a tenth of them overwritten above it; the same as
// last time when the options are.
RocksRowStore* StoreOf(const RocksRowStoreOptions& options) {
  static Fixture* current = nullptr;
  if (current && current->options.block_bytes == options.block_bytes &&
      current->options.compress == options.compress &&
      current->options.block_cache_bytes == options.block_cache_bytes) {
    return current->store.get();
  }
  bool first = current == nullptr;
  delete current;
  current = new Fixture(options);
  // Registered after RocksDB's own statics came to life, so that it runs before they go.
  if (first) std::atexit([] { delete current; });
  return current->store.get();
}

// Arguments: block bytes, LZ4, block cache in MiB, share of absent keys in percent.
void BM_RowStoreMultiGetHeads(benchmark::State& state) {
  constexpr size_t kBatch = 64;
  RocksRowStoreOptions options;
  options.block_bytes = uint64_t(state.range(0));
  options.compress = state.range(1) != 0;
  options.block_cache_bytes = uint64_t(state.range(2)) << 20;
  RocksRowStore* store = StoreOf(options);
  Random random(2);
  std::vector<std::string> keys(kBatch);
  std::vector<std::optional<std::string>> values;
  for (auto _ : state) {
    state.PauseTiming();
    for (std::string& key : keys) {
      key = HeadOf(random.Below(kHeads));
      if (random.Below(100) < uint64_t(state.range(3))) key += "absent";
    }
    std::sort(keys.begin(), keys.end());
    state.ResumeTiming();
    CHECK_THAT(store->MultiGetHeads(keys, &values).ok());
    benchmark::DoNotOptimize(values);
  }
  state.SetItemsProcessed(int64_t(state.iterations() * kBatch));
  RowStoreStats stats = store->Stats();
  state.counters["seconds_per_million"] =
      benchmark::Counter(double(state.iterations() * kBatch) / 1e6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["sst_MB"] = double(stats.live_sst_bytes) / 1e6;
  state.counters["reader_MB"] = double(stats.table_reader_bytes) / 1e6;
}
BENCHMARK(BM_RowStoreMultiGetHeads)
    ->Args({4096, 0, 0, 0})
    ->Args({4096, 0, 0, 100})
    ->Args({4096, 0, 8, 0})
    ->Args({4096, 1, 0, 0})
    ->Unit(benchmark::kMicrosecond);

// Full cost of a row on its way down: capture's sorted stream to a committed file, fsync included.
void BM_RowStoreIngest(benchmark::State& state) {
  ScratchDirectory directory;
  RocksRowStoreOptions options;
  options.compress = state.range(0) != 0;
  auto store = RocksRowStore::Open(directory / "db", options);
  CHECK_THAT(store.ok());
  Random random(3);
  constexpr uint64_t kStride = 4;
  for (auto _ : state) IngestHeads(store->get(), &random, kStride);
  state.SetItemsProcessed(int64_t(state.iterations() * kHeads / kStride));
  state.counters["seconds_per_million"] =
      benchmark::Counter(double(state.iterations() * kHeads / kStride) / 1e6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_RowStoreIngest)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace
