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
// Nor does it where somebody else wants this processor: a tick in which the kernel took it away
// more than a few times makes the loop sleep as usual for a second, and for twice as long each time
// that it finds the processor wanted again.
//
// Figures: docs/performance.md. One thread.
#pragma once

#include <algorithm>
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
  // Ten times a second or so, with how often the kernel has taken the processor away from this
  // thread so far.
  void Tick(int64_t now_ns, int64_t involuntary_switches) {
    bool wanted = involuntary_switches - switches_ > kSwitchesMax;
    switches_ = involuntary_switches;
    if (wanted) {
      pause_ns_ = std::clamp(2 * pause_ns_, kPauseMinNs, kPauseMaxNs);
      paused_until_ns_ = now_ns + pause_ns_;
    } else if (now_ns >= paused_until_ns_ + pause_ns_) {
      pause_ns_ = 0;
    }
  }
  // A turn without work is over: whether to look again at once.
  bool Awake(int64_t now_ns) const {
    return dense_ && window_ns_ > 0 && now_ns >= paused_until_ns_ &&
           now_ns - worked_ns_ < window_ns_;
  }

 private:
  static constexpr int64_t kSwitchesMax = 2;  // in a tick
  static constexpr int64_t kPauseMinNs = 1'000'000'000, kPauseMaxNs = 64'000'000'000;

  int64_t window_ns_ = 0;
  int64_t worked_ns_ = 0;
  bool dense_ = false;
  int64_t switches_ = 0;
  int64_t pause_ns_ = 0, paused_until_ns_ = 0;
};

}  // namespace redynamo
