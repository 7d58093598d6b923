// SPDX-License-Identifier: Apache-2.0
// The same random batches go to the in-memory store, to RocksDB with tiny files, and to plain maps;
// all reads must agree, also through snapshots that were taken before later batches.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "storage/mem_row_store.h"
#include "storage/rocks_row_store.h"
#include "storage/row_format.h"
#include "tests/support/scratch_directory.h"

using namespace redynamo;

namespace {

using Map = std::map<std::string, std::string>;
using Entries = std::vector<std::pair<std::string, std::string>>;

struct Model {
  Map heads, rows, meta;
};

constexpr uint16_t kNamespaces[] = {0, 7, 0xffff};

std::string KeyText(uint64_t n) { return "key" + std::to_string(n); }

std::string RandomRowKey(Random* random, uint16_t ns) {
  uint64_t n = random->Below(30);
  return EncodeRowKey({ns, n * 1000, KeyText(n), uint8_t(random->Below(2)),
                       random->Below(50) * 1'000'000, "element"});
}

std::string RandomValue(Random* random) {
  return std::string(random->Below(300), char('a' + random->Below(26)));
}

void EraseRange(Map* map, const KeyRange& range) {
  map->erase(map->lower_bound(range.lower),
             range.upper.empty() ? map->end() : map->lower_bound(range.upper));
}

// One step of a family: a put, a deletion, or the removal of a range from its key on.
struct Step {
  enum { kPut, kDelete, kDeleteRange } act;
  std::string value;
  KeyRange range;
};

std::map<std::string, Step> RandomRowSteps(Random* random, uint16_t ns) {
  std::map<std::string, Step> steps;
  for (uint64_t i = random->Below(60); i > 0; i--) {
    steps[RandomRowKey(random, ns)] = {
        random->Below(4) ? Step::kPut : Step::kDelete, RandomValue(random), {}};
  }
  for (uint64_t i = random->Below(4); i > 0; i--) {
    uint64_t n = random->Below(30);
    KeyRange range = RowRange(ns, n * 1000, KeyText(n));
    if (random->Below(3) == 0) range = RowRange(ns, n * 1000, KeyText(n), uint8_t(n % 2));
    if (random->Below(6) == 0) range = PositionRange(ns, n * 1000, n * 1000 + 7000);
    if (random->Below(20) == 0) range = NamespaceRange(ns);
    steps[range.lower] = {Step::kDeleteRange, "", range};
  }
  return steps;
}

std::map<std::string, Step> RandomHeadSteps(Random* random, uint16_t ns) {
  std::map<std::string, Step> steps;
  for (uint64_t i = random->Below(30); i > 0; i--) {
    uint64_t n = random->Below(40);
    steps[EncodeHeadKey({ns, n * 1000, KeyText(n)})] = {
        random->Below(4) ? Step::kPut : Step::kDelete, RandomValue(random), {}};
  }
  if (random->Below(5) == 0) {
    uint64_t first = random->Below(40) * 1000;
    KeyRange range = PositionRange(ns, first, first + 3000);
    steps[range.lower] = {Step::kDeleteRange, "", range};
  }
  return steps;
}

// Applies the steps of one family and namespace to batches and model. Ranges remove only what
// earlier batches stored, hence first.
void Apply(const std::map<std::string, Step>& steps, bool heads,
           const std::vector<IngestBatch*>& batches, Map* model) {
  for (const auto& [key, step] : steps) {
    if (step.act == Step::kDeleteRange) EraseRange(model, step.range);
  }
  for (const auto& [key, step] : steps) {
    if (step.act == Step::kPut) (*model)[key] = step.value;
    if (step.act == Step::kDelete) model->erase(key);
    for (IngestBatch* batch : batches) {
      Status status;
      switch (step.act) {
        case Step::kPut:
          status = heads ? batch->PutHead(key, step.value) : batch->PutRow(key, step.value);
          break;
        case Step::kDelete: status = heads ? batch->DeleteHead(key) : batch->DeleteRow(key); break;
        case Step::kDeleteRange:
          status = heads ? batch->DeleteHeadRange(step.range.lower, step.range.upper)
                         : batch->DeleteRowRange(step.range.lower, step.range.upper);
      }
      REQUIRE_MESSAGE(status.ok(), status.message());
    }
  }
}

void RandomBatch(Random* random, const std::vector<RowStore*>& stores, Model* model) {
  std::vector<std::unique_ptr<IngestBatch>> owned;
  std::vector<IngestBatch*> batches;
  for (RowStore* store : stores) batches.push_back(owned.emplace_back(store->NewIngest()).get());
  bool abandoned = random->Below(8) == 0;
  Model before = abandoned ? *model : Model();
  for (uint16_t ns : kNamespaces) {
    if (random->Below(2)) Apply(RandomHeadSteps(random, ns), true, batches, &model->heads);
    if (random->Below(2)) Apply(RandomRowSteps(random, ns), false, batches, &model->rows);
  }
  for (uint64_t i = random->Below(5); i > 0; i--) {
    std::string key = "meta" + std::to_string(random->Below(10)), value = RandomValue(random);
    bool put = random->Below(3) > 0;
    if (put) model->meta[key] = value;
    if (!put) model->meta.erase(key);
    for (IngestBatch* batch : batches) {
      REQUIRE((put ? batch->PutMeta(key, value) : batch->DeleteMeta(key)).ok());
    }
  }
  if (abandoned) *model = before;
  for (IngestBatch* batch : batches) {
    if (abandoned) {
      batch->Abandon();
      continue;
    }
    Status status = batch->Commit();
    REQUIRE_MESSAGE(status.ok(), status.message());
  }
}

Entries Walk(std::unique_ptr<RowIterator> iterator) {
  Entries out;
  for (; iterator->Valid(); iterator->Next()) out.emplace_back(iterator->key(), iterator->value());
  REQUIRE(iterator->status().ok());
  return out;
}

Entries Slice(const Map& map, const std::string& lower, const std::string& upper) {
  if (!upper.empty() && upper <= lower) return {};
  return Entries(map.lower_bound(lower), upper.empty() ? map.end() : map.lower_bound(upper));
}

void CheckReads(Random* random, RowStore* store, const Model& model,
                std::shared_ptr<const RowSnapshot> snapshot) {
  CHECK(Walk(store->NewHeadIterator("", "", snapshot)) == Slice(model.heads, "", ""));
  std::string lower = RandomRowKey(random, kNamespaces[random->Below(3)]);
  std::string upper = random->Below(4) ? RandomRowKey(random, kNamespaces[random->Below(3)]) : "";
  CHECK(Walk(store->NewRowIterator(lower, upper, snapshot)) == Slice(model.rows, lower, upper));

  std::string target = RandomRowKey(random, kNamespaces[random->Below(3)]);
  auto iterator = store->NewRowIterator(lower, upper, snapshot);
  iterator->Seek(target);
  Entries rest = Slice(model.rows, std::max(lower, target), upper);
  REQUIRE(iterator->Valid() == !rest.empty());
  if (!rest.empty()) CHECK(iterator->key() == rest[0].first);
}

void CheckPointReads(Random* random, RowStore* store, const Model& model) {
  std::set<std::string> sorted;
  for (int i = 0; i < 200; i++) sorted.insert(RandomRowKey(random, kNamespaces[i % 3]));
  std::vector<std::string> keys(sorted.begin(), sorted.end());
  keys.insert(keys.begin(), keys.front());  // a duplicate
  std::vector<std::optional<std::string>> values;
  REQUIRE(store->MultiGetRows(keys, &values).ok());
  REQUIRE(values.size() == keys.size());
  for (size_t i = 0; i < keys.size(); i++) {
    auto found = model.rows.find(keys[i]);
    CHECK(values[i] == (found == model.rows.end() ? std::nullopt : std::optional(found->second)));
  }
  CHECK(*store->ScanMeta("meta") == Slice(model.meta, "", ""));
  CHECK(*store->ScanMeta("meta3") == Slice(model.meta, "meta3", "meta4"));
  auto found = model.meta.find("meta5");
  CHECK(*store->GetMeta("meta5") ==
        (found == model.meta.end() ? std::nullopt : std::optional(found->second)));
}

}  // namespace

TEST_CASE("row_store: memory, RocksDB and plain maps agree on any batches") {
  for (uint64_t seed = 1; seed <= 2; seed++) {
    CAPTURE(seed);
    Random random(seed);
    ScratchDirectory directory;
    RocksRowStoreOptions options;
    options.file_bytes_max = 2000;  // nearly every batch is cut, also inside tombstones
    options.block_bytes = 512;
    options.compress = seed == 2;
    auto rocks = RocksRowStore::Open(directory / "db", options);
    REQUIRE_MESSAGE(rocks.ok(), rocks.status().message());
    MemRowStore mem;
    Model model, old_model;
    std::shared_ptr<const RowSnapshot> mem_snapshot, rocks_snapshot;
    for (int round = 0; round < 40; round++) {
      RandomBatch(&random, {&mem, rocks->get()}, &model);
      for (RowStore* store : {static_cast<RowStore*>(&mem), static_cast<RowStore*>(rocks->get())}) {
        CheckReads(&random, store, model, nullptr);
        CheckPointReads(&random, store, model);
      }
      if (mem_snapshot) {
        CheckReads(&random, &mem, old_model, mem_snapshot);
        CheckReads(&random, rocks->get(), old_model, rocks_snapshot);
      }
      if (round % 10 == 5) {
        mem_snapshot = mem.TakeSnapshot();
        rocks_snapshot = (*rocks)->TakeSnapshot();
        old_model = model;
      }
      if (round == 20) REQUIRE((*rocks)->CompactAll().ok());
      if (round == 30) {
        mem_snapshot = rocks_snapshot = nullptr;
        REQUIRE((*rocks)->Close().ok());
        rocks = RocksRowStore::Open(directory / "db", options);
        REQUIRE_MESSAGE(rocks.ok(), rocks.status().message());
      }
    }
    REQUIRE((*rocks)->VerifyChecksums().ok());
    rocks_snapshot = nullptr;
  }
}
