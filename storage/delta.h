// SPDX-License-Identifier: Apache-2.0
// The unit of change: effects of events, as they stand in the log (and later on the wire).
//
//   record  := 0x01 hlc:8 token*                          one command, however many keys it changed
//   token   := 0xff partition actor n ns                  the event that what follows belongs to
//            | 0xfe a b                                   databases a and b exchange namespaces
//            | tag [key] [element] [removed] [value]      one effect
//   tag     := kind (low 4 bits) | 0x10 a value follows | 0x20 removed dots follow | 0x40 same key
//              as the effect before | 0x80 the key that it replaces or removes had a deadline; with
//              a base that removes nothing: it stands beside another one
//   key     := length bytes                               absent with 0x40, and in clears of more
//   element := by kind, see RowKind                          than a key
//   removed := count (actor n)*
//
// Numbers are varints unless a width is given. Within one event effects apply in order, and a later
// effect on a row overrides an earlier one: they share the event's dot. An effect without value
// removes. A partition's event may be named again later in the record: it goes on.
//
//   SET k v over a version with dot (0,7), partition 5, n = 8:
//   01 <hlc> | ff 05 00 08 00 | 31 "k" 01 00 07 "v"
//
// The fragment of a long string's base is its bytes whole, not what changed in it, so that joins in
// any order, and replay over a later capture, are right. SETRANGE k 5000 x, n = 9, on a base with
// dot (0,8), fragment 1 (bytes 4096 to 5000) being touched for the first time:
//
//   01 <hlc> | ff 05 00 09 00 | 14 "k" 00 08 01 <905 bytes>
//
// Effects name namespaces, not databases, so it does not matter where in its record an exchange
// stands. Other records: 0x03 is an exchange alone (a b: varint), as logs of format 1 have it; 0x04
// holds events of other nodes as they came (storage/portable.h), 0x05 a batch of them that was
// pulled (storage/replica_batch.h), 0x06 and 0x07 rows and the end of a full sync
// (storage/replica_full.cc), 0x08 that a replica was let go (storage/replica_drop.cc), 0x09 rows
// that repair a leaf (storage/replica_leaf.cc). 0x02 is not in use.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/version.h"

namespace redynamo {

// On disk: never renumber.
enum class RowKind : uint8_t {
  kBase = 1,          // string; element: none; value: bytes
  kDeadline = 2,      // element: dot of the base it hangs on, 0 for a collection; value: i64 ms
  kTotal = 3,         // element: dot of the base; the event's actor owns it; value: zigzag total
  kFragment = 4,      // element: dot of the base it hangs on, index; value: 1..kFragmentBytes bytes
  kField = 5,         // hash; element: field; value: bytes
  kFieldTotal = 6,    // element: field, dot of the field's base; value: zigzag total
  kMember = 7,        // set; element: member; value: none
  kImplicitBase = 8,  // string: the zero base that INCR on nothing makes; no value
  kImplicitField = 9,  // hash: the same for HINCRBY; element: field
  kClear = 14,         // element: scope, [kind], context clock
};

// A long string's piece `index` holds its bytes from index * kFragmentBytes on.
inline constexpr uint32_t kFragmentBytes = 4096;
inline constexpr uint32_t kFragmentsMax = 1 << 20;  // of a string, which is at most 4 GiB long

enum class ClearScope : uint8_t {
  kKey = 0,
  kKeyKind = 1,
  kNamespace = 2,
  kPartition = 3,
  kSlotSync = 4,  // no effect has it: see storage/replica_full.cc
};

enum RecordType : uint8_t {
  kEventsRecord = 1,
  kSwapRecord = 3,
  kPortableRecord = 4,
  kBatchRecord = 5,
  kFullRecord = 6,
  kFullEndRecord = 7,
  kDropRecord = 8,
  kLeafRecord = 9,
};

inline constexpr uint8_t kEventToken = 0xff;
inline constexpr uint8_t kSwapToken = 0xfe;
inline constexpr uint8_t kTagValue = 0x10;
inline constexpr uint8_t kTagRemoved = 0x20;
inline constexpr uint8_t kTagSameKey = 0x40;
// Of a base, or a clear of one key: what its writer saw there. It counts for nothing in a join; the
// replay of an own event need not read the old object to know how many keys have deadlines. Of a
// base that removes nothing: that there was a key, for otherwise replay takes it to have met none.
inline constexpr uint8_t kTagHadDeadline = 0x80;

struct EventHeader {
  uint16_t partition = 0;
  uint16_t ns = 0;
  Dot dot = 0;
};

struct Effect {
  RowKind kind = RowKind::kBase;
  std::string_view key;
  std::string_view element;  // field or member
  Dot base_dot = 0;          // kDeadline, kTotal, kFragment, kFieldTotal
  uint32_t index = 0;        // kFragment
  ClearScope scope = ClearScope::kKey;
  RowKind cleared_kind = RowKind::kBase;
  PartitionClock context;  // kClear
  std::vector<Dot> removed;
  bool had_deadline = false;
  bool has_value = false;
  std::string_view value;  // bytes of kBase, kFragment, kField
  int64_t number = 0;      // kDeadline: ms; totals: the total
};

// Writers append to the record that is being built.
void PutEvent(std::string* out, const EventHeader& event);
void PutSwap(std::string* out, uint64_t a, uint64_t b);
// Tag and key, the removed dot (0: none).
void PutEffectHead(std::string* out, RowKind kind, uint8_t tag_bits, std::string_view key);
void PutDot(std::string* out, Dot dot);
inline void PutRemoved(std::string* out, Dot dot) {
  PutVarint(out, 1);
  PutDot(out, dot);
}

// A whole effect, its key spelt out.
void PutEffect(std::string* out, const Effect& effect);

// Reads an events record (with its type byte). kCorruption on anything that no writer wrote. The
// Effect's views live as long as `record`. Without on_swap an exchange of databases is refused.
Status ReadEvents(std::string_view record, uint64_t* hlc,
                  const std::function<Status(const EventHeader&, const Effect&)>& on_effect,
                  const std::function<Status(uint64_t a, uint64_t b)>& on_swap = nullptr);
// Only the stamp and the headers' validity is the caller's: partition and namespace ranges.

// The same for what follows the stamp.
Status ReadTokens(std::string_view tokens,
                  const std::function<Status(const EventHeader&, const Effect&)>& on_effect,
                  const std::function<Status(uint64_t a, uint64_t b)>& on_swap = nullptr);

}  // namespace redynamo
