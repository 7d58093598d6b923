// SPDX-License-Identifier: Apache-2.0
// Recovery: the state of the last checkpoint, then the log's tail joined onto it.
//
// A checkpoint records, per namespace and slot, the log position as of which the slot was captured
// and how many keys it had. Replay starts at the checkpoint's start and skips, slot by slot, what
// the capture had already seen. Effects are absolute (a put, a removal, a total), and those of this
// node say what they replace: so the tail's writes to a large collection read its head alone.
#include <algorithm>

#include "base/check.h"
#include "base/log_line.h"
#include "storage/checkpoint_meta.h"
#include "storage/engine_impl.h"
#include "storage/replica_side.h"

namespace redynamo {

Status EngineImpl::Recover() {
  int64_t begin_us = clock_->MonotonicUs();
  Result<CheckpointMeta> meta = LoadCheckpointMeta(store_.get(), options_.databases);
  if (!meta.ok()) return meta.status();
  checkpoint_position_ = meta->position;
  database_ns_position_ = meta->database_ns_position;
  database_ns_ = meta->database_ns;
  for (size_t ns = 0; ns < meta->slots.size(); ns++) {
    namespaces_.push_back(std::make_unique<Namespace>(uint16_t(ns)));
    for (size_t slot = 0; slot < meta->slots[ns].size(); slot++) {
      const CapturedSlot& captured = meta->slots[ns][slot];
      if (captured.live == 0 && captured.position == 0) continue;
      SlotTable& table = MakeSlot(uint16_t(ns), uint16_t(slot));
      table.live = captured.live;
      table.captured_at = captured.position;
      if (captured.deadlines > 0 || !captured.deadlines_known) {
        NoteColdDeadline(namespaces_[ns].get(), &table, 0);  // look soon
      }
      CountColdVolatiles(uint16_t(ns), table, int64_t(captured.deadlines));
      table.deadlines_unknown = !captured.deadlines_known;
      table.sum = captured.sum;
      table.sum_unknown = !captured.sum_known || table.deadlines_unknown;
      table.on_disk = true;
      namespaces_[ns]->live += captured.live;
    }
  }
  for (int p = 0; p < PartitionCount() && p < int(meta->clocks.size()); p++) {
    partitions_[p].clock = meta->clocks[p];
    partitions_[p].own_n = meta->clocks[p].Max(self_);
  }
  for (const auto& [p, counter] : meta->counters) {
    if (p >= PartitionCount() || counter.actor != self_) continue;  // another own one is in use now
    partitions_[p].own_n = std::max(partitions_[p].own_n, counter.n);
    partitions_[p].own_floor = counter.floor;
  }
  Status irregular = LoadIrregular(meta->irregular);
  if (!irregular.ok()) return irregular;
  for (const auto& [partition, bytes] : meta->dots) {
    if (partition >= PartitionCount() || !replica_->DecodeDots(partition, bytes)) {
      return Corruption("checkpoint record 'dots' is malformed; restore from a backup");
    }
  }

  LogOptions log_options;
  log_options.directory = options_.dir + "/log";
  log_options.directory_id = identity_.directory_id;
  log_options.start_position = checkpoint_position_;
  log_options.segment_bytes = options_.log_segment_bytes;
  log_options.max_record_bytes = options_.max_record_bytes;
  log_options.sync_mode = options_.sync;
  log_options.salvage = options_.salvage;
  log_options.clock = clock_;
  log_options.background_threads = environment_.has_threads();
  log_options.on_synced = [this] {
    if (hooks_.wake) hooks_.wake();
  };
  log_options.on_fatal = hooks_.on_fatal;
  uint64_t total_bytes = 0, done_bytes = 0;
  int64_t reported_us = begin_us;
  log_options.on_replay_begins = [&](uint64_t bytes) { total_bytes = bytes; };
  replaying_ = true;
  Result<std::unique_ptr<Log>> log =
      Log::Open(&environment_.files(), log_options, [&](LogPosition end, std::string_view payload) {
        done_bytes += payload.size();
        stats_.recovered_records++;
        int64_t now_us = clock_->MonotonicUs();
        if (hooks_.on_recovery_progress && now_us - reported_us > 1'000'000) {
          reported_us = now_us;
          hooks_.on_recovery_progress(total_bytes ? double(done_bytes) / double(total_bytes) : 0,
                                      stats_.recovered_records);
        }
        return ReplayRecord(end, payload);
      });
  replaying_ = false;
  if (!log.ok()) {
    if (log.status().code() != StatusCode::kCorruption || options_.salvage) return log.status();
    return Corruption(log.status().message() +
                      ". Nothing was changed. Restore the data directory from a backup, or start "
                      "with --log-salvage yes to go on without what is damaged");
  }
  log_ = std::move(*log);
  if (replica_->TakeUnsavedActors()) {
    Status status = identity_.Save(&environment_.files(), options_.dir);
    if (!status.ok()) return status;
  }
  for (const Partition& p : partitions_) NoteClockBytes(p.clock);
  for (const std::string& note : log_->report().salvage_notes) LogWarning(note);
  stats_.salvaged_records = log_->report().lost_records;
  if (log_->report().tail_was_cut) {
    LogWarning(log_->report().cut_note);
    identity_.Rotate(RandomSource());
    hasher_.SetActors(identity_.actors);
    self_ = identity_.own;
    Status status = identity_.Save(&environment_.files(), options_.dir);
    if (!status.ok()) return status;
    for (Partition& p : partitions_) {
      p.own_n = p.clock.Max(self_);  // clock has the old actor's dots
      p.own_floor = 0;
    }
  }
  for (auto& position : last_position_) position = std::min(position, log_->written());
  stats_.recovery_ms = (clock_->MonotonicUs() - begin_us) / 1000;
  last_checkpoint_end_ms_ = clock_->MonotonicUs() / 1000;
  stats_.last_checkpoint_unix_s = clock_->WallMs() / 1000;
  return Status::Ok();
}

// What a clear of all that this partition has seen takes in a record, at most.
void EngineImpl::NoteClockBytes(const PartitionClock& clock) {
  uint64_t bytes = 20 * (clock.actors().size() + 1);
  for (const auto& [actor, set] : clock.actors()) bytes += 14 * set.intervals().size();
  clock_log_bytes_ = std::max(clock_log_bytes_, bytes);
}

Status EngineImpl::LoadIrregular(const std::map<uint16_t, std::string>& records) {
  for (const auto& [partition, bytes] : records) {
    auto index = std::make_unique<IrregularIndex>();
    ByteReader in(bytes);
    bool good = partition < PartitionCount() && DecodeClears(&in, &index->clears);
    while (good && !in.empty()) {
      IrregularIndex::Key key;
      KeyRows rows;
      good = DecodeKeyRows(&in, &key, &rows) && PartitionOfSlot(key.slot) == partition &&
             key.ns < namespaces_.size();
      if (good && !rows.clears.empty()) index->clearing.insert(key);
      if (good) index->keys.emplace(std::move(key), std::move(rows));
    }
    if (!good)
      return Corruption("checkpoint record 'irregular' is malformed; restore from a backup");
    if (!index->empty()) partitions_[partition].irregular = std::move(index);
  }
  return Status::Ok();
}

Status EngineImpl::ReplayRecord(uint64_t end, std::string_view payload) {
  if (payload.empty()) return Corruption("empty record in the log");
  if (payload[0] == char(kSwapRecord)) {
    ByteReader in(payload.substr(1));
    uint64_t a = in.Varint(), b = in.Varint();
    if (!in.ok()) return Corruption("an exchange of databases ends early");
    Status status = ReplaySwap(end, a, b);
    if (status.ok()) database_ns_position_ = std::max(database_ns_position_, end);
    return status;
  }
  if (payload[0] == char(kPortableRecord)) return replica_->ReplayPortable(end, payload.substr(1));
  if (payload[0] == char(kBatchRecord)) return replica_->ReplayBatch(end, payload.substr(1));
  if (payload[0] == char(kFullRecord)) return replica_->JoinFull(end, payload.substr(1));
  if (payload[0] == char(kFullEndRecord)) return replica_->JoinFullEnd(end, payload.substr(1));
  if (payload[0] == char(kDropRecord)) return replica_->ReplayDrop(end, payload.substr(1));
  if (payload[0] == char(kLeafRecord)) return replica_->JoinLeaf(end, payload.substr(1));
  if (replica_->keeps_dots()) replica_->ReplayedOwn(payload);
  return JoinRecord(end, payload);
}

// The caller notes `end` when the record is through: it may hold several.
Status EngineImpl::ReplaySwap(uint64_t end, uint64_t a, uint64_t b) {
  if (a >= database_ns_.size() || b >= database_ns_.size()) {
    return Corruption(
        "record exchanges databases that do not exist; was 'databases' made smaller?");
  }
  if (end > database_ns_position_) SwapDatabases(int(a), int(b));
  return Status::Ok();
}

// After a salvage the log has holes, and other nodes have seen other states.
bool EngineImpl::SaysByItself(uint16_t ns, uint16_t slot, Dot dot, const Effect& effect) const {
  if (!replaying_ || options_.salvage || identity_.foreign.contains(DotActor(dot))) return false;
  const IrregularIndex* index = partitions_[PartitionOfSlot(slot)].irregular.get();
  return !index || (index->clears.empty() && !index->Find(ns, slot, effect.key));
}

// The element that the effect names, of a sparse collection, from disk; or in replay, where an
// effect of this node says what was there, a mark that it was absent or a stand-in for what it
// removes. So the tail's writes to a large collection read nothing.
Status EngineImpl::ReadyElement(const Row* row, Dot dot, const Effect& effect) const {
  bool names_one = effect.kind == RowKind::kField || effect.kind == RowKind::kImplicitField ||
                   effect.kind == RowKind::kFieldTotal || effect.kind == RowKind::kMember;
  if (!names_one || !row || row->row_form() != RowForm::kCollection) return Status::Ok();
  Collection* c = row->collection();
  if (!c->sparse() || c->Knows(effect.element)) return Status::Ok();
  uint16_t slot = KeySlot(effect.key);
  bool same_kind = (effect.kind == RowKind::kMember) == (ElementKind(row) == RowKind::kMember);
  bool adds = effect.has_value || effect.kind == RowKind::kImplicitField;
  if (same_kind && effect.kind != RowKind::kFieldTotal &&
      SaysByItself(c->sparse_state()->ns, slot, dot, effect)) {
    if (adds && effect.removed.empty()) {
      c->InstallAbsent(effect.element);
      return Status::Ok();
    }
    if (effect.removed.size() == 1 && InClock(PartitionOfSlot(slot), effect.removed[0])) {
      Row* stand_in = NewRow(effect.element, 0, false);
      stand_in->flags |= Row::kOnDisk;
      stand_in->dot = effect.removed[0];
      stand_in->flags |= Row::kDirty;
      SlotTable& table = *namespaces_[c->sparse_state()->ns]->slots[slot];
      uint64_t dirty_before = c->dirty_bytes();
      c->InstallRow(stand_in);
      CountDirty(table, 0, c->dirty_bytes() - dirty_before);
      table.sum_unknown = true;
      return Status::Ok();
    }
  }
  ElementWant want;
  want.names.emplace_back(effect.element);
  return LoadElementsNow(row, std::move(want));
}

// A cold key need not be read from disk for effects of this node that say by themselves what was
// there: a base that removes a dot replaced a string, one that removes none met no key (unless it
// says so), and a clear met one. Then a stand-in takes the old object's place.
bool EngineImpl::ReplayUnseen(uint16_t ns, uint16_t slot, uint64_t hash, Dot dot,
                              const Effect& effect, Row** row) {
  if (!SaysByItself(ns, slot, dot, effect)) return false;
  bool base = effect.kind == RowKind::kBase || effect.kind == RowKind::kImplicitBase;
  int partition = PartitionOfSlot(slot);
  bool clear = effect.kind == RowKind::kClear && effect.scope == ClearScope::kKey &&
               effect.context == ClockOf(partition);
  if (!base && !clear) return false;
  if (base && effect.has_value && effect.removed.empty()) return !effect.had_deadline;
  if (effect.kind == RowKind::kImplicitBase) return true;
  if (base && (effect.removed.size() != 1 || !InClock(partition, effect.removed[0]))) return false;
  SlotTable& table = *Slot(ns, slot);
  Row* stand_in = NewRow(effect.key, 0, false);
  stand_in->type = unsigned(ObjectType::kString);
  stand_in->flags |= Row::kOnDisk;
  if (base) stand_in->dot = effect.removed[0];
  if (clear) stand_in->flags |= Row::kStaleRows;
  table.rows.Insert(hash, stand_in);
  MarkNew(table, hash, stand_in, stand_in->content_bytes());
  table.sum_unknown = true;  // what the old object had in it is not known
  if (effect.had_deadline) CountColdVolatiles(ns, table, -1);
  table.resident++;
  namespaces_[ns]->resident++;
  *row = stand_in;
  return true;
}

}  // namespace redynamo
