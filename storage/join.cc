// SPDX-License-Identifier: Apache-2.0
// Join: any event of any actor, in any order, any number of times (REPLICATION.md section 4.2).
//
// C is the partition's clock, d the event's dot, R the removed dots that an effect names.
//
//   d in C                    a duplicate: nothing happens
//   else, effect by effect    a clear drops live dots in its context and remembers context \ C;
//                             R is dropped, R \ C goes into the row's gone set;
//                             the value becomes live under d, unless d is in gone or cleared unseen
//   at the end                d is struck from gone sets and unfinished clears
//
// d counts as in C from its first effect on, so that no effect of an event hits a later one of the
// same event; R's dots are never added to C (a dot may speak of other rows, too), and what is
// removed unseen is never forgotten (else its late original would come back):
//
//   (1,4) SADD s x   at node 1        node 2 learns (0,9) first: gone(s,x) = {(1,4)}
//   (0,9) SREM s x   R = {(1,4)}      then (1,4): x is not live, gone is empty again
//
// The regular case changes the object table by the functions of engine_apply.cc and allocates
// nothing; whatever else comes goes through join_rows.cc. Replay is a join as well: recovery starts
// from clocks as of the checkpoint's start. A slot captured later already has some of what is
// replayed; its effects are skipped up to the slot's position, its dots count.
#include <algorithm>

#include "base/number.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

bool Removes(const Effect& effect, Dot shown, Dot dot) {
  return shown == dot ||
         std::find(effect.removed.begin(), effect.removed.end(), shown) != effect.removed.end();
}

}  // namespace

bool EngineImpl::InClock(int partition, Dot dot) const {
  const Partition& p = partitions_[partition];
  uint64_t n = DotCounter(dot);
  if (DotActor(dot) == self_ && n > p.own_floor && n <= p.own_n) return true;
  return p.clock.Contains(dot);
}

bool EngineImpl::IsOpen(int partition, Dot dot) const {
  return std::any_of(open_events_.begin(), open_events_.end(), [&](const OpenEvent& open) {
    return open.dot == dot && open.partition == partition;
  });
}

Status EngineImpl::JoinRecord(uint64_t end, std::string_view payload) {
  uint64_t hlc = 0;
  BeginJoin();
  bool swaps = false;
  auto on_effect = [&](const EventHeader& event, const Effect& effect) {
    return JoinEffect(end, hlc, event, effect);
  };
  auto on_swap = [&](uint64_t a, uint64_t b) {
    swaps = true;
    return replaying_ ? ReplaySwap(end, a, b)
                      : Corruption("another node's record exchanges databases");
  };
  Status status = ReadEvents(payload, &hlc, on_effect, on_swap);
  if (swaps) database_ns_position_ = std::max(database_ns_position_, end);
  EndJoin(hlc);
  return status;
}

void EngineImpl::BeginJoin() {
  open_events_.clear();
  touched_rows_.clear();
}

// The events are whole now.
void EngineImpl::EndJoin(uint64_t hlc) {
  hybrid_.Observe(hlc, replaying_ ? int64_t(hlc >> 16) : now_ms_);
  std::vector<OpenEvent> closed;
  bool irregular = std::any_of(open_events_.begin(), open_events_.end(), [&](const OpenEvent& e) {
    return !e.duplicate && partitions_[e.partition].irregular;
  });
  if (irregular) closed.swap(open_events_);
  open_events_.clear();
  for (const OpenEvent& e : closed) {
    if (e.duplicate || !partitions_[e.partition].irregular) continue;
    PartitionClock one;
    one.Add(e.dot);
    StrikeDots(e.partition, one);
  }
}

Status EngineImpl::JoinEffect(uint64_t end, uint64_t hlc, const EventHeader& event,
                              const Effect& effect) {
  if (event.partition >= PartitionCount() || event.ns >= namespaces_.size() ||
      DotActor(event.dot) >= identity_.actors.size()) {
    return Corruption("event of an unknown partition, database or actor");
  }
  auto open = std::find_if(open_events_.rbegin(), open_events_.rend(), [&](const OpenEvent& e) {
    return e.dot == event.dot && e.partition == event.partition;
  });
  if (open == open_events_.rend()) {
    bool duplicate = InClock(event.partition, event.dot);
    open_events_.push_back({event.partition, event.dot, duplicate});
    open = open_events_.rbegin();
    Partition& p = partitions_[event.partition];
    if (!duplicate) {
      p.clock.Add(event.dot);
      if (!replaying_) NoteClockBytes(p.clock);
    }
    if (DotActor(event.dot) == self_) p.own_n = std::max(p.own_n, DotCounter(event.dot));
  }
  if (open->duplicate) return Status::Ok();
  if (effect.kind == RowKind::kClear && effect.scope >= ClearScope::kNamespace) {
    JoinClearOfMany(end, event, effect);
    return Status::Ok();
  }
  Spot spot{event.ns, KeySlot(effect.key), 0, effect.key};
  if (PartitionOfSlot(spot.slot) != event.partition)
    return Corruption("effect outside its partition");
  last_position_[spot.slot] = end;
  SlotTable& table = MakeSlot(spot.ns, spot.slot);
  if (end <= table.captured_at) return Status::Ok();
  const IrregularIndex* index = partitions_[event.partition].irregular.get();
  if (index && index->Synced(spot.ns, spot.slot, event.dot)) {
    if (effect.kind == RowKind::kClear) return Status::Ok();
    IrregularIndex::Key key{spot.ns, spot.slot, std::string(spot.key)};
    touched_rows_.push_back({std::move(key), RowOf(effect, event.dot)});
    return Status::Ok();
  }
  spot.hash = RowTable::HashOf(effect.key, seed_, kPositionHashBits);
  Row* row = table.rows.Find(spot.hash, effect.key);
  if (!row && table.cold() > 0 && !KnownAbsent(spot.ns, effect.key) &&
      !ReplayUnseen(spot.ns, spot.slot, spot.hash, event.dot, effect, &row)) {
    Status status = LoadNow(spot.ns, effect.key, &row);
    if (!status.ok()) return status;
  }
  if (row && !row->live()) row = nullptr;
  Status ready = ReadyElement(row, event.dot, effect);
  if (!ready.ok()) return ready;
  bool irregular = index && (!index->clears.empty() || index->Find(spot.ns, spot.slot, spot.key));
  if (irregular || !JoinRegular(spot, row, hlc, event.dot, effect)) {
    JoinIrregular(spot, hlc, event.dot, effect);
  }
  return Status::Ok();
}

// Rows of the key are regular, and no unfinished clear concerns it. True when they stay so and the
// effect has been applied; false when nothing has changed.
bool EngineImpl::JoinRegular(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                             const Effect& effect) {
  int partition = PartitionOfSlot(spot.slot);
  for (Dot removed : effect.removed) {
    if (!InClock(partition, removed)) return false;
  }
  switch (effect.kind) {
    case RowKind::kBase:
    case RowKind::kImplicitBase: return JoinRegularBase(spot, row, hlc, dot, effect);
    case RowKind::kDeadline: return JoinRegularDeadline(spot, row, hlc, dot, effect);
    case RowKind::kTotal: {
      bool base_shown =
          row && row->object_type() == ObjectType::kString && row->dot == effect.base_dot;
      if (!base_shown) return IsDead(partition, effect.base_dot);
      if (row->row_form() == RowForm::kCounter) {
        CounterCell cell(row->value());
        int index = cell.IndexOf(DotActor(dot));
        if (index < 0 && cell.count() == CounterCell::kTotalsMax) return false;
        if (index >= 0 && !Removes(effect, cell.total(index).dot, dot)) return false;
      } else if (int64_t ignored;
                 row->row_form() == RowForm::kLong || !ParseInt64(row->value(), &ignored)) {
        return false;
      }
      if (!effect.has_value) return false;
      ApplyTotal(spot.ns, spot.slot, spot.hash, row, {dot, hlc, effect.number});
      return true;
    }
    case RowKind::kField:
    case RowKind::kMember:
    case RowKind::kImplicitField: return JoinRegularElement(spot, row, hlc, dot, effect);
    case RowKind::kFieldTotal: return JoinRegularFieldTotal(spot, row, hlc, dot, effect);
    case RowKind::kClear: {
      PartitionClock clock = ClockOf(partition);
      PartitionClock context = effect.context;
      context.Add(dot);
      if (effect.scope != ClearScope::kKey || !(context == clock)) return false;
      if (row) ApplyRemove(spot.ns, spot.slot, spot.hash, row);
      return true;
    }
    case RowKind::kFragment: return JoinRegularFragment(spot, row, hlc, dot, effect);
  }
  return false;
}

// A base that was seen and is not live takes what hangs on it along; so does one that is removed.
bool EngineImpl::IsDead(int partition, Dot base) const {
  return InClock(partition, base) && !IsOpen(partition, base);
}

bool EngineImpl::JoinRegularBase(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                                 const Effect& effect) {
  bool implicit = effect.kind == RowKind::kImplicitBase;
  bool is_string = row && row->object_type() == ObjectType::kString;
  bool replaces = is_string && Removes(effect, row->dot, dot);
  if (!effect.has_value && !implicit) {
    if (replaces) ApplyRemove(spot.ns, spot.slot, spot.hash, row);
    return true;
  }
  if (row && !replaces) return false;
  size_t size = implicit ? CounterCell::SizeFor(0) : effect.value.size();
  row = ApplyValue(spot.ns, spot.slot, spot.hash, effect.key, row, ObjectType::kString,
                   implicit ? RowForm::kCounter : RowForm::kPlain, size, false);
  if (implicit) {
    CounterCell(row->value_data()).Init(0);
    row->flags |= Row::kImplicit;
  } else {
    std::copy(effect.value.begin(), effect.value.end(), row->value_data());
  }
  row->dot = dot;
  row->hlc = hlc;
  return true;
}

bool EngineImpl::JoinRegularDeadline(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                                     const Effect& effect) {
  bool is_string = row && row->object_type() == ObjectType::kString;
  bool shown = effect.base_dot ? is_string && row->dot == effect.base_dot : row && !is_string;
  if (!shown) {
    if (effect.base_dot && IsDead(PartitionOfSlot(spot.slot), effect.base_dot)) return true;
    return !effect.has_value;
  }
  bool had = row->Has(Row::kHasDeadline);
  bool replaces = had && Removes(effect, row->deadline().dot, dot);
  if (!effect.has_value) {
    if (replaces) ApplyNoDeadline(spot.ns, spot.slot, spot.hash, row);
    return true;
  }
  if (had && !replaces) return false;
  ApplyDeadline(spot.ns, spot.slot, spot.hash, row, {effect.number, dot, hlc});
  return true;
}

bool EngineImpl::JoinRegularElement(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                                    const Effect& effect) {
  ObjectType type = effect.kind == RowKind::kMember ? ObjectType::kSet : ObjectType::kHash;
  bool implicit = effect.kind == RowKind::kImplicitField;
  bool adds = effect.has_value || implicit;
  if (row && row->object_type() != type) return !adds;
  Collection::Element old{};
  bool found = row && FindElement(row, effect.element, &old);
  bool replaces = found && Removes(effect, old.dot, dot);
  if (!adds) {
    if (!replaces) return true;
    // The deadline of a collection outlives its last element until an effect removes it.
    if (row->collection()->size() == 1 && row->Has(Row::kHasDeadline)) return false;
    ApplyRemoveElement(spot.ns, spot.slot, spot.hash, row, effect.element);
    return true;
  }
  if (found && !replaces) return false;
  char cell[CounterCell::kHeader] = {};
  CounterCell(cell).set_implicit(true);
  std::string_view value = implicit ? std::string_view(cell, sizeof cell) : effect.value;
  bool is_new;
  ApplyElement(spot.ns, spot.slot, spot.hash, effect.key, row, type, effect.element, value,
               implicit, dot, hlc, &is_new);
  return true;
}

bool EngineImpl::JoinRegularFieldTotal(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                                       const Effect& effect) {
  Collection::Element field{};
  bool shown = row && row->object_type() == ObjectType::kHash &&
               FindElement(row, effect.element, &field) && field.dot == effect.base_dot;
  if (!shown) return IsDead(PartitionOfSlot(spot.slot), effect.base_dot);
  if (!effect.has_value) return false;
  if (field.counter) {
    CounterCell cell(field.value);
    int index = cell.IndexOf(DotActor(dot));
    if (index < 0 && cell.count() == CounterCell::kTotalsMax) return false;
    if (index >= 0 && !Removes(effect, cell.total(index).dot, dot)) return false;
  } else if (int64_t ignored; !ParseInt64(field.value, &ignored)) {
    return false;
  }
  std::string cell = CounterCellWith(field, {dot, hlc, effect.number});
  bool is_new;
  ApplyElement(spot.ns, spot.slot, spot.hash, row->key(), row, ObjectType::kHash, effect.element,
               cell, true, field.dot, field.hlc, &is_new);
  return true;
}

}  // namespace redynamo
