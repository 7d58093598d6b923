// SPDX-License-Identifier: Apache-2.0
// Recovery: the state of the last checkpoint, then the log's tail joined onto it.
//
// A checkpoint records, per namespace and slot, the log position as of which the slot was captured
// and how many keys it had. Replay starts at the checkpoint's start and skips, slot by slot, what
// the capture had already seen. Effects are absolute (a put, a removal, a total), so the rows of a
// large collection, captured over several turns, come out right when what happened meanwhile is
// replayed over them.
#include <algorithm>

#include "base/check.h"
#include "base/log_line.h"
#include "storage/checkpoint_meta.h"
#include "storage/engine_impl.h"

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
      table.on_disk = true;
      namespaces_[ns]->live += captured.live;
    }
  }
  for (int p = 0; p < kPartitionCount && p < int(meta->clocks.size()); p++) {
    partitions_[p].clock = meta->clocks[p];
    partitions_[p].own_n = meta->clocks[p].Max(self_);
  }

  LogOptions log_options;
  log_options.directory = options_.dir + "/log";
  log_options.directory_id = identity_.directory_id;
  log_options.start_position = checkpoint_position_;
  log_options.segment_bytes = options_.log_segment_bytes;
  log_options.sync_mode = options_.sync;
  log_options.salvage = options_.salvage;
  log_options.clock = clock_;
  log_options.on_synced = [this] {
    if (hooks_.wake) hooks_.wake();
  };
  log_options.on_fatal = hooks_.on_fatal;
  uint64_t total_bytes = 0, done_bytes = 0;
  int64_t reported_us = begin_us;
  log_options.on_replay_begins = [&](uint64_t bytes) { total_bytes = bytes; };
  replaying_ = true;
  Result<std::unique_ptr<Log>> log =
      Log::Open(&PosixFileSystem(), log_options, [&](LogPosition end, std::string_view payload) {
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
  for (const std::string& note : log_->report().salvage_notes) LogWarning(note);
  stats_.salvaged_records = log_->report().lost_records;
  if (log_->report().tail_was_cut) {
    LogWarning(log_->report().cut_note);
    identity_.Rotate();
    self_ = uint16_t(identity_.actors.size() - 1);
    Status status = identity_.Save(&PosixFileSystem(), options_.dir);
    if (!status.ok()) return status;
    for (Partition& p : partitions_) {
      p.clock = ClockOf(int(&p - partitions_.data()));
      p.own_n = p.clock.Max(self_);
    }
  }
  for (auto& position : last_position_) position = std::min(position, log_->written());
  stats_.recovery_ms = (clock_->MonotonicUs() - begin_us) / 1000;
  last_checkpoint_end_ms_ = clock_->MonotonicUs() / 1000;
  stats_.last_checkpoint_unix_s = clock_->WallMs() / 1000;
  return Status::Ok();
}

Status EngineImpl::ReplayRecord(uint64_t end, std::string_view payload) {
  if (payload.empty()) return Corruption("empty record in the log");
  if (payload[0] == char(kSwapRecord)) {
    ByteReader in(payload.substr(1));
    uint64_t a = in.Varint(), b = in.Varint();
    if (!in.ok() || a >= database_ns_.size() || b >= database_ns_.size()) {
      return Corruption("record exchanges databases that do not exist; was 'databases' made smaller?");
    }
    if (end > database_ns_position_) {
      SwapDatabases(int(a), int(b));
      database_ns_position_ = end;
    }
    return Status::Ok();
  }
  uint64_t hlc = 0;
  if (payload.size() >= 9) {
    ByteReader in(payload.substr(1));
    hlc = in.Fixed64();
  }
  hybrid_.Observe(hlc, int64_t(hlc >> 16));
  return ReadEvents(payload, &hlc, [&](const EventHeader& event, const Effect& effect) {
    return ReplayEffect(end, hlc, event, effect);
  });
}

Status EngineImpl::ReplayEffect(uint64_t end, uint64_t hlc, const EventHeader& event,
                                const Effect& effect) {
  if (event.partition >= kPartitionCount || event.ns >= namespaces_.size() ||
      DotActor(event.dot) >= identity_.actors.size()) {
    return Corruption("event of an unknown partition, database or actor");
  }
  Partition& partition = partitions_[event.partition];
  partition.clock.Add(event.dot);
  if (DotActor(event.dot) == self_) {
    partition.own_n = std::max(partition.own_n, DotCounter(event.dot));
  }
  uint16_t ns = event.ns;
  if (effect.kind == RowKind::kClear && effect.scope == ClearScope::kNamespace) {
    ApplyClearPartition(ns, event.partition, end);
    return Status::Ok();
  }
  uint16_t slot = KeySlot(effect.key);
  if (PartitionOfSlot(slot) != event.partition) return Corruption("effect outside its partition");
  last_position_[slot] = end;
  SlotTable& table = MakeSlot(ns, slot);
  if (end <= table.captured_at) return Status::Ok();
  uint64_t hash = RowTable::HashOf(effect.key, seed_, kPositionHashBits);
  Row* row = table.rows.Find(hash, effect.key);
  if (!row && table.cold() > 0 && !ReplayUnseen(ns, slot, hash, effect, &row)) {
    Status status = LoadNow(ns, effect.key, &row);
    if (!status.ok()) return status;
  }
  if (row && !row->live()) row = nullptr;
  return ReplayRow(ns, slot, hash, row, hlc, event.dot, effect);
}

// A cold key need not be read from disk for effects that say by themselves what was there: a base
// that removes a dot replaced a string, one that removes none met no key, and a clear met one. Then
// a stand-in takes the old object's place. After a salvage the log has holes, so it does not.
bool EngineImpl::ReplayUnseen(uint16_t ns, uint16_t slot, uint64_t hash, const Effect& effect,
                              Row** row) {
  bool base = effect.kind == RowKind::kBase || effect.kind == RowKind::kImplicitBase;
  bool clear = effect.kind == RowKind::kClear && effect.scope == ClearScope::kKey;
  if (options_.salvage || (!base && !clear)) return false;
  if (base && effect.has_value && effect.removed.empty()) return true;
  if (effect.kind == RowKind::kImplicitBase) return true;
  SlotTable& table = *Slot(ns, slot);
  Row* stand_in = NewRow(effect.key, 0, false);
  stand_in->type = unsigned(ObjectType::kString);
  stand_in->flags |= Row::kOnDisk;
  if (clear) stand_in->flags |= Row::kStaleRows;
  table.rows.Insert(hash, stand_in);
  table.resident++;
  namespaces_[ns]->resident++;
  *row = stand_in;
  return true;
}

Status EngineImpl::ReplayRow(uint16_t ns, uint16_t slot, uint64_t hash, Row* row, uint64_t hlc,
                             Dot dot, const Effect& effect) {
  bool is_string = row && row->object_type() == ObjectType::kString;
  bool is_collection = row && row->row_form() == RowForm::kCollection;
  bool is_new;
  switch (effect.kind) {
    case RowKind::kBase:
    case RowKind::kImplicitBase: {
      if (!effect.has_value && effect.kind == RowKind::kBase) {
        if (is_string) ApplyRemove(ns, slot, hash, row);
        return Status::Ok();
      }
      bool implicit = effect.kind == RowKind::kImplicitBase;
      size_t size = implicit ? CounterCell::SizeFor(0) : effect.value.size();
      row = ApplyValue(ns, slot, hash, effect.key, row, ObjectType::kString,
                       implicit ? RowForm::kCounter : RowForm::kPlain, size, false);
      if (implicit) {
        CounterCell(row->value_data()).Init(0);
        row->flags |= Row::kImplicit;
      } else {
        std::copy(effect.value.begin(), effect.value.end(), row->value_data());
      }
      row->dot = dot;
      row->hlc = hlc;
      return Status::Ok();
    }
    case RowKind::kDeadline:
      if (!row) return Status::Ok();
      if (effect.has_value) {
        ApplyDeadline(ns, slot, hash, row, {effect.number, dot, hlc});
      } else {
        ApplyNoDeadline(ns, slot, hash, row);
      }
      return Status::Ok();
    case RowKind::kTotal:
      if (is_string) ApplyTotal(ns, slot, hash, row, {dot, hlc, effect.number});
      return Status::Ok();
    case RowKind::kField:
    case RowKind::kMember: {
      ObjectType type = effect.kind == RowKind::kField ? ObjectType::kHash : ObjectType::kSet;
      if (!effect.has_value) {
        if (is_collection) ApplyRemoveElement(ns, slot, hash, row, effect.element);
      } else {
        ApplyElement(ns, slot, hash, effect.key, row, type, effect.element, effect.value, false, dot,
                     hlc, &is_new);
      }
      return Status::Ok();
    }
    case RowKind::kImplicitField: {
      std::string cell(CounterCell::SizeFor(0), '\0');
      ApplyElement(ns, slot, hash, effect.key, row, ObjectType::kHash, effect.element, cell, true, dot,
                   hlc, &is_new);
      return Status::Ok();
    }
    case RowKind::kFieldTotal:
      if (is_collection) ReplayFieldTotal(ns, slot, hash, row, hlc, dot, effect);
      return Status::Ok();
    case RowKind::kClear:
      if (row) ApplyRemove(ns, slot, hash, row);
      return Status::Ok();
    case RowKind::kFragment:
      break;
  }
  return Corruption("effect of an unknown kind");
}

void EngineImpl::ReplayFieldTotal(uint16_t ns, uint16_t slot, uint64_t hash, Row* row, uint64_t hlc,
                                  Dot dot, const Effect& effect) {
  Collection::Element e{};
  if (!row->collection()->Find(effect.element, &e)) return;
  std::string cell = CounterCellWith(e, {dot, hlc, effect.number});
  bool is_new;
  ApplyElement(ns, slot, hash, row->key(), row, ObjectType::kHash, effect.element, cell, true, e.dot,
               e.hlc, &is_new);
}

}  // namespace redynamo
