// SPDX-License-Identifier: Apache-2.0
// A command as COMMAND INFO, DOCS, LIST and GETKEYS tell of it: from its row and its details.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "protocol/reply.h"
#include "server/command_table.h"

namespace redynamo {

// Where keys are among a command's arguments, and what it does to them.
struct KeySpec {
  std::vector<std::string_view> flags;  // "RW", "access", "update", ...
  int index = 0;                        // argv index where it begins
  bool counted = false;                 // argv[index] is the number of keys; they follow it
  int last = 0;  // offset of the last key from the first; negative: counted from the end of argv
  int step = 1;
};

// Parses CommandDetails::key_specs; false when it does not follow its grammar.
bool ParseKeySpecs(std::string_view text, std::vector<KeySpec>* specs);
// Of the details, or made from the row.
std::vector<KeySpec> KeySpecsOf(const Command& command);
// (argv index, flags) of each key of a call. The flags are exact for this call: SET without GET
// overwrites, with GET it reads as well. Empty: the arguments are malformed, or there are no keys.
struct KeyUse {
  int index;
  std::vector<std::string_view> flags;
};
std::vector<KeyUse> KeysWithFlags(const Command& command, std::span<const std::string_view> argv);

// "write", "fast", ... in Redis' order.
std::vector<std::string_view> FlagNames(uint32_t flags);
// ACL categories without the "@", in Redis' order.
std::vector<std::string_view> AclCategories(const Command& command);
bool IsAclCategory(std::string_view name);

// One element of COMMAND INFO's array.
Reply CommandInfoReply(const Command& command);
// The value in COMMAND DOCS' map.
Reply CommandDocsReply(const Command& command);

}  // namespace redynamo
