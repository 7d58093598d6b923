// SPDX-License-Identifier: Apache-2.0
#include "server/sync_waits.h"

#include <utility>

#include "server/server.h"

namespace redynamo {

Reply SyncWaits::Answer(bool synced) {
  Reply answer = Reply::Array();
  answer.AddInteger(synced ? 1 : 0).AddInteger(0);
  return answer;
}

void SyncWaits::Add(const DeferredReply& client, uint64_t position, int64_t until_ms) {
  waits_.push_back({client, position, until_ms});
  server_.engine().RequestSync();
}

void SyncWaits::Check() {
  // Answering lets clients go on, who may wait again: not in the list that is walked.
  for (const Wait& wait : std::exchange(waits_, {})) {
    bool synced = server_.engine().SyncedPosition() >= wait.position;
    if (synced || (wait.until_ms != 0 && server_.now_ms() >= wait.until_ms)) {
      server_.Answer(wait.client, Answer(synced));
    } else {
      waits_.push_back(wait);
    }
  }
}

}  // namespace redynamo
