// SPDX-License-Identifier: Apache-2.0
#include "storage/background.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace redynamo {

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

void Background::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void Background::Run(int nice) {
  // Beside what the process was started with, so that `nice redynamo-server` means all of it.
  setpriority(PRIO_PROCESS, id_t(gettid()), getpriority(PRIO_PROCESS, 0) + nice);
  pthread_setname_np(pthread_self(), "background");
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

}  // namespace redynamo
