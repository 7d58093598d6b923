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

TEST_CASE("busy poll: sleeps while somebody else wants the processor, longer each time") {
  constexpr int64_t kSecond = 1'000'000 * kUs;
  BusyPoll poll;
  poll.set_window_us(50);
  auto awake = [&poll](int64_t now_ns) {
    poll.Worked(now_ns - 2 * kUs);
    poll.Worked(now_ns - kUs);
    return poll.Awake(now_ns);
  };
  poll.Tick(10 * kSecond, 0);
  CHECK(awake(10 * kSecond));
  poll.Tick(11 * kSecond, 2);  // a few are nothing
  CHECK(awake(11 * kSecond));
  poll.Tick(12 * kSecond, 20);
  CHECK_FALSE(awake(12 * kSecond + kSecond / 2));
  CHECK(awake(13 * kSecond));
  poll.Tick(13 * kSecond, 40);  // again
  CHECK_FALSE(awake(14 * kSecond));
  CHECK(awake(15 * kSecond));
  poll.Tick(15 * kSecond, 40);
  poll.Tick(18 * kSecond, 40);  // forgotten
  poll.Tick(19 * kSecond, 60);
  CHECK_FALSE(awake(19 * kSecond + kSecond / 2));
  CHECK(awake(20 * kSecond));
}

}  // namespace
}  // namespace redynamo
