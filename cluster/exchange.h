// SPDX-License-Identifier: Apache-2.0
// Pull exchange: anti-entropy, catching up and handoff are this one thing (REPLICATION.md 5.1).
//
// Each second a node tells each peer the clocks of the partitions that have changed since it last
// told it, and the hashes of a few others in turn. Who sees that the peer has dots that are missing
// here, and still are two seconds later (they may be under way), pulls them: it sends its clock,
// and gets the missing dots' rows. After a link has come up everything is told, and nothing waits.
//
//   a                                          b (was away)
//   REPORT P {a: 1-9}          ──────────────>   lacks a: 8, 9
//                              <──────────────   PULL P {a: 1-7}
//   PULL_BATCH P: rows of 8, 9 ──────────────>   joins them
//                              <──────────────   REPORT P {a: 1-9}
//   every home covers 1-9: the dot index lets go of them
//
// All of it is idempotent, may stop anywhere, and goes on from the clocks. Data thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cluster/links.h"
#include "storage/engine.h"

namespace redynamo {

struct ExchangeStats {
  uint64_t pulls = 0, pulled_dots = 0, pulled_bytes = 0, served_pulls = 0, served_bytes = 0;
  uint64_t need_full = 0;  // answers that only a full sync could give
  uint64_t failed = 0;
};

class Exchange {
 public:
  // Peers that share the partition, this node left out.
  using HomesOf = std::function<std::vector<Id128>(int partition)>;
  // Of a pull that was waited for: all that the peer had when asked is joined here.
  using Done = std::function<void(const Status&)>;

  Exchange(Engine& engine, Links& links, HomesOf homes_of, int partitions);

  void PeerUp(const Id128& peer);
  void PeerDown(const Id128& peer);
  void Tick(int64_t now_ms);
  // Pulls the partition from the peer now.
  void PullNow(const Id128& peer, int partition, Done done);

  Status On(const Id128& peer, const wire::Clocks& message);
  Status On(const Id128& peer, const wire::Report& message);
  Status On(const Id128& peer, const wire::Pull& message);
  Status On(const Id128& peer, const wire::PullBatch& message);
  Status On(const Id128& peer, const wire::PullNeedFull& message);

  // Partitions in which the peer's clock, as last told, is not known to cover this node's.
  uint64_t BehindCount(const Id128& peer) const;
  // True when every home is known to have all that this node has.
  bool AllTold() const;
  const ExchangeStats& stats() const { return stats_; }

 private:
  struct Place {             // a partition as a peer has it
    uint64_t told_hash = 0;  // of the clock that it was last told
    bool told = false;
    uint64_t known_hash = 0;  // of its clock, as it last said
    bool known = false;
    ReplicaClock clock;
    int64_t missing_since_ms = -1;  // it has what is missing here
  };
  struct Request {
    int partition = 0;
    int64_t deadline_ms = 0;
    bool joining = false;  // its batch is being accepted
    std::vector<Done> waiting;
  };
  struct Peer {
    std::vector<Place> places;
    std::deque<int> wanted;  // partitions to pull
    std::set<int> queued;
    std::map<uint64_t, Request> under_way;     // by request id
    std::map<int, std::vector<Done>> waiting;  // for partitions that are queued
    bool eager = true;  // the link is fresh: what is missing is not under way
    int next_slice = 0;
  };

  void Tell(const Id128& id, Peer& peer, bool all);
  void Want(const Id128& id, Peer& peer, int partition, bool first);
  void StartPulls(const Id128& id, Peer& peer);
  void SendPull(const Id128& id, uint64_t request_id, int partition);
  void Finish(const Id128& id, uint64_t request_id, const Status& status);
  void Learn(const Id128& id, Peer& peer, int partition, const ReplicaClock& clock);
  void ForgetDots(int partition);
  bool Shared(const Id128& peer, int partition) const;
  Peer* Find(const Id128& peer);

  Engine& engine_;
  Links& links_;
  HomesOf homes_of_;
  int partitions_;
  std::map<Id128, Peer> peers_;
  uint64_t next_request_ = 1;
  int64_t now_ms_ = 0;
  int64_t told_ms_ = 0;
  ExchangeStats stats_;
};

}  // namespace redynamo
