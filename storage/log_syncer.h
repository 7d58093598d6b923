// SPDX-License-Identifier: Apache-2.0
// Group commit: a thread that syncs what the data thread has written. There is no timer: while one
// fdatasync runs, batches gather, and the next fdatasync covers them all. The data thread shares
// with it one mutex that is never held during a sync.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "storage/log.h"
#include "storage/log_fatal.h"
#include "storage/log_segments.h"

namespace redynamo {

class LogSyncer {
 public:
  // Everything up to `synced` is durable already. `fatal` and `clock` outlive this.
  LogSyncer(SyncMode mode, bool background_thread, LogPosition synced, const Clock* clock,
            std::function<void()> on_synced, FatalLatch* fatal);
  ~LogSyncer();

  // Data thread: bytes up to `end` are written, the last of them to `segment`.
  void Written(const std::shared_ptr<LogSegment>& segment, LogPosition end);

  LogPosition synced() const { return synced_.load(std::memory_order_acquire); }  // any thread
  void SetMode(SyncMode mode);                                                    // any thread

  // Begins a sync soon, whatever the mode: of what is written, or of the next batch.
  void RequestSync();

  // Blocks until what Written has told is synced.
  Status SyncNow();
  // Without a thread: syncs what it would have synced by now.
  Status SyncIfDue();

  // Lets a sync under way finish, begins no other, ends the thread.
  void Stop();

  void AddTo(LogStats* stats) const;

 private:
  bool Due() const;
  void Wait(std::unique_lock<std::mutex>* lock);
  void SyncOnce(std::unique_lock<std::mutex>* lock);
  void Run();

  const Clock* const clock_;
  const std::function<void()> on_synced_;
  FatalLatch* const fatal_;
  std::atomic<LogPosition> synced_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;  // for the thread
  std::condition_variable done_;  // for SyncNow
  SyncMode mode_;
  bool stop_ = false;
  bool sync_now_ = false;
  bool waiting_ = false;  // the thread sleeps: a batch must wake it
  LogPosition written_;
  int64_t last_sync_us_;
  // Segments with bytes to sync, oldest first. Two vectors that are swapped, so that the data
  // thread does not allocate.
  std::vector<std::shared_ptr<LogSegment>> dirty_, syncing_;
  uint64_t syncs_ = 0, sync_max_us_ = 0;
  std::array<uint64_t, 32> sync_us_log2_{};
  std::thread thread_;
};

}  // namespace redynamo
