// SPDX-License-Identifier: Apache-2.0
#include "server/ring_changes.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/ring_of_servers.h"

namespace redynamo {
namespace {

TEST_CASE("ring changes: what names no node or address is refused at once") {
  RingOfServers ring(4, 3);
  RingClient client(ring, 0);
  CHECK(client("RING.JOIN nonsense") == "-ERR 'nonsense' is no ring address: host:ring-port\r\n");
  CHECK(client("RING.JOIN  ") == "-ERR syntax error: the last word may be COMMIT\r\n");
  CHECK(client("RING.LEAVE nobody") == "-ERR no node of this ring is 'nobody': see RING.NODES\r\n");
  CHECK(client("RING.LEAVE ") == "-ERR no node of this ring is '': see RING.NODES\r\n");
  CHECK(client("RING.FORGET nobody") ==
        "-ERR no node of this ring is 'nobody': see RING.NODES\r\n");
  CHECK(client("RING.FORGET " + std::string(100'000, 'x')) ==
        "-ERR a node is named by its 40 digits or its ring address, host:ring-port\r\n");
  CHECK(client("RING.FORGET " + Id128Digits(ring.node(3).id()) + " COMMIT")
            .find("only a removed node can be forgotten") != std::string::npos);
  CHECK(client("RING.REPLACE nobody nonsense") ==
        "-ERR 'nonsense' is no ring address: host:ring-port\r\n");
  CHECK(client("RING.REPLACE nobody 10.0.0.1:17000") ==
        "-ERR no node of this ring is 'nobody': see RING.NODES\r\n");
  CHECK(client("RING.JOIN 10.0.0.1:17000").starts_with("-ERR no blank node answers at"));
  std::string plan = client("RING.LEAVE " + Id128Digits(ring.node(3).id()));
  CHECK(plan.find("Nothing is changed yet") != std::string::npos);
  CHECK(ring.node(0).node().document().epoch == 1);
}

TEST_CASE("commands: COMMAND DOCS can read the syntax of every command") {
  RingOfServers ring(1, 1);
  CHECK(RingClient(ring, 0)("COMMAND DOCS").size() > 50'000);
}

}  // namespace
}  // namespace redynamo
