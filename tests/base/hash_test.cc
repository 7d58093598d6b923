// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <doctest/doctest.h>

using namespace redynamo;

TEST_CASE("hash: slots are Redis Cluster's") {
  CHECK(KeySlot("123456789") == 0x31c3);  // the check value of CRC16/XMODEM
  CHECK(KeySlot("foo") == 12182);
  CHECK(KeySlot("{user1000}.following") == KeySlot("{user1000}.followers"));
  CHECK(KeySlot("foo{}{bar}") == (KeySlot("foo{}{bar}") & 16383));
  CHECK(KeySlot("foo{bar}{zap}") == KeySlot("bar"));
}

TEST_CASE("hash: crc32c gives the check value of RFC 3720") {
  CHECK(Crc32c("123456789") == 0xe3069283);
  CHECK(Crc32c("6789", Crc32c("12345")) == 0xe3069283);
}

TEST_CASE("hash: a position has 53 bits and starts with the slot") {
  KeyPlace place = PlaceOf("foo", 7);
  CHECK((place.position() >> 39) == 12182);
  CHECK(place.position() < (1ull << 53));
}
