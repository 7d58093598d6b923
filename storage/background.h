// SPDX-License-Identifier: Apache-2.0
// A pool for bulk work: cold reads, checkpoint files, freeing large objects. Its threads run at a
// nice value of their own, so that the data thread comes first without starving them: at idle
// priority (SCHED_IDLE) a machine with all cores busy gave a checkpoint 0.3 % of a core, and the
// log grew faster than checkpoints could release it.
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
  Background(int threads, int nice);
  ~Background() { Stop(); }

  // Any thread. Tasks of one pool run in order of posting, `threads` at a time.
  void Post(std::function<void()> task);
  // Runs what has been posted, then ends the threads. Idempotent.
  void Stop();

 private:
  void Run(int nice);
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace redynamo
