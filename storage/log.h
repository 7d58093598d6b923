// SPDX-License-Identifier: Apache-2.0
// The node's one log: the write-ahead log and the change feed. Every command that changes data is
// one record, so it is whole or absent after a crash.
//
// A record passes three positions: *appended* (in the batch buffer), *written* (write(2) returned:
// survives kill -9) and *synced* (fdatasync returned: survives a power cut). The data thread
// appends and writes, one batch a turn; a second thread syncs, without a timer and without ever
// delaying a write; a third prepares the next segment and removes old ones.
//
//   data thread   append append Write(1) append append append Write(2) append Write(3) ...
//   sync thread                 fdatasync .........| fdatasync .............| fdatasync
//   synced()                                       = end of 1               = end of 2 or 3
//
// The file format is in storage/log_format.h. Use:
//
//   Status room = log->Reserve(bytes);              // before the event is made
//   if (!room.ok()) ... answer -MISCONF ...
//   std::string* out = log->BeginRecord();
//   event.AppendTo(out);
//   LogPosition end = log->EndRecord();             // the reply waits for written or synced >= end
//   ... more commands of this turn ...
//   log->WriteBatch();
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "storage/file_system.h"
#include "storage/log_format.h"

namespace redynamo {

enum class SyncMode {
  kAlways,       // the sync thread syncs whenever something is written and not synced
  kEverySecond,  // once a second if there is something to sync
  kNo,           // only for SyncNow and Close; the kernel decides otherwise
};

// The server stops reading clients while buffered_bytes() is at or above this.
inline constexpr uint64_t kLogBufferLimitBytes = 64ull << 20;

struct LogOptions {
  std::string directory;      // exists or its parent does
  uint64_t directory_id = 0;  // of the data directory; segments of another are refused
  // Records that end at or before it are not replayed: it is the last checkpoint's start, 0 without
  // one. The log must reach from here on without a hole.
  LogPosition start_position = 0;
  uint64_t segment_bytes = 64ull << 20;         // >= 4096
  uint64_t max_record_bytes = kMaxRecordBytes;  // not above that; tests have smaller ones
  SyncMode sync_mode = SyncMode::kAlways;
  // Go on behind bad records and holes instead of refusing to open; the report counts what is lost.
  bool salvage = false;
  // false: no thread is started. Segments are then prepared and removed by the calling thread and
  // nothing is synced but by SyncNow and SyncIfDue. For the simulator and for tests that count
  // calls.
  bool background_threads = true;
  const Clock* clock = &SystemClock();
  // Called by the sync thread after synced() has moved; must not block or call the log.
  std::function<void()> on_synced;
  // Called at most once in the life of the log, by the thread that met the error: a write, sync or
  // preparation failed other than by a full disk at preparation. What is on disk is then unknown:
  // the server logs one line and exits with code 74. The log refuses every later call.
  std::function<void(const Status&)> on_fatal;
  // Called once before the replay, with the bytes of segments that it will read.
  std::function<void(uint64_t bytes)> on_replay_begins;
};

// Given each record from start_position on, in order; `end` is the record's end position. The
// payload lives during the call. A failure ends Open with that status.
using RecoveryCallback = std::function<Status(LogPosition end, std::string_view payload)>;

// What Open found.
struct OpenReport {
  uint64_t replayed_records = 0;
  uint64_t replayed_bytes = 0;      // of payload
  uint64_t last_record_number = 0;  // 0: the log never had a record
  LogPosition end = 0;              // of the last valid record
  // A crash had left an unfinished tail, which was cut at `end`; no record in it was ever reported
  // as synced. `cut_note` is the line to log. The caller rotates its actor.
  bool tail_was_cut = false;
  std::string cut_note;
  // With `salvage` only: records that are lost, and one line for each place.
  uint64_t lost_records = 0;
  std::vector<std::string> salvage_notes;
};

struct LogSegmentInfo {
  LogPosition first = 0;
  LogPosition end = 0;  // of its last record; the current segment: appended()
  std::string path;
};

struct LogStats {
  uint64_t records = 0;
  uint64_t batches = 0;
  uint64_t written_bytes = 0;  // frames included
  uint64_t syncs = 0;
  uint64_t segments_made = 0;
  uint64_t sync_max_us = 0;
  // sync_us_log2[i]: syncs that took [2^i, 2^(i+1)) microseconds; [0] also holds faster ones.
  std::array<uint64_t, 32> sync_us_log2{};
};

// One thread, the data thread, makes all calls but those marked "any thread".
class Log {
 public:
  // Replays the log in options.directory (made if absent), then is ready to append in a fresh
  // segment. `fs` outlives the log. Refusals:
  //   kCorruption    a bad record before a synced position, a hole, or a log that ends before
  //                  start_position; the message names file and byte offset
  //   kUnsupported   a segment of a newer format
  //   kInvalidArgument  a segment of another data directory, or options out of range
  //   kNoSpace, kIoError  from the file system; or what the callback returned
  // Nothing is changed on disk before the whole log has been read and accepted.
  static Result<std::unique_ptr<Log>> Open(FileSystem* fs, LogOptions options,
                                           const RecoveryCallback& callback);
  ~Log();  // stops the threads; writes and syncs nothing (Close does)

  const OpenReport& report() const;

  // Room on disk for the next record, of up to `bytes` of payload, or for several whose payloads
  // plus kRecordFrameBytes each sum to that. Holds until the next Reserve. kNoSpace: the disk is
  // full; asked again it tries again by itself, at most every 100 ms. Also gives the status of a
  // fatal error, kShutdown after Close, kInvalidArgument above max_record_bytes.
  Status Reserve(uint64_t bytes);
  // The same for an open record that grows by up to `bytes`: more than was reserved before it was
  // begun. kInvalidArgument when it would exceed max_record_bytes. Without a record as Reserve.
  Status ReserveMore(uint64_t bytes);

  // The batch buffer, to whose end the caller appends the payload and nothing else. One record at a
  // time. REQUIRES: a Reserve that covers it.
  std::string* BeginRecord();
  // Seals the record and returns its end position, which is then appended().
  LogPosition EndRecord();
  // Takes the open record back.
  void AbortRecord();

  // Writes all appended records, so that written() == appended(), and wakes the sync thread if the
  // mode asks for it. Not while a record is open. Ok and free when nothing is buffered. A failure
  // has been reported to on_fatal.
  Status WriteBatch();

  // Notes on disk how far the log is synced, when no batch says so yet. Costs a write of 24 bytes;
  // call it in an idle turn, so that damage to anything acknowledged is told from a torn tail.
  Status MarkSynced();

  LogPosition appended() const;
  LogPosition written() const;
  LogPosition synced() const;  // any thread

  // Of appended records and the open one, not yet written.
  uint64_t buffered_bytes() const;
  // Number of the last appended record: the first record ever is 1, each next one more.
  uint64_t last_record_number() const;

  void SetSyncMode(SyncMode mode);  // any thread

  // Has all that is appended synced soon, whatever the mode; on_synced tells. Does not wait.
  void RequestSync();

  // Blocks until all that was written is synced.
  Status SyncNow();
  // Without threads: syncs what the sync thread would have synced by now.
  Status SyncIfDue();
  // Orderly end: writes, syncs, notes it on disk, stops the threads. Further calls get kShutdown.
  Status Close();

  // The caller needs no record that ends at or before `position` any more, and that is durable.
  // Removes segments that lie wholly below, oldest first, in the background.
  void ReleaseBefore(LogPosition position);

  // Stream bytes between `position` and appended(): what a replay from there would read.
  uint64_t bytes_since(LogPosition position) const;
  // Oldest first, without the one prepared ahead.
  std::vector<LogSegmentInfo> segments() const;
  LogStats stats() const;

 private:
  struct State;
  explicit Log(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace redynamo
