// SPDX-License-Identifier: Apache-2.0
// The state between two calls is small: the cursor, how many arguments are missing, the length of
// the argument in progress, and the views of the arguments that are complete. For the input
//
//   *2\r\n$3\r\nGET\r\n$5\r\nke         args_left_ = 1, bulk_bytes_ = 5, partial_args_ = {GET}
//                         ^cursor_
//
// PrepareRead makes room for cursor_ + 5 + 2 bytes in all, and the next call goes on at the cursor.
// When the bytes move to another place, the partial views move with them.
#include "protocol/resp_parser.h"

#include <algorithm>
#include <cstring>

#include "base/number.h"
#include "base/split_args.h"

namespace redynamo {
namespace {

constexpr size_t kArgsReserved = 1024;  // the count is only a client's claim
constexpr size_t kArgsKept = 4096;      // a reused vector above this is given back

void DropArgs(std::vector<std::string_view>* args) {
  args->clear();
  if (args->capacity() > kArgsKept) std::vector<std::string_view>().swap(*args);
}

inline unsigned Digit(char c) { return unsigned(static_cast<unsigned char>(c)) - '0'; }

// The common line: 1 to 9 digits, no leading zero, whole line present. Returns the place behind
// it, or nullptr when the line is anything else, possibly malformed.
inline const char* FastLengthLine(const char* line, const char* end, int64_t* value) {
  if (end - line < 4) return nullptr;
  uint32_t number = Digit(line[1]);
  if (number > 9 || (number == 0 && line[2] != '\r')) return nullptr;
  const char* at = line + 2;
  const char* last = end - line > 11 ? line + 10 : end - 1;
  while (at < last && Digit(*at) <= 9) number = number * 10 + Digit(*at++);
  if (end - at < 2 || *at != '\r') return nullptr;
  *value = number;
  return at + 2;
}

}  // namespace

char* RespParser::PrepareRead(size_t hint, size_t* capacity) {
  size_t whole = bulk_bytes_ < 0 ? 0 : cursor_ + size_t(bulk_bytes_) + 2;
  uintptr_t before = reinterpret_cast<uintptr_t>(buffer_.begin());
  char* to = buffer_.PrepareRead(hint, whole, capacity);
  uintptr_t moved = reinterpret_cast<uintptr_t>(buffer_.begin()) - before;
  if (moved != 0) {
    for (std::string_view& arg : partial_args_) {
      uintptr_t data = reinterpret_cast<uintptr_t>(arg.data()) + moved;
      arg = std::string_view(reinterpret_cast<const char*>(data), arg.size());
    }
  }
  return to;
}

bool RespParser::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t room;
    char* to = PrepareRead(bytes.size(), &room);
    if (!to) return false;
    size_t n = std::min(room, bytes.size());
    std::memcpy(to, bytes.data(), n);
    CommitRead(n);
    bytes.remove_prefix(n);
  }
  return true;
}

ParseResult RespParser::Next(Request* out) {
  if (!error_.empty()) return ParseResult::kError;
  if (args_left_ == 0) return StartRequest(out);
  out->args.swap(partial_args_);
  DropArgs(&partial_args_);
  return ReadBulks(out);
}

ParseResult RespParser::StartRequest(Request* out) {
  DropArgs(&out->args);
  while (buffer_.size() > 0) {
    if (*buffer_.begin() == '*') {
      int64_t count = 0;
      Line line = ReadLengthLine(&count);
      ParseResult checked = CheckArgCount(line, count);
      if (checked != ParseResult::kRequest) return checked;
      if (count > 0) {
        args_left_ = count;
        out->args.reserve(std::min(size_t(count), kArgsReserved));
        return ReadBulks(out);
      }
    } else {
      ParseResult read = ReadInline(out);
      if (read != ParseResult::kRequest) return read;
      if (!out->args.empty()) return Finish();
    }
    buffer_.Consume(cursor_);  // an empty request
    cursor_ = 0;
  }
  return ParseResult::kNeedMore;
}

void RespParser::ReadWholeBulks(std::vector<std::string_view>* args) {
  const char* at = buffer_.begin() + cursor_;
  const char* end = buffer_.end();
  int64_t left = args_left_;
  int64_t length = 0;
  int64_t length_max =
      authenticated_ ? bulk_bytes_max_ : std::min(bulk_bytes_max_, kUnauthenticatedBulkBytesMax);
  for (; left > 0 && at < end && *at == '$'; --left) {
    const char* bulk = FastLengthLine(at, end, &length);
    if (!bulk || length > length_max || end - bulk < length + 2) break;
    args->emplace_back(bulk, size_t(length));
    at = bulk + length + 2;
  }
  args_left_ = left;
  cursor_ = size_t(at - buffer_.begin());
}

ParseResult RespParser::ReadBulks(Request* out) {
  const char* end = buffer_.end();
  while (args_left_ > 0) {
    if (bulk_bytes_ < 0) {
      ReadWholeBulks(&out->args);
      if (args_left_ == 0 || cursor_ == buffer_.size()) break;
      char marker = buffer_.begin()[cursor_];
      int64_t length = 0;
      Line line = ReadLengthLine(&length);
      ParseResult checked = CheckBulkLength(line, marker, length);
      if (checked == ParseResult::kError) return checked;
      if (checked == ParseResult::kNeedMore) break;
      bulk_bytes_ = length;
    }
    const char* at = buffer_.begin() + cursor_;
    if (end - at < bulk_bytes_ + 2) break;
    out->args.emplace_back(at, size_t(bulk_bytes_));
    cursor_ += size_t(bulk_bytes_) + 2;
    bulk_bytes_ = -1;
    --args_left_;
  }
  if (args_left_ == 0) return Finish();
  partial_args_.swap(out->args);
  return ParseResult::kNeedMore;
}

ParseResult RespParser::ReadInline(Request* out) {
  char* line = buffer_.begin();
  size_t searched = std::min(buffer_.size(), kInlineBytesMax + 1);
  char* newline = static_cast<char*>(std::memchr(line, '\n', searched));
  if (!newline) return LineUnfinished("too big inline request");
  cursor_ = size_t(newline - line) + 1;
  size_t size = size_t(newline - line);
  if (size > 0 && newline[-1] == '\r') --size;
  if (!SplitArgsInPlace(line, size, &out->args)) return Fail("unbalanced quotes in request");
  return ParseResult::kRequest;
}

RespParser::Line RespParser::ReadLengthLine(int64_t* value) {
  const char* at = buffer_.begin() + cursor_;
  const char* end = buffer_.end();
  if (const char* behind = FastLengthLine(at, end, value)) {
    cursor_ += size_t(behind - at);
    return Line::kComplete;
  }
  size_t searched = std::min(size_t(end - at), kInlineBytesMax);
  auto* newline = static_cast<const char*>(std::memchr(at, '\r', searched));
  if (!newline || end - newline < 2) return Line::kNeedMore;
  cursor_ += size_t(newline - at) + 2;
  bool number = newline > at && ParseInt64({at + 1, size_t(newline - at - 1)}, value);
  return number ? Line::kComplete : Line::kMalformed;
}

ParseResult RespParser::CheckArgCount(Line line, int64_t count) {
  if (line == Line::kNeedMore) return LineUnfinished("too big mbulk count string");
  if (line == Line::kMalformed || count > kArgsMax) return Fail("invalid multibulk length");
  if (!authenticated_ && count > kUnauthenticatedArgsMax) {
    return Fail("unauthenticated multibulk length");
  }
  return ParseResult::kRequest;
}

ParseResult RespParser::CheckBulkLength(Line line, char marker, int64_t length) {
  if (line == Line::kNeedMore) return LineUnfinished("too big bulk count string");
  if (marker != '$') return Fail(std::string("expected '$', got '") + marker + "'");
  if (line == Line::kMalformed || length < 0 || length > bulk_bytes_max_) {
    return Fail("invalid bulk length");
  }
  if (!authenticated_ && length > kUnauthenticatedBulkBytesMax) {
    return Fail("unauthenticated bulk length");
  }
  return ParseResult::kRequest;
}

ParseResult RespParser::LineUnfinished(std::string_view what_when_too_big) {
  if (buffer_.size() - cursor_ > kInlineBytesMax) return Fail(what_when_too_big);
  return ParseResult::kNeedMore;
}

ParseResult RespParser::Finish() {
  buffer_.Consume(cursor_);
  buffer_.Pin();
  cursor_ = 0;
  return ParseResult::kRequest;
}

ParseResult RespParser::Fail(std::string_view what) {
  error_ = "ERR Protocol error: ";
  error_ += what;
  return ParseResult::kError;
}

size_t RespParser::memory_bytes() const {
  return buffer_.memory_bytes() + partial_args_.capacity() * sizeof(std::string_view);
}

}  // namespace redynamo
