// SPDX-License-Identifier: Apache-2.0
// Trees (storage/tree.h): the sums of a partition's leaves as of now, which leaves some dots have
// touched, and leaves whose rows on disk are not what their checkpoint stored.
//
// A leaf's sum as of now is the one of clean rows, which is kept, and the hashes of those that have
// changed since their capture. The table shows one version of each row; what the irregular index
// has beside it (siblings, for instance) is hashed by its dots.
#include <algorithm>

#include "base/hash.h"
#include "base/log_line.h"
#include "storage/collection.h"
#include "storage/long_string.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

// Of one partition, what is hashed at once on the data thread: some milliseconds.
constexpr uint64_t kDirtyRowsMax = 20'000;
constexpr uint64_t kDirtyBytesMax = 8 << 20;
constexpr uint64_t kDotsMax = 100'000;  // whose rows are looked up at once

// Rows of their own beside a head: elements of a large collection, fragments of a long string.
uint64_t ChangedBeside(const RowHasher& hasher, uint64_t hash, const Row* row) {
  uint64_t sum = 0;
  if (row->row_form() == RowForm::kLong) {
    LongString* text = row->long_string();
    for (const auto& [index, f] : text->fragments()) {
      if (!f.dirty || !f.live()) continue;
      sum += hasher.Fragment(hash, row->dot, index, f.dot, f.hlc, text->FragmentBytes(index, f));
    }
    return sum + text->sum().ahead();
  }
  Collection* c = row->collection();
  bool member = row->object_type() == ObjectType::kSet;
  c->table()->ForEachMarked([&](Row* element) {
    if (!element->Has(Row::kDirty) || !element->live()) return;
    RowHasher::SetCrc(element);
    sum += hasher.ElementRow(hash, c->table()->HashOf(element->key()), member, element);
  });
  return sum + c->sum().ahead();
}

}  // namespace

uint64_t Tree::Root() const {
  std::string bytes;
  for (const TreeLeaf& leaf : leaves) {
    PutVarint(&bytes, leaf.id.ns);
    PutVarint(&bytes, leaf.id.slot);
    PutFixed64(&bytes, leaf.sum);
    bytes.push_back(char(leaf.settled));
  }
  return StableHash(bytes);
}

Tree ReplicaSide::TreeOf(int partition) {
  Tree tree;
  uint64_t dirty_rows = 0, dirty_bytes = 0;
  int first = partition * SlotsPerPartition(), last = first + SlotsPerPartition();
  for (auto& space : engine_.namespaces_) {
    for (int slot = first; slot < last; slot++) {
      const SlotTable* table = space->slots[slot].get();
      dirty_rows += table ? table->dirty_rows : 0;
      dirty_bytes += table ? table->dirty_bytes : 0;
    }
  }
  if (dirty_rows > kDirtyRowsMax || dirty_bytes > kDirtyBytesMax) return tree;
  tree.ready = true;
  tree.clock = ClockOf(partition);
  tree.irregular_hash = IrregularHash(partition);
  for (auto& space : engine_.namespaces_) {
    for (int slot = first; slot < last; slot++) {
      TreeLeaf leaf{{space->id, uint16_t(slot)}, true, 0};
      leaf.settled = Settled(leaf.id);
      if (leaf.settled) leaf.sum = SumNow(leaf.id);
      if (!leaf.settled || leaf.sum != 0) tree.leaves.push_back(leaf);
    }
  }
  return tree;
}

// Whether the leaf's sum is known, and its rows are those that the clock says: no full sync is half
// done in it, and nothing is known beyond the clock.
bool ReplicaSide::Settled(LeafId leaf) const {
  const SlotTable* table = engine_.Slot(leaf.ns, leaf.slot);
  if (table && (table->sum_unknown || table->sum_count != 0)) return false;
  if (damaged_.contains(leaf) || engine_.CapturingElementsOf(leaf.slot)) return false;
  int partition = PartitionOfSlot(leaf.slot);
  const IrregularIndex* index = engine_.partitions_[partition].irregular.get();
  if (!index) return true;
  for (const UnfinishedClear& clear : index->clears) {
    bool concerns = clear.scope == ClearScope::kPartition || clear.ns == leaf.ns;
    if (concerns && (clear.scope != ClearScope::kSlotSync || clear.slot == leaf.slot)) return false;
  }
  auto it = index->keys.lower_bound({leaf.ns, leaf.slot, {}});
  for (; it != index->keys.end() && it->first.ns == leaf.ns && it->first.slot == leaf.slot; ++it) {
    if (!it->second.clears.empty()) return false;
    for (const auto& [id, state] : it->second.rows) {
      if (!state.gone.empty()) return false;
      for (const auto& [dot, version] : state.live) {
        if (!engine_.InClock(partition, dot)) return false;
      }
    }
  }
  return true;
}

uint64_t ReplicaSide::SumNow(LeafId leaf) const {
  uint64_t sum = 0;
  if (SlotTable* table = engine_.Slot(leaf.ns, leaf.slot)) {
    sum = table->sum;
    table->rows.ForEachMarked([&](Row* row) {
      if (!row->Has(Row::kDirty) || !row->live()) return;
      uint64_t hash = table->rows.HashOf(row->key());
      engine_.Seal(hash, row);  // as its capture will do again
      sum += engine_.CleanSum(hash, row);
      if (EngineImpl::SumOf(row)) sum += ChangedBeside(engine_.hasher_, hash, row);
    });
  }
  int partition = PartitionOfSlot(leaf.slot);
  const IrregularIndex* index = engine_.partitions_[partition].irregular.get();
  if (!index) return sum;
  auto it = index->keys.lower_bound({leaf.ns, leaf.slot, {}});
  for (; it != index->keys.end() && it->first.ns == leaf.ns && it->first.slot == leaf.slot; ++it) {
    for (const auto& [id, state] : it->second.rows) {
      if (engine_.Regular(partition, state)) continue;
      sum += HashOfDots(it->first.key, id, state, Dots::kAll, partition);
    }
  }
  return sum;
}

// --- which leaves dots have touched ---

bool ReplicaSide::TouchedLeaves(int partition, const ReplicaClock& dots,
                                std::set<LeafId>* leaves) const {
  const DotIndex* index = index_[size_t(partition)].get();
  uint64_t looked_up = 0;
  PartitionClock local = Local(dots);
  for (const auto& [actor, set] : local.actors()) {
    for (const auto& interval : set.intervals()) {
      for (uint64_t n = interval.first; n <= interval.last; n++) {
        const DotIndex::Entry* entry = index ? index->Find(MakeDot(actor, n)) : nullptr;
        if (!entry || ++looked_up > kDotsMax) return false;
        AddTouched(partition, *entry, leaves);
      }
    }
  }
  return true;
}

void ReplicaSide::AddTouched(int partition, const DotIndex::Entry& entry,
                             std::set<LeafId>* leaves) const {
  for (const DotIndex::OwedRow* row : entry.rows) {
    uint16_t ns;
    std::string_view key;
    RowId id;
    if (ReadPlace(row->place, &ns, &key, &id)) leaves->insert({ns, KeySlot(key)});
  }
  if (!entry.clears) return;
  for (const OwedClear& clear : *entry.clears) {
    if (clear.scope < ClearScope::kNamespace) {
      leaves->insert({clear.ns, KeySlot(clear.key)});
      continue;
    }
    for (size_t ns = 0; ns < engine_.namespaces_.size(); ns++) {
      if (clear.scope == ClearScope::kNamespace && ns != clear.ns) continue;
      for (int s = 0; s < SlotsPerPartition(); s++) {
        leaves->insert({uint16_t(ns), uint16_t(partition * SlotsPerPartition() + s)});
      }
    }
  }
}

// --- what stands on disk ---

void ReplicaSide::Verify(int partition, std::function<void(const Status&, uint64_t)> done) {
  engine_.scrub_pool_->Post([this, partition, done = std::move(done)] {
    std::vector<LeafId> damaged;
    std::shared_ptr<const RowSnapshot> snapshot;
    CheckpointMeta meta;
    Status status = engine_.SnapshotWithMeta(&snapshot, &meta);
    for (size_t ns = 0; status.ok() && ns < meta.slots.size(); ns++) {
      if (meta.slots[ns].empty()) continue;
      for (int s = 0; s < SlotsPerPartition() && !engine_.stopping_; s++) {
        LeafId leaf{uint16_t(ns), uint16_t(partition * SlotsPerPartition() + s)};
        if (!SoundOnDisk(leaf, meta.slots[ns][leaf.slot], snapshot)) damaged.push_back(leaf);
      }
    }
    snapshot.reset();
    engine_.PostToDataThread([this, damaged = std::move(damaged), status, done] {
      uint64_t noted = 0;
      for (LeafId leaf : damaged) noted += NoteDamage(leaf);
      done(status, noted);
    });
  });
}

// In the background.
bool ReplicaSide::SoundOnDisk(LeafId leaf, const CapturedSlot& stored,
                              const std::shared_ptr<const RowSnapshot>& snapshot) const {
  EngineImpl::LeafCount count;
  if (!engine_.CountLeaf(leaf.ns, leaf.slot, snapshot, &count).ok()) return false;
  return stored.live == count.keys && (!stored.sum_known || stored.sum == count.sum);
}

bool ReplicaSide::NoteDamage(LeafId leaf) {
  const SlotTable* table = engine_.Slot(leaf.ns, leaf.slot);
  if (!table || table->wiped) return false;  // what stands there is void
  if (!damaged_.emplace(leaf, false).second) return true;
  LogWarning("partition " + std::to_string(PartitionOfSlot(leaf.slot)) + ": rows of slot " +
             std::to_string(leaf.slot) + ", namespace " + std::to_string(leaf.ns) +
             ", are damaged on disk; a ring repairs them from another replica");
  return true;
}

std::vector<LeafId> ReplicaSide::DamagedLeaves() const {
  std::vector<LeafId> leaves;
  for (const auto& [leaf, rebuilt] : damaged_) leaves.push_back(leaf);
  return leaves;
}

void ReplicaSide::CountAnew(LeafId leaf) {
  if (leaf.ns >= engine_.namespaces_.size()) return;
  if (SlotTable* table = engine_.Slot(leaf.ns, leaf.slot)) table->sum_unknown = true;
}

}  // namespace redynamo
