// SPDX-License-Identifier: Apache-2.0
// How fast a node serves what others pull from it (moving partitions, catching up), so that its own
// clients do not notice: unbounded while their writes are quick; bounded, and ever lower, while the
// p99 of how long writes wait for their quorum exceeds a limit (DynamoDB 2022 section 4: background
// work must not show in the foreground).
//
//   p99 of the last half second   40   70   90   30   20   ...     limit 50 ms
//   MiB/s                          -   32   16   20   25   ...     -: unbounded; 64 were served
//
// Never below a floor, so that a pull ends even on a node that is always slow. A served batch may
// overdraw: what follows waits longer. No I/O; time is the caller's. One thread.
#pragma once

#include <cstdint>
#include <vector>

namespace redynamo {

class ServingPace {
 public:
  // `p99_ms_max` 0: never bounded.
  explicit ServingPace(int64_t p99_ms_max) : p99_ms_max_(p99_ms_max) {}

  // A write of a client has waited so long for its quorum.
  void NoteWrite(int64_t waited_ms) { waits_ms_.push_back(waited_ms); }
  void Tick(int64_t now_ms);
  bool MayServe() const { return bytes_per_s_ == 0 || allowance_ > 0; }
  void Served(uint64_t bytes);

  uint64_t bytes_per_s() const { return bytes_per_s_; }  // 0: unbounded
  int64_t p99_ms() const { return p99_ms_; }             // of the last half second that had writes

 private:
  void Adapt();

  int64_t p99_ms_max_;
  std::vector<int64_t> waits_ms_;
  int64_t p99_ms_ = 0;
  int64_t now_ms_ = 0, adapted_ms_ = 0;
  uint64_t bytes_per_s_ = 0;
  uint64_t served_bytes_ = 0;  // since adapted_ms_
  int64_t allowance_ = 0;      // bytes; below zero: overdrawn
};

}  // namespace redynamo
