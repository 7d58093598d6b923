// SPDX-License-Identifier: Apache-2.0
// Claim on single inputs: what it does with hosts, zones, weights, and what it calls impossible.
// Sequences of joins and leaves are in claim_sequence_test.cc.
#include "cluster/claim.h"

#include <doctest/doctest.h>

#include <numeric>

#include "tests/support/claim_checks.h"

using namespace redynamo;

namespace {

std::vector<int> Replicas(const Claim& claim) {
  std::vector<int> out;
  for (const ClaimCounts& node : claim.nodes) out.push_back(node.replicas_after);
  return out;
}

Claim Checked(const ClaimInput& input) {
  Claim claim = ClaimHomes(input);
  CHECK(FaultOf(input, claim) == "");
  return claim;
}

// All home lists that the rules permit.
std::vector<HomeList> PermittedLists(const ClaimInput& input) {
  std::vector<HomeList> out;
  auto labels = ZoneLabels(input);
  std::set<std::string> all_hosts, all_zones;
  for (MemberIndex m = 0; m < MemberIndex(input.nodes.size()); m++) {
    if (!input.nodes[m].takes_replicas) continue;
    all_hosts.insert(HostLabel(input, m));
    all_zones.insert(labels.at(m));
  }
  size_t n = size_t(input.n);
  for (unsigned bits = 0; bits < 1u << input.nodes.size(); bits++) {
    HomeList homes;
    std::set<std::string> hosts, zones;
    bool takers = true;
    for (MemberIndex m = 0; m < MemberIndex(input.nodes.size()); m++) {
      if (!(bits >> m & 1)) continue;
      homes.Add(m);
      takers = takers && input.nodes[m].takes_replicas;
      hosts.insert(HostLabel(input, m));
      zones.insert(labels.at(m));
    }
    if (takers && homes.size() == n && hosts.size() == std::min(n, all_hosts.size()) &&
        zones.size() == std::min(n, all_zones.size())) {
      out.push_back(homes);
    }
  }
  return out;
}

// Whether numbers of replicas are shares rounded up or down, by node, host and zone.
bool Rounded(const ClaimInput& input, const Claim& claim, const std::vector<int>& replicas) {
  std::map<std::string, double> off;
  auto labels = ZoneLabels(input);
  for (MemberIndex m = 0; m < MemberIndex(input.nodes.size()); m++) {
    if (!input.nodes[m].takes_replicas) continue;
    double by = replicas[m] - claim.nodes[m].share;
    off["node " + std::to_string(m)] += by;
    off["h " + HostLabel(input, m)] += by;
    off["z " + labels.at(m)] += by;
  }
  return std::ranges::all_of(off, [](const auto& o) { return std::abs(o.second) < 1 - 1e-6; });
}

// The fewest moves to any table with the same shares, by trying all tables.
int FewestMoves(const ClaimInput& input, const Claim& claim) {
  std::vector<HomeList> choices = PermittedLists(input);
  std::map<std::vector<int>, int> reached{{std::vector<int>(input.nodes.size(), 0), 0}};
  for (const HomeList& old : input.homes) {
    std::map<std::vector<int>, int> next;
    for (const auto& [held, moves] : reached) {
      for (const HomeList& homes : choices) {
        std::vector<int> more = held;
        bool fits = true;
        for (MemberIndex m : homes) fits = ++more[m] < claim.nodes[m].share + 1 && fits;
        if (!fits) continue;
        int total = moves + int(homes.Minus(old).size());
        auto [it, fresh] = next.try_emplace(more, total);
        if (!fresh) it->second = std::min(it->second, total);
      }
    }
    reached = std::move(next);
  }
  int fewest = INT32_MAX;
  for (const auto& [replicas, moves] : reached) {
    if (moves < fewest && Rounded(input, claim, replicas)) fewest = moves;
  }
  return fewest;
}

}  // namespace

TEST_CASE("claim: what checks claims notices each rule that is broken") {
  ClaimInput input = FreshInput(64, 3, 6);
  for (size_t s = 0; s < 6; s++) {
    input.nodes[s] = {true, 100, "h" + std::to_string(s / 2), "z" + std::to_string(s / 2)};
  }
  input = After(input, Checked(input));
  input.nodes.push_back({true, 100, "h3", "z3"});
  const Claim good = Checked(input);
  auto fault = [&](auto change) {
    Claim bad = good;
    change(&bad);
    return FaultOf(input, bad);
  };
  MemberIndex home = good.homes[0][0], mate = home ^ 1;  // the other node on its host
  CHECK(fault([](Claim* c) { c->homes[0].Add(c->homes[0][0]); }) == "a partition has 4 homes");
  CHECK(fault([](Claim* c) { c->homes[0].Replace(c->homes[0][1], c->homes[0][0]); }) ==
        "a node is home twice");
  CHECK(fault([&](Claim* c) { c->homes[0].Replace(c->homes[0][1], mate); }) ==
        "hosts are not distinct");
  CHECK(fault([](Claim* c) { c->homes[0].Swap(0, 1); }) == "counts are wrong");
  CHECK(fault([](Claim* c) { c->nodes[0].share += 2; }) == "replicas are off the share");
  CHECK(fault([](Claim* c) { c->nodes[0].first_share += 2; }) == "firsts are off the share");
  CHECK(fault([](Claim* c) { c->nodes[0].share += 0.5, c->nodes[1].share -= 0.5; }) ==
        "shares are not proportional");
  CHECK(fault([](Claim* c) { c->moves++; }) == "moves are counted wrong");
  CHECK(fault([](Claim* c) { c->moves_least = c->moves + 1; }) == "fewer moves than the bound");
  CHECK(fault([](Claim* c) { c->steps[0].pop_back(); }) == "steps do not lead there");
  CHECK(fault([](Claim* c) { std::swap(c->steps[0][0], c->steps[0][1]); }) ==
        "a step is out of order");
  CHECK(fault([](Claim* c) { c->steps[0][0].after = {6, 5, 4}; }) != "");
  input.nodes[home].takes_replicas = false;
  CHECK(FaultOf(input, good) == "a node that takes none has a replica");
}

TEST_CASE("claim: a fresh ring is even in replicas and in first ranks") {
  for (size_t nodes = 1; nodes <= 20; nodes++) {
    for (int n = 1; n <= 5; n++) {
      CAPTURE(nodes);
      CAPTURE(n);
      Claim claim = Checked(FreshInput(128, n, nodes));
      CHECK(claim.steps.empty());
      CHECK(claim.Has(ClaimProblemKind::kFewNodes) == (size_t(n) > nodes));
      CHECK(claim.replicas == std::min(n, int(nodes)));
    }
  }
}

TEST_CASE("claim: what is balanced stays as it is, ranks included") {
  Random random(7);
  for (int round = 0; round < 200; round++) {
    ClaimInput input =
        FreshInput(1 << random.Below(8), int(1 + random.Below(4)), 1 + random.Below(12));
    for (ClaimNode& node : input.nodes) {
      node.weight = uint32_t(1 + random.Below(3));
      node.host = random.Below(2) ? "h" + std::to_string(random.Below(6)) : "";
      node.zone = random.Below(2) ? "z" + std::to_string(random.Below(4)) : "";
    }
    ClaimInput after = After(input, Checked(input));
    Claim again = Checked(after);
    CHECK(again.moves == 0);
    CHECK(again.steps.empty());
    CHECK(again.homes == after.homes);
  }
}

TEST_CASE("claim: a node that joins takes its share and nothing else moves") {
  ClaimInput input = FreshInput(1024, 3, 4);
  input = After(input, ClaimHomes(input));
  input.nodes.emplace_back();
  Claim claim = Checked(input);
  CHECK(claim.moves == claim.moves_least);
  CHECK(claim.moves == claim.nodes[4].replicas_after);
  CHECK(claim.nodes[4].replicas_after == 614);  // 3,072 over 5, rounded down where it has none
  REQUIRE(claim.steps.size() == 1);
  for (const PartitionChange& change : claim.steps[0]) {
    CHECK((change.add == 4 || change.add == kNoMember));
  }
}

TEST_CASE("claim: what a node that leaves held is shared by all others") {
  ClaimInput input = FreshInput(1024, 3, 6);
  input = After(input, ClaimHomes(input));
  input.nodes[2].takes_replicas = false;
  Claim claim = Checked(input);
  CHECK(claim.moves == 512);
  CHECK(claim.moves_least == 512);
  CHECK(claim.steps.size() == 1);
  for (MemberIndex m : {0, 1, 3, 4, 5}) CHECK(claim.nodes[m].replicas_after > 610);
}

TEST_CASE("claim: a replaced node hands everything to the new one") {
  ClaimInput input = FreshInput(1024, 3, 6);
  input = After(input, ClaimHomes(input));
  input.nodes[2].takes_replicas = false;
  input.nodes.emplace_back();
  Claim claim = Checked(input);
  CHECK(claim.moves == 512);
  REQUIRE(claim.steps.size() == 1);
  for (const PartitionChange& change : claim.steps[0]) {
    CHECK(change.remove == 2);
    CHECK(change.add == 6);
  }
}

TEST_CASE("claim: replicas follow weights") {
  ClaimInput input = FreshInput(1024, 3, 6);
  for (size_t s = 0; s < 6; s++) input.nodes[s].weight = uint32_t(s < 3 ? 100 : 200);
  Claim claim = Checked(input);
  for (size_t s = 0; s < 3; s++) {
    CHECK(claim.nodes[s].replicas_after - 341 <= 1);
    CHECK(claim.nodes[s + 3].replicas_after - 682 <= 1);
    CHECK(claim.nodes[s].firsts_after - 113 <= 1);
    CHECK(claim.nodes[s + 3].firsts_after - 227 <= 1);
  }
  CHECK(claim.problems.empty());
}

TEST_CASE("claim: a weight that asks for more than every partition is told") {
  ClaimInput input = FreshInput(64, 2, 4);
  input.nodes[0].weight = 1000;
  Claim claim = Checked(input);
  CHECK(Replicas(claim)[0] == 64);
  CHECK(claim.Has(ClaimProblemKind::kShareNotPossible));
}

TEST_CASE("claim: replicas of a partition stand on distinct hosts and zones") {
  ClaimInput input = FreshInput(256, 3, 12);
  for (size_t s = 0; s < 12; s++) {
    input.nodes[s].host = "h" + std::to_string(s / 2);
    input.nodes[s].zone = "z" + std::to_string(s / 4);
  }
  Claim claim = Checked(input);
  CHECK(claim.problems.empty());
  for (int replicas : Replicas(claim)) CHECK(replicas == 64);
}

TEST_CASE("claim: fewer hosts or zones than replicas are told, and used evenly") {
  ClaimInput input = FreshInput(64, 3, 6);
  for (size_t s = 0; s < 6; s++) input.nodes[s].host = s < 3 ? "a" : "b";
  Claim claim = Checked(input);
  CHECK(claim.Has(ClaimProblemKind::kFewHosts));
  CHECK_FALSE(claim.Has(ClaimProblemKind::kFewZones));  // nobody named a zone
  for (int replicas : Replicas(claim)) CHECK(replicas == 32);

  for (size_t s = 0; s < 6; s++) input.nodes[s].host = "", input.nodes[s].zone = s < 3 ? "a" : "b";
  claim = Checked(input);
  CHECK_FALSE(claim.Has(ClaimProblemKind::kFewHosts));
  CHECK(claim.Has(ClaimProblemKind::kFewZones));
}

TEST_CASE("claim: a zone of one node makes it hold everything, and that is told") {
  ClaimInput input = FreshInput(64, 3, 5);
  for (size_t s = 0; s < 5; s++) input.nodes[s].zone = s < 2 ? "a" : s < 4 ? "b" : "c";
  Claim claim = Checked(input);
  CHECK(Replicas(claim) == std::vector<int>{32, 32, 32, 32, 64});
  REQUIRE(claim.Has(ClaimProblemKind::kShareNotPossible));
  CHECK(claim.problems.back().text.find("node 4 holds 64 replicas") != std::string::npos);
  CHECK(claim.nodes[4].firsts_after <= 13);  // first ranks are even all the same
}

TEST_CASE("claim: a zone keeps room for each of its hosts when every host is needed") {
  ClaimInput input = FreshInput(8, 6, 0);
  for (int i = 0; i < 17; i++) {
    const char* host = i < 6 ? "h0" : i < 10 ? "h1" : i < 15 ? "h2" : "h3";
    const char* zone = i < 10 ? "z0" : i < 15 ? "z1" : "z2";
    input.nodes.push_back({true, uint32_t(1 + i * i), host, zone});
  }
  Claim claim = Checked(input);
  CHECK(Replicas(claim)[15] == 8);  // h3 has to give two of each six
  CHECK(Replicas(claim)[16] == 8);
}

TEST_CASE("claim: a host whose nodes name two zones is told") {
  ClaimInput input = FreshInput(16, 2, 4);
  input.nodes[0] = {true, 100, "h", "a"};
  input.nodes[1] = {true, 100, "h", "b"};
  Claim claim = Checked(input);
  CHECK(claim.Has(ClaimProblemKind::kHostInTwoZones));
}

TEST_CASE("claim: without nodes nothing changes") {
  ClaimInput input = FreshInput(8, 2, 3);
  input = After(input, ClaimHomes(input));
  for (ClaimNode& node : input.nodes) node.takes_replicas = false;
  Claim claim = ClaimHomes(input);
  CHECK(claim.Has(ClaimProblemKind::kNoNodes));
  CHECK(claim.homes == input.homes);
  CHECK(claim.steps.empty());
}

TEST_CASE("claim: a table that breaks the rules is mended step by step") {
  ClaimInput input = FreshInput(64, 3, 6);
  for (size_t s = 0; s < 6; s++) input.nodes[s].host = "h" + std::to_string(s / 2);
  for (HomeList& homes : input.homes) homes = {0, 1, 2};  // two on one host, three idle nodes
  Claim claim = Checked(input);
  CHECK(claim.steps.size() == 2);
  CHECK(claim.moves_least <= claim.moves);
}

TEST_CASE("claim: no table with the same shares has fewer moves") {
  Random random(11);
  int above_bound = 0, rounds = 1000;
  for (int round = 0; round < rounds; round++) {
    ClaimInput input =
        FreshInput(int(2 + random.Below(5)), int(1 + random.Below(3)), 3 + random.Below(3));
    for (ClaimNode& node : input.nodes) {
      node.weight = uint32_t(1 + random.Below(2));
      node.host = random.Below(2) ? "h" + std::to_string(random.Below(4)) : "";
      node.zone = random.Below(2) ? "z" + std::to_string(random.Below(3)) : "";
    }
    for (HomeList& homes : input.homes) {
      while (homes.size() < size_t(input.n)) {
        MemberIndex m = MemberIndex(random.Below(input.nodes.size()));
        if (!homes.Contains(m)) homes.Add(m);
      }
    }
    for (int i = 0; i < 2; i++) {
      size_t takers = size_t(std::ranges::count_if(input.nodes, &ClaimNode::takes_replicas));
      if (takers > size_t(input.n)) {
        input.nodes[random.Below(input.nodes.size())].takes_replicas = random.Below(2);
      }
    }
    Claim claim = Checked(input);
    int fewest = FewestMoves(input, claim);
    CAPTURE(round);
    CHECK(fewest >= claim.moves_least);
    CHECK(claim.moves == fewest);
    above_bound += claim.moves > claim.moves_least;
  }
  MESSAGE(above_bound << " of " << rounds << " optimal tables need more moves than the bound");
}

TEST_CASE("claim: a dead node's first ranks fall on all others") {
  ClaimInput input = FreshInput(1024, 3, 8);
  Claim claim = ClaimHomes(input);
  for (MemberIndex dead = 0; dead < 8; dead++) {
    std::vector<int> extra(8, 0);
    for (const HomeList& homes : claim.homes) {
      if (homes[0] == dead) extra[homes[1]]++;
    }
    for (MemberIndex m = 0; m < 8; m++) {
      if (m != dead) CHECK(std::abs(extra[m] - 128.0 / 7) < 4);
    }
  }
}

TEST_CASE("claim: the largest ring is claimed as exactly as a small one") {
  ClaimInput input = FreshInput(kSlotCount, 3, 100);
  for (size_t s = 0; s < 100; s++) {
    input.nodes[s].host = "h" + std::to_string(s / 2);
    input.nodes[s].zone = "z" + std::to_string(s % 4);
  }
  input = After(input, Checked(input));
  input.nodes.push_back({true, 100, "h200", "z1"});
  Claim claim = Checked(input);
  CHECK(claim.moves <= claim.moves_least + 8);
}
