// SPDX-License-Identifier: Apache-2.0
// What clients did on a simulated ring, and the checks of what must have become of it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "base/hash.h"
#include "storage/slot_table.h"
#include "tests/support/sim_ring.h"

namespace redynamo {

struct History {
  std::map<std::string, std::set<std::string>> answered, tried;  // members of sets
  std::map<std::string, std::set<std::string>> removed;          // perhaps; answered: surely
  std::map<std::string, std::set<std::string>> gone;
  bool clocks_differ = false;  // then the newest register is not the one that was written last
  std::map<std::string, std::pair<int64_t, int64_t>> counters;  // answered, tried
  // Registers: the newest value that was answered, by when it was written; and newer ones perhaps.
  std::map<std::string, uint64_t> newest;
  std::map<std::string, std::set<uint64_t>> unanswered;
  uint64_t serial = 0;             // of the next write
  bool removes = false;            // members of sets, too
  bool reads_meet_writes = false;  // R + W > N, and stand-ins do not count
  bool forgotten = false;          // what was not answered may be lost for ever, in part
  uint64_t refused = 0, reached = 0, undecided = 0, reads = 0, leaves_compared = 0;
};

inline uint64_t NumberOf(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::stoull(text) : otherwise;
}

inline std::string Numbered(const char* name, uint64_t n) { return name + std::to_string(n); }

// Takes out of a set what its coordinator sees first; or all of it, with a clear.
template <typename Outcome>
void RemoveSome(SimRingNode* coordinator, History* history, const std::string& key, bool all,
                const Outcome& outcome) {
  std::set<std::string> members;
  coordinator->engine().Database(0).Set(key).ForEach([&](std::string_view member) {
    members.insert(std::string(member));
    return all;
  });
  if (members.empty()) return;
  history->removed[key].insert(members.begin(), members.end());
  coordinator->Write(
      [&](Keyspace keys) {
        if (all) {
          SetView set = keys.Set(key);
          CHECK(static_cast<KeyView&>(set).Remove());
        } else {
          CHECK(keys.Set(key).Remove(std::string_view(*members.begin())));
        }
      },
      outcome([=] { history->gone[key].insert(members.begin(), members.end()); }));
}

// One write, by way of any node.
inline void WriteSome(SimRing& ring, History* history, uint64_t serial) {
  Random& random = ring.random();
  ring.clock().AdvanceMs(1);  // so that times are in the order of writes
  SimRingNode& entry = ring.node(int(random.Below(uint64_t(ring.size()))));
  if (!entry.running() || !entry.node().formed()) return;
  uint64_t kind = random.Below(history->removes ? 4 : 3);
  std::string key = Numbered(kind == 0 || kind == 3 ? "set"
                             : kind == 1            ? "counter"
                                                    : "register",
                             random.Below(8));
  uint16_t slot = KeySlot(key);
  Node::Route route = entry.node().RouteOf({&slot, 1}, true, Node::Forwarding::kPrefer);
  if (route.kind == Node::Route::kRefuse) {
    history->refused++;
    return;
  }
  SimRingNode* coordinator = route.kind == Node::Route::kForward ? ring.Find(route.peer) : &entry;
  // The link does not know yet, or whoever forwards it waits in vain.
  if (!coordinator->running() || coordinator->stands_still) return;
  if (!coordinator->MakeResident(key)) return;
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
  } else if (kind == 3) {
    RemoveSome(coordinator, history, key, random.Below(4) == 0, outcome);
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

// That a home of these keys has all that was answered of them.
inline void CheckNode(SimRingNode& node, const History& history) {
  Keyspace keys = node.engine().Database(0);
  auto is_home = [&](const std::string& key) {
    return node.node().PlaceOf(PartitionOfSlot(KeySlot(key))).self_reads;
  };
  for (const auto& [key, members] : history.answered) {
    if (!is_home(key)) continue;
    REQUIRE(node.MakeResident(key));
    for (const std::string& member : members) {
      auto removed = history.removed.find(key);
      bool perhaps = removed != history.removed.end() && removed->second.contains(member);
      if (!perhaps) CHECK_MESSAGE(keys.Set(key).Contains(member), key, " lacks ", member);
    }
  }
  for (const auto& [key, members] : history.gone) {
    if (!is_home(key)) continue;
    REQUIRE(node.MakeResident(key));
    for (const std::string& member : members) {
      CHECK_MESSAGE(!keys.Set(key).Contains(member), key, " has ", member, " again");
    }
  }
  for (const auto& [key, members] : history.tried) {
    REQUIRE(node.MakeResident(key));
    keys.Set(key).ForEach([&](std::string_view member) {
      CHECK(members.contains(std::string(member)));
      return true;
    });
  }
  for (const auto& [key, counts] : history.counters) {
    if (!is_home(key)) continue;
    REQUIRE(node.MakeResident(key));
    StringView counter = keys.String(key);
    int64_t value = counter.exists() ? std::stoll(std::string(counter.value())) : 0;
    CHECK(value >= counts.first);
    CHECK(value <= counts.second);
  }
  for (const auto& [key, serial] : history.newest) {
    if (!is_home(key)) continue;
    REQUIRE(node.MakeResident(key));
    std::string found(keys.String(key).value());
    REQUIRE(found.size() > 1);
    uint64_t shown = std::stoull(found.substr(1));
    if (history.clocks_differ) continue;
    bool perhaps = shown > serial && history.unanswered.at(key).contains(shown);
    CHECK((shown == serial || perhaps));
  }
}

// That all homes of each partition agree, others hold nothing, and nothing that was answered is
// missing. REQUIRES: the ring is at rest.
inline void CheckRing(SimRing& ring, const History& history) {
  std::map<int, std::pair<uint64_t, int>> clocks;  // partition -> hash, homes
  for (int i = 0; i < ring.size(); i++) {
    if (!ring.node(i).running()) continue;
    Node& node = ring.node(i).node();
    Engine& engine = ring.node(i).engine();
    for (int p = 0; p < PartitionCount(); p++) {
      bool home = !node.removed() && node.PlaceOf(p).self_reads;
      if (!home) {
        CHECK_FALSE_MESSAGE(engine.HoldsReplica(p), ring.node(i).id_text(), " keeps partition ", p,
                            node.removed() ? ", removed" : "", ring.Describe());
        continue;
      }
      auto [it, fresh] = clocks.try_emplace(p, engine.ClockHash(p), 0);
      CHECK(it->second.first == engine.ClockHash(p));
      // What only a lost disk knew, say, is missing for ever; that it was removed stays known.
      if (!history.forgotten) CHECK(engine.IrregularHash(p) == 0);
      it->second.second++;
    }
    if (!node.removed()) CheckNode(ring.node(i), history);
  }
  for (const auto& [partition, found] : clocks) {
    CHECK(found.second == int(ring.document().views[size_t(partition)].homes.size()));
  }
}

}  // namespace redynamo
