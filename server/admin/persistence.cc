// SPDX-License-Identifier: Apache-2.0
// SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE and SHUTDOWN. What is written is in the log already; all
// that is left to ask for is a checkpoint, which bounds how much of the log a start replays.
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {
namespace {

Reply Save(CommandContext& context, ArgReader&) {
  Server* server = &context.server;
  DeferredReply later = context.session.Defer();
  server->engine().Checkpoint([server, later](const Status& status) {
    server->Answer(later, status.ok() ? Reply::Ok() : Reply::ErrorText("ERR " + status.message()));
  });
  return Reply::None();
}

void CheckpointInBackground(Server& server) {
  server.engine().Checkpoint([](const Status& status) {
    if (!status.ok()) LogWarning("checkpoint asked for by a client failed: " + status.message());
  });
}

Reply BgSave(CommandContext& context, ArgReader& args) {
  bool schedule = args.TryWord("SCHEDULE");
  if (!args.done()) return SyntaxError();
  bool running = context.server.engine().Stats().checkpoint_running;
  CheckpointInBackground(context.server);
  return Reply::StaticStatus(schedule && running ? "Background saving scheduled"
                                                 : "Background saving started");
}

Reply BgRewriteAof(CommandContext& context, ArgReader&) {
  bool running = context.server.engine().Stats().checkpoint_running;
  CheckpointInBackground(context.server);
  return Reply::StaticStatus(running ? "Background append only file rewriting scheduled"
                                     : "Background append only file rewriting started");
}

Reply LastSave(CommandContext& context, ArgReader&) {
  Server& server = context.server;
  int64_t last = server.has_engine() ? server.engine().Stats().last_checkpoint_unix_s : 0;
  return Reply::Integer(last != 0 ? last : server.started_unix_ms() / 1000);
}

struct ShutdownWords {
  bool save = false, no_save = false, now = false, force = false, abort = false;
};

bool ReadShutdown(ArgReader& args, ShutdownWords* words) {
  while (!args.done()) {
    if (args.TryWord("SAVE")) {
      words->save = true;
    } else if (args.TryWord("NOSAVE")) {
      words->no_save = true;
    } else if (args.TryWord("NOW")) {
      words->now = true;
    } else if (args.TryWord("FORCE")) {
      words->force = true;
    } else if (args.TryWord("ABORT")) {
      words->abort = true;
    } else {
      return false;
    }
  }
  bool has_other = words->save || words->no_save || words->now || words->force;
  return !(words->abort && has_other) && !(words->save && words->no_save);
}

Reply Shutdown(CommandContext& context, ArgReader& args) {
  ShutdownWords words;
  if (!ReadShutdown(args, &words)) return SyntaxError();
  ShutdownControl& shutdown = context.server.shutdown();
  if (words.abort) {
    return shutdown.Abort() ? Reply::Ok() : Reply::Error("ERR No shutdown in progress.");
  }
  if (!context.server.loop) return Reply::Error("ERR Errors trying to SHUTDOWN. Check logs.");
  // No answer when all goes well: the connection closes with the process.
  DeferredReply later = context.session.Defer();
  shutdown.Begin({.save = !words.no_save, .now = words.now, .force = words.force}, later);
  return Reply::None();
}

constexpr uint32_t kKeep = kAdmin | kNoScript | kNoAsyncLoading;

constexpr CommandRow kRows[] = {
    {"bgrewriteaof", 1, kKeep, 0, 0, 0, KeyAccess::kNone, BgRewriteAof, "server", "1.0.0", "O(1)",
     "Starts a checkpoint"},
    {"bgsave", -1, kKeep, 0, 0, 0, KeyAccess::kNone, BgSave, "server", "1.0.0", "O(1)",
     "Starts a checkpoint"},
    {"lastsave", 1, kLoading | kStale | kFast, 0, 0, 0, KeyAccess::kNone, LastSave, "server",
     "1.0.0", "O(1)", "When the last checkpoint was finished"},
    {"save", 1, kKeep | kNoMulti, 0, 0, 0, KeyAccess::kNone, Save, "server", "1.0.0",
     "O(N) where N is the number of rows changed since the last checkpoint",
     "Makes a checkpoint and answers when it is finished"},
    {"shutdown", -1, kAdmin | kNoScript | kLoading | kStale | kNoMulti | kAllowBusy, 0, 0, 0,
     KeyAccess::kNone, Shutdown, "server", "1.0.0",
     "O(N) when saving, where N is the number of rows changed since the last checkpoint",
     "Ends the server in good order"},
};

}  // namespace

std::span<const CommandRow> PersistenceCommands() { return kRows; }

}  // namespace redynamo
