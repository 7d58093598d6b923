// SPDX-License-Identifier: Apache-2.0
// The dispatcher's steps on a ring of several nodes: where a command runs, what its local copies
// must be compared with before, and what its reply waits for.
#include <utility>

#include "base/hash.h"
#include "server/dispatcher.h"
#include "server/ring.h"
#include "server/server.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr size_t kComparedKeysMax = 256;  // with one question

// Writes that replace or add without looking: the local copy will do (REPLICATION.md 4.2). The
// counts that some of them answer are those of this replica.
constexpr std::string_view kBlind[] = {"set",   "mset", "setex", "psetex", "sadd",   "hset",
                                       "hmset", "incr", "decr",  "incrby", "decrby", "hincrby"};

bool IsBlind(const Command& command) {
  for (std::string_view name : kBlind) {
    if (command.name() == name) return true;
  }
  return false;
}

}  // namespace

void Dispatcher::CollectForRing(Session& session, const Command& command,
                                std::span<const std::string_view> argv) {
  keys_.clear();
  if (command.is_exec) {
    CollectQueuedKeys(session);
  } else {
    CollectKeys(session.database, *command.row, argv);
  }
}

std::optional<ExecuteResult> Dispatcher::RouteInRing(Session& session, const Command& command,
                                                     std::span<const std::string_view> argv,
                                                     uint32_t flags) {
  Ring& ring = *server_.ring();
  CollectForRing(session, command, argv);
  slots_.clear();
  for (const KeyRef& key : keys_) slots_.push_back(KeySlot(key.key));
  bool writes = flags & kWrite;
  if (slots_.empty() && writes) slots_.push_back(0);  // all of them: one says who can be reached
  if (slots_.empty()) return std::nullopt;
  Node::Forwarding how =
      session.hops == 0 ? Node::Forwarding::kPrefer : Node::Forwarding::kIfNeeded;
  bool never = session.hops >= wire::Forward::kHopsMax || command.is_exec || session.runs_here ||
               keys_.empty();
  Node::Route route = ring.node().RouteOf(slots_, writes, never ? Node::Forwarding::kNever : how);
  switch (route.kind) {
    case Node::Route::kHere: return std::nullopt;
    case Node::Route::kRefuse:
      session.misrouted = route.misrouted;
      return Refuse(session, &command, Reply::ErrorText(route.error));
    case Node::Route::kForward: break;
  }
  ring.Forward(session, route.peer, argv, writes);
  session.last_command = &command;
  return Finish(session);
}

std::optional<Id128> Dispatcher::CoordinatorOf(std::span<const std::string_view> argv,
                                               int database) {
  const Command* command = server_.commands().Find(argv[0]);
  if (!command) return std::nullopt;
  keys_.clear();
  CollectKeys(database, *command->row, argv);
  if (keys_.empty()) return std::nullopt;
  return server_.ring()->node().CoordinatorOf(PartitionOfSlot(KeySlot(keys_[0].key)));
}

bool Dispatcher::FreshInRing(Session& session, const Command& command,
                             std::span<const std::string_view> argv) {
  Node& node = server_.ring()->node();
  if (!node.NeedsFresh() || IsBlind(command)) return true;
  CollectForRing(session, command, argv);
  if (keys_.empty()) return true;
  uint32_t covered = 1 + CompareAhead(session, argv);
  std::vector<Node::KeyName> names;
  for (const KeyRef& key : keys_) names.push_back({key.database, key.key, KeySlot(key.key)});
  uint64_t id = session.id(), ticket = ++session.ticket;
  bool asked = node.ReadFresh(names, [this, id, ticket, covered](const Status& status) {
    Session* waiting = server_.clients().Find(id);
    if (!waiting || waiting->ticket != ticket || waiting->state != SessionState::kComparing) {
      return;  // the client has gone
    }
    if (status.ok()) {
      waiting->fresh = covered;
      return RunParked(*waiting);
    }
    RefuseParked(*waiting,
                 Reply::ErrorText("TRYAGAIN " + status.message() + ". Nothing was changed"));
  });
  if (!asked) return true;
  session.state = SessionState::kComparing;
  session.parked_argv = argv;
  return false;
}

// A pipeline asks once for many keys: those of the requests behind this one are added to keys_.
// Gives how many requests they are.
uint32_t Dispatcher::CompareAhead(Session& session, std::span<const std::string_view> argv) {
  size_t at = 0;
  while (at < upcoming_.size() && upcoming_[at].args.data() != argv.data()) at++;
  uint32_t covered = 0;
  for (at++; at < upcoming_.size() && keys_.size() < kComparedKeysMax; at++, covered++) {
    std::span<const std::string_view> next = upcoming_[at].args;
    const Command* command = server_.commands().Find(next[0]);
    bool plain = command && command->row->first_key > 0 && command->row->handler &&
                 CommandTable::ArityFits(*command->row, next.size());
    if (!plain) break;
    if (IsBlind(*command)) continue;
    size_t before = keys_.size();
    CollectKeys(session.database, *command->row, next);
    slots_.clear();
    for (size_t i = before; i < keys_.size(); i++) slots_.push_back(KeySlot(keys_[i].key));
    Node::Forwarding how =
        session.hops == 0 ? Node::Forwarding::kPrefer : Node::Forwarding::kIfNeeded;
    if (session.identity.cluster_client) how = Node::Forwarding::kNever;  // read at any home
    Node::Route route = server_.ring()->node().RouteOf(slots_, false, how);
    if (route.kind != Node::Route::kHere) keys_.resize(before, KeyRef{});
  }
  return covered;
}

// Of a write on a ring: what is rendered until its commit waits for W replicas.
uint64_t Dispatcher::HoldForRing(Session& session, uint32_t flags) {
  if (!(flags & kWrite) || !server_.ring() || !server_.ring()->several()) return 0;
  ring_record_ = server_.ring()->node().last_record();
  return session.output.Hold();
}

void Dispatcher::AwaitInRing(Session& session, uint64_t reply_id) {
  if (reply_id == 0) return;
  Node& node = server_.ring()->node();
  if (node.last_record() == ring_record_) {
    session.output.Resolve(reply_id, server_.turn());  // it has changed nothing
  } else {
    node.Await(node.last_record(), {session.id(), reply_id});
  }
}

}  // namespace redynamo
