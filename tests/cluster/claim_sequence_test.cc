// SPDX-License-Identifier: Apache-2.0
// Claim over sequences of changes, each on the table that the one before left. There are infinitely
// many sequences, so these are walked completely:
//
//   sizes     from every size of 1 to 12 nodes, every sequence of 7 changes, each of them a join, a
//             leave of the oldest or a leave of the youngest node (of sizes 1 to 12)
//   pairs     from every size of 1 to 12 to every other in one change
//   subsets   5 nodes on 4 hosts in 3 zones: every sequence of 6 changes in which any one of them
//             joins or leaves
//
// and thousands of larger ones are drawn at random. After each change all of claim_checks.h holds.
#include <doctest/doctest.h>

#include "cluster/claim.h"
#include "tests/support/claim_checks.h"

using namespace redynamo;

namespace {

struct Tally {
  int claims = 0, moves = 0, least = 0, steps_most = 0, above = 0;

  void Add(const Claim& claim) {
    claims++;
    moves += claim.moves;
    least += claim.moves_least;
    above += claim.moves > claim.moves_least;
    steps_most = std::max(steps_most, int(claim.steps.size()));
  }
  std::string Text() const {
    return std::to_string(claims) + " claims, " + std::to_string(moves) + " moves, bound " +
           std::to_string(least) + ", above it in " + std::to_string(above) + ", up to " +
           std::to_string(steps_most) + " steps";
  }
};

ClaimInput Next(const ClaimInput& input, Tally* tally) {
  Claim claim = ClaimHomes(input);
  std::string fault = FaultOf(input, claim);
  if (!fault.empty()) FAIL(fault);  // CHECK alone would take most of the time
  tally->Add(claim);
  return After(input, claim);
}

std::vector<size_t> Takers(const ClaimInput& input) {
  std::vector<size_t> out;
  for (size_t s = 0; s < input.nodes.size(); s++) {
    if (input.nodes[s].takes_replicas) out.push_back(s);
  }
  return out;
}

ClaimInput GrownTo(size_t size, int partitions, int n, Tally* tally) {
  ClaimInput input = Next(FreshInput(partitions, n, 1), tally);
  while (input.nodes.size() < size) {
    input.nodes.emplace_back();
    input = Next(input, tally);
  }
  return input;
}

void WalkSizes(const ClaimInput& input, int changes, Tally* tally) {
  if (changes == 0) return;
  std::vector<size_t> takers = Takers(input);
  if (takers.size() < 12) {
    ClaimInput joined = input;
    joined.nodes.emplace_back();
    WalkSizes(Next(joined, tally), changes - 1, tally);
  }
  if (takers.size() == 1) return;
  for (size_t leaver : {takers.front(), takers.back()}) {
    ClaimInput left = input;
    left.nodes[leaver].takes_replicas = false;
    WalkSizes(Next(left, tally), changes - 1, tally);
  }
}

void WalkSubsets(const ClaimInput& input, int changes, Tally* tally) {
  if (changes == 0) return;
  for (size_t s = 0; s < input.nodes.size(); s++) {
    ClaimInput changed = input;
    changed.nodes[s].takes_replicas = !changed.nodes[s].takes_replicas;
    if (Takers(changed).empty()) continue;
    WalkSubsets(Next(changed, tally), changes - 1, tally);
  }
}

ClaimNode RandomNode(Random* random, bool labels, bool weights) {
  ClaimNode node;
  if (labels) node.host = "h" + std::to_string(random->Below(16));
  if (labels) node.zone = "z" + std::to_string(random->Below(5));
  if (weights) node.weight = uint32_t(1 + random->Below(4));
  return node;
}

}  // namespace

TEST_CASE("claim: every sequence of sizes up to 12 nodes stays balanced with the fewest moves") {
  Tally tally;
  for (size_t size = 1; size <= 12; size++) {
    WalkSizes(GrownTo(size, 32, 3, &tally), 7, &tally);
  }
  MESSAGE(tally.Text());
  CHECK(tally.above <= 2);  // those have no better table with the same shares
}

TEST_CASE("claim: from every size up to 12 nodes to every other in one change") {
  Tally tally;
  for (int n = 1; n <= 5; n++) {
    for (size_t from = 1; from <= 12; from++) {
      for (size_t to = 1; to <= 12; to++) {
        ClaimInput input = GrownTo(from, 64, n, &tally);
        while (input.nodes.size() < to) input.nodes.emplace_back();
        for (size_t s = 0; s < input.nodes.size(); s++) {
          input.nodes[s].takes_replicas = s + to >= input.nodes.size();  // the oldest leave
        }
        Next(input, &tally);
      }
    }
  }
  MESSAGE(tally.Text());
  CHECK(tally.moves <= tally.least * 1.01);
}

TEST_CASE("claim: every sequence in which five labelled nodes come and go") {
  Tally tally;
  for (int n = 2; n <= 3; n++) {
    ClaimInput input = FreshInput(16, n, 5);
    input.nodes[0] = {true, 100, "a", "x"};
    input.nodes[1] = {false, 100, "a", "x"};
    input.nodes[2] = {false, 100, "b", "x"};
    input.nodes[3] = {false, 200, "c", "y"};
    input.nodes[4] = {false, 100, "d", "z"};
    WalkSubsets(Next(input, &tally), 6, &tally);
  }
  MESSAGE(tally.Text());
  CHECK(tally.moves <= tally.least * 1.05);
}

TEST_CASE("claim: thousands of random sequences of larger rings, with hosts, zones and weights") {
  Tally plain, labelled;
  for (uint64_t seed = 1; seed <= 400; seed++) {
    Random random(seed);
    CAPTURE(seed);
    bool labels = random.Below(4) > 0, weights = random.Below(2);
    Tally* tally = labels || weights ? &labelled : &plain;
    ClaimInput input = FreshInput(1 << (6 + random.Below(3)), int(2 + random.Below(4)), 0);
    size_t nodes = 1 + random.Below(30);
    while (input.nodes.size() < nodes) input.nodes.push_back(RandomNode(&random, labels, weights));
    input = Next(input, tally);
    for (int change = 0; change < 12; change++) {
      std::vector<size_t> takers = Takers(input);
      uint64_t leave = takers.size() > 1 ? random.Below(3) : 0;
      if (leave < 2) input.nodes.push_back(RandomNode(&random, labels, weights));
      if (leave > 0) input.nodes[takers[random.Below(takers.size())]].takes_replicas = false;
      input = Next(input, tally);
    }
  }
  MESSAGE("plain: " << plain.Text());
  MESSAGE("hosts, zones, weights: " << labelled.Text());
  CHECK(plain.moves == plain.least);
  CHECK(labelled.moves <= labelled.least * 1.05);
}

TEST_CASE("claim: thousands of random small rings with more replicas than domains allow easily") {
  Tally tally;
  for (uint64_t seed = 1; seed <= 600; seed++) {
    Random random(seed);
    CAPTURE(seed);
    uint64_t hosts = 1 + random.Below(12), zones = 1 + random.Below(6);
    uint64_t weight_most = 1 + random.Below(4) * random.Below(30);
    auto node = [&] {
      ClaimNode out;
      if (random.Below(4)) out.host = "h" + std::to_string(random.Below(hosts));
      if (random.Below(4)) out.zone = "z" + std::to_string(random.Below(zones));
      out.weight = uint32_t(1 + random.Below(weight_most));
      return out;
    };
    ClaimInput input = FreshInput(1 << random.Below(6), 1 + int(random.Below(kReplicasMax)), 0);
    for (size_t nodes = 1 + random.Below(20); input.nodes.size() < nodes;) {
      input.nodes.push_back(node());
    }
    for (int change = 0; change < 6; change++) {
      input = Next(input, &tally);
      if (random.Below(2)) input.nodes.push_back(node());
      if (random.Below(8) == 0) input.nodes[random.Below(input.nodes.size())] = node();
      if (random.Below(8) == 0) input.n = 1 + int(random.Below(kReplicasMax));
      if (Takers(input).size() > 1) {
        input.nodes[random.Below(input.nodes.size())].takes_replicas = random.Below(2);
      }
      if (Takers(input).empty()) input.nodes[0].takes_replicas = true;
    }
  }
  MESSAGE(tally.Text());
  CHECK(tally.moves <= tally.least * 1.05);
}

TEST_CASE("claim: carried out in any order and computed anew, it moves no more than at once") {
  Tally tally;
  for (uint64_t seed = 1; seed <= 300; seed++) {
    Random random(seed);
    CAPTURE(seed);
    ClaimInput input = FreshInput(64, 3, 0);
    size_t nodes = 3 + random.Below(10);
    while (input.nodes.size() < nodes) input.nodes.push_back(RandomNode(&random, true, false));
    input = Next(input, &tally);
    input.nodes[random.Below(nodes)].takes_replicas = false;
    input.nodes.push_back(RandomNode(&random, true, false));
    int at_once = ClaimHomes(input).moves, moved = 0;
    while (true) {
      Claim claim = ClaimHomes(input);
      if (claim.steps.empty()) break;
      bool any = false;
      for (const PartitionChange& change : claim.steps[0]) {
        if (any && random.Below(4) > 0) continue;  // some now, and some after the next claim
        any = true;
        moved += change.add != kNoMember;
        input.homes[change.partition] = change.after;
      }
    }
    CHECK(moved == at_once);
    CHECK(FaultOf(input, ClaimHomes(input)) == "");
  }
}

TEST_CASE("claim: after joins and leaves a dead node's first ranks still fall on many") {
  Tally tally;
  ClaimInput input = GrownTo(12, 1024, 3, &tally);
  for (size_t leaver : {0, 5, 7}) {
    input.nodes[leaver].takes_replicas = false;
    input = Next(input, &tally);
  }
  for (size_t dead : Takers(input)) {
    std::vector<int> extra(12, 0);
    for (const HomeList& homes : input.homes) {
      if (homes[0] == dead) extra[homes[1]]++;
    }
    double even = 1024.0 / 9 / 8;
    CHECK(*std::ranges::max_element(extra) < 2.5 * even);
  }
}
