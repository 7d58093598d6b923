// SPDX-License-Identifier: Apache-2.0
// What recovery decides about bytes that are not as they were written: torn tails are cut, damage
// is refused with its place, salvage goes on behind it.
#include <set>

#include "tests/storage/log_fixture.h"

using namespace redynamo;

namespace {

constexpr const char* kFirstSegment = "data/log-00000000000000000000.rdlog";

std::vector<std::string> FirstOf(const std::vector<std::string>& all, size_t n) {
  return {all.begin(), all.begin() + long(n)};
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Five records, each in a batch of its own and synced before the next is written.
std::vector<LogPosition> FiveSynced(LogFixture* t) {
  std::vector<LogPosition> ends;
  t->MustOpen();
  for (std::string payload : {"one", "two", "three", "four", "five"}) {
    ends.push_back(t->MustPut(payload));
    REQUIRE(t->log->SyncNow().ok());
  }
  t->Kill();
  return ends;
}

}  // namespace

TEST_CASE("log damage: a tail torn at every byte of the last batch is cut there") {
  LogFixture t;
  t.MustOpen();
  std::vector<std::string> all = {"first", "second"};
  t.MustPut(all[0]);
  LogPosition begin = t.MustPut(all[1]);
  REQUIRE(t.log->SyncNow().ok());
  std::vector<LogPosition> ends;
  for (std::string payload : {"alpha", "", "beta gamma", "d"}) {
    all.push_back(payload);
    ends.push_back(t.Append(payload));
  }
  REQUIRE(t.log->WriteBatch().ok());
  LogPosition end = t.log->written();
  t.Kill();
  const std::string whole = t.fs.Contents(kFirstSegment);
  for (bool garbage : {false, true}) {
    for (LogPosition cut = begin; cut <= end; cut++) {
      CAPTURE(cut);
      LogFixture u;
      std::string torn = whole.substr(0, cut);
      if (garbage) {
        // The byte at the cut is wrong for sure, what follows is noise.
        if (cut < end) torn.push_back(char(~whole[cut]));
        while (torn.size() < whole.size()) torn.push_back(char(u.random.Next()));
      } else {
        torn.resize(whole.size(), '\0');
      }
      u.fs.SetContents(kFirstSegment, torn);
      u.MustOpen();
      size_t survivors = 2;
      for (LogPosition record_end : ends) survivors += record_end <= cut;
      // Without garbage, zeros that belong to the record may be what was cut off.
      if (u.replayed.size() != survivors) {
        REQUIRE(!garbage);
        CHECK(torn.substr(0, end) == whole.substr(0, end));
        survivors = all.size();
      }
      CHECK(u.Payloads() == FirstOf(all, survivors));
      if (garbage) CHECK(u.log->report().tail_was_cut);
      if (u.log->report().tail_was_cut) {
        CHECK(Contains(u.log->report().cut_note, kFirstSegment));
      }
      // The log goes on behind the cut.
      std::vector<std::string> expected = FirstOf(all, survivors);
      expected.push_back("after");
      u.MustPut("after");
      u.Kill();
      u.MustOpen();
      CHECK(u.Payloads() == expected);
      CHECK(!u.log->report().tail_was_cut);
    }
  }
}

TEST_CASE("log damage: a bad record before a synced position is refused with file and byte") {
  for (size_t victim = 0; victim < 4; victim++) {
    LogFixture t;
    std::vector<LogPosition> ends = FiveSynced(&t);
    t.fs.FlipBit(kFirstSegment, (ends[victim] - 1) * 8);
    uint64_t begin = ends[victim] - kRecordFrameBytes -
                     std::string("one two threefour")
                         .substr(victim * 4, victim == 2   ? 5
                                             : victim == 3 ? 4
                                                           : 3)
                         .size();
    Status status = t.Open();
    CHECK(status.code() == StatusCode::kCorruption);
    CAPTURE(status.message());
    CHECK(Contains(status.message(),
                   std::string(kFirstSegment) + " at byte " + std::to_string(begin) + " "));
    CHECK(Contains(status.message(), "record " + std::to_string(victim + 1)));
    CHECK(!t.log);
  }
}

TEST_CASE("log damage: a refused log is left as it is and opens once repaired") {
  LogFixture t;
  std::vector<LogPosition> ends = FiveSynced(&t);
  t.fs.FlipBit(kFirstSegment, (ends[1] - 1) * 8);
  auto paths = t.fs.Paths();
  CHECK(t.Open().code() == StatusCode::kCorruption);
  CHECK(t.fs.Paths() == paths);
  t.fs.FlipBit(kFirstSegment, (ends[1] - 1) * 8);
  t.MustOpen();
  CHECK(t.replayed.size() == 5);
}

TEST_CASE("log damage: any flipped bit is refused or costs only what was not noted as synced") {
  LogFixture t;
  std::vector<LogPosition> ends = FiveSynced(&t);
  const std::vector<std::string> all = {"one", "two", "three", "four", "five"};
  const std::string whole = t.fs.Contents(kFirstSegment);
  for (uint64_t bit = 0; bit < (ends.back() + 40) * 8; bit++) {
    CAPTURE(bit);
    LogFixture u;
    u.fs.SetContents(kFirstSegment, whole);
    u.fs.FlipBit(kFirstSegment, bit);
    Status status = u.Open();
    // The last batch says that four are synced.
    if (bit / 8 < ends[3]) {
      CHECK(!status.ok());
      if (bit / 8 >= kSegmentHeaderBytes) CHECK(status.code() == StatusCode::kCorruption);
    } else {
      REQUIRE(status.ok());
      CHECK(u.Payloads() == FirstOf(all, bit / 8 < ends[4] ? 4 : 5));
      CHECK(u.log->report().tail_was_cut);
    }
  }
}

TEST_CASE("log damage: after an orderly close every record is guarded") {
  LogFixture t;
  t.MustOpen();
  std::vector<LogPosition> ends;
  for (int i = 0; i < 3; i++) ends.push_back(t.MustPut("payload"));
  REQUIRE(t.log->Close().ok());
  t.fs.FlipBit(kFirstSegment, (ends[2] - 1) * 8);
  CHECK(t.Open().code() == StatusCode::kCorruption);
}

TEST_CASE("log damage: a missing segment is a hole") {
  LogFixture t;
  t.MustOpen();
  for (int i = 0; i < 60; i++) {
    t.MustPut(std::string(300, 'x'));
    REQUIRE(t.log->SyncNow().ok());
  }
  auto segments = t.log->segments();
  t.Kill();
  REQUIRE(segments.size() > 3);
  for (size_t victim = 0; victim + 1 < segments.size(); victim++) {
    LogFixture u;
    for (const std::string& path : t.fs.Paths()) {
      if (path != segments[victim].path) u.fs.SetContents(path, t.fs.Contents(path));
    }
    Status status = u.Open();
    CHECK(status.code() == StatusCode::kCorruption);
    CHECK(Contains(status.message(), segments[victim + 1].path));
    u.options.salvage = true;
    u.MustOpen();
    CHECK(!u.log->report().salvage_notes.empty());
    if (victim > 0) CHECK(u.replayed.size() + u.log->report().lost_records == 60);
  }
}

TEST_CASE("log damage: a log that ends before the start position is refused") {
  LogFixture t;
  std::vector<LogPosition> ends = FiveSynced(&t);
  t.options.start_position = ends[4] + 1;
  CHECK(t.Open().code() == StatusCode::kCorruption);
  t.options.salvage = true;
  t.MustOpen();
  CHECK(t.log->appended() == ends[4] + 1);
  LogPosition end = t.MustPut("after");
  CHECK(end > ends[4] + 1);
  t.Kill();
  t.options.salvage = false;
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"after"});
}

TEST_CASE("log damage: a lost log is refused unless the replay begins at zero") {
  LogFixture t;
  t.options.start_position = 5000;
  CHECK(t.Open().code() == StatusCode::kCorruption);
  t.options.salvage = true;
  t.MustOpen();
  t.MustPut("new");
  t.Kill();
  t.options.salvage = false;
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"new"});
}

TEST_CASE("log damage: salvage skips the bad record and counts it") {
  for (size_t victim = 0; victim < 4; victim++) {
    LogFixture t;
    std::vector<LogPosition> ends = FiveSynced(&t);
    t.fs.FlipBit(kFirstSegment, (ends[victim] - 1) * 8);
    t.options.salvage = true;
    t.MustOpen();
    std::vector<std::string> expected = {"one", "two", "three", "four", "five"};
    expected.erase(expected.begin() + long(victim));
    CHECK(t.Payloads() == expected);
    CHECK(t.log->report().lost_records == 1);
    CHECK(t.log->report().salvage_notes.size() == 1);
    CHECK(t.log->report().last_record_number == 5);
    t.MustPut("six");
    expected.push_back("six");
    t.Kill();
    t.MustOpen();
    CHECK(t.Payloads() == expected);
  }
}

TEST_CASE("log damage: salvage loses one record of a batch, not the batch") {
  LogFixture t;
  t.MustOpen();
  t.Append("one");
  LogPosition second = t.Append("two");
  t.Append("three");
  REQUIRE(t.log->WriteBatch().ok());
  REQUIRE(t.log->Close().ok());
  t.fs.FlipBit(kFirstSegment, (second - 1) * 8);
  t.options.salvage = true;
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"one", "three"});
  CHECK(t.log->report().lost_records == 1);
}

TEST_CASE("log damage: salvage counts what the very first batch held") {
  LogFixture t;
  FiveSynced(&t);
  t.fs.FlipBit(kFirstSegment, (kSegmentHeaderBytes + 9) * 8);
  t.options.salvage = true;
  t.MustOpen();
  CHECK(t.replayed.size() == 4);
  CHECK(t.log->report().lost_records == 1);
}

TEST_CASE("log damage: salvage opens any log with any run of bytes destroyed") {
  LogFixture t;
  t.MustOpen();
  std::set<std::string> all;
  for (int i = 0; i < 120; i++) {
    std::string payload = NumberedPayload(i, &t.random, 300);
    all.insert(payload);
    t.MustPut(payload);
    REQUIRE(t.log->SyncNow().ok());
  }
  REQUIRE(t.log->Close().ok());
  auto segments = t.log->segments();
  for (int round = 0; round < 400; round++) {
    LogFixture u;
    for (const std::string& path : t.fs.Paths()) u.fs.SetContents(path, t.fs.Contents(path));
    const std::string& path = segments[t.random.Below(segments.size())].path;
    std::string bytes = u.fs.Contents(path);
    size_t begin = t.random.Below(bytes.size());
    size_t end = std::min<size_t>(bytes.size(), begin + 1 + t.random.Below(1000));
    for (size_t i = begin; i < end; i++) bytes[i] = char(t.random.Next());
    u.fs.SetContents(path, bytes);
    u.options.salvage = true;
    u.MustOpen();
    for (const auto& record : u.replayed) CHECK(all.count(record.payload));
    // Each record counts once, unless the last ones or the first number are what was destroyed.
    CHECK(u.replayed.size() + u.log->report().lost_records <= 120);
    CHECK(u.replayed.size() >= 60);
  }
}

TEST_CASE("log damage: newer formats and other data directories are refused") {
  LogFixture t;
  FiveSynced(&t);
  const std::string whole = t.fs.Contents(kFirstSegment);
  std::string newer = EncodeSegmentHeader({kLogFormatVersion + 1, kTestDirectoryId, 0});
  t.fs.SetContents(kFirstSegment, newer + whole.substr(kSegmentHeaderBytes));
  Status status = t.Open();
  CHECK(status.code() == StatusCode::kUnsupported);
  CHECK(Contains(status.message(), kFirstSegment));
  CHECK(Contains(status.message(), "newer"));
  t.options.salvage = true;
  CHECK(t.Open().code() == StatusCode::kUnsupported);
  t.options.salvage = false;
  t.fs.SetContents(kFirstSegment, whole);
  t.options.directory_id = 99;
  CHECK(t.Open().code() == StatusCode::kInvalidArgument);
  t.options.directory_id = kTestDirectoryId;
  t.MustOpen();
  CHECK(t.replayed.size() == 5);
}

TEST_CASE("log damage: frames inside a payload are never taken for frames") {
  LogFixture t;
  t.MustOpen();
  LogPosition end = t.MustPut("one");
  REQUIRE(t.log->SyncNow().ok());
  // A client that knows the format, the position and even the number, but not the directory's id.
  std::string forged(kBatchFrameBytes, '\0');
  LogPosition at = end + kBatchFrameBytes + kRecordFrameBytes;
  EncodeBatchFrame({3, ~0ull >> 1}, SegmentSalt(kTestDirectoryId + 1, 0), at, forged.data());
  LogPosition second = t.MustPut(forged);
  t.Kill();
  t.fs.FlipBit(kFirstSegment, (end + 26) * 8);  // the record that holds it is torn
  t.MustOpen();
  CHECK(t.Payloads() == std::vector<std::string>{"one"});
  CHECK(t.log->report().tail_was_cut);
  CHECK(t.log->appended() < second);
}
