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
std::span<const CommandRow> StringNumberCommands();
std::span<const CommandRow> StringRangeCommands();
std::span<const CommandRow> LcsCommands();
std::span<const CommandRow> BitmapCommands();
std::span<const CommandRow> BitfieldCommands();
std::span<const CommandRow> HashCommands();
std::span<const CommandRow> HashReadCommands();
std::span<const CommandRow> SetCommands();
std::span<const CommandRow> SetAlgebraCommands();
std::span<const CommandRow> KeyCommands();
std::span<const CommandRow> ExpireCommands();
std::span<const CommandRow> ScanCommands();
std::span<const CommandRow> ObjectCommands();
std::span<const CommandRow> DatabaseCommands();
std::span<const CommandRow> WaitCommands();

// server/admin: connections and the server
std::span<const CommandRow> ConnectionCommands();
std::span<const CommandRow> ClientCommands();
std::span<const CommandRow> TransactionCommands();
std::span<const CommandRow> PubSubCommands();
std::span<const CommandRow> InfoCommands();
std::span<const CommandRow> ConfigCommands();
std::span<const CommandRow> CommandCommands();
std::span<const CommandRow> PersistenceCommands();
std::span<const CommandRow> SlowlogCommands();
std::span<const CommandRow> LatencyCommands();
std::span<const CommandRow> MemoryCommands();
std::span<const CommandRow> DebugCommands();
std::span<const CommandRow> LolwutCommands();
std::span<const CommandRow> RingCommands();
std::span<const CommandRow> RingMemberCommands();
std::span<const CommandRow> RingQuorumCommands();
std::span<const CommandRow> RingSiblingCommands();
std::span<const CommandRow> ClusterCommands();

// All that are linked in. The order does not matter.
std::span<const std::span<const CommandRow>> AllCommandFamilies();

}  // namespace redynamo
