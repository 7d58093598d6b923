// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

TEST_CASE("transaction: the queue runs as one, with all its replies") {
  ServerFixture fixture;
  TestClient client(fixture);
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("SET k 1") == "+QUEUED\r\n");
  CHECK(client("INCR k") == "+QUEUED\r\n");
  CHECK(client("HSET k f v") == "+QUEUED\r\n");
  CHECK(client("GET k") == "+QUEUED\r\n");
  CHECK(client("EXEC") ==
        "*4\r\n+OK\r\n:2\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
        "$1\r\n2\r\n");
  CHECK(client("EXEC") == "-ERR EXEC without MULTI\r\n");
}

TEST_CASE("transaction: an error while queueing aborts it") {
  ServerFixture fixture;
  TestClient client(fixture);
  for (std::string_view bad : {"nosuch", "GET", "CLIENT NOSUCH"}) {
    client("MULTI");
    client("SET k 1");
    CHECK(client(bad).starts_with("-ERR "));
    CHECK(client("EXEC") == "-EXECABORT Transaction discarded because of previous errors.\r\n");
    CHECK(client("EXISTS k") == ":0\r\n");
  }
}

TEST_CASE("transaction: DISCARD forgets, MULTI and WATCH inside are refused without harm") {
  ServerFixture fixture;
  TestClient client(fixture);
  client("MULTI");
  client("SET k 1");
  CHECK(client("MULTI") == "-ERR MULTI calls can not be nested\r\n");
  CHECK(client("WATCH k") == "-ERR WATCH inside MULTI is not allowed\r\n");
  CHECK(client("DISCARD") == "+OK\r\n");
  CHECK(client("EXISTS k") == ":0\r\n");
  CHECK(client("DISCARD") == "-ERR DISCARD without MULTI\r\n");
}

TEST_CASE("transaction: SELECT inside it takes effect for what follows") {
  ServerFixture fixture;
  TestClient client(fixture);
  client("MULTI");
  client("SELECT 3");
  client("SET k 3");
  client("EXEC");
  CHECK(client("GET k") == "$1\r\n3\r\n");
  client("SELECT 0");
  CHECK(client("GET k") == "$-1\r\n");
}

TEST_CASE("transaction: a watched key that changes fails EXEC, one that does not leaves it") {
  ServerFixture fixture;
  TestClient client(fixture), other(fixture);
  struct Case {
    std::string_view watched, change;
    bool fails;
  };
  const Case cases[] = {
      {"k", "SET k 2", true},      {"k", "GET k", false},      {"k", "SET other 2", false},
      {"k", "DEL k", true},        {"new", "SET new 1", true}, {"new", "DEL new", false},
      {"k", "EXPIRE k 100", true}, {"k", "FLUSHALL", true},    {"new", "FLUSHALL", false},
      {"k", "RENAME k l", true},   {"l", "RENAME k l", true},  {"h", "HSET h f v", true},
      {"k", "SETNX k 5", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.change);
    other("FLUSHALL");
    other("SET k 1");
    client("WATCH " + std::string(c.watched));
    other(c.change);
    client("MULTI");
    client("PING");
    CHECK(client("EXEC") == (c.fails ? "*-1\r\n" : "*1\r\n+PONG\r\n"));
    client("MULTI");  // watched for one EXEC only
    CHECK(client("EXEC") == "*0\r\n");
  }
}

TEST_CASE("transaction: a watched key that expires fails EXEC") {
  ServerFixture fixture;
  TestClient client(fixture);
  client("SET k v PX 100");
  client("WATCH k");
  fixture.AdvanceMs(101);
  client("MULTI");
  CHECK(client("EXEC") == "*-1\r\n");
}

TEST_CASE("transaction: UNWATCH, DISCARD and the client's own EXEC end the watching") {
  ServerFixture fixture;
  TestClient client(fixture), other(fixture);
  for (std::string_view ending : {"UNWATCH", "RESET"}) {
    client("WATCH k");
    other("SET k 1");
    client(ending);
    client("MULTI");
    CHECK(client("EXEC") == "*0\r\n");
  }
  client("WATCH k");
  CHECK(fixture.server->watches().watching_clients() == 1);
  client("MULTI");
  client("SET k mine");
  CHECK(client("EXEC") == "*1\r\n+OK\r\n");
  CHECK(fixture.server->watches().watched_keys() == 0);
  client("WATCH k k j");
  CHECK(fixture.server->watches().watched_keys() == 2);
  client.session.reset();
  CHECK(fixture.server->watches().watched_keys() == 0);
  CHECK(fixture.server->watches().watching_clients() == 0);
}

TEST_CASE("transaction: all its cold keys are there before the first command runs") {
  ServerFixture fixture;
  TestClient client(fixture);
  client("MSET a 1 b 2");
  client("SELECT 2");
  client("SET c 3");
  client("SELECT 0");
  fixture.Restart();
  client("MULTI");
  client("GET a");
  client("INCR b");
  client("SELECT 2");
  client("GET c");
  REQUIRE(client.Send("EXEC") == ExecuteResult::kParked);
  for (int i = 0; i < 10'000 && client.resumed == 0; ++i) fixture.Turn();
  CHECK(client.Received() == "*4\r\n$1\r\n1\r\n:3\r\n+OK\r\n$1\r\n3\r\n");
}

TEST_CASE("transaction: SWAPDB in the queue does not lead to the wrong cold keys") {
  ServerFixture fixture;
  TestClient client(fixture);
  client("SET k zero");
  client("SELECT 1");
  client("SET k one");
  client("SELECT 0");
  fixture.Restart();
  client("MULTI");
  client("SWAPDB 0 1");
  client("GET k");
  REQUIRE(client.Send("EXEC") == ExecuteResult::kParked);
  for (int i = 0; i < 10'000 && client.resumed == 0; ++i) fixture.Turn();
  CHECK(client.Received() == "*2\r\n+OK\r\n$3\r\none\r\n");
}

}  // namespace
}  // namespace redynamo
