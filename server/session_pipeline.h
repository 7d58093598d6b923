// SPDX-License-Identifier: Apache-2.0
// What every transport does with a session, however its bytes travel: parse ahead into batches,
// execute them, hold clients to their limits.
//
// FillBatch and RequestBatchPool belong to whatever thread reads; the rest is for the data thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/request.h"
#include "protocol/resp_parser.h"
#include "server/session.h"

namespace redynamo {

class Server;

inline constexpr size_t kReadBytes = 64 * 1024;
// Requests of one client that run before others get their turn.
inline constexpr int kRequestsPerTurn = 1024;
// Input that may gather behind a command that waits for keys or a pause.
inline constexpr size_t kWaitingInputBytes = 256 * 1024;
// A client that sends on without reading its replies is not executed beyond this; Redis would go on
// to its output limit, so it must be far above what a client legitimately has in one pipeline.
inline constexpr uint64_t kPendingOutputStopBytes = 256 << 20;

// Requests that are parsed ahead of execution; views into the parser's buffer.
struct RequestBatch {
  static constexpr int kRequests = 64;
  std::array<Request, kRequests> requests;
  int count = 0;
  int next = 0;
  bool empty() const { return next == count; }
  std::span<const Request> rest() const {
    return std::span(requests).subspan(size_t(next), size_t(count - next));
  }
};

// Batches that rest between two uses.
class RequestBatchPool {
 public:
  std::unique_ptr<RequestBatch> Take();
  void Give(std::unique_ptr<RequestBatch> batch);

 private:
  std::vector<std::unique_ptr<RequestBatch>> batches_;
};

// Parses up to `most` requests into the batch, which is emptied first. False: a protocol error
// follows those that are in it.
bool FillBatch(RespParser& parser, int most, RequestBatch* batch);

// Executes requests of the batch until it is empty, the session does not go on or `budget` is used
// up; each takes one from it.
void ExecuteBatch(Session& session, RequestBatch& batch, int* budget);

// Counts a new connection, or a refused one: then the text to send before closing (maxclients,
// protected mode).
std::optional<std::string_view> RefusalOf(Server& server, const SessionIdentity& who);

// Answers `text`, counts it and closes behind it.
void AnswerProtocolError(Session& session, std::string_view text);

// False, logged and counted: the replies that wait exceed client-output-buffer-limit, close now.
bool OutputWithinLimits(Session& session);
// Logs and counts: the input exceeds client-query-buffer-limit, close now.
void CountQueryLimit(Session& session);

}  // namespace redynamo
