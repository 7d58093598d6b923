// SPDX-License-Identifier: Apache-2.0
#include "server/arg_reader.h"

#include <doctest/doctest.h>

#include <vector>

namespace redynamo {
namespace {

using Args = std::vector<std::string_view>;

TEST_CASE("arg reader: reads in order and knows what is left") {
  Args args = {"key", "EX", "10", "1.5"};
  ArgReader reader(args);
  CHECK(reader.remaining() == 4);
  CHECK(reader.Next() == "key");
  CHECK(reader.peek() == "EX");
  CHECK(reader.TryWord("ex"));
  CHECK(reader.Int64() == 10);
  CHECK(reader.Double() == 1.5);
  CHECK(reader.done());
  CHECK(reader.peek().empty());
  CHECK(reader.ok());
}

TEST_CASE("arg reader: the first error stays") {
  Args args = {"x", "y"};
  ArgReader reader(args);
  reader.Int64("ERR first");
  reader.Int64("ERR second");
  reader.Next();
  CHECK_FALSE(reader.ok());
  CHECK(reader.error().text() == "ERR first");
}

TEST_CASE("arg reader: reading beyond the end is a syntax error, whatever is read") {
  for (int kind = 0; kind < 4; ++kind) {
    ArgReader reader({});
    if (kind == 0) reader.Next();
    if (kind == 1) reader.Int64();
    if (kind == 2) reader.Double();
    if (kind == 3) reader.Int64In(1, 2, "ERR range");
    CHECK(reader.error().text() == "ERR syntax error");
  }
}

TEST_CASE("arg reader: a range has both borders in it") {
  Args args = {"1", "5", "0", "6"};
  ArgReader inside(args);
  CHECK(inside.Int64In(1, 5, "ERR range") == 1);
  CHECK(inside.Int64In(1, 5, "ERR range") == 5);
  CHECK(inside.ok());
  inside.Int64In(1, 5, "ERR range");
  CHECK(inside.error().text() == "ERR range");
  ArgReader above(std::span<const std::string_view>(args).subspan(3));
  above.Int64In(1, 5, "ERR range");
  CHECK_FALSE(above.ok());
}

TEST_CASE("arg reader: a word that is not next is left where it is") {
  Args args = {"EXX"};
  ArgReader reader(args);
  CHECK_FALSE(reader.TryWord("EX"));
  CHECK(reader.Next() == "EXX");
  CHECK_FALSE(reader.TryWord("EX"));
}

TEST_CASE("arg reader: letters are compared without their case, other bytes exactly") {
  CHECK(EqualsIgnoreCase("GeT", "gEt"));
  CHECK_FALSE(EqualsIgnoreCase("get", "gets"));
  CHECK_FALSE(EqualsIgnoreCase("@", "`"));
  CHECK_FALSE(EqualsIgnoreCase("[", "{"));
}

}  // namespace
}  // namespace redynamo
