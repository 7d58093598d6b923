// SPDX-License-Identifier: Apache-2.0
// PackedMap: a small hash or set as one blob, in insertion order (ENGINE.md section 4, packed).
//
//   element := flags u8, [version], key length, key, value length, value
//   version := Δn zigzag, Δhlc zigzag, [actor u16]        unless flags say: as the base
//
// Each element is a row with its own dot and stamp, kept as differences to the map's base, the dot
// and stamp of its first element: elements of its command say "as the base", those of another one
// cost the two differences. Lengths and differences are varints. A set's values are empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/version.h"

namespace redynamo {

class PackedMap {
 public:
  struct Element {
    std::string_view key;
    std::string_view value;  // a CounterCell when counter
    Dot dot = 0;
    uint64_t hlc = 0;
    bool counter = false;
    uint32_t offset = 0;  // of this element, and of the next one
    uint32_t end = 0;
  };

  PackedMap() = default;
  ~PackedMap();
  PackedMap(const PackedMap&) = delete;
  PackedMap& operator=(const PackedMap&) = delete;

  uint32_t size() const { return count_; }
  uint32_t bytes() const { return used_; }
  size_t memory_bytes() const;

  // Walks: for (auto e = map.First(); map.Valid(e); e = map.Next(e)).
  Element First() const { return At(0); }
  Element Next(const Element& e) const { return At(e.end); }
  bool Valid(const Element& e) const { return e.end != e.offset; }
  // Asks the processor's cache for the blob's first lines.
  void Prefetch() const {
    __builtin_prefetch(data_);
    __builtin_prefetch(data_ + 64);
  }
  // An element that is not Valid when absent.
  Element Find(std::string_view key) const;

  void Append(std::string_view key, std::string_view value, bool counter, Dot dot, uint64_t hlc);
  void Replace(const Element& e, std::string_view value, bool counter, Dot dot, uint64_t hlc);
  void Erase(const Element& e);

  // The blob for a head record, and back. Load validates: false on malformed bytes.
  void EncodeTo(std::string* out) const;
  bool Load(std::string_view encoded);

 private:
  Element At(uint32_t offset) const;
  void Splice(uint32_t offset, uint32_t old_bytes, std::string_view bytes);
  std::string_view EncodeElement(std::string_view key, std::string_view value, bool counter,
                                 Dot dot, uint64_t hlc, std::string* scratch) const;

  char* data_ = nullptr;
  Dot base_dot_ = 0;
  uint64_t base_hlc_ = 0;
  uint32_t used_ = 0;
  uint32_t count_ = 0;
};

}  // namespace redynamo
