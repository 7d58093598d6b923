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
// Fewer bytes than this are cheaper to copy than to hand over in a chunk of their own.
constexpr size_t kLendCopyBytesMax = 4096;
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

uint64_t OutputBuffer::Hold() {
  if (!held_) held_ = std::make_unique<HeldReplies>();
  held_->Begin(next_hold_);
  return next_hold_++;
}

void OutputBuffer::CommitHeld(uint64_t turn) {
  held_->Commit(last_position_);
  DrainHeld(turn);
}

void OutputBuffer::Resolve(uint64_t id, uint64_t turn) {
  if (held_ && held_->Resolve(id)) DrainHeld(turn);
}

void OutputBuffer::ResolveWith(uint64_t id, std::string_view bytes, uint64_t turn) {
  if (held_ && held_->ResolveWith(id, bytes)) DrainHeld(turn);
}

void OutputBuffer::DrainHeld(uint64_t turn) {
  std::unique_ptr<HeldReplies> held = std::move(held_);  // Tail is the buffer's own again
  while (HeldReplies::Entry* entry = held->Ready()) {
    Tail()->append(entry->bytes);
    MarkCommitted(turn);
    held->Pop();
  }
  if (!held->empty()) held_ = std::move(held);
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
    ForgetFirst();
  }
  head_skip_ += bytes;
  if (head_skip_ < tail_.size() || tail_.empty()) return;
  full_end_ += tail_.size();
  head_skip_ = 0;
  GiveChunk(std::move(tail_));
  tail_ = std::string();
}

void OutputBuffer::ForgetFirst() {
  if (++full_head_ < full_.size() && full_head_ < kForgetChunks) return;
  full_.erase(full_.begin(), full_.begin() + ptrdiff_t(full_head_));
  full_head_ = 0;
}

uint64_t OutputBuffer::Lend(std::string* small, std::vector<std::string>* big) {
  uint64_t bytes = released_bytes();
  lent_bytes_ += bytes;
  if (bytes <= kLendCopyBytesMax) {
    iovec pieces[4];
    while (HasReleased()) {
      int count = Gather(pieces, 4, false);
      uint64_t gathered = 0;
      for (int i = 0; i < count; ++i) {
        small->append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
        gathered += pieces[i].iov_len;
      }
      Consume(gathered);
    }
    return bytes;
  }
  while (HasReleased()) {
    bool is_tail = full_head_ == full_.size();
    LendPiece(is_tail ? &tail_ : &full_[full_head_], big);
  }
  return bytes;
}

// The first chunk that is left, or as much of it as is released.
void OutputBuffer::LendPiece(std::string* chunk, std::vector<std::string>* big) {
  uint64_t size = std::min<uint64_t>(chunk->size() - head_skip_, released_bytes());
  if (head_skip_ == 0 && size == chunk->size()) {
    bool is_tail = chunk == &tail_;
    big->push_back(std::move(*chunk));
    *chunk = std::string();
    consumed_ += size;
    if (is_tail) {
      full_end_ += size;
    } else {
      ForgetFirst();
    }
    return;
  }
  big->push_back(chunk->substr(head_skip_, size));
  Consume(size);
}

void OutputBuffer::Returned(uint64_t bytes) {
  CHECK_THAT(bytes <= lent_bytes_);
  lent_bytes_ -= bytes;
}

size_t OutputBuffer::memory_bytes() const {
  size_t total =
      tail_.capacity() + marks_.capacity() * sizeof(Mark) + lent_bytes_ + held_replies_bytes();
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
  held_.reset();
  marks_head_ = 0;
  head_skip_ = 0;
  full_end_ = consumed_ = released_ = committed_ = lent_bytes_ = 0;
}

}  // namespace redynamo
