// SPDX-License-Identifier: Apache-2.0
// Joining a batch (replica_batch.h). B is the clock before it, D its dots, C = B + D the clock
// after it.
//
//   clears   of events that are new here, and irregular ones of the sender
//   rows     R and the sender's gone dots are dropped, and those not in C kept as gone; a live
//            version becomes live here, too, unless its dot is in B (then it was removed here), in
//            gone, or cleared unseen. One that is not in C is shown, and stays irregular.
//
// A live dot of ours that the sender lacks stays: absence is never evidence (invariant I6). All
// rows that D's events wrote are in the batch, so D is seen whole and leaves gone sets and clears.
#include <algorithm>

#include "storage/replica_side.h"

namespace redynamo {
namespace {

// Of removed dots that are not seen here each one is remembered: more are no sane batch.
constexpr uint64_t kUnseenRemovedMax = 1 << 20;

uint64_t CountDots(const PartitionClock& clock) {
  uint64_t count = 0;
  for (const auto& [actor, set] : clock.actors()) {
    for (const auto& interval : set.intervals()) count += interval.last - interval.first + 1;
  }
  return count;
}

template <typename Fn>
void ForEachDot(const PartitionClock& clock, Fn&& fn) {
  for (const auto& [actor, set] : clock.actors()) {
    for (const auto& interval : set.intervals()) {
      for (uint64_t n = interval.first; n <= interval.last; n++) fn(MakeDot(actor, n));
    }
  }
}

}  // namespace

Status ReplicaSide::JoinBatch(uint64_t end, const Batch& batch) {
  auto partition_number = uint16_t(batch.partition);
  Partition& partition = engine_.partitions_[batch.partition];
  PartitionClock before = engine_.ClockOf(batch.partition);
  PartitionClock fresh;
  std::vector<bool> named(batch.clears.size()), wanted(batch.clears.size());
  for (const BatchDot& dot : batch.dots) {
    bool is_new = !before.Contains(dot.dot);
    if (is_new) fresh.Add(dot.dot);
    for (uint32_t number : dot.clears) {
      named[number] = true;
      if (is_new) wanted[number] = true;
    }
  }
  partition.clock.Join(fresh);
  if (!engine_.replaying_) engine_.NoteClockBytes(partition.clock);
  engine_.BeginJoin();
  uint64_t hlc = 0;
  // Bases of the batch are still to come: what waits for one must outlive the clears.
  ForEachDot(fresh, [&](Dot dot) {
    if (!batch.clears.empty()) engine_.open_events_.push_back({partition_number, dot, false});
  });
  for (size_t i = 0; i < batch.clears.size(); i++) {
    if (named[i] && !wanted[i]) continue;
    Status status = JoinBatchClear(end, batch.partition, batch.clears[i]);
    if (!status.ok()) return status;
  }
  engine_.open_events_.clear();
  std::map<std::pair<uint16_t, std::string_view>, std::vector<const BatchRow*>> keys;
  for (const BatchRow& row : batch.rows) {
    keys[{row.ns, row.key}].push_back(&row);
    for (const auto& [dot, version] : row.state.live) hlc = std::max(hlc, version.hlc);
  }
  for (const auto& [at, rows] : keys) {
    Status status = JoinBatchKey(end, rows, before);
    if (!status.ok()) return status;
  }
  engine_.EndJoin(hlc);
  if (partition.irregular) engine_.StrikeDots(batch.partition, fresh);
  Touch(batch.partition);
  if (!keep_) return Status::Ok();
  AddToIndex(batch.partition, [&](DotIndex* index) {
    for (const BatchDot& dot : batch.dots) {
      if (before.Contains(dot.dot)) continue;
      DotIndex::Entry* entry = index->AddDot(dot.dot, dot.crc);
      if (!entry) continue;
      for (uint32_t number : dot.rows) {
        const BatchRow& row = batch.rows[number];
        DotIndex::OwedRow* owed = index->AddRow(entry, PlaceOfRow(row.ns, row.key, row.id));
        for (const auto& [actor, set] : row.removed.actors()) {
          for (const auto& interval : set.intervals()) {
            owed->removed.AddRange(MakeDot(actor, interval.first), MakeDot(actor, interval.last));
          }
        }
      }
      for (uint32_t number : dot.clears) index->AddClear(entry, batch.clears[number]);
    }
  });
  return Status::Ok();
}

Status ReplicaSide::JoinBatchClear(uint64_t end, int partition, const OwedClear& clear) {
  Effect effect;
  effect.kind = RowKind::kClear;
  effect.scope = clear.scope;
  effect.cleared_kind = clear.cleared_kind;
  effect.key = clear.key;
  effect.context = clear.context;
  if (clear.scope >= ClearScope::kNamespace) {
    engine_.JoinClearOfMany(end, {uint16_t(partition), clear.ns, 0}, effect);
    return Status::Ok();
  }
  EngineImpl::Spot spot{clear.ns, KeySlot(clear.key),
                        RowTable::HashOf(clear.key, engine_.seed_, kPositionHashBits), clear.key};
  engine_.last_position_[spot.slot] = end;
  if (end <= engine_.MakeSlot(spot.ns, spot.slot).captured_at) return Status::Ok();
  Status status = PrepareOnTheSpot(clear.ns, clear.key, RowKind::kClear, {});
  if (status.ok()) engine_.JoinIrregular(spot, 0, 0, effect);
  return status;
}

Status ReplicaSide::JoinBatchKey(uint64_t end, const std::vector<const BatchRow*>& rows,
                                 const PartitionClock& before) {
  std::string_view key = rows[0]->key;
  EngineImpl::Spot spot{rows[0]->ns, KeySlot(key),
                        RowTable::HashOf(key, engine_.seed_, kPositionHashBits), key};
  engine_.last_position_[spot.slot] = end;
  if (end <= engine_.MakeSlot(spot.ns, spot.slot).captured_at) return Status::Ok();
  for (const BatchRow* row : rows) {
    Status status = PrepareOnTheSpot(spot.ns, key, row->id.kind, row->id.element);
    if (!status.ok()) return status;
  }
  KeyRows& held = engine_.HoldKey(spot);
  bool fragments_alone = true;
  for (const BatchRow* row : rows) {
    if (row->id.kind == RowKind::kFragment) {
      engine_.PullForFragment(engine_.FindLive(spot), row->id, &held);
    } else {
      fragments_alone = false;
      engine_.PullFor(engine_.FindLive(spot), row->id.kind, row->id.element, &held);
    }
    JoinBatchRow(spot, *row, before, &held);
  }
  StripGone(PartitionOfSlot(spot.slot), rows, &held);
  if (fragments_alone) {
    for (const BatchRow* row : rows) engine_.ShowFragment(spot, &held, row->id);
  } else {
    engine_.Show(spot, &held, nullptr);
  }
  engine_.ReleaseKey(spot);
  return Status::Ok();
}

void ReplicaSide::JoinBatchRow(const EngineImpl::Spot& spot, const BatchRow& row,
                               const PartitionClock& before, KeyRows* held) {
  int partition = PartitionOfSlot(spot.slot);
  RowState& state = held->rows[row.id];
  std::erase_if(state.live, [&](const auto& version) {
    return row.removed.Contains(version.first) || row.state.gone.contains(version.first);
  });
  ForEachDot(row.removed.Minus(engine_.ClockOf(partition)),
             [&](Dot dot) { state.gone.insert(dot); });
  for (Dot dot : row.state.gone) {
    if (!engine_.InClock(partition, dot)) state.gone.insert(dot);
  }
  for (const auto& [dot, version] : row.state.live) {
    if (before.Contains(dot) || state.gone.contains(dot)) continue;
    if (!engine_.ClearedUnseen(spot, *held, row.id, dot)) state.live[dot] = version;
  }
}

// Once all rows of a key are joined, for a batch may have one twice, under a dot and as irregular:
// the second must still see what the first one found to be gone.
void ReplicaSide::StripGone(int partition, const std::vector<const BatchRow*>& rows,
                            KeyRows* held) const {
  for (const BatchRow* row : rows) {
    auto it = held->rows.find(row->id);
    if (it == held->rows.end()) continue;
    std::erase_if(it->second.gone, [&](Dot dot) { return engine_.InClock(partition, dot); });
  }
}

// --- accepting ---

void ReplicaSide::AcceptBatch(int partition, std::string_view bytes, Done done) {
  auto copy = std::make_shared<std::string>(bytes);
  auto batch = std::make_shared<Batch>();
  Accepted accepted;
  accepted.status = ReadBatch(*copy, engine_.namespaces_.size(), batch.get());
  if (accepted.status.ok() && batch->partition != partition) {
    accepted.status = Corruption("a batch of another node is of another partition");
  }
  if (!accepted.status.ok()) return done(accepted);
  auto needs = NeedsOf(*batch);
  WhenReady(needs, [this, copy, batch, done](const Status& status) {
    Accepted out;
    out.status = status;
    if (status.ok()) FinishBatch(*copy, batch.get(), &out);
    done(out);
  });
}

bool ReplicaSide::ShowsAmnesia(const Batch& batch) const {
  bool amnesia = false;
  auto look = [&](Dot dot) {
    if (dot == 0) return;
    amnesia |= ShowsAmnesia(batch.partition, batch.actors[DotActor(dot)], DotCounter(dot));
  };
  auto look_at = [&](const PartitionClock& clock) {
    for (const auto& [place, set] : clock.actors()) look(MakeDot(place, set.max()));
  };
  for (const BatchDot& dot : batch.dots) look(dot.dot);
  for (const BatchRow& row : batch.rows) {
    look_at(row.removed);
    for (const auto& [dot, version] : row.state.live) look(dot);
    for (Dot dot : row.state.gone) look(dot);
  }
  for (const OwedClear& clear : batch.clears) look_at(clear.context);
  return amnesia;
}

void ReplicaSide::FinishBatch(std::string_view bytes, Batch* batch, Accepted* out) {
  if (ShowsAmnesia(*batch)) {
    out->status = RotateActor();
    out->own_actor_rotated = out->status.ok();
    if (!out->status.ok()) return;
  }
  Result<std::vector<uint16_t>> to = Intern(batch->actors, true);
  out->status = to.status();
  if (!to.ok()) return;
  MapBatch(*to, batch);
  PartitionClock after = engine_.ClockOf(batch->partition);
  const auto& index = index_[size_t(batch->partition)];
  for (const BatchDot& dot : batch->dots) {
    bool seen = engine_.InClock(batch->partition, dot.dot);
    out->events.push_back({uint16_t(batch->partition), Portable(dot.dot)});
    out->duplicate.push_back(seen);
    after.Add(dot.dot);
    const DotIndex::Entry* known = index ? index->Find(dot.dot) : nullptr;
    out->dot_conflict |= seen && known && known->crc != dot.crc;
  }
  uint64_t unseen = 0;
  for (const BatchRow& row : batch->rows) {
    unseen += CountDots(row.removed.Minus(after));
    if (unseen > kUnseenRemovedMax) {
      out->status = Corruption("a batch of another node removes what nobody has written");
      return;
    }
    out->status = PrepareOnTheSpot(row.ns, row.key, row.id.kind, row.id.element);
    if (!out->status.ok()) return;
  }
  out->status = engine_.log_->Reserve(bytes.size() + 1);
  if (!out->status.ok()) return;
  std::string* log = engine_.log_->BeginRecord();
  log->push_back(char(kBatchRecord));
  log->append(bytes);
  out->position = engine_.log_->EndRecord();
  out->status = JoinBatch(out->position, *batch);
  engine_.changes_ += batch->dots.size();
  for (const BatchRow& row : batch->rows) TellOf(row.ns, row.key);
  for (const OwedClear& clear : batch->clears) TellOfClear(clear.scope, clear.ns, clear.key);
  KeepIndexSmall();
}

Status ReplicaSide::ReplayBatch(uint64_t end, std::string_view bytes) {
  Batch batch;
  Status status = ReadBatch(bytes, engine_.namespaces_.size(), &batch);
  if (!status.ok()) return status;
  Result<std::vector<uint16_t>> to = Intern(batch.actors, false);
  if (!to.ok()) return to.status();
  MapBatch(*to, &batch);
  return JoinBatch(end, batch);
}

}  // namespace redynamo
