// SPDX-License-Identifier: Apache-2.0
// Every pattern element but `*` consumes exactly one byte. So when a later part fails, only the
// last `*` need be tried one byte further: an earlier one could reach no place that it cannot.
// That makes a loop of two positions out of the usual recursion:
//
//   pattern  a*b*c    text  aXbYbZc
//            `*` before c is the last one seen: c is tried at Y, b, Z, c - and never b again.
#include "base/glob.h"

#include <algorithm>
#include <cstddef>

namespace redynamo {
namespace {

signed char Fold(char c, bool ignore_case) {
  return ignore_case && c >= 'A' && c <= 'Z' ? char(c + 'a' - 'A') : c;
}

// `pattern` follows the '['; it is advanced past the ']' or to its end.
bool MatchClass(std::string_view* pattern, char c, bool ignore_case) {
  std::string_view p = *pattern;
  bool negated = !p.empty() && p[0] == '^';
  if (negated) p.remove_prefix(1);
  bool matched = false;
  while (!p.empty() && p[0] != ']') {
    if (p[0] == '\\' && p.size() >= 2) {
      matched |= p[1] == c;
      p.remove_prefix(2);
    } else if (p.size() >= 3 && p[1] == '-') {
      signed char first = p[0], last = p[2];
      if (first > last) std::swap(first, last);
      signed char folded = Fold(c, ignore_case);
      matched |= Fold(first, ignore_case) <= folded && folded <= Fold(last, ignore_case);
      p.remove_prefix(3);
    } else {
      matched |= Fold(p[0], ignore_case) == Fold(c, ignore_case);
      p.remove_prefix(1);
    }
  }
  if (!p.empty()) p.remove_prefix(1);
  *pattern = p;
  return matched != negated;
}

// One element that is not '*' against one byte; `pattern` is advanced past the element.
bool MatchOne(std::string_view* pattern, char c, bool ignore_case) {
  char first = pattern->front();
  pattern->remove_prefix(1);
  if (first == '?') return true;
  if (first == '[') return MatchClass(pattern, c, ignore_case);
  if (first == '\\' && !pattern->empty()) {
    first = pattern->front();
    pattern->remove_prefix(1);
  }
  return Fold(first, ignore_case) == Fold(c, ignore_case);
}

}  // namespace

bool GlobMatch(std::string_view pattern, std::string_view text, bool ignore_case) {
  if (text.empty()) return pattern.empty();
  bool starred = false;
  std::string_view after_star;  // what follows the last '*' seen,
  size_t retry = 0;             // and where in the text it was tried last
  size_t at = 0;
  while (at < text.size()) {
    if (!pattern.empty() && pattern[0] == '*') {
      pattern.remove_prefix(1);
      if (pattern.empty()) return true;
      starred = true;
      after_star = pattern;
      retry = at;
      continue;
    }
    if (!pattern.empty() && MatchOne(&pattern, text[at], ignore_case)) {
      ++at;
      continue;
    }
    if (!starred) return false;
    pattern = after_star;
    at = ++retry;
  }
  return pattern.find_first_not_of('*') == pattern.npos;
}

}  // namespace redynamo
