// SPDX-License-Identifier: Apache-2.0
// Letting a replica go: a guest whose homes have all that it has, or a node that has left the homes
// (REPLICATION.md section 5.2).
//
//   record 0x08 := partition actor n      varints; actor: local index of the own one; n: its
//   counter
//
// Rows go as FLUSHALL of one partition would take them: tables are replaced, what stands on disk is
// void until the next checkpoint deletes its range. But nothing has been removed in the ring, so
// the clock goes, too: were a dot to stay in it, rows of that dot would count as removed here when
// they come again. The own counter alone stays, as the floor from which own dots go on:
//
//   clock {own: 1-7, b: 1-4}      drop      clock {}, n = 7, floor = 7
//   SET k v                                 clock {own: 8}
//   full sync from b                        clock {own: 1-8, b: 1-4}
//
// Everything else in the engine takes it that a clock only grows, and so does a replay onto slots
// that were captured later. So no drop may lie between a checkpoint's start and the capture of its
// last slot: while a checkpoint captures, nothing is dropped.
#include <algorithm>

#include "storage/collection.h"
#include "storage/long_string.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

constexpr size_t kSampledRows = 8;  // of each slot
constexpr uint64_t kHeadBytes = 64;

uint64_t BytesOfRow(const Row* row) {
  uint64_t bytes = RowMemory(row);
  if (row->row_form() == RowForm::kCollection) bytes += row->collection()->memory_bytes();
  if (row->row_form() == RowForm::kLong) bytes += row->long_string()->memory_bytes();
  return bytes;
}

}  // namespace

// Every dot that this replica has, seen or not. What it merely knows to be removed does not count:
// the events that removed it are in its clock, or in that of whoever said so; and the removed dot
// itself may be lost for ever, with the disk of its coordinator, say: then nobody's clock will ever
// have it.
PartitionClock ReplicaSide::KnownOf(int partition) const {
  PartitionClock known = engine_.ClockOf(partition);
  const auto& index = engine_.partitions_[partition].irregular;
  if (!index) return known;
  for (const auto& [key, held] : index->keys) {
    for (const auto& [id, state] : held.rows) {
      for (const auto& [dot, version] : state.live) known.Add(dot);
    }
  }
  return known;
}

Status ReplicaSide::Drop(int partition, const ReplicaClock& everyone_has) {
  CHECK_THAT(!engine_.record_);
  if (!Local(everyone_has).Covers(KnownOf(partition))) {
    return {StatusCode::kBusy, "this replica knows of events that not every home has"};
  }
  if (engine_.Capturing()) return {StatusCode::kBusy, "a checkpoint is under way"};
  if (!Holds(partition)) return Status::Ok();
  std::string bytes(1, char(kDropRecord));
  PutVarint(&bytes, uint64_t(partition));
  PutVarint(&bytes, engine_.self_);
  PutVarint(&bytes, engine_.partitions_[partition].own_n);
  Status status = engine_.log_->Reserve(bytes.size());
  if (!status.ok()) return status;
  engine_.log_->BeginRecord()->append(bytes);
  uint64_t end = engine_.log_->EndRecord();
  engine_.partitions_[partition].own_floor = engine_.partitions_[partition].own_n;
  DropAll(end, partition);
  engine_.changes_++;
  return Status::Ok();
}

Status ReplicaSide::ReplayDrop(uint64_t end, std::string_view bytes) {
  ByteReader in(bytes);
  uint64_t partition = in.Varint(), actor = in.Varint(), n = in.Varint();
  bool good = in.ok() && in.empty() && partition < uint64_t(PartitionCount()) &&
              actor < engine_.identity_.actors.size() && n >> kDotCounterBits == 0;
  if (!good) return Corruption("malformed drop of a replica in the log");
  Partition& p = engine_.partitions_[partition];
  if (actor == engine_.self_) p.own_n = p.own_floor = std::max(p.own_n, n);
  DropAll(end, int(partition));
  return Status::Ok();
}

void ReplicaSide::DropAll(uint64_t end, int partition) {
  Partition& p = engine_.partitions_[partition];
  int first = partition * SlotsPerPartition(), last = first + SlotsPerPartition();
  for (auto& space : engine_.namespaces_) {
    bool used = false;
    uint64_t live = 0;
    for (int slot = first; slot < last; slot++) {
      const SlotTable* table = space->slots[slot].get();
      used |= table != nullptr;
      live += table ? table->live : 0;
    }
    if (used) engine_.ApplyClearSlots(space->id, first, SlotsPerPartition(), ~0ull);
    if (live > 0 && !engine_.replaying_) TellOfClear(ClearScope::kNamespace, space->id, {});
  }
  p.clock = PartitionClock();
  p.irregular.reset();
  AddToIndex(partition, [](DotIndex* index) { *index = DotIndex(); });
  full_.erase(partition);
  std::erase_if(damaged_,
                [&](const auto& d) { return PartitionOfSlot(d.first.slot) == partition; });
  for (int slot = first; slot < last; slot++) engine_.last_position_[size_t(slot)] = end;
  Touch(partition);
}

bool ReplicaSide::Holds(int partition) const {
  if (engine_.partitions_[partition].irregular || !engine_.ClockOf(partition).empty()) return true;
  int first = partition * SlotsPerPartition(), last = first + SlotsPerPartition();
  return std::any_of(engine_.namespaces_.begin(), engine_.namespaces_.end(), [&](auto& space) {
    return std::any_of(space->slots.begin() + first, space->slots.begin() + last,
                       [](const auto& table) { return table && table->live > 0; });
  });
}

bool ReplicaSide::EverUsed(int partition) const {
  return engine_.partitions_[partition].own_n > 0 || !engine_.ClockOf(partition).empty();
}

// --- how large it is ---

// Of a key that is on disk only, when none of its partition is in memory.
double ReplicaSide::ColdKeyBytes() {
  if (cold_key_checkpoints_ == engine_.stats_.checkpoints) return cold_key_bytes_;
  cold_key_checkpoints_ = engine_.stats_.checkpoints;
  uint64_t keys = 0;
  for (const auto& space : engine_.namespaces_) keys += space->live;
  double disk_bytes = double(engine_.store_->Stats().live_sst_bytes);
  cold_key_bytes_ = keys == 0 ? 0 : std::max(double(kHeadBytes), disk_bytes / double(keys));
  return cold_key_bytes_;
}

uint64_t ReplicaSide::BytesOf(int partition) {
  uint64_t keys = 0, sampled = 0, bytes = 0;
  Row* rows[kSampledRows];
  for (auto& space : engine_.namespaces_) {
    for (int s = partition * SlotsPerPartition(); s < (partition + 1) * SlotsPerPartition(); s++) {
      SlotTable* table = space->slots[s].get();
      if (!table || table->live == 0) continue;
      keys += table->live;
      if (table->resident == 0) continue;
      size_t count = table->rows.SampleNeighbours(engine_.random_, kSampledRows, rows);
      for (size_t i = 0; i < count; i++) {
        if (!rows[i]->live()) continue;
        sampled++;
        bytes += BytesOfRow(rows[i]);
      }
    }
  }
  if (keys == 0) return 0;
  double mean = sampled > 0 ? double(bytes) / double(sampled) : ColdKeyBytes();
  return uint64_t(mean * double(keys));
}

}  // namespace redynamo
