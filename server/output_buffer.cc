// SPDX-License-Identifier: Apache-2.0
#include "server/output_buffer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace redynamo {
namespace {

// A chunk that a single reply has made bigger is freed instead of kept.
constexpr size_t kKeptCapacityMax = 64 * 1024;
constexpr size_t kPoolChunks = 64;
// Chunks that have left are taken out of the list this many at a time.
constexpr size_t kForgetChunks = 1024;
// Room for the reply that goes over kChunkBytes, if it is a usual one.
constexpr size_t kFreshCapacity = OutputBuffer::kChunkBytes + 2048;

thread_local std::vector<std::string> chunk_pool;

std::string TakeChunk() {
  std::string chunk;
  if (chunk_pool.empty()) {
    chunk.reserve(kFreshCapacity);
  } else {
    chunk = std::move(chunk_pool.back());
    chunk_pool.pop_back();
  }
  return chunk;
}

void GiveChunk(std::string chunk) {
  if (chunk.capacity() < kFreshCapacity || chunk.capacity() > kKeptCapacityMax) return;
  if (chunk_pool.size() >= kPoolChunks) return;
  chunk.clear();
  chunk_pool.push_back(std::move(chunk));
}

}  // namespace

std::string* OutputBuffer::NewTail() {
  if (!tail_.empty()) CloseTail();
  // A chunk always has memory of its own, so that its bytes stay in place when it moves.
  if (tail_.capacity() < kFreshCapacity) tail_ = TakeChunk();
  return &tail_;
}

void OutputBuffer::CloseTail() {
  full_end_ += tail_.size();
  full_.push_back(std::move(tail_));
  tail_ = std::string();
}

void OutputBuffer::PushMark(Mark mark) {
  if (marks_head_ == marks_.size()) {
    marks_.clear();
    marks_head_ = 0;
  } else if (marks_head_ >= 32 && marks_head_ * 2 >= marks_.size()) {
    marks_.erase(marks_.begin(), marks_.begin() + ptrdiff_t(marks_head_));
    marks_head_ = 0;
  }
  marks_.push_back(mark);
}

bool OutputBuffer::Release(uint64_t position) {
  while (marks_head_ < marks_.size() && marks_[marks_head_].position <= position) {
    released_ = marks_[marks_head_++].end;
  }
  return HasReleased();
}

int OutputBuffer::Gather(iovec* pieces, int max, bool pin) {
  if (pin && !tail_.empty() && released_ > full_end_) CloseTail();
  uint64_t left = released_bytes();
  size_t skip = head_skip_;
  int n = 0;
  auto take = [&](std::string& chunk) {
    size_t size = std::min<uint64_t>(chunk.size() - skip, left);
    pieces[n++] = {chunk.data() + skip, size};
    left -= size;
    skip = 0;
  };
  for (size_t i = full_head_; i < full_.size() && left > 0 && n < max; ++i) take(full_[i]);
  if (left > 0 && n < max) take(tail_);
  return n;
}

void OutputBuffer::Consume(uint64_t bytes) {
  CHECK_THAT(bytes <= released_bytes());
  consumed_ += bytes;
  while (full_head_ < full_.size()) {
    std::string& first = full_[full_head_];
    size_t rest = first.size() - head_skip_;
    if (bytes < rest) {
      head_skip_ += bytes;
      return;
    }
    bytes -= rest;
    head_skip_ = 0;
    GiveChunk(std::move(first));
    if (++full_head_ == full_.size() || full_head_ >= kForgetChunks) {
      full_.erase(full_.begin(), full_.begin() + ptrdiff_t(full_head_));
      full_head_ = 0;
    }
  }
  head_skip_ += bytes;
  if (head_skip_ < tail_.size() || tail_.empty()) return;
  full_end_ += tail_.size();
  head_skip_ = 0;
  GiveChunk(std::move(tail_));
  tail_ = std::string();
}

size_t OutputBuffer::memory_bytes() const {
  size_t total = tail_.capacity() + marks_.capacity() * sizeof(Mark);
  for (size_t i = full_head_; i < full_.size(); ++i) total += full_[i].capacity();
  return total;
}

void OutputBuffer::Clear() {
  for (size_t i = full_head_; i < full_.size(); ++i) GiveChunk(std::move(full_[i]));
  GiveChunk(std::move(tail_));
  full_.clear();
  full_head_ = 0;
  tail_ = std::string();
  marks_.clear();
  marks_head_ = 0;
  head_skip_ = 0;
  full_end_ = consumed_ = released_ = committed_ = 0;
}

}  // namespace redynamo
