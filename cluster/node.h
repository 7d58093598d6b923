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
//                one partition's rows are compared with another home's    cluster/merkle.h
//
// The preferred coordinator of a key is the first home of its partition that this node can reach,
// in the order of the ring document: so all nodes agree on it while nothing fails, and INCR, SETNX
// or SPOP are as in Redis. Any home may take over at once; there is no election. For homes that
// cannot be reached others stand in (sloppy quorum, cluster/guests.h).
//
// Who the homes are is in the ring document, which changes by majority (cluster/membership.h); a
// newer one is taken over from whoever has it, and requests under way are counted by it.
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
#include "cluster/failure_detector.h"
#include "cluster/forming.h"
#include "cluster/fresh_partitions.h"
#include "cluster/fresh_reads.h"
#include "cluster/guests.h"
#include "cluster/links.h"
#include "cluster/membership.h"
#include "cluster/merkle.h"
#include "cluster/pending_writes.h"
#include "cluster/placement.h"
#include "cluster/ring_document.h"
#include "cluster/transfer.h"
#include "storage/engine.h"
#include "storage/partition_set.h"

namespace redynamo {

struct NodeOptions {
  int n = 3;                             // of a ring that this node makes
  int r = 2, w = 2;                      // bounded by the number of homes
  bool sloppy = true;                    // others stand in for homes that cannot be reached
  int64_t timeout_ms = 1000;             // of a request
  uint64_t hint_bytes_max = 1ull << 30;  // of what is kept for other nodes
  int64_t serving_p99_ms_max = 50;       // serving_pace.h; 0: pulls are served without a bound
  std::string ring_address{};            // announced
  std::string client_address{};
  uint16_t cluster_port = 0;  // announced beside it; 0: none
  int databases = 16;
  int partitions = kPartitionsDefault;  // before there is a ring
  // That this node says to have, and has: fewer only where a test runs an older version.
  uint64_t capabilities = kCapabilities;
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
  // What this node has promised as a voter on ring documents: keep it durably.
  virtual Status KeepVote(std::string_view state) = 0;
};

class Node : public LinkEvents, private Membership::Surroundings {
 public:
  Node(const Clock& clock, Links& links, NodeHost& host, uint64_t random_seed, NodeOptions options);
  ~Node() override;

  // One of these, once the engine is open: a fresh node that forms a ring with `expected` - 1
  // others; a fresh one that is to be taken into a ring, at once if it `asks`; or a member of the
  // ring that the document describes, with what KeepVote was given last.
  void Form(const Forming::Self& self, uint32_t expected);
  void AwaitRing(const Forming::Self& self, bool asks);
  Status Join(Engine* engine, RingDocument document, std::string_view vote);
  // The engine is about to go (shutdown, DEBUG RELOAD), or there is another one.
  void SetEngine(Engine* engine);

  bool formed() const { return document_.has_value(); }
  const RingDocument& document() const { return *document_; }
  const Forming* forming() const { return forming_.get(); }
  // Waits to be taken into a ring that it has asked.
  bool joining() const { return candidate_ && asks_ && !document_; }

  // --- membership ---
  // A blank node that has a link and may be taken into the ring; null when there is none with this
  // ring address, and then it is dialled.
  const Member* FindCandidate(const std::string& ring_address);
  // REQUIRES: formed(). See Membership::Change.
  void ChangeMembers(const RingChange& change, Membership::Done done);
  const Membership* membership() const { return membership_.get(); }
  int64_t views_changed_ms() const { return views_changed_ms_; }  // of the monotonic clock

  // Of the newest ring document that the peer has said to have; 0: none, or it cannot be reached.
  uint64_t EpochOf(const Id128& peer) const;

  // --- commands ---
  struct Route {
    enum Kind : uint8_t { kHere, kForward, kRefuse };
    Kind kind = kHere;
    Id128 peer{};
    std::string error;       // kRefuse: the reply
    bool misrouted = false;  // kRefuse: whoever forwarded it knows other views than this node
  };
  enum class Forwarding : uint8_t {
    kPrefer,    // to the preferred coordinator: of a client of this node
    kIfNeeded,  // when this node is no home: of one that has been forwarded
    kNever,     // of one that has been forwarded too often, or cannot be
  };
  // Where a command on keys of these slots runs.
  Route RouteOf(std::span<const uint16_t> slots, bool writes, Forwarding how,
                const RequestQuorum& quorum = {});
  struct KeyName {
    int database;
    std::string_view name;
    uint16_t slot;
    RequestQuorum quorum{};
  };
  // Whether commands that read wait for ReadFresh at all.
  bool NeedsFresh(const RequestQuorum& quorum = {}) const {
    return document_ && ((quorum.r > 0 ? quorum.r : options_.r) > 1 || quorum.n > 0);
  }
  // Makes the local copies as new as R replicas, then calls `done`; false when they are so already,
  // and then it is not called.
  bool ReadFresh(std::span<const KeyName> keys, FreshReads::Done done);
  // The same for all keys of these partitions. REQUIRES: NeedsFresh().
  bool ReadFreshPartitions(const PartitionSet& partitions, const RequestQuorum& quorum,
                           FreshPartitions::Done done);
  // What the records that the engine makes from here on need, until it is set anew.
  void SetRecordQuorum(const RequestQuorum& quorum) { record_quorum_ = quorum; }
  // The number of the last record that this node has made (0: none), and holding a reply for it.
  uint64_t last_record() const { return last_record_; }
  void Await(uint64_t record, const PendingWrites::Waiter& waiter);
  // WAIT: how many other nodes are known to have each of this node's records up to this number, the
  // fewest of them, as durably as they answer (ring-w's acknowledgements). Only nodes that `counts`
  // says count; of records that all homes have had, only n - 1 is known. REQUIRES: formed().
  int FewestCopies(uint64_t up_to, const std::function<bool(const Id128&)>& counts);
  // Whether every read meets every write that was answered: R + W > N.
  bool ReadsMeetWrites(const RequestQuorum& quorum) const;
  // How many others have a write at least, by the time it is answered.
  int CopiesWhenAnswered(const RequestQuorum& quorum) const;
  // Whether the peer is known to have all that it should have of them.
  bool HasAll(const Id128& peer, uint64_t up_to);
  // `done` is called once, not from within. The views need not outlive the call. `timeout_ms`: when
  // it may take longer than NodeOptions says; a link that breaks ends it at once.
  using ForwardDone = std::function<void(const ForwardOutcome&)>;
  void SendForward(const Id128& peer, wire::Forward command, bool writes, ForwardDone done,
                   int64_t timeout_ms = 0);
  void AnswerForward(const Id128& to, uint64_t request_id, wire::ForwardStatus status,
                     std::string_view reply);
  // The removal of an expired key is the business of the first home; of the others only much later,
  // and of guests never.
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
  // Whether both ends understand what this bit of Capability stands for.
  bool Shares(const Id128& peer, uint64_t capability) const;
  const Id128& self() const { return self_; }
  // Whether this node was a member, and is not any more: it takes no commands.
  bool removed() const { return removed_; }
  const Place& PlaceOf(int partition) const { return placement_[size_t(partition)]; }
  // Where this node would have a command on the partition run: its first home that can be reached,
  // or who stands in for it.
  std::optional<Id128> CoordinatorOf(int partition) const {
    return CoordinatorOf(partition, options_.sloppy);
  }
  // The order in which others stand in for homes of the partition that cannot be reached; only
  // those that can be.
  const std::vector<Id128>& FallbacksOf(int partition) const;
  // What the members think of each other; null while there is no ring.
  const FailureDetector* detector() const { return detector_.get(); }
  const Exchange* exchange() const { return exchange_.get(); }
  Merkle* merkle() const { return merkle_.get(); }
  const FreshReads* fresh_reads() const { return fresh_reads_.get(); }
  const FreshPartitions* fresh_partitions() const { return fresh_partitions_.get(); }
  const Guests* guests() const { return guests_.get(); }
  const Transfer* transfer() const { return transfer_.get(); }
  const ServingPace& serving_pace() const { return serving_pace_; }
  const RepairLog& repairs() const { return repairs_; }
  const NodeOptions& options() const { return options_; }
  const PendingWrites& pending_writes() const { return writes_; }
  uint64_t forwards_sent() const { return forwards_sent_; }
  uint64_t events_joined() const { return events_joined_; }

 private:
  struct PendingForward {
    Id128 peer{};
    int64_t sent_ms = 0;
    int64_t timeout_ms = 0;
    bool writes = false;
    ForwardDone done;
  };
  Status On(const Id128& peer, const wire::Bootstrap& message);
  Status On(const Id128& peer, const wire::RingGet& message);
  Status On(const Id128& peer, const wire::RingDocument& message);
  Status On(const Id128& peer, const wire::JoinRefused& message);
  Status On(const Id128& peer, const wire::ViewProgress& message);
  Status On(const Id128& peer, const wire::Events& message);
  Status On(const Id128& peer, const wire::EventsAck& message);
  Status On(const Id128& peer, const wire::Read& message);
  Status On(const Id128& peer, const wire::Forward& message);
  Status On(const Id128& peer, const wire::ForwardReply& message);
  Status On(const Id128& peer, const wire::PingReq& message);
  Status On(const Id128& peer, const wire::PingReqReply& message);
  Status On(const Id128& peer, const wire::Gossip& message);
  template <typename Message>
  Status On(const Id128& peer, const Message& message);

  int64_t NowMs() const { return clock_.MonotonicUs() / 1000; }
  bool IsMember(const Id128& id) const;
  void Introduce();
  void MakeMembership();
  void MakeDetector();
  void LogOpinion(const Id128& id, const FailureDetector::Opinion& opinion) const;
  void Adopt(RingDocument document);
  void ViewsChanged();
  void HealthChanged();
  void LinkMembers();
  void LearnEpoch(const Id128& peer, uint64_t epoch);
  bool InRing(const Id128& id) const;
  void ForgetRegained();
  void ThickenThin(int64_t now_ms);
  bool Sloppy(const RequestQuorum& quorum) const;
  NodeQuorum Counted(const NodeQuorum& usual, const RequestQuorum& quorum, int needed) const;
  std::optional<Id128> CoordinatorOf(int partition, bool sloppy) const;
  PendingWrites::Targets TargetsOf(const std::vector<uint16_t>& partitions,
                                   const RequestQuorum& quorum);
  FreshReads::Choice ChoiceOf(int partition, const RequestQuorum& quorum) const;
  std::string WhyTooFew(const Place& place, int partition, bool writes,
                        const RequestQuorum& quorum) const;
  Status KeepDocument(const RingDocument& document);
  void TryForming();
  bool IsWelcome(const RingDocument& document) const;
  void OfferSelf(const Id128& peer);
  void TakeCandidate(const Id128& peer, const wire::Bootstrap& message);
  void SampleWrite();
  void SayProgress(int64_t now_ms);
  // --- Membership::Surroundings ---
  void SendToMember(const Id128& peer, Message message) override;
  Status KeepVote(std::string_view state) override { return host_.KeepVote(state); }
  Status DocumentDecided(const RingDocument& document) override;
  std::vector<MemberReport> MemberReports() const override;
  void SendDocument(const Id128& peer);
  void JoinEvents(const Id128& peer, const wire::Events& message);
  void FetchBases(const Id128& peer, uint64_t place, std::vector<uint16_t> partitions);
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
  Placement placement_;
  bool removed_ = false;
  bool cannot_keep_ = false;  // a document, the last time; so the log is told once
  int64_t views_changed_ms_ = 0;
  std::unique_ptr<Forming> forming_;
  std::optional<Forming::Self> candidate_;  // this node, blank, for a ring that takes it
  bool asks_ = false;
  struct Candidate {
    Member member;
    int64_t said_ms = 0;  // when it last said that it is blank
  };
  std::map<Id128, Candidate> candidates_;  // with a link
  std::unique_ptr<Membership> membership_;
  std::unique_ptr<FailureDetector> detector_;
  int64_t next_progress_ms_ = 0;
  size_t said_finished_ = 0;  // partitions
  ServingPace serving_pace_;
  RepairLog repairs_;
  uint64_t sampled_write_ = 0;  // a record whose way to its quorum is timed; 0: none
  uint64_t last_sampled_ = 0;
  int64_t sampled_ms_ = 0;  // when it began
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<Merkle> merkle_;
  std::unique_ptr<FreshReads> fresh_reads_;
  std::unique_ptr<FreshPartitions> fresh_partitions_;
  std::unique_ptr<Guests> guests_;
  std::unique_ptr<Transfer> transfer_;
  // By partition, until health or views change.
  mutable std::map<int, std::vector<Id128>> fallbacks_;
  PendingWrites writes_;
  std::map<uint16_t, ReplicaClock> thin_clocks_;  // of thin partitions: what has too few copies
  int64_t thickened_ms_ = 0;                      // when their copies were last counted
  std::vector<uint64_t> own_before_;  // by partition: own events of before this start, up to
  EventInbox inbox_;
  std::map<uint64_t, PendingForward> forwards_;
  // Drawn anew for each process: an answer to a request of the life before, which is still on its
  // way, must be none to a request of this one.
  uint64_t first_request_;
  uint64_t next_request_;
  uint64_t last_record_ = 0;
  RequestQuorum record_quorum_;
  struct PeerHealth {
    bool up = false;
    bool linked = false;   // and its records and clocks go over the link
    bool suspect = false;  // it owes answers, and says nothing
    int64_t heard_ms = 0;
    int64_t down_since_ms = 0;
    uint64_t ring_epoch = 0;
    Id128 actor{};
    uint64_t capabilities = 0;
    // Acknowledgements under a newer document than this node has: counted once it is here.
    uint64_t early_ack = 0, early_ack_epoch = 0;
  };
  std::map<Id128, PeerHealth> peers_;
  int64_t started_ms_ = 0;
  uint64_t forwards_sent_ = 0, events_joined_ = 0;
};

}  // namespace redynamo
