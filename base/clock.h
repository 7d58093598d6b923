// SPDX-License-Identifier: Apache-2.0
// Time is injected: everything but server/ takes a Clock, so that a test or simulator owns it.
#pragma once

#include <atomic>
#include <cstdint>

namespace redynamo {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t WallMs() const = 0;                         // Unix time; may jump
  virtual int64_t WallUs() const { return WallMs() * 1000; }  // finer where the clock is
  virtual int64_t MonotonicUs() const = 0;                    // never goes back
};

// The machine's clocks. Lives for the whole process.
const Clock& SystemClock();

// For tests: stands still until told. Threads of an engine may read it while a test moves it.
class ManualClock : public Clock {
 public:
  int64_t WallMs() const override { return wall_ms; }
  int64_t MonotonicUs() const override { return monotonic_us; }
  void AdvanceMs(int64_t ms) {
    wall_ms += ms;
    monotonic_us += ms * 1000;
  }
  std::atomic<int64_t> wall_ms = 1'700'000'000'000;
  std::atomic<int64_t> monotonic_us = 0;
};

// Hybrid logical clock: 48 bits of wall milliseconds, 16 bits of counter. It never goes back, and
// follows stamps of others by at most kMaxAheadMs beyond local time.
class HybridClock {
 public:
  static constexpr int64_t kMaxAheadMs = 60'000;
  uint64_t Next(int64_t wall_ms) {
    uint64_t candidate = uint64_t(wall_ms) << 16;
    last_ = candidate > last_ ? candidate : last_ + 1;
    return last_;
  }
  void Observe(uint64_t stamp, int64_t wall_ms) {
    if (stamp > last_ && int64_t(stamp >> 16) <= wall_ms + kMaxAheadMs) last_ = stamp;
  }
  uint64_t last() const { return last_; }

 private:
  uint64_t last_ = 0;
};

}  // namespace redynamo
