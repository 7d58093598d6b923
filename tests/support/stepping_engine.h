// SPDX-License-Identifier: Apache-2.0
// An engine whose checkpoints a test drives slice by slice: its clock ticks a microsecond each time
// it is read, so a deadline is a number of steps.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "storage/engine_impl.h"
#include "tests/support/flaky_row_store.h"

namespace redynamo {

class TickingClock : public Clock {
 public:
  int64_t WallMs() const override { return wall_ms; }
  int64_t MonotonicUs() const override { return ++us_; }
  void AdvanceUs(int64_t us) { us_ += us; }
  int64_t wall_ms = 1'700'000'000'000;

 private:
  mutable std::atomic<int64_t> us_{0};
};

class SteppingEngine {
 public:
  SteppingEngine() {
    char name[] = "/tmp/stepping_test_XXXXXX";
    options.dir = mkdtemp(name);
    root_ = options.dir;
    options.sync = SyncMode::kNo;
    options.log_segment_bytes = 4 << 20;
    options.databases = 1;
    options.warm_up = false;
    options.capture_slice_rows = 64;
    options.whole_load_rows_max = 200;
    Open();
  }
  ~SteppingEngine() {
    engine.reset();
    std::filesystem::remove_all(root_);
  }

  // As after kill -9.
  void Crash() {
    REQUIRE(engine->WriteTurn().ok());
    CheckDirty();
    engine.reset();
    Open();
    CheckDirty();
  }

  // One command; loads first what it needs.
  void DoWith(const std::vector<KeyRef>& refs, const std::function<void(Keyspace)>& body) {
    while (!engine->Resident(refs)) {
      bool loaded = false;
      engine->Load(refs, [&](Status status) {
        REQUIRE_MESSAGE(status.ok(), status.message());
        loaded = true;
      });
      REQUIRE(engine->WriteTurn().ok());
      while (!loaded) Turn();
    }
    REQUIRE(engine->ReserveWrite(4 << 20).ok());
    engine->BeginCommand(clock.wall_ms);
    body(Keyspace(engine.get(), 0));
    engine->EndCommand();
    REQUIRE(engine->WriteTurn().ok());
  }
  void Do(std::initializer_list<std::string_view> keys, const std::function<void(Keyspace)>& body) {
    std::vector<KeyRef> refs;
    for (auto key : keys) refs.push_back({0, key});
    DoWith(refs, body);
  }
  // Takes over what other threads have handed in, but captures nothing.
  void Turn() {
    std::vector<std::function<void()>> work;
    {
      std::unique_lock lock(engine->mutex_);
      if (engine->inbox_.empty()) woken_.wait_for(lock, std::chrono::milliseconds(1));
      work.swap(engine->inbox_);
    }
    for (auto& item : work) item();
    REQUIRE(engine->WriteTurn().ok());
  }

  void Checkpoint() {
    if (!engine->checkpoint_) engine->StartCheckpoint();
    FinishCheckpoint();
  }
  // One slot without large collections, or one slice of one.
  void Step() {
    if (engine->checkpoint_) engine->StepCheckpoint(clock.MonotonicUs() + 2);
  }
  // Begins a checkpoint, up to where the key's slot has been captured, and one slice.
  void StepToSlices(std::string_view key) {
    while (engine->checkpoint_) FinishCheckpoint();
    engine->StartCheckpoint();
    constexpr int kStepsMax = 20'000;  // the key may have gone
    for (int i = 0; i < kStepsMax && !Capturing(key); i++) Step();
  }
  bool Capturing(std::string_view key) const { return engine->CapturingElementsOf(KeySlot(key)); }
  void FinishCheckpoint() {
    while (engine->checkpoint_) {
      engine->StepCheckpoint(clock.MonotonicUs() + 1000);
      Turn();
    }
    CHECK(engine->stats_.last_checkpoint_ok != store->commit_failed);
    CheckDirty();
    if (engine->stats_.last_checkpoint_ok) CheckSums();
  }
  // Every clean key leaves memory.
  void PageOutAll() {
    for (auto& space : engine->namespaces_) {
      for (auto& table : space->slots) {
        if (!table) continue;
        std::vector<Row*> clean;
        table->rows.ForEach([&](Row* row) {
          if (row->live() && engine->MayGo(row)) clean.push_back(row);
        });
        for (Row* row : clean) {
          engine->PageOut(*table, space->id, table->rows.HashOf(row->key()), row);
        }
      }
    }
  }
  // Dirty memory is what a walk over all objects finds.
  void CheckDirty() {
    uint64_t rows = 0, bytes = 0;
    for (auto& space : engine->namespaces_) {
      for (auto& table : space->slots) {
        if (!table) continue;
        uint64_t before_rows = rows, before_bytes = bytes;
        table->rows.ForEach([&](Row* row) {
          rows += row->Has(Row::kDirty);
          bytes += EngineImpl::DirtyBytes(row);
        });
        CHECK(table->dirty_rows == rows - before_rows);
        CHECK(table->dirty_bytes == bytes - before_bytes);
      }
    }
    CHECK(engine->stats_.dirty_rows == rows);
    CHECK(engine->stats_.dirty_bytes == bytes);
  }
  // What the checkpoint has left on disk is what its sums and counts say.
  void CheckSums() {
    Result<CheckpointMeta> meta = LoadCheckpointMeta(engine->store_.get(), options.databases);
    REQUIRE(meta.ok());
    auto snapshot = engine->store_->TakeSnapshot();
    for (uint32_t slot = 0; slot < meta->slots[0].size(); slot++) {
      const CapturedSlot& stored = meta->slots[0][slot];
      if (stored.position == 0 || !stored.sum_known) continue;
      EngineImpl::LeafCount count;
      REQUIRE(engine->CountLeaf(0, uint16_t(slot), snapshot, &count).ok());
      CHECK(count.sum == stored.sum);
      CHECK(count.keys == stored.live);
      CHECK(count.deadlines == stored.deadlines);
    }
  }

  std::condition_variable woken_;
  TickingClock clock;
  EngineOptions options;
  std::unique_ptr<EngineImpl> engine;
  FlakyRowStore* store = nullptr;  // the engine's

 private:
  void Open() {
    EngineHooks hooks;
    hooks.wake = [this] { woken_.notify_all(); };
    engine = std::make_unique<EngineImpl>(options, std::move(hooks), &clock);
    Status status = engine->Open();
    REQUIRE_MESSAGE(status.ok(), status.message());
    auto flaky = std::make_unique<FlakyRowStore>(std::move(engine->store_));
    store = flaky.get();
    engine->store_ = std::move(flaky);
  }

  std::string root_;
};

}  // namespace redynamo
