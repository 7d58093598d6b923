// SPDX-License-Identifier: Apache-2.0
// The cold tier in memory, for tests and the simulator: one ordered map a family, no threads, no
// files. It stands for the disk: an engine that is restarted over the same MemRowStore finds every
// committed batch and nothing of the others.
#pragma once

#include <memory>
#include <mutex>

#include "storage/row_store.h"

namespace redynamo {

class MemRowStore : public RowStore {
 public:
  MemRowStore();
  ~MemRowStore() override;

  Status MultiGetHeads(std::span<const std::string> sorted_keys,
                       std::vector<std::optional<std::string>>* out) override;
  Status MultiGetRows(std::span<const std::string> sorted_keys,
                      std::vector<std::optional<std::string>>* out) override;
  std::shared_ptr<const RowSnapshot> TakeSnapshot() override;
  std::unique_ptr<RowIterator> NewHeadIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot = nullptr) override;
  std::unique_ptr<RowIterator> NewRowIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot = nullptr) override;
  Result<std::optional<std::string>> GetMeta(std::string_view key) override;
  Result<std::vector<std::pair<std::string, std::string>>> ScanMeta(
      std::string_view prefix) override;
  std::unique_ptr<IngestBatch> NewIngest() override;
  bool IngestPressure() override { return false; }
  RowStoreStats Stats() override;
  Status Settle() override { return Status::Ok(); }
  Status CompactAll() override { return Status::Ok(); }
  Status VerifyChecksums() override { return Status::Ok(); }
  Status Close() override { return Status::Ok(); }

  // Another store with the same contents.
  std::shared_ptr<MemRowStore> Clone();

  struct State;   // all maps; immutable while a snapshot or iterator holds it
  struct Change;  // a batch to be committed
  void Apply(Change change);

 private:
  std::shared_ptr<const State> Share();

  std::mutex mutex_;
  std::shared_ptr<State> state_;
  bool shared_ = false;  // a snapshot or iterator may hold state_
  uint64_t ingests_ = 0;
};

}  // namespace redynamo
