// SPDX-License-Identifier: Apache-2.0
#include "server/process_figures.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

// jemalloc is linked into the server, but not into every test.
extern "C" {
int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value, size_t new_size)
    __attribute__((weak));
void malloc_stats_print(void (*write)(void*, const char*), void* context, const char* options)
    __attribute__((weak));
}

namespace redynamo {
namespace {

// jemalloc's pseudo arena that stands for all of them (MALLCTL_ARENAS_ALL).
constexpr char kPurgeAllArenas[] = "arena.4096.purge";

double Seconds(const timeval& time) { return double(time.tv_sec) + double(time.tv_usec) / 1e6; }

CpuSeconds CpuOf(int who) {
  rusage usage{};
  if (getrusage(who, &usage) != 0) return {};
  return {Seconds(usage.ru_utime), Seconds(usage.ru_stime)};
}

uint64_t ReadSize(const char* name) {
  size_t value = 0, size = sizeof value;
  return mallctl(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

}  // namespace

uint64_t ResidentBytes() {
  FILE* file = fopen("/proc/self/statm", "re");
  if (!file) return 0;
  unsigned long total_pages = 0, resident_pages = 0;
  int fields = fscanf(file, "%lu %lu", &total_pages, &resident_pages);
  fclose(file);
  return fields == 2 ? uint64_t(resident_pages) * uint64_t(sysconf(_SC_PAGESIZE)) : 0;
}

uint64_t PhysicalMemoryBytes() {
  return uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
}

std::string OperatingSystemName() {
  utsname name{};
  if (uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + ' ' + name.release + ' ' + name.machine;
}

CpuSeconds CpuOfProcess() { return CpuOf(RUSAGE_SELF); }
CpuSeconds CpuOfChildren() { return CpuOf(RUSAGE_CHILDREN); }
CpuSeconds CpuOfThisThread() { return CpuOf(RUSAGE_THREAD); }

AllocatorFigures ReadAllocator() {
  AllocatorFigures figures;
  if (mallctl) {
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    mallctl("epoch", &epoch, &size, &epoch, size);
    figures.allocated = ReadSize("stats.allocated");
    figures.active = ReadSize("stats.active");
    figures.resident = ReadSize("stats.resident");
  }
  if (figures.allocated == 0) {
    struct mallinfo2 info = mallinfo2();
    figures.allocated = info.uordblks + info.hblkhd;
  }
  figures.active = std::max(figures.active, figures.allocated);
  figures.resident = std::max(figures.resident, figures.active);
  return figures;
}

std::string AllocatorName() {
  const char* version = nullptr;
  size_t size = sizeof version;
  if (!mallctl || mallctl("version", &version, &size, nullptr, 0) != 0) return "libc";
  std::string text(version);
  return "jemalloc-" + text.substr(0, text.find('-'));
}

bool PurgeAllocator() {
  if (mallctl) return mallctl(kPurgeAllArenas, nullptr, nullptr, nullptr, 0) == 0;
  malloc_trim(0);
  return true;
}

std::string AllocatorReport() {
  std::string report;
  if (malloc_stats_print) {
    malloc_stats_print(
        [](void* context, const char* text) { *static_cast<std::string*>(context) += text; },
        &report, "");
  }
  return report;
}

}  // namespace redynamo
