// SPDX-License-Identifier: Apache-2.0
// Disk space: a checkpoint leaves a reserve of it free (ENGINE.md section 1) for the log, which
// needs it more, and for compactions; and at idle moments the row store gives back what newer
// versions have made useless.
#include <algorithm>
#include <utility>

#include "base/log_line.h"
#include "storage/engine_impl.h"

namespace redynamo {
namespace {

constexpr uint64_t kReserveBytesMax = 1ull << 30;
constexpr uint64_t kReserveDivisor = 10;
constexpr int64_t kAskIntervalMs = 1000;
constexpr int64_t kIdleMs = 3000;
constexpr int64_t kIdleTickMsMax = 1000;  // ticks come more often while the process runs

}  // namespace

bool EngineImpl::RoomForCheckpoint() {
  int64_t now_ms = clock_->MonotonicUs() / 1000;
  bool asked_lately = room_asked_ms_ != INT64_MIN && now_ms - room_asked_ms_ < kAskIntervalMs;
  if (stats_.checkpoint_put_off && asked_lately && checkpoint_waiters_.empty()) return false;
  room_asked_ms_ = now_ms;
  Result<uint64_t> free = environment_.files().FreeBytes(options_.dir);
  Result<uint64_t> total = environment_.files().TotalBytes(options_.dir);
  if (!free.ok() || !total.ok()) return true;
  // What it writes is about what the log has since the last one; less when rows changed often.
  uint64_t wanted = std::min(*total / kReserveDivisor, kReserveBytesMax) +
                    log_->bytes_since(checkpoint_position_);
  if (*free < wanted) {
    PutOffCheckpoint(*free, wanted);
    return false;
  }
  if (stats_.checkpoint_put_off) LogNotice("there is disk space for checkpoints again");
  stats_.checkpoint_put_off = false;
  return true;
}

void EngineImpl::PutOffCheckpoint(uint64_t free_bytes, uint64_t wanted_bytes) {
  constexpr int kMegabyteBits = 20;
  std::string reason = "checkpoint put off: " + std::to_string(free_bytes >> kMegabyteBits) +
                       " MB of disk are free in '" + options_.dir + "', it needs " +
                       std::to_string(wanted_bytes >> kMegabyteBits) +
                       " MB with its reserve; nothing is lost, the log grows meanwhile";
  if (!stats_.checkpoint_put_off) LogWarning(reason);
  stats_.checkpoint_put_off = true;
  checkpoint_wanted_ = false;
  std::vector<std::function<void(Status)>> waiters;
  waiters.swap(checkpoint_waiters_);
  for (auto& waiter : waiters) {
    if (waiter) waiter(Status(StatusCode::kNoSpace, reason));
  }
}

// When nothing has been written for a while, and checkpoints have been made since the last time.
void EngineImpl::StepSettle() {
  int64_t now_ms = clock_->MonotonicUs() / 1000;
  // A process that was stopped, or whose machine slept, was not idle meanwhile.
  int64_t unseen_ms = now_ms - std::exchange(idle_seen_ms_, now_ms);
  if (unseen_ms > kIdleTickMsMax) idle_since_ms_ += unseen_ms;
  if (log_->appended() != idle_position_) {
    idle_position_ = log_->appended();
    idle_since_ms_ = now_ms;
  }
  bool idle = now_ms - idle_since_ms_ >= kIdleMs && !checkpoint_;
  if (!idle || settle_busy_ || settled_checkpoints_ == stats_.checkpoints) return;
  settle_busy_ = true;
  settled_checkpoints_ = stats_.checkpoints;
  scrub_pool_->Post([this] {
    Status status = store_->Settle();
    PostToDataThread([this, status] {
      settle_busy_ = false;
      stats_.settles++;
      if (!status.ok() && status.code() != StatusCode::kShutdown) {
        LogWarning("settling the row store failed: " + status.message());
      }
    });
  });
}

}  // namespace redynamo
