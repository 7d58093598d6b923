// SPDX-License-Identifier: Apache-2.0
// What a client may ask about the server: INFO, TIME, ROLE, MODULE, and REPLICAOF NO ONE.
#include "server/info.h"

#include "base/number.h"
#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr int64_t kUsPerSecond = 1'000'000;

Reply Info(CommandContext& context, ArgReader& args) {
  return Reply::Verbatim(
      InfoText(context.server, args.rest(), context.session.identity.cluster_client));
}

Reply Time(CommandContext& context, ArgReader&) {
  int64_t now_us = context.server.now_us();
  Reply pair = Reply::Array();
  pair.AddBulk(FormatInt64(now_us / kUsPerSecond)).AddBulk(FormatInt64(now_us % kUsPerSecond));
  return pair;
}

Reply Role(CommandContext&, ArgReader&) {
  Reply role = Reply::Array();
  role.AddView("master").AddInteger(0).Add(Reply::Array());
  return role;
}

Reply ReplicaOf(CommandContext&, ArgReader& args) {
  if (EqualsIgnoreCase(args.rest()[0], "no") && EqualsIgnoreCase(args.rest()[1], "one")) {
    return Reply::Ok();
  }
  args.Next();
  int64_t port;
  if (!ParseInt64(args.Next(), &port) || port < 0 || port > 65535) {
    return Reply::Error("ERR Invalid master port");
  }
  return Reply::Error(
      "ERR REPLICAOF is not supported: this server follows no master. REPLICAOF NO ONE is taken");
}

Reply ModuleList(CommandContext&, ArgReader&) { return Reply::Array(); }

Reply ModuleHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "MODULE <subcommand>. Subcommands are:",
      "LIST",
      "    The loaded modules: always none.",
  });
}

constexpr uint32_t kFollow = kAdmin | kNoScript | kStale | kNoAsyncLoading;

constexpr CommandRow kRows[] = {
    {"info", -1, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, Info, "server", "1.0.0", "O(1)",
     "The server's figures"},
    {"module", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "server", "4.0.0",
     "Depends on subcommand.", "Shows modules"},
    {"module|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, ModuleHelp, "server", "5.0.0",
     "O(1)", "Explains the subcommands"},
    {"module|list", 2, kAdmin | kNoScript, 0, 0, 0, KeyAccess::kNone, ModuleList, "server", "4.0.0",
     "O(N) where N is the number of loaded modules.", "Lists modules"},
    {"replicaof", 3, kFollow, 0, 0, 0, KeyAccess::kNone, ReplicaOf, "server", "5.0.0", "O(1)",
     "NO ONE: says that the server follows nobody"},
    {"role", 1, kNoScript | kLoading | kStale | kFast, 0, 0, 0, KeyAccess::kNone, Role, "server",
     "2.8.12", "O(1)", "The server's part in replication"},
    {"slaveof", 3, kFollow, 0, 0, 0, KeyAccess::kNone, ReplicaOf, "server", "1.0.0", "O(1)",
     "An older name of REPLICAOF"},
    {"time", 1, kLoading | kStale | kFast, 0, 0, 0, KeyAccess::kNone, Time, "server", "2.6.0",
     "O(1)", "The server's clock: seconds and microseconds"},
};

}  // namespace

std::span<const CommandRow> InfoCommands() { return kRows; }

}  // namespace redynamo
