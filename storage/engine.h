// SPDX-License-Identifier: Apache-2.0
// One node's storage engine: table, log, checkpoints and the cold tier behind one front.
//
// The data thread owns it. A command's life:
//
//   if (!engine.Resident(keys)) engine.Load(keys, …)   the command is parked meanwhile
//   engine.BeginCommand(now_ms)
//   … handlers use Keyspace views …
//   position = engine.EndCommand()  its changes are one log record; the reply may leave the node
//                                   once ReplyPosition() >= position
//   … end of the loop's turn …
//   engine.WriteTurn()              write(2) of the turn's records; then replies are released
//
// Under appendfsync always ReplyPosition() is what is synced, else what is written (ENGINE.md 1).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "storage/key_walk.h"
#include "storage/keyspace.h"
#include "storage/log.h"
#include "storage/replica.h"
#include "storage/tree.h"

namespace redynamo {

enum class EvictionPolicy : uint8_t {
  kPageOut,
  kNoEviction,
  kAllKeysLru,
  kAllKeysLfu,
  kAllKeysRandom,
  kVolatileLru,
  kVolatileLfu,
  kVolatileRandom,
  kVolatileTtl,
};

class EngineEnvironment;

struct EngineOptions {
  std::string dir = ".";
  EngineEnvironment* environment = nullptr;  // null: the machine (storage/environment.h)
  int databases = 16;
  SyncMode sync = SyncMode::kAlways;
  uint64_t maxmemory_bytes = 0;  // 0: unlimited
  EvictionPolicy policy = EvictionPolicy::kPageOut;
  int maxmemory_samples = 5;
  uint64_t block_cache_bytes = 0;  // 0: blocks come from the page cache
  uint64_t checkpoint_log_bytes = 1ull << 30;
  int64_t checkpoint_interval_ms = 60'000;
  uint64_t log_segment_bytes = 64ull << 20;
  uint64_t max_record_bytes = kMaxRecordBytes;  // of one command or transaction in the log
  int64_t scrub_interval_ms = 0;                // 0: never
  bool salvage = false;
  bool warm_up = true;
  uint32_t packed_entries_max = 128;     // hash-max-listpack-entries
  uint32_t packed_value_bytes_max = 64;  // hash-max-listpack-value
  uint32_t set_packed_entries_max = 128;
  uint32_t set_packed_value_bytes_max = 64;
  uint32_t set_intset_entries_max = 512;
  // Collections that are larger than one of these are not loaded whole when touched.
  uint64_t whole_load_rows_max = 16 << 10;
  uint64_t whole_load_bytes_max = 4 << 20;
  uint64_t hashed_rows_max = 128;    // keys of more are not compared row by row: HasManyRows
  size_t capture_slice_rows = 2048;  // elements of a large collection captured in one go
  int lfu_log_factor = 10;
  int lfu_decay_minutes = 1;
  uint64_t seed = 0;  // of positions, when a ring gives it; 0: the directory's own
  int partitions =
      kPartitionsDefault;            // of a new directory, and of one that nothing was written to
  bool keep_dots = false;            // see KeepDots
  uint64_t dot_index_bytes_max = 0;  // 0: unlimited; beyond it the oldest dots are let go
};

// Called on the data thread, inside the call that caused them, unless they say otherwise.
struct EngineHooks {
  // A key's value, existence or deadline changed, or it expired or was evicted: for WATCH.
  std::function<void(int database, std::string_view key)> on_key_changed;
  std::function<void(int database)> on_database_cleared;
  std::function<void(int database, std::string_view key)> on_expired;
  std::function<void(int database, std::string_view key)> on_evicted;
  // A command, or the removal of an expired or evicted key, has made events: for the other homes of
  // their partitions. Null costs nothing. Called by EndCommand, and must not call the engine's
  // commands.
  std::function<void(const OwnRecord&)> on_own_record;
  // How long after its deadline a key of the partition is removed by this node: in a ring that is
  // the first home's business, and the others' only when it does not come. Null: at once.
  std::function<int64_t(int partition)> removal_delay_ms;
  // From any thread: the data thread should soon call Poll() (uv_async_send in the server).
  std::function<void()> wake;
  // From any thread, once: the log cannot be written or synced. The process must end with 74.
  std::function<void(const Status&)> on_fatal;
  // During Open, at most once a second.
  std::function<void(double fraction, uint64_t records)> on_recovery_progress;
};

// Figures for INFO; all since start unless the name says otherwise.
struct EngineStats {
  uint64_t log_bytes_appended = 0, log_records = 0, log_syncs = 0, log_batches = 0;
  uint64_t log_bytes_since_checkpoint = 0, log_segments = 0;
  int64_t log_sync_max_us = 0;
  bool checkpoint_running = false;
  uint64_t checkpoints = 0, checkpoint_rows = 0, checkpoint_failures = 0;
  int64_t last_checkpoint_unix_s = 0, last_checkpoint_ms = 0, current_checkpoint_ms = 0;
  bool last_checkpoint_ok = true;
  bool checkpoint_put_off = false;  // for want of disk space: see conf/redynamo.conf
  // What must be captured before it may leave memory: keys, and the bytes of those and of elements
  // and fragments.
  uint64_t dirty_rows = 0, dirty_bytes = 0;
  uint64_t changes_since_checkpoint = 0;
  uint64_t cold_keys = 0, resident_keys = 0, cold_loads = 0, cold_load_batches = 0;
  uint64_t paged_out_keys = 0, expired_keys = 0, evicted_keys = 0;
  uint64_t sparse_keys = 0;  // large collections that are partly in memory
  uint64_t cold_elements = 0, paged_out_elements = 0;
  uint64_t blocking_loads = 0;  // reads that a running command had to wait for
  uint64_t used_memory_bytes = 0, disk_bytes = 0, block_cache_bytes = 0;
  uint64_t disk_index_bytes = 0;  // index and filter blocks of the files, in memory
  uint64_t scrub_rounds = 0, scrub_rows = 0, scrub_errors = 0;
  uint64_t scrub_leaves = 0, scrub_mismatches = 0;  // sums compared, and those that differed
  uint64_t leaves_counted = 0;                      // anew, since their sums were not known
  uint64_t recovered_records = 0, recovered_cut_bytes = 0, salvaged_records = 0;
  int64_t recovery_ms = 0;
  bool warming_up = false;
  uint64_t settles = 0;  // of the row store, at idle moments
};

// An effect in the log beside the bytes of its key, element and value: at most.
inline constexpr uint64_t kEffectLogBytes = 40;

// What a command needs of a large collection beside its head.
enum class ElementNeed : uint8_t {
  kNone,   // nothing
  kNamed,  // some elements
  kScan,   // what comes from a cursor on
  kDraw,   // random ones
  kAll,
};

struct KeyRef {
  int database;
  std::string_view key;
  ElementNeed need = ElementNeed::kAll;
  std::span<const std::string_view> names = {};  // kNamed: each `step`-th of them
  size_t step = 1;
  uint64_t number = 0;  // kScan: the cursor; kDraw: how many
};

// What a command of a pipeline will look up: a key, and an element of its collection if it names
// one (else the element's data() is null).
struct LookupHint {
  std::string_view key;
  std::string_view element = {};
};

class Engine {
 public:
  // Locks the directory, recovers, and starts the background threads. Errors name file and offset,
  // and the remedy.
  static Result<std::unique_ptr<Engine>> Open(const EngineOptions& options, EngineHooks hooks,
                                              const Clock* clock);
  ~Engine();

  // Orderly stop: everything written and synced; a checkpoint when `checkpoint`. Then only
  // destruction.
  Status Close(bool checkpoint);
  // In an environment without threads: does what they would have done by now. False: nothing.
  bool RunBackground();

  // --- a command ---
  Keyspace Database(int database);
  // False when some key, or what is needed of it, is on disk only: then Load it first.
  bool Resident(std::span<const KeyRef> keys);
  // Asks the processor's cache for these keys (and elements), which the next commands will look up
  // in this order. Their bytes must stay until EndPrefetch, which must come before they change.
  // Worth it from two on: the misses of a pipeline then overlap.
  void Prefetch(int database, std::span<const LookupHint> hints);
  void EndPrefetch();
  // Brings keys, and what is needed of them, into memory; the views' bytes are copied. `done` is
  // called on the data thread from Poll; ask Resident again there, for a checkpoint that has ended
  // meanwhile makes reads void. What a running command misses nevertheless is read on the spot.
  void Load(std::span<const KeyRef> keys, std::function<void(Status)> done);
  // Whether walks (SCAN, KEYS, RANDOMKEY) can be run with these listings of cold keys, or none.
  bool WalksReady(std::span<const KeyWalk> walks, const KeyListings* listings) const;
  // Reads what WalksReady misses; `done` is called on the data thread from Poll. Who holds the
  // listings makes page-out note in them what it lets go, so hold them no longer than needed.
  void PrepareWalks(std::span<const KeyWalk> walks,
                    std::function<void(const Status&, std::shared_ptr<KeyListings>)> done);
  // For the command in hand; null after it.
  void UseListings(const KeyListings* listings);
  void BeginCommand(int64_t now_ms);
  // Nested commands (MULTI) run between one Begin and End: one log record, whole or absent. Gives
  // the position that what was read or written depends on; a command with kWholeDatabase uses
  // NewestPosition() instead.
  uint64_t EndCommand();
  void CountChange(uint64_t n);
  // Before a write of up to `bytes` in the log, also within a command that has written: kNoSpace
  // when the log cannot grow (the reply is -MISCONF with the message), kInvalidArgument when the
  // command's record would exceed its limit.
  Status ReserveWrite(uint64_t bytes);
  // Upper bounds of what the log takes: one event with the clock that a removal carries, and
  // clearing a database.
  uint64_t EventLogBytes() const;
  uint64_t ClearLogBytes(int database) const;
  // True when memory is over maxmemory and the policy could not free enough: commands with kDenyOom
  // answer -OOM.
  bool OutOfMemory();
  uint64_t NewestPosition() const;
  uint64_t ReplyPosition() const;
  // Up to here everything survives a power cut, in any sync mode.
  uint64_t SyncedPosition() const;
  // Has what is appended synced soon, whatever the mode; `wake` tells.
  void RequestSync();

  // --- the loop ---
  Status WriteTurn();
  // Work that other threads have handed over: loads done, checkpoints ingested, syncs.
  void Poll();
  // Every 1000/hz ms: expiry sweep, checkpoint slices, eviction, warm-up. Works for about
  // `budget_us`; true when there is more to do at once.
  bool Tick(int64_t now_ms, int64_t budget_us);
  // Bytes of records not yet written: stop reading client sockets at limits.h's bound.
  uint64_t BufferedBytes() const;
  // Cold keys are being read; their end comes as a `wake`.
  bool LoadsUnderWay() const;
  // Under page-out, memory is full of rows that only the checkpoint under way makes clean: hold
  // commands that write back until this is false again (ask at each turn).
  bool WritersMustWait() const;

  // --- whole database ---
  void SwapDatabases(int a, int b);
  void SetActiveExpire(bool on);
  // Asks for a checkpoint; `done` when it has been ingested (or failed). Shared when one runs.
  void Checkpoint(std::function<void(Status)> done);
  // A digest of all rows, independent of order and of dots: DEBUG DIGEST (40 hex digits).
  std::string Digest();
  std::string KeyDigest(int database, std::string_view key);

  // --- replication: storage/replica.h ---
  // Joins a record of another node (OwnRecord::bytes). What it needs of cold keys is read in the
  // background first; `done` is called once, perhaps at once.
  void AcceptRecord(std::string_view bytes, std::function<void(const Accepted&)> done);
  ReplicaClock ClockOf(int partition) const;
  // The clock, and every dot that is live in irregular rows beyond it: a replica whose clock covers
  // this has all that this one has.
  ReplicaClock HandoverClock(int partition) const;
  // ReplicaClock::Hash of it, kept until the clock changes; and 64 bits of what the partition's
  // irregular rows know beyond it (normally 0). Replicas that agree in both agree in all rows.
  uint64_t ClockHash(int partition);
  uint64_t IrregularHash(int partition);
  // The dot index: which rows the events wrote, own and foreign, that some home may lack. Off, as
  // on a ring of one, it is empty and costs nothing. What was written while it was off cannot be
  // pulled. EngineOptions::keep_dots has it on while the log is replayed, too.
  void KeepDots(bool on);
  // Every home, and every pending member, has reported a clock that covers this one.
  void ForgetDots(int partition, const ReplicaClock& everyone_has);
  DotIndexStats DotStats() const;
  // What `theirs` lacks of the partition, about max_bytes of it. Cold rows are read in the
  // background first.
  void Pull(int partition, const ReplicaClock& theirs, uint64_t max_bytes,
            std::function<void(PullAnswer)> done);
  // Joins a PullAnswer's bytes: exactly the dots of the batch count as seen afterwards.
  void AcceptBatch(int partition, std::string_view bytes,
                   std::function<void(const Accepted&)> done);
  // All rows of the partition, piece by piece: cursor 0, then FullAnswer::next of the piece before.
  // For whom Pull has answered kNeedFull everywhere; pull from all others afterwards, for one
  // source may lack the latest. Cold rows of a slot are read on the spot.
  void FullRows(int partition, uint64_t cursor, uint64_t max_bytes,
                std::function<void(FullAnswer)> done);
  // Joins a piece. They come in order, from the first on, after whatever interruption; the
  // partition's clock changes with the last one only. Events and batches may come in between.
  void AcceptFull(int partition, std::string_view bytes, std::function<void(const Accepted&)> done);
  // Lets go of this node's replica of the partition: rows, clock, index, in memory and on disk, as
  // one record of the log; its space comes back by and by, and nothing waits for that. The own
  // counter goes on for ever, so no dot is used twice. What is dropped can be filled again by
  // records, batches and full syncs, like a partition that this node never had. REQUIRES: all homes
  // have pulled from here what is irregular. `everyone_has`: dots that each home has durably.
  //   kBusy      this replica knows dots beyond it (nothing is done), or a checkpoint captures
  //              rows just now: try again in a second
  //   kNoSpace   the log has no room
  // Who watches a key of a database that had keys there hears that the database was cleared.
  Status DropReplica(int partition, const ReplicaClock& everyone_has);
  // Whether there is anything to let go: a row, a dot seen or known removed.
  bool HoldsReplica(int partition) const;
  // About what the partition's keys take, from a sample: for plans and INFO.
  uint64_t ReplicaBytes(int partition);
  // --- trees: storage/tree.h ---
  Tree TreeOf(int partition);
  // The leaves that events of these dots have touched; false when the dot index does not know all.
  bool TouchedLeaves(int partition, const ReplicaClock& dots, std::set<LeafId>* leaves) const;
  // Reads all that stands on disk of the partition, in the background, and compares it with what
  // the last checkpoint stored. `done` gets how many leaves are damaged; it is called from Poll.
  void VerifyPartition(int partition, std::function<void(const Status&, uint64_t damaged)> done);
  // Those that VerifyPartition and the scrub have found, and that have not been repaired since.
  std::vector<LeafId> DamagedLeaves() const;
  // The leaf's sum is counted from its rows after the next checkpoint.
  void CountLeafAnew(LeafId leaf);
  // Cold rows are read on the spot.
  LeafRows RowsOfLeaf(LeafId leaf);
  // The union of another replica's leaf with this one. A damaged leaf is written anew.
  LeafAccepted AcceptLeaf(LeafId leaf, std::string_view bytes);

  // Another actor from now on, durably; REPLICATION.md section 6. For a dot conflict.
  Status RotateActor();
  Id128 Actor() const;
  Id128 NodeId() const;
  uint64_t Seed() const;          // of positions: EngineOptions::seed, or the directory's own
  bool DatabasesSwapped() const;  // some database's namespace has another number
  // Whether any event was ever joined here.
  bool HasEvents() const;
  // Whether the key has more rows than EngineOptions::hashed_rows_max, or some on disk alone. Load
  // it with ElementNeed::kNone first.
  bool HasManyRows(int database, std::string_view key) const;
  // 64 bits of the dots of all rows of the key, live and gone; 0 when there are none. Replicas
  // that agree on the key give the same. What is not in memory is read on the spot: Load it first.
  // Takes as long as there are rows.
  uint64_t KeyStateHash(int database, std::string_view key);
  // It changes when the key does, and not when a replica learns that a removal is known everywhere.
  // Of few rows it is the hash of the live dots, the same at replicas that agree. Of many rows it
  // is of this node, and of its key's slot: other keys of the slot may change it. Load it with
  // ElementNeed::kNone first.
  uint64_t KeyVersion(int database, std::string_view key);
  // The key's rows with more than one version first, then the others; at most max_rows.
  std::vector<RowReport> ExplainKey(int database, std::string_view key, size_t max_rows);

  EngineStats Stats() const;
  void ResetStats();
  void Reconfigure(const EngineOptions& options);  // takes over the run-time changeable ones

 private:
  explicit Engine(std::unique_ptr<EngineImpl> impl);
  std::unique_ptr<EngineImpl> impl_;
};

}  // namespace redynamo
