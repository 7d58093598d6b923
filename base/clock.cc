// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace redynamo {
namespace {

int64_t ReadNs(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

class RealClock : public Clock {
 public:
  int64_t WallMs() const override { return ReadNs(CLOCK_REALTIME) / 1'000'000; }
  int64_t WallUs() const override { return ReadNs(CLOCK_REALTIME) / 1000; }
  int64_t MonotonicUs() const override { return ReadNs(CLOCK_MONOTONIC) / 1000; }
};

}  // namespace

const Clock& SystemClock() {
  static const RealClock clock;
  return clock;
}

}  // namespace redynamo
