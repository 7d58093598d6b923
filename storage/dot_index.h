// SPDX-License-Identifier: Apache-2.0
// The dot index of a partition (REPLICATION.md sections 0 and 5.1): which rows each event wrote,
// for as long as some home of the partition may lack the event. It holds no values: who pulls gets
// the rows as they are then. Grouped by row: what a row's events have removed is one set, so a key
// that is overwritten a million times while a home is down costs a million dots but one row.
//
//   SET k a (0,7), SET k b (0,8)         dots   (0,7) -> {k}   (0,8) -> {k}
//                                        rows   k: removed {(0,6) (0,7)}
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/irregular.h"
#include "storage/portable.h"

namespace redynamo {

// Which row: namespace, key and row within the key, as bytes.
std::string PlaceOfRow(uint16_t ns, std::string_view key, const RowId& id);
// False on malformed bytes; the key is a view of them.
bool ReadPlace(std::string_view place, uint16_t* ns, std::string_view* key, RowId* id);

struct OwedClear {
  ClearScope scope = ClearScope::kKey;
  RowKind cleared_kind = RowKind::kBase;
  uint16_t ns = 0;
  std::string key;
  PartitionClock context;
};

class DotIndex {
 public:
  struct OwedRow {
    std::string place;    // PlaceOfRow
    IntervalSet removed;  // of whole Dots: by events that wrote the row
    uint32_t refs = 0;    // dots that name it
  };
  struct Entry {
    uint32_t crc = 0;  // of the event, see portable.h
    absl::InlinedVector<OwedRow*, 1> rows;
    std::unique_ptr<std::vector<OwedClear>> clears;
  };
  using Dots = absl::btree_map<Dot, Entry>;

  // What an event wrote. Nothing when the dot is here already.
  void Add(const EventEffects& event);
  // Piece by piece: an entry, then its rows and clears.
  Entry* AddDot(Dot dot, uint32_t crc);  // null when it is here already
  OwedRow* AddRow(Entry* entry, std::string_view place);
  void AddClear(Entry* entry, OwedClear clear);

  const Entry* Find(Dot dot) const;
  const Dots& dots() const { return dots_; }
  size_t row_count() const { return rows_.size(); }
  uint64_t bytes() const { return bytes_; }
  void Forget(const PartitionClock& clock);
  void DropOldHalf();  // of each actor's dots

  // Grammar, numbers are varints: rows := count (length place intervals)*; dots := count (actor n
  // crc:4 rows* clears*)*; in local indexes.
  void EncodeTo(std::string* out) const;
  static bool Decode(ByteReader* in, DotIndex* out);

 private:
  Dots::iterator Erase(Dots::iterator it);

  Dots dots_;
  absl::flat_hash_map<std::string_view, std::unique_ptr<OwedRow>> rows_;
  uint64_t bytes_ = 0;
};

}  // namespace redynamo
