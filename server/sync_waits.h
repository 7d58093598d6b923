// SPDX-License-Identifier: Apache-2.0
// Clients in WAITAOF: each waits until the log is on disk up to what it has written, or for its
// time to be over. Data thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "server/session.h"

namespace redynamo {

class SyncWaits {
 public:
  explicit SyncWaits(Server& server) : server_(server) {}

  // `position` of the log; `until_ms`: 0 for ever. REQUIRES: an engine.
  void Add(const DeferredReply& client, uint64_t position, int64_t until_ms);
  // Answers those whose wait is over: whenever something was synced, and at each tick.
  void Check();
  bool empty() const { return waits_.empty(); }
  // WAITAOF's answer: copies on disk here (0 or 1) and on other nodes.
  static Reply Answer(bool synced);

 private:
  struct Wait {
    DeferredReply client;
    uint64_t position;
    int64_t until_ms;
  };
  Server& server_;
  std::vector<Wait> waits_;
};

}  // namespace redynamo
