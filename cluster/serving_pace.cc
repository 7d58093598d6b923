// SPDX-License-Identifier: Apache-2.0
#include "cluster/serving_pace.h"

#include <algorithm>

namespace redynamo {
namespace {

constexpr int64_t kAdaptMs = 500;
constexpr uint64_t kFloorBytesPerS = 4 << 20;
constexpr uint64_t kCeilingBytesPerS = 512 << 20;  // beyond it, unbounded again

}  // namespace

void ServingPace::Tick(int64_t now_ms) {
  if (adapted_ms_ == 0) adapted_ms_ = now_ms;
  if (bytes_per_s_ > 0) {
    int64_t most = int64_t(bytes_per_s_ / 4);
    allowance_ = std::min(most, allowance_ + int64_t(bytes_per_s_) * (now_ms - now_ms_) / 1000);
  }
  now_ms_ = now_ms;
  if (now_ms - adapted_ms_ >= kAdaptMs) Adapt();
}

void ServingPace::Adapt() {
  uint64_t served_per_s = served_bytes_ * 1000 / uint64_t(now_ms_ - adapted_ms_);
  adapted_ms_ = now_ms_;
  served_bytes_ = 0;
  int64_t p99_ms = 0;
  if (!waits_ms_.empty()) {
    size_t at = waits_ms_.size() - 1 - (waits_ms_.size() - 1) / 100;
    std::nth_element(waits_ms_.begin(), waits_ms_.begin() + long(at), waits_ms_.end());
    p99_ms = p99_ms_ = waits_ms_[at];
    waits_ms_.clear();
  }
  if (p99_ms_max_ > 0 && p99_ms > p99_ms_max_) {
    if (bytes_per_s_ == 0) allowance_ = 0;
    uint64_t before = bytes_per_s_ > 0 ? bytes_per_s_ : served_per_s;
    bytes_per_s_ = std::max(kFloorBytesPerS, before / 2);
  } else if (bytes_per_s_ > 0) {
    bytes_per_s_ += bytes_per_s_ / 4;
    if (bytes_per_s_ > kCeilingBytesPerS) bytes_per_s_ = 0;
  }
}

void ServingPace::Served(uint64_t bytes) {
  served_bytes_ += bytes;
  allowance_ -= int64_t(bytes);
}

}  // namespace redynamo
