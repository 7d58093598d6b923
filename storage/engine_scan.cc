// SPDX-License-Identifier: Apache-2.0
// SCAN over positions: a cursor is the next position (53 bits), so it needs no state here and no
// key is missed however the tables change. Resident keys come from the slot's table; the heads of a
// slot with cold keys from the row store as well, the table being looked at first (ENGINE.md 5).
#include <algorithm>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/row_format.h"

namespace redynamo {

uint64_t EngineImpl::ScanKeys(int database, uint64_t cursor, uint64_t count,
                              const std::function<void(const KeyView&)>& fn) {
  uint16_t ns = NamespaceOf(database);
  uint64_t given = 0;
  if (cursor >= kPositionCount) return 0;
  for (uint32_t slot = uint32_t(cursor >> kPositionHashBits); slot < kSlotCount; slot++) {
    SlotTable* table = Slot(ns, uint16_t(slot));
    uint64_t from = slot == cursor >> kPositionHashBits ? cursor << (64 - kPositionHashBits) : 0;
    if (!table || table->live == 0) continue;
    if (table->cold() > 0) LoadSlotNow(ns, uint16_t(slot), from);
    std::vector<Row*> rows;
    uint64_t next = table->rows.Collect(from, count - given, &rows);
    for (Row* row : rows) {
      if (!row->live() || Expired(row)) continue;
      KeyView view;
      view.engine_ = this;
      view.ns_ = ns;
      view.slot_ = uint16_t(slot);
      view.hash_ = RowTable::HashOf(row->key(), seed_, kPositionHashBits);
      view.key_ = row->key();
      view.row_ = row;
      fn(view);
    }
    given += std::max<uint64_t>(rows.size(), 1);
    if (next != 0) return uint64_t(slot) << kPositionHashBits | next >> (64 - kPositionHashBits);
    if (given >= count) return slot + 1 == kSlotCount ? 0 : uint64_t(slot + 1) << kPositionHashBits;
  }
  return 0;
}

// Brings a slot's cold keys of hash >= from into memory, on this thread.
void EngineImpl::LoadSlotNow(uint16_t ns, uint16_t slot, uint64_t from) {
  uint64_t first = uint64_t(slot) << kPositionHashBits;
  KeyRange range = PositionRange(ns, first | from >> (64 - kPositionHashBits),
                                 first + (1ull << kPositionHashBits) - 1);
  Status status;
  auto it = store_->NewHeadIterator(range.lower, range.upper);
  for (; it->Valid(); it->Next()) {
    Result<HeadKey> head = DecodeHeadKey(it->key());
    status = head.status();
    if (!status.ok()) break;
    uint64_t hash = RowTable::HashOf(head->key, seed_, kPositionHashBits);
    if (Slot(ns, slot)->rows.Find(hash, head->key)) continue;
    Result<Row*> built = BuildObject(ns, head->position, head->key, it->value());
    status = built.status();
    if (!status.ok()) break;
    std::string key(head->key);
    InstallLoaded(ns, key, *built);
  }
  if (status.ok()) status = it->status();
  if (!status.ok()) LogWarning("SCAN could not read cold keys: " + status.message());
}

}  // namespace redynamo
