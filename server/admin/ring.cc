// SPDX-License-Identifier: Apache-2.0
// RING.*: the ring for operators and for clients that want to see concurrent versions.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/id128.h"
#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/ring.h"
#include "server/ring_why.h"
#include "server/server.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr size_t kRowsMax = 1000;  // of a key that RING.SIBLINGS looks at
constexpr int64_t kSyncPointDefaultMs = 10'000;

Reply RingOfOne() {
  return Reply::Error(
      "ERR this node is a ring of one; see ring-bootstrap in conf/redynamo.conf for more");
}

Reply NotFormed(const Ring& ring) {
  const Forming* forming = ring.node().forming();
  size_t known = forming ? forming->members().size() : 1;
  size_t expected = forming ? forming->expected() : 1;
  return Reply::Verbatim(fmt::format(
      "The ring is forming: {} of {} nodes are known. Are all of them started, with the same "
      "ring-seeds and ring-bootstrap?\n",
      known, expected));
}

// "up", "slow" (it owes answers), "down".
std::string_view HealthOf(const Node& node, const Links& links, const Id128& id) {
  if (id == node.self()) return "self";
  if (!links.IsUp(id)) return "down";
  return node.Healthy(id) ? "up" : "slow";
}

std::string RoundTrip(const std::vector<LinkReport>& links, const Id128& id) {
  for (const LinkReport& link : links) {
    if (link.hello.node_id == id && link.round_trip_us >= 0) {
      return fmt::format("{} us", link.round_trip_us);
    }
  }
  return "-";
}

// What the members have come to think of each other.
std::string_view OpinionText(const FailureDetector::Opinion& opinion) {
  switch (opinion.state) {
    case wire::MemberState::kSuspect: return "suspect";
    case wire::MemberState::kDown: return "down";
    case wire::MemberState::kAlive: break;
  }
  return opinion.only_others ? "alive, by way of others" : "alive";
}

// A line for each member that is in doubt.
std::string DoubtsText(const Node& node, int64_t now_ms) {
  std::string text;
  if (!node.detector()) return text;
  for (const Member& member : node.document().members) {
    FailureDetector::Opinion opinion = node.detector()->OpinionOf(member.id.bytes);
    bool well = opinion.state == wire::MemberState::kAlive && !opinion.only_others;
    if (well || !member.in_ring()) continue;
    text +=
        fmt::format("\nhealth   {} is {}", member.ring_address.ToString(), OpinionText(opinion));
    if (opinion.since_ms > 0 && opinion.state != wire::MemberState::kAlive) {
      text += fmt::format(", for {} s", (now_ms - opinion.since_ms) / 1000);
    }
    if (opinion.state == wire::MemberState::kAlive) text += ": this node does not reach it itself";
  }
  return text.empty() ? text : text + "\n";
}

std::string_view StateText(MemberState state) {
  switch (state) {
    case MemberState::kJoining: return "joins";
    case MemberState::kMember: return "member";
    case MemberState::kLeaving: return "leaves";
    case MemberState::kRemoved: return "removed";
  }
  return "?";
}

// "[######......] 512 of 768": of all that has to move, what is where it belongs.
std::string ProgressBar(int done, int all) {
  constexpr int kWidth = 30;
  int filled = all > 0 ? done * kWidth / all : kWidth;
  return "[" + std::string(size_t(filled), '#') + std::string(size_t(kWidth - filled), '.') + "]" +
         fmt::format(" {} of {} partitions", done, all);
}

// What of a change is still to be done, if one is under way.
std::string ChangeText(const Node& node) {
  const RingDocument& document = node.document();
  std::array<int, 4> phases{};
  for (const View& view : document.views) phases[size_t(view.phase)]++;
  int moving = document.partitions() - phases[0];
  const ClaimantStep* step = node.membership() ? node.membership()->step() : nullptr;
  bool changes = std::ranges::any_of(document.members, [](const Member& member) {
    return member.state == MemberState::kJoining || member.state == MemberState::kLeaving;
  });
  if (moving == 0 && !changes) return {};
  std::string text = fmt::format(
      "\nchange   {} partitions are moving: {} fetch, {} read from the new replicas, {} clear up\n",
      moving, phases[1], phases[2], phases[3]);
  if (step) {
    int left = step->begun + step->remaining;
    text += "         " + ProgressBar(document.partitions() - left, document.partitions()) +
            " are where they belong\n";
    for (const std::string& line : step->waiting) text += "         " + line + "\n";
  } else {
    text += "         the claimant, the first member that can be reached, knows how much is left\n";
  }
  if (node.transfer() && node.transfer()->running() > 0) {
    text += fmt::format("         this node fetches {} partitions\n", node.transfer()->running());
  }
  return text;
}

std::string HintsText(const Node& node) {
  const Guests* guests = node.guests();
  if (!guests) return {};
  return fmt::format(
      "hints    {} partitions kept for other nodes ({} bytes), {} let go; {} records sent as "
      "hints\n",
      guests->partitions(), guests->bytes(), guests->released(),
      node.pending_writes().hints_sent());
}

std::string FiguresText(const Ring& ring) {
  const Node& node = ring.node();
  std::string text =
      ChangeText(node) + fmt::format(
                             "\nwrites   {} wait for replicas ({} bytes kept), {} were not "
                             "answered by enough in time\n",
                             node.pending_writes().unsettled(), node.pending_writes().kept_bytes(),
                             ring.quorum_failures());
  if (const FreshReads* reads = node.fresh_reads()) {
    text += fmt::format("reads    {} compared: {} agreed, {} repaired, {} failed, {} asked again\n",
                        reads->stats().reads, reads->stats().agreed, reads->stats().repaired,
                        reads->stats().failed, reads->stats().hedged);
  }
  if (const Exchange* exchange = node.exchange()) {
    const ExchangeStats& stats = exchange->stats();
    text += fmt::format(
        "pulls    {} made ({} dots, {} bytes), {} served ({} bytes), {} full syncs ({} bytes)\n",
        stats.pulls, stats.pulled_dots, stats.pulled_bytes, stats.served_pulls, stats.served_bytes,
        stats.full_syncs, stats.full_bytes);
  }
  text += HintsText(node);
  text += fmt::format("events   {} joined from peers, {} commands forwarded to them\n",
                      node.events_joined(), node.forwards_sent());
  return text;
}

Reply RingStatus(CommandContext& context, ArgReader&) {
  Ring* ring = context.server.ring();
  if (!ring) {
    return Reply::Verbatim("This node is a ring of one: every key is here, and only here.\n");
  }
  if (!ring->formed()) return NotFormed(*ring);
  const Node& node = ring->node();
  const RingDocument& document = node.document();
  std::string text = fmt::format(
      "Ring {}  epoch {}  {} nodes  {} partitions  n {}  r {}  w {}\n\n"
      "{:40}  {:21}  {:21}  {:7}  {:5}  {:>10}  {:>8}  {:>7}  {:>6}\n",
      Id128Digits(document.cluster_id), document.epoch, document.members.size(),
      document.partitions(), document.n, node.options().r, node.options().w, "node", "ring address",
      "clients", "is", "state", "round trip", "replicas", "first", "behind");
  std::vector<LinkReport> reports = ring->links().Report();
  for (const Member& member : document.members) {
    const Id128& id = member.id.bytes;
    auto leads = [&](const View& view) { return document.members[view.homes[0]].id == member.id; };
    auto first = std::count_if(document.views.begin(), document.views.end(), leads);
    MemberIndex index = MemberIndex(&member - document.members.data());
    auto holds = [&](const View& view) { return view.homes.Contains(index); };
    auto replicas = std::count_if(document.views.begin(), document.views.end(), holds);
    bool self = id == node.self();
    std::string behind =
        self || !node.exchange() ? "-" : fmt::format("{}", node.exchange()->BehindCount(id));
    text += fmt::format("{:40}  {:21}  {:21}  {:7}  {:5}  {:>10}  {:>8}  {:>7}  {:>6}\n",
                        member.id.digits(), member.ring_address.ToString(),
                        RingAddress{member.client_host, member.client_port}.ToString(),
                        StateText(member.state), HealthOf(node, ring->links(), id),
                        RoundTrip(reports, id), replicas, first, behind);
  }
  text += DoubtsText(node, context.server.clock().MonotonicUs() / 1000);
  return Reply::Verbatim(text + FiguresText(*ring));
}

Reply RingNodes(CommandContext& context, ArgReader&) {
  Ring* ring = context.server.ring();
  if (!ring || !ring->formed()) return RingOfOne();
  Reply list = Reply::Array();
  for (const Member& member : ring->node().document().members) {
    Reply map = Reply::Map();
    map.AddView("id").AddBulk(member.id.digits());
    map.AddView("ring-address").AddBulk(member.ring_address.ToString());
    map.AddView("client-address")
        .AddBulk(RingAddress{member.client_host, member.client_port}.ToString());
    map.AddView("is").AddView(StateText(member.state));
    map.AddView("state").AddView(HealthOf(ring->node(), ring->links(), member.id.bytes));
    FailureDetector::Opinion opinion;
    const FailureDetector* detector = ring->node().detector();
    if (detector) opinion = detector->OpinionOf(member.id.bytes);
    map.AddView("ring-state").AddView(OpinionText(opinion));
    map.AddView("host").AddBulk(member.host);
    map.AddView("zone").AddBulk(member.zone);
    map.AddView("weight").AddInteger(member.weight);
    list.Add(std::move(map));
  }
  return list;
}

Reply RingPreflist(CommandContext& context, ArgReader& args) {
  std::string_view key = args.Next();
  Ring* ring = context.server.ring();
  if (!ring || !ring->formed()) return RingOfOne();
  const Node& node = ring->node();
  Reply list = Reply::Array();
  for (const Id128& id : node.PlaceOf(PartitionOfSlot(KeySlot(key))).read.members) {
    const Member& member = node.document().members[*node.document().Find(NodeId{id})];
    Reply home = Reply::Array();
    home.AddBulk(member.id.digits());
    home.AddBulk(RingAddress{member.client_host, member.client_port}.ToString());
    home.AddView(HealthOf(node, ring->links(), id));
    list.Add(std::move(home));
  }
  return list;
}

Reply RingSiblings(CommandContext& context, ArgReader& args) {
  std::string_view key = args.Next();
  Reply list = Reply::Array();
  Engine& engine = context.server.engine();
  for (const RowReport& row : engine.ExplainKey(context.keys.database(), key, kRowsMax)) {
    if (row.kind != RowKind::kBase && row.kind != RowKind::kImplicitBase) continue;
    for (const RowVersionReport& version : row.live) {
      Reply one = Reply::Array();
      one.AddBulk(version.value);
      one.AddBulk(DotText(version.dot));
      one.AddInteger(int64_t(version.hlc >> 16));
      one.AddBulk(Id128Digits(version.dot.actor));
      list.Add(std::move(one));
    }
  }
  return list;
}

Reply RingSyncPoint(CommandContext& context, ArgReader& args) {
  int64_t timeout_ms = args.done() ? kSyncPointDefaultMs : args.Int64();
  if (!args.ok()) return args.error();
  if (timeout_ms < 0) return Reply::Error("ERR timeout is negative");
  Ring* ring = context.server.ring();
  if (!ring || !ring->several()) return Reply::Ok();
  if (context.session.transaction.running) return ring->SyncPointReply();
  ring->AwaitSyncPoint(context.session.Defer(), timeout_ms);
  return Reply::None();
}

std::string TreesText(const Merkle& merkle) {
  const MerkleStats& trees = merkle.stats();
  return fmt::format(
      "rounds     {} begun: {} equal at once, {} put off\n"
      "leaves     {} compared, {} skipped, {} differed; {} differ now\n"
      "versions   {} were missing here, {} were wrong here, {} have two contents\n"
      "disk       {} leaves were found damaged by RING.AE, {} written anew; {} are damaged now\n"
      "bytes      {} sent, {} received\n",
      trees.rounds, trees.equal, trees.put_off, trees.leaves_compared, trees.leaves_skipped,
      trees.mismatches, merkle.suspects(), trees.repaired, trees.rewritten, trees.undecided,
      trees.damaged_leaves, trees.rebuilt_leaves, merkle.damaged(), trees.bytes_sent,
      trees.bytes_received);
}

Reply RingAe(CommandContext& context, ArgReader& args) {
  bool status = args.done() || args.TryWord("status");
  int64_t partition = status ? 0 : args.Int64();
  if (!args.done()) args.FailSyntax();
  if (!args.ok()) return args.error();
  Ring* ring = context.server.ring();
  if (!ring || !ring->formed() || !ring->node().merkle()) return RingOfOne();
  Merkle& merkle = *ring->node().merkle();
  if (status) return Reply::Verbatim(TreesText(merkle));
  int64_t partitions = int64_t(ring->node().document().partitions());
  if (partition < 0 || partition >= partitions) {
    return Reply::Error(fmt::format("ERR there are partitions 0 to {}", partitions - 1));
  }
  size_t peers = merkle.CheckNow(int(partition));
  return Reply::Verbatim(
      fmt::format("Partition {} is read, and compared with {} replicas. RING.AE STATUS tells what "
                  "came of it.\n",
                  partition, peers));
}

Reply RingHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "RING.<command> [<arg> ...]. Commands are:",
      "RING.AE [<partition>|STATUS]",
      "    Reads and compares a partition with its other replicas now; or what came of all that.",
      "RING.FORGET <node> [COMMIT]",
      "    Plans forgetting a node that was removed; with COMMIT, does it.",
      "RING.GET <key>",
      "    All concurrent versions of a string, with a context that covers them.",
      "RING.HINTS",
      "    What this node keeps for other nodes, and who lacks it.",
      "RING.JOIN <ring-address> [COMMIT]",
      "    Plans taking a blank node into the ring; with COMMIT, begins it.",
      "RING.LEAVE <node> [COMMIT]",
      "    Plans taking a node out of the ring; with COMMIT, begins it.",
      "RING.NODES",
      "    The members, with their addresses and whether this node reaches them.",
      "RING.PREFLIST <key>",
      "    The replicas of a key, the preferred coordinator first.",
      "RING.PUT <key> <context> <value>",
      "    Writes a version that replaces those that the context covers.",
      "RING.QUORUM [N <n>] [R <r>] [W <w>] [SLOPPY yes|no] | RESET",
      "    How many replicas this connection's requests shall meet; or what they meet now.",
      "RING.REPLACE <node> <ring-address> [COMMIT]",
      "    Plans putting a blank node in the place of another; with COMMIT, begins it.",
      "RING.SIBLINGS <key>",
      "    All concurrent versions of a string: value, dot, time, actor; the shown one first.",
      "RING.STATUS",
      "    The ring on one screen.",
      "RING.SYNCPOINT [<timeout-ms>]",
      "    Waits until all that this node has is on every replica.",
      "RING.WHY <key>",
      "    What each replica holds of a key: rows, dots, times, removed dots, and its last repair.",
  });
}

constexpr uint32_t kAsked = kLoading | kStale;
constexpr CommandRow kRows[] = {
    {"ring.ae", -1, kAsked, 0, 0, 0, KeyAccess::kNone, RingAe, "server", "7.0.0",
     "O(N) in the background, with N rows of the partition",
     "Compares a partition's rows with its other replicas, and repairs them"},
    {"ring.help", 1, kAsked, 0, 0, 0, KeyAccess::kNone, RingHelp, "server", "7.0.0", "O(1)",
     "Explains the RING commands"},
    {"ring.nodes", 1, kAsked, 0, 0, 0, KeyAccess::kNone, RingNodes, "server", "7.0.0",
     "O(N) with N members", "The members of the ring"},
    {"ring.preflist", 2, kAsked, 0, 0, 0, KeyAccess::kNone, RingPreflist, "server", "7.0.0", "O(1)",
     "The replicas of a key"},
    {"ring.siblings", 2, kReadonly, 1, 1, 1, KeyAccess::kRead, RingSiblings, "server", "7.0.0",
     "O(N) with N versions", "All concurrent versions of a string", kAllElements},
    {"ring.status", 1, kAsked, 0, 0, 0, KeyAccess::kNone, RingStatus, "server", "7.0.0",
     "O(N) with N members", "The ring on one screen"},
    {"ring.syncpoint", -1, 0, 0, 0, 0, KeyAccess::kNone, RingSyncPoint, "server", "7.0.0",
     "Depends on what is missing elsewhere", "Waits until every replica has everything"},
    {"ring.why", 2, kReadonly, 1, 1, 1, KeyAccess::kRead, RingWhy, "server", "7.0.0",
     "O(N) with N rows", "What each replica holds of a key", kAllElements},
};

}  // namespace

std::span<const CommandRow> RingCommands() { return kRows; }

}  // namespace redynamo
