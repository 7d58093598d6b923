// SPDX-License-Identifier: Apache-2.0
// Links over TCP: listens on the ring's port, dials the addresses that the node knows, says Hello,
// keeps one link per peer, and notices silence.
//
//            dialled: kDialling ─┐
//                                ├─> kGreeting ── fits ──> kUp ── lost ──> kEnded
//            accepted ───────────┘       │                  ^
//                                        └─ a double dial ─> kSpare
//
// Both sides send a Hello at once and take nothing else before they have read one
// (cluster/handshake.h says what it is worth). Of two connections between the same two processes
// one becomes the spare: nothing is sent on it, but what comes is taken, since the other side may
// learn of the double dial a moment later. Its dialler closes it after LinkTimes::settle_ms. When
// the link breaks and a spare is left, that one goes on as a new link: so a connection that only
// one side knows to be dead never locks a peer out.
//
// Data thread only. Messages leave in Flush, which the owner calls at the end of a turn: behind the
// writing of the log, so that no event leaves a node that could still forget it.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "cluster/links.h"
#include "server/uv_peer_dialer.h"

namespace redynamo {

struct FramedMessage;

struct PeerLinksOptions {
  LinkTimes times;
  LinkBounds bounds;
  uint64_t seed = 1;  // of waits between dials
};

class UvPeerLinks : public Links {
 public:
  // Says that Flush is wanted in this turn of the loop; called once until Flush has been.
  using WantFlush = std::function<void()>;

  // All four must outlive it. `process` is random and not 0 (wire::Hello::process).
  UvPeerLinks(uv_loop_t* loop, const Clock& clock, LinkEvents& events, uint64_t process,
              WantFlush want_flush, PeerLinksOptions options = {});
  // Closes everything without another call to LinkEvents. The loop must run until the handles are
  // closed; they do not need this object for it.
  ~UvPeerLinks() override;

  // Accepts peers there. The error names the address. May be called for several addresses. Port 0
  // takes a free one: see port().
  Status Listen(const sockaddr_storage& address, int backlog);
  int port() const { return port_; }  // of the last Listen

  // Writes what has been queued. May call LinkEvents, for links that have to be closed.
  void Flush();

  // Links. SetSelf comes first.
  void SetSelf(const wire::Hello& self) override;
  void Connect(const std::string& address) override;
  void Forget(const std::string& address) override;
  SendResult Send(const Id128& peer, Message message) override;
  bool IsUp(const Id128& peer) const override { return up_.contains(peer); }
  void Disconnect(const Id128& peer) override;
  std::vector<LinkReport> Report() const override;
  LinkStats Stats() const override;

 private:
  enum class Phase { kDialling, kGreeting, kUp, kSpare, kEnded };
  class Link;
  struct Listener;

  void DialNow(const std::string& address, const sockaddr* where);
  void Accepted(uv_stream_t* server);
  void StartGreeting(Link* link);
  void SendHello(Link* link);
  void HandleFrame(Link* link, const FramedMessage& framed);
  Status HandleMessage(Link* link, const FramedMessage& framed);
  Status HandleHello(Link* link, const wire::Hello& hello);
  void Welcome(Link* link);
  void BecomeUp(Link* link);
  void BecomeSpare(Link* link);
  void TakeOver(Link* link, Link* from);
  void Queue(Link* link, const Message& message);

  void End(Link* link, LinkDown reason, const std::string& detail);
  Link* SpareOf(const wire::Hello& hello) const;
  void EndSpares(const Id128& peer);
  void EndLater(Link* link, LinkDown reason);
  void EndDoomed();
  void Sweep();
  void RefusalLine(const std::string& line);
  void WarnOfSkew(Link* link);

  void Tick();
  void TickLink(Link* link, int64_t now_us);
  void AskForFlush();
  size_t Count(Phase phase) const;

  uv_loop_t* loop_;
  const Clock& clock_;
  LinkEvents& events_;
  const uint64_t process_;
  const WantFlush want_flush_;
  const PeerLinksOptions options_;
  UvPeerDialer dialer_;
  uv_timer_t* timer_;  // deletes itself when closed
  std::vector<Listener*> listeners_;
  int port_ = 0;

  wire::Hello self_;
  std::vector<std::unique_ptr<Link>> links_;  // in the order in which they came
  std::map<Id128, Link*> up_;
  bool flush_asked_ = false;
  bool doomed_ = false;  // some link waits for its end
  bool ended_ = false;   // some link can be freed
  int64_t last_tick_us_ = 0;
  LinkStats stats_;
  std::map<std::string, int64_t> refusal_lines_;  // logged lately, and when
  std::map<Id128, uint64_t> skew_told_;           // the process that was warned of
};

}  // namespace redynamo
