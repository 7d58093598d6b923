// SPDX-License-Identifier: Apache-2.0
#include "server/session.h"

#include <doctest/doctest.h>

#include "tests/support/server_fixture.h"

namespace redynamo {
namespace {

TEST_CASE("session: a client killed while its answer is put off no longer counts as blocked") {
  ServerFixture fixture;
  ClientRegistry& clients = fixture.server->clients();
  for (bool at_once : {true, false}) {
    TestClient client(fixture);
    DeferredReply later = client.session->Defer();
    CHECK(clients.deferred_count == 1);
    at_once ? client.session->CloseNow() : client.session->CloseAfterReplies();
    CHECK(clients.deferred_count == 0);
    fixture.server->Answer(later, Reply::Ok());
    CHECK(client.Received() == "");
    client.session.reset();
    CHECK(clients.deferred_count == 0);
  }
}

}  // namespace
}  // namespace redynamo
