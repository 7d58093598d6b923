// SPDX-License-Identifier: Apache-2.0
// Sums of captured rows per leaf (storage/row_sum.h): what a capture stores, and counting anew the
// leaves whose sum is not known: replay lets a stand-in take the place of a cold object, whose
// hashes nobody has read. Such a leaf is stored as unknown, counted by the background in a snapshot
// of that checkpoint, and corrected by the difference to what its sum was at the capture; whatever
// has changed since has changed the sum by known amounts. The next checkpoint stores it.
#include <algorithm>

#include "base/log_line.h"
#include "storage/engine_impl.h"
#include "storage/object_format.h"
#include "storage/row_format.h"

namespace redynamo {

void EngineImpl::Seal(uint64_t hash, Row* row) const {
  if (row->row_form() != RowForm::kCollection) return RowHasher::SetCrc(row);
  const Collection& c = *row->collection();
  if (c.native()) return;
  row->hlc = hasher_.Packed(hash, seed_, row->object_type() == ObjectType::kSet, c);
  if (row->Has(Row::kHasDeadline)) row->hlc += hasher_.DeadlineRow(hash, 0, row->deadline());
}

void EngineImpl::CaptureSum(SlotTable& table, uint16_t ns, uint16_t slot, CapturedSlot* captured,
                            std::vector<LeafToCount>* to_count) {
  captured->sum = table.sum;
  captured->sum_known = !table.sum_unknown && table.sum_count == 0;
  int64_t deadlines = int64_t(table.volatiles) + table.cold_volatiles;
  captured->deadlines = uint64_t(std::clamp<int64_t>(deadlines, 0, int64_t(table.live)));
  captured->deadlines_known = !table.deadlines_unknown;
  if (!table.sum_unknown || table.sum_count != 0) return;
  table.sum_unknown = false;
  table.sum_count = ++sum_counts_;
  to_count->push_back({ns, slot, table.sum_count, deadlines, 0});
}

void EngineImpl::CountLeaves(std::vector<LeafToCount> leaves,
                             std::shared_ptr<const RowSnapshot> snapshot) {
  if (leaves.empty()) return;
  scrub_pool_->Post([this, leaves = std::move(leaves), snapshot]() mutable {
    Status status;
    std::vector<std::pair<LeafToCount, LeafCount>> counted;
    for (const LeafToCount& leaf : leaves) {
      LeafCount count;
      if (status.ok() && !stopping_) status = CountLeaf(leaf.ns, leaf.slot, snapshot, &count);
      if (!status.ok() || stopping_) break;
      counted.emplace_back(leaf, count);
    }
    snapshot.reset();
    PostToDataThread([this, leaves = std::move(leaves), counted = std::move(counted), status] {
      if (!status.ok()) LogWarning("counting leaf sums failed: " + status.message());
      for (const auto& [leaf, count] : counted) {
        SlotTable* table = Slot(leaf.ns, leaf.slot);
        if (!table || table->sum_count != leaf.count) continue;  // cleared meanwhile
        table->sum += count.sum - leaf.stored;
        CountColdVolatiles(leaf.ns, *table, int64_t(count.deadlines) - leaf.deadlines);
        table->deadlines_unknown = false;
        table->sum_count = 0;
        stats_.leaves_counted++;
      }
      DropCounting(leaves);
    });
  });
}

// What has not been counted is as unknown as before.
void EngineImpl::DropCounting(const std::vector<LeafToCount>& leaves) {
  for (const LeafToCount& leaf : leaves) {
    SlotTable* table = Slot(leaf.ns, leaf.slot);
    if (!table || table->sum_count != leaf.count) continue;
    table->sum_count = 0;
    table->sum_unknown = true;
  }
}

Status EngineImpl::CountLeaf(uint16_t ns, uint16_t slot,
                             std::shared_ptr<const RowSnapshot> snapshot, LeafCount* count) const {
  uint64_t first = uint64_t(slot) << kPositionHashBits;
  KeyRange range = PositionRange(ns, first, first + (1ull << kPositionHashBits) - 1);
  Status status;
  LongBases bases;
  auto heads = store_->NewHeadIterator(range.lower, range.upper, snapshot);
  for (; heads->Valid() && status.ok(); heads->Next()) {
    status = HashHead(heads->key(), heads->value(), &bases, count);
  }
  if (status.ok()) status = heads->status();
  auto rows = store_->NewRowIterator(range.lower, range.upper, snapshot);
  for (; rows->Valid() && status.ok() && !stopping_; rows->Next()) {
    status = HashElement(rows->key(), rows->value(), bases, &count->sum);
  }
  return status.ok() ? rows->status() : status;
}

Status EngineImpl::HashHead(std::string_view key, std::string_view payload, LongBases* bases,
                            LeafCount* count) const {
  count->keys++;
  Result<HeadKey> head = DecodeHeadKey(key);
  if (!head.ok()) return head.status();
  Result<DecodedHead> object = DecodeHead(head->key, payload, seed_);
  if (!object.ok()) {
    return Corruption(object.status().message() + " of key '" + HexForMessage(head->key) + "'");
  }
  uint64_t hash = head->position << (64 - kPositionHashBits);
  Seal(hash, object->row);
  count->sum += CleanSum(hash, object->row);
  count->deadlines += object->row->Has(Row::kHasDeadline);
  if (object->may_have_fragments) bases->emplace(std::string(key), object->row->dot);
  FreeWholeRow(object->row);
  return Status::Ok();
}

Status EngineImpl::HashElement(std::string_view key, std::string_view payload,
                               const LongBases& bases, uint64_t* sum) const {
  Result<RowKey> row_key = DecodeRowKey(key);
  if (!row_key.ok()) return row_key.status();
  uint64_t key_hash = row_key->position << (64 - kPositionHashBits);
  if (row_key->kind == uint8_t(RowKind::kFragment)) {
    Result<StoredFragment> f = DecodeFragment(row_key->element_hash, payload);
    if (!f.ok()) {
      return Corruption(f.status().message() + " of key '" + HexForMessage(row_key->key) + "'");
    }
    auto base = bases.find(EncodeHeadKey({row_key->ns, row_key->position, row_key->key}));
    if (base == bases.end() || base->second != f->base) return Status::Ok();
    *sum += hasher_.Fragment(key_hash, f->base, uint32_t(row_key->element_hash), f->dot, f->hlc,
                             f->bytes);
    return Status::Ok();
  }
  Result<Row*> row = DecodeElement(row_key->element, payload);
  if (!row.ok()) {
    return Corruption(row.status().message() + " '" + HexForMessage(row_key->element) +
                      "' of key '" + HexForMessage(row_key->key) + "'");
  }
  *sum += hasher_.ElementRow(key_hash, row_key->element_hash << (64 - kElementHashBits),
                             row_key->kind == uint8_t(RowKind::kMember), *row);
  FreeRow(*row);
  return Status::Ok();
}

}  // namespace redynamo
