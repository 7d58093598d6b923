// SPDX-License-Identifier: Apache-2.0
// The ring without nodes: how evenly ways of placing partitions spread load, and what a claim
// costs.
//
//   micro_bench --benchmark_filter='Strategy|Claim'
//
// Strategy* is Dynamo's Figure 8 (section 6.2) at its size, 30 nodes and 3 replicas: `efficiency`
// is the mean load of nodes divided by the largest, over equally popular keys; `metadata_B` is
// what each node has to know about placement, members' names apart. The paper's strategies:
//   1  T random tokens a node, which are also where partitions end
//   2  T random tokens a node, Q equal partitions
//   3  Q/S tokens a node, Q equal partitions; dealt at random, or in turn
// In all of them replicas are found by walking clockwise to distinct nodes. Ours is the explicit
// table of cluster/claim.h. The random ones are means of 20 rings.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "cluster/plan.h"

namespace redynamo {
namespace {

constexpr size_t kNodes = 30, kReplicas = 3;
constexpr int kRings = 20;
constexpr double kTokenBytes = 9;  // 64 bits of position, a small member index

double Efficiency(const std::vector<double>& load) {
  double sum = std::accumulate(load.begin(), load.end(), 0.0);
  return sum / double(load.size()) / *std::ranges::max_element(load);
}

struct Token {
  double position;
  size_t node;
};

std::vector<Token> RandomTokens(size_t per_node, Random* random) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < per_node * kNodes; i++) tokens.push_back({random->Unit(), i % kNodes});
  std::ranges::sort(tokens, {}, &Token::position);
  return tokens;
}

// Adds `weight` to the first distinct nodes from token `at` on.
void WalkFrom(const std::vector<Token>& tokens, size_t at, double weight,
              std::vector<double>* load) {
  std::vector<size_t> found;
  for (size_t i = 0; found.size() < kReplicas; i++) {
    size_t node = tokens[(at + i) % tokens.size()].node;
    if (std::ranges::find(found, node) != found.end()) continue;
    found.push_back(node);
    (*load)[node] += weight;
  }
}

// The mean of `kRings` rings; `fill` makes one.
template <typename Fill>
void Report(benchmark::State& state, double metadata_bytes, Fill fill) {
  double sum = 0;
  for (auto _ : state) {
    Random random(1);
    sum = 0;
    for (int ring = 0; ring < kRings; ring++) {
      std::vector<double> load(kNodes);
      fill(&random, &load);
      sum += Efficiency(load);
    }
  }
  state.counters["efficiency"] = sum / kRings;
  state.counters["metadata_B"] = metadata_bytes;
}

void Strategy1(benchmark::State& state) {
  size_t per_node = size_t(state.range(0));
  Report(state, double(per_node * kNodes) * kTokenBytes, [&](Random* random, auto* load) {
    std::vector<Token> tokens = RandomTokens(per_node, random);
    double before = tokens.back().position - 1;
    for (size_t i = 0; i < tokens.size(); i++) {
      WalkFrom(tokens, i, tokens[i].position - before, load);
      before = tokens[i].position;
    }
  });
}

void Strategy2(benchmark::State& state) {
  size_t per_node = size_t(state.range(0)), partitions = size_t(state.range(1));
  Report(state, double(per_node * kNodes) * kTokenBytes, [&](Random* random, auto* load) {
    std::vector<Token> tokens = RandomTokens(per_node, random);
    for (size_t p = 0; p < partitions; p++) {
      double end = double(p + 1) / double(partitions);
      auto at = std::ranges::lower_bound(tokens, end, {}, &Token::position);
      WalkFrom(tokens, size_t(at - tokens.begin()), 1, load);
    }
  });
}

void Strategy3(benchmark::State& state, bool in_turn) {
  size_t partitions = size_t(state.range(0));
  Report(state, double(partitions), [&](Random* random, auto* load) {
    std::vector<Token> tokens;
    for (size_t p = 0; p < partitions; p++) tokens.push_back({double(p), p % kNodes});
    for (size_t p = partitions - 1; p > 0 && !in_turn; p--) {
      std::swap(tokens[p].node, tokens[random->Below(p + 1)].node);
    }
    for (size_t p = 0; p < partitions; p++) WalkFrom(tokens, p, 1, load);
  });
}

Member NodeNumber(size_t number) {
  Member member;
  member.id.bytes[0] = uint8_t(number), member.id.bytes[1] = uint8_t(number >> 8);
  member.ring_address = {"n", uint16_t(number + 1)};
  return member;
}

RingDocument RingOf(size_t nodes, int partitions) {
  std::vector<Member> members;
  for (size_t i = 0; i < nodes; i++) members.push_back(NodeNumber(i));
  return *NewRing({}, 1, partitions, int(kReplicas), members);
}

// Of the whole document but its members: with them it would depend on host names.
double ViewBytes(const RingDocument& document) {
  RingDocument one = document;
  one.views.resize(1);
  return double(EncodeRingDocument(document).size() - EncodeRingDocument(one).size());
}

void StrategyOurs(benchmark::State& state) {
  int partitions = int(state.range(0));
  RingDocument document;
  for (auto _ : state) document = RingOf(kNodes, partitions);
  std::vector<double> load(kNodes), firsts(kNodes);
  for (const View& view : document.views) {
    for (MemberIndex m : view.homes) load[m]++;
    firsts[view.homes[0]]++;
  }
  state.counters["efficiency"] = Efficiency(load);
  state.counters["first_efficiency"] = Efficiency(firsts);
  state.counters["metadata_B"] = ViewBytes(document);
}

// One node joins a ring of `nodes`.
void ClaimJoin(benchmark::State& state) {
  RingDocument document = RingOf(size_t(state.range(1)), int(state.range(0)));
  RingChange change{RingChangeKind::kJoin, NodeNumber(size_t(state.range(1))), {}};
  Result<RingDocument> next = WithChange(document, change);
  Claim claim;
  for (auto _ : state) claim = ClaimFor(*next);
  state.counters["moves"] = claim.moves;
  state.counters["moves_least"] = claim.moves_least;
}

// The number of nodes doubles at once.
void ClaimDouble(benchmark::State& state) {
  size_t nodes = size_t(state.range(1));
  RingDocument document = RingOf(nodes, int(state.range(0)));
  for (size_t i = 0; i < nodes; i++) document.members.push_back(NodeNumber(nodes + i));
  Claim claim;
  for (auto _ : state) claim = ClaimFor(document);
  state.counters["moves"] = claim.moves;
  state.counters["moves_least"] = claim.moves_least;
  state.counters["steps"] = double(claim.steps.size());
}

void ClaimFresh(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(RingOf(size_t(state.range(1)), int(state.range(0))));
  }
}

BENCHMARK(Strategy1)->Arg(16)->Arg(64)->Arg(256)->Unit(benchmark::kMillisecond);
BENCHMARK(Strategy2)
    ->Args({16, 1024})
    ->Args({64, 1024})
    ->Args({256, 1024})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Strategy3, random, false)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(4096)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Strategy3, in_turn, true)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(4096)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(StrategyOurs)->Arg(256)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond);
BENCHMARK(ClaimJoin)
    ->Args({1024, 3})
    ->Args({1024, 11})
    ->Args({16384, 99})
    ->Args({16384, 1000})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(ClaimDouble)->Args({1024, 6})->Args({16384, 50})->Unit(benchmark::kMillisecond);
BENCHMARK(ClaimFresh)->Args({1024, 12})->Args({16384, 100})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace redynamo
