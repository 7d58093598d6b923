// SPDX-License-Identifier: Apache-2.0
// The log on a good day: what is appended comes back, segments roll over and are released.
#include "storage/log.h"

#include <unistd.h>

#include <cstdlib>

#include "tests/storage/log_fixture.h"

using namespace redynamo;

TEST_CASE("log: what is written comes back in order with its positions") {
  LogFixture t;
  t.MustOpen();
  CHECK(t.log->report().last_record_number == 0);
  std::vector<LogPosition> ends;
  for (std::string payload : {"abc", "de", "", "fghi"}) ends.push_back(t.Append(payload));
  CHECK(ends[0] == 64 + 24 + 8 + 3);
  CHECK(ends[1] == ends[0] + 8 + 2);
  CHECK(t.log->appended() == ends[3]);
  CHECK(t.log->written() < ends[0]);
  REQUIRE(t.log->WriteBatch().ok());
  CHECK(t.log->written() == ends[3]);
  CHECK(t.log->synced() < ends[0]);
  REQUIRE(t.log->SyncNow().ok());
  CHECK(t.log->synced() == ends[3]);
  t.Kill();
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"abc", "de", "", "fghi"});
  for (size_t i = 0; i < 4; i++) CHECK(t.replayed[i].end == ends[i]);
  CHECK(t.log->report().last_record_number == 4);
  CHECK(!t.log->report().tail_was_cut);
  CHECK(t.log->appended() == ends[3]);
  CHECK(t.log->synced() == ends[3]);
}

TEST_CASE("log: an aborted record leaves nothing") {
  LogFixture t;
  t.MustOpen();
  t.log->BeginRecord()->append("never");
  t.log->AbortRecord();
  CHECK(t.log->buffered_bytes() == 0);
  t.Append("one");
  t.log->BeginRecord()->append("never");
  t.log->AbortRecord();
  t.Append("two");
  REQUIRE(t.log->WriteBatch().ok());
  t.Kill();
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"one", "two"});
}

TEST_CASE("log: records roll over into the next segment, also in the middle of a batch") {
  LogFixture t;
  t.MustOpen();
  std::vector<std::string> written;
  LogPosition last = 0;
  for (int i = 0; i < 400; i++) {
    written.push_back(NumberedPayload(i, &t.random, 600));
    REQUIRE(t.log->Reserve(written.back().size()).ok());
    LogPosition end = t.Append(written.back());
    CHECK(end > last);
    last = end;
    if (t.random.Below(9) == 0) REQUIRE(t.log->WriteBatch().ok());
    if (i % 100 == 99) {
      REQUIRE(t.log->Close().ok());
      t.MustOpen();
      CHECK(t.Payloads() == written);
    }
  }
  CHECK(t.log->segments().size() > 20);
  CHECK(t.log->last_record_number() == 400);
}

TEST_CASE("log: a record larger than a segment is kept whole in a larger one") {
  LogFixture t;
  t.MustOpen();
  std::string huge(100'000, 'h');
  t.MustPut(huge);  // the first record: the segment before it stays without records
  t.MustPut("small");
  t.MustPut(huge + huge);
  t.MustPut("last");
  t.Kill();
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{huge, "small", huge + huge, "last"});
}

TEST_CASE("log: a large record may be the first of a run") {
  LogFixture t;
  std::string huge(50'000, 'h');
  for (int round = 1; round <= 3; round++) {
    t.MustOpen();
    CHECK(t.replayed.size() == size_t(2 * (round - 1)));
    t.MustPut(huge);
    t.MustPut("small");
    REQUIRE(t.log->SyncNow().ok());
    t.Crash();
  }
}

TEST_CASE("log: a reopened log gives back the unused space of its last segment") {
  LogFixture t;
  t.MustOpen();
  LogPosition end = t.MustPut("one");
  CHECK(t.fs.FileSize("data/log-00000000000000000000.rdlog").value() == 4096);
  t.Kill();
  t.MustOpen();
  CHECK(t.fs.FileSize("data/log-00000000000000000000.rdlog").value() == end);
  CHECK(t.log->segments().back().first == end);
}

TEST_CASE("log: several records under one reservation find room") {
  LogFixture t;
  t.MustOpen();
  t.MustPut(std::string(3000, 'x'));
  REQUIRE(t.log->Reserve(10 * (500 + kRecordFrameBytes)).ok());
  for (int i = 0; i < 10; i++) t.Append(std::string(500, char('0' + i)));
  REQUIRE(t.log->WriteBatch().ok());
  CHECK(t.fatal_calls == 0);
  t.Kill();
  t.MustOpen();
  CHECK(t.replayed.size() == 11);
}

TEST_CASE("log: a replay begins behind the start position") {
  LogFixture t;
  t.MustOpen();
  std::vector<LogPosition> ends;
  for (int i = 0; i < 100; i++) ends.push_back(t.MustPut(std::string(200, char('!' + i % 90))));
  REQUIRE(t.log->Close().ok());
  for (size_t i : {0, 1, 17, 50, 98, 99}) {
    t.options.start_position = ends[i];
    t.MustOpen();
    REQUIRE(t.replayed.size() == 99 - i);
    if (i < 99) CHECK(t.replayed.front().end == ends[i + 1]);
    CHECK(t.log->last_record_number() == 100);
    t.Kill();
  }
}

TEST_CASE("log: released segments go and the rest replays") {
  LogFixture t;
  t.MustOpen();
  std::vector<LogPosition> ends;
  for (int i = 0; i < 100; i++) ends.push_back(t.MustPut(std::string(200, 'r')));
  REQUIRE(t.log->SyncNow().ok());
  size_t before = t.log->segments().size();
  t.log->ReleaseBefore(ends[60]);
  auto segments = t.log->segments();
  CHECK(segments.size() < before);
  CHECK(segments.front().first < ends[60]);
  CHECK(segments[1].first + kSegmentHeaderBytes >= ends[60]);
  CHECK(t.log->bytes_since(ends[60]) == ends[99] - ends[60]);
  CHECK(t.fs.Paths().size() == segments.size() + 1);  // and the one prepared ahead
  t.Kill();
  t.options.start_position = ends[60];
  t.MustOpen();
  CHECK(t.replayed.size() == 39);
  CHECK(t.log->last_record_number() == 100);
  t.log->ReleaseBefore(t.log->appended());
  t.options.start_position = t.log->appended();
  for (int round = 0; round < 5; round++) {  // an idle server started again and again
    REQUIRE(t.log->Close().ok());
    t.MustOpen();
    CHECK(t.replayed.empty());
    CHECK(t.log->last_record_number() == 100);
    t.log->ReleaseBefore(t.log->appended());
    CHECK(t.log->segments().size() <= 2);
  }
}

TEST_CASE("log: a reopened log goes on with dense numbers") {
  LogFixture t;
  for (int round = 1; round <= 20; round++) {
    t.MustOpen();
    CHECK(t.replayed.size() == size_t(round - 1));
    t.MustPut("round " + std::to_string(round));
    CHECK(t.log->last_record_number() == uint64_t(round));
    if (round % 2) REQUIRE(t.log->Close().ok());
    t.Kill();
  }
}

TEST_CASE("log: MarkSynced notes once what is synced") {
  LogFixture t;
  t.MustOpen();
  LogPosition end = t.MustPut("one");
  REQUIRE(t.log->MarkSynced().ok());
  CHECK(t.log->written() == end);  // not synced yet: nothing to note
  REQUIRE(t.log->SyncNow().ok());
  REQUIRE(t.log->MarkSynced().ok());
  CHECK(t.log->written() == end + kBatchFrameBytes);
  REQUIRE(t.log->SyncNow().ok());
  REQUIRE(t.log->MarkSynced().ok());
  CHECK(t.log->written() == end + kBatchFrameBytes);
  t.MustPut("two");
  t.Kill();
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"one", "two"});
}

TEST_CASE("log: a closed log refuses") {
  LogFixture t;
  t.MustOpen();
  REQUIRE(t.log->Close().ok());
  CHECK(t.log->Reserve(1).code() == StatusCode::kShutdown);
  CHECK(t.log->WriteBatch().code() == StatusCode::kShutdown);
  CHECK(t.log->Close().code() == StatusCode::kShutdown);
}

TEST_CASE("log: a failing callback ends Open with its status") {
  LogFixture t;
  t.MustOpen();
  t.MustPut("one");
  t.Kill();
  auto opened = Log::Open(&t.fs, t.options, [](LogPosition, std::string_view) {
    return InvalidArgument("not this one");
  });
  CHECK(opened.status().message() == "not this one");
}

TEST_CASE("log: under always, all that is written gets synced and on_synced is called") {
  LogFixture t;
  std::atomic<int> calls{0};
  t.options.background_threads = true;
  t.options.clock = &SystemClock();
  t.options.on_synced = [&] { calls++; };
  t.MustOpen();
  for (int i = 0; i < 2000; i++) t.MustPut(std::string(300, 'a'));
  LogPosition end = t.log->written();
  CHECK(Eventually([&] { return t.log->synced() == end; }));
  CHECK(Eventually([&] { return calls > 0; }));
  LogStats stats = t.log->stats();
  CHECK(stats.batches == 2000);
  CHECK(stats.records == 2000);
  CHECK(stats.syncs > 0);
  t.log->ReleaseBefore(end - 1000);
  t.Crash();
  t.options.start_position = end - 1000;
  t.MustOpen();
  CHECK(t.replayed.back().end == end);
}

TEST_CASE("log: the sync mode decides when the thread syncs and can be changed") {
  LogFixture t;
  t.options.background_threads = true;
  t.options.sync_mode = SyncMode::kNo;
  t.MustOpen();
  LogPosition end = t.MustPut("one");
  REQUIRE(t.log->SyncNow().ok());  // also in this mode
  CHECK(t.log->synced() == end);
  LogPosition second = t.MustPut("two");
  CHECK(t.log->synced() == end);
  t.log->SetSyncMode(SyncMode::kAlways);
  CHECK(Eventually([&] { return t.log->synced() == second; }));
}

TEST_CASE("log: a sync can be asked for in any mode, of what is written and of what will be") {
  for (SyncMode mode : {SyncMode::kNo, SyncMode::kEverySecond, SyncMode::kAlways}) {
    LogFixture t;
    t.options.background_threads = true;
    t.options.sync_mode = mode;
    t.MustOpen();
    LogPosition first = t.Append("x");
    REQUIRE(t.log->WriteBatch().ok());
    t.log->RequestSync();
    CHECK(Eventually([&] { return t.log->synced() == first; }));
    t.log->RequestSync();
    LogPosition second = t.Append("y");
    REQUIRE(t.log->WriteBatch().ok());
    CHECK(Eventually([&] { return t.log->synced() == second; }));
  }
}

TEST_CASE("log: everysec syncs by itself") {
  LogFixture t;
  t.options.background_threads = true;
  t.options.clock = &SystemClock();
  t.options.sync_mode = SyncMode::kEverySecond;
  t.MustOpen();
  LogPosition end = t.MustPut("one");
  CHECK(Eventually([&] { return t.log->synced() == end; }));
}

TEST_CASE("log: on a real disk, what is written comes back") {
  char directory[] = "/tmp/redynamo_log_test_XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  LogOptions options;
  options.directory = std::string(directory) + "/log";
  options.segment_bytes = 1 << 20;
  std::vector<std::string> got;
  auto callback = [&](LogPosition, std::string_view payload) {
    got.emplace_back(payload);
    return Status::Ok();
  };
  Random random(3);
  std::vector<std::string> put;
  for (int round = 0; round < 3; round++) {
    got.clear();
    auto log = Log::Open(&PosixFileSystem(), options, callback);
    REQUIRE(log.ok());
    CHECK(got == put);
    for (int i = 0; i < 3000; i++) {
      put.push_back(NumberedPayload(i, &random, 1000));
      REQUIRE((*log)->Reserve(put.back().size()).ok());
      (*log)->BeginRecord()->append(put.back());
      (*log)->EndRecord();
      if (i % 10 == 0) REQUIRE((*log)->WriteBatch().ok());
    }
    REQUIRE((*log)->WriteBatch().ok());
    if (round == 1) REQUIRE((*log)->Close().ok());
  }
  auto lock = PosixFileSystem().LockFile(std::string(directory) + "/LOCK");
  REQUIRE(lock.ok());
  CHECK(PosixFileSystem().LockFile(std::string(directory) + "/LOCK").status().code() ==
        StatusCode::kBusy);
  CHECK(std::system(("rm -r " + std::string(directory)).c_str()) == 0);
}
