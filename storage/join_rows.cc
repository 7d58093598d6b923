// SPDX-License-Identifier: Apache-2.0
// Joining where the table alone cannot say a row: its group of rows is taken into the irregular
// index, changed there by the rules of join.cc, shown, and let go again if it is regular.
#include <algorithm>

#include "base/log_line.h"
#include "base/number.h"
#include "base/sabotage.h"
#include "storage/engine_impl.h"
#include "storage/long_string.h"

namespace redynamo {
namespace {

bool IsElement(RowKind kind) {
  return kind == RowKind::kField || kind == RowKind::kMember || kind == RowKind::kFieldTotal ||
         kind == RowKind::kImplicitField;
}

void HoldElement(const Collection::Element& e, RowKind kind, KeyRows* held) {
  RowVersion base{e.hlc, false, {}, 0};
  std::string element(e.key);
  if (e.counter) {
    CounterCell cell(e.value);
    base.implicit = cell.implicit();
    if (!base.implicit) base.value = std::to_string(cell.base());
    for (int i = 0; i < cell.count(); i++) {
      CounterTotal t = cell.total(i);
      RowId id{RowKind::kFieldTotal, element, e.dot, DotActor(t.dot)};
      held->rows[id].live[t.dot] = {t.hlc, false, {}, t.total};
    }
  } else if (kind == RowKind::kField) {
    base.value = e.value;
  }
  held->rows[{kind, std::move(element), 0, 0}].live[e.dot] = std::move(base);
}

}  // namespace

Row* EngineImpl::FindLive(const Spot& spot) const {
  const SlotTable* table = namespaces_[spot.ns]->slots[spot.slot].get();
  Row* row = table ? table->rows.Find(spot.hash, spot.key) : nullptr;
  return row && row->live() ? row : nullptr;
}

// What the table has of the key, in memory: else showing its rows would make it a second time.
Status EngineImpl::LoadShown(const Spot& spot) {
  SlotTable& table = MakeSlot(spot.ns, spot.slot);
  Row* row = table.rows.Find(spot.hash, spot.key);
  if (row || table.cold() == 0 || KnownAbsent(spot.ns, spot.key)) return Status::Ok();
  Status status = LoadNow(spot.ns, spot.key, &row);
  if (!status.ok()) LogWarning("reading a cold key failed: " + status.message());
  return status;
}

KeyRows& EngineImpl::HoldKey(const Spot& spot) {
  auto& index = partitions_[PartitionOfSlot(spot.slot)].irregular;
  if (!index) index = std::make_unique<IrregularIndex>();
  auto [it, is_new] = index->keys.try_emplace({spot.ns, spot.slot, std::string(spot.key)});
  if (is_new) FinishFragmentCapture(spot.ns, spot.slot);
  return it->second;
}

void EngineImpl::ReleaseKey(const Spot& spot) {
  auto& index = partitions_[PartitionOfSlot(spot.slot)].irregular;
  auto it = index->keys.find({spot.ns, spot.slot, std::string(spot.key)});
  if (it == index->keys.end()) return;
  if (it->second.clears.empty()) index->clearing.erase(it->first);
  if (it->second.empty()) index->keys.erase(it);
  if (index->empty()) index.reset();
}

void EngineImpl::PullString(const Row* row, KeyRows* held) const {
  RowVersion base{row->hlc, row->Has(Row::kImplicit), {}, 0};
  if (row->row_form() == RowForm::kCounter) {
    CounterCell cell(row->value());
    if (!base.implicit) base.value = std::to_string(cell.base());
    for (int i = 0; i < cell.count(); i++) {
      CounterTotal t = cell.total(i);
      held->rows[{RowKind::kTotal, {}, row->dot, DotActor(t.dot)}].live[t.dot] = {
          t.hlc, false, {}, t.total};
    }
  } else if (row->row_form() == RowForm::kLong) {
    base.value = row->long_string()->Base();
    for (const auto& [index, fragment] : row->long_string()->fragments()) {
      if (fragment.live()) PullFragment(row, FragmentRow(row->dot, index), held);
    }
  } else {
    base.value = row->value();
  }
  held->rows[{RowKind::kBase, {}, 0, 0}].live[row->dot] = std::move(base);
  if (row->Has(Row::kHasDeadline)) {
    Deadline d = row->deadline();
    held->rows[{RowKind::kDeadline, {}, row->dot, 0}].live[d.dot] = {d.hlc, false, {}, d.at_ms};
  }
}

void EngineImpl::PullDeadline(const Row* row, KeyRows* held) const {
  RowId id{RowKind::kDeadline, {}, 0, 0};
  if (!row->Has(Row::kHasDeadline) || held->rows.contains(id)) return;
  Deadline d = row->deadline();
  held->rows[id].live[d.dot] = {d.hlc, false, {}, d.at_ms};
}

void EngineImpl::PullElement(const Row* row, std::string_view element, KeyRows* held) const {
  RowKind kind = ElementKind(row);
  Collection::Element e{};
  if (held->HoldsElement(kind, element) || !FindElement(row, element, &e)) return;
  HoldElement(e, kind, held);
}

void EngineImpl::PullAll(const Row* row, KeyRows* held) const {
  RowKind kind = ElementKind(row);
  Whole(row)->ForEach([&](const Collection::Element& e) {
    if (!held->HoldsElement(kind, e.key)) HoldElement(e, kind, held);
    return true;
  });
  PullDeadline(row, held);
}

void EngineImpl::PullFor(const Row* row, RowKind kind, std::string_view element,
                         KeyRows* held) const {
  if (!row) return;
  if (row->object_type() == ObjectType::kString) {
    if (!held->HoldsString()) PullString(row, held);
    return;
  }
  PullDeadline(row, held);
  bool same_kind = (kind == RowKind::kMember) == (row->object_type() == ObjectType::kSet);
  if (IsElement(kind) && same_kind) PullElement(row, element, held);
}

void EngineImpl::JoinIrregular(const Spot& spot, uint64_t hlc, Dot dot, const Effect& effect) {
  if (effect.kind == RowKind::kFragment) return JoinFragment(spot, hlc, dot, effect);
  KeyRows& held = HoldKey(spot);
  PullFor(FindLive(spot), effect.kind, effect.element, &held);
  if (effect.kind == RowKind::kClear) {
    ClearKeyRows(spot, effect.scope, effect.cleared_kind, effect.context, &held);
    int partition = PartitionOfSlot(spot.slot);
    PartitionClock rest = effect.context.Minus(ClockOf(partition));
    if (!rest.empty()) {
      AddUnfinished({effect.scope, spot.ns, effect.cleared_kind, std::move(rest)}, &held.clears);
      partitions_[partition].irregular->clearing.insert(
          {spot.ns, spot.slot, std::string(spot.key)});
    }
    Show(spot, &held, nullptr);
  } else {
    JoinRow(spot, hlc, dot, effect, &held);
    RowId id = RowOf(effect, dot);
    if (!open_events_.empty()) {
      touched_rows_.push_back({{spot.ns, spot.slot, std::string(spot.key)}, id});
    }
    Show(spot, &held, IsElement(effect.kind) ? &id : nullptr);
  }
  ReleaseKey(spot);
}

void EngineImpl::JoinRow(const Spot& spot, uint64_t hlc, Dot dot, const Effect& effect,
                         KeyRows* held) {
  RowId id = RowOf(effect, dot);
  RowState& state = held->rows[id];
  for (Dot removed : effect.removed) {
    state.live.erase(removed);
    bool unseen = removed != dot && !InClock(PartitionOfSlot(spot.slot), removed);
    if (unseen && !LeftOut(Sabotage::kForgetGone)) state.gone.insert(removed);
  }
  state.live.erase(dot);  // a later effect of an event overrides an earlier one
  if (id.kind == RowKind::kBase || id.kind == RowKind::kField) {
    for (auto& [other, hanging] : held->rows) {
      if (other.base == dot && BaseOf(other) == id) hanging.live.erase(dot);
    }
  }
  bool implicit = effect.kind == RowKind::kImplicitBase || effect.kind == RowKind::kImplicitField;
  if (!effect.has_value && !implicit) return;
  if (state.gone.contains(dot) || ClearedUnseen(spot, *held, id, dot)) return;
  state.live[dot] = {hlc, implicit, std::string(effect.value), effect.number};
}

bool EngineImpl::ClearedUnseen(const Spot& spot, const KeyRows& held, const RowId& id,
                               Dot dot) const {
  if (LeftOut(Sabotage::kForgetClear)) return false;
  for (const UnfinishedClear& clear : held.clears) {
    if (InScope(clear.scope, clear.cleared_kind, id) && clear.rest.Contains(dot)) return true;
  }
  for (const UnfinishedClear& clear : partitions_[PartitionOfSlot(spot.slot)].irregular->clears) {
    bool of_slot = clear.scope != ClearScope::kSlotSync || clear.slot == spot.slot;
    bool concerns = clear.scope == ClearScope::kPartition || (clear.ns == spot.ns && of_slot);
    if (concerns && clear.rest.Contains(dot)) return true;
  }
  return false;
}

void EngineImpl::ClearKeyRows(const Spot& spot, ClearScope scope, RowKind cleared_kind,
                              const PartitionClock& context, KeyRows* held) {
  Row* row = FindLive(spot);
  if (row && row->row_form() == RowForm::kCollection) {
    RowKind kind = ElementKind(row);
    std::vector<std::string> removed;
    if (InScope(scope, cleared_kind, {kind, {}, 0, 0})) {
      Whole(row)->ForEach([&](const Collection::Element& e) {
        if (held->HoldsElement(kind, e.key)) return true;
        if (context.Contains(e.dot)) {
          removed.emplace_back(e.key);
        } else if (e.counter) {
          HoldElement(e, kind, held);
        }
        return true;
      });
    }
    for (const std::string& element : removed) {
      row = ApplyRemoveElement(spot.ns, spot.slot, spot.hash, row, element);
    }
  }
  for (auto& [id, state] : held->rows) {
    if (!InScope(scope, cleared_kind, id)) continue;
    std::erase_if(state.live, [&](const auto& v) { return context.Contains(v.first); });
  }
}

// A clear of a namespace's part, or of the whole partition.
void EngineImpl::JoinClearOfMany(uint64_t end, const EventHeader& event, const Effect& effect) {
  int partition = event.partition;
  bool whole = effect.scope == ClearScope::kPartition;
  for (size_t ns = 0; ns < namespaces_.size(); ns++) {
    if (!whole && ns != event.ns) continue;
    ClearNamespacePart(uint16_t(ns), partition, effect.context, end, event.dot);
  }
  PartitionClock rest = effect.context.Minus(ClockOf(partition));
  RememberClear({effect.scope, event.ns, RowKind::kBase, std::move(rest)}, partition);
}

void EngineImpl::RememberClear(UnfinishedClear clear, int partition) {
  if (clear.rest.empty()) return;
  auto& index = partitions_[partition].irregular;
  if (!index) index = std::make_unique<IrregularIndex>();
  AddUnfinished(std::move(clear), &index->clears);
}

// What the event itself adds after the clear stays where a full sync has brought it already.
void EngineImpl::ClearNamespacePart(uint16_t ns, int partition, const PartitionClock& context,
                                    uint64_t end, Dot event) {
  PartitionClock own;
  own.Add(event);
  PartitionClock before = context.Minus(own);
  auto& index = partitions_[partition].irregular;
  bool all = context.Covers(ClockOf(partition));
  if (all) ApplyClearSlots(ns, partition * SlotsPerPartition(), SlotsPerPartition(), end);
  std::set<std::string> keys;
  for (int s = partition * SlotsPerPartition(); s < (partition + 1) * SlotsPerPartition(); s++) {
    SlotTable* table = Slot(ns, uint16_t(s));
    if (table && table->captured_at >= end) continue;
    if (table && table->cold() > 0) {
      ForEachColdNow(ns, uint16_t(s),
                     [&](Row* row) { InstallLoaded(ns, std::string(row->key()), row); });
    }
    keys.clear();
    if (table) {
      table->rows.ForEach([&](Row* row) {
        if (row->live()) keys.emplace(row->key());
      });
    }
    if (index) {
      for (auto it = index->keys.lower_bound({ns, uint16_t(s), {}});
           it != index->keys.end() && it->first.ns == ns && it->first.slot == s; ++it) {
        keys.insert(it->first.key);
      }
    }
    bool synced = event != 0 && index && index->Synced(ns, uint16_t(s), event);
    for (const std::string& key : keys) {
      Spot spot{ns, uint16_t(s), RowTable::HashOf(key, seed_, kPositionHashBits), key};
      KeyRows& held = HoldKey(spot);
      PullFor(FindLive(spot), RowKind::kBase, {}, &held);
      ClearKeyRows(spot, ClearScope::kKey, RowKind::kBase, synced ? before : context, &held);
      Show(spot, &held, nullptr);
      ReleaseKey(spot);
    }
  }
}

// Events are whole now: what their dots were remembered for is settled.
void EngineImpl::StrikeDots(int partition, const PartitionClock& dots) {
  auto strike = [&](std::vector<UnfinishedClear>* clears) {
    std::erase_if(*clears, [&](UnfinishedClear& clear) {
      clear.rest = clear.rest.Minus(dots);
      return clear.rest.empty();
    });
  };
  auto& index = partitions_[partition].irregular;
  strike(&index->clears);
  std::vector<IrregularIndex::Key> clearing(index->clearing.begin(), index->clearing.end());
  for (const IrregularIndex::Key& key : clearing) strike(&index->keys[key].clears);
  auto settle = [&](const IrregularIndex::Key& key, const RowId* row) {
    if (!index) return;
    auto it = index->keys.find(key);
    if (it == index->keys.end()) return;
    Spot spot{key.ns, key.slot, RowTable::HashOf(key.key, seed_, kPositionHashBits), key.key};
    if (!LoadShown(spot).ok()) return;  // it stays irregular
    if (row && row->kind == RowKind::kFragment) {
      ShowFragment(spot, &it->second, *row);
    } else {
      Show(spot, &it->second, row);
    }
    ReleaseKey(spot);
  };
  for (const IrregularIndex::Key& key : clearing) settle(key, nullptr);
  for (const auto& [key, id] : touched_rows_) {
    if (PartitionOfSlot(key.slot) != partition || !index) continue;
    auto it = index->keys.find(key);
    if (it == index->keys.end()) continue;
    if (auto row = it->second.rows.find(id); row != it->second.rows.end()) {
      std::erase_if(row->second.gone, [&](Dot dot) { return dots.Contains(dot); });
    }
    settle(key, IsElement(id.kind) || id.kind == RowKind::kFragment ? &id : nullptr);
  }
  if (index && index->empty()) index.reset();
}

}  // namespace redynamo
