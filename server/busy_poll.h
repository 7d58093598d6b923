// SPDX-License-Identifier: Apache-2.0
// Whether the event loop asks for sockets again without sleeping.
//
// A thread that sleeps must be woken by whoever sends to it, and on most machines that costs the
// sender more than the send. So while requests follow one another densely, the loop stays awake for
// the rest of its window after each turn's work; it never does so for a lonely one:
//
//   window 50 us     work ......30 us...... work ..........400 us.......... work ......30 us...
//                         stays awake         sleeps after 50 us            sleeps at once: the
//                                                                           last gap was long
//
// Figures: docs/performance.md. One thread.
#pragma once

#include <cstdint>

namespace redynamo {

class BusyPoll {
 public:
  // 0: never awake without work.
  void set_window_us(int64_t window_us) { window_ns_ = window_us * 1000; }

  // A turn has done work, which ended now.
  void Worked(int64_t now_ns) {
    dense_ = now_ns - worked_ns_ <= window_ns_;
    worked_ns_ = now_ns;
  }
  // Somebody else has to act first, and may need this processor.
  void Waits() { dense_ = false; }
  // A turn without work is over: whether to look again at once.
  bool Awake(int64_t now_ns) const {
    return dense_ && window_ns_ > 0 && now_ns - worked_ns_ < window_ns_;
  }

 private:
  int64_t window_ns_ = 0;
  int64_t worked_ns_ = 0;
  bool dense_ = false;
};

}  // namespace redynamo
