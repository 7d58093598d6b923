// SPDX-License-Identifier: Apache-2.0
// Nodes of a ring as far as storage goes: real engines in directories of their own, each with its
// own actors, that exchange nothing but the bytes of storage/replica.h.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/engine_impl.h"
#include "storage/replica_side.h"
#include "storage/row_dump.h"
#include "tests/support/join_nodes.h"

namespace redynamo {

// One numbering of actors for all nodes of a test.
class ActorNames {
 public:
  uint16_t IndexOf(const Id128& id) {
    auto [it, is_new] = index_.try_emplace(id, uint16_t(index_.size()));
    return it->second;
  }
  std::vector<uint16_t> Map(const std::vector<Id128>& ids) {
    std::vector<uint16_t> to;
    for (const Id128& id : ids) to.push_back(IndexOf(id));
    return to;
  }

 private:
  std::map<Id128, uint16_t> index_;
};

class ReplicaNode {
 public:
  // `ordinal` makes its first actor's id; adjust(&options) may change what is set here.
  explicit ReplicaNode(int ordinal = 0,
                       const std::function<void(EngineOptions*)>& adjust = nullptr) {
    char name[] = "/tmp/replica_test_XXXXXX";
    options.dir = mkdtemp(name);
    options.sync = SyncMode::kNo;
    options.log_segment_bytes = 1 << 20;
    options.databases = 2;
    options.warm_up = false;
    options.packed_entries_max = 3;  // native forms are tested, too
    options.set_packed_entries_max = 3;
    options.keep_dots = true;
    options.seed = 77;  // of the ring
    if (adjust) adjust(&options);
    bool created;
    Result<Identity> identity = Identity::LoadOrCreate(&PosixFileSystem(), options.dir, &created);
    REQUIRE(identity.ok());
    identity->actors[0] = Id128{{uint8_t(ordinal * 37 + 11), uint8_t(ordinal)}};
    identity->boot_id = KernelBootId();
    identity->fingerprint = DirectoryFingerprint(options.dir);
    REQUIRE(identity->Save(&PosixFileSystem(), options.dir).ok());
    Open();
  }
  ~ReplicaNode() {
    engine.reset();
    std::filesystem::remove_all(options.dir);
  }

  // As after kill -9.
  void Crash() {
    REQUIRE(engine->WriteTurn().ok());
    engine.reset();
    Open();
  }
  void Open() {
    EngineHooks hooks;
    hooks.on_own_record = [this](const OwnRecord& record) {
      records.emplace_back(record.bytes);
      CHECK(record.position == engine->log_->appended());
      CHECK(!record.events.empty());
    };
    engine = std::make_unique<EngineImpl>(options, std::move(hooks), &SystemClock());
    Status status = engine->Open();
    REQUIRE_MESSAGE(status.ok(), status.message());
  }

  // One command; gives its record, empty when it changed nothing.
  std::string Do(const std::function<void(Keyspace)>& body, int64_t now_ms = kJoinNowMs) {
    records.clear();
    REQUIRE(engine->ReserveWrite(1 << 20).ok());
    engine->BeginCommand(now_ms);
    body(Keyspace(engine.get(), 0));
    engine->EndCommand();
    REQUIRE(engine->WriteTurn().ok());
    REQUIRE(records.size() <= 1);
    return records.empty() ? std::string() : records[0];
  }
  Accepted Accept(const std::string& record) {
    return Await<Accepted>([&](auto done) { side().AcceptRecord(record, done); });
  }
  PullAnswer Pull(int partition, const ReplicaClock& theirs, uint64_t max_bytes = 1 << 20) {
    return Await<PullAnswer>([&](auto done) { side().Pull(partition, theirs, max_bytes, done); });
  }
  Accepted AcceptBatch(int partition, const std::string& bytes) {
    return Await<Accepted>([&](auto done) { side().AcceptBatch(partition, bytes, done); });
  }
  FullAnswer Full(int partition, uint64_t cursor, uint64_t max_bytes) {
    return Await<FullAnswer>(
        [&](auto done) { side().FullRows(partition, cursor, max_bytes, done); });
  }
  Accepted AcceptFull(int partition, const std::string& bytes) {
    return Await<Accepted>([&](auto done) { side().AcceptFull(partition, bytes, done); });
  }
  // One pull from `other`; gives whether there may be more to get. Some dots may be out of its
  // index when others have them.
  bool PullFrom(ReplicaNode* other, int partition, uint64_t max_bytes = 1 << 20,
                bool others_may = false) {
    PullAnswer answer = other->Pull(partition, side().ClockOf(partition), max_bytes);
    REQUIRE_MESSAGE(answer.status.ok(), answer.status.message());
    REQUIRE((answer.kind != PullAnswer::kNeedFull || others_may));
    if (answer.kind != PullAnswer::kBatch) return false;
    Accepted accepted = AcceptBatch(partition, answer.bytes);
    REQUIRE_MESSAGE(accepted.status.ok(), accepted.status.message());
    REQUIRE(!accepted.dot_conflict);
    return answer.more;
  }
  bool Agrees(ReplicaNode* other, int partition) {
    return side().ClockHash(partition) == other->side().ClockHash(partition) &&
           side().IrregularHash(partition) == other->side().IrregularHash(partition);
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

  // All rows of the partition, under the test's names for actors. Brings cold keys back.
  RowDump Rows(int partition, ActorNames* names) {
    for (auto& space : engine->namespaces_) {
      for (int s = 0; s < SlotsPerPartition(); s++) {
        uint16_t slot = uint16_t(partition * SlotsPerPartition() + s);
        SlotTable* table = engine->Slot(space->id, slot);
        if (!table || table->cold() == 0) continue;
        engine->ForEachColdNow(space->id, slot, [&](Row* row) {
          engine->InstallLoaded(space->id, std::string(row->key()), row);
        });
      }
    }
    return Renamed(DumpRows(*engine, partition), names->Map(engine->identity_.actors));
  }
  std::string Get(std::string_view key) {
    std::string out = "(none)";
    Row* row = nullptr;
    SlotTable* table = engine->Slot(0, KeySlot(key));
    if (table && table->cold() > 0) REQUIRE(engine->LoadNow(0, key, &row).ok());
    Do([&](Keyspace keys) {
      StringView view = keys.String(key);
      if (view.exists()) out = view.wrong_type() ? "(wrong type)" : std::string(view.value());
    });
    return out;
  }
  ReplicaSide& side() { return *engine->replica_; }

  std::unique_ptr<EngineImpl> engine;
  EngineOptions options;
  std::vector<std::string> records;  // of the last command

 private:
  template <typename T>
  T Await(const std::function<void(std::function<void(T)>)>& ask) {
    T answer;
    bool done = false;
    ask([&](T got) {
      answer = std::move(got);
      done = true;
    });
    bool written = true;
    while (!done && written) {
      written = engine->WriteTurn().ok();
      engine->Poll();
    }
    REQUIRE(written);
    REQUIRE(engine->WriteTurn().ok());
    return answer;
  }
  static RowDump Renamed(const RowDump& dump, const std::vector<uint16_t>& to) {
    RowDump out;
    out.irregular_keys = dump.irregular_keys;
    out.clears = dump.clears;
    for (const auto& [at, held] : dump.keys) {
      for (const auto& [id, state] : held.rows) {
        RowId renamed = id;
        renamed.base = MapDot(id.base, to);
        bool owned = id.kind == RowKind::kTotal || id.kind == RowKind::kFieldTotal;
        if (owned) renamed.actor = to[id.actor];
        RowState& copy = out.keys[at].rows[renamed];
        for (const auto& [dot, version] : state.live) copy.live[MapDot(dot, to)] = version;
        for (Dot dot : state.gone) copy.gone.insert(MapDot(dot, to));
      }
    }
    return out;
  }
};

}  // namespace redynamo
