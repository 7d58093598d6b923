// SPDX-License-Identifier: Apache-2.0
#include "storage/rocks_options.h"

#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>

namespace redynamo {
namespace {

rocksdb::DBOptions MakeDbOptions(const RocksRowStoreOptions& options) {
  rocksdb::DBOptions db;
  db.env = rocksdb::Env::Default();
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.paranoid_checks = true;

  // All table readers open: a lookup never opens a file, and index and filter blocks are counted
  // by Stats instead of competing for the block cache.
  db.max_open_files = -1;

  // Files are deleted by background threads, never by the reader that drops the last reference.
  db.avoid_unnecessary_blocking_io = true;

  // There is no memtable to speak of: compactions only. One that merges level 0 may use all of the
  // threads, as it alone decides when IngestPressure ends.
  db.max_background_jobs = options.background_threads;
  db.max_subcompactions = uint32_t(options.background_threads);
  db.avoid_flush_during_shutdown = true;
  db.avoid_flush_during_recovery = true;

  // Written pages go out in small portions instead of one burst at the file's fsync, which would
  // stand in the way of the log's fdatasync.
  db.bytes_per_sync = 1 << 20;
  db.compaction_readahead_size = 512 << 10;

  // Quiet: RocksDB's own statistics cost a thread each, and INFO shows ours.
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.skip_stats_update_on_db_open = true;
  db.info_log_level = rocksdb::WARN_LEVEL;
  db.keep_log_file_num = 2;
  db.max_log_file_size = 1 << 20;
  return db;
}

rocksdb::BlockBasedTableOptions MakeTableOptions(const RocksRowStoreOptions& options,
                                                 std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  // Without a cache of its own (cache is null) RocksDB reads blocks from the page cache. That is
  // the default: what a point read returns becomes resident in our table, and its neighbours are
  // as likely wanted next as any other key. 2 M heads of 100 bytes in warm files, 8 MiB of cache
  // against none: 4.8 against 3.8 us per key of a sorted MultiGet.
  table.no_block_cache = cache == nullptr;
  table.block_cache = std::move(cache);

  // 1 KiB, 2 KiB, 4 KiB, 8 KiB: 3.3, 3.6, 3.8, 4.9 us per key; the first two cost 2.5 and 1.3
  // times the index memory of the third.
  table.block_size = options.block_bytes;
  table.format_version = 5;

  // One bit pattern per whole key: a SET of a key that does not exist asks no data block. 10 bits
  // are 1 % of false positives.
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;

  // Index and filters live beside the cache for as long as the file is open (max_open_files).
  table.cache_index_and_filter_blocks = false;
  return table;
}

rocksdb::ColumnFamilyOptions MakeFamilyOptions(const RocksRowStoreOptions& options,
                                               std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::ColumnFamilyOptions family;
  family.table_factory.reset(
      rocksdb::NewBlockBasedTableFactory(MakeTableOptions(options, std::move(cache))));

  // LZ4 on 100-byte values: 5.3 instead of 3.5 us per key, for a few percent of the disk. Whoever
  // stores long texts may want it.
  family.compression = options.compress ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;

  // Levels are filled from the last one up. Otherwise full-range ingests each find an empty level
  // of their own, and stack as many full copies as there are levels before anything is compacted.
  family.compaction_style = rocksdb::kCompactionStyleLevel;
  family.level_compaction_dynamic_level_bytes = true;
  family.target_file_size_base = options.file_bytes_max;
  family.level0_file_num_compaction_trigger = 4;

  // Nothing is written but by ingestion, which RocksDB never stalls: these only keep it from
  // reporting stalls. Back-pressure is RowStore::IngestPressure.
  family.level0_slowdown_writes_trigger = 1 << 20;
  family.level0_stop_writes_trigger = 1 << 20;
  family.soft_pending_compaction_bytes_limit = 0;
  family.hard_pending_compaction_bytes_limit = 0;

  // No compaction by age: data that nobody touches is not rewritten.
  family.ttl = 0;
  family.periodic_compaction_seconds = 0;
  return family;
}

}  // namespace

int64_t RateLimiterBytes(uint64_t bytes_per_second) {
  constexpr uint64_t kUnlimited = uint64_t{1} << 40;
  constexpr uint64_t kLeast = 64 << 10;  // below some ten bytes RocksDB's limiter spins for ever
  if (bytes_per_second == 0) return int64_t(kUnlimited);
  return int64_t(std::clamp(bytes_per_second, kLeast, kUnlimited));
}

RocksOptionSet MakeRocksOptions(const RocksRowStoreOptions& options) {
  RocksOptionSet set;
  if (options.block_cache_bytes > 0) {
    set.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  }
  set.db = MakeDbOptions(options);
  set.rate_limiter.reset(
      rocksdb::NewGenericRateLimiter(RateLimiterBytes(options.background_bytes_per_second)));
  set.db.rate_limiter = set.rate_limiter;
  for (const char* name : kRocksFamilyNames) {
    set.families.emplace_back(name, MakeFamilyOptions(options, set.block_cache));
  }

  set.ingest.move_files = true;             // a link, not a copy: the files are ours alone
  set.ingest.write_global_seqno = false;    // no write into a file that is already synced
  set.ingest.allow_blocking_flush = false;  // memtables are always empty
  set.ingest.snapshot_consistency = true;   // snapshots keep seeing what they saw
  return set;
}

rocksdb::ReadOptions MakeRocksReadOptions() {
  rocksdb::ReadOptions read;
  read.verify_checksums = true;
  return read;
}

Status FromRocksStatus(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return Status::Ok();
  std::string message = std::string(what) + ": " + status.ToString();
  if (status.IsNoSpace() || status.IsCompactionTooLarge())
    return {StatusCode::kNoSpace, std::move(message)};
  if (status.IsCorruption()) return {StatusCode::kCorruption, std::move(message)};
  if (status.IsShutdownInProgress() || status.IsManualCompactionPaused()) {
    return {StatusCode::kShutdown, std::move(message)};
  }
  if (status.IsNotSupported()) return {StatusCode::kUnsupported, std::move(message)};
  // RocksDB has no code for a lock that is held, only these words.
  if (status.IsBusy() || message.find("lock hold by current process") != std::string::npos ||
      message.find("While lock file") != std::string::npos) {
    return {StatusCode::kBusy, std::move(message)};
  }
  if (status.IsInvalidArgument()) return {StatusCode::kInvalidArgument, std::move(message)};
  return {StatusCode::kIoError, std::move(message)};
}

}  // namespace redynamo
