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
// A peer whose dot index does not reach back so far answers that a full sync is needed: then all
// rows of the partition are fetched from it, piece by piece, and what the others have beyond is
// pulled.
//
// In a ring of more nodes than homes, a *writer* of a partition is a home, or one on its way to be
// one; it pulls from all. Who holds a replica and is no writer is a *guest* (it stood in for a
// home) or has left the homes: it tells the writers, which pull from it and tell it what they have,
// until it may let its replica go (guests.h).
//
// Pulls are served as fast as this node's own writes bear (serving_pace.h); what has to wait is
// served in the order in which it came.
//
// What is told is durable, else a peer would let go of what a power cut takes back here. All of it
// is idempotent, may stop anywhere, and goes on from the clocks. Data thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cluster/links.h"
#include "cluster/placement.h"
#include "cluster/serving_pace.h"
#include "storage/engine.h"

namespace redynamo {

struct ExchangeStats {
  uint64_t pulls = 0, pulled_dots = 0, pulled_bytes = 0, served_pulls = 0, served_bytes = 0;
  uint64_t need_full = 0;  // answers that only a full sync could give
  uint64_t full_syncs = 0, full_bytes = 0, served_full_bytes = 0;
  uint64_t failed = 0;
};

class Exchange {
 public:
  // By whom a partition is written: placement.h.
  using PlaceOf = std::function<const Place&(int partition)>;
  // Of a pull that was waited for: all that the peer had when asked is joined here.
  using Done = std::function<void(const Status&)>;

  Exchange(Engine& engine, Links& links, ServingPace& pace, const Id128& self, PlaceOf place_of,
           int partitions);

  // `actor`: under which it writes. Another one than before: what it had may have been lost.
  void PeerUp(const Id128& peer, const Id128& actor);
  void PeerDown(const Id128& peer);
  // This node writes under another actor: its peers have forgotten what it had told them.
  void SelfRotated();
  // Other views: who comes to be a writer begins with nothing.
  void ViewsChanged();
  void Tick(int64_t now_ms);
  // The log is safe up to there: what was to be told as of that position may go.
  void LogAdvanced(uint64_t position);
  // Requests from here on; before the first one. See Node::first_request_.
  void NumberFrom(uint64_t first) { next_request_ = first; }
  // Is called whenever something that was pulled has been joined: also where this node is no
  // writer, and pulls for a read.
  void SetPulled(std::function<void(int partition)> pulled) { pulled_ = std::move(pulled); }
  // Pulls the partition from the peer now.
  void PullNow(const Id128& peer, int partition, Done done);

  Status On(const Id128& peer, const wire::Clocks& message);
  Status On(const Id128& peer, const wire::Report& message);
  Status On(const Id128& peer, const wire::Pull& message);
  Status On(const Id128& peer, const wire::PullBatch& message);
  Status On(const Id128& peer, const wire::PullNeedFull& message);
  Status On(const Id128& peer, const wire::FullGet& message);
  Status On(const Id128& peer, const wire::FullPiece& message);

  // False while a pull of the partition is half done, and for a minute after one has broken off:
  // its rows may lack what only events that were not pulled yet have removed.
  bool Settled(int partition) const;

  // Partitions that the peer writes, and in which its clock, as last told, is not known to cover
  // this node's.
  uint64_t BehindCount(const Id128& peer) const;
  // True when every writer is known to have all that this node has.
  bool AllTold() const;
  // Whether the writers are known to have all of `clock`; `missing`, if any, gets those that do
  // not.
  bool WritersCover(int partition, const ReplicaClock& clock, std::vector<Id128>* missing) const;
  // How many writers, this node left out, are known to have the event.
  int WritersHaving(const EventId& event) const;
  // What every writer (this node left out) is known to have durably; empty while one has not said.
  ReplicaClock WritersClock(int partition) const;
  // Peers that hold a replica and are no writers, as far as they have said so.
  std::vector<Id128> GuestsOf(int partition) const;
  const ExchangeStats& stats() const { return stats_; }

 private:
  struct Replica {           // a partition as a peer has it
    bool writer = false;     // as of the views that ViewsChanged has seen
    uint64_t told_hash = 0;  // of the clock that it was last told
    bool told = false;
    bool told_held = false;  // that there is something here
    bool known = false;
    ReplicaClock clock{};           // all that it has ever said, for an older report may come later
    int64_t missing_since_ms = -1;  // it has what is missing here
  };
  struct Request {
    int partition = 0;
    int64_t deadline_ms = 0;
    bool joining = false;  // its batch is being accepted
    bool full = false;     // a full sync
    std::vector<Done> waiting;
  };
  struct Peer {
    Id128 actor{};
    std::vector<Replica> places;
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
  void Serve(std::function<void()> serve);
  void ServePull(const Id128& id, uint64_t request_id, int partition, const ReplicaClock& clock,
                 uint64_t max_bytes);
  void ServeFull(const Id128& id, uint64_t request_id, int partition, uint64_t cursor,
                 uint64_t max_bytes);
  void Finish(const Id128& id, uint64_t request_id, const Status& status);
  void Joined(const Id128& id, uint64_t request_id, int partition, const Status& status, bool more,
              uint64_t dots, const std::function<void()>& go_on);
  void Learn(const Id128& id, Peer& peer, int partition, const ReplicaClock& clock);
  void ForgetDots(int partition);
  bool Tells(const Id128& id, const Peer& peer, int partition);
  uint64_t IrregularHash(int partition);
  void NoteWriters(const Id128& id, Peer* peer);
  Peer* Find(const Id128& peer);

  // A report or hashes that wait until they are durable.
  struct Telling {
    uint64_t position;
    Id128 peer;
    uint16_t partition;
    std::string clock;  // empty: `hashes`
    wire::Clocks hashes;
  };

  Engine& engine_;
  Links& links_;
  ServingPace& pace_;
  Id128 self_;
  PlaceOf place_of_;
  std::function<void(int)> pulled_;
  int partitions_;
  std::vector<uint64_t> view_epochs_;  // by partition, as of the last ViewsChanged
  std::map<Id128, Peer> peers_;
  std::deque<Telling> tellings_;
  std::set<int> full_under_way_;      // partitions
  std::map<int, int64_t> unsettled_;  // partitions whose pull has broken off, until when
  uint64_t next_request_ = 1;
  std::deque<std::function<void()>> to_serve_;
  int64_t now_ms_ = 0;
  int64_t told_ms_ = 0;
  ExchangeStats stats_;
};

}  // namespace redynamo
