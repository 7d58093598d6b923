// SPDX-License-Identifier: Apache-2.0
// The data thread's side. The batch buffer holds whole frames, sealed with their final position:
//
//   buffer   [batch frame][record][record][record] | [batch frame][record]
//            piece 0: into the current segment     | piece 1: into the one after
//
// A record's place is fixed by EndRecord: if it does not fit the segment it begins a new piece,
// with a batch frame slid in before it. WriteBatch fills in the batch frames and writes piece by
// piece. Every segment that is left behind begins with a batch frame, if need be one without
// records: recovery counts on it (log_reader.cc).
#include "storage/log.h"

#include <algorithm>

#include "storage/log_fatal.h"
#include "storage/log_reader.h"
#include "storage/log_segments.h"
#include "storage/log_syncer.h"

namespace redynamo {
namespace {

constexpr uint64_t kMinSegmentBytes = 4096;
constexpr uint64_t kInitialBufferBytes = 1 << 20;

Status TooLong(uint64_t bytes, uint64_t most) {
  return InvalidArgument("the changes of this command or transaction take up to " +
                         std::to_string(bytes) + " bytes, and the log's limit is " +
                         std::to_string(most) + "; nothing of it was done");
}

Status Closed() { return {StatusCode::kShutdown, "the log is closed"}; }

// Consecutive frames of the buffer that go into one segment.
struct Piece {
  std::shared_ptr<LogSegment> segment;
  size_t buffer_begin = 0;
  LogPosition position = 0;  // of buffer_begin
  uint64_t first_number = 0;
  bool has_records = false;
};

}  // namespace

struct Log::State {
  State(FileSystem* fs, LogOptions log_options)
      : options(std::move(log_options)), fatal(options.on_fatal), fs(fs) {}

  void BeginPiece();
  bool MoveRecordToNextSegment();
  LogPosition BufferEnd() const;
  void Switch(std::shared_ptr<LogSegment> next);
  Status WriteFailed(const Status& status);

  LogOptions options;
  FatalLatch fatal;
  FileSystem* fs;
  OpenReport report;
  std::unique_ptr<LogSegments> source;
  std::unique_ptr<LogSyncer> syncer;

  std::string buffer;
  std::vector<Piece> pieces;
  bool record_open = false;
  size_t record_begin = 0;  // of the open record's frame in the buffer

  std::shared_ptr<LogSegment> current;  // of the last piece, or where the next one begins
  LogPosition tail = 0;                 // where the next piece begins, when there is none
  LogPosition appended = 0;
  LogPosition written = 0;
  LogPosition last_record_end = 0;
  LogPosition noted_synced = 0;          // the highest synced_up_to on disk
  uint64_t number = 0;                   // of the last record
  std::vector<LogSegmentInfo> segments;  // the last is `current`
  LogStats stats;
  bool closed = false;
};

Log::Log(std::unique_ptr<State> state) : state_(std::move(state)) {}

Log::~Log() {
  if (state_->syncer) state_->syncer->Stop();
  if (state_->source) state_->source->Stop();
}

// --- opening ---

Result<std::unique_ptr<Log>> Log::Open(FileSystem* fs, LogOptions options,
                                       const RecoveryCallback& callback) {
  if (options.segment_bytes < kMinSegmentBytes) {
    return InvalidArgument("a log segment must have at least 4096 bytes");
  }
  Status status = fs->MakeDirectory(options.directory);
  if (!status.ok()) return status;
  auto recovered = ReadLog(fs, options, callback);
  if (!recovered.ok()) return recovered.status();
  status = SettleLog(fs, options, *recovered);
  if (!status.ok()) return status;

  auto state = std::make_unique<State>(fs, std::move(options));
  State& s = *state;
  s.report = recovered->report;
  s.segments = recovered->kept;
  s.number = recovered->next_number - 1;
  s.appended = s.written = s.last_record_end = s.noted_synced = s.report.end;
  s.buffer.reserve(kInitialBufferBytes);
  s.pieces.reserve(4);
  s.source = std::make_unique<LogSegments>(
      fs,
      LogSegmentsOptions{s.options.directory, s.options.directory_id, s.options.segment_bytes,
                         s.options.background_threads, s.options.clock},
      &s.fatal);
  s.source->Prepare(recovered->next_first);
  status = s.source->Await(0);
  if (!status.ok()) return status;
  s.Switch(s.source->Take());
  s.syncer =
      std::make_unique<LogSyncer>(s.options.sync_mode, s.options.background_threads, s.appended,
                                  s.options.clock, s.options.on_synced, &s.fatal);
  return std::unique_ptr<Log>(new Log(std::move(state)));
}

const OpenReport& Log::report() const { return state_->report; }

// `next` becomes the segment that is written to; the one after it is begun.
void Log::State::Switch(std::shared_ptr<LogSegment> next) {
  current = std::move(next);
  tail = current->first + kSegmentHeaderBytes;
  segments.push_back({current->first, tail, current->path});
  source->Prepare(current->limit());
}

// --- appending ---

// Where the buffer's last byte will be in the stream.
LogPosition Log::State::BufferEnd() const {
  if (pieces.empty()) return tail;
  return pieces.back().position + (buffer.size() - pieces.back().buffer_begin);
}

Status Log::Reserve(uint64_t bytes) {
  State& s = *state_;
  if (s.closed) return Closed();
  if (s.fatal.failed()) return s.fatal.status();
  if (bytes > s.options.max_record_bytes) return TooLong(bytes, s.options.max_record_bytes);
  uint64_t need = kBatchFrameBytes + kRecordFrameBytes + bytes;
  if (s.BufferEnd() + need <= s.current->limit()) return Status::Ok();
  return s.source->Await(kSegmentHeaderBytes + need);
}

Status Log::ReserveMore(uint64_t bytes) {
  State& s = *state_;
  if (!s.record_open) return Reserve(bytes);
  if (s.fatal.failed()) return s.fatal.status();
  uint64_t payload = s.buffer.size() - s.record_begin - kRecordFrameBytes + bytes;
  if (payload > s.options.max_record_bytes) return TooLong(payload, s.options.max_record_bytes);
  if (s.BufferEnd() + bytes <= s.current->limit()) return Status::Ok();
  return s.source->Await(kSegmentHeaderBytes + kBatchFrameBytes + kRecordFrameBytes + payload);
}

// Begins a piece at the end of the buffer and at `tail`.
void Log::State::BeginPiece() {
  pieces.push_back({current, buffer.size(), tail, number + 1, false});
}

std::string* Log::BeginRecord() {
  State& s = *state_;
  CHECK_THAT(!s.record_open && !s.closed);
  if (s.pieces.empty()) {
    s.BeginPiece();
    s.buffer.append(kBatchFrameBytes, '\0');
  }
  s.record_open = true;
  s.record_begin = s.buffer.size();
  s.buffer.append(kRecordFrameBytes, '\0');
  return &s.buffer;
}

// The open record does not fit its segment. False: there is no other, which Reserve would have
// told.
bool Log::State::MoveRecordToNextSegment() {
  uint64_t need = kSegmentHeaderBytes + kBatchFrameBytes + (buffer.size() - record_begin);
  Status status = source->Await(need);
  if (!status.ok()) {
    (void)fatal.Fail(status);
    return false;
  }
  Piece& last = pieces.back();
  bool untouched = last.position == current->first + kSegmentHeaderBytes;
  bool keep_piece = last.has_records || untouched;
  segments.back().end = keep_piece ? last.position + (record_begin - last.buffer_begin) : tail;
  Switch(source->Take());
  if (keep_piece) {
    buffer.insert(record_begin, kBatchFrameBytes, '\0');
    pieces.push_back({current, record_begin, tail, number + 1, false});
    record_begin += kBatchFrameBytes;
  } else {
    last = {current, last.buffer_begin, tail, number + 1, false};
  }
  return true;
}

LogPosition Log::EndRecord() {
  State& s = *state_;
  CHECK_THAT(s.record_open && s.buffer.size() >= s.record_begin + kRecordFrameBytes);
  s.record_open = false;
  CHECK_THAT(s.buffer.size() - s.record_begin - kRecordFrameBytes <= kMaxRecordBytes);
  LogPosition end = s.BufferEnd();
  if (__builtin_expect(end > s.current->limit(), 0)) {
    // After a fatal error nothing is written any more, so the place does not matter.
    if (s.MoveRecordToNextSegment()) end = s.BufferEnd();
  }
  Piece& piece = s.pieces.back();
  piece.has_records = true;
  s.number++;
  s.stats.records++;
  size_t payload_bytes = s.buffer.size() - s.record_begin - kRecordFrameBytes;
  SealRecordFrame(&s.buffer[s.record_begin], payload_bytes, piece.segment->salt,
                  piece.position + (s.record_begin - piece.buffer_begin), s.number);
  s.appended = s.last_record_end = end;
  return end;
}

void Log::AbortRecord() {
  State& s = *state_;
  CHECK_THAT(s.record_open);
  s.record_open = false;
  s.buffer.resize(s.record_begin);
  if (s.pieces.back().has_records) return;
  s.pieces.clear();  // only the first piece is ever without records here
  s.buffer.clear();
}

// --- writing ---

Status Log::State::WriteFailed(const Status& status) {
  buffer.clear();
  pieces.clear();
  return fatal.Fail(status);
}

Status Log::WriteBatch() {
  State& s = *state_;
  CHECK_THAT(!s.record_open);
  if (s.closed) return Closed();
  if (s.fatal.failed()) return s.fatal.status();
  if (s.pieces.empty()) return Status::Ok();
  const LogPosition synced = s.syncer->synced();
  for (size_t i = 0; i < s.pieces.size(); i++) {
    Piece& piece = s.pieces[i];
    size_t end = i + 1 < s.pieces.size() ? s.pieces[i + 1].buffer_begin : s.buffer.size();
    std::string_view bytes(&s.buffer[piece.buffer_begin], end - piece.buffer_begin);
    EncodeBatchFrame({piece.first_number, synced}, piece.segment->salt, piece.position,
                     &s.buffer[piece.buffer_begin]);
    Status status = piece.segment->file->WriteAt(piece.position - piece.segment->first, bytes);
    if (!status.ok()) return s.WriteFailed(status);
    s.tail = piece.position + bytes.size();
    s.syncer->Written(piece.segment, s.tail);
  }
  s.stats.batches++;
  s.stats.written_bytes += s.buffer.size();
  s.noted_synced = std::max(s.noted_synced, synced);
  s.written = s.tail;
  s.segments.back().end = s.tail;
  s.pieces.clear();
  if (s.buffer.capacity() > kLogBufferLimitBytes) {  // after a giant: give the memory back
    std::string fresh;
    fresh.reserve(kInitialBufferBytes);
    s.buffer.swap(fresh);  // assigning a short string would keep the memory
  }
  s.buffer.clear();
  return Status::Ok();
}

Status Log::MarkSynced() {
  State& s = *state_;
  if (s.closed) return Closed();
  if (s.fatal.failed()) return s.fatal.status();
  const LogPosition synced = s.syncer->synced();
  bool needed = s.noted_synced < s.last_record_end && synced >= s.last_record_end;
  if (!needed || !s.pieces.empty() || s.tail + kBatchFrameBytes > s.current->limit()) {
    return Status::Ok();
  }
  char frame[kBatchFrameBytes];
  EncodeBatchFrame({s.number + 1, synced}, s.current->salt, s.tail, frame);
  Status status = s.current->file->WriteAt(s.tail - s.current->first, {frame, sizeof(frame)});
  if (!status.ok()) return s.WriteFailed(status);
  s.tail += kBatchFrameBytes;
  s.appended = s.written = s.segments.back().end = s.tail;
  s.noted_synced = synced;
  s.stats.written_bytes += kBatchFrameBytes;
  s.syncer->Written(s.current, s.tail);
  return Status::Ok();
}

// --- positions, syncing, closing ---

LogPosition Log::appended() const { return state_->appended; }
LogPosition Log::written() const { return state_->written; }
LogPosition Log::synced() const { return state_->syncer->synced(); }
uint64_t Log::buffered_bytes() const { return state_->buffer.size(); }
uint64_t Log::last_record_number() const { return state_->number; }

void Log::SetSyncMode(SyncMode mode) { state_->syncer->SetMode(mode); }

void Log::RequestSync() { state_->syncer->RequestSync(); }

Status Log::SyncIfDue() {
  if (state_->closed) return Closed();
  return state_->syncer->SyncIfDue();
}

Status Log::SyncNow() {
  if (state_->closed) return Closed();
  return state_->syncer->SyncNow();
}

Status Log::Close() {
  Status status = WriteBatch();
  if (status.ok()) status = SyncNow();
  if (status.ok()) status = MarkSynced();
  if (status.ok()) status = SyncNow();
  state_->closed = true;
  state_->syncer->Stop();
  state_->source->Stop();
  return status;
}

// --- segments ---

// Strictly above the next segment's first position there is a durable record in that segment or a
// later one, which recovery needs to know the record numbers (log_reader.cc).
void Log::ReleaseBefore(LogPosition position) {
  State& s = *state_;
  std::vector<std::string> paths;
  while (paths.size() + 1 < s.segments.size() &&
         s.segments[paths.size() + 1].first + kSegmentHeaderBytes < position) {
    paths.push_back(s.segments[paths.size()].path);
  }
  if (paths.empty() || s.closed) return;
  s.segments.erase(s.segments.begin(), s.segments.begin() + long(paths.size()));
  s.source->Remove(std::move(paths));
}

uint64_t Log::bytes_since(LogPosition position) const {
  return state_->appended > position ? state_->appended - position : 0;
}

std::vector<LogSegmentInfo> Log::segments() const {
  std::vector<LogSegmentInfo> out = state_->segments;
  out.back().end = std::max(out.back().end, state_->appended);
  return out;
}

LogStats Log::stats() const {
  LogStats stats = state_->stats;
  stats.segments_made = state_->source->made();
  state_->syncer->AddTo(&stats);
  return stats;
}

}  // namespace redynamo
