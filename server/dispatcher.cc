// SPDX-License-Identifier: Apache-2.0
#include "server/dispatcher.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/number.h"
#include "server/admission.h"
#include "server/ring.h"
#include "server/ring_watch.h"
#include "server/server.h"
#include "server/tsc_clock.h"

namespace redynamo {
namespace {

// More would push the first ones out of the cache again.
constexpr size_t kHintsMax = 128;

uint32_t EffectiveFlags(const Session& session, const Command& command) {
  return command.is_exec ? command.row->flags | session.transaction.queued_flags
                         : command.row->flags;
}

bool UsesEngine(const Session& session, const Command& command) {
  if (!command.is_exec) return command.uses_engine;
  return session.transaction.uses_engine || WatchesElsewhere(session);
}

// After each request, answered or not: CLIENT REPLY SKIP mutes exactly the next one.
void AdvanceReplyMode(Session& session) {
  if (session.reply_mode == ReplyMode::kSkipThis) session.reply_mode = ReplyMode::kOn;
  if (session.reply_mode == ReplyMode::kSkipNext) session.reply_mode = ReplyMode::kSkipThis;
}

}  // namespace

ExecuteResult Dispatcher::Execute(Session& session, std::span<const std::string_view> argv) {
  start_ticks_ = TscClock::Now();
  server_.RefreshClockIfDue(start_ticks_);
  Reply refusal;
  const Command* command = Find(session, argv, &refusal);
  if (__builtin_expect(!command, 0)) {
    server_.stats().unknown_commands++;
    if (LooksLikeHttp(argv[0])) {
      LogWarning("Possible SECURITY ATTACK: a client speaks HTTP, its connection is closed: " +
                 session.identity.address);
      session.CloseNow();
      return ExecuteResult::kClose;
    }
    return Refuse(session, nullptr, refusal);
  }
  return Admit(session, *command, argv);
}

const Command* Dispatcher::Find(Session& session, std::span<const std::string_view> argv,
                                Reply* refusal) {
  std::string_view name = argv[0];
  if (name.size() == session.cached_name_size &&
      std::memcmp(name.data(), session.cached_name, name.size()) == 0) {
    return session.cached_command;
  }
  const Command* command = server_.commands().Find(name);
  if (!command) {
    *refusal = UnknownCommand(argv);
    return nullptr;
  }
  if (!command->subcommands.empty()) {
    if (argv.size() < 2) return command;  // the arity check refuses it
    const Command* subcommand = server_.commands().FindSubcommand(*command, argv[1]);
    // With a handler that takes words (DEBUG), it says what it does not know; COMMAND alone does
    // not.
    bool takes_words = command->row->handler && command->row->arity != -1;
    if (!subcommand && !takes_words) *refusal = UnknownSubcommand(*command, argv[1]);
    return subcommand || !takes_words ? subcommand : command;
  }
  if (name.size() <= sizeof session.cached_name) {
    std::memcpy(session.cached_name, name.data(), name.size());
    session.cached_name_size = uint8_t(name.size());
    session.cached_command = command;
  }
  return command;
}

ExecuteResult Dispatcher::Admit(Session& session, const Command& command,
                                std::span<const std::string_view> argv) {
  // Whatever becomes of the command: those behind it have been compared under their numbers.
  bool fresh = session.fresh > 0;
  session.fresh -= fresh;
  AdmissionCall call{server_, session, command, argv, EffectiveFlags(session, command)};
  Reply refusal;
  for (const AdmissionCheck& check : AdmissionChecks()) {
    if (check.only_for && !(call.flags & check.only_for)) continue;
    if (!check.admits(call, &refusal)) return Refuse(session, &command, refusal);
  }
  if (__builtin_expect(session.identity.cluster_client, 0)) {
    std::optional<ExecuteResult> result =
        JudgeOnClusterPort(session, command, argv, call.flags, fresh);
    if (result) return *result;
  }
  if (__builtin_expect(server_.may_hold_back(), 0) && server_.HoldsBack(call.flags)) {
    session.state = SessionState::kPaused;
    session.parked_argv = argv;
    return ExecuteResult::kParked;
  }
  if (session.transaction.open && !command.runs_inside_multi) {
    return Queue(session, command, argv);
  }
  if (UsesEngine(session, command)) {
    bool in_ring = __builtin_expect(server_.ring() != nullptr, 0) && server_.ring()->several();
    if (in_ring) {
      std::optional<ExecuteResult> result = RouteInRing(session, command, argv, call.flags);
      if (result) return *result;
    }
    if (!MakeResident(session, command, argv)) return ExecuteResult::kParked;
    if (in_ring && !fresh && !FreshInRing(session, command, argv)) return ExecuteResult::kParked;
  }
  return RunAlone(session, command, argv);
}

ExecuteResult Dispatcher::Refuse(Session& session, const Command* command, const Reply& error) {
  ServerStats& stats = server_.stats();
  if (command) stats.commands[command->id].rejected++;
  stats.CountError(error.text());
  if (session.transaction.open) session.transaction.queue_failed = true;
  if (command && command->is_exec) {
    DiscardTransaction(server_, session);
    std::string_view reason = error.text();
    if (reason.starts_with("ERR ")) reason.remove_prefix(4);
    session.Write(
        Reply::ErrorText("EXECABORT Transaction discarded because of: " + std::string(reason)));
    return Finish(session);
  }
  session.Write(error);
  return Finish(session);
}

ExecuteResult Dispatcher::Queue(Session& session, const Command& command,
                                std::span<const std::string_view> argv) {
  TransactionState& transaction = session.transaction;
  QueuedCommand& queued = transaction.queue.emplace_back();
  queued.command = &command;
  for (std::string_view arg : argv) {
    queued.lengths.push_back(uint32_t(arg.size()));
    queued.bytes.append(arg);
  }
  transaction.queued_bytes += queued.bytes.size();
  if (command.has(kWrite) && server_.has_engine()) {
    transaction.queued_log_bytes += ArgumentLogBytes(server_.engine(), *command.row, argv);
  }
  transaction.queued_flags |=
      command.row->flags & (kWrite | kDenyOom | kWholeDatabase | kMayReplicate);
  transaction.uses_engine |= command.uses_engine;
  session.last_command = &command;
  session.Write(Reply::StaticStatus("QUEUED"));
  return Finish(session);
}

// One of the command's keys, with what the command needs of its elements.
KeyRef Dispatcher::NeededKey(int database, const CommandRow& row,
                             std::span<const std::string_view> argv, int index) {
  KeyRef ref{database, argv[size_t(index)], ElementNeed::kNone};
  const ElementArgs& elements = row.elements;
  if (elements.use == ElementUse::kNone) return ref;
  size_t first = size_t(elements.first);
  int64_t number;
  bool is_first = index == row.first_key;
  switch (elements.use) {
    case ElementUse::kNamed: {
      size_t last = elements.last >= 0 ? size_t(elements.last) : argv.size() - 1;
      if (last >= argv.size() || last < first) break;
      ref.need = ElementNeed::kNamed;
      ref.names = argv.subspan(first, last - first + 1);
      ref.step = size_t(elements.step);
      break;
    }
    case ElementUse::kScan:
      if (first >= argv.size() || !ParseInt64(argv[first], &number) || number < 0) break;
      ref.need = ElementNeed::kScan;
      ref.number = uint64_t(number);
      break;
    case ElementUse::kDraw:
      number = 1;
      if (first < argv.size() && !ParseInt64(argv[first], &number)) break;
      ref.need = ElementNeed::kDraw;
      ref.number = number < 0 ? 0 - uint64_t(number) : uint64_t(number);
      break;
    case ElementUse::kAll: ref.need = ElementNeed::kAll; break;
    case ElementUse::kFirst:
      if (is_first) ref.need = ElementNeed::kAll;
      break;
    case ElementUse::kButFirst:
      if (!is_first) ref.need = ElementNeed::kAll;
      break;
    case ElementUse::kNone: break;
  }
  return ref;
}

// Appends the command's keys to keys_.
void Dispatcher::CollectKeys(int database, const CommandRow& row,
                             std::span<const std::string_view> argv) {
  if (row.get_other_keys) {
    size_t before = keys_.size();
    row.get_other_keys(argv, &keys_);
    auto no_such = [this](const KeyRef& key) {
      return key.database < 0 || key.database >= server_.config().databases;
    };
    keys_.erase(std::remove_if(keys_.begin() + ptrdiff_t(before), keys_.end(), no_such),
                keys_.end());
    for (size_t i = before; i < keys_.size(); ++i) keys_[i].need = ElementNeed::kNone;
  }
  key_indexes_.clear();
  if (!CommandTable::KeyIndexes(row, argv, &key_indexes_)) return;
  for (int index : key_indexes_) {
    if (index > 0 && size_t(index) < argv.size()) {
      keys_.push_back(NeededKey(database, row, argv, index));
    }
  }
}

void Dispatcher::CollectWalk(int database, const CommandRow& row,
                             std::span<const std::string_view> argv) {
  KeyWalk walk;
  if (!row.get_walk || !row.get_walk(argv, &walk)) return;
  walk.database = database;
  walks_.push_back(walk);
}

// The keys, and the walks, of all that EXEC will run, in the databases where they are now: SELECT
// and SWAPDB in the queue move the later ones.
void Dispatcher::CollectQueuedKeys(const Session& session) {
  int database = session.database;
  queued_args_.clear();
  std::vector<int> now_at(size_t(server_.config().databases));
  std::iota(now_at.begin(), now_at.end(), 0);
  auto read_database = [&](std::string_view arg, int* out) {
    int64_t number;
    if (!ParseInt64(arg, &number) || number < 0 || number >= int64_t(now_at.size())) return false;
    *out = int(number);
    return true;
  };
  for (const QueuedCommand& queued : session.transaction.queue) {
    const std::vector<std::string_view>& args = queued_args_.emplace_back(queued.Args());
    int a, b;
    if (queued.command->name() == "select") read_database(args[1], &database);
    if (queued.command->name() == "swapdb" && read_database(args[1], &a) &&
        read_database(args[2], &b)) {
      std::swap(now_at[size_t(a)], now_at[size_t(b)]);
    }
    size_t before = keys_.size();
    CollectKeys(database, *queued.command->row, args);
    for (size_t i = before; i < keys_.size(); ++i) {
      keys_[i].database = now_at[size_t(keys_[i].database)];
    }
    CollectWalk(now_at[size_t(database)], *queued.command->row, args);
  }
}

void Dispatcher::Prefetch(Session& session, std::span<const Request> requests) {
  upcoming_ = requests;
  if (requests.size() < 2 || session.transaction.open || !server_.has_engine()) return;
  hints_.clear();
  std::string_view last_name;
  const CommandRow* row = nullptr;
  for (const Request& request : requests) {
    std::span<const std::string_view> argv = request.args;
    if (argv[0] != last_name) {
      last_name = argv[0];
      const Command* command = server_.commands().Find(last_name);
      row = command ? command->row : nullptr;
    }
    if (!row || row->first_key <= 0 || !CommandTable::ArityFits(*row, argv.size())) continue;
    AddHints(*row, argv);
    if (hints_.size() >= kHintsMax) break;
  }
  if (hints_.size() < 2) return;
  server_.engine().Prefetch(session.database, hints_);
  prefetched_ = true;
}

// What the command will look up: its keys, or the elements that it names of its one key.
void Dispatcher::AddHints(const CommandRow& row, std::span<const std::string_view> argv) {
  int count = int(argv.size());
  auto end_of = [count](int last) { return std::min(last >= 0 ? last : count + last, count - 1); };
  size_t most = std::max(hints_.size() + 1, kHintsMax);
  if (row.elements.use == ElementUse::kNamed) {
    int end = end_of(row.elements.last);
    for (int i = row.elements.first; i <= end && hints_.size() < most; i += row.elements.step) {
      hints_.push_back({argv[size_t(row.first_key)], argv[size_t(i)]});
    }
    return;
  }
  int end = end_of(row.last_key);
  for (int i = row.first_key; i <= end && hints_.size() < most; i += row.key_step) {
    hints_.push_back({argv[size_t(i)]});
  }
}

void Dispatcher::EndPrefetch() {
  upcoming_ = {};
  if (!prefetched_) return;
  prefetched_ = false;
  if (server_.has_engine()) server_.engine().EndPrefetch();
}

bool Dispatcher::MakeResident(Session& session, const Command& command,
                              std::span<const std::string_view> argv) {
  const CommandRow& row = *command.row;
  if (row.first_key > 0 && row.first_key == row.last_key && !row.get_keys && !row.get_other_keys) {
    KeyRef key = NeededKey(session.database, row, argv, row.first_key);
    if (__builtin_expect(server_.engine().Resident({&key, 1}), 1)) return true;
  }
  keys_.clear();
  walks_.clear();
  if (command.is_exec) {
    CollectQueuedKeys(session);
    AddWatchedElsewhere(session, &keys_);
  } else {
    CollectKeys(session.database, row, argv);
    CollectWalk(session.database, row, argv);
  }
  for (KeyWalk& walk : walks_) walk.share = session.share;
  Engine& engine = server_.engine();
  uint64_t id = session.id();
  if (!keys_.empty() && !engine.Resident(keys_)) {
    engine.Load(keys_, [this, id, ticket = Park(session, argv)](const Status& status) {
      LoadDone(id, ticket, status);
    });
    return false;
  }
  if (walks_.empty() || engine.WalksReady(walks_, session.listings.get())) return true;
  engine.PrepareWalks(
      walks_, [this, id, ticket = Park(session, argv)](const Status& status, auto listings) {
        Session* waiting = server_.clients().Find(id);
        if (waiting && waiting->ticket == ticket) waiting->listings = std::move(listings);
        LoadDone(id, ticket, status);
      });
  return false;
}

// Until its keys have come from disk. Gives the ticket to come back with.
uint64_t Dispatcher::Park(Session& session, std::span<const std::string_view> argv) {
  session.state = SessionState::kLoadingKeys;
  session.parked_argv = argv;
  server_.stats().parked_for_load++;
  return ++session.ticket;
}

void Dispatcher::LoadDone(uint64_t session_id, uint64_t ticket, const Status& status) {
  Session* session = server_.clients().Find(session_id);
  if (!session || session->ticket != ticket || session->state != SessionState::kLoadingKeys) {
    return;  // the client has gone
  }
  if (status.ok()) return RunParked(*session);
  RefuseParked(*session, Reply::ErrorText("ERR cannot read from disk: " + status.message()));
}

void Dispatcher::RefuseParked(Session& session, const Reply& error) {
  session.state = SessionState::kRunning;
  session.listings.reset();
  Reply refusal;
  const Command* command = Find(session, session.parked_argv, &refusal);
  Refuse(session, command, error);
  session.parked_argv = {};
  session.transport().Resume();
}

void Dispatcher::RunParked(Session& session) {
  session.state = SessionState::kRunning;
  ExecuteResult result = Execute(session, session.parked_argv);
  if (result == ExecuteResult::kParked && session.state != SessionState::kDeferred) return;
  session.parked_argv = {};
  session.transport().Resume();
}

ExecuteResult Dispatcher::RunAlone(Session& session, const Command& command,
                                   std::span<const std::string_view> argv) {
  command_ms_ = server_.now_ms();
  if (UsesEngine(session, command) && server_.has_engine()) {
    uint32_t flags = EffectiveFlags(session, command);
    uint64_t reply_id = HoldForRing(session, flags);
    server_.engine().BeginCommand(command_ms_);
    if (__builtin_expect(session.listings != nullptr, 0)) {
      server_.engine().UseListings(session.listings.get());
      Run(session, command, argv, start_ticks_);
      server_.engine().UseListings(nullptr);
      session.listings.reset();
    } else {
      Run(session, command, argv, start_ticks_);
    }
    uint64_t position = server_.engine().EndCommand();
    if (flags & kWholeDatabase) position = server_.engine().NewestPosition();
    session.output.Commit(position, server_.turn());
    AwaitInRing(session, reply_id);
  } else {
    Run(session, command, argv, start_ticks_);
    session.output.Commit(0, server_.turn());
  }
  return Finish(session);
}

// What was rendered for others (published messages, events, MONITOR) was caused by this command,
// and by what this client has seen before.
ExecuteResult Dispatcher::Finish(Session& session) {
  if (server_.has_touched()) server_.CommitTouched(session.output.last_position());
  session.commands++;
  session.last_interaction_ms = server_.now_ms();
  if (__builtin_expect(session.reply_mode != ReplyMode::kOn, 0)) AdvanceReplyMode(session);
  if (__builtin_expect(!session.redacted.empty(), 0)) session.redacted.clear();
  if (__builtin_expect(session.state == SessionState::kRunning, 1)) return ExecuteResult::kDone;
  return session.state == SessionState::kClosing ? ExecuteResult::kClose : ExecuteResult::kParked;
}

void Dispatcher::RunNested(Session& session, const Command& command,
                           std::span<const std::string_view> argv) {
  Run(session, command, argv, TscClock::Now());
}

void Dispatcher::Run(Session& session, const Command& command,
                     std::span<const std::string_view> argv, uint64_t start_ticks) {
  session.last_command = &command;
  Keyspace keys = server_.KeyspaceOf(session.database);
  CommandContext context{keys.RenewingAccess(!session.no_touch).Within(session.share),
                         command_ms_,
                         server_.randomness(),
                         server_,
                         session,
                         command.row,
                         argv,
                         session.resp};
  ArgReader args(argv.subspan(command.container ? 2 : 1));
  bool grows = command.row->get_log_bytes || session.transaction.running;
  Status room = __builtin_expect(grows, 0) ? ReserveLog(context) : Status::Ok();
  Reply reply = room.ok() ? command.row->handler(context, args) : NoLogSpace(room);
  ServerStats& stats = server_.stats();
  stats.commands_processed++;
  CommandStats& figures = stats.commands[command.id];
  if (__builtin_expect(reply.IsError(), 0)) {
    stats.CountError(reply.text());
    figures.failed++;
  }
  if (session.reply_mode == ReplyMode::kOn && reply.kind() != Reply::Kind::kNone) {
    WriteReply(reply, session.version(), session.output.Tail());
  }
  uint64_t ticks = TscClock::Now() - start_ticks;
  figures.calls++;
  figures.ticks += ticks;
  if (server_.config().latency_tracking) {
    if (!figures.latency) figures.latency = std::make_unique<LatencyHistogram>();
    figures.latency->Add(TscClock::ToNanoseconds(ticks));
  }
  if (__builtin_expect(server_.pubsub().has_monitors(), 0) && !command.has(kSkipMonitor | kAdmin)) {
    server_.pubsub().FeedMonitors(session, argv, server_.now_us());
  }
  if (__builtin_expect(ticks >= slow_ticks_, 0)) RecordSlow(session, command, argv, ticks);
}

// What admission has not reserved: what the command copies, and each part of a transaction anew,
// since those before it may have taken more than their arguments said.
Status Dispatcher::ReserveLog(CommandContext& context) {
  const CommandRow& row = *context.row;
  if (!(row.flags & kWrite) || !server_.has_engine()) return Status::Ok();
  uint64_t bytes = ArgumentLogBytes(server_.engine(), row, context.argv);
  if (row.get_log_bytes) bytes += row.get_log_bytes(context);
  return server_.engine().ReserveWrite(bytes);
}

void Dispatcher::SetSlowThresholds(int64_t slowlog_us, int64_t latency_ms) {
  slowlog_us_ = slowlog_us;
  latency_ms_ = latency_ms;
  slow_ticks_ = UINT64_MAX;
  auto consider = [this](int64_t us) {
    constexpr int64_t kTopUs = INT64_MAX / 2000;
    uint64_t ticks = TscClock::FromNanoseconds(uint64_t(std::min(us, kTopUs)) * 1000);
    slow_ticks_ = std::min(slow_ticks_, ticks);
  };
  if (slowlog_us >= 0) consider(slowlog_us);
  if (latency_ms > 0) consider(std::min(latency_ms, INT64_MAX / 1000) * 1000);
}

void Dispatcher::RecordSlow(Session& session, const Command& command,
                            std::span<const std::string_view> argv, uint64_t ticks) {
  int64_t us = int64_t(TscClock::ToNanoseconds(ticks) / 1000);
  if (latency_ms_ > 0 && us / 1000 >= latency_ms_) {
    server_.latency().Record(command.has(kFast) ? "fast-command" : "command", uint32_t(us / 1000),
                             server_.unix_seconds());
  }
  if (slowlog_us_ < 0 || us < slowlog_us_ || command.has(kSkipSlowlog)) return;
  std::vector<std::string_view> shown(argv.begin(), argv.end());
  for (uint16_t index : session.redacted) {
    if (index < shown.size()) shown[index] = "(redacted)";
  }
  server_.slowlog().Record(shown, us, server_.unix_seconds(), session.identity.address,
                           session.name, server_.config().slowlog_max_len);
}

}  // namespace redynamo
