// SPDX-License-Identifier: Apache-2.0
// The log on a disk that loses what was not synced, fails a call or is full. The rule checked
// everywhere: what comes back is an unbroken beginning of what was appended, and it reaches at
// least as far as was reported as synced.
#include <atomic>

#include "tests/storage/log_fixture.h"

using namespace redynamo;

namespace {

// Appends numbered records for ever and remembers what it was told.
struct Workload {
  explicit Workload(LogFixture* fixture) : t(fixture) {}

  // What came back must continue what was known; then everything else is forgotten.
  void CheckRecovered() {
    size_t first = 0;
    while (first < ends.size() && ends[first] <= t->options.start_position) first++;
    size_t survivors = first + t->replayed.size();
    REQUIRE(survivors <= payloads.size());
    for (size_t i = first; i < survivors; i++) {
      REQUIRE(t->replayed[i - first].end == ends[i]);
      REQUIRE(t->replayed[i - first].payload == payloads[i]);
    }
    LogPosition reached = survivors ? ends[survivors - 1] : 0;
    CHECK(reached >= acknowledged);
    CHECK(t->log->last_record_number() == survivors);
    payloads.resize(survivors);
    ends.resize(survivors);
  }

  // A few turns. False once the log has failed.
  bool Turns(int turns) {
    while (turns-- > 0) {
      for (uint64_t n = 1 + t->random.Below(6); n > 0; n--) {
        std::string payload = NumberedPayload(payloads.size(), &t->random, 700);
        if (!t->log->Reserve(payload.size()).ok()) return false;
        payloads.push_back(payload);
        ends.push_back(t->Append(payload));
      }
      Status status = t->log->WriteBatch();
      if (status.ok() && t->random.Below(3) == 0) status = t->log->SyncNow();
      if (status.ok() && t->random.Below(5) == 0) status = t->log->MarkSynced();
      Acknowledge();
      if (!status.ok()) return false;
      if (t->random.Below(8) == 0 && acknowledged) {  // a checkpoint
        t->options.start_position = LastEndAtOrBelow(acknowledged);
        t->log->ReleaseBefore(t->options.start_position);
      }
    }
    return true;
  }

  void Acknowledge() {
    LogPosition last = LastEndAtOrBelow(t->log->synced());
    if (last > acknowledged) acknowledged = last;
  }
  LogPosition LastEndAtOrBelow(LogPosition position) const {
    LogPosition last = 0;
    for (LogPosition end : ends) last = end <= position ? end : last;
    return last;
  }

  LogFixture* t;
  std::vector<std::string> payloads;
  std::vector<LogPosition> ends;
  LogPosition acknowledged = 0;  // end of the last record known to be synced
};

}  // namespace

TEST_CASE("log crash: whatever was synced is back after any power cut") {
  for (CrashKeeps keeps : {CrashKeeps::kNothing, CrashKeeps::kPrefix, CrashKeeps::kSectors}) {
    for (uint64_t seed = 1; seed <= 60; seed++) {
      CAPTURE(seed);
      LogFixture t;
      t.random = Random(seed);
      Workload work(&t);
      for (int round = 0; round < 6; round++) {
        t.MustOpen();
        work.CheckRecovered();
        REQUIRE(work.Turns(int(t.random.Below(25))));
        if (t.random.Below(4) == 0) REQUIRE(t.log->Close().ok());
        work.Acknowledge();
        t.Crash(keeps);
      }
    }
  }
}

TEST_CASE("log crash: whatever was written is back after a kill") {
  LogFixture t;
  Workload work(&t);
  for (int round = 0; round < 30; round++) {
    t.MustOpen();
    work.CheckRecovered();
    REQUIRE(work.Turns(int(t.random.Below(25))));
    work.acknowledged = work.ends.empty() ? 0 : work.ends.back();
    t.Kill();
  }
}

TEST_CASE("log crash: with threads, power may go at any moment") {
  for (uint64_t seed = 1; seed <= 25; seed++) {
    CAPTURE(seed);
    LogFixture t;
    t.random = Random(seed);
    t.options.background_threads = true;
    t.options.clock = &SystemClock();
    Workload work(&t);
    for (int round = 0; round < 4; round++) {
      t.MustOpen();
      work.CheckRecovered();
      REQUIRE(work.Turns(int(t.random.Below(60))));
      work.Acknowledge();
      t.Crash(CrashKeeps::kSectors);
    }
    CHECK(t.fatal_calls <= 4);  // the cut power looks like EIO: at most once per log
  }
}

// Runs a session in which the n-th call fails, cuts the power, and checks what is back.
static bool SessionWithFailure(uint64_t n, int error_number, bool sticky) {
  CAPTURE(n);
  LogFixture t;
  t.random = Random(n);
  Workload work(&t);
  t.MustOpen();
  REQUIRE(work.Turns(5));
  work.Acknowledge();
  t.Kill();
  if (sticky)
    t.fs.FailFrom(n, error_number);
  else
    t.fs.FailCall(n, error_number);
  bool ok = t.Open().ok();
  if (ok) {
    work.CheckRecovered();
    ok = work.Turns(12);
    if (ok) ok = t.log->Close().ok();
    work.Acknowledge();
    if (t.fatal_calls) {
      CHECK(!t.log->Reserve(1).ok());
      CHECK(t.log->synced() <= t.log->written());
      CHECK(!t.log->SyncNow().ok());
    }
  }
  CHECK(t.fatal_calls <= 1);
  bool struck = t.fs.failed();
  if (!struck) CHECK(ok);
  t.fs.FailCall(0, 0);
  t.Crash(CrashKeeps::kSectors);
  t.fatal_calls = 0;
  t.MustOpen();
  work.CheckRecovered();
  return struck;
}

TEST_CASE("log crash: the n-th call fails, for every n") {
  for (bool sticky : {false, true}) {
    for (int error_number : {EIO, ENOSPC}) {
      uint64_t n = 1;
      while (SessionWithFailure(n, error_number, sticky)) REQUIRE(++n < 2000);
      CHECK(n > 50);
    }
  }
}

TEST_CASE("log crash: a failed write or sync is reported once and ends the log") {
  for (bool threads : {false, true}) {
    LogFixture t;
    t.options.background_threads = threads;
    std::atomic<int> calls{0};
    t.options.on_fatal = [&](const Status& status) {
      CHECK(status.code() == StatusCode::kIoError);
      calls++;
    };
    t.options.sync_mode = SyncMode::kNo;
    t.MustOpen();
    LogPosition end = t.MustPut("one");
    REQUIRE(t.log->SyncNow().ok());
    t.MustPut("two");
    CHECK(Eventually([&] { return t.fs.Paths().size() == 2; }));
    t.fs.FailFrom(1, EIO);
    CHECK(t.log->SyncNow().code() == StatusCode::kIoError);
    t.fs.FailCall(0, 0);  // the disk seems well again, but nothing may be trusted
    CHECK(t.log->SyncNow().code() == StatusCode::kIoError);
    CHECK(t.log->WriteBatch().code() == StatusCode::kIoError);
    CHECK(t.log->Reserve(1).code() == StatusCode::kIoError);
    CHECK(t.log->Close().code() == StatusCode::kIoError);
    CHECK(t.log->synced() == end);
    CHECK(calls == 1);
  }
}

TEST_CASE("log crash: a full disk refuses reservations and writes resume by themselves") {
  for (bool threads : {false, true}) {
    LogFixture t;
    t.options.background_threads = threads;
    t.fs.SetCapacity(5 * 4096);
    t.MustOpen();
    int put = 0;
    Status status;
    while (true) {
      auto end = t.Put(std::string(500, 'f'));
      status = end.status();
      if (!end.ok()) break;
      REQUIRE(++put < 100);
    }
    CHECK(status.code() == StatusCode::kNoSpace);
    CHECK(put == 5 * 7);  // 7 records of 532 bytes a segment, to the last one
    CHECK(t.fatal_calls == 0);
    REQUIRE(t.log->SyncNow().ok());
    CHECK(t.fs.Paths().size() == 5);  // the failed attempt left no file
    // What still fits is taken.
    CHECK(t.log->Reserve(1).ok());
    // No attempt before 100 ms have passed, then one that fails, then room.
    uint64_t calls = t.fs.calls();
    CHECK(t.log->Reserve(500).code() == StatusCode::kNoSpace);
    CHECK(t.fs.calls() == calls);
    t.clock.AdvanceMs(100);
    CHECK(t.log->Reserve(500).code() == StatusCode::kNoSpace);
    CHECK(t.fs.calls() > calls);
    t.fs.SetCapacity(100 * 4096);
    CHECK(t.log->Reserve(500).code() == StatusCode::kNoSpace);
    t.clock.AdvanceMs(100);
    for (int i = 0; i < 20; i++) t.MustPut(std::string(500, 'f'));
    REQUIRE(t.log->Close().ok());
    CHECK(t.fatal_calls == 0);
    t.Crash();
    t.MustOpen();
    CHECK(t.replayed.size() == size_t(put + 20));
  }
}

TEST_CASE("log crash: a record too large for the disk is refused, smaller ones go on") {
  LogFixture t;
  t.fs.SetCapacity(20 * 4096);
  t.MustOpen();
  CHECK(t.log->Reserve(1 << 20).code() == StatusCode::kNoSpace);
  CHECK(t.log->Reserve(kMaxRecordBytes + 1).code() == StatusCode::kInvalidArgument);
  t.MustPut("small");
  t.MustPut(std::string(10'000, 'l'));
  t.Kill();
  t.MustOpen();
  CHECK(t.replayed.size() == 2);
  CHECK(t.fatal_calls == 0);
}

TEST_CASE("log crash: power fails while recovery settles") {
  LogFixture t;
  t.MustOpen();
  for (int i = 0; i < 30; i++) t.MustPut(std::string(300, char('a' + i % 26)));
  REQUIRE(t.log->SyncNow().ok());
  for (int i = 0; i < 30; i++) t.MustPut(std::string(300, 'z'));
  t.Crash(CrashKeeps::kSectors);
  for (uint64_t n = 1;; n++) {
    t.fs.FailFrom(n, EIO);
    bool ok = t.Open().ok();
    bool struck = t.fs.failed();
    t.fs.FailFrom(0, 0);
    t.Crash(CrashKeeps::kSectors);
    if (ok && !struck) break;
    REQUIRE(n < 2000);
    t.fatal_calls = 0;
  }
  t.MustOpen();
  REQUIRE(t.replayed.size() >= 30);
  for (int i = 0; i < 30; i++) CHECK(t.replayed[i].payload[0] == char('a' + i % 26));
}
