// SPDX-License-Identifier: Apache-2.0
// May this client run this command now? A list of named checks, run in order until one refuses.
#pragma once

#include <span>
#include <string_view>

#include "protocol/reply.h"
#include "server/command_table.h"
#include "server/session.h"

namespace redynamo {

class Engine;

// One command that asks to be run.
struct AdmissionCall {
  Server& server;
  Session& session;
  const Command& command;
  std::span<const std::string_view> argv;
  // The command's flags; for EXEC those of its queue as well, since it is them that it runs.
  uint32_t flags;
};

struct AdmissionCheck {
  std::string_view name;
  uint32_t only_for;  // asked if the call has one of these flags; 0: always
  // Fills `refusal` when the answer is no.
  bool (*admits)(const AdmissionCall& call, Reply* refusal);
};

// In the order in which Redis checks, so that the same error wins.
std::span<const AdmissionCheck> AdmissionChecks();

// At most so many bytes of log for what the arguments say: it is reserved before anything is done.
uint64_t ArgumentLogBytes(const Engine& engine, const CommandRow& row,
                          std::span<const std::string_view> argv);
// What a client is told of a log that has no room, or not that much: -MISCONF or -ERR.
Reply NoLogSpace(const Status& status);

// A web page can make its reader's browser send commands to a server of the reader's network. Such
// a request has one of these words first in a line; its connection is closed at once, as in Redis.
bool LooksLikeHttp(std::string_view name);

// The texts for names that are no command, or no subcommand of theirs.
Reply UnknownCommand(std::span<const std::string_view> argv);
Reply UnknownSubcommand(const Command& container, std::string_view name);
Reply WrongArity(const Command& command);

}  // namespace redynamo
