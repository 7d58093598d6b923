// SPDX-License-Identifier: Apache-2.0
// What is known of a large collection that is not whole in memory (ENGINE.md section 4, sparse).
//
// Its table then holds some of its elements: those that were named, drawn, scanned or written, and
// marks for names that are known not to be there. A name that is not in the table is *unknown* and
// must be read from disk, unless its hash lies in a known range: there, all that lives is in the
// table. A scan, a draw and the loading of everything are one thing, reading a range:
//
//   disk   a b c d e f g       table  b' (changed)  d- (removed)  x (new)
//   read [c, f)                table  b' c d- e x   known [c, f)
//
// What is in the table is newer than what is read: it stays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "storage/row.h"

namespace redynamo {

// An element is drawn from about so many that follow a random hash.
inline constexpr size_t kDrawRows = 16;
inline constexpr uint64_t kElementHashEnd = uint64_t{1} << kElementHashBits;

// Element hashes [from, to), of kElementHashBits.
struct HashRange {
  uint64_t from = 0;
  uint64_t to = 0;
  bool Contains(uint64_t hash) const { return hash >= from && hash < to; }
};

// What is to be read of a collection.
struct ElementWant {
  struct Range {
    uint64_t from;
    uint64_t rows_max;  // ends early, but never between rows of one hash
  };
  std::vector<std::string> names;
  std::vector<Range> ranges;
  std::vector<uint64_t> draws;  // hashes near which to draw from
  bool empty() const { return names.empty() && ranges.empty() && draws.empty(); }
};

// What has been read. It owns the rows until they are installed.
struct ElementsRead {
  ElementsRead() = default;
  ElementsRead(ElementsRead&&) = default;
  ElementsRead& operator=(ElementsRead&&) = delete;
  ~ElementsRead() {
    for (Row* row : rows) FreeRow(row);
  }
  std::vector<Row*> rows;
  std::vector<std::string> absent;  // names that are not there
  std::vector<HashRange> ranges;    // complete in `rows`
  std::vector<HashRange> windows;   // the same, to draw one element from each
};

struct SparseState {
  static constexpr size_t kRangesMax = 64;  // more than clients that scan one collection at once
  static constexpr size_t kWindowsMax = 1024;

  uint16_t ns = 0;
  uint64_t serial = 0;  // of this stay in its table (0: in none): a load for another one is void
  bool pinned = false;  // is being made whole: nothing of it may go
  std::vector<HashRange> known;
  std::vector<HashRange> windows;

  const HashRange* KnownAt(uint64_t hash) const {
    for (const HashRange& range : known) {
      if (range.Contains(hash)) return &range;
    }
    return nullptr;
  }
  void AddKnown(const HashRange& range) {
    for (HashRange& other : known) {  // a scan goes on where it ended
      if (range.from < other.from || range.from > other.to) continue;
      other.to = std::max(other.to, range.to);
      return;
    }
    if (known.size() >= kRangesMax) known.erase(known.begin());
    known.push_back(range);
  }
  void AddWindow(const HashRange& range) {
    if (windows.size() >= kWindowsMax) windows.erase(windows.begin());
    windows.push_back(range);
  }
  // Something of it has left memory.
  void ForgetRange(const HashRange& range) {
    std::erase_if(known,
                  [&](const HashRange& r) { return r.from < range.to && range.from < r.to; });
  }
};

}  // namespace redynamo
