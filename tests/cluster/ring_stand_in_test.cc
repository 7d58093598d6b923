// SPDX-License-Identifier: Apache-2.0
// Whom a stand-in's acknowledgement helps, and when it does not: pending_writes.h in whole nodes.
#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "base/log_line.h"
#include "tests/support/sim_ring.h"

namespace redynamo {
namespace {

using Outcome = PendingWrites::Outcome;

TEST_CASE("ring stand-in: it does not count for what hangs on what one disk alone has") {
  SetLogLevel(LogLevel::kWarning);
  SimRing ring(4, {.seed = 11}, 3);
  const std::string key = "counter";
  const Place& place = ring.node(0).node().PlaceOf(PartitionOfSlot(KeySlot(key)));
  std::vector<int> homes;
  for (const Id128& home : place.read.members) {
    for (int i = 0; i < ring.size(); i++) {
      if (ring.node(i).id() == home) homes.push_back(i);
    }
  }
  REQUIRE(homes.size() == 3);
  int at = homes[0], stand_in = 6 - homes[0] - homes[1] - homes[2];
  auto cut_homes = [&] {
    for (int home : {homes[1], homes[2]})
      ring.network().Cut(ring.node(at).id(), ring.node(home).id());
  };
  auto add = [&](std::optional<Outcome>* outcome) {
    REQUIRE(ring.node(at).MakeResident(key));
    ring.node(at).Write([&](Keyspace keys) { CHECK(keys.String(key).Add(1).ok()); },
                        [outcome](Outcome settled) { *outcome = settled; });
  };
  // An increment that no other node hears of, and a restart: the node has it on its disk.
  std::optional<Outcome> first, second;
  cut_homes();
  ring.network().Cut(ring.node(at).id(), ring.node(stand_in).id());
  for (int i = 0; i < 10; i++) ring.Pass(100);
  add(&first);
  for (int i = 0; i < 5; i++) ring.Pass(100);
  REQUIRE_FALSE(first.has_value());
  ring.Crash(at);
  ring.Start(at);
  ring.network().HealAll();
  cut_homes();
  for (int i = 0; i < 100 && !ring.node(at).node().Healthy(ring.node(stand_in).id()); i++) {
    ring.Pass(100);
  }
  for (int i = 0; i < 10; i++) ring.Pass(100);
  // The stand-in has the second one, which is nothing without the first.
  add(&second);
  for (int i = 0; i < 3; i++) ring.Pass(100);
  CHECK(ring.node(at).node().pending_writes().hints_sent() > 0);
  CHECK_FALSE(second.has_value());
  ring.network().HealAll();
  for (int i = 0; i < 40 && !second; i++) ring.Pass(100);
  REQUIRE(second.has_value());
  CHECK(*second == Outcome::kReached);
  ring.Crash(at);  // for good
  for (int i = 0; i < 100; i++) ring.Pass(100);
  for (int home : {homes[1], homes[2]}) {
    REQUIRE(ring.node(home).MakeResident(key));
    CHECK(ring.node(home).engine().Database(0).String(key).value() == "2");
  }
  // Now that homes have all, the next ones count at once.
  at = homes[1];
  ring.network().Cut(ring.node(at).id(), ring.node(homes[2]).id());
  for (int i = 0; i < 40; i++) ring.Pass(100);
  std::optional<Outcome> third;
  add(&third);
  for (int i = 0; i < 20 && !third; i++) ring.Pass(100);
  REQUIRE(third.has_value());
  CHECK(*third == Outcome::kReached);
  SetLogLevel(LogLevel::kNotice);
}

}  // namespace
}  // namespace redynamo
