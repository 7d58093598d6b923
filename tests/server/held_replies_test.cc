// SPDX-License-Identifier: Apache-2.0
#include "server/held_replies.h"

#include <doctest/doctest.h>

#include "server/output_buffer.h"

namespace redynamo {
namespace {

std::string TakeAll(OutputBuffer& out, uint64_t position) {
  std::string bytes;
  out.Release(position);
  iovec piece;
  while (out.HasReleased()) {
    out.Gather(&piece, 1, false);
    bytes.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    out.Consume(piece.iov_len);
  }
  return bytes;
}

TEST_CASE("held replies: what comes after a held reply waits for it") {
  OutputBuffer out;
  out.Tail()->append("before ");
  out.Commit(1, 1);
  uint64_t first = out.Hold();
  out.Tail()->append("write ");
  out.Commit(2, 1);
  out.Tail()->append("read ");
  out.Commit(0, 1);
  CHECK(TakeAll(out, 100) == "before ");
  CHECK(out.HasHeld());
  CHECK(out.pending_bytes() > 0);
  out.Resolve(first, 2);
  CHECK(TakeAll(out, 100) == "write read ");
  CHECK_FALSE(out.HasHeld());
  CHECK(out.pending_bytes() == 0);
}

TEST_CASE("held replies: a resolved reply still waits for its position in the log") {
  OutputBuffer out;
  uint64_t id = out.Hold();
  out.Tail()->append("write");
  out.Commit(50, 1);
  out.Resolve(id, 1);
  CHECK(TakeAll(out, 49) == "");
  CHECK(TakeAll(out, 50) == "write");
}

TEST_CASE("held replies: other bytes may take a reply's place, in any order of resolving") {
  OutputBuffer out;
  uint64_t first = out.Hold();
  out.Tail()->append("one ");
  out.Commit(1, 1);
  uint64_t second = out.Hold();
  out.Commit(0, 1);  // nothing is rendered: its bytes come later
  uint64_t third = out.Hold();
  out.Tail()->append("three ");
  out.Commit(3, 1);
  out.ResolveWith(second, "two ", 1);
  out.Resolve(third, 1);
  CHECK(TakeAll(out, 100) == "");
  out.ResolveWith(first, "failed ", 1);
  CHECK(TakeAll(out, 100) == "failed two three ");
  out.Resolve(first, 1);  // known no more
  CHECK_FALSE(out.HasHeld());
}

TEST_CASE("held replies: a reply that is resolved before it is rendered whole waits for that") {
  OutputBuffer out;
  uint64_t id = out.Hold();
  out.Tail()->append("half ");
  out.Resolve(id, 1);
  CHECK(TakeAll(out, 100) == "");
  out.Tail()->append("whole");
  out.Commit(1, 1);
  CHECK(TakeAll(out, 100) == "half whole");
}

}  // namespace
}  // namespace redynamo
