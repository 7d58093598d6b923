// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

TEST_CASE("client eviction: the largest clients go until all fit, but not those with NO-EVICT") {
  ServerFixture fixture;
  TestClient small(fixture), large(fixture), larger(fixture), spared(fixture);
  CHECK(spared("CLIENT NO-EVICT on") == "+OK\r\n");
  std::string value(100'000, 'v');
  auto queue = [&](TestClient& client, int commands) {
    client("MULTI");
    for (int i = 0; i < commands; i++) client("SET k " + value);
  };
  queue(large, 3);
  queue(larger, 5);
  queue(spared, 9);
  fixture.Turn();
  CHECK(fixture.server->stats().evicted_clients == 0);  // no limit by default
  CHECK(small("CONFIG SET maxmemory-clients 1300000") == "+OK\r\n");
  fixture.Turn();
  CHECK(fixture.server->stats().evicted_clients == 1);
  CHECK(larger.session->close_now());
  CHECK_FALSE(large.session->close_now());
  CHECK(small("CONFIG SET maxmemory 10mb maxmemory-clients 5%") == "+OK\r\n");
  fixture.Turn();
  CHECK(large.session->close_now());
  CHECK_FALSE(spared.session->close_now());
}

}  // namespace
}  // namespace redynamo
