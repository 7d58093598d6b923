// SPDX-License-Identifier: Apache-2.0
// What the log tests share: a log on a faulty disk, small segments, and verbs.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "storage/log.h"
#include "tests/support/faulty_file_system.h"

namespace redynamo {

inline constexpr uint64_t kTestDirectoryId = 0x7e57;

struct LogFixture {
  struct Replayed {
    LogPosition end;
    std::string payload;
  };

  LogFixture() {
    options.directory = "data";
    options.directory_id = kTestDirectoryId;
    options.segment_bytes = 4096;
    options.background_threads = false;
    options.clock = &clock;
    options.on_fatal = [this](const Status& status) {
      fatal_calls++;
      fatal_status = status;
    };
  }

  Status Open() {
    replayed.clear();
    auto opened = Log::Open(&fs, options, [this](LogPosition end, std::string_view payload) {
      replayed.push_back({end, std::string(payload)});
      return Status::Ok();
    });
    if (!opened.ok()) return opened.status();
    log = std::move(*opened);
    return Status::Ok();
  }
  void MustOpen() {
    Status status = Open();
    INFO(status.message());
    REQUIRE(status.ok());
  }

  LogPosition Append(std::string_view payload) {
    log->BeginRecord()->append(payload);
    return log->EndRecord();
  }
  // Reserve, append and write. The end position, or the first failure.
  Result<LogPosition> Put(std::string_view payload) {
    Status status = log->Reserve(payload.size());
    if (!status.ok()) return status;
    LogPosition end = Append(payload);
    status = log->WriteBatch();
    if (!status.ok()) return status;
    return end;
  }
  LogPosition MustPut(std::string_view payload) {
    auto end = Put(payload);
    REQUIRE(end.ok());
    return *end;
  }

  void Crash(CrashKeeps keeps = CrashKeeps::kNothing) {
    fs.PowerOff();
    log.reset();
    fs.Crash(keeps, &random);
  }
  // As kill -9: nothing is lost, nothing is closed.
  void Kill() { log.reset(); }

  std::vector<std::string> Payloads() const {
    std::vector<std::string> out;
    for (const Replayed& record : replayed) out.push_back(record.payload);
    return out;
  }

  FaultyFileSystem fs;
  ManualClock clock;
  Random random{1};
  LogOptions options;
  int fatal_calls = 0;
  Status fatal_status;
  std::vector<Replayed> replayed;
  std::unique_ptr<Log> log;
};

// Polls until `holds` or ten seconds have passed.
template <typename Condition>
bool Eventually(const Condition& holds) {
  const int64_t deadline_us = SystemClock().MonotonicUs() + 10'000'000;
  while (!holds()) {
    if (SystemClock().MonotonicUs() > deadline_us) return false;
    std::this_thread::yield();
  }
  return true;
}

// A payload that tells its number and has a random length.
inline std::string NumberedPayload(uint64_t number, Random* random, uint64_t max_bytes = 200) {
  std::string out = std::to_string(number) + ":";
  out.append(size_t(random->Below(max_bytes)), char('a' + number % 26));
  return out;
}

}  // namespace redynamo
