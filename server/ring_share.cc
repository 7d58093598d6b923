// SPDX-License-Identifier: Apache-2.0
#include "server/ring_share.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/hash.h"
#include "base/number.h"
#include "protocol/resp_reader.h"
#include "server/commands/scan_options.h"

namespace redynamo {
namespace {

constexpr int64_t kKeysTimeoutMs = 60'000;  // KEYS may have to read all names from disk

uint64_t PositionsPerPartition() { return uint64_t(SlotsPerPartition()) << kPositionHashBits; }

std::vector<uint16_t> FirstSlots(const PartitionSet& share) {
  std::vector<uint16_t> slots;
  for (int p = share.NextFrom(0); p < PartitionCount(); p = share.NextFrom(p + 1)) {
    slots.push_back(uint16_t(p * SlotsPerPartition()));
  }
  return slots;
}

// Parts for the partitions [first, last), all with these arguments.
GatherChoice PlanShares(Node& node, int first, int last, bool writes,
                        std::span<const std::string_view> argv) {
  std::map<Id128, PartitionSet> shares;
  for (int p = first; p < last; p++) {
    std::optional<Id128> coordinator = node.CoordinatorOf(p);
    if (!coordinator) {
      return GatherChoice::Refusal("NOREPLICAS none of the replicas of partition " +
                                   std::to_string(p) + " can be reached. Nothing was changed");
    }
    shares[*coordinator].Add(p);
  }
  GatherChoice choice;
  choice.kind = GatherChoice::kGather;
  choice.plan.unit = "partitions";
  choice.plan.writes = writes;
  for (const auto& [id, share] : shares) {
    Node::Route route = node.RouteOf(FirstSlots(share), writes, Node::Forwarding::kPrefer);
    if (route.kind == Node::Route::kRefuse) return GatherChoice::Refusal(route.error);
    choice.plan.parts.push_back({id, {argv.begin(), argv.end()}, share, share.size()});
  }
  return choice;
}

// KEYS: the elements of all.
std::optional<std::string> MergeLists(std::span<const std::string> replies) {
  uint64_t count = 0;
  std::string elements;
  for (std::string_view rest : replies) {
    RespValue list;
    if (!ReadResp(&rest, &list) || list.type != '*') return std::nullopt;
    std::string_view body = rest, element;
    for (uint64_t i = 0; i < list.items; i++) {
      if (!SkipResp(&rest, &element)) return std::nullopt;
    }
    count += list.items;
    elements.append(body.substr(0, body.size() - rest.size()));
  }
  std::string merged;
  AppendArrayHeader(count, &merged);
  return merged + elements;
}

// RANDOMKEY: each share has drawn one, and says out of how many.
GatherMerge MergeDraw(Random& random, RespVersion version) {
  return [&random, version](std::span<const std::string> replies) -> std::optional<std::string> {
    std::string_view drawn;
    uint64_t total = 0;
    for (std::string_view rest : replies) {
      RespValue list, count, key;
      bool fits = ReadResp(&rest, &list) && list.items == 2 && ReadResp(&rest, &count) &&
                  count.type == ':' && count.integer >= 0;
      std::string_view bytes;
      std::string_view peeked = rest;
      if (!fits || !SkipResp(&rest, &bytes) || !ReadResp(&peeked, &key)) return std::nullopt;
      if (key.nil) continue;
      uint64_t weight = std::max<uint64_t>(1, uint64_t(count.integer));
      total += weight;
      if (random.Below(total) < weight) drawn = bytes;
    }
    std::string merged(drawn);
    if (drawn.empty()) AppendNil(version, &merged);
    return merged;
  };
}

// SCAN over positions below `end`: see the head of the header.
std::optional<std::string> MergeScan(uint64_t seed, uint64_t end,
                                     std::span<const std::string> replies) {
  struct Found {
    std::string_view key, bytes;
  };
  std::vector<Found> found;
  uint64_t next = end;
  for (std::string_view rest : replies) {
    RespValue pair, cursor, list, key;
    bool fits = ReadResp(&rest, &pair) && pair.items == 2 && ReadResp(&rest, &cursor) &&
                ReadResp(&rest, &list) && list.type == '*';
    int64_t at = 0;
    if (!fits || !ParseInt64(cursor.text, &at) || at < 0) return std::nullopt;
    if (at > 0) next = std::min(next, uint64_t(at));
    for (uint64_t i = 0; i < list.items; i++) {
      std::string_view peeked = rest, bytes;
      if (!ReadResp(&peeked, &key) || !SkipResp(&rest, &bytes)) return std::nullopt;
      found.push_back({key.text, bytes});
    }
  }
  std::erase_if(found, [&](const Found& f) { return PlaceOf(f.key, seed).position() >= next; });
  std::string merged;
  AppendArrayHeader(2, &merged);
  bool over = next >= uint64_t(PartitionCount()) * PositionsPerPartition();
  AppendBulk(std::to_string(over ? 0 : next), &merged);
  AppendArrayHeader(found.size(), &merged);
  for (const Found& f : found) merged.append(f.bytes);
  return merged;
}

GatherChoice PlanScan(Node& node, const WholeCommand& whole) {
  ArgReader args(whole.argv.subspan(1));
  uint64_t cursor = ReadCursor(args);
  uint64_t count = ReadScanOptions(args, /*with_type=*/true).count;
  if (!args.ok() || cursor / PositionsPerPartition() >= uint64_t(PartitionCount())) return {};
  const RingDocument& document = node.document();
  // About so many keys are in a partition, by what this node holds.
  double held = std::min(1.0, double(document.n) / double(document.members.size()));
  double density = double(whole.keys_here) / (PartitionCount() * held);
  double wanted = density > 0 ? double(count) / density : PartitionCount();
  int first = int(cursor / PositionsPerPartition());
  int last = first + int(std::clamp(wanted, 1.0, double(PartitionCount() - first)));
  GatherChoice choice = PlanShares(node, first, last, false, whole.argv);
  if (choice.kind != GatherChoice::kGather) return choice;
  GatherPlan& plan = choice.plan;
  uint64_t each = (count + plan.parts.size() - 1) / plan.parts.size();
  std::string_view text = plan.texts.emplace_back(std::to_string(std::max<uint64_t>(1, each)));
  for (GatherPart& part : plan.parts) {  // the last COUNT is the one that counts
    part.args.insert(part.args.end(), {"COUNT", text});
  }
  uint64_t end = uint64_t(last) * PositionsPerPartition();
  plan.merge = [seed = document.seed, end](std::span<const std::string> replies) {
    return MergeScan(seed, end, replies);
  };
  return choice;
}

}  // namespace

GatherChoice PlanWhole(Node& node, const WholeCommand& whole) {
  std::string_view name = whole.command.name();
  if (name == "scan") return PlanScan(node, whole);
  GatherMerge merge;
  if (name == "keys") merge = MergeLists;
  if (name == "dbsize") merge = MergeSum();
  if (name == "randomkey") merge = MergeDraw(whole.random, whole.version);
  if (name == "flushdb" || name == "flushall") merge = MergeOk();
  if (!merge) return {};
  GatherChoice choice =
      PlanShares(node, 0, PartitionCount(), whole.command.has(kWrite), whole.argv);
  choice.plan.merge = std::move(merge);
  if (name == "keys") choice.plan.timeout_ms = kKeysTimeoutMs;
  return choice;
}

bool IsHomeOfAll(const Node& node) {
  for (int p = 0; p < PartitionCount(); p++) {
    if (!node.PlaceOf(p).self_reads) return false;
  }
  return true;
}

std::string ShareRefusal(Node& node, const PartitionSet& share, bool writes,
                         const RequestQuorum& quorum) {
  Node::Route route = node.RouteOf(FirstSlots(share), writes, Node::Forwarding::kNever, quorum);
  if (route.kind == Node::Route::kHere) return {};
  if (route.error.starts_with("NOREPLICAS")) return route.error;
  return "TRYAGAIN this node is no replica of all partitions of its share any more. Nothing was "
         "changed";
}

}  // namespace redynamo
