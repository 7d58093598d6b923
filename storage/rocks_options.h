// SPDX-License-Identifier: Apache-2.0
// Every RocksDB option that we set, with its reason, in one function. Only rocks_* files include
// this: it brings RocksDB's headers along.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/rate_limiter.h>

#include <memory>
#include <vector>

#include "storage/rocks_row_store.h"

namespace redynamo {

// The column families, in the order in which they are opened. The default one is mandatory and
// holds the format version only; dots is reserved for what was still owed to peers (REPLICATION.md
// section 9).
enum RocksFamily { kDefaultFamily, kHeadsFamily, kRowsFamily, kDotsFamily, kMetaFamily };
inline constexpr const char* kRocksFamilyNames[] = {"default", "heads", "rows", "dots", "meta"};
inline constexpr int kRocksFamilyCount = 5;

struct RocksOptionSet {
  rocksdb::DBOptions db;
  std::vector<rocksdb::ColumnFamilyDescriptor> families;  // by RocksFamily
  rocksdb::IngestExternalFileOptions ingest;
  std::shared_ptr<rocksdb::Cache> block_cache;  // may be null
  std::shared_ptr<rocksdb::RateLimiter> rate_limiter;
};

// What the rate limiter is told; 0 (unlimited) becomes a rate that no disk reaches, so that a limit
// can be set later.
int64_t RateLimiterBytes(uint64_t bytes_per_second);

RocksOptionSet MakeRocksOptions(const RocksRowStoreOptions& options);

// Read options of point reads; iterators start from these and add bounds and snapshot.
rocksdb::ReadOptions MakeRocksReadOptions();

// `what` says what was attempted. Codes as row_store.h promises.
Status FromRocksStatus(const rocksdb::Status& status, std::string_view what);

}  // namespace redynamo
