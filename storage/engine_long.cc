// SPDX-License-Identifier: Apache-2.0
// Long strings changed in place: the verb that writes the touched fragments only, and what makes a
// string long in memory. See long_string.h. Strings of up to one fragment, and counters, are
// written anew as a base.
#include <algorithm>
#include <cstring>

#include "storage/engine_impl.h"
#include "storage/long_string.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

// The row may move.
Row* ToLong(Row* row, bool head_dirty) {
  auto* text = new LongString(row->value());
  RowHasher::SetCrc(row);  // of the base, which has one content for ever
  text->head_dirty = head_dirty;
  text->head_capture = row->capture;
  row = ResizeRow(row, sizeof text, row->Has(Row::kHasDeadline));
  std::memcpy(row->value_data(), &text, sizeof text);
  row->form = unsigned(RowForm::kLong);
  row->flags |= Row::kRaw;
  return row;
}

}  // namespace

// A small base's head is written again with its first fragment, to say that there are some.
Row* EngineImpl::MakeLong(const Spot& spot, Row* row) {
  if (row->row_form() == RowForm::kLong) return row;
  bool head_dirty = row->Has(Row::kDirty) || row->value_len <= kUnmarkedBaseMax;
  Row* moved = ToLong(row, head_dirty);
  if (moved != row) Slot(spot.ns, spot.slot)->rows.Replace(spot.hash, row, moved);
  return moved;
}

Row* EngineImpl::ApplyFragment(const Spot& spot, Row* row, uint32_t index, std::string_view bytes,
                               Dot dot, uint64_t hlc) {
  SlotTable& table = *Slot(spot.ns, spot.slot);
  uint64_t dirty_before = DirtyBytes(row);
  row = MakeLong(spot, row);
  row->long_string()->Put(index, bytes, dot, hlc);
  CountDirty(table, 0, DirtyBytes(row) - dirty_before);
  MarkDirty(table, spot.hash, row);
  return row;
}

void EngineImpl::ApplyRemoveFragment(const Spot& spot, Row* row, uint32_t index) {
  if (row->row_form() != RowForm::kLong) return;
  SlotTable& table = *Slot(spot.ns, spot.slot);
  uint64_t dirty_before = DirtyBytes(row);
  row->long_string()->Remove(index);
  CountDirty(table, 0, DirtyBytes(row) - dirty_before);
  MarkDirty(table, spot.hash, row);
}

// Whether all that the index holds of the view's key are versions of the shown base's fragments.
bool EngineImpl::OnlyFragmentsEntangled(const KeyView& view) const {
  const IrregularIndex* index = partitions_[PartitionOfSlot(view.slot_)].irregular.get();
  const KeyRows* held = index ? index->Find(view.ns_, view.slot_, view.key_) : nullptr;
  if (!held) return true;
  return held->clears.empty() &&
         std::all_of(held->rows.begin(), held->rows.end(), [&](const auto& row) {
           return row.first.kind == RowKind::kFragment && row.first.base == view.row_->dot;
         });
}

bool EngineImpl::WriteFragments(KeyView* view, uint64_t offset, std::string_view bytes) {
  uint64_t end = offset + bytes.size();
  Row* row = view->row_;
  if (!row) {
    if (end <= kFragmentBytes || offset == 0 || Entangled(*view)) return false;
    WriteBase(view, "", DeadlineChange::Clear(), true);
    row = view->row_;
  }
  if (row->row_form() == RowForm::kCounter || end > uint64_t(kFragmentBytes) * kFragmentsMax ||
      std::max<uint64_t>(row->text().size(), end) <= kFragmentBytes ||
      !OnlyFragmentsEntangled(*view)) {
    return false;
  }
  if (bytes.empty()) return true;
  if (Entangled(*view)) {
    WriteFragmentsIrregular(view, offset, bytes);
    return true;
  }
  Dot dot = EventDot(view->ns_, view->slot_);
  uint64_t dirty_before = DirtyBytes(row);
  row = MakeLong(SpotOf(*view), row);
  std::vector<LongString::Touched> touched;
  LongString* text = row->long_string();
  text->Overwrite(offset, bytes, dot, stamp(), &touched);
  uint8_t same_key = 0;
  for (const LongString::Touched& t : touched) {
    Dot removed = t.before != dot ? t.before : 0;
    PutEffectHead(record_, RowKind::kFragment,
                  uint8_t(kTagValue | (removed ? kTagRemoved : 0) | same_key), view->key_);
    same_key = kTagSameKey;
    PutDot(record_, row->dot);
    PutVarint(record_, t.index);
    if (removed) PutRemoved(record_, removed);
    PutLengthPrefixed(record_, text->FragmentBytes(t.index, *text->Find(t.index)));
  }
  SlotTable& table = *Slot(view->ns_, view->slot_);
  CountDirty(table, 0, DirtyBytes(row) - dirty_before);
  MarkDirty(table, view->hash_, row);
  view->row_ = row;
  Changed(*view);
  return true;
}

Status EngineImpl::LoadFragments(uint16_t ns, uint64_t position, Row** row) {
  std::string key((*row)->key());
  KeyRange range = RowRange(ns, position, key, uint8_t(RowKind::kFragment));
  auto it = store_->NewRowIterator(range.lower, range.upper);
  for (; it->Valid(); it->Next()) {
    Result<RowKey> row_key = DecodeRowKey(it->key());
    if (!row_key.ok()) return row_key.status();
    Result<StoredFragment> fragment = DecodeFragment(row_key->element_hash, it->value());
    if (!fragment.ok()) return fragment.status();
    if (fragment->base != (*row)->dot) continue;  // of a base that is dead
    if ((*row)->row_form() == RowForm::kPlain) *row = ToLong(*row, false);
    uint32_t index = uint32_t(row_key->element_hash);
    uint64_t sum = hasher_.Fragment(position << (64 - kPositionHashBits), fragment->base, index,
                                    fragment->dot, fragment->hlc, fragment->bytes);
    (*row)->long_string()->Install(index, fragment->bytes, fragment->dot, fragment->hlc, sum);
    (*row)->flags |= Row::kHasRows;
  }
  return it->status();
}

}  // namespace redynamo
