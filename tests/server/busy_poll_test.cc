// SPDX-License-Identifier: Apache-2.0
#include "server/busy_poll.h"

#include <doctest/doctest.h>

namespace redynamo {
namespace {

constexpr int64_t kUs = 1000;

TEST_CASE("busy poll: stays awake between dense requests, and only within the window") {
  BusyPoll poll;
  poll.set_window_us(50);
  poll.Worked(1000 * kUs);
  CHECK_FALSE(poll.Awake(1001 * kUs));  // the first request after a pause
  poll.Worked(1030 * kUs);
  CHECK(poll.Awake(1031 * kUs));
  CHECK(poll.Awake(1079 * kUs));
  CHECK_FALSE(poll.Awake(1080 * kUs));
  poll.Worked(1500 * kUs);
  CHECK_FALSE(poll.Awake(1501 * kUs));
}

TEST_CASE("busy poll: sleeps when it waits for another thread, and when it is told never to") {
  BusyPoll poll;
  poll.set_window_us(50);
  poll.Worked(10 * kUs);
  poll.Worked(20 * kUs);
  REQUIRE(poll.Awake(21 * kUs));
  poll.Waits();
  CHECK_FALSE(poll.Awake(21 * kUs));
  poll.set_window_us(0);
  poll.Worked(30 * kUs);
  poll.Worked(30 * kUs);
  CHECK_FALSE(poll.Awake(30 * kUs));
}

}  // namespace
}  // namespace redynamo
