// SPDX-License-Identifier: Apache-2.0
// Goal: a large collection that is partly in memory answers like one that is whole. Method: random
// commands on a sparse set and hash against a plain model, each with no more than it has declared
// in memory, while elements are paged out, checkpoints run slice by slice and the node crashes.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>

#include "base/random.h"
#include "tests/support/stepping_engine.h"

using namespace redynamo;

namespace {

constexpr int kElements = 6000;

std::string Name(uint64_t i) { return "element" + std::to_string(i); }

using Hash = std::map<std::string, std::string>;

// "h" with `count` fields, on disk only.
Hash ColdHash(SteppingEngine& t, int count = kElements) {
  Hash model;
  t.Do({"h"}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    for (int i = 0; i < count; i++) {
      h.Set(Name(uint64_t(i)), std::to_string(i));
      model[Name(uint64_t(i))] = std::to_string(i);
    }
  });
  t.Checkpoint();
  t.Crash();
  return model;
}

void With(SteppingEngine& t, std::string_view name, const std::function<void(HashView&)>& body) {
  t.DoWith({{0, "h", ElementNeed::kNamed, {&name, 1}}}, [&](Keyspace keys) {
    HashView h = keys.Hash("h");
    body(h);
  });
}

uint64_t Resident(SteppingEngine& t, std::string_view key) {
  Row* row = t.engine->Slot(0, KeySlot(key))
                 ->rows.Find(RowTable::HashOf(key, t.engine->seed_, kPositionHashBits), key);
  return row ? row->collection()->table()->live_size() : 0;
}

void PageOut(SteppingEngine& t) {
  t.options.maxmemory_bytes = 1;
  t.engine->options_ = t.options;
  t.engine->evict_retry_us_ = 0;
  for (int i = 0; i < 20; i++) t.engine->EvictToLimit(t.clock.MonotonicUs() + 100'000);
  t.options.maxmemory_bytes = 0;
  t.engine->options_ = t.options;
}

void CheckHash(SteppingEngine& t, const Hash& model) {
  t.DoWith({{0, "h", ElementNeed::kNone}},
           [&](Keyspace keys) { CHECK(keys.Hash("h").size() == model.size()); });
  t.Do({"h"}, [&](Keyspace keys) {
    Hash found;
    keys.Hash("h").ForEach(
        [&](std::string_view f, std::string_view v) { return found.emplace(f, v).second; });
    CHECK(found == model);
    CHECK(keys.Hash("h").size() == model.size());
  });
}

}  // namespace

TEST_CASE("sparse: a command reads the elements that it names, and nothing else") {
  SteppingEngine t;
  ColdHash(t);
  With(t, Name(17), [](HashView& h) {
    CHECK(h.size() == kElements);
    CHECK(h.Find(Name(17)) == "17");
    CHECK(!h.Set(Name(17), "new"));
  });
  With(t, "nothing", [](HashView& h) { CHECK(!h.Find("nothing")); });
  With(t, "more", [](HashView& h) { CHECK(h.Set("more", "value")); });
  With(t, Name(18), [](HashView& h) { CHECK(h.Remove(Name(18))); });
  CHECK(Resident(t, "h") == 2);
  CHECK(t.engine->stats_.blocking_loads == 0);
  uint64_t rows = t.engine->stats_.checkpoint_rows;
  t.Checkpoint();
  CHECK(t.engine->stats_.checkpoint_rows - rows == 4);  // three elements and the head
  t.Crash();
  With(t, Name(17), [](HashView& h) {
    CHECK(h.size() == kElements);
    CHECK(h.Find(Name(17)) == "new");
  });
  With(t, Name(18), [](HashView& h) { CHECK(!h.Find(Name(18))); });
  CHECK(t.engine->stats_.blocking_loads == 0);
}

TEST_CASE("sparse: the log's tail replays over a large hash without loading it") {
  SteppingEngine t;
  Hash model = ColdHash(t);
  for (int i = 0; i < 50; i++) {
    std::string name = Name(uint64_t(i * 7));
    With(t, name, [&](HashView& h) {
      if (i % 3 == 0) h.Remove(name);
      if (i % 3 != 0) h.Set(name, "new");
    });
    if (i % 3 == 0) model.erase(name);
    if (i % 3 != 0) model[name] = "new";
    std::string added = "added" + std::to_string(i);
    With(t, added, [&](HashView& h) { CHECK(*h.Add(added, i) == i); });
    model[added] = std::to_string(i);
  }
  t.Crash();
  CHECK(Resident(t, "h") <= 100);
  CheckHash(t, model);
  t.Crash();
  t.Checkpoint();
  t.Crash();
  CheckHash(t, model);
}

TEST_CASE("sparse: removal, expiry and overwriting need no elements") {
  for (int way = 0; way < 3; way++) {
    SteppingEngine t;
    ColdHash(t);
    t.DoWith({{0, "h", ElementNeed::kNone}}, [&](Keyspace keys) {
      if (way == 0) CHECK(keys.Find("h").Remove());
      if (way == 1) keys.String("h").Set("text");
      if (way == 2) keys.Find("h").SetDeadline(t.clock.wall_ms + 10);
    });
    if (way == 2) t.clock.wall_ms += 20;
    for (int round = 0; round < 2; round++) {
      t.DoWith({{0, "h", ElementNeed::kNone}}, [&](Keyspace keys) {
        CHECK(keys.Find("h").type() == (way == 1 ? ObjectType::kString : ObjectType::kNone));
      });
      CHECK(t.engine->stats_.cold_elements == 0);
      CHECK(t.engine->stats_.blocking_loads == 0);
      CHECK(t.engine->Ns(0).sparse == 0);
      if (round == 0) t.Checkpoint();
      t.Crash();
    }
    With(t, "one", [](HashView& h) {
      if (h.wrong_type()) h.KeyView::Remove();
    });
    With(t, "one", [](HashView& h) { CHECK(h.Set("one", "1")); });
    t.Checkpoint();
    t.Crash();
    CheckHash(t, {{"one", "1"}});
  }
}

TEST_CASE("sparse: a scan gives whatever is there all along, in spite of changes and page-out") {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    CAPTURE(seed);
    SteppingEngine t;
    Hash model = ColdHash(t);
    Random random(seed);
    std::set<std::string> throughout, seen;
    for (const auto& [name, value] : model) throughout.insert(name);
    uint64_t cursor = 0;
    int calls = 0;
    do {
      KeyRef ref{0, "h", ElementNeed::kScan};
      ref.number = cursor;
      t.DoWith({ref}, [&](Keyspace keys) {
        cursor =
            keys.Hash("h").Scan(cursor, 1 + random.Below(300), [&](std::string_view f, auto v) {
              seen.emplace(f);
              CHECK(model.contains(std::string(f)));
              CHECK(model[std::string(f)] == v);
            });
      });
      std::string name = Name(random.Below(2 * kElements));
      With(t, name, [&](HashView& h) {
        if (random.Below(2)) {
          h.Set(name, "v");
          model[name] = "v";
        } else {
          h.Remove(name);
          model.erase(name);
          throughout.erase(name);
        }
      });
      if (random.Below(8) == 0) PageOut(t);
      if (random.Below(8) == 0) t.Checkpoint();
      REQUIRE(++calls < 10'000);
    } while (cursor != 0);
    for (const std::string& name : throughout) CHECK(seen.contains(name));
    CHECK(t.engine->stats_.blocking_loads == 0);
    CheckHash(t, model);
  }
}

TEST_CASE("sparse: random draws reach all, differ, and pop each element once") {
  SteppingEngine t;
  t.Do({"s"}, [&](Keyspace keys) {
    for (int i = 0; i < kElements; i++) keys.Set("s").Add(Name(uint64_t(i)));
  });
  t.Checkpoint();
  t.Crash();
  Random random(7);
  KeyRef draw{0, "s", ElementNeed::kDraw};
  draw.number = 20;
  std::set<std::string> drawn;
  for (int round = 0; round < 50; round++) {
    t.DoWith({draw}, [&](Keyspace keys) {
      for (int i = 0; i < 20; i++) drawn.emplace(keys.Set("s").Sample(random));
    });
  }
  CHECK(drawn.size() > 850);  // of 1000 draws from 6000, 922 would differ
  std::set<std::string> popped;
  draw.number = 1;
  for (int left = kElements; left > 0; left--) {
    if (left % 1000 == 0) {
      t.Checkpoint();
      PageOut(t);
    }
    t.DoWith({draw}, [&](Keyspace keys) {
      SetView s = keys.Set("s");
      CHECK(s.size() == uint64_t(left));
      std::string member(s.Sample(random));
      CHECK(s.Remove(member));
      CHECK(popped.insert(member).second);
    });
  }
  CHECK(t.engine->Ns(0).live == 0);
  t.Crash();
  CHECK(t.engine->Ns(0).live == 0);
}

TEST_CASE("sparse: elements leave memory a few at a time, those in use last") {
  SteppingEngine t;
  Hash model = ColdHash(t);
  CheckHash(t, model);  // loads all
  CHECK(Resident(t, "h") == kElements);
  for (int i = 0; i < 100; i++) {
    With(t, Name(uint64_t(i)), [&](HashView& h) { CHECK(h.Find(Name(uint64_t(i)))); });
  }
  uint16_t slot = KeySlot("h");
  CHECK(t.engine->EvictFrom(*t.engine->Slot(0, slot), 0, slot));
  CHECK(Resident(t, "h") < kElements);
  CHECK(Resident(t, "h") >= kElements - 3000);
  CHECK(t.engine->Ns(0).sparse == 1);
  for (int i = 0; i < 4; i++) t.engine->EvictFrom(*t.engine->Slot(0, slot), 0, slot);
  CHECK(Resident(t, "h") >= 100);
  CHECK(Resident(t, "h") <= 1500);
  uint64_t read = t.engine->stats_.cold_elements;
  for (int i = 0; i < 100; i++) With(t, Name(uint64_t(i)), [](HashView&) {});
  CHECK(t.engine->stats_.cold_elements == read);
  With(t, "x", [&](HashView& h) { h.Set("x", "y"); });
  model["x"] = "y";
  PageOut(t);
  CHECK(Resident(t, "h") == 1);  // what is dirty stays
  CheckHash(t, model);
}

TEST_CASE(
    "sparse: one large hash leaves memory without a pause, however many databases are empty") {
  SteppingEngine t;
  t.options.databases = 16;
  Hash model = ColdHash(t);
  CheckHash(t, model);
  With(t, "dirty", [](HashView& h) { h.Set("dirty", "v"); });  // the hash cannot go as a whole
  t.options.maxmemory_bytes = 1;
  t.engine->options_ = t.options;
  t.engine->EvictToLimit(t.clock.MonotonicUs() + 1'000'000);
  CHECK(Resident(t, "h") == 1);
}

TEST_CASE("sparse: random histories equal a model across page-out, checkpoints and crashes") {
  for (uint64_t seed = 1; seed <= 4; seed++) {
    CAPTURE(seed);
    SteppingEngine t;
    t.options.salvage = seed % 2 == 0;  // replay that reads all that it changes
    Hash model = ColdHash(t);
    Random random(seed);
    for (int step = 0; step < 2000; step++) {
      std::string name = (random.Below(2) ? "n" : "") + Name(random.Below(kElements));
      uint64_t what = random.Below(100);
      bool number = name[0] == 'n';
      if (what < 40) {
        std::string value = number ? std::to_string(step) : std::string(random.Below(30), 'v');
        With(t, name, [&](HashView& h) { CHECK(h.Set(name, value) == !model.contains(name)); });
        model[name] = value;
      } else if (what < 60) {
        if (!number) continue;
        int64_t old = model.contains(name) ? std::stoll(model[name]) : 0;
        With(t, name, [&](HashView& h) { CHECK(*h.Add(name, 5) == old + 5); });
        model[name] = std::to_string(old + 5);
      } else if (what < 80) {
        With(t, name, [&](HashView& h) { CHECK(h.Remove(name) == (model.erase(name) > 0)); });
      } else if (what < 90) {
        With(t, name, [&](HashView& h) {
          auto found = h.Find(name);
          CHECK(found.has_value() == model.contains(name));
          if (found) CHECK(*found == model[name]);
          CHECK(h.size() == model.size());
        });
      } else if (what < 93) {
        PageOut(t);
      } else if (what < 98) {
        if (!t.engine->checkpoint_) t.engine->StartCheckpoint();
        t.store->fail_commits = random.Below(3) == 0;
        for (uint64_t i = random.Below(3) * 8000; i > 0; i--) t.Step();
        t.Turn();
      } else if (random.Below(10) == 0) {
        t.Crash();
      } else if (random.Below(30) == 0) {
        CheckHash(t, model);
      }
    }
    CHECK(t.engine->stats_.blocking_loads == 0);
    for (int round = 0; round < 2; round++) {
      t.Crash();
      CheckHash(t, model);
      t.Checkpoint();
    }
  }
}
