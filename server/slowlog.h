// SPDX-License-Identifier: Apache-2.0
// The last slow commands, newest first (SLOWLOG).
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace redynamo {

struct SlowlogEntry {
  uint64_t id = 0;
  int64_t unix_seconds = 0;
  int64_t microseconds = 0;
  std::vector<std::string> args;  // at most 32, each of at most 128 bytes, with a note of the rest
  std::string client_address;
  std::string client_name;
};

class Slowlog {
 public:
  static constexpr size_t kArgsMax = 32;
  static constexpr size_t kArgBytesMax = 128;

  // Keeps `max_len` entries. Args that must not be seen have been replaced by the caller.
  void Record(std::span<const std::string_view> args, int64_t microseconds, int64_t unix_seconds,
              std::string_view client_address, std::string_view client_name, int64_t max_len);
  void Trim(int64_t max_len);
  void Reset() { entries_.clear(); }
  const std::deque<SlowlogEntry>& entries() const { return entries_; }

 private:
  std::deque<SlowlogEntry> entries_;
  uint64_t next_id_ = 0;
};

}  // namespace redynamo
