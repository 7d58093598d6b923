// SPDX-License-Identifier: Apache-2.0
// SLOWLOG: the last slow commands.
#include "server/slowlog.h"

#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr int64_t kDefaultCount = 10;

Reply EntryReply(const SlowlogEntry& entry) {
  Reply args = Reply::Array();
  for (const std::string& arg : entry.args) args.AddView(arg);
  Reply reply = Reply::Array();
  reply.AddInteger(int64_t(entry.id)).AddInteger(entry.unix_seconds);
  reply.AddInteger(entry.microseconds).Add(std::move(args));
  reply.AddView(entry.client_address).AddView(entry.client_name);
  return reply;
}

Reply SlowlogGet(CommandContext& context, ArgReader& args) {
  constexpr std::string_view kBadCount = "ERR count should be greater than or equal to -1";
  if (args.remaining() > 1) {
    return Reply::ErrorText("ERR unknown subcommand or wrong number of arguments for '" +
                            std::string(context.argv[1]) + "'. Try SLOWLOG HELP.");
  }
  int64_t count = args.done() ? kDefaultCount : args.Int64In(-1, INT64_MAX, kBadCount);
  if (!args.ok()) return args.error();
  Reply list = Reply::Array();
  for (const SlowlogEntry& entry : context.server.slowlog().entries()) {
    if (count == 0) break;
    list.Add(EntryReply(entry));
    count--;
  }
  return list;
}

Reply SlowlogLen(CommandContext& context, ArgReader&) {
  return Reply::Integer(int64_t(context.server.slowlog().entries().size()));
}

Reply SlowlogReset(CommandContext& context, ArgReader&) {
  context.server.slowlog().Reset();
  return Reply::Ok();
}

Reply SlowlogHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "SLOWLOG <subcommand> [<arg> ...]. Subcommands are:",
      "GET [<count>]",
      "    The newest entries, 10 unless told, -1 for all. Each is: number, Unix time,",
      "    microseconds, arguments, the client's address, the client's name.",
      "LEN",
      "    How many entries there are.",
      "RESET",
      "    Forgets all entries.",
  });
}

constexpr uint32_t kOperator = kAdmin | kLoading | kStale;

constexpr CommandRow kRows[] = {
    {"slowlog", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "server", "2.2.12",
     "Depends on subcommand.", "The last slow commands"},
    {"slowlog|get", -2, kOperator, 0, 0, 0, KeyAccess::kNone, SlowlogGet, "server", "2.2.12",
     "O(N) where N is the number of entries returned", "The newest entries"},
    {"slowlog|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, SlowlogHelp, "server",
     "6.2.0", "O(1)", "Explains the subcommands"},
    {"slowlog|len", 2, kOperator, 0, 0, 0, KeyAccess::kNone, SlowlogLen, "server", "2.2.12", "O(1)",
     "The number of entries"},
    {"slowlog|reset", 2, kOperator, 0, 0, 0, KeyAccess::kNone, SlowlogReset, "server", "2.2.12",
     "O(N) where N is the number of entries in the slowlog", "Forgets all entries"},
};

}  // namespace

std::span<const CommandRow> SlowlogCommands() { return kRows; }

}  // namespace redynamo
