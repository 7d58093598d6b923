// SPDX-License-Identifier: Apache-2.0
// What the log costs the data thread for each record, without and with the write.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>

#include "storage/log.h"

using namespace redynamo;

namespace {

// Takes every write and keeps nothing.
class NullFile : public File {
 public:
  Status WriteAt(uint64_t, std::string_view) override { return Status::Ok(); }
  Result<uint64_t> ReadAt(uint64_t, uint64_t, char*) override { return uint64_t(0); }
  Status Sync() override { return Status::Ok(); }
  Status Allocate(uint64_t) override { return Status::Ok(); }
  Status Truncate(uint64_t) override { return Status::Ok(); }
  Result<uint64_t> Size() override { return uint64_t(0); }
};

class NullFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string&, OpenMode) override {
    return std::unique_ptr<File>(new NullFile);
  }
  Status Rename(const std::string&, const std::string&) override { return Status::Ok(); }
  Status Remove(const std::string&) override { return Status::Ok(); }
  Result<std::vector<std::string>> List(const std::string&) override {
    return std::vector<std::string>();
  }
  Status MakeDirectory(const std::string&) override { return Status::Ok(); }
  Status SyncDirectory(const std::string&) override { return Status::Ok(); }
  Result<uint64_t> FreeBytes(const std::string&) override { return uint64_t(0); }
  Result<uint64_t> TotalBytes(const std::string&) override { return uint64_t(0); }
  Result<uint64_t> FileSize(const std::string&) override { return uint64_t(0); }
  bool Exists(const std::string&) override { return false; }
  Result<std::unique_ptr<FileLock>> LockFile(const std::string&) override {
    return Status(StatusCode::kBusy, "");
  }
};

Status Ignore(LogPosition, std::string_view) { return Status::Ok(); }

void AppendBatch(Log* log, std::string_view payload, int64_t records) {
  for (int64_t i = 0; i < records; i++) {
    if (!log->Reserve(payload.size()).ok()) std::abort();
    log->BeginRecord()->append(payload);
    benchmark::DoNotOptimize(log->EndRecord());
  }
  if (!log->WriteBatch().ok()) std::abort();
}

void LogAppend(benchmark::State& state) {
  NullFileSystem fs;
  LogOptions options;
  options.directory = "nowhere";
  options.background_threads = false;
  auto log = Log::Open(&fs, options, Ignore);
  std::string payload(size_t(state.range(0)), 'p');
  for (auto _ : state) AppendBatch(log->get(), payload, state.range(1));
  state.SetItemsProcessed(state.iterations() * state.range(1));
}
BENCHMARK(LogAppend)->Args({150, 1})->Args({150, 50})->Args({150, 800})->Args({16384, 50});

// On the disk of TMPDIR or /tmp, with the threads; old segments go as after checkpoints.
void LogAppendAndWrite(benchmark::State& state) {
  const char* base = std::getenv("TMPDIR");
  std::string directory = std::string(base ? base : "/tmp") + "/redynamo_log_bench_XXXXXX";
  if (!mkdtemp(directory.data())) std::abort();
  LogOptions options;
  options.directory = directory;
  options.sync_mode = state.range(2) ? SyncMode::kAlways : SyncMode::kEverySecond;
  {
    auto log = Log::Open(&PosixFileSystem(), options, Ignore);
    std::string payload(size_t(state.range(0)), 'p');
    for (auto _ : state) {
      AppendBatch(log->get(), payload, state.range(1));
      if ((*log)->segments().size() > 4) (*log)->ReleaseBefore((*log)->synced());
    }
    LogStats stats = (*log)->stats();
    state.counters["syncs"] = double(stats.syncs);
    state.counters["sync_max_us"] = double(stats.sync_max_us);
  }
  state.SetItemsProcessed(state.iterations() * state.range(1));
  if (std::system(("rm -r " + directory).c_str()) != 0) std::abort();
}
BENCHMARK(LogAppendAndWrite)->Args({150, 1, 0})->Args({150, 50, 0})->Args({150, 800, 0});
BENCHMARK(LogAppendAndWrite)->Args({150, 50, 1})->Args({150, 800, 1});

void LogReplay(benchmark::State& state) {
  std::string directory = "/tmp/redynamo_log_bench_XXXXXX";
  if (!mkdtemp(directory.data())) std::abort();
  LogOptions options;
  options.directory = directory;
  constexpr int64_t kRecords = 1'000'000;
  {
    auto log = Log::Open(&PosixFileSystem(), options, Ignore);
    std::string payload(150, 'p');
    for (int64_t i = 0; i < kRecords; i += 100) AppendBatch(log->get(), payload, 100);
    if (!(*log)->Close().ok()) std::abort();
  }
  for (auto _ : state) {
    uint64_t bytes = 0;
    auto log = Log::Open(&PosixFileSystem(), options, [&](LogPosition, std::string_view payload) {
      bytes += payload.size();
      return Status::Ok();
    });
    if (bytes != 150 * kRecords) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * kRecords);
  if (std::system(("rm -r " + directory).c_str()) != 0) std::abort();
}
BENCHMARK(LogReplay)->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace
