// SPDX-License-Identifier: Apache-2.0
// Nodes that write concurrently and learn of each other's events in any order, twice, or late must
// end in the same rows, and in those of a plain specification (join_specification.h).
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <vector>

#include "tests/support/join_nodes.h"
#include "tests/support/join_specification.h"
#include "tests/support/random_change.h"

using namespace redynamo;

TEST_CASE("join: any order, with duplicates and writes in between, ends in the specified rows") {
  constexpr int kNodes = 4;  // the last one only listens
  std::vector<std::unique_ptr<JoinNode>> nodes;
  for (int i = 0; i < kNodes; i++) nodes.push_back(std::make_unique<JoinNode>(kNodes, i));
  Specification specification;
  Random random(20261122);
  uint64_t irregular_seen = 0, clears_seen = 0;
  for (int round = 0; round < 150; round++) {
    CAPTURE(round);
    std::vector<std::vector<std::string>> inbox(kNodes);
    for (int step = 0; step < 60; step++) {
      int i = int(random.Below(kNodes));
      if (i < kNodes - 1 && random.Below(3) == 0) {
        uint64_t changes = random.Below(4) ? 1 : 1 + random.Below(4);  // a MULTI now and then
        std::string record = nodes[i]->Do(
            [&](Keyspace keys) {
              for (uint64_t c = 0; c < changes; c++) Change(random, keys, random.Below(100));
            },
            kJoinNowMs + int64_t(random.Below(50)));
        if (record.empty()) continue;
        specification.Add(record);
        for (int other = 0; other < kNodes; other++) {
          if (other != i) inbox[other].push_back(record);
        }
      } else if (!inbox[i].empty()) {
        size_t pick = random.Below(inbox[i].size());
        nodes[i]->Join(inbox[i][pick]);
        if (random.Below(4)) inbox[i].erase(inbox[i].begin() + long(pick));
      }
      RowDump dump = nodes[i]->Rows("{t}");
      irregular_seen += dump.irregular_keys;
      clears_seen += dump.clears;
    }
    for (int i = 0; i < kNodes; i++) {
      while (!inbox[i].empty()) {
        size_t pick = random.Below(inbox[i].size());
        nodes[i]->Join(inbox[i][pick]);
        inbox[i].erase(inbox[i].begin() + long(pick));
      }
    }
    int partition = PartitionOfSlot(KeySlot("{t}"));
    auto want = specification.Live();
    RowDump first = nodes[0]->Rows("{t}");
    for (auto& node : nodes) {
      RowDump dump = node->Rows("{t}");
      CHECK(node->engine->ClockOf(partition) == nodes[0]->engine->ClockOf(partition));
      REQUIRE(ToText(dump) == ToText(first));
      REQUIRE(dump.clears == 0);
      REQUIRE(dump.irregular_keys == first.irregular_keys);
      REQUIRE(node->engine->Digest() == nodes[0]->engine->Digest());
      REQUIRE(node->engine->Ns(0).live == nodes[0]->engine->Ns(0).live);
    }
    REQUIRE(LiveOf(first) == want);
  }
  CHECK(irregular_seen > 1000);  // else this test tests nothing
  CHECK(clears_seen > 100);
}

TEST_CASE("join: irregular rows survive crash and checkpoint") {
  JoinNode other(2, 0), node(2, 1), witness(2, 0);
  Random random(7);
  std::vector<std::string> late;
  for (int round = 0; round < 25; round++) {
    CAPTURE(round);
    bool beside = random.Below(2);  // a checkpoint runs beside the writes, a slice at a time
    if (beside) node.engine->checkpoint_wanted_ = true;
    for (int step = 0; step < 40; step++) {
      if (beside) node.engine->Tick(kJoinNowMs, int64_t(random.Below(400)));
      bool foreign = random.Below(2);
      JoinNode& writer = foreign ? other : node;
      std::string record = writer.Do([&](Keyspace keys) { Change(random, keys, uint64_t(step)); });
      if (foreign) late.push_back(record);
      if (!late.empty() && random.Below(2)) {
        size_t pick = random.Below(late.size());
        node.Join(late[pick]);
        late.erase(late.begin() + long(pick));
      }
    }
    if (random.Below(3) == 0) node.Checkpoint();
    for (int turn = 0; beside && turn < 200 && node.engine->checkpoint_; turn++) {
      node.engine->Tick(kJoinNowMs, 1000);
      node.engine->Poll();
    }
    std::string before = ToText(node.Rows("{t}"));
    std::string digest = node.engine->Digest();
    size_t clears = node.Rows("{t}").clears;
    node.Crash();
    for (int k = 0; k < 4; k++) {  // brings cold ones back
      Row* row;
      if (node.engine->Slot(0, KeySlot("{t}"))->cold() > 0) {
        REQUIRE(node.engine->LoadNow(0, KeyName(uint64_t(k)), &row).ok());
      }
    }
    REQUIRE(ToText(node.Rows("{t}")) == before);
    CHECK(node.Rows("{t}").clears == clears);
    CHECK(node.engine->Digest() == digest);
  }
}

TEST_CASE(
    "join: two writers make siblings, the later one is shown, the next write collapses them") {
  JoinNode a(2, 0), b(2, 1);
  std::string x = a.Do([](Keyspace keys) { keys.String("k").Set("x"); }, kJoinNowMs);
  std::string y = b.Do([](Keyspace keys) { keys.String("k").Set("y"); }, kJoinNowMs + 5);
  a.Join(y);
  b.Join(x);
  CHECK(a.Get("k") == "y");
  CHECK(b.Get("k") == "y");
  CHECK(a.Rows("k").keys.begin()->second.rows.begin()->second.live.size() == 2);
  std::string z = a.Do([](Keyspace keys) { keys.String("k").Set("z"); });
  b.Join(z);
  for (JoinNode* node : {&a, &b}) {
    CHECK(node->Get("k") == "z");
    CHECK(node->Rows("k").irregular_keys == 0);
    CHECK(node->Rows("k").keys.begin()->second.rows.begin()->second.live.size() == 1);
  }
}

TEST_CASE("join: concurrent increments add up; an increment is ordered before a concurrent SET") {
  JoinNode a(2, 0), b(2, 1);
  auto add = [](int64_t n) { return [n](Keyspace keys) { CHECK(keys.String("n").Add(n).ok()); }; };
  std::string one = a.Do(add(1)), ten = b.Do(add(10));  // two implicit bases
  a.Join(ten);
  b.Join(one);
  CHECK(a.Get("n") == "11");
  CHECK(b.Get("n") == "11");
  b.Join(a.Do(add(100)));
  CHECK(b.Get("n") == "111");
  std::string set = a.Do([](Keyspace keys) { keys.String("n").Set("5"); });
  std::string late = b.Do(add(1000));
  a.Join(late);
  b.Join(set);
  CHECK(a.Get("n") == "5");
  CHECK(b.Get("n") == "5");
  CHECK(a.Rows("n").irregular_keys == 0);
  CHECK(ToText(a.Rows("n")) == ToText(b.Rows("n")));
}

TEST_CASE("join: the last element takes the deadline along, on every node") {
  JoinNode a(2, 0), b(2, 1);
  b.Join(a.Do([](Keyspace keys) { keys.Set("s").Add("m"); }));
  b.Join(a.Do([](Keyspace keys) { keys.Find("s").SetDeadline(kJoinNowMs + 60'000); }));
  b.Join(a.Do([](Keyspace keys) { CHECK(keys.Set("s").Remove("m")); }));
  CHECK(ToText(b.Rows("s")) == "");
  b.Do([](Keyspace keys) {
    keys.Set("s").Add("again");
    CHECK(keys.Find("s").deadline_ms() == kNoDeadline);
  });
}

TEST_CASE("join: DEL of a set does not remove a member that it has not seen") {
  JoinNode a(2, 0), b(2, 1);
  b.Join(a.Do([](Keyspace keys) { keys.Set("s").Add("seen"); }));
  std::string del = a.Do([](Keyspace keys) { keys.Find("s").Remove(); });
  std::string add = b.Do([](Keyspace keys) { keys.Set("s").Add("unseen"); });
  a.Join(add);
  b.Join(del);
  for (JoinNode* node : {&a, &b}) {
    node->Do([](Keyspace keys) {
      CHECK(keys.Set("s").size() == 1);
      CHECK(keys.Set("s").Contains("unseen"));
    });
  }
}

TEST_CASE("join: of two kinds the later is shown, and the next write clears the other") {
  JoinNode a(2, 0), b(2, 1);
  std::string set = a.Do([](Keyspace keys) { keys.Set("k").Add("m"); }, kJoinNowMs);
  std::string string = b.Do([](Keyspace keys) { keys.String("k").Set("v"); }, kJoinNowMs + 5);
  a.Join(string);
  b.Join(set);
  CHECK(a.Get("k") == "v");
  CHECK(b.Get("k") == "v");
  CHECK(a.Rows("k").keys.begin()->second.rows.size() == 2);
  b.Join(a.Do([](Keyspace keys) { CHECK(keys.Find("k").Remove()); }));
  CHECK(a.Get("k") == "(none)");
  CHECK(b.Get("k") == "(none)");  // the hidden set does not come to light
  CHECK(b.Rows("k").keys.empty());
}

TEST_CASE("join: a write of the shown string lets a hidden hash go with its deadline") {
  JoinNode a(2, 0), b(2, 1);
  std::string hash = a.Do([](Keyspace keys) { keys.Hash("k").Set("f", "v"); }, kJoinNowMs);
  std::string ttl = a.Do([](Keyspace keys) { keys.Find("k").SetDeadline(kJoinNowMs + 60'000); });
  a.Join(b.Do([](Keyspace keys) { keys.String("k").Set("5"); }, kJoinNowMs + 5));
  b.Join(hash);
  b.Join(ttl);
  CHECK(a.Rows("k").keys.begin()->second.rows.size() == 3);
  b.Join(a.Do([](Keyspace keys) { CHECK(keys.String("k").Add(1).ok()); }, kJoinNowMs + 10));
  for (JoinNode* node : {&a, &b}) {
    CHECK(node->Get("k") == "6");
    CHECK(node->Rows("k").keys.begin()->second.rows.size() == 2);  // base and total
  }
}

TEST_CASE("join: an overwritten version that arrives late, or again, does not come back") {
  JoinNode a(3, 0), b(3, 1), c(3, 2);
  std::string first = a.Do([](Keyspace keys) { keys.String("k").Set("old"); });
  b.Join(first);
  std::string second = b.Do([](Keyspace keys) { keys.String("k").Set("new"); });
  c.Join(second);
  c.Join(first);  // late
  CHECK(c.Get("k") == "new");
  CHECK(ToText(c.Rows("k")) == ToText(b.Rows("k")));
  std::string third = c.Do([](Keyspace keys) { CHECK(keys.Find("k").Remove()); });
  c.Join(first);  // again
  c.Join(second);
  CHECK(c.Get("k") == "(none)");
  CHECK(c.Rows("k").irregular_keys == 0);
}

TEST_CASE("join: a clear removes an add of its context that arrives after it") {
  JoinNode a(3, 0), b(3, 1), c(3, 2);
  std::string add = a.Do([](Keyspace keys) { keys.Set("s").Add("m"); });
  std::string field = a.Do([](Keyspace keys) { keys.Hash("{s}h").Set("f", "v"); });
  b.Join(add);
  b.Join(field);
  std::string del = b.Do([](Keyspace keys) { keys.Find("s").Remove(); });
  std::string flush = b.Do([](Keyspace keys) { keys.Clear(); });
  c.Join(del);
  c.Join(add);
  CHECK(c.Rows("s").keys.empty());
  c.Join(flush);
  c.Join(field);
  CHECK(c.Rows("s").keys.empty());
  CHECK(c.Rows("s").clears == 0);
}

TEST_CASE("join: a counter keeps the totals of two actors of one directory") {
  JoinNode a(2, 0);
  a.Do([](Keyspace keys) { CHECK(keys.String("n").Add(5).ok()); });
  a.engine->self_ = 1;  // as a rotation does
  for (Partition& p : a.engine->partitions_) {
    p.clock.AddRange(0, 1, std::max<uint64_t>(p.own_n, 1));
    p.own_n = 0;
  }
  a.Do([](Keyspace keys) { CHECK(*keys.String("n").Add(7) == 12); });
  CHECK(a.Get("n") == "12");
  CHECK(a.Rows("n").irregular_keys == 0);
}

TEST_CASE("join: an element joins a key whose shown string has a removal to come") {
  JoinNode a(3, 0), b(3, 1), c(3, 2);
  c.Join(b.Do([](Keyspace keys) { keys.String("k").Set("v"); }, kJoinNowMs + 9));
  std::string set = c.Do([](Keyspace keys) { keys.String("k").Set("w"); });
  std::string change = c.Do([](Keyspace keys) {
    keys.Find("k").Remove();
    keys.Set("k").Add("m");
  });
  b.Join(change);
  b.Join(set);
  CHECK(ToText(b.Rows("k")) == ToText(c.Rows("k")));
}

TEST_CASE("join: two writers of different fragments both win, of the same one the later") {
  JoinNode a(2, 0), b(2, 1);
  constexpr size_t kBytes = 1 << 20;
  b.Join(a.Do([&](Keyspace keys) { keys.String("k").Set(std::string(kBytes, '.')); }));
  auto write = [](JoinNode& node, uint64_t at, std::string_view bytes, int64_t ms) {
    return node.Do([=](Keyspace keys) { keys.String("k").Overwrite(at, bytes); }, kJoinNowMs + ms);
  };
  std::string left = write(a, 10, "left", 1), both_a = write(a, 500'000, "a", 2);
  std::string right = write(b, 900'000, "right", 1), both_b = write(b, 500'001, "b", 3);
  CHECK(left.size() < kFragmentBytes + 64);
  for (const std::string& record : {both_b, right}) a.Join(record);
  for (const std::string& record : {left, both_a}) b.Join(record);
  for (JoinNode* node : {&a, &b}) {
    std::string value = node->Get("k");
    CHECK(value.size() == kBytes);
    CHECK(value.substr(10, 5) == "left.");
    CHECK(value.substr(900'000, 6) == "right.");
    CHECK(value.substr(500'000, 3) == ".b.");  // of one fragment, the later version
    RowDump dump = node->Rows("k");
    CHECK(dump.irregular_keys == 1);
    // The versions of one fragment are in the index, and not the bitmap.
    const IrregularIndex& index =
        *node->engine->partitions_[PartitionOfSlot(KeySlot("k"))].irregular;
    CHECK(index.keys.begin()->second.rows.size() == 1);
  }
  std::string end = write(b, 500'010, "end", 4);  // had seen both, and replaces both
  a.Join(end);
  for (JoinNode* node : {&a, &b}) {
    CHECK(node->Get("k").substr(500'000, 13) == ".b........end");
    CHECK(node->Rows("k").irregular_keys == 0);
  }
  CHECK(ToText(a.Rows("k")) == ToText(b.Rows("k")));
}

TEST_CASE("join: a fragment waits for its base, and dies with one that is overwritten") {
  JoinNode a(3, 0), b(3, 1), c(3, 2);
  std::string base = a.Do([](Keyspace keys) { keys.String("k").Set(std::string(9000, '.')); });
  std::string fragment = a.Do([](Keyspace keys) { keys.String("k").Overwrite(5000, "x"); });
  b.Join(fragment);
  CHECK(b.Get("k") == "(none)");
  CHECK(b.Rows("k").irregular_keys == 1);
  b.Join(base);
  CHECK(b.Get("k") == a.Get("k"));
  CHECK(b.Rows("k").irregular_keys == 0);
  std::string late = a.Do([](Keyspace keys) { keys.String("k").Overwrite(5001, "late"); });
  std::string set = b.Do([](Keyspace keys) { keys.String("k").Set("new"); });
  b.Join(late);
  for (const std::string& record : {late, set, fragment, base}) c.Join(record);
  a.Join(set);
  for (JoinNode* node : {&a, &b, &c}) {
    CHECK(node->Get("k") == "new");
    CHECK(node->Rows("k").irregular_keys == 0);
  }
}

TEST_CASE("join: an increment beside an append of much leaves the text shown") {
  JoinNode a(2, 0), b(2, 1);
  b.Join(a.Do([](Keyspace keys) { keys.String("k").Set("5"); }));
  std::string add = a.Do([](Keyspace keys) { CHECK(*keys.String("k").Add(1) == 6); });
  std::string append = b.Do([](Keyspace keys) { keys.String("k").Append(std::string(5000, 'y')); });
  a.Join(append);
  b.Join(add);
  for (JoinNode* node : {&a, &b}) {
    CHECK(node->Get("k") == "5" + std::string(5000, 'y'));
    node->Do([](Keyspace keys) { CHECK(!keys.String("k").Add(1).ok()); });
  }
  b.Join(a.Do([](Keyspace keys) { keys.String("k").Append("z"); }));  // and the conflict is over
  for (JoinNode* node : {&a, &b}) {
    CHECK(node->Get("k") == "5" + std::string(5000, 'y') + "z");
    CHECK(node->Rows("k").irregular_keys == 0);
  }
}
