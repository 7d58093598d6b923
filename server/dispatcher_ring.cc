// SPDX-License-Identifier: Apache-2.0
// The dispatcher's steps on a ring of several nodes: where a command runs, what its local copies
// must be compared with before, and what its reply waits for.
#include <algorithm>
#include <functional>
#include <utility>

#include "base/hash.h"
#include "server/dispatcher.h"
#include "server/replica_waits.h"
#include "server/ring.h"
#include "server/ring_policy.h"
#include "server/ring_share.h"
#include "server/ring_watch.h"
#include "server/ring_why.h"
#include "server/scatter.h"
#include "server/server.h"
#include "server/transaction.h"
#include "storage/slot_table.h"

namespace redynamo {
namespace {

constexpr size_t kComparedKeysMax = 256;  // with one question
// So long after its last write a client's reads go where that was coordinated, unless quorums meet.
constexpr int64_t kOwnWritesMs = 1000;

// Writes that replace or add without looking: the local copy will do (REPLICATION.md 4.2). The
// counts that some of them answer are those of this replica.
constexpr std::string_view kBlind[] = {"set",   "mset", "setex", "psetex", "sadd",   "hset",
                                       "hmset", "incr", "decr",  "incrby", "decrby", "hincrby"};

constexpr std::string_view kCrossing =
    "CROSSSLOT Keys in request don't hash to the same slot, and no node of the ring is a replica "
    "of all of them: give them one hash tag, as in {tag}key";

// Commands of a transaction that another node can run as well: those on keys, and some that leave
// the connection alone.
bool RunsAnywhere(const Command& command) {
  static constexpr std::string_view kNames[] = {"echo", "ping", "publish", "spublish", "time"};
  if (CommandTable::HasKeys(*command.row)) return true;
  return std::ranges::find(kNames, command.name()) != std::end(kNames);
}

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
    for (const WatchedKey& watched : session.watched) {
      keys_.push_back({watched.database, watched.key, ElementNeed::kNone});
    }
  } else {
    CollectKeys(session.database, *command.row, argv);
  }
}

// What the command in hand asks for, whose keys these are.
RequestQuorum Dispatcher::QuorumFor(const Session& session, std::span<const KeyRef> keys) const {
  const Config& config = server_.config();
  if (config.ring_policies.empty() || keys.empty()) return session.quorum;
  RequestQuorum ring{
      .n = uint8_t(config.ring_n),
      .r = uint8_t(config.ring_r),
      .w = uint8_t(config.ring_w),
      .sloppiness = config.ring_sloppy ? RequestQuorum::kSloppy : RequestQuorum::kStrict};
  auto policy_of = [&](const KeyRef& key) {
    return PolicyOf(config.ring_policies, key.database, key.key);
  };
  RequestQuorum policy = policy_of(keys[0]);
  for (const KeyRef& key : keys.subspan(1)) policy = StricterOf(policy, policy_of(key), ring);
  return session.quorum.Or(policy);
}

// A read is answered by this node when it is a replica itself (REPLICATION.md 4.3); but where R and
// W need not meet, a client's own writes are seen soonest where they were coordinated, and what is
// still under way from this client must not be overtaken.
bool Dispatcher::ReadsHere(const Session& session) const {
  if (session.output.HasHeldReplies()) return false;
  if (session.last_write_ms + kOwnWritesMs <= server_.now_ms()) return true;
  return server_.ring()->node().ReadsMeetWrites(session.request_quorum);
}

std::optional<ExecuteResult> Dispatcher::RouteInRing(Session& session, const Command& command,
                                                     std::span<const std::string_view> argv,
                                                     uint32_t flags) {
  Node& node = server_.ring()->node();
  CollectForRing(session, command, argv);
  session.request_quorum = QuorumFor(session, keys_);
  slots_.clear();
  for (const KeyRef& key : keys_) slots_.push_back(KeySlot(key.key));
  std::string obstacle = ObstacleInRing(session, command, flags);
  if (!obstacle.empty()) return Refuse(session, &command, Reply::ErrorText(obstacle));
  if (session.share && session.hops > 0) return std::nullopt;
  if (command.row->handler == RingWhy && session.hops > 0) return std::nullopt;  // what is here
  if (MustSettle(session, command)) {
    session.state = SessionState::kSettling;
    session.parked_argv = argv;
    session.fresh = 0;
    return ExecuteResult::kParked;
  }
  if (session.share && session.runs_here) return std::nullopt;  // a cluster client's: of this node
  if (command.is_exec && session.hops == 0) {
    std::optional<ExecuteResult> passed = PassTransaction(session, command, flags);
    if (passed) return passed;
  }
  if (IsWatch(command) && session.hops == 0) return WatchInRing(session, command, argv);
  bool may_pass_on = session.hops == 0 && !command.is_exec;
  if (may_pass_on && !session.share) {
    std::optional<ExecuteResult> spread = GatherInRing(session, command, argv);
    if (spread) return spread;
  }
  bool writes = flags & kWrite;
  if (slots_.empty() && writes) slots_.push_back(0);  // all of them: one says who can be reached
  if (slots_.empty()) return std::nullopt;
  if (may_pass_on && keys_.size() > 1) {
    std::optional<Id128> home = CommonHome(node, slots_);
    if (home) return ForwardInRing(session, command, *home, argv, flags);
  }
  bool stays = session.hops > 0 || (!writes && ReadsHere(session));
  Node::Forwarding how = stays ? Node::Forwarding::kIfNeeded : Node::Forwarding::kPrefer;
  bool never = session.hops >= wire::Forward::kHopsMax || command.is_exec || session.runs_here ||
               keys_.empty();
  Node::Route route =
      node.RouteOf(slots_, writes, never ? Node::Forwarding::kNever : how, session.request_quorum);
  switch (route.kind) {
    case Node::Route::kHere: return std::nullopt;
    case Node::Route::kRefuse:
      if (route.error.starts_with("CROSSSLOT")) route.error = kCrossing;
      session.misrouted = route.misrouted;
      return Refuse(session, &command, Reply::ErrorText(route.error));
    case Node::Route::kForward: break;
  }
  return ForwardInRing(session, command, route.peer, argv, flags);
}

// At the coordinator, where EXEC will run (PassTransaction). What this node coordinates it watches
// itself, by the hooks of its sessions; so it does as a home when the coordinator cannot be asked.
std::optional<ExecuteResult> Dispatcher::WatchInRing(Session& session, const Command& command,
                                                     std::span<const std::string_view> argv) {
  const Node& node = server_.ring()->node();
  bool coordinates = std::ranges::all_of(slots_, [&](uint16_t slot) {
    return node.CoordinatorOf(PartitionOfSlot(slot)) == node.self();
  });
  bool home = IsHomeOf(node, slots_);
  if (session.transaction.open || (home && (coordinates || session.runs_here))) return std::nullopt;
  GatherChoice choice = PlanWatch(server_, session, argv, slots_);
  if (home && choice.kind == GatherChoice::kRefuse) return std::nullopt;
  return StartGather(session, command, std::move(choice));
}

ExecuteResult Dispatcher::ForwardInRing(Session& session, const Command& command, const Id128& peer,
                                        std::span<const std::string_view> argv, uint32_t flags) {
  server_.ring()->Forward(session, peer, argv, flags & kWrite);
  session.last_command = &command;
  return Finish(session);
}

// Other nodes may still be at work on what this client has sent before: a command that goes to none
// of them alone must not overtake that.
bool Dispatcher::MustSettle(const Session& session, const Command& command) const {
  if (!session.output.HasHeldReplies() || session.hops > 0) return false;
  bool waits = command.row->handler == Wait || command.row->handler == WaitAof;
  if (command.has(kWholeDatabase) || waits) return true;
  const Node& node = server_.ring()->node();
  std::optional<Id128> one;
  if (command.is_exec) one = node.self();
  for (uint16_t slot : slots_) {
    std::optional<Id128> coordinator = node.CoordinatorOf(PartitionOfSlot(slot));
    if (one && coordinator != one) return true;
    one = coordinator;
  }
  return false;
}

// Transactions that write, or watch, run where plain writes of their keys do: EXECs of all nodes'
// clients come one after the other there, and so of those that have seen the same version one alone
// succeeds. A home runs it itself if nobody coordinates all keys, or who does cannot be asked.
std::optional<ExecuteResult> Dispatcher::PassTransaction(Session& session, const Command& command,
                                                         uint32_t flags) {
  Node& node = server_.ring()->node();
  if (slots_.empty() || session.transaction.queue_failed) return std::nullopt;
  bool writes = flags & kWrite;
  Node::Route route =
      node.RouteOf(slots_, writes, Node::Forwarding::kPrefer, session.request_quorum);
  bool elsewhere = route.kind == Node::Route::kForward;
  std::optional<Id128> peer = elsewhere ? route.peer : CommonHome(node, slots_);
  std::string obstacle = WhyNotPassed(session, peer);
  if (IsHomeOf(node, slots_)) {
    bool gains = elsewhere && (writes || !session.watched.empty()) && !session.runs_here;
    if (!gains || !obstacle.empty()) return std::nullopt;
  }
  if (!obstacle.empty()) return Refuse(session, &command, Reply::ErrorText(obstacle));
  server_.ring()->ForwardTransaction(session, *peer, writes);
  DiscardTransaction(server_, session);
  session.last_command = &command;
  return Finish(session);
}

// The error when no other node can run the session's transaction; nothing when `peer` can.
std::string Dispatcher::WhyNotPassed(const Session& session, std::optional<Id128> peer) const {
  bool watches_here = std::ranges::any_of(session.watched, std::not_fn(&WatchedKey::elsewhere));
  if (watches_here) {
    return "CROSSSLOT this node watches a key, but is no replica of all keys of the "
           "transaction: give them one hash tag, as in {tag}key";
  }
  for (const QueuedCommand& queued : session.transaction.queue) {
    if (RunsAnywhere(*queued.command)) continue;
    return "CROSSSLOT another node has the keys of this transaction, and it cannot run " +
           std::string(queued.command->name()) + " for this connection";
  }
  if (!peer) return std::string(kCrossing);
  if (!session.watched.empty() && !server_.ring()->node().Shares(*peer, kWatches)) {
    return "TRYAGAIN the node that would run this transaction has a version that cannot compare "
           "what is watched. Nothing was changed";
  }
  return {};
}

std::string Dispatcher::ObstacleInRing(const Session& session, const Command& command,
                                       uint32_t flags) {
  Node& node = server_.ring()->node();
  if (session.share) {
    return ShareRefusal(node, *session.share, flags & kWrite, session.request_quorum);
  }
  if (!command.is_exec) return {};
  if (flags & kWholeDatabase && !IsHomeOfAll(node)) {
    return "CROSSSLOT a command on all keys cannot be part of a transaction: no node of the ring "
           "has all of them";
  }
  return {};
}

std::optional<ExecuteResult> Dispatcher::GatherInRing(Session& session, const Command& command,
                                                      std::span<const std::string_view> argv) {
  Ring& ring = *server_.ring();
  GatherChoice choice;
  if (command.has(kWholeDatabase)) {
    uint64_t keys_here = server_.engine().Database(session.database).size();
    choice =
        PlanWhole(ring.node(), {command, argv, session.version(), keys_here, server_.randomness()});
  } else if (command.row->handler == RingWhy) {
    choice = PlanWhy(ring.node(), argv, session.version());
  } else {
    choice = PlanScatter(ring.node(), command, argv, slots_, session.request_quorum);
  }
  return StartGather(session, command, std::move(choice));
}

std::optional<ExecuteResult> Dispatcher::StartGather(Session& session, const Command& command,
                                                     GatherChoice choice) {
  if (choice.kind == GatherChoice::kNone) return std::nullopt;
  if (choice.kind == GatherChoice::kRefuse) {
    return Refuse(session, &command, Reply::ErrorText(choice.error));
  }
  session.last_command = &command;
  session.fresh = 0;  // what was compared ahead is older than what this does
  server_.ring()->gatherer().Start(session, std::move(choice.plan));
  return Finish(session);
}

bool Dispatcher::FreshInRing(Session& session, const Command& command,
                             std::span<const std::string_view> argv) {
  Node& node = server_.ring()->node();
  if (!node.NeedsFresh(session.request_quorum) || IsBlind(command)) return true;
  if (session.transaction.open && !command.is_exec) return true;  // WATCH: an error in any case
  if (command.row->handler == RingWhy) return true;
  if (session.share) return CompareShare(session, argv);
  CollectForRing(session, command, argv);
  if (keys_.empty()) return true;
  size_t own = keys_.size();
  uint32_t covered = 1 + CompareAhead(session, argv);
  std::vector<Node::KeyName> names;
  for (const KeyRef& key : keys_) {
    RequestQuorum quorum =
        names.size() < own ? session.request_quorum : QuorumFor(session, {&key, 1});
    names.push_back({key.database, key.key, KeySlot(key.key), quorum});
  }
  uint64_t ticket = ++session.ticket;
  if (!node.ReadFresh(names, WhenCompared(session.id(), ticket, covered))) return true;
  session.state = SessionState::kComparing;
  session.parked_argv = argv;
  return false;
}

bool Dispatcher::CompareShare(Session& session, std::span<const std::string_view> argv) {
  Node& node = server_.ring()->node();
  uint64_t ticket = ++session.ticket;
  auto done = WhenCompared(session.id(), ticket, 1);
  if (!node.ReadFreshPartitions(*session.share, session.request_quorum, std::move(done)))
    return true;
  session.state = SessionState::kComparing;
  session.parked_argv = argv;
  return false;
}

// Runs the command of the session that is parked by then.
std::function<void(const Status&)> Dispatcher::WhenCompared(uint64_t id, uint64_t ticket,
                                                            uint32_t covered) {
  return [this, id, ticket, covered](const Status& status) {
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
  };
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
    bool stays = session.hops > 0 || ReadsHere(session);
    Node::Forwarding how = stays ? Node::Forwarding::kIfNeeded : Node::Forwarding::kPrefer;
    if (session.identity.cluster_client) how = Node::Forwarding::kNever;  // read at any home
    Node::Route route = server_.ring()->node().RouteOf(
        slots_, false, how, QuorumFor(session, std::span(keys_).subspan(before)));
    if (route.kind != Node::Route::kHere) keys_.resize(before, KeyRef{});
  }
  return covered;
}

// Of a write on a ring: what is rendered until its commit waits for W replicas.
uint64_t Dispatcher::HoldForRing(Session& session, uint32_t flags) {
  if (!(flags & kWrite) || !server_.ring() || !server_.ring()->several()) return 0;
  Node& node = server_.ring()->node();
  ring_record_ = node.last_record();
  node.SetRecordQuorum(session.request_quorum);
  return session.output.Hold();
}

void Dispatcher::AwaitInRing(Session& session, uint64_t reply_id) {
  if (reply_id == 0) return;
  Node& node = server_.ring()->node();
  node.SetRecordQuorum({});
  if (node.last_record() == ring_record_) {
    session.output.Resolve(reply_id, server_.turn());  // it has changed nothing
  } else {
    if (session.hops == 0) {
      session.NoteWriteThrough(node.self(), node.CopiesWhenAnswered(session.request_quorum));
    }
    node.Await(node.last_record(), {session.id(), reply_id});
  }
}

}  // namespace redynamo
