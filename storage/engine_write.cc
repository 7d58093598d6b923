// SPDX-License-Identifier: Apache-2.0
// The verbs behind the views. Each makes the effects of one change, puts them into the command's
// record, and applies them. The removed dots of an effect are those that the row shows here: this
// coordinator replaces what it has seen (REPLICATION.md section 4.2).
#include <algorithm>
#include <cstring>

#include "base/number.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

constexpr char kNotInteger[] = "ERR value is not an integer or out of range";
constexpr char kOverflow[] = "ERR increment or decrement would overflow";

Status CheckedSum(int64_t value, int64_t increment, int64_t* sum) {
  if (__builtin_add_overflow(value, increment, sum)) return InvalidArgument(kOverflow);
  return Status::Ok();
}

}  // namespace

void EngineImpl::OpenRecord() {
  if (record_) return;
  record_ = log_->BeginRecord();
  record_begin_ = record_->size();
  record_serial_++;
  record_hlc_ = hybrid_.Next(now_ms_);
  record_->push_back(char(kEventsRecord));
  PutFixed64(record_, record_hlc_);
  token_partition_ = -1;
  record_slots_.clear();
}

Dot EngineImpl::EventDot(uint16_t ns, uint16_t slot) {
  if (!record_) OpenRecord();
  int index = PartitionOfSlot(slot);
  Partition& partition = partitions_[index];
  if (partition.event_record != record_serial_) {
    partition.event_record = record_serial_;
    partition.own_n++;
  }
  Dot dot = MakeDot(self_, partition.own_n);
  if (token_partition_ != index || token_ns_ != ns) {
    PutEvent(record_, {uint16_t(index), ns, dot});
    token_partition_ = index;
    token_ns_ = ns;
  }
  if (record_slots_.empty() || record_slots_.back() != slot) record_slots_.push_back(slot);
  return dot;
}

void EngineImpl::Changed(const KeyView& view) {
  if (!hooks_.on_key_changed || replaying_) return;
  int database = DatabaseOf(view.ns_);
  if (database >= 0) hooks_.on_key_changed(database, view.key_);
}

void EngineImpl::WriteBase(KeyView* view, std::string_view value, DeadlineChange change, bool raw) {
  Row* old = view->row_;
  bool replaces_string = old && old->object_type() == ObjectType::kString;
  int64_t deadline_ms = kNoDeadline;
  if (change.kind == DeadlineChange::Kind::kAt) deadline_ms = change.at_ms;
  if (change.kind == DeadlineChange::Kind::kKeep && old && old->Has(Row::kHasDeadline)) {
    deadline_ms = old->deadline().at_ms;
  }
  if (Entangled(*view)) return WriteBaseIrregular(view, value, deadline_ms);
  Dot dot = EventDot(view->ns_, view->slot_);
  uint8_t same_key = 0;
  uint8_t had_deadline = old && old->Has(Row::kHasDeadline) ? kTagHadDeadline : 0;
  // A clear, where rows of the old value stand on disk: replay need not load it to know of them.
  bool clears = old && (!replaces_string || old->Has(Row::kHasRows));
  if (clears) {
    PutEffectHead(record_, RowKind::kClear, had_deadline, view->key_);
    record_->push_back(char(ClearScope::kKey));
    ClockOf(PartitionOfSlot(view->slot_)).EncodeTo(record_);
    same_key = kTagSameKey;
  }
  Dot removed = replaces_string && !clears && old->dot != dot ? old->dot : 0;
  PutEffectHead(record_, RowKind::kBase,
                uint8_t(kTagValue | (removed ? kTagRemoved | had_deadline : 0) | same_key),
                view->key_);
  if (removed) PutRemoved(record_, removed);
  PutLengthPrefixed(record_, value);
  bool has_deadline = deadline_ms != kNoDeadline;
  if (has_deadline) {
    PutEffectHead(record_, RowKind::kDeadline, kTagValue | kTagSameKey, view->key_);
    PutDot(record_, dot);
    PutFixed64(record_, uint64_t(deadline_ms));
  }
  Row* row = ApplyValue(view->ns_, view->slot_, view->hash_, view->key_, old, ObjectType::kString,
                        RowForm::kPlain, value.size(), has_deadline);
  std::memcpy(row->value_data(), value.data(), value.size());
  row->dot = dot;
  row->hlc = stamp();
  if (raw) row->flags |= Row::kRaw;
  if (has_deadline) {
    row = ApplyDeadline(view->ns_, view->slot_, view->hash_, row, {deadline_ms, dot, stamp()});
  }
  view->row_ = row;
  Changed(*view);
}

Result<int64_t> EngineImpl::AddToCounter(KeyView* view, int64_t increment) {
  Row* row = view->row_;
  int64_t value = 0;
  if (row && row->row_form() == RowForm::kCounter) {
    value = CounterCell(row->value()).value();
  } else if (row && (row->row_form() == RowForm::kLong || !ParseInt64(row->value(), &value))) {
    return InvalidArgument(kNotInteger);
  }
  int64_t sum;
  Status status = CheckedSum(value, increment, &sum);
  if (!status.ok()) return status;
  bool full =
      row && row->row_form() == RowForm::kCounter && CounterCell(row->value()).FullFor(self_);
  if (full) HoldKey(SpotOf(*view));
  if (full || Entangled(*view)) return AddToCounterIrregular(view, increment);
  Dot dot = EventDot(view->ns_, view->slot_);
  uint8_t same_key = 0;
  if (!row) {
    PutEffectHead(record_, RowKind::kImplicitBase, 0, view->key_);
    same_key = kTagSameKey;
    row = ApplyValue(view->ns_, view->slot_, view->hash_, view->key_, nullptr, ObjectType::kString,
                     RowForm::kCounter, CounterCell::SizeFor(0), false);
    CounterCell(row->value_data()).Init(0);
    row->flags |= Row::kImplicit;
    row->dot = dot;
    row->hlc = stamp();
  }
  CounterTotal total{dot, stamp(), increment};
  Dot removed = 0;
  if (row->row_form() == RowForm::kCounter) {
    CounterCell cell(row->value());
    int index = cell.IndexOf(self_);
    if (index >= 0) {
      CounterTotal old = cell.total(index);
      total.total = int64_t(uint64_t(old.total) + uint64_t(increment));
      if (old.dot != dot) removed = old.dot;
    }
  }
  PutEffectHead(record_, RowKind::kTotal,
                uint8_t(kTagValue | (removed ? kTagRemoved : 0) | same_key), view->key_);
  PutDot(record_, row->dot);
  if (removed) PutRemoved(record_, removed);
  PutVarint(record_, ZigZag(total.total));
  view->row_ = ApplyTotal(view->ns_, view->slot_, view->hash_, row, total);
  Changed(*view);
  return sum;
}

void EngineImpl::WriteDeadline(KeyView* view, int64_t at_ms) {
  if (Entangled(*view)) return WriteDeadlineIrregular(view, at_ms);
  Row* row = view->row_;
  Dot dot = EventDot(view->ns_, view->slot_);
  Dot removed = row->Has(Row::kHasDeadline) ? row->deadline().dot : 0;
  if (removed == dot) removed = 0;
  PutEffectHead(record_, RowKind::kDeadline, uint8_t(kTagValue | (removed ? kTagRemoved : 0)),
                view->key_);
  PutDot(record_, row->object_type() == ObjectType::kString ? row->dot : 0);
  if (removed) PutRemoved(record_, removed);
  PutFixed64(record_, uint64_t(at_ms));
  view->row_ = ApplyDeadline(view->ns_, view->slot_, view->hash_, row, {at_ms, dot, stamp()});
  Changed(*view);
}

void EngineImpl::DropDeadline(KeyView* view) {
  if (Entangled(*view)) return DropDeadlineIrregular(view);
  Row* row = view->row_;
  EventDot(view->ns_, view->slot_);
  PutEffectHead(record_, RowKind::kDeadline, kTagRemoved, view->key_);
  PutDot(record_, row->object_type() == ObjectType::kString ? row->dot : 0);
  PutRemoved(record_, row->deadline().dot);
  view->row_ = ApplyNoDeadline(view->ns_, view->slot_, view->hash_, row);
  Changed(*view);
}

void EngineImpl::RemoveKey(KeyView* view) {
  if (Entangled(*view)) return RemoveKeyIrregular(view);
  Row* row = view->row_;
  Dot dot = EventDot(view->ns_, view->slot_);
  uint8_t had_deadline = row->Has(Row::kHasDeadline) ? kTagHadDeadline : 0;
  bool base_alone = row->object_type() == ObjectType::kString && !row->Has(Row::kHasRows);
  if (base_alone && row->dot != dot) {
    // What hangs on the base (deadline, totals, fragments) goes with it.
    PutEffectHead(record_, RowKind::kBase, kTagRemoved | had_deadline, view->key_);
    PutRemoved(record_, row->dot);
  } else {
    PutEffectHead(record_, RowKind::kClear, had_deadline, view->key_);
    record_->push_back(char(ClearScope::kKey));
    ClockOf(PartitionOfSlot(view->slot_)).EncodeTo(record_);
  }
  ApplyRemove(view->ns_, view->slot_, view->hash_, row);
  view->row_ = nullptr;
  Changed(*view);
}

bool EngineImpl::PutElement(KeyView* view, ObjectType type, std::string_view element,
                            std::string_view value) {
  Row* row = view->row_;
  Collection::Element old;
  bool found = row && FindElement(row, element, &old);
  if (found && type == ObjectType::kSet) return false;  // an add of what is there changes nothing
  if (Entangled(*view)) return PutElementIrregular(view, type, element, value);
  Dot dot = EventDot(view->ns_, view->slot_);
  Dot removed = found && old.dot != dot ? old.dot : 0;
  RowKind kind = type == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
  PutEffectHead(record_, kind, uint8_t(kTagValue | (removed ? kTagRemoved : 0)), view->key_);
  PutLengthPrefixed(record_, element);
  if (removed) PutRemoved(record_, removed);
  if (kind == RowKind::kField) PutLengthPrefixed(record_, value);
  bool is_new;
  view->row_ = ApplyElement(view->ns_, view->slot_, view->hash_, view->key_, row, type, element,
                            value, false, dot, stamp(), &is_new);
  Changed(*view);
  return is_new;
}

bool EngineImpl::RemoveElement(KeyView* view, std::string_view element) {
  Row* row = view->row_;
  Collection::Element old;
  if (!row || !FindElement(row, element, &old)) return false;
  if (Entangled(*view)) return RemoveElementIrregular(view, element);
  if (row->collection()->size() == 1 && row->Has(Row::kHasDeadline)) {
    DropDeadline(view);  // it hangs on no element: nothing else would remove it
    row = view->row_;
  }
  Dot dot = EventDot(view->ns_, view->slot_);
  RowKind kind = row->object_type() == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
  bool foreign = old.dot != dot;
  PutEffectHead(record_, kind, foreign ? kTagRemoved : 0, view->key_);
  PutLengthPrefixed(record_, element);
  if (foreign) PutRemoved(record_, old.dot);
  view->row_ = ApplyRemoveElement(view->ns_, view->slot_, view->hash_, row, element);
  Changed(*view);
  return true;
}

Result<int64_t> EngineImpl::AddToField(KeyView* view, std::string_view field, int64_t increment) {
  Row* row = view->row_;
  Collection::Element old{};
  bool found = row && FindElement(row, field, &old);
  int64_t value = 0;
  if (found && old.counter) {
    value = CounterCell(old.value).value();
  } else if (found && !ParseInt64(old.value, &value)) {
    return InvalidArgument("ERR hash value is not an integer");
  }
  int64_t sum;
  Status status = CheckedSum(value, increment, &sum);
  if (!status.ok()) return status;
  bool full = found && old.counter && CounterCell(old.value).FullFor(self_);
  if (full) HoldKey(SpotOf(*view));
  if (full || Entangled(*view)) return AddToFieldIrregular(view, field, increment);
  Dot dot = EventDot(view->ns_, view->slot_);
  uint8_t same_key = 0;
  Dot base_dot = found ? old.dot : dot;
  if (!found) {
    PutEffectHead(record_, RowKind::kImplicitField, 0, view->key_);
    PutLengthPrefixed(record_, field);
    same_key = kTagSameKey;
  }
  CounterTotal total{dot, stamp(), increment};
  Dot removed = 0;
  if (found && old.counter) {
    CounterCell cell(old.value);
    int index = cell.IndexOf(self_);
    if (index >= 0) {
      total.total = int64_t(uint64_t(cell.total(index).total) + uint64_t(increment));
      if (cell.total(index).dot != dot) removed = cell.total(index).dot;
    }
  }
  std::string cell_bytes = CounterCellWith(old, total);
  if (!found) CounterCell(cell_bytes.data()).set_implicit(true);
  PutEffectHead(record_, RowKind::kFieldTotal,
                uint8_t(kTagValue | (removed ? kTagRemoved : 0) | same_key), view->key_);
  PutLengthPrefixed(record_, field);
  PutDot(record_, base_dot);
  if (removed) PutRemoved(record_, removed);
  PutVarint(record_, ZigZag(total.total));
  bool is_new;
  uint64_t base_hlc = found ? old.hlc : stamp();
  view->row_ = ApplyElement(view->ns_, view->slot_, view->hash_, view->key_, row, ObjectType::kHash,
                            field, cell_bytes, true, base_dot, base_hlc, &is_new);
  Changed(*view);
  return sum;
}

void EngineImpl::CopyKey(const KeyView& from, KeyView* to) {
  Row* source = from.row_;
  int64_t deadline_ms = from.deadline_ms();
  if (source->object_type() == ObjectType::kString) {
    StringView text;
    static_cast<KeyView&>(text) = from;
    DeadlineChange change =
        deadline_ms == kNoDeadline ? DeadlineChange::Clear() : DeadlineChange::At(deadline_ms);
    std::string value(text.value());
    WriteBase(to, value, change, source->Has(Row::kRaw));
    return;
  }
  if (to->row_) RemoveKey(to);
  ObjectType type = source->object_type();
  // Rows of the source do not move while the copy grows: they are another object's.
  Whole(source)->ForEach([&](const Collection::Element& e) {
    char digits[24];
    std::string_view value = e.value;
    if (e.counter) value = {digits, FormatInt64(CounterCell(e.value).value(), digits)};
    PutElement(to, type, e.key, value);
    return true;
  });
  if (deadline_ms != kNoDeadline) WriteDeadline(to, deadline_ms);
}

uint64_t EngineImpl::ClearLogBytes(int database) const {
  const Namespace& space = *namespaces_[NamespaceOf(database)];
  uint64_t partitions = std::min<uint64_t>(PartitionCount(), space.live);
  return partitions * EventLogBytes();
}

void EngineImpl::ClearDatabase(int database, const PartitionSet* share) {
  uint16_t ns = NamespaceOf(database);
  Namespace& space = Ns(ns);
  for (int p = 0; p < PartitionCount(); p++) {
    bool used = false;
    if (share && !share->Contains(p)) continue;
    for (int s = p * SlotsPerPartition(); s < (p + 1) * SlotsPerPartition(); s++) {
      SlotTable* table = space.slots[s].get();
      if (!table || table->live == 0) continue;
      used = true;
      EventDot(ns, uint16_t(s));
    }
    if (!used) continue;
    PutEffectHead(record_, RowKind::kClear, kTagSameKey, {});
    record_->push_back(char(ClearScope::kNamespace));
    PartitionClock context = ClearContext(ns, p);
    context.EncodeTo(record_);
    if (partitions_[p].irregular) {
      ClearNamespacePart(ns, p, context, ~0ull);
      RememberClear({ClearScope::kNamespace, ns, RowKind::kBase, context.Minus(ClockOf(p))}, p);
    } else {
      ApplyClearSlots(ns, p * SlotsPerPartition(), SlotsPerPartition(), ~0ull);
    }
  }
  if (hooks_.on_database_cleared && !replaying_) hooks_.on_database_cleared(database);
}

}  // namespace redynamo
