// SPDX-License-Identifier: Apache-2.0
// Long strings changed in place: the object against a plain model, and the engine against plain
// strings, with checkpoints that succeed, fail or run beside, page-out, and crashes.
#include "storage/long_string.h"

#include <doctest/doctest.h>

#include <map>

#include "storage/row_format.h"
#include "tests/support/flaky_row_store.h"
#include "tests/support/join_nodes.h"

using namespace redynamo;

namespace {

// The base overlaid by fragments, said plainly.
struct Model {
  std::string base;
  std::map<uint32_t, std::string> fragments;
  std::string Bytes() const {
    std::string bytes = base;
    for (const auto& [index, piece] : fragments) {
      size_t begin = size_t(index) * kFragmentBytes;
      if (bytes.size() < begin + piece.size()) bytes.resize(begin + piece.size(), '\0');
      bytes.replace(begin, piece.size(), piece);
    }
    return bytes;
  }
};

std::string RandomBytes(Random& random, size_t most) {
  std::string bytes(1 + random.Below(most), '\0');
  for (char& c : bytes) c = char('a' + random.Below(26));
  return bytes;
}

void CheckEqual(const LongString& text, const Model& model) {
  REQUIRE(text.bytes() == model.Bytes());
  REQUIRE(text.Base() == model.base);
  for (const auto& [index, fragment] : text.fragments()) {
    if (!fragment.live()) continue;
    REQUIRE(text.FragmentBytes(index, fragment) == model.fragments.at(index));
  }
}

void PlainOverwrite(std::string* bytes, uint64_t offset, std::string_view piece) {
  if (bytes->size() < offset + piece.size()) bytes->resize(offset + piece.size(), '\0');
  bytes->replace(offset, piece.size(), piece);
}

}  // namespace

TEST_CASE("long_string: bytes, base and fragments equal a model under any changes") {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    CAPTURE(seed);
    Random random(seed);
    Model model;
    model.base = random.Below(3) ? RandomBytes(random, 30'000) : std::string();
    LongString text(model.base);
    for (int step = 0; step < 60; step++) {
      uint32_t index = uint32_t(random.Below(12));
      Dot dot = MakeDot(0, uint64_t(step) + 1);
      switch (random.Below(4)) {
        case 0:
        case 1: {
          uint64_t offset = random.Below(2) ? random.Below(40'000) : text.bytes().size();
          std::string piece = RandomBytes(random, random.Below(2) ? 3 : 9000);
          std::string wanted(text.bytes());
          PlainOverwrite(&wanted, offset, piece);
          std::vector<LongString::Touched> touched;
          text.Overwrite(offset, piece, dot, 7, &touched);
          REQUIRE(text.bytes() == wanted);
          for (const auto& t : touched) {
            model.fragments[t.index] =
                wanted.substr(size_t(t.index) * kFragmentBytes, kFragmentBytes);
          }
          break;
        }
        case 2: {
          std::string piece = RandomBytes(random, kFragmentBytes);
          text.Put(index, piece, dot, 7);
          model.fragments[index] = piece;
          break;
        }
        case 3:
          text.Remove(index);
          model.fragments.erase(index);
          break;
      }
      CheckEqual(text, model);
    }
  }
}

TEST_CASE("long_string: appending costs what is appended") {
  LongString text("start");
  const char* place = text.bytes().data();
  int moves = 0;
  std::vector<LongString::Touched> touched;
  for (int i = 0; i < 20'000; i++) {
    touched.clear();
    text.Overwrite(text.bytes().size(), std::string(100, 'x'), MakeDot(0, 1), 1, &touched);
    moves += text.bytes().data() != place;
    place = text.bytes().data();
  }
  CHECK(text.bytes().size() == 2'000'005);
  CHECK(moves < 40);
  CHECK(text.memory_bytes() < 2'700'000);
}

TEST_CASE("long_string: captured fragments are clean, a failed checkpoint makes them dirty again") {
  LongString text(std::string(5000, 'b'));
  text.head_dirty = false;
  for (uint32_t index : {0u, 3u, 9u}) text.Put(index, "x", MakeDot(0, index + 1), 1);
  std::vector<uint32_t> dirty;
  CHECK(text.CollectDirty(0, 2, &dirty) == 9);
  CHECK(dirty == std::vector<uint32_t>{0, 3});
  CHECK(text.CollectDirty(9, 2, &(dirty = {})) == 0);
  CHECK(dirty == std::vector<uint32_t>{9});
  for (uint32_t index : {0u, 3u, 9u}) text.MarkCaptured(index, 5);
  CHECK(text.CollectDirty(0, 9, &(dirty = {})) == 0);
  CHECK(dirty.empty());
  text.Remove(3);  // stays until its row has gone from disk, too
  CHECK(text.Find(3) == nullptr);
  text.MarkCaptured(3, 6);
  CHECK(!text.Redirty(7));
  CHECK(text.Redirty(6));
  text.CollectDirty(0, 9, &(dirty = {}));
  CHECK(dirty == std::vector<uint32_t>{3});
  CHECK(text.Redirty(5));
  CHECK(!text.head_dirty);
  text.CollectDirty(0, 9, &(dirty = {}));
  CHECK(dirty == std::vector<uint32_t>{0, 3, 9});
}

namespace {

// An engine beside plain strings.
class Histories {
 public:
  explicit Histories(uint64_t seed) : random_(seed) { Wrap(); }

  void Step() { random_.Below(4) ? Change(Key()) : Manage(); }

  void Change(const std::string& key) {
    switch (random_.Below(15)) {
      case 0:
      case 1:
      case 2:
      case 3: {  // SETRANGE
        uint64_t offset = random_.Below(random_.Below(3) ? 30'000 : 120'000);
        std::string piece = RandomBytes(random_, random_.Below(3) ? 10 : 12'000);
        Run(key, [&](Keyspace keys) { keys.String(key).Overwrite(offset, piece); });
        PlainOverwrite(&model_[key], offset, piece);
        break;
      }
      case 4:
      case 5:
      case 6: {  // APPEND
        std::string piece = RandomBytes(random_, random_.Below(3) ? 50 : 9000);
        Run(key, [&](Keyspace keys) { keys.String(key).Append(piece); });
        model_[key] += piece;
        break;
      }
      case 7:
      case 8: return SetBit(key, random_.Below(400'000));
      case 9: {  // SET
        size_t most = random_.Below(2) ? 100 : random_.Below(2) ? 20'000 : 90'000;
        std::string value = RandomBytes(random_, most);
        Run(key, [&](Keyspace keys) { keys.String(key).Set(value); });
        model_[key] = value;
        break;
      }
      case 10:  // DEL
        Run(key, [&](Keyspace keys) { CHECK(keys.Find(key).Remove() == model_.contains(key)); });
        model_.erase(key);
        break;
      default: return Replace(key);
    }
  }

  void Replace(const std::string& key) {
    switch (random_.Below(4)) {
      case 0: {  // RENAME
        std::string to = Key();
        if (to == key || !model_.contains(key)) break;
        Resident(to);
        Run(key, [&](Keyspace keys) {
          keys.Copy(key, 0, to);
          keys.Peek(key).Remove();
        });
        model_[to] = model_[key];
        model_.erase(key);
        break;
      }
      case 1:  // EXPIRE, or PERSIST
        Run(key, [&](Keyspace keys) {
          KeyView view = keys.Find(key);
          if (view.exists() && !view.Persist()) view.SetDeadline(kJoinNowMs + 1'000'000);
        });
        break;
      case 2: {  // MULTI: several at once, and a new base between them
        std::string value = RandomBytes(random_, 9000), piece = RandomBytes(random_, 6000);
        Run(key, [&](Keyspace keys) {
          keys.String(key).Overwrite(5000, piece);
          keys.String(key).Set(value);
          keys.String(key).Overwrite(7000, piece);
          keys.String(key).Append(piece);
        });
        model_[key] = value;
        PlainOverwrite(&model_[key], 7000, piece);
        model_[key] += piece;
        break;
      }
      case 3:  // a hash takes the place
        if (random_.Below(3)) break;
        Run(key, [&](Keyspace keys) {
          keys.Find(key).Remove();
          keys.Hash(key).Set("f", "v");
          keys.Find(key).Remove();
        });
        model_.erase(key);
        break;
    }
  }

  void Manage() {
    switch (random_.Below(6)) {
      case 0: return Checkpoint();
      case 1: return PageOut();
      case 2:
        if (random_.Below(4) == 0) Crash();
        return;
      default:  // a checkpoint runs beside, a slice at a time
        node_.engine->checkpoint_wanted_ |= random_.Below(3) == 0;
        node_.engine->Tick(kJoinNowMs, int64_t(random_.Below(200)));
        node_.engine->Poll();
    }
  }

  void Crash() {
    node_.Crash();
    Wrap();
  }

  void Compare() {
    for (int n = 0; n < kKeys; n++) {
      std::string key = "{l}" + std::to_string(n);
      Resident(key);
      std::string got = node_.Get(key);
      auto it = model_.find(key);
      REQUIRE(got.size() == (it == model_.end() ? 6 : it->second.size()));
      REQUIRE(got == (it == model_.end() ? "(none)" : it->second));
    }
    CHECK(node_.engine->Ns(0).live == model_.size());
    CHECK(node_.Rows("{l}").irregular_keys == 0);
  }

  // Every fragment row on disk is one of a key that has it in memory.
  void CheckNoOrphans() {
    store_->fail_commits = false;
    node_.Checkpoint();
    auto it = store_->NewRowIterator({}, {});
    for (; it->Valid(); it->Next()) {
      Result<RowKey> row_key = DecodeRowKey(it->key());
      REQUIRE(row_key.ok());
      std::string key(row_key->key);
      Row* row = Resident(key);
      REQUIRE(row != nullptr);
      REQUIRE(row->row_form() == RowForm::kLong);
      CHECK(row->long_string()->Find(uint32_t(row_key->element_hash)) != nullptr);
    }
  }
  uint64_t failed_checkpoints = 0;

 private:
  static constexpr int kKeys = 5;

  void Wrap() {
    auto flaky = std::make_unique<FlakyRowStore>(std::move(node_.engine->store_));
    store_ = flaky.get();
    node_.engine->store_ = std::move(flaky);
  }
  std::string Key() { return "{l}" + std::to_string(random_.Below(kKeys)); }

  Row* Resident(const std::string& key) {
    SlotTable* table = node_.engine->Slot(0, KeySlot(key));
    if (!table) return nullptr;
    Row* row = table->rows.Find(RowTable::HashOf(key, node_.engine->seed_, kPositionHashBits), key);
    if (!row && table->cold() > 0) REQUIRE(node_.engine->LoadNow(0, key, &row).ok());
    return row && row->live() ? row : nullptr;
  }
  void Run(const std::string& key, const std::function<void(Keyspace)>& body) {
    Resident(key);
    node_.Do(body);
  }
  void SetBit(const std::string& key, uint64_t bit) {
    std::string& bytes = model_[key];
    char byte = bit / 8 < bytes.size() ? bytes[bit / 8] : '\0';
    byte = char(byte ^ (1 << bit % 8));
    Run(key, [&](Keyspace keys) { keys.String(key).Overwrite(bit / 8, {&byte, 1}); });
    PlainOverwrite(&bytes, bit / 8, {&byte, 1});
  }
  void Checkpoint() {
    store_->fail_commits = random_.Below(3) == 0;
    bool done = false, ok = false;
    node_.engine->checkpoint_waiters_.push_back([&](Status status) {
      done = true;
      ok = status.ok();
    });
    node_.engine->checkpoint_wanted_ = true;
    while (!done) {
      node_.engine->Tick(kJoinNowMs, 1000);
      REQUIRE(node_.engine->WriteTurn().ok());
      node_.engine->Poll();
    }
    failed_checkpoints += !ok;
  }
  // Whatever is clean goes.
  void PageOut() {
    EngineImpl& engine = *node_.engine;
    SlotTable* table = engine.Slot(0, KeySlot("{l}"));
    engine.options_.policy = EvictionPolicy::kPageOut;
    for (int i = 0; table && table->resident > 0 && i < 4; i++) {
      engine.EvictFrom(*table, 0, KeySlot("{l}"));
    }
  }

  Random random_;
  JoinNode node_{1, 0};
  FlakyRowStore* store_ = nullptr;
  std::map<std::string, std::string> model_;
};

}  // namespace

TEST_CASE("long_string: random histories equal plain strings across failing checkpoints, crashes") {
  uint64_t failed = 0;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    CAPTURE(seed);
    Histories t(seed);
    for (int step = 0; step < 500; step++) {
      CAPTURE(step);
      t.Step();
      if (step % 25 == 24) t.Compare();
    }
    for (int round = 0; round < 2; round++) {
      t.Crash();
      t.Compare();
      t.CheckNoOrphans();
    }
    failed += t.failed_checkpoints;
  }
  CHECK(failed > 5);
}

TEST_CASE("long_string: a bit of a large bitmap costs one fragment in the log and on disk") {
  JoinNode node(1, 0);
  constexpr size_t kBytes = 8 << 20;
  node.Do([&](Keyspace keys) { keys.String("b").Set(std::string(kBytes, 'b')); });
  node.Checkpoint();
  uint64_t rows = node.engine->Stats().checkpoint_rows;
  auto set_bit = [&](uint64_t at) {
    return node.Do([&](Keyspace keys) { keys.String("b").Overwrite(at, "x"); }).size();
  };
  CHECK(set_bit(5'000'000) < kFragmentBytes + 64);
  node.Checkpoint();
  CHECK(node.engine->Stats().checkpoint_rows - rows == 1);
  set_bit(5'000'001);
  set_bit(7'000'000);
  node.Checkpoint();
  CHECK(node.engine->Stats().checkpoint_rows - rows == 3);
  node.Crash();
  Row* row;
  REQUIRE(node.engine->LoadNow(0, "b", &row).ok());
  std::string value = node.Get("b");
  CHECK(value.size() == kBytes);
  CHECK(value.substr(4'999'999, 4) == "bxxb");
  CHECK(value[7'000'000] == 'x');
  // The deadline is in the head.
  node.Do([](Keyspace keys) { keys.Find("b").SetDeadline(kJoinNowMs + 5000); });
  node.Checkpoint();
  CHECK(node.engine->Stats().checkpoint_rows == 1);
  node.Crash();
  REQUIRE(node.engine->LoadNow(0, "b", &row).ok());
  node.Do([](Keyspace keys) { CHECK(keys.Find("b").deadline_ms() == kJoinNowMs + 5000); });
  CHECK(node.Get("b") == value);
}

TEST_CASE("long_string: a small base's head says that there are fragments; a far bit is sparse") {
  JoinNode node(1, 0);
  node.Do([](Keyspace keys) { keys.String("s").Set("12"); });
  node.Checkpoint();
  std::string record =
      node.Do([](Keyspace keys) { keys.String("far").Overwrite(50'000'000, "x"); });
  CHECK(record.size() < kFragmentBytes + 64);
  node.Do([](Keyspace keys) {
    StringView view = keys.String("s");
    view.Append(std::string(6000, 'y'));
    CHECK(std::string(view.encoding()) == "raw");
    CHECK(view.memory_bytes() > 6000);
    CHECK(!view.Add(1).ok());
    CHECK(view.value().size() == 6002);
  });
  node.Checkpoint();
  node.Crash();
  Row* row;
  REQUIRE(node.engine->LoadNow(0, "s", &row).ok());
  REQUIRE(node.engine->LoadNow(0, "far", &row).ok());
  CHECK(node.Get("s") == "12" + std::string(6000, 'y'));
  CHECK(node.Get("far") == std::string(50'000'000, '\0') + "x");
  node.Do([](Keyspace keys) { keys.String("s").Set("7"); });
  node.Do([](Keyspace keys) { CHECK(*keys.String("s").Add(1) == 8); });
}
