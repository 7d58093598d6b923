// SPDX-License-Identifier: Apache-2.0
// The addresses that a node keeps dialling: which are due, and how long to wait after a failure.
//
// An address is due while no link is up with the node that last answered there, or nobody ever has.
// Between tries the wait doubles from LinkTimes::backoff_min_ms to backoff_max_ms, and up to a
// quarter of it is left off at random, so that nodes that start together do not stay in step.
#pragma once

#include <uv.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "cluster/links.h"
#include "server/uv_address.h"

namespace redynamo {

class UvPeerDialer {
 public:
  struct Hooks {
    // To connect to `where`. What becomes of it is told by one of Failed, Refused, MetSelf and Met.
    std::function<void(const std::string& address, const sockaddr* where)> dial;
    std::function<bool(const Id128& node)> is_up;
  };
  UvPeerDialer(uv_loop_t* loop, const Clock& clock, LinkTimes times, uint64_t seed, Hooks hooks);
  ~UvPeerDialer();

  void Add(const std::string& address);
  void Remove(const std::string& address) { targets_.erase(address); }
  // Dials what is due.
  void Tick();

  // --- what became of a dial; all are harmless for an address that is not kept ---
  void Failed(const std::string& address, std::string_view why);
  // The node there will not be welcome soon: waits for the longest time at once.
  void Refused(const std::string& address);
  // This very process answers there: it is never dialled again.
  void MetSelf(const std::string& address);
  // There is a link, or a spare one, with the node that answers there.
  void Met(const std::string& address, const Id128& node);
  // The link with a node is down, after so long.
  void Lost(const Id128& node, int64_t lived_ms);

 private:
  struct Target {
    std::optional<Id128> node;  // who last answered there
    bool self = false;
    bool busy = false;          // looked up, dialled, or saying Hello
    bool failure_told = false;  // until it has answered again
    int64_t backoff_ms = 0;     // the last one
    int64_t next_us = 0;
    uint64_t tries = 0;
  };
  struct Lookup;  // of a name; owns itself until libuv is done with it

  Target* Find(const std::string& address);
  void Start(const std::string& address, Target* target);
  void LookedUp(const std::string& address, int error, const addrinfo* found);
  void Wait(Target* target, bool longest);

  uv_loop_t* loop_;
  const Clock& clock_;
  const LinkTimes times_;
  Random random_;
  Hooks hooks_;
  std::map<std::string, Target> targets_;
  std::set<Lookup*> lookups_;
};

}  // namespace redynamo
