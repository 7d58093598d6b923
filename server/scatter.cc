// SPDX-License-Identifier: Apache-2.0
#include "server/scatter.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "protocol/resp_reader.h"
#include "protocol/resp_writer.h"

namespace redynamo {
namespace {

struct ScatterRow {
  std::string_view name;
  size_t step;  // arguments a key
  enum Merge : uint8_t { kElements, kOk, kSum } merge;
};

constexpr ScatterRow kRows[] = {
    {"mget", 1, ScatterRow::kElements}, {"mset", 2, ScatterRow::kOk},
    {"del", 1, ScatterRow::kSum},       {"unlink", 1, ScatterRow::kSum},
    {"exists", 1, ScatterRow::kSum},    {"touch", 1, ScatterRow::kSum},
};

const ScatterRow* FindRow(std::string_view name) {
  auto row = std::ranges::find(kRows, name, &ScatterRow::name);
  return row == std::end(kRows) ? nullptr : row;
}

// The elements of the parts' arrays, where the client has asked for them. `places`: of each part's
// keys among the client's.
GatherMerge MergeElements(std::vector<std::vector<size_t>> places, size_t keys) {
  return [places = std::move(places),
          keys](std::span<const std::string> replies) -> std::optional<std::string> {
    std::vector<std::string_view> elements(keys);
    for (size_t i = 0; i < replies.size(); i++) {
      std::string_view rest = replies[i];
      RespValue list;
      if (!ReadResp(&rest, &list) || list.type != '*') return std::nullopt;
      if (list.items != places[i].size()) return std::nullopt;
      for (size_t place : places[i]) {
        if (!SkipResp(&rest, &elements[place])) return std::nullopt;
      }
    }
    std::string merged;
    AppendArrayHeader(keys, &merged);
    for (std::string_view element : elements) merged.append(element);
    return merged;
  };
}

std::set<int> PartitionsOf(std::span<const uint16_t> slots) {
  std::set<int> partitions;
  for (uint16_t slot : slots) partitions.insert(PartitionOfSlot(slot));
  return partitions;
}

}  // namespace

bool IsHomeOf(const Node& node, std::span<const uint16_t> slots) {
  return std::ranges::all_of(PartitionsOf(slots),
                             [&](int partition) { return node.PlaceOf(partition).self_reads; });
}

std::optional<Id128> CommonHome(const Node& node, std::span<const uint16_t> slots) {
  std::vector<Id128> common;
  bool first = true;
  for (int partition : PartitionsOf(slots)) {
    const std::vector<Id128>& homes = node.PlaceOf(partition).read.members;
    if (std::exchange(first, false)) {
      common = homes;
      continue;
    }
    std::erase_if(common,
                  [&](const Id128& id) { return std::ranges::find(homes, id) == homes.end(); });
  }
  if (std::ranges::find(common, node.self()) != common.end()) return std::nullopt;
  auto home = std::ranges::find_if(common, [&](const Id128& id) { return node.Healthy(id); });
  if (home == common.end()) return std::nullopt;
  return *home;
}

GatherChoice PlanScatter(Node& node, const Command& command, std::span<const std::string_view> argv,
                         std::span<const uint16_t> slots, const RequestQuorum& quorum) {
  const ScatterRow* row = slots.size() < 2 ? nullptr : FindRow(command.name());
  if (!row || slots.size() * row->step + 1 != argv.size()) return {};
  std::map<Id128, size_t> part_of;
  GatherChoice choice;
  GatherPlan& plan = choice.plan;
  std::vector<std::vector<size_t>> places;
  std::vector<std::vector<uint16_t>> part_slots;
  for (size_t i = 0; i < slots.size(); i++) {
    std::optional<Id128> coordinator = node.CoordinatorOf(PartitionOfSlot(slots[i]));
    if (!coordinator) return {};  // the usual way has the right refusal
    auto [at, is_new] = part_of.try_emplace(*coordinator, plan.parts.size());
    if (is_new) {
      plan.parts.push_back({*coordinator, {argv[0]}, {}, 0});
      places.emplace_back();
      part_slots.emplace_back();
    }
    GatherPart& part = plan.parts[at->second];
    size_t first = 1 + i * row->step;
    part.args.insert(part.args.end(), argv.begin() + ptrdiff_t(first),
                     argv.begin() + ptrdiff_t(first + row->step));
    part.weight++;
    places[at->second].push_back(i);
    part_slots[at->second].push_back(slots[i]);
  }
  plan.writes = command.has(kWrite);
  if (plan.parts.size() == 1 || (!plan.writes && IsHomeOf(node, slots))) return {};
  for (const std::vector<uint16_t>& of_part : part_slots) {
    Node::Route route = node.RouteOf(of_part, plan.writes, Node::Forwarding::kPrefer, quorum);
    if (route.kind == Node::Route::kRefuse) return GatherChoice::Refusal(route.error);
  }
  choice.kind = GatherChoice::kGather;
  plan.unit = "keys";
  switch (row->merge) {
    case ScatterRow::kElements: plan.merge = MergeElements(std::move(places), slots.size()); break;
    case ScatterRow::kOk: plan.merge = MergeOk(); break;
    case ScatterRow::kSum: plan.merge = MergeSum(); break;
  }
  return choice;
}

}  // namespace redynamo
