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
// nothing is allocated: chunks come from a pool of the thread and return to it, so that an idle
// client holds none. A chunk that has reached kChunkBytes is never appended to, so big output is
// not copied again when it grows.
//
// Hold makes a reply wait for something else than the log, too (held_replies.h).
//
// Where another thread does the writing, released bytes are handed to it whole, by Lend, and count
// as pending until Returned says that they have left. Lend and Consume do not go together.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/held_replies.h"

namespace redynamo {

class OutputBuffer {
 public:
  static constexpr size_t kChunkBytes = 16 * 1024;

  OutputBuffer() = default;
  ~OutputBuffer() { Clear(); }
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;

  // Where the next reply is rendered. Valid until the next call of any other function.
  std::string* Tail() {
    if (__builtin_expect(held_ != nullptr, 0)) return held_->Tail();
    if (__builtin_expect(tail_.size() - 1 < kChunkBytes - 1, 1)) return &tail_;
    return NewTail();
  }

  // Everything rendered so far depends on `position` (and on all earlier ones). `turn` is a number
  // that changes with every turn of the loop.
  void Commit(uint64_t position, uint64_t turn) {
    if (position > last_position_) last_position_ = position;
    if (__builtin_expect(held_ != nullptr, 0)) return CommitHeld(turn);
    MarkCommitted(turn);
  }
  // What is rendered from here to the next Commit, and all that comes after it, waits for Resolve
  // of the id that this gives. REQUIRES: nothing is uncommitted.
  uint64_t Hold();
  // It may go on, as rendered or with these bytes instead. Ids that are not held are ignored.
  void Resolve(uint64_t id, uint64_t turn);
  void ResolveWith(uint64_t id, std::string_view bytes, uint64_t turn);
  bool HasHeldReplies() const { return held_ != nullptr; }
  uint64_t held_replies_bytes() const { return held_ ? held_->bytes() : 0; }
  bool HasUncommitted() const { return end_offset() > committed_; }
  // The highest position of any commit.
  uint64_t last_position() const { return last_position_; }

  // Lets go of all commits at or below `position`. True when bytes may leave.
  bool Release(uint64_t position);
  bool HasReleased() const { return released_ > consumed_; }
  bool HasHeld() const { return committed_ > released_ || held_; }
  // Up to `max` pieces of released bytes. With `pin` they stay where they are until Consume has
  // taken them (an asynchronous write): later replies then go to another chunk.
  int Gather(iovec* pieces, int max, bool pin);
  // The first `bytes` released bytes have left. REQUIRES: bytes <= released_bytes().
  void Consume(uint64_t bytes);

  // Takes all released bytes out, to be written elsewhere. Few of them are appended to *small, and
  // *big stays as it is; many become pieces of *big, without a copy where that can be. Gives their
  // number.
  uint64_t Lend(std::string* small, std::vector<std::string>* big);
  // So many of the bytes that were lent have left.
  void Returned(uint64_t bytes);
  uint64_t lent_bytes() const { return lent_bytes_; }

  // All bytes that have not left yet: held, uncommitted and lent ones included.
  uint64_t pending_bytes() const {
    return end_offset() - consumed_ + lent_bytes_ + held_replies_bytes();
  }
  uint64_t released_bytes() const { return released_ - consumed_; }
  size_t chunk_count() const { return full_.size() - full_head_ + lent_bytes_ / kChunkBytes; }
  size_t memory_bytes() const;
  // Drops all (the client is gone).
  void Clear();

 private:
  struct Mark {
    uint64_t position;
    uint64_t end;  // offset
    uint64_t turn;
  };
  uint64_t end_offset() const { return full_end_ + tail_.size(); }
  void MarkCommitted(uint64_t turn) {
    uint64_t end = end_offset();
    if (end == committed_) return;
    committed_ = end;
    if (marks_head_ < marks_.size() && marks_.back().turn == turn) {
      marks_.back().position = last_position_;
      marks_.back().end = end;
    } else {
      PushMark({last_position_, end, turn});
    }
  }
  void CommitHeld(uint64_t turn);
  void DrainHeld(uint64_t turn);
  std::string* NewTail();
  void CloseTail();
  void ForgetFirst();
  void LendPiece(std::string* chunk, std::vector<std::string>* big);
  void PushMark(Mark mark);

  // Offsets count all bytes ever rendered for this client.
  std::vector<std::string> full_;  // closed chunks from full_head_ on, oldest first; then tail_
  size_t full_head_ = 0;
  std::string tail_;
  size_t head_skip_ = 0;   // consumed bytes of the first chunk that is left
  uint64_t full_end_ = 0;  // offset where tail_ begins
  uint64_t consumed_ = 0;
  uint64_t released_ = 0;
  uint64_t committed_ = 0;
  uint64_t last_position_ = 0;
  uint64_t lent_bytes_ = 0;
  std::unique_ptr<HeldReplies> held_;  // only while something is held
  uint64_t next_hold_ = 1;
  std::vector<Mark> marks_;  // from marks_head_ on: unreleased; positions ascend
  size_t marks_head_ = 0;
};

}  // namespace redynamo
