// SPDX-License-Identifier: Apache-2.0
// Collection: the elements of one hash or set, packed while small, native (a table of rows) when
// large, sparse (a table of some of the rows) when large and partly on disk only. It knows dots and
// stamps of its elements but no log: the engine's verbs drive it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "storage/counter.h"
#include "storage/element_capture.h"
#include "storage/element_sum.h"
#include "storage/packed_map.h"
#include "storage/row_table.h"
#include "storage/sparse_state.h"

namespace redynamo {

class RowHasher;

class Collection {
 public:
  explicit Collection(bool only_integers) : only_integers_(only_integers) {}
  ~Collection();  // frees its rows: for a large one that takes a while, so do it in the background

  struct Element {
    std::string_view key;
    std::string_view value;  // a CounterCell when counter
    Dot dot;
    uint64_t hlc;
    bool counter;
    Row* row;  // native: the row; packed: null
  };

  bool native() const { return native_ != nullptr; }
  bool only_integers() const { return only_integers_; }  // an intset to OBJECT ENCODING
  void set_only_integers(bool v) { only_integers_ = v; }
  uint64_t size() const { return native() ? native_->live : packed_.size(); }
  size_t memory_bytes() const;
  // Of its elements, what a checkpoint has to capture: those that are dirty, or, when it is packed,
  // all (once its key is dirty).
  uint64_t dirty_bytes() const { return native_ ? native_->dirty_bytes : packed_.bytes(); }

  bool Find(std::string_view key, Element* out) const;
  // Adds or replaces. Gives true when the key is new.
  bool Put(std::string_view key, std::string_view value, bool counter, Dot dot, uint64_t hlc);
  // Removes; false when absent. Native elements that may stand on disk leave an absent row.
  bool Remove(std::string_view key);
  // Elements hash under `seed`, the data directory's.
  void MakeNative(uint64_t seed);

  // All live elements; fn(const Element&) returns false to stop.
  template <typename Fn>
  void ForEach(Fn&& fn) const {
    if (!native()) {
      for (auto e = packed_.First(); packed_.Valid(e); e = packed_.Next(e)) {
        if (!fn(Element{e.key, e.value, e.dot, e.hlc, e.counter, nullptr})) return;
      }
      return;
    }
    bool go_on = true;
    native_->table.ForEach([&](Row* row) {
      if (go_on && row->live()) go_on = fn(FromRow(row));
    });
  }
  // Native: live elements of hash >= from, about `count`; gives where to go on, 0 at the end.
  uint64_t Collect(uint64_t from, size_t count, std::vector<Element>* out) const;
  Element Sample(Random& random) const;  // REQUIRES: size() > 0

  PackedMap& packed() { return packed_; }
  const PackedMap& packed() const { return packed_; }
  RowTable* table() { return native_ ? &native_->table : nullptr; }
  const RowTable* table() const { return native_ ? &native_->table : nullptr; }
  // Recovery and loading: a native collection's row as it stands on disk. REQUIRES: native().
  void InstallRow(Row* row);

  // --- sparse: size() stays exact, Find and the verbs need a known name, walks need it whole ---
  bool sparse() const { return native_ && native_->sparse; }
  SparseState* sparse_state() const { return native_ ? native_->sparse.get() : nullptr; }
  // From now on rows may be missing. `live`: how many elements there are, in memory or not.
  void MakeSparse(uint64_t live);
  // Every element is in the table. False when their number is not what it was said to be.
  bool MakeWhole();
  bool Knows(std::string_view name) const;  // of a native one
  // Takes the rows over; those whose elements are in the table already are freed.
  void Install(ElementsRead* read);
  void InstallAbsent(std::string_view name);
  // A random element from one of the windows, which is used up; false when there is none left.
  bool DrawFromWindow(Random& random, Element* out);
  // Lets go of up to `count` rows from where the last call ended on, if `may_go(const Row*)`; those
  // found in use since the last round stay once more. Gives how many went. It becomes sparse.
  // REQUIRES: native(); the disk has what goes.
  template <typename MayGo>
  size_t LetRowsGo(size_t count, MayGo&& may_go);
  // After a checkpoint has removed it on disk: drops an absent row.
  void DropAbsent(Row* row);
  // From now on, until null is given, changes keep what `capture` still has to see. REQUIRES:
  // native().
  void set_capture(ElementCapture* capture) { native_->capture = capture; }
  bool under_capture() const { return native_ && native_->capture; }

  // Of a native collection, the hashes of its clean element rows (storage/row_sum.h). All of what
  // follows REQUIRES: native(). The hasher outlives the collection's use; with none, no sums.
  void SetHasher(const RowHasher* hasher, uint64_t key_hash, bool member);
  // Before a change of the row, which is dirty then. The table's mark is the caller's.
  void TurnDirty(uint64_t hash, Row* row);
  // The row has been captured: it is clean, and its hash counts.
  uint64_t TurnClean(uint64_t hash, Row* row);  // gives that hash
  ElementSum& sum() { return native_->sum; }

 private:
  // What only a large collection needs stands apart: a small one is 48 bytes beside its blob.
  struct Native {
    explicit Native(uint64_t seed) : table(seed, kElementHashBits) {}
    RowTable table;
    uint64_t live = 0;
    uint64_t row_bytes = 0;
    uint64_t dirty_bytes = 0;  // content_bytes of dirty rows
    ElementCapture* capture = nullptr;
    std::unique_ptr<SparseState> sparse;
    uint64_t let_go_from = 0;  // left-aligned hash
    const RowHasher* hasher = nullptr;
    uint64_t key_hash = 0;
    bool member = false;
    ElementSum sum;
  };
  void EraseRow(uint64_t hash, Row* row);
  uint64_t SumOf(uint64_t hash, const Row* row) const;
  // Before a row changes (null: it is new); true when the changed one must be marked kChangedSince.
  bool KeepForCapture(uint64_t hash, Row* row);

  static Element FromRow(Row* row) {
    return {row->key(), row->value(), row->dot, row->hlc, row->row_form() == RowForm::kCounter,
            row};
  }

  PackedMap packed_;
  std::unique_ptr<Native> native_;
  bool only_integers_;
};

template <typename MayGo>
size_t Collection::LetRowsGo(size_t count, MayGo&& may_go) {
  Native& native = *native_;
  std::vector<Row*> rows;
  uint64_t begin = native.let_go_from;
  native.let_go_from = native.table.Collect(begin, count, &rows);
  size_t gone = 0;
  for (Row* row : rows) {
    bool used = row->access != 0;
    row->access = 0;
    if (used || !may_go(row)) continue;
    EraseRow(native.table.HashOf(row->key()), row);
    gone++;
  }
  if (gone == 0) return 0;
  if (!native.sparse) MakeSparse(native.live);
  uint64_t end = native.let_go_from;
  constexpr int kShift = 64 - kElementHashBits;
  native.sparse->ForgetRange({begin >> kShift, end == 0 ? kElementHashEnd : end >> kShift});
  return gone;
}

// The cell of a field with its actor's total set to `total`; a plain field's integer becomes the
// base.
std::string CounterCellWith(const Collection::Element& field, const CounterTotal& total);

}  // namespace redynamo
