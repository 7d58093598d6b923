// SPDX-License-Identifier: Apache-2.0
#include "server/output_buffer.h"

#include <doctest/doctest.h>

#include "base/random.h"

namespace redynamo {
namespace {

std::string Take(OutputBuffer& out, uint64_t most, bool pin = false) {
  iovec pieces[3];
  std::string bytes;
  int count = out.Gather(pieces, 3, pin);
  for (int i = 0; i < count; ++i) {
    bytes.append(static_cast<char*>(pieces[i].iov_base), pieces[i].iov_len);
  }
  if (bytes.size() > most) bytes.resize(most);
  out.Consume(bytes.size());
  return bytes;
}

TEST_CASE("output buffer: a reply leaves when its position is safe, not before") {
  OutputBuffer out;
  out.Tail()->append("one");
  out.Commit(10, 1);
  out.Tail()->append("two");
  out.Commit(20, 2);
  CHECK_FALSE(out.Release(9));
  CHECK(out.HasHeld());
  CHECK(out.Release(19));
  CHECK(Take(out, 100) == "one");
  CHECK(out.Release(20));
  CHECK(Take(out, 100) == "two");
  CHECK_FALSE(out.HasHeld());
  CHECK(out.pending_bytes() == 0);
}

TEST_CASE("output buffer: a reply that depends on nothing waits for those before it") {
  OutputBuffer out;
  out.Tail()->append("write");
  out.Commit(10, 1);
  out.Tail()->append("ping");
  out.Commit(0, 2);
  CHECK_FALSE(out.Release(9));
  CHECK(out.Release(10));
  CHECK(Take(out, 100) == "writeping");
}

TEST_CASE("output buffer: what is not committed stays") {
  OutputBuffer out;
  out.Tail()->append("message");
  CHECK(out.HasUncommitted());
  CHECK_FALSE(out.Release(UINT64_MAX));
  out.Commit(5, 1);
  CHECK_FALSE(out.HasUncommitted());
  CHECK(out.Release(5));
}

TEST_CASE("output buffer: pinned bytes stay in place while more is rendered") {
  OutputBuffer out;
  out.Tail()->append("abc");
  out.Commit(0, 1);
  out.Release(0);
  iovec piece;
  REQUIRE(out.Gather(&piece, 1, true) == 1);
  for (int i = 0; i < 10'000; ++i) out.Tail()->append("more output");
  CHECK(std::string(static_cast<char*>(piece.iov_base), piece.iov_len) == "abc");
  out.Consume(3);
  out.Commit(0, 2);
  out.Release(0);
  CHECK(out.released_bytes() == 110'000);
}

TEST_CASE("output buffer: any mix of sizes, positions and partial writes keeps the bytes") {
  Random random(7);
  OutputBuffer out;
  std::string rendered, received;
  uint64_t position = 0, safe = 0;
  for (uint64_t step = 0; step < 20'000; ++step) {
    switch (random.Below(4)) {
      case 0: {
        size_t size = random.Below(50) ? random.Below(300) : random.Below(50'000);
        std::string reply(size, char('a' + step % 26));
        out.Tail()->append(reply);
        rendered += reply;
        position += random.Below(3);
        out.Commit(random.Below(2) ? position : 0, step / 16);
        break;
      }
      case 1: safe = std::min(position, safe + random.Below(20)); break;
      default: out.Release(safe); received += Take(out, random.Below(20'000), random.Below(2));
    }
    REQUIRE(out.pending_bytes() == rendered.size() - received.size());
  }
  out.Release(position);
  while (out.HasReleased()) received += Take(out, UINT64_MAX);
  CHECK(received == rendered);
  CHECK(out.chunk_count() == 0);
}

std::string Lend(OutputBuffer& out, size_t* pieces = nullptr) {
  std::string small = "before";
  std::vector<std::string> big;
  uint64_t bytes = out.Lend(&small, &big);
  std::string all = small.substr(6);
  for (const std::string& piece : big) all += piece;
  CHECK(all.size() == bytes);
  CHECK((all.size() == small.size() - 6 || small == "before"));
  if (pieces) *pieces = big.size();
  return all;
}

TEST_CASE("output buffer: what is lent counts as pending until it is returned") {
  OutputBuffer out;
  out.Tail()->append("one");
  out.Commit(1, 1);
  out.Tail()->append(std::string(100'000, 'x'));
  out.Commit(2, 2);
  out.Release(1);
  CHECK(Lend(out) == "one");
  CHECK(out.pending_bytes() == 100'003);
  CHECK(out.lent_bytes() == 3);
  CHECK_FALSE(out.HasReleased());
  out.Returned(3);
  CHECK(out.pending_bytes() == 100'000);
  out.Release(2);
  CHECK(Lend(out) == std::string(100'000, 'x'));
  CHECK(out.pending_bytes() == 100'000);
  CHECK(out.memory_bytes() >= 100'000);
  CHECK(out.chunk_count() > 0);
  out.Returned(100'000);
  CHECK(out.pending_bytes() == 0);
  CHECK(out.chunk_count() == 0);
  CHECK(Lend(out) == "");
}

TEST_CASE("output buffer: a big reply is lent without a copy") {
  OutputBuffer out;
  out.Tail()->append(std::string(1'000'000, 'x'));
  out.Commit(1, 1);
  out.Release(1);
  size_t pieces = 0;
  CHECK(Lend(out, &pieces).size() == 1'000'000);
  CHECK(pieces == 1);
}

TEST_CASE("output buffer: any mix of replies is lent as it was rendered") {
  Random random(8);
  OutputBuffer out;
  std::string rendered, received;
  uint64_t position = 0, safe = 0;
  for (uint64_t step = 0; step < 20'000; ++step) {
    switch (random.Below(4)) {
      case 0: {
        size_t size = random.Below(50) ? random.Below(300) : random.Below(50'000);
        std::string reply(size, char('a' + step % 26));
        out.Tail()->append(reply);
        rendered += reply;
        position += random.Below(3);
        out.Commit(random.Below(2) ? position : 0, step / 16);
        break;
      }
      case 1: safe = std::min(position, safe + random.Below(20)); break;
      case 2:
        out.Release(safe);
        received += Lend(out);
        break;
      default: out.Returned(random.Below(out.lent_bytes() + 1));
    }
    REQUIRE(out.pending_bytes() == rendered.size() - received.size() + out.lent_bytes());
  }
  out.Release(position);
  received += Lend(out);
  CHECK(received == rendered);
}

}  // namespace
}  // namespace redynamo
