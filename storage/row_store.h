// SPDX-License-Identifier: Apache-2.0
// The cold tier: an ordered store on disk of head records, element rows and meta records, seen
// through one interface. It is changed only by ingest batches, each of which becomes visible and
// durable as a whole or not at all; nothing else ever writes. Keys: storage/row_format.h. Values
// are opaque bytes here; the store adds and checks their checksums.
//
// Implementations: RocksRowStore (production), MemRowStore (tests, simulator).
//
// Threads: every call may block on disk, so the data thread makes none; all calls of a RowStore are
// safe from several background threads at once. An iterator and an ingest batch belong to one
// thread at a time. Iterators, snapshots and batches must be gone before Close or destruction.
//
// Errors: kCorruption names the column family and the key in hex; kNoSpace and kIoError carry the
// system's text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace redynamo {

// A moment of the whole store: every batch before it and none after it. Holding one keeps old
// data on disk, so let go soon.
class RowSnapshot {
 public:
  virtual ~RowSnapshot() = default;
};

// Walks [lower, upper) in byte order as of one moment. Starts on the first entry; not Valid() means
// the end or an error, which status() tells apart. key() and value() hold until the next move.
class RowIterator {
 public:
  virtual ~RowIterator() = default;
  virtual bool Valid() const = 0;
  // REQUIRES: Valid().
  virtual void Next() = 0;
  // To the first entry at or after `target`; below `lower` it means `lower`.
  virtual void Seek(std::string_view target) = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  virtual Status status() const = 0;
};

// Changes to be made together. Heads, and likewise rows, come in ascending key order within each
// namespace (the first two bytes of the key); namespaces, families and meta may interleave freely.
// The first failure latches: later calls repeat it and Commit answers it.
class IngestBatch {
 public:
  virtual ~IngestBatch() = default;  // abandons what was not committed

  virtual Status PutHead(std::string_view key, std::string_view value) = 0;
  virtual Status DeleteHead(std::string_view key) = 0;
  virtual Status PutRow(std::string_view key, std::string_view value) = 0;
  virtual Status DeleteRow(std::string_view key) = 0;

  // Removes what earlier batches stored in [lower, upper); never hides what this batch puts there.
  // `lower` takes part in the ascending order: it lies above every key given before, at or below
  // every key given after. Ranges may overlap. REQUIRES: both bounds in one namespace (an upper
  // that is the namespace's end will do; empty means that end), lower < upper.
  virtual Status DeleteHeadRange(std::string_view lower, std::string_view upper) = 0;
  virtual Status DeleteRowRange(std::string_view lower, std::string_view upper) = 0;

  // In any order; the last word on a key counts.
  virtual Status PutMeta(std::string_view key, std::string_view value) = 0;
  virtual Status DeleteMeta(std::string_view key) = 0;

  // Bytes handed over so far, keys and values.
  virtual uint64_t bytes() const = 0;

  // Makes all of it visible and durable, or none of it. An empty batch is Ok. After Commit or
  // Abandon, only destruction is allowed.
  virtual Status Commit() = 0;
  virtual void Abandon() = 0;
};

struct RowStoreStats {
  uint64_t level0_files = 0;              // most of any column family
  uint64_t live_sst_bytes = 0;            // disk used by live files, all column families
  uint64_t bytes_above_bottom = 0;        // of those, not yet merged into the last level
  uint64_t pending_compaction_bytes = 0;  // estimate
  uint64_t running_compactions = 0;
  uint64_t block_cache_bytes = 0;
  uint64_t table_reader_bytes = 0;  // index and filter blocks, outside the block cache
  uint64_t estimated_heads = 0;
  uint64_t estimated_rows = 0;
  uint64_t ingests = 0;         // since Open
  uint64_t ingested_bytes = 0;  // file bytes, since Open
};

class RowStore {
 public:
  virtual ~RowStore() = default;

  // out[i] is the value of sorted_keys[i] or nothing. REQUIRES: ascending keys; duplicates may be.
  virtual Status MultiGetHeads(std::span<const std::string> sorted_keys,
                               std::vector<std::optional<std::string>>* out) = 0;
  virtual Status MultiGetRows(std::span<const std::string> sorted_keys,
                              std::vector<std::optional<std::string>>* out) = 0;

  virtual std::shared_ptr<const RowSnapshot> TakeSnapshot() = 0;

  // Over [lower, upper) as of `snapshot`, or as of now. An empty upper means no bound. For heads
  // and rows of one moment, take a snapshot and give it to both.
  virtual std::unique_ptr<RowIterator> NewHeadIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot = nullptr) = 0;
  virtual std::unique_ptr<RowIterator> NewRowIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot = nullptr) = 0;

  virtual Result<std::optional<std::string>> GetMeta(std::string_view key) = 0;
  // Every meta record whose key begins with `prefix`, ascending, as of one moment.
  virtual Result<std::vector<std::pair<std::string, std::string>>> ScanMeta(
      std::string_view prefix) = 0;

  // Batches may be filled side by side; commits take turns.
  virtual std::unique_ptr<IngestBatch> NewIngest() = 0;

  // Whether the next checkpoint should wait for compaction: the store itself never pushes back.
  virtual bool IngestPressure() = 0;
  virtual RowStoreStats Stats() = 0;

  // Gives back the space of overwritten and deleted data when it is worth it (see the
  // implementation); meant for idle moments. CompactAll does so whatever it costs: tests, bench.
  virtual Status Settle() = 0;
  virtual Status CompactAll() = 0;

  // Reads every live file and checks the checksums of its blocks. Long; for the scrub.
  virtual Status VerifyChecksums() = 0;

  // Ends background work, and interrupts a Settle, CompactAll or VerifyChecksums of another thread
  // (kShutdown); no other call may be under way. Nothing is lost without it: every commit is
  // durable. Idempotent.
  virtual Status Close() = 0;
};

}  // namespace redynamo
