// SPDX-License-Identifier: Apache-2.0
// The cold tier on RocksDB. Layout of `directory`: RocksDB's own files, and in `ingest/` the sorted
// files of batches that are being filled; what a crash leaves there is deleted by the next Open.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/row_store.h"

namespace redynamo {

struct RocksRowStoreOptions {
  // RocksDB's own block cache; 0: none, blocks come from the page cache (see rocks_options.cc).
  uint64_t block_cache_bytes = 0;

  // Of ingest files and compactions together; 0: unlimited, less than 64 KiB counts
  // as that. Files of a batch go first.
  uint64_t background_bytes_per_second = 0;

  // Compaction threads, shared by all stores of the process, and what is added to the process' nice
  // value for them: 19 is 1.5 % of a busy core. At 10 a thread that shares the data thread's core
  // holds it for a tick of the kernel every few: a GET's p99 was 4.2 ms instead of 0.7. Idle
  // priority (SCHED_IDLE) is too little: on a machine kept busy by others, compaction stood still
  // and the disk filled.
  int background_threads = 2;
  int compaction_nice = 19;

  uint64_t file_bytes_max = 64 << 20;  // where ingest files and compaction outputs are cut
  uint64_t block_bytes = 4096;
  bool compress = false;  // LZ4; files of either kind may be mixed

  // Opens what exists without changing a byte; batches fail with kUnsupported.
  bool read_only = false;

  // Called from RocksDB's threads when a compaction failed (its disk is full or broken): must not
  // call the store. Reads go on; the next Commit tries to bring the store back.
  std::function<void(const Status&)> on_background_error;
};

class RocksRowStore : public RowStore {
 public:
  // Level-0 files of one column family from which IngestPressure asks checkpoints to wait.
  static constexpr uint64_t kPressureLevel0Files = 8;

  // `directory` is created if its parent exists. kBusy: another process has it open. kUnsupported:
  // a newer build wrote it.
  static Result<std::unique_ptr<RocksRowStore>> Open(const std::string& directory,
                                                     const RocksRowStoreOptions& options);

  // Takes effect at once, and means what the option of this name means.
  virtual void SetBackgroundBytesPerSecond(uint64_t bytes_per_second) = 0;
};

}  // namespace redynamo
