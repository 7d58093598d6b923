// SPDX-License-Identifier: Apache-2.0
#include "server/commands/scan_options.h"

#include <cctype>

#include "base/glob.h"
#include "base/number.h"
#include "server/commands/command_support.h"

namespace redynamo {
namespace {

// As strtoul in base 10, so what follows a zero byte is not seen, but the text must be the number
// and nothing else; empty is 0.
bool ParseCursor(std::string_view text, uint64_t* cursor) {
  text = text.substr(0, text.find('\0'));
  if (text.empty()) {
    *cursor = 0;
    return true;
  }
  bool negative = text[0] == '-';
  if (negative || text[0] == '+') text.remove_prefix(1);
  if (text.empty()) return false;
  uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    if (__builtin_mul_overflow(value, uint64_t(10), &value) ||
        __builtin_add_overflow(value, uint64_t(c - '0'), &value)) {
      return false;
    }
  }
  *cursor = negative ? uint64_t(0) - value : value;
  return true;
}

}  // namespace

bool ScanOptions::Matches(std::string_view element) const {
  return !pattern || GlobMatch(*pattern, element);
}

uint64_t ReadCursor(ArgReader& args) {
  uint64_t cursor = 0;
  if (!ParseCursor(args.Next(), &cursor)) args.Fail("ERR invalid cursor");
  return cursor;
}

ScanOptions ReadScanOptions(ArgReader& args, bool with_type) {
  ScanOptions options;
  while (args.ok() && !args.done()) {
    bool has_value = args.remaining() >= 2;
    if (has_value && args.TryWord("COUNT")) {
      int64_t count = args.Int64();
      if (args.ok() && count < 1) args.FailSyntax();
      options.count = uint64_t(count);
    } else if (has_value && args.TryWord("MATCH")) {
      options.pattern = args.Next();
      if (*options.pattern == "*") options.pattern.reset();
    } else if (has_value && with_type && args.TryWord("TYPE")) {
      options.type_name = args.Next();
    } else {
      args.FailSyntax();
    }
  }
  return options;
}

Reply ScanReply(uint64_t cursor, Reply elements) {
  char digits[kInt64CharsMax];
  size_t length = FormatUint64(cursor, digits);
  Reply answer = Reply::Array();
  answer.AddBulk(std::string(digits, length)).Add(std::move(elements));
  return answer;
}

}  // namespace redynamo
