// SPDX-License-Identifier: Apache-2.0
#include "cluster/pending_writes.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <tuple>

#include "base/random.h"

namespace redynamo {
namespace {

using Outcome = PendingWrites::Outcome;

Id128 Peer(uint8_t n) { return {n}; }

struct Fixture {
  struct Sent {
    Id128 peer{};
    uint64_t place = 0;
    std::string record;
    Id128 hinted_for{};
  };
  std::vector<Sent> sent;
  std::map<uint64_t, Outcome> settled;                 // by reply id
  std::map<uint16_t, PendingWrites::Targets> targets;  // by partition
  uint16_t partitions = 0;
  RequestQuorum asked;  // by the last question for targets
  bool queue_full = false;
  std::set<EventId> well_copied;
  PendingWrites writes{
      [this](const std::vector<uint16_t>& wanted, const RequestQuorum& quorum) {
        asked = quorum;
        PendingWrites::Targets all;
        for (uint16_t partition : wanted) {
          const PendingWrites::Targets& one = targets[partition];
          all.sets.insert(all.sets.end(), one.sets.begin(), one.sets.end());
          all.stand_ins.insert(all.stand_ins.end(), one.stand_ins.begin(), one.stand_ins.end());
          all.sloppy = one.sloppy;
        }
        return all;
      },
      [this](const Id128& peer, uint64_t place, std::string_view record, const Id128& hinted_for) {
        if (queue_full) return false;
        sent.push_back({peer, place, std::string(record), hinted_for});
        return true;
      },
      [this](const PendingWrites::Waiter& waiter, Outcome outcome) {
        CHECK(settled.emplace(waiter.reply_id, outcome).second);
      },
      [this](const EventId& event) { return well_copied.contains(event); }};

  uint64_t Write(std::string_view record, PendingWrites::Targets wanted, uint64_t reply_id) {
    targets[++partitions] = std::move(wanted);
    uint64_t number = writes.Add(record, {partitions}, 1000);
    writes.Await(number, {7, reply_id});
    writes.SendNew(0);
    return number;
  }
  uint64_t Write(std::string_view record, int needed, uint64_t reply_id,
                 std::vector<Id128> peers = {Peer(1), Peer(2)}) {
    return Write(record, {{{std::move(peers), needed}}, {}, false}, reply_id);
  }
  // Where the record stands on the link to the peer; the newest time it was sent.
  uint64_t PlaceOf(const Id128& peer, std::string_view record) const {
    uint64_t place = 0;
    for (const Sent& one : sent) {
      if (one.peer == peer && one.record == record) place = one.place;
    }
    REQUIRE(place != 0);
    return place;
  }
  void Acknowledge(const Id128& peer, std::string_view record) {
    writes.Acknowledged(peer, PlaceOf(peer, record));
  }
};

TEST_CASE("pending writes: a write is settled when enough replicas have it, once") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.writes.LinkUp(Peer(2), 0);
  f.Write("a", 1, 100);
  f.Write("b", 2, 101);
  REQUIRE(f.sent.size() == 4);
  CHECK(f.settled.empty());
  f.Acknowledge(Peer(1), "b");
  CHECK(f.settled == std::map<uint64_t, Outcome>{{100, Outcome::kReached}});
  f.Acknowledge(Peer(2), "a");
  CHECK(f.settled.size() == 1);
  f.Acknowledge(Peer(2), "b");
  CHECK(f.settled.size() == 2);
  CHECK(f.writes.kept_bytes() == 0);
  CHECK(f.writes.unsettled() == 0);
}

TEST_CASE("pending writes: what the request asks for is asked again with it") {
  Fixture f;
  f.targets[1] = {{{{Peer(1)}, 1}}, {}, false};
  f.writes.Add("a", {1}, 1000, {.w = 3});
  CHECK(f.asked == RequestQuorum{.w = 3});
  f.writes.Add("b", {1}, 1000);
  CHECK(f.asked.usual());
  f.asked = {.n = 8};
  f.writes.Acknowledged(Peer(1), 0);
  f.writes.Refresh(0);  // "b" comes last
  CHECK(f.asked.usual());
  f.writes.Add("c", {1}, 1000, {.r = 1});
  f.writes.Refresh(0);
  CHECK(f.asked == RequestQuorum{.r = 1});
}

TEST_CASE("pending writes: the fewest copies of what is still here, and who lacks some") {
  auto everyone = [](const Id128&) { return true; };
  auto only_second = [](const Id128& id) { return id == Peer(2); };
  Fixture f;
  CHECK_FALSE(f.writes.FewestCopies(9, everyone));
  f.writes.LinkUp(Peer(1), 0);
  f.writes.LinkUp(Peer(2), 0);
  uint64_t a = f.Write("a", 1, 100), b = f.Write("b", 1, 101);
  CHECK(f.writes.FewestCopies(b, everyone) == 0);
  f.Acknowledge(Peer(1), "a");
  CHECK(f.writes.FewestCopies(a, everyone) == 1);
  CHECK(f.writes.FewestCopies(a, only_second) == 0);
  CHECK(f.writes.FewestCopies(b, everyone) == 0);
  f.Acknowledge(Peer(1), "b");
  CHECK(f.writes.FewestCopies(b, everyone) == 1);
  CHECK_FALSE(f.writes.Lacks(Peer(1), b));
  CHECK(f.writes.Lacks(Peer(2), b));
  f.Acknowledge(Peer(2), "a");
  CHECK_FALSE(f.writes.FewestCopies(a, everyone));  // it is everywhere, and gone from here
  CHECK_FALSE(f.writes.Lacks(Peer(2), a));
  CHECK(f.writes.given_up().empty());
  f.writes.Expire(1000);
  CHECK_FALSE(f.writes.FewestCopies(b, everyone));
  CHECK(f.writes.given_up() == std::set<uint16_t>{2});
  f.writes.Regained(2);
  CHECK(f.writes.given_up().empty());
}

TEST_CASE("pending writes: behind a record with too few copies stand-ins do not count") {
  Fixture f;
  f.writes.LinkUp(Peer(3), 0);
  PendingWrites::Targets wanted{{{{Peer(1), Peer(2)}, 1}}, {{Peer(3), Peer(1)}}, true};
  f.targets[1] = wanted;
  f.queue_full = true;
  f.writes.Await(f.writes.Add("base", {1}, 1000), {7, 100});
  f.writes.SendNew(0);
  f.writes.Expire(1000);
  CHECK(f.settled.at(100) == Outcome::kUnknown);
  CHECK(f.writes.thin() == std::set<uint16_t>{1});
  f.queue_full = false;
  EventId base{1, {Peer(9), 1}};
  f.writes.Await(f.writes.Add("hangs on it", {1}, 3000, {}, {{base, true}}), {7, 101});
  f.writes.SendNew(1000);
  f.Acknowledge(Peer(3), "hangs on it");
  CHECK_FALSE(f.settled.contains(101));
  f.writes.Thickened(1);
  f.writes.Refresh(1100);
  CHECK(f.settled.at(101) == Outcome::kReached);
}

TEST_CASE("pending writes: a stand-in counts if it has the own writes that a record hangs on") {
  Fixture f;
  f.writes.LinkUp(Peer(3), 0);
  PendingWrites::Targets wanted{{{{Peer(1), Peer(2)}, 1}}, {{Peer(3), Peer(1)}}, true};
  f.targets[1] = f.targets[2] = wanted;
  auto write = [&](std::string_view record, std::vector<uint16_t> partitions, uint64_t reply_id,
                   std::vector<PendingWrites::Base> bases = {}) {
    f.writes.Await(f.writes.Add(record, std::move(partitions), 1000, {}, std::move(bases)),
                   {7, reply_id});
    f.writes.SendNew(0);
  };
  PendingWrites::Base first{{1, {Peer(9), 1}}, true}, second{{2, {Peer(9), 1}}, true};
  f.queue_full = true;
  write("base", {1}, 100);
  f.queue_full = false;
  write("hangs on it", {1}, 101, {first});
  write("of both", {2, 1}, 102, {first, second});
  write("hangs on what is there", {2}, 103, {second});
  write("hangs on nothing", {1}, 104);
  f.Acknowledge(Peer(3), "of both");
  CHECK(f.settled.empty());
  f.Acknowledge(Peer(3), "hangs on nothing");
  CHECK(f.settled ==
        std::map<uint64_t, Outcome>{{103, Outcome::kReached}, {104, Outcome::kReached}});
  f.writes.Refresh(10);  // it gets what it was not given, behind what it has
  f.Acknowledge(Peer(3), "base");
  CHECK(f.settled.size() == 5);
  for (const auto& [reply_id, outcome] : f.settled) CHECK(outcome == Outcome::kReached);
  CHECK(f.writes.unsettled() == 0);
}

TEST_CASE("pending writes: a stand-in counts if the homes have what a record hangs on") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.writes.LinkUp(Peer(3), 0);
  f.targets[1] = {{{{Peer(1), Peer(2)}, 1}}, {{Peer(3), Peer(2)}}, true};
  EventId base{1, {Peer(9), 1}};  // another node's, or of before this start
  auto write = [&](std::string_view record, uint64_t reply_id) {
    f.writes.Await(f.writes.Add(record, {1}, 1000, {}, {{base, false}}), {7, reply_id});
    f.writes.SendNew(0);
    f.Acknowledge(Peer(3), record);
  };
  write("a", 100);
  CHECK(f.settled.empty());
  CHECK(f.writes.TakeWantsCopies());
  CHECK_FALSE(f.writes.TakeWantsCopies());
  f.Acknowledge(Peer(1), "a");  // a home fetches what it lacks first
  CHECK(f.settled.at(100) == Outcome::kReached);
  write("b", 101);
  CHECK(f.settled.size() == 1);
  f.well_copied.insert(base);
  f.writes.Refresh(10);
  CHECK(f.settled.at(101) == Outcome::kReached);
  write("c", 102);
  CHECK(f.settled.at(102) == Outcome::kReached);
}

TEST_CASE("pending writes: nothing is sent before the log has it") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.targets[1] = {{{{Peer(1)}, 1}}, {}, false};
  f.writes.Add("a", {1}, 1000);
  f.writes.Refresh(0);
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
  f.Write("b", 1, 101);
  f.Acknowledge(Peer(1), "b");
  CHECK(f.settled == std::map<uint64_t, Outcome>{{101, Outcome::kReached}});
  f.writes.Expire(1000);
  CHECK(f.settled[100] == Outcome::kUnknown);
}

TEST_CASE("pending writes: a refused record is not acknowledged by a later one") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.Write("a", 1, 100);
  f.Write("b", 1, 101);
  f.writes.Refused(Peer(1), f.PlaceOf(Peer(1), "a"));
  f.Acknowledge(Peer(1), "b");
  CHECK_FALSE(f.settled.contains(100));
  CHECK(f.settled.contains(101));
}

TEST_CASE("pending writes: a link that comes back gets what it has not acknowledged") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.Write("a", 1, 100, {Peer(1)});
  f.Write("b", 1, 101, {Peer(1)});
  f.Acknowledge(Peer(1), "a");
  uint64_t old_place = f.PlaceOf(Peer(1), "b");
  f.writes.LinkDown(Peer(1));
  f.Write("c", 1, 102, {Peer(1)});
  f.sent.clear();
  f.writes.LinkUp(Peer(1), 5);
  REQUIRE(f.sent.size() == 2);
  CHECK(f.sent[0].record == "b");
  CHECK(f.sent[1].record == "c");
  CHECK(f.writes.OwedSince(Peer(1)) == 5);
  f.writes.Acknowledged(Peer(1), old_place);  // of the link before
  CHECK(f.settled.size() == 1);
  f.Acknowledge(Peer(1), "c");
  CHECK(f.settled.size() == 3);
  CHECK(f.writes.OwedSince(Peer(1)) == 0);
}

TEST_CASE("pending writes: what is late has an unknown outcome, and is kept no longer") {
  Fixture f;
  f.writes.LinkUp(Peer(1), 0);
  f.Write("a", 2, 100);
  f.Acknowledge(Peer(1), "a");
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
  f.Write("a", {{{{Peer(1), Peer(2)}, 1}, {{Peer(2), Peer(3)}, 2}}, {}, false}, 100);
  CHECK(f.sent.size() == 3);
  f.Acknowledge(Peer(2), "a");
  CHECK(f.settled.empty());
  f.Acknowledge(Peer(3), "a");
  CHECK(f.settled.size() == 1);
}

TEST_CASE("pending writes: a stand-in counts for a home under a sloppy quorum only") {
  for (bool sloppy : {false, true}) {
    CAPTURE(sloppy);
    Fixture f;
    for (uint8_t peer : {1, 3}) f.writes.LinkUp(Peer(peer), 0);
    f.Write("a", {{{{Peer(1), Peer(2)}, 2}}, {{Peer(3), Peer(2)}}, sloppy}, 100);
    REQUIRE(f.sent.size() == 2);
    CHECK(f.sent[1].peer == Peer(3));
    CHECK(f.sent[1].hinted_for == Peer(2));
    f.Acknowledge(Peer(1), "a");
    f.Acknowledge(Peer(3), "a");
    CHECK(f.settled.contains(100) == sloppy);
    CHECK(f.writes.kept_bytes() == 1);  // the home that is away has not got it
    f.writes.LinkUp(Peer(2), 0);
    f.Acknowledge(Peer(2), "a");
    CHECK(f.settled.contains(100));
    CHECK(f.writes.kept_bytes() == 0);
  }
}

TEST_CASE("pending writes: one stand-in does not count for two homes") {
  Fixture f;
  f.writes.LinkUp(Peer(4), 0);
  f.Write("a", {{{{Peer(1), Peer(2)}, 2}}, {{Peer(4), Peer(1)}, {Peer(4), Peer(2)}}, true}, 100);
  CHECK(f.sent.size() == 1);
  f.Acknowledge(Peer(4), "a");
  CHECK(f.settled.empty());
}

TEST_CASE("pending writes: who comes does not count for who leaves, not even if sloppy") {
  Fixture f;
  for (uint8_t peer : {1, 2, 3}) f.writes.LinkUp(Peer(peer), 0);
  f.Write("a", {{{{Peer(1), Peer(2)}, 1}, {{Peer(1), Peer(3)}, 1}}, {}, true}, 100);
  f.Acknowledge(Peer(3), "a");
  CHECK(f.settled.empty());
  f.Acknowledge(Peer(2), "a");
  CHECK(f.settled.size() == 1);
}

TEST_CASE("pending writes: a stand-in that is found later gets older records behind newer ones") {
  Fixture f;
  for (uint8_t peer : {1, 2, 3}) f.writes.LinkUp(Peer(peer), 0);
  f.Write("old", {{{{Peer(1), Peer(2)}, 2}}, {}, true}, 100);
  f.Write("new", {{{{Peer(3)}, 1}}, {}, true}, 101);
  f.Acknowledge(Peer(3), "new");
  f.Acknowledge(Peer(1), "old");
  CHECK(f.settled.size() == 1);
  f.targets[1].stand_ins = {{Peer(3), Peer(2)}};  // 2 is suspected
  f.writes.Refresh(7);
  f.Acknowledge(Peer(3), "old");
  CHECK(f.settled.size() == 2);
}

TEST_CASE("pending writes: a record under way is counted by the newest view") {
  Fixture f;
  for (uint8_t peer : {1, 2, 3}) f.writes.LinkUp(Peer(peer), 0);
  f.Write("a", {{{{Peer(1), Peer(2)}, 1}}, {}, false}, 100);
  // 3 comes for 2: of either list one must have it.
  f.targets[1].sets = {{{Peer(1), Peer(2)}, 1}, {{Peer(1), Peer(3)}, 1}};
  f.writes.Refresh(0);
  REQUIRE(f.sent.size() == 3);
  CHECK(f.sent[2].peer == Peer(3));
  f.Acknowledge(Peer(2), "a");
  CHECK(f.settled.empty());
  f.Acknowledge(Peer(3), "a");
  CHECK(f.settled.size() == 1);
}

TEST_CASE("pending writes: random histories settle exactly what W replicas have") {
  for (uint64_t seed = 1; seed <= 300; seed++) {
    CAPTURE(seed);
    Random random(seed);
    Fixture f;
    std::map<std::string, std::map<Id128, bool>> has;
    std::map<Id128, std::vector<Fixture::Sent>> inbox;
    for (uint8_t peer : {1, 2}) f.writes.LinkUp(Peer(peer), 0);
    int needed = 1 + int(random.Below(2));
    uint64_t written = 0;
    for (int step = 0; step < 60; step++) {
      Id128 peer = Peer(uint8_t(1 + random.Below(2)));
      switch (random.Below(4)) {
        case 0:
        case 1:
          written++;
          f.Write(std::to_string(written), needed, written);
          break;
        case 2: {
          f.writes.LinkDown(peer);
          inbox.erase(peer);
          f.writes.LinkUp(peer, 0);
          break;
        }
        case 3:
          if (!inbox[peer].empty()) f.writes.Acknowledged(peer, inbox[peer].back().place);
          for (const Fixture::Sent& one : inbox[peer]) has[one.record][peer] = true;
          break;
      }
      for (const Fixture::Sent& one : f.sent) inbox[one.peer].push_back(one);
      f.sent.clear();
      for (const auto& [number, outcome] : f.settled) {
        CHECK(outcome == Outcome::kReached);
        CHECK(int(has[std::to_string(number)].size()) >= needed);
      }
      for (const auto& [record, peers] : has) {
        if (int(peers.size()) >= needed) CHECK(f.settled.contains(std::stoull(record)));
      }
    }
  }
}

}  // namespace
}  // namespace redynamo
