// SPDX-License-Identifier: Apache-2.0
// Random histories of a whole ring: writes by way of any node while links are cut, messages are
// lost and nodes are killed. At the end every replica has the same, and all that was answered.
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

#include "base/hash.h"
#include "base/log_line.h"
#include "storage/slot_table.h"
#include "tests/support/sim_ring.h"

namespace redynamo {
namespace {

struct History {
  std::map<std::string, std::set<std::string>> answered, tried;  // members of sets
  std::map<std::string, std::pair<int64_t, int64_t>> counters;   // answered, tried
  // Registers: the newest value that was answered, by when it was written; and newer ones perhaps.
  std::map<std::string, uint64_t> newest;
  std::map<std::string, std::set<uint64_t>> unanswered;
  uint64_t refused = 0, reached = 0, undecided = 0;
};

uint64_t NumberOf(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::stoull(text) : otherwise;
}

std::string Numbered(const char* name, uint64_t n) { return name + std::to_string(n); }

void WriteSome(SimRing& ring, History* history, uint64_t serial) {
  Random& random = ring.random();
  ring.clock().AdvanceMs(1);  // so that times are in the order of writes
  SimRingNode& entry = ring.node(int(random.Below(uint64_t(ring.size()))));
  if (!entry.running()) return;
  uint64_t kind = random.Below(3);
  std::string key = Numbered(kind == 0   ? "set"
                             : kind == 1 ? "counter"
                                         : "register",
                             random.Below(8));
  uint16_t slot = KeySlot(key);
  Node::Route route = entry.node().RouteOf({&slot, 1}, true, true);
  if (route.kind == Node::Route::kRefuse) {
    history->refused++;
    return;
  }
  SimRingNode* coordinator = route.kind == Node::Route::kForward ? ring.Find(route.peer) : &entry;
  if (!coordinator->running()) return;  // the link does not know yet
  std::string value = Numbered("v", serial);
  auto outcome = [=](const std::function<void()>& on_answer) {
    return [=](PendingWrites::Outcome settled) {
      history->reached += settled == PendingWrites::Outcome::kReached;
      history->undecided += settled == PendingWrites::Outcome::kUnknown;
      if (settled == PendingWrites::Outcome::kReached) on_answer();
    };
  };
  if (kind == 0) {
    history->tried[key].insert(value);
    coordinator->Write([&](Keyspace keys) { keys.Set(key).Add(value); },
                       outcome([=] { history->answered[key].insert(value); }));
  } else if (kind == 1) {
    history->counters[key].second++;
    coordinator->Write([&](Keyspace keys) { CHECK(keys.String(key).Add(1).ok()); },
                       outcome([=] { history->counters[key].first++; }));
  } else {
    history->unanswered[key].insert(serial);
    coordinator->Write([&](Keyspace keys) { keys.String(key).Set(value); }, outcome([=] {
                         history->newest[key] = std::max(history->newest[key], serial);
                         history->unanswered[key].erase(serial);
                       }));
  }
}

void CheckNode(SimRingNode& node, const History& history) {
  Keyspace keys = node.engine().Database(0);
  for (const auto& [key, members] : history.answered) {
    for (const std::string& member : members) CHECK(keys.Set(key).Contains(member));
  }
  for (const auto& [key, members] : history.tried) {
    keys.Set(key).ForEach([&](std::string_view member) {
      CHECK(members.contains(std::string(member)));
      return true;
    });
  }
  for (const auto& [key, counts] : history.counters) {
    StringView counter = keys.String(key);
    int64_t value = counter.exists() ? std::stoll(std::string(counter.value())) : 0;
    CHECK(value >= counts.first);
    CHECK(value <= counts.second);
  }
  for (const auto& [key, serial] : history.newest) {
    std::string found(keys.String(key).value());
    REQUIRE(found.size() > 1);
    uint64_t shown = std::stoull(found.substr(1));
    bool perhaps = shown > serial && history.unanswered.at(key).contains(shown);
    CHECK((shown == serial || perhaps));
  }
}

void RunHistory(uint64_t seed, History* history) {
  SimRing ring(3,
               {.seed = seed, .overtakes_percent = seed % 2 * 5, .drops_percent = seed % 3 * 10});
  Random& random = ring.random();
  uint64_t serial = 0;
  for (int step = 0; step < 150; step++) {
    int a = int(random.Below(3)), b = (a + 1 + int(random.Below(2))) % 3;
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
  std::string digest = ring.node(0).engine().Digest();
  for (int i = 0; i < ring.size(); i++) {
    CHECK(ring.node(i).engine().Digest() == digest);
    for (int p = 0; p < kPartitionCount; p++) {
      CHECK(ring.node(i).engine().ClockHash(p) == ring.node(0).engine().ClockHash(p));
      CHECK(ring.node(i).engine().IrregularHash(p) == 0);
    }
    CheckNode(ring.node(i), *history);
  }
}

TEST_CASE("ring: random histories lose nothing that was answered, and end in agreement") {
  SetLogLevel(LogLevel::kWarning);
  uint64_t reached = 0, undecided = 0, refused = 0;
  // RING_SEED=1000 RING_SEEDS=500: those from 1000 on.
  uint64_t first = NumberOf("RING_SEED", 1), count = NumberOf("RING_SEEDS", 25);
  for (uint64_t seed = first; seed < first + count; seed++) {
    CAPTURE(seed);
    History history;
    RunHistory(seed, &history);
    reached += history.reached;
    undecided += history.undecided;
    refused += history.refused;
  }
  SetLogLevel(LogLevel::kNotice);
  if (count < 25) return;
  CHECK(reached > 1000);  // and the faults did bite
  CHECK(undecided > 10);
  CHECK(refused > 10);
}

}  // namespace
}  // namespace redynamo
