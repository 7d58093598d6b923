// SPDX-License-Identifier: Apache-2.0
// One node of a ring: what it does with a client's command, and what it says to its peers.
//
//   command ── RouteOf ──> here │ to the peer that coordinates the key │ refused
//     here:    ReadFresh, if it reads what R replicas shall agree on      cluster/fresh_reads.h
//              … the handler runs on the local copy …
//              OnOwnRecord: the events go to the other homes              cluster/pending_writes.h
//              Await: the reply is held until W replicas have them
//   peers' events: joined, logged, acknowledged when safe                 cluster/event_inbox.h
//   each second: clocks are compared, what is missing is pulled           cluster/exchange.h
//
// The preferred coordinator of a key is the first home of its partition that this node can reach,
// in the order of the ring document: so all nodes agree on it while nothing fails, and INCR, SETNX
// or SPOP are as in Redis. Any home may take over at once; there is no election.
//
// The node opens no socket, file or timer. Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "cluster/event_inbox.h"
#include "cluster/exchange.h"
#include "cluster/forming.h"
#include "cluster/fresh_reads.h"
#include "cluster/links.h"
#include "cluster/pending_writes.h"
#include "cluster/ring_document.h"
#include "storage/engine.h"

namespace redynamo {

struct NodeOptions {
  int n = 3;                  // of a ring that this node makes
  int r = 2, w = 2;           // bounded by the number of homes
  int64_t timeout_ms = 1000;  // of a request
  std::string ring_address;   // announced
  std::string client_address;
  int databases = 16;
};

struct ForwardOutcome {
  enum Kind : uint8_t {
    kReply,    // `bytes` are the reply
    kNotDone,  // nothing was changed: it may be tried again
    kUnknown,  // nobody answered in time
  };
  Kind kind = kReply;
  std::string_view bytes;  // kNotDone: the reason
};

// The node's surroundings: sessions and files. Called on the data thread.
class NodeHost {
 public:
  virtual ~NodeHost() = default;
  virtual void WriteSettled(const PendingWrites::Waiter& waiter,
                            PendingWrites::Outcome outcome) = 0;
  // A peer wants this command executed here; AnswerForward, once.
  virtual void ForwardArrived(const Id128& from, const wire::Forward& command) = 0;
  // The ring is formed, or has a newer document: keep it durably. After this the engine has the
  // ring's seed; an error ends the forming, with its reason in the log.
  virtual Status KeepDocument(const RingDocument& document) = 0;
};

class Node : public LinkEvents {
 public:
  Node(const Clock& clock, Links& links, NodeHost& host, uint64_t random_seed, NodeOptions options);
  ~Node() override;

  // One of the two, once the engine is open: a fresh node that forms a ring with `expected` - 1
  // others, or a member of the ring that the document describes.
  void Form(const Forming::Self& self, uint32_t expected);
  Status Join(Engine* engine, RingDocument document);
  // The engine is about to go (shutdown, DEBUG RELOAD), or there is another one.
  void SetEngine(Engine* engine);

  bool formed() const { return document_.has_value(); }
  const RingDocument& document() const { return *document_; }
  const Forming* forming() const { return forming_.get(); }

  // --- commands ---
  struct Route {
    enum Kind : uint8_t { kHere, kForward, kRefuse };
    Kind kind = kHere;
    Id128 peer{};
    std::string error;  // kRefuse: the reply
  };
  // Where a command on keys of these slots runs. `may_pass_on`: it has not been forwarded already.
  Route RouteOf(std::span<const uint16_t> slots, bool writes, bool may_pass_on);
  struct KeyName {
    int database;
    std::string_view name;
    uint16_t slot;
  };
  // Whether a command that reads these keys must wait for ReadFresh.
  bool NeedsFresh() const { return document_ && ReadsOf() > 1; }
  void ReadFresh(std::span<const KeyName> keys, FreshReads::Done done);
  // The number of the last record that this node has made (0: none), and holding a reply for it.
  uint64_t last_record() const { return last_record_; }
  void Await(uint64_t record, const PendingWrites::Waiter& waiter);
  // `done` is called once, not from within. The views need not outlive the call.
  using ForwardDone = std::function<void(const ForwardOutcome&)>;
  void SendForward(const Id128& peer, wire::Forward command, bool writes, ForwardDone done);
  void AnswerForward(const Id128& to, uint64_t request_id, wire::ForwardStatus status,
                     std::string_view reply);
  // The removal of an expired key is the business of the first home; of the others only much later.
  int64_t RemovalDelayMs(int partition) const;

  // --- the loop ---
  void OnOwnRecord(const OwnRecord& record);
  // The turn's records are written: they may leave.
  void TurnWritten();
  // Something has become safe in the log.
  void LogAdvanced();
  void Tick();

  // --- LinkEvents ---
  void OnPeerUp(const wire::Hello& hello) override;
  void OnPeerChanged(const wire::Hello& hello) override;
  void OnPeerDown(const Id128& peer, LinkDown reason) override;
  Status OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) override;

  // --- figures ---
  bool Healthy(const Id128& peer) const;
  const Id128& self() const { return self_; }
  std::vector<Id128> HomesOf(int partition) const;  // by rank
  // Where this node would have a command on the partition run: its first home that can be reached.
  std::optional<Id128> CoordinatorOf(int partition) const;
  int WritesOf() const;  // W, of as many homes as there are
  int ReadsOf() const;
  const Exchange* exchange() const { return exchange_.get(); }
  const FreshReads* fresh_reads() const { return fresh_reads_.get(); }
  const PendingWrites& pending_writes() const { return writes_; }
  uint64_t forwards_sent() const { return forwards_sent_; }
  uint64_t events_joined() const { return events_joined_; }

 private:
  struct PendingForward {
    Id128 peer{};
    int64_t sent_ms = 0;
    bool writes = false;
    ForwardDone done;
  };
  Status On(const Id128& peer, const wire::Bootstrap& message);
  Status On(const Id128& peer, const wire::RingGet& message);
  Status On(const Id128& peer, const wire::RingDocument& message);
  Status On(const Id128& peer, const wire::Events& message);
  Status On(const Id128& peer, const wire::EventsAck& message);
  Status On(const Id128& peer, const wire::Read& message);
  Status On(const Id128& peer, const wire::Forward& message);
  Status On(const Id128& peer, const wire::ForwardReply& message);
  template <typename Message>
  Status On(const Id128& peer, const Message& message);

  int64_t NowMs() const { return clock_.MonotonicUs() / 1000; }
  bool IsMember(const Id128& id) const;
  void Introduce();
  void Adopt(RingDocument document);
  void TryForming();
  void SendDocument(const Id128& peer);
  void JoinEvents(const Id128& peer, const wire::Events& message);
  void EndForward(uint64_t request_id, const ForwardOutcome& outcome);
  void UpdateSuspects();

  const Clock& clock_;
  Links& links_;
  NodeHost& host_;
  Random random_;
  NodeOptions options_;
  Engine* engine_ = nullptr;
  Id128 self_{};
  std::optional<RingDocument> document_;
  std::vector<std::vector<Id128>> homes_;  // by partition, by rank
  std::unique_ptr<Forming> forming_;
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<FreshReads> fresh_reads_;
  PendingWrites writes_;
  EventInbox inbox_;
  std::map<uint64_t, PendingForward> forwards_;
  uint64_t next_request_ = 1;
  uint64_t last_record_ = 0;
  struct PeerHealth {
    bool up = false;
    bool suspect = false;  // it owes answers, and says nothing
    int64_t heard_ms = 0;
    uint64_t ring_epoch = 0;
    Id128 actor{};
  };
  std::map<Id128, PeerHealth> peers_;
  uint64_t forwards_sent_ = 0, events_joined_ = 0;
};

}  // namespace redynamo
