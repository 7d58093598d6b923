// SPDX-License-Identifier: Apache-2.0
#include "base/split_args.h"

namespace redynamo {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char Unescape(char c) {
  switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
  }
}

// Reads at `from`, writes at `to`, which never overtakes it: no escape grows.
struct Words {
  const char* from;
  const char* end;
  char* to;

  // After an opening quote, up to and with the closing one.
  bool Quoted(char quote) {
    while (from < end) {
      char c = *from++;
      if (c == quote) return from == end || IsSpace(*from);
      if (c == '\\' && quote == '"' && from < end) {
        c = Escaped();
      } else if (c == '\\' && from < end && *from == quote) {
        c = *from++;
      }
      *to++ = c;
    }
    return false;
  }

  char Escaped() {
    if (end - from >= 3 && from[0] == 'x' && HexDigit(from[1]) >= 0 && HexDigit(from[2]) >= 0) {
      char byte = char(HexDigit(from[1]) * 16 + HexDigit(from[2]));
      from += 3;
      return byte;
    }
    return Unescape(*from++);
  }

  bool Word() {
    while (from < end) {
      char c = *from;
      if (c == ' ' || c == '\n' || c == '\r' || c == '\t') return true;
      ++from;
      if (c == '"' || c == '\'') return Quoted(c);
      *to++ = c;
    }
    return true;
  }
};

}  // namespace

bool SplitArgsInPlace(char* text, size_t size, std::vector<std::string_view>* args) {
  Words words{text, text + size, text};
  for (;;) {
    while (words.from < words.end && IsSpace(*words.from)) ++words.from;
    if (words.from == words.end) return true;
    char* word = words.to;
    if (!words.Word()) return false;
    args->emplace_back(word, size_t(words.to - word));
  }
}

}  // namespace redynamo
