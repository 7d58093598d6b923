// SPDX-License-Identifier: Apache-2.0
// WAIT and WAITAOF on a ring: what they answer is what the replicas have.
#include <doctest/doctest.h>
#include <poll.h>

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

// Disks are real here, while the ring's clock runs as fast as it can: a loop waits for both.
std::string Synced(RingOfServers& ring, RingClient& client, std::string_view line) {
  client.Send(line);
  for (int i = 0; i < 5000 && !client.idle(); i++) {
    ring.Pass(100);
    poll(nullptr, 0, 1);
  }
  return client.Take();
}

uint64_t WaitsUnderWay(RingOfServers& ring) {
  uint64_t count = 0;
  for (int i = 0; i < ring.size(); i++) count += ring.node(i).ring().waits().under_way();
  return count;
}

TEST_CASE("ring: WAIT counts the replicas that have acknowledged, whoever coordinated") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0);
  CHECK(client("WAIT 2 100") == ":2\r\n");  // nothing written: as many as could have it
  for (int i = 0; i < 3; i++) {
    CAPTURE(i);
    CHECK(client("SET " + ring.KeyOf(i) + " 1") == kOk);
    CHECK(client("WAIT 2 0") == ":2\r\n");
  }
  CutOff(ring, 2);
  CHECK(client("SET " + ring.KeyOf(0) + " 2") == kOk);
  CHECK(client("SET " + ring.KeyOf(1) + " 2") == kOk);
  CHECK(client("WAIT 1 0") == ":1\r\n");
  CHECK(client("WAIT 2 300") == ":1\r\n");
  ring.Pass(5000);  // nobody waits for those records any more, but they are not everywhere
  CHECK(client("WAIT 2 300") == ":1\r\n");
  CHECK(client("WAIT 0 0") == ":1\r\n");
  CHECK(client("SET " + ring.KeyOf(2) + " 3") == kOk);  // by another node, meanwhile
  CHECK(client("WAIT 1 0") == ":1\r\n");
  ring.network().HealAll();
  REQUIRE(ring.Settle());
  CHECK(client("WAIT 2 0") == ":2\r\n");
  CHECK(client("WAIT 3 300") == ":2\r\n");
  CHECK(WaitsUnderWay(ring) == 0);
}

TEST_CASE("ring: WAIT goes on as soon as the last replica has it") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0);
  for (int coordinator : {0, 1}) {
    CAPTURE(coordinator);
    CutOff(ring, 2);
    CHECK(client("SET " + ring.KeyOf(coordinator) + " 1") == kOk);
    client.Send("WAIT 2 0");
    client.Send("PING");
    ring.Pass(2000);
    CHECK(client.Take().empty());
    ring.network().HealAll();
    REQUIRE(ring.PassUntil([&] { return client.idle(); }));
    CHECK(client.Take() == ":2\r\n+PONG\r\n");
  }
}

TEST_CASE("ring: a client that goes while it waits leaves nothing behind") {
  RingOfServers ring(3, 3);
  {
    RingClient client(ring, 0);
    CutOff(ring, 2);
    CHECK(client("SET " + ring.KeyOf(1) + " 1") == kOk);
    client.Send("WAIT 2 0");
    ring.Pass(1000);
    CHECK(WaitsUnderWay(ring) > 0);
  }
  ring.Pass(1000);
  CHECK(WaitsUnderWay(ring) == 0);
}

TEST_CASE("ring: WAIT after a write that several nodes have carried out, and in a transaction") {
  RingOfServers ring(5, 3);
  RingClient client(ring, 0);
  std::string mset = "MSET";
  for (int i = 0; i < 5; i++) mset += " " + ring.KeyOf(i) + " 1";
  CHECK(client(mset) == kOk);
  CHECK(client("WAIT 2 0") == ":2\r\n");
  for (const char* line : {"MULTI", "WAIT 2 0", "WAITAOF 1 2 0"}) client(line);
  std::string reply = client("EXEC");
  CHECK(
      reply.starts_with("*2\r\n:2\r\n*2\r\n:"));  // whether it is on disk yet is the disk's affair
  CHECK(reply.ends_with("\r\n:0\r\n"));
}

TEST_CASE("ring: WAITAOF counts replicas that have it on disk") {
  RingOfServers ring(3, 3, 1, "appendfsync everysec\n");
  RingClient client(ring, 0);
  CHECK(Synced(ring, client, "WAITAOF 1 0 0") == "*2\r\n:1\r\n:0\r\n");
  for (int i = 0; i < 3; i++) {
    CAPTURE(i);
    CHECK(client("SET " + ring.KeyOf(i) + " 1") == kOk);
    CHECK(Synced(ring, client, "WAITAOF 1 2 0") == "*2\r\n:1\r\n:2\r\n");
  }
  CutOff(ring, 2);
  CHECK(client("SET " + ring.KeyOf(0) + " 2") == kOk);
  CHECK(client("SET " + ring.KeyOf(1) + " 2") == kOk);
  CHECK(Synced(ring, client, "WAITAOF 1 1 0") == "*2\r\n:1\r\n:1\r\n");
  CHECK(Synced(ring, client, "WAITAOF 1 2 1000") == "*2\r\n:1\r\n:1\r\n");
  ring.network().HealAll();
  REQUIRE(ring.Settle());
  CHECK(Synced(ring, client, "WAITAOF 1 2 0") == "*2\r\n:1\r\n:2\r\n");
  CHECK(WaitsUnderWay(ring) == 0);
}

TEST_CASE("ring: WAIT refuses what makes no sense") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0);
  CHECK(client("WAIT x 0") == "-ERR value is not an integer or out of range\r\n");
  CHECK(client("WAIT 1 -1") == "-ERR timeout is negative\r\n");
  CHECK(client("WAITAOF 2 0 0").starts_with("-ERR value is out of range"));
  CHECK(client("WAIT -1 0") == ":2\r\n");
}

}  // namespace
}  // namespace redynamo
