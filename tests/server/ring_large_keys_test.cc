// SPDX-License-Identifier: Apache-2.0
// Commands on keys of very many rows: with R > 1 their partitions' clocks are compared.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/ring_of_servers.h"

namespace redynamo {
namespace {

constexpr const char* kNil = "*-1\r\n";

std::string AddMembers(const std::string& key, int from, int to) {
  std::string command = "SADD " + key;
  for (int i = from; i < to; i++) command += " m" + std::to_string(i);
  return command;
}

struct Compared {
  uint64_t by_keys = 0, by_clocks = 0, pulled = 0;  // commands; partitions
};
Compared ComparedBy(RingOfServers& ring, int node) {
  const Node& real = ring.node(node).node();
  return {real.fresh_reads()->stats().reads, real.fresh_partitions()->stats().asked,
          real.fresh_partitions()->stats().pulled};
}

TEST_CASE("ring large keys: an element is read without all of them being looked at") {
  RingOfServers ring(3, 3);
  std::string key = ring.KeyOf(0);
  RingClient client(ring, 0);
  CHECK(client(AddMembers(key, 0, 100)) == ":100\r\n");
  Compared before = ComparedBy(ring, 0);
  CHECK(client("SISMEMBER " + key + " m7") == ":1\r\n");
  CHECK(ComparedBy(ring, 0).by_keys == before.by_keys + 1);  // few enough to be hashed
  CHECK(client(AddMembers(key, 100, 1000)) == ":900\r\n");
  before = ComparedBy(ring, 0);
  CHECK(client("SISMEMBER " + key + " m7") == ":1\r\n");
  CHECK(client("SISMEMBER " + key + " none") == ":0\r\n");
  CHECK(client("SCARD " + key) == ":1000\r\n");
  CHECK(ComparedBy(ring, 0).by_keys == before.by_keys);
  CHECK(ComparedBy(ring, 0).by_clocks == before.by_clocks + 3);
  CHECK(ComparedBy(ring, 0).pulled == before.pulled);  // this node has all that the other has
}

TEST_CASE("ring large keys: who was away shows what was written meanwhile") {
  for (bool grown : {false, true}) {  // large before it was away, or only there
    CAPTURE(grown);
    RingOfServers ring(3, 3);
    std::string key = ring.KeyOf(0);
    {
      RingClient client(ring, 0);
      CHECK(client(AddMembers(key, 0, grown ? 300 : 10)).starts_with(":"));
    }
    ring.Stop(0);
    ring.Pass(2000);
    RingClient other(ring, 1);
    CHECK(other(AddMembers(key, 300, 600)) == ":300\r\n");
    CHECK(other("SREM " + key + " m5") == ":1\r\n");
    ring.Start(0);
    RingClient client(ring, 0);
    // As soon as it answers at all, before it has caught up.
    std::string reply;
    REQUIRE(ring.PassUntil([&] {
      reply = client("SISMEMBER " + key + " m599");
      return !reply.starts_with("-");
    }));
    CHECK(reply == ":1\r\n");
    CHECK(client("SISMEMBER " + key + " m5") == ":0\r\n");
    CHECK(client("SCARD " + key) == (grown ? ":599\r\n" : ":309\r\n"));
  }
}

TEST_CASE("ring large keys: a command on large and small ones waits for both") {
  RingOfServers ring(3, 3);
  std::string large = ring.KeyOf(0), small = "{" + large + "}small";
  RingClient client(ring, 0);
  CHECK(client(AddMembers(large, 0, 300)) == ":300\r\n");
  CHECK(client("SADD " + small + " m1 m2 x") == ":3\r\n");
  Compared before = ComparedBy(ring, 0);
  CHECK(client("SINTERCARD 2 " + large + " " + small) == ":2\r\n");
  CHECK(ComparedBy(ring, 0).by_keys == before.by_keys + 1);
  CHECK(ComparedBy(ring, 0).by_clocks == before.by_clocks + 1);
  ring.Stop(1);
  ring.Stop(2);
  CHECK(client("SINTERCARD 2 " + large + " " + small).starts_with("-"));
}

TEST_CASE("ring large keys: WATCH at another node sees each change, and no more than of its slot") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(0), beside = "{" + key + "}beside";
  int stranger = 0;
  while (ring.node(stranger).node().PlaceOf(PartitionOfSlot(KeySlot(key))).self_reads) stranger++;
  RingClient client(ring, stranger), other(ring, 0);
  auto exec = [&] {
    CHECK(client("MULTI") == "+OK\r\n");
    CHECK(client("SCARD " + key) == "+QUEUED\r\n");
    return client("EXEC");
  };
  CHECK(other(AddMembers(key, 0, 1000)) == ":1000\r\n");
  CHECK(client("WATCH " + key) == "+OK\r\n");
  CHECK(exec() == "*1\r\n:1000\r\n");
  for (const char* change : {"SREM K m1", "SADD K m1", "EXPIRE K 1000", "PERSIST K", "DEL K"}) {
    CAPTURE(change);
    CHECK(client("WATCH " + key) == "+OK\r\n");
    std::string command = change;
    CHECK(other(command.replace(command.find('K', 4), 1, key)) == ":1\r\n");
    CHECK(exec() == kNil);
  }
  CHECK(other(AddMembers(key, 0, 1000)) == ":1000\r\n");
  CHECK(client("WATCH " + key) == "+OK\r\n");
  CHECK(other("SISMEMBER " + key + " m1") == ":1\r\n");
  CHECK(other("SADD " + key + " m1") == ":0\r\n");
  CHECK(exec() == "*1\r\n:1000\r\n");
}

}  // namespace
}  // namespace redynamo
