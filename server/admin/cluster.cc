// SPDX-License-Identifier: Apache-2.0
// CLUSTER, READONLY, READWRITE, ASKING: what client libraries ask of a Redis Cluster. Where Redis
// moves slots by hand, the ring places them itself: those commands say so.
#include <algorithm>
#include <string>

#include "base/hash.h"
#include "base/id128.h"
#include "base/number.h"
#include "server/admin/help_reply.h"
#include "server/cluster_view.h"
#include "server/command_families.h"
#include "server/ring.h"
#include "server/server.h"
#include "storage/key_walk.h"

namespace redynamo {
namespace {

// Without cluster-port all of it is as in a Redis whose cluster mode is off.
template <Handler kHandler>
Reply IfOn(CommandContext& context, ArgReader& args) {
  if (context.server.cluster_view().on()) return kHandler(context, args);
  return Reply::Error("ERR This instance has cluster support disabled");
}

// `bytes` are a whole reply.
Reply Rendered(CommandContext& context, std::string_view bytes) {
  if (std::string* out = context.session.Output()) out->append(bytes);
  return Reply::None();
}

Reply ClusterSlots(CommandContext& context, ArgReader&) {
  return Rendered(context, context.server.cluster_view().Slots(context.session));
}

Reply ClusterShards(CommandContext& context, ArgReader&) {
  return Rendered(context, context.server.cluster_view().Shards(context.session));
}

Reply ClusterNodes(CommandContext& context, ArgReader&) {
  return Rendered(context, context.server.cluster_view().Nodes(context.session));
}

Reply ClusterInfo(CommandContext& context, ArgReader&) {
  ClusterView& view = context.server.cluster_view();
  return Reply::Verbatim(ClusterInfoText(view.Map(context.session), view.Traffic()));
}

// A node is a shard of its own, of the same name.
Reply ClusterMyId(CommandContext& context, ArgReader&) {
  return Reply::Bulk(Id128Digits(context.server.engine().NodeId()));
}

Reply ClusterKeySlot(CommandContext&, ArgReader& args) {
  return Reply::Integer(KeySlot(args.Next()));
}

bool IsSlot(int64_t slot) { return slot >= 0 && slot < kSlotCount; }

Reply ClusterCountKeysInSlot(CommandContext& context, ArgReader& args) {
  int64_t slot = args.Int64();
  if (!args.ok()) return args.error();
  if (!IsSlot(slot)) return Reply::Error("ERR Invalid slot");
  return Reply::Integer(int64_t(context.keys.slot_size(uint16_t(slot))));
}

// Keys are walked in the order of their slots: from the slot's first position on. So many are read
// ahead, and looked at, at a time.
uint64_t SlotWalkCount(int64_t count) { return uint64_t(std::clamp<int64_t>(count, 1, 1000)); }
uint64_t SlotBegin(int64_t slot) { return uint64_t(slot) << kPositionHashBits; }

bool SlotWalk(std::span<const std::string_view> argv, KeyWalk* walk) {
  int64_t slot, count;
  if (!ParseInt64(argv[2], &slot) || !ParseInt64(argv[3], &count)) return false;
  if (!IsSlot(slot) || count <= 0) return false;
  walk->cursor = SlotBegin(slot);
  walk->count = SlotWalkCount(count);
  return true;
}

Reply ClusterGetKeysInSlot(CommandContext& context, ArgReader& args) {
  int64_t slot = args.Int64();
  int64_t count = args.Int64();
  if (!args.ok()) return args.error();
  if (!IsSlot(slot) || count < 0) return Reply::Error("ERR Invalid slot or number of keys");
  Reply keys = Reply::Array();
  auto add = [&](const WalkedKey& walked) {
    if (int64_t(keys.items().size()) == count || KeySlot(walked.key) != slot) return;
    keys.AddBulk(std::string(walked.key));
  };
  uint64_t cursor = SlotBegin(slot);
  while (count > 0) {
    uint64_t next = context.keys.Scan(cursor, SlotWalkCount(count), add);
    bool over = next == 0 || next == cursor || next >= SlotBegin(slot + 1);
    if (over || int64_t(keys.items().size()) == count) break;
    cursor = next;
  }
  return keys;
}

Reply UnknownNode(std::string_view name) {
  return Reply::ErrorText("ERR Unknown node " + std::string(name));
}

Reply ClusterReplicas(CommandContext& context, ArgReader& args) {
  std::string_view name = args.Next();
  bool known = context.server.cluster_view().Map(context.session).Find(name);
  return known ? Reply::Array() : UnknownNode(name);
}

Reply ClusterFailureReports(CommandContext& context, ArgReader& args) {
  std::string_view name = args.Next();
  const ClusterNode* node = context.server.cluster_view().Map(context.session).Find(name);
  if (!node) return UnknownNode(name);
  return Reply::Integer(node->linked && node->answers ? 0 : 1);  // this node's own
}

Reply ClusterLinks(CommandContext& context, ArgReader&) {
  Reply list = Reply::Array();
  Ring* ring = context.server.ring();
  if (!ring) return list;
  for (const LinkReport& link : ring->links().Report()) {
    Reply map = Reply::Map();
    map.AddView("direction").AddView(link.dialled ? "to" : "from");
    map.AddView("node").AddBulk(Id128Digits(link.hello.node_id));
    map.AddView("create-time").AddInteger(link.up_since_ms);
    map.AddView("events").AddView(link.queued_bytes > 0 ? "rw" : "r");
    map.AddView("send-buffer-allocated").AddInteger(int64_t(link.queued_bytes));
    map.AddView("send-buffer-used").AddInteger(int64_t(link.queued_bytes));
    list.Add(std::move(map));
  }
  return list;
}

// RING.JOIN of the node whose ring port is its client port + 10000, if it is not named. As in Redis
// there is no plan to look at first: RING.JOIN shows one.
Reply ClusterMeet(CommandContext& context, ArgReader& args) {
  constexpr int64_t kPortMax = 65535;
  std::string_view host = args.Next();
  int64_t port = args.Int64In(1, kPortMax, "ERR Invalid base port specified");
  int64_t ring_port = args.done() ? port + kRingPortsAbove
                                  : args.Int64In(1, kPortMax, "ERR Invalid bus port specified");
  if (!args.done()) args.FailSyntax();
  if (args.ok() && ring_port > kPortMax) args.Fail("ERR Port number is out of range");
  if (!args.ok()) return args.error();
  std::string address(host.find(':') == host.npos ? std::string(host)
                                                  : "[" + std::string(host) + "]");
  RingWish wish{.kind = RingChangeKind::kJoin,
                .joining = address + ":" + std::to_string(ring_port),
                .leaving = {},
                .commit = true};
  return BeginRingChange(context, std::move(wish));
}

// RING.LEAVE: the others copy what the node has, or had. RING.FORGET when it has left already.
Reply ClusterForget(CommandContext& context, ArgReader& args) {
  RingWish wish{.kind = RingChangeKind::kLeave,
                .joining = {},
                .leaving = std::string(args.Next()),
                .commit = true};
  NodeId id;
  if (!NodeId::Parse(wish.leaving, &id)) {
    return Reply::ErrorText("ERR Unknown node " + wish.leaving);
  }
  if (const Ring* ring = context.server.ring(); ring && ring->node().formed()) {
    const RingDocument& document = ring->node().document();
    std::optional<MemberIndex> known = document.Find(id);
    bool removed = known && !document.members[*known].in_ring();
    if (removed) wish.kind = RingChangeKind::kForget;
  }
  return BeginRingChange(context, std::move(wish));
}

// The ring document is on disk before it counts.
Reply ClusterSaveConfig(CommandContext&, ArgReader&) { return Reply::Ok(); }

Reply NotByHand(CommandContext& context, ArgReader&) {
  std::string name(context.row->name);
  for (char& c : name) c = c == '|' ? ' ' : c >= 'a' && c <= 'z' ? char(c - 32) : c;
  return Reply::ErrorText("ERR " + name +
                          " is not possible: the ring places slots and takes over from lost nodes "
                          "by itself; see RING.STATUS");
}

Reply ClusterHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "COUNTKEYSINSLOT <slot>",
      "    How many keys of the slot this node has.",
      "COUNT-FAILURE-REPORTS <node-id>",
      "    1 when this node does not reach that one, else 0.",
      "FORGET <node-id>",
      "    Takes the node out of the ring: RING.LEAVE with COMMIT; or RING.FORGET, if it is out.",
      "GETKEYSINSLOT <slot> <count>",
      "    Keys of the slot that this node has.",
      "INFO",
      "    Whether the slots can be served, and how many nodes there are.",
      "KEYSLOT <key>",
      "    The slot of a key.",
      "LINKS",
      "    The connections with other nodes.",
      "MEET <ip> <port> [<ring-port>]",
      "    Takes a blank node into the ring: RING.JOIN with COMMIT.",
      "MYID",
      "    This node's id.",
      "MYSHARDID",
      "    The same: each node is a shard of its own.",
      "NODES",
      "    The nodes, one a line: <id> <host:port@ring port> <flags> - <ping> <pong> <epoch> "
      "<link>",
      "    <slots> ...",
      "REPLICAS <node-id>",
      "    Nothing: every node is a master of the slots that it coordinates.",
      "SHARDS",
      "    The nodes with their slots.",
      "SLOTS",
      "    The ranges of slots, each with the node that coordinates it.",
  });
}

Reply Readonly(CommandContext& context, ArgReader&) {
  context.session.readonly = true;
  return Reply::Ok();
}

Reply Readwrite(CommandContext& context, ArgReader&) {
  context.session.readonly = false;
  return Reply::Ok();
}

// Homes serve a slot throughout its move: no client is ever sent by -ASK.
Reply Asking(CommandContext&, ArgReader&) { return Reply::Ok(); }

constexpr uint32_t kAsked = kStale;
constexpr uint32_t kAsAdmin = kAdmin | kStale;
constexpr uint32_t kByHand = kAdmin | kStale | kNoAsyncLoading;
constexpr std::string_view kGroup = "cluster";
constexpr std::string_view kPerNode = "O(N) with N nodes";
constexpr std::string_view kRefused = "Is refused: the ring places slots by itself";

constexpr CommandRow Row(std::string_view name, int16_t arity, uint32_t flags, Handler handler,
                         std::string_view since, std::string_view complexity,
                         std::string_view summary, GetWalk get_walk = nullptr) {
  return {name,   arity, flags,      0,       0,  0,       KeyAccess::kNone, handler,
          kGroup, since, complexity, summary, {}, nullptr, nullptr,          get_walk};
}

constexpr CommandRow kRows[] = {
    Row("cluster", -2, 0, nullptr, "3.0.0", "Depends on subcommand.",
        "The ring as cluster clients see it"),
    Row("cluster|addslots", -3, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|addslotsrange", -4, kByHand, IfOn<NotByHand>, "7.0.0", "O(1)", kRefused),
    Row("cluster|bumpepoch", 2, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|count-failure-reports", 3, kAsAdmin, IfOn<ClusterFailureReports>, "3.0.0",
        kPerNode, "Whether this node does not reach another one"),
    Row("cluster|countkeysinslot", 3, kAsked | kWholeDatabase, IfOn<ClusterCountKeysInSlot>,
        "3.0.0", "O(1)", "How many keys of a slot this node has"),
    Row("cluster|delslots", -3, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|delslotsrange", -4, kByHand, IfOn<NotByHand>, "7.0.0", "O(1)", kRefused),
    Row("cluster|failover", -2, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)",
        "Is refused: the ring takes over from lost nodes by itself"),
    Row("cluster|flushslots", 2, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|forget", 3, kByHand, IfOn<ClusterForget>, "3.0.0", "O(1)",
        "Takes a node out of the ring, as RING.LEAVE with COMMIT"),
    Row("cluster|getkeysinslot", 4, kAsked | kWholeDatabase, IfOn<ClusterGetKeysInSlot>, "3.0.0",
        "O(N) with N keys asked for", "Keys of a slot that this node has", SlotWalk),
    Row("cluster|help", 2, kLoading | kStale, IfOn<ClusterHelp>, "5.0.0", "O(1)",
        "Explains the subcommands"),
    Row("cluster|info", 2, kAsked, IfOn<ClusterInfo>, "3.0.0", "O(1)",
        "Whether all slots can be served"),
    Row("cluster|keyslot", 3, kAsked, IfOn<ClusterKeySlot>, "3.0.0",
        "O(N) where N is the length of the key", "The slot of a key"),
    Row("cluster|links", 2, kAsked, IfOn<ClusterLinks>, "7.0.0", kPerNode,
        "The connections with other nodes"),
    Row("cluster|meet", -4, kByHand, IfOn<ClusterMeet>, "3.0.0", "O(1)",
        "Takes a blank node into the ring, as RING.JOIN with COMMIT"),
    Row("cluster|myid", 2, kAsked, IfOn<ClusterMyId>, "3.0.0", "O(1)", "This node's id"),
    Row("cluster|myshardid", 2, kAsked, IfOn<ClusterMyId>, "7.2.0", "O(1)", "This node's shard id"),
    Row("cluster|nodes", 2, kAsked, IfOn<ClusterNodes>, "3.0.0", kPerNode,
        "The nodes with their slots, as text"),
    Row("cluster|replicas", 3, kAsAdmin, IfOn<ClusterReplicas>, "5.0.0", "O(1)",
        "The replicas of a node: none, for all nodes are masters"),
    Row("cluster|replicate", 3, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|reset", -2, kAdmin | kNoScript | kStale, IfOn<NotByHand>, "3.0.0", "O(1)",
        kRefused),
    Row("cluster|saveconfig", 2, kByHand, IfOn<ClusterSaveConfig>, "3.0.0", "O(1)",
        "Does nothing: the ring document is always on disk"),
    Row("cluster|set-config-epoch", 3, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|setslot", -4, kByHand, IfOn<NotByHand>, "3.0.0", "O(1)", kRefused),
    Row("cluster|shards", 2, kAsked, IfOn<ClusterShards>, "7.0.0", kPerNode,
        "The nodes with their slots"),
    Row("cluster|slaves", 3, kAsAdmin, IfOn<ClusterReplicas>, "3.0.0", "O(1)",
        "An older name of CLUSTER REPLICAS"),
    Row("cluster|slots", 2, kAsked, IfOn<ClusterSlots>, "3.0.0", kPerNode,
        "The ranges of slots with their nodes"),
    Row("asking", 1, kFast, IfOn<Asking>, "3.0.0", "O(1)",
        "Does nothing: no client is sent by ASK"),
    Row("readonly", 1, kLoading | kStale | kFast, IfOn<Readonly>, "3.0.0", "O(1)",
        "Reads may be answered by any replica, however R and W are"),
    Row("readwrite", 1, kLoading | kStale | kFast, IfOn<Readwrite>, "3.0.0", "O(1)",
        "Ends READONLY"),
};

}  // namespace

std::span<const CommandRow> ClusterCommands() { return kRows; }

}  // namespace redynamo
