// SPDX-License-Identifier: Apache-2.0
// A connection's unread bytes, contiguous, so that arguments are views instead of copies.
//
//   |  requests already handed out  |  bytes not yet consumed  |  room for the next read  |
//   block                           begin()                    end()                      capacity
//
// While the buffer is pinned, bytes in front of begin() never move: a read that needs more room
// gets a fresh block, to which only the unconsumed tail is copied, and the old block lives until
// Release. An empty buffer that is not pinned holds no memory; blocks of the usual size are shared
// by all the buffers of a thread. Not thread-safe: a buffer stays with one thread.
#pragma once

#include <cstddef>
#include <vector>

namespace redynamo {

class InputBuffer {
 public:
  InputBuffer() = default;
  ~InputBuffer();
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;

  static constexpr size_t kBlockBytes = 64 * 1024;

  // Where to put the next bytes: room for `hint` of them if that comes cheap, and in any case
  // enough that the unconsumed bytes can grow to `whole` bytes without another move. Returns
  // nullptr and *capacity = 0 when memory is out. begin() may change.
  char* PrepareRead(size_t hint, size_t whole, size_t* capacity);
  // The first n bytes of that room are filled now. n may be 0 (nothing to read after all).
  void CommitRead(size_t n);

  char* begin() const { return block_.data + begin_; }
  char* end() const { return block_.data + end_; }
  size_t size() const { return end_ - begin_; }

  // The first n unconsumed bytes are dealt with. REQUIRES: n <= size().
  void Consume(size_t n) { begin_ += n; }
  // What is consumed, before and from now on, stays readable until Release.
  void Pin() { pinned_ = true; }
  void Release();

  size_t memory_bytes() const;

 private:
  struct Block {
    char* data = nullptr;
    size_t capacity = 0;
  };
  static Block Allocate(size_t capacity);
  static void Free(Block block);
  bool MoveTail(size_t needed);
  void FreeWhenEmpty();

  Block block_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool pinned_ = false;
  std::vector<Block> retired_;  // pinned bytes that an earlier block holds
};

}  // namespace redynamo
