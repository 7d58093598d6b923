// SPDX-License-Identifier: Apache-2.0
// An engine in a directory of its own, with the verbs that engine tests are written in.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/random.h"
#include "storage/engine.h"

namespace redynamo {

class EngineFixture {
 public:
  EngineFixture() {
    char name[] = "/tmp/engine_test_XXXXXX";
    options.dir = mkdtemp(name);
    root_ = options.dir;
    options.sync = SyncMode::kNo;
    options.log_segment_bytes = 4 << 20;
    options.warm_up = false;
    Start();
  }
  ~EngineFixture() {
    engine.reset();
    std::filesystem::remove_all(root_);
  }

  void Start() {
    EngineHooks hooks;
    hooks.on_fatal = [](const Status& status) { FAIL(status.message()); };
    auto opened = Engine::Open(options, hooks, &SystemClock());
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    engine = std::move(*opened);
  }
  // As kill -9 leaves it: what was written stays, nothing is closed.
  void Crash() {
    engine.reset();
    Start();
  }
  void Restart() {
    REQUIRE(engine->Close(false).ok());
    engine.reset();
    Start();
  }

  // One command: loads its keys if they are cold, then runs.
  void Do(std::initializer_list<std::string_view> keys, const std::function<void(Keyspace)>& body,
          int database = 0) {
    std::vector<KeyRef> refs;
    for (auto key : keys) refs.push_back({database, key});
    bool ran = false;
    std::function<void(Status)> run = [&](Status status) {
      REQUIRE_MESSAGE(status.ok(), status.message());
      if (!engine->Resident(refs)) return engine->Load(refs, run);
      REQUIRE(engine->ReserveWrite(4 << 20).ok());
      engine->BeginCommand(SystemClock().WallMs());
      body(engine->Database(database));
      engine->EndCommand();
      ran = true;
    };
    run(Status::Ok());
    REQUIRE(engine->WriteTurn().ok());
    while (!ran) Turn();
  }
  void Turn() {
    engine->Poll();
    engine->Tick(SystemClock().WallMs(), 1000);
    REQUIRE(engine->WriteTurn().ok());
    poll(nullptr, 0, 1);  // gives the background a chance
  }
  Status Checkpoint() {
    bool done = false;
    Status result;
    engine->Checkpoint([&](Status status) {
      done = true;
      result = status;
    });
    while (!done) Turn();
    return result;
  }
  std::string Get(std::string_view key) {
    std::string out = "(none)";
    Do({key}, [&](Keyspace keys) {
      StringView view = keys.String(key);
      if (view.exists()) out = std::string(view.value());
    });
    return out;
  }
  void Set(std::string_view key, std::string_view value) {
    Do({key}, [&](Keyspace keys) { keys.String(key).Set(value); });
  }

  EngineOptions options;
  std::unique_ptr<Engine> engine;

 private:
  std::string root_;
};

}  // namespace redynamo
