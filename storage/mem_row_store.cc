// SPDX-License-Identifier: Apache-2.0
#include "storage/mem_row_store.h"

#include <map>

#include "base/check.h"
#include "storage/ingest_order.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

using Map = std::map<std::string, std::string, std::less<>>;

struct FamilyChange {
  std::vector<KeyRange> removed_ranges;
  std::map<std::string, std::optional<std::string>, std::less<>> entries;  // nothing: delete
  std::map<uint16_t, IngestOrder> order;                                   // by namespace
};

// Ranges first: they never hide what the same batch puts.
void ApplyFamily(const FamilyChange& change, Map* map) {
  for (const KeyRange& range : change.removed_ranges) {
    map->erase(map->lower_bound(range.lower), map->lower_bound(range.upper));
  }
  for (const auto& [key, value] : change.entries) {
    if (value) {
      map->insert_or_assign(key, *value);
    } else {
      map->erase(key);
    }
  }
}

uint64_t BytesOf(const Map& map) {
  uint64_t bytes = 0;
  for (const auto& [key, value] : map) bytes += key.size() + value.size();
  return bytes;
}

}  // namespace

struct MemRowStore::State {
  Map heads, rows, meta;
};

struct MemRowStore::Change {
  FamilyChange heads, rows, meta;
};

namespace {

struct MemSnapshot : RowSnapshot {
  explicit MemSnapshot(std::shared_ptr<const MemRowStore::State> s) : state(std::move(s)) {}
  std::shared_ptr<const MemRowStore::State> state;
};

class MemIterator : public RowIterator {
 public:
  MemIterator(std::shared_ptr<const MemRowStore::State> state, const Map* map,
              std::string_view lower, std::string_view upper)
      : state_(std::move(state)), map_(map), lower_(lower), upper_(upper) {
    Seek(lower_);
  }
  bool Valid() const override {
    return at_ != map_->end() && (upper_.empty() || at_->first < upper_);
  }
  void Next() override {
    CHECK_THAT(Valid());
    ++at_;
  }
  void Seek(std::string_view target) override {
    at_ = map_->lower_bound(std::max<std::string_view>(target, lower_));
  }
  std::string_view key() const override { return at_->first; }
  std::string_view value() const override { return at_->second; }
  Status status() const override { return Status::Ok(); }

 private:
  std::shared_ptr<const MemRowStore::State> state_;
  const Map* map_;
  std::string lower_, upper_;
  Map::const_iterator at_;
};

class MemIngest : public IngestBatch {
 public:
  explicit MemIngest(MemRowStore* store) : store_(store) {}

  Status PutHead(std::string_view key, std::string_view value) override {
    return Add(&change_.heads, key, value);
  }
  Status DeleteHead(std::string_view key) override { return Add(&change_.heads, key, {}); }
  Status PutRow(std::string_view key, std::string_view value) override {
    return Add(&change_.rows, key, value);
  }
  Status DeleteRow(std::string_view key) override { return Add(&change_.rows, key, {}); }
  Status DeleteHeadRange(std::string_view lower, std::string_view upper) override {
    return AddRange(&change_.heads, lower, upper);
  }
  Status DeleteRowRange(std::string_view lower, std::string_view upper) override {
    return AddRange(&change_.rows, lower, upper);
  }
  Status PutMeta(std::string_view key, std::string_view value) override {
    return AddMeta(key, value);
  }
  Status DeleteMeta(std::string_view key) override { return AddMeta(key, {}); }
  uint64_t bytes() const override { return bytes_; }

  Status Commit() override {
    CHECK_THAT(!done_);
    done_ = true;
    store_->Apply(std::move(change_));
    return Status::Ok();
  }
  void Abandon() override { done_ = true; }

 private:
  Status Add(FamilyChange* family, std::string_view key, std::optional<std::string_view> value) {
    CHECK_THAT(!done_);
    family->order[NamespaceOf(key)].OnKey(key);
    family->entries.emplace(key, value);
    bytes_ += key.size() + (value ? value->size() : 0);
    return Status::Ok();
  }
  Status AddRange(FamilyChange* family, std::string_view lower, std::string_view upper) {
    CHECK_THAT(!done_);
    std::string end = RemovedRangeUpper(lower, upper);
    family->order[NamespaceOf(lower)].OnRange(lower, end);
    bytes_ += lower.size() + end.size();
    family->removed_ranges.push_back({std::string(lower), std::move(end)});
    return Status::Ok();
  }
  Status AddMeta(std::string_view key, std::optional<std::string_view> value) {
    CHECK_THAT(!done_);
    change_.meta.entries.insert_or_assign(std::string(key), value);
    bytes_ += key.size() + (value ? value->size() : 0);
    return Status::Ok();
  }

  MemRowStore* store_;
  MemRowStore::Change change_;
  uint64_t bytes_ = 0;
  bool done_ = false;
};

Status MultiGet(const Map& map, std::span<const std::string> keys,
                std::vector<std::optional<std::string>>* out) {
  out->clear();
  for (const std::string& key : keys) {
    auto found = map.find(key);
    out->push_back(found == map.end() ? std::nullopt : std::optional(found->second));
  }
  return Status::Ok();
}

}  // namespace

MemRowStore::MemRowStore() : state_(std::make_shared<State>()) {}
MemRowStore::~MemRowStore() = default;

// From here on somebody may hold the state: the next change makes a copy.
std::shared_ptr<MemRowStore> MemRowStore::Clone() {
  auto copy = std::make_shared<MemRowStore>();
  copy->state_ = std::make_shared<State>(*Share());
  return copy;
}

std::shared_ptr<const MemRowStore::State> MemRowStore::Share() {
  std::lock_guard lock(mutex_);
  shared_ = true;
  return state_;
}

void MemRowStore::Apply(Change change) {
  std::lock_guard lock(mutex_);
  if (shared_) state_ = std::make_shared<State>(*state_);
  shared_ = false;
  ApplyFamily(change.heads, &state_->heads);
  ApplyFamily(change.rows, &state_->rows);
  ApplyFamily(change.meta, &state_->meta);
  ingests_++;
}

Status MemRowStore::MultiGetHeads(std::span<const std::string> sorted_keys,
                                  std::vector<std::optional<std::string>>* out) {
  std::lock_guard lock(mutex_);
  return MultiGet(state_->heads, sorted_keys, out);
}

Status MemRowStore::MultiGetRows(std::span<const std::string> sorted_keys,
                                 std::vector<std::optional<std::string>>* out) {
  std::lock_guard lock(mutex_);
  return MultiGet(state_->rows, sorted_keys, out);
}

std::shared_ptr<const RowSnapshot> MemRowStore::TakeSnapshot() {
  return std::make_shared<MemSnapshot>(Share());
}

std::unique_ptr<RowIterator> MemRowStore::NewHeadIterator(
    std::string_view lower, std::string_view upper, std::shared_ptr<const RowSnapshot> snapshot) {
  auto state = snapshot ? static_cast<const MemSnapshot&>(*snapshot).state : Share();
  const Map* map = &state->heads;
  return std::make_unique<MemIterator>(std::move(state), map, lower, upper);
}

std::unique_ptr<RowIterator> MemRowStore::NewRowIterator(
    std::string_view lower, std::string_view upper, std::shared_ptr<const RowSnapshot> snapshot) {
  auto state = snapshot ? static_cast<const MemSnapshot&>(*snapshot).state : Share();
  const Map* map = &state->rows;
  return std::make_unique<MemIterator>(std::move(state), map, lower, upper);
}

Result<std::optional<std::string>> MemRowStore::GetMeta(std::string_view key) {
  std::lock_guard lock(mutex_);
  auto found = state_->meta.find(key);
  if (found == state_->meta.end()) return std::optional<std::string>();
  return std::optional(found->second);
}

Result<std::vector<std::pair<std::string, std::string>>> MemRowStore::ScanMeta(
    std::string_view prefix) {
  auto state = Share();
  std::vector<std::pair<std::string, std::string>> out;
  MemIterator iterator(state, &state->meta, prefix, PrefixUpperBound(prefix));
  for (; iterator.Valid(); iterator.Next()) out.emplace_back(iterator.key(), iterator.value());
  return out;
}

std::unique_ptr<IngestBatch> MemRowStore::NewIngest() { return std::make_unique<MemIngest>(this); }

RowStoreStats MemRowStore::Stats() {
  std::lock_guard lock(mutex_);
  RowStoreStats stats;
  stats.live_sst_bytes = BytesOf(state_->heads) + BytesOf(state_->rows) + BytesOf(state_->meta);
  stats.estimated_heads = state_->heads.size();
  stats.estimated_rows = state_->rows.size();
  stats.ingests = ingests_;
  return stats;
}

}  // namespace redynamo
