// SPDX-License-Identifier: Apache-2.0
// DEBUG: what tests of clients and of this server use. enable-debug-command guards all of it.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/number.h"
#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr double kSleepSecondsMax = 3600;
constexpr double kUsPerSecond = 1e6;
// Redis counts accesses in seconds of 24 bits.
constexpr int64_t kLruClockMask = (1 << 24) - 1;

// Redis' one answer to whatever it does not understand here.
Reply NotUnderstood(const CommandContext& context) {
  return Reply::ErrorText("ERR unknown subcommand or wrong number of arguments for '" +
                          std::string(context.argv[1]) + "'. Try DEBUG HELP.");
}

// Blocks the data thread, and so all clients: that is what it is for.
Reply DebugSleep(CommandContext& context, ArgReader& args) {
  if (args.remaining() != 1) return NotUnderstood(context);
  double seconds = 0;
  ParseDouble(args.Next(), &seconds);  // as in Redis, what is no number sleeps not at all
  if (seconds > 0) usleep(useconds_t(std::min(seconds, kSleepSecondsMax) * kUsPerSecond));
  return Reply::Ok();
}

Reply DebugSetActiveExpire(CommandContext& context, ArgReader& args) {
  if (args.remaining() != 1) return NotUnderstood(context);
  int64_t on = 0;
  ParseInt64(args.Next(), &on);
  if (context.server.has_engine()) context.server.engine().SetActiveExpire(on != 0);
  return Reply::Ok();
}

Reply DebugObject(CommandContext& context, ArgReader& args) {
  if (args.remaining() != 1) return NotUnderstood(context);
  KeyView view = context.keys.Peek(args.Next());
  if (!view.exists()) return Reply::Error("ERR no such key");
  int64_t idle = view.idle_seconds();
  return Reply::StatusText(fmt::format(
      "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
      view.encoding(), view.memory_bytes(), (context.server.unix_seconds() - idle) & kLruClockMask,
      idle));
}

Reply DebugDigest(CommandContext& context, ArgReader& args) {
  if (!args.done()) return NotUnderstood(context);
  return Reply::StatusText(context.server.engine().Digest());
}

Reply DebugDigestValue(CommandContext& context, ArgReader& args) {
  Reply list = Reply::Array();
  for (std::string_view key : args.rest()) {
    list.Add(Reply::StatusText(context.server.engine().KeyDigest(context.keys.database(), key)));
  }
  return list;
}

// Everything goes to disk, is forgotten, and comes back; the digests before and after must agree.
Reply DebugReload(CommandContext& context, ArgReader&) {
  Server& server = context.server;
  if (!server.has_engine()) return Reply::Error("LOADING Redis is loading the dataset in memory");
  std::string before = server.engine().Digest();
  Status restarted = server.RestartEngine();
  if (!restarted.ok()) {
    return Reply::ErrorText("ERR Error trying to load the RDB dump: " + restarted.message());
  }
  std::string after = server.engine().Digest();
  if (before != after) {
    LogWarning("DEBUG RELOAD: digest " + before + " before, " + after + " after");
    return Reply::Error("ERR the data differs after the reload");
  }
  LogNotice("DB reloaded by DEBUG RELOAD");
  return Reply::Ok();
}

// No key at all is for the handler to refuse, in its own words.
bool KeysFromSecond(std::span<const std::string_view> argv, std::vector<int>* key_indexes) {
  for (size_t i = 2; i < argv.size(); i++) key_indexes->push_back(int(i));
  return true;
}

Reply DebugUnknown(CommandContext& context, ArgReader&) { return NotUnderstood(context); }

Reply DebugHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "DEBUG <subcommand> [<arg> ...]. Subcommands are:",
      "DIGEST",
      "    One number for all data of all databases.",
      "DIGEST-VALUE <key> [<key> ...]",
      "    One number for each of the keys' values.",
      "OBJECT <key>",
      "    How a key is held in memory.",
      "RELOAD",
      "    Checkpoints, stops the engine, starts it again, and compares the digests.",
      "SET-ACTIVE-EXPIRE <0|1>",
      "    Whether expired keys are removed before somebody asks for them.",
      "SLEEP <seconds>",
      "    Stops the server for a while.",
  });
}

constexpr uint32_t kOperator = kAdmin | kNoScript | kLoading | kStale;
constexpr uint32_t kInspect = kAdmin | kNoScript | kReadonly;
constexpr uint32_t kInspectKeys = kInspect | kMovableKeys;

constexpr CommandRow kRows[] = {
    {"debug", -2, kOperator, 0, 0, 0, KeyAccess::kNone, DebugUnknown, "server", "1.0.0",
     "Depends on subcommand.", "For tests"},
    {"debug|digest", -2, kInspect | kWholeDatabase, 0, 0, 0, KeyAccess::kNone, DebugDigest,
     "server", "1.0.0", "O(N) where N is the number of elements", "One number for all data"},
    {.name = "debug|digest-value",
     .arity = -2,
     .flags = kInspectKeys,
     .first_key = 0,
     .last_key = 0,
     .key_step = 0,
     .access = KeyAccess::kRead,
     .handler = DebugDigestValue,
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(N) where N is the number of elements",
     .summary = "One number for each key's value",
     .get_keys = KeysFromSecond},
    {"debug|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, DebugHelp, "server", "5.0.0",
     "O(1)", "Explains the subcommands"},
    {.name = "debug|object",
     .arity = -2,
     .flags = kInspectKeys,
     .first_key = 0,
     .last_key = 0,
     .key_step = 0,
     .access = KeyAccess::kRead,
     .handler = DebugObject,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "How a key is held in memory",
     .get_keys = KeysFromSecond},
    {"debug|reload", -2, kOperator | kNoMulti, 0, 0, 0, KeyAccess::kNone, DebugReload, "server",
     "1.0.0", "O(N) where N is the number of elements",
     "Stops the engine, starts it again and compares the data"},
    {"debug|set-active-expire", -2, kOperator, 0, 0, 0, KeyAccess::kNone, DebugSetActiveExpire,
     "server", "1.0.0", "O(1)", "Whether expired keys are removed unasked"},
    {"debug|sleep", -2, kOperator, 0, 0, 0, KeyAccess::kNone, DebugSleep, "server", "1.0.0", "O(1)",
     "Stops the server for a while"},
};

}  // namespace

std::span<const CommandRow> DebugCommands() { return kRows; }

}  // namespace redynamo
