// SPDX-License-Identifier: Apache-2.0
// Commands that peers have forwarded to this node: each runs in a session of its own, as a client's
// would, and its reply goes back once it may leave the node. Sessions are kept and used again.
//
// Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/message.h"
#include "server/session.h"
#include "server/transport.h"

namespace redynamo {

class ForwardedClients {
 public:
  using Answer = std::function<void(const Id128& to, uint64_t request_id, wire::ForwardStatus,
                                    std::string_view reply)>;
  ForwardedClients(Server& server, Answer answer);
  ~ForwardedClients();

  void Execute(const Id128& from, const wire::Forward& command);
  // Answers those that are done, as far as the log is safe up to `position`.
  void Flush(uint64_t position);
  size_t running() const { return running_.size(); }

 private:
  class Client;
  Server& server_;
  Answer answer_;
  std::vector<std::unique_ptr<Client>> running_, idle_;
};

}  // namespace redynamo
