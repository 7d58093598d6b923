// SPDX-License-Identifier: Apache-2.0
#include "storage/environment.h"

#include <utility>

#include "base/log_line.h"
#include "base/random.h"
#include "storage/identity.h"
#include "storage/rocks_row_store.h"

namespace redynamo {
namespace {

class Machine : public EngineEnvironment {
 public:
  FileSystem& files() override { return PosixFileSystem(); }
  Result<std::unique_ptr<RowStore>> OpenRows(const std::string& dir,
                                             uint64_t block_cache_bytes) override {
    RocksRowStoreOptions options;
    options.background_threads = 1;
    options.block_cache_bytes = block_cache_bytes;
    options.on_background_error = [](const Status& s) {
      LogWarning("background work on the row store failed: " + s.message());
    };
    Result<std::unique_ptr<RocksRowStore>> store = RocksRowStore::Open(dir, options);
    if (!store.ok()) return store.status();
    return std::unique_ptr<RowStore>(std::move(*store));
  }
  bool has_threads() const override { return true; }
  std::string RandomBytes(size_t n) override { return SystemRandomBytes(n); }
  std::string BootId() override { return KernelBootId(); }
  uint64_t Fingerprint(const std::string& dir) override { return DirectoryFingerprint(dir); }
};

}  // namespace

EngineEnvironment& MachineEnvironment() {
  static Machine machine;
  return machine;
}

}  // namespace redynamo
