// SPDX-License-Identifier: Apache-2.0
#include "cluster/node_id.h"

#include <doctest/doctest.h>

#include "storage/identity.h"

using namespace redynamo;

TEST_CASE("node_id: 40 digits name it, and only they do") {
  NodeId id;
  for (size_t i = 0; i < 16; i++) id.bytes[i] = uint8_t(17 * i);
  std::string digits = id.digits();
  CHECK(digits.size() == 40);
  CHECK(digits.substr(0, 32) == "00112233445566778899aabbccddeeff");
  NodeId again;
  REQUIRE(NodeId::Parse(digits, &again));
  CHECK(again == id);
  std::string upper = digits;
  for (char& c : upper) c = char(std::toupper(c));
  CHECK(NodeId::Parse(upper, &again));
  Identity identity;
  identity.node_id = id.bytes;
  CHECK(identity.node_id_hex() == digits);

  CHECK_FALSE(NodeId::Parse("", &again));
  CHECK_FALSE(NodeId::Parse(digits.substr(1), &again));
  CHECK_FALSE(NodeId::Parse(digits + "0", &again));
  for (size_t at = 0; at < 40; at++) {  // one wrong digit is noticed
    std::string wrong = digits;
    wrong[at] = wrong[at] == '0' ? '1' : '0';
    CHECK_FALSE(NodeId::Parse(wrong, &again));
    wrong[at] = 'g';
    CHECK_FALSE(NodeId::Parse(wrong, &again));
  }
  CHECK(again == id);
}

TEST_CASE("node_id: ids are ordered by their bytes") {
  NodeId a, b;
  a.bytes[15] = 0xff;
  b.bytes[0] = 1;
  CHECK(a < b);
  CHECK(a.digits() < b.digits());
}

TEST_CASE("node_id: ring addresses are host and port") {
  RingAddress address;
  auto parses = [&](std::string_view text) { return RingAddress::Parse(text, &address); };
  for (const char* good : {"10.0.0.1:17379", "node-1.example.org:1", "[::1]:65535"}) {
    CAPTURE(good);
    REQUIRE(parses(good));
    CHECK(address.ToString() == good);
  }
  CHECK(address == RingAddress{"::1", 65535});
  for (const char* bad : {"", ":", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:1 ", " a:1",
                          "a b:1", "::1:80", "[::1:80", "[a]:80", "[]:80", "a,b:1", "a:01"}) {
    CAPTURE(bad);
    CHECK_FALSE(parses(bad));
  }
  CHECK_FALSE(parses(std::string(256, 'a') + ":1"));
  CHECK(address == RingAddress{"::1", 65535});
}
