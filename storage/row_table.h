// SPDX-License-Identifier: Apache-2.0
// RowTable: a hash table of rows whose walk is in hash order, so that buckets are ranges of the
// position (ARCHITECTURE.md section 1, idea 2).
//
// The home of a hash h (left-aligned 64 bits) in an array of c places is floor(h·c / 2^64): a
// larger hash never has a smaller home. Collisions probe linearly upwards without wrapping; places
// beyond the c-th take the overflow. A *run* is a maximal stretch of used places; every hash of a
// run is smaller than every hash of a later run, so a walk sorts run by run. Each place is one
// word:
//
//   | tag: low 6 bits of home, next 10 hash bits | 47 bits of pointer | absent mark |
//
// The tag settles nearly every comparison without touching the row, and gives the home back (a row
// stands less than 64 places above it), so that erasing shifts back without touching rows either.
// Beyond kLeafMax rows a table splits by its top 6 hash bits into 64 children, so no single step
// rehashes more than kLeafMax rows however large the table is.
//
//   h = 0.30, 0.31, 0.70, c = 8:   place  0 1 2 3 4 5 6 7 | 8 ...
//                                         . . a b . c . .      homes 2, 2, 5; runs {a b} {c}
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "storage/row.h"

namespace redynamo {

class RowTable {
 public:
  // Hashes are XXH3 of the row's key under `seed`, cut to the top `hash_bits` (39 for keys, 48 for
  // elements): rows with one position share one home.
  RowTable(uint64_t seed, int hash_bits, int level = 0)
      : seed_(seed), hash_bits_(uint8_t(hash_bits)), level_(uint8_t(level)) {}
  ~RowTable();  // frees its array, not the rows
  RowTable(const RowTable&) = delete;
  RowTable& operator=(const RowTable&) = delete;

  // The left-aligned hash under which `key` stands in a table of `hash_bits`.
  static uint64_t HashOf(std::string_view key, uint64_t seed, int hash_bits);
  uint64_t HashOf(std::string_view key) const { return HashOf(key, seed_, hash_bits_); }

  Row* Find(uint64_t hash, std::string_view key) const;
  // Ask the cache for what Find(hash) will read, in passes over many hashes: the child that holds
  // it, as often as tables are nested (gives this table once it is a leaf; null: nothing is there),
  // then the leaf's words, then the row they point to.
  const RowTable* PrefetchLevel(uint64_t hash) const;
  void PrefetchWords(uint64_t hash) const;
  void PrefetchRow(uint64_t hash) const;
  void Insert(uint64_t hash, Row* row);                 // REQUIRES: its key is absent
  void Replace(uint64_t hash, Row* old_row, Row* row);  // the same key, moved
  void Erase(uint64_t hash, Row* row);                  // REQUIRES: present
  // Notes that a row of this hash is dirty, for WalkDirty.
  void MarkDirty(uint64_t hash);

  // So many rows will come, perhaps in hash order: the table is split at once as it will have to
  // be. (Else the first of them, which lie close together, would need the space of all.) REQUIRES:
  // empty.
  void Expect(uint64_t rows);

  size_t size() const { return size_; }
  size_t live_size() const { return size_ - absent_; }
  size_t memory_bytes() const;

  // fn(Row*), in no particular order. No change of the table inside.
  template <typename Fn>
  void ForEach(Fn&& fn) const {
    if (children_) {
      for (const auto& child : *children_) {
        if (child) child->ForEach(fn);
      }
      return;
    }
    for (size_t i = 0; i < places(); i++) {
      if (words_[i]) fn(RowOf(words_[i]));
    }
  }

  // The same for parts that MarkDirty has marked; marks stay.
  template <typename Fn>
  void ForEachMarked(Fn&& fn) const {
    if (!marked_) return;
    if (!children_) return ForEach(fn);
    for (const auto& child : *children_) {
      if (child) child->ForEachMarked(fn);
    }
  }

  // Rows of hash >= from in (hash, key) order, appended to `out` until at least `count` are there
  // and a position is complete. Gives the hash to go on from; 0 when the end was reached.
  uint64_t Collect(uint64_t from, size_t count, std::vector<Row*>* out) const;

  // Appends, in (hash, key) order, every row of parts (leaves) that MarkDirty has marked since,
  // dirty or not, from hash `from` on (0, or what the call before gave), until at least `count` are
  // there; takes their marks away. Gives where to go on, 0 at the end.
  uint64_t CollectMarked(uint64_t from, size_t count, std::vector<Row*>* out);
  bool marked() const { return marked_; }

  // Marks a row as absent or live for Sample; a row is live when inserted, and Replace keeps its
  // mark.
  void SetAbsent(uint64_t hash, const Row* row, bool absent);
  // A random row that is not marked absent, about uniformly. REQUIRES: there is one.
  Row* Sample(Random& random) const;
  // Rows that are not marked absent, side by side from a random place on, and asked for from the
  // cache: one look into the table gives them all. Gives how many: `count`, or all of the leaf that
  // it drew; none when there is none. A row behind a gap comes more often than others.
  size_t SampleNeighbours(Random& random, size_t count, Row** out) const;

 private:
  using Word = uint64_t;
  static constexpr size_t kLeafMax = 4096;
  static constexpr size_t kOverflow = 64;

  static constexpr Word kAbsentMark = 1;  // a row's address is even
  static constexpr Word kPointerBits = ((1ull << 48) - 1) & ~kAbsentMark;

  static Row* RowOf(Word word) { return reinterpret_cast<Row*>(word & kPointerBits); }
  static constexpr Word kTagBits = ~(kPointerBits | kAbsentMark);
  size_t places() const { return words_ ? capacity_ + kOverflow : 0; }
  uint64_t Local(uint64_t hash) const { return hash << (6 * level_); }
  void Locate(uint64_t hash, size_t* home, uint16_t* tag) const;
  bool Place(uint64_t hash, Word pointer_and_mark);
  void Grow();
  void Shrink();
  void Split();
  RowTable* Child(uint64_t hash, bool create);
  const RowTable* Child(uint64_t hash) const;
  size_t FindPlace(uint64_t hash, const Row* row) const;
  uint64_t ChildStart(uint64_t from, size_t child) const;
  void SortRun(std::vector<Row*>* rows, size_t begin) const;
  const RowTable& RandomLeaf(Random& random) const;

  uint64_t seed_;
  Word* words_ = nullptr;
  std::unique_ptr<std::vector<std::unique_ptr<RowTable>>> children_;
  size_t size_ = 0;
  size_t absent_ = 0;
  uint64_t expected_ = 0;  // rows, see Expect
  uint32_t capacity_ = 0;
  uint8_t hash_bits_;
  uint8_t level_;
  bool marked_ = false;
};

}  // namespace redynamo
