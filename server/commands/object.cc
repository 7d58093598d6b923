// SPDX-License-Identifier: Apache-2.0
// OBJECT: how a key's value is held. Looking does not count as a use of the key.
#include <limits>

#include "base/number.h"
#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/server.h"

namespace redynamo {
namespace {

Reply Encoding(CommandContext& ctx, ArgReader& args) {
  KeyView view = ctx.keys.Peek(args.Next());
  return view.exists() ? Reply::View(view.encoding()) : Reply::Nil();
}

bool IsLfu(const CommandContext& ctx) {
  MaxmemoryPolicy policy = ctx.server.config().maxmemory_policy;
  return policy == MaxmemoryPolicy::kAllKeysLfu || policy == MaxmemoryPolicy::kVolatileLfu;
}

Reply Freq(CommandContext& ctx, ArgReader& args) {
  KeyView view = ctx.keys.Peek(args.Next());
  if (!view.exists()) return Reply::Nil();
  if (!IsLfu(ctx)) {
    return Reply::Error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
        "that when switching between policies at runtime LRU and LFU data will take some time to "
        "adjust.");
  }
  return Reply::Integer(view.frequency());
}

Reply IdleTime(CommandContext& ctx, ArgReader& args) {
  KeyView view = ctx.keys.Peek(args.Next());
  if (!view.exists()) return Reply::Nil();
  if (IsLfu(ctx)) {
    return Reply::Error(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
        "switching between policies at runtime LRU and LFU data will take some time to adjust.");
  }
  return Reply::Integer(view.idle_seconds());
}

// Redis shares the integers below 10,000 among all keys and shows that as the largest int.
Reply RefCount(CommandContext& ctx, ArgReader& args) {
  constexpr int64_t kSharedIntegers = 10'000;
  std::string_view key = args.Next();
  KeyView view = ctx.keys.Peek(key);
  if (!view.exists()) return Reply::Nil();
  if (std::string_view(view.encoding()) == "int") {
    StringView string = ctx.keys.RenewingAccess(false).String(key);
    int64_t value;
    if (ParseInt64(string.value(), &value) && value >= 0 && value < kSharedIntegers) {
      return Reply::Integer(std::numeric_limits<int32_t>::max());
    }
  }
  return Reply::Integer(1);
}

Reply Help(CommandContext&, ArgReader&) {
  return HelpReply({
      "OBJECT <subcommand> [<arg> ...]. Subcommands are:",
      "ENCODING <key>",
      "    The form in which the value is held.",
      "FREQ <key>",
      "    How often the key was used of late, as a logarithmic counter.",
      "IDLETIME <key>",
      "    Seconds since the key was last used.",
      "REFCOUNT <key>",
      "    How many references the value has.",
  });
}

using enum KeyAccess;

constexpr CommandRow kRows[] = {
    {"object", -2, 0, 0, 0, 0, kNone, nullptr, "generic", "2.2.3", "Depends on the subcommand",
     "Tells how the values of keys are held"},
    {"object|encoding", 3, kReadonly, 2, 2, 1, kRead, Encoding, "generic", "2.2.3", "O(1)",
     "Names the form in which a value is held"},
    {"object|freq", 3, kReadonly, 2, 2, 1, kRead, Freq, "generic", "4.0.0", "O(1)",
     "Gives the logarithmic counter of a key's uses"},
    {"object|help", 2, kLoading | kStale, 0, 0, 0, kNone, Help, "generic", "6.2.0", "O(1)",
     "Explains the subcommands"},
    {"object|idletime", 3, kReadonly, 2, 2, 1, kRead, IdleTime, "generic", "2.2.3", "O(1)",
     "Gives the seconds since a key was last used"},
    {"object|refcount", 3, kReadonly, 2, 2, 1, kRead, RefCount, "generic", "2.2.3", "O(1)",
     "Gives the number of references to a value"},
};

}  // namespace

std::span<const CommandRow> ObjectCommands() { return kRows; }

}  // namespace redynamo
