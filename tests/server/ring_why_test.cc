// SPDX-License-Identifier: Apache-2.0
#include "server/ring_why.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/ring_of_servers.h"

namespace redynamo {
namespace {

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) count++;
  return count;
}

uint64_t Repaired(RingOfServers& ring) {
  uint64_t repaired = 0;
  for (int i = 0; i < ring.size(); i++) {
    repaired += ring.node(i).node().fresh_reads()->stats().repaired;
  }
  return repaired;
}

TEST_CASE("ring: RING.WHY shows what each replica holds, from any node") {
  RingOfServers ring(5, 3);
  RingClient client(ring, 0);
  std::string key = ring.KeyOf(0);
  CHECK(client("SET " + key + " value1") == "+OK\r\n");
  REQUIRE(ring.Settle());
  for (int i = 0; i < ring.size(); i++) {
    CAPTURE(i);
    RingClient any(ring, i);
    std::string reply = any("RING.WHY " + key);
    CHECK(reply.starts_with("*3\r\n"));
    CHECK(Count(reply, "value1") == 3);
    CHECK(Count(reply, "home") == 3);
    CHECK(Count(reply, "error") == 0);
    for (const Id128& id : ring.node(0).node().PlaceOf(PartitionOfSlot(KeySlot(key))).writers) {
      CHECK(Count(reply, Id128Digits(id)) == 1);
    }
  }
  CHECK(client("RING.WHY absent").starts_with("*3\r\n"));
}

TEST_CASE(
    "ring: RING.WHY tells of a replica that lags without mending it, and of one that is gone") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0);
  std::string key = ring.KeyOf(0);
  CHECK(client("SET " + key + " value1") == "+OK\r\n");
  REQUIRE(ring.Settle());
  ring.network().Cut(ring.node(0).id(), ring.node(2).id());
  ring.network().Cut(ring.node(1).id(), ring.node(2).id());
  ring.Pass(100);
  CHECK(client("SET " + key + " value2") == "+OK\r\n");
  std::string reply = client("RING.WHY " + key);
  CAPTURE(reply);
  CHECK(reply.starts_with("*3\r\n"));
  CHECK(Count(reply, "value2") == 2);
  CHECK(Count(reply, "error") == 1);
  RingClient apart(ring, 2);
  uint64_t repaired = Repaired(ring);
  CHECK(Count(apart("RING.WHY " + key), "value1") == 1);
  CHECK(Repaired(ring) == repaired);
  ring.network().HealAll();
  REQUIRE(ring.Settle());
  CHECK(Count(apart("RING.WHY " + key), "value2") == 3);
}

TEST_CASE("ring: RING.WHY names the last repair") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0), lagging(ring, 1);
  std::string key = ring.KeyOf(1);
  CHECK(client("SET " + key + " value1") == "+OK\r\n");
  REQUIRE(ring.Settle());
  CHECK(Count(client("RING.WHY " + key), "\r\nread\r\n") == 0);
  // It coordinates a read before it has caught up; now and then exchange is faster.
  for (int round = 0; round < 20 && Repaired(ring) == 0; round++) {
    for (int other : {0, 2}) ring.network().Cut(ring.node(1).id(), ring.node(other).id());
    ring.Pass(100);
    CHECK(client("SET " + key + " value2") == "+OK\r\n");
    ring.Pass(2000);  // so that the link does not bring what its sender still remembers
    ring.network().HealAll();
    REQUIRE(ring.StepUntil([&] { return ring.node(1).node().Healthy(ring.node(2).id()); }));
    CHECK(lagging("GET " + key) == "$6\r\nvalue2\r\n");
  }
  CHECK(Repaired(ring) >= 1);
  std::string reply = client("RING.WHY " + key);
  CHECK(Count(reply, "\r\nread\r\n") == 1);
  CHECK(Count(reply, "value2") == 3);
}

}  // namespace
}  // namespace redynamo
