// SPDX-License-Identifier: Apache-2.0
// Frames RESP requests (arrays of bulk strings) and inline commands; knows no command. One per
// connection, on the connection's thread.
//
//   size_t room;
//   char* to = parser.PrepareRead(65536, &room);        // libuv's alloc callback
//   parser.CommitRead(nread);                           // libuv's read callback (0 is fine)
//   while (n < 64 && parser.Next(&requests[n]) == ParseResult::kRequest) ++n;
//   ... prefetch and execute requests[0, n) ...
//   parser.Release();
//
// Arguments are views into the input. They live until Release, even across further PrepareRead,
// CommitRead and Next calls: several requests may be parsed ahead of execution. Call Release after
// every batch, also an empty one: it gives the memory of an idle connection back. Requests are
// reused: a `Request` that is passed again keeps its vector's capacity, so that parsing allocates
// nothing.
//
// Work is linear in the bytes however they are cut: a request that is incomplete resumes at its
// first unfinished argument, and a bulk's room is reserved once, when its length is known.
//
// After kError the parser accepts nothing more: answer with error() and close, as Redis does.
// Empty requests (a blank line, *0, *-1) are skipped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/input_buffer.h"
#include "protocol/request.h"

namespace redynamo {

enum class ParseResult : uint8_t { kRequest, kNeedMore, kError };

class RespParser {
 public:
  static constexpr size_t kInlineBytesMax = 64 * 1024;  // an inline request; a length's line
  static constexpr int64_t kArgsMax = INT32_MAX;
  // Before AUTH, so that a stranger cannot make us hold much memory.
  static constexpr int64_t kUnauthenticatedArgsMax = 10;
  static constexpr int64_t kUnauthenticatedBulkBytesMax = 16384;
  static constexpr int64_t kBulkBytesTop = int64_t(1) << 62;  // sums stay in range
  static constexpr int64_t kDefaultBulkBytesMax = int64_t(512) << 20;

  // While not authenticated, execute each request before the next is parsed: it may be AUTH.
  void SetAuthenticated(bool authenticated) { authenticated_ = authenticated; }
  // proto-max-bulk-len.
  void SetBulkBytesMax(int64_t bytes) {
    bulk_bytes_max_ = bytes < kBulkBytesTop ? bytes : kBulkBytesTop;
  }

  // See InputBuffer: nullptr and *capacity = 0 when memory is out.
  char* PrepareRead(size_t hint, size_t* capacity);
  void CommitRead(size_t n) { buffer_.CommitRead(n); }
  // The two above and a copy, for bytes that are in memory already. False when memory is out.
  bool Feed(std::string_view bytes);

  // `out` is meaningful after kRequest only, and has at least one argument then.
  ParseResult Next(Request* out);
  void Release() { buffer_.Release(); }

  // After kError: Redis' text, e.g. "ERR Protocol error: invalid bulk length".
  std::string_view error() const { return error_; }
  // Bytes received but not yet returned as requests; what client-query-buffer-limit bounds.
  size_t pending_bytes() const { return buffer_.size(); }
  size_t memory_bytes() const;

 private:
  enum class Line : uint8_t { kComplete, kNeedMore, kMalformed };

  ParseResult StartRequest(Request* out);
  ParseResult ReadBulks(Request* out);
  // The common case in a tight loop: as many arguments as are well-formed and wholly there.
  void ReadWholeBulks(std::vector<std::string_view>* args);
  ParseResult ReadInline(Request* out);
  // Reads "<marker><number>\r\n" at the cursor; on kComplete moves the cursor behind it.
  Line ReadLengthLine(int64_t* value);
  ParseResult CheckBulkLength(Line line, char marker, int64_t length);
  ParseResult CheckArgCount(Line line, int64_t count);
  ParseResult Finish();
  ParseResult Fail(std::string_view what);
  ParseResult LineUnfinished(std::string_view what_when_too_big);

  InputBuffer buffer_;
  size_t cursor_ = 0;        // next byte to look at, counted from buffer_.begin()
  int64_t args_left_ = 0;    // of the request in progress; 0 between requests
  int64_t bulk_bytes_ = -1;  // length of the argument in progress; -1: not known yet
  int64_t bulk_bytes_max_ = kDefaultBulkBytesMax;
  bool authenticated_ = true;
  std::vector<std::string_view> partial_args_;  // of the request in progress between Next calls
  std::string error_;
};

}  // namespace redynamo
