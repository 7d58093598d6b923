// SPDX-License-Identifier: Apache-2.0
#include "server/cluster_map.h"

#include <doctest/doctest.h>

#include "protocol/resp_writer.h"
#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

ClusterNode NodeAt(uint8_t n, std::string host = "10.0.0.1") {
  ClusterNode node;
  node.id = {n};
  node.host = std::move(host);
  node.port = uint16_t(7000 + n);
  node.ring_port = uint16_t(17000 + n);
  return node;
}

std::string Bytes(const Reply& reply, RespVersion version) {
  std::string bytes;
  WriteReply(reply, version, &bytes);
  return bytes;
}

std::string Digits(uint8_t n) { return Id128Digits({n}); }

// Three nodes; the second is slow, the third lost and without slots.
ClusterMap Three() {
  ClusterMap map;
  map.epoch = 9;
  map.made_unix_ms = 1'700'000'000'000;
  map.nodes = {NodeAt(1), NodeAt(2, "::2"), NodeAt(3)};
  map.nodes[0].self = true;
  map.nodes[1].answers = false;
  map.nodes[2].linked = map.nodes[2].answers = false;
  map.nodes[2].down = true;
  for (uint16_t slot = 0; slot < 10; slot++) AddSlot(slot, &map.nodes[slot == 5 ? 1 : 0]);
  for (uint16_t slot = 10; slot < 16384; slot++) AddSlot(slot, &map.nodes[1]);
  return map;
}

TEST_CASE("cluster map: neighbouring slots of a node are one range") {
  ClusterMap map = Three();
  CHECK(map.nodes[0].slots == std::vector<SlotRange>{{0, 4}, {6, 9}});
  CHECK(map.nodes[1].slots == std::vector<SlotRange>{{5, 5}, {10, 16383}});
  CHECK(map.nodes[2].slots.empty());
}

TEST_CASE("cluster map: SLOTS lists ranges in order, each with one node, as Redis writes it") {
  std::string id = Digits(1);
  std::string reply = Bytes(ClusterSlotsReply(Three()), RespVersion::kResp2);
  CHECK(reply.starts_with("*4\r\n*3\r\n:0\r\n:4\r\n*4\r\n$8\r\n10.0.0.1\r\n:7001\r\n$40\r\n" + id +
                          "\r\n*0\r\n*3\r\n:5\r\n:5\r\n*4\r\n$3\r\n::2\r\n:7002\r\n"));
  CHECK(Bytes(ClusterSlotsReply(Three()), RespVersion::kResp3).find(id + "\r\n%0\r\n") !=
        std::string::npos);
}

TEST_CASE("cluster map: SHARDS has one shard a node, as Redis writes it") {
  ClusterMap map = Three();
  std::string reply = Bytes(ClusterShardsReply(map), RespVersion::kResp2);
  CHECK(reply.starts_with(
      "*3\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:4\r\n:6\r\n:9\r\n$5\r\nnodes\r\n*1\r\n*14\r\n$2\r\n"
      "id\r\n$40\r\n" +
      Digits(1) +
      "\r\n$4\r\nport\r\n:7001\r\n$2\r\nip\r\n$8\r\n10.0.0.1\r\n$8\r\nendpoint\r\n$8\r\n10.0.0.1"
      "\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\n"
      "online\r\n*4\r\n"));
  CHECK(reply.find("$4\r\nfail\r\n") != std::string::npos);
  CHECK(reply.find("$5\r\nslots\r\n*0\r\n") != std::string::npos);
  CHECK(Bytes(ClusterShardsReply(map), RespVersion::kResp3).starts_with("*3\r\n%2\r\n"));
}

TEST_CASE("cluster map: NODES has Redis' lines") {
  CHECK(ClusterNodesText(Three()) ==
        Digits(1) + " 10.0.0.1:7001@17001 myself,master - 0 0 9 connected 0-4 6-9\n" +  //
            Digits(2) + " ::2:7002@17002 master,fail? - 0 1700000000000 9 connected 5 10-16383\n" +
            Digits(3) + " 10.0.0.1:7003@17003 master,fail - 0 0 9 disconnected\n");
}

TEST_CASE("cluster map: INFO says fail only when nothing can be served") {
  ClusterMap map = Three();
  map.slots_lost = 16;
  CHECK(ClusterInfoText(map, {5, 6, 7}) ==
        "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16368\r\n"
        "cluster_slots_pfail:0\r\ncluster_slots_fail:16\r\ncluster_known_nodes:3\r\n"
        "cluster_size:2\r\ncluster_current_epoch:9\r\ncluster_my_epoch:9\r\n"
        "cluster_stats_messages_sent:5\r\ncluster_stats_messages_received:6\r\n"
        "total_cluster_links_buffer_limit_exceeded:7\r\n");
  map.slots_lost = 16384;
  CHECK(ClusterInfoText(map, {}).starts_with("cluster_state:fail\r\n"));
  map.slots_lost = 0;
  map.formed = false;
  CHECK(ClusterInfoText(map, {}).starts_with("cluster_state:fail\r\ncluster_slots_assigned:0\r\n"));
}

TEST_CASE("cluster map: a node is found by its id and its digits") {
  ClusterMap map = Three();
  CHECK(map.Find(Id128{2}) == &map.nodes[1]);
  CHECK(map.Find(Digits(3)) == &map.nodes[2]);
  CHECK_FALSE(map.Find(Id128{4}));
  CHECK_FALSE(map.Find("abc"));
}

// --- the commands, on a ring of one ---

struct ClusterFixture : ServerFixture {
  ClusterFixture() { REQUIRE(settings.LoadText("cluster-port 7100\n", "the test").ok()); }
};

std::string OfClusterPort(TestClient& client, std::string_view line) {
  client.session->identity.cluster_client = true;
  return client(line);
}

TEST_CASE("cluster commands: without a cluster port they are refused as by Redis") {
  ServerFixture fixture;
  TestClient client(fixture);
  constexpr std::string_view kOff = "-ERR This instance has cluster support disabled\r\n";
  for (std::string_view line :
       {"CLUSTER KEYSLOT k", "CLUSTER INFO", "CLUSTER NODES", "CLUSTER HELP", "CLUSTER SLOTS",
        "CLUSTER GETKEYSINSLOT 1 1", "READONLY", "READWRITE", "ASKING", "CLUSTER RESET"}) {
    CHECK(client(line) == kOff);
  }
  CHECK(client("CLUSTER FOO") == "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP.\r\n");
  CHECK(client("CLUSTER KEYSLOT") ==
        "-ERR wrong number of arguments for 'cluster|keyslot' command\r\n");
}

TEST_CASE("cluster commands: a ring of one has all slots, at the address that was called") {
  ClusterFixture fixture;
  TestClient client(fixture);
  std::string id = Id128Digits(fixture.server->engine().NodeId());
  CHECK(client("CLUSTER SLOTS") ==
        "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:7100\r\n$40\r\n" + id +
            "\r\n*0\r\n");
  CHECK(client("CLUSTER NODES")
            .find(" 127.0.0.1:7100@16379 myself,master - 0 0 1 connected "
                  "0-16383\n") != std::string::npos);
  CHECK(client("CLUSTER MYID") == "$40\r\n" + id + "\r\n");
  CHECK(client("CLUSTER KEYSLOT foo{bar}") == ":5061\r\n");
  CHECK(client("CLUSTER LINKS") == "*0\r\n");
  CHECK(client("CLUSTER REPLICAS " + id) == "*0\r\n");
  CHECK(client("CLUSTER REPLICAS abc") == "-ERR Unknown node abc\r\n");
  CHECK(client("CLUSTER INFO").find("cluster_state:ok\r\n") != std::string::npos);
  client.session->identity.local_address = "[::1]:6379";
  CHECK(client("CLUSTER SLOTS").find("$3\r\n::1\r\n:7100\r\n") != std::string::npos);
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("CLUSTER SLOTS") == "+QUEUED\r\n");
  CHECK(client("EXEC").starts_with("*1\r\n*1\r\n*3\r\n:0\r\n:16383\r\n"));
}

TEST_CASE("cluster commands: what moves slots by hand is refused, and says why") {
  ClusterFixture fixture;
  TestClient client(fixture);
  CHECK(client("CLUSTER ADDSLOTS 1 2").starts_with("-ERR CLUSTER ADDSLOTS is not possible: "));
  CHECK(client("CLUSTER SET-CONFIG-EPOCH 1").starts_with("-ERR CLUSTER SET-CONFIG-EPOCH is not "));
  CHECK(client("CLUSTER MEET 127.0.0.1 7000").find("no ring port") != std::string::npos);
  CHECK(client("CLUSTER MEET 127.0.0.1 x") == "-ERR Invalid base port specified\r\n");
  CHECK(client("CLUSTER MEET 127.0.0.1 60000") == "-ERR Port number is out of range\r\n");
  CHECK(client("CLUSTER FORGET abc") == "-ERR Unknown node abc\r\n");
}

TEST_CASE("cluster commands: keys of a slot are counted and listed") {
  ClusterFixture fixture;
  TestClient client(fixture);
  for (int i = 0; i < 5; i++) client("SET {bar}" + std::to_string(i) + " v");
  client("SET other v");
  CHECK(client("CLUSTER COUNTKEYSINSLOT 5061") == ":5\r\n");
  CHECK(client("CLUSTER COUNTKEYSINSLOT 5060") == ":0\r\n");
  std::string all = client("CLUSTER GETKEYSINSLOT 5061 100");
  CHECK(all.starts_with("*5\r\n"));
  for (int i = 0; i < 5; i++) CHECK(all.find("{bar}" + std::to_string(i)) != std::string::npos);
  CHECK(client("CLUSTER GETKEYSINSLOT 5061 2").starts_with("*2\r\n"));
  CHECK(client("CLUSTER GETKEYSINSLOT 5061 0") == "*0\r\n");
  CHECK(client("CLUSTER GETKEYSINSLOT 5060 10") == "*0\r\n");
  CHECK(client("CLUSTER COUNTKEYSINSLOT 16384") == "-ERR Invalid slot\r\n");
  CHECK(client("CLUSTER COUNTKEYSINSLOT x") == "-ERR value is not an integer or out of range\r\n");
  CHECK(client("CLUSTER GETKEYSINSLOT 16384 1") == "-ERR Invalid slot or number of keys\r\n");
  CHECK(client("CLUSTER GETKEYSINSLOT 1 -1") == "-ERR Invalid slot or number of keys\r\n");
}

TEST_CASE("cluster port: only its clients are told that this is a cluster") {
  ClusterFixture fixture;
  TestClient plain(fixture), cluster(fixture);
  CHECK(plain("HELLO").find("$10\r\nstandalone\r\n") != std::string::npos);
  CHECK(OfClusterPort(cluster, "HELLO").find("$7\r\ncluster\r\n") != std::string::npos);
  CHECK(plain("INFO").find("redis_mode:standalone\r\n") != std::string::npos);
  CHECK(plain("INFO").find("cluster_enabled:0\r\n") != std::string::npos);
  CHECK(cluster("INFO").find("redis_mode:cluster\r\n") != std::string::npos);
  CHECK(cluster("INFO").find("cluster_enabled:1\r\n") != std::string::npos);
  CHECK(cluster("READONLY") == "+OK\r\n");
  CHECK(cluster("CLIENT INFO").find(" flags=r ") != std::string::npos);
  CHECK(cluster("RESET") == "+RESET\r\n");
  CHECK_FALSE(cluster.session->readonly);
}

TEST_CASE("cluster port: keys of a command, or of a transaction, must be of one slot") {
  ClusterFixture fixture;
  TestClient plain(fixture), client(fixture);
  constexpr std::string_view kCross = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
  CHECK(plain("MSET a 1 b 2") == "+OK\r\n");
  CHECK(OfClusterPort(client, "MSET a 1 b 2") == kCross);
  CHECK(client("MGET a b") == kCross);
  CHECK(client("WATCH a b") == kCross);
  CHECK(client("MGET {x}a {x}b") == "*2\r\n$-1\r\n$-1\r\n");
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("MGET a b") == kCross);
  CHECK(client("EXEC") == "-EXECABORT Transaction discarded because of previous errors.\r\n");
  CHECK(client("MULTI") == "+OK\r\n");
  CHECK(client("GET a") == "+QUEUED\r\n");
  CHECK(client("GET b") == "+QUEUED\r\n");
  CHECK(client("EXEC") == kCross);
  CHECK(client("EXEC") == "-ERR EXEC without MULTI\r\n");
  CHECK(client("SELECT 1") == "-ERR SELECT is not allowed in cluster mode\r\n");
  CHECK(client("SELECT 0") == "+OK\r\n");
  CHECK(client("SWAPDB 0 1") == "-ERR SWAPDB is not allowed in cluster mode\r\n");
  CHECK(client("MOVE a 1") == "-ERR MOVE is not allowed in cluster mode\r\n");
  CHECK(client("COPY a a DB 1") ==
        "-ERR Copying to another database is not allowed in cluster mode\r\n");
}

}  // namespace
}  // namespace redynamo
