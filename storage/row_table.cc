// SPDX-License-Identifier: Apache-2.0
#include "storage/row_table.h"

#include <malloc.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "base/check.h"

namespace redynamo {
namespace {

// A table that moves reads each row for its hash: that many rows are asked for ahead.
constexpr size_t kRowsAhead = 8;

}  // namespace

RowTable::~RowTable() { std::free(words_); }

uint64_t RowTable::HashOf(std::string_view key, uint64_t seed, int hash_bits) {
  return XXH3_64bits_withSeed(key.data(), key.size(), seed) & ~0ull << (64 - hash_bits);
}

void RowTable::Locate(uint64_t hash, size_t* home, uint16_t* tag) const {
  unsigned __int128 scaled = (unsigned __int128)(Local(hash)) * capacity_;
  *home = size_t(scaled >> 64);
  *tag = uint16_t(scaled >> 54);
}

const RowTable* RowTable::Child(uint64_t hash) const {
  return (*children_)[Local(hash) >> 58].get();
}

RowTable* RowTable::Child(uint64_t hash, bool create) {
  auto& child = (*children_)[Local(hash) >> 58];
  if (!child && create) {
    child = std::make_unique<RowTable>(seed_, hash_bits_, level_ + 1);
    child->Expect(expected_ / 64);
  }
  return child.get();
}

Row* RowTable::Find(uint64_t hash, std::string_view key) const {
  const RowTable* t = this;
  while (t->children_) {
    t = t->Child(hash);
    if (!t) return nullptr;
  }
  if (!t->words_) return nullptr;
  size_t home;
  uint16_t tag;
  t->Locate(hash, &home, &tag);
  for (const Word* w = t->words_ + home; *w; w++) {
    if (uint16_t(*w >> 48) == tag && RowOf(*w)->key() == key) return RowOf(*w);
  }
  return nullptr;
}

const RowTable* RowTable::PrefetchLevel(uint64_t hash) const {
  if (!children_) return this;
  const RowTable* child = Child(hash);
  if (child) __builtin_prefetch(child);
  return child;
}

void RowTable::PrefetchWords(uint64_t hash) const {
  if (children_ || !words_) return;
  size_t home;
  uint16_t tag;
  Locate(hash, &home, &tag);
  __builtin_prefetch(words_ + home);
}

void RowTable::PrefetchRow(uint64_t hash) const {
  if (children_ || !words_) return;
  size_t home;
  uint16_t tag;
  Locate(hash, &home, &tag);
  for (const Word* w = words_ + home; *w; w++) {
    if (uint16_t(*w >> 48) != tag) continue;
    const char* row = reinterpret_cast<const char*>(RowOf(*w));
    __builtin_prefetch(row);
    __builtin_prefetch(row + 64);
    return;
  }
}

bool RowTable::Place(uint64_t hash, Word pointer_and_mark) {
  size_t home;
  uint16_t tag;
  Locate(hash, &home, &tag);
  size_t at = home;
  while (words_[at]) at++;
  // The last place stays empty: it ends the last run.
  if (at - home >= kOverflow || at + 1 >= places()) return false;
  words_[at] = (pointer_and_mark & ~kTagBits) | Word(tag) << 48;
  return true;
}

void RowTable::Insert(uint64_t hash, Row* row) {
  size_++;
  if (children_) {
    Child(hash, true)->Insert(hash, row);
    return;
  }
  if (size_ > kLeafMax && level_ < 6) {
    Split();
    Child(hash, true)->Insert(hash, row);
    return;
  }
  if (size_ * 5 > size_t(capacity_) * 4) Grow();
  while (!Place(hash, reinterpret_cast<Word>(row))) Grow();
}

void RowTable::Grow() {
  Word* old = words_;
  size_t old_places = places();
  for (;;) {
    capacity_ = capacity_ < 8 ? 8 : capacity_ + capacity_ / 2;
    words_ = static_cast<Word*>(std::calloc(capacity_ + kOverflow, sizeof(Word)));
    CHECK_THAT(words_ != nullptr);
    bool all = true;
    for (size_t i = 0; i < old_places && all; i++) {
      if (i + kRowsAhead < old_places) __builtin_prefetch(RowOf(old[i + kRowsAhead]));
      if (old[i]) all = Place(HashOf(RowOf(old[i])->key()), old[i]);
    }
    if (all) break;
    std::free(words_);
  }
  std::free(old);
}

void RowTable::Expect(uint64_t rows) {
  constexpr uint64_t kLeafExpectedMax = kLeafMax - kLeafMax / 8;  // leaves differ
  if (rows <= kLeafExpectedMax || level_ >= 6) return;
  expected_ = rows;
  children_ = std::make_unique<std::vector<std::unique_ptr<RowTable>>>(64);
}

void RowTable::Split() {
  children_ = std::make_unique<std::vector<std::unique_ptr<RowTable>>>(64);
  for (size_t i = 0; i < places(); i++) {
    if (i + kRowsAhead < places()) __builtin_prefetch(RowOf(words_[i + kRowsAhead]));
    if (!words_[i]) continue;
    Row* row = RowOf(words_[i]);
    uint64_t hash = HashOf(row->key());
    RowTable* child = Child(hash, true);
    child->Insert(hash, row);
    if (words_[i] & kAbsentMark) child->SetAbsent(hash, row, true);
    child->marked_ = marked_;
  }
  std::free(words_);
  words_ = nullptr;
  capacity_ = 0;
}

size_t RowTable::FindPlace(uint64_t hash, const Row* row) const {
  size_t at;
  uint16_t tag;
  Locate(hash, &at, &tag);
  while (RowOf(words_[at]) != row) {
    CHECK_THAT(words_[at] != 0);
    at++;
  }
  return at;
}

void RowTable::Replace(uint64_t hash, Row* old_row, Row* row) {
  RowTable* t = this;
  while (t->children_) t = t->Child(hash, false);
  size_t at = t->FindPlace(hash, old_row);
  t->words_[at] = (t->words_[at] & ~kPointerBits) | reinterpret_cast<Word>(row);
}

void RowTable::SetAbsent(uint64_t hash, const Row* row, bool absent) {
  RowTable* leaf = this;
  while (leaf->children_) leaf = leaf->Child(hash, false);
  Word& word = leaf->words_[leaf->FindPlace(hash, row)];
  if (bool(word & kAbsentMark) == absent) return;
  word ^= kAbsentMark;
  for (RowTable* t = this;; t = t->Child(hash, false)) {
    t->absent_ += absent ? 1 : -1;
    if (t == leaf) return;
  }
}

void RowTable::Erase(uint64_t hash, Row* row) {
  if (absent_ > 0) SetAbsent(hash, row, false);
  size_--;
  if (children_) {
    Child(hash, false)->Erase(hash, row);
    return;
  }
  size_t hole = FindPlace(hash, row);
  for (size_t at = hole + 1; words_[at]; at++) {
    size_t home_low = words_[at] >> 58;
    size_t home = at - ((at - home_low) & 63);
    if (home <= hole) {
      words_[hole] = words_[at];
      hole = at;
    }
  }
  words_[hole] = 0;
  constexpr uint32_t kShrinkFrom = 256;
  if (capacity_ >= kShrinkFrom && size_ * 8 < capacity_) Shrink();
}

void RowTable::Shrink() {
  Word* old = words_;
  size_t old_places = places();
  capacity_ = uint32_t(size_ * 2);
  words_ = static_cast<Word*>(std::calloc(capacity_ + kOverflow, sizeof(Word)));
  CHECK_THAT(words_ != nullptr);
  for (size_t i = 0; i < old_places; i++) {
    if (!old[i]) continue;
    uint64_t hash = HashOf(RowOf(old[i])->key());
    while (!Place(hash, old[i])) Grow();
  }
  std::free(old);
}

void RowTable::MarkDirty(uint64_t hash) {
  RowTable* t = this;
  t->marked_ = true;
  while (t->children_) {
    t = t->Child(hash, false);
    t->marked_ = true;
  }
}

size_t RowTable::memory_bytes() const {
  size_t total = sizeof *this + (words_ ? malloc_usable_size(words_) : 0);
  if (children_) {
    for (const auto& child : *children_) total += 8 + (child ? child->memory_bytes() : 0);
  }
  return total;
}

void RowTable::SortRun(std::vector<Row*>* rows, size_t begin) const {
  if (rows->size() - begin < 2) return;
  std::vector<std::pair<uint64_t, Row*>> keyed;
  keyed.reserve(rows->size() - begin);
  for (size_t i = begin; i < rows->size(); i++) {
    keyed.emplace_back(HashOf((*rows)[i]->key()), (*rows)[i]);
  }
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->key() < b.second->key();
  });
  for (size_t i = 0; i < keyed.size(); i++) (*rows)[begin + i] = keyed[i].second;
}

// The smallest hash of the given child, for a `from` within this table.
uint64_t RowTable::ChildStart(uint64_t from, size_t child) const {
  int shift = 58 - 6 * level_;
  uint64_t prefix = level_ == 0 ? 0 : from >> (shift + 6) << (shift + 6);
  return prefix | uint64_t(child) << shift;
}

uint64_t RowTable::Collect(uint64_t from, size_t count, std::vector<Row*>* out) const {
  if (children_) {
    for (size_t c = Local(from) >> 58; c < 64; c++) {
      const RowTable* child = (*children_)[c].get();
      if (child) {
        uint64_t next = child->Collect(from, count, out);
        if (next) return next;
        if (out->size() >= count) return c == 63 ? 0 : ChildStart(from, c + 1);
      }
      if (c < 63) from = ChildStart(from, c + 1);
    }
    return 0;
  }
  size_t i = 0;
  if (words_ && Local(from) != 0) {
    uint16_t tag;
    Locate(from, &i, &tag);
    while (i > 0 && words_[i - 1]) i--;  // its run may begin lower
  }
  uint64_t step = 1ull << (64 - hash_bits_);
  for (; i < places(); i++) {
    if (!words_[i]) continue;
    size_t begin = out->size();
    for (; words_[i]; i++) out->push_back(RowOf(words_[i]));
    SortRun(out, begin);
    size_t kept = begin;
    uint64_t last = 0;
    for (size_t r = begin; r < out->size(); r++) {
      Row* row = (*out)[r];
      uint64_t hash = HashOf(row->key());
      if (hash < from) continue;
      if (kept >= count && kept > begin && hash != last) {
        out->resize(kept);
        return hash;
      }
      (*out)[kept++] = row;
      last = hash;
    }
    out->resize(kept);
    if (kept >= count && kept > begin) return last + step;  // 0 when the last hash wraps
  }
  return 0;
}

uint64_t RowTable::CollectMarked(uint64_t from, size_t count, std::vector<Row*>* out) {
  if (!marked_) return 0;
  if (children_) {
    for (size_t c = Local(from) >> 58; c < 64; c++) {
      RowTable* child = (*children_)[c].get();
      if (child) {
        uint64_t next = child->CollectMarked(from, count, out);
        if (next) return next;
        if (out->size() >= count && c < 63) return ChildStart(from, c + 1);
      }
      if (c < 63) from = ChildStart(from, c + 1);
    }
    marked_ = std::any_of(children_->begin(), children_->end(),
                          [](const auto& child) { return child && child->marked_; });
    return 0;
  }
  marked_ = false;
  for (size_t i = 0; i < places(); i++) {
    if (!words_[i]) continue;
    size_t begin = out->size();
    for (; words_[i]; i++) out->push_back(RowOf(words_[i]));
    SortRun(out, begin);
  }
  return 0;
}

// Each with the chance of its share of the live rows.
const RowTable& RowTable::RandomLeaf(Random& random) const {
  if (!children_) return *this;
  uint64_t pick = random.Below(size_ - absent_);
  for (const auto& child : *children_) {
    if (!child) continue;
    uint64_t live = child->size_ - child->absent_;
    if (pick < live) return child->RandomLeaf(random);
    pick -= live;
  }
  CHECK_THAT(false);
}

Row* RowTable::Sample(Random& random) const {
  const RowTable& leaf = RandomLeaf(random);
  // Draws are uniform. Where nearly all places are empty or absent, a walk from the last draw ends
  // the search.
  constexpr int kDrawsMax = 100;
  size_t places = leaf.places();
  size_t at = 0;
  auto live = [&] { return leaf.words_[at] && !(leaf.words_[at] & kAbsentMark); };
  for (int i = 0; i < kDrawsMax; i++) {
    at = random.Below(places);
    if (live()) return RowOf(leaf.words_[at]);
  }
  while (!live()) at = at + 1 < places ? at + 1 : 0;
  return RowOf(leaf.words_[at]);
}

size_t RowTable::SampleNeighbours(Random& random, size_t count, Row** out) const {
  if (size_ == absent_) return 0;
  const RowTable& leaf = RandomLeaf(random);
  size_t places = leaf.places();
  size_t at = random.Below(places);
  size_t found = 0;
  for (size_t walked = 0; walked < places && found < count; walked++) {
    Word word = leaf.words_[at];
    at = at + 1 < places ? at + 1 : 0;
    if (!word || (word & kAbsentMark)) continue;
    out[found] = RowOf(word);
    __builtin_prefetch(out[found++]);
  }
  return found;
}

}  // namespace redynamo
