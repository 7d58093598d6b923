// SPDX-License-Identifier: Apache-2.0
#include "protocol/input_buffer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace redynamo {
namespace {

// Below this a read is not worth its system call: rather make room.
constexpr size_t kReadBytesMin = 16 * 1024;

// A loop thread reads, executes and releases one connection after the other, so that a few blocks
// serve them all.
class BlockPool {
 public:
  ~BlockPool() {
    while (count_ > 0) std::free(blocks_[--count_]);
  }
  char* Take() { return count_ > 0 ? blocks_[--count_] : nullptr; }
  bool Give(char* block) {
    if (count_ == blocks_.size()) return false;
    blocks_[count_++] = block;
    return true;
  }

 private:
  std::array<char*, 16> blocks_;
  size_t count_ = 0;
};

thread_local BlockPool block_pool;

}  // namespace

InputBuffer::Block InputBuffer::Allocate(size_t capacity) {
  char* data = capacity == kBlockBytes ? block_pool.Take() : nullptr;
  if (!data) data = static_cast<char*>(std::malloc(capacity));
  return {data, data ? capacity : 0};
}

void InputBuffer::Free(Block block) {
  if (block.capacity == kBlockBytes && block_pool.Give(block.data)) return;
  std::free(block.data);
}

InputBuffer::~InputBuffer() {
  for (Block block : retired_) Free(block);
  if (block_.data) Free(block_);
}

char* InputBuffer::PrepareRead(size_t hint, size_t whole, size_t* capacity) {
  *capacity = 0;
  size_t least = std::clamp(hint, size_t(1), kReadBytesMin);
  size_t needed = std::max(size() + least, whole);
  if (needed < size()) return nullptr;  // overflow
  bool fits = begin_ + needed <= block_.capacity;
  // What follows a huge request must not keep its block.
  bool oversized = !pinned_ && begin_ > 0 && block_.capacity / 4 > std::max(needed, kBlockBytes);
  if ((!fits || oversized) && !MoveTail(needed)) return nullptr;
  *capacity = block_.capacity - end_;
  return end();
}

bool InputBuffer::MoveTail(size_t needed) {
  size_t tail = size();
  // A block that grows doubles at least, so that many growths copy each byte about twice.
  size_t capacity = needed <= kBlockBytes ? kBlockBytes : std::max(needed, 2 * tail);
  if (!pinned_ && capacity <= block_.capacity && block_.capacity / 4 <= capacity) {
    std::memmove(block_.data, begin(), tail);
  } else {
    Block fresh = Allocate(capacity);
    if (!fresh.data) return false;
    if (tail > 0) std::memcpy(fresh.data, begin(), tail);
    if (pinned_ && block_.data) {
      retired_.push_back(block_);
    } else if (block_.data) {
      Free(block_);
    }
    block_ = fresh;
  }
  begin_ = 0;
  end_ = tail;
  return true;
}

void InputBuffer::CommitRead(size_t n) {
  CHECK_THAT(n <= block_.capacity - end_);
  end_ += n;
  FreeWhenEmpty();
}

void InputBuffer::Release() {
  pinned_ = false;
  for (Block block : retired_) Free(block);
  retired_.clear();
  FreeWhenEmpty();
}

void InputBuffer::FreeWhenEmpty() {
  if (begin_ != end_ || pinned_) return;
  if (block_.data) Free(block_);
  block_ = {};
  begin_ = end_ = 0;
}

size_t InputBuffer::memory_bytes() const {
  size_t total = block_.capacity;
  for (Block block : retired_) total += block.capacity;
  return total;
}

}  // namespace redynamo
