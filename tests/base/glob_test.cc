// SPDX-License-Identifier: Apache-2.0
#include "base/glob.h"

#include <doctest/doctest.h>

#include <string>

#include "base/clock.h"

using namespace redynamo;

TEST_CASE("glob: stars, question marks and literals") {
  CHECK(GlobMatch("*", "anything"));
  CHECK(GlobMatch("h?llo", "hello"));
  CHECK_FALSE(GlobMatch("h?llo", "hllo"));
  CHECK(GlobMatch("h*llo", "hllo"));
  CHECK(GlobMatch("h*llo", "heeeello"));
  CHECK(GlobMatch("*a*b*", "xxaxxbxx"));
  CHECK_FALSE(GlobMatch("*a*b", "xxaxxbxx"));
  CHECK(GlobMatch("a***", "a"));
  CHECK(GlobMatch("**", "a"));
  CHECK_FALSE(GlobMatch("a*b", "a"));
  CHECK_FALSE(GlobMatch("abc", "ab"));
  CHECK_FALSE(GlobMatch("ab", "abc"));
  CHECK(GlobMatch("*?*", "a"));
  CHECK_FALSE(GlobMatch("*??*", "a"));
  CHECK(GlobMatch("a?b", std::string_view("a\0b", 3)));
}

TEST_CASE("glob: an empty text is matched by the empty pattern only") {
  CHECK(GlobMatch("", ""));
  CHECK_FALSE(GlobMatch("*", ""));
  CHECK_FALSE(GlobMatch("?", ""));
  CHECK_FALSE(GlobMatch("", "a"));
}

TEST_CASE("glob: classes, ranges and negation") {
  CHECK(GlobMatch("h[ae]llo", "hallo"));
  CHECK_FALSE(GlobMatch("h[ae]llo", "hillo"));
  CHECK(GlobMatch("h[^e]llo", "hallo"));
  CHECK_FALSE(GlobMatch("h[^e]llo", "hello"));
  CHECK(GlobMatch("[a-c]x", "bx"));
  CHECK(GlobMatch("[c-a]x", "bx"));
  CHECK_FALSE(GlobMatch("[a-c]x", "dx"));
  CHECK(GlobMatch("[a\\]b]", "]"));
  CHECK(GlobMatch("[\\-x]", "-"));
  CHECK_FALSE(GlobMatch("[a-]", "-"));  // a range up to the bracket, left open
  CHECK(GlobMatch("[a-]", "_"));
  CHECK(GlobMatch("*[0-9]*z", "ab7cz"));
}

TEST_CASE("glob: malformed classes and escapes") {
  CHECK(GlobMatch("[ab", "a"));
  CHECK_FALSE(GlobMatch("[ab", "c"));
  CHECK_FALSE(GlobMatch("[", "["));
  CHECK(GlobMatch("[^", "x"));
  CHECK(GlobMatch("[\\", "\\"));
  CHECK_FALSE(GlobMatch("[]", "]"));
  CHECK(GlobMatch("a\\", "a\\"));
  CHECK(GlobMatch("\\*", "*"));
  CHECK_FALSE(GlobMatch("\\*", "x"));
  CHECK(GlobMatch("\\a", "a"));
}

TEST_CASE("glob: case is folded only when asked") {
  CHECK(GlobMatch("MaxMemory*", "maxmemory-policy", true));
  CHECK_FALSE(GlobMatch("MaxMemory*", "maxmemory-policy"));
  CHECK(GlobMatch("[A-C]", "b", true));
  CHECK(GlobMatch("[a-c]", "B", true));
  CHECK(GlobMatch("[abc]", "B", true));
  CHECK_FALSE(GlobMatch("[\\b]", "B", true));
}

TEST_CASE("glob: hostile patterns stay within pattern times text") {
  std::string pattern, text(20'000, 'a');
  for (int i = 0; i < 2'000; ++i) pattern += "a*";
  int64_t start = SystemClock().MonotonicUs();
  CHECK_FALSE(GlobMatch(pattern + "b", text));
  CHECK_FALSE(GlobMatch("*" + std::string(500, 'a') + "b", text));
  CHECK(SystemClock().MonotonicUs() - start < 5'000'000);
}
