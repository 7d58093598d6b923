// SPDX-License-Identifier: Apache-2.0
// The sum of the hashes of an object's clean rows beside its head (storage/row_sum.h): elements of
// a large collection, fragments of a long string. It enters the leaf's sum when a checkpoint
// captures the object, so that a change of an element touches nothing but the object.
//
// A checkpoint captures fragments in slices, as they are when their slice comes. What changes
// behind a slice is dirty again, but its captured version goes to disk: the checkpoint's own sum
// needs it (late). Of elements it captures what they were when it came to their key.
#pragma once

#include <cstdint>

namespace redynamo {

class ElementSum {
 public:
  void Add(uint64_t hash) { clean_ += hash; }
  // From disk: the leaf has it.
  void AddLoaded(uint64_t hash) {
    clean_ += hash;
    in_leaf_ += hash;
  }
  // It leaves memory and stays on disk.
  void RemoveLoaded(uint64_t hash) {
    clean_ -= hash;
    in_leaf_ -= hash;
  }
  // The row at that place turns dirty.
  void Remove(uint64_t place, uint64_t hash) {
    clean_ -= hash;
    if (capturing_ && place < passed_) late_ += hash;
  }
  // By how much the leaf's sum must grow to have this one; from now on it has.
  uint64_t Settle() {
    uint64_t before = in_leaf_;
    in_leaf_ = clean_;
    return in_leaf_ - before;
  }
  uint64_t in_leaf() const { return in_leaf_; }
  // By how much the clean rows differ from what the leaf has.
  uint64_t ahead() const { return clean_ - in_leaf_; }

  bool capturing() const { return capturing_; }
  void BeginCapture() {
    capturing_ = true;
    passed_ = late_ = 0;
  }
  // All rows at places below `next` (0: all) have been captured.
  void SlicePassed(uint64_t next) { passed_ = next == 0 ? UINT64_MAX : next; }
  uint64_t EndCapture() {
    capturing_ = false;
    return late_;
  }

 private:
  uint64_t clean_ = 0;
  uint64_t in_leaf_ = 0;
  uint64_t late_ = 0;
  uint64_t passed_ = 0;
  bool capturing_ = false;
};

}  // namespace redynamo
