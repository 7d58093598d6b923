// SPDX-License-Identifier: Apache-2.0
#include "storage/rocks_row_store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/listener.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/sst_file_writer.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <shared_mutex>

#include "base/check.h"
#include "storage/rocks_ingest.h"
#include "storage/rocks_options.h"

namespace redynamo {
namespace {

// Settle rewrites a column family once the data above its last level, which may all be newer copies
// of what lies there, exceeds this share of it. With the 11 % that a settled tree of levels has at
// most, and keys, checksums, indexes and filters, that stays below 1.8 times the raw data.
constexpr double kWasteShareMax = 0.3;

// In the default column family: the version of all that this file and row_format.h define.
constexpr char kFormatKey[] = "format";
constexpr char kFormatVersion[] = "\x01";

Status DamagedValue(RocksFamily family, std::string_view key) {
  return Corruption(std::string(kRocksFamilyNames[family]) + ": the value of key " +
                    HexForMessage(key) + " fails its checksum");
}

std::string WhileReading(RocksFamily family, std::string_view key) {
  return std::string(kRocksFamilyNames[family]) + ": cannot read key " + HexForMessage(key);
}

Status Closing() { return {StatusCode::kShutdown, "the store is closing"}; }

class Listener : public rocksdb::EventListener {
 public:
  explicit Listener(RocksDatabase* database)
      : database_(database),
        thread_nice_(getpriority(PRIO_PROCESS, 0) + database->options.compaction_nice) {}

  // On the thread that compacts. RocksDB itself knows normal, nice 19 and idle priority only.
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    setpriority(PRIO_PROCESS, id_t(gettid()), thread_nice_);
  }

  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    database_->background_error = true;
    if (database_->options.on_background_error) {
      database_->options.on_background_error(
          FromRocksStatus(*error, "background work in " + database_->directory));
    }
  }

 private:
  RocksDatabase* database_;
  const int thread_nice_;
};

class RocksSnapshot : public RowSnapshot {
 public:
  explicit RocksSnapshot(RocksDatabase* database) : database_(database) {
    std::lock_guard lock(database->commit_mutex);
    snapshot_ = database->db->GetSnapshot();
  }
  ~RocksSnapshot() override { database_->db->ReleaseSnapshot(snapshot_); }
  const rocksdb::Snapshot* get() const { return snapshot_; }

 private:
  RocksDatabase* database_;
  const rocksdb::Snapshot* snapshot_;
};

class RocksIterator : public RowIterator {
 public:
  RocksIterator(RocksDatabase* database, RocksFamily family, std::string_view lower,
                std::string_view upper, std::shared_ptr<const RowSnapshot> snapshot)
      : family_(family),
        snapshot_(std::move(snapshot)),
        lower_(lower),
        upper_(upper),
        lower_slice_(lower_),
        upper_slice_(upper_) {
    rocksdb::ReadOptions read = MakeRocksReadOptions();
    read.iterate_lower_bound = &lower_slice_;
    if (!upper_.empty()) read.iterate_upper_bound = &upper_slice_;
    if (snapshot_) read.snapshot = static_cast<const RocksSnapshot*>(snapshot_.get())->get();
    read.fill_cache = false;  // a walk would push out what point reads need
    iterator_.reset(database->db->NewIterator(read, database->handles[family]));
    iterator_->SeekToFirst();
    Unseal();
  }

  bool Valid() const override { return valid_; }
  void Next() override {
    CHECK_THAT(valid_);
    iterator_->Next();
    Unseal();
  }
  void Seek(std::string_view target) override {
    iterator_->Seek(target);
    Unseal();
  }
  std::string_view key() const override { return iterator_->key().ToStringView(); }
  std::string_view value() const override { return value_; }
  Status status() const override { return status_; }

 private:
  // A damaged value ends the walk: the caller sees the status instead of wrong data.
  void Unseal() {
    valid_ = false;
    status_ = Status::Ok();
    if (!iterator_->Valid()) {
      if (!iterator_->status().ok()) {
        status_ = FromRocksStatus(iterator_->status(),
                                  std::string(kRocksFamilyNames[family_]) + ": cannot walk on");
      }
      return;
    }
    auto payload = UnsealValue(key(), iterator_->value().ToStringView());
    if (!payload) {
      status_ = DamagedValue(family_, key());
      return;
    }
    value_ = *payload;
    valid_ = true;
  }

  RocksFamily family_;
  std::shared_ptr<const RowSnapshot> snapshot_;
  std::string lower_, upper_;
  rocksdb::Slice lower_slice_, upper_slice_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool valid_ = false;
  std::string_view value_;
  Status status_;
};

class RocksRowStoreImpl : public RocksRowStore {
 public:
  RocksRowStoreImpl(const std::string& directory, const RocksRowStoreOptions& options) {
    database_.directory = directory;
    database_.options = options;
    database_.set = MakeRocksOptions(options);
    database_.set.db.listeners.push_back(std::make_shared<Listener>(&database_));
  }
  ~RocksRowStoreImpl() override { Close().ok(); }

  Status Start();

  Status MultiGetHeads(std::span<const std::string> sorted_keys,
                       std::vector<std::optional<std::string>>* out) override {
    return MultiGet(kHeadsFamily, sorted_keys, out);
  }
  Status MultiGetRows(std::span<const std::string> sorted_keys,
                      std::vector<std::optional<std::string>>* out) override {
    return MultiGet(kRowsFamily, sorted_keys, out);
  }
  std::shared_ptr<const RowSnapshot> TakeSnapshot() override {
    return std::make_shared<RocksSnapshot>(&database_);
  }
  std::unique_ptr<RowIterator> NewHeadIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot) override {
    return std::make_unique<RocksIterator>(&database_, kHeadsFamily, lower, upper,
                                           std::move(snapshot));
  }
  std::unique_ptr<RowIterator> NewRowIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot) override {
    return std::make_unique<RocksIterator>(&database_, kRowsFamily, lower, upper,
                                           std::move(snapshot));
  }
  Result<std::optional<std::string>> GetMeta(std::string_view key) override;
  Result<std::vector<std::pair<std::string, std::string>>> ScanMeta(
      std::string_view prefix) override;
  std::unique_ptr<IngestBatch> NewIngest() override { return NewRocksIngest(&database_); }
  bool IngestPressure() override { return Level0Files() >= kPressureLevel0Files; }
  RowStoreStats Stats() override;
  Status Settle() override;
  Status CompactAll() override;
  Status VerifyChecksums() override;
  Status Close() override;

  void SetBackgroundBytesPerSecond(uint64_t bytes_per_second) override {
    database_.set.rate_limiter->SetBytesPerSecond(RateLimiterBytes(bytes_per_second));
  }

 private:
  Status MultiGet(RocksFamily family, std::span<const std::string> sorted_keys,
                  std::vector<std::optional<std::string>>* out);
  Status RemoveLeftovers();
  Status CheckFormat();
  Status WriteFormat();
  Status Compact(RocksFamily family, const KeyRange* range);
  uint64_t Property(RocksFamily family, const std::string& name);
  uint64_t SumOfProperty(const std::string& name);
  uint64_t Level0Files();
  // Bytes above the last non-empty level, and in all levels.
  std::pair<uint64_t, uint64_t> BytesAboveBottom(RocksFamily family);

  RocksDatabase database_;
  std::atomic<bool> closing_{false};
  std::shared_mutex long_work_mutex_;  // shared by Settle, CompactAll and VerifyChecksums
};

Status RocksRowStoreImpl::Start() {
  rocksdb::DB* db = nullptr;
  rocksdb::Status status;
  if (database_.options.read_only) {
    status = rocksdb::DB::OpenForReadOnly(database_.set.db, database_.directory,
                                          database_.set.families, &database_.handles, &db);
  } else {
    status = rocksdb::DB::Open(database_.set.db, database_.directory, database_.set.families,
                               &database_.handles, &db);
  }
  database_.db.reset(db);
  if (!status.ok()) return FromRocksStatus(status, "cannot open " + database_.directory);
  if (!database_.options.read_only) {  // and the lock is ours
    if (Status cleaned = RemoveLeftovers(); !cleaned.ok()) return cleaned;
  }
  return CheckFormat();
}

// Files of batches that a crash interrupted. Links that RocksDB made of them before it could record
// the ingest are removed by its own Open.
Status RocksRowStoreImpl::RemoveLeftovers() {
  rocksdb::Env* env = database_.set.db.env;
  std::string directory = database_.IngestDirectory();
  rocksdb::Status status = env->CreateDirIfMissing(directory);
  std::vector<std::string> names;
  if (status.ok()) status = env->GetChildren(directory, &names);
  for (const std::string& name : names) {
    if (status.ok() && name.ends_with(".sst")) status = env->DeleteFile(directory + "/" + name);
  }
  return FromRocksStatus(status, "cannot clean " + directory);
}

Status RocksRowStoreImpl::CheckFormat() {
  std::vector<std::optional<std::string>> values;
  const std::string key = kFormatKey;
  Status status = MultiGet(kDefaultFamily, {&key, 1}, &values);
  if (!status.ok()) return status;
  if (!values[0]) return database_.options.read_only ? Status::Ok() : WriteFormat();
  if (*values[0] == kFormatVersion) return Status::Ok();
  return {StatusCode::kUnsupported, database_.directory + " has format version " +
                                        HexForMessage(*values[0]) + ", this build knows " +
                                        HexForMessage(kFormatVersion)};
}

// Besides telling the format, this is the store's first change, and it must take a sequence number,
// so that no snapshot is ever taken at number 0: compactions read that number as "no snapshot"
// (CompactionIterator, RocksDB 7.8) and would drop what such a snapshot still shows. An ingest
// takes a number when it overlaps older data or a snapshot exists: hence the snapshot here.
Status RocksRowStoreImpl::WriteFormat() {
  RocksSnapshot snapshot(&database_);
  std::string path = database_.IngestDirectory() + "/format.sst";
  rocksdb::SstFileWriter writer(
      rocksdb::EnvOptions(database_.set.db),
      rocksdb::Options(database_.set.db, database_.set.families[kDefaultFamily].options),
      database_.handles[kDefaultFamily]);
  rocksdb::Status status = writer.Open(path);
  if (status.ok()) status = writer.Put(kFormatKey, SealValue(kFormatKey, kFormatVersion));
  if (status.ok()) status = writer.Finish();
  if (status.ok()) {
    status = database_.db->IngestExternalFile(database_.handles[kDefaultFamily], {path},
                                              database_.set.ingest);
  }
  if (status.ok()) CHECK_THAT(database_.db->GetLatestSequenceNumber() > 0);
  return FromRocksStatus(status, "cannot write the format version of " + database_.directory);
}

Status RocksRowStoreImpl::MultiGet(RocksFamily family, std::span<const std::string> sorted_keys,
                                   std::vector<std::optional<std::string>>* out) {
  // Bounded, so that the pinned blocks of one call are too.
  constexpr size_t kBatchKeys = 128;
  rocksdb::ReadOptions read = MakeRocksReadOptions();
  rocksdb::Slice slices[kBatchKeys];
  rocksdb::PinnableSlice values[kBatchKeys];
  rocksdb::Status statuses[kBatchKeys];
  out->clear();
  out->resize(sorted_keys.size());
  for (size_t start = 0; start < sorted_keys.size(); start += kBatchKeys) {
    size_t count = std::min(kBatchKeys, sorted_keys.size() - start);
    for (size_t i = 0; i < count; i++) slices[i] = sorted_keys[start + i];
    constexpr bool kSorted = true;
    database_.db->MultiGet(read, database_.handles[family], count, slices, values, statuses,
                           kSorted);
    for (size_t i = 0; i < count; i++) {
      const std::string& key = sorted_keys[start + i];
      if (statuses[i].IsNotFound()) continue;
      if (!statuses[i].ok()) return FromRocksStatus(statuses[i], WhileReading(family, key));
      auto payload = UnsealValue(key, values[i].ToStringView());
      if (!payload) return DamagedValue(family, key);
      (*out)[start + i].emplace(*payload);
      values[i].Reset();
    }
  }
  return Status::Ok();
}

Result<std::optional<std::string>> RocksRowStoreImpl::GetMeta(std::string_view key) {
  std::vector<std::optional<std::string>> out;
  std::string key_string(key);
  Status status = MultiGet(kMetaFamily, {&key_string, 1}, &out);
  if (!status.ok()) return status;
  return std::move(out[0]);
}

Result<std::vector<std::pair<std::string, std::string>>> RocksRowStoreImpl::ScanMeta(
    std::string_view prefix) {
  std::vector<std::pair<std::string, std::string>> out;
  RocksIterator iterator(&database_, kMetaFamily, prefix, PrefixUpperBound(prefix), nullptr);
  for (; iterator.Valid(); iterator.Next()) out.emplace_back(iterator.key(), iterator.value());
  if (!iterator.status().ok()) return iterator.status();
  return out;
}

uint64_t RocksRowStoreImpl::Property(RocksFamily family, const std::string& name) {
  uint64_t value = 0;
  return database_.db->GetIntProperty(database_.handles[family], name, &value) ? value : 0;
}

uint64_t RocksRowStoreImpl::SumOfProperty(const std::string& name) {
  uint64_t sum = 0;
  for (int family = 0; family < kRocksFamilyCount; family++) {
    sum += Property(RocksFamily(family), name);
  }
  return sum;
}

uint64_t RocksRowStoreImpl::Level0Files() {
  uint64_t most = 0;
  for (RocksFamily family : {kHeadsFamily, kRowsFamily, kMetaFamily}) {
    std::string count;
    database_.db->GetProperty(database_.handles[family],
                              rocksdb::DB::Properties::kNumFilesAtLevelPrefix + "0", &count);
    most = std::max<uint64_t>(most, std::strtoull(count.c_str(), nullptr, 10));
  }
  return most;
}

std::pair<uint64_t, uint64_t> RocksRowStoreImpl::BytesAboveBottom(RocksFamily family) {
  rocksdb::ColumnFamilyMetaData meta;
  database_.db->GetColumnFamilyMetaData(database_.handles[family], &meta);
  uint64_t bottom = 0, total = 0;
  for (const auto& level : meta.levels) {
    total += level.size;
    if (level.level > 0 && level.size > 0) bottom = level.size;
  }
  return {total - bottom, total};
}

RowStoreStats RocksRowStoreImpl::Stats() {
  using Properties = rocksdb::DB::Properties;
  RowStoreStats stats;
  stats.level0_files = Level0Files();
  for (RocksFamily family : {kHeadsFamily, kRowsFamily, kDotsFamily, kMetaFamily}) {
    auto [above, total] = BytesAboveBottom(family);
    stats.bytes_above_bottom += above;
    stats.live_sst_bytes += total;
  }
  stats.pending_compaction_bytes = SumOfProperty(Properties::kEstimatePendingCompactionBytes);
  stats.running_compactions = Property(kHeadsFamily, Properties::kNumRunningCompactions);
  if (database_.set.block_cache) stats.block_cache_bytes = database_.set.block_cache->GetUsage();
  stats.table_reader_bytes = SumOfProperty(Properties::kEstimateTableReadersMem);
  stats.estimated_heads = Property(kHeadsFamily, Properties::kEstimateNumKeys);
  stats.estimated_rows = Property(kRowsFamily, Properties::kEstimateNumKeys);
  stats.ingests = database_.ingests;
  stats.ingested_bytes = database_.ingested_bytes;
  return stats;
}

Status RocksRowStoreImpl::Compact(RocksFamily family, const KeyRange* range) {
  if (closing_) return Closing();
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;  // automatic ones go on beside it
  options.change_level = false;                 // true gives wrong reads: rocksdb issue 10988
  rocksdb::Slice lower, upper;
  if (range != nullptr) {
    lower = range->lower;
    upper = range->upper;
  }
  return FromRocksStatus(database_.db->CompactRange(options, database_.handles[family],
                                                    range != nullptr ? &lower : nullptr,
                                                    range != nullptr ? &upper : nullptr),
                         "cannot compact " + std::string(kRocksFamilyNames[family]));
}

// Two things are worth a compaction that RocksDB itself would not start: large removed ranges, and
// in a small database a few files of newer copies, too few for its own trigger.
Status RocksRowStoreImpl::Settle() {
  std::shared_lock lock(long_work_mutex_);
  if (closing_) return Closing();
  if (database_.options.read_only) return Status::Ok();
  std::vector<RocksDatabase::RemovedRange> removed;
  {
    std::lock_guard lock(database_.removed_mutex);
    removed.swap(database_.removed);
  }
  for (const auto& [family, range] : removed) {
    if (Status status = Compact(family, &range); !status.ok()) return status;
  }
  for (RocksFamily family : {kHeadsFamily, kRowsFamily, kMetaFamily}) {
    auto [above, total] = BytesAboveBottom(family);
    if (above <= (total - above) * kWasteShareMax) continue;
    if (Status status = Compact(family, nullptr); !status.ok()) return status;
  }
  return Status::Ok();
}

Status RocksRowStoreImpl::CompactAll() {
  std::shared_lock lock(long_work_mutex_);
  if (closing_) return Closing();
  for (RocksFamily family : {kHeadsFamily, kRowsFamily, kMetaFamily}) {
    if (Status status = Compact(family, nullptr); !status.ok()) return status;
  }
  return Status::Ok();
}

// File by file, so that Close need not wait for the whole disk, and the message names the file.
Status RocksRowStoreImpl::VerifyChecksums() {
  std::shared_lock lock(long_work_mutex_);
  if (closing_) return Closing();
  std::vector<rocksdb::LiveFileMetaData> files;
  database_.db->GetLiveFilesMetaData(&files);
  for (const auto& file : files) {
    if (closing_) return Closing();
    std::string path = file.db_path + file.name;
    rocksdb::Options options(database_.set.db, database_.set.families[kHeadsFamily].options);
    rocksdb::SstFileReader reader(options);
    rocksdb::Status status = reader.Open(path);
    if (status.ok()) status = reader.VerifyChecksum();
    if (status.ok()) continue;
    // A compaction may have replaced the file meanwhile; then its successors are next time's.
    if (database_.set.db.env->FileExists(path).IsNotFound()) continue;
    return FromRocksStatus(status, file.column_family_name + ": cannot verify " + path);
  }
  return Status::Ok();
}

Status RocksRowStoreImpl::Close() {
  if (!database_.db || closing_.exchange(true)) return Status::Ok();
  database_.db->DisableManualCompaction();  // interrupts Settle and CompactAll
  std::unique_lock lock(long_work_mutex_);
  rocksdb::CancelAllBackgroundWork(database_.db.get(), true);
  for (rocksdb::ColumnFamilyHandle* handle : database_.handles) {
    database_.db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  database_.handles.clear();
  rocksdb::Status status = database_.db->Close();
  database_.db.reset();
  return FromRocksStatus(status, "cannot close " + database_.directory);
}

}  // namespace

Result<std::unique_ptr<RocksRowStore>> RocksRowStore::Open(const std::string& directory,
                                                           const RocksRowStoreOptions& options) {
  auto store = std::make_unique<RocksRowStoreImpl>(directory, options);
  Status status = store->Start();
  if (!status.ok()) return status;
  return std::unique_ptr<RocksRowStore>(std::move(store));
}

}  // namespace redynamo
