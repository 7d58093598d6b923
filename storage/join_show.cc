// SPDX-License-Identifier: Apache-2.0
// What a key's rows show: the kind, base, field or deadline that wins, by (stamp, actor's 128-bit
// id), the same on every replica. A string shows its winning base, that base's latest deadline, and
// its totals together with those of all implicit bases. Bases, fields and members make a kind; what
// hangs on them does not. Rows that the table then says exactly leave the index.
#include <algorithm>

#include "base/number.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

struct Stamp {
  Dot dot = 0;
  uint64_t hlc = 0;
};

// The rows of a field or string that count together, and what they come to.
struct Shown {
  bool regular = true;  // the table can say all of it
  bool counts = false;  // shown as a number
  int64_t sum = 0;      // of the totals that count
  std::vector<CounterTotal> totals;
};

struct ShownFragment {
  uint32_t index;
  Dot dot;
  const RowVersion* version;
};

std::string CellOf(const Shown& shown, bool implicit, int64_t base) {
  bool exact = shown.regular;
  std::string bytes(CounterCell::SizeFor(exact ? int(shown.totals.size()) : 0), '\0');
  CounterCell cell(bytes.data());
  cell.Init(exact ? base : int64_t(uint64_t(base) + uint64_t(shown.sum)));
  cell.set_implicit(implicit);
  if (!exact) return bytes;
  cell.set_count(int(shown.totals.size()));
  for (size_t i = 0; i < shown.totals.size(); i++) cell.set_total(int(i), shown.totals[i]);
  return bytes;
}

}  // namespace

// Live dots come unseen with rows of a batch or a read repair: until their event has come, too, a
// clear by clock would not reach them.
bool EngineImpl::Regular(int partition, const RowState& state) const {
  return state.live.size() <= 1 && state.gone.empty() &&
         (state.live.empty() || InClock(partition, state.live.begin()->first));
}

bool EngineImpl::Newer(Dot a, uint64_t a_hlc, Dot b, uint64_t b_hlc) const {
  if (a_hlc != b_hlc) return a_hlc > b_hlc;
  uint16_t x = DotActor(a), y = DotActor(b);
  if (x == y) return DotCounter(a) > DotCounter(b);
  // Decoders have seen to it that the actors are known; bytes of an older disk might not.
  if (x >= identity_.actors.size() || y >= identity_.actors.size()) return x > y;
  return identity_.actors[x] > identity_.actors[y];
}

const std::pair<const Dot, RowVersion>* EngineImpl::Winner(const RowState& state) const {
  const std::pair<const Dot, RowVersion>* best = nullptr;
  for (const auto& version : state.live) {
    if (!best || Newer(version.first, version.second.hlc, best->first, best->second.hlc)) {
      best = &version;
    }
  }
  return best;
}

ObjectType EngineImpl::ShownKind(const Row* row, const KeyRows& held) const {
  static constexpr std::pair<RowKind, ObjectType> kKinds[] = {{RowKind::kBase, ObjectType::kString},
                                                              {RowKind::kField, ObjectType::kHash},
                                                              {RowKind::kMember, ObjectType::kSet}};
  ObjectType current = row ? row->object_type() : ObjectType::kNone;
  ObjectType best = ObjectType::kNone;
  Stamp newest;
  auto consider = [&](ObjectType type, Dot dot, uint64_t hlc) {
    if (best != ObjectType::kNone && !Newer(dot, hlc, newest.dot, newest.hlc)) return;
    best = type;
    newest = {dot, hlc};
  };
  for (auto [kind, type] : kKinds) {
    for (auto it = held.rows.lower_bound({kind, {}, 0, 0});
         it != held.rows.end() && it->first.kind == kind; ++it) {
      if (const auto* winner = Winner(it->second))
        consider(type, winner->first, winner->second.hlc);
    }
  }
  if (!row || row->row_form() != RowForm::kCollection) return best;
  if (best == ObjectType::kNone || best == current) {
    bool others = false;
    for (const auto& [id, state] : held.rows) {
      for (auto [kind, type] : kKinds) {
        others |= id.kind == kind && type != current && !state.live.empty();
      }
    }
    if (!others) return current;
  }
  RowKind kind = current == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
  Whole(row)->ForEach([&](const Collection::Element& e) {
    if (!held.HoldsElement(kind, e.key)) consider(current, e.dot, e.hlc);
    return true;
  });
  return best;
}

// What hangs on a base that is seen and not live is dead: a pure function of rows and clock.
void EngineImpl::DropDead(int partition, KeyRows* held, const RowId* only) const {
  auto base_lives = [&](const RowId& id) {
    auto it = held->rows.find(BaseOf(id));
    return it != held->rows.end() && it->second.live.contains(id.base);
  };
  auto it = only ? held->rows.lower_bound({RowKind::kFieldTotal, only->element, 0, 0})
                 : held->rows.begin();
  for (; it != held->rows.end(); ++it) {
    const RowId& id = it->first;
    if (only && (id.kind != RowKind::kFieldTotal || id.element != only->element)) break;
    if (id.base == 0 || it->second.live.empty()) continue;
    if (!base_lives(id) && IsDead(partition, id.base)) it->second.live.clear();
  }
}

void EngineImpl::Show(const Spot& spot, KeyRows* held, const RowId* only) {
  Row* row = FindLive(spot);
  PullFor(row, RowKind::kBase, {}, held);  // a regular string competes with the kinds held here
  DropDead(PartitionOfSlot(spot.slot), held, only);
  ObjectType kind = ShownKind(row, *held);
  ObjectType current = row ? row->object_type() : ObjectType::kNone;
  if (row && row->row_form() == RowForm::kCollection && kind != current) {
    PullAll(row, held);
    ApplyRemove(spot.ns, spot.slot, spot.hash, row);
    row = nullptr;
  }
  if (kind == ObjectType::kNone) {
    if (row) ApplyRemove(spot.ns, spot.slot, spot.hash, row);
  } else if (kind == ObjectType::kString) {
    ShowString(spot, held);
  } else {
    ShowElements(spot, kind, held, kind == current ? only : nullptr);
    ShowCollectionDeadline(spot, held);
  }
  std::erase_if(held->rows, [](const auto& row) { return row.second.empty(); });
}

void EngineImpl::ShowString(const Spot& spot, KeyRows* held) {
  const RowState& bases = held->rows[{RowKind::kBase, {}, 0, 0}];
  const auto* winner = Winner(bases);
  Dot base_dot = winner->first;
  const RowVersion& base = winner->second;
  Shown shown{Regular(PartitionOfSlot(spot.slot), bases), base.implicit, 0, {}};
  const std::pair<const Dot, RowVersion>* deadline = nullptr;
  auto string_row = [](const RowId& id) {
    return id.kind == RowKind::kBase || id.kind == RowKind::kTotal ||
           (id.kind == RowKind::kDeadline && id.base != 0);
  };
  std::vector<ShownFragment> fragments;
  for (const auto& [id, state] : held->rows) {
    if (id.kind == RowKind::kFragment && id.base == base_dot) {
      shown.regular &= Regular(PartitionOfSlot(spot.slot), state);
      if (const auto* version = Winner(state)) {
        fragments.push_back({FragmentIndex(id), version->first, &version->second});
      }
    }
    if (!string_row(id) || id.kind == RowKind::kBase || state.empty()) continue;
    shown.regular &= id.base == base_dot && Regular(PartitionOfSlot(spot.slot), state);
    const auto* version = Winner(state);
    if (!version) continue;
    if (id.kind == RowKind::kTotal) {
      auto hangs_on = bases.live.find(id.base);
      bool implicit = hangs_on != bases.live.end() && hangs_on->second.implicit;
      if (id.base != base_dot && !implicit) continue;
      shown.counts = true;
      shown.sum = int64_t(uint64_t(shown.sum) + uint64_t(version->second.number));
      shown.totals.push_back({version->first, version->second.hlc, version->second.number});
    } else if (id.base == base_dot) {
      for (const auto& candidate : state.live) {
        if (!deadline || candidate.second.number > deadline->second.number) deadline = &candidate;
      }
    }
  }
  shown.regular &= shown.totals.size() <= size_t(CounterCell::kTotalsMax);
  int64_t number = 0;
  if (shown.counts &&
      (!fragments.empty() || (!base.implicit && !ParseInt64(base.value, &number)))) {
    shown.counts = false;  // increments beside a text: of an implicit base, or of one since changed
    shown.regular &= shown.totals.empty();
  }
  std::string cell = shown.counts ? CellOf(shown, base.implicit, number) : std::string();
  Row* row = FindLive(spot);
  bool raw = row && row->Has(Row::kRaw) && row->dot == base_dot;
  row = ShowValue(spot, shown.counts ? RowForm::kCounter : RowForm::kPlain,
                  shown.counts ? cell : base.value);
  row->dot = base_dot;
  row->hlc = base.hlc;
  for (const ShownFragment& f : fragments) {
    row = ApplyFragment(spot, row, f.index, f.version->value, f.dot, f.version->hlc);
  }
  if (raw) row->flags |= Row::kRaw;
  if (base.implicit) row->flags |= Row::kImplicit;
  if (deadline) {
    ApplyDeadline(spot.ns, spot.slot, spot.hash, row,
                  {deadline->second.number, deadline->first, deadline->second.hlc});
  }
  if (!shown.regular) return;
  std::erase_if(held->rows, [&](const auto& r) {  // fragments of a base yet to come stay
    const RowId& id = r.first;
    return string_row(id) || (id.kind == RowKind::kFragment && id.base == base_dot);
  });
}

Row* EngineImpl::ShowValue(const Spot& spot, RowForm form, std::string_view value) {
  Row* row = ApplyValue(spot.ns, spot.slot, spot.hash, spot.key, FindLive(spot),
                        ObjectType::kString, form, value.size(), false);
  std::copy(value.begin(), value.end(), row->value_data());
  return row;
}

void EngineImpl::ShowElements(const Spot& spot, ObjectType type, KeyRows* held, const RowId* only) {
  std::set<std::string> names;
  if (only) {  // what has left the index is shown already
    RowKind kind = type == ObjectType::kSet ? RowKind::kMember : RowKind::kField;
    if (held->HoldsElement(kind, only->element)) names.insert(only->element);
  } else {
    for (const auto& [id, state] : held->rows) {
      bool of_hash = id.kind == RowKind::kField || id.kind == RowKind::kFieldTotal;
      if (type == ObjectType::kSet ? id.kind == RowKind::kMember : of_hash)
        names.insert(id.element);
    }
  }
  // What stays or comes first, then what goes: the collection must not vanish in between.
  std::vector<const std::string*> absent;
  for (const std::string& name : names) {
    bool there =
        type == ObjectType::kSet ? ShowMember(spot, name, held) : ShowField(spot, name, held);
    if (!there) absent.push_back(&name);
  }
  for (const std::string* name : absent) {
    Row* row = FindLive(spot);
    if (row) ApplyRemoveElement(spot.ns, spot.slot, spot.hash, row, *name);
  }
}

bool EngineImpl::ShowMember(const Spot& spot, const std::string& member, KeyRows* held) {
  auto it = held->rows.find({RowKind::kMember, member, 0, 0});
  const auto* winner = it == held->rows.end() ? nullptr : Winner(it->second);
  if (!winner) return false;
  bool is_new;
  ApplyElement(spot.ns, spot.slot, spot.hash, spot.key, FindLive(spot), ObjectType::kSet, member,
               {}, false, winner->first, winner->second.hlc, &is_new);
  if (Regular(PartitionOfSlot(spot.slot), it->second)) held->rows.erase(it);
  return true;
}

bool EngineImpl::ShowField(const Spot& spot, const std::string& field, KeyRows* held) {
  auto it = held->rows.find({RowKind::kField, field, 0, 0});
  const auto* winner = it == held->rows.end() ? nullptr : Winner(it->second);
  if (!winner) return false;
  const RowState& bases = it->second;
  const RowVersion& base = winner->second;
  Shown shown{Regular(PartitionOfSlot(spot.slot), bases), base.implicit, 0, {}};
  auto first_total = held->rows.lower_bound({RowKind::kFieldTotal, field, 0, 0});
  auto total = first_total;
  for (; total != held->rows.end() && total->first.kind == RowKind::kFieldTotal &&
         total->first.element == field;
       ++total) {
    const RowState& state = total->second;
    if (state.empty()) continue;
    shown.regular &=
        total->first.base == winner->first && Regular(PartitionOfSlot(spot.slot), state);
    const auto* version = Winner(state);
    if (!version) continue;
    auto hangs_on = bases.live.find(total->first.base);
    bool implicit = hangs_on != bases.live.end() && hangs_on->second.implicit;
    if (total->first.base != winner->first && !implicit) continue;
    shown.counts = true;
    shown.sum = int64_t(uint64_t(shown.sum) + uint64_t(version->second.number));
    shown.totals.push_back({version->first, version->second.hlc, version->second.number});
  }
  shown.regular &= shown.totals.size() <= size_t(CounterCell::kTotalsMax);
  int64_t number = 0;
  if (shown.counts && !base.implicit && !ParseInt64(base.value, &number)) {
    shown.counts = false;
    shown.regular &= shown.totals.empty();
  }
  std::string value = shown.counts ? CellOf(shown, base.implicit, number) : base.value;
  bool is_new;
  ApplyElement(spot.ns, spot.slot, spot.hash, spot.key, FindLive(spot), ObjectType::kHash, field,
               value, shown.counts, winner->first, base.hlc, &is_new);
  if (shown.regular) {
    held->rows.erase(first_total, total);
    held->rows.erase(it);
  }
  return true;
}

// The latest of the live ones counts.
void EngineImpl::ShowCollectionDeadline(const Spot& spot, KeyRows* held) {
  auto it = held->rows.find({RowKind::kDeadline, {}, 0, 0});
  Row* row = FindLive(spot);
  if (it == held->rows.end() || !row) return;
  const std::pair<const Dot, RowVersion>* latest = nullptr;
  for (const auto& candidate : it->second.live) {
    if (!latest || candidate.second.number > latest->second.number) latest = &candidate;
  }
  if (latest) {
    ApplyDeadline(spot.ns, spot.slot, spot.hash, row,
                  {latest->second.number, latest->first, latest->second.hlc});
  } else {
    ApplyNoDeadline(spot.ns, spot.slot, spot.hash, row);
  }
  if (Regular(PartitionOfSlot(spot.slot), it->second)) held->rows.erase(it);
}

}  // namespace redynamo
