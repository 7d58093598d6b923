// SPDX-License-Identifier: Apache-2.0
#include "cluster/message.h"

#include <algorithm>

#include "base/bytes.h"
#include "cluster/message_fields.h"

namespace redynamo {
namespace {

constexpr size_t kListReserved = 1024;  // a count is only a claim

}  // namespace

std::string_view MessageName(MessageKind kind) {
  switch (kind) {
    case MessageKind::kHello: return "HELLO";
    case MessageKind::kPing: return "PING";
    case MessageKind::kAck: return "ACK";
    case MessageKind::kPingReq: return "PING_REQ";
    case MessageKind::kPingReqReply: return "PING_REQ_REPLY";
    case MessageKind::kGossip: return "GOSSIP";
    case MessageKind::kRingGet: return "RING_GET";
    case MessageKind::kRingDocument: return "RING_DOCUMENT";
    case MessageKind::kBootstrap: return "BOOTSTRAP";
    case MessageKind::kRingPrepare: return "RING_PREPARE";
    case MessageKind::kRingPromise: return "RING_PROMISE";
    case MessageKind::kRingAccept: return "RING_ACCEPT";
    case MessageKind::kRingAccepted: return "RING_ACCEPTED";
    case MessageKind::kViewProgress: return "VIEW_PROGRESS";
    case MessageKind::kJoinRefused: return "JOIN_REFUSED";
    case MessageKind::kEvents: return "EVENTS";
    case MessageKind::kEventsAck: return "EVENTS_ACK";
    case MessageKind::kClocks: return "CLOCKS";
    case MessageKind::kReport: return "REPORT";
    case MessageKind::kPull: return "PULL";
    case MessageKind::kPullBatch: return "PULL_BATCH";
    case MessageKind::kPullNeedFull: return "PULL_NEED_FULL";
    case MessageKind::kFullGet: return "FULL_GET";
    case MessageKind::kFullPiece: return "FULL_PIECE";
    case MessageKind::kTreeGet: return "TREE_GET";
    case MessageKind::kLeaves: return "LEAVES";
    case MessageKind::kLeafRows: return "LEAF_ROWS";
    case MessageKind::kRead: return "READ";
    case MessageKind::kReadReply: return "READ_REPLY";
    case MessageKind::kCompare: return "COMPARE";
    case MessageKind::kCompareReply: return "COMPARE_REPLY";
    case MessageKind::kForward: return "FORWARD";
    case MessageKind::kForwardReply: return "FORWARD_REPLY";
    case MessageKind::kPublish: return "PUBLISH";
    case MessageKind::kKeyEventsWanted: return "KEY_EVENTS_WANTED";
  }
  return "?";
}

bool IsKnownMessageKind(uint8_t kind) { return MessageName(MessageKind(kind)) != "?"; }

namespace wire {

// --- who, and whether ---

void Hello::EncodeTo(std::string* out) const {
  PutVarint(out, version);
  PutVarint(out, oldest_version);
  PutVarint(out, capabilities);
  PutId(out, cluster_id);
  PutId(out, node_id);
  PutId(out, actor);
  PutFixed64(out, process);
  PutVarint(out, ring_epoch);
  PutVarint(out, ZigZag(wall_ms));
  PutVarint(out, partitions);
  PutVarint(out, databases);
  PutLengthPrefixed(out, ring_address);
  PutLengthPrefixed(out, client_address);
  PutVarint(out, cluster_port);
}

Status Hello::Decode(std::string_view payload, Hello* out) {
  FieldReader in(payload);
  out->version = uint32_t(in.Number(UINT32_MAX));
  out->oldest_version = uint32_t(in.Number(UINT32_MAX));
  out->capabilities = in.Number();
  out->cluster_id = in.Id();
  out->node_id = in.Id();
  out->actor = in.Id();
  out->process = in.Hash();
  out->ring_epoch = in.Number();
  out->wall_ms = in.Signed();
  out->partitions = uint32_t(in.Number(kPartitionsMax));
  out->databases = uint32_t(in.Number(kDatabaseMax + 1));
  out->ring_address = in.Bytes(kAddressBytesMax);
  out->client_address = in.Bytes(kAddressBytesMax);
  out->cluster_port = uint32_t(in.Number(kPortMax));
  return in.FinishOpen(kKind);
}

void Ping::EncodeTo(std::string* out) const {
  PutVarint(out, sequence);
  PutVarint(out, ZigZag(sent_us));
}

Status Ping::Decode(std::string_view payload, Ping* out) {
  FieldReader in(payload);
  out->sequence = in.Number();
  out->sent_us = in.Signed();
  return in.Finish(kKind);
}

void Ack::EncodeTo(std::string* out) const {
  PutVarint(out, sequence);
  PutVarint(out, ZigZag(sent_us));
}

Status Ack::Decode(std::string_view payload, Ack* out) {
  FieldReader in(payload);
  out->sequence = in.Number();
  out->sent_us = in.Signed();
  return in.Finish(kKind);
}

void PingReq::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutId(out, target);
}

Status PingReq::Decode(std::string_view payload, PingReq* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->target = in.Id();
  return in.Finish(kKind);
}

void PingReqReply::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutId(out, target);
  PutVarint(out, reachable);
}

Status PingReqReply::Decode(std::string_view payload, PingReqReply* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->target = in.Id();
  out->reachable = in.Flag();
  return in.Finish(kKind);
}

void Gossip::EncodeTo(std::string* out) const {
  PutVarint(out, ring_epoch);
  PutVarint(out, members.size());
  for (const Member& member : members) {
    PutId(out, member.node_id);
    PutVarint(out, member.incarnation);
    PutVarint(out, uint64_t(member.state));
    if (member.state == MemberState::kSuspect) PutId(out, member.accuser);
  }
}

Status Gossip::Decode(std::string_view payload, Gossip* out) {
  FieldReader in(payload);
  out->ring_epoch = in.Number();
  size_t count = in.Count(kMembersMax, sizeof(Id128) + 1 + 1);
  out->members.resize(count);
  for (Member& member : out->members) {
    member.node_id = in.Id();
    member.incarnation = in.Number(kIncarnationMax);
    member.state = in.Choice(MemberState::kDown);
    if (member.state == MemberState::kSuspect) member.accuser = in.Id();
  }
  return in.Finish(kKind);
}

// --- events ---

void Events::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, view_epoch);
  bool hinted = hinted_for != Id128{};
  PutVarint(out, hinted);
  if (hinted) PutId(out, hinted_for);
  PutLengthPrefixed(out, record);
}

Status Events::Decode(std::string_view payload, Events* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->view_epoch = in.Number();
  out->hinted_for = in.Flag() ? in.Id() : Id128{};
  out->record = in.Bytes();
  return in.Finish(kKind);
}

void EventsAck::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, uint64_t(status));
  PutVarint(out, view_epoch);
}

Status EventsAck::Decode(std::string_view payload, EventsAck* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->status = in.Choice(EventsStatus::kFailed);
  out->view_epoch = in.Number();
  return in.Finish(kKind);
}

// --- pull exchange ---

void Clocks::EncodeTo(std::string* out) const {
  PutVarint(out, entries.size());
  for (const Entry& entry : entries) {
    PutVarint(out, entry.partition);
    PutFixed64(out, entry.clock_hash);
    PutFixed64(out, entry.irregular_hash);
  }
}

Status Clocks::Decode(std::string_view payload, Clocks* out) {
  FieldReader in(payload);
  size_t count = in.Count(kPartitionsMax, 1 + 8 + 8);
  out->entries.resize(count);
  for (Entry& entry : out->entries) {
    entry.partition = in.Partition();
    entry.clock_hash = in.Hash();
    entry.irregular_hash = in.Hash();
  }
  return in.Finish(kKind);
}

void Report::EncodeTo(std::string* out) const {
  PutVarint(out, partition);
  PutLengthPrefixed(out, clock);
}

Status Report::Decode(std::string_view payload, Report* out) {
  FieldReader in(payload);
  out->partition = in.Partition();
  out->clock = in.Bytes();
  return in.Finish(kKind);
}

void Pull::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
  PutVarint(out, max_bytes);
  PutFixed64(out, irregular_hash);
  PutLengthPrefixed(out, clock);
}

Status Pull::Decode(std::string_view payload, Pull* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = in.Partition();
  out->max_bytes = in.Number();
  out->irregular_hash = in.Hash();
  out->clock = in.Bytes();
  return in.Finish(kKind);
}

void PullBatch::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
  PutVarint(out, more);
  PutLengthPrefixed(out, batch);
}

Status PullBatch::Decode(std::string_view payload, PullBatch* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = in.Partition();
  out->more = in.Flag();
  out->batch = in.Bytes();
  return in.Finish(kKind);
}

void PullNeedFull::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
}

Status PullNeedFull::Decode(std::string_view payload, PullNeedFull* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = in.Partition();
  return in.Finish(kKind);
}

void FullGet::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
  PutVarint(out, cursor);
  PutVarint(out, max_bytes);
}

Status FullGet::Decode(std::string_view payload, FullGet* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = uint16_t(in.Number(kPartitionsMax - 1));
  out->cursor = in.Number();
  out->max_bytes = in.Number();
  return in.Finish(kKind);
}

void FullPiece::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, partition);
  PutVarint(out, next);
  PutLengthPrefixed(out, rows);
}

Status FullPiece::Decode(std::string_view payload, FullPiece* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->partition = uint16_t(in.Number(kPartitionsMax - 1));
  out->next = in.Number();
  out->rows = in.Bytes();
  return in.Finish(kKind);
}

// --- requests for clients ---

void Read::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, database);
  PutVarint(out, digest_only);
  PutLengthPrefixed(out, key);
}

Status Read::Decode(std::string_view payload, Read* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->database = uint32_t(in.Number(kDatabaseMax));
  out->digest_only = in.Flag();
  out->key = in.Bytes();
  return in.Finish(kKind);
}

void ReadReply::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, view_epoch);
  PutVarint(out, flags);
  PutFixed64(out, hash);
  PutLengthPrefixed(out, rows);
}

Status ReadReply::Decode(std::string_view payload, ReadReply* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->view_epoch = in.Number();
  out->flags = uint32_t(in.Number(UINT32_MAX));
  out->hash = in.Hash();
  out->rows = in.Bytes();
  return in.Finish(kKind);
}

void Compare::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, entries.size());
  for (const Entry& entry : entries) {
    PutVarint(out, entry.partition);
    PutFixed64(out, entry.clock_hash);
  }
}

Status Compare::Decode(std::string_view payload, Compare* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  size_t count = in.Count(kPartitionsMax, 9);
  out->entries.clear();
  out->entries.reserve(std::min(count, kListReserved));
  for (size_t i = 0; i < count && in.ok(); ++i) {
    Entry& entry = out->entries.emplace_back();
    entry.partition = in.Partition();
    entry.clock_hash = in.Hash();
  }
  return in.Finish(kKind);
}

void CompareReply::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, view_epoch);
  PutVarint(out, entries.size());
  for (const Entry& entry : entries) {
    PutVarint(out, entry.partition);
    PutLengthPrefixed(out, entry.clock);
  }
}

Status CompareReply::Decode(std::string_view payload, CompareReply* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->view_epoch = in.Number();
  size_t count = in.Count(kPartitionsMax, 2);
  out->entries.clear();
  out->entries.reserve(std::min(count, kListReserved));
  for (size_t i = 0; i < count && in.ok(); ++i) {
    Entry& entry = out->entries.emplace_back();
    entry.partition = in.Partition();
    entry.clock = in.Bytes();
  }
  return in.Finish(kKind);
}

void Forward::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, view_epoch);
  PutVarint(out, database);
  PutVarint(out, resp_version);
  PutVarint(out, hops);
  PutVarint(out, flags);
  PutVarint(out, client);
  PutVarint(out, args.size());
  for (std::string_view arg : args) PutLengthPrefixed(out, arg);
  PutLengthPrefixed(out, share);
}

Status Forward::Decode(std::string_view payload, Forward* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->view_epoch = in.Number();
  out->database = uint32_t(in.Number(kDatabaseMax));
  out->resp_version = uint32_t(in.Number(3));
  out->hops = uint32_t(in.Number(kHopsMax));
  out->flags = uint32_t(in.Number(UINT32_MAX));
  out->client = in.Number();
  size_t count = in.Count(kForwardArgsMax, 1);
  out->args.clear();
  out->args.reserve(std::min(count, kListReserved));
  for (size_t i = 0; i < count && in.ok(); ++i) out->args.push_back(in.Bytes());
  out->share = in.Bytes(kPartitionsMax / 8);
  bool fits = count > 0 && out->resp_version >= 2;
  Status status = in.Finish(kKind);
  if (status.ok() && !fits) return Corruption("malformed FORWARD");
  return status;
}

void ForwardReply::EncodeTo(std::string* out) const {
  PutVarint(out, request_id);
  PutVarint(out, uint64_t(status));
  PutVarint(out, view_epoch);
  PutLengthPrefixed(out, reply);
}

Status ForwardReply::Decode(std::string_view payload, ForwardReply* out) {
  FieldReader in(payload);
  out->request_id = in.Number();
  out->status = in.Choice(ForwardStatus::kUnavailable);
  out->view_epoch = in.Number();
  out->reply = in.Bytes();
  return in.Finish(kKind);
}

// --- for subscribers ---

void Publish::EncodeTo(std::string* out) const {
  PutVarint(out, sharded);
  PutLengthPrefixed(out, channel);
  PutLengthPrefixed(out, message);
}

Status Publish::Decode(std::string_view payload, Publish* out) {
  FieldReader in(payload);
  out->sharded = in.Flag();
  out->channel = in.Bytes();
  out->message = in.Bytes();
  return in.Finish(kKind);
}

void KeyEventsWanted::EncodeTo(std::string* out) const { PutVarint(out, classes); }

Status KeyEventsWanted::Decode(std::string_view payload, KeyEventsWanted* out) {
  FieldReader in(payload);
  out->classes = uint32_t(in.Number(UINT32_MAX));
  return in.Finish(kKind);
}

}  // namespace wire
}  // namespace redynamo
