// SPDX-License-Identifier: Apache-2.0
// A counter cell: the value area of a string (or hash field) that INCR has touched. It holds the
// base's integer and, per actor, the running total of its increments to that base (REPLICATION.md
// section 2). Its value is base + sum of totals. Only the actor itself writes its total.
//
//   | base i64 | count u8 | implicit u8 | 6 bytes unused | count × Total |
//
// A field's cell says itself whether its base is implicit (made by an increment of nothing); for a
// string its row does.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "storage/version.h"

namespace redynamo {

struct CounterTotal {
  Dot dot;  // of the event that last wrote it; its actor owns the total
  uint64_t hlc;
  int64_t total;
};

struct CounterCell {
  static constexpr size_t kHeader = 16;
  static constexpr int kTotalsMax = 255;
  static size_t SizeFor(int totals) { return kHeader + totals * sizeof(CounterTotal); }

  explicit CounterCell(char* bytes) : bytes_(bytes) {}
  explicit CounterCell(std::string_view bytes) : bytes_(const_cast<char*>(bytes.data())) {}
  // False for bytes from disk or log that are no cell.
  static bool Valid(std::string_view bytes) {
    return bytes.size() >= kHeader && bytes.size() == SizeFor(uint8_t(bytes[8]));
  }

  int64_t base() const { return Get<int64_t>(0); }
  int count() const { return uint8_t(bytes_[8]); }
  bool implicit() const { return bytes_[9] != 0; }
  void set_implicit(bool v) { bytes_[9] = char(v); }
  CounterTotal total(int i) const { return Get<CounterTotal>(SizeFor(i)); }
  void Init(int64_t base) {
    std::memset(bytes_, 0, kHeader);
    std::memcpy(bytes_, &base, sizeof base);
  }
  void set_count(int n) { bytes_[8] = char(n); }
  void set_total(int i, const CounterTotal& t) { std::memcpy(bytes_ + SizeFor(i), &t, sizeof t); }
  int IndexOf(uint16_t actor) const {
    for (int i = 0; i < count(); i++) {
      if (DotActor(total(i).dot) == actor) return i;
    }
    return -1;
  }
  // No room for a total of this actor.
  bool FullFor(uint16_t actor) const { return count() == kTotalsMax && IndexOf(actor) < 0; }
  // Wraps: sums of concurrent increments may leave the range; readers see it modulo 2^64.
  int64_t value() const {
    uint64_t sum = uint64_t(base());
    for (int i = 0; i < count(); i++) sum += uint64_t(total(i).total);
    return int64_t(sum);
  }

 private:
  template <typename T>
  T Get(size_t offset) const {
    T v;
    std::memcpy(&v, bytes_ + offset, sizeof v);
    return v;
  }
  char* bytes_;
};

}  // namespace redynamo
