// SPDX-License-Identifier: Apache-2.0
#include "storage/dot_index.h"

#include <algorithm>

namespace redynamo {
namespace {

constexpr uint64_t kDotBytes = 48;   // of memory, beside the entry's rows
constexpr uint64_t kRowBytes = 112;  // likewise, beside its place

uint64_t ClearBytes(const OwedClear& clear) {
  return sizeof clear + clear.key.size() + 64 * clear.context.actors().size();
}

void PutIntervals(const IntervalSet& set, std::string* out) {
  PutVarint(out, set.intervals().size());
  for (const auto& interval : set.intervals()) {
    PutVarint(out, interval.first);
    PutVarint(out, interval.last - interval.first);
  }
}

bool ReadIntervals(ByteReader* in, IntervalSet* set) {
  uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count && in->ok(); i++) {
    uint64_t first = in->Varint(), length = in->Varint();
    if (first + length < first || first + length == UINT64_MAX) return false;
    set->AddRange(first, first + length);
  }
  return in->ok();
}

}  // namespace

std::string PlaceOfRow(uint16_t ns, std::string_view key, const RowId& id) {
  std::string out;
  out.reserve(key.size() + id.element.size() + 16);
  PutFixed16(&out, ns);
  out.push_back(char(id.kind));
  PutLengthPrefixed(&out, key);
  if (id.base != 0 || id.actor != 0 || !id.element.empty()) {
    PutVarint(&out, id.base);
    PutVarint(&out, id.actor);
    out += id.element;
  }
  return out;
}

bool ReadPlace(std::string_view place, uint16_t* ns, std::string_view* key, RowId* id) {
  ByteReader in(place);
  *ns = in.Fixed16();
  *id = {};
  id->kind = RowKind(in.Byte());
  *key = in.LengthPrefixed();
  if (in.empty()) return in.ok();
  id->base = in.Varint();
  uint64_t actor = in.Varint();
  id->actor = uint16_t(actor);
  id->element = std::string(in.rest());
  return in.ok() && actor <= 0xffff;
}

void DotIndex::Add(const EventEffects& event) {
  Entry* entry = AddDot(event.dot, event.crc);
  if (!entry) return;
  for (const auto& [ns, effect] : event.effects) {
    if (effect.kind == RowKind::kClear) {
      // Of dots before this event: so it may be done again after what the event has added.
      PartitionClock own;
      own.Add(event.dot);
      AddClear(entry, {effect.scope, effect.cleared_kind, ns, std::string(effect.key),
                       effect.context.Minus(own)});
      continue;
    }
    OwedRow* row = AddRow(entry, PlaceOfRow(ns, effect.key, RowOf(effect, event.dot)));
    for (Dot removed : effect.removed) {
      if (removed != event.dot) row->removed.Add(removed);
    }
  }
}

DotIndex::Entry* DotIndex::AddDot(Dot dot, uint32_t crc) {
  auto [it, is_new] = dots_.try_emplace(dot);
  if (!is_new) return nullptr;
  it->second.crc = crc;
  bytes_ += kDotBytes;
  return &it->second;
}

DotIndex::OwedRow* DotIndex::AddRow(Entry* entry, std::string_view place) {
  auto it = rows_.find(place);
  OwedRow* row;
  if (it == rows_.end()) {
    auto made = std::make_unique<OwedRow>();
    row = made.get();
    row->place = place;
    rows_.emplace(row->place, std::move(made));
    bytes_ += kRowBytes + row->place.size();
  } else {
    row = it->second.get();
  }
  if (std::find(entry->rows.begin(), entry->rows.end(), row) != entry->rows.end()) return row;
  entry->rows.push_back(row);
  if (entry->rows.size() > 1) bytes_ += sizeof row;
  row->refs++;
  return row;
}

void DotIndex::AddClear(Entry* entry, OwedClear clear) {
  if (!entry->clears) entry->clears = std::make_unique<std::vector<OwedClear>>();
  bytes_ += ClearBytes(clear);
  entry->clears->push_back(std::move(clear));
}

const DotIndex::Entry* DotIndex::Find(Dot dot) const {
  auto it = dots_.find(dot);
  return it == dots_.end() ? nullptr : &it->second;
}

DotIndex::Dots::iterator DotIndex::Erase(Dots::iterator it) {
  Entry& entry = it->second;
  bytes_ -= kDotBytes;
  if (entry.rows.size() > 1) bytes_ -= sizeof(OwedRow*) * (entry.rows.size() - 1);
  for (OwedRow* row : entry.rows) {
    if (--row->refs > 0) continue;
    bytes_ -= kRowBytes + row->place.size();
    auto node = rows_.find(row->place);
    std::unique_ptr<OwedRow> alive = std::move(node->second);  // the key is a view of it
    rows_.erase(node);
  }
  if (entry.clears) {
    for (const OwedClear& clear : *entry.clears) bytes_ -= ClearBytes(clear);
  }
  return dots_.erase(it);
}

void DotIndex::Forget(const PartitionClock& clock) {
  for (const auto& [actor, set] : clock.actors()) {
    for (const auto& interval : set.intervals()) {
      auto it = dots_.lower_bound(MakeDot(actor, interval.first));
      Dot last = MakeDot(actor, interval.last);
      while (it != dots_.end() && it->first <= last) it = Erase(it);
    }
  }
}

void DotIndex::DropOldHalf() {
  for (auto it = dots_.begin(); it != dots_.end();) {
    Dot last = MakeDot(DotActor(it->first), (1ull << kDotCounterBits) - 1);
    auto of_actor = std::distance(it, dots_.upper_bound(last));
    for (auto i = 0; i < (of_actor + 1) / 2; i++) it = Erase(it);
    it = dots_.upper_bound(last);
  }
}

void DotIndex::EncodeTo(std::string* out) const {
  absl::flat_hash_map<const OwedRow*, uint64_t> numbers;
  std::string rows;
  for (const auto& [place, row] : rows_) {
    numbers.emplace(row.get(), numbers.size());
    PutLengthPrefixed(&rows, row->place);
    PutIntervals(row->removed, &rows);
  }
  PutVarint(out, rows_.size());
  *out += rows;
  PutVarint(out, dots_.size());
  for (const auto& [dot, entry] : dots_) {
    PutDot(out, dot);
    PutFixed32(out, entry.crc);
    PutVarint(out, entry.rows.size());
    for (const OwedRow* row : entry.rows) PutVarint(out, numbers.at(row));
    PutVarint(out, entry.clears ? entry.clears->size() : 0);
    if (!entry.clears) continue;
    for (const OwedClear& clear : *entry.clears) {
      out->push_back(char(clear.scope));
      out->push_back(char(clear.cleared_kind));
      PutVarint(out, clear.ns);
      PutLengthPrefixed(out, clear.key);
      clear.context.EncodeTo(out);
    }
  }
}

bool DotIndex::Decode(ByteReader* in, DotIndex* out) {
  uint64_t row_count = in->Varint();
  std::vector<std::pair<std::string_view, IntervalSet>> rows;
  for (uint64_t i = 0; i < row_count && in->ok(); i++) {
    auto& [place, removed] = rows.emplace_back();
    place = in->LengthPrefixed();
    uint16_t ns;
    std::string_view key;
    RowId id;
    if (!ReadIntervals(in, &removed) || !ReadPlace(place, &ns, &key, &id)) return false;
  }
  uint64_t dot_count = in->Varint();
  for (uint64_t i = 0; i < dot_count && in->ok(); i++) {
    uint64_t actor = in->Varint(), n = in->Varint();
    uint32_t crc = in->Fixed32();
    if (!in->ok() || actor > 0xffff || n == 0 || n >> kDotCounterBits) return false;
    Entry* entry = out->AddDot(MakeDot(uint16_t(actor), n), crc);
    uint64_t refs = in->Varint();
    if (!entry) return false;
    for (uint64_t r = 0; r < refs && in->ok(); r++) {
      uint64_t number = in->Varint();
      if (number >= rows.size()) return false;
      OwedRow* row = out->AddRow(entry, rows[number].first);
      if (row->refs == 1) row->removed = rows[number].second;
    }
    uint64_t clears = in->Varint();
    for (uint64_t c = 0; c < clears && in->ok(); c++) {
      OwedClear clear;
      uint8_t scope = in->Byte();
      clear.cleared_kind = RowKind(in->Byte());
      uint64_t ns = in->Varint();
      clear.key = in->LengthPrefixed();
      if (scope > uint8_t(ClearScope::kPartition) || ns > 0xffff) return false;
      clear.scope = ClearScope(scope);
      clear.ns = uint16_t(ns);
      if (!PartitionClock::Decode(in, &clear.context)) return false;
      out->AddClear(entry, std::move(clear));
    }
  }
  return in->ok();
}

}  // namespace redynamo
