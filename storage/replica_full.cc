// SPDX-License-Identifier: Apache-2.0
// Full sync (REPLICATION.md section 5.4): all rows of a partition, for a replica that lacks dots
// which no index has any more. It goes by units, each a slot of a namespace, as of the moment that
// it is read; the clock of that moment, Cs, goes with it.
//
//   piece  := 0x01 partition namespaces first-unit unit-count clock length batch crc:4
//
// `clock` is a ReplicaClock, `batch` as in replica_batch.h, without dots. Numbers are varints. At
// the receiver a unit's rows are joined as a batch's, and besides:
//
//   - a live dot of ours that is in Cs and not live at the source has been removed there: it goes
//   - dots of Cs that are not in C yet count as seen for this unit from now on: their events, when
//     they come, change nothing here (they would bring back what was removed since). This is kept
//     as an unfinished clear of scope kSlotSync.
//
// C stays as it is until all units are there: then it takes in what is in every Cs. So whoever is
// interrupted has lost nothing, and begins anew.
#include <algorithm>

#include "base/hash.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

constexpr uint8_t kPieceVersion = 1;

struct Piece {
  int partition = 0;
  uint64_t first = 0, count = 0;  // units
  ReplicaClock clock;
  Batch batch;
};

Status ReadPiece(std::string_view bytes, size_t namespaces, Piece* out) {
  static constexpr char kMalformed[] = "malformed full rows of another node";
  if (bytes.size() < 5) return Corruption(kMalformed);
  std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (ByteReader(bytes.substr(body.size())).Fixed32() != Crc32c(body)) {
    return Corruption("full rows of another node fail their checksum");
  }
  ByteReader in(body);
  uint8_t version = in.Byte();
  uint64_t partition = in.Varint(), theirs = in.Varint();
  out->first = in.Varint();
  out->count = in.Varint();
  if (!in.ok() || version != kPieceVersion || partition >= uint64_t(PartitionCount()) ||
      theirs > 0xffff || !ReplicaClock::Decode(&in, &out->clock)) {
    return Corruption(kMalformed);
  }
  if (theirs != namespaces) {
    return InvalidArgument(
        "another node has another number of databases: 'databases' must be the "
        "same on all nodes");
  }
  uint64_t units = theirs * SlotsPerPartition();
  std::string_view batch = in.LengthPrefixed();
  bool good = in.ok() && in.empty() && out->first < units && out->count > 0 &&
              out->count <= units - out->first;
  if (!good) return Corruption(kMalformed);
  out->partition = int(partition);
  Status status = ReadBatch(batch, namespaces, &out->batch);
  if (!status.ok()) return status;
  bool fits = out->batch.partition == out->partition && out->batch.dots.empty();
  return fits ? Status::Ok() : Corruption(kMalformed);
}

PartitionClock Intersection(const PartitionClock& a, const PartitionClock& b) {
  return a.Minus(a.Minus(b));
}

uint16_t SlotOfUnit(int partition, uint64_t unit) {
  return uint16_t(partition * SlotsPerPartition() + int(unit % SlotsPerPartition()));
}

}  // namespace

// --- the source ---

void ReplicaSide::FullRows(int partition, uint64_t cursor, uint64_t max_bytes,
                           std::function<void(FullAnswer)> done) {
  FullAnswer answer;
  uint64_t units = engine_.namespaces_.size() * SlotsPerPartition();
  BatchWriter writer(partition, engine_.identity_.actors);
  uint64_t unit = cursor;
  AddClears(partition, &writer);  // with each piece: there may be others than with the last one
  for (; unit < units && (unit == cursor || writer.bytes() < max_bytes); unit++) {
    AddUnit(uint16_t(unit / SlotsPerPartition()), SlotOfUnit(partition, unit), &writer);
  }
  if (unit == cursor) {
    answer.status = InvalidArgument("no such cursor");
    return done(std::move(answer));
  }
  answer.bytes.push_back(char(kPieceVersion));
  PutVarint(&answer.bytes, uint64_t(partition));
  PutVarint(&answer.bytes, engine_.namespaces_.size());
  PutVarint(&answer.bytes, cursor);
  PutVarint(&answer.bytes, unit - cursor);
  ClockOf(partition).EncodeTo(&answer.bytes);
  PutLengthPrefixed(&answer.bytes, writer.Finish());
  PutFixed32(&answer.bytes, Crc32c(answer.bytes));
  answer.next = unit == units ? 0 : unit;
  done(std::move(answer));
}

void ReplicaSide::AddUnit(uint16_t ns, uint16_t slot, BatchWriter* writer) const {
  const auto& index = engine_.partitions_[PartitionOfSlot(slot)].irregular;
  std::map<std::string, KeyRows> keys;
  if (index) {
    auto it = index->keys.lower_bound({ns, slot, {}});
    for (; it != index->keys.end() && it->first.ns == ns && it->first.slot == slot; ++it) {
      keys[it->first.key] = it->second;
    }
  }
  auto add = [&](const Row* row) {
    KeyRows alone;
    auto it = keys.find(std::string(row->key()));
    KeyRows& rows = it == keys.end() ? alone : it->second;
    if (row->row_form() == RowForm::kCollection) {
      engine_.PullAll(row, &rows);
    } else if (!rows.HoldsString()) {
      engine_.PullString(row, &rows);
    }
    for (const auto& [id, state] : alone.rows) writer->AddRow(ns, row->key(), id, {}, state);
  };
  if (SlotTable* table = engine_.Slot(ns, slot)) {
    table->rows.ForEach([&](Row* row) {
      if (row->live()) add(row);
    });
    if (table->cold() > 0) {
      engine_.ForEachColdNow(ns, slot, [&](Row* row) {
        add(row);
        engine_.FreeObject(row);
      });
    }
  }
  for (const auto& [key, rows] : keys) {
    for (const auto& [id, state] : rows.rows) writer->AddRow(ns, key, id, {}, state);
  }
}

// --- the receiver ---

void ReplicaSide::AcceptFull(int partition, std::string_view bytes, Done done) {
  Accepted out;
  Piece piece;
  out.status = ReadPiece(bytes, engine_.namespaces_.size(), &piece);
  if (out.status.ok() && piece.partition != partition) {
    out.status = Corruption("full rows of another node are of another partition");
  }
  if (!out.status.ok()) return done(out);
  bool amnesia = ShowsAmnesia(piece.batch);
  for (const auto& [actor, set] : piece.clock.actors) {
    amnesia |= ShowsAmnesia(partition, actor, set.max());
  }
  if (amnesia) {
    out.status = RotateActor();
    out.own_actor_rotated = out.status.ok();
  }
  if (out.status.ok()) out.status = engine_.log_->Reserve(bytes.size() + 1);
  if (out.status.ok()) out.status = InternClock(piece.clock, true);
  if (out.status.ok()) out.status = Intern(piece.batch.actors, true).status();
  if (!out.status.ok()) return done(out);
  std::string* log = engine_.log_->BeginRecord();
  log->push_back(char(kFullRecord));
  log->append(bytes);
  out.position = engine_.log_->EndRecord();
  out.status = JoinFull(out.position, bytes);
  for (const BatchRow& row : piece.batch.rows) TellOf(row.ns, row.key);
  if (!out.status.ok()) return done(out);
  FullProgress& progress = full_[partition];
  if (piece.first == 0) progress = {};
  PartitionClock clock = Local(piece.clock);
  bool first = progress.units == 0 && piece.first == 0;
  if (!first && piece.first != progress.units) return done(out);  // not the next one: no progress
  progress.clock = first ? clock : Intersection(progress.clock, clock);
  progress.units = piece.first + piece.count;
  if (progress.units == engine_.namespaces_.size() * SlotsPerPartition()) {
    out.status = EndFull(partition, progress.clock, &out.position);
    out.full_complete = out.status.ok();
    full_.erase(partition);
  }
  done(out);
}

Status ReplicaSide::InternClock(const ReplicaClock& clock, bool save) {
  std::vector<Id128> actors;
  for (const auto& [actor, set] : clock.actors) actors.push_back(actor);
  return Intern(actors, save).status();
}

// Also in replay.
Status ReplicaSide::JoinFull(uint64_t end, std::string_view bytes) {
  Piece piece;
  Status status = ReadPiece(bytes, engine_.namespaces_.size(), &piece);
  if (status.ok()) status = InternClock(piece.clock, false);
  if (!status.ok()) return status;
  Result<std::vector<uint16_t>> to = Intern(piece.batch.actors, false);
  if (!to.ok()) return to.status();
  MapBatch(*to, &piece.batch);
  PartitionClock before = engine_.ClockOf(piece.partition), source = Local(piece.clock);
  engine_.BeginJoin();
  for (const OwedClear& clear : piece.batch.clears) {
    status = JoinBatchClear(end, piece.partition, clear);
    if (!status.ok()) return status;
  }
  std::map<std::pair<uint16_t, std::string>, std::vector<const BatchRow*>> keys;
  for (const BatchRow& row : piece.batch.rows) {
    keys[{row.ns, std::string(row.key)}].push_back(&row);
  }
  for (uint64_t unit = piece.first; unit < piece.first + piece.count; unit++) {
    uint16_t ns = uint16_t(unit / SlotsPerPartition()), slot = SlotOfUnit(piece.partition, unit);
    SlotTable& table = engine_.MakeSlot(ns, slot);
    engine_.last_position_[slot] = end;
    if (end > table.captured_at) {
      std::map<std::string, std::vector<const BatchRow*>> of_slot = KeysHere(ns, slot);
      for (auto it = keys.lower_bound({ns, {}}); it != keys.end() && it->first.first == ns; ++it) {
        if (KeySlot(it->first.second) == slot) of_slot[it->first.second] = it->second;
      }
      for (const auto& [key, rows] : of_slot) JoinFullKey(ns, key, rows, before, source);
    }
    UnfinishedClear synced{ClearScope::kSlotSync, ns, RowKind::kBase, source.Minus(before), slot};
    engine_.RememberClear(std::move(synced), piece.partition);
  }
  engine_.EndJoin(0);
  Touch(piece.partition);
  return Status::Ok();
}

// Of the slot, loaded; without rows.
std::map<std::string, std::vector<const BatchRow*>> ReplicaSide::KeysHere(uint16_t ns,
                                                                          uint16_t slot) {
  std::map<std::string, std::vector<const BatchRow*>> out;
  SlotTable* table = engine_.Slot(ns, slot);
  if (table && table->cold() > 0) {
    engine_.ForEachColdNow(
        ns, slot, [&](Row* row) { engine_.InstallLoaded(ns, std::string(row->key()), row); });
  }
  if (table) {
    table->rows.ForEach([&](Row* row) {
      if (row->live()) out[std::string(row->key())];
    });
  }
  if (const auto& index = engine_.partitions_[PartitionOfSlot(slot)].irregular) {
    auto it = index->keys.lower_bound({ns, slot, {}});
    for (; it != index->keys.end() && it->first.ns == ns && it->first.slot == slot; ++it) {
      out[it->first.key];
    }
  }
  return out;
}

void ReplicaSide::JoinFullKey(uint16_t ns, const std::string& key,
                              const std::vector<const BatchRow*>& rows,
                              const PartitionClock& before, const PartitionClock& source) {
  EngineImpl::Spot spot{ns, KeySlot(key), RowTable::HashOf(key, engine_.seed_, kPositionHashBits),
                        key};
  KeyRows& held = engine_.HoldKey(spot);
  if (const Row* row = engine_.FindLive(spot)) {
    if (row->row_form() == RowForm::kCollection) {
      engine_.PullAll(row, &held);
    } else if (!held.HoldsString()) {
      engine_.PullString(row, &held);
    }
  }
  std::map<RowId, const BatchRow*> theirs;
  for (const BatchRow* row : rows) theirs[row->id] = row;
  for (auto& [id, state] : held.rows) {
    auto it = theirs.find(id);
    std::erase_if(state.live, [&](const auto& version) {
      bool lives = it != theirs.end() && it->second->state.live.contains(version.first);
      return source.Contains(version.first) && !lives;
    });
  }
  for (const BatchRow* row : rows) JoinBatchRow(spot, *row, before, &held);
  StripGone(PartitionOfSlot(spot.slot), rows, &held);
  engine_.Show(spot, &held, nullptr);
  engine_.ReleaseKey(spot);
}

// --- the end ---

Status ReplicaSide::EndFull(int partition, const PartitionClock& clock, uint64_t* position) {
  std::string bytes(1, char(kFullEndRecord));
  PutVarint(&bytes, uint64_t(partition));
  Portable(clock).EncodeTo(&bytes);
  Status status = engine_.log_->Reserve(bytes.size());
  if (!status.ok()) return status;
  engine_.log_->BeginRecord()->append(bytes);
  *position = engine_.log_->EndRecord();
  return JoinFullEnd(*position, std::string_view(bytes).substr(1));
}

// Also in replay.
Status ReplicaSide::JoinFullEnd(uint64_t end, std::string_view bytes) {
  ByteReader in(bytes);
  uint64_t partition = in.Varint();
  ReplicaClock clock;
  if (partition >= uint64_t(PartitionCount()) || !ReplicaClock::Decode(&in, &clock) ||
      !in.empty()) {
    return Corruption("malformed end of full rows in the log");
  }
  Status status = InternClock(clock, false);
  if (!status.ok()) return status;
  Partition& p = engine_.partitions_[partition];
  PartitionClock fresh = Local(clock).Minus(engine_.ClockOf(int(partition)));
  p.clock.Join(fresh);
  if (!engine_.replaying_) engine_.NoteClockBytes(p.clock);
  Touch(int(partition));
  if (!p.irregular) return Status::Ok();
  engine_.BeginJoin();
  engine_.StrikeDots(int(partition), fresh);
  std::vector<IrregularIndex::Key> keys;
  if (p.irregular) {
    for (const auto& [key, rows] : p.irregular->keys) keys.push_back(key);
  }
  for (const IrregularIndex::Key& key : keys) {
    if (end <= engine_.MakeSlot(key.ns, key.slot).captured_at) continue;
    EngineImpl::Spot spot{key.ns, key.slot,
                          RowTable::HashOf(key.key, engine_.seed_, kPositionHashBits), key.key};
    status = PrepareOnTheSpot(key.ns, key.key, RowKind::kBase, {});
    if (!status.ok()) return status;
    KeyRows& held = engine_.HoldKey(spot);
    for (auto& [id, state] : held.rows) {
      std::erase_if(state.gone, [&](Dot dot) { return fresh.Contains(dot); });
    }
    engine_.Show(spot, &held, nullptr);
    engine_.ReleaseKey(spot);
  }
  return Status::Ok();
}

}  // namespace redynamo
