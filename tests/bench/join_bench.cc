// SPDX-License-Identifier: Apache-2.0
// Join and checkpoints, without sockets: another node's events as a replica takes them, and rows
// on their way from memory into the cold tier.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/hash.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'000;
constexpr uint64_t kKeys = 200'000;
constexpr uint16_t kOther = 1;  // local index of the other node's actor

class Replica {
 public:
  Replica() {
    char name[] = "/tmp/join_bench_XXXXXX";
    EngineOptions options;
    options.dir = dir_ = mkdtemp(name);
    options.sync = SyncMode::kNo;
    options.checkpoint_interval_ms = 1'000'000;
    options.checkpoint_log_bytes = 100ull << 30;
    engine = std::make_unique<EngineImpl>(options, EngineHooks{}, &SystemClock());
    Status status = engine->Open();
    CHECK_THAT(status.ok());
    engine->identity_.actors.push_back(Id128{{42}});
    engine->identity_.foreign.insert(kOther);
  }
  ~Replica() {
    engine.reset();
    std::filesystem::remove_all(dir_);
  }

  // The record of the other node's next SET of key number `i`, which replaces what it wrote there
  // before.
  std::string NextSet(uint64_t i) {
    char key[32];
    size_t size = size_t(std::snprintf(key, sizeof key, "key:%012llu", (unsigned long long)i));
    int partition = PartitionOfSlot(KeySlot({key, size}));
    Dot dot = MakeDot(kOther, ++counters_[size_t(partition)]);
    std::string record(1, char(kEventsRecord));
    PutFixed64(&record, uint64_t(kNowMs + int64_t(dots_)) << 16);
    PutEvent(&record, {uint16_t(partition), 0, dot});
    Dot& before = last_[i];
    PutEffectHead(&record, RowKind::kBase, uint8_t(kTagValue | (before ? kTagRemoved : 0)),
                  {key, size});
    if (before) PutRemoved(&record, before);
    PutLengthPrefixed(&record, value_);
    before = dot;
    dots_++;
    return record;
  }
  void Accept(const std::string& record) {
    (void)engine->log_->Reserve(record.size());
    engine->BeginCommand(kNowMs);
    engine->log_->BeginRecord()->append(record);
    Status status = engine->JoinRecord(engine->log_->EndRecord(), record);
    CHECK_THAT(status.ok());
    if (++accepted_ % 64 == 0) (void)engine->WriteTurn();
  }
  void Checkpoint() {
    bool done = false;
    engine->checkpoint_waiters_.push_back([&](Status status) { done = status.ok(); });
    engine->checkpoint_wanted_ = true;
    while (!done) {
      engine->Tick(kNowMs, 1000);
      (void)engine->WriteTurn();
      engine->Poll();
    }
  }

  std::unique_ptr<EngineImpl> engine;

 private:
  std::string dir_;
  std::string value_ = std::string(100, 'v');
  std::vector<uint64_t> counters_ = std::vector<uint64_t>(PartitionCount());
  std::vector<Dot> last_ = std::vector<Dot>(kKeys);
  uint64_t dots_ = 0, accepted_ = 0;
};

// Another node's SET of a random key: logged and joined.
void BM_JoinForeignSet(benchmark::State& state) {
  Replica replica;
  Random random(1);
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<std::string> records;
    for (int i = 0; i < 1000; i++) records.push_back(replica.NextSet(random.Below(kKeys)));
    state.ResumeTiming();
    for (const std::string& record : records) replica.Accept(record);
  }
  state.SetItemsProcessed(int64_t(state.iterations()) * 1000);
}
BENCHMARK(BM_JoinForeignSet);

// The same event once more, as a retry or an exchange may bring it: no change.
void BM_JoinDuplicate(benchmark::State& state) {
  Replica replica;
  std::string record = replica.NextSet(0);
  replica.Accept(record);
  for (auto _ : state) replica.Accept(record);
  state.SetItemsProcessed(int64_t(state.iterations()));
}
BENCHMARK(BM_JoinDuplicate);

// A checkpoint of 200,000 strings of 100 bytes, all of them dirty: captured, written as sorted
// files, ingested. CPU is that of the data thread.
void BM_Checkpoint(benchmark::State& state) {
  Replica replica;
  for (auto _ : state) {
    state.PauseTiming();
    for (uint64_t i = 0; i < kKeys; i++) replica.Accept(replica.NextSet(i));
    (void)replica.engine->WriteTurn();
    state.ResumeTiming();
    replica.Checkpoint();
  }
  state.SetItemsProcessed(int64_t(state.iterations() * kKeys));
}
BENCHMARK(BM_Checkpoint)->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace
}  // namespace redynamo
