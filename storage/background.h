// SPDX-License-Identifier: Apache-2.0
// A pool for bulk work: cold reads, checkpoint files, freeing large objects. With `idle` its threads
// run at idle priority (SCHED_IDLE) and never preempt the data thread; reads that clients wait for
// must not stand back like that, or a busy machine starves them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace redynamo {

class Background {
 public:
  Background(int threads, bool idle);
  ~Background() { Stop(); }

  // Any thread. Tasks of one pool run in order of posting, `threads` at a time.
  void Post(std::function<void()> task);
  // Runs what has been posted, then ends the threads. Idempotent.
  void Stop();

 private:
  void Run(bool idle);
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace redynamo
