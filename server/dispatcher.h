// SPDX-License-Identifier: Apache-2.0
// From a framed request to a rendered reply:
//
//   find the row → admission checks (admission.h) → queue it if in MULTI → keys resident?
//   (else park the session, load, come back) → handler between BeginCommand and EndCommand →
//   render → commit the output to the command's log position → count
//
// The hot path allocates nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/request.h"
#include "server/command_table.h"
#include "server/session.h"
#include "storage/engine.h"

namespace redynamo {

class Server;

enum class ExecuteResult : uint8_t {
  kDone,    // answered (or muted, or queued): the next request may run
  kParked,  // the request must be kept: it runs later (Transport::Resume tells)
  kAnsweredLater,  // its handler answers later; the request itself is done with
  kClose,   // no further request of this client
};

class Dispatcher {
 public:
  explicit Dispatcher(Server& server) : server_(server) {}

  // Runs one request. While it is kParked its bytes must stay where they are.
  ExecuteResult Execute(Session& session, std::span<const std::string_view> argv);
  // Runs one command that has been admitted and whose keys are resident, rendering its reply into
  // the session's output: for EXEC, and for the way above.
  void Run(Session& session, const Command& command, std::span<const std::string_view> argv);

  // The command's time: fixed from Begin to End.
  int64_t command_ms() const { return command_ms_; }
  bool running() const { return depth_ > 0; }

 private:
  friend class Server;
  ExecuteResult RunAlone(Session& session, const Command& command,
                         std::span<const std::string_view> argv);
  bool CollectKeys(const Session& session, const Command& command,
                   std::span<const std::string_view> argv);
  ExecuteResult Park(Session& session);
  void LoadDone(uint64_t session_id, uint64_t ticket, const Status& status);
  void Reject(Session& session, const Command* command, const Reply& error);
  void Account(Session& session, const Command& command, std::span<const std::string_view> argv,
               uint64_t ticks, bool failed);

  Server& server_;
  int64_t command_ms_ = 0;
  int depth_ = 0;
  std::vector<KeyRef> keys_;      // of the command in hand; reused
  std::vector<int> key_indexes_;  // reused
};

}  // namespace redynamo
