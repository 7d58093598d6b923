// SPDX-License-Identifier: Apache-2.0
#include "server/session_pipeline.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log_line.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr size_t kBatchPoolSize = 64;
// A batch that one huge request has made big is not kept.
constexpr size_t kKeptArgsMax = 4096;

constexpr std::string_view kTooManyClients = "-ERR max number of clients reached\r\n";
constexpr std::string_view kProtectedMode =
    "-DENIED Redis is running in protected mode because protected mode is enabled and no password "
    "is set for the default user. In this mode only clients of the loopback interface are served. "
    "To let others in: set a password with 'CONFIG SET requirepass' from the server's own machine "
    "(and keep it with CONFIG REWRITE); or, if no stranger can reach this port, turn this "
    "protection off with 'CONFIG SET protected-mode no', the same line in the configuration file, "
    "or the option '--protected-mode no' at start.\r\n";

}  // namespace

std::unique_ptr<RequestBatch> RequestBatchPool::Take() {
  if (batches_.empty()) return std::make_unique<RequestBatch>();
  std::unique_ptr<RequestBatch> batch = std::move(batches_.back());
  batches_.pop_back();
  return batch;
}

void RequestBatchPool::Give(std::unique_ptr<RequestBatch> batch) {
  if (batches_.size() >= kBatchPoolSize) return;
  for (int i = 0; i < batch->count; ++i) {
    if (batch->requests[i].args.capacity() > kKeptArgsMax) batch->requests[i] = Request();
  }
  batches_.push_back(std::move(batch));
}

bool FillBatch(RespParser& parser, int most, RequestBatch* batch) {
  batch->next = batch->count = 0;
  while (batch->count < most) {
    ParseResult result = parser.Next(&batch->requests[batch->count]);
    if (result != ParseResult::kRequest) return result != ParseResult::kError;
    batch->count++;
  }
  return true;
}

void ExecuteBatch(Session& session, RequestBatch& batch, int* budget) {
  Dispatcher& dispatcher = session.server().dispatcher();
  dispatcher.Prefetch(session, batch.rest());
  while (!batch.empty() && *budget > 0) {
    --*budget;
    if (dispatcher.Execute(session, batch.requests[batch.next++].args) != ExecuteResult::kDone) {
      break;
    }
  }
  dispatcher.EndPrefetch();
  if (batch.empty()) session.fresh = 0;  // what was compared ahead is for this batch
}

std::optional<std::string_view> RefusalOf(Server& server, const SessionIdentity& who) {
  const Config& config = server.config();
  bool too_many = int64_t(server.clients().size()) >= config.maxclients;
  bool open_to_all = config.protected_mode && config.requirepass.empty();
  if (!too_many && (!open_to_all || who.loopback)) {
    server.stats().connections_received++;
    return std::nullopt;
  }
  server.stats().rejected_connections++;
  return too_many ? kTooManyClients : kProtectedMode;
}

void AnswerProtocolError(Session& session, std::string_view text) {
  LogLine(LogLevel::kVerbose,
          "Protocol error from client " + session.identity.address + ": " + std::string(text));
  session.server().stats().CountError(text);
  session.Write(Reply::ErrorText(std::string(text)));
  session.CloseAfterReplies();
}

bool OutputWithinLimits(Session& session) {
  Server& server = session.server();
  uint64_t pending = session.output.pending_bytes();
  server.stats().recent_max_output_bytes =
      std::max(server.stats().recent_max_output_bytes, pending);
  const OutputBufferLimit& limit =
      server.config()
          .client_output_buffer_limit[session.is_pubsub() ? kClientPubsub : kClientNormal];
  bool over_hard = limit.hard_bytes && pending >= limit.hard_bytes;
  bool over_soft = limit.soft_bytes && pending >= limit.soft_bytes;
  if (!over_soft) {
    session.soft_limit_since_ms = 0;
  } else if (session.soft_limit_since_ms == 0) {
    session.soft_limit_since_ms = server.now_ms();
    over_soft = false;
  } else {
    over_soft = server.now_ms() - session.soft_limit_since_ms > limit.soft_seconds * 1000;
  }
  if (!over_hard && !over_soft) return true;
  server.stats().output_limit_disconnections++;
  LogWarning("Client closed for overcoming of output buffer limits: " +
             ClientRegistry::Describe(session, server.now_ms()));
  return false;
}

void CountQueryLimit(Session& session) {
  Server& server = session.server();
  server.stats().query_limit_disconnections++;
  LogWarning("Closing client that reached max query buffer length: " +
             ClientRegistry::Describe(session, server.now_ms()));
}

}  // namespace redynamo
