// SPDX-License-Identifier: Apache-2.0
// Versions of a string that clients write by contexts: what a context covers is replaced, on every
// node and whatever comes first, and nothing else is.
#include "storage/siblings.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/support/join_nodes.h"

namespace redynamo {
namespace {

Siblings Get(JoinNode& node, std::string_view key) {
  Siblings out;
  node.Do([&](Keyspace keys) {
    StringView view = keys.String(key);
    if (view.exists()) out = view.siblings();
  });
  return out;
}

std::vector<std::string> Values(JoinNode& node, std::string_view key) {
  std::vector<std::string> values = Get(node, key).values;
  std::sort(values.begin(), values.end());
  return values;
}

struct Written {
  std::string record, context;
  Status status;
};

Written Put(JoinNode& node, std::string_view key, std::string_view context, std::string_view value,
            int64_t now_ms = kJoinNowMs) {
  Written out;
  out.record = node.Do(
      [&](Keyspace keys) {
        Result<std::string> put = keys.String(key).PutSibling(context, value);
        if (put.ok()) out.context = *put;
        if (!put.ok()) out.status = put.status();
      },
      now_ms);
  return out;
}

std::string Set(JoinNode& node, std::string_view key, std::string_view value) {
  return node.Do([&](Keyspace keys) { keys.String(key).Set(value); });
}

using Texts = std::vector<std::string>;

TEST_CASE("siblings: two writes with one context stand side by side, one with both replaces both") {
  JoinNode a(2, 0), b(2, 1);
  Written first = Put(a, "k", "", "v");
  b.Join(first.record);
  Written x = Put(a, "k", first.context, "x"), y = Put(b, "k", first.context, "y", kJoinNowMs + 5);
  CHECK(Values(a, "k") == Texts{"x"});
  a.Join(y.record);
  b.Join(x.record);
  for (JoinNode* node : {&a, &b}) {
    CHECK(Get(*node, "k").values == Texts{"y", "x"});  // the later one is shown
    CHECK(node->Get("k") == "y");
  }
  CHECK(Get(a, "k").context == Get(b, "k").context);
  Written z = Put(b, "k", Get(b, "k").context, "z");
  a.Join(z.record);
  for (JoinNode* node : {&a, &b}) {
    CHECK(Get(*node, "k").values == Texts{"z"});
    CHECK(Get(*node, "k").context == z.context);
    CHECK(node->Rows("k").irregular_keys == 0);
  }
}

TEST_CASE("siblings: who has seen nothing replaces nothing, also on one node") {
  JoinNode node(1, 0);
  Written x = Put(node, "k", "", "x"), y = Put(node, "k", "", "y");
  CHECK(Values(node, "k") == Texts{"x", "y"});
  Put(node, "k", x.context, "z");
  CHECK(Values(node, "k") == Texts{"y", "z"});
  Put(node, "k", x.context, "again");  // x has gone already
  CHECK(Values(node, "k") == Texts{"again", "y", "z"});
  Put(node, "k", y.context, "w");
  CHECK(Values(node, "k") == Texts{"again", "w", "z"});
  Set(node, "k", "plain");
  CHECK(Values(node, "k") == Texts{"plain"});
}

TEST_CASE("siblings: a plain write replaces what its node has seen, and no more") {
  JoinNode a(2, 0), b(2, 1);
  Written x = Put(a, "k", "", "x"), y = Put(b, "k", "", "y");
  std::string plain = Set(a, "k", "plain");
  a.Join(y.record);
  b.Join(plain);
  b.Join(x.record);  // late
  CHECK(Values(a, "k") == Texts{"plain", "y"});
  CHECK(Values(b, "k") == Texts{"plain", "y"});
}

TEST_CASE("siblings: a version that was changed in place since it was read stays") {
  JoinNode node(1, 0);
  auto add = [](Keyspace keys) { CHECK(keys.String("n").Add(1).ok()); };
  Set(node, "n", "5");
  node.Do(add);
  Siblings read = Get(node, "n");
  CHECK(read.values == Texts{"6"});
  node.Do(add);
  Put(node, "n", read.context, "100");
  CHECK(Values(node, "n") == Texts{"100", "7"});
  Put(node, "n", Get(node, "n").context, "1");
  CHECK(Values(node, "n") == Texts{"1"});

  std::string text(10'000, 'a');
  Set(node, "long", text);
  read = Get(node, "long");
  node.Do([](Keyspace keys) { keys.String("long").Overwrite(5000, "b"); });
  text[5000] = 'b';
  Put(node, "long", read.context, "short");
  CHECK(Values(node, "long") == Texts{text, "short"});
  node.Checkpoint();
  node.Crash();
  Row* row;
  REQUIRE(node.engine->LoadNow(0, "long", &row).ok());
  CHECK(Values(node, "long") == Texts{text, "short"});
  Put(node, "long", Get(node, "long").context, "end");
  CHECK(Values(node, "long") == Texts{"end"});
  CHECK(node.Rows("long").irregular_keys == 0);
}

TEST_CASE("siblings: increments on nothing are one version, and add up with a written one") {
  JoinNode a(2, 0), b(2, 1);
  auto add = [](Keyspace keys) { CHECK(keys.String("n").Add(3).ok()); };
  std::string one = a.Do(add), other = b.Do(add);
  a.Join(other);
  CHECK(Get(a, "n").values == Texts{"6"});
  Written put = Put(a, "n", Get(a, "n").context, "10");
  b.Join(one);
  std::string more = b.Do(add);  // has not seen the write
  b.Join(put.record);
  a.Join(more);
  CHECK(a.Get("n") == b.Get("n"));
  CHECK(Values(a, "n") == Values(b, "n"));
  CHECK(Get(a, "n").values.size() == 1);
}

TEST_CASE("siblings: what the context covers does not live when it comes later") {
  JoinNode a(3, 0), b(3, 1), c(3, 2);
  std::string known = Set(b, "other{k}", "v");  // so that c knows of b
  c.Join(known);
  Written x = Put(b, "k", "", "x");
  Written y = Put(c, "k", x.context, "y");
  REQUIRE(y.status.ok());
  CHECK(Values(c, "k") == Texts{"y"});
  c.Join(x.record);
  CHECK(Values(c, "k") == Texts{"y"});
  CHECK(c.Rows("k").irregular_keys == 0);
  a.Join(y.record);
  a.Join(x.record);
  a.Join(known);
  CHECK(Values(a, "k") == Texts{"y"});
}

TEST_CASE("siblings: a context that nobody can have read changes nothing") {
  JoinNode node(2, 0), other(2, 1);
  Set(node, "k", "v");
  std::string context = Get(node, "k").context;
  auto refused = [&](std::string_view bytes) {
    Written put = Put(node, "k", bytes, "w");
    return !put.status.ok() && put.record.empty() && node.Get("k") == "v";
  };
  for (size_t i = 0; i < context.size(); i++) {
    std::string damaged = context;
    damaged[i] = char(damaged[i] ^ 0x10);
    CHECK(refused(damaged));
    if (i > 0) CHECK(refused(context.substr(0, i)));
  }
  CHECK(refused(context + "x"));
  Set(node, "k2", "v");
  CHECK(refused(Get(node, "k2").context));
  CHECK(refused(std::string(kContextBytesMax + 1, 'x')));
  uint16_t ns = node.engine->NamespaceOf(0);
  Id128 self = node.engine->identity_.actors[0], stranger{};
  stranger[3] = 77;
  CHECK(refused(EncodeContext(ns, "k", {{{self, 1000}, 0}})));  // own, and never made
  CHECK(refused(EncodeContext(ns, "k", {{{stranger, 1}, 0}})));
  CHECK(refused(EncodeContext(ns, "k", {{{self, 0}, 0}})));
  CHECK_FALSE(refused(context));
}

TEST_CASE("siblings: a key has no more than a hundred by this way") {
  JoinNode node(1, 0);
  for (size_t i = 0; i < kSiblingsMax; i++) {
    REQUIRE(Put(node, "k", "", std::to_string(i)).status.ok());
  }
  Siblings all = Get(node, "k");
  CHECK(all.values.size() == kSiblingsMax);
  Written refused = Put(node, "k", "", "x");
  CHECK(refused.status.message().starts_with("ERR the key has 100 concurrent versions"));
  CHECK(refused.record.empty());
  CHECK(Put(node, "k", all.context, "x").status.ok());
  CHECK(Values(node, "k") == Texts{"x"});
}

TEST_CASE("siblings: a version beside one that is on disk only survives a crash with it") {
  JoinNode node(1, 0);
  Set(node, "k", "cold");
  node.Checkpoint();
  node.Crash();
  Row* row = nullptr;
  REQUIRE(node.engine->LoadNow(0, "k", &row).ok());
  REQUIRE(Put(node, "k", "", "beside").status.ok());
  CHECK(Values(node, "k") == Texts{"beside", "cold"});
  node.Crash();
  CHECK(Values(node, "k") == Texts{"beside", "cold"});
  CHECK(node.engine->Ns(0).live == 1);
}

TEST_CASE("siblings: of one transaction the later version of a key counts") {
  JoinNode a(2, 0), b(2, 1);
  Written x = Put(a, "k", "", "x");
  b.Join(x.record);
  std::string both = a.Do([](Keyspace keys) {
    CHECK(keys.String("k").PutSibling("", "y").ok());
    CHECK(keys.String("k").PutSibling("", "z").ok());
  });
  b.Join(both);
  CHECK(Values(a, "k") == Texts{"x", "z"});
  CHECK(Values(b, "k") == Texts{"x", "z"});
  a.Crash();
  CHECK(Values(a, "k") == Texts{"x", "z"});
}

TEST_CASE("siblings: a written version has no deadline, and takes that of none") {
  JoinNode node(1, 0);
  node.Do([](Keyspace keys) { keys.String("k").Set("v", DeadlineChange::At(kJoinNowMs + 9000)); });
  std::string context = Get(node, "k").context;
  Put(node, "k", context, "w");
  node.Do([](Keyspace keys) { CHECK(keys.Find("k").deadline_ms() == kNoDeadline); });
  CHECK(node.engine->Ns(0).volatiles == 0);
}

}  // namespace
}  // namespace redynamo
