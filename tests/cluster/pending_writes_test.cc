// SPDX-License-Identifier: Apache-2.0
#include "cluster/pending_writes.h"

#include <doctest/doctest.h>

#include <map>
#include <tuple>

#include "base/random.h"

namespace redynamo {
namespace {

using Outcome = PendingWrites::Outcome;

Id128 Peer(uint8_t n) { return {n}; }

struct Fixture {
  std::vector<std::tuple<Id128, uint64_t, std::string>> sent;
  std::map<uint64_t, Outcome> settled;  // by reply id
  bool queue_full = false;
  PendingWrites writes{[this](const Id128& peer, uint64_t number, std::string_view record) {
                         if (queue_full) return false;
                         sent.emplace_back(peer, number, std::string(record));
                         return true;
                       },
                       [this](const PendingWrites::Waiter& waiter, Outcome outcome) {
                         CHECK(settled.emplace(waiter.reply_id, outcome).second);
                       }};

  uint64_t Write(std::string_view record, int needed, uint64_t reply_id,
                 std::vector<Id128> peers = {Peer(1), Peer(2)}) {
    uint64_t number = writes.Add(record, {{std::move(peers), needed}}, 1000);
    writes.Await(number, {7, reply_id});
    writes.SendNew(0);
    return number;
  }
};

TEST_CASE("pending writes: a write is settled when enough replicas have it, once") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.writes.LinkUp(Peer(2), 0);
  uint64_t first = f.Write("a", 1, 100), second = f.Write("b", 2, 101);
  REQUIRE(f.sent.size() == 4);
  CHECK(f.settled.empty());
  f.writes.Acknowledged(Peer(1), second);
  CHECK(f.settled == std::map<uint64_t, Outcome>{{100, Outcome::kReached}});
  f.writes.Acknowledged(Peer(2), first);
  CHECK(f.settled.size() == 1);
  f.writes.Acknowledged(Peer(2), second);
  CHECK(f.settled.size() == 2);
  CHECK(f.writes.kept_bytes() == 0);
  CHECK(f.writes.unsettled() == 0);
}

TEST_CASE("pending writes: nothing is sent before the log has it") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.writes.Add("a", {{{Peer(1)}, 1}}, 1000);
  f.writes.LinkUp(Peer(1), 0);
  CHECK(f.sent.empty());
  f.writes.SendNew(0);
  CHECK(f.sent.size() == 1);
}

TEST_CASE("pending writes: an acknowledgement says nothing of a record that was not sent") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.queue_full = true;
  f.Write("dropped", 1, 100);
  f.queue_full = false;
  uint64_t second = f.Write("b", 1, 101);
  f.writes.Acknowledged(Peer(1), second);
  CHECK(f.settled == std::map<uint64_t, Outcome>{{101, Outcome::kReached}});
  f.writes.Expire(1000);
  CHECK(f.settled[100] == Outcome::kUnknown);
}

TEST_CASE("pending writes: a refused record is not acknowledged by a later one") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  uint64_t first = f.Write("a", 1, 100), second = f.Write("b", 1, 101);
  f.writes.Refused(Peer(1), first);
  f.writes.Acknowledged(Peer(1), second);
  CHECK_FALSE(f.settled.contains(100));
  CHECK(f.settled.contains(101));
}

TEST_CASE("pending writes: a link that comes back gets what it has not acknowledged") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  uint64_t first = f.Write("a", 1, 100, {Peer(1)});
  f.Write("b", 1, 101, {Peer(1)});
  f.writes.Acknowledged(Peer(1), first);
  f.writes.LinkDown(Peer(1));
  f.Write("c", 1, 102, {Peer(1)});
  f.sent.clear();
  f.writes.LinkUp(Peer(1), 5);
  REQUIRE(f.sent.size() == 2);
  CHECK(std::get<2>(f.sent[0]) == "b");
  CHECK(std::get<2>(f.sent[1]) == "c");
  CHECK(f.writes.OwedSince(Peer(1)) == 5);
  f.writes.Acknowledged(Peer(1), std::get<1>(f.sent[1]));
  CHECK(f.settled.size() == 3);
}

TEST_CASE("pending writes: what is late has an unknown outcome, and is kept no longer") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.Write("a", 2, 100);
  f.writes.Acknowledged(Peer(1), 1);
  f.writes.Expire(999);
  CHECK(f.settled.empty());
  f.writes.Expire(1000);
  CHECK(f.settled[100] == Outcome::kUnknown);
  CHECK(f.writes.kept_bytes() == 0);
  f.writes.LinkUp(Peer(2), 0);
  CHECK(f.sent.size() == 1);
}

TEST_CASE("pending writes: each partition of a record needs its replicas") {
  Fixture f;
  for (uint8_t peer : {1, 2, 3}) f.writes.LinkUp(Peer(peer), 0);
  uint64_t number = f.writes.Add("a", {{{Peer(1), Peer(2)}, 1}, {{Peer(2), Peer(3)}, 2}}, 1000);
  f.writes.Await(number, {7, 100});
  f.writes.SendNew(0);
  CHECK(f.sent.size() == 3);
  f.writes.Acknowledged(Peer(2), number);
  CHECK(f.settled.empty());
  f.writes.Acknowledged(Peer(3), number);
  CHECK(f.settled.size() == 1);
}

TEST_CASE("pending writes: random histories settle exactly what W replicas have") {
  for (uint64_t seed = 1; seed <= 300; seed++) {
    CAPTURE(seed);
    Random random(seed);
    Fixture f;
    std::map<uint64_t, std::map<Id128, bool>> has;  // number -> peers that were given it
    std::map<Id128, std::vector<uint64_t>> inbox;
    std::map<uint64_t, int> acknowledged;
    for (uint8_t peer : {1, 2}) f.writes.LinkUp(Peer(peer), 0);
    int needed = 1 + int(random.Below(2));
    for (int step = 0; step < 60; step++) {
      Id128 peer = Peer(uint8_t(1 + random.Below(2)));
      switch (random.Below(4)) {
        case 0:
        case 1: f.Write("r", needed, f.writes.last_number() + 1); break;
        case 2: {
          f.writes.LinkDown(peer);
          inbox.erase(peer);
          f.writes.LinkUp(peer, 0);
          break;
        }
        case 3:
          if (!inbox[peer].empty()) f.writes.Acknowledged(peer, inbox[peer].back());
          for (uint64_t number : inbox[peer]) has[number][peer] = true;
          break;
      }
      for (auto& [to, number, record] : f.sent) inbox[to].push_back(number);
      f.sent.clear();
      for (const auto& [number, outcome] : f.settled) {
        CHECK(outcome == Outcome::kReached);
        CHECK(int(has[number].size()) >= needed);
      }
      for (const auto& [number, peers] : has) {
        if (int(peers.size()) >= needed) CHECK(f.settled.contains(number));
      }
    }
  }
}

}  // namespace
}  // namespace redynamo
