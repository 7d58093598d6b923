// SPDX-License-Identifier: Apache-2.0
// The ring as the server has it: what stands between sessions and the node (cluster/node.h). There
// is none unless the settings or the data directory say so: a ring of one costs nothing.
//
//   before the engine opens    Load: the ring document of the data directory
//   once it is open            EngineReady: member of the ring, or one of those that form it
//   a command                  Dispatcher asks (dispatcher_ring.cc)
//   a turn                     TurnWritten, then Flush
//
// Data thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cluster/node.h"
#include "server/forwarded_clients.h"
#include "server/gather.h"
#include "server/replica_waits.h"
#include "server/ring_changes.h"
#include "server/ring_pubsub.h"

namespace redynamo {

class Server;
struct Config;

// Of a node's ring port over its client port, unless ring-port says otherwise.
inline constexpr int kRingPortsAbove = 10'000;

class Ring : public NodeHost, public LinkEvents {
 public:
  // Whether a server with these settings, and this data directory, is part of a ring.
  static bool Wanted(const Config& config);
  static uint16_t PortOf(const Config& config);
  // By which other nodes, and clients, are told to reach this one.
  static std::string HostOf(const Config& config);

  // `want_turn`: something has happened that the end of this turn of the loop shall see.
  Ring(Server& server, std::function<void()> want_turn);
  ~Ring() override;

  // Reads the ring document, if there is one. An error names file and remedy.
  Status Load();
  // REQUIRES: Load has succeeded. The links outlive this.
  void SetLinks(Links* links);
  // From AttachEngine on, and again after a restart of the engine.
  Status EngineReady(Engine* engine);
  void EngineGone();

  Node& node() { return *node_; }
  const Node& node() const { return *node_; }
  bool formed() const { return document_.has_value(); }
  // A blank node that waits for others: it takes no commands.
  bool waiting() const { return !formed() && (node_->forming() || node_->joining()); }
  bool several() const { return document_ && document_->members.size() > 1; }
  // Of positions; 0: the data directory's own.
  uint64_t seed() const { return document_ ? document_->seed : 0; }

  const Links& links() const { return *links_; }
  // Grows whenever the document, a link or what is thought of a node's health changes.
  uint64_t view_version() const { return view_version_; }

  // Has the peer run the session's command; its reply comes in its turn.
  void Forward(Session& session, const Id128& peer, std::span<const std::string_view> argv,
               bool writes);
  // The same for EXEC of what the session has queued.
  void ForwardTransaction(Session& session, const Id128& peer, bool writes);

  Gatherer& gatherer() { return gatherer_; }
  ReplicaWaits& waits() { return waits_; }
  const RingPubSub& pubsub() const { return pubsub_; }

  // Runs commands that had to wait for their client's earlier ones. Then the turn may end.
  void ResumeSettled();
  void TurnWritten();
  void Flush(uint64_t position);
  void Tick();

  // RING.SYNCPOINT: answered once every home is known to have all that is here, or the time is
  // over.
  void AwaitSyncPoint(const DeferredReply& client, int64_t timeout_ms);
  Reply SyncPointReply() const;

  // RING.JOIN and its like. A node without a ring comes to be a ring of one first, that others can
  // join; an error says why it cannot.
  Status ReadyForChange();
  void ChangeMembers(RingWish wish, const DeferredReply& client);

  uint64_t quorum_failures() const { return quorum_failures_; }

  // --- LinkEvents ---
  void OnPeerUp(const wire::Hello& hello) override;
  void OnPeerChanged(const wire::Hello& hello) override;
  void OnPeerDown(const Id128& peer, LinkDown reason) override;
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) override;

  // --- NodeHost ---
  void WriteSettled(const PendingWrites::Waiter& waiter, PendingWrites::Outcome outcome) override;
  void ForwardArrived(const Id128& from, const wire::Forward& command) override;
  Status KeepDocument(const RingDocument& document) override;
  Status KeepVote(std::string_view state) override;

 private:
  struct Retry {  // of a command that came to a node which knew other views
    uint64_t session_id, reply_id;
    int64_t until_ms;
    std::vector<std::string> argv;  // empty: it is not tried again
    bool writes, muted;
    int database, resp;
    uint8_t hops;
    uint32_t flags;
  };

  Status CheckSettings() const;
  Status CheckAnnounced(const std::vector<std::string>& others) const;
  Status Enter(Engine* engine);
  Forming::Self SelfOf(Engine* engine) const;
  void Send(Retry command, const Id128& peer, std::span<const std::string_view> argv);
  void SendAgain();
  void NoteWrite(Session& session, const Id128& peer, bool writes);
  Retry CommandOf(Session& session, bool writes);
  void NoteSettled(const Session& session);
  bool ViewsChange() const;
  void NoteHealth();
  struct SyncPoint {
    DeferredReply client;
    int64_t until_ms;
  };
  Server& server_;
  std::function<void()> want_turn_;
  Links* links_ = nullptr;
  std::vector<SyncPoint> sync_points_;
  std::optional<RingDocument> document_;  // as on disk
  std::string vote_;                      // as on disk when the process started
  std::unique_ptr<Node> node_;
  ForwardedClients forwarded_;
  Gatherer gatherer_;
  ReplicaWaits waits_;
  RingPubSub pubsub_;
  RingChanges changes_;
  std::vector<Retry> retries_;
  std::vector<uint64_t> settled_;  // sessions whose last held reply has been resolved
  bool keeping_ = false;           // a first document, for which the engine restarts
  uint64_t quorum_failures_ = 0;
  uint64_t view_version_ = 1;
  std::vector<bool> healthy_;  // the members, when last looked at
};

}  // namespace redynamo
