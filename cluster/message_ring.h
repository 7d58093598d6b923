// SPDX-License-Identifier: Apache-2.0
// Messages about the ring itself: how nodes come into one, and how its document is decided and
// spread. See message.h.
#pragma once

#include "cluster/message_kind.h"

namespace redynamo {
namespace wire {

// Asks for the ring document when the receiver's is newer than `have_epoch`.
struct RingGet {
  static constexpr MessageKind kKind = MessageKind::kRingGet;
  uint64_t have_epoch = 0;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, RingGet* out);
  bool operator==(const RingGet&) const = default;
};
struct RingDocument {
  static constexpr MessageKind kKind = MessageKind::kRingDocument;
  uint64_t epoch = 0;
  std::string_view document{};  // at most kRingDocumentBytesMax; cluster/ring.h knows its coding

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, RingDocument* out);
  bool operator==(const RingDocument&) const = default;
};

// Blank nodes on their way to a ring: the sender and, when they form one, all the blank nodes it
// has heard of.
struct Bootstrap {
  static constexpr MessageKind kKind = MessageKind::kBootstrap;
  enum Purpose : uint8_t {
    kForm = 0,  // with others
    kJoin = 1,  // asks a member to be taken into its ring
    kWait = 2,  // may be taken into one
  };
  struct Member {
    Id128 node_id{};
    int64_t created_ms = 0;  // when its data directory was made
    std::string_view ring_address{};
    std::string_view client_address{};
    uint32_t cluster_port = 0;        // as in Hello
    std::string_view host{}, zone{};  // labels, at most kLabelBytesMax
    uint32_t weight = 0;
    bool operator==(const Member&) const = default;
  };
  Purpose purpose = kForm;
  uint32_t expected = 0;          // how many nodes the sender waits for
  std::vector<Member> members{};  // at most kMembersMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Bootstrap* out);
  bool operator==(const Bootstrap&) const = default;
};

// --- the register that decides ring documents (cluster/ring_register.h) ---

// Who asks, and for the how manieth time: unique, since a node asks in one round once.
struct Ballot {
  uint64_t round = 0;  // at most kBallotRoundMax; 0: none
  Id128 node{};

  auto operator<=>(const Ballot&) const = default;
};

// "Take nothing from lower ballots any more, and say what you have taken." `epoch`, here and below,
// is that of the document that is to be decided.
struct RingPrepare {
  static constexpr MessageKind kKind = MessageKind::kRingPrepare;
  uint64_t epoch = 0;
  Ballot ballot{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, RingPrepare* out);
  bool operator==(const RingPrepare&) const = default;
};
// The answer to `ballot`; durable where it was granted.
struct RingPromise {
  static constexpr MessageKind kKind = MessageKind::kRingPromise;
  uint64_t epoch = 0;
  Ballot ballot{};
  bool granted = false;
  Ballot promised{};               // the highest that the sender has promised
  Ballot accepted{};               // round 0: it has accepted nothing
  std::string_view document = {};  // what it has accepted; at most kRingDocumentBytesMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, RingPromise* out);
  bool operator==(const RingPromise&) const = default;
};
struct RingAccept {
  static constexpr MessageKind kKind = MessageKind::kRingAccept;
  uint64_t epoch = 0;
  Ballot ballot{};
  std::string_view document = {};  // at most kRingDocumentBytesMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, RingAccept* out);
  bool operator==(const RingAccept&) const = default;
};
struct RingAccepted {
  static constexpr MessageKind kKind = MessageKind::kRingAccepted;
  uint64_t epoch = 0;
  Ballot ballot{};
  bool granted = false;
  Ballot promised{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, RingAccepted* out);
  bool operator==(const RingAccepted&) const = default;
};

// What the sender has done for changes of views; said again and again until they have moved on, as
// another node may have become claimant meanwhile (cluster/claimant.h).
struct ViewProgress {
  static constexpr MessageKind kKind = MessageKind::kViewProgress;
  struct Entry {
    uint16_t partition = 0;
    uint64_t view_epoch = 0;  // of phase 1: has pulled; of phase 3, leaving: all homes have it all
    bool operator==(const Entry&) const = default;
  };
  uint64_t ring_epoch = 0;       // of the newest document that it has durably
  uint64_t guests = 0;           // replicas here of which some home does not have all
  std::vector<Entry> entries{};  // at most kPartitionsMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, ViewProgress* out);
  bool operator==(const ViewProgress&) const = default;
};

// Why a member cannot take the receiver into its ring: for the receiver's log.
struct JoinRefused {
  static constexpr MessageKind kKind = MessageKind::kJoinRefused;
  std::string_view reason{};  // at most kReasonBytesMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, JoinRefused* out);
  bool operator==(const JoinRefused&) const = default;
};

}  // namespace wire
}  // namespace redynamo
