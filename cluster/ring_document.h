// SPDX-License-Identifier: Apache-2.0
// The ring document: who the members are and which of them are the homes of each partition
// (REPLICATION.md sections 2 and 6). It is the one thing that the members decide by majority; any
// of them keeps it on disk and passes it on. A value: changing it makes the next document, with the
// next epoch.
//
// As bytes (disk, gossip and register alike; integers without a width are varints):
//
//   document  := "ring" version:1 cluster_id:16 seed:8 epoch partitions n
//                count member* view_epoch_base view* crc:4
//   member    := id:16 state:1 incarnation weight capabilities
//                ring_host ring_port client_host client_port cluster_port host zone
//   view      := shape:1 (epoch - base) home{count} pending? leaver?
//   shape     := phase (bits 0-1) | has pending (2) | has leaver (3) | count of homes (4-7)
//   *_host, host, zone := length-prefixed bytes; homes, pending, leaver: indices of members
//
// The crc is the CRC32C of all before it. 1,024 partitions of three homes take 5 KiB, 16,384 take
// 80 KiB, and members about 80 bytes each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "cluster/node_id.h"
#include "cluster/view.h"

namespace redynamo {

inline constexpr uint8_t kRingDocumentVersion = 1;
inline constexpr int kRingMembersMax = 1024;  // removed ones that were not forgotten included
inline constexpr uint32_t kRingWeightMax = 10'000;
inline constexpr uint32_t kRingWeightDefault = 100;
inline constexpr size_t kRingLabelBytesMax = 255;  // of a host or zone label

// The numbers are on disk and wire.
enum class MemberState : uint8_t {
  kJoining = 0,  // a member for the majority; partitions are on their way to it
  kMember = 1,
  kLeaving = 2,  // its partitions are on their way to others
  kRemoved = 3,  // no member any more; kept so that it is known when it comes back
};

struct Member {
  NodeId id;
  MemberState state = MemberState::kJoining;
  // Grows by one each time the id is admitted. A removed node that shows up again with the
  // incarnation that was removed is refused; to come back it has to be joined anew.
  uint64_t incarnation = 1;
  uint32_t weight = kRingWeightDefault;  // its share of replicas, relative to the others'
  uint64_t capabilities = 0;             // bits; the ring uses what all members have
  RingAddress ring_address;
  std::string client_host;    // of the plain port, as clients are told; empty: the ring host
  uint16_t client_port = 0;   // 0: none
  uint16_t cluster_port = 0;  // of the redirecting port; 0: none
  std::string host;           // failure domains: replicas of a partition go to distinct hosts and,
  std::string zone;           // where possible, zones. Empty: a domain of its own

  // Votes on ring documents, is told of them.
  bool in_ring() const { return state != MemberState::kRemoved; }
  // May be given replicas, or stand in for a home.
  bool takes_replicas() const {
    return state == MemberState::kJoining || state == MemberState::kMember;
  }
  bool operator==(const Member&) const = default;
};

// "10.0.0.4:17379 (04040404)", for operators: the address and how the id begins.
std::string NameOf(const Member& member);

struct RingDocument {
  Id128 cluster_id{};  // drawn when the ring is made; nodes of another ring are refused
  uint64_t seed = 0;   // of positions and element hashes: equal on all members
  uint64_t epoch = 0;
  int n = 3;  // wanted replicas of a partition; with fewer members it is their number
  std::vector<Member> members;  // in the order in which they came; MemberIndex counts in here
  std::vector<View> views;      // by partition

  int partitions() const { return int(views.size()); }
  bool operator==(const RingDocument&) const = default;

  std::optional<MemberIndex> Find(const NodeId& id) const;
  // By 40 digits or ring address; of those that have, or had, the address, the one that takes
  // replicas, else one that leaves, else the one removed last.
  std::optional<MemberIndex> Find(std::string_view name) const;
};

// The document with one member less: those after it move up, in the views as well. REQUIRES: no
// view names the member.
RingDocument WithoutMember(const RingDocument& document, MemberIndex member);

// Q: a power of two from 1 to kSlotCount.
bool ValidPartitionCount(uint64_t partitions);
// Which of `partitions` neighbouring ranges of slots holds the slot, and where a range begins.
// REQUIRES: ValidPartitionCount, slot < kSlotCount.
inline int RingPartitionOf(uint16_t slot, int partitions) {
  return int(slot) / (kSlotCount / partitions);
}
inline int FirstSlotOf(int partition, int partitions) {
  return partition * (kSlotCount / partitions);
}

// kInvalidArgument, and the message names the first thing that is wrong: counts and ranges, hosts,
// labels, an id that is there twice, or a ring address (a leaving member may have that of the one
// that replaces it), views that do not fit together, or whose homes are no members.
Status ValidateRingDocument(const RingDocument& document);

// REQUIRES: the document is valid.
std::string EncodeRingDocument(const RingDocument& document);

// Any bytes in: a valid document, kCorruption, or kUnsupported for a newer version.
Result<RingDocument> DecodeRingDocument(std::string_view bytes);

}  // namespace redynamo
