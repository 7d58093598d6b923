// SPDX-License-Identifier: Apache-2.0
// The kinds of messages, and the bounds of what stands in them: message.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/identity.h"  // Id128

namespace redynamo {

// On the wire: never renumber.
enum class MessageKind : uint8_t {
  kHello = 1,
  kPing = 2,
  kAck = 3,
  kPingReq = 4,
  kPingReqReply = 5,
  kGossip = 6,
  kRingGet = 10,
  kRingDocument = 11,
  kBootstrap = 12,
  kRingPrepare = 13,
  kRingPromise = 14,
  kRingAccept = 15,
  kRingAccepted = 16,
  kViewProgress = 17,
  kJoinRefused = 18,
  kEvents = 20,
  kEventsAck = 21,
  kClocks = 30,
  kReport = 31,
  kPull = 32,
  kPullBatch = 33,
  kPullNeedFull = 34,
  kFullGet = 35,
  kFullPiece = 36,
  kTreeGet = 37,
  kLeaves = 38,
  kLeafRows = 39,
  kRead = 40,
  kReadReply = 41,
  kCompare = 42,
  kCompareReply = 43,
  kForward = 50,
  kForwardReply = 51,
  kPublish = 60,
  kKeyEventsWanted = 61,
};
bool IsKnownMessageKind(uint8_t kind);
// "EVENTS", "PULL_BATCH": for log lines and INFO. "?" when unknown.
std::string_view MessageName(MessageKind kind);

// Bits of Hello::capabilities. What a bit stands for is sent to those only who have said it; once
// given out a bit keeps its meaning.
enum Capability : uint64_t {
  kGossips = 1 << 0,  // PING_REQ, PING_REQ_REPLY, GOSSIP
  kForgets = 1 << 1,  // votes on ring documents that leave a removed member out
  kWatches = 1 << 2,  // answers a forwarded WATCH by versions; knows Forward::kWatched
};
inline constexpr uint64_t kCapabilities = kGossips | kForgets | kWatches;
// What a peer has to have said before a message of this kind may be sent to it.
constexpr uint64_t CapabilitiesFor(MessageKind kind) {
  bool gossip = kind == MessageKind::kPingReq || kind == MessageKind::kPingReqReply ||
                kind == MessageKind::kGossip;
  return gossip ? uint64_t(kGossips) : 0;
}

// --- bounds ---
inline constexpr uint32_t kWireVersion = 1;  // of the coding of this header
inline constexpr size_t kAddressBytesMax = 300;
inline constexpr uint32_t kPortMax = 65535;
inline constexpr size_t kLabelBytesMax = 255;
inline constexpr size_t kReasonBytesMax = 1000;
inline constexpr uint32_t kPartitionsMax = 16384;  // a partition is a range of at least one slot
inline constexpr uint32_t kDatabaseMax = 65535;
inline constexpr size_t kMembersMax = 1024;  // of a ring
inline constexpr size_t kRingDocumentBytesMax = 32u << 20;
inline constexpr uint64_t kIncarnationMax = 1ull << 62;
inline constexpr uint64_t kBallotRoundMax = 1ull << 62;
inline constexpr size_t kLeavesMax = 1u << 20;          // of a partition: slots of all databases
inline constexpr size_t kForwardArgsMax = 1024 * 1024;  // as many as a client may send

}  // namespace redynamo
