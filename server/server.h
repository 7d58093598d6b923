// SPDX-License-Identifier: Apache-2.0
// The process' state, tied together: settings, engine, commands, clients, statistics. Each part has
// its own header; this one only holds them and what concerns several at once. It knows no socket
// and no event loop: uv_loop drives it, and unit tests drive it by hand.
//
//   a turn:   Transport reads → Dispatcher runs commands → … → EndTurn(): log written, replies
//             released, transports flush
//   a tick:   every 1000/hz ms
//
// Data thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "server/client_registry.h"
#include "server/command_table.h"
#include "server/config.h"
#include "server/dispatcher.h"
#include "server/latency.h"
#include "server/pubsub.h"
#include "server/session.h"
#include "server/shutdown.h"
#include "server/slowlog.h"
#include "server/stats.h"
#include "server/sync_waits.h"
#include "server/transaction.h"
#include "storage/engine.h"

namespace redynamo {

// While the engine opens.
struct LoadingProgress {
  bool loading = false;
  int64_t started_unix_s = 0;
  double fraction = 0;
  uint64_t records = 0;
};

// The orderly stop that a signal or SHUTDOWN leads to.
struct ShutdownRequest {
  bool checkpoint = true;
  bool now = false;
};

// What the event loop does for the server. Unit tests may leave it null.
class ClusterView;
class Ring;

class LoopControl {
 public:
  virtual ~LoopControl() = default;
  virtual void RequestShutdown(const ShutdownRequest& request) = 0;
  // Addresses that are being listened on, as INFO lists them.
  virtual std::vector<std::string> ListenAddresses() const = 0;
};

class Server {
 public:
  Server(Settings* settings, const Clock* clock, uint64_t random_seed);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // --- parts ---
  Settings& settings() { return *settings_; }
  const Config& config() const { return settings_->config(); }
  const Clock& clock() const { return *clock_; }
  Random& randomness() { return random_; }
  CommandTable& commands() { return commands_; }
  Dispatcher& dispatcher() { return dispatcher_; }
  ClientRegistry& clients() { return clients_; }
  PubSub& pubsub() { return pubsub_; }
  WatchTable& watches() { return watches_; }
  ServerStats& stats() { return stats_; }
  Slowlog& slowlog() { return slowlog_; }
  LatencyMonitor& latency() { return latency_; }
  ShutdownControl& shutdown() { return shutdown_; }
  SyncWaits& sync_waits() { return sync_waits_; }

  // The engine is absent while it opens: then only commands with kLoading run, and has_engine() is
  // false. Handlers of data commands may take it for granted.
  bool has_engine() const { return engine_ != nullptr; }
  Engine& engine() { return *engine_; }
  LoadingProgress& loading() { return loading_; }
  // The engine's options as the settings have them now.
  EngineOptions MakeEngineOptions() const;
  // Hooks for Engine::Open; `wake` and `on_fatal` are called from other threads.
  EngineHooks MakeEngineHooks(std::function<void()> wake,
                              std::function<void(const Status&)> on_fatal);
  void AttachEngine(std::unique_ptr<Engine> engine);
  std::unique_ptr<Engine> DetachEngine();
  // The process is about to end: from here on the server has no engine, whatever the loop's last
  // turn still calls. REQUIRES: an engine.
  Status CloseEngine(bool checkpoint);
  // DEBUG RELOAD: closes the engine with a checkpoint and opens it again, blocking. REQUIRES: an
  // engine, and no command of its running. An error leaves the server without one: the caller's
  // process had better end.
  Status RestartEngine();
  // A keyspace of no engine while that is absent: not to be used then.
  Keyspace KeyspaceOf(int database) {
    return engine_ ? engine_->Database(database) : Keyspace(nullptr, database);
  }

  // Null on a ring of one.
  Ring* ring() { return ring_; }
  void SetRing(Ring* ring) { ring_ = ring; }
  ClusterView& cluster_view() { return *cluster_view_; }

  // --- identity ---
  const std::string& run_id() const { return run_id_; }  // 40 hex digits, new at each start
  int64_t started_unix_ms() const { return started_unix_ms_; }
  int64_t uptime_seconds() const;
  std::string executable;  // absolute path
  LoopControl* loop = nullptr;

  // --- time ---
  // Unix time, refreshed at each turn and before each command that comes 1 ms later or more.
  int64_t now_ms() const { return now_ms_; }
  int64_t now_us() const;  // read from the clock: MONITOR
  int64_t unix_seconds() const { return now_ms_ / 1000; }
  void RefreshClock();
  void RefreshClockIfDue(uint64_t ticks) {
    if (__builtin_expect(ticks >= next_refresh_ticks_, 0)) RefreshClock();
  }
  uint64_t turn() const { return turn_; }

  // --- replies ---
  // Does CLIENT PAUSE, a SHUTDOWN in progress, or an engine whose memory is full of unsaved rows,
  // hold back a command of these flags now?
  bool HoldsBack(uint32_t flags) const;
  bool may_hold_back() const {
    return writers_wait_ || clients_.pause_set() || shutdown_.in_progress();
  }
  // Answers a command that Session::Defer has put off, then lets the client go on.
  void Answer(const DeferredReply& deferred, const Reply& reply);
  // The session has output that no Commit covers yet.
  void Touch(Session& session) {
    if (session.touched) return;
    session.touched = true;
    touched_.push_back(&session);
  }
  bool has_touched() const { return !touched_.empty(); }
  // All touched sessions' output depends on `position`.
  void CommitTouched(uint64_t position);

  // CLIENT UNPAUSE, or the pause is over: lets the clients go on that were held back.
  void ResumePaused();
  // Tries every command again that is held back: those that still are stay so.
  void ResumeHeldBack();

  // --- the loop ---
  // Writes the turn's records, then wakes the clients whose replies may go. A Status that is not ok
  // means that the log cannot be written: the process must end with 74.
  Status EndTurn();
  // Poll of the engine: after its `wake`.
  void PollEngine();
  // Every 1000/hz ms; with a smaller budget while it says that there is more to do at once.
  static constexpr int64_t kTickBudgetUs = 1'000;
  static constexpr int64_t kIdleTickBudgetUs = 250;
  bool Tick(int64_t engine_budget_us);
  // Clients' replies may leave up to here.
  uint64_t ReleasablePosition() const { return engine_ ? engine_->ReplyPosition() : 0; }
  // The session's client is gone.
  void Forget(Session& session);

  // What the allocator had given out: at most so far (ten samples a second), and before any data.
  uint64_t peak_memory_bytes() const { return peak_memory_bytes_; }
  uint64_t startup_memory_bytes() const { return startup_memory_bytes_; }

  // Over all clients: replies that have not left.
  uint64_t PendingOutputBytes() const;

 private:
  void UpdateWritersWait();
  void TimeoutIdleClients();
  void EvictClients();
  void SampleRates();

  Settings* settings_;
  const Clock* clock_;
  Random random_;
  CommandTable commands_;
  ServerStats stats_;
  Slowlog slowlog_;
  LatencyMonitor latency_;
  ClientRegistry clients_;
  PubSub pubsub_;
  WatchTable watches_;
  ShutdownControl shutdown_{*this};
  SyncWaits sync_waits_{*this};
  Dispatcher dispatcher_;
  std::unique_ptr<Engine> engine_, closed_engine_;
  EngineHooks engine_hooks_;  // as MakeEngineHooks made them
  LoadingProgress loading_;
  Ring* ring_ = nullptr;
  std::unique_ptr<ClusterView> cluster_view_;
  std::string run_id_;
  int64_t started_unix_ms_ = 0;
  int64_t started_monotonic_us_ = 0;
  int64_t now_ms_ = 0;
  uint64_t next_refresh_ticks_ = 0;
  bool writers_wait_ = false;  // as the engine said when last asked
  uint64_t refresh_every_ticks_ = 0;
  uint64_t turn_ = 1;
  std::vector<Session*> touched_;
  int64_t last_rate_sample_us_ = 0;
  uint64_t idle_check_cursor_ = 0;
  uint64_t peak_memory_bytes_ = 0, startup_memory_bytes_ = 0;
};

}  // namespace redynamo
