// SPDX-License-Identifier: Apache-2.0
// What nodes say to each other (REPLICATION.md section 8), and how it is spelt inside a frame
// (protocol/frame.h). Who speaks is settled once per link, by Hello, and not repeated.
//
// Coding: numbers are varints, signed ones zigzag; ids are 16 bytes, hashes 8; bytes are length and
// bytes; a list is its count and its elements. Fields stand in the order of their struct. A payload
// must end where its last field ends, but for Hello, to which later versions may append: they say
// by Hello's versions and capabilities what else a peer understands. A kind that a node does not
// know is skipped and counted.
//
// Ownership: string_views of a decoded message point into its payload and live as long as that
// does, which is until OnMessage returns; those of a message to send must live until Send returns.
// Every Decode checks all bounds named here and gives kCorruption, naming the kind, for the rest.
#pragma once

#include <array>

#include "cluster/message_exchange.h"
#include "cluster/message_kind.h"
#include "cluster/message_ring.h"

namespace redynamo {

// The messages themselves; a namespace, because their names are short.
namespace wire {

// The first message of both sides of a link, and again whenever what it says has changed.
struct Hello {
  static constexpr MessageKind kKind = MessageKind::kHello;
  uint32_t version = kWireVersion;         // newest that the sender speaks
  uint32_t oldest_version = kWireVersion;  // oldest that it understands
  uint64_t capabilities = kCapabilities;   // bits of Capability: what else the sender understands
  Id128 cluster_id{};                      // all zero: belongs to no ring yet
  Id128 node_id{};
  Id128 actor{};            // under which it writes now; another one after a rotation
  uint64_t process = 0;     // random, new at each start of the process, never 0
  uint64_t ring_epoch = 0;  // of the newest ring document that it has; 0: none
  int64_t wall_ms = 0;      // its clock when it sent this
  uint32_t partitions = 0;  // 1..kPartitionsMax, fixed for a ring's life
  uint32_t databases = 0;
  std::string ring_address{};    // "host:port" where other nodes reach it
  std::string client_address{};  // where clients reach its plain port
  uint32_t cluster_port = 0;     // of the same host, where cluster clients are sent; 0: none

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Hello* out);
  bool operator==(const Hello&) const = default;
};

// Keepalive, by the links themselves; nodes do not see it. The Ack repeats the Ping's fields.
struct Ping {
  static constexpr MessageKind kKind = MessageKind::kPing;
  uint64_t sequence = 0;
  int64_t sent_us = 0;  // the pinging node's monotonic time, for the round trip

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Ping* out);
  bool operator==(const Ping&) const = default;
};
struct Ack {
  static constexpr MessageKind kKind = MessageKind::kAck;
  uint64_t sequence = 0;
  int64_t sent_us = 0;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Ack* out);
  bool operator==(const Ack&) const = default;
};

// "Can you reach it?": before a node is called down, others are asked (SWIM, section 4.1).
struct PingReq {
  static constexpr MessageKind kKind = MessageKind::kPingReq;
  uint64_t request_id = 0;
  Id128 target{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, PingReq* out);
  bool operator==(const PingReq&) const = default;
};
struct PingReqReply {
  static constexpr MessageKind kKind = MessageKind::kPingReqReply;
  uint64_t request_id = 0;
  Id128 target{};
  bool reachable = false;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, PingReqReply* out);
  bool operator==(const PingReqReply&) const = default;
};

// What a node thinks of others (failure_detector.h).
enum class MemberState : uint8_t { kAlive = 0, kSuspect = 1, kDown = 2 };
struct Gossip {
  static constexpr MessageKind kKind = MessageKind::kGossip;
  struct Member {
    Id128 node_id{};
    uint64_t incarnation = 0;
    MemberState state = MemberState::kAlive;
    Id128 accuser{};  // kSuspect: who has asked, and found nobody that reaches it
    bool operator==(const Member&) const = default;
  };
  uint64_t ring_epoch = 0;
  std::vector<Member> members{};  // at most kMembersMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Gossip* out);
  bool operator==(const Gossip&) const = default;
};

// One record of the sender's log in portable form (storage/replica.h), to be joined and logged.
struct Events {
  static constexpr MessageKind kKind = MessageKind::kEvents;
  uint64_t request_id = 0;
  uint64_t view_epoch = 0;
  Id128 hinted_for{};  // the home that this is kept for; all zero: the receiver is one itself
  std::string_view record{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Events* out);
  bool operator==(const Events&) const = default;
};
enum class EventsStatus : uint8_t {
  kApplied = 0,      // joined, and as durable as the receiver's settings say
  kDuplicate = 1,    // was known already, and is as durable
  kStaleView = 2,    // not applied: `view_epoch` is the receiver's, which is newer
  kOverload = 3,     // not applied: try another, or let it be pulled
  kDotConflict = 4,  // not applied: a dot is known with other contents; the sender must rotate
  kFailed = 5,       // not applied: malformed, or the receiver's storage failed
};
struct EventsAck {
  static constexpr MessageKind kKind = MessageKind::kEventsAck;
  uint64_t request_id = 0;
  EventsStatus status = EventsStatus::kApplied;
  uint64_t view_epoch = 0;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, EventsAck* out);
  bool operator==(const EventsAck&) const = default;
};

// --- requests for clients ---

// The state of a key: its hash, and unless `digest_only` its rows.
struct Read {
  static constexpr MessageKind kKind = MessageKind::kRead;
  uint64_t request_id = 0;
  uint32_t database = 0;  // at most kDatabaseMax
  bool digest_only = false;
  std::string_view key{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Read* out);
  bool operator==(const Read&) const = default;
};
struct ReadReply {
  static constexpr MessageKind kKind = MessageKind::kReadReply;
  // Bits of `flags`.
  static constexpr uint32_t kRecovering = 1;  // does not count for R
  static constexpr uint32_t kFailed = 2;      // nothing else in it counts
  static constexpr uint32_t kGuest = 4;       // of a node that is no home of the key
  static constexpr uint32_t kUnhashed = 8;    // `hash` says nothing: the key has too many rows
  uint64_t request_id = 0;
  uint64_t view_epoch = 0;  // of the ring document that the sender had
  uint32_t flags = 0;
  uint64_t hash = 0;
  std::string_view rows{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, ReadReply* out);
  bool operator==(const ReadReply&) const = default;
};

// The clocks of some partitions as the sender has them, by hash: what the receiver may have beyond
// them is asked for. See cluster/fresh_partitions.h.
struct Compare {
  static constexpr MessageKind kKind = MessageKind::kCompare;
  struct Entry {
    uint16_t partition = 0;
    uint64_t clock_hash = 0;
    bool operator==(const Entry&) const = default;
  };
  uint64_t request_id = 0;
  std::vector<Entry> entries{};  // at most kPartitionsMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Compare* out);
  bool operator==(const Compare&) const = default;
};
// The receiver's clocks of those partitions in which they differ.
struct CompareReply {
  static constexpr MessageKind kKind = MessageKind::kCompareReply;
  struct Entry {
    uint16_t partition = 0;
    std::string_view clock{};
    bool operator==(const Entry&) const = default;
  };
  uint64_t request_id = 0;
  uint64_t view_epoch = 0;       // of the ring document that the sender had
  std::vector<Entry> entries{};  // at most kPartitionsMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, CompareReply* out);
  bool operator==(const CompareReply&) const = default;
};

// A client's command, to be executed by the receiver as if the client had sent it there.
struct Forward {
  static constexpr MessageKind kKind = MessageKind::kForward;
  static constexpr uint32_t kHopsMax = 3;
  // Bits of `flags`.
  // EXEC of what was queued: for each command the number of its arguments, in decimal, and these.
  static constexpr uint32_t kTransaction = 1;
  // Before these, what the client watches (server/ring_watch.h). To peers with kWatches only.
  static constexpr uint32_t kWatched = 2;
  // From here on, what the client asks of quorums: RequestQuorum, packed; 0: as usual.
  static constexpr int kQuorumShift = 8;
  uint64_t request_id = 0;
  uint64_t view_epoch = 0;
  uint32_t database = 0;      // at most kDatabaseMax
  uint32_t resp_version = 2;  // of the reply: 2 or 3
  uint32_t hops = 1;          // at most kHopsMax: then execute it or refuse, do not pass it on
  uint32_t flags = 0;
  uint64_t client = 0;                   // of the sender: those of one run in order; 0: of none
  std::vector<std::string_view> args{};  // 1..kForwardArgsMax
  // Of a command that concerns all keys: those partitions that the receiver shall answer for
  // (storage/partition_set.h); empty: no such command.
  std::string_view share{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Forward* out);
  bool operator==(const Forward&) const = default;
};
enum class ForwardStatus : uint8_t {
  kDone = 0,         // `reply` is what the client gets, an error reply included
  kStaleView = 1,    // not executed: the receiver has a newer view
  kOverload = 2,     // not executed
  kUnavailable = 3,  // not executed: loading, or not enough homes can be reached
};
struct ForwardReply {
  static constexpr MessageKind kKind = MessageKind::kForwardReply;
  uint64_t request_id = 0;
  ForwardStatus status = ForwardStatus::kDone;
  uint64_t view_epoch = 0;
  std::string_view reply{};  // RESP, in the version that was asked for

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, ForwardReply* out);
  bool operator==(const ForwardReply&) const = default;
};

// --- for subscribers ---

// A client's PUBLISH or SPUBLISH, or a keyspace event: for the receiver's subscribers. Not
// answered.
struct Publish {
  static constexpr MessageKind kKind = MessageKind::kPublish;
  bool sharded = false;
  std::string_view channel{};
  std::string_view message{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Publish* out);
  bool operator==(const Publish&) const = default;
};
// The keyspace events that the sender's clients listen for, by its notify-keyspace-events.
struct KeyEventsWanted {
  static constexpr MessageKind kKind = MessageKind::kKeyEventsWanted;
  uint32_t classes =
      0;  // bits of NotifyClass (server/command.h), which are never renumbered; 0: none

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, KeyEventsWanted* out);
  bool operator==(const KeyEventsWanted&) const = default;
};

}  // namespace wire

// Any of the structs above, by reference, for Links::Send: lives no longer than what it refers to.
class Message {
 public:
  template <typename T>
  requires requires { T::kKind; }
  Message(const T& body)  // NOLINT: implicit on purpose
      : kind_(T::kKind), body_(&body), encode_([](const void* self, std::string* out) {
          static_cast<const T*>(self)->EncodeTo(out);
        }) {}

  MessageKind kind() const { return kind_; }
  void EncodeTo(std::string* out) const { encode_(body_, out); }

 private:
  MessageKind kind_;
  const void* body_;
  void (*encode_)(const void*, std::string*);
};

// Decodes a payload and hands the struct to `visit`, which takes any of them (an overload set or a
// generic lambda). kUnsupported for a kind that is not known, else what Decode or `visit` says;
// `visit` gives a Status.
template <typename Visitor>
Status VisitMessage(MessageKind kind, std::string_view payload, Visitor&& visit) {
  auto decoded = [&]<typename T>(T body) {
    Status status = T::Decode(payload, &body);
    return status.ok() ? visit(body) : status;
  };
  switch (kind) {
    case MessageKind::kHello: return decoded(wire::Hello{});
    case MessageKind::kPing: return decoded(wire::Ping{});
    case MessageKind::kAck: return decoded(wire::Ack{});
    case MessageKind::kPingReq: return decoded(wire::PingReq{});
    case MessageKind::kPingReqReply: return decoded(wire::PingReqReply{});
    case MessageKind::kGossip: return decoded(wire::Gossip{});
    case MessageKind::kRingGet: return decoded(wire::RingGet{});
    case MessageKind::kRingDocument: return decoded(wire::RingDocument{});
    case MessageKind::kBootstrap: return decoded(wire::Bootstrap{});
    case MessageKind::kRingPrepare: return decoded(wire::RingPrepare{});
    case MessageKind::kRingPromise: return decoded(wire::RingPromise{});
    case MessageKind::kRingAccept: return decoded(wire::RingAccept{});
    case MessageKind::kRingAccepted: return decoded(wire::RingAccepted{});
    case MessageKind::kViewProgress: return decoded(wire::ViewProgress{});
    case MessageKind::kJoinRefused: return decoded(wire::JoinRefused{});
    case MessageKind::kEvents: return decoded(wire::Events{});
    case MessageKind::kEventsAck: return decoded(wire::EventsAck{});
    case MessageKind::kClocks: return decoded(wire::Clocks{});
    case MessageKind::kReport: return decoded(wire::Report{});
    case MessageKind::kPull: return decoded(wire::Pull{});
    case MessageKind::kPullBatch: return decoded(wire::PullBatch{});
    case MessageKind::kPullNeedFull: return decoded(wire::PullNeedFull{});
    case MessageKind::kFullGet: return decoded(wire::FullGet{});
    case MessageKind::kFullPiece: return decoded(wire::FullPiece{});
    case MessageKind::kTreeGet: return decoded(wire::TreeGet{});
    case MessageKind::kLeaves: return decoded(wire::Leaves{});
    case MessageKind::kLeafRows: return decoded(wire::LeafRows{});
    case MessageKind::kRead: return decoded(wire::Read{});
    case MessageKind::kReadReply: return decoded(wire::ReadReply{});
    case MessageKind::kCompare: return decoded(wire::Compare{});
    case MessageKind::kCompareReply: return decoded(wire::CompareReply{});
    case MessageKind::kForward: return decoded(wire::Forward{});
    case MessageKind::kForwardReply: return decoded(wire::ForwardReply{});
    case MessageKind::kPublish: return decoded(wire::Publish{});
    case MessageKind::kKeyEventsWanted: return decoded(wire::KeyEventsWanted{});
  }
  return {StatusCode::kUnsupported, "unknown kind of message"};
}

}  // namespace redynamo
