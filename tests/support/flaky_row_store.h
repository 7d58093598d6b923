// SPDX-License-Identifier: Apache-2.0
// A row store whose batches fail when told to: at the commit, with nothing changed on disk.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "storage/row_store.h"

namespace redynamo {

class FlakyRowStore : public RowStore {
 public:
  explicit FlakyRowStore(std::unique_ptr<RowStore> store) : store_(std::move(store)) {}
  std::atomic<bool> fail_commits{false};
  std::atomic<bool> commit_failed{false};  // the last one; fail_commits may have changed since
  std::atomic<uint64_t> failed{0};

  Status MultiGetHeads(std::span<const std::string> keys,
                       std::vector<std::optional<std::string>>* out) override {
    return store_->MultiGetHeads(keys, out);
  }
  Status MultiGetRows(std::span<const std::string> keys,
                      std::vector<std::optional<std::string>>* out) override {
    return store_->MultiGetRows(keys, out);
  }
  std::shared_ptr<const RowSnapshot> TakeSnapshot() override { return store_->TakeSnapshot(); }
  std::unique_ptr<RowIterator> NewHeadIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot = nullptr) override {
    return store_->NewHeadIterator(lower, upper, std::move(snapshot));
  }
  std::unique_ptr<RowIterator> NewRowIterator(
      std::string_view lower, std::string_view upper,
      std::shared_ptr<const RowSnapshot> snapshot = nullptr) override {
    return store_->NewRowIterator(lower, upper, std::move(snapshot));
  }
  Result<std::optional<std::string>> GetMeta(std::string_view key) override {
    return store_->GetMeta(key);
  }
  Result<std::vector<std::pair<std::string, std::string>>> ScanMeta(
      std::string_view prefix) override {
    return store_->ScanMeta(prefix);
  }
  std::unique_ptr<IngestBatch> NewIngest() override {
    return std::make_unique<Batch>(this, store_->NewIngest());
  }
  bool IngestPressure() override { return store_->IngestPressure(); }
  RowStoreStats Stats() override { return store_->Stats(); }
  Status Settle() override { return store_->Settle(); }
  Status CompactAll() override { return store_->CompactAll(); }
  Status VerifyChecksums() override { return store_->VerifyChecksums(); }
  Status Close() override { return store_->Close(); }

 private:
  class Batch : public IngestBatch {
   public:
    Batch(FlakyRowStore* owner, std::unique_ptr<IngestBatch> batch)
        : owner_(owner), batch_(std::move(batch)) {}
    Status PutHead(std::string_view key, std::string_view value) override {
      return batch_->PutHead(key, value);
    }
    Status DeleteHead(std::string_view key) override { return batch_->DeleteHead(key); }
    Status PutRow(std::string_view key, std::string_view value) override {
      return batch_->PutRow(key, value);
    }
    Status DeleteRow(std::string_view key) override { return batch_->DeleteRow(key); }
    Status DeleteHeadRange(std::string_view lower, std::string_view upper) override {
      return batch_->DeleteHeadRange(lower, upper);
    }
    Status DeleteRowRange(std::string_view lower, std::string_view upper) override {
      return batch_->DeleteRowRange(lower, upper);
    }
    Status PutMeta(std::string_view key, std::string_view value) override {
      return batch_->PutMeta(key, value);
    }
    Status DeleteMeta(std::string_view key) override { return batch_->DeleteMeta(key); }
    uint64_t bytes() const override { return batch_->bytes(); }
    Status Commit() override {
      owner_->commit_failed = owner_->fail_commits.load();
      if (!owner_->commit_failed) return batch_->Commit();
      owner_->failed++;
      batch_->Abandon();
      return Status(StatusCode::kIoError, "the test says so");
    }
    void Abandon() override { batch_->Abandon(); }

   private:
    FlakyRowStore* owner_;
    std::unique_ptr<IngestBatch> batch_;
  };

  std::unique_ptr<RowStore> store_;
};

}  // namespace redynamo
