// SPDX-License-Identifier: Apache-2.0
// Requests that ask for other quorums than the ring's: RING.QUORUM and ring-policy.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/ring_of_servers.h"

namespace redynamo {
namespace {

constexpr std::string_view kOk = "+OK\r\n";

void CutOff(RingOfServers& ring, int node) {
  for (int i = 0; i < ring.size(); i++) {
    if (i != node) ring.network().Cut(ring.node(i).id(), ring.node(node).id());
  }
  ring.Pass(100);
}

TEST_CASE("ring quorum: a connection that asks for all replicas gets no less") {
  RingOfServers ring(3, 3);
  std::string key = ring.KeyOf(0);
  RingClient client(ring, 0), other(ring, 0);
  CHECK(client("RING.QUORUM W 3 SLOPPY no") == kOk);
  CHECK(client("SET " + key + " 1") == kOk);
  CutOff(ring, 2);
  CHECK(other("SET " + key + " 2") == kOk);  // W = 2 for everybody else
  std::string refusal = client("SET " + key + " 3");
  CHECK(refusal.starts_with("-NOREPLICAS 2 of the 3"));
  CHECK(refusal.find("RING.QUORUM") != std::string::npos);
  CHECK(client("GET " + key) == "$1\r\n2\r\n");
  CHECK(client("RING.QUORUM R 3") == kOk);
  CHECK(client("GET " + key).starts_with("-NOREPLICAS 2 of the 3"));
  CHECK(client("RING.QUORUM RESET") == kOk);
  CHECK(client("SET " + key + " 4") == kOk);
  CHECK(client("RING.QUORUM W 3 SLOPPY no") == kOk);
  CHECK(client("RESET") == "+RESET\r\n");
  CHECK(client("SET " + key + " 5") == kOk);
}

TEST_CASE("ring quorum: one replica is enough for whoever says so, and the others hear of it") {
  RingOfServers ring(3, 3, 2, "ring-sloppy no\n");
  std::string key = ring.KeyOf(0);
  RingClient client(ring, 0), other(ring, 0);
  CHECK(other("SET " + key + " 1") == kOk);
  CutOff(ring, 0);
  CHECK(other("SET " + key + " 2").starts_with("-NOREPLICAS"));
  CHECK(client("RING.QUORUM N 1 R 1 W 1") == kOk);
  CHECK(client("SET " + key + " 3") == kOk);
  CHECK(client("GET " + key) == "$1\r\n3\r\n");
  ring.network().HealAll();
  REQUIRE(ring.Settle());
  for (int i = 0; i < 3; i++) CHECK(RingClient(ring, i)("GET " + key) == "$1\r\n3\r\n");
}

TEST_CASE("ring quorum: it goes with a command that another node coordinates") {
  RingOfServers ring(4, 3);
  std::string key = ring.KeyOf(1);
  // A home of the key that is not its coordinator, and a client of a fourth node.
  const Place& place = ring.node(0).node().PlaceOf(PartitionOfSlot(KeySlot(key)));
  int last = ring.NumberOf(place.read.members[2]);
  int outside = 0;
  while (place.Reads(ring.node(outside).id())) outside++;
  RingClient client(ring, outside);
  CHECK(client("SET " + key + " 1") == kOk);
  ring.network().Cut(ring.node(1).id(), ring.node(last).id());
  ring.network().Cut(ring.node(outside).id(), ring.node(last).id());
  ring.Pass(100);
  CHECK(client("SET " + key + " 2") == kOk);
  CHECK(client("RING.QUORUM W 3 SLOPPY no") == kOk);
  CHECK(client("SET " + key + " 3").starts_with("-NOREPLICAS 2 of the 3"));
  CHECK(client("RING.QUORUM W 3 SLOPPY yes") == kOk);  // the fourth node stands in
  CHECK(client("SET " + key + " 4") == kOk);
}

TEST_CASE("ring quorum: policies speak for keys, the strictest for a command on several") {
  RingOfServers ring(3, 3, 3, "ring-policy 0 all: w 3 sloppy no\nring-policy 0 one: n 1 r 1 w 1\n");
  RingClient client(ring, 0);
  std::string all = ring.KeyOf(0, "all:"), one = ring.KeyOf(0, "one:"), usual = ring.KeyOf(0);
  for (const std::string& key : {all, one, usual}) CHECK(client("SET " + key + " 1") == kOk);
  CutOff(ring, 2);
  CHECK(client("SET " + all + " 2").starts_with("-NOREPLICAS"));
  CHECK(client("SET " + one + " 2") == kOk);
  CHECK(client("SET " + usual + " 2") == kOk);
  CHECK(client("SET all:{" + one + "} 2").starts_with("-NOREPLICAS"));
  CHECK(client("MSET " + one + " 3 all:{" + one + "} 3").starts_with("-NOREPLICAS"));
  CHECK(client("GET " + one) == "$1\r\n2\r\n");
  CHECK(client("RING.QUORUM W 2") == kOk);  // what the client says comes first
  CHECK(client("SET " + all + " 3") == kOk);
}

TEST_CASE("ring quorum: it tells what is in force, and refuses what makes no sense") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0);
  CHECK(client("HELLO 3").starts_with("%"));
  CHECK(client("RING.QUORUM") ==
        "%4\r\n$1\r\nn\r\n:3\r\n$1\r\nr\r\n:2\r\n$1\r\nw\r\n:2\r\n"
        "$6\r\nsloppy\r\n$3\r\nyes\r\n");
  CHECK(client("RING.QUORUM N 2 W 1 sloppy NO") == kOk);
  CHECK(client("RING.QUORUM") ==
        "%4\r\n$1\r\nn\r\n:2\r\n$1\r\nr\r\n:2\r\n$1\r\nw\r\n:1\r\n"
        "$6\r\nsloppy\r\n$2\r\nno\r\n");
  CHECK(client("RING.QUORUM W 3") ==
        "-ERR r and w can be at most n: only so many replicas are "
        "counted\r\n");
  CHECK(client("RING.QUORUM W") == "-ERR syntax error\r\n");
  CHECK(client("RING.QUORUM W x").starts_with("-ERR 'x' is no number of replicas"));
  CHECK(client("RING.QUORUM Q 1").starts_with("-ERR 'Q' is none of"));
  CHECK(client("RING.QUORUM W 1 W 9").starts_with("-ERR '9'"));
  CHECK(client("RING.QUORUM RESET now") == "-ERR syntax error\r\n");
  CHECK(client("RING.QUORUM").find("w\r\n:1") != std::string::npos);  // nothing of that took effect
  CHECK(client("MULTI") == kOk);
  CHECK(client("RING.QUORUM W 1").starts_with("-ERR"));
}

}  // namespace
}  // namespace redynamo
