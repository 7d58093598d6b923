// SPDX-License-Identifier: Apache-2.0
#include "cluster/ring_document.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"

namespace redynamo {
namespace {

constexpr std::string_view kMagic = "ring";
constexpr size_t kCrcBytes = 4;
constexpr int kHasPendingBit = 2, kHasLeaverBit = 3, kCountShift = 4;
constexpr size_t kViewBytesMin = 3;     // shape, epoch, one home
constexpr size_t kMemberBytesMin = 28;  // what has no width, at one byte each

Status Malformed(const std::string& what) {
  return Corruption("ring document is malformed: " + what);
}

bool ValidLabel(std::string_view label) {
  return label.size() <= kRingLabelBytesMax &&
         std::ranges::all_of(label, [](char c) { return c > ' ' && c < 0x7f; });
}

Status ValidateMember(const Member& member) {
  std::string who = "member " + member.id.digits();
  if (member.state > MemberState::kRemoved) return InvalidArgument(who + " has no known state");
  if (member.incarnation == 0) return InvalidArgument(who + " has incarnation 0");
  if (member.weight == 0 || member.weight > kRingWeightMax) {
    return InvalidArgument(who + " has weight " + std::to_string(member.weight) +
                           ", not one from 1 to " + std::to_string(kRingWeightMax));
  }
  if (!ValidHost(member.ring_address.host) || member.ring_address.port == 0) {
    return InvalidArgument(who + " has no valid ring address");
  }
  if (!member.client_host.empty() && !ValidHost(member.client_host)) {
    return InvalidArgument(who + " has no valid client host");
  }
  if (!ValidLabel(member.host) || !ValidLabel(member.zone)) {
    return InvalidArgument(who + " has a host or zone label that is not up to " +
                           std::to_string(kRingLabelBytesMax) + " printable bytes, no spaces");
  }
  return Status::Ok();
}

Status ValidateMembers(const RingDocument& document) {
  if (document.members.empty() || document.members.size() > size_t(kRingMembersMax)) {
    return InvalidArgument("a ring has 1 to " + std::to_string(kRingMembersMax) + " members, not " +
                           std::to_string(document.members.size()));
  }
  std::set<NodeId> ids;
  std::set<RingAddress> addresses;
  for (const Member& member : document.members) {
    Status status = ValidateMember(member);
    if (!status.ok()) return status;
    if (!ids.insert(member.id).second) {
      return InvalidArgument("member " + member.id.digits() + " is there twice");
    }
    if (member.takes_replicas() && !addresses.insert(member.ring_address).second) {
      return InvalidArgument("two members have ring address " + member.ring_address.ToString());
    }
  }
  return Status::Ok();
}

Status ValidateView(const RingDocument& document, size_t partition) {
  const View& view = document.views[partition];
  std::string what = "partition " + std::to_string(partition);
  if (!ViewIsConsistent(view)) return InvalidArgument(what + " has a view that does not fit");
  auto in_ring = [&](MemberIndex m) {
    return m < document.members.size() && document.members[m].in_ring();
  };
  for (MemberIndex m : view.homes) {
    if (!in_ring(m)) return InvalidArgument(what + " has a home that is no member");
  }
  for (MemberIndex m : {view.pending, view.leaver}) {
    if (m != kNoMember && !in_ring(m)) {
      return InvalidArgument(what + " waits for a node that is no member");
    }
  }
  return Status::Ok();
}

void PutMember(const Member& member, std::string* out) {
  out->append(reinterpret_cast<const char*>(member.id.bytes.data()), member.id.bytes.size());
  out->push_back(char(member.state));
  PutVarint(out, member.incarnation);
  PutVarint(out, member.weight);
  PutVarint(out, member.capabilities);
  PutLengthPrefixed(out, member.ring_address.host);
  PutVarint(out, member.ring_address.port);
  PutLengthPrefixed(out, member.client_host);
  PutVarint(out, member.client_port);
  PutVarint(out, member.cluster_port);
  PutLengthPrefixed(out, member.host);
  PutLengthPrefixed(out, member.zone);
}

void PutView(const View& view, uint64_t epoch_base, std::string* out) {
  bool pending = view.pending != kNoMember, leaver = view.leaver != kNoMember;
  out->push_back(char(int(view.phase) | pending << kHasPendingBit | leaver << kHasLeaverBit |
                      int(view.homes.size()) << kCountShift));
  PutVarint(out, view.epoch - epoch_base);
  for (MemberIndex m : view.homes) PutVarint(out, m);
  if (pending) PutVarint(out, view.pending);
  if (leaver) PutVarint(out, view.leaver);
}

Id128 ReadId(ByteReader* in) {
  Id128 id{};
  std::string_view bytes = in->Bytes(id.size());
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

// A number above `most` is as bad as no number.
uint64_t ReadUpTo(ByteReader* in, uint64_t most, bool* ok) {
  uint64_t v = in->Varint();
  if (v > most) *ok = false;
  return v;
}

bool ReadMember(ByteReader* in, Member* member) {
  bool ok = true;
  member->id.bytes = ReadId(in);
  member->state = MemberState(in->Byte());
  member->incarnation = in->Varint();
  member->weight = uint32_t(ReadUpTo(in, kRingWeightMax, &ok));
  member->capabilities = in->Varint();
  member->ring_address.host = std::string(in->LengthPrefixed());
  member->ring_address.port = uint16_t(ReadUpTo(in, 0xffff, &ok));
  member->client_host = std::string(in->LengthPrefixed());
  member->client_port = uint16_t(ReadUpTo(in, 0xffff, &ok));
  member->cluster_port = uint16_t(ReadUpTo(in, 0xffff, &ok));
  member->host = std::string(in->LengthPrefixed());
  member->zone = std::string(in->LengthPrefixed());
  return ok && in->ok();
}

bool ReadView(ByteReader* in, uint64_t epoch_base, uint64_t members, View* view) {
  bool ok = true;
  uint8_t shape = in->Byte();
  view->phase = ViewPhase(shape & 3);
  uint64_t above_base = in->Varint();
  view->epoch = epoch_base + above_base;
  if (view->epoch < epoch_base) return false;
  int count = shape >> kCountShift;
  if (count > kReplicasMax) return false;
  for (int i = 0; i < count; i++) {
    view->homes.Add(MemberIndex(ReadUpTo(in, members - 1, &ok)));
  }
  if (shape >> kHasPendingBit & 1) view->pending = MemberIndex(ReadUpTo(in, members - 1, &ok));
  if (shape >> kHasLeaverBit & 1) view->leaver = MemberIndex(ReadUpTo(in, members - 1, &ok));
  return ok && in->ok();
}

Result<RingDocument> DecodeBody(ByteReader* in) {
  RingDocument document;
  document.cluster_id = ReadId(in);
  document.seed = in->Fixed64();
  document.epoch = in->Varint();
  uint64_t partitions = in->Varint();
  uint64_t n = in->Varint();
  uint64_t members = in->Varint();
  if (!in->ok() || !ValidPartitionCount(partitions) || n > uint64_t(kReplicasMax) || members == 0 ||
      members > uint64_t(kRingMembersMax) || members * kMemberBytesMin > in->rest().size()) {
    return Malformed("its head");
  }
  document.n = int(n);
  document.members.resize(members);
  for (Member& member : document.members) {
    if (!ReadMember(in, &member)) return Malformed("a member");
  }
  uint64_t epoch_base = in->Varint();
  if (!in->ok() || partitions * kViewBytesMin > in->rest().size()) return Malformed("its views");
  document.views.resize(partitions);
  for (View& view : document.views) {
    if (!ReadView(in, epoch_base, members, &view)) return Malformed("a view");
  }
  if (!in->empty()) return Malformed("bytes behind its end");
  return document;
}

}  // namespace

std::string NameOf(const Member& member) {
  return member.ring_address.ToString() + " (" + member.id.digits().substr(0, 8) + ")";
}

std::optional<MemberIndex> RingDocument::Find(const NodeId& id) const {
  for (size_t i = 0; i < members.size(); i++) {
    if (members[i].id == id) return MemberIndex(i);
  }
  return std::nullopt;
}

std::optional<MemberIndex> RingDocument::Find(std::string_view name) const {
  NodeId id;
  if (NodeId::Parse(name, &id)) return Find(id);
  RingAddress address;
  if (!RingAddress::Parse(name, &address)) return std::nullopt;
  std::optional<MemberIndex> best;
  for (size_t i = 0; i < members.size(); i++) {
    if (members[i].ring_address != address) continue;
    if (members[i].takes_replicas()) return MemberIndex(i);
    if (!best || members[i].in_ring() || !members[*best].in_ring()) best = MemberIndex(i);
  }
  return best;
}

RingDocument WithoutMember(const RingDocument& document, MemberIndex member) {
  RingDocument out = document;
  out.members.erase(out.members.begin() + member);
  auto moved = [member](MemberIndex m) {
    return m != kNoMember && m > member ? MemberIndex(m - 1) : m;
  };
  for (View& view : out.views) {
    HomeList homes;
    for (MemberIndex m : view.homes) homes.Add(moved(m));
    view.homes = homes;
    view.pending = moved(view.pending);
    view.leaver = moved(view.leaver);
  }
  return out;
}

bool ValidPartitionCount(uint64_t partitions) {
  return partitions >= 1 && partitions <= uint64_t(kSlotCount) &&
         (partitions & (partitions - 1)) == 0;
}

Status ValidateRingDocument(const RingDocument& document) {
  if (!ValidPartitionCount(document.views.size())) {
    return InvalidArgument("a ring has a power of two partitions, at most " +
                           std::to_string(kSlotCount) + ", not " +
                           std::to_string(document.views.size()));
  }
  if (document.n < 1 || document.n > kReplicasMax) {
    return InvalidArgument("a partition has 1 to " + std::to_string(kReplicasMax) +
                           " replicas, not " + std::to_string(document.n));
  }
  Status status = ValidateMembers(document);
  for (size_t p = 0; p < document.views.size() && status.ok(); p++) {
    status = ValidateView(document, p);
  }
  return status;
}

std::string EncodeRingDocument(const RingDocument& document) {
  std::string out(kMagic);
  out.push_back(char(kRingDocumentVersion));
  out.append(reinterpret_cast<const char*>(document.cluster_id.data()), document.cluster_id.size());
  PutFixed64(&out, document.seed);
  PutVarint(&out, document.epoch);
  PutVarint(&out, document.views.size());
  PutVarint(&out, uint64_t(document.n));
  PutVarint(&out, document.members.size());
  for (const Member& member : document.members) PutMember(member, &out);
  uint64_t epoch_base = UINT64_MAX;
  for (const View& view : document.views) epoch_base = std::min(epoch_base, view.epoch);
  PutVarint(&out, epoch_base);
  for (const View& view : document.views) PutView(view, epoch_base, &out);
  PutFixed32(&out, Crc32c(out));
  return out;
}

Result<RingDocument> DecodeRingDocument(std::string_view bytes) {
  size_t head = kMagic.size() + 1;
  if (bytes.size() < head + kCrcBytes || bytes.substr(0, kMagic.size()) != kMagic) {
    return Malformed("it does not begin as one");
  }
  std::string_view body = bytes.substr(0, bytes.size() - kCrcBytes);
  ByteReader crc(bytes.substr(body.size()));
  if (crc.Fixed32() != Crc32c(body)) return Corruption("ring document fails its checksum");
  uint8_t version = uint8_t(body[kMagic.size()]);
  if (version > kRingDocumentVersion) {
    return Status(StatusCode::kUnsupported,
                  "the ring document has version " + std::to_string(version) +
                      ", this build reads up to " + std::to_string(kRingDocumentVersion) +
                      "; start a newer redynamo-server");
  }
  if (version == 0) return Malformed("version 0");
  ByteReader in(body.substr(head));
  Result<RingDocument> document = DecodeBody(&in);
  if (!document.ok()) return document;
  Status status = ValidateRingDocument(*document);
  if (!status.ok()) return Malformed(status.message());
  return document;
}

}  // namespace redynamo
