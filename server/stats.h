// SPDX-License-Identifier: Apache-2.0
// What the server counts, for INFO, LATENCY HISTOGRAM and the metrics page. Plain numbers; the data
// thread writes and reads them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace redynamo {

// Durations in nanoseconds, log-linear: 64 steps per power of two, so a figure read back is at most
// 1.6 % above the true one. Adding costs a few instructions.
class LatencyHistogram {
 public:
  static constexpr int kStepBits = 6;
  static constexpr int kOctaves = 31;  // up to 2^36 ns, 68 s; longer ones count as that

  void Add(uint64_t nanoseconds) {
    counts_[IndexOf(nanoseconds)]++;
    total_++;
  }
  uint64_t count() const { return total_; }
  // The duration that `percent` (0..100) of all do not exceed; 0 when empty.
  uint64_t PercentileNs(double percent) const;
  // How many took at most `nanoseconds`.
  uint64_t CountUpTo(uint64_t nanoseconds) const;
  uint64_t max_ns() const;

 private:
  static int IndexOf(uint64_t nanoseconds) {
    if (nanoseconds < (1u << kStepBits)) return int(nanoseconds);
    int octave = 63 - __builtin_clzll(nanoseconds) - kStepBits;
    if (octave >= kOctaves - 1) return (kOctaves << kStepBits) - 1;
    return ((octave + 1) << kStepBits) + int((nanoseconds >> octave) & ((1u << kStepBits) - 1));
  }
  static uint64_t HighestOf(int index);

  std::array<uint64_t, kOctaves << kStepBits> counts_{};
  uint64_t total_ = 0;
};

// One command's figures, found by Command::id.
struct CommandStats {
  uint64_t calls = 0;
  uint64_t ticks = 0;                         // TscClock
  uint64_t rejected = 0;                      // refused before it ran
  uint64_t failed = 0;                        // answered an error
  std::unique_ptr<LatencyHistogram> latency;  // made at the first call while latency-tracking

  uint64_t microseconds() const;
};

// A rate over the last 16 samples, taken every 100 ms.
class RateMeter {
 public:
  void Sample(uint64_t reading, int64_t now_us);
  uint64_t PerSecond() const;
  void Reset() { *this = RateMeter(); }

 private:
  static constexpr int kSamples = 16;
  std::array<uint64_t, kSamples> rates_{};
  int next_ = 0;
  int64_t last_us_ = 0;
  uint64_t last_reading_ = 0;
};

// All since start or CONFIG RESETSTAT. The engine counts its own (EngineStats).
struct ServerStats {
  uint64_t connections_received = 0;
  uint64_t rejected_connections = 0;  // maxclients, protected mode
  uint64_t commands_processed = 0;
  uint64_t net_input_bytes = 0;
  uint64_t net_output_bytes = 0;
  uint64_t reads_processed = 0;  // read(2) that gave bytes
  uint64_t writes_processed = 0;
  uint64_t threaded_reads_processed = 0;  // of these, by I/O threads
  uint64_t threaded_writes_processed = 0;
  uint64_t error_replies = 0;
  uint64_t unexpected_error_replies = 0;
  uint64_t unknown_commands = 0;
  uint64_t output_limit_disconnections = 0;
  uint64_t evicted_clients = 0;  // maxmemory-clients
  uint64_t query_limit_disconnections = 0;
  uint64_t auth_denied = 0;
  uint64_t keyspace_hits = 0, keyspace_misses = 0;  // of keys looked up to be read
  uint64_t parked_for_load = 0;                     // commands that waited for cold keys
  uint64_t recent_max_input_bytes = 0;              // over the last 8 s at most, as Redis shows
  uint64_t recent_max_output_bytes = 0;
  uint64_t loop_turns = 0;
  uint64_t loop_turn_max_us = 0;
  RateMeter commands_rate, input_rate, output_rate;

  std::vector<CommandStats> commands;  // by Command::id
  // By the error's first word ("ERR", "WRONGTYPE"), at most kErrorCodesMax of them.
  std::map<std::string, uint64_t, std::less<>> errors;
  static constexpr size_t kErrorCodesMax = 128;

  // `text` is a whole error reply without the '-'.
  void CountError(std::string_view text);
  // CONFIG RESETSTAT.
  void Reset();
};

}  // namespace redynamo
