// SPDX-License-Identifier: Apache-2.0
// Rows in memory: what an effect does to a slot's table. The verbs call these with the dot of the
// event that they have just logged, replay with the dots that it reads.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/number.h"
#include "storage/engine_impl.h"
#include "storage/long_string.h"
#include "storage/object_format.h"

namespace redynamo {

SlotTable::~SlotTable() { rows.ForEach(FreeWholeRow); }

void EngineImpl::FreeObject(Row* row) {
  FreeValue(row);
  FreeRow(row);
}

void EngineImpl::FreeValue(Row* row) {
  if (row->row_form() == RowForm::kCollection) FreeCollection(row->collection());
  if (row->row_form() == RowForm::kLong) {
    LongString* text = row->long_string();
    if (text->fragments().size() > kFreeInlineElementsMax && free_pool_) {
      free_pool_->Post([text] { delete text; });
    } else {
      delete text;
    }
  }
}

void EngineImpl::FreeCollection(Collection* c) {
  if (c->under_capture()) {
    KeepCaptured(c);
  } else if (c->size() > kFreeInlineElementsMax && free_pool_) {
    free_pool_->Post([c] { delete c; });
  } else {
    delete c;
  }
}

void EngineImpl::MarkNew(SlotTable& table, uint64_t hash, Row* row, uint64_t bytes) {
  row->flags |= Row::kDirty;
  table.rows.MarkDirty(hash);
  CountDirty(table, 1, bytes);
}

uint64_t EngineImpl::BesideBytes(const Row* row) {
  if (row->row_form() == RowForm::kLong) return row->long_string()->dirty_bytes();
  bool native = row->row_form() == RowForm::kCollection && row->collection()->native();
  return native ? row->collection()->dirty_bytes() : 0;
}

ElementSum* EngineImpl::SumOf(const Row* row) {
  if (row->row_form() == RowForm::kLong) return &row->long_string()->sum();
  bool native = row->row_form() == RowForm::kCollection && row->collection()->native();
  return native ? &row->collection()->sum() : nullptr;
}

void EngineImpl::ForgetElements(SlotTable& table, const Row* row) {
  if (ElementSum* sum = SumOf(row)) {
    table.sum -= sum->in_leaf();
    CountDirty(table, 0, -BesideBytes(row));
  }
  bool sparse = row->row_form() == RowForm::kCollection && row->collection()->sparse();
  table.sum_unknown |= sparse;  // by what is not in memory
}

Row* EngineImpl::ApplyValue(uint16_t ns, uint16_t slot, uint64_t hash, std::string_view key,
                            Row* row, ObjectType type, RowForm form, size_t value_len,
                            bool keep_deadline) {
  SlotTable& table = MakeSlot(ns, slot);
  if (!row && table.absents > 0) row = table.rows.Find(hash, key);  // an absent row comes to life
  if (!row) {
    row = NewRow(key, value_len, false);
    table.rows.Insert(hash, row);
    row->access = AccessNow();
    if (!known_absent_.empty()) known_absent_.erase({ns, std::string(key)});
  } else {
    MarkDirty(table, hash, row);
    if (row->Has(Row::kHasRows)) row->flags |= Row::kStaleRows;
    row->flags &= uint16_t(~Row::kHasRows);
    uint64_t packed_bytes = 0;
    if (row->row_form() == RowForm::kCollection || row->row_form() == RowForm::kLong) {
      ForgetElements(table, row);
      packed_bytes = PackedBytes(row);
      bool sparse = row->row_form() == RowForm::kCollection && row->collection()->sparse();
      if (sparse) CountSparse(ns, slot, -1);
      FreeValue(row);
    }
    bool had_deadline = row->Has(Row::kHasDeadline);
    bool was_live = row->live();
    uint64_t change = value_len - row->value_len - packed_bytes;
    if (change != 0) CountDirty(table, 0, change);
    if (had_deadline && !keep_deadline && was_live) {
      table.volatiles--;
      namespaces_[ns]->volatiles--;
    }
    Row* moved = ResizeRow(row, value_len, had_deadline && keep_deadline);
    if (moved != row) table.rows.Replace(hash, row, moved);
    row = moved;
    if (was_live) {
      row->type = unsigned(type);
      row->form = unsigned(form);
      row->flags &= uint16_t(~(Row::kRaw | Row::kImplicit));
      return row;
    }
    table.absents--;
    row->access = AccessNow();
  }
  row->type = unsigned(type);
  row->form = unsigned(form);
  table.live++;
  table.resident++;
  namespaces_[ns]->live++;
  namespaces_[ns]->resident++;
  if (!row->Has(Row::kDirty)) MarkNew(table, hash, row, row->content_bytes());
  return row;
}

Row* EngineImpl::ApplyDeadline(uint16_t ns, uint16_t slot, uint64_t hash, Row* row,
                               const Deadline& deadline) {
  SlotTable& table = *Slot(ns, slot);
  MarkDirty(table, hash, row);
  if (!row->Has(Row::kHasDeadline)) {
    Row* moved = ResizeRow(row, row->value_len, true);
    table.rows.Replace(hash, row, moved);
    row = moved;
    table.volatiles++;
    namespaces_[ns]->volatiles++;
  }
  row->set_deadline(deadline);
  if (row->row_form() == RowForm::kLong) CountDirty(table, 0, row->long_string()->DirtyHead());
  return row;
}

Row* EngineImpl::ApplyNoDeadline(uint16_t ns, uint16_t slot, uint64_t hash, Row* row) {
  if (!row->Has(Row::kHasDeadline)) return row;
  SlotTable& table = *Slot(ns, slot);
  MarkDirty(table, hash, row);
  Row* moved = ResizeRow(row, row->value_len, false);
  table.rows.Replace(hash, row, moved);
  if (moved->row_form() == RowForm::kLong) CountDirty(table, 0, moved->long_string()->DirtyHead());
  table.volatiles--;
  namespaces_[ns]->volatiles--;
  return moved;
}

void EngineImpl::ApplyRemove(uint16_t ns, uint16_t slot, uint64_t hash, Row* row) {
  SlotTable& table = *Slot(ns, slot);
  Namespace& space = *namespaces_[ns];
  MarkDirty(table, hash, row);
  ForgetElements(table, row);
  uint64_t bytes = HeadBytes(row);
  table.live--;
  table.resident--;
  space.live--;
  space.resident--;
  if (row->row_form() == RowForm::kCollection && row->collection()->sparse()) {
    CountSparse(ns, slot, -1);
  }
  if (row->Has(Row::kHasDeadline)) {
    table.volatiles--;
    space.volatiles--;
  }
  if (!row->Has(Row::kOnDisk)) {
    CountDirty(table, -uint64_t{1}, -bytes);
    table.rows.Erase(hash, row);
    FreeObject(row);
    return;
  }
  uint16_t flags = row->flags;
  uint8_t capture = row->capture;
  Row* absent = NewRow(row->key(), 0, false);
  absent->form = unsigned(RowForm::kAbsent);
  absent->flags |= flags & (Row::kDirty | Row::kOnDisk | Row::kStaleRows);
  if (flags & Row::kHasRows) absent->flags |= Row::kStaleRows;
  absent->capture = capture;
  CountDirty(table, 0, absent->content_bytes() - bytes);
  table.rows.Replace(hash, row, absent);
  table.absents++;
  FreeObject(row);
}

bool EngineImpl::FitsPacked(const Collection& c, ObjectType type, std::string_view element,
                            std::string_view value) const {
  if (type == ObjectType::kHash) {
    return c.size() <= options_.packed_entries_max &&
           element.size() <= options_.packed_value_bytes_max &&
           value.size() <= options_.packed_value_bytes_max;
  }
  if (c.only_integers()) return c.size() <= options_.set_intset_entries_max;
  return c.size() <= options_.set_packed_entries_max &&
         element.size() <= options_.set_packed_value_bytes_max;
}

Row* EngineImpl::ApplyElement(uint16_t ns, uint16_t slot, uint64_t hash, std::string_view key,
                              Row* row, ObjectType type, std::string_view element,
                              std::string_view value, bool counter, Dot dot, uint64_t hlc,
                              bool* is_new) {
  if (!row || row->row_form() != RowForm::kCollection) {
    row = ApplyValue(ns, slot, hash, key, row, type, RowForm::kCollection, sizeof(Collection*),
                     false);
    auto* fresh = new Collection(type == ObjectType::kSet);
    std::memcpy(row->value_data(), &fresh, sizeof fresh);
    row->dot = dot;
  }
  SlotTable& table = *Slot(ns, slot);
  MarkDirty(table, hash, row);
  Collection* c = row->collection();
  uint64_t dirty_before = c->dirty_bytes();
  Ensure(row, element);
  if (c->only_integers()) {
    int64_t number;
    if (!ParseInt64(element, &number)) c->set_only_integers(false);
  }
  *is_new = c->Put(element, value, counter, dot, hlc);
  if (!c->native() && !FitsPacked(*c, type, element, counter ? std::string_view() : value)) {
    c->MakeNative(seed_);
    c->SetHasher(&hasher_, hash, type == ObjectType::kSet);
  }
  uint64_t change = c->dirty_bytes() - dirty_before;
  if (change != 0) CountDirty(table, 0, change);
  return row;
}

Row* EngineImpl::ApplyRemoveElement(uint16_t ns, uint16_t slot, uint64_t hash, Row* row,
                                    std::string_view element) {
  Collection* c = row->collection();
  Ensure(row, element);
  Collection::Element found;
  if (!row->Has(Row::kDirty)) {
    if (!c->Find(element, &found)) return row;
    MarkDirty(*Slot(ns, slot), hash, row);
  }
  uint64_t dirty_before = c->dirty_bytes();
  if (!c->Remove(element)) return row;
  CountDirty(*Slot(ns, slot), 0, c->dirty_bytes() - dirty_before);
  if (c->size() == 0) {
    ApplyRemove(ns, slot, hash, row);
    return nullptr;
  }
  return row;
}

Row* EngineImpl::ApplyTotal(uint16_t ns, uint16_t slot, uint64_t hash, Row* row,
                            const CounterTotal& total) {
  SlotTable& table = *Slot(ns, slot);
  MarkDirty(table, hash, row);
  if (row->row_form() != RowForm::kCounter) {
    int64_t base = 0;
    ParseInt64(row->value(), &base);
    CountDirty(table, 0, uint64_t(CounterCell::SizeFor(0)) - row->value_len);
    Row* moved = ResizeRow(row, CounterCell::SizeFor(0), row->Has(Row::kHasDeadline));
    if (moved != row) table.rows.Replace(hash, row, moved);
    row = moved;
    row->form = unsigned(RowForm::kCounter);
    CounterCell(row->value_data()).Init(base);
  }
  CounterCell cell(row->value_data());
  int index = cell.IndexOf(DotActor(total.dot));
  if (index < 0) {
    index = cell.count();
    CHECK_THAT(index < CounterCell::kTotalsMax);
    CountDirty(table, 0, uint64_t(CounterCell::SizeFor(index + 1)) - row->value_len);
    Row* moved = ResizeRow(row, CounterCell::SizeFor(index + 1), row->Has(Row::kHasDeadline));
    if (moved != row) table.rows.Replace(hash, row, moved);
    row = moved;
    cell = CounterCell(row->value_data());
    cell.set_count(index + 1);
  }
  cell.set_total(index, total);
  return row;
}

void EngineImpl::ApplyClearSlots(uint16_t ns, int first, int count, uint64_t end) {
  Namespace& space = *namespaces_[ns];
  space.epoch++;
  auto garbage = std::make_shared<std::vector<std::unique_ptr<SlotTable>>>();
  for (int slot = first; slot < first + count; slot++) {
    auto& table = space.slots[slot];
    if (!table || table->captured_at >= end) continue;
    DropElementCapture(ns, uint16_t(slot));
    space.live -= table->live;
    space.resident -= table->resident;
    space.volatiles -= table->volatiles;
    space.cold_volatiles -= table->cold_volatiles;
    space.sparse -= table->sparse;
    CountDirty(*table, -table->dirty_rows, -table->dirty_bytes);
    auto fresh = std::make_unique<SlotTable>(seed_);
    fresh->wiped = table->on_disk;
    fresh->on_disk = table->on_disk;
    garbage->push_back(std::move(table));
    table = std::move(fresh);
  }
  if (free_pool_) free_pool_->Post([garbage] { garbage->clear(); });
}

}  // namespace redynamo
