// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"
#include "cluster/message.h"
#include "cluster/message_fields.h"

namespace redynamo {
namespace {

void PutBallot(std::string* out, const wire::Ballot& ballot) {
  PutVarint(out, ballot.round);
  PutId(out, ballot.node);
}

wire::Ballot BallotOf(FieldReader* in) {
  uint64_t round = in->Number(kBallotRoundMax);
  return {round, in->Id()};
}

}  // namespace

namespace wire {

// --- the ring ---

void RingGet::EncodeTo(std::string* out) const { PutVarint(out, have_epoch); }

Status RingGet::Decode(std::string_view payload, RingGet* out) {
  FieldReader in(payload);
  out->have_epoch = in.Number();
  return in.Finish(kKind);
}

void RingDocument::EncodeTo(std::string* out) const {
  PutVarint(out, epoch);
  PutLengthPrefixed(out, document);
}

Status RingDocument::Decode(std::string_view payload, RingDocument* out) {
  FieldReader in(payload);
  out->epoch = in.Number();
  out->document = in.Bytes(kRingDocumentBytesMax);
  return in.Finish(kKind);
}

void Bootstrap::EncodeTo(std::string* out) const {
  PutVarint(out, purpose);
  PutVarint(out, expected);
  PutVarint(out, members.size());
  for (const Member& member : members) {
    PutId(out, member.node_id);
    PutVarint(out, ZigZag(member.created_ms));
    PutLengthPrefixed(out, member.ring_address);
    PutLengthPrefixed(out, member.client_address);
    PutVarint(out, member.cluster_port);
    PutLengthPrefixed(out, member.host);
    PutLengthPrefixed(out, member.zone);
    PutVarint(out, member.weight);
  }
}

Status Bootstrap::Decode(std::string_view payload, Bootstrap* out) {
  FieldReader in(payload);
  out->purpose = Purpose(in.Number(kWait));
  out->expected = uint32_t(in.Number(kMembersMax));
  size_t count = in.Count(kMembersMax, sizeof(Id128) + 7);
  out->members.resize(count);
  for (Member& member : out->members) {
    member.node_id = in.Id();
    member.created_ms = in.Signed();
    member.ring_address = in.Bytes(kAddressBytesMax);
    member.client_address = in.Bytes(kAddressBytesMax);
    member.cluster_port = uint32_t(in.Number(kPortMax));
    member.host = in.Bytes(kLabelBytesMax);
    member.zone = in.Bytes(kLabelBytesMax);
    member.weight = uint32_t(in.Number(UINT32_MAX));
  }
  return in.Finish(kKind);
}

void JoinRefused::EncodeTo(std::string* out) const {
  PutLengthPrefixed(out, reason.substr(0, kReasonBytesMax));
}

Status JoinRefused::Decode(std::string_view payload, JoinRefused* out) {
  FieldReader in(payload);
  out->reason = in.Bytes(kReasonBytesMax);
  return in.Finish(kKind);
}

// --- its register ---

void RingPrepare::EncodeTo(std::string* out) const {
  PutVarint(out, epoch);
  PutBallot(out, ballot);
}

Status RingPrepare::Decode(std::string_view payload, RingPrepare* out) {
  FieldReader in(payload);
  out->epoch = in.Number();
  out->ballot = BallotOf(&in);
  return in.Finish(kKind);
}

void RingPromise::EncodeTo(std::string* out) const {
  PutVarint(out, epoch);
  PutBallot(out, ballot);
  PutVarint(out, granted);
  PutBallot(out, promised);
  PutBallot(out, accepted);
  PutLengthPrefixed(out, document);
}

Status RingPromise::Decode(std::string_view payload, RingPromise* out) {
  FieldReader in(payload);
  out->epoch = in.Number();
  out->ballot = BallotOf(&in);
  out->granted = in.Flag();
  out->promised = BallotOf(&in);
  out->accepted = BallotOf(&in);
  out->document = in.Bytes(kRingDocumentBytesMax);
  return in.Finish(kKind);
}

void RingAccept::EncodeTo(std::string* out) const {
  PutVarint(out, epoch);
  PutBallot(out, ballot);
  PutLengthPrefixed(out, document);
}

Status RingAccept::Decode(std::string_view payload, RingAccept* out) {
  FieldReader in(payload);
  out->epoch = in.Number();
  out->ballot = BallotOf(&in);
  out->document = in.Bytes(kRingDocumentBytesMax);
  return in.Finish(kKind);
}

void RingAccepted::EncodeTo(std::string* out) const {
  PutVarint(out, epoch);
  PutBallot(out, ballot);
  PutVarint(out, granted);
  PutBallot(out, promised);
}

Status RingAccepted::Decode(std::string_view payload, RingAccepted* out) {
  FieldReader in(payload);
  out->epoch = in.Number();
  out->ballot = BallotOf(&in);
  out->granted = in.Flag();
  out->promised = BallotOf(&in);
  return in.Finish(kKind);
}

// --- its views ---

void ViewProgress::EncodeTo(std::string* out) const {
  PutVarint(out, ring_epoch);
  PutVarint(out, guests);
  PutVarint(out, entries.size());
  for (const Entry& entry : entries) {
    PutVarint(out, entry.partition);
    PutVarint(out, entry.view_epoch);
  }
}

Status ViewProgress::Decode(std::string_view payload, ViewProgress* out) {
  FieldReader in(payload);
  out->ring_epoch = in.Number();
  out->guests = in.Number();
  size_t count = in.Count(kPartitionsMax, 2);
  out->entries.resize(count);
  for (Entry& entry : out->entries) {
    entry.partition = in.Partition();
    entry.view_epoch = in.Number();
  }
  return in.Finish(kKind);
}

}  // namespace wire
}  // namespace redynamo
