// SPDX-License-Identifier: Apache-2.0
// Where the memory is, for INFO memory, MEMORY STATS and MEMORY DOCTOR. Bytes throughout.
#pragma once

#include <cstdint>
#include <string>

#include "server/process_figures.h"
#include "server/server.h"

namespace redynamo {

struct MemoryReport {
  uint64_t used = 0;        // what the allocator has given out
  uint64_t peak = 0;        // the most of it, sampled ten times a second
  uint64_t startup = 0;     // before there was any data or client
  uint64_t resident = 0;    // RSS
  uint64_t clients = 0;     // their buffers
  uint64_t log_buffer = 0;  // records not yet written
  uint64_t block_cache = 0;
  uint64_t disk_index = 0;  // index and filter blocks of the files
  uint64_t keys = 0;        // resident and cold
  uint64_t resident_keys = 0;
  AllocatorFigures allocator;

  uint64_t overhead() const { return startup + clients + log_buffer + block_cache + disk_index; }
  uint64_t dataset() const { return used > overhead() ? used - overhead() : 0; }
  double PeakPercent() const { return Ratio(used, peak) * 100; }
  double DatasetPercent() const;  // of what came after the start
  uint64_t BytesPerKey() const;   // over resident keys
  double Fragmentation() const { return Ratio(resident, used); }
  int64_t FragmentationBytes() const { return int64_t(resident) - int64_t(used); }
  double AllocatorFragmentation() const { return Ratio(allocator.active, allocator.allocated); }
  double AllocatorResidentRatio() const { return Ratio(allocator.resident, allocator.active); }
  double ResidentOverheadRatio() const { return Ratio(resident, allocator.resident); }
  int64_t ResidentOverheadBytes() const { return int64_t(resident) - int64_t(allocator.resident); }

  static double Ratio(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : double(part) / double(whole);
  }
};

MemoryReport MakeMemoryReport(Server& server, const EngineStats& engine);

// What is wrong, and what to do, in sentences; says so when nothing is.
std::string DiagnoseMemory(const MemoryReport& report, uint64_t maxmemory_bytes);

}  // namespace redynamo
