// SPDX-License-Identifier: Apache-2.0
// The commands by name. Rows are data (command.h); the table adds what only exists once: a dense
// id for statistics, the tie between a container and its subcommands, and renamed names.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/command.h"

namespace redynamo {

struct Command {
  const CommandRow* row = nullptr;
  uint16_t id = 0;                          // 0 .. table.size()-1: index of ServerStats::commands
  const Command* container = nullptr;       // of a subcommand
  std::vector<const Command*> subcommands;  // of a container, in the order of the rows
  bool uses_engine = false;                 // has keys or reads or changes data
  bool runs_inside_multi = false;           // MULTI does not queue it
  bool is_exec = false;
  bool needs_debug_permission = false;  // enable-debug-command
  bool hidden = false;  // from COMMAND: DEBUG's subcommands, which Redis' table does not have

  std::string_view name() const { return row->name; }  // "config|get"
  std::string_view leaf_name() const;                  // "get"
  bool has(uint32_t flag) const { return row->flags & flag; }
};

class CommandTable {
 public:
  explicit CommandTable(std::span<const std::span<const CommandRow>> families);
  CommandTable(const CommandTable&) = delete;
  CommandTable& operator=(const CommandTable&) = delete;

  // A top-level command in any case of letters, by its renamed name if it has one; null if none.
  const Command* Find(std::string_view name) const;
  // By the name of the row whatever it was renamed to: for COMMAND INFO and statistics.
  const Command* FindByRowName(std::string_view full_name) const;
  const Command* FindSubcommand(const Command& container, std::string_view name) const;
  // The command that `argv` names: the subcommand where there is one, else the container or plain
  // command; null if there is none. argv may be short.
  const Command* Resolve(std::span<const std::string_view> argv) const;

  const std::deque<Command>& all() const { return commands_; }
  size_t size() const { return commands_.size(); }

  // rename-command: before clients come. An empty `to` removes it. InvalidArgument if `from` is
  // no command or `to` is one already.
  Status Rename(std::string_view from, std::string_view to);

  // The argv indexes of a command's keys, appended. False when the arguments are too malformed to
  // have any (the handler will say what is wrong).
  static bool KeyIndexes(const CommandRow& row, std::span<const std::string_view> argv,
                         std::vector<int>* indexes);
  static bool HasKeys(const CommandRow& row) { return row.first_key > 0 || row.get_keys; }
  static bool ArityFits(const CommandRow& row, size_t argc) {
    return row.arity >= 0 ? argc == size_t(row.arity) : argc >= size_t(-row.arity);
  }

  // What is wrong with rows, as readable lines; empty when all is well. A unit test asks.
  static std::vector<std::string> Faults(std::span<const std::span<const CommandRow>> families);

 private:
  static constexpr size_t kNameBytesMax = 64;
  struct Slot {
    std::string name;  // lower case
    const Command* command = nullptr;
  };
  void Insert(std::string name, const Command* command);

  std::deque<Command> commands_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most a quarter full
};

}  // namespace redynamo
