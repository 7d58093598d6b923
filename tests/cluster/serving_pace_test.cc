// SPDX-License-Identifier: Apache-2.0
#include "cluster/serving_pace.h"

#include <doctest/doctest.h>

namespace redynamo {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A second in which writes wait so long, and others ask for more than they get; bytes served.
uint64_t Second(ServingPace* pace, int64_t* now_ms, int64_t wait_ms, uint64_t batch = kMiB) {
  uint64_t served = 0;
  for (int i = 0; i < 100; i++) {
    *now_ms += 10;
    for (int n = 0; n < 3; n++) pace->NoteWrite(wait_ms);
    pace->Tick(*now_ms);
    if (!pace->MayServe()) continue;
    pace->Served(batch);
    served += batch;
  }
  return served;
}

}  // namespace

TEST_CASE("serving pace: unbounded while writes are quick") {
  ServingPace pace(50);
  int64_t now_ms = 1000;
  CHECK(Second(&pace, &now_ms, 20) == 100 * kMiB);
  CHECK(pace.bytes_per_s() == 0);
  CHECK(pace.p99_ms() == 20);
}

TEST_CASE("serving pace: slow writes halve it down to a floor, quick ones give it back") {
  ServingPace pace(50);
  int64_t now_ms = 1000;
  uint64_t before = Second(&pace, &now_ms, 80);
  CHECK(pace.bytes_per_s() > 0);
  for (int i = 0; i < 10; i++) {
    uint64_t served = Second(&pace, &now_ms, 80);
    CHECK(served <= before);
    before = served;
  }
  CHECK(pace.bytes_per_s() == 4 * kMiB);
  CHECK(before >= 3 * kMiB);
  CHECK(before <= 6 * kMiB);
  int seconds = 0;
  while (pace.bytes_per_s() > 0 && seconds < 60) seconds += Second(&pace, &now_ms, 10) > 0;
  CHECK(seconds >= 5);
  CHECK(seconds < 30);
  CHECK(Second(&pace, &now_ms, 10) == 100 * kMiB);
}

TEST_CASE("serving pace: a few slow writes in a hundred are no reason, two are") {
  int64_t now_ms = 1000;
  for (int slow : {1, 2}) {
    ServingPace pace(50);
    pace.Tick(now_ms);
    for (int i = 0; i < 101; i++) pace.NoteWrite(i < slow ? 500 : 1);
    pace.Tick(now_ms += 600);
    CHECK((pace.bytes_per_s() > 0) == (slow == 2));
  }
}

TEST_CASE("serving pace: a batch that overdraws is waited for") {
  ServingPace pace(50);
  int64_t now_ms = 1000;
  for (int i = 0; i < 12; i++) Second(&pace, &now_ms, 80);
  REQUIRE(pace.bytes_per_s() == 4 * kMiB);
  while (!pace.MayServe()) pace.Tick(now_ms += 10);
  pace.Served(64 * kMiB);
  int64_t begin_ms = now_ms;
  while (!pace.MayServe()) {
    pace.NoteWrite(80);
    pace.Tick(now_ms += 10);
  }
  CHECK(now_ms - begin_ms > 14'000);
  CHECK(now_ms - begin_ms < 17'000);
}

TEST_CASE("serving pace: without a limit it is never bounded") {
  ServingPace pace(0);
  int64_t now_ms = 1000;
  for (int i = 0; i < 5; i++) CHECK(Second(&pace, &now_ms, 10'000) == 100 * kMiB);
}

}  // namespace redynamo
