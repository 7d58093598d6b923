// SPDX-License-Identifier: Apache-2.0
// MULTI, EXEC, DISCARD, WATCH, UNWATCH. The queueing itself is the dispatcher's.
#include "server/transaction.h"

#include <string>

#include "server/command_families.h"
#include "server/ring_watch.h"
#include "server/server.h"

namespace redynamo {
namespace {

Reply Multi(CommandContext& context, ArgReader&) {
  TransactionState& transaction = context.session.transaction;
  if (transaction.open) return Reply::Error("ERR MULTI calls can not be nested");
  transaction.open = true;
  return Reply::Ok();
}

Reply Discard(CommandContext& context, ArgReader&) {
  if (!context.session.transaction.open) return Reply::Error("ERR DISCARD without MULTI");
  DiscardTransaction(context.server, context.session);
  return Reply::Ok();
}

// The replies are rendered one by one: views into the store do not outlive the next command.
Reply Exec(CommandContext& context, ArgReader&) {
  Session& session = context.session;
  TransactionState& transaction = session.transaction;
  if (!transaction.open) return Reply::Error("ERR EXEC without MULTI");
  if (transaction.queue_failed || WatchTable::Failed(session, context.now_ms) ||
      WatchedElsewhereChanged(context.server, session)) {
    bool failed = transaction.queue_failed;
    DiscardTransaction(context.server, session);
    return failed ? Reply::Error("EXECABORT Transaction discarded because of previous errors.")
                  : Reply::NilArray();
  }
  context.server.watches().UnwatchAll(session);  // its own writes are nobody's surprise
  transaction.running = true;
  if (std::string* out = session.Output()) AppendArrayHeader(transaction.queue.size(), out);
  // RESET and the like cannot be queued, so the queue stays where it is.
  for (const QueuedCommand& queued : transaction.queue) {
    std::vector<std::string_view> args = queued.Args();
    context.server.dispatcher().RunNested(session, *queued.command, args);
  }
  DiscardTransaction(context.server, session);
  return Reply::None();
}

Reply Watch(CommandContext& context, ArgReader& args) {
  Session& session = context.session;
  if (session.transaction.open) return Reply::Error("ERR WATCH inside MULTI is not allowed");
  if (session.hops > 0)
    return VersionsReply(context.server.engine(), session.database, args.rest());
  if (session.transaction.watch_failed) return Reply::Ok();  // EXEC will fail whatever is added
  for (std::string_view key : args.rest()) {
    KeyView view = context.keys.Peek(key);
    int64_t deadline_ms = view.exists() ? view.deadline_ms() : kNoDeadline;
    context.server.watches().Watch(session, session.database, key, view.exists(), deadline_ms);
  }
  return Reply::Ok();
}

Reply Unwatch(CommandContext& context, ArgReader&) {
  context.server.watches().UnwatchAll(context.session);
  return Reply::Ok();
}

constexpr uint32_t kAnyTime = kNoScript | kLoading | kStale | kAllowBusy;

constexpr CommandRow kRows[] = {
    {"discard", 1, kAnyTime | kFast, 0, 0, 0, KeyAccess::kNone, Discard, "transactions", "2.0.0",
     "O(N), when N is the number of queued commands", "Forgets the queued commands"},
    {"exec", 1, kNoScript | kLoading | kStale | kSkipSlowlog, 0, 0, 0, KeyAccess::kNone, Exec,
     "transactions", "1.2.0", "Depends on commands in the transaction",
     "Runs the queued commands as one"},
    {"multi", 1, kAnyTime | kFast, 0, 0, 0, KeyAccess::kNone, Multi, "transactions", "1.2.0",
     "O(1)", "Queues the commands that follow"},
    {"unwatch", 1, kAnyTime | kFast, 0, 0, 0, KeyAccess::kNone, Unwatch, "transactions", "2.2.0",
     "O(1)", "Forgets the watched keys"},
    {"watch", -2, kAnyTime | kFast, 1, -1, 1, KeyAccess::kRead, Watch, "transactions", "2.2.0",
     "O(1) for every key.", "Makes EXEC fail if a key changes before it"},
};

}  // namespace

std::span<const CommandRow> TransactionCommands() { return kRows; }

}  // namespace redynamo
