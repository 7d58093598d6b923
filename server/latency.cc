// SPDX-License-Identifier: Apache-2.0
#include "server/latency.h"

#include <algorithm>

namespace redynamo {

void LatencyMonitor::Record(std::string_view event, uint32_t ms, int64_t unix_seconds) {
  auto it = series_.find(event);
  if (it == series_.end()) it = series_.emplace(std::string(event), LatencySeries()).first;
  LatencySeries& series = it->second;
  series.max_ms = std::max(series.max_ms, ms);
  LatencySample& last =
      series.ring[(series.next + LatencySeries::kSamples - 1) % LatencySeries::kSamples];
  if (last.unix_seconds == unix_seconds) {
    last.ms = std::max(last.ms, ms);
    return;
  }
  series.ring[series.next] = {unix_seconds, ms};
  series.next = (series.next + 1) % LatencySeries::kSamples;
}

int LatencyMonitor::Reset(std::string_view event) {
  int removed = int(series_.size());
  if (event.empty()) {
    series_.clear();
    return removed;
  }
  auto it = series_.find(event);
  if (it == series_.end()) return 0;
  series_.erase(it);
  return 1;
}

}  // namespace redynamo
