// SPDX-License-Identifier: Apache-2.0
// Random histories of a whole ring: writes by way of any node while links are cut, messages are
// lost and nodes are killed. At the end every replica has the same, and all that was answered.
#include "tests/support/ring_history.h"

#include <doctest/doctest.h>

#include "base/log_line.h"

namespace redynamo {
namespace {

void RunHistory(uint64_t seed, int nodes, History* history) {
  SimRing ring(nodes,
               {.seed = seed, .overtakes_percent = seed % 2 * 5, .drops_percent = seed % 3 * 10}, 3,
               seed % 5 != 0);
  Random& random = ring.random();
  uint64_t serial = 0;
  for (int step = 0; step < 150; step++) {
    int a = int(random.Below(uint64_t(nodes)));
    int b = (a + 1 + int(random.Below(uint64_t(nodes - 1)))) % nodes;
    int partition = PartitionOfSlot(KeySlot(Numbered("counter", random.Below(8))));
    if (ring.node(a).running()) ring.node(a).node().merkle()->CheckNow(partition);
    switch (random.Below(12)) {
      case 0: ring.network().Cut(ring.node(a).id(), ring.node(b).id()); break;
      case 1: ring.network().HealAll(); break;
      case 2:
        if (ring.node(a).running() && random.Below(2)) ring.Crash(a);
        break;
      case 3:
        if (!ring.node(a).running()) ring.Start(a);
        break;
      case 4: ring.Pass(int64_t(random.Below(1500))); break;
      default:
        for (uint64_t n = random.Below(6); n > 0; n--) WriteSome(ring, history, serial++);
        for (uint64_t n = random.Below(30); n > 0; n--) ring.network().Step();
        if (random.Below(2)) ring.Pass(10);
    }
  }
  REQUIRE(ring.Settle());
  CheckRing(ring, *history);
  for (int i = 0; i < ring.size(); i++) {
    const Merkle& merkle = *ring.node(i).node().merkle();
    CHECK(merkle.stats().mismatches == 0);  // whatever went on beside the comparisons
    CHECK(merkle.stats().repaired == 0);
    history->leaves_compared += merkle.stats().leaves_compared;
  }
}

TEST_CASE("ring: random histories lose nothing that was answered, and end in agreement") {
  SetLogLevel(LogLevel::kWarning);
  uint64_t reached = 0, undecided = 0, refused = 0, leaves_compared = 0;
  // RING_SEED=1000 RING_SEEDS=500: those from 1000 on.
  uint64_t first = NumberOf("RING_SEED", 1), count = NumberOf("RING_SEEDS", 25);
  for (uint64_t seed = first; seed < first + count; seed++) {
    CAPTURE(seed);
    History history;
    RunHistory(seed, seed % 2 ? 3 : 5, &history);
    reached += history.reached;
    undecided += history.undecided;
    refused += history.refused;
    leaves_compared += history.leaves_compared;
  }
  SetLogLevel(LogLevel::kNotice);
  if (count < 25) return;
  CHECK(reached > 1000);  // and the faults did bite
  CHECK(undecided > 10);
  CHECK(refused > 10);
  CHECK(leaves_compared > 100);
}

}  // namespace
}  // namespace redynamo
