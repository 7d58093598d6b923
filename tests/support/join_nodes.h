// SPDX-License-Identifier: Apache-2.0
// Engines that stand for nodes of one ring: the same actors under the same local indexes, one own
// actor each. What a node's command changed is given as the record that other nodes join.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/engine_impl.h"
#include "storage/row_dump.h"

namespace redynamo {

inline constexpr int64_t kJoinNowMs = 1'700'000'000'000;

class JoinNode {
 public:
  // Of `actors` actors; the own one is `self`.
  JoinNode(int actors, int self) : actors_(actors), self_(self) {
    char name[] = "/tmp/join_test_XXXXXX";
    options_.dir = mkdtemp(name);
    options_.sync = SyncMode::kNo;
    options_.log_segment_bytes = 1 << 20;
    options_.databases = 2;
    options_.warm_up = false;
    options_.packed_entries_max = 3;  // native forms are tested, too
    options_.set_packed_entries_max = 3;
    Open();
  }
  ~JoinNode() {
    engine.reset();
    std::filesystem::remove_all(options_.dir);
  }

  // As after kill -9.
  void Crash() {
    REQUIRE(engine->WriteTurn().ok());
    engine.reset();
    Open();
  }

  // One command; gives its record, empty when it changed nothing.
  std::string Do(const std::function<void(Keyspace)>& body, int64_t now_ms = kJoinNowMs) {
    REQUIRE(engine->ReserveWrite(1 << 20).ok());
    engine->BeginCommand(now_ms);
    body(Keyspace(engine.get(), 0));
    std::string record;
    if (engine->record_) record = engine->record_->substr(engine->record_begin_);
    engine->EndCommand();
    REQUIRE(engine->WriteTurn().ok());
    return record;
  }
  void Join(const std::string& record) {
    if (record.empty()) return;
    REQUIRE(engine->ReserveWrite(record.size()).ok());
    engine->BeginCommand(kJoinNowMs);
    engine->log_->BeginRecord()->append(record);
    Status status = engine->JoinRecord(engine->log_->EndRecord(), record);
    REQUIRE_MESSAGE(status.ok(), status.message());
    REQUIRE(engine->WriteTurn().ok());
  }
  void Checkpoint() {
    bool done = false;
    engine->checkpoint_waiters_.push_back([&](Status status) { done = status.ok(); });
    engine->checkpoint_wanted_ = true;
    while (!done) {
      engine->Tick(kJoinNowMs, 1000);
      REQUIRE(engine->WriteTurn().ok());
      engine->Poll();
    }
  }
  RowDump Rows(std::string_view key) { return DumpRows(*engine, PartitionOfSlot(KeySlot(key))); }
  std::string Get(std::string_view key) {
    std::string out = "(none)";
    Do([&](Keyspace keys) {
      StringView view = keys.String(key);
      if (view.exists()) out = view.wrong_type() ? "(wrong type)" : std::string(view.value());
    });
    return out;
  }

  std::unique_ptr<EngineImpl> engine;

 private:
  void Open() {
    engine = std::make_unique<EngineImpl>(options_, EngineHooks{}, &SystemClock());
    Identity identity;  // as if it had met the others: before Open, so that replay knows them
    bool created = false;
    auto loaded = Identity::LoadOrCreate(&PosixFileSystem(), options_.dir, &created);
    REQUIRE(loaded.ok());
    identity = *loaded;
    identity.actors.clear();
    for (int a = 0; a < actors_; a++) {
      Id128 id{};
      id[0] = uint8_t(a * 37 + 11);  // an order of ids that is not the order of indexes
      identity.actors.push_back(id);
      if (a != self_) identity.foreign.insert(uint16_t(a));
    }
    identity.own = uint16_t(self_);
    if (created) identity.boot_id = KernelBootId();
    identity.fingerprint = DirectoryFingerprint(options_.dir);
    REQUIRE(identity.Save(&PosixFileSystem(), options_.dir).ok());
    Status status = engine->Open();
    REQUIRE_MESSAGE(status.ok(), status.message());
    engine->self_ = uint16_t(self_);
    for (Partition& p : engine->partitions_) p.own_n = p.clock.Max(uint16_t(self_));
  }

  int actors_, self_;
  EngineOptions options_;
};

}  // namespace redynamo
