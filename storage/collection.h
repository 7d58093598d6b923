// SPDX-License-Identifier: Apache-2.0
// Collection: the elements of one hash or set, packed while small, native (a table of rows) when
// large. It knows dots and stamps of its elements but no log: the engine's verbs drive it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "storage/counter.h"
#include "storage/packed_map.h"
#include "storage/row_table.h"

namespace redynamo {

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
  // After a checkpoint has removed it on disk: drops an absent row.
  void DropAbsent(Row* row);

 private:
  // What only a large collection needs stands apart: a small one is 48 bytes beside its blob.
  struct Native {
    explicit Native(uint64_t seed) : table(seed, kElementHashBits) {}
    RowTable table;
    uint64_t live = 0;
    uint64_t row_bytes = 0;
  };

  static Element FromRow(Row* row) {
    return {row->key(), row->value(), row->dot, row->hlc, row->row_form() == RowForm::kCounter,
            row};
  }

  PackedMap packed_;
  std::unique_ptr<Native> native_;
  bool only_integers_;
};

// The cell of a field with its actor's total set to `total`; a plain field's integer becomes the
// base.
std::string CounterCellWith(const Collection::Element& field, const CounterTotal& total);

}  // namespace redynamo
