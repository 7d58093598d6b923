// SPDX-License-Identifier: Apache-2.0
// Subscribers of other nodes of the ring: what is published here, and the keyspace events of
// commands that run here, are sent to the peers, each of which gives it to its own clients.
//
//   PUBLISH, SPUBLISH     to every peer with a link
//   keyspace events       to those peers whose clients listen for them, and only of the classes
//                         that the peer's own notify-keyspace-events asks for; a peer says so in
//                         KEY_EVENTS_WANTED before its client has its subscription confirmed
//
// At most once: to a peer without a link, or that is hopelessly behind, nothing is sent, ever. What
// one client publishes arrives in order. A message leaves when what caused it is safe in the log,
// as a client's reply does.
//
// Data thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "cluster/links.h"

namespace redynamo {

class Server;

class RingPubSub {
 public:
  explicit RingPubSub(Server& server);
  ~RingPubSub();
  RingPubSub(const RingPubSub&) = delete;
  RingPubSub& operator=(const RingPubSub&) = delete;
  void SetLinks(Links* links) { links_ = links; }

  // --- from PubSub ---
  void Published(bool sharded, std::string_view channel, std::string_view message);
  void KeyEvent(int database, uint32_t notify_class, std::string_view event, std::string_view key);

  // --- from the ring ---
  static bool Takes(MessageKind kind) {
    return kind == MessageKind::kPublish || kind == MessageKind::kKeyEventsWanted;
  }
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload);
  void PeerUp(const Id128& peer);
  void PeerDown(const Id128& peer);
  // The turn's records are written; then, what depends on the log up to there may leave.
  void TurnWritten();
  void Flush(uint64_t position);

  uint64_t sent() const { return sent_; }
  uint64_t received() const { return received_; }
  uint64_t dropped() const { return dropped_; }

 private:
  struct Waiting {
    uint64_t position;     // UINT64_MAX: not known before the turn is written
    uint32_t wanted_bits;  // all of which the peer must want
    bool sharded;
    std::string channel, message;
  };
  uint32_t WantedHere() const;
  void Learn();

  Server& server_;
  Links* links_ = nullptr;
  std::map<Id128, uint32_t> peers_;  // with a link: the classes they want
  std::deque<Waiting> waiting_;
  uint32_t asked_ = 0;  // by all of them together
  uint32_t told_ = 0;   // what the peers know to be wanted here
  uint64_t sent_ = 0, received_ = 0, dropped_ = 0;
};

}  // namespace redynamo
