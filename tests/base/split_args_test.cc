// SPDX-License-Identifier: Apache-2.0
#include "base/split_args.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

using namespace redynamo;

namespace {

using Words = std::vector<std::string>;

std::optional<Words> Split(std::string line) {
  std::vector<std::string_view> args;
  if (!SplitArgsInPlace(line.data(), line.size(), &args)) return std::nullopt;
  return Words(args.begin(), args.end());
}

}  // namespace

TEST_CASE("split_args: words, quotes and escapes") {
  CHECK(Split("") == Words{});
  CHECK(Split(" \t\v ") == Words{});
  CHECK(Split("set  key\tvalue ") == Words{"set", "key", "value"});
  CHECK(Split("\"two words\" 'it\\'s'") == Words{"two words", "it's"});
  CHECK(Split("\"\\x41\\n\\r\\t\\b\\a\\q\\\"\\xzz\"") == Words{"A\n\r\t\b\aq\"xzz"});
  CHECK(Split("\"\" ''") == Words{"", ""});
  CHECK(Split("a\"b c\" d") == Words{"ab c", "d"});
  CHECK(Split("'a\\n'") == Words{"a\\n"});
  CHECK(Split("a\\n") == Words{"a\\n"});
  CHECK(Split("a\vb") == Words{"a\vb"});
}

TEST_CASE("split_args: unbalanced quotes are refused") {
  for (const char* bad : {"\"", "'", "\"a", "'a", "\"a\"b", "'a'b", "\"a\\", "\"a\\\"", "'a\\'"}) {
    CAPTURE(bad);
    CHECK_FALSE(Split(bad));
  }
}
