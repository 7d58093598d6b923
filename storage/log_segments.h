// SPDX-License-Identifier: Apache-2.0
// Makes the log's next segment ahead of its use, and removes old ones, on a thread of its own: the
// data thread switches segments without a call that waits for the disk. A prepared segment is
// durable (bytes allocated, header and name synced) before anybody sees it, so a sync of its
// records is one fdatasync.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "storage/file_system.h"
#include "storage/log_fatal.h"
#include "storage/log_format.h"

namespace redynamo {

struct LogSegment {
  std::unique_ptr<File> file;
  std::string path;
  LogPosition first = 0;
  uint64_t bytes = 0;  // allocated, header included
  uint64_t salt = 0;
  LogPosition limit() const { return first + bytes; }
};

struct LogSegmentsOptions {
  std::string directory;
  uint64_t directory_id = 0;
  uint64_t segment_bytes = 0;
  bool background_thread = true;
  const Clock* clock = nullptr;
};

// The data thread makes all calls.
class LogSegments {
 public:
  // While the disk is full, at most one attempt in this time.
  static constexpr int64_t kRetryUs = 100'000;

  // `fs` and `fatal` outlive this.
  LogSegments(FileSystem* fs, LogSegmentsOptions options, FatalLatch* fatal);
  ~LogSegments();

  // Begins to prepare a segment at `first`. REQUIRES: none is prepared or being prepared.
  void Prepare(LogPosition first);

  // Waits until the segment is there with at least `bytes` allocated. kNoSpace: the disk is full;
  // the next call tries again once kRetryUs have passed. Any other failure is fatal and reported.
  Status Await(uint64_t bytes);

  // Hands over the prepared segment. REQUIRES: Await returned ok.
  std::shared_ptr<LogSegment> Take();

  // Removes files, in this order, in the background. What cannot be removed is left with a warning:
  // it is released again after the next start.
  void Remove(std::vector<std::string> paths);

  // Waits for what is under way and ends the thread; removals not begun are left.
  void Stop();

  uint64_t made() const;

 private:
  enum class State { kIdle, kWanted, kReady, kFull };

  Result<std::shared_ptr<LogSegment>> Make(LogPosition first);
  void Attempt(std::unique_lock<std::mutex>* lock);
  Status Enlarge(uint64_t bytes);
  void RemoveAll(const std::vector<std::string>& paths);
  void Run();

  FileSystem* const fs_;
  const LogSegmentsOptions options_;
  FatalLatch* const fatal_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // for the thread
  std::condition_variable done_;  // for Await
  State state_ = State::kIdle;
  LogPosition first_ = 0;
  std::shared_ptr<LogSegment> next_;
  Status full_;  // why, in kFull
  int64_t retry_at_us_ = 0;
  uint64_t made_ = 0;
  std::vector<std::string> removals_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace redynamo
