// SPDX-License-Identifier: Apache-2.0
// Elements of large collections that are on disk only (sparse_state.h). What a command has named,
// draws or scans is read in the background, with the heads of the same turn; a whole collection in
// slices, so that no step of the data thread is long. A read is void when a checkpoint has been
// ingested meanwhile: then the command asks again. What a command turns out to need beyond that is
// read on the spot, and counted.
#include <algorithm>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr uint64_t kSliceRows = 1000;  // read and installed in one go
constexpr uint64_t kDrawsMax = 256;    // for more, all is loaded
constexpr uint64_t kNoByteLimit = UINT64_MAX;

}  // namespace

void EngineImpl::CountSparse(uint16_t ns, uint16_t slot, int delta) const {
  namespaces_[ns]->sparse += uint64_t(int64_t(delta));
  namespaces_[ns]->slots[slot]->sparse += uint32_t(delta);
}

// --- reading: any thread ---

// Rows of element hash >= want.from, up to its limit or `bytes_max`; gives the range they fill.
Status EngineImpl::ReadRange(const ElementSource& source, const ElementWant::Range& want,
                             uint64_t bytes_max, ElementsRead* read, HashRange* range) const {
  uint8_t kind = uint8_t(source.kind);
  std::string lower = RowSeekKey(source.ns, source.position, source.key, kind, want.from);
  std::string upper = RowRange(source.ns, source.position, source.key, kind).upper;
  *range = {want.from, kElementHashEnd};
  auto it = store_->NewRowIterator(lower, upper);
  uint64_t rows = 0, bytes = 0, last = kElementHashEnd;
  for (; it->Valid(); it->Next()) {
    Result<RowKey> row_key = DecodeRowKey(it->key());
    if (!row_key.ok()) return row_key.status();
    if ((rows >= want.rows_max || bytes >= bytes_max) && row_key->element_hash != last) {
      range->to = row_key->element_hash;
      break;
    }
    last = row_key->element_hash;
    rows++;
    bytes += it->value().size() + row_key->element.size();
    Result<Row*> element = DecodeElement(row_key->element, it->value());
    if (!element.ok()) return element.status();
    read->rows.push_back(*element);
  }
  return it->status();
}

Status EngineImpl::ReadRangesAndDraws(ColdRead* item) const {
  for (const ElementWant::Range& want : item->want.ranges) {
    HashRange range;
    Status status = ReadRange(item->source, want, kNoByteLimit, &item->read, &range);
    if (!status.ok()) return status;
    item->read.ranges.push_back(range);
  }
  for (uint64_t hash : item->want.draws) {
    size_t before = item->read.rows.size();
    HashRange range;
    Status status = ReadRange(item->source, {hash, kDrawRows}, kNoByteLimit, &item->read, &range);
    if (status.ok() && item->read.rows.size() == before) {  // behind the last element
      status = ReadRange(item->source, {0, kDrawRows}, kNoByteLimit, &item->read, &range);
    }
    if (!status.ok()) return status;
    item->read.windows.push_back(range);
  }
  return Status::Ok();
}

// What the items want, their names as one sorted MultiGet.
Status EngineImpl::ReadElements(std::span<ColdRead* const> items) const {
  struct Name {
    std::string row_key;
    ColdRead* item;
    const std::string* name;
  };
  std::vector<Name> names;
  for (ColdRead* item : items) {
    const ElementSource& s = item->source;
    for (const std::string& name : item->want.names) {
      uint64_t hash = RowTable::HashOf(name, seed_, kElementHashBits) >> (64 - kElementHashBits);
      names.push_back(
          {EncodeRowKey({s.ns, s.position, s.key, uint8_t(s.kind), hash, name}), item, &name});
    }
  }
  std::sort(names.begin(), names.end(),
            [](const Name& a, const Name& b) { return a.row_key < b.row_key; });
  std::vector<std::string> keys;
  for (const Name& name : names) keys.push_back(name.row_key);
  std::vector<std::optional<std::string>> found;
  Status status;
  if (!keys.empty()) status = store_->MultiGetRows(keys, &found);
  for (size_t i = 0; i < names.size() && status.ok(); i++) {
    if (!found[i]) {
      names[i].item->read.absent.push_back(*names[i].name);
      continue;
    }
    Result<Row*> element = DecodeElement(*names[i].name, *found[i]);
    if (element.ok()) names[i].item->read.rows.push_back(*element);
    status = element.status();
  }
  for (ColdRead* item : items) {
    if (status.ok()) status = ReadRangesAndDraws(item);
  }
  return status;
}

// --- what a command needs ---

// To draw many is to take all.
ElementNeed EngineImpl::NeedOf(const KeyRef& ref, const Collection& c) {
  bool many =
      ref.need == ElementNeed::kDraw && (ref.number > kDrawsMax || ref.number > c.size() / 3);
  return many ? ElementNeed::kAll : ref.need;
}

bool EngineImpl::HasNeeded(const KeyRef& ref, const Collection& c) {
  switch (NeedOf(ref, c)) {
    case ElementNeed::kNone: return true;
    case ElementNeed::kNamed:
      for (size_t i = 0; i < ref.names.size(); i += ref.step) {
        if (!c.Knows(ref.names[i])) return false;
      }
      return true;
    case ElementNeed::kScan:
      return ref.number >= kElementHashEnd || c.sparse_state()->KnownAt(ref.number);
    case ElementNeed::kDraw: return c.sparse_state()->windows.size() >= ref.number;
    case ElementNeed::kAll: break;
  }
  return false;
}

// `c`: null while it is not known what the key is.
void EngineImpl::AddWant(const KeyRef& ref, const Collection* c, ElementWant* want) {
  switch (ref.need) {
    case ElementNeed::kNamed:
      for (size_t i = 0; i < ref.names.size(); i += ref.step) {
        if (!c || !c->Knows(ref.names[i])) want->names.emplace_back(ref.names[i]);
      }
      break;
    case ElementNeed::kScan:
      if (ref.number < kElementHashEnd) want->ranges.push_back({ref.number, kSliceRows});
      break;
    case ElementNeed::kDraw:
      for (uint64_t i = 0; i < std::min(ref.number, kDrawsMax); i++) {
        want->draws.push_back(random_.Below(kElementHashEnd));
      }
      break;
    default: break;
  }
}

void EngineImpl::LoadElements(const KeyRef& ref, uint16_t ns, Row* row,
                              std::shared_ptr<LoadCall> call) {
  Collection* c = row->collection();
  call->missing++;
  if (NeedOf(ref, *c) == ElementNeed::kAll) return LoadWhole(ns, row, std::move(call));
  ColdRead item;
  item.source = SourceOf(row);
  item.serial = c->sparse_state()->serial;
  item.checkpoints = stats_.checkpoints;
  item.calls.push_back(std::move(call));
  AddWant(ref, c, &item.want);
  element_queue_.push_back(std::move(item));
}

ElementSource EngineImpl::SourceOf(const Row* row) const {
  uint64_t hash = RowTable::HashOf(row->key(), seed_, kPositionHashBits);
  uint64_t position =
      uint64_t(KeySlot(row->key())) << kPositionHashBits | hash >> (64 - kPositionHashBits);
  return {row->collection()->sparse_state()->ns, position, std::string(row->key()),
          ElementKind(row)};
}

// The key's row if it is still the same stay in memory of the same collection, and sparse.
Row* EngineImpl::FindSparse(const ElementSource& source, uint64_t serial) const {
  const SlotTable* table = namespaces_[source.ns]->slots[KeySlot(source.key)].get();
  if (!table) return nullptr;
  Row* row = table->rows.Find(RowTable::HashOf(source.key, seed_, kPositionHashBits), source.key);
  if (!row || row->row_form() != RowForm::kCollection) return nullptr;
  const SparseState* state = row->collection()->sparse_state();
  return state && state->serial == serial ? row : nullptr;
}

void EngineImpl::FinishElements(ColdRead* item, const Status& status) {
  Row* row = FindSparse(item->source, item->serial);
  if (status.ok() && row && item->checkpoints == stats_.checkpoints) {
    stats_.cold_elements += item->read.rows.size();
    row->collection()->Install(&item->read);
  }
}

// --- loading all ---

void EngineImpl::LoadWhole(uint16_t ns, Row* row, std::shared_ptr<LoadCall> call) {
  SparseState* state = row->collection()->sparse_state();
  auto [it, is_new] = whole_loads_.try_emplace(state->serial);
  if (call) it->second.calls.push_back(std::move(call));
  if (!is_new) return;
  state->pinned = true;
  it->second.ns = ns;
  it->second.source = SourceOf(row);
  StepWhole(state->serial);
}

void EngineImpl::StepWhole(uint64_t serial) {
  const WholeLoad& load = whole_loads_.at(serial);
  auto item = std::make_shared<ColdRead>();
  item->source = load.source;
  item->serial = serial;
  item->checkpoints = stats_.checkpoints;
  item->want.ranges.push_back({load.from, kSliceRows});
  background_->Post([this, item] {
    ColdRead* items[] = {item.get()};
    Status status = stopping_ ? Status() : ReadElements(items);
    PostToDataThread([this, item, status] { FinishWholeSlice(item.get(), status); });
  });
}

void EngineImpl::FinishWholeSlice(ColdRead* item, const Status& status) {
  WholeLoad& load = whole_loads_.at(item->serial);
  bool stands = item->checkpoints == stats_.checkpoints;
  FinishElements(item, status);
  Row* row = FindSparse(item->source, item->serial);
  bool idle = load.calls.empty() && WarmUpFull();
  if (row && status.ok() && !idle && !item->read.ranges.empty()) {
    if (stands) load.from = item->read.ranges[0].to;
    if (load.from < kElementHashEnd) return StepWhole(item->serial);
    MakeWhole(row);
  } else if (row) {
    row->collection()->sparse_state()->pinned = false;
  }
  if (!status.ok()) LogWarning("reading a large collection failed: " + status.message());
  auto calls = std::move(load.calls);
  whole_loads_.erase(item->serial);
  for (auto& call : calls) {
    if (!status.ok()) call->status = status;
    if (--call->missing == 0) call->done(call->status);
  }
}

void EngineImpl::MakeWhole(const Row* row) const {
  uint16_t ns = row->collection()->sparse_state()->ns;
  bool in_table = row->collection()->sparse_state()->serial != 0;
  if (!row->collection()->MakeWhole()) {
    LogWarning("a collection had another number of elements than its head said; it is right now");
  }
  if (in_table) CountSparse(ns, KeySlot(row->key()), -1);
}

// --- on the spot ---

Status EngineImpl::LoadElementsNow(const Row* row, ElementWant want) const {
  if (!replaying_) stats_.blocking_loads++;
  ColdRead item;
  item.source = SourceOf(row);
  item.want = std::move(want);
  ColdRead* items[] = {&item};
  Status status = ReadElements(items);
  if (status.ok()) {
    row->collection()->Install(&item.read);
  } else {
    LogWarning("reading elements of a collection failed: " + status.message());
  }
  return status;
}

void EngineImpl::Ensure(const Row* row, std::string_view element) const {
  const Collection* c = row->collection();
  if (!c->sparse() || c->Knows(element)) return;
  ElementWant want;
  want.names.emplace_back(element);
  (void)LoadElementsNow(row, std::move(want));  // it has been logged
}

bool EngineImpl::FindElement(const Row* row, std::string_view element,
                             Collection::Element* out) const {
  const Collection* c = row->collection();
  if (__builtin_expect(c->Find(element, out), 1)) return true;
  if (__builtin_expect(!c->sparse(), 1) || c->Knows(element)) return false;
  Ensure(row, element);
  return c->Find(element, out);
}

Collection* EngineImpl::Whole(const Row* row) const {
  Collection* c = row->collection();
  if (__builtin_expect(!c->sparse(), 1)) return c;
  for (uint64_t from = 0; from < kElementHashEnd;) {
    ElementWant want;
    want.ranges.push_back({from, kSliceRows});
    if (!LoadElementsNow(row, std::move(want)).ok()) return c;
    from = c->sparse_state()->KnownAt(from)->to;
  }
  MakeWhole(row);
  return c;
}

uint64_t EngineImpl::ScanElements(const Row* row, uint64_t cursor, uint64_t count,
                                  std::vector<Collection::Element>* out) const {
  constexpr int kShift = 64 - kElementHashBits;
  Collection* c = row->collection();
  if (cursor >= kElementHashEnd) return 0;
  HashRange known{0, kElementHashEnd};
  if (c->sparse()) {
    const HashRange* range = c->sparse_state()->KnownAt(cursor);
    if (!range) {
      ElementWant want;
      want.ranges.push_back({cursor, kSliceRows});
      if (!LoadElementsNow(row, std::move(want)).ok()) return 0;
      range = c->sparse_state()->KnownAt(cursor);
    }
    known = *range;
    count = std::min(count, kSliceRows);
  }
  uint64_t next = c->Collect(cursor << kShift, count, out) >> kShift;
  if (!c->sparse()) return next;
  std::erase_if(*out, [&](const Collection::Element& e) {
    return c->table()->HashOf(e.key) >> kShift >= known.to;
  });
  if (next == 0 || next > known.to) next = known.to;
  return next == kElementHashEnd ? 0 : next;
}

Collection::Element EngineImpl::SampleElement(const Row* row, Random& random) const {
  Collection* c = row->collection();
  if (!c->sparse()) return c->Sample(random);
  constexpr int kTries = 100;
  Collection::Element element;
  for (int i = 0; i < kTries; i++) {
    if (c->DrawFromWindow(random, &element)) return element;
    ElementWant want;
    want.draws.push_back(random.Below(kElementHashEnd));
    if (!LoadElementsNow(row, std::move(want)).ok()) break;
  }
  if (Whole(row)->sparse()) return {};  // the disk cannot be read
  return c->Sample(random);
}

}  // namespace redynamo
