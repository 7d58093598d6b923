// SPDX-License-Identifier: Apache-2.0
// The links of a node to its peers, as the node sees them: no sockets, no timers. Between two
// processes there is at most one link, whoever dialled. server/uv_peer_links.h has it over TCP; a
// simulator can have it over nothing.
//
// All of it on the data thread. Links never calls LinkEvents from within Send, Connect, Forget,
// SetSelf or Disconnect; LinkEvents may call any of these from within an event.
//
// Order: the messages of one link arrive in the order sent, each once or, when the link breaks, not
// at all; nothing is sent again. Two links to the same peer may overlap for a moment while a double
// dial is settled, and messages of one then overtake those of the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cluster/message.h"

namespace redynamo {

struct LinkTimes {
  int64_t ping_ms = 1000;
  int64_t silence_ms = 3000;     // without a byte from the peer: the link is down
  int64_t handshake_ms = 3000;   // for dialling, and again for the peer's Hello
  int64_t backoff_min_ms = 100;  // between tries to dial; doubles up to backoff_max_ms
  int64_t backoff_max_ms = 2000;
  int64_t settle_ms = 1000;        // after a double dial, before the spare connection is closed
  int64_t skew_warning_ms = 1000;  // clocks further apart are worth a warning
};

struct LinkBounds {
  // Waiting for one peer's socket: above the first Events and Publish are dropped, above the second
  // the link is closed. A message is taken or refused whole, so one may exceed the bound by its
  // size.
  uint64_t queue_bytes = 64ull << 20;
  uint64_t queue_bytes_closing = 512ull << 20;
  size_t strangers = 64;  // connections that have not said who they are; more are closed at once
  size_t spares = 4;      // second connections of one peer
};

enum class SendResult {
  kQueued,
  kNotConnected,  // no link to that peer: nothing was sent
  kDropped,       // Events and Publish only: the queue is full. Events are pulled later; the log is
                  // the hint.
};

enum class LinkDown : uint8_t {
  kClosed,        // the peer has closed, or the connection broke
  kSilent,        // nothing was heard for LinkTimes::silence_ms
  kRestarted,     // the peer is there again as another process
  kRefused,       // a later Hello does not fit any more (another ring)
  kBadBytes,      // not frames, or a payload that OnMessage refused
  kNotReading,    // more waits to be sent than a link may hold
  kDisconnected,  // by Disconnect
};
std::string_view LinkDownText(LinkDown reason);

// One peer with a link that is up, for INFO and RING.STATUS.
struct LinkReport {
  wire::Hello hello;     // its latest
  std::string address;   // of its socket
  bool dialled = false;  // by us
  int64_t up_since_ms = 0;
  int64_t round_trip_us = -1;  // of the last ping; -1: none has come back yet
  int64_t clock_skew_ms = 0;   // its wall clock minus ours when its last Hello came
  uint64_t queued_bytes = 0;   // not taken by the socket yet
  uint64_t messages_in = 0, messages_out = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
};

// Since the start, over all links.
struct LinkStats {
  uint64_t links_up = 0;     // now
  uint64_t connections = 0;  // now: of links, spare ones, and of those that have not said Hello yet
  uint64_t messages_in = 0, messages_out = 0;
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t dropped_events = 0;      // SendResult::kDropped
  uint64_t control_over_bound = 0;  // other messages queued although the queue was full
  uint64_t unknown_messages = 0;    // skipped
  uint64_t refused_handshakes = 0;
  uint64_t bad_streams = 0;  // LinkDown::kBadBytes, strangers included
  uint64_t links_lost = 0;   // OnPeerDown calls
};

class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  // From now on Send to hello.node_id works.
  virtual void OnPeerUp(const wire::Hello& hello) = 0;
  // The peer has sent another Hello: its ring, epoch, actor or addresses have changed.
  virtual void OnPeerChanged(const wire::Hello& hello) = 0;
  // What was queued or under way to it may or may not have arrived.
  virtual void OnPeerDown(const Id128& peer, LinkDown reason) = 0;
  // A known kind other than Hello, Ping and Ack. `payload` lives until this returns; VisitMessage
  // decodes it. Anything but ok closes the link: a peer that cannot be understood is as good as
  // none.
  virtual Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) = 0;
};

class Links {
 public:
  virtual ~Links() = default;

  // What this node says of itself; `process` and `wall_ms` are filled in by the links. Peers with a
  // link are told, and looked at again: one of another ring is closed.
  virtual void SetSelf(const wire::Hello& self) = 0;

  // Keeps dialling "host:port" until there is a link with the node that answers there, and again
  // whenever that link is lost. Harmless to repeat.
  virtual void Connect(const std::string& address) = 0;
  // Ends that. A link that is up stays.
  virtual void Forget(const std::string& address) = 0;

  // Encodes the message into the peer's queue, which leaves at the end of this turn of the loop.
  virtual SendResult Send(const Id128& peer, Message message) = 0;
  virtual bool IsUp(const Id128& peer) const = 0;
  // Closes the link; OnPeerDown follows. Addresses that were given to Connect are dialled again.
  virtual void Disconnect(const Id128& peer) = 0;

  virtual std::vector<LinkReport> Report() const = 0;  // by node id
  virtual LinkStats Stats() const = 0;
};

}  // namespace redynamo
