// SPDX-License-Identifier: Apache-2.0
#include "storage/collection.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/number.h"
#include "storage/object_format.h"
#include "storage/row_sum.h"

namespace redynamo {

Collection::~Collection() {
  if (native_) native_->table.ForEach([](Row* row) { FreeRow(row); });
}

size_t Collection::memory_bytes() const {
  return sizeof *this + packed_.memory_bytes() +
         (native_ ? sizeof *native_ + native_->table.memory_bytes() + native_->row_bytes : 0);
}

bool Collection::Find(std::string_view key, Element* out) const {
  if (native()) {
    Row* row = native_->table.Find(native_->table.HashOf(key), key);
    if (!row || !row->live()) return false;
    row->access = 1;  // page-out passes it by once
    *out = FromRow(row);
    return true;
  }
  PackedMap::Element e = packed_.Find(key);
  if (!packed_.Valid(e)) return false;
  *out = {e.key, e.value, e.dot, e.hlc, e.counter, nullptr};
  return true;
}

bool Collection::Put(std::string_view key, std::string_view value, bool counter, Dot dot,
                     uint64_t hlc) {
  if (!native()) {
    PackedMap::Element e = packed_.Find(key);
    if (packed_.Valid(e)) {
      packed_.Replace(e, value, counter, dot, hlc);
      return false;
    }
    packed_.Append(key, value, counter, dot, hlc);
    return true;
  }
  uint64_t hash = native_->table.HashOf(key);
  Row* row = native_->table.Find(hash, key);
  bool is_new = !row || !row->live();
  bool keep = native_->capture && KeepForCapture(hash, row);
  if (!row) {
    row = NewRow(key, value.size(), false);
    native_->table.Insert(hash, row);
    native_->row_bytes += RowMemory(row);
    native_->dirty_bytes += row->content_bytes();
  } else {
    TurnDirty(hash, row);
    if (value.size() != row->value_len) {
      native_->dirty_bytes += value.size() - row->value_len;
      native_->row_bytes -= RowMemory(row);
      Row* moved = ResizeRow(row, value.size(), false);
      if (moved != row) native_->table.Replace(hash, row, moved);
      row = moved;
      native_->row_bytes += RowMemory(row);
    }
  }
  if (!value.empty()) std::memcpy(row->value_data(), value.data(), value.size());
  row->form = unsigned(counter ? RowForm::kCounter : RowForm::kPlain);
  row->dot = dot;
  row->hlc = hlc;
  row->flags |= keep ? Row::kDirty | Row::kChangedSince : Row::kDirty;
  native_->table.MarkDirty(hash);
  if (is_new) {
    native_->live++;
    native_->table.SetAbsent(hash, row, false);
  }
  return is_new;
}

bool Collection::Remove(std::string_view key) {
  if (!native()) {
    PackedMap::Element e = packed_.Find(key);
    if (!packed_.Valid(e)) return false;
    packed_.Erase(e);
    return true;
  }
  uint64_t hash = native_->table.HashOf(key);
  Row* row = native_->table.Find(hash, key);
  if (!row || !row->live()) return false;
  bool keep = native_->capture && KeepForCapture(hash, row);
  TurnDirty(hash, row);
  native_->live--;
  native_->row_bytes -= RowMemory(row);
  if (!row->Has(Row::kOnDisk)) {
    native_->dirty_bytes -= row->content_bytes();
    native_->table.Erase(hash, row);
    FreeRow(row);
    return true;
  }
  native_->dirty_bytes -= row->value_len;
  Row* moved = ResizeRow(row, 0, false);
  if (moved != row) native_->table.Replace(hash, row, moved);
  moved->form = unsigned(RowForm::kAbsent);
  moved->flags |= keep ? Row::kDirty | Row::kChangedSince : Row::kDirty;
  native_->table.SetAbsent(hash, moved, true);
  native_->row_bytes += RowMemory(moved);
  native_->table.MarkDirty(hash);
  return true;
}

bool Collection::KeepForCapture(uint64_t hash, Row* row) {
  ElementCapture& capture = *native_->capture;
  if (hash < capture.from) return false;
  if (row && row->Has(Row::kDirty) && !row->Has(Row::kChangedSince)) {
    ElementCapture::Image image{row->live(), row->live() ? EncodeElement(row) : std::string()};
    capture.before.emplace(std::pair(hash, std::string(row->key())), std::move(image));
    row->flags |= Row::kOnDisk;
  }
  return true;
}

void Collection::MakeNative(uint64_t seed) {
  if (native()) return;
  native_ = std::make_unique<Native>(seed);
  only_integers_ = false;
  for (auto e = packed_.First(); packed_.Valid(e); e = packed_.Next(e)) {
    Put(e.key, e.value, e.counter, e.dot, e.hlc);
  }
  std::destroy_at(&packed_);
  std::construct_at(&packed_);
}

uint64_t Collection::Collect(uint64_t from, size_t count, std::vector<Element>* out) const {
  std::vector<Row*> rows;
  uint64_t next = native_->table.Collect(from, count, &rows);
  for (Row* row : rows) {
    if (row->live()) out->push_back(FromRow(row));
  }
  return next;
}

Collection::Element Collection::Sample(Random& random) const {
  if (!native()) {
    uint64_t pick = random.Below(packed_.size());
    PackedMap::Element e = packed_.First();
    for (uint64_t i = 0; i < pick; i++) e = packed_.Next(e);
    return {e.key, e.value, e.dot, e.hlc, e.counter, nullptr};
  }
  return FromRow(native_->table.Sample(random));
}

void Collection::InstallRow(Row* row) {
  uint64_t hash = native_->table.HashOf(row->key());
  native_->table.Insert(hash, row);
  native_->row_bytes += RowMemory(row);
  if (!native_->sparse) native_->live++;
  if (row->Has(Row::kDirty)) {  // a stand-in of replay: what the leaf's sum has of it is not known
    native_->table.MarkDirty(hash);
    native_->dirty_bytes += row->content_bytes();
  } else {
    native_->sum.AddLoaded(SumOf(hash, row));
  }
}

uint64_t Collection::SumOf(uint64_t hash, const Row* row) const {
  if (!native_->hasher || !row->live()) return 0;
  return native_->hasher->ElementRow(native_->key_hash, hash, native_->member, row);
}

void Collection::SetHasher(const RowHasher* hasher, uint64_t key_hash, bool member) {
  native_->hasher = hasher;
  native_->key_hash = key_hash;
  native_->member = member;
}

void Collection::TurnDirty(uint64_t hash, Row* row) {
  if (row->Has(Row::kDirty)) return;
  row->flags |= Row::kDirty;
  native_->dirty_bytes += row->content_bytes();
  native_->sum.Remove(hash, SumOf(hash, row));
}

uint64_t Collection::TurnClean(uint64_t hash, Row* row) {
  row->flags &= uint16_t(~Row::kDirty);
  native_->dirty_bytes -= row->content_bytes();
  if (row->live()) RowHasher::SetCrc(row);
  uint64_t sum = SumOf(hash, row);
  native_->sum.Add(sum);
  return sum;
}

void Collection::EraseRow(uint64_t hash, Row* row) {
  if (row->Has(Row::kDirty)) {
    native_->dirty_bytes -= row->content_bytes();
  } else {
    native_->sum.RemoveLoaded(SumOf(hash, row));
  }
  native_->row_bytes -= RowMemory(row);
  native_->table.Erase(hash, row);
  FreeRow(row);
}

void Collection::DropAbsent(Row* row) { EraseRow(native_->table.HashOf(row->key()), row); }

void Collection::MakeSparse(uint64_t live) {
  native_->sparse = std::make_unique<SparseState>();
  native_->live = live;
  if (native_->table.size() == 0) native_->table.Expect(live);
}

bool Collection::MakeWhole() {
  uint64_t said = native_->live;
  native_->live = native_->table.live_size();
  native_->sparse.reset();
  return native_->live == said;
}

bool Collection::Knows(std::string_view name) const {
  if (!native_->sparse) return true;
  uint64_t hash = native_->table.HashOf(name);
  return native_->table.Find(hash, name) ||
         native_->sparse->KnownAt(hash >> (64 - kElementHashBits));
}

void Collection::Install(ElementsRead* read) {
  for (Row* row : read->rows) {
    if (native_->table.Find(native_->table.HashOf(row->key()), row->key())) {
      FreeRow(row);
    } else {
      InstallRow(row);
    }
  }
  for (const std::string& name : read->absent) {
    if (!Knows(name)) InstallAbsent(name);
  }
  for (const HashRange& range : read->ranges) native_->sparse->AddKnown(range);
  for (const HashRange& range : read->windows) native_->sparse->AddWindow(range);
  read->rows.clear();
}

void Collection::InstallAbsent(std::string_view name) {
  uint64_t hash = native_->table.HashOf(name);
  Row* row = NewRow(name, 0, false);
  row->form = unsigned(RowForm::kAbsent);
  native_->table.Insert(hash, row);
  native_->table.SetAbsent(hash, row, true);
  native_->row_bytes += RowMemory(row);
}

bool Collection::DrawFromWindow(Random& random, Element* out) {
  std::vector<HashRange>& windows = native_->sparse->windows;
  constexpr int kShift = 64 - kElementHashBits;
  while (!windows.empty()) {
    HashRange window = windows.back();
    windows.pop_back();
    std::vector<Row*> rows;
    native_->table.Collect(window.from << kShift, kDrawRows, &rows);
    std::erase_if(rows, [&](Row* row) {
      return !row->live() || native_->table.HashOf(row->key()) >> kShift >= window.to;
    });
    if (rows.empty()) continue;
    *out = FromRow(rows[random.Below(rows.size())]);
    return true;
  }
  return false;
}

std::string CounterCellWith(const Collection::Element& field, const CounterTotal& total) {
  std::string bytes(CounterCell::SizeFor(0), '\0');
  if (field.counter) {
    bytes.assign(field.value);
  } else {
    int64_t base = 0;
    ParseInt64(field.value, &base);
    CounterCell(bytes.data()).Init(base);
  }
  int index = CounterCell(bytes.data()).IndexOf(DotActor(total.dot));
  if (index < 0) {
    index = CounterCell(bytes.data()).count();
    CHECK_THAT(index < CounterCell::kTotalsMax);
    bytes.resize(CounterCell::SizeFor(index + 1));
    CounterCell(bytes.data()).set_count(index + 1);
  }
  CounterCell(bytes.data()).set_total(index, total);
  return bytes;
}

}  // namespace redynamo
