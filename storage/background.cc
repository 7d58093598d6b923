// SPDX-License-Identifier: Apache-2.0
#include "storage/background.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <utility>

namespace redynamo {
namespace {

// Beside what the process was started with, so that `nice redynamo-server` means all of it.
void BeBackground(int nice) {
  setpriority(PRIO_PROCESS, id_t(gettid()), getpriority(PRIO_PROCESS, 0) + nice);
  pthread_setname_np(pthread_self(), "background");
}

}  // namespace

Background::Background(int threads, int nice) {
  for (int i = 0; i < threads; i++) threads_.emplace_back([this, nice] { Run(nice); });
}

void Background::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  ready_.notify_one();
}

bool Background::RunPosted() {
  bool ran = false;
  for (std::unique_lock lock(mutex_); !tasks_.empty(); lock.lock()) {
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    ran = true;
  }
  return ran;
}

void Background::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  stopped_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  RunPosted();  // without threads; else there is nothing left
}

void Background::Pause(int64_t us) {
  if (us <= 0 || threads_.empty()) return;
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, std::chrono::microseconds(us), [this] { return stopping_; });
}

void Background::Run(int nice) {
  BeBackground(nice);
  for (;;) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
  }
}

TwoSpeedBackground::TwoSpeedBackground(int gentle_nice, int urgent_nice, bool threads) {
  if (!threads) return;
  threads_[0] = std::thread([this, gentle_nice] { Run(false, gentle_nice); });
  threads_[1] = std::thread([this, urgent_nice] { Run(true, urgent_nice); });
}

void TwoSpeedBackground::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  ready_.notify_all();
}

bool TwoSpeedBackground::RunPosted() {
  bool ran = false;
  for (std::unique_lock lock(mutex_); !tasks_.empty(); lock.lock()) {
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    ran = true;
  }
  return ran;
}

void TwoSpeedBackground::SetUrgent(bool urgent) {
  {
    std::lock_guard lock(mutex_);
    if (urgent_ == urgent) return;
    urgent_ = urgent;
  }
  ready_.notify_all();
}

void TwoSpeedBackground::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  RunPosted();  // without threads; else there is nothing left
}

void TwoSpeedBackground::Run(bool urgent, int nice) {
  BeBackground(nice);
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [&] {
      bool mine = !tasks_.empty() && !busy_ && urgent_ == urgent;
      return mine || (stopping_ && tasks_.empty());
    });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    busy_ = true;
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    busy_ = false;
    ready_.notify_all();
  }
}

}  // namespace redynamo
