// SPDX-License-Identifier: Apache-2.0
// SHUTDOWN: while the last checkpoint is made, commands that write are held back and all others are
// served; until it is finished the stop can be called off. Signals do not come here: they stop at
// once, since what was answered is in the log with or without a checkpoint.
//
//   Begin ──(NOSAVE, NOW, no engine yet)─────────────────────────────► RequestShutdown
//     └──► waiting for the checkpoint ──(done, or failed with FORCE)──►    of the loop
//              └──(failed, Abort)──► serving as before; who asked gets an error
//
// Data thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "server/session.h"

namespace redynamo {

struct ShutdownOptions {
  bool save = true;    // make a checkpoint first
  bool now = false;    // do not serve anybody meanwhile
  bool force = false;  // stop even if the checkpoint fails: the log has everything
};

class ShutdownControl {
 public:
  explicit ShutdownControl(Server& server) : server_(server) {}

  bool in_progress() const { return in_progress_; }
  // REQUIRES: the server has a loop. `client` is answered only if nothing comes of it. While a stop
  // is in progress, a second request just waits for the end of that one.
  void Begin(const ShutdownOptions& options, const DeferredReply& client);
  // False when none is in progress.
  bool Abort();

 private:
  void CheckpointDone(uint64_t attempt, const Status& status);
  void CallOff();

  Server& server_;
  bool in_progress_ = false;
  bool force_ = false;
  uint64_t attempt_ = 0;  // checkpoints of earlier ones say nothing
  std::vector<DeferredReply> waiting_;
};

}  // namespace redynamo
