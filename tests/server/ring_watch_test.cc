// SPDX-License-Identifier: Apache-2.0
#include "server/ring_watch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/ring_of_servers.h"

namespace redynamo {
namespace {

// MULTI, one command and EXEC; the reply to EXEC alone.
std::string Transact(RingClient& client, const std::string& command) {
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client(command) == "+QUEUED\r\n");
  return client("EXEC");
}

// A node that is no replica of the key.
int Stranger(RingOfServers& ring, const std::string& key) {
  uint16_t slot = KeySlot(key);
  for (int i = 0; i < ring.size(); i++) {
    if (!ring.node(i).node().PlaceOf(PartitionOfSlot(slot)).self_reads) return i;
  }
  FAIL("every node is a replica");
  return -1;
}

constexpr const char* kNil = "*-1\r\n";

}  // namespace

TEST_CASE("ring: WATCH sees what other nodes coordinate, at any node") {
  RingOfServers ring(5, 3);
  for (int n = 0; n < ring.size(); n++) {
    std::string key = ring.KeyOf(n);
    for (int at = 0; at < ring.size(); at++) {
      RingClient client(ring, at), other(ring, (at + 1) % ring.size());
      CHECK(client("WATCH " + key) == "+OK\r\n");
      CHECK(other("SET " + key + " other") == "+OK\r\n");
      client.Send("MULTI");
      client.Send("SET " + key + " mine");
      CHECK(client("EXEC") == "+OK\r\n+QUEUED\r\n*-1\r\n");
      CHECK(client("WATCH " + key) == "+OK\r\n");
      client.Send("MULTI");
      client.Send("SET " + key + " mine");
      CHECK(client("EXEC") == "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
      CHECK(other("GET " + key) == "$4\r\nmine\r\n");
    }
  }
}

TEST_CASE("ring: every change of a key watched from elsewhere fails EXEC, and nothing else does") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(0), beside = "{" + key + "}beside";
  int stranger = Stranger(ring, key);
  struct Change {
    const char *before, *change;
    bool fails;
  };
  // "K" stands for the key.
  const Change changes[] = {
      {"", "SET K v", true},
      {"SET K v", "SET K v", true},
      {"SET K v", "APPEND K w", true},
      {"SET K v", "SETRANGE K 0 w", true},
      {"SET K v", "DEL K", true},
      {"SET K v", "EXPIRE K 100", true},
      {"SETEX K 100 v", "PERSIST K", true},
      {"SET K 1", "INCR K", true},
      {"INCR K", "DECR K", true},
      {"HSET K f v", "HSET K f w", true},
      {"HSET K f v", "HDEL K f", true},
      {"HINCRBY K f 1", "HINCRBY K f 1", true},
      {"SADD K m", "SADD K n", true},
      {"SADD K m n", "SREM K n", true},
      {"SET K v", "RENAME K {K}new", true},
      {"SET K v", "FLUSHALL", true},
      {"SET K v", "GET K", false},
      {"SET K v", "TOUCH K", false},
      {"SADD K m", "SADD K m", false},
      {"SADD K m", "SREM K n", false},
      {"SET K v", "SET {K}other w", false},
      {"", "DEL K", false},
  };
  auto with_key = [&key](std::string command) {
    for (size_t at; (at = command.find(" K")) != std::string::npos;)
      command.replace(at + 1, 1, key);
    for (size_t at; (at = command.find("{K}")) != std::string::npos;) {
      command.replace(at, 3, "{" + key + "}");
    }
    return command;
  };
  for (const Change& change : changes) {
    CAPTURE(change.before);
    CAPTURE(change.change);
    RingClient client(ring, stranger), other(ring, (stranger + 1) % ring.size());
    other("DEL " + key);
    if (*change.before) other(with_key(change.before));
    CHECK(client("WATCH " + key) == "+OK\r\n");
    CHECK_FALSE(other(with_key(change.change)).starts_with("-"));
    CHECK(Transact(client, "SET " + beside + " v") == (change.fails ? kNil : "*1\r\n+OK\r\n"));
    CHECK(Transact(client, "SET " + beside + " v") == "*1\r\n+OK\r\n");  // watched no more
  }
}

TEST_CASE("ring: what ends WATCH on one node ends it where the key is elsewhere") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(0);
  RingClient client(ring, Stranger(ring, key)), other(ring, 0);
  for (const char* end : {"UNWATCH", "DISCARD", "RESET"}) {
    CAPTURE(end);
    CHECK(client("WATCH " + key) == "+OK\r\n");
    other("SET " + key + " other");
    if (std::string(end) == "DISCARD") client("MULTI");
    client(end);
    CHECK(client.session->watched.empty());
    CHECK(client.session->server().watches().watching_clients() == 0);
    CHECK(Transact(client, "SET " + key + " mine") == "*1\r\n+OK\r\n");
  }
  CHECK(client("WATCH " + key) == "+OK\r\n");
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("WATCH " + key) == "-ERR WATCH inside MULTI is not allowed\r\n");
  CHECK(client("EXEC") == "*0\r\n");  // of nothing, and nothing has changed
  CHECK(client("WATCH " + key) == "+OK\r\n");
  other("SET " + key + " other");
  CHECK(client("WATCH " + key) == "+OK\r\n");  // the first one counts
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("EXEC") == kNil);
}

TEST_CASE("ring: a key watched from elsewhere that expires fails EXEC") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(0);
  RingClient client(ring, Stranger(ring, key)), other(ring, 0);
  CHECK(other("SET " + key + " v PX 60000") == "+OK\r\n");
  CHECK(client("WATCH " + key) == "+OK\r\n");
  ring.Pass(61'000);
  CHECK(Transact(client, "SET " + key + " mine") == kNil);
  CHECK(client("WATCH " + key) == "+OK\r\n");
  CHECK(Transact(client, "SET " + key + " mine") == "*1\r\n+OK\r\n");
}

TEST_CASE("ring: keys of several nodes are watched at once") {
  RingOfServers ring(5, 3);
  // Any node has some of these and some not; EXEC needs one that has all, so they are of one tag.
  std::string tag = ring.KeyOf(2), all = "WATCH";
  for (int i = 0; i < 5; i++) all += " {" + tag + "}" + std::to_string(i);
  int stranger = Stranger(ring, tag);
  RingClient client(ring, stranger), other(ring, (stranger + 1) % ring.size());
  CHECK(client(all) == "+OK\r\n");
  CHECK(client.session->watched.size() == 5);
  CHECK(Transact(client, "INCR {" + tag + "}0") == "*1\r\n:1\r\n");
  CHECK(client(all) == "+OK\r\n");
  CHECK(other("SADD {" + tag + "}4 m") == ":1\r\n");
  CHECK(Transact(client, "INCR {" + tag + "}0") == kNil);
  std::string of_all = "WATCH";
  for (int i = 0; i < 5; i++) of_all += " " + ring.KeyOf(i);
  CHECK(client(of_all) == "+OK\r\n");
  CHECK(client.session->watched.size() == 5);
  CHECK(Transact(client, "INCR " + tag).starts_with("-EXECABORT "));  // no node has them all
}

TEST_CASE("ring: EXEC of what was watched runs at another replica when the first has died") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(0);
  int stranger = Stranger(ring, key);
  RingClient client(ring, stranger);
  for (bool changes : {false, true}) {
    CHECK(client("SET " + key + " before") == "+OK\r\n");
    CHECK(client("WATCH " + key) == "+OK\r\n");
    Id128 coordinator = *ring.node(stranger).node().CoordinatorOf(PartitionOfSlot(KeySlot(key)));
    int gone = 0;
    while (ring.node(gone).id() != coordinator) gone++;
    ring.Stop(gone);
    REQUIRE(ring.PassUntil([&] { return !ring.node(stranger).node().Healthy(coordinator); }));
    if (changes) CHECK(client("SET " + key + " other") == "+OK\r\n");  // its own counts as well
    CHECK(Transact(client, "SET " + key + " mine") == (changes ? kNil : "*1\r\n+OK\r\n"));
    ring.Start(gone);
    REQUIRE(ring.PassUntil([&] { return ring.node(stranger).node().Healthy(coordinator); }));
  }
}

TEST_CASE("ring: clients of all nodes that count by WATCH lose no count") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(3);
  std::vector<std::unique_ptr<RingClient>> clients;
  for (int i = 0; i < ring.size(); i++) clients.push_back(std::make_unique<RingClient>(ring, i));
  int done = 0, failed = 0;
  for (int round = 0; round < 20; round++) {
    std::vector<int> next;
    for (auto& client : clients) {
      CHECK((*client)("WATCH " + key) == "+OK\r\n");
      std::string shown = (*client)("GET " + key);
      next.push_back(shown == "$-1\r\n" ? 1 : 1 + std::stoi(shown.substr(shown.find('\n') + 1)));
    }
    // All at once: the EXECs are under way together.
    for (size_t i = 0; i < clients.size(); i++) {
      clients[i]->Send("MULTI");
      clients[i]->Send("SET " + key + " " + std::to_string(next[i]));
      clients[i]->Send("EXEC");
    }
    REQUIRE(ring.PassUntil(
        [&] { return std::ranges::all_of(clients, [](auto& client) { return client->idle(); }); }));
    for (auto& client : clients) {
      std::string reply = client->Take();
      done += reply.ends_with("*1\r\n+OK\r\n");
      failed += reply.ends_with(kNil);
    }
  }
  CHECK(done == 20);  // one of each round
  CHECK(done + failed == 100);
  CHECK((*clients[0])("GET " + key) == "$2\r\n20\r\n");
}

TEST_CASE("ring: a node of an older version is not asked to watch") {
  RingOfServers ring(5, 3);
  std::string key = ring.KeyOf(0);
  int stranger = Stranger(ring, key);
  for (int i = 0; i < ring.size(); i++) {
    if (i == stranger) continue;
    ring.Stop(i);
    ring.node(i).capabilities = kCapabilities & ~uint64_t(kWatches);
    ring.Start(i);
  }
  const Node& node = ring.node(stranger).node();
  REQUIRE(ring.PassUntil([&] {
    for (int i = 0; i < ring.size(); i++) {
      const Id128& id = ring.node(i).id();
      if (i != stranger && (node.Shares(id, kWatches) || !node.Healthy(id))) return false;
    }
    return true;
  }));
  RingClient client(ring, stranger);
  std::string reply = client("WATCH " + key);
  CHECK_MESSAGE(reply.starts_with("-CROSSSLOT this node is no replica of the key, and the"), reply);
  CHECK(client.session->watched.empty());
  CHECK(Transact(client, "SET " + key + " v") == "*1\r\n+OK\r\n");
}

TEST_CASE("ring: words of what is watched that do not fit are refused") {
  RingOfServers ring(3, 3);
  RingClient client(ring, 0);
  Server& server = ring.node(0).server();
  using Words = std::vector<std::string_view>;
  const Words malformed[] = {{},
                             {"x"},
                             {"1"},
                             {"1", "0", "k"},
                             {"2", "0", "k", "1", "0", "l"},
                             {"1", "16", "k", "1"},
                             {"1", "-1", "k", "1"},
                             {"1", "0", "k", "one"},
                             {"18446744073709551615", "0", "k", "1"}};
  for (const Words& words : malformed) {
    CHECK_FALSE(TakeWatchedWords(server, *client.session, words).has_value());
  }
  server.watches().UnwatchAll(*client.session);
  Words good = {"2", "0", "k", "7", "15", "l", "0", "2", "GET", "k"};
  auto rest = TakeWatchedWords(server, *client.session, good);
  REQUIRE(rest.has_value());
  CHECK(rest->size() == 3);
  CHECK(WatchedWords(*client.session) ==
        std::vector<std::string>{"2", "0", "k", "7", "15", "l", "0"});
}

}  // namespace redynamo
