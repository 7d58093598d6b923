// SPDX-License-Identifier: Apache-2.0
// Events that took long (LATENCY): per event name a ring of its last 160 samples, one a second.
// Names in use: "command", "fast-command", "expire-cycle", "aof-fsync-always", "checkpoint", ...
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace redynamo {

struct LatencySample {
  int64_t unix_seconds = 0;  // 0: unused
  uint32_t ms = 0;
};

struct LatencySeries {
  static constexpr int kSamples = 160;
  std::array<LatencySample, kSamples> ring{};
  int next = 0;         // where the next sample goes: the oldest
  uint32_t max_ms = 0;  // since the last reset
};

class LatencyMonitor {
 public:
  // Samples of one second are merged, the largest stays. The caller has compared `ms` with
  // latency-monitor-threshold.
  void Record(std::string_view event, uint32_t ms, int64_t unix_seconds);
  // Forgets one event, or all with an empty name; gives how many series went.
  int Reset(std::string_view event);
  const std::map<std::string, LatencySeries, std::less<>>& series() const { return series_; }

 private:
  std::map<std::string, LatencySeries, std::less<>> series_;
};

}  // namespace redynamo
