// SPDX-License-Identifier: Apache-2.0
// Goal: a large collection that is captured in slices stands on disk as of one moment, whatever
// happens to it between two slices. Method: a checkpoint is driven slice by slice, with changes in
// between; then the node crashes, and count and content must be the model's.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "base/random.h"
#include "tests/support/stepping_engine.h"

using namespace redynamo;

namespace {

constexpr int kFields = 6000;  // so many that the table has leaves, which are the slices

std::string Field(uint64_t i) { return "field" + std::to_string(i); }

void Fill(SteppingEngine& t, std::string_view key) {
  t.Do({key}, [&](Keyspace keys) {
    HashView h = keys.Hash(key);
    for (int i = 0; i < kFields; i++) h.Set(Field(uint64_t(i)), "old");
  });
}

}  // namespace

TEST_CASE(
    "element capture: what was removed before a capture stays so when the key goes in its midst") {
  SteppingEngine t;
  Fill(t, "h");
  t.Checkpoint();
  t.Do({"h"}, [&](Keyspace keys) {
    for (int i = 0; i < kFields - 100; i++) CHECK(keys.Hash("h").Remove(Field(uint64_t(i))));
  });
  t.StepToSlices("h");
  t.Do({"h"}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    for (int i = kFields - 100; i < kFields; i++) CHECK(h.Remove(Field(uint64_t(i))));
    CHECK(!h.exists());
  });
  t.FinishCheckpoint();
  for (int round = 0; round < 2; round++) {
    t.Crash();
    t.Do({"h"}, [&](Keyspace keys) { CHECK(!keys.Hash("h").exists()); });
    CHECK(t.engine->Ns(0).live == 0);
    t.Checkpoint();
  }
}

TEST_CASE("element capture: slices show one moment, whatever changes between them") {
  for (uint64_t seed = 1; seed <= 6; seed++) {
    CAPTURE(seed);
    SteppingEngine t;
    // Every other time, replay takes nothing on trust and reads all rows that it changes.
    t.options.salvage = seed % 2 == 0;
    Random random(seed);
    std::map<std::string, std::map<std::string, std::string>> model;
    const std::string names[] = {"{t}a", "{t}b", "{t}c"};  // one slot
    auto change = [&] {
      const std::string& key = names[random.Below(3)];
      std::string field = Field(random.Below(kFields));
      uint64_t what = random.Below(10'000);
      t.Do({key}, [&](Keyspace keys) {
        if (what == 0) {
          CHECK(keys.Find(key).Remove() == (model.erase(key) > 0));
        } else if (what == 1) {
          keys.String(key).Set("a string");
          keys.Find(key).Remove();
          model.erase(key);
        } else if (what < 3000) {
          std::string value = std::to_string(random.Below(1000));
          CHECK(keys.Hash(key).Set(field, value) == !model[key].contains(field));
          model[key][field] = value;
        } else if (what < 5500) {
          field = "n" + field;
          int64_t old = model[key].contains(field) ? std::stoll(model[key][field]) : 0;
          CHECK(*keys.Hash(key).Add(field, 3) == old + 3);
          model[key][field] = std::to_string(old + 3);
        } else {
          if (random.Below(2)) field = "n" + field;
          bool had = model.contains(key) && model[key].erase(field) > 0;
          CHECK(keys.Hash(key).Remove(field) == had);
          if (model.contains(key) && model[key].empty()) model.erase(key);
        }
      });
    };
    for (const std::string& key : names) {
      Fill(t, key);
      for (int i = 0; i < kFields; i++) model[key][Field(uint64_t(i))] = "old";
    }
    for (int round = 0; round < 4; round++) {
      for (int i = 0; i < 300; i++) change();
      t.StepToSlices(names[0]);
      while (t.Capturing(names[0])) {
        for (uint64_t i = random.Below(30); i > 0; i--) change();
        t.Step();
      }
      t.store->fail_commits = random.Below(4) == 0;
      if (random.Below(4) > 0) t.FinishCheckpoint();
      for (int i = 0; i < 100; i++) change();
      t.Crash();
      CHECK(t.engine->Ns(0).live == model.size());
      for (const std::string& key : names) {
        t.DoWith({{0, key, ElementNeed::kNone}}, [&](Keyspace keys) {
          HashView h = keys.Hash(key);
          CHECK(h.size() == (model.contains(key) ? model[key].size() : 0));
        });
        t.Do({key}, [&](Keyspace keys) {
          HashView h = keys.Hash(key);
          CHECK(h.size() == (model.contains(key) ? model[key].size() : 0));
          std::map<std::string, std::string> found;
          h.ForEach(
              [&](std::string_view f, std::string_view v) { return found.emplace(f, v).second; });
          CHECK(found == (model.contains(key) ? model[key] : decltype(found)()));
        });
      }
    }
  }
}
