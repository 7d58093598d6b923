// SPDX-License-Identifier: Apache-2.0
// How recovery decides.
//
// Walk from frame to frame. Where the next frame is not valid, at position x, one of four holds:
//   ended     the next segment begins with a batch whose first number is the one expected: no
//             record is missing, x is merely the unused rest of a segment
//   end       only zeros follow, and no batch anywhere behind: the log ends at x
//   torn      something follows, but no batch behind x says that more than x was synced: a crash
//             interrupted unsynced writes, which no reply depended on. Cut at x
//   damaged   a batch behind x says synced_up_to > x: an acknowledged record is bad. Refuse
//
// Worked example: batches A (64..200), B (200..300), C (300..400), synced up to 200 when C was
// written. A power cut leaves A and C: B's place holds zeros. C says "200 synced", x = 200, so B
// and C are torn and go. Had C said "300 synced", B would be damage. Batches are found behind x by
// their word and their crc, whose seed contains their place: old or foreign bytes do not count.
//
// Numbers are known from the first batch read. That one is always intact unless there is damage: a
// segment is released only when a record of a later one is durable and checkpointed, so the segment
// where a replay starts begins with synced bytes, and an end below start_position is damage.
#include "storage/log_reader.h"

#include <algorithm>
#include <cstring>

namespace redynamo {
namespace {

// No real log gets near; keeps sums of positions and sizes from wrapping.
constexpr LogPosition kMaxPosition = 1ull << 62;

struct SegmentFile {
  LogPosition first = 0;
  uint64_t bytes = 0;
  std::string path;
  uint64_t salt = 0;
  bool header_ok = false;
  bool has_batch = false;
  LogPosition end = 0;
};

// What lies behind a place where the walk stopped.
struct Beyond {
  LogPosition max_synced = 0;
  bool any_batch = false;
  bool any_byte = false;  // other than zero, in the same segment
  // Where salvage goes on: the first batch with a number above the expected one (`ahead`), or else
  // the first of all, which only an earlier salvage can have left.
  bool can_resume = false;
  bool ahead = false;
  size_t segment = 0;
  uint64_t offset = 0;
  uint64_t number = 0;
};

class Reader {
 public:
  Reader(FileSystem* fs, const LogOptions& options, const RecoveryCallback& callback)
      : fs_(fs), options_(options), callback_(callback) {}

  Result<RecoveredLog> Run();

 private:
  Status ListSegments();
  Status CheckHeaders();
  Status ReplayAll();
  Status Walk();
  Status Deliver(std::string_view payload);
  Status Load(size_t index, std::string* into);
  Result<bool> ContinuesInNext();
  Result<Beyond> LookBeyond();
  Status Refuse(const Beyond& beyond);
  bool SkipOneRecord();
  void Resume(const Beyond& beyond);
  void NoteLoss(uint64_t records, const std::string& what);
  Status Finish(const Beyond& beyond);

  const std::string& Place(size_t index) const { return segments_[index].path; }
  LogPosition Position() const { return segments_[current_].first + cursor_; }

  FileSystem* fs_;
  const LogOptions& options_;
  const RecoveryCallback& callback_;
  std::vector<SegmentFile> segments_;
  RecoveredLog log_;

  // The walk: segment, its bytes, the offset of the next frame, the number it must have.
  size_t current_ = 0;
  std::string bytes_;
  uint64_t cursor_ = 0;
  uint64_t expected_ = 0;  // 0: not known yet
  bool in_batch_ = false;
};

bool AllZero(std::string_view bytes) {
  if (bytes.empty()) return true;
  return bytes.front() == '\0' &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::string AtByte(const std::string& path, uint64_t offset, LogPosition position) {
  return path + " at byte " + std::to_string(offset) + " (log position " +
         std::to_string(position) + ")";
}

Status Reader::ListSegments() {
  auto names = fs_->List(options_.directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    std::optional<LogPosition> first = ParseSegmentName(name);
    if (!first) continue;
    SegmentFile segment;
    segment.path = options_.directory + "/" + name;
    if (*first > kMaxPosition) return Corruption(segment.path + ": no log has such a position");
    segment.first = *first;
    segment.end = *first;
    segment.salt = SegmentSalt(options_.directory_id, *first);
    auto bytes = fs_->FileSize(segment.path);
    if (!bytes.ok()) return bytes.status();
    segment.bytes = *bytes;
    segments_.push_back(std::move(segment));
  }
  return Status::Ok();
}

Status Reader::CheckHeaders() {
  for (size_t i = log_.first_read; i < segments_.size(); i++) {
    SegmentFile& segment = segments_[i];
    auto file = fs_->Open(segment.path, OpenMode::kRead);
    if (!file.ok()) return file.status();
    char raw[kSegmentHeaderBytes];
    auto got = (*file)->ReadAt(0, sizeof(raw), raw);
    if (!got.ok()) return got.status();
    auto header = DecodeSegmentHeader({raw, *got});
    if (header.status().code() == StatusCode::kUnsupported) {
      return Status(StatusCode::kUnsupported, segment.path + ": " + header.status().message());
    }
    if (!header.ok()) continue;
    if (header->directory_id != options_.directory_id) {
      return InvalidArgument(segment.path + " belongs to another data directory");
    }
    segment.header_ok = header->first_position == segment.first;
  }
  return Status::Ok();
}

Status Reader::Load(size_t index, std::string* into) {
  auto file = fs_->Open(segments_[index].path, OpenMode::kRead);
  if (!file.ok()) return file.status();
  into->resize(segments_[index].bytes);
  auto got = (*file)->ReadAt(0, into->size(), into->data());
  if (!got.ok()) return got.status();
  into->resize(*got);
  return Status::Ok();
}

Status Reader::Deliver(std::string_view payload) {
  LogPosition end = Position() + kRecordFrameBytes + payload.size();
  if (end <= options_.start_position) return Status::Ok();
  log_.report.replayed_records++;
  log_.report.replayed_bytes += payload.size();
  return callback_(end, payload);
}

// Moves the cursor over valid frames.
Status Reader::Walk() {
  SegmentFile& segment = segments_[current_];
  const std::string_view all(bytes_);
  while (cursor_ < all.size()) {
    std::string_view rest = all.substr(cursor_);
    if (in_batch_) {
      auto payload = DecodeRecordFrame(rest, segment.salt, Position(), expected_);
      if (payload) {
        Status status = Deliver(*payload);
        if (!status.ok()) return status;
        cursor_ += kRecordFrameBytes + payload->size();
        expected_++;
        continue;
      }
    }
    auto batch = DecodeBatchFrame(rest, segment.salt, Position());
    if (!batch || (expected_ != 0 && batch->first_number != expected_)) break;
    expected_ = batch->first_number;
    in_batch_ = true;
    segment.has_batch = true;
    cursor_ += kBatchFrameBytes;
  }
  segment.end = Position();
  return Status::Ok();
}

Result<bool> Reader::ContinuesInNext() {
  if (current_ + 1 >= segments_.size() || expected_ == 0) return false;
  const SegmentFile& next = segments_[current_ + 1];
  if (!next.header_ok || next.first < Position()) return false;
  auto file = fs_->Open(next.path, OpenMode::kRead);
  if (!file.ok()) return file.status();
  char raw[kBatchFrameBytes];
  auto got = (*file)->ReadAt(kSegmentHeaderBytes, sizeof(raw), raw);
  if (!got.ok()) return got.status();
  auto batch = DecodeBatchFrame({raw, *got}, next.salt, next.first + kSegmentHeaderBytes);
  return batch && batch->first_number == expected_;
}

Result<Beyond> Reader::LookBeyond() {
  Beyond beyond;
  beyond.any_byte = !AllZero(std::string_view(bytes_).substr(cursor_));
  std::string later;
  for (size_t i = current_; i < segments_.size(); i++) {
    if (i > current_) {
      Status status = Load(i, &later);
      if (!status.ok()) return status;
    }
    FindBatches(i == current_ ? bytes_ : later, i == current_ ? cursor_ : 0, segments_[i].salt,
                segments_[i].first, [&](uint64_t offset, const BatchFrame& frame) {
                  beyond.any_batch = true;
                  beyond.max_synced = std::max(beyond.max_synced, frame.synced_up_to);
                  bool ahead = frame.first_number > expected_;
                  if (beyond.can_resume && (beyond.ahead || !ahead)) return;
                  beyond.can_resume = true;
                  beyond.ahead = ahead;
                  beyond.segment = i;
                  beyond.offset = offset;
                  beyond.number = frame.first_number;
                });
  }
  return beyond;
}

// Blames the place where the missing record should be: here if there is something here, else the
// beginning of the next segment.
Status Reader::Refuse(const Beyond& beyond) {
  std::string place = AtByte(Place(current_), cursor_, Position());
  bool nothing_here = AllZero(std::string_view(bytes_).substr(cursor_, kRecordFrameBytes));
  if (nothing_here && current_ + 1 < segments_.size()) {
    const SegmentFile& next = segments_[current_ + 1];
    uint64_t offset = next.header_ok ? kSegmentHeaderBytes : 0;
    place = AtByte(next.path, offset, next.first + offset);
  }
  return Corruption("the log is damaged: " + place + " should hold " +
                    (expected_ ? "record " + std::to_string(expected_) : "the first batch") +
                    ", and a later batch shows that the log was synced up to position " +
                    std::to_string(beyond.max_synced));
}

void Reader::NoteLoss(uint64_t records, const std::string& what) {
  log_.report.lost_records += records;
  log_.report.salvage_notes.push_back("lost " + (records ? std::to_string(records) : "some") +
                                      " records: " + what);
}

// Salvage's first choice: the length of the bad record is right and a valid frame follows it.
bool Reader::SkipOneRecord() {
  if (!in_batch_ || bytes_.size() - cursor_ < kRecordFrameBytes) return false;
  uint32_t word;
  std::memcpy(&word, &bytes_[cursor_ + 4], sizeof(word));
  uint64_t skipped = kRecordFrameBytes + (word & ~kRecordBit);
  if (!(word & kRecordBit) || skipped >= bytes_.size() - cursor_) return false;
  std::string_view rest = std::string_view(bytes_).substr(cursor_ + skipped);
  LogPosition position = Position() + skipped;
  uint64_t salt = segments_[current_].salt;
  auto batch = DecodeBatchFrame(rest, salt, position);
  if (batch ? batch->first_number != expected_ + 1
            : !DecodeRecordFrame(rest, salt, position, expected_ + 1)) {
    return false;
  }
  NoteLoss(1, AtByte(Place(current_), cursor_, Position()));
  cursor_ += skipped;
  expected_++;
  return true;
}

void Reader::Resume(const Beyond& beyond) {
  NoteLoss(expected_ && beyond.ahead ? beyond.number - expected_ : 0,
           AtByte(Place(current_), cursor_, Position()) + " up to " +
               AtByte(Place(beyond.segment), beyond.offset,
                      segments_[beyond.segment].first + beyond.offset));
  for (size_t i = current_ + 1; i < beyond.segment; i++) {
    segments_[i].has_batch = true;  // damaged, but in the middle of what is kept
    segments_[i].end = segments_[i].first + segments_[i].bytes;
  }
  segments_[current_].has_batch = true;
  expected_ = beyond.number;
}

// Walks segment after segment until the log ends.
Status Reader::ReplayAll() {
  bool loaded = false;
  uint64_t from = kSegmentHeaderBytes;
  while (true) {
    if (!loaded) {
      Status status = Load(current_, &bytes_);
      if (!status.ok()) return status;
      in_batch_ = false;
      cursor_ = segments_[current_].header_ok || from > kSegmentHeaderBytes ? from : 0;
      loaded = true;
    }
    Status status = cursor_ == 0 ? Status::Ok() : Walk();
    if (!status.ok()) return status;
    auto continues = ContinuesInNext();
    if (!continues.ok()) return continues.status();
    if (*continues) {
      current_++;
      from = kSegmentHeaderBytes;
      loaded = false;
      continue;
    }
    auto beyond = LookBeyond();
    if (!beyond.ok()) return beyond.status();
    if (beyond->max_synced <= Position()) return Finish(*beyond);
    if (!options_.salvage) return Refuse(*beyond);
    if (SkipOneRecord()) continue;
    if (!beyond->can_resume) return Finish(*beyond);
    Resume(*beyond);
    current_ = beyond->segment;
    from = beyond->offset;
    segments_[current_].header_ok = true;
    loaded = false;
  }
}

Status Reader::Finish(const Beyond& beyond) {
  OpenReport& report = log_.report;
  report.end = Position();
  report.last_record_number = expected_ ? expected_ - 1 : 0;
  log_.next_number = report.last_record_number + 1;
  if (beyond.any_byte || beyond.any_batch) {
    report.tail_was_cut = true;
    report.cut_note = "cut the unfinished tail of the log in " +
                      AtByte(Place(current_), cursor_, Position()) +
                      "; nothing behind it had been synced";
  }
  size_t keep = segments_[current_].has_batch ? current_ + 1 : current_;
  for (size_t i = 0; i < segments_.size(); i++) {
    SegmentFile& segment = segments_[i];
    if (i < log_.first_read) segment.end = segments_[i + 1].first;
    if (i < keep)
      log_.kept.push_back({segment.first, segment.end, segment.path});
    else
      log_.doomed.push_back(segment.path);
  }
  // Without a batch of its own a segment is made anew under the same name.
  log_.next_first = keep == current_ ? segments_[current_].first : report.end;
  if (report.end >= options_.start_position) return Status::Ok();
  std::string what = AtByte(Place(current_), cursor_, Position()) +
                     ", where the log ends, up to position " +
                     std::to_string(options_.start_position) + ", where the replay should begin";
  if (!options_.salvage) return Corruption("the log is damaged: records are missing from " + what);
  NoteLoss(0, what);
  // All that is left lies before the start: nobody needs it, and its numbers lead nowhere.
  log_.kept.clear();
  log_.first_read = 0;
  log_.doomed.clear();
  for (const SegmentFile& segment : segments_) log_.doomed.push_back(segment.path);
  log_.next_first = report.end = options_.start_position;
  return Status::Ok();
}

Result<RecoveredLog> Reader::Run() {
  Status status = ListSegments();
  if (!status.ok()) return status;
  const LogPosition start = options_.start_position;
  if (segments_.empty() || segments_.front().first > start) {
    std::string what = segments_.empty() ? options_.directory + " holds no log"
                                         : "the oldest log segment is " + Place(0);
    what += ", but the replay should begin at position " + std::to_string(start);
    if (!segments_.empty() || start > 0) {
      if (!options_.salvage) return Corruption("the log is damaged: " + what);
      NoteLoss(0, what);
    }
  }
  if (segments_.empty()) {
    log_.next_first = log_.report.end = start;
    if (options_.on_replay_begins) options_.on_replay_begins(0);
    return std::move(log_);
  }
  // Strictly below: a position that equals the beginning of a segment is the end of the one before,
  // whose batches tell the numbers.
  size_t first_read = 0;
  while (first_read + 1 < segments_.size() && segments_[first_read + 1].first < start) first_read++;
  log_.first_read = current_ = first_read;
  if (segments_[first_read].first == 0) expected_ = 1;
  status = CheckHeaders();
  if (!status.ok()) return status;
  uint64_t total = 0;
  for (size_t i = first_read; i < segments_.size(); i++) total += segments_[i].bytes;
  if (options_.on_replay_begins) options_.on_replay_begins(total);
  status = ReplayAll();
  if (!status.ok()) return status;
  return std::move(log_);
}

}  // namespace

Result<RecoveredLog> ReadLog(FileSystem* fs, const LogOptions& options,
                             const RecoveryCallback& callback) {
  return Reader(fs, options, callback).Run();
}

// A crash in the middle leaves a log that reads the same: removing goes from the back, and whatever
// remains behind the end has been judged unsynced once and will be again.
Status SettleLog(FileSystem* fs, const LogOptions& options, const RecoveredLog& log) {
  for (size_t i = log.doomed.size(); i-- > 0;) {
    Status status = fs->Remove(log.doomed[i]);
    if (!status.ok()) return status;
  }
  for (size_t i = log.first_read; i < log.kept.size(); i++) {
    const LogSegmentInfo& segment = log.kept[i];
    auto file = fs->Open(segment.path, OpenMode::kReadWrite);
    if (!file.ok()) return file.status();
    uint64_t bytes = segment.end - segment.first;
    Status status;
    if (i + 1 == log.kept.size()) status = (*file)->Truncate(bytes);
    // What was replayed may have been written but not synced by the run before.
    if (status.ok()) status = (*file)->Sync();
    if (!status.ok()) return status;
  }
  return fs->SyncDirectory(options.directory);
}

}  // namespace redynamo
