// SPDX-License-Identifier: Apache-2.0
// The machine under a simulated node: a disk in memory, no threads, a seed instead of randomness.
//
//   process dies         the disk stays as it is
//   PowerLoss()          what was not synced is lost, in part or as a whole
//   Wipe()               an empty disk
//   Copy(), Restore()    an old copy of the disk, as from a snapshot or backup
//   files().SetCapacity  a disk that is full
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/environment.h"
#include "storage/mem_row_store.h"
#include "tests/support/faulty_file_system.h"

namespace redynamo {

// One of many handles to a store that outlives the engines over it.
class SharedRowStore : public RowStore {
 public:
  explicit SharedRowStore(std::shared_ptr<RowStore> store) : store_(std::move(store)) {}
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
  std::unique_ptr<IngestBatch> NewIngest() override { return store_->NewIngest(); }
  bool IngestPressure() override { return store_->IngestPressure(); }
  RowStoreStats Stats() override { return store_->Stats(); }
  Status Settle() override { return store_->Settle(); }
  Status CompactAll() override { return store_->CompactAll(); }
  Status VerifyChecksums() override { return store_->VerifyChecksums(); }
  Status Close() override { return Status::Ok(); }

 private:
  std::shared_ptr<RowStore> store_;
};

class SimMachine : public EngineEnvironment {
 public:
  static constexpr uint64_t kDiskBytes = 64 << 20;

  explicit SimMachine(uint64_t seed) : random_(seed) { Wipe(); }

  // --- EngineEnvironment ---
  FaultyFileSystem& files() override { return *files_; }
  Result<std::unique_ptr<RowStore>> OpenRows(const std::string&, uint64_t) override {
    return std::unique_ptr<RowStore>(std::make_unique<SharedRowStore>(rows_));
  }
  bool has_threads() const override { return false; }
  std::string RandomBytes(size_t n) override {
    std::string bytes(n, '\0');
    for (char& byte : bytes) byte = char(random_.Next());
    return bytes;
  }
  std::string BootId() override { return std::to_string(boots_); }
  uint64_t Fingerprint(const std::string&) override { return disks_; }

  // --- bad luck; no engine is open ---
  void PowerLoss(CrashKeeps keeps) {
    boots_++;
    files_->Crash(keeps, &random_);
  }
  void Wipe() {
    disks_++;
    boots_++;
    files_ = std::make_unique<FaultyFileSystem>();
    files_->SetCapacity(kDiskBytes);
    rows_ = std::make_shared<MemRowStore>();
  }
  // In any file that has something: log, identity, what a checkpoint left.
  void FlipSomeBit() {
    std::vector<std::string> paths;
    for (const std::string& path : files_->Paths()) {
      if (!files_->Contents(path).empty()) paths.push_back(path);
    }
    if (paths.empty()) return;
    const std::string& path = paths[random_.Below(paths.size())];
    files_->FlipBit(path, random_.Below(files_->Contents(path).size() * 8));
  }
  struct DiskCopy {
    std::map<std::string, std::string> files;
    std::shared_ptr<MemRowStore> rows;
  };
  DiskCopy Copy() const {
    DiskCopy copy;
    for (const std::string& path : files_->Paths()) copy.files[path] = files_->Contents(path);
    copy.rows = rows_->Clone();
    return copy;
  }
  void Restore(const DiskCopy& copy) {
    Wipe();
    for (const auto& [path, bytes] : copy.files) files_->SetContents(path, bytes);
    rows_ = copy.rows->Clone();
  }

 private:
  Random random_;
  uint64_t boots_ = 0, disks_ = 0;
  std::unique_ptr<FaultyFileSystem> files_;
  std::shared_ptr<MemRowStore> rows_;
};

}  // namespace redynamo
