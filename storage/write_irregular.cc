// SPDX-License-Identifier: Apache-2.0
// The verbs on keys that have rows in the irregular index. A write replaces every version that this
// node has seen of the rows it writes, hidden ones too, and clears the kinds that lost: so the
// first write after a conflict ends it. Effects are made whole, logged, and joined like anybody's.
#include "base/number.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

Effect EffectOf(const KeyView& view, RowKind kind, std::string_view element = {}, Dot base = 0) {
  Effect effect;
  effect.kind = kind;
  effect.key = view.key();
  effect.element = element;
  effect.base_dot = base;
  return effect;
}

Effect ClearOf(const KeyView& view, ClearScope scope, RowKind kind, PartitionClock context) {
  Effect effect = EffectOf(view, RowKind::kClear);
  effect.scope = scope;
  effect.cleared_kind = kind;
  effect.context = std::move(context);
  return effect;
}

}  // namespace

// EventDot has been called for the view's key in this command.
void EngineImpl::WriteEffects(KeyView* view, std::vector<Effect> effects) {
  Dot dot = EventDot(view->ns_, view->slot_);
  for (const Effect& effect : effects) {
    PutEffect(record_, effect);
    JoinIrregular(SpotOf(*view), stamp(), dot, effect);
  }
  view->row_ = FindLive(SpotOf(*view));
  Changed(*view);
}

std::vector<Dot> EngineImpl::LiveDots(const KeyView& view, const RowId& id) {
  KeyRows rows;
  const auto& index = partitions_[PartitionOfSlot(view.slot_)].irregular;
  if (const KeyRows* held = index ? index->Find(view.ns_, view.slot_, view.key_) : nullptr) {
    rows = *held;
  }
  PullFor(view.row_, id.kind, id.element, &rows);
  std::vector<Dot> dots;
  for (const auto& [dot, version] : rows.rows[id].live) dots.push_back(dot);
  return dots;
}

PartitionClock EngineImpl::ClearContext(const KeyView& view) const {
  int partition = PartitionOfSlot(view.slot_);
  PartitionClock context = ClockOf(partition);
  const KeyRows* held = partitions_[partition].irregular->Find(view.ns_, view.slot_, view.key_);
  for (const auto& [id, state] : held->rows) {
    for (const auto& [dot, version] : state.live) context.Add(dot);
  }
  return context;
}

PartitionClock EngineImpl::ClearContext(uint16_t ns, int partition) const {
  PartitionClock context = ClockOf(partition);
  if (!partitions_[partition].irregular) return context;
  for (const auto& [at, held] : partitions_[partition].irregular->keys) {
    if (at.ns != ns) continue;
    for (const auto& [id, state] : held.rows) {
      for (const auto& [dot, version] : state.live) context.Add(dot);
    }
  }
  return context;
}

void EngineImpl::ClearHiddenKinds(const KeyView& view, std::vector<Effect>* effects) {
  static constexpr std::pair<RowKind, ObjectType> kKinds[] = {{RowKind::kBase, ObjectType::kString},
                                                              {RowKind::kField, ObjectType::kHash},
                                                              {RowKind::kMember, ObjectType::kSet}};
  int partition = PartitionOfSlot(view.slot_);
  const KeyRows* held = partitions_[partition].irregular->Find(view.ns_, view.slot_, view.key_);
  for (auto [kind, type] : kKinds) {
    if (view.type() == type) continue;
    for (auto it = held->rows.lower_bound({kind, {}, 0, 0});
         it != held->rows.end() && it->first.kind == kind; ++it) {
      if (it->second.live.empty()) continue;
      effects->push_back(ClearOf(view, ClearScope::kKeyKind, kind, ClearContext(view)));
      break;
    }
  }
  if (view.type() != ObjectType::kString) return;  // the deadline is what is shown's
  auto deadline = held->rows.find({RowKind::kDeadline, {}, 0, 0});
  if (deadline == held->rows.end() || deadline->second.live.empty()) return;
  effects->push_back(EffectOf(view, RowKind::kDeadline));
  for (const auto& [dot, version] : deadline->second.live) effects->back().removed.push_back(dot);
}

void EngineImpl::WriteBaseIrregular(KeyView* view, std::string_view value, int64_t deadline_ms) {
  Dot dot = EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  effects.push_back(ClearOf(*view, ClearScope::kKey, RowKind::kBase, ClearContext(*view)));
  effects.push_back(EffectOf(*view, RowKind::kBase));
  std::string copy(value);  // it may point into what the clear removes
  effects.back().has_value = true;
  effects.back().value = copy;
  if (deadline_ms != kNoDeadline) {
    effects.push_back(EffectOf(*view, RowKind::kDeadline, {}, dot));
    effects.back().has_value = true;
    effects.back().number = deadline_ms;
  }
  WriteEffects(view, std::move(effects));
}

// REQUIRES: the sum has been checked.
Result<int64_t> EngineImpl::AddToCounterIrregular(KeyView* view, int64_t increment) {
  Dot dot = EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  ClearHiddenKinds(*view, &effects);
  Dot base = view->row_ ? view->row_->dot : dot;
  if (!view->row_) effects.push_back(EffectOf(*view, RowKind::kImplicitBase));
  RowId id{RowKind::kTotal, {}, base, self_};
  KeyRows rows = *partitions_[PartitionOfSlot(view->slot_)].irregular->Find(view->ns_, view->slot_,
                                                                            view->key_);
  PullFor(view->row_, RowKind::kTotal, {}, &rows);
  Effect total = EffectOf(*view, RowKind::kTotal, {}, base);
  total.has_value = true;
  total.number = increment;
  if (const auto* mine = Winner(rows.rows[id])) {
    total.number = int64_t(uint64_t(mine->second.number) + uint64_t(increment));
  }
  for (const auto& [seen, version] : rows.rows[id].live) total.removed.push_back(seen);
  effects.push_back(std::move(total));
  WriteEffects(view, std::move(effects));
  if (view->row_->row_form() != RowForm::kCounter) return int64_t(0);
  return CounterCell(view->row_->value()).value();
}

void EngineImpl::WriteDeadlineIrregular(KeyView* view, int64_t at_ms) {
  EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  ClearHiddenKinds(*view, &effects);
  Dot base = view->type() == ObjectType::kString ? view->row_->dot : 0;
  Effect deadline = EffectOf(*view, RowKind::kDeadline, {}, base);
  deadline.removed = LiveDots(*view, {RowKind::kDeadline, {}, base, 0});
  deadline.has_value = true;
  deadline.number = at_ms;
  effects.push_back(std::move(deadline));
  WriteEffects(view, std::move(effects));
}

void EngineImpl::DropDeadlineIrregular(KeyView* view) {
  EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  ClearHiddenKinds(*view, &effects);
  Dot base = view->type() == ObjectType::kString ? view->row_->dot : 0;
  Effect deadline = EffectOf(*view, RowKind::kDeadline, {}, base);
  deadline.removed = LiveDots(*view, {RowKind::kDeadline, {}, base, 0});
  effects.push_back(std::move(deadline));
  WriteEffects(view, std::move(effects));
}

void EngineImpl::RemoveKeyIrregular(KeyView* view) {
  EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  effects.push_back(ClearOf(*view, ClearScope::kKey, RowKind::kBase, ClearContext(*view)));
  WriteEffects(view, std::move(effects));
}

bool EngineImpl::PutElementIrregular(KeyView* view, ObjectType type, std::string_view element,
                                     std::string_view value) {
  EventDot(view->ns_, view->slot_);
  bool is_new = true;
  Collection::Element old;
  if (view->row_) is_new = !FindElement(view->row_, element, &old);
  std::vector<Effect> effects;
  ClearHiddenKinds(*view, &effects);
  RowKind kind = type == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
  RowId deadline_id{RowKind::kDeadline, {}, 0, 0};
  if (!view->row_) {  // a new collection has no deadline of an earlier one
    Effect deadline = EffectOf(*view, RowKind::kDeadline);
    deadline.removed = LiveDots(*view, deadline_id);
    if (!deadline.removed.empty()) effects.push_back(std::move(deadline));
  }
  Effect put = EffectOf(*view, kind, element);
  put.removed = LiveDots(*view, {kind, std::string(element), 0, 0});
  put.has_value = true;
  std::string copy(value);
  if (kind == RowKind::kField) put.value = copy;
  effects.push_back(std::move(put));
  WriteEffects(view, std::move(effects));
  return is_new;
}

bool EngineImpl::RemoveElementIrregular(KeyView* view, std::string_view element) {
  EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  ClearHiddenKinds(*view, &effects);
  RowKind kind = view->type() == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
  if (view->row_->collection()->size() == 1) {
    Effect deadline = EffectOf(*view, RowKind::kDeadline);
    deadline.removed = LiveDots(*view, {RowKind::kDeadline, {}, 0, 0});
    if (!deadline.removed.empty()) effects.push_back(std::move(deadline));
  }
  std::string name(element);
  Effect removal = EffectOf(*view, kind, name);
  removal.removed = LiveDots(*view, {kind, name, 0, 0});
  effects.push_back(std::move(removal));
  WriteEffects(view, std::move(effects));
  return true;
}

Result<int64_t> EngineImpl::AddToFieldIrregular(KeyView* view, std::string_view field,
                                                int64_t increment) {
  Dot dot = EventDot(view->ns_, view->slot_);
  std::vector<Effect> effects;
  ClearHiddenKinds(*view, &effects);
  Collection::Element old{};
  bool found = view->row_ && FindElement(view->row_, field, &old);
  Dot base = found ? old.dot : dot;
  std::string name(field);
  if (!view->row_) {
    Effect deadline = EffectOf(*view, RowKind::kDeadline);
    deadline.removed = LiveDots(*view, {RowKind::kDeadline, {}, 0, 0});
    if (!deadline.removed.empty()) effects.push_back(std::move(deadline));
  }
  if (!found) effects.push_back(EffectOf(*view, RowKind::kImplicitField, name));
  RowId id{RowKind::kFieldTotal, name, base, self_};
  KeyRows rows = *partitions_[PartitionOfSlot(view->slot_)].irregular->Find(view->ns_, view->slot_,
                                                                            view->key_);
  PullFor(view->row_, RowKind::kField, name, &rows);
  Effect total = EffectOf(*view, RowKind::kFieldTotal, name, base);
  total.has_value = true;
  total.number = increment;
  if (const auto* mine = Winner(rows.rows[id])) {
    total.number = int64_t(uint64_t(mine->second.number) + uint64_t(increment));
  }
  for (const auto& [seen, version] : rows.rows[id].live) total.removed.push_back(seen);
  effects.push_back(std::move(total));
  WriteEffects(view, std::move(effects));
  if (!FindElement(view->row_, field, &old) || !old.counter) return int64_t(0);
  return CounterCell(old.value).value();
}

}  // namespace redynamo
