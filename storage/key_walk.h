// SPDX-License-Identifier: Apache-2.0
// Walks over the keys of a database: SCAN, KEYS, RANDOMKEY. Keys that are on disk only are read
// ahead, by the background, as a *listing* of heads; the command then gives the union of the
// listing and of the tables, as of the moment in which it runs.
//
// The listing is kept exact from the moment at which it was asked for: what is paged out afterwards
// is noted in it, and so is what goes from table and disk. A key of the tables is theirs to judge:
//
//   asked for ... heads read ...           run
//     a: resident, paged out     noted     listing a
//     b: cold, loaded, removed   (absent mark in the table, or noted as gone)    not given
//     c: cold all the time       read      listing c
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/glob.h"
#include "storage/keyspace.h"
#include "storage/partition_set.h"

namespace redynamo {

// What a command is going to walk.
struct KeyWalk {
  enum class Kind : uint8_t { kScan, kAll, kRandom };
  Kind kind = Kind::kScan;
  int database = 0;
  uint64_t cursor = 0;                  // kScan
  uint64_t count = 0;                   // kScan: about so many keys
  std::string_view pattern;             // kAll
  const PartitionSet* share = nullptr;  // only keys of these partitions; null: all
};

// As KEYS and SCAN match: a lone star is no pattern, and so gives the empty key as well.
inline bool WalkMatches(std::string_view pattern, std::string_view key) {
  return pattern == "*" || GlobMatch(pattern, key);
}

struct ColdKey {
  uint64_t position = 0;
  std::string key;
  ObjectType type = ObjectType::kNone;
  int64_t deadline_ms = kNoDeadline;
  bool operator<(const ColdKey& other) const {
    return position != other.position ? position < other.position : key < other.key;
  }
};

// The background fills `keys` and `until`; all else is the data thread's.
struct KeyListing {
  KeyWalk::Kind kind = KeyWalk::Kind::kScan;
  uint16_t ns = 0;
  uint64_t epoch = 0;  // of the namespace: another one voids the listing
  uint64_t cursor = 0, count = 0;
  std::string pattern;
  std::optional<PartitionSet> share;
  uint64_t from = 0;  // lists positions [from, until); until 0: nothing yet
  uint64_t until = 0;
  uint64_t read_until = 0;  // by the background, and made `until` when all is read
  bool wrapped = false;     // kRandom: the end was reached, and reading went on from the beginning
  std::vector<ColdKey> keys;
  std::map<std::string, std::optional<ColdKey>> notes;  // paged out, or gone, since it was begun

  bool Is(const KeyWalk& walk, uint16_t walk_ns) const {
    return kind == walk.kind && ns == walk_ns && cursor == walk.cursor && count == walk.count &&
           pattern == walk.pattern && bool(share) == bool(walk.share) &&
           (!share || *share == *walk.share);
  }
  // Works the notes into the keys.
  void Settle();
};

struct KeyListings {
  std::vector<std::shared_ptr<KeyListing>> listings;
};

}  // namespace redynamo
