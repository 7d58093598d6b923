// SPDX-License-Identifier: Apache-2.0
// The grammar of what the cold tier stores. Integers in keys are big-endian, so that byte order is
// (namespace, position, key, kind, element) order; every range of ours is a range of bytes.
//
//   head key  = ns:u16 position:7 key                         one per key
//   row key   = ns:u16 position:7 length:u32 key kind:u8 element_hash:6 element
//   stored    = payload crc:u32                               crc little-endian, see SealValue
//
//   ns            namespace: what a database number stands for (a logged map, ENGINE.md section 3)
//   position      53 bits, 14 of slot and 39 of hash (base/hash.h); the top 3 bits are zero
//   length        bytes of key, so that the rows of "ab" never lie among those of "a"
//   kind          which sort of row of that key (storage's model numbers them)
//   element_hash  48 bits: cold collections are walked, and cursors counted, in this order
//
// Example: field "f" of hash "ab" in namespace 1, at position 5, kind 2, element hash 7:
//
//   0001 00000000000005 00000002 6162 02 000000000007 66
//   `--------- prefix of the key ---'
//   `--------- prefix of (key, kind) ---'
//
// An upper bound is exclusive; an empty one means "no bound". Encoders trust their arguments, as
// these are ours (CHECK_THAT on a position of 54 bits); decoders trust nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace redynamo {

inline constexpr int kPositionBits = 53;
inline constexpr uint64_t kPositionCount = uint64_t{1} << kPositionBits;
inline constexpr uint64_t kElementHashCount = uint64_t{1} << 48;

// Decoded keys point into the bytes they were decoded from.
struct HeadKey {
  uint16_t ns = 0;
  uint64_t position = 0;
  std::string_view key;
  friend bool operator==(const HeadKey&, const HeadKey&) = default;
};

struct RowKey {
  uint16_t ns = 0;
  uint64_t position = 0;
  std::string_view key;
  uint8_t kind = 0;
  uint64_t element_hash = 0;
  std::string_view element;
  friend bool operator==(const RowKey&, const RowKey&) = default;
};

// [lower, upper) in bytes.
struct KeyRange {
  std::string lower;
  std::string upper;  // empty: no bound
  friend bool operator==(const KeyRange&, const KeyRange&) = default;
};

std::string EncodeHeadKey(const HeadKey& head);
std::string EncodeRowKey(const RowKey& row);

// kCorruption, with the reason and the bytes in hex, for anything that no encoder wrote.
Result<HeadKey> DecodeHeadKey(std::string_view bytes);
Result<RowKey> DecodeRowKey(std::string_view bytes);

// The first bytes of every row of a key, and of every row of one of its kinds. Add PrefixUpperBound
// for a range, or use the Range functions.
std::string RowPrefix(uint16_t ns, uint64_t position, std::string_view key);
std::string RowPrefix(uint16_t ns, uint64_t position, std::string_view key, uint8_t kind);

// Where to seek for the first row of (key, kind) whose element hash is at least `element_hash`.
std::string RowSeekKey(uint16_t ns, uint64_t position, std::string_view key, uint8_t kind,
                       uint64_t element_hash);

KeyRange RowRange(uint16_t ns, uint64_t position, std::string_view key);
KeyRange RowRange(uint16_t ns, uint64_t position, std::string_view key, uint8_t kind);

// Everything of a namespace at positions [first, last], in heads as well as in rows.
// REQUIRES: first <= last < kPositionCount.
KeyRange PositionRange(uint16_t ns, uint64_t first, uint64_t last);
KeyRange NamespaceRange(uint16_t ns);

// The smallest string above all strings that begin with `prefix`; empty when there is none (the
// prefix is empty or all 0xff).
std::string PrefixUpperBound(std::string_view prefix);

// What is stored under `key` for `payload`: the payload and a CRC32C of key and payload, so that a
// flipped bit and a value that strayed under another key are both found.
std::string SealValue(std::string_view key, std::string_view payload);

// The payload within `stored`, or nothing when the checksum does not fit.
std::optional<std::string_view> UnsealValue(std::string_view key, std::string_view stored);

// Lower-case hex of at most the first 64 bytes, for messages.
std::string HexForMessage(std::string_view bytes);

}  // namespace redynamo
