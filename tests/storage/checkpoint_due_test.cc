// SPDX-License-Identifier: Apache-2.0
// When a checkpoint begins by itself.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/stepping_engine.h"

namespace redynamo {
namespace {

constexpr int64_t kIdleUs = 3'100'000;

void Write(SteppingEngine* t, const std::string& key, size_t bytes) {
  t->Do({key}, [&](Keyspace keys) { keys.String(key).Set(std::string(bytes, 'v')); });
}

bool BeginsAfterIdling(SteppingEngine* t) {
  t->engine->Tick(t->clock.wall_ms, 1);  // sees where the log ends
  t->clock.AdvanceUs(kIdleUs);
  t->engine->Tick(t->clock.wall_ms, 1);
  return t->engine->checkpoint_ != nullptr;
}

TEST_CASE("checkpoint due: an idle moment takes a long tail, and leaves a short one to the timer") {
  SteppingEngine t;
  t.options.checkpoint_interval_ms = 3'600'000;
  t.Crash();
  Write(&t, "small", 100);
  CHECK(!BeginsAfterIdling(&t));
  for (int i = 0; i < 17; i++) Write(&t, "large" + std::to_string(i), 1 << 20);
  t.engine->Tick(t.clock.wall_ms, 1);
  CHECK(!t.engine->checkpoint_);  // it was written to just now
  CHECK(BeginsAfterIdling(&t));
  t.FinishCheckpoint();
  CHECK(!BeginsAfterIdling(&t));  // nothing new
}

TEST_CASE("checkpoint due: the timer takes what there is") {
  SteppingEngine t;
  t.options.checkpoint_interval_ms = 2000;
  t.Crash();
  Write(&t, "small", 100);
  CHECK(BeginsAfterIdling(&t));
  t.FinishCheckpoint();
}

}  // namespace
}  // namespace redynamo
