// SPDX-License-Identifier: Apache-2.0
// Repair of a leaf (storage/tree.h): its rows for another replica, and the union of live dots with
// another replica's.
//
//   leaf        := 0x01 flags partition ns slot clock length batch crc:4
//                  flags: 1: the leaf was damaged there, so contents may be wrong
//   record 0x09 := flags ns slot batch    flags: 1: the leaf is emptied first
//
// `clock` is all that the sender had seen, a ReplicaClock; `batch` as in replica_batch.h, live dots
// alone. Numbers are varints. A version that is missing here although its dot is in the clock was
// removed by an event, or is lost. By an event that the sender has seen it cannot have been
// removed, for there it lives; so it is lost unless an event that the sender lacks has touched the
// leaf.
//
// A leaf that is damaged on disk is written anew first: what can be read of it becomes a record, as
// which its table is filled again, and the next checkpoint replaces all that stands on disk. Keys
// behind an unreadable block are found if the other side names them.
#include <algorithm>

#include "base/hash.h"
#include "base/log_line.h"
#include "storage/replica_side.h"
#include "storage/row_format.h"

namespace redynamo {
namespace {

constexpr uint8_t kLeafVersion = 1;
constexpr uint64_t kDoubtful = 1, kEmptied = 1;  // flags: of a leaf, of a record
constexpr uint64_t kLeafBytesMax = 256 << 20;

struct Leaf {
  bool doubtful = false;
  int partition = 0;
  LeafId id;
  ReplicaClock clock;
  Batch batch;
};

bool LiveAlone(const Batch& batch, LeafId leaf) {
  if (!batch.dots.empty() || !batch.clears.empty()) return false;
  return std::all_of(batch.rows.begin(), batch.rows.end(), [&](const BatchRow& row) {
    return row.ns == leaf.ns && KeySlot(row.key) == leaf.slot && row.state.gone.empty();
  });
}

Status ReadLeaf(std::string_view bytes, size_t namespaces, Leaf* out) {
  static constexpr char kMalformed[] = "malformed rows of a leaf of another node";
  if (bytes.size() < 5) return Corruption(kMalformed);
  std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (ByteReader(bytes.substr(body.size())).Fixed32() != Crc32c(body)) {
    return Corruption("rows of a leaf of another node fail their checksum");
  }
  ByteReader in(body);
  uint8_t version = in.Byte();
  uint64_t flags = in.Varint(), partition = in.Varint(), ns = in.Varint(), slot = in.Varint();
  bool good = in.ok() && version == kLeafVersion && partition < uint64_t(PartitionCount()) &&
              ns <= 0xffff && slot < kSlotCount &&
              PartitionOfSlot(uint16_t(slot)) == int(partition);
  if (!good || !ReplicaClock::Decode(&in, &out->clock)) return Corruption(kMalformed);
  std::string_view batch = in.LengthPrefixed();
  if (!in.ok() || !in.empty()) return Corruption(kMalformed);
  out->doubtful = flags & kDoubtful;
  out->partition = int(partition);
  out->id = {uint16_t(ns), uint16_t(slot)};
  Status status = ReadBatch(batch, namespaces, &out->batch);
  if (!status.ok()) return status;
  bool removes = std::any_of(out->batch.rows.begin(), out->batch.rows.end(),
                             [](const BatchRow& row) { return !row.removed.empty(); });
  bool fits = out->batch.partition == out->partition && LiveAlone(out->batch, out->id);
  return fits && !removes ? Status::Ok() : Corruption(kMalformed);
}

}  // namespace

// --- giving ---

// All rows of the leaf that can be read, by key; of `named` keys each one is looked for by itself.
std::map<std::string, KeyRows> ReplicaSide::CollectLeaf(LeafId leaf,
                                                        const std::set<std::string>& named) {
  std::map<std::string, KeyRows> keys;
  if (const auto& index = engine_.partitions_[PartitionOfSlot(leaf.slot)].irregular) {
    auto it = index->keys.lower_bound({leaf.ns, leaf.slot, {}});
    for (; it != index->keys.end() && it->first.ns == leaf.ns && it->first.slot == leaf.slot;
         ++it) {
      keys[it->first.key] = it->second;
    }
  }
  SlotTable* table = engine_.Slot(leaf.ns, leaf.slot);
  if (!table) return keys;
  auto add = [&](const Row* row) {
    KeyRows& rows = keys[std::string(row->key())];
    if (row->row_form() == RowForm::kCollection) {
      engine_.PullAll(row, &rows);
    } else if (!rows.HoldsString()) {
      engine_.PullString(row, &rows);
    }
  };
  table->rows.ForEach([&](Row* row) {
    if (row->live()) add(row);
  });
  if (table->cold() == 0) return keys;
  std::set<std::string> read;
  ForEachReadable(leaf, [&](Row* row) {
    read.emplace(row->key());
    add(row);
    engine_.FreeObject(row);
  });
  for (const std::string& key : named) {
    uint64_t hash = table->rows.HashOf(key);
    Row* row = nullptr;
    if (read.contains(key) || table->rows.Find(hash, key)) continue;
    if (engine_.LoadNow(leaf.ns, key, &row).ok() && row) add(row);
  }
  return keys;
}

// `fn` takes over each object that only the disk has. What cannot be read is passed over.
void ReplicaSide::ForEachReadable(LeafId leaf, const std::function<void(Row*)>& fn) {
  SlotTable& table = *engine_.Slot(leaf.ns, leaf.slot);
  if (table.wiped) return;
  uint64_t first = uint64_t(leaf.slot) << kPositionHashBits;
  KeyRange range = PositionRange(leaf.ns, first, first + (1ull << kPositionHashBits) - 1);
  auto it = engine_.store_->NewHeadIterator(range.lower, range.upper);
  for (; it->Valid(); it->Next()) {
    Result<HeadKey> head = DecodeHeadKey(it->key());
    if (!head.ok() || table.rows.Find(head->position << (64 - kPositionHashBits), head->key)) {
      continue;
    }
    Result<Row*> built = engine_.BuildObject(leaf.ns, head->position, head->key, it->value());
    if (built.ok()) fn(*built);
  }
  if (!it->status().ok()) {
    LogWarning("rows of slot " + std::to_string(leaf.slot) +
               " cannot be read: " + it->status().message());
  }
}

namespace {

std::string BatchOf(LeafId leaf, const std::map<std::string, KeyRows>& keys,
                    const std::vector<Id128>& actors) {
  BatchWriter writer(PartitionOfSlot(leaf.slot), actors);
  for (const auto& [key, rows] : keys) {
    for (const auto& [id, state] : rows.rows) {
      if (!state.live.empty()) writer.AddRow(leaf.ns, key, id, {}, {state.live, {}});
    }
  }
  return writer.Finish();
}

}  // namespace

LeafRows ReplicaSide::RowsOfLeaf(LeafId leaf) {
  LeafRows out;
  int partition = PartitionOfSlot(leaf.slot);
  if (leaf.ns >= engine_.namespaces_.size()) {
    out.status = InvalidArgument("this node does not have that database");
    return out;
  }
  std::string batch = BatchOf(leaf, CollectLeaf(leaf, {}), engine_.identity_.actors);
  if (batch.size() > kLeafBytesMax) {
    out.status = {StatusCode::kNoSpace, "slot " + std::to_string(leaf.slot) +
                                            " is too large to be repaired from a replica"};
    return out;
  }
  out.bytes.push_back(char(kLeafVersion));
  PutVarint(&out.bytes, damaged_.contains(leaf) ? kDoubtful : 0);
  PutVarint(&out.bytes, uint64_t(partition));
  PutVarint(&out.bytes, leaf.ns);
  PutVarint(&out.bytes, leaf.slot);
  ClockOf(partition).EncodeTo(&out.bytes);
  PutLengthPrefixed(&out.bytes, batch);
  PutFixed32(&out.bytes, Crc32c(out.bytes));
  return out;
}

// --- taking ---

LeafAccepted ReplicaSide::AcceptLeaf(LeafId id, std::string_view bytes) {
  LeafAccepted out;
  Leaf leaf;
  out.status = ReadLeaf(bytes, engine_.namespaces_.size(), &leaf);
  if (out.status.ok() && leaf.id != id) {
    out.status = Corruption("rows of a leaf of another node are of another leaf");
  }
  if (!out.status.ok()) return out;
  bool amnesia = ShowsAmnesia(leaf.batch);
  for (const auto& [actor, set] : leaf.clock.actors) {
    amnesia |= ShowsAmnesia(leaf.partition, actor, set.max());
  }
  if (amnesia) {
    out.status = RotateActor();
    out.own_actor_rotated = out.status.ok();
    if (!out.status.ok()) return out;
  }
  std::set<LeafId> touched;
  bool known = TouchedLeaves(leaf.partition, ClockOf(leaf.partition).Minus(leaf.clock), &touched);
  if (!known || touched.contains(leaf.id) || SyncUnderWay(leaf.id)) {
    out.status = {StatusCode::kBusy, "the leaf has changed here since the other side read it"};
    return out;
  }
  out.status = InternClock(leaf.clock, true);
  Result<std::vector<uint16_t>> to = Intern(leaf.batch.actors, true);
  if (out.status.ok()) out.status = to.status();
  if (!out.status.ok()) return out;
  MapBatch(*to, &leaf.batch);
  bool doubtful_here = damaged_.contains(leaf.id);
  if (doubtful_here) out.status = Rebuild(leaf.id, leaf.batch, &out);
  Batch missing;
  if (out.status.ok()) {
    out.status = SelectMissing(leaf.batch, doubtful_here && !leaf.doubtful, &missing, &out);
  }
  if (out.status.ok()) out.status = JoinMissing(leaf.id, missing, &out.position);
  if (out.status.ok() && !leaf.doubtful) damaged_.erase(leaf.id);
  return out;
}

bool ReplicaSide::SyncUnderWay(LeafId leaf) const {
  const auto& index = engine_.partitions_[PartitionOfSlot(leaf.slot)].irregular;
  return index && std::any_of(index->clears.begin(), index->clears.end(), [&](const auto& clear) {
           return clear.scope == ClearScope::kSlotSync && clear.ns == leaf.ns &&
                  clear.slot == leaf.slot;
         });
}

// Once for each damage: the leaf's rows as far as they can be read are all that is kept of it.
Status ReplicaSide::Rebuild(LeafId leaf, const Batch& theirs, LeafAccepted* out) {
  auto damage = damaged_.find(leaf);
  if (damage->second) return Status::Ok();
  std::set<std::string> named;
  for (const BatchRow& row : theirs.rows) named.emplace(row.key);
  std::string batch = BatchOf(leaf, CollectLeaf(leaf, named), engine_.identity_.actors);
  Status status = LogLeaf(leaf, kEmptied, batch, &out->position);
  if (!status.ok()) return status;
  damage->second = out->rebuilt = true;
  return Status::Ok();
}

// Those of their versions that are to be written here: what is missing, and what is known here with
// contents that are more doubtful than theirs.
Status ReplicaSide::SelectMissing(const Batch& theirs, bool theirs_win, Batch* missing,
                                  LeafAccepted* out) {
  missing->partition = theirs.partition;
  for (const BatchRow& row : theirs.rows) {
    uint16_t slot = KeySlot(row.key);
    Status status = PrepareOnTheSpot(row.ns, row.key, row.id.kind, row.id.element);
    if (!status.ok()) {  // seen too late for this time
      NoteDamage({row.ns, slot});
      return status;
    }
    EngineImpl::Spot spot{row.ns, slot, RowTable::HashOf(row.key, engine_.seed_, kPositionHashBits),
                          row.key};
    RowState mine = CurrentRow(spot, row.id);
    BatchRow wanted{row.ns, row.key, row.id, {}, {}};
    for (const auto& [dot, version] : row.state.live) {
      auto here = mine.live.find(dot);
      if (here != mine.live.end() && here->second == version) continue;
      if (here == mine.live.end()) {
        if (mine.gone.contains(dot) || IsRemoved(spot, row.id, dot)) continue;
        out->repaired++;
      } else if (theirs_win && engine_.InClock(theirs.partition, dot)) {
        wanted.removed.Add(dot);  // and then it comes anew
        out->rewritten++;
      } else {
        out->undecided++;
        continue;
      }
      wanted.state.live.emplace(dot, version);
    }
    if (!wanted.state.live.empty()) missing->rows.push_back(std::move(wanted));
  }
  return Status::Ok();
}

// By a clear that came before the version, beside what the row itself remembers.
bool ReplicaSide::IsRemoved(const EngineImpl::Spot& spot, const RowId& id, Dot dot) const {
  const auto& index = engine_.partitions_[PartitionOfSlot(spot.slot)].irregular;
  if (!index) return false;
  const KeyRows* held = index->Find(spot.ns, spot.slot, spot.key);
  return engine_.ClearedUnseen(spot, held ? *held : KeyRows(), id, dot);
}

Status ReplicaSide::JoinMissing(LeafId leaf, const Batch& missing, uint64_t* position) {
  if (missing.rows.empty()) return Status::Ok();
  BatchWriter writer(missing.partition, engine_.identity_.actors);
  for (const BatchRow& row : missing.rows) {
    IntervalSet removed;  // of whole dots
    for (const auto& [actor, set] : row.removed.actors()) {
      for (const auto& i : set.intervals()) {
        removed.AddRange(MakeDot(actor, i.first), MakeDot(actor, i.last));
      }
    }
    writer.AddRow(row.ns, row.key, row.id, removed, row.state);
  }
  Status status = LogLeaf(leaf, 0, writer.Finish(), position);
  for (const BatchRow& row : missing.rows) TellOf(row.ns, row.key);
  return status;
}

Status ReplicaSide::LogLeaf(LeafId leaf, uint64_t flags, std::string_view batch,
                            uint64_t* position) {
  std::string bytes;
  PutVarint(&bytes, flags);
  PutVarint(&bytes, leaf.ns);
  PutVarint(&bytes, leaf.slot);
  bytes.append(batch);
  Status status = engine_.log_->Reserve(bytes.size() + 1);
  if (!status.ok()) return status;
  std::string* log = engine_.log_->BeginRecord();
  log->push_back(char(kLeafRecord));
  log->append(bytes);
  *position = engine_.log_->EndRecord();
  engine_.changes_++;
  return JoinLeaf(*position, bytes);
}

// Also in replay.
Status ReplicaSide::JoinLeaf(uint64_t end, std::string_view bytes) {
  ByteReader in(bytes);
  uint64_t flags = in.Varint(), ns = in.Varint(), slot = in.Varint();
  Batch batch;
  if (!in.ok() || ns >= engine_.namespaces_.size() || slot >= kSlotCount) {
    return Corruption("malformed repair of a leaf in the log");
  }
  LeafId leaf{uint16_t(ns), uint16_t(slot)};
  Status status = ReadBatch(in.rest(), engine_.namespaces_.size(), &batch);
  if (status.ok() && !LiveAlone(batch, leaf)) {
    status = Corruption("malformed repair of a leaf in the log");
  }
  if (!status.ok()) return status;
  Result<std::vector<uint16_t>> to = Intern(batch.actors, false);
  if (!to.ok()) return to.status();
  MapBatch(*to, &batch);
  if (flags & kEmptied) engine_.ApplyClearSlots(leaf.ns, leaf.slot, 1, end);
  engine_.last_position_[leaf.slot] = end;
  engine_.BeginJoin();
  std::map<std::string_view, std::vector<const BatchRow*>> keys;
  for (const BatchRow& row : batch.rows) keys[row.key].push_back(&row);
  const PartitionClock nothing;  // counts as removed here
  for (const auto& [key, rows] : keys) {
    status = JoinBatchKey(end, rows, nothing);
    if (!status.ok()) return status;
  }
  engine_.EndJoin(0);
  Touch(batch.partition);
  return Status::Ok();
}

}  // namespace redynamo
