// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/number.h"
#include "server/cluster_view.h"
#include "server/command_families.h"
#include "server/config_effects.h"
#include "server/process_figures.h"
#include "server/ring.h"
#include "server/tsc_clock.h"

namespace redynamo {
namespace {

constexpr int64_t kRateSampleUs = 100'000;
constexpr uint64_t kClockRefreshNs = 500'000;
// Idle clients are looked for among this many a tick.
constexpr int kIdleChecksPerTick = 200;

std::string HexDigits(const std::string& bytes) {
  std::string hex;
  for (unsigned char c : bytes) {
    hex += "0123456789abcdef"[c >> 4];
    hex += "0123456789abcdef"[c & 15];
  }
  return hex;
}

SyncMode SyncModeOf(AppendFsync mode) {
  if (mode == AppendFsync::kAlways) return SyncMode::kAlways;
  return mode == AppendFsync::kEverySecond ? SyncMode::kEverySecond : SyncMode::kNo;
}

}  // namespace

Server::Server(Settings* settings, const Clock* clock, uint64_t random_seed)
    : settings_(settings),
      clock_(clock),
      random_(random_seed),
      commands_(AllCommandFamilies()),
      pubsub_(*this),
      dispatcher_(*this),
      cluster_view_(std::make_unique<ClusterView>(*this)) {
  stats_.commands.resize(commands_.size());
  run_id_ = HexDigits(SystemRandomBytes(20));
  refresh_every_ticks_ = TscClock::FromNanoseconds(kClockRefreshNs);
  RefreshClock();
  started_unix_ms_ = now_ms_;
  started_monotonic_us_ = clock_->MonotonicUs();
  auto thresholds = [this](const Config& now) {
    dispatcher_.SetSlowThresholds(now.slowlog_log_slower_than_us, now.latency_monitor_threshold_ms);
    slowlog_.Trim(now.slowlog_max_len);
    return Status::Ok();
  };
  settings_->OnChange({"slowlog-log-slower-than", "slowlog-max-len", "latency-monitor-threshold"},
                      thresholds);
  dispatcher_.SetSlowThresholds(config().slowlog_log_slower_than_us,
                                config().latency_monitor_threshold_ms);
  settings_->OnChange(
      {"appendfsync", "maxmemory", "maxmemory-policy", "maxmemory-samples", "checkpoint-log-bytes",
       "checkpoint-interval", "large-collection-entries", "scrub-interval", "warm-up",
       "hash-max-listpack-entries", "hash-max-listpack-value", "set-max-listpack-entries",
       "set-max-listpack-value", "set-max-intset-entries", "lfu-log-factor", "lfu-decay-time"},
      [this](const Config&) {
        if (engine_) engine_->Reconfigure(MakeEngineOptions());
        return Status::Ok();
      });
  InstallConfigEffects(*this);
  startup_memory_bytes_ = ReadAllocator().allocated;
}

Server::~Server() = default;

EngineOptions Server::MakeEngineOptions() const {
  const Config& now = config();
  EngineOptions options;
  options.dir = now.dir;
  options.databases = now.databases;
  options.sync = SyncModeOf(now.appendfsync);
  options.maxmemory_bytes = now.maxmemory_bytes;
  options.policy = EvictionPolicy(int(now.maxmemory_policy));
  options.maxmemory_samples = now.maxmemory_samples;
  options.block_cache_bytes = now.block_cache_bytes;
  options.checkpoint_log_bytes = now.checkpoint_log_bytes;
  options.checkpoint_interval_ms = now.checkpoint_interval_seconds * 1000;
  options.log_segment_bytes = now.log_segment_bytes;
  options.scrub_interval_ms = now.scrub_interval_seconds * 1000;
  options.salvage = now.log_salvage;
  options.warm_up = now.warm_up;
  options.packed_entries_max = uint32_t(now.hash_max_listpack_entries);
  options.packed_value_bytes_max = uint32_t(now.hash_max_listpack_value_bytes);
  options.set_packed_entries_max = uint32_t(now.set_max_listpack_entries);
  options.set_packed_value_bytes_max = uint32_t(now.set_max_listpack_value_bytes);
  options.set_intset_entries_max = uint32_t(now.set_max_intset_entries);
  options.whole_load_rows_max = now.large_collection_entries;
  options.lfu_log_factor = now.lfu_log_factor;
  options.lfu_decay_minutes = now.lfu_decay_time_minutes;
  options.dot_index_bytes_max = now.ring_index_bytes;
  options.keep_dots = ring_ && ring_->several();
  options.seed = ring_ ? ring_->seed() : 0;
  options.partitions = now.ring_partitions;
  return options;
}

static_assert(int(MaxmemoryPolicy::kVolatileTtl) == int(EvictionPolicy::kVolatileTtl) &&
              int(MaxmemoryPolicy::kNoEviction) == int(EvictionPolicy::kNoEviction));

EngineHooks Server::MakeEngineHooks(std::function<void()> wake,
                                    std::function<void(const Status&)> on_fatal) {
  EngineHooks hooks;
  hooks.on_key_changed = [this](int database, std::string_view key) {
    watches_.KeyChanged(database, key);
  };
  hooks.on_database_cleared = [this](int database) { watches_.DatabaseCleared(database); };
  hooks.on_expired = [this](int database, std::string_view key) {
    pubsub_.NotifyKeyspace(database, kNotifyExpired, "expired", key);
  };
  hooks.on_evicted = [this](int database, std::string_view key) {
    pubsub_.NotifyKeyspace(database, kNotifyEvicted, "evicted", key);
  };
  if (ring_) {
    hooks.removal_delay_ms = [this](int partition) {
      return ring_->node().RemovalDelayMs(partition);
    };
    hooks.on_own_record = [this](const OwnRecord& record) { ring_->node().OnOwnRecord(record); };
  }
  hooks.wake = std::move(wake);
  hooks.on_fatal = std::move(on_fatal);
  engine_hooks_ = hooks;
  return hooks;
}

void Server::AttachEngine(std::unique_ptr<Engine> engine) {
  engine_ = std::move(engine);
  loading_.loading = false;
}

std::unique_ptr<Engine> Server::DetachEngine() { return std::move(engine_); }

Status Server::CloseEngine(bool checkpoint) {
  if (ring_) ring_->EngineGone();
  Status status = engine_->Close(checkpoint);
  closed_engine_ = std::move(engine_);
  return status;
}

Status Server::RestartEngine() {
  // Loads under way hold commands that want to run on this engine: they go first.
  auto loads_keys = [](const auto& entry) {
    return entry.second->state == SessionState::kLoadingKeys;
  };
  while (std::ranges::any_of(clients_.all(), loads_keys)) {
    Status written = engine_->WriteTurn();
    if (!written.ok()) return written;
    engine_->Poll();
  }
  if (ring_) ring_->EngineGone();
  Status closed = engine_->Close(true);
  if (!closed.ok()) return closed;
  engine_.reset();
  Result<std::unique_ptr<Engine>> opened = Engine::Open(MakeEngineOptions(), engine_hooks_, clock_);
  if (!opened.ok()) return opened.status();
  AttachEngine(std::move(*opened));
  return ring_ ? ring_->EngineReady(engine_.get()) : Status::Ok();
}

int64_t Server::uptime_seconds() const {
  return (clock_->MonotonicUs() - started_monotonic_us_) / 1'000'000;
}

int64_t Server::now_us() const { return clock_->WallUs(); }

void Server::RefreshClock() {
  now_ms_ = clock_->WallMs();
  next_refresh_ticks_ = TscClock::Now() + refresh_every_ticks_;
}

bool Server::HoldsBack(uint32_t flags) const {
  if (writers_wait_ && (flags & kWrite)) return true;
  if (shutdown_.in_progress() && (flags & (kWrite | kMayReplicate))) return true;
  switch (clients_.pause(now_ms_)) {
    case PauseScope::kNone: return false;
    case PauseScope::kAll: return true;
    case PauseScope::kWrites: return flags & (kWrite | kMayReplicate);
  }
  return false;
}

void Server::Answer(const DeferredReply& deferred, const Reply& reply) {
  Session* session = clients_.Find(deferred.session_id);
  if (!session || session->ticket != deferred.ticket) return;
  if (session->state != SessionState::kDeferred) return;
  clients_.deferred_count--;
  session->state = SessionState::kRunning;
  if (reply.IsError()) stats_.CountError(reply.text());
  session->Write(reply);
  session->output.Commit(engine_ ? engine_->NewestPosition() : 0, turn_);
  session->transport().Wake();
  session->transport().Resume();
}

void Server::CommitTouched(uint64_t position) {
  for (Session* session : touched_) {
    session->touched = false;
    session->output.Commit(position, turn_);
    session->transport().Wake();
  }
  touched_.clear();
}

Status Server::EndTurn() {
  if (has_touched()) CommitTouched(engine_ ? engine_->NewestPosition() : 0);
  turn_++;
  stats_.loop_turns++;
  return engine_ ? engine_->WriteTurn() : Status::Ok();
}

void Server::PollEngine() {
  RefreshClock();
  if (!engine_) return;
  engine_->Poll();
  if (!sync_waits_.empty()) sync_waits_.Check();
  UpdateWritersWait();
}

void Server::UpdateWritersWait() {
  bool waited = std::exchange(writers_wait_, engine_->WritersMustWait());
  if (waited && !writers_wait_) ResumeHeldBack();
}

bool Server::Tick(int64_t engine_budget_us) {
  RefreshClock();
  SampleRates();
  if (config().timeout_seconds > 0) TimeoutIdleClients();
  if (config().maxmemory_clients != "0") EvictClients();
  if (clients_.pause_set() && clients_.pause(now_ms_) == PauseScope::kNone) ResumePaused();
  if (!engine_) return false;
  if (!sync_waits_.empty()) sync_waits_.Check();
  bool more = engine_->Tick(now_ms_, engine_budget_us);
  UpdateWritersWait();
  return more;
}

void Server::ResumePaused() {
  clients_.Unpause();
  ResumeHeldBack();
}

void Server::ResumeHeldBack() {
  std::vector<uint64_t> paused;
  for (const auto& [id, session] : clients_.all()) {
    if (session->state == SessionState::kPaused) paused.push_back(id);
  }
  for (uint64_t id : paused) {
    Session* session = clients_.Find(id);
    if (session && session->state == SessionState::kPaused) dispatcher_.RunParked(*session);
  }
}

void Server::SampleRates() {
  int64_t now_us = clock_->MonotonicUs();
  if (now_us - last_rate_sample_us_ < kRateSampleUs) return;
  last_rate_sample_us_ = now_us;
  stats_.commands_rate.Sample(stats_.commands_processed, now_us);
  stats_.input_rate.Sample(stats_.net_input_bytes, now_us);
  stats_.output_rate.Sample(stats_.net_output_bytes, now_us);
  peak_memory_bytes_ = std::max(peak_memory_bytes_, ReadAllocator().allocated);
}

// A few clients a tick, round and round.
void Server::TimeoutIdleClients() {
  const auto& all = clients_.all();
  auto it = all.upper_bound(idle_check_cursor_);
  for (int i = 0; i < kIdleChecksPerTick && !all.empty(); ++i) {
    if (it == all.end()) {
      idle_check_cursor_ = 0;
      return;
    }
    Session& session = *it->second;
    idle_check_cursor_ = it->first;
    ++it;
    if (session.is_pubsub() || session.monitoring) continue;
    if (session.state != SessionState::kRunning) continue;
    if (now_ms_ - session.last_interaction_ms > config().timeout_seconds * 1000) {
      LogLine(LogLevel::kVerbose, "Closing idle client " + session.identity.address);
      session.CloseNow();
    }
  }
}

// maxmemory-clients: the largest go first, but for those with CLIENT NO-EVICT.
void Server::EvictClients() {
  std::string_view text = config().maxmemory_clients;
  bool percent = text.ends_with('%');
  int64_t number = 0;
  ParseInt64(text.substr(0, text.size() - size_t(percent)), &number);
  uint64_t limit = percent ? config().maxmemory_bytes / 100 * uint64_t(number) : uint64_t(number);
  if (limit == 0) return;
  std::vector<std::pair<uint64_t, Session*>> largest;
  uint64_t total = 0;
  for (const auto& [id, session] : clients_.all()) {
    uint64_t bytes = ClientRegistry::MemoryOf(*session);
    total += bytes;
    if (!session->no_evict && !session->close_now()) largest.emplace_back(bytes, session);
  }
  if (total <= limit) return;
  std::ranges::sort(largest, std::greater(), &std::pair<uint64_t, Session*>::first);
  for (const auto& [bytes, session] : largest) {
    if (total <= limit) break;
    LogNotice("Evicting client: " + ClientRegistry::Describe(*session, now_ms_));
    session->CloseNow();
    stats_.evicted_clients++;
    total -= bytes;
  }
}

void Server::Forget(Session& session) {
  watches_.UnwatchAll(session);
  pubsub_.Forget(session);
  if (session.state == SessionState::kDeferred) clients_.deferred_count--;
  if (session.touched) std::erase(touched_, &session);
  clients_.Remove(session.id());
}

uint64_t Server::PendingOutputBytes() const {
  uint64_t total = 0;
  for (const auto& [id, session] : clients_.all()) total += session->output.pending_bytes();
  return total;
}

void CommandContext::Notify(uint32_t notify_class, std::string_view event, std::string_view key) {
  if (!(server.pubsub().asked_classes() & notify_class)) return;
  server.pubsub().NotifyKeyspace(keys.database(), notify_class, event, key);
}

void CommandContext::NotifyIn(int database, uint32_t notify_class, std::string_view event,
                              std::string_view key) {
  server.pubsub().NotifyKeyspace(database, notify_class, event, key);
}

void CommandContext::CountLookup(std::string_view key, bool found) {
  if (found) {
    server.stats().keyspace_hits++;
    return;
  }
  server.stats().keyspace_misses++;
  Notify(kNotifyKeyMiss, "keymiss", key);
}

void CommandContext::CountChange(uint64_t n) {
  if (server.has_engine()) server.engine().CountChange(n);
}

}  // namespace redynamo
