// SPDX-License-Identifier: Apache-2.0
#include "storage/log_syncer.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace redynamo {
namespace {
constexpr int64_t kSecondUs = 1'000'000;
}

LogSyncer::LogSyncer(SyncMode mode, bool background_thread, LogPosition synced, const Clock* clock,
                     std::function<void()> on_synced, FatalLatch* fatal)
    : clock_(clock),
      on_synced_(std::move(on_synced)),
      fatal_(fatal),
      synced_(synced),
      mode_(mode),
      written_(synced),
      last_sync_us_(clock->MonotonicUs()) {
  if (background_thread) thread_ = std::thread([this] { Run(); });
}

LogSyncer::~LogSyncer() { Stop(); }

void LogSyncer::Written(const std::shared_ptr<LogSegment>& segment, LogPosition end) {
  std::lock_guard lock(mutex_);
  if (dirty_.empty() || dirty_.back() != segment) dirty_.push_back(segment);
  written_ = end;
  if (waiting_ && (sync_now_ || mode_ == SyncMode::kAlways)) {
    waiting_ = false;
    wake_.notify_one();
  }
}

void LogSyncer::SetMode(SyncMode mode) {
  std::lock_guard lock(mutex_);
  mode_ = mode;
  wake_.notify_one();
}

bool LogSyncer::Due() const {
  if (written_ == synced_.load(std::memory_order_relaxed)) return false;
  if (sync_now_ || mode_ == SyncMode::kAlways) return true;
  return mode_ == SyncMode::kEverySecond && clock_->MonotonicUs() - last_sync_us_ >= kSecondUs;
}

void LogSyncer::Wait(std::unique_lock<std::mutex>* lock) {
  waiting_ = true;
  if (mode_ == SyncMode::kEverySecond) {
    int64_t left = kSecondUs - (clock_->MonotonicUs() - last_sync_us_);
    // With nothing to sync, or a clock that stands still, look again in a while.
    left = std::clamp<int64_t>(left, kSecondUs / 100, kSecondUs);
    if (written_ == synced_.load(std::memory_order_relaxed)) left = kSecondUs;
    wake_.wait_for(*lock, std::chrono::microseconds(left));
  } else {
    wake_.wait(*lock);
  }
  waiting_ = false;
}

void LogSyncer::SyncOnce(std::unique_lock<std::mutex>* lock) {
  syncing_.swap(dirty_);
  const LogPosition target = written_;
  const int64_t begin_us = clock_->MonotonicUs();
  last_sync_us_ = begin_us;
  lock->unlock();
  Status status;
  for (const auto& segment : syncing_) {
    status = segment->file->Sync();
    if (!status.ok()) break;
  }
  const uint64_t took_us = uint64_t(std::max<int64_t>(0, clock_->MonotonicUs() - begin_us));
  syncing_.clear();
  if (status.ok()) {
    synced_.store(target, std::memory_order_release);
    if (on_synced_) on_synced_();
  } else {
    (void)fatal_->Fail(status);
  }
  lock->lock();
  syncs_++;
  sync_max_us_ = std::max(sync_max_us_, took_us);
  sync_us_log2_[std::min(31, std::max(0, int(std::bit_width(took_us)) - 1))]++;
  if (status.ok() && synced_.load(std::memory_order_relaxed) == written_) sync_now_ = false;
  done_.notify_all();
}

void LogSyncer::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_ && !fatal_->failed()) {
    if (Due())
      SyncOnce(&lock);
    else
      Wait(&lock);
  }
  done_.notify_all();  // after another thread's fatal error, nobody may wait for this one
}

void LogSyncer::RequestSync() {
  std::lock_guard lock(mutex_);
  sync_now_ = true;
  wake_.notify_one();
}

Status LogSyncer::SyncNow() {
  std::unique_lock lock(mutex_);
  if (thread_.joinable()) {
    const LogPosition target = written_;
    sync_now_ = true;
    wake_.notify_one();
    // A fatal error of another thread is seen at the latest after the sync under way.
    done_.wait(lock, [&] { return synced() >= target || fatal_->failed() || stop_; });
  } else if (written_ != synced() && !fatal_->failed()) {
    SyncOnce(&lock);
  }
  return fatal_->failed() ? fatal_->status() : Status::Ok();
}

Status LogSyncer::SyncIfDue() {
  std::unique_lock lock(mutex_);
  if (!fatal_->failed() && Due()) SyncOnce(&lock);
  return fatal_->failed() ? fatal_->status() : Status::Ok();
}

void LogSyncer::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
    done_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void LogSyncer::AddTo(LogStats* stats) const {
  std::lock_guard lock(mutex_);
  stats->syncs = syncs_;
  stats->sync_max_us = sync_max_us_;
  stats->sync_us_log2 = sync_us_log2_;
}

}  // namespace redynamo
