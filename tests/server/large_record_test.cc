// SPDX-License-Identifier: Apache-2.0
// Commands whose record would exceed the log's limit (1 GiB; here far less): an error that says so,
// and nothing of the command is done.
#include <doctest/doctest.h>

#include "tests/support/server_fixture.h"

using namespace redynamo;

namespace {

constexpr uint64_t kLimit = 1 << 20;

struct SmallRecords : ServerFixture {
  SmallRecords() {
    max_record_bytes = kLimit;
    Restart();
  }
};

const std::string kBig(200'000, 'x');

bool TooLong(const std::string& reply) {
  return reply.starts_with("-ERR the changes of this command or transaction take up to");
}

}  // namespace

TEST_CASE("large record: MSET and a queue beyond the limit change nothing") {
  SmallRecords fixture;
  TestClient client(fixture);
  std::string mset = "MSET";
  for (int i = 0; i < 6; i++) mset += " k" + std::to_string(i) + " " + kBig;
  CHECK(TooLong(client(mset)));
  CHECK(client("DBSIZE") == ":0\r\n");
  client("MULTI");
  std::string last;
  for (int i = 0; i < 6; i++) last = client("SET k" + std::to_string(i) + " " + kBig);
  CHECK(TooLong(last));
  CHECK(client("EXEC").starts_with("-EXECABORT"));
  CHECK(client("DBSIZE") == ":0\r\n");
  CHECK(client("SET k " + kBig) == "+OK\r\n");
}

TEST_CASE("large record: what grows within a transaction fails alone, and the rest is whole") {
  SmallRecords fixture;
  TestClient client(fixture);
  client("SET a " + kBig);
  client("MULTI");
  for (int i = 0; i < 8; i++) client("COPY a c" + std::to_string(i));
  client("BITOP NOT d a");
  client("RENAME a e");
  client("SETBIT a 4000000 1");
  client("APPEND a tail");
  client("SET small 1");
  std::string replies = client("EXEC");
  CHECK(replies.starts_with("*13\r\n:1\r\n:1\r\n:1\r\n:1\r\n-ERR the changes"));
  CHECK(replies.ends_with("was done\r\n:0\r\n:500005\r\n+OK\r\n"));
  fixture.Restart();
  auto get = [&](const std::string& command) {
    client.resumed = 0;
    if (client.Send(command) == ExecuteResult::kParked) {
      while (client.resumed == 0) fixture.Turn();
    }
    fixture.EndTurn();
    return client.Received();
  };
  CHECK(get("STRLEN a") == ":500005\r\n");
  CHECK(get("GET small") == "$1\r\n1\r\n");
  CHECK(get("EXISTS c0 c1 c2 c3 c4 c5 c6 c7 d e") == ":4\r\n");
}

TEST_CASE("large record: unions, copies and renames of large collections") {
  SmallRecords fixture;
  TestClient client(fixture);
  for (int set = 0; set < 6; set++) {
    for (int part = 0; part < 10; part++) {
      std::string add = "SADD s" + std::to_string(set);
      for (int i = 0; i < 200; i++) {
        add += " " + std::string(100, char('a' + set)) + std::to_string(part * 200 + i);
      }
      REQUIRE(client(add) == ":200\r\n");
    }
  }
  CHECK(client("SUNIONSTORE two s0 s1") == ":4000\r\n");
  CHECK(TooLong(client("SUNIONSTORE all s0 s1 s2 s3 s4 s5 two")));
  CHECK(client("EXISTS all") == ":0\r\n");
  CHECK(client("COPY s0 copy") == ":1\r\n");
  std::string long_name(900, 'n');
  CHECK(TooLong(client("COPY s0 " + long_name)));
  CHECK(TooLong(client("RENAME s0 " + long_name)));
  CHECK(client("SCARD s0") == ":2000\r\n");
  CHECK(client("EXISTS " + long_name) == ":0\r\n");
  CHECK(client("RENAME s0 other") == "+OK\r\n");
  client("SELECT 3");
  client("SET k v");
  CHECK(client("FLUSHALL") == "+OK\r\n");
  CHECK(client("DBSIZE") == ":0\r\n");
}

TEST_CASE("large record: many namespaces are cleared by one record, or an error") {
  ServerFixture fixture;
  TestClient client(fixture);
  for (int database = 0; database < 4; database++) {
    client("SELECT " + std::to_string(database));
    for (int i = 0; i < 500; i++) client("SET k" + std::to_string(i) + " v");
  }
  fixture.max_record_bytes = 100'000;
  fixture.Restart();
  CHECK(TooLong(client("FLUSHALL")));
  CHECK(client("DBSIZE") == ":500\r\n");
  fixture.max_record_bytes = kMaxRecordBytes;
  fixture.Restart();
  uint64_t records = fixture.server->engine().Stats().log_records;
  CHECK(client("FLUSHALL") == "+OK\r\n");
  CHECK(fixture.server->engine().Stats().log_records == records + 1);
  CHECK(client("DBSIZE") == ":0\r\n");
}
