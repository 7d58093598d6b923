// SPDX-License-Identifier: Apache-2.0
// Every command family of this server, declared once and listed once (command_families.cc). A
// family's file ends with its rows and one of these functions:
//
//   constexpr CommandRow kRows[] = {...};
//   std::span<const CommandRow> StringCommands() { return kRows; }
#pragma once

#include <span>

#include "server/command.h"

namespace redynamo {

// server/commands: data
std::span<const CommandRow> StringCommands();
std::span<const CommandRow> BitmapCommands();
std::span<const CommandRow> HashCommands();
std::span<const CommandRow> SetCommands();
std::span<const CommandRow> KeysCommands();

// server/admin: connections and the server
std::span<const CommandRow> ConnectionCommands();
std::span<const CommandRow> ClientCommands();
std::span<const CommandRow> TransactionCommands();
std::span<const CommandRow> PubSubCommands();

// All that are linked in. The order does not matter.
std::span<const std::span<const CommandRow>> AllCommandFamilies();

}  // namespace redynamo
