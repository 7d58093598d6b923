// SPDX-License-Identifier: Apache-2.0
// The dispatcher's step for clients of the cluster port: is the command of one slot, and is this
// the node for it? Answers are as Redis Cluster gives them (cluster_face.h has the rule).
#include <algorithm>
#include <memory>

#include "base/hash.h"
#include "server/cluster_view.h"
#include "server/dispatcher.h"
#include "server/server.h"

namespace redynamo {
namespace {

// EXEC that will only say why it does nothing.
bool IsVain(const Session& session, const Command& command) {
  return command.is_exec && (!session.transaction.open || session.transaction.queue_failed);
}

}  // namespace

// Nothing: the command goes on, session.runs_here says how. `fresh`: it has been compared.
std::optional<ExecuteResult> Dispatcher::JudgeOnClusterPort(Session& session,
                                                            const Command& command,
                                                            std::span<const std::string_view> argv,
                                                            uint32_t flags, bool fresh) {
  session.runs_here = false;
  TakeOwnShare(session, command, flags, fresh);
  bool has_keys = CommandTable::HasKeys(*command.row) || command.is_exec;
  if (!has_keys || IsVain(session, command)) return std::nullopt;
  keys_.clear();
  if (command.is_exec) {
    CollectQueuedKeys(session);
  } else {
    CollectKeys(session.database, *command.row, argv);
  }
  if (keys_.empty()) return std::nullopt;
  uint16_t slot = KeySlot(keys_[0].key);
  auto elsewhere = [slot](const KeyRef& key) { return KeySlot(key.key) != slot; };
  if (std::any_of(keys_.begin(), keys_.end(), elsewhere)) {
    return RefuseOnClusterPort(
        session, command, Reply::Error("CROSSSLOT Keys in request don't hash to the same slot"));
  }
  FaceCommand face;
  face.follows_writes = (flags & kWrite) || command.name() == "watch";
  face.stays = session.transaction.open || command.name() == "watch";
  face.reads_anywhere = session.readonly;
  int64_t now_ms = server_.clock().MonotonicUs() / 1000;
  bool lately = session.recent_moves && session.recent_moves->Lately(slot, now_ms);
  ClusterView& view = server_.cluster_view();
  switch (JudgeOnFace(face, view.PlacesOf(slot, session), lately)) {
    case FaceVerdict::kServe: return std::nullopt;
    case FaceVerdict::kServeHere: session.runs_here = true; return std::nullopt;
    case FaceVerdict::kMoved: break;
  }
  if (!session.recent_moves) session.recent_moves = std::make_unique<RecentMoves>();
  session.recent_moves->Note(slot, now_ms);
  return RefuseOnClusterPort(session, command,
                             Reply::ErrorText("MOVED " + std::to_string(slot) + " " +
                                              view.CoordinatorAddress(slot, session)));
}

// Cluster clients send SCAN, DBSIZE or FLUSHALL to every node, and add up: each answers for what it
// is shown to have. One that has been compared keeps the share that it was compared for.
void Dispatcher::TakeOwnShare(Session& session, const Command& command, uint32_t flags,
                              bool fresh) {
  bool whole = (flags & kWholeDatabase) && !command.container;
  if (!whole) session.share = nullptr;
  if (!whole || !server_.has_engine()) return;
  session.runs_here = !command.is_exec;
  if (fresh && session.share) return;
  session.share = nullptr;
  std::optional<PartitionSet> share = server_.cluster_view().OwnShare(session);
  if (!share) return;
  session.own_share = std::make_unique<PartitionSet>(*share);
  session.share = session.own_share.get();
}

// As Redis does: EXEC's own error is the redirection itself, and its transaction is gone.
ExecuteResult Dispatcher::RefuseOnClusterPort(Session& session, const Command& command,
                                              const Reply& error) {
  if (!command.is_exec) return Refuse(session, &command, error);
  server_.stats().commands[command.id].rejected++;
  server_.stats().CountError(error.text());
  DiscardTransaction(server_, session);
  session.Write(error);
  return Finish(session);
}

}  // namespace redynamo
