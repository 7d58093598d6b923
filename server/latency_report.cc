// SPDX-License-Identifier: Apache-2.0
#include "server/latency_report.h"

#include <fmt/format.h>

#include <algorithm>

namespace redynamo {
namespace {

constexpr int kGraphRows = 6;
constexpr size_t kGraphColumnsMax = 80;
// Histogram bounds double from about 1 µs (1,024 ns); each bound's last 1/128 belongs to it, as in
// the histograms that Redis keeps.
constexpr uint64_t kFirstBoundNs = 1024;
constexpr int kBounds = 27;

// "5s", "3m", "7h", "2d": how long ago.
std::string Age(int64_t seconds) {
  if (seconds < 60) return fmt::format("{}s", std::max<int64_t>(seconds, 0));
  if (seconds < 3600) return fmt::format("{}m", seconds / 60);
  return seconds < 86'400 ? fmt::format("{}h", seconds / 3600)
                          : fmt::format("{}d", seconds / 86'400);
}

struct Summary {
  uint32_t low_ms = 0, high_ms = 0, average_ms = 0;
  int64_t seconds_between = 0;  // on average
};

Summary Summarize(const std::vector<LatencySample>& samples, int64_t now_s) {
  Summary summary;
  if (samples.empty()) return summary;
  uint64_t sum = 0;
  summary.low_ms = UINT32_MAX;
  for (const LatencySample& sample : samples) {
    sum += sample.ms;
    summary.low_ms = std::min(summary.low_ms, sample.ms);
    summary.high_ms = std::max(summary.high_ms, sample.ms);
  }
  summary.average_ms = uint32_t(sum / samples.size());
  summary.seconds_between =
      std::max<int64_t>(now_s - samples.front().unix_seconds, 1) / int64_t(samples.size());
  return summary;
}

// What helps against an event that was slow.
struct Advice {
  std::string_view event, text;
};

constexpr Advice kAdvice[] = {
    {"command",
     "SLOWLOG GET shows which commands; large collections in one reply and KEYS are the usual ones "
     "(SCAN, HSCAN and SSCAN go in steps)."},
    {"fast-command",
     "commands that touch little were slow: look for other work on this processor, for swapping, "
     "and at the hypervisor's steal time."},
    {"expire-cycle", "many keys expire at the same moment: spread their deadlines."},
    {"eviction-cycle", "memory is at maxmemory: raise it, or write less at a time."},
    {"aof-fsync-always",
     "the disk takes long to sync: a faster disk, or appendfsync everysec if losing the last "
     "second to a power cut is acceptable."},
    {"checkpoint", "checkpoints work in slices; raise hz to make them shorter."},
};

void DescribeEvent(std::string_view event, const LatencySeries& series, int64_t now_s,
                   std::string* text) {
  std::vector<LatencySample> samples = SamplesOf(series);
  Summary summary = Summarize(samples, now_s);
  *text += fmt::format(
      " * {}: {} times, {} ms on average, at most {} ms; one about every {} s, the last {} ago.\n",
      event, samples.size(), summary.average_ms, series.max_ms, summary.seconds_between,
      samples.empty() ? "?" : Age(now_s - samples.back().unix_seconds));
  for (const Advice& advice : kAdvice) {
    if (advice.event == event) *text += fmt::format("   Advice: {}\n", advice.text);
  }
}

}  // namespace

std::vector<LatencySample> SamplesOf(const LatencySeries& series) {
  std::vector<LatencySample> samples;
  for (int i = 0; i < LatencySeries::kSamples; i++) {
    const LatencySample& sample = series.ring[(series.next + i) % LatencySeries::kSamples];
    if (sample.unix_seconds != 0) samples.push_back(sample);
  }
  return samples;
}

std::string DrawLatency(std::string_view event, const LatencySeries& series, int64_t now_s) {
  std::vector<LatencySample> samples = SamplesOf(series);
  Summary all = Summarize(samples, now_s);
  std::string text = fmt::format("{} - high {} ms, low {} ms (all time high {} ms)\n", event,
                                 all.high_ms, all.low_ms, series.max_ms);
  if (samples.size() > kGraphColumnsMax) {
    samples.erase(samples.begin(), samples.end() - ptrdiff_t(kGraphColumnsMax));
  }
  text += std::string(kGraphColumnsMax, '-') + '\n';
  uint32_t span = std::max<uint32_t>(all.high_ms - all.low_ms, 1);
  for (int row = kGraphRows; row >= 1; row--) {
    std::string line;
    for (const LatencySample& sample : samples) {
      int height = 1 + int(uint64_t(sample.ms - all.low_ms) * (kGraphRows - 1) / span);
      line += height > row ? '|' : height == row ? '#' : ' ';
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  // The age of each sample, downwards.
  std::vector<std::string> ages;
  size_t longest = 0;
  for (const LatencySample& sample : samples) {
    ages.push_back(Age(now_s - sample.unix_seconds));
    longest = std::max(longest, ages.back().size());
  }
  for (size_t i = 0; i < longest; i++) {
    text += '\n';
    for (const std::string& age : ages) text += i < age.size() ? age[i] : ' ';
  }
  return text + '\n';
}

std::string DiagnoseLatency(const LatencyMonitor& monitor, int64_t threshold_ms, int64_t now_s) {
  if (threshold_ms == 0 && monitor.series().empty()) {
    return "Slow events are not recorded. CONFIG SET latency-monitor-threshold <milliseconds> "
           "records all that take longer.\n";
  }
  if (monitor.series().empty()) {
    return fmt::format("Nothing took {} ms or longer since the recording began.\n", threshold_ms);
  }
  std::string text = fmt::format("{} kinds of events were slow:\n", monitor.series().size());
  for (const auto& [event, series] : monitor.series()) DescribeEvent(event, series, now_s, &text);
  return text;
}

std::vector<std::pair<int64_t, int64_t>> CumulativeCounts(const LatencyHistogram& histogram) {
  std::vector<std::pair<int64_t, int64_t>> counts;
  int64_t before = 0, total = int64_t(histogram.count());
  for (int i = 0; i < kBounds && before < total; i++) {
    uint64_t bound_ns = kFirstBoundNs << i;
    bound_ns += bound_ns / 128 - 1;
    bool last = i == kBounds - 1;
    int64_t count = last ? total : int64_t(histogram.CountUpTo(bound_ns));
    if (count == before) continue;
    counts.emplace_back(int64_t(bound_ns / 1000), count);
    before = count;
  }
  return counts;
}

}  // namespace redynamo
