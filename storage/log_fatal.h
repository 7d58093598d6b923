// SPDX-License-Identifier: Apache-2.0
// The log's one fatal error: the first that any of its threads meets, reported once, remembered for
// every later call. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>

#include "base/status.h"

namespace redynamo {

class FatalLatch {
 public:
  explicit FatalLatch(std::function<void(const Status&)> report) : report_(std::move(report)) {}

  // Remembers and reports `status` unless an earlier one has been. Returns the remembered one.
  Status Fail(const Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (!status_.ok()) return status_;
      status_ = status;
      failed_.store(true, std::memory_order_release);
    }
    if (report_) report_(status);
    return status;
  }

  bool failed() const { return failed_.load(std::memory_order_acquire); }

  Status status() const {
    std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  const std::function<void(const Status&)> report_;
  mutable std::mutex mutex_;
  std::atomic<bool> failed_{false};
  Status status_;
};

}  // namespace redynamo
