// SPDX-License-Identifier: Apache-2.0
#include "storage/background.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <vector>

namespace redynamo {
namespace {

int Nice() { return getpriority(PRIO_PROCESS, id_t(gettid())); }

TEST_CASE("background: tasks of two speeds run in order, and never two at a time") {
  std::vector<int> order;
  std::atomic<int> running{0};
  std::atomic<bool> overlapped{false};
  {
    TwoSpeedBackground pool(19, 10);
    for (int i = 0; i < 200; i++) {
      pool.Post([&, i] {
        if (running.fetch_add(1) != 0) overlapped = true;
        order.push_back(i);
        running--;
      });
      pool.SetUrgent(i % 3 == 0);
    }
  }
  CHECK_FALSE(overlapped);
  REQUIRE(order.size() == 200);
  for (int i = 0; i < 200; i++) CHECK(order[size_t(i)] == i);
}

TEST_CASE("background: the next task runs at the nice value that was asked for") {
  int own = Nice();
  std::atomic<int> gentle{-1}, urgent{-1};
  {
    TwoSpeedBackground pool(9, 4);
    std::latch first(1);
    pool.Post([&] {
      gentle = Nice();
      first.count_down();
    });
    first.wait();
    pool.SetUrgent(true);
    pool.Post([&] { urgent = Nice(); });
  }
  CHECK(gentle == std::min(own + 9, 19));
  CHECK(urgent == std::min(own + 4, 19));
}

}  // namespace
}  // namespace redynamo
