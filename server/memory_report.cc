// SPDX-License-Identifier: Apache-2.0
#include "server/memory_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/info.h"

namespace redynamo {
namespace {

// Below this much data, ratios say more about the program than about the data.
constexpr uint64_t kTooLittleBytes = 5 << 20;
constexpr double kPeakFactor = 1.5;
constexpr double kFragmentationMax = 1.4;
constexpr uint64_t kFragmentationBytesMin = 10 << 20;
constexpr uint64_t kClientPercentMax = 20;
constexpr uint64_t kNearLimitPercent = 95;

}  // namespace

double MemoryReport::DatasetPercent() const {
  uint64_t grown = used > startup ? used - startup : 0;
  return std::min(Ratio(dataset(), grown) * 100, 100.0);
}

uint64_t MemoryReport::BytesPerKey() const {
  uint64_t grown = used > startup ? used - startup : 0;
  return resident_keys == 0 ? 0 : grown / resident_keys;
}

MemoryReport MakeMemoryReport(Server& server, const EngineStats& engine) {
  MemoryReport report;
  report.allocator = ReadAllocator();
  report.used = report.allocator.allocated;
  report.peak = std::max(server.peak_memory_bytes(), report.used);
  report.startup = server.startup_memory_bytes();
  report.resident = ResidentBytes();
  report.block_cache = engine.block_cache_bytes;
  report.disk_index = engine.disk_index_bytes;
  report.resident_keys = engine.resident_keys;
  report.keys = engine.resident_keys + engine.cold_keys;
  if (server.has_engine()) report.log_buffer = server.engine().BufferedBytes();
  for (const auto& [id, session] : server.clients().all()) {
    report.clients += sizeof(Session) + session->output.memory_bytes();
    report.clients += session->transport().InputBytes() + session->transport().InputFreeBytes();
  }
  return report;
}

std::string DiagnoseMemory(const MemoryReport& report, uint64_t maxmemory_bytes) {
  if (report.used < kTooLittleBytes) {
    return "There is so little data in memory that nothing can be said about its use.\n";
  }
  std::string text;
  if (double(report.peak) > double(report.used) * kPeakFactor) {
    text += fmt::format(
        " * Peak: the most memory in use was {}, now it is {}. The allocator may keep pages of "
        "that time; MEMORY PURGE gives them back.\n",
        HumanBytes(report.peak), HumanBytes(report.used));
  }
  if (report.Fragmentation() > kFragmentationMax &&
      report.FragmentationBytes() > int64_t(kFragmentationBytesMin)) {
    text += fmt::format(
        " * Fragmentation: the process holds {} for {} in use. It shrinks when data of like sizes "
        "is written again, and after a restart.\n",
        HumanBytes(report.resident), HumanBytes(report.used));
  }
  if (report.clients * 100 > report.used * kClientPercentMax) {
    text += fmt::format(
        " * Clients: their buffers hold {}. CLIENT LIST shows whose (omem, qbuf); "
        "client-output-buffer-limit bounds them.\n",
        HumanBytes(report.clients));
  }
  if (maxmemory_bytes > 0 && report.used * 100 > maxmemory_bytes * kNearLimitPercent) {
    text += fmt::format(
        " * Limit: {} of maxmemory's {} are in use; what maxmemory-policy says happens now and "
        "then.\n",
        HumanBytes(report.used), HumanBytes(maxmemory_bytes));
  }
  if (text.empty()) return "Nothing is wrong with the memory.\n";
  return "This is worth a look:\n" + text;
}

}  // namespace redynamo
