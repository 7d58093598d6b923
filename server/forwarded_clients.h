// SPDX-License-Identifier: Apache-2.0
// Commands that peers have forwarded to this node: each runs in a session of its own, as a client's
// would, and its reply goes back once it may leave the node. Sessions are kept and used again.
//
// What one client of a peer sends runs in that order: while one of its commands is parked (its keys
// come from disk, or are compared with other replicas'), later ones wait behind it.
//
// Data thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
  // Runs those that had to wait for a command that has run meanwhile. To be called once a turn.
  void StartWaiting();
  // Answers those that are done, as far as the log is safe up to `position`.
  void Flush(uint64_t position);
  size_t running() const { return running_.size(); }
  size_t waiting() const { return waiting_.size(); }  // clients

 private:
  class Client;
  using Stream = std::pair<Id128, uint64_t>;  // peer, and its client
  void Run(std::unique_ptr<Client> client);

  Server& server_;
  Answer answer_;
  std::vector<std::unique_ptr<Client>> running_, idle_;
  std::map<Stream, Client*> parked_;  // of running_
  std::map<Stream, std::deque<std::unique_ptr<Client>>> waiting_;
};

}  // namespace redynamo
