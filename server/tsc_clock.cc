// SPDX-License-Identifier: Apache-2.0
#include "server/tsc_clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace redynamo {
namespace {

constexpr uint64_t kOneQ32 = uint64_t(1) << 32;
constexpr uint64_t kCalibrationNs = 5'000'000;

uint64_t MonotonicNs() { return uint64_t(SystemClock().MonotonicUs()) * 1000; }

bool HasInvariantTsc() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
#else
  return false;
#endif
}

}  // namespace

bool TscClock::use_tsc_ = false;
uint64_t TscClock::nanoseconds_q32_ = kOneQ32;

void TscClock::Calibrate() {
  if (!HasInvariantTsc()) return;
  use_tsc_ = true;
  uint64_t start_ns = MonotonicNs();
  uint64_t start = Now();
  uint64_t ns;
  while ((ns = MonotonicNs() - start_ns) < kCalibrationNs) {
  }
  uint64_t ticks = Now() - start;
  nanoseconds_q32_ = uint64_t(((unsigned __int128)(ns) << 32) / ticks);
}

}  // namespace redynamo
