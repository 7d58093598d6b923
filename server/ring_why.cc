// SPDX-License-Identifier: Apache-2.0
#include "server/ring_why.h"

#include <algorithm>

#include "base/hash.h"
#include "base/id128.h"
#include "server/ring.h"
#include "server/server.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr size_t kRowsMax = 1000;  // of a key

std::string_view KindName(RowKind kind) {
  switch (kind) {
    case RowKind::kBase: return "string";
    case RowKind::kImplicitBase: return "string";
    case RowKind::kDeadline: return "deadline";
    case RowKind::kTotal: return "total";
    case RowKind::kFragment: return "fragment";
    case RowKind::kField: return "field";
    case RowKind::kImplicitField: return "field";
    case RowKind::kFieldTotal: return "field-total";
    case RowKind::kMember: return "member";
    case RowKind::kClear: return "clear";
  }
  return "?";
}

Reply VersionReply(RowKind kind, const RowVersionReport& version) {
  Reply one = Reply::Map();
  one.AddView("dot").AddBulk(DotText(version.dot));
  one.AddView("time-ms").AddInteger(int64_t(version.hlc >> 16));
  bool number =
      kind == RowKind::kDeadline || kind == RowKind::kTotal || kind == RowKind::kFieldTotal;
  one.AddView("value").AddBulk(number ? std::to_string(version.number) : version.value);
  return one;
}

Reply RowsReply(Engine& engine, int database, std::string_view key) {
  Reply list = Reply::Array();
  for (const RowReport& row : engine.ExplainKey(database, key, kRowsMax)) {
    Reply map = Reply::Map();
    map.AddView("kind").AddView(KindName(row.kind));
    map.AddView("element").AddBulk(row.element);
    Reply live = Reply::Array();
    for (const RowVersionReport& version : row.live) live.Add(VersionReply(row.kind, version));
    map.AddView("live").Add(std::move(live));
    Reply gone = Reply::Array();
    for (const PortableDot& dot : row.gone) gone.AddBulk(DotText(dot));
    map.AddView("gone").Add(std::move(gone));
    list.Add(std::move(map));
  }
  return list;
}

Reply RepairReply(const LastRepair* repair) {
  if (!repair) return Reply::Nil();
  Reply map = Reply::Map();
  map.AddView("time-ms").AddInteger(repair->unix_ms);
  map.AddView("by").AddView(repair->cause == RepairCause::kRead ? "read" : "tree");
  map.AddView("from").AddBulk(Id128Digits(repair->peer));
  return map;
}

// The first three pairs of each replica's map.
void AddNode(const Node& node, const Id128& id, int partition, Reply* map) {
  const RingDocument& document = node.document();
  std::optional<MemberIndex> member = document.Find(NodeId{id});
  const std::vector<Id128>& homes = node.PlaceOf(partition).read.members;
  bool home = std::ranges::find(homes, id) != homes.end();
  map->AddView("node").AddBulk(Id128Digits(id));
  map->AddView("address").AddBulk(member ? document.members[*member].ring_address.ToString() : "");
  map->AddView("is").AddView(home ? "home" : "guest");
}

}  // namespace

std::string DotText(const PortableDot& dot) {
  return Id128Digits(dot.actor).substr(0, 8) + ":" + std::to_string(dot.n);
}

Reply RingWhy(CommandContext& context, ArgReader& args) {
  std::string_view key = args.Next();
  Engine& engine = context.server.engine();
  Ring* ring = context.server.ring();
  bool formed = ring && ring->formed();
  int partition = PartitionOfSlot(KeySlot(key));
  Reply map = Reply::Map();
  if (formed) {
    AddNode(ring->node(), ring->node().self(), partition, &map);
  } else {
    map.AddView("node").AddBulk(Id128Digits(engine.NodeId()));
    map.AddView("address").AddView("");
    map.AddView("is").AddView("home");
  }
  map.AddView("rows").Add(RowsReply(engine, context.keys.database(), key));
  map.AddView("last-repair")
      .Add(RepairReply(formed ? ring->node().repairs().Last(partition) : nullptr));
  if (context.session.hops > 0) return map;  // one of several
  Reply list = Reply::Array();
  list.Add(std::move(map));
  return list;
}

GatherChoice PlanWhy(const Node& node, std::span<const std::string_view> argv,
                     RespVersion version) {
  int partition = PartitionOfSlot(KeySlot(argv[1]));
  std::vector<Id128> holders = node.PlaceOf(partition).read.members;
  bool home = std::ranges::find(holders, node.self()) != holders.end();
  if (!home && node.guests() && node.guests()->Holds(partition)) holders.push_back(node.self());
  GatherChoice choice;
  if (holders.size() == 1 && holders[0] == node.self()) return choice;
  choice.kind = GatherChoice::kGather;
  for (const Id128& id : holders) {
    choice.plan.parts.push_back({id, {argv.begin(), argv.end()}, {}, 1});
  }
  choice.plan.unit = "replicas";
  choice.plan.stand_in = [&node, partition, version](const Id128& id, std::string_view reason) {
    Reply map = Reply::Map();
    AddNode(node, id, partition, &map);
    map.AddView("error").AddBulk(std::string(reason));
    std::string bytes;
    WriteReply(map, version, &bytes);
    return bytes;
  };
  choice.plan.merge = [](std::span<const std::string> replies) -> std::optional<std::string> {
    std::string merged;
    AppendArrayHeader(replies.size(), &merged);
    for (const std::string& reply : replies) merged += reply;
    return merged;
  };
  return choice;
}

}  // namespace redynamo
