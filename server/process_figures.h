// SPDX-License-Identifier: Apache-2.0
// What the operating system and the allocator know of this process, for INFO and MEMORY.
#pragma once

#include <cstdint>
#include <string>

namespace redynamo {

uint64_t ResidentBytes();           // RSS; 0 when the system does not say
uint64_t PhysicalMemoryBytes();     // of the machine
std::string OperatingSystemName();  // "Linux 6.1.0 x86_64"

struct CpuSeconds {
  double user = 0, system = 0;
};
CpuSeconds CpuOfProcess();
CpuSeconds CpuOfChildren();
CpuSeconds CpuOfThisThread();

// Bytes by the allocator's books. With another allocator than jemalloc only `allocated` is known,
// and the others are equal to it.
struct AllocatorFigures {
  uint64_t allocated = 0;  // given out
  uint64_t active = 0;     // in pages that hold something
  uint64_t resident = 0;   // mapped and in memory
};
AllocatorFigures ReadAllocator();
std::string AllocatorName();  // "jemalloc-5.3.0" or "libc"
// Gives unused pages back to the system. False when the allocator has no such call.
bool PurgeAllocator();
// The allocator's own report; empty when it has none.
std::string AllocatorReport();

}  // namespace redynamo
