// SPDX-License-Identifier: Apache-2.0
// LongString: the value of a string that was changed in place and is longer than one fragment.
//
// SET writes a *base*: the whole value. Later changes in place write *fragments* of it, pieces of
// kFragmentBytes, each a row (base dot, index) with a version of its own. What a client reads is
// the base overlaid by them:
//
//   base       |aaaaaaaaaaaaaaaaaa|         SET k a...           9 KiB
//   fragment 1      |aabaa|                 SETRANGE k 5000 b
//   fragment 4                       |00c|  SETRANGE k 18000 c   a gap is zero bytes
//   bytes()    |aaaaaaabaaaaaaaaaaa00000c|
//
// So a bit set in a long bitmap costs one fragment in the log and on disk, not the bitmap. The
// bytes are one piece of memory with room to spare, so they are read without a copy, and appending
// costs what is appended. What the base has under a fragment is kept beside it: replicas may have
// to show a base without a fragment of it, and a base has one content for ever.
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/delta.h"
#include "storage/element_sum.h"
#include "storage/version.h"

namespace redynamo {

class LongString {
 public:
  struct Fragment {
    Dot dot = 0;  // 0: absent, and its row on disk is to be removed
    uint64_t hlc = 0;
    uint32_t length = 0;  // 1..kFragmentBytes while it lives
    bool dirty = false;   // changed since its last capture
    bool on_disk = false;
    uint8_t capture = 0;           // number (mod 256) of the checkpoint that captured it last
    uint64_t sum = 0;              // its row's hash, while it is clean
    std::unique_ptr<char[]> base;  // what the base has at its place, if anything
    bool live() const { return dot != 0; }
  };
  using Fragments = absl::btree_map<uint32_t, Fragment>;

  explicit LongString(std::string_view base);
  ~LongString();
  LongString(const LongString&) = delete;
  LongString& operator=(const LongString&) = delete;

  std::string_view bytes() const { return {bytes_, size_}; }
  std::string Base() const;
  size_t base_size() const { return base_size_; }
  const Fragments& fragments() const { return fragments_; }
  std::string_view FragmentBytes(uint32_t index, const Fragment& fragment) const {
    return {bytes_ + size_t(index) * kFragmentBytes, fragment.length};
  }
  // A live fragment, or null.
  const Fragment* Find(uint32_t index) const;
  size_t memory_bytes() const;

  // Sets [offset, offset + bytes.size()), growing with zeros, and gives every fragment that this
  // touches the version (dot, hlc). `touched` collects them in order, with the dot that each had
  // before (0: it is new). REQUIRES: bytes is not empty and not a part of bytes().
  struct Touched {
    uint32_t index;
    Dot before;
  };
  void Overwrite(uint64_t offset, std::string_view bytes, Dot dot, uint64_t hlc,
                 std::vector<Touched>* touched);
  // Makes a fragment what another node, the log or the disk says that it is; dirty.
  void Put(uint32_t index, std::string_view bytes, Dot dot, uint64_t hlc);
  // As if the fragment had never been: the base's bytes show again.
  void Remove(uint32_t index);

  // --- for checkpoints: whether the head, which holds the base, must be written, too ---
  bool head_dirty = true;
  // Gives by how much dirty_bytes() grows.
  uint64_t DirtyHead() {
    uint64_t more = head_dirty ? 0 : base_size_;
    head_dirty = true;
    return more;
  }
  // What a checkpoint has to capture: the base with the head, and each dirty fragment as a whole
  // one.
  uint64_t dirty_bytes() const { return (head_dirty ? base_size_ : 0) + dirty_ * kFragmentBytes; }
  uint8_t head_capture = 0;
  // A clean fragment as it stands on disk; `sum` is its row's hash (storage/row_sum.h).
  void Install(uint32_t index, std::string_view bytes, Dot dot, uint64_t hlc, uint64_t sum = 0);
  // Appends about `count` dirty fragments of index >= from; gives where to go on, 0 at the end.
  uint32_t CollectDirty(uint32_t from, size_t count, std::vector<uint32_t>* out) const;
  // The fragment is in the hands of checkpoint `number`.
  void MarkCaptured(uint32_t index, uint8_t number, uint64_t sum = 0);
  ElementSum& sum() { return sum_; }
  // Checkpoint `number` has failed. True when it had captured something here.
  bool Redirty(uint8_t number);

 private:
  Fragment& Touch(uint32_t index);
  void MarkDirty(uint32_t index, Fragment* fragment);
  void Grow(size_t size);
  void ShowBase(uint32_t index, const Fragment& fragment, size_t from);
  void FitSize();
  size_t BaseUnder(uint32_t index) const;

  char* bytes_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  size_t base_size_ = 0;
  size_t dirty_ = 0;       // fragments
  size_t kept_bytes_ = 0;  // of the base, under fragments
  Fragments fragments_;
  ElementSum sum_;
};

}  // namespace redynamo
