// SPDX-License-Identifier: Apache-2.0
// LATENCY's texts and its histogram: pure functions of what has been recorded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/latency.h"
#include "server/stats.h"

namespace redynamo {

// A series' samples, oldest first.
std::vector<LatencySample> SamplesOf(const LatencySeries& series);

// LATENCY GRAPH: a column for each sample, the newest at the right.
std::string DrawLatency(std::string_view event, const LatencySeries& series, int64_t now_s);

// LATENCY DOCTOR: what was slow, how often, and what may help. `threshold_ms` 0: not measured.
std::string DiagnoseLatency(const LatencyMonitor& monitor, int64_t threshold_ms, int64_t now_s);

// LATENCY HISTOGRAM: (microseconds, calls that took at most so long), a pair for each power of two
// where the count grows.
std::vector<std::pair<int64_t, int64_t>> CumulativeCounts(const LatencyHistogram& histogram);

}  // namespace redynamo
