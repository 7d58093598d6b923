// SPDX-License-Identifier: Apache-2.0
// What is one command for the client, and the work of several nodes: on a ring of five with three
// replicas, so that no node has everything.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/resp_reader.h"
#include "tests/support/ring_of_servers.h"

namespace redynamo {
namespace {

std::string Number(int64_t n) { return ":" + std::to_string(n) + "\r\n"; }

std::vector<std::string> List(std::string_view* rest) {
  RespValue list, element;
  REQUIRE(ReadResp(rest, &list));
  REQUIRE(list.type == '*');
  std::vector<std::string> elements;
  for (uint64_t i = 0; i < list.items; i++) {
    REQUIRE(ReadResp(rest, &element));
    elements.emplace_back(element.text);
  }
  return elements;
}

std::vector<std::string> List(const std::string& reply) {
  std::string_view rest = reply;
  std::vector<std::string> elements = List(&rest);
  CHECK(rest.empty());
  return elements;
}

struct Scanned {
  std::string cursor;
  std::vector<std::string> keys;
};

Scanned Scan(RingClient& client, const std::string& request) {
  std::string reply = client(request);
  CAPTURE(reply);
  std::string_view rest = reply;
  RespValue pair, cursor;
  REQUIRE(ReadResp(&rest, &pair));
  REQUIRE(pair.items == 2);
  REQUIRE(ReadResp(&rest, &cursor));
  return {std::string(cursor.text), List(&rest)};
}

// One key for each node that coordinates something.
std::string KeysOfAll(const RingOfServers& ring) {
  std::string keys;
  for (int i = 0; i < ring.size(); i++) keys += " " + ring.KeyOf(i);
  return keys;
}

TEST_CASE("ring: commands of many keys are split by coordinator, and answered in order") {
  RingOfServers ring(5, 3);
  RingClient client(ring, 0), other(ring, 3);
  std::string pairs, keys = KeysOfAll(ring);
  for (int i = 0; i < 5; i++) pairs += " " + ring.KeyOf(i) + " v" + std::to_string(i);
  CHECK(client("MSET" + pairs) == "+OK\r\n");
  std::vector<std::string> values = {"v0", "v1", "v2", "v3", "v4", "", "v0"};
  CHECK(List(other("MGET" + keys + " absent " + ring.KeyOf(0))) == values);
  CHECK(client("EXISTS" + keys + " absent " + ring.KeyOf(4)) == Number(6));
  CHECK(other("TOUCH" + keys) == Number(5));
  CHECK(other("DEL " + ring.KeyOf(2) + " absent " + ring.KeyOf(3)) == Number(2));
  CHECK(client("UNLINK" + keys) == Number(3));
  CHECK(client("MGET" + keys) == "*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n");
  CHECK(client("MSET a 1 b") == "-ERR wrong number of arguments for 'mset' command\r\n");
  CHECK(client("HELLO 3").starts_with("%"));
  CHECK(client("MGET" + keys) == "*5\r\n_\r\n_\r\n_\r\n_\r\n_\r\n");
}

TEST_CASE("ring: a later command of a pipeline sees what an earlier one does elsewhere") {
  RingOfServers ring(5, 3, 7);
  RingClient client(ring, 0);
  std::string keys = KeysOfAll(ring);
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 5; i++) client.Send("SET " + ring.KeyOf(i) + " x");
    client.Send("EXISTS" + keys);
    for (int i = 0; i < 5; i++) client.Send("DEL " + ring.KeyOf(i));  // must look, so it is parked
    for (int i = 0; i < 5; i++) client.Send("SET " + ring.KeyOf(i) + " y");
    client.Send("MGET" + keys);
    client.Send("DBSIZE");
    client.Send("DEL" + keys);
    client.Send("GET " + ring.KeyOf(3));
    std::string reply = client("KEYS *");
    std::string ok = "+OK\r\n", y = "$1\r\ny\r\n";
    CHECK(reply == ok + ok + ok + ok + ok + Number(5) + Number(1) + Number(1) + Number(1) +
                       Number(1) + Number(1) + ok + ok + ok + ok + ok + "*5\r\n" + y + y + y + y +
                       y + Number(5) + Number(5) + "$-1\r\n*0\r\n");
  }
}

TEST_CASE("ring: a command that one node must do runs at a common home, else it is CROSSSLOT") {
  RingOfServers ring(7, 3);
  RingClient client(ring, 0);
  int done = 0, crossing = 0;
  std::string apart;
  for (int i = 0; i < 40; i++) {
    std::string from = "a" + std::to_string(i), to = "b" + std::to_string(i);
    const View& one = ring.document().views[size_t(PartitionOfSlot(KeySlot(from)))];
    const View& two = ring.document().views[size_t(PartitionOfSlot(KeySlot(to)))];
    bool common = std::any_of(one.homes.begin(), one.homes.end(),
                              [&](MemberIndex m) { return two.homes.Contains(m); });
    CHECK(client("SET " + from + " v") == "+OK\r\n");
    std::string reply = client("RENAME " + from + " " + to);
    CAPTURE(reply);
    if (common) {
      CHECK(reply == "+OK\r\n");
      CHECK(client("GET " + to) == "$1\r\nv\r\n");
      done++;
    } else {
      CHECK(reply.starts_with("-CROSSSLOT "));
      CHECK(client("GET " + from) == "$1\r\nv\r\n");
      crossing++;
      apart = "SET " + from + " w,SET " + to + " w";
    }
  }
  CHECK(done > 0);
  REQUIRE(crossing > 0);
  client.Send("MULTI");
  client.Send(apart.substr(0, apart.find(',')));
  client.Send(apart.substr(apart.find(',') + 1));
  CHECK(client("EXEC").ends_with(
      "-EXECABORT Transaction discarded because of: CROSSSLOT Keys in request don't hash to the "
      "same slot, and no node of the ring is a replica of all of them: give them one hash tag, as "
      "in {tag}key\r\n"));
}

TEST_CASE("ring: KEYS, DBSIZE, RANDOMKEY and SCAN cover all nodes' keys from any node") {
  int partitions = kPartitionsDefault;
  SUBCASE("as usual") {}
  SUBCASE("few partitions") { partitions = kPartitionsLeast; }
  SUBCASE("many partitions") { partitions = kPartitionsMost; }
  CAPTURE(partitions);
  RingOfServers ring(5, 3, 1, "", partitions);
  REQUIRE(ring.document().partitions() == partitions);
  RingClient client(ring, 0);
  CHECK(client("DBSIZE") == Number(0));
  CHECK(client("RANDOMKEY") == "$-1\r\n");
  CHECK(Scan(client, "SCAN 0").cursor == "0");
  std::set<std::string> all;
  for (int i = 0; i < 300; i++) {
    all.insert("key" + std::to_string(i));
    client.Send("SET key" + std::to_string(i) + " v");
  }
  client("SADD set a b");
  for (int n = 0; n < ring.size(); n++) {
    RingClient any(ring, n);
    CHECK(any("DBSIZE") == Number(301));
    std::vector<std::string> keys = List(any("KEYS key*"));
    CHECK(keys.size() == 300);
    CHECK(std::set<std::string>(keys.begin(), keys.end()) == all);
    CHECK(List(any("KEYS s?t")) == std::vector<std::string>{"set"});
    CHECK(Scan(any, "SCAN 0 COUNT 10000 TYPE set").keys == std::vector<std::string>{"set"});
    std::map<std::string, int> drawn;
    for (int i = 0; i < 200; i++) drawn[any("RANDOMKEY")]++;
    CHECK(drawn.size() > 100);
  }
  // Another node goes on with each cursor.
  std::vector<std::unique_ptr<RingClient>> clients;
  for (int n = 0; n < ring.size(); n++) clients.push_back(std::make_unique<RingClient>(ring, n));
  for (int count : {1, 7, 50, 1000}) {
    std::map<std::string, int> found;
    std::string cursor = "0";
    int calls = 0;
    do {
      RingClient& any = *clients[size_t(calls++ % ring.size())];
      Scanned part = Scan(any, "SCAN " + cursor + " MATCH key* COUNT " + std::to_string(count));
      for (const std::string& key : part.keys) found[key]++;
      CHECK(part.keys.size() <= size_t(count) * 5 + 20);
      cursor = part.cursor;
    } while (cursor != "0" && calls < 3000);
    CHECK(found.size() == 300);
    CHECK(std::ranges::all_of(found, [](const auto& entry) { return entry.second == 1; }));
    CHECK(calls < 2 * 300 / count + 1030);
  }
  CHECK(client("SCAN nonsense") == "-ERR invalid cursor\r\n");
  CHECK(Scan(client, "SCAN 9007199254740992").cursor == "0");  // beyond the last position
}

TEST_CASE("ring: SCAN gives every key that stays while nodes go and come") {
  int partitions = kPartitionsDefault;
  SUBCASE("as usual") {}
  SUBCASE("few partitions") { partitions = kPartitionsLeast; }
  CAPTURE(partitions);
  RingOfServers ring(5, 3, 3, "", partitions);
  RingClient client(ring, 0);
  for (int i = 0; i < 300; i++) client.Send("SET stable" + std::to_string(i) + " v");
  client("PING");
  int down = 0;
  for (int round = 0; round < 2; round++) {
    std::set<std::string> found;
    std::string cursor = "0";
    int calls = 0;
    do {
      if (calls % 8 == 2) {
        if (down) ring.Start(down);
        down = down ? 0 : 1 + (round + calls) % 4;
        if (down) ring.Stop(down);
      }
      std::string fickle = "fickle" + std::to_string(calls % 50);
      client.Send((calls % 3 ? "SET " : "GETDEL ") + fickle + (calls % 3 ? " v" : ""));
      client("PING");
      std::string reply = client("SCAN " + cursor + " COUNT 20");
      calls++;
      if (reply.starts_with("-TRYAGAIN") || reply.starts_with("-NOREPLICAS")) continue;
      std::string_view rest = reply;
      RespValue pair, next;
      CAPTURE(reply);
      REQUIRE((ReadResp(&rest, &pair) && pair.items == 2 && ReadResp(&rest, &next)));
      for (const std::string& key : List(&rest)) {
        if (key.starts_with("stable")) found.insert(key);
      }
      cursor = next.text;
    } while ((cursor != "0" || calls < 2) && calls < 3000);
    CHECK(found.size() == 300);
  }
  if (down) ring.Start(down);
}

TEST_CASE("ring: a home that was away answers for its share only after it has caught up") {
  RingOfServers ring(5, 3);
  RingClient client(ring, 0);
  auto healthy = [&] { return ring.node(0).node().Healthy(ring.node(2).id()); };
  int keys = 0;
  for (int round = 0; round < 8; round++) {
    ring.Stop(2);
    REQUIRE(ring.PassUntil([&] { return !healthy(); }));
    for (int i = 0; i < 100; i++, keys++) client.Send("SET key" + std::to_string(keys) + " v");
    client("PING");
    CHECK(client("DBSIZE") == Number(keys));
    ring.Start(2);
    REQUIRE(ring.StepUntil(healthy));  // at once it is asked again
    CHECK(client("DBSIZE") == Number(keys));
    CHECK(List(client("KEYS *")).size() == size_t(keys));
  }
}

TEST_CASE("ring: FLUSHDB clears one database on all nodes, FLUSHALL all of them") {
  RingOfServers ring(5, 3);
  RingClient client(ring, 0), other(ring, 4), second(ring, 2);
  second("SELECT 1");
  for (int i = 0; i < 100; i++) {
    client.Send("SET key" + std::to_string(i) + " v");
    second.Send("SET key" + std::to_string(i) + " v");
  }
  client("PING"), second("PING");
  CHECK(other("FLUSHDB") == "+OK\r\n");
  CHECK(client("DBSIZE") == Number(0));
  CHECK(second("DBSIZE") == Number(100));
  CHECK(client("FLUSHALL wrong") == "-ERR syntax error\r\n");
  CHECK(second("DBSIZE") == Number(100));
  CHECK(client("FLUSHALL") == "+OK\r\n");
  CHECK(second("DBSIZE") == Number(0));
  REQUIRE(ring.Settle());
  for (int i = 0; i < ring.size(); i++) {
    CHECK(ring.node(i).server().engine().Database(0).size() == 0);
    CHECK(ring.node(i).server().engine().Database(1).size() == 0);
  }
}

// The model's rule flush_asks_clocks: what was answered before is cleared, though the coordinator
// that clears had not seen it.
TEST_CASE("ring: FLUSHALL clears what R replicas have seen, not what one has") {
  RingOfServers ring(5, 3);
  RingClient client(ring, 0);
  auto healthy = [&] { return ring.node(0).node().Healthy(ring.node(3).id()); };
  for (int round = 0; round < 8; round++) {
    ring.Stop(3);
    REQUIRE(ring.PassUntil([&] { return !healthy(); }));
    for (int i = 0; i < 100; i++) client.Send("SET key" + std::to_string(i) + " v");
    client("PING");
    ring.Start(3);  // it has none of these, and coordinates some of them at once
    REQUIRE(ring.StepUntil(healthy));
    CHECK(client("FLUSHALL") == "+OK\r\n");
    CHECK(client("DBSIZE") == Number(0));
    REQUIRE(ring.Settle());
    for (int i = 0; i < ring.size(); i++) {
      CHECK(ring.node(i).server().engine().Database(0).size() == 0);
    }
  }
}

TEST_CASE("ring: what a part cannot do makes an error of the whole that says what is known") {
  RingOfServers ring(5, 3, 1, "ring-sloppy no\n");
  RingClient client(ring, 0);
  std::string keys = KeysOfAll(ring), pairs;
  for (int i = 0; i < 5; i++) pairs += " " + ring.KeyOf(i) + " v";
  CHECK(client("MSET" + pairs) == "+OK\r\n");
  // Node 4 is gone, and the first one does not know it yet.
  ring.Stop(4);
  client.Send("MGET" + keys);
  ring.PassUntil([&] { return client.idle(); });
  std::string reply = client.Take();
  CAPTURE(reply);
  CHECK((reply.starts_with("-TRYAGAIN node 127.0.0.1:7005") || reply.starts_with("*5\r\n")));
  // Now its partitions have other coordinators.
  CHECK(ring.PassUntil([&] { return !ring.node(0).node().Healthy(ring.node(4).id()); }));
  CHECK(client("MGET" + keys).starts_with("*5\r\n$1\r\nv"));
  CHECK(client("MSET" + pairs) == "+OK\r\n");
  CHECK(client("DBSIZE") == Number(5));
  CHECK(client("FLUSHALL") == "+OK\r\n");
  ring.Stop(3);
  ring.Stop(2);
  CHECK(ring.PassUntil([&] { return !ring.node(0).node().Healthy(ring.node(2).id()); }));
  CHECK(client("MSET" + pairs).starts_with("-NOREPLICAS "));
  CHECK(client("KEYS *").starts_with("-NOREPLICAS "));
  CHECK(client("SCAN 0").starts_with("-NOREPLICAS "));
}

TEST_CASE("ring: an error tells what is done, what is not, and what is unknown") {
  GatherPlan plan;
  plan.unit = "keys";
  for (uint64_t weight : {3, 2, 1}) plan.parts.push_back({Id128{uint8_t(weight)}, {}, {}, weight});
  auto name_of = [](const Id128& id) { return "n" + std::to_string(id[0]); };
  auto failure = [&](std::vector<PartOutcome> outcomes) {
    return FailureOf(plan, outcomes, name_of).value_or("none");
  };
  using enum ForwardOutcome::Kind;
  PartOutcome fine{kReply, "+OK\r\n"}, lost{kUnknown, ""}, busy{kNotDone, ""};
  PartOutcome refused{kReply, "-NOREPLICAS few\r\n"}, vague{kReply, "-QUORUM few\r\n"};
  PartOutcome wrong{kReply, "-ERR syntax error\r\n"};
  CHECK(failure({fine, fine, fine}) == "none");
  CHECK(failure({fine, lost, refused}) ==
        "TRYAGAIN node n2: it did not answer in time. Nothing was changed");
  CHECK(failure({fine, fine, refused}) == "NOREPLICAS few (says node n1)");
  plan.writes = true;
  CHECK(failure({busy, refused, busy}) ==
        "TRYAGAIN node n3: it cannot take commands now. Nothing was changed");
  CHECK(failure({wrong, wrong, wrong}) == "ERR syntax error");
  CHECK(failure({fine, lost, refused}) ==
        "QUORUM of 6 keys it is done for 3, not done for 1, and of 2 the outcome is unknown: it "
        "may take effect or not. Node n2: it did not answer in time");
  CHECK(failure({vague, refused, refused}) ==
        "QUORUM of 6 keys it is done for 0, not done for 3, and of 3 the outcome is unknown: it "
        "may take effect or not. Node n3: QUORUM few");
}

TEST_CASE("ring: commands on all keys are refused in a transaction where no node has them all") {
  RingOfServers ring(5, 3), small(3, 3);
  RingClient client(ring, 0), at_home(small, 0);
  for (RingClient* c : {&client, &at_home}) {
    CHECK((*c)("MULTI") == "+OK\r\n");
    CHECK((*c)("DBSIZE") == "+QUEUED\r\n");
  }
  CHECK(client("EXEC").starts_with("-EXECABORT Transaction discarded because of: CROSSSLOT "));
  CHECK(at_home("EXEC") == "*1\r\n:0\r\n");
}

TEST_CASE("ring: a transaction runs at a replica of its keys, whichever node takes it") {
  RingOfServers ring(5, 3);
  for (int n = 0; n < ring.size(); n++) {
    std::string key = "{" + ring.KeyOf(n, "tag") + "}";
    for (int at = 0; at < ring.size(); at++) {
      RingClient client(ring, at);
      client.Send("MULTI");
      client.Send("INCR " + key);
      client.Send("PING");
      client.Send("INCR " + key + "x");
      CHECK(client("EXEC") == "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n" + Number(at + 1) +
                                  "+PONG\r\n" + Number(at + 1));
      CHECK(client("INCR other") == Number(n * ring.size() + at + 1));  // outside of it again
      client.Send("MULTI");
      client.Send("INCR " + key + " wrong");
      CHECK(
          client("EXEC").ends_with("-EXECABORT Transaction discarded because of previous "
                                   "errors.\r\n"));
    }
  }
}

TEST_CASE("ring: what is published reaches subscribers of all nodes, once and in order") {
  RingOfServers ring(3, 3);
  RingClient publisher(ring, 0), listener(ring, 1), patterns(ring, 2), shard(ring, 2);
  listener("SUBSCRIBE news");
  patterns("PSUBSCRIBE n*");
  shard("SSUBSCRIBE news");
  for (int i = 0; i < 5; i++) {
    CHECK(publisher("PUBLISH news " + std::to_string(i)) == Number(0));  // receivers of this node
  }
  CHECK(publisher("SPUBLISH news s") == Number(0));
  ring.Rest();
  std::string messages, matches;
  for (int i = 0; i < 5; i++) {
    std::string digit = "$1\r\n" + std::to_string(i) + "\r\n";
    messages += "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n" + digit;
    matches += "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n" + digit;
  }
  CHECK(listener.Take() == messages);
  CHECK(patterns.Take() == matches);
  CHECK(shard.Take() == "*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$1\r\ns\r\n");
}

TEST_CASE("ring: keyspace events reach those nodes that ask for them, and no others") {
  RingOfServers ring(3, 3);
  RingClient writer(ring, 0), listener(ring, 1);
  auto sent = [&] {
    uint64_t total = 0;
    for (int i = 0; i < 3; i++) total += ring.node(i).ring().pubsub().sent();
    return total;
  };
  listener("PSUBSCRIBE __keyevent@*__:*");
  writer("SET " + ring.KeyOf(0) + " v");
  ring.Rest();
  CHECK(listener.Take().empty());  // its node is not configured to tell
  CHECK(sent() == 0);
  RingClient other(ring, 1);
  CHECK(other("CONFIG SET notify-keyspace-events E$g") == "+OK\r\n");
  ring.Rest();
  for (int i = 0; i < 3; i++) {
    std::string key = ring.KeyOf(i);
    writer("SET " + key + " v");
    ring.Rest();
    CHECK(listener.Take() ==
          "*4\r\n$8\r\npmessage\r\n$16\r\n__keyevent@*__:*\r\n$18\r\n"
          "__keyevent@0__:set\r\n$" +
              std::to_string(key.size()) + "\r\n" + key + "\r\n");
  }
  writer("SADD set a");  // a class that nobody asks for
  ring.Rest();
  CHECK(listener.Take().empty());
  CHECK(sent() == 2);  // the third was made where the listener is
  listener("PUNSUBSCRIBE");
  ring.Rest();
  writer("SET " + ring.KeyOf(0) + " v");
  ring.Rest();
  CHECK(sent() == 2);
  CHECK(writer("PUBLISH __keyevent@0__:set x") == Number(0));
}

}  // namespace
}  // namespace redynamo
