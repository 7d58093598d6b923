// SPDX-License-Identifier: Apache-2.0
#include "server/command_table.h"

#include <doctest/doctest.h>

#include "server/command_families.h"

namespace redynamo {
namespace {

Reply Nothing(CommandContext&, ArgReader&) { return Reply::Ok(); }

CommandRow Row(std::string_view name) {
  return {.name = name,
          .arity = -1,
          .flags = kReadonly,
          .first_key = 0,
          .last_key = 0,
          .key_step = 0,
          .access = KeyAccess::kNone,
          .handler = Nothing,
          .group = "generic",
          .since = "1.0.0",
          .complexity = "O(1)",
          .summary = "does it"};
}

std::vector<std::string> FaultsOf(std::vector<CommandRow> rows) {
  std::span<const CommandRow> family(rows);
  return CommandTable::Faults({&family, 1});
}

TEST_CASE("command table: the rows of this server have no faults") {
  std::vector<std::string> faults = CommandTable::Faults(AllCommandFamilies());
  for (const std::string& fault : faults) MESSAGE(fault);
  CHECK(faults.empty());
}

TEST_CASE("command table: every command is found by its name, in any case") {
  CommandTable table(AllCommandFamilies());
  CHECK(table.size() > 100);
  for (const Command& command : table.all()) {
    std::string upper(command.name());
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? char(c - 32) : c;
    if (!command.container) {
      CHECK(table.Find(command.name()) == &command);
      CHECK(table.Find(upper) == &command);
    } else {
      CHECK(table.FindSubcommand(*command.container, command.leaf_name()) == &command);
    }
    CHECK(table.FindByRowName(upper) == &command);
  }
}

TEST_CASE("command table: what is no command is not found") {
  CommandTable table(AllCommandFamilies());
  for (std::string_view name : {"", "ge", "gett", "client|id", "g\0t"}) {
    CHECK_FALSE(table.Find(name));
  }
  CHECK_FALSE(table.Find(std::string(10'000, 'x')));
  std::vector<std::string_view> argv = {"CLIENT", "Id"};
  CHECK(table.Resolve(argv)->name() == "client|id");
  argv = {"CLIENT", "nosuch"};
  CHECK_FALSE(table.Resolve(argv));
  argv = {"CLIENT"};
  CHECK(table.Resolve(argv)->name() == "client");
}

TEST_CASE("command table: a renamed command answers to its new name only") {
  CommandTable table(AllCommandFamilies());
  REQUIRE(table.Rename("GET", "Fetch").ok());
  CHECK_FALSE(table.Find("get"));
  CHECK(table.Find("FETCH")->name() == "get");
  REQUIRE(table.Rename("set", "").ok());
  CHECK_FALSE(table.Find("set"));
  CHECK_FALSE(table.Rename("nosuch", "x").ok());
  CHECK_FALSE(table.Rename("del", "incr").ok());
  CHECK(table.Find("del")->name() == "del");
}

TEST_CASE("command table: key positions") {
  CommandRow row = Row("x");
  row.first_key = 1;
  row.last_key = -1;
  row.key_step = 2;
  std::vector<std::string_view> argv = {"mset", "a", "1", "b", "2"};
  std::vector<int> keys;
  CHECK(CommandTable::KeyIndexes(row, argv, &keys));
  CHECK(keys == std::vector<int>{1, 3});
  row.last_key = -2;
  row.key_step = 1;
  keys.clear();
  CHECK(CommandTable::KeyIndexes(row, argv, &keys));
  CHECK(keys == std::vector<int>{1, 2, 3});
  row.last_key = 7;
  CHECK_FALSE(CommandTable::KeyIndexes(row, argv, &keys));
  keys.clear();
  CHECK(CommandTable::KeyIndexes(Row("ping"), argv, &keys));
  CHECK(keys.empty());
}

TEST_CASE("command table: each kind of fault in rows is named") {
  CHECK(FaultsOf({Row("a"), Row("b")}).empty());
  CHECK(FaultsOf({Row("a"), Row("a")}) == std::vector<std::string>{"a: twice"});
  CHECK(FaultsOf({Row("A")}) == std::vector<std::string>{"A: is not in lower case"});
  CHECK(FaultsOf({Row("a|b")}).size() == 2);  // no container; an arity of one word
  CommandRow row = Row("a");
  row.handler = nullptr;
  CHECK(FaultsOf({row}) == std::vector<std::string>{"a: has no handler"});
  row = Row("a");
  row.flags = kWrite | kReadonly;
  CHECK(FaultsOf({row}) == std::vector<std::string>{"a: is both write and readonly"});
  row = Row("a");
  row.first_key = row.last_key = row.key_step = 1;
  CHECK(FaultsOf({row}).size() == 2);  // access kNone; arity lets the key be missing
}

}  // namespace
}  // namespace redynamo
