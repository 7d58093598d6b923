// SPDX-License-Identifier: Apache-2.0
// What clients read on a simulated ring: with R + W > N and a strict quorum a read shows every
// write that was answered before it began, whatever happens to the ring meanwhile.
#pragma once

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>

#include "tests/support/ring_history.h"

namespace redynamo {

// What had been answered of a key when a read of it began.
struct AnsweredBefore {
  std::string key;
  std::set<std::string> members;
  int64_t count = 0;
  uint64_t newest = 0;
};

inline AnsweredBefore AnsweredOf(const History& history, const std::string& key) {
  AnsweredBefore before{.key = key, .members = {}};
  if (auto it = history.answered.find(key); it != history.answered.end()) {
    before.members = it->second;
  }
  if (auto it = history.counters.find(key); it != history.counters.end()) {
    before.count = it->second.first;
  }
  if (auto it = history.newest.find(key); it != history.newest.end()) before.newest = it->second;
  return before;
}

// REQUIRES: the node's copy of the key has been made fresh just now.
inline void CheckRead(SimRingNode& node, const History& history, const AnsweredBefore& before) {
  if (!node.MakeResident(before.key)) return;  // its disk stands still
  Keyspace keys = node.engine().Database(0);
  auto removed = history.removed.find(before.key);
  for (const std::string& member : before.members) {
    bool perhaps = removed != history.removed.end() && removed->second.contains(member);
    if (perhaps) continue;
    CHECK_MESSAGE(keys.Set(before.key).Contains(member), "a read of ", before.key, " misses ",
                  member, " at ", node.id_text());
  }
  if (before.count == 0 && before.newest == 0) return;  // a set, which is no string to look at
  StringView string = keys.String(before.key);
  std::string shown = string.exists() ? std::string(string.value()) : "";
  if (before.count > 0) {
    CHECK_MESSAGE(std::stoll(shown.empty() ? "0" : shown) >= before.count, "a read of ", before.key,
                  " misses increments at ", node.id_text());
  }
  if (before.newest > 0 && !history.clocks_differ) {
    REQUIRE(shown.size() > 1);
    CHECK_MESSAGE(std::stoull(shown.substr(1)) >= before.newest, "a read of ", before.key,
                  " is old at ", node.id_text());
  }
}

// One read, by way of any node. It is checked when `history` says that reads meet writes.
inline void ReadSome(SimRing& ring, History* history) {
  Random& random = ring.random();
  SimRingNode& entry = ring.node(int(random.Below(uint64_t(ring.size()))));
  static constexpr const char* kKinds[] = {"set", "counter", "register"};
  std::string key = Numbered(kKinds[random.Below(3)], random.Below(8));
  if (!entry.running() || entry.stands_still || !entry.node().formed()) return;
  uint16_t slot = KeySlot(key);
  Node::Route route = entry.node().RouteOf({&slot, 1}, false, Node::Forwarding::kPrefer);
  if (route.kind == Node::Route::kRefuse) return;
  SimRingNode* coordinator = route.kind == Node::Route::kForward ? ring.Find(route.peer) : &entry;
  if (!coordinator->running() || coordinator->stands_still) return;
  if (!coordinator->MakeResident(key)) return;
  AnsweredBefore before = AnsweredOf(*history, key);
  auto done = [coordinator, history, before](const Status& status) {
    history->reads += status.ok();
    bool checked = history->reads_meet_writes && !history->forgotten;
    if (status.ok() && checked) CheckRead(*coordinator, *history, before);
  };
  Node::KeyName name{.database = 0, .name = key, .slot = slot};
  if (!coordinator->node().ReadFresh({&name, 1}, done)) done(Status::Ok());
}

}  // namespace redynamo
