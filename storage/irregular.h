// SPDX-License-Identifier: Apache-2.0
// The irregular index of a partition (REPLICATION.md section 2): the full state of those rows that
// the object table cannot say.
//
// The table shows, per row, one version: what a client reads. A row is *regular* when that is all
// there is: one live version, which the clock has seen, nothing known removed that was not yet seen
// (gone empty), its kind the shown one, its base the shown one. Whatever else is *irregular*, and
// then the row stands here with all its live versions and its gone dots, while the table goes on
// showing the winner:
//
//   two nodes wrote k at the same time      table  k = "b"
//                                           index  k: base {(0,7): "a", (1,4): "b"}
//   one of them writes k again, having      table  k = "c", index empty
//   seen both: R = {(0,7), (1,4)}
//
// Groups of rows change between table and index as a whole, so that no row is split between the
// two: all rows of the key's string (base, deadlines, totals, fragments); a fragment of a regular
// base (join_fragments.cc); a field with its totals; a member. Normally the index is empty: then a
// partition has none.
#pragma once

#include <compare>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "storage/delta.h"
#include "storage/version.h"

namespace redynamo {

// A row within its key. Implicit bases and fields are versions of the rows kBase and kField.
struct RowId {
  RowKind kind = RowKind::kBase;
  std::string element;  // kField, kFieldTotal, kMember; kFragment: its index, 4 bytes, big-endian
  Dot base = 0;         // kDeadline, kTotal, kFragment, kFieldTotal
  uint16_t actor = 0;   // kTotal, kFieldTotal: whose total
  auto operator<=>(const RowId&) const = default;
};

// Which row of its key an effect of an event of `dot` is about. REQUIRES: not a clear.
RowId RowOf(const Effect& effect, Dot dot);
// The row of the base that the row hangs on. REQUIRES: id.base is a dot.
RowId BaseOf(const RowId& id);
RowId FragmentRow(Dot base, uint32_t index);
uint32_t FragmentIndex(const RowId& id);

struct RowVersion {
  uint64_t hlc = 0;
  bool implicit = false;
  std::string value;   // kBase, kFragment, kField
  int64_t number = 0;  // kDeadline: ms; totals: the total
  bool operator==(const RowVersion&) const = default;
};

struct RowState {
  std::map<Dot, RowVersion> live;
  std::set<Dot> gone;  // removed, and not yet in the clock
  bool empty() const { return live.empty() && gone.empty(); }
  bool operator==(const RowState&) const = default;
};

// What a clear has removed unseen: adds of these dots will not live.
struct UnfinishedClear {
  ClearScope scope = ClearScope::kKey;
  uint16_t ns = 0;                        // kNamespace
  RowKind cleared_kind = RowKind::kBase;  // kKeyKind
  PartitionClock rest;
  uint16_t slot = 0;  // kSlotSync
};

// One entry for each scope, so that replicas that know the same have the same.
void AddUnfinished(UnfinishedClear clear, std::vector<UnfinishedClear>* clears);

// Whether a clear of this scope is about the row (of its key).
bool InScope(ClearScope scope, RowKind cleared_kind, const RowId& id);

struct KeyRows {
  std::map<RowId, RowState> rows;
  std::vector<UnfinishedClear> clears;  // of the key, or of one of its kinds
  bool empty() const { return rows.empty() && clears.empty(); }
  bool HoldsString() const;
  bool HoldsElement(RowKind kind, std::string_view element) const;
};

struct IrregularIndex {
  struct Key {
    uint16_t ns = 0;
    uint16_t slot = 0;
    std::string key;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, KeyRows> keys;
  std::set<Key> clearing;               // keys whose KeyRows have clears
  std::vector<UnfinishedClear> clears;  // of a namespace or the whole partition
  bool empty() const { return keys.empty() && clears.empty(); }
  // What the event did to rows of the slot came with a full sync already.
  bool Synced(uint16_t ns, uint16_t slot, Dot dot) const;
  const KeyRows* Find(uint16_t ns, uint16_t slot, std::string_view key) const;
};

// Grammar; numbers are varints:
//   clears := count (scope ns kind clock [slot])*          the slot with kSlotSync only
//   key    := ns slot length key clears count (row)*
//   row    := kind length element base-actor base-n actor
//             count (actor n hlc implicit length value zigzag)*  count (actor n)*
void EncodeClears(const std::vector<UnfinishedClear>& clears, std::string* out);
void EncodeKeyRows(const IrregularIndex::Key& key, const KeyRows& rows, std::string* out);
// False on malformed bytes.
bool DecodeClears(ByteReader* in, std::vector<UnfinishedClear>* out);
bool DecodeKeyRows(ByteReader* in, IrregularIndex::Key* key, KeyRows* rows);

}  // namespace redynamo
