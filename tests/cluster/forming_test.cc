// SPDX-License-Identifier: Apache-2.0
#include "cluster/forming.h"

#include <doctest/doctest.h>

#include <set>

namespace redynamo {
namespace {

Forming::Self Node(uint8_t n) {
  std::string port = std::to_string(7000 + n);
  return {{n}, "127.0.0.1:1" + port, "127.0.0.1:" + port, uint16_t(7100 + n)};
}

TEST_CASE("forming: nodes hear of each other by way of others, and the smallest id leads") {
  Forming a(Node(3), 3), b(Node(1), 3), c(Node(2), 3);
  CHECK(*b.Learn(a.Message()));
  CHECK_FALSE(b.complete());
  CHECK(*b.Learn(c.Message()));
  CHECK(*a.Learn(b.Message()));
  CHECK(*c.Learn(b.Message()));
  CHECK_FALSE(*c.Learn(b.Message()));
  for (Forming* node : {&a, &b, &c}) CHECK(node->complete());
  CHECK(b.leads());
  CHECK_FALSE(a.leads());
  CHECK_FALSE(c.leads());
}

TEST_CASE("forming: another number of nodes, or too many of them, is refused by name") {
  Forming a(Node(1), 2), b(Node(2), 3), c(Node(3), 2), d(Node(4), 2);
  CHECK(a.Learn(b.Message()).status().message().find("ring-bootstrap") != std::string::npos);
  CHECK(*a.Learn(c.Message()));
  CHECK_FALSE(a.Learn(d.Message()).ok());
  CHECK(a.members().size() == 2);
}

TEST_CASE("forming: in the first document all are homes of all, and lead as many partitions") {
  Forming a(Node(1), 3), b(Node(2), 3), c(Node(3), 3);
  REQUIRE(a.Learn(b.Message()).ok());
  REQUIRE(a.Learn(c.Message()).ok());
  Random random(1);
  Result<RingDocument> document = FirstDocument(a, 3, random);
  REQUIRE(document.ok());
  std::vector<int> leads(3);
  for (const View& view : document->views) {
    CHECK(std::set<MemberIndex>(view.homes.begin(), view.homes.end()).size() == 3);
    leads[view.homes[0]]++;
  }
  CHECK(*std::max_element(leads.begin(), leads.end()) -
            *std::min_element(leads.begin(), leads.end()) <=
        1);
  CHECK(document->members[1].ring_address.port == 17002);
  CHECK(document->members[1].client_port == 7002);
  CHECK(document->members[1].cluster_port == 7102);
  Result<RingDocument> two = FirstDocument(a, 2, random);
  REQUIRE(two.ok());
  for (const View& view : two->views) CHECK(view.homes.size() == 2);
}

}  // namespace
}  // namespace redynamo
