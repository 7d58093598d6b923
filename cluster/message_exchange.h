// SPDX-License-Identifier: Apache-2.0
// Messages by which replicas compare what they have, and fetch what they lack. See message.h.
#pragma once

#include "cluster/message_kind.h"

namespace redynamo {
namespace wire {

// --- pull exchange ---

// The clocks of the partitions that the two nodes share and that have changed.
struct Clocks {
  static constexpr MessageKind kKind = MessageKind::kClocks;
  struct Entry {
    uint16_t partition = 0;
    uint64_t clock_hash = 0;
    uint64_t irregular_hash = 0;
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries{};  // at most kPartitionsMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Clocks* out);
  bool operator==(const Clocks&) const = default;
};
// A partition's clock in full (storage/replica_clock.h's coding).
struct Report {
  static constexpr MessageKind kKind = MessageKind::kReport;
  uint16_t partition = 0;
  std::string_view clock{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Report* out);
  bool operator==(const Report&) const = default;
};
struct Pull {
  static constexpr MessageKind kKind = MessageKind::kPull;
  uint64_t request_id = 0;
  uint16_t partition = 0;
  uint64_t max_bytes = 0;
  uint64_t irregular_hash = 0;
  std::string_view clock{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Pull* out);
  bool operator==(const Pull&) const = default;
};
// Nothing to give: an empty batch, and not more.
struct PullBatch {
  static constexpr MessageKind kKind = MessageKind::kPullBatch;
  uint64_t request_id = 0;
  uint16_t partition = 0;
  bool more = false;
  std::string_view batch{};

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, PullBatch* out);
  bool operator==(const PullBatch&) const = default;
};
// Some missing dots are not in the index any more: a full sync is needed.
struct PullNeedFull {
  static constexpr MessageKind kKind = MessageKind::kPullNeedFull;
  uint64_t request_id = 0;
  uint16_t partition = 0;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, PullNeedFull* out);
  bool operator==(const PullNeedFull&) const = default;
};
// All rows of a partition, piece by piece: cursor 0, then FullPiece::next of the piece before.
struct FullGet {
  static constexpr MessageKind kKind = MessageKind::kFullGet;
  uint64_t request_id = 0;
  uint16_t partition = 0;
  uint64_t cursor = 0;
  uint64_t max_bytes = 0;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, FullGet* out);
  bool operator==(const FullGet&) const = default;
};
struct FullPiece {
  static constexpr MessageKind kKind = MessageKind::kFullPiece;
  uint64_t request_id = 0;
  uint16_t partition = 0;
  uint64_t next = 0;  // 0: this was the last
  std::string_view rows;

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, FullPiece* out);
  bool operator==(const FullPiece&) const = default;
};

// --- trees (cluster/merkle.h) ---

// Are we equal in this partition?
struct TreeGet {
  static constexpr MessageKind kKind = MessageKind::kTreeGet;
  uint64_t request_id = 0;
  uint16_t partition = 0;
  uint64_t root = 0;
  uint64_t irregular_hash = 0;
  std::string_view clock{};  // what the root is of

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, TreeGet* out);
  bool operator==(const TreeGet&) const = default;
};
enum class TreeAnswer : uint8_t {
  kEqual = 0,   // clocks and roots are
  kLeaves = 1,  // the answering node's clock and leaves follow
  kNotNow = 2,  // they cannot be told just now
};
struct Leaves {
  static constexpr MessageKind kKind = MessageKind::kLeaves;
  struct Leaf {
    uint16_t ns = 0;
    uint16_t slot = 0;
    bool comparable = true;  // false: not settled there, or touched by what the asking node lacks
    uint64_t sum = 0;
    bool operator==(const Leaf&) const = default;
  };
  uint64_t request_id = 0;
  uint16_t partition = 0;
  TreeAnswer answer = TreeAnswer::kEqual;
  std::string_view clock{};
  std::vector<Leaf> leaves{};  // ascending; at most kLeavesMax

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, Leaves* out);
  bool operator==(const Leaves&) const = default;
};
// A leaf that is to be repaired, and its rows (storage/tree.h).
struct LeafRows {
  static constexpr MessageKind kKind = MessageKind::kLeafRows;
  // Bits of `flags`.
  static constexpr uint32_t kAnswer = 1;     // the receiver sends its own rows back
  static constexpr uint32_t kCountAnew = 2;  // rows have been found to agree, so a sum is wrong
  uint64_t request_id = 0;
  uint16_t ns = 0;
  uint16_t slot = 0;
  uint32_t flags = 0;
  uint64_t repaired = 0;    // in the answer: versions that were missing at its sender
  std::string_view rows{};  // none: only the answer is wanted, or it cannot be given

  void EncodeTo(std::string* out) const;
  static Status Decode(std::string_view payload, LeafRows* out);
  bool operator==(const LeafRows&) const = default;
};

}  // namespace wire
}  // namespace redynamo
