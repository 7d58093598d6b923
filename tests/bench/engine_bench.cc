// SPDX-License-Identifier: Apache-2.0
// The engine without sockets: one command each, the batch written every 64 commands.
#include <benchmark/benchmark.h>

#include <filesystem>

#include "storage/engine.h"

namespace redynamo {
namespace {

struct Bench {
  Bench() {
    char name[] = "/tmp/engine_bench_XXXXXX";
    EngineOptions options;
    options.dir = dir = mkdtemp(name);
    options.sync = SyncMode::kNo;
    options.checkpoint_interval_ms = 1'000'000;
    options.checkpoint_log_bytes = 100ull << 30;
    engine = std::move(*Engine::Open(options, {}, &SystemClock()));
  }
  ~Bench() {
    engine.reset();
    std::filesystem::remove_all(dir);
  }
  std::string_view Key() {
    std::snprintf(key, sizeof key, "key:%012llu", (unsigned long long)random.Below(1'000'000));
    return {key, 16};
  }
  template <typename Body>
  void Run(benchmark::State& state, Body&& body) {
    int in_turn = 0;
    for (auto _ : state) {
      std::string_view k = Key();
      KeyRef ref{0, k};
      engine->Resident({&ref, 1});
      (void)engine->ReserveWrite(200);
      engine->BeginCommand(1'700'000'000'000);
      body(engine->Database(0), k);
      engine->EndCommand();
      if (++in_turn % 64 == 0) (void)engine->WriteTurn();
    }
  }
  std::string dir;
  char key[32];
  Random random{1};
  std::unique_ptr<Engine> engine;
};

void BM_Set(benchmark::State& state) {
  Bench bench;
  std::string value(state.range(0), 'x');
  bench.Run(state, [&](Keyspace keys, std::string_view k) { keys.String(k).Set(value); });
}
BENCHMARK(BM_Set)->Arg(100)->Arg(900);

// As a pipeline of 16 commands runs.
void BM_SetPrefetched(benchmark::State& state) {
  Bench bench;
  std::string value(100, 'x');
  std::vector<std::string> keys(16);
  std::vector<LookupHint> hints(16);
  size_t at = 16;
  for (auto _ : state) {
    if (at == 16) {
      bench.engine->EndPrefetch();
      (void)bench.engine->WriteTurn();
      for (int i = 0; i < 16; i++) hints[i].key = keys[i] = bench.Key();
      bench.engine->Prefetch(0, hints);
      at = 0;
    }
    (void)bench.engine->ReserveWrite(200);
    bench.engine->BeginCommand(1'700'000'000'000);
    bench.engine->Database(0).String(hints[at++].key).Set(value);
    bench.engine->EndCommand();
  }
}
BENCHMARK(BM_SetPrefetched);

void BM_Get(benchmark::State& state) {
  Bench bench;
  std::string value(100, 'x');
  for (int i = 0; i < 2'000'000; i++) {
    bench.engine->BeginCommand(1'700'000'000'000);
    (void)bench.engine->ReserveWrite(200);
    bench.engine->Database(0).String(bench.Key()).Set(value);
    bench.engine->EndCommand();
    if (i % 64 == 0) (void)bench.engine->WriteTurn();
  }
  bench.Run(state, [&](Keyspace keys, std::string_view k) {
    benchmark::DoNotOptimize(keys.String(k).value().size());
  });
}
BENCHMARK(BM_Get);

void BM_Incr(benchmark::State& state) {
  Bench bench;
  bench.Run(state, [&](Keyspace keys, std::string_view k) { (void)keys.String(k).Add(1); });
}
BENCHMARK(BM_Incr);

void BM_HashSet(benchmark::State& state) {
  Bench bench;
  bench.Run(state, [&](Keyspace keys, std::string_view k) { keys.Hash("myhash").Set(k, "xxx"); });
}
BENCHMARK(BM_HashSet);

void BM_SetAdd(benchmark::State& state) {
  Bench bench;
  bench.Run(state, [&](Keyspace keys, std::string_view k) { keys.Set("myset").Add(k); });
}
BENCHMARK(BM_SetAdd);

}  // namespace
}  // namespace redynamo
