// SPDX-License-Identifier: Apache-2.0
// What one large hash asks of the data thread: CPU time of its longest turn (the engine's share of
// a loop's turn, or one command) while the hash is captured, paged out, loaded, read cold, removed.
// CPU time, since the waits of a busy machine would hide it.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "storage/engine.h"

namespace redynamo {
namespace {

constexpr int kFields = 1'000'000;
constexpr int kCommandFields = 1000;

// Nanoseconds on a processor, as the scheduler counts them for this thread.
double CpuMs() {
  static int file = open("/proc/thread-self/schedstat", O_RDONLY);
  char text[64] = {};
  if (pread(file, text, sizeof text - 1, 0) <= 0) return 0;
  return double(strtoull(text, nullptr, 10)) / 1e6;
}

class LargeHash {
 public:
  LargeHash() {
    char name[] = "/tmp/large_bench_XXXXXX";
    options_.dir = mkdtemp(name);
    options_.sync = SyncMode::kNo;
    options_.warm_up = false;
    Open();
    for (int i = 0; i < kFields; i += kCommandFields) {
      Run({0, "h", ElementNeed::kNone}, [&](Keyspace keys) {
        HashView hash = keys.Hash("h");
        for (int j = i; j < i + kCommandFields; j++) hash.Set(Field(j), std::to_string(j));
      });
    }
  }
  ~LargeHash() {
    engine_.reset();
    std::filesystem::remove_all(options_.dir);
  }
  static std::string Field(int i) { return "field:" + std::to_string(i); }

  void Open() {
    engine_.reset();
    engine_ = std::move(*Engine::Open(options_, {}, &SystemClock()));
  }
  void Turn() {
    Measure([&] {
      engine_->Poll();
      engine_->Tick(SystemClock().WallMs(), 1000);
      (void)engine_->WriteTurn();
    });
    poll(nullptr, 0, 0);
  }
  void Run(const KeyRef& ref, const std::function<void(Keyspace)>& body) {
    bool ran = false;
    std::function<void(Status)> go = [&](const Status&) {
      if (!engine_->Resident({&ref, 1})) return engine_->Load({&ref, 1}, go);
      (void)engine_->ReserveWrite(4 << 20);
      engine_->BeginCommand(SystemClock().WallMs());
      Measure([&] {
        body(engine_->Database(0));
        engine_->EndCommand();
      });
      ran = true;
    };
    go(Status::Ok());
    (void)engine_->WriteTurn();
    while (!ran) Turn();
  }
  void Checkpoint() {
    bool done = false;
    engine_->Checkpoint([&](const Status&) { done = true; });
    while (!done) Turn();
  }
  void PageOut(uint64_t to_bytes) {
    options_.maxmemory_bytes = to_bytes;
    engine_->Reconfigure(options_);
    for (int i = 0; i < 10'000 && engine_->Stats().used_memory_bytes > to_bytes; i++) Turn();
    options_.maxmemory_bytes = 0;
    engine_->Reconfigure(options_);
  }
  double TakeLongestMs() { return std::exchange(longest_ms_, 0); }

 private:
  template <typename Step>
  void Measure(Step&& step) {
    double begin = CpuMs();
    step();
    longest_ms_ = std::max(longest_ms_, CpuMs() - begin);
  }

  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
  double longest_ms_ = 0;
};

void LongestTurns(benchmark::State& state) {
  constexpr KeyRef kHead{0, "h", ElementNeed::kNone};
  for (auto _ : state) {
    LargeHash t;
    auto report = [&](const char* what) { state.counters[what] = t.TakeLongestMs(); };
    t.TakeLongestMs();
    t.Checkpoint();
    report("capture_ms");
    t.PageOut(30 << 20);
    report("page_out_ms");
    t.Run({0, "h"}, [](Keyspace) {});
    report("load_whole_ms");
    t.Open();
    for (int i = 0; i < 1000; i++) {
      std::string field = LargeHash::Field(i * 991);
      std::string_view name = field;
      t.Run({0, "h", ElementNeed::kNamed, {&name, 1}},
            [&](Keyspace keys) { keys.Hash("h").Set(field, "new"); });
    }
    report("cold_hset_ms");
    t.Run({0, "h"}, [](Keyspace) {});
    t.TakeLongestMs();
    t.Run(kHead, [](Keyspace keys) { keys.Find("h").Remove(); });
    for (int i = 0; i < 1000; i++) t.Turn();
    report("del_ms");
  }
}
BENCHMARK(LongestTurns)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace redynamo
