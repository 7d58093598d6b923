// SPDX-License-Identifier: Apache-2.0
// The engine's state and its parts' duties. Everything here belongs to the data thread unless a
// member says otherwise. Its functions live in:
//
//   engine.cc           opening, closing, the loop, figures
//   engine_lookup.cc    finding keys, access clocks, hiding and removing what has expired
//   engine_write.cc     the verbs behind the views: make an event, log it, apply it
//   engine_apply.cc     changing rows in memory; replay uses the same functions
//   engine_long.cc      long strings changed in place
//   join.cc, join_rows.cc, join_fragments.cc, join_show.cc   any event of any actor in any order
//   write_irregular.cc  the verbs on keys that have concurrent versions
//   engine_recover.cc   the log's tail joined onto the last checkpoint
//   engine_scan.cc, engine_sum.cc   SCAN, KEYS and RANDOMKEY; sums of captured rows
//   replica_*.cc        other nodes' events and ours for them: class ReplicaSide
//   engine_checkpoint.cc, engine_load.cc, engine_elements.cc, engine_expire.cc, engine_evict.cc
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "storage/background.h"
#include "storage/checkpoint_meta.h"
#include "storage/cold_read.h"
#include "storage/collection.h"
#include "storage/counter.h"
#include "storage/delta.h"
#include "storage/engine.h"
#include "storage/environment.h"
#include "storage/identity.h"
#include "storage/irregular.h"
#include "storage/key_walk.h"
#include "storage/log.h"
#include "storage/lookup_probe.h"
#include "storage/row_store.h"
#include "storage/row_sum.h"
#include "storage/row_table.h"
#include "storage/slot_table.h"

namespace redynamo {

// Collections of more elements are freed in the background.
inline constexpr uint64_t kFreeInlineElementsMax = 64;
inline constexpr int kBackgroundThreads = 2;

class ReplicaSide;

class EngineImpl {
 public:
  struct CheckpointJob;

  EngineImpl(const EngineOptions& options, EngineHooks hooks, const Clock* clock);
  ~EngineImpl();

  // --- engine.cc ---
  Status Open();
  Status Close(bool checkpoint);
  bool RunBackground();
  Identity::RandomSource RandomSource();
  void BeginCommand(int64_t now_ms) {
    now_ms_ = now_ms;
    depends_ = 0;
  }
  uint64_t EndCommand();
  Status ReserveWrite(uint64_t bytes);
  // An event's header and tags, and the clock of a clear: per actor its index and one interval.
  uint64_t EventLogBytes() const { return kEffectLogBytes + clock_log_bytes_; }
  void NoteClockBytes(const PartitionClock& clock);
  void SetPartitions(int count);
  uint64_t ClearLogBytes(int database) const;
  uint64_t ReplyPosition() const {
    return options_.sync == SyncMode::kAlways ? log_->synced() : log_->written();
  }
  Status WriteTurn();
  void Poll();
  bool Tick(int64_t now_ms, int64_t budget_us);
  void ApplySyncMode() {
    log_->SetSyncMode(checkpoint_waits_sync_ ? SyncMode::kAlways : options_.sync);
  }
  void Reconfigure(const EngineOptions& options);
  void SwapDatabases(int a, int b);
  EngineStats Stats() const;
  std::string Digest();
  std::string KeyDigest(int database, std::string_view key);

  // --- engine_lookup.cc ---
  uint16_t NamespaceOf(int database) const { return database_ns_[database]; }
  int DatabaseOf(uint16_t ns) const;
  Namespace& Ns(uint16_t ns) { return *namespaces_[ns]; }
  SlotTable* Slot(uint16_t ns, uint16_t slot) { return namespaces_[ns]->slots[slot].get(); }
  SlotTable& MakeSlot(uint16_t ns, uint16_t slot);
  void Prefetch(int database, std::span<const LookupHint> hints);
  void PrefetchElements(Namespace& space);
  void QueueProbedElements(const Namespace& space);
  // The key's slot and hash, from the prefetched ones if it is among them.
  void Locate(std::string_view key, uint16_t* slot, uint64_t* hash);
  // Fills the view's place and its live row, if any. `access`: renews the last access.
  void Lookup(int database, std::string_view key, bool access, KeyView* view);
  bool Expired(const Row* row) const {
    return row->Has(Row::kHasDeadline) && row->deadline().at_ms <= now_ms_;
  }
  void TouchAccess(Row* row);
  bool lfu() const {
    return options_.policy == EvictionPolicy::kAllKeysLfu ||
           options_.policy == EvictionPolicy::kVolatileLfu;
  }
  uint32_t AccessNow() const;
  int64_t IdleSeconds(const Row* row) const;
  int Frequency(const Row* row) const;
  // The removal event of an expired key; false when the log has no room (the key stays hidden).
  bool RemovalIsDue(uint16_t slot, const Row* row) const;  // for the sweep: see EngineHooks
  bool RemoveExpired(uint16_t ns, uint16_t slot, uint64_t hash, Row* row);
  void DependOnSlot(uint16_t slot) {
    if (last_position_[slot] > depends_) depends_ = last_position_[slot];
  }

  // --- engine_write.cc: each logs its effects and applies them, and keeps the view's row_ current
  void WriteBase(KeyView* view, std::string_view value, DeadlineChange deadline, bool raw);
  Result<int64_t> AddToCounter(KeyView* view, int64_t increment);
  void WriteDeadline(KeyView* view, int64_t at_ms);
  void DropDeadline(KeyView* view);
  void RemoveKey(KeyView* view);
  bool PutElement(KeyView* view, ObjectType type, std::string_view element, std::string_view value);
  bool RemoveElement(KeyView* view, std::string_view element);
  Result<int64_t> AddToField(KeyView* view, std::string_view field, int64_t increment);
  void CopyKey(const KeyView& from, KeyView* to);
  void ClearDatabase(int database, const PartitionSet* share);

  // --- engine_apply.cc: rows in memory only; used by the verbs and by replay ---
  // A live row for the key with room for `value_len` bytes, made or resized; the caller fills the
  // value. An old collection is let go. Marks it dirty.
  Row* ApplyValue(uint16_t ns, uint16_t slot, uint64_t hash, std::string_view key, Row* row,
                  ObjectType type, RowForm form, size_t value_len, bool keep_deadline);
  Row* ApplyDeadline(uint16_t ns, uint16_t slot, uint64_t hash, Row* row, const Deadline& deadline);
  Row* ApplyNoDeadline(uint16_t ns, uint16_t slot, uint64_t hash, Row* row);
  void ApplyRemove(uint16_t ns, uint16_t slot, uint64_t hash, Row* row);
  Row* ApplyElement(uint16_t ns, uint16_t slot, uint64_t hash, std::string_view key, Row* row,
                    ObjectType type, std::string_view element, std::string_view value, bool counter,
                    Dot dot, uint64_t hlc, bool* is_new);
  // Gives null when that was the last element and the key is gone.
  Row* ApplyRemoveElement(uint16_t ns, uint16_t slot, uint64_t hash, Row* row,
                          std::string_view element);
  Row* ApplyTotal(uint16_t ns, uint16_t slot, uint64_t hash, Row* row, const CounterTotal& total);
  // Slots that were captured at or after `end` have it behind them already (replay).
  void ApplyClearSlots(uint16_t ns, int first, int count, uint64_t end);
  // Before a change of the row: its hash leaves the leaf's sum. Once is enough.
  void MarkDirty(SlotTable& table, uint64_t hash, Row* row) {
    if (row->Has(Row::kDirty)) return;
    table.sum -= CleanSum(hash, row);
    MarkNew(table, hash, row, HeadBytes(row));
  }
  // A row that has just been made, of so many HeadBytes.
  void MarkNew(SlotTable& table, uint64_t hash, Row* row, uint64_t bytes);
  // Dirty memory has changed by so much (modulo 2^64: it may shrink).
  void CountDirty(SlotTable& table, uint64_t rows, uint64_t bytes) const {
    table.dirty_rows += rows;
    table.dirty_bytes += bytes;
    stats_.dirty_rows += rows;
    stats_.dirty_bytes += bytes;
  }
  // Dirty memory of a key is that of its row, once that is dirty, and of what changes beside it:
  // elements that are rows, and fragments.
  static uint64_t PackedBytes(const Row* row) {
    bool packed = row->row_form() == RowForm::kCollection && !row->collection()->native();
    return packed ? row->collection()->dirty_bytes() : 0;
  }
  static uint64_t HeadBytes(const Row* row) { return row->content_bytes() + PackedBytes(row); }
  static uint64_t BesideBytes(const Row* row);
  static uint64_t DirtyBytes(const Row* row) {
    return (row->Has(Row::kDirty) ? HeadBytes(row) : 0) + BesideBytes(row);
  }
  // What the row has beside its head vanishes, dirty or clean.
  void ForgetElements(SlotTable& table, const Row* row);
  static ElementSum* SumOf(const Row* row);  // null when it has but a head
  void FreeObject(Row* row);  // with its collection or long string, in the background when large
  void FreeValue(Row* row);   // these alone
  void FreeCollection(Collection* c);
  bool FitsPacked(const Collection& c, ObjectType type, std::string_view element,
                  std::string_view value) const;

  // --- engine_recover.cc ---
  Status Recover();
  Status LoadIrregular(const std::map<uint16_t, std::string>& records);
  Status ReplayRecord(uint64_t end, std::string_view payload);
  Status ReplaySwap(uint64_t end, uint64_t a, uint64_t b);
  bool ReplayUnseen(uint16_t ns, uint16_t slot, uint64_t hash, Dot dot, const Effect& effect,
                    Row** row);
  Status ReadyElement(const Row* row, Dot dot, const Effect& effect) const;
  bool SaysByItself(uint16_t ns, uint16_t slot, Dot dot, const Effect& effect) const;

  // --- join.cc: REPLICATION.md section 4.2 ---
  struct Spot {
    uint16_t ns, slot;
    uint64_t hash;
    std::string_view key;
  };
  // Joins the events of a record that ends at log position `end`. Keys that are cold are loaded on
  // the spot. kCorruption on what no writer wrote; what came before that has been joined.
  Status JoinRecord(uint64_t end, std::string_view payload);
  void BeginJoin();
  void EndJoin(uint64_t hlc);
  Status JoinEffect(uint64_t end, uint64_t hlc, const EventHeader& event, const Effect& effect);
  bool JoinRegular(const Spot& spot, Row* row, uint64_t hlc, Dot dot, const Effect& effect);
  bool JoinRegularBase(const Spot& spot, Row* row, uint64_t hlc, Dot dot, const Effect& effect);
  bool JoinRegularDeadline(const Spot& spot, Row* row, uint64_t hlc, Dot dot, const Effect& effect);
  bool JoinRegularElement(const Spot& spot, Row* row, uint64_t hlc, Dot dot, const Effect& effect);
  bool JoinRegularFragment(const Spot& spot, Row* row, uint64_t hlc, Dot dot, const Effect& effect);
  bool JoinRegularFieldTotal(const Spot& spot, Row* row, uint64_t hlc, Dot dot,
                             const Effect& effect);
  bool InClock(int partition, Dot dot) const;
  bool IsOpen(int partition, Dot dot) const;   // of an event of the record being joined
  bool IsDead(int partition, Dot base) const;  // for a base that is not live
  // Whether the view's key has rows in the irregular index.
  bool Entangled(const KeyView& view) const {
    const IrregularIndex* index = partitions_[PartitionOfSlot(view.slot_)].irregular.get();
    return index && index->Find(view.ns_, view.slot_, view.key_);
  }

  // --- join_rows.cc: full row states ---
  void JoinIrregular(const Spot& spot, uint64_t hlc, Dot dot, const Effect& effect);
  Status LoadShown(const Spot& spot);
  KeyRows& HoldKey(const Spot& spot);
  void ReleaseKey(const Spot& spot);
  Row* FindLive(const Spot& spot) const;
  // Takes into `held` what the table shows: the string, the deadline, one element, all.
  void PullString(const Row* row, KeyRows* held) const;
  void PullDeadline(const Row* row, KeyRows* held) const;
  void PullElement(const Row* row, std::string_view element, KeyRows* held) const;
  void PullAll(const Row* row, KeyRows* held) const;
  void PullFor(const Row* row, RowKind kind, std::string_view element, KeyRows* held) const;
  bool ClearedUnseen(const Spot& spot, const KeyRows& held, const RowId& id, Dot dot) const;
  void JoinRow(const Spot& spot, uint64_t hlc, Dot dot, const Effect& effect, KeyRows* held);
  void ClearKeyRows(const Spot& spot, ClearScope scope, RowKind cleared_kind,
                    const PartitionClock& context, KeyRows* held);
  void JoinClearOfMany(uint64_t end, const EventHeader& event, const Effect& effect);
  void ClearNamespacePart(uint16_t ns, int partition, const PartitionClock& context, uint64_t end,
                          Dot event = 0);
  void RememberClear(UnfinishedClear clear, int partition);  // of many keys
  void StrikeDots(int partition, const PartitionClock& dots);
  bool Regular(int partition, const RowState& state) const;

  // --- engine_long.cc, join_fragments.cc ---
  // Changes a part of a long string; false when it is to be written anew, as a base.
  // REQUIRES: bytes is no part of the string.
  bool WriteFragments(KeyView* view, uint64_t offset, std::string_view bytes);
  void WriteFragmentsIrregular(KeyView* view, uint64_t offset, std::string_view bytes);
  bool OnlyFragmentsEntangled(const KeyView& view) const;
  Row* MakeLong(const Spot& spot, Row* row);
  Row* ApplyFragment(const Spot& spot, Row* row, uint32_t index, std::string_view bytes, Dot dot,
                     uint64_t hlc);
  void ApplyRemoveFragment(const Spot& spot, Row* row, uint32_t index);
  // Installs what the store has of the string's fragments; the row may move. Any thread.
  Status LoadFragments(uint16_t ns, uint64_t position, Row** row);
  void PullFragment(const Row* row, const RowId& id, KeyRows* held) const;
  void PullForFragment(const Row* row, const RowId& id, KeyRows* held) const;
  void JoinFragment(const Spot& spot, uint64_t hlc, Dot dot, const Effect& effect);
  void ShowFragment(const Spot& spot, KeyRows* held, const RowId& id);
  uint64_t CaptureFragmentSlice(CheckpointJob* job, uint16_t ns, uint64_t position, Row* row);

  // --- join_show.cc: makes the table show what the key's rows say ---
  bool Newer(Dot a, uint64_t a_hlc, Dot b, uint64_t b_hlc) const;
  const std::pair<const Dot, RowVersion>* Winner(const RowState& state) const;
  // `only`: the element row that has changed, or null for all. Rows that are regular leave `held`.
  void Show(const Spot& spot, KeyRows* held, const RowId* only);
  ObjectType ShownKind(const Row* row, const KeyRows& held) const;
  void DropDead(int partition, KeyRows* held, const RowId* only) const;
  void ShowString(const Spot& spot, KeyRows* held);
  Row* ShowValue(const Spot& spot, RowForm form, std::string_view value);
  void ShowElements(const Spot& spot, ObjectType type, KeyRows* held, const RowId* only);
  bool ShowField(const Spot& spot, const std::string& field, KeyRows* held);
  bool ShowMember(const Spot& spot, const std::string& member, KeyRows* held);
  void ShowCollectionDeadline(const Spot& spot, KeyRows* held);

  // --- write_irregular.cc: the verbs on entangled keys ---
  void WriteEffects(KeyView* view, std::vector<Effect> effects);
  // Of a clear of the key, or of a database's part: all that is seen, or shown.
  PartitionClock ClearContext(const KeyView& view) const;
  PartitionClock ClearContext(uint16_t ns, int partition) const;
  void ClearHiddenKinds(const KeyView& view, std::vector<Effect>* effects);
  std::vector<Dot> LiveDots(const KeyView& view, const RowId& id);
  Spot SpotOf(const KeyView& view) const { return {view.ns_, view.slot_, view.hash_, view.key_}; }
  void WriteBaseIrregular(KeyView* view, std::string_view value, int64_t deadline_ms);
  Result<int64_t> AddToCounterIrregular(KeyView* view, int64_t increment);
  void WriteDeadlineIrregular(KeyView* view, int64_t at_ms);
  void DropDeadlineIrregular(KeyView* view);
  void RemoveKeyIrregular(KeyView* view);
  bool PutElementIrregular(KeyView* view, ObjectType type, std::string_view element,
                           std::string_view value);
  bool RemoveElementIrregular(KeyView* view, std::string_view element);
  Result<int64_t> AddToFieldIrregular(KeyView* view, std::string_view field, int64_t increment);

  // --- engine_checkpoint.cc ---
  void StartCheckpoint();
  bool StepCheckpoint(int64_t deadline_us);  // true while there is more to capture now
  void FinishCheckpoint(Status status, std::shared_ptr<const RowSnapshot> snapshot);
  bool CheckpointDue() const;
  bool CheckpointUrgent() const;  // waited for, or the log and memory fill up meanwhile
  // True when enough of the disk stays free beside what a checkpoint writes.
  bool RoomForCheckpoint();
  void PutOffCheckpoint(uint64_t free_bytes, uint64_t wanted_bytes);
  void StepSettle();
  void CaptureSlot(CheckpointJob* job, uint16_t ns, uint16_t slot);
  void CaptureIrregular(CheckpointJob* job, uint16_t ns, uint16_t slot);
  void CaptureRows(CheckpointJob* job, uint16_t ns, uint16_t slot, SlotTable* table);
  void CaptureRow(CheckpointJob* job, uint16_t ns, uint16_t slot, SlotTable* table, Row* row);
  bool CaptureElements(CheckpointJob* job, uint16_t ns, uint16_t slot);
  bool CapturingElementsOf(uint16_t slot) const;
  // True: it was the last one.
  bool CaptureElementSlice(CheckpointJob* job, uint16_t ns, uint16_t slot, uint64_t position);
  void FinishFragmentCapture(uint16_t ns, uint16_t slot);
  // A collection that no key holds any more lives on until the rest of it is captured.
  void KeepCaptured(Collection* c);
  // The slot's collections are going to be freed: their capture ends. A clear that comes later in
  // the log voids what it has got.
  void DropElementCapture(uint16_t ns, uint16_t slot);
  void FlushCapture(CheckpointJob* job);
  void DropAbsents(const CheckpointJob& job);
  void RedirtyCaptured(const CheckpointJob& job);
  PartitionClock ClockOf(int partition) const;
  bool Capturing() const;  // a checkpoint is walking the slots

  // --- engine_load.cc ---
  using LoadKey = std::pair<uint16_t, std::string>;
  bool Resident(std::span<const KeyRef> keys);
  void Load(std::span<const KeyRef> keys, std::function<void(Status)> done);
  // The object of a head record with its element rows; null when the head is not there. Any thread.
  Result<Row*> BuildObject(uint16_t ns, uint64_t position, std::string_view key,
                           std::optional<std::string_view> head);
  // Loads at once, on the calling thread: only replay may block like that.
  Status LoadNow(uint16_t ns, std::string_view key, Row** row);
  PendingLoad& QueueLoad(LoadKey key);
  bool AllResident() const {
    return std::all_of(namespaces_.begin(), namespaces_.end(), [](const auto& space) {
      return space->live == space->resident && space->sparse == 0;
    });
  }
  bool KnownAbsent(uint16_t ns, std::string_view key) const;
  void FlushLoads();
  void TakeLoads(size_t count, std::vector<ColdRead>* batch);
  void PostLoads(std::shared_ptr<std::vector<ColdRead>> batch);
  Status ReadCold(std::vector<ColdRead>* batch);
  void FinishLoads(std::vector<ColdRead>* batch, const Status& status);
  void InstallLoaded(uint16_t ns, std::string_view key, Row* row);
  bool StepWarmUp();
  bool WarmUpLarge();
  bool WarmUpFull() const;

  // --- engine_elements.cc: large collections that are not whole in memory ---
  void CountSparse(uint16_t ns, uint16_t slot, int delta) const;
  Status ReadRange(const ElementSource& source, const ElementWant::Range& want, uint64_t bytes_max,
                   ElementsRead* read, HashRange* range) const;
  Status ReadRangesAndDraws(ColdRead* item) const;
  Status ReadElements(std::span<ColdRead* const> items) const;
  static ElementNeed NeedOf(const KeyRef& ref, const Collection& c);
  static bool HasNeeded(const KeyRef& ref, const Collection& c);
  void AddWant(const KeyRef& ref, const Collection* c, ElementWant* want);
  void LoadElements(const KeyRef& ref, uint16_t ns, Row* row, std::shared_ptr<LoadCall> call);
  ElementSource SourceOf(const Row* row) const;
  Row* FindSparse(const ElementSource& source, uint64_t serial) const;
  void FinishElements(ColdRead* item, const Status& status);
  void LoadWhole(uint16_t ns, Row* row, std::shared_ptr<LoadCall> call);
  void StepWhole(uint64_t serial);
  void FinishWholeSlice(ColdRead* item, const Status& status);
  void MakeWhole(const Row* row) const;
  Status LoadElementsNow(const Row* row, ElementWant want) const;
  // Through these, commands and joins see collections: what is not in memory is read on the spot.
  void Ensure(const Row* row, std::string_view element) const;
  bool FindElement(const Row* row, std::string_view element, Collection::Element* out) const;
  Collection* Whole(const Row* row) const;
  uint64_t ScanElements(const Row* row, uint64_t cursor, uint64_t count,
                        std::vector<Collection::Element>* out) const;
  Collection::Element SampleElement(const Row* row, Random& random) const;

  // --- engine_scan.cc ---
  struct ListingTask {
    std::shared_ptr<KeyListings> result;
    std::function<void(const Status&, std::shared_ptr<KeyListings>)> done;
    size_t index;      // of the listing being read
    std::string next;  // head key to go on from; empty: its beginning
  };
  std::optional<uint64_t> ReadFrom(const KeyWalk& walk) const;
  KeyListing* ListingFor(const KeyWalk& walk, const KeyListings* listings) const;
  bool WalksReady(std::span<const KeyWalk> walks, const KeyListings* listings) const;
  void PrepareWalks(std::span<const KeyWalk> walks,
                    std::function<void(const Status&, std::shared_ptr<KeyListings>)> done);
  void ReadListings(ListingTask task);
  Status ReadHeads(KeyListing* listing, std::string* next, bool* more) const;  // any thread
  // The row leaves its table: a live one is paged out, an absent one has left the disk, too. To be
  // called for every such row while listings_ is not empty.
  void NoteForListings(uint16_t ns, uint16_t slot, uint64_t hash, const Row* row);
  uint64_t WalkKeys(const KeyWalk& walk, const std::function<void(const WalkedKey&)>& fn);
  uint64_t WalkSlot(uint16_t ns, SlotTable& table, const KeyListing* listing, uint64_t first,
                    uint64_t limit, uint64_t count, uint64_t* given,
                    const std::function<void(const WalkedKey&)>& fn);
  std::optional<std::string> RandomColdKey(uint16_t ns, const PartitionSet* share, Random& random);
  void ForEachColdNow(uint16_t ns, uint16_t slot, const std::function<void(Row*)>& fn);

  // --- engine_expire.cc ---
  struct ColdSweep;
  bool SweepExpired(int64_t deadline_us);
  bool ColdSweepsWait() const;
  void StepColdSweep(int64_t pause_us = 0);  // which passes before it begins
  void StartColdSweep(uint16_t ns, uint16_t first, int64_t pause_us);
  void PostColdSweep(std::shared_ptr<ColdSweep> sweep, int64_t pause_us);
  Status ReadColdSweep(ColdSweep* sweep);  // any thread
  void FinishColdSweep(const std::shared_ptr<ColdSweep>& sweep, const Status& status);
  bool RemoveCold(uint16_t ns, Row* row);
  // A cold key with this deadline has come into being.
  static void NoteColdDeadline(Namespace* space, SlotTable* table, int64_t at_ms);
  // Of the slot's cold keys, so many more (fewer) have a deadline.
  void CountColdVolatiles(uint16_t ns, SlotTable& table, int64_t change) {
    table.cold_volatiles += change;
    namespaces_[ns]->cold_volatiles += change;
  }

  // --- engine_evict.cc ---
  static void NoteDeadlines(Namespace& space, double average_ms);
  bool EvictionBarren();
  bool AnyEvictable() const;
  bool EvictToLimit(int64_t deadline_us);
  uint64_t UsedMemory() const;
  bool DirtyMemoryHigh() const;
  bool WritersMustWait() const;  // too much of maxmemory is dirty: the checkpoint comes first
  // --- engine_scrub.cc ---
  void StepScrub();
  void ScrubTask();
  Status SnapshotWithMeta(std::shared_ptr<const RowSnapshot>* snapshot, CheckpointMeta* meta) const;

  // --- engine_sum.cc: storage/row_sum.h ---
  // What a clean head row has in its leaf's sum, element rows of a large collection apart.
  uint64_t CleanSum(uint64_t hash, const Row* row) const {
    if (!row->live()) return 0;
    if (row->object_type() == ObjectType::kString) return hasher_.String(hash, row);
    if (!row->collection()->native()) return row->hlc;
    return row->Has(Row::kHasDeadline) ? hasher_.DeadlineRow(hash, 0, row->deadline()) : 0;
  }
  // The row's contents are what stands, or will stand, on disk: any thread, for a row of its own.
  void Seal(uint64_t hash, Row* row) const;
  struct LeafToCount {
    uint16_t ns, slot;
    uint64_t count;     // as the table's sum_count
    int64_t deadlines;  // keys that have one, as the capture took it to be
    uint64_t stored;    // the sum that the checkpoint stored
  };
  // What stands on disk of a leaf, fragments and elements apart.
  struct LeafCount {
    uint64_t sum = 0;
    uint64_t keys = 0;
    uint64_t deadlines = 0;  // of them
  };
  void NoSumOf(CheckpointJob* job, uint16_t ns, uint16_t slot);
  void CaptureSum(SlotTable& table, uint16_t ns, uint16_t slot, CapturedSlot* captured,
                  std::vector<LeafToCount>* to_count);
  void CountLeaves(std::vector<LeafToCount> leaves, std::shared_ptr<const RowSnapshot> snapshot);
  void DropCounting(const std::vector<LeafToCount>& leaves);
  Status CountLeaf(uint16_t ns, uint16_t slot, std::shared_ptr<const RowSnapshot> snapshot,
                   LeafCount* count) const;  // any thread
  // What records on disk count, heads first; any thread. Fragments count while their base lives:
  // dead ones may be left over until the space is needed.
  using LongBases = std::map<std::string, Dot, std::less<>>;  // by head key
  Status HashHead(std::string_view key, std::string_view payload, LongBases* bases,
                  LeafCount* count) const;
  Status HashElement(std::string_view key, std::string_view payload, const LongBases& bases,
                     uint64_t* sum) const;

  bool EvictFrom(SlotTable& table, uint16_t ns, uint16_t slot);
  bool MayGo(const Row* row) const;
  void PageOut(SlotTable& table, uint16_t ns, uint64_t hash, Row* row);
  bool GoesByElements(const Row* row) const;
  bool PageOutElements(uint16_t ns, uint16_t slot, Row* row);
  bool OutOfMemory();

  // The record under construction.
  void OpenRecord();                         // if there is none
  Dot EventDot(uint16_t ns, uint16_t slot);  // opens record and event as needed
  void Changed(const KeyView& view);
  uint64_t stamp() const { return record_hlc_; }

  EngineOptions options_;
  EngineHooks hooks_;
  EngineEnvironment& environment_;
  const Clock* clock_;
  std::unique_ptr<FileLock> lock_;
  Identity identity_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<RowStore> store_;
  std::unique_ptr<Background> background_;
  // What options_ say, for the background's eyes.
  std::atomic<uint64_t> whole_load_rows_max_{0}, whole_load_bytes_max_{0};
  std::unique_ptr<Background> scrub_pool_;
  std::unique_ptr<Background> expire_pool_;  // reads for cold sweeps, with pauses
  std::unique_ptr<Background> free_pool_;    // frees large objects: cold reads do not wait behind
  std::atomic<bool> stopping_{false};        // long background work ends early
  int64_t last_scrub_ms_ = 0;
  bool scrub_busy_ = false;
  std::unique_ptr<TwoSpeedBackground> checkpoint_pool_;
  HybridClock hybrid_;
  RowHasher hasher_;
  uint64_t sum_counts_ = 0;  // leaves counted anew, for SlotTable::sum_count
  uint64_t seed_ = 0;
  uint16_t self_ = 0;  // local index of the own actor

  std::vector<uint16_t> database_ns_;
  uint64_t database_ns_position_ = 0;  // of the last record that changed it
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<Partition> partitions_;
  std::array<uint64_t, kSlotCount> last_position_{};

  std::vector<Probe> probes_;  // of the keys that the running pipeline will look up, in order
  std::vector<ElementProbe> element_probes_;
  size_t next_probe_ = 0;

  int64_t now_ms_ = 0;
  uint64_t depends_ = 0;
  std::string* record_ = nullptr;  // the log's buffer while a record is open
  size_t record_begin_ = 0;        // where it begins in that buffer
  uint64_t record_serial_ = 0;
  uint64_t record_hlc_ = 0;
  int token_partition_ = -1;
  uint16_t token_ns_ = 0;
  std::vector<uint16_t> record_slots_;
  bool record_swaps_ = false;  // it exchanges databases
  bool replaying_ = false;

  struct OpenEvent {
    uint16_t partition;
    Dot dot;
    bool duplicate;
  };
  std::unique_ptr<ReplicaSide> replica_;
  bool collects_own_ = false;           // replica_ wants to see records
  uint64_t clock_log_bytes_ = 0;        // of the longest clock of a partition, at most
  std::vector<OpenEvent> open_events_;  // of the record being joined
  std::vector<std::pair<IrregularIndex::Key, RowId>> touched_rows_;  // by it, in the index

  std::unique_ptr<CheckpointJob> checkpoint_;
  std::vector<std::function<void(Status)>> checkpoint_waiters_;
  uint8_t capture_number_ = 0;        // of the running or last checkpoint
  uint64_t checkpoint_position_ = 0;  // where replay starts
  int64_t last_checkpoint_end_ms_ = 0;
  bool checkpoint_waits_sync_ = false;  // files are complete; the log is synced whatever the mode
  bool checkpoint_wanted_ = false;
  int64_t room_asked_ms_ = INT64_MIN;             // when the disk was last asked for its free space
  uint64_t idle_position_ = 0;                    // of the log, unchanged since then:
  int64_t idle_since_ms_ = 0, idle_seen_ms_ = 0;  // when that was last looked at
  uint64_t settled_checkpoints_ = 0;  // finished ones when the row store was last settled
  bool settle_busy_ = false;

  absl::flat_hash_map<LoadKey, PendingLoad> pending_loads_;
  std::vector<LoadKey> load_queue_;            // not yet in a batch
  std::vector<ColdRead> element_queue_;        // likewise
  std::map<uint64_t, WholeLoad> whole_loads_;  // by serial
  uint64_t sparse_serial_ = 0;
  std::vector<LoadKey> warm_up_large_;
  int load_batches_under_way_ = 0;
  // Asked for and not on disk. A key leaves it when it is made, before it can get there.
  absl::flat_hash_set<LoadKey> known_absent_;
  std::vector<std::weak_ptr<KeyListing>> listings_;  // wanted by someone, or just let go
  const KeyListings* walk_listings_ = nullptr;       // of the command in hand
  uint32_t warm_up_slot_ = 0;
  uint64_t warm_up_checkpoints_ = 0;  // finished ones when the running read began
  bool warm_up_busy_ = false, warm_up_done_ = false;

  uint32_t sweep_slot_ = 0;
  bool active_expire_ = true;
  bool cold_sweep_busy_ = false;
  uint32_t cold_sweep_slot_ = 0;  // where the next one begins to look
  uint32_t evict_slot_ = 0;
  uint64_t barren_checkpoints_ = UINT64_MAX;  // how many there were when nothing could be evicted
  int64_t evict_retry_us_ = 0;
  uint64_t paged_out_elements_ = 0;            // when the clock was last looked at
  uint32_t evict_tries_ = 0, evict_wins_ = 0;  // slots looked at, rows that went
  mutable int64_t memory_read_us_ = 0;
  mutable uint64_t memory_bytes_ = 0;
  Random random_{SystemRandom64()};

  mutable EngineStats stats_;
  uint64_t changes_ = 0;

  // Work handed to the data thread by others; guarded by mutex_.
  std::mutex mutex_;
  std::vector<std::function<void()>> inbox_;
  void PostToDataThread(std::function<void()> work);
};

}  // namespace redynamo
