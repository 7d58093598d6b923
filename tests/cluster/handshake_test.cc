// SPDX-License-Identifier: Apache-2.0
#include "cluster/handshake.h"

#include <doctest/doctest.h>

using namespace redynamo;

namespace {

Id128 Id(uint8_t first) { return {first}; }

wire::Hello NodeHello(uint8_t node) {
  return {.cluster_id = Id(9), .node_id = Id(node), .process = 100u + node, .partitions = 1024};
}

struct Case {
  const char* what;
  wire::Hello theirs;
  HelloVerdict verdict;
  const char* reason;
};

wire::Hello With(wire::Hello hello, void (*change)(wire::Hello*)) {
  change(&hello);
  return hello;
}

}  // namespace

TEST_CASE("handshake: a Hello is welcome or refused for a named reason, alike on both sides") {
  wire::Hello self = NodeHello(1), other = NodeHello(2);
  const Case cases[] = {
      {"the same ring", other, HelloVerdict::kWelcome, ""},
      {"no ring yet", With(other, [](auto* h) { h->cluster_id = {}; }), HelloVerdict::kWelcome, ""},
      {"another ring", With(other, [](auto* h) { h->cluster_id = Id(8); }), HelloVerdict::kRefused,
       "it belongs to ring 08000000, this node to ring 09000000"},
      {"this process", self, HelloVerdict::kSelf, ""},
      {"a copy", With(self, [](auto* h) { h->process++; }), HelloVerdict::kRefused,
       "another process runs with this node's id: was the data directory copied?"},
      {"nobody", With(other, [](auto* h) { h->node_id = {}; }), HelloVerdict::kRefused,
       "it does not say who it is"},
      {"no process", With(other, [](auto* h) { h->process = 0; }), HelloVerdict::kRefused,
       "it does not say who it is"},
      {"newer, and understands us", With(other, [](auto* h) { h->version = 7; }),
       HelloVerdict::kWelcome, ""},
      {"newer, and does not", With(other, [](auto* h) { h->version = h->oldest_version = 7; }),
       HelloVerdict::kRefused,
       "it speaks versions 7 to 7 of the ring's messages, this node 1 to 1"},
      {"too old", With(other, [](auto* h) { h->version = h->oldest_version = 0; }),
       HelloVerdict::kRefused,
       "it speaks versions 0 to 0 of the ring's messages, this node 1 to 1"},
      {"other partitions", With(other, [](auto* h) { h->partitions = 256; }),
       HelloVerdict::kRefused,
       "it has 256 partitions, this node 1024: give both the same ring-partitions, and the newer "
       "of "
       "them an empty directory"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    HelloCheck check = CheckHello(self, c.theirs);
    CHECK(check.verdict == c.verdict);
    CHECK(check.reason == c.reason);
    if (self.process != 0 && c.theirs.process != 0 && c.theirs.node_id != Id128{}) {
      CHECK(CheckHello(c.theirs, self).verdict == c.verdict);
    }
  }
}

TEST_CASE("handshake: of a double dial exactly one is kept, the same seen from both ends") {
  CHECK(KeepsDialOf(Id(1), Id(2)));
  CHECK(!KeepsDialOf(Id(2), Id(1)));
}
