// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include <doctest/doctest.h>

using namespace redynamo;

TEST_CASE("bytes: what is put is read back") {
  std::string out;
  PutFixed16(&out, 0xabcd);
  PutVarint(&out, 300);
  PutVarint(&out, ~0ull);
  PutLengthPrefixed(&out, "hello");
  PutBig(&out, 0x010203, 3);
  ByteReader in(out);
  CHECK(in.Fixed16() == 0xabcd);
  CHECK(in.Varint() == 300);
  CHECK(in.Varint() == ~0ull);
  CHECK(in.LengthPrefixed() == "hello");
  CHECK(in.Big(3) == 0x010203);
  CHECK(in.ok());
  CHECK(in.empty());
}

TEST_CASE("bytes: a read beyond the end latches") {
  ByteReader in(
      std::string_view("\x05"
                       "abc",
                       4));
  CHECK(in.LengthPrefixed().empty());
  CHECK(!in.ok());
  CHECK(in.Fixed64() == 0);
  std::string ones(11, '\xff');
  ByteReader endless(ones);
  endless.Varint();
  CHECK(!endless.ok());
}

TEST_CASE("bytes: zigzag keeps small numbers small") {
  for (int64_t v : {0l, -1l, 1l, INT64_MIN, INT64_MAX}) CHECK(UnZigZag(ZigZag(v)) == v);
  CHECK(ZigZag(-1) == 1);
}
