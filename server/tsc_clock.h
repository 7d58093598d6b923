// SPDX-License-Identifier: Apache-2.0
// A clock that is cheap enough to be read twice a command: the processor's time stamp counter,
// calibrated at start against the monotonic clock. Where the counter is not invariant, or the
// processor has none, that clock itself is read.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "base/clock.h"

namespace redynamo {

class TscClock {
 public:
  // Takes about 5 ms, once for the process.
  static void Calibrate();

  // Ticks of an arbitrary origin; only differences mean something. Any thread, after Calibrate.
  static uint64_t Now() {
#if defined(__x86_64__)
    if (__builtin_expect(use_tsc_, 1)) return __rdtsc();
#endif
    return uint64_t(SystemClock().MonotonicUs()) * 1000;
  }
  static uint64_t ToNanoseconds(uint64_t ticks) {
    return uint64_t((unsigned __int128)(ticks)*nanoseconds_q32_ >> 32);
  }
  static uint64_t FromNanoseconds(uint64_t nanoseconds) {
    return uint64_t(((unsigned __int128)(nanoseconds) << 32) / nanoseconds_q32_);
  }

 private:
  static bool use_tsc_;
  static uint64_t nanoseconds_q32_;  // nanoseconds of one tick, times 2^32
};

}  // namespace redynamo
