// SPDX-License-Identifier: Apache-2.0
// Hashes and versions of keys: what two nodes, perhaps of two releases, compare.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/hash.h"
#include "tests/support/replica_nodes.h"

using namespace redynamo;

namespace {

void PutId(const Id128& id, std::string* out) {
  out->append(reinterpret_cast<const char*>(id.data()), id.size());
}

// From what RING.WHY shows: the sum over all dots of a hash of the row's place and the dot.
uint64_t HashOf(const std::vector<RowReport>& rows) {
  uint64_t sum = 0;
  for (const RowReport& row : rows) {
    std::string place(1, char(row.kind));
    std::string element = row.element;
    if (row.kind == RowKind::kFragment) {
      for (int shift = 24; shift >= 0; shift -= 8) element.push_back(char(row.index >> shift));
    }
    PutLengthPrefixed(&place, element);
    PutVarint(&place, row.base.n);
    if (row.base.n > 0) PutId(row.base.actor, &place);
    bool total = row.kind == RowKind::kTotal || row.kind == RowKind::kFieldTotal;
    if (total) PutId(row.owner, &place);
    auto add = [&](const PortableDot& dot, uint64_t seed) {
      std::string bytes = place;
      PutId(dot.actor, &bytes);
      PutFixed64(&bytes, dot.n);
      sum += StableHash(bytes, seed);
    };
    for (const RowVersionReport& version : row.live) add(version.dot, 1);
    for (const PortableDot& dot : row.gone) add(dot, 2);
  }
  return sum;
}

void AddMembers(Keyspace keys, std::string_view key, int from, int to) {
  for (int i = from; i < to; i++) keys.Set(key).Add(std::to_string(i));
}

}  // namespace

TEST_CASE("replica hash: it is the sum of all dots, whatever form the rows have") {
  ReplicaNode a(0), b(1);
  auto both = [&](const std::function<void(Keyspace)>& change) {
    REQUIRE(b.Accept(a.Do(change)).status.ok());
  };
  both([](Keyspace keys) {
    keys.String("text").Set("v");
    keys.String("text").SetDeadline(4'000'000'000'000);
    keys.String("long").Set(std::string(40'000, 'x'));
    CHECK(keys.String("number").Add(1).ok());
    CHECK(keys.String("implicit").Add(1).ok());
    CHECK(keys.Hash("hash").Add("count", 2).ok());
    keys.Hash("hash").Set("field", "v");
    AddMembers(keys, "small", 0, 10);
    AddMembers(keys, "large", 0, 1000);
  });
  both([](Keyspace keys) {
    keys.String("long").Overwrite(20'000, "y");
    CHECK(keys.String("number").Add(1).ok());
    keys.Set("small").Remove("3");
  });
  // Versions that no form in memory has: siblings, and a removal of what has not been seen.
  std::string there = a.Do([](Keyspace keys) { keys.String("siblings").Set("a"); });
  std::string here = b.Do([](Keyspace keys) { keys.String("siblings").Set("b"); });
  REQUIRE(a.Accept(here).status.ok());
  REQUIRE(b.Accept(there).status.ok());
  std::string added = a.Do([](Keyspace keys) { AddMembers(keys, "removed", 0, 3); });
  std::string removed = a.Do([](Keyspace keys) { keys.Set("removed").Remove("1"); });
  REQUIRE(b.Accept(removed).status.ok());
  for (const char* key : {"text", "long", "number", "implicit", "hash", "small", "large",
                          "siblings", "removed", "none"}) {
    CAPTURE(key);
    for (ReplicaNode* node : {&a, &b}) {
      CHECK(node->side().KeyStateHash(0, key) == HashOf(node->side().ExplainKey(0, key, 5000)));
    }
    bool same = std::string(key) != "removed";
    CHECK((a.side().KeyStateHash(0, key) == b.side().KeyStateHash(0, key)) == same);
  }
  REQUIRE(b.Accept(added).status.ok());
  CHECK(a.side().KeyStateHash(0, "removed") == b.side().KeyStateHash(0, "removed"));
  CHECK(a.side().KeyStateHash(0, "none") == 0);
}

TEST_CASE("replica hash: keys of many rows are told from those of few") {
  ReplicaNode a(0);
  a.Do([](Keyspace keys) {
    AddMembers(keys, "few", 0, 128);
    AddMembers(keys, "many", 0, 129);
    keys.String("text").Set(std::string(1 << 20, 'x'));
    keys.String("changed").Set(std::string(1 << 20, 'x'));
    keys.String("changed").Overwrite(0, std::string(1 << 20, 'y'));
  });
  CHECK_FALSE(a.side().HasManyRows(0, "few"));
  CHECK(a.side().HasManyRows(0, "many"));
  CHECK_FALSE(a.side().HasManyRows(0, "text"));  // one row of a megabyte
  CHECK(a.side().HasManyRows(0, "changed"));     // and hundreds of fragments
  CHECK_FALSE(a.side().HasManyRows(0, "none"));
  a.Do([](Keyspace keys) { keys.Set("many").Remove("5"); });
  CHECK_FALSE(a.side().HasManyRows(0, "many"));
}

TEST_CASE("replica hash: a large key's version changes with it, and never comes back") {
  ReplicaNode a(0), b(1);
  std::string first = a.Do([](Keyspace keys) { AddMembers(keys, "k", 0, 200); });
  REQUIRE(b.Accept(first).status.ok());
  std::vector<uint64_t> seen = {a.side().KeyVersion(0, "k"), b.side().KeyVersion(0, "k")};
  auto is_new = [&](uint64_t version) {
    bool found = std::ranges::find(seen, version) != seen.end();
    seen.push_back(version);
    return !found;
  };
  CHECK(seen[0] != seen[1]);  // each is its node's own
  CHECK(a.side().KeyVersion(0, "k") == seen[0]);
  a.Do([](Keyspace keys) { keys.String("elsewhere").Set("v"); });
  CHECK(a.side().KeyVersion(0, "k") == seen[0]);
  a.Do([](Keyspace keys) { keys.Set("k").Add("0"); });  // it is there
  CHECK(a.side().KeyVersion(0, "k") == seen[0]);
  std::string record = a.Do([](Keyspace keys) { keys.Set("k").Remove("7"); });
  CHECK(is_new(a.side().KeyVersion(0, "k")));
  REQUIRE(b.Accept(record).status.ok());
  CHECK(is_new(b.side().KeyVersion(0, "k")));
  a.Do([](Keyspace keys) { keys.Set("k").Add("7"); });
  CHECK(is_new(a.side().KeyVersion(0, "k")));
  a.Checkpoint();
  a.Crash();  // what the log's positions of the slots were is not known any more
  CHECK(is_new(a.side().KeyVersion(0, "k")));
  a.Do([](Keyspace keys) { keys.Set("k").Remove("8"); });
  a.Checkpoint();
  a.Crash();
  CHECK(is_new(a.side().KeyVersion(0, "k")));
}
