// SPDX-License-Identifier: Apache-2.0
#include "server/command_info.h"

#include <algorithm>

#include "base/check.h"
#include "base/number.h"
#include "server/command_details.h"
#include "server/command_syntax.h"

namespace redynamo {
namespace {

struct FlagName {
  uint32_t flag;
  std::string_view name;
};

constexpr FlagName kFlagNames[] = {
    {kWrite, "write"},
    {kReadonly, "readonly"},
    {kDenyOom, "denyoom"},
    {kAdmin, "admin"},
    {kPubSub, "pubsub"},
    {kNoScript, "noscript"},
    {kBlocking, "blocking"},
    {kLoading, "loading"},
    {kStale, "stale"},
    {kSkipMonitor, "skip_monitor"},
    {kSkipSlowlog, "skip_slowlog"},
    {kFast, "fast"},
    {kNoAuth, "no_auth"},
    {kNoAsyncLoading, "no_async_loading"},
    {kNoMulti, "no_multi"},
    {kMovableKeys, "movablekeys"},
    {kAllowBusy, "allow_busy"},
};

// In Redis' order; `group` is the one that brings its commands in.
struct Category {
  std::string_view name, group;
};

constexpr Category kCategories[] = {
    {"keyspace", "generic"},
    {"read", ""},
    {"write", ""},
    {"set", "set"},
    {"sortedset", "sorted-set"},
    {"list", "list"},
    {"hash", "hash"},
    {"string", "string"},
    {"bitmap", "bitmap"},
    {"hyperloglog", "hyperloglog"},
    {"geo", "geo"},
    {"stream", "stream"},
    {"pubsub", ""},
    {"admin", ""},
    {"fast", ""},
    {"slow", ""},
    {"blocking", ""},
    {"dangerous", ""},
    {"connection", "connection"},
    {"transaction", "transactions"},
    {"scripting", "scripting"},
};

std::vector<std::string_view> SplitAt(std::string_view text, char divider) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = std::min(text.find(divider), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool ParseSmallInt(std::string_view text, int* out) {
  int64_t value;
  if (!ParseInt64(text, &value) || value < -128 || value > 127) return false;
  *out = int(value);
  return true;
}

// "1", "1..-1", "1..-1/2", "1..+1", "1#".
bool ParsePlace(std::string_view text, KeySpec* spec) {
  if (text.ends_with('#')) {
    spec->counted = true;
    return ParseSmallInt(text.substr(0, text.size() - 1), &spec->index);
  }
  size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    if (!ParseSmallInt(text.substr(slash + 1), &spec->step)) return false;
    text = text.substr(0, slash);
  }
  size_t dots = text.find("..");
  if (dots != std::string_view::npos) {
    std::string_view last = text.substr(dots + 2);
    if (last.starts_with('+')) last.remove_prefix(1);
    if (!ParseSmallInt(last, &spec->last)) return false;
    text = text.substr(0, dots);
  }
  return ParseSmallInt(text, &spec->index);
}

std::vector<std::string_view> FlagsOfAccess(KeyAccess access) {
  switch (access) {
    case KeyAccess::kNone: return {};
    case KeyAccess::kRead: return {"RO", "access"};
    case KeyAccess::kReadWrite: return {"RW", "access", "update"};
    case KeyAccess::kOverwrite: return {"OW", "update"};
    case KeyAccess::kRemove: return {"RM", "delete"};
  }
  return {};
}

KeySpec SpecOfRow(const CommandRow& row) {
  KeySpec spec;
  spec.flags = FlagsOfAccess(row.access);
  spec.index = row.first_key;
  spec.last = row.last_key < 0 ? row.last_key : row.last_key - row.first_key;
  spec.step = row.key_step;
  return spec;
}

bool HasWord(std::span<const std::string_view> argv, size_t from, std::string_view word) {
  for (size_t i = from; i < argv.size(); ++i) {
    if (EqualsIgnoreCase(argv[i], word)) return true;
  }
  return false;
}

// What a call whose flags depend on its options really does.
std::vector<std::string_view> FlagsOfCall(const Command& command, const KeySpec& spec,
                                          std::span<const std::string_view> argv) {
  std::vector<std::string_view> flags = spec.flags;
  if (std::erase(flags, "variable_flags") == 0) return flags;
  if (command.name() == "set" && !HasWord(argv, 3, "GET")) return {"OW", "update"};
  if (command.name() == "bitfield" && !HasWord(argv, 2, "SET") && !HasWord(argv, 2, "INCRBY")) {
    return {"RO", "access"};
  }
  return flags;
}

Reply Statuses(const std::vector<std::string_view>& words, std::string_view prefix = {}) {
  Reply set = Reply::Set();
  for (std::string_view word : words) {
    set.Add(Reply::StatusText(std::string(prefix) + std::string(word)));
  }
  return set;
}

Reply KeySpecReply(const KeySpec& spec) {
  Reply begin_spec = Reply::Map();
  begin_spec.AddView("index").AddInteger(spec.index);
  Reply begin = Reply::Map();
  begin.AddView("type").AddView("index").AddView("spec").Add(std::move(begin_spec));
  Reply find_spec = Reply::Map();
  if (spec.counted) {
    find_spec.AddView("keynumidx").AddInteger(0).AddView("firstkey").AddInteger(1);
    find_spec.AddView("keystep").AddInteger(1);
  } else {
    find_spec.AddView("lastkey").AddInteger(spec.last).AddView("keystep").AddInteger(spec.step);
    find_spec.AddView("limit").AddInteger(0);
  }
  Reply find = Reply::Map();
  find.AddView("type").AddView(spec.counted ? "keynum" : "range");
  find.AddView("spec").Add(std::move(find_spec));
  Reply reply = Reply::Map();
  reply.AddView("flags").Add(Statuses(spec.flags));
  reply.AddView("begin_search").Add(std::move(begin));
  reply.AddView("find_keys").Add(std::move(find));
  return reply;
}

// The old way to say where keys are: first, last, step.
struct KeyRange {
  int first = 0, last = 0, step = 0;
};

KeyRange RangeOf(const std::vector<KeySpec>& specs) {
  KeyRange range;
  for (const KeySpec& spec : specs) {
    if (spec.counted) continue;
    if (range.first == 0) range = {spec.index, spec.index, spec.step};
    range.last = spec.last < 0 ? spec.last : spec.index + spec.last;
  }
  return range;
}

}  // namespace

bool ParseKeySpecs(std::string_view text, std::vector<KeySpec>* specs) {
  for (std::string_view part : SplitAt(text, ';')) {
    KeySpec& spec = specs->emplace_back();
    std::vector<std::string_view> words = SplitAt(part, ' ');
    if (words.size() < 2 || !words.back().starts_with('@')) return false;
    if (!ParsePlace(words.back().substr(1), &spec)) return false;
    words.pop_back();
    spec.flags = words;
  }
  return true;
}

std::vector<KeySpec> KeySpecsOf(const Command& command) {
  std::vector<KeySpec> specs;
  CHECK_THAT(ParseKeySpecs(DetailsOf(command.name()).key_specs, &specs));
  if (specs.empty() && command.row->first_key > 0) specs.push_back(SpecOfRow(*command.row));
  return specs;
}

std::vector<KeyUse> KeysWithFlags(const Command& command, std::span<const std::string_view> argv) {
  std::vector<int> indexes;
  if (!CommandTable::KeyIndexes(*command.row, argv, &indexes)) return {};
  std::vector<KeySpec> specs = KeySpecsOf(command);
  std::vector<KeyUse> uses;
  for (int index : indexes) {
    // The last specification that begins at or before the key is its own: they do not overlap.
    const KeySpec* own = nullptr;
    for (const KeySpec& spec : specs) {
      if (spec.index <= index) own = &spec;
    }
    uses.push_back({index, {}});
    if (own) uses.back().flags = FlagsOfCall(command, *own, argv);
  }
  return uses;
}

std::vector<std::string_view> FlagNames(uint32_t flags) {
  std::vector<std::string_view> names;
  for (const FlagName& entry : kFlagNames) {
    if (flags & entry.flag) names.push_back(entry.name);
  }
  return names;
}

std::vector<std::string_view> AclCategories(const Command& command) {
  const CommandRow& row = *command.row;
  std::vector<std::string_view> own = SplitAt(DetailsOf(row.name).categories, ' ');
  auto imply = [&own](bool when, std::string_view name) {
    if (when) own.push_back(name);
  };
  imply(row.flags & kWrite, "write");
  imply(row.flags & kReadonly && row.group != "scripting", "read");
  imply(row.flags & kAdmin, "admin");
  imply(row.flags & kAdmin, "dangerous");
  imply(row.flags & kPubSub, "pubsub");
  imply(row.flags & kBlocking, "blocking");
  imply(row.flags & kFast, "fast");
  imply(!(row.flags & kFast), "slow");
  std::vector<std::string_view> ordered;
  for (const Category& category : kCategories) {
    bool by_group = row.handler && row.group == category.group;
    bool denied = std::ranges::find(own, "-" + std::string(category.name)) != own.end();
    if (denied) continue;
    if (by_group || std::ranges::find(own, category.name) != own.end()) {
      ordered.push_back(category.name);
    }
  }
  return ordered;
}

bool IsAclCategory(std::string_view name) {
  return std::ranges::any_of(kCategories, [name](const Category& category) {
    return EqualsIgnoreCase(category.name, name);
  });
}

Reply CommandInfoReply(const Command& command) {
  std::vector<KeySpec> specs = KeySpecsOf(command);
  KeyRange range = RangeOf(specs);
  Reply spec_set = Reply::Set();
  for (const KeySpec& spec : specs) spec_set.Add(KeySpecReply(spec));
  Reply tips = Reply::Set();
  for (std::string_view tip : SplitAt(DetailsOf(command.name()).tips, ' ')) tips.AddView(tip);
  Reply subcommands = Reply::Set();
  for (const Command* subcommand : command.subcommands) {
    if (!subcommand->hidden) subcommands.Add(CommandInfoReply(*subcommand));
  }
  Reply info = Reply::Array();
  info.AddView(command.name()).AddInteger(command.row->arity);
  info.Add(Statuses(FlagNames(command.row->flags)));
  info.AddInteger(range.first).AddInteger(range.last).AddInteger(range.step);
  info.Add(Statuses(AclCategories(command), "@"));
  info.Add(std::move(tips)).Add(std::move(spec_set)).Add(std::move(subcommands));
  return info;
}

Reply CommandDocsReply(const Command& command) {
  const CommandRow& row = *command.row;
  const CommandDetails& details = DetailsOf(row.name);
  Reply docs = Reply::Map();
  docs.AddView("summary").AddView(row.summary);
  docs.AddView("since").AddView(row.since);
  docs.AddView("group").AddView(row.group);
  if (!row.complexity.empty()) docs.AddView("complexity").AddView(row.complexity);
  if (!details.deprecated_since.empty()) {
    docs.AddView("doc_flags").Add(Statuses({"deprecated"}));
    docs.AddView("deprecated_since").AddView(details.deprecated_since);
    docs.AddView("replaced_by").AddView(details.replaced_by);
  }
  std::vector<SyntaxNode> nodes;
  CHECK_THAT(ParseSyntax(details.syntax, &nodes));
  if (!nodes.empty()) {
    docs.AddView("arguments").Add(SyntaxReply(nodes, int(KeySpecsOf(command).size())));
  }
  if (!command.subcommands.empty() && !command.subcommands[0]->hidden) {
    Reply subcommands = Reply::Map();
    for (const Command* subcommand : command.subcommands) {
      subcommands.AddView(subcommand->name()).Add(CommandDocsReply(*subcommand));
    }
    docs.AddView("subcommands").Add(std::move(subcommands));
  }
  return docs;
}

}  // namespace redynamo
