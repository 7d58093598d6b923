// SPDX-License-Identifier: Apache-2.0
// COMMAND: the table of commands, told to clients.
#include <algorithm>

#include "base/glob.h"
#include "server/admin/help_reply.h"
#include "server/admission.h"
#include "server/command_families.h"
#include "server/command_info.h"
#include "server/server.h"

namespace redynamo {
namespace {

bool IsTopLevel(const Command& command) { return !command.container; }

const Command* FindShown(const CommandTable& table, std::string_view name) {
  const Command* command = table.FindByRowName(name);
  return command && !command->hidden ? command : nullptr;
}

Reply CommandCount(CommandContext& context, ArgReader&) {
  return Reply::Integer(std::ranges::count_if(context.server.commands().all(), IsTopLevel));
}

Reply InfoOfAll(const CommandTable& table) {
  Reply list = Reply::Array();
  for (const Command& command : table.all()) {
    if (IsTopLevel(command)) list.Add(CommandInfoReply(command));
  }
  return list;
}

Reply CommandBare(CommandContext& context, ArgReader& args) {
  if (!args.done()) {
    return UnknownSubcommand(*context.server.commands().FindByRowName("command"), args.Next());
  }
  return InfoOfAll(context.server.commands());
}

Reply CommandInfo(CommandContext& context, ArgReader& args) {
  const CommandTable& table = context.server.commands();
  if (args.done()) return InfoOfAll(table);
  Reply list = Reply::Array();
  for (std::string_view name : args.rest()) {
    const Command* command = FindShown(table, name);
    list.Add(command ? CommandInfoReply(*command) : Reply::Nil());
  }
  return list;
}

Reply CommandDocs(CommandContext& context, ArgReader& args) {
  const CommandTable& table = context.server.commands();
  Reply map = Reply::Map();
  if (args.done()) {
    for (const Command& command : table.all()) {
      if (IsTopLevel(command)) map.AddView(command.name()).Add(CommandDocsReply(command));
    }
    return map;
  }
  for (std::string_view name : args.rest()) {
    const Command* command = FindShown(table, name);
    if (command) map.AddView(command->name()).Add(CommandDocsReply(*command));
  }
  return map;
}

// Adds the name and those of the subcommands.
template <typename Keep>
void AddNames(const Command& command, const Keep& keep, Reply* list) {
  if (command.hidden) return;
  if (keep(command)) list->AddView(command.name());
  for (const Command* subcommand : command.subcommands) AddNames(*subcommand, keep, list);
}

Reply CommandList(CommandContext& context, ArgReader& args) {
  const CommandTable& table = context.server.commands();
  Reply list = Reply::Array();
  auto add_all = [&](const auto& keep) {
    for (const Command& command : table.all()) {
      if (IsTopLevel(command)) AddNames(command, keep, &list);
    }
  };
  if (args.done()) {
    add_all([](const Command&) { return true; });
    return list;
  }
  if (args.remaining() != 3 || !args.TryWord("FILTERBY")) return SyntaxError();
  if (args.TryWord("MODULE")) return list;  // there are none
  if (args.TryWord("ACLCAT")) {
    std::string_view category = args.Next();
    add_all([category](const Command& command) {
      return std::ranges::any_of(AclCategories(command), [category](std::string_view own) {
        return EqualsIgnoreCase(own, category);
      });
    });
    return list;
  }
  if (!args.TryWord("PATTERN")) return SyntaxError();
  std::string_view pattern = args.Next();
  add_all([pattern](const Command& command) { return GlobMatch(pattern, command.name(), true); });
  return list;
}

// The command that the arguments spell, if it has keys and can be called so.
const Command* FindCall(CommandContext& context, std::span<const std::string_view> call,
                        Reply* error) {
  const Command* command = context.server.commands().Resolve(call);
  if (command && command->hidden) command = command->container;
  if (!command) {
    *error = Reply::Error("ERR Invalid command specified");
  } else if (!CommandTable::HasKeys(*command->row)) {
    *error = Reply::Error("ERR The command has no key arguments");
  } else if (!CommandTable::ArityFits(*command->row, call.size())) {
    *error = Reply::Error("ERR Invalid number of arguments specified for command");
  } else {
    return command;
  }
  return nullptr;
}

template <bool kWithFlags>
Reply CommandGetKeys(CommandContext& context, ArgReader& args) {
  std::span<const std::string_view> call = args.rest();
  Reply error;
  const Command* command = FindCall(context, call, &error);
  if (!command) return error;
  std::vector<KeyUse> uses = KeysWithFlags(*command, call);
  if (uses.empty()) return Reply::Error("ERR Invalid arguments specified for command");
  Reply keys = Reply::Array();
  for (const KeyUse& use : uses) {
    if (!kWithFlags) {
      keys.AddView(call[use.index]);
      continue;
    }
    Reply flags = Reply::Set();
    for (std::string_view flag : use.flags) flags.Add(Reply::StaticStatus(flag));
    Reply pair = Reply::Array();
    pair.AddView(call[use.index]).Add(std::move(flags));
    keys.Add(std::move(pair));
  }
  return keys;
}

Reply CommandHelp(CommandContext&, ArgReader&) {
  return HelpReply({
      "COMMAND [<subcommand> [<arg> ...]]. Without one: INFO of all commands. Subcommands are:",
      "COUNT",
      "    How many commands there are.",
      "DOCS [<command> ...]",
      "    What commands do and which arguments they take.",
      "GETKEYS <command and arguments>",
      "    The keys of a call.",
      "GETKEYSANDFLAGS <command and arguments>",
      "    The keys of a call, and what it does to each.",
      "INFO [<command> ...]",
      "    Arity, flags, key positions and categories of commands.",
      "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <glob>)]",
      "    The names of commands.",
  });
}

constexpr uint32_t kAny = kLoading | kStale;

constexpr CommandRow kRows[] = {
    {"command", -1, kAny, 0, 0, 0, KeyAccess::kNone, CommandBare, "server", "2.8.13",
     "O(N) where N is the total number of Redis commands", "Tells about all commands"},
    {"command|count", 2, kAny, 0, 0, 0, KeyAccess::kNone, CommandCount, "server", "2.8.13", "O(1)",
     "The number of commands"},
    {"command|docs", -2, kAny, 0, 0, 0, KeyAccess::kNone, CommandDocs, "server", "7.0.0",
     "O(N) where N is the number of commands to look up", "Explains commands"},
    {"command|getkeys", -4, kAny, 0, 0, 0, KeyAccess::kNone, CommandGetKeys<false>, "server",
     "2.8.13", "O(N) where N is the number of arguments to the command", "The keys of a call"},
    {"command|getkeysandflags", -4, kAny, 0, 0, 0, KeyAccess::kNone, CommandGetKeys<true>, "server",
     "7.0.0", "O(N) where N is the number of arguments to the command",
     "The keys of a call, and what it does to them"},
    {"command|help", 2, kAny, 0, 0, 0, KeyAccess::kNone, CommandHelp, "server", "5.0.0", "O(1)",
     "Explains the subcommands"},
    {"command|info", -2, kAny, 0, 0, 0, KeyAccess::kNone, CommandInfo, "server", "2.8.13",
     "O(N) where N is the number of commands to look up", "Tells about commands"},
    {"command|list", -2, kAny, 0, 0, 0, KeyAccess::kNone, CommandList, "server", "7.0.0",
     "O(N) where N is the total number of Redis commands", "Lists the names of commands"},
};

}  // namespace

std::span<const CommandRow> CommandCommands() { return kRows; }

}  // namespace redynamo
