// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "server/admission.h"
#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

TEST_CASE("dispatcher: commands run and are counted") {
  ServerFixture fixture;
  TestClient client(fixture);
  CHECK(client("SET k v") == "+OK\r\n");
  CHECK(client("get k") == "$1\r\nv\r\n");
  CHECK(client("INCR k") == "-ERR value is not an integer or out of range\r\n");
  ServerStats& stats = fixture.server->stats();
  auto figures = [&](std::string_view name) -> const CommandStats& {
    return stats.commands[fixture.server->commands().FindByRowName(name)->id];
  };
  CHECK(figures("set").calls == 1);
  CHECK(figures("get").calls == 1);
  CHECK(figures("incr").failed == 1);
  CHECK(figures("get").latency->count() == 1);
  CHECK(stats.commands_processed == 3);
  CHECK(stats.errors.at("ERR") == 1);
}

TEST_CASE("dispatcher: each refusal has Redis' words") {
  ServerFixture fixture;
  TestClient client(fixture);
  CHECK(client("nosuch a b") ==
        "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' \r\n");
  CHECK(client("GET") == "-ERR wrong number of arguments for 'get' command\r\n");
  CHECK(client("CLIENT") == "-ERR wrong number of arguments for 'client' command\r\n");
  CHECK(client("CLIENT NOSUCH") == "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n");
  CHECK(client("CLIENT ID x") == "-ERR wrong number of arguments for 'client|id' command\r\n");
  CHECK(fixture.server->stats().unknown_commands == 2);
  int get = fixture.server->commands().Find("get")->id;
  CHECK(fixture.server->stats().commands[size_t(get)].rejected == 1);
  CHECK(fixture.server->stats().commands[size_t(get)].calls == 0);
}

TEST_CASE("dispatcher: the checks come in Redis' order") {
  std::vector<std::string_view> names;
  for (const AdmissionCheck& check : AdmissionChecks()) names.push_back(check.name);
  CHECK(names == std::vector<std::string_view>{"arity", "debug permission", "authentication",
                                               "transaction", "memory", "log space",
                                               "subscriber mode", "loading", "ring"});
}

TEST_CASE("dispatcher: nothing but AUTH, HELLO, QUIT and RESET before the password") {
  ServerFixture fixture;
  REQUIRE(fixture.settings.LoadText("requirepass secret\n", "the test").ok());
  TestClient client(fixture);
  CHECK(client("GET k") == "-NOAUTH Authentication required.\r\n");
  CHECK(client("PING") == "-NOAUTH Authentication required.\r\n");
  CHECK(client("AUTH wrong").starts_with("-WRONGPASS "));
  CHECK(client("AUTH secret") == "+OK\r\n");
  CHECK(client("PING") == "+PONG\r\n");
  CHECK(client("RESET") == "+RESET\r\n");
  CHECK(client("PING").starts_with("-NOAUTH"));
  CHECK(client("HELLO 2 AUTH default secret").starts_with("*14\r\n"));
  CHECK(client("PING") == "+PONG\r\n");
}

TEST_CASE("dispatcher: while loading, only commands that need no data run") {
  ServerFixture fixture(false);
  TestClient client(fixture);
  for (std::string_view line : {"PING", "GET k", "WATCH k", "DBSIZE"}) {
    CHECK(client(line) == "-LOADING Redis is loading the dataset in memory\r\n");
  }
  CHECK(client("CLIENT ID").starts_with(":"));
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("EXEC") == "*0\r\n");
}

TEST_CASE("dispatcher: a RESP2 subscriber may do little else, a RESP3 one anything") {
  ServerFixture fixture;
  TestClient client(fixture);
  client("SUBSCRIBE c");
  CHECK(client("GET k") ==
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context\r\n");
  CHECK(client("PING") == "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
  TestClient modern(fixture);
  modern("HELLO 3");
  modern("SUBSCRIBE c");
  CHECK(modern("GET k") == "_\r\n");
}

TEST_CASE("dispatcher: CLIENT REPLY mutes as it should") {
  ServerFixture fixture;
  TestClient client(fixture);
  CHECK(client("CLIENT REPLY SKIP").empty());
  CHECK(client("SET k 1").empty());
  CHECK(client("GET k") == "$1\r\n1\r\n");
  CHECK(client("CLIENT REPLY OFF").empty());
  CHECK(client("GET k").empty());
  CHECK(client("nosuch").empty());
  CHECK(client("CLIENT REPLY SKIP").empty());
  CHECK(client("GET k").empty());
  CHECK(client("CLIENT REPLY ON") == "+OK\r\n");
}

TEST_CASE("dispatcher: a cold key parks its client only, and the command runs later") {
  ServerFixture fixture;
  TestClient first(fixture), second(fixture);
  first("SET cold value");
  fixture.Restart();
  REQUIRE(first.Send("GET cold") == ExecuteResult::kParked);
  CHECK(first.session->state == SessionState::kLoadingKeys);
  CHECK(second("SET other 1") == "+OK\r\n");
  for (int i = 0; i < 10'000 && first.resumed == 0; ++i) fixture.Turn();
  CHECK(first.resumed == 1);
  CHECK(first.Received() == "$5\r\nvalue\r\n");
  CHECK(first.session->state == SessionState::kRunning);
  CHECK(fixture.server->stats().parked_for_load == 1);
}

TEST_CASE("dispatcher: walks over cold keys park their client, inside MULTI, too") {
  ServerFixture fixture;
  TestClient client(fixture), other(fixture);
  client("SET cold value");
  client("HSET hash f v");
  fixture.Restart();
  auto finish = [&] {
    for (int i = 0; i < 10'000 && client.resumed == 0; ++i) fixture.Turn();
    CHECK(client.resumed == 1);
    client.resumed = 0;
    return client.Received();
  };
  REQUIRE(client.Send("KEYS c*") == ExecuteResult::kParked);
  CHECK(other("DBSIZE") == ":2\r\n");
  CHECK(finish() == "*1\r\n$4\r\ncold\r\n");
  REQUIRE(client.Send("SCAN 0 COUNT 100 TYPE hash") == ExecuteResult::kParked);
  CHECK(finish() == "*2\r\n$1\r\n0\r\n*1\r\n$4\r\nhash\r\n");
  client("MULTI");
  client("SET warm 1");
  client("SELECT 0");
  client("KEYS *d");
  client("FLUSHDB");
  client("KEYS *");
  client("RANDOMKEY");
  REQUIRE(client.Send("EXEC") == ExecuteResult::kParked);
  CHECK(finish() == "*6\r\n+OK\r\n+OK\r\n*1\r\n$4\r\ncold\r\n+OK\r\n*0\r\n$-1\r\n");
}

TEST_CASE("dispatcher: a client that goes while its key is loaded harms nobody") {
  ServerFixture fixture;
  auto client = std::make_unique<TestClient>(fixture);
  (*client)("SET cold value");
  fixture.Restart();
  REQUIRE(client->Send("GET cold") == ExecuteResult::kParked);
  client.reset();
  TestClient other(fixture);
  REQUIRE(other.Send("GET cold") == ExecuteResult::kParked);
  for (int i = 0; i < 10'000 && other.resumed == 0; ++i) fixture.Turn();
  CHECK(other.Received() == "$5\r\nvalue\r\n");
}

TEST_CASE("dispatcher: replies wait for their record to be written") {
  ServerFixture fixture;
  TestClient writer(fixture), reader(fixture);
  writer.Send("SET k v");
  CHECK(writer.Received().empty());
  reader.Send("GET k");  // shows what is not written yet
  CHECK(reader.Received().empty());
  fixture.EndTurn();
  CHECK(writer.Received() == "+OK\r\n");
  CHECK(reader.Received() == "$1\r\nv\r\n");
}

TEST_CASE("dispatcher: a deferred answer comes when it is given, once") {
  ServerFixture fixture;
  TestClient client(fixture);
  DeferredReply deferred = client.session->Defer();
  CHECK(fixture.server->clients().deferred_count == 1);
  fixture.server->Answer(deferred, Reply::Integer(7));
  fixture.server->Answer(deferred, Reply::Integer(8));
  fixture.EndTurn();
  CHECK(client.Received() == ":7\r\n");
  CHECK(client.resumed == 1);
  CHECK(fixture.server->clients().deferred_count == 0);
  DeferredReply lost = client.session->Defer();
  client.session.reset();
  fixture.server->Answer(lost, Reply::Ok());
  CHECK(fixture.server->clients().deferred_count == 0);
}

TEST_CASE("dispatcher: CLIENT PAUSE holds writers back, and then all of them go on") {
  ServerFixture fixture;
  TestClient admin(fixture), client(fixture);
  admin("SET k old");
  CHECK(admin("CLIENT PAUSE 1000 WRITE") == "+OK\r\n");
  CHECK(client("GET k") == "$3\r\nold\r\n");
  CHECK(client.Send("SET k new") == ExecuteResult::kParked);
  CHECK(admin("GET k") == "$3\r\nold\r\n");
  fixture.AdvanceMs(1001);
  fixture.Turn();
  CHECK(client.Received() == "+OK\r\n");
  CHECK(admin("GET k") == "$3\r\nnew\r\n");
}

TEST_CASE("dispatcher: slow commands are logged without secrets") {
  ServerFixture fixture;
  std::pair<std::string_view, std::string_view> all("slowlog-log-slower-than", "0");
  REQUIRE(fixture.settings.Set({&all, 1}).ok());
  TestClient client(fixture);
  client("AUTH default secret");
  client("GET k");
  const auto& entries = fixture.server->slowlog().entries();
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].args == std::vector<std::string>{"GET", "k"});
  CHECK(entries[0].client_address == client.session->identity.address);
  for (const std::string& arg : entries[1].args) CHECK(arg != "secret");
}

TEST_CASE("dispatcher: WAITAOF answers once the client's writes are on disk") {
  ServerFixture fixture;  // appendfsync no: nobody else asks for a sync
  TestClient client(fixture), other(fixture);
  CHECK(client("SET k v") == "+OK\r\n");
  CHECK(client("WAITAOF 0 0 0") == "*2\r\n:0\r\n:0\r\n");
  CHECK(client("WAITAOF 1 0 0") == "");
  CHECK(client.session->state == SessionState::kDeferred);
  CHECK(other("GET k") == "$1\r\nv\r\n");
  for (int i = 0; i < 10'000 && client.session->state == SessionState::kDeferred; i++) {
    fixture.Turn();
  }
  CHECK(client.Received() == "*2\r\n:1\r\n:0\r\n");
  CHECK(client("WAITAOF 1 0 0") == "*2\r\n:1\r\n:0\r\n");
  CHECK(client("WAITAOF 0 0 0") == "*2\r\n:1\r\n:0\r\n");
}

}  // namespace
}  // namespace redynamo
