// SPDX-License-Identifier: Apache-2.0
#include "server/command_table.h"

#include <algorithm>
#include <set>

#include "base/number.h"

namespace redynamo {
namespace {

constexpr size_t kSlotCountMin = 256;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? char(c | 0x20) : c; }

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = Lower(c);
  return lower;
}

uint64_t HashName(std::string_view lower) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : lower) hash = (hash ^ uint8_t(c)) * 0x100000001b3;
  return hash ^ hash >> 29;
}

// Commands that MULTI does not queue.
bool RunsInsideMulti(std::string_view name) {
  static constexpr std::string_view kNames[] = {"exec",  "discard", "multi",
                                                "watch", "quit",    "reset"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

bool RowUsesEngine(const CommandRow& row) {
  return CommandTable::HasKeys(row) || row.flags & (kWrite | kReadonly | kWholeDatabase);
}

}  // namespace

std::string_view Command::leaf_name() const {
  size_t bar = row->name.find('|');
  return bar == std::string_view::npos ? row->name : row->name.substr(bar + 1);
}

CommandTable::CommandTable(std::span<const std::span<const CommandRow>> families) {
  for (std::span<const CommandRow> family : families) {
    for (const CommandRow& row : family) {
      Command& command = commands_.emplace_back();
      command.row = &row;
      command.id = uint16_t(commands_.size() - 1);
      command.uses_engine = RowUsesEngine(row);
      command.is_exec = row.name == "exec";
      command.runs_inside_multi = RunsInsideMulti(row.name);
      command.hidden = row.name.starts_with("debug|");
      command.needs_debug_permission = row.name == "debug" || command.hidden;
    }
  }
  size_t slot_count = kSlotCountMin;
  while (slot_count < commands_.size() * 4) slot_count *= 2;
  slots_.resize(slot_count);
  for (Command& command : commands_) {
    if (command.name().find('|') == std::string_view::npos) {
      Insert(std::string(command.name()), &command);
    }
  }
  for (Command& command : commands_) {
    size_t bar = command.name().find('|');
    if (bar == std::string_view::npos) continue;
    for (Command& container : commands_) {
      if (container.name() != command.name().substr(0, bar)) continue;
      command.container = &container;
      container.subcommands.push_back(&command);
    }
  }
}

void CommandTable::Insert(std::string name, const Command* command) {
  size_t mask = slots_.size() - 1;
  size_t i = HashName(name) & mask;
  while (!slots_[i].name.empty()) i = (i + 1) & mask;
  slots_[i] = {std::move(name), command};
}

const Command* CommandTable::Find(std::string_view name) const {
  if (name.empty() || name.size() > kNameBytesMax) return nullptr;
  char buffer[kNameBytesMax];
  for (size_t i = 0; i < name.size(); ++i) buffer[i] = Lower(name[i]);
  std::string_view lower(buffer, name.size());
  size_t mask = slots_.size() - 1;
  for (size_t i = HashName(lower) & mask; !slots_[i].name.empty(); i = (i + 1) & mask) {
    if (slots_[i].name == lower) return slots_[i].command;
  }
  return nullptr;
}

const Command* CommandTable::FindByRowName(std::string_view full_name) const {
  for (const Command& command : commands_) {
    if (EqualsIgnoreCase(command.name(), full_name)) return &command;
  }
  return nullptr;
}

const Command* CommandTable::FindSubcommand(const Command& container, std::string_view name) const {
  for (const Command* subcommand : container.subcommands) {
    if (EqualsIgnoreCase(subcommand->leaf_name(), name)) return subcommand;
  }
  return nullptr;
}

const Command* CommandTable::Resolve(std::span<const std::string_view> argv) const {
  const Command* command = argv.empty() ? nullptr : Find(argv[0]);
  if (!command || command->subcommands.empty() || argv.size() < 2) return command;
  return FindSubcommand(*command, argv[1]);
}

Status CommandTable::Rename(std::string_view from, std::string_view to) {
  const Command* command = Find(from);
  if (!command) return InvalidArgument("no such command: '" + std::string(from) + "'");
  if (to.size() > kNameBytesMax) return InvalidArgument("the new name is too long");
  if (!to.empty() && Find(to)) {
    return InvalidArgument("there is a command '" + std::string(to) + "' already");
  }
  for (Slot& slot : slots_) {
    // An emptied name would break the chain of probes: the slot stays, without a command.
    if (slot.command == command && slot.name == LowerCase(from)) slot.command = nullptr;
  }
  if (!to.empty()) Insert(LowerCase(to), command);
  return Status::Ok();
}

bool CommandTable::KeyIndexes(const CommandRow& row, std::span<const std::string_view> argv,
                              std::vector<int>* indexes) {
  if (row.get_keys) return row.get_keys(argv, indexes);
  if (row.first_key <= 0) return true;
  int last = row.last_key >= 0 ? row.last_key : int(argv.size()) + row.last_key;
  if (last >= int(argv.size())) return false;
  for (int i = row.first_key; i <= last; i += row.key_step) indexes->push_back(i);
  return true;
}

namespace {

void CheckRow(const CommandRow& row, const std::set<std::string_view>& names,
              std::vector<std::string>* faults) {
  auto fault = [&](std::string_view what) {
    faults->push_back(std::string(row.name) + ": " + std::string(what));
  };
  size_t bar = row.name.find('|');
  bool is_container = false;
  for (std::string_view name : names) {
    is_container |=
        name.size() > row.name.size() && name.starts_with(row.name) && name[row.name.size()] == '|';
  }
  if (row.name.empty()) fault("has no name");
  if (LowerCase(row.name) != row.name) fault("is not in lower case");
  if (row.arity == 0) fault("has no arity");
  if (bar != std::string_view::npos) {
    if (!names.contains(row.name.substr(0, bar))) fault("has no container");
    if (row.arity > -2 && row.arity < 2) fault("has an arity that does not count both names");
  }
  if (!row.handler && !is_container) fault("has no handler");
  if (row.group.empty() || row.since.empty() || row.summary.empty()) {
    fault("lacks group, since or summary");
  }
  if (row.flags & kWrite && row.flags & kReadonly) fault("is both write and readonly");
  if (row.flags & kDenyOom && !(row.flags & kWrite)) fault("denies when out of memory unwritten");
  bool has_keys = CommandTable::HasKeys(row);
  if (has_keys != (row.access != KeyAccess::kNone)) fault("keys and their access disagree");
  if (has_keys && !(row.flags & (kWrite | kReadonly)) && row.name != "watch") {
    fault("has keys but is neither write nor readonly");
  }
  if (row.first_key > 0) {
    if (row.key_step < 1) fault("has a key step below 1");
    if (row.last_key >= 0 && row.last_key < row.first_key) fault("ends its keys before the first");
    int least_argc = row.arity < 0 ? -row.arity : row.arity;
    if (row.first_key >= least_argc) fault("may come without its first key");
  }
  if (bool(row.get_keys) != bool(row.flags & kMovableKeys) && row.first_key == 0) {
    fault("get_keys and kMovableKeys disagree");
  }
}

}  // namespace

std::vector<std::string> CommandTable::Faults(
    std::span<const std::span<const CommandRow>> families) {
  std::vector<std::string> faults;
  std::set<std::string_view> names;
  for (std::span<const CommandRow> family : families) {
    for (const CommandRow& row : family) {
      if (!names.insert(row.name).second) faults.push_back(std::string(row.name) + ": twice");
    }
  }
  for (std::span<const CommandRow> family : families) {
    for (const CommandRow& row : family) CheckRow(row, names, &faults);
  }
  return faults;
}

}  // namespace redynamo
