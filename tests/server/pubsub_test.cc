// SPDX-License-Identifier: Apache-2.0
#include "server/pubsub.h"

#include <doctest/doctest.h>

#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

TEST_CASE("pubsub: channels and patterns get messages, in the version's own form") {
  ServerFixture fixture;
  TestClient by_channel(fixture), by_pattern(fixture), sender(fixture);
  CHECK(by_channel("SUBSCRIBE news other") ==
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        "*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:2\r\n");
  by_pattern("HELLO 3");
  CHECK(by_pattern("PSUBSCRIBE n*") == ">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n");
  CHECK(sender("PUBLISH news hi") == ":2\r\n");
  CHECK(by_channel.Received() == "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
  CHECK(by_pattern.Received() == ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
  CHECK(sender("PUBLISH absent hi") == ":0\r\n");
  CHECK(sender("PUBSUB NUMSUB news absent") == "*4\r\n$4\r\nnews\r\n:1\r\n$6\r\nabsent\r\n:0\r\n");
  CHECK(sender("PUBSUB NUMPAT") == ":1\r\n");
}

TEST_CASE("pubsub: shard channels are a world of their own") {
  ServerFixture fixture;
  TestClient listener(fixture), sender(fixture);
  CHECK(listener("SSUBSCRIBE c") == "*3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n");
  CHECK(sender("PUBLISH c m") == ":0\r\n");
  CHECK(sender("SPUBLISH c m") == ":1\r\n");
  CHECK(listener.Received() == "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
  CHECK(sender("PUBSUB SHARDCHANNELS") == "*1\r\n$1\r\nc\r\n");
  CHECK(sender("PUBSUB CHANNELS") == "*0\r\n");
}

TEST_CASE("pubsub: unsubscribing from nothing is confirmed once with nil") {
  ServerFixture fixture;
  TestClient client(fixture);
  CHECK(client("UNSUBSCRIBE") == "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
  client("SUBSCRIBE a");
  client("PSUBSCRIBE b");
  CHECK(client("UNSUBSCRIBE") == "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n");
  CHECK(client("PUNSUBSCRIBE b") == "*3\r\n$12\r\npunsubscribe\r\n$1\r\nb\r\n:0\r\n");
  CHECK_FALSE(client.session->is_pubsub());
}

TEST_CASE("pubsub: a client that goes leaves no subscription behind") {
  ServerFixture fixture;
  {
    TestClient client(fixture);
    client("SUBSCRIBE a");
    client("PSUBSCRIBE a*");
    client("SSUBSCRIBE a");
    client.session.reset();
  }
  PubSub& pubsub = fixture.server->pubsub();
  CHECK(pubsub.channel_count() + pubsub.pattern_count() + pubsub.shard_channel_count() == 0);
  TestClient sender(fixture);
  CHECK(sender("PUBLISH a m") == ":0\r\n");
}

TEST_CASE("pubsub: keyspace events as notify-keyspace-events asks for them") {
  ServerFixture fixture;
  TestClient listener(fixture), writer(fixture);
  listener("PSUBSCRIBE __key*");
  writer("SET k v");
  CHECK(listener.Received().empty());
  std::pair<std::string_view, std::string_view> events("notify-keyspace-events", "KE$x");
  REQUIRE(fixture.settings.Set({&events, 1}).ok());
  writer("SET k v");
  std::string received = listener.Received();
  CHECK(received.find("__keyspace@0__:k\r\n$3\r\nset\r\n") != std::string::npos);
  CHECK(received.find("__keyevent@0__:set\r\n$1\r\nk\r\n") != std::string::npos);
  writer("DEL k");  // generic events were not asked for
  CHECK(listener.Received().empty());
  writer("SET k v PX 10");
  listener.Received();
  fixture.AdvanceMs(11);
  writer("GET k");
  CHECK(listener.Received().find("__keyevent@0__:expired") != std::string::npos);
}

TEST_CASE("pubsub: an event leaves with the write that caused it, not before") {
  ServerFixture fixture;
  std::pair<std::string_view, std::string_view> events("notify-keyspace-events", "KEA");
  REQUIRE(fixture.settings.Set({&events, 1}).ok());
  TestClient listener(fixture), writer(fixture);
  listener("PSUBSCRIBE *");
  writer.Send("SET k v");
  CHECK(listener.Received().empty());
  fixture.EndTurn();
  CHECK_FALSE(listener.Received().empty());
}

TEST_CASE("pubsub: MONITOR shows commands in their order, without secrets") {
  ServerFixture fixture;
  TestClient monitor(fixture), client(fixture);
  CHECK(monitor("MONITOR") == "+OK\r\n");
  client("MULTI");
  client("SET a\"b v");
  client("EXEC");
  client("AUTH default secret");
  std::string lines = monitor.Received();
  size_t set = lines.find("\"SET\" \"a\\\"b\" \"v\"\r\n");
  size_t exec = lines.find("\"EXEC\"");
  CHECK(lines.find("\"MULTI\"") < set);
  CHECK(set < exec);
  CHECK(exec != std::string::npos);
  CHECK(lines.find("secret") == std::string::npos);
  CHECK(lines.find("[0 " + client.session->identity.address + "]") != std::string::npos);
}

}  // namespace
}  // namespace redynamo
