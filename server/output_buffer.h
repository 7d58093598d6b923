// SPDX-License-Identifier: Apache-2.0
// Replies on their way to one client: bytes in order, each held until the log position that it
// depends on is safe (ENGINE.md section 1).
//
//   out.Tail()->append("+OK\r\n");     the writer renders into the tail
//   out.Commit(position, turn);        what was rendered since the last Commit depends on it
//   ...
//   out.Release(reply_position);       what of it may leave
//   n = out.Gather(iov, max);          as pieces for writev
//   out.Consume(bytes_written);
//
//        consumed      released          committed          rendered
//   |....gone.....|--may leave---|---held, by marks---|---not committed---|
//
// Bytes leave in order, so a byte waits for the highest position of all before it. Commits of one
// turn share a mark: their records are written and synced together anyway. In the steady state
// nothing is allocated: the one chunk is cleared and used again. A chunk that has reached
// kChunkBytes is never appended to, so big output is not copied when the string grows.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace redynamo {

class OutputBuffer {
 public:
  static constexpr size_t kChunkBytes = 16 * 1024;
  static constexpr size_t kKeptCapacity = 64 * 1024;  // a bigger chunk is freed when it is empty

  // Where the next reply is rendered. Valid until the next call of any other function.
  std::string* Tail() {
    if (__builtin_expect(tail_.size() < kChunkBytes && !tail_pinned_, 1)) return &tail_;
    return NewTail();
  }
  void Append(std::string_view bytes) { Tail()->append(bytes); }

  // Everything rendered so far depends on `position` (and on all earlier ones). `turn` is a number
  // that changes with every turn of the loop.
  void Commit(uint64_t position, uint64_t turn);
  // Rendered since the last Commit?
  bool HasUncommitted() const { return end_offset() > committed_; }
  // The highest position of any commit.
  uint64_t last_position() const { return last_position_; }

  // Lets go of all commits at or below `position`. True when bytes may leave.
  bool Release(uint64_t position);
  bool HasReleased() const { return released_ > consumed_; }
  // Up to `max` pieces of released bytes. With `pin` they stay where they are until Consume has
  // taken them (an asynchronous write): later replies then go to another chunk.
  int Gather(iovec* pieces, int max, bool pin);
  void Consume(size_t bytes);

  // All bytes that have not left yet, held ones included.
  uint64_t pending_bytes() const { return end_offset() - consumed_; }
  uint64_t released_bytes() const { return released_ - consumed_; }
  size_t chunk_count() const { return full_.size(); }
  size_t memory_bytes() const;
  // Drops all (the client is gone).
  void Clear();

 private:
  struct Mark {
    uint64_t position;
    uint64_t end;   // offset
    uint64_t turn;
  };
  uint64_t end_offset() const { return full_end_ + tail_.size(); }
  std::string* NewTail();

  // Offsets count all bytes ever rendered for this client.
  std::deque<std::string> full_;  // closed chunks, oldest first; then tail_
  std::string tail_;
  size_t head_skip_ = 0;          // consumed bytes of the first chunk (of tail_ if full_ is empty)
  uint64_t full_end_ = 0;         // offset where tail_ begins
  uint64_t consumed_ = 0;
  uint64_t released_ = 0;
  uint64_t committed_ = 0;
  uint64_t last_position_ = 0;
  bool tail_pinned_ = false;
  std::string spare_;             // an emptied chunk, to be the next tail
  std::deque<Mark> marks_;        // of committed, unreleased bytes; positions ascend
};

}  // namespace redynamo
