// SPDX-License-Identifier: Apache-2.0
// A pool for bulk work: cold reads, checkpoint files, freeing large objects. Its threads run at a
// nice value of their own, so that the data thread comes first without starving them: at idle
// priority (SCHED_IDLE) a machine with all cores busy gave a checkpoint 0.3 % of a core, and the
// log grew faster than checkpoints could release it.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace redynamo {

class Background {
 public:
  // Of no thread: RunPosted and Stop do the work.
  Background(int threads, int nice);
  ~Background() { Stop(); }

  // Any thread. Tasks of one pool run in order of posting, `threads` at a time.
  void Post(std::function<void()> task);
  // Runs all that is posted, and what comes of it; false when there was nothing. REQUIRES: no
  // threads.
  bool RunPosted();
  // Within a task: its thread does nothing for so long, or until Stop.
  void Pause(int64_t us);
  // Runs what has been posted, then ends the threads. Idempotent.
  void Stop();

 private:
  void Run(int nice);
  std::mutex mutex_;
  std::condition_variable ready_, stopped_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// One task after another, at either of two nice values. The kernel lets no ordinary process lower
// a thread's nice value again, so there are two threads, and the one that has the right value takes
// the next task.
class TwoSpeedBackground {
 public:
  // Not `threads`: RunPosted and Stop do the work.
  TwoSpeedBackground(int gentle_nice, int urgent_nice, bool threads = true);
  ~TwoSpeedBackground() { Stop(); }

  // Any thread. Tasks run in order of posting, never two at a time.
  void Post(std::function<void()> task);
  bool RunPosted();  // as above
  // Any thread; gentle at first. A task that runs stays where it is.
  void SetUrgent(bool urgent);
  // Runs what has been posted, then ends the threads. Idempotent.
  void Stop();

 private:
  void Run(bool urgent, int nice);
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> tasks_;
  bool busy_ = false, urgent_ = false, stopping_ = false;
  std::array<std::thread, 2> threads_;
};

}  // namespace redynamo
