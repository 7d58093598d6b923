// SPDX-License-Identifier: Apache-2.0
// Opening, closing, the loop and the figures. See engine_impl.h for where the rest lives.
#include "storage/engine.h"

#include <algorithm>

#include "base/check.h"
#include "base/log_line.h"
#include "base/number.h"
#include "base/sabotage.h"
#include "storage/engine_impl.h"
#include "storage/environment.h"
#include "storage/object_format.h"
#include "storage/replica_side.h"

namespace redynamo {
namespace {

constexpr int kLoadNice = 0;  // clients wait for cold reads
constexpr int kScrubNice = 19;
constexpr int kFreeNice = 10;
// Of a busy core, a checkpoint gets next to nothing while there is time, and else about a tenth.
constexpr int kCheckpointNice = 19;
constexpr int kUrgentCheckpointNice = 10;
constexpr int64_t kCheckpointSliceUs = 250;
constexpr int64_t kEvictSliceUs = 200;
constexpr uint64_t kReserveSlackBytes = 64 << 10;

}  // namespace

Status EngineImpl::Open() {
  FileSystem& fs = environment_.files();
  Status status = fs.MakeDirectory(options_.dir);
  if (!status.ok()) return status;
  Result<std::unique_ptr<FileLock>> lock = fs.LockFile(options_.dir + "/lock");
  if (!lock.ok()) {
    if (lock.status().code() != StatusCode::kBusy) return lock.status();
    return Status(StatusCode::kBusy, "data directory '" + options_.dir +
                                         "' is in use by another redynamo-server; stop it, or give "
                                         "this one a --dir of its own");
  }
  lock_ = std::move(*lock);
  if (!IsPartitionCount(uint64_t(options_.partitions))) {
    return InvalidArgument("there can be 64, 128, ... 4096 partitions, not " +
                           std::to_string(options_.partitions));
  }
  bool created = false;
  Result<Identity> identity = Identity::LoadOrCreate(&fs, options_.dir, &created, RandomSource());
  if (!identity.ok()) return identity.status();
  identity_ = *identity;
  if (created) identity_.partitions = options_.partitions;
  SetPartitions(identity_.partitions);
  std::string boot_id = environment_.BootId();
  uint64_t fingerprint = environment_.Fingerprint(options_.dir);
  bool moved = identity_.MustRotate(boot_id, fingerprint);
  if (!created && moved && !LeftOut(Sabotage::kNoRotation)) {
    identity_.Rotate(RandomSource());
  }
  identity_.boot_id = boot_id;
  identity_.fingerprint = fingerprint;
  identity_.clean = false;
  status = identity_.Save(&fs, options_.dir);
  if (!status.ok()) return status;
  bool new_seed = options_.seed != 0 && options_.seed != identity_.seed;
  if (new_seed) identity_.seed = options_.seed;
  seed_ = identity_.seed;
  hasher_.SetActors(identity_.actors);
  self_ = identity_.own;
  now_ms_ = clock_->WallMs();

  Result<std::unique_ptr<RowStore>> store =
      environment_.OpenRows(options_.dir + "/rows", options_.block_cache_bytes);
  if (!store.ok()) return store.status();
  store_ = std::move(*store);
  bool threads = environment_.has_threads();
  background_ = std::make_unique<Background>(threads ? kBackgroundThreads : 0, kLoadNice);
  checkpoint_pool_ =
      std::make_unique<TwoSpeedBackground>(kCheckpointNice, kUrgentCheckpointNice, threads);
  scrub_pool_ = std::make_unique<Background>(threads, kScrubNice);
  expire_pool_ = std::make_unique<Background>(threads, kScrubNice);
  free_pool_ = std::make_unique<Background>(threads, kFreeNice);
  status = Recover();
  bool new_partitions = options_.partitions != identity_.partitions;
  if (!status.ok() || !(new_seed || new_partitions)) return status;
  for (int p = 0; p < PartitionCount(); p++) {
    if (!replica_->EverUsed(p)) continue;
    if (!new_partitions) {
      return InvalidArgument(
          "the data directory was written under another position seed than its "
          "ring has; start this node with an empty one");
    }
    return InvalidArgument("the data directory was made with ring-partitions " +
                           std::to_string(identity_.partitions) + ", which stays: set that, not " +
                           std::to_string(options_.partitions) +
                           ", or start with an empty directory");
  }
  if (new_partitions) SetPartitions(options_.partitions);
  identity_.partitions = options_.partitions;
  return identity_.Save(&fs, options_.dir);
}

void EngineImpl::SetPartitions(int count) {
  SetPartitionCount(count);
  partitions_ = std::vector<Partition>(size_t(count));
  replica_->SetPartitions(count);
}

Status EngineImpl::Close(bool checkpoint) {
  if (checkpoint && (log_->bytes_since(checkpoint_position_) > 0 || stats_.dirty_rows > 0)) {
    bool done = false;
    checkpoint_waiters_.push_back([&done](Status) { done = true; });
    checkpoint_wanted_ = true;
    room_asked_ms_ = INT64_MIN;
    while (!done) {
      if (!checkpoint_ && RoomForCheckpoint()) StartCheckpoint();
      if (checkpoint_) StepCheckpoint(clock_->MonotonicUs() + 1'000'000);
      Status status = WriteTurn();
      if (!status.ok()) return status;
      Poll();
    }
  }
  Status status = log_->Close();
  stopping_ = true;
  scrub_pool_->Stop();
  expire_pool_->Stop();
  checkpoint_pool_->Stop();
  background_->Stop();
  Poll();
  free_pool_->Stop();
  if (!status.ok()) return status;
  status = store_->Close();
  if (!status.ok()) return status;
  identity_.clean = true;
  return identity_.Save(&environment_.files(), options_.dir);
}

Identity::RandomSource EngineImpl::RandomSource() {
  return [this](size_t bytes) { return environment_.RandomBytes(bytes); };
}

bool EngineImpl::RunBackground() {
  bool ran = false;
  // An error has reached on_fatal, as a sync thread's would.
  if (!log_->SyncIfDue().ok()) return false;
  for (Background* pool :
       {background_.get(), scrub_pool_.get(), expire_pool_.get(), free_pool_.get()}) {
    ran = pool->RunPosted() || ran;
  }
  return checkpoint_pool_->RunPosted() || ran;
}

uint64_t EngineImpl::EndCommand() {
  if (!record_) return depends_;
  if (collects_own_) replica_->CollectOwn(std::string_view(*record_).substr(record_begin_));
  LogPosition end = log_->EndRecord();
  record_ = nullptr;
  if (record_swaps_) database_ns_position_ = end;
  record_swaps_ = false;
  for (uint16_t slot : record_slots_) last_position_[slot] = end;
  stats_.log_records++;
  if (collects_own_) replica_->PublishOwn(end);
  return end;
}

Status EngineImpl::ReserveWrite(uint64_t bytes) {
  return log_->ReserveMore(bytes + kReserveSlackBytes);
}

Status EngineImpl::WriteTurn() {
  if (!load_queue_.empty() || !element_queue_.empty()) FlushLoads();
  if (options_.maxmemory_bytes > 0 && options_.policy == EvictionPolicy::kPageOut &&
      UsedMemory() > options_.maxmemory_bytes) {
    EvictToLimit(clock_->MonotonicUs() + kEvictSliceUs);
  }
  return log_->WriteBatch();
}

void EngineImpl::PostToDataThread(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(work));
  }
  if (hooks_.wake) hooks_.wake();
}

void EngineImpl::Poll() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    work.swap(inbox_);
  }
  for (auto& item : work) item();
  if (checkpoint_) StepCheckpoint(clock_->MonotonicUs() + kCheckpointSliceUs);
}

bool EngineImpl::Tick(int64_t now_ms, int64_t budget_us) {
  now_ms_ = now_ms;
  int64_t deadline_us = clock_->MonotonicUs() + budget_us;
  bool more = false;
  if (!checkpoint_ && (checkpoint_wanted_ || CheckpointDue()) && RoomForCheckpoint()) {
    StartCheckpoint();
  }
  if (checkpoint_) more |= StepCheckpoint(deadline_us);
  if (active_expire_) more |= SweepExpired(deadline_us);
  StepColdSweep();
  more |= EvictToLimit(deadline_us);
  more |= StepWarmUp();
  StepScrub();
  StepSettle();
  return more;
}

void EngineImpl::SwapDatabases(int a, int b) {
  if (a == b) return;
  if (!replaying_) {
    OpenRecord();
    PutSwap(record_, uint64_t(a), uint64_t(b));
    record_swaps_ = true;
  }
  std::swap(database_ns_[a], database_ns_[b]);
  if (hooks_.on_database_cleared && !replaying_) {
    hooks_.on_database_cleared(a);
    hooks_.on_database_cleared(b);
  }
}

namespace {

std::string Hex40(uint64_t a, uint64_t b, uint32_t c) {
  char text[41];
  snprintf(text, sizeof text, "%016llx%016llx%08x", (unsigned long long)a, (unsigned long long)b,
           c);
  return text;
}

// Two independent sums of element hashes: order does not matter, pairs do not cancel.
struct DigestSum {
  uint64_t a = 0, b = 0;
  void Add(std::string_view bytes) {
    a += StableHash(bytes, 1);
    b += StableHash(bytes, 2);
  }
};

void DigestObject(int database, const Row* row, DigestSum* sum) {
  std::string prefix;
  PutVarint(&prefix, uint64_t(database));
  prefix.push_back(char(row->type));
  PutLengthPrefixed(&prefix, row->key());
  if (row->Has(Row::kHasDeadline)) PutFixed64(&prefix, uint64_t(row->deadline().at_ms));
  auto add = [&](std::string_view element, std::string_view value, bool counter) {
    std::string bytes = prefix;
    PutLengthPrefixed(&bytes, element);
    bytes += counter ? FormatInt64(CounterCell(value).value()) : std::string(value);
    sum->Add(bytes);
  };
  if (row->row_form() != RowForm::kCollection) {
    bool counter = row->row_form() == RowForm::kCounter;
    add({}, counter ? row->value() : row->text(), counter);
    return;
  }
  row->collection()->ForEach([&](const Collection::Element& e) {
    add(e.key, e.value, e.counter);
    return true;
  });
}

}  // namespace

std::string EngineImpl::Digest() {
  DigestSum sum;
  uint64_t keys = 0;
  for (size_t db = 0; db < database_ns_.size(); db++) {
    for (size_t slot = 0; slot < kSlotCount; slot++) {
      auto& table = Ns(database_ns_[db]).slots[slot];
      if (!table) continue;
      if (table->cold() > 0) {
        ForEachColdNow(database_ns_[db], uint16_t(slot), [&](Row* row) {
          keys++;
          if (row->row_form() == RowForm::kCollection) Whole(row);
          DigestObject(int(db), row, &sum);
          FreeObject(row);
        });
      }
      table->rows.ForEach([&](Row* row) {
        if (!row->live()) return;
        keys++;
        if (row->row_form() == RowForm::kCollection) Whole(row);
        DigestObject(int(db), row, &sum);
      });
    }
  }
  return keys == 0 ? std::string(40, '0') : Hex40(sum.a, sum.b, uint32_t(keys));
}

std::string EngineImpl::KeyDigest(int database, std::string_view key) {
  KeyView view;
  Lookup(database, key, false, &view);
  if (!view.exists()) return std::string(40, '0');
  DigestSum sum;
  if (view.row_->row_form() == RowForm::kCollection) Whole(view.row_);
  DigestObject(0,
               Slot(NamespaceOf(database), KeySlot(key))
                   ->rows.Find(RowTable::HashOf(key, seed_, kPositionHashBits), key),
               &sum);
  return Hex40(sum.a, sum.b, 1);
}

void EngineImpl::Reconfigure(const EngineOptions& options) {
  std::string dir = options_.dir;
  int databases = options_.databases;
  options_ = options;
  options_.dir = dir;
  options_.databases = databases;
  whole_load_rows_max_ = options.whole_load_rows_max;
  whole_load_bytes_max_ = options.whole_load_bytes_max;
  ApplySyncMode();
}

EngineStats EngineImpl::Stats() const {
  EngineStats s = stats_;
  LogStats log = log_->stats();
  s.log_records = log.records;
  s.log_batches = log.batches;
  s.log_bytes_appended = log.written_bytes;
  s.log_syncs = log.syncs;
  s.log_sync_max_us = int64_t(log.sync_max_us);
  s.log_bytes_since_checkpoint = log_->bytes_since(checkpoint_position_);
  s.log_segments = log_->segments().size();
  s.changes_since_checkpoint = changes_;
  s.checkpoint_running = checkpoint_ != nullptr;
  for (const auto& space : namespaces_) {
    s.resident_keys += space->resident;
    s.cold_keys += space->live - space->resident;
    s.sparse_keys += space->sparse;
  }
  s.used_memory_bytes = UsedMemory();
  RowStoreStats rows = store_->Stats();
  s.disk_bytes = rows.live_sst_bytes + log_->bytes_since(log_->segments().empty()
                                                             ? log_->appended()
                                                             : log_->segments().front().first);
  s.block_cache_bytes = rows.block_cache_bytes;
  s.disk_index_bytes = rows.table_reader_bytes;
  s.warming_up = options_.warm_up && !warm_up_done_;
  return s;
}

// --- the front ---

Result<std::unique_ptr<Engine>> Engine::Open(const EngineOptions& options, EngineHooks hooks,
                                             const Clock* clock) {
  auto impl = std::make_unique<EngineImpl>(options, std::move(hooks), clock);
  Status status = impl->Open();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<EngineImpl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;
Status Engine::Close(bool checkpoint) { return impl_->Close(checkpoint); }
bool Engine::RunBackground() { return impl_->RunBackground(); }
Keyspace Engine::Database(int database) { return {impl_.get(), database}; }
bool Engine::Resident(std::span<const KeyRef> keys) { return impl_->Resident(keys); }
void Engine::Prefetch(int database, std::span<const LookupHint> hints) {
  impl_->Prefetch(database, hints);
}
void Engine::EndPrefetch() {
  impl_->probes_.clear();
  impl_->next_probe_ = 0;
}
void Engine::Load(std::span<const KeyRef> keys, std::function<void(Status)> done) {
  impl_->Load(keys, std::move(done));
}
bool Engine::WalksReady(std::span<const KeyWalk> walks, const KeyListings* listings) const {
  return impl_->WalksReady(walks, listings);
}
void Engine::PrepareWalks(std::span<const KeyWalk> walks,
                          std::function<void(const Status&, std::shared_ptr<KeyListings>)> done) {
  impl_->PrepareWalks(walks, std::move(done));
}
void Engine::UseListings(const KeyListings* listings) { impl_->walk_listings_ = listings; }
void Engine::BeginCommand(int64_t now_ms) { impl_->BeginCommand(now_ms); }
uint64_t Engine::EndCommand() { return impl_->EndCommand(); }
void Engine::CountChange(uint64_t n) { impl_->changes_ += n; }
Status Engine::ReserveWrite(uint64_t bytes) { return impl_->ReserveWrite(bytes); }
uint64_t Engine::EventLogBytes() const { return impl_->EventLogBytes(); }
uint64_t Engine::ClearLogBytes(int database) const { return impl_->ClearLogBytes(database); }
bool Engine::OutOfMemory() { return impl_->OutOfMemory(); }
uint64_t Engine::NewestPosition() const { return impl_->log_->appended(); }
uint64_t Engine::ReplyPosition() const { return impl_->ReplyPosition(); }
uint64_t Engine::SyncedPosition() const { return impl_->log_->synced(); }
void Engine::RequestSync() { impl_->log_->RequestSync(); }
Status Engine::WriteTurn() { return impl_->WriteTurn(); }
void Engine::Poll() { impl_->Poll(); }
bool Engine::Tick(int64_t now_ms, int64_t budget_us) { return impl_->Tick(now_ms, budget_us); }
uint64_t Engine::BufferedBytes() const { return impl_->log_->buffered_bytes(); }
bool Engine::HasEvents() const {
  for (int p = 0; p < PartitionCount(); p++) {
    if (impl_->replica_->EverUsed(p)) return true;
  }
  return false;
}
bool Engine::LoadsUnderWay() const { return impl_->load_batches_under_way_ > 0; }
bool Engine::WritersMustWait() const { return impl_->WritersMustWait(); }
void Engine::SwapDatabases(int a, int b) { impl_->SwapDatabases(a, b); }
void Engine::SetActiveExpire(bool on) { impl_->active_expire_ = on; }
void Engine::Checkpoint(std::function<void(Status)> done) {
  impl_->checkpoint_waiters_.push_back(std::move(done));
  impl_->checkpoint_wanted_ = true;
}
std::string Engine::Digest() { return impl_->Digest(); }
std::string Engine::KeyDigest(int database, std::string_view key) {
  return impl_->KeyDigest(database, key);
}
EngineStats Engine::Stats() const { return impl_->Stats(); }

void Engine::AcceptRecord(std::string_view bytes, std::function<void(const Accepted&)> done) {
  impl_->replica_->AcceptRecord(bytes, std::move(done));
}
ReplicaClock Engine::ClockOf(int partition) const { return impl_->replica_->ClockOf(partition); }
uint64_t Engine::Seed() const { return impl_->seed_; }
bool Engine::DatabasesSwapped() const {
  for (int i = 0; i < impl_->options_.databases; i++) {
    if (impl_->NamespaceOf(i) != i) return true;
  }
  return false;
}
ReplicaClock Engine::HandoverClock(int partition) const {
  return impl_->replica_->HandoverClock(partition);
}
uint64_t Engine::ClockHash(int partition) { return impl_->replica_->ClockHash(partition); }
uint64_t Engine::IrregularHash(int partition) { return impl_->replica_->IrregularHash(partition); }
void Engine::KeepDots(bool on) { impl_->replica_->KeepDots(on); }
void Engine::ForgetDots(int partition, const ReplicaClock& everyone_has) {
  impl_->replica_->ForgetDots(partition, everyone_has);
}
DotIndexStats Engine::DotStats() const { return impl_->replica_->DotStats(); }
void Engine::Pull(int partition, const ReplicaClock& theirs, uint64_t max_bytes,
                  std::function<void(PullAnswer)> done) {
  impl_->replica_->Pull(partition, theirs, max_bytes, std::move(done));
}
void Engine::AcceptBatch(int partition, std::string_view bytes,
                         std::function<void(const Accepted&)> done) {
  impl_->replica_->AcceptBatch(partition, bytes, std::move(done));
}
void Engine::FullRows(int partition, uint64_t cursor, uint64_t max_bytes,
                      std::function<void(FullAnswer)> done) {
  impl_->replica_->FullRows(partition, cursor, max_bytes, std::move(done));
}
void Engine::AcceptFull(int partition, std::string_view bytes,
                        std::function<void(const Accepted&)> done) {
  impl_->replica_->AcceptFull(partition, bytes, std::move(done));
}
Status Engine::DropReplica(int partition, const ReplicaClock& everyone_has) {
  return impl_->replica_->Drop(partition, everyone_has);
}
bool Engine::HoldsReplica(int partition) const { return impl_->replica_->Holds(partition); }
uint64_t Engine::ReplicaBytes(int partition) { return impl_->replica_->BytesOf(partition); }
Tree Engine::TreeOf(int partition) { return impl_->replica_->TreeOf(partition); }
bool Engine::TouchedLeaves(int partition, const ReplicaClock& dots,
                           std::set<LeafId>* leaves) const {
  return impl_->replica_->TouchedLeaves(partition, dots, leaves);
}
void Engine::VerifyPartition(int partition,
                             std::function<void(const Status&, uint64_t damaged)> done) {
  impl_->replica_->Verify(partition, std::move(done));
}
std::vector<LeafId> Engine::DamagedLeaves() const { return impl_->replica_->DamagedLeaves(); }
void Engine::CountLeafAnew(LeafId leaf) { impl_->replica_->CountAnew(leaf); }
LeafRows Engine::RowsOfLeaf(LeafId leaf) { return impl_->replica_->RowsOfLeaf(leaf); }
LeafAccepted Engine::AcceptLeaf(LeafId leaf, std::string_view bytes) {
  return impl_->replica_->AcceptLeaf(leaf, bytes);
}
Status Engine::RotateActor() { return impl_->replica_->RotateActor(); }
Id128 Engine::Actor() const { return impl_->identity_.actors[impl_->self_]; }
Id128 Engine::NodeId() const { return impl_->identity_.node_id; }
bool Engine::HasManyRows(int database, std::string_view key) const {
  return impl_->replica_->HasManyRows(database, key);
}
uint64_t Engine::KeyStateHash(int database, std::string_view key) {
  return impl_->replica_->KeyStateHash(database, key);
}

uint64_t Engine::KeyVersion(int database, std::string_view key) {
  return impl_->replica_->KeyVersion(database, key);
}
std::vector<RowReport> Engine::ExplainKey(int database, std::string_view key, size_t max_rows) {
  return impl_->replica_->ExplainKey(database, key, max_rows);
}

void Engine::ResetStats() {
  EngineStats& s = impl_->stats_;
  s.expired_keys = s.evicted_keys = 0;
  s.paged_out_keys = s.cold_loads = s.cold_load_batches = 0;
}

void Engine::Reconfigure(const EngineOptions& options) { impl_->Reconfigure(options); }

}  // namespace redynamo
