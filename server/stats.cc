// SPDX-License-Identifier: Apache-2.0
#include "server/stats.h"

#include <algorithm>

#include "server/tsc_clock.h"

namespace redynamo {

uint64_t LatencyHistogram::HighestOf(int index) {
  if (index < (1 << kStepBits)) return uint64_t(index);
  int octave = (index >> kStepBits) - 1;
  uint64_t step = uint64_t(index & ((1 << kStepBits) - 1)) | (uint64_t(1) << kStepBits);
  return ((step + 1) << octave) - 1;
}

uint64_t LatencyHistogram::PercentileNs(double percent) const {
  if (total_ == 0) return 0;
  double exact = percent / 100 * double(total_);
  uint64_t rank = std::clamp<uint64_t>(uint64_t(exact + 0.5), 1, total_);
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return HighestOf(int(i));
  }
  return max_ns();
}

uint64_t LatencyHistogram::CountUpTo(uint64_t nanoseconds) const {
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size() && HighestOf(int(i)) <= nanoseconds; ++i) {
    seen += counts_[i];
  }
  return seen;
}

uint64_t LatencyHistogram::max_ns() const {
  for (size_t i = counts_.size(); i-- > 0;) {
    if (counts_[i]) return HighestOf(int(i));
  }
  return 0;
}

uint64_t CommandStats::microseconds() const { return TscClock::ToNanoseconds(ticks) / 1000; }

void RateMeter::Sample(uint64_t reading, int64_t now_us) {
  int64_t elapsed_us = now_us - last_us_;
  if (last_us_ != 0 && elapsed_us > 0 && reading >= last_reading_) {
    rates_[next_] = (reading - last_reading_) * 1'000'000 / uint64_t(elapsed_us);
    next_ = (next_ + 1) % kSamples;
  }
  last_us_ = now_us;
  last_reading_ = reading;
}

uint64_t RateMeter::PerSecond() const {
  uint64_t sum = 0;
  for (uint64_t rate : rates_) sum += rate;
  return sum / kSamples;
}

void ServerStats::CountError(std::string_view text) {
  error_replies++;
  std::string_view code = text.substr(0, text.find(' '));
  auto it = errors.find(code);
  if (it == errors.end()) {
    if (errors.size() >= kErrorCodesMax) return;
    it = errors.emplace(std::string(code), 0).first;
  }
  it->second++;
}

void ServerStats::Reset() {
  size_t command_count = commands.size();
  *this = ServerStats();
  commands.resize(command_count);
}

}  // namespace redynamo
