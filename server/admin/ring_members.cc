// SPDX-License-Identifier: Apache-2.0
// RING.JOIN, RING.LEAVE, RING.REPLACE, RING.FORGET: changes of who belongs to the ring, or is known
// to it. RING.HINTS: what this node keeps for others.
#include <fmt/format.h>

#include "base/id128.h"
#include "server/command_families.h"
#include "server/ring.h"
#include "server/server.h"

namespace redynamo {
namespace {

Reply Begin(CommandContext& context, ArgReader& args, RingWish wish) {
  wish.commit = args.TryWord("commit");
  if (!args.done()) return Reply::Error("ERR syntax error: the last word may be COMMIT");
  return BeginRingChange(context, std::move(wish));
}

Reply RingJoin(CommandContext& context, ArgReader& args) {
  RingWish wish{.kind = RingChangeKind::kJoin, .joining = std::string(args.Next()), .leaving = {}};
  return Begin(context, args, std::move(wish));
}

Reply RingLeave(CommandContext& context, ArgReader& args) {
  RingWish wish{.kind = RingChangeKind::kLeave, .joining = {}, .leaving = std::string(args.Next())};
  return Begin(context, args, std::move(wish));
}

Reply RingReplace(CommandContext& context, ArgReader& args) {
  RingWish wish{.kind = RingChangeKind::kReplace, .joining = {}, .leaving = {}};
  wish.leaving = args.Next();
  wish.joining = args.Next();
  return Begin(context, args, std::move(wish));
}

Reply RingForget(CommandContext& context, ArgReader& args) {
  RingWish wish{.kind = RingChangeKind::kForget, .joining = {}, .leaving = {}};
  wish.leaving = args.Next();
  return Begin(context, args, std::move(wish));
}

std::string NameOf(const Node& node, const Id128& id) {
  std::optional<MemberIndex> found = node.document().Find(NodeId{id});
  return found ? node.document().members[*found].ring_address.ToString() : Id128Digits(id);
}

// A line a partition: what is kept here for others, how much, since when, and who lacks it.
Reply RingHints(CommandContext& context, ArgReader&) {
  Reply list = Reply::Array();
  Ring* ring = context.server.ring();
  const Guests* guests = ring ? ring->node().guests() : nullptr;
  if (!guests) return list;
  int64_t now_ms = context.server.clock().MonotonicUs() / 1000;
  for (const GuestReport& report : guests->Report(now_ms)) {
    Reply map = Reply::Map();
    map.AddView("partition").AddInteger(report.partition);
    map.AddView("bytes").AddInteger(int64_t(report.bytes));
    map.AddView("age-ms").AddInteger(report.age_ms);
    Reply owed = Reply::Array();
    for (const Id128& id : report.owed_to) owed.AddBulk(NameOf(ring->node(), id));
    map.AddView("owed-to").Add(std::move(owed));
    list.Add(std::move(map));
  }
  return list;
}

constexpr uint32_t kOperator = kAdmin | kNoMulti;
constexpr CommandRow kRows[] = {
    {"ring.forget", -2, kOperator, 0, 0, 0, KeyAccess::kNone, RingForget, "server", "7.0.0",
     "O(N) with N partitions", "Plans, or with COMMIT does, forgetting a node that was removed"},
    {"ring.hints", 1, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, RingHints, "server", "7.0.0",
     "O(N) with N partitions that are kept for others", "What this node keeps for other nodes"},
    {"ring.join", -2, kOperator, 0, 0, 0, KeyAccess::kNone, RingJoin, "server", "7.0.0",
     "O(N) with N partitions", "Plans, or with COMMIT begins, taking a blank node into the ring"},
    {"ring.leave", -2, kOperator, 0, 0, 0, KeyAccess::kNone, RingLeave, "server", "7.0.0",
     "O(N) with N partitions", "Plans, or with COMMIT begins, taking a node out of the ring"},
    {"ring.replace", -3, kOperator, 0, 0, 0, KeyAccess::kNone, RingReplace, "server", "7.0.0",
     "O(N) with N partitions",
     "Plans, or with COMMIT begins, putting a blank node in the place of "
     "one that is lost or is to go"},
};

}  // namespace

std::span<const CommandRow> RingMemberCommands() { return kRows; }

}  // namespace redynamo
