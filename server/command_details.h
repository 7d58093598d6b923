// SPDX-License-Identifier: Apache-2.0
// What COMMAND tells of a command beyond its row (command.h): the arguments' syntax, exact key
// specifications, tips and categories. Data only; nothing of it steers how a command runs.
#pragma once

#include <string_view>

namespace redynamo {

struct CommandDetails {
  std::string_view name;    // as CommandRow::name
  std::string_view syntax;  // command_syntax.h says how it is written
  // "FLAG FLAG @place", several divided by ';'. A place: "1" (that argument), "1..-1" (up to the
  // last), "1..-1/2" (every second), "1..+1" (and the next one), "1#" (a count, then that many).
  // Empty: what the row's first_key, last_key, key_step and access say.
  std::string_view key_specs = {};
  std::string_view tips = {};  // divided by blanks
  // ACL categories beside those that flags and group imply; with "-" before it: not that one.
  std::string_view categories = {};
  std::string_view replaced_by = {};  // of a deprecated command
  std::string_view deprecated_since = {};
};

// An empty row for a command that needs none.
const CommandDetails& DetailsOf(std::string_view name);

}  // namespace redynamo
