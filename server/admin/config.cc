// SPDX-License-Identifier: Apache-2.0
// CONFIG: settings at run time (server/config.h does the work).
#include <algorithm>

#include "server/admin/help_reply.h"
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

Reply ConfigGet(CommandContext& context, ArgReader& args) {
  std::span<const std::string_view> globs = args.rest();
  Reply map = Reply::Map();
  for (auto& [name, value] : context.server.settings().Get(globs)) {
    // A name that was asked for in other letters comes back in those.
    auto asked = std::ranges::find_if(
        globs, [&name = name](std::string_view glob) { return EqualsIgnoreCase(glob, name); });
    if (asked != globs.end()) name = *asked;
    map.AddBulk(std::move(name)).AddBulk(std::move(value));
  }
  return map;
}

Reply ConfigSet(CommandContext& context, ArgReader& args) {
  if (args.remaining() % 2 != 0) return SyntaxError();
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  while (!args.done()) {
    std::string_view name = args.Next();
    size_t value_index = context.argv.size() - args.remaining();
    if (Settings::IsSensitive(name)) context.session.Redact(value_index);
    pairs.emplace_back(name, args.Next());
  }
  Status done = context.server.settings().Set(pairs, context.session.identity.loopback);
  return done.ok() ? Reply::Ok() : Reply::ErrorText(done.message());
}

Reply ConfigRewrite(CommandContext& context, ArgReader&) {
  Status done = context.server.settings().Rewrite();
  if (!done.ok()) {
    LogWarning("CONFIG REWRITE failed: " + done.message());
    return Reply::ErrorText(done.message());
  }
  LogNotice("CONFIG REWRITE executed with success.");
  return Reply::Ok();
}

Reply ConfigResetStat(CommandContext& context, ArgReader&) {
  context.server.stats().Reset();
  if (context.server.has_engine()) context.server.engine().ResetStats();
  return Reply::Ok();
}

Reply ConfigHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "CONFIG <subcommand> [<arg> ...]. Subcommands are:",
      "GET <glob> [<glob> ...]",
      "    Names and values of the settings that match.",
      "RESETSTAT",
      "    Starts the counters of INFO from zero.",
      "REWRITE",
      "    Writes the settings into the configuration file; its comments stay.",
      "SET <name> <value> [<name> <value> ...]",
      "    Changes settings: all of them, or none if one is refused.",
  });
}

constexpr uint32_t kOperator = kAdmin | kNoScript | kLoading | kStale;

constexpr CommandRow kRows[] = {
    {"config", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "server", "2.0.0",
     "Depends on subcommand.", "Shows and changes settings"},
    {"config|get", -3, kOperator, 0, 0, 0, KeyAccess::kNone, ConfigGet, "server", "2.0.0",
     "O(N) when N is the number of configuration parameters provided", "The values of settings"},
    {"config|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, ConfigHelp, "server", "5.0.0",
     "O(1)", "Explains the subcommands"},
    {"config|resetstat", 2, kOperator, 0, 0, 0, KeyAccess::kNone, ConfigResetStat, "server",
     "2.0.0", "O(1)", "Starts the counters of INFO from zero"},
    {"config|rewrite", 2, kOperator, 0, 0, 0, KeyAccess::kNone, ConfigRewrite, "server", "2.8.0",
     "O(1)", "Writes the settings into the configuration file"},
    {"config|set", -4, kOperator, 0, 0, 0, KeyAccess::kNone, ConfigSet, "server", "2.0.0",
     "O(N) when N is the number of configuration parameters provided", "Changes settings"},
};

}  // namespace

std::span<const CommandRow> ConfigCommands() { return kRows; }

}  // namespace redynamo
