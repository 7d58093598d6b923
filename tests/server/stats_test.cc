// SPDX-License-Identifier: Apache-2.0
#include "server/stats.h"

#include <doctest/doctest.h>

#include "server/latency.h"
#include "server/slowlog.h"

namespace redynamo {
namespace {

TEST_CASE("latency histogram: percentiles are at most 1.6 % above the truth") {
  LatencyHistogram histogram;
  CHECK(histogram.PercentileNs(50) == 0);
  for (uint64_t ns = 1; ns <= 1'000'000; ns += 7) histogram.Add(ns);
  for (double percent : {1.0, 50.0, 99.0, 99.9, 100.0}) {
    double truth = 10'000 * percent;
    CHECK(histogram.PercentileNs(percent) >= uint64_t(truth * 0.999));
    CHECK(histogram.PercentileNs(percent) <= uint64_t(truth * 1.017));
  }
  CHECK(histogram.max_ns() >= 999'990);
}

TEST_CASE("latency histogram: what is beyond its range counts as its longest") {
  LatencyHistogram histogram;
  histogram.Add(UINT64_MAX);
  histogram.Add(0);
  CHECK(histogram.count() == 2);
  CHECK(histogram.CountUpTo(0) == 1);
  CHECK(histogram.max_ns() > 60'000'000'000);
}

TEST_CASE("server stats: errors are counted by their code, for a bounded number of codes") {
  ServerStats stats;
  stats.CountError("ERR a");
  stats.CountError("ERR b");
  stats.CountError("WRONGTYPE x");
  CHECK(stats.errors.at("ERR") == 2);
  CHECK(stats.errors.at("WRONGTYPE") == 1);
  for (int i = 0; i < 1000; ++i) stats.CountError("E" + std::to_string(i) + " x");
  CHECK(stats.errors.size() == ServerStats::kErrorCodesMax);
  CHECK(stats.error_replies == 1003);
  stats.commands.resize(3);
  stats.Reset();
  CHECK(stats.errors.empty());
  CHECK(stats.commands.size() == 3);
}

TEST_CASE("rate meter: a steady rate is what it shows") {
  RateMeter meter;
  for (int i = 0; i <= 32; ++i) meter.Sample(uint64_t(i) * 100, 1 + i * 100'000);
  CHECK(meter.PerSecond() == 1000);
}

TEST_CASE("slowlog: newest first, bounded, long commands shortened") {
  Slowlog log;
  std::vector<std::string> words(40, "arg");
  words[1] = std::string(200, 'x');
  std::vector<std::string_view> args(words.begin(), words.end());
  for (int i = 0; i < 10; ++i) log.Record(args, 100 + i, 1000, "1.2.3.4:5", "me", 3);
  REQUIRE(log.entries().size() == 3);
  const SlowlogEntry& newest = log.entries().front();
  CHECK(newest.id == 9);
  CHECK(newest.microseconds == 109);
  REQUIRE(newest.args.size() == 32);
  CHECK(newest.args[1] == std::string(128, 'x') + "... (72 more bytes)");
  CHECK(newest.args[31] == "... (9 more arguments)");
  log.Trim(0);
  CHECK(log.entries().empty());
}

TEST_CASE("latency monitor: one sample a second, the largest, in a ring") {
  LatencyMonitor monitor;
  monitor.Record("command", 5, 100);
  monitor.Record("command", 9, 100);
  monitor.Record("command", 7, 100);
  for (int i = 1; i <= 200; ++i) monitor.Record("command", 1, 100 + i);
  monitor.Record("fork", 3, 100);
  const LatencySeries& series = monitor.series().at("command");
  CHECK(series.max_ms == 9);
  for (const LatencySample& sample : series.ring) CHECK(sample.unix_seconds > 140);
  CHECK(monitor.Reset("nosuch") == 0);
  CHECK(monitor.Reset("fork") == 1);
  CHECK(monitor.Reset("") == 1);
}

}  // namespace
}  // namespace redynamo
