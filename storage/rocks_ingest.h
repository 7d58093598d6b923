// SPDX-License-Identifier: Apache-2.0
// Ingest batches of the RocksDB store. Each (column family, namespace) streams into sorted files of
// its own, and Commit hands all of them to RocksDB in one atomic call.
//
// Range tombstones and cut files. A tombstone must lie in the same file as the keys that the batch
// puts inside it: within a file all entries get one sequence number, and a tombstone hides only
// smaller ones. When a file is cut in the middle of a tombstone, each side keeps its part, so that
// files never overlap (overlapping files of one ingest would get sequence numbers of their own, and
// a tombstone of the later would hide puts of the earlier). With files cut after two keys:
//
//   DeleteRange [b, y)  Put c  Put e  Put g  Put z
//
//   file 1: [b, g) c e        file 2: [g, y) g z
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "storage/rocks_options.h"
#include "storage/row_format.h"
#include "storage/row_store.h"

namespace redynamo {

// The open database as batches and readers share it. Owned by the store, which outlives them.
struct RocksDatabase {
  std::string directory;
  RocksRowStoreOptions options;
  RocksOptionSet set;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;  // by RocksFamily

  // Held while a batch is ingested and while a snapshot is taken: RocksDB may hand out a snapshot
  // between the installation of two column families' files.
  std::mutex commit_mutex;

  std::atomic<uint64_t> next_file{1};
  std::atomic<uint64_t> ingests{0};
  std::atomic<uint64_t> ingested_bytes{0};
  std::atomic<bool> background_error{false};

  // Ranges that batches removed and that hold enough data on disk to be worth a compaction at the
  // next idle moment. Lost with the process: ordinary compaction gets there in time.
  struct RemovedRange {
    RocksFamily family;
    KeyRange range;
  };
  std::mutex removed_mutex;
  std::vector<RemovedRange> removed;

  std::string IngestDirectory() const { return directory + "/ingest"; }
};

std::unique_ptr<IngestBatch> NewRocksIngest(RocksDatabase* database);

}  // namespace redynamo
