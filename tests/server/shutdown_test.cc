// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <optional>

#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

class FakeLoop : public LoopControl {
 public:
  explicit FakeLoop(Server& server) { server.loop = this; }
  void RequestShutdown(const ShutdownRequest& request) override { stopped = request; }
  std::vector<std::string> ListenAddresses() const override { return {}; }
  std::optional<ShutdownRequest> stopped;
};

TEST_CASE("shutdown: writes wait and reads are served until the checkpoint is made") {
  ServerFixture fixture;
  FakeLoop loop(*fixture.server);
  TestClient asks(fixture), other(fixture), writer(fixture);
  CHECK(other("SET k v") == "+OK\r\n");
  CHECK(asks("SHUTDOWN") == "");
  CHECK_FALSE(loop.stopped);
  CHECK(other("GET k") == "$1\r\nv\r\n");
  CHECK(writer("SET k w") == "");
  CHECK(other("GET k") == "$1\r\nv\r\n");
  for (int i = 0; i < 10'000 && !loop.stopped; i++) fixture.Turn();
  REQUIRE(loop.stopped);
  CHECK_FALSE(loop.stopped->checkpoint);
  CHECK(fixture.server->engine().Stats().checkpoints == 1);
  CHECK(asks.Received() == "");
  CHECK(other("GET k") == "$1\r\nv\r\n");
}

TEST_CASE("shutdown: ABORT lets writes go on and gives those who asked an error") {
  ServerFixture fixture;
  FakeLoop loop(*fixture.server);
  TestClient asks(fixture), asks_too(fixture), other(fixture), writer(fixture);
  CHECK(other("SHUTDOWN ABORT") == "-ERR No shutdown in progress.\r\n");
  CHECK(asks("SHUTDOWN SAVE") == "");
  CHECK(asks_too("SHUTDOWN NOSAVE") == "");
  CHECK(writer("SET k w") == "");
  CHECK(other("SHUTDOWN ABORT") == "+OK\r\n");
  fixture.EndTurn();
  CHECK(asks.Received() == "-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
  CHECK(asks_too.Received() == "-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
  CHECK(writer.Received() == "+OK\r\n");
  for (int i = 0; i < 10'000 && fixture.server->engine().Stats().checkpoints == 0; i++) {
    fixture.Turn();
  }
  fixture.Turn();
  CHECK_FALSE(loop.stopped);
  CHECK(other("SHUTDOWN ABORT") == "-ERR No shutdown in progress.\r\n");
  CHECK(asks("GET k") == "$1\r\nw\r\n");
}

TEST_CASE("shutdown: NOSAVE and NOW stop at the end of the turn") {
  ServerFixture fixture;
  FakeLoop loop(*fixture.server);
  TestClient first(fixture), second(fixture);
  CHECK(first("SHUTDOWN NOSAVE") == "");
  REQUIRE(loop.stopped);
  CHECK_FALSE(loop.stopped->checkpoint);
  loop.stopped.reset();
  CHECK(second("SHUTDOWN SAVE NOW FORCE") == "");
  REQUIRE(loop.stopped);
  CHECK(loop.stopped->checkpoint);
  CHECK(loop.stopped->now);
}

TEST_CASE("shutdown: before the engine is open there is nothing to save") {
  ServerFixture fixture(false);
  FakeLoop loop(*fixture.server);
  TestClient client(fixture);
  CHECK(client("SHUTDOWN") == "");
  CHECK(loop.stopped);
}

TEST_CASE("shutdown: the last turn after the engine was closed harms nothing") {
  ServerFixture fixture;
  REQUIRE(fixture.settings.LoadText("maxmemory 1mb\nmaxmemory-policy page-out\n", "test").ok());
  fixture.Restart();
  TestClient client(fixture);
  for (int i = 0; i < 3000; i++) {
    client.Send("SET key:" + std::to_string(i) + " " + std::string(900, 'v'));
  }
  fixture.EndTurn();
  REQUIRE(fixture.server->CloseEngine(true).ok());
  fixture.Turn();  // polls, ticks, writes
  CHECK_FALSE(fixture.server->has_engine());
}

}  // namespace
}  // namespace redynamo
