// SPDX-License-Identifier: Apache-2.0
// What an engine stands on: files, the cold tier, threads, randomness, and the machine's identity.
// The default is the real machine; the simulator puts its own in place, so that a seed decides
// everything (tests/sim).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "storage/file_system.h"
#include "storage/row_store.h"

namespace redynamo {

class EngineEnvironment {
 public:
  virtual ~EngineEnvironment() = default;

  virtual FileSystem& files() = 0;
  // The cold tier of a data directory. `block_cache_bytes` as in EngineOptions.
  virtual Result<std::unique_ptr<RowStore>> OpenRows(const std::string& dir,
                                                     uint64_t block_cache_bytes) = 0;
  // False: nothing runs by itself, background work waits for Engine::RunBackground.
  virtual bool has_threads() const = 0;
  // Unpredictable, unless a test wants to repeat itself.
  virtual std::string RandomBytes(size_t n) = 0;
  // Another one after each start of the machine.
  virtual std::string BootId() = 0;
  // Of the directory's place: another one for a copy of it.
  virtual uint64_t Fingerprint(const std::string& dir) = 0;
};

// Lives as long as the process; any thread.
EngineEnvironment& MachineEnvironment();

}  // namespace redynamo
