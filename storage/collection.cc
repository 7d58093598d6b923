// SPDX-License-Identifier: Apache-2.0
#include "storage/collection.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/number.h"

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
  if (!row) {
    row = NewRow(key, value.size(), false);
    native_->table.Insert(hash, row);
    native_->row_bytes += RowMemory(row);
  } else {
    native_->row_bytes -= RowMemory(row);
    Row* moved = ResizeRow(row, value.size(), false);
    if (moved != row) native_->table.Replace(hash, row, moved);
    row = moved;
    native_->row_bytes += RowMemory(row);
  }
  if (!value.empty()) std::memcpy(row->value_data(), value.data(), value.size());
  row->form = unsigned(counter ? RowForm::kCounter : RowForm::kPlain);
  row->dot = dot;
  row->hlc = hlc;
  row->flags |= Row::kDirty;
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
  native_->live--;
  native_->row_bytes -= RowMemory(row);
  if (!row->Has(Row::kOnDisk)) {
    native_->table.Erase(hash, row);
    FreeRow(row);
    return true;
  }
  Row* moved = ResizeRow(row, 0, false);
  if (moved != row) native_->table.Replace(hash, row, moved);
  moved->form = unsigned(RowForm::kAbsent);
  moved->flags |= Row::kDirty;
  native_->table.SetAbsent(hash, moved, true);
  native_->row_bytes += RowMemory(moved);
  native_->table.MarkDirty(hash);
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
  native_->table.Insert(native_->table.HashOf(row->key()), row);
  native_->row_bytes += RowMemory(row);
  native_->live++;
}

void Collection::DropAbsent(Row* row) {
  native_->row_bytes -= RowMemory(row);
  native_->table.Erase(native_->table.HashOf(row->key()), row);
  FreeRow(row);
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
