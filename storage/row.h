// SPDX-License-Identifier: Apache-2.0
// Row: one allocation for a version, its key and its value. It is the object of a key in a slot's
// table, and an element of a large collection in that collection's table (ENGINE.md section 4).
//
//   | header 32 B | key length u32 if kLongKey | deadline 24 B if kHasDeadline | key | value |
//
// A string's value is its bytes (kPlain), a counter cell (kCounter, see counter.h) or a pointer to
// its LongString (kLong); a collection's value is a pointer to its Collection. An absent row marks
// "removed here, still on disk" until the checkpoint that removes it there has been ingested.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "storage/keyspace.h"
#include "storage/version.h"

namespace redynamo {

class Collection;
class LongString;

// On disk in heads, but for kAbsent: never renumber.
enum class RowForm : uint8_t { kPlain = 0, kCounter = 1, kCollection = 2, kAbsent = 3, kLong = 4 };

// A deadline is a row of its own (it hangs on the base, or on the collection), kept with its
// object.
struct Deadline {
  int64_t at_ms;
  Dot dot;
  uint64_t hlc;
};

// What a row takes beside itself: its place in a table, and what the allocator rounds up.
inline constexpr uint64_t kPlaceBytes = 24;

struct Row {
  enum Flag : uint16_t {
    kDirty = 1 << 0,  // changed since its last capture
    kHasDeadline = 1 << 1,
    kOnDisk = 1 << 2,     // its key (or element) may stand in RocksDB
    kStaleRows = 1 << 3,  // element rows of an earlier life stand in RocksDB: delete them first
    kLongKey = 1 << 4,
    kRaw = 1 << 5,           // a string that was edited in place: OBJECT ENCODING says raw
    kPinned = 1 << 6,        // a parked command waits for it: not to be paged out
    kImplicit = 1 << 7,      // a base that INCR on nothing made
    kHasRows = 1 << 8,       // element rows (of a native collection), or fragments, in RocksDB
    kChangedSince = 1 << 9,  // an element: changed since its collection's capture under way began
  };

  uint64_t hlc;
  Dot dot;
  uint32_t crc;        // of the payload, as captured
  uint32_t value_len;  // bytes of the value area
  uint32_t access : 24;
  uint32_t type : 4;  // ObjectType
  uint32_t form : 4;  // RowForm
  uint16_t flags;
  uint8_t key_len8;
  uint8_t capture;  // number (mod 256) of the checkpoint that captured it last

  bool Has(Flag flag) const { return flags & flag; }
  bool live() const { return RowForm(form) != RowForm::kAbsent; }
  RowForm row_form() const { return RowForm(form); }
  ObjectType object_type() const { return ObjectType(type); }

  uint32_t key_len() const {
    if (!Has(kLongKey)) return key_len8;
    uint32_t n;
    std::memcpy(&n, bytes(), 4);
    return n;
  }
  Deadline deadline() const {
    Deadline d;
    std::memcpy(&d, bytes() + (Has(kLongKey) ? 4 : 0), sizeof d);
    return d;
  }
  void set_deadline(const Deadline& d) {  // REQUIRES kHasDeadline
    std::memcpy(bytes() + (Has(kLongKey) ? 4 : 0), &d, sizeof d);
  }
  size_t key_offset() const {
    return (Has(kLongKey) ? 4 : 0) + (Has(kHasDeadline) ? sizeof(Deadline) : 0);
  }
  // What is counted of it as dirty memory: about what it takes, cheaper to tell than RowMemory.
  uint64_t content_bytes() const { return sizeof(Row) + kPlaceBytes + key_len() + value_len; }
  std::string_view key() const { return {bytes() + key_offset(), key_len()}; }
  char* value_data() { return bytes() + key_offset() + key_len(); }
  std::string_view value() const { return {bytes() + key_offset() + key_len(), value_len}; }
  Collection* collection() const {
    Collection* c;
    std::memcpy(&c, bytes() + key_offset() + key_len(), sizeof c);
    return c;
  }
  LongString* long_string() const {  // REQUIRES kLong
    LongString* s;
    std::memcpy(&s, bytes() + key_offset() + key_len(), sizeof s);
    return s;
  }
  // A string's bytes. REQUIRES kPlain or kLong.
  std::string_view text() const { return row_form() == RowForm::kLong ? LongText() : value(); }

  char* bytes() { return reinterpret_cast<char*>(this + 1); }
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }

 private:
  std::string_view LongText() const;
};
static_assert(sizeof(Row) == 32);

// A plain row with zeroed header (but for lengths and flags) and an uninitialised value area.
Row* NewRow(std::string_view key, size_t value_len, bool has_deadline);
// Frees the row alone (not its Collection or LongString).
void FreeRow(Row* row);
// Bytes the allocator holds for it.
size_t RowMemory(const Row* row);
// The same row with room for `value_len` value bytes (the first min of old and new kept) and with
// or without the deadline's place. It may move: the caller replaces the pointer in its table.
Row* ResizeRow(Row* row, size_t value_len, bool has_deadline);

}  // namespace redynamo
