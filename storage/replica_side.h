// SPDX-License-Identifier: Apache-2.0
// The engine's part in replication: storage/replica.h over EngineImpl. Data thread. Its functions
// live in replica_record.cc (own and foreign records, actors), replica_pull.cc (the dot index and
// what is pulled), replica_join.cc (joining a batch), replica_full.cc (full sync), replica_drop.cc
// (letting a replica go), replica_tree.cc and replica_leaf.cc (trees and their repair),
// replica_report.cc (clocks, reports), replica_hash.cc (hashes) and replica_siblings.cc (versions
// by contexts).
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/dot_index.h"
#include "storage/engine_impl.h"
#include "storage/portable.h"
#include "storage/replica.h"
#include "storage/replica_batch.h"
#include "storage/siblings.h"
#include "storage/tree.h"

namespace redynamo {

class ReplicaSide {
 public:
  explicit ReplicaSide(EngineImpl* engine) : engine_(*engine) {}
  // Before anything else; nothing is known of any of them then.
  void SetPartitions(int count);

  // --- own records ---
  // Whether EndCommand shall tell of its record.
  bool wants_records() const { return keep_ || engine_.hooks_.on_own_record; }
  // Before the record is sealed; `record`: its payload.
  void CollectOwn(std::string_view record);
  void PublishOwn(uint64_t position);

  // --- foreign ones ---
  using Done = std::function<void(const Accepted&)>;
  void AcceptRecord(std::string_view bytes, Done done);
  void AcceptBatch(int partition, std::string_view bytes, Done done);
  // Records 0x04 and 0x05 of the log, without their type byte.
  Status ReplayPortable(uint64_t end, std::string_view bytes);
  Status ReplayBatch(uint64_t end, std::string_view bytes);
  void ReplayedOwn(std::string_view record);
  // Actors that replay met and the identity file did not know have been interned.
  bool TakeUnsavedActors() { return std::exchange(actors_unsaved_, false); }
  Status RotateActor();

  // --- dot index and pulling ---
  void KeepDots(bool on);
  bool keeps_dots() const { return keep_; }
  void ForgetDots(int partition, const ReplicaClock& everyone_has);
  DotIndexStats DotStats() const;
  void Pull(int partition, const ReplicaClock& theirs, uint64_t max_bytes,
            std::function<void(PullAnswer)> done);

  // --- full sync ---
  void FullRows(int partition, uint64_t cursor, uint64_t max_bytes,
                std::function<void(FullAnswer)> done);
  void AcceptFull(int partition, std::string_view bytes, Done done);
  // Records 0x06 and 0x07 of the log, without their type byte.
  Status JoinFull(uint64_t end, std::string_view bytes);
  Status JoinFullEnd(uint64_t end, std::string_view bytes);

  // --- letting go ---
  Status Drop(int partition, const ReplicaClock& everyone_has);
  Status ReplayDrop(uint64_t end, std::string_view bytes);  // record 0x08
  bool Holds(int partition) const;
  bool EverUsed(int partition) const;  // or has been: its counter says so
  uint64_t BytesOf(int partition);

  // --- trees: storage/tree.h ---
  Tree TreeOf(int partition);
  // False when some dot is not in the index.
  bool TouchedLeaves(int partition, const ReplicaClock& dots, std::set<LeafId>* leaves) const;
  void Verify(int partition, std::function<void(const Status&, uint64_t damaged)> done);
  // Any thread: whether what stands on disk is what the checkpoint stored.
  bool SoundOnDisk(LeafId leaf, const CapturedSlot& stored,
                   const std::shared_ptr<const RowSnapshot>& snapshot) const;
  bool NoteDamage(LeafId leaf);
  std::vector<LeafId> DamagedLeaves() const;
  void CountAnew(LeafId leaf);
  LeafRows RowsOfLeaf(LeafId leaf);
  LeafAccepted AcceptLeaf(LeafId id, std::string_view bytes);
  Status JoinLeaf(uint64_t end, std::string_view bytes);  // record 0x09

  // Bytes for a checkpoint, empty when there are none; and what a checkpoint had.
  std::string EncodeDots(int partition) const;
  bool DecodeDots(int partition, std::string_view bytes);

  // --- reports ---
  ReplicaClock ClockOf(int partition) const;
  ReplicaClock HandoverClock(int partition) const;
  uint64_t ClockHash(int partition);
  uint64_t IrregularHash(int partition);
  bool HasManyRows(int database, std::string_view key) const;
  uint64_t KeyStateHash(int database, std::string_view key);
  uint64_t KeyVersion(int database, std::string_view key);
  std::vector<RowReport> ExplainKey(int database, std::string_view key, size_t max_rows);
  // The partition's clock, or what irregular rows know beyond it, has changed by a join.
  void Touch(int partition) { versions_[size_t(partition)]++; }

  // --- concurrent versions: replica_siblings.cc, by way of StringView ---
  Siblings SiblingsOf(const KeyView& view) const;
  Result<std::string> PutSibling(KeyView* view, std::string_view context, std::string_view value);

 private:
  // For a batch. Holds until the index changes.
  struct Selection {
    struct Item {
      Dot dot;
      const DotIndex::Entry* entry;
    };
    std::vector<Item> dots;
    bool more = false;       // dots are missing there beyond these
    bool need_full = false;  // the first of them is not in the index
  };
  const Id128& IdOf(uint16_t actor) const;
  PortableDot Portable(Dot dot) const;
  ReplicaClock Portable(const PartitionClock& clock) const;
  // What is known here of it.
  PartitionClock Local(const ReplicaClock& clock) const;
  Result<std::vector<uint16_t>> Intern(const std::vector<Id128>& actors, bool save);
  Status SaveActors();
  // True when a dot of the own actor is not known here.
  bool ShowsAmnesia(int partition, const Id128& actor, uint64_t n) const;
  bool ShowsAmnesia(const Batch& batch) const;

  // Loads in the background what the keys and elements need, then calls `ready`.
  struct Needs;
  std::shared_ptr<Needs> NeedsOf(const Batch& batch) const;
  std::shared_ptr<Needs> NeedsOf(const Selection& selection) const;
  std::vector<KeyRef> RefsOf(const Needs& needs) const;
  bool Ready(const Needs& needs) const;
  void WhenReady(std::shared_ptr<Needs> needs, std::function<void(const Status&)> ready);
  Status PrepareOnTheSpot(uint16_t ns, std::string_view key, RowKind kind,
                          std::string_view element) const;
  void FinishRecord(std::string_view bytes, std::vector<PortableEvent>* events, uint64_t hlc,
                    Accepted* out);
  void FinishBatch(std::string_view bytes, Batch* batch, Accepted* out);
  uint64_t LastPositionOf(int partition) const;
  void NoteBases(const std::vector<PortableEvent>& events, Accepted* out) const;
  Status JoinEvents(uint64_t end, uint64_t hlc, const std::vector<PortableEvent>& events);
  void TellOf(const EventEffects& event);
  void TellOf(uint16_t ns, std::string_view key);
  void TellOfClear(ClearScope scope, uint16_t ns, std::string_view key);

  Status JoinBatch(uint64_t end, const Batch& batch);
  Status JoinBatchClear(uint64_t end, int partition, const OwedClear& clear);
  Status JoinBatchKey(uint64_t end, const std::vector<const BatchRow*>& rows,
                      const PartitionClock& before);
  void JoinBatchRow(const EngineImpl::Spot& spot, const BatchRow& row, const PartitionClock& before,
                    KeyRows* held);

  void StripGone(int partition, const std::vector<const BatchRow*>& rows, KeyRows* held) const;

  void AddUnit(uint16_t ns, uint16_t slot, BatchWriter* writer) const;
  std::map<std::string, std::vector<const BatchRow*>> KeysHere(uint16_t ns, uint16_t slot);
  void JoinFullKey(uint16_t ns, const std::string& key, const std::vector<const BatchRow*>& rows,
                   const PartitionClock& before, const PartitionClock& source);
  Status EndFull(int partition, const PartitionClock& clock, uint64_t* position);
  Status InternClock(const ReplicaClock& clock, bool save);

  PartitionClock KnownOf(int partition) const;
  void DropAll(uint64_t end, int partition);
  double ColdKeyBytes();

  bool Settled(LeafId leaf) const;
  uint64_t SumNow(LeafId leaf) const;
  void AddTouched(int partition, const DotIndex::Entry& entry, std::set<LeafId>* leaves) const;
  std::map<std::string, KeyRows> CollectLeaf(LeafId leaf, const std::set<std::string>& named);
  void ForEachReadable(LeafId leaf, const std::function<void(Row*)>& fn);
  bool SyncUnderWay(LeafId leaf) const;
  Status Rebuild(LeafId leaf, const Batch& theirs, LeafAccepted* out);
  Status SelectMissing(const Batch& theirs, bool theirs_win, Batch* missing, LeafAccepted* out);
  bool IsRemoved(const EngineImpl::Spot& spot, const RowId& id, Dot dot) const;
  Status JoinMissing(LeafId leaf, const Batch& missing, uint64_t* position);
  Status LogLeaf(LeafId leaf, uint64_t flags, std::string_view batch, uint64_t* position);

  DotIndex& IndexOf(int partition);
  void AddToIndex(int partition, const std::function<void(DotIndex*)>& change);
  void KeepIndexSmall();
  void Answer(int partition, const ReplicaClock& theirs, uint64_t max_bytes, int round,
              std::function<void(PullAnswer)> done);
  void Select(int partition, const ReplicaClock& theirs, Selection* out) const;
  PullAnswer Build(int partition, const Selection& selection, uint64_t max_bytes) const;
  Status AddRow(const DotIndex::OwedRow& owed, BatchWriter* writer, uint32_t* number) const;
  void AddIrregular(int partition, BatchWriter* writer) const;
  void AddClears(int partition, BatchWriter* writer) const;
  // The row as table and irregular index have it. REQUIRES: what is needed of its key is resident.
  RowState CurrentRow(const EngineImpl::Spot& spot, const RowId& id) const;

  struct RowPlace {  // a RowId by reference
    RowKind kind;
    std::string_view element = {};
    Dot base = 0;
    uint16_t actor = 0;
  };
  void PutPlace(const RowPlace& place, std::string* bytes) const;
  uint64_t HashOfDot(std::string* bytes, Dot dot, uint64_t seed) const;
  EngineImpl::Spot SpotOf(int database, std::string_view key) const;
  const KeyRows* Held(const EngineImpl::Spot& spot) const;  // its irregular rows, or null
  uint64_t HashOfShown(const Row* row) const;
  enum class Dots : uint8_t { kAll, kLive, kUnseen };  // unseen: of what the clock does not say
  uint64_t HashOfDots(std::string_view prefix, const RowId& id, const RowState& state, Dots which,
                      int partition) const;
  uint64_t CountIrregular(int partition) const;
  void RowsOf(int database, std::string_view key, KeyRows* out) const;
  uint64_t HashOfKey(int database, std::string_view key, Dots which) const;
  RowReport ReportOf(const RowId& id, const RowState& state, int partition) const;

  KeyRows StringRows(const KeyView& view) const;
  std::string TextOf(const KeyRows& rows, Dot base, const RowVersion& version) const;
  uint64_t BesideHash(const KeyRows& rows, Dot base) const;
  Result<Dot> SeenDot(int partition, const PortableDot& dot) const;

  EngineImpl& engine_;
  bool keep_ = false;
  std::vector<std::unique_ptr<DotIndex>> index_;            // by partition
  uint64_t dots_ = 0, rows_ = 0, bytes_ = 0, dropped_ = 0;  // of all of index_
  std::map<Id128, uint16_t> local_;                         // identity's actors
  bool actors_unsaved_ = false;
  struct FullProgress {
    uint64_t units = 0;    // accepted, from the first on
    PartitionClock clock;  // what all of their sources had seen
  };
  std::map<int, FullProgress> full_;  // by partition
  std::map<LeafId, bool> damaged_;    // on disk; whether it has been written anew

  std::string own_bytes_;  // between CollectOwn and PublishOwn
  std::vector<EventId> own_ids_, own_bases_;

  struct HashCache {
    uint64_t own_n = UINT64_MAX, version = 0;
    uint64_t clock = 0, irregular = 0;
    uint16_t self = 0;
  };
  HashCache& Fresh(int partition);
  double cold_key_bytes_ = 0;  // about, as of so many checkpoints:
  uint64_t cold_key_checkpoints_ = UINT64_MAX;
  std::vector<uint64_t> versions_;  // by partition
  std::vector<HashCache> hashes_;
  uint64_t first_version_at_ = 0;  // the log's end when KeyVersion first gave a position, plus 1
};

}  // namespace redynamo
