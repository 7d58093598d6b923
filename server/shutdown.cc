// SPDX-License-Identifier: Apache-2.0
#include "server/shutdown.h"

#include <utility>

#include "server/server.h"

namespace redynamo {

void ShutdownControl::Begin(const ShutdownOptions& options, const DeferredReply& client) {
  waiting_.push_back(client);
  if (in_progress_) return;
  if (!options.save || options.now || !server_.has_engine()) {
    server_.loop->RequestShutdown({.checkpoint = options.save, .now = options.now});
    return;
  }
  in_progress_ = true;
  force_ = options.force;
  LogNotice("SHUTDOWN: writes wait while the last checkpoint is made");
  uint64_t attempt = ++attempt_;
  server_.engine().Checkpoint(
      [this, attempt](const Status& status) { CheckpointDone(attempt, status); });
}

bool ShutdownControl::Abort() {
  if (!in_progress_) return false;
  LogNotice("SHUTDOWN was called off by SHUTDOWN ABORT");
  CallOff();
  return true;
}

void ShutdownControl::CheckpointDone(uint64_t attempt, const Status& status) {
  if (!in_progress_ || attempt != attempt_) return;
  if (!status.ok()) {
    LogWarning("SHUTDOWN: the checkpoint failed: " + status.message());
    if (!force_) {
      LogWarning("SHUTDOWN is given up; with FORCE or NOSAVE the log alone keeps what it lacks");
      return CallOff();
    }
  }
  // What the checkpoint did not see any more is in the log.
  server_.loop->RequestShutdown({.checkpoint = false});
}

void ShutdownControl::CallOff() {
  in_progress_ = false;
  Reply failed = Reply::Error("ERR Errors trying to SHUTDOWN. Check logs.");
  for (const DeferredReply& client : std::exchange(waiting_, {})) server_.Answer(client, failed);
  server_.ResumeHeldBack();
}

}  // namespace redynamo
