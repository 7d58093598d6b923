// SPDX-License-Identifier: Apache-2.0
#include "storage/irregular.h"

#include <algorithm>

#include "base/hash.h"

namespace redynamo {
namespace {

constexpr uint64_t kDotCounterEnd = 1ull << kDotCounterBits;

bool ReadDot(ByteReader* in, Dot* dot) {
  uint64_t actor = in->Varint();
  uint64_t n = in->Varint();
  if (!in->ok() || actor > 0xffff || n >= kDotCounterEnd) return false;
  *dot = MakeDot(uint16_t(actor), n);
  return true;
}

void EncodeRow(const RowId& id, const RowState& state, std::string* out) {
  out->push_back(char(id.kind));
  PutLengthPrefixed(out, id.element);
  PutDot(out, id.base);
  PutVarint(out, id.actor);
  PutVarint(out, state.live.size());
  for (const auto& [dot, version] : state.live) {
    PutDot(out, dot);
    PutVarint(out, version.hlc);
    out->push_back(char(version.implicit));
    PutLengthPrefixed(out, version.value);
    PutVarint(out, ZigZag(version.number));
  }
  PutVarint(out, state.gone.size());
  for (Dot dot : state.gone) PutDot(out, dot);
}

bool DecodeRow(ByteReader* in, RowId* id, RowState* state) {
  id->kind = RowKind(in->Byte());
  id->element = in->LengthPrefixed();
  if (!ReadDot(in, &id->base)) return false;
  uint64_t actor = in->Varint();
  if (actor > 0xffff) return false;
  id->actor = uint16_t(actor);
  uint64_t live = in->Varint();
  for (uint64_t i = 0; i < live; i++) {
    Dot dot;
    if (!ReadDot(in, &dot)) return false;
    RowVersion version;
    version.hlc = in->Varint();
    version.implicit = in->Byte() != 0;
    version.value = in->LengthPrefixed();
    version.number = UnZigZag(in->Varint());
    state->live.emplace(dot, std::move(version));
  }
  uint64_t gone = in->Varint();
  for (uint64_t i = 0; i < gone; i++) {
    Dot dot;
    if (!ReadDot(in, &dot)) return false;
    state->gone.insert(dot);
  }
  switch (id->kind) {
    case RowKind::kBase:
    case RowKind::kDeadline:
    case RowKind::kTotal:
    case RowKind::kField:
    case RowKind::kFieldTotal:
    case RowKind::kMember: return in->ok();
    case RowKind::kFragment:
      return in->ok() && id->element.size() == 4 && FragmentIndex(*id) < kFragmentsMax &&
             std::all_of(state->live.begin(), state->live.end(), [](const auto& version) {
               size_t size = version.second.value.size();
               return size > 0 && size <= kFragmentBytes;
             });
    default: return false;
  }
}

}  // namespace

RowId RowOf(const Effect& effect, Dot dot) {
  switch (effect.kind) {
    case RowKind::kImplicitBase: return {RowKind::kBase, {}, 0, 0};
    case RowKind::kImplicitField: return {RowKind::kField, std::string(effect.element), 0, 0};
    case RowKind::kTotal:
    case RowKind::kFieldTotal:
      return {effect.kind, std::string(effect.element), effect.base_dot, DotActor(dot)};
    case RowKind::kFragment: return FragmentRow(effect.base_dot, effect.index);
    default: return {effect.kind, std::string(effect.element), effect.base_dot, 0};
  }
}

RowId BaseOf(const RowId& id) {
  if (id.kind == RowKind::kFieldTotal) return {RowKind::kField, id.element, 0, 0};
  return {RowKind::kBase, {}, 0, 0};
}

RowId FragmentRow(Dot base, uint32_t index) {
  RowId id{RowKind::kFragment, {}, base, 0};
  PutBig(&id.element, index, 4);
  return id;
}

uint32_t FragmentIndex(const RowId& id) { return uint32_t(ByteReader(id.element).Big(4)); }

void AddUnfinished(UnfinishedClear clear, std::vector<UnfinishedClear>* clears) {
  for (UnfinishedClear& other : *clears) {
    if (other.scope != clear.scope || other.ns != clear.ns || other.slot != clear.slot) continue;
    if (other.cleared_kind == clear.cleared_kind) return other.rest.Join(clear.rest);
  }
  clears->push_back(std::move(clear));
}

bool InScope(ClearScope scope, RowKind cleared_kind, const RowId& id) {
  if (scope != ClearScope::kKeyKind) return true;
  switch (cleared_kind) {
    case RowKind::kBase:
    case RowKind::kImplicitBase:
      return id.kind == RowKind::kBase || id.kind == RowKind::kTotal ||
             id.kind == RowKind::kFragment || (id.kind == RowKind::kDeadline && id.base != 0);
    case RowKind::kField:
    case RowKind::kImplicitField:
      return id.kind == RowKind::kField || id.kind == RowKind::kFieldTotal;
    default: return id.kind == cleared_kind;
  }
}

bool KeyRows::HoldsString() const {
  // Rows are in order of kind: base, deadlines (of a collection first), totals, fragments (which
  // may be here alone), then elements.
  for (const auto& [id, state] : rows) {
    if (id.kind > RowKind::kTotal) return false;
    if (id.kind != RowKind::kDeadline || id.base != 0) return true;
  }
  return false;
}

bool KeyRows::HoldsElement(RowKind kind, std::string_view element) const {
  if (rows.contains({kind, std::string(element), 0, 0})) return true;
  if (kind != RowKind::kField) return false;
  auto total = rows.lower_bound({RowKind::kFieldTotal, std::string(element), 0, 0});
  return total != rows.end() && total->first.kind == RowKind::kFieldTotal &&
         total->first.element == element;
}

bool IrregularIndex::Synced(uint16_t ns, uint16_t slot, Dot dot) const {
  return std::any_of(clears.begin(), clears.end(), [&](const UnfinishedClear& clear) {
    return clear.scope == ClearScope::kSlotSync && clear.ns == ns && clear.slot == slot &&
           clear.rest.Contains(dot);
  });
}

const KeyRows* IrregularIndex::Find(uint16_t ns, uint16_t slot, std::string_view key) const {
  auto it = keys.find({ns, slot, std::string(key)});
  return it == keys.end() ? nullptr : &it->second;
}

void EncodeClears(const std::vector<UnfinishedClear>& clears, std::string* out) {
  PutVarint(out, clears.size());
  for (const UnfinishedClear& clear : clears) {
    out->push_back(char(clear.scope));
    PutVarint(out, clear.ns);
    out->push_back(char(clear.cleared_kind));
    clear.rest.EncodeTo(out);
    if (clear.scope == ClearScope::kSlotSync) PutVarint(out, clear.slot);
  }
}

void EncodeKeyRows(const IrregularIndex::Key& key, const KeyRows& rows, std::string* out) {
  PutVarint(out, key.ns);
  PutVarint(out, key.slot);
  PutLengthPrefixed(out, key.key);
  EncodeClears(rows.clears, out);
  PutVarint(out, rows.rows.size());
  for (const auto& [id, state] : rows.rows) EncodeRow(id, state, out);
}

bool DecodeClears(ByteReader* in, std::vector<UnfinishedClear>* out) {
  uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count; i++) {
    UnfinishedClear clear;
    uint8_t scope = in->Byte();
    uint64_t ns = in->Varint();
    clear.cleared_kind = RowKind(in->Byte());
    if (scope > uint8_t(ClearScope::kSlotSync) || ns > 0xffff) return false;
    clear.scope = ClearScope(scope);
    clear.ns = uint16_t(ns);
    if (!PartitionClock::Decode(in, &clear.rest)) return false;
    uint64_t slot = clear.scope == ClearScope::kSlotSync ? in->Varint() : 0;
    if (slot >= uint64_t(kSlotCount)) return false;
    clear.slot = uint16_t(slot);
    out->push_back(std::move(clear));
  }
  return in->ok();
}

bool DecodeKeyRows(ByteReader* in, IrregularIndex::Key* key, KeyRows* rows) {
  uint64_t ns = in->Varint();
  uint64_t slot = in->Varint();
  if (ns > 0xffff || slot >= uint64_t(kSlotCount)) return false;
  key->ns = uint16_t(ns);
  key->slot = uint16_t(slot);
  key->key = in->LengthPrefixed();
  if (!DecodeClears(in, &rows->clears)) return false;
  uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count; i++) {
    RowId id;
    RowState state;
    if (!DecodeRow(in, &id, &state)) return false;
    rows->rows.emplace(std::move(id), std::move(state));
  }
  return in->ok();
}

}  // namespace redynamo
