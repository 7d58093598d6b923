// SPDX-License-Identifier: Apache-2.0
// The event loop: turns sockets, timers and other threads' calls into calls of Server, and keeps
// the order of a turn.
//
//   timers → idle (what had more to do) → prepare: EndTurn → poll: reads, accepts, wake-ups
//          → check: EndTurn, and whether to poll again without sleeping (busy_poll.h)
//          → closed handles
//
// EndTurn writes the log's batch once, then each client's released replies once. It runs in front
// of poll as well, because timers and idle work would otherwise wait for poll to return.
//
// With I/O threads the sockets are theirs, and what they read comes as one of those wake-ups.
//
// Data thread only, except that the engine's hooks and signals call uv_async_send.
#pragma once

#include <uv.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/busy_poll.h"
#include "server/server.h"
#include "server/uv_connection.h"
#include "server/uv_io_threads.h"
#include "server/uv_listener.h"

namespace redynamo {

class Ring;
class UvPeerLinks;

class UvLoop : public LoopControl {
 public:
  UvLoop(Server& server, Settings& settings);
  // REQUIRES: Run is over, and the engine gone.
  ~UvLoop() override;

  // Opens the sockets of the settings. An error names the address.
  Status Listen();
  // Opens the engine on a thread of its own while clients are already answered -LOADING, then
  // serves until the stop; one that is asked for meanwhile does not wait for the opening, whose
  // thread then ends with the process. Gives the exit code of the process: 0 after a stop, 1 when
  // the engine refused to open (the reason has been logged). The log failing ends the process
  // with 74. `on_ready` runs when the engine is open.
  int Run(std::function<void()> on_ready);

  // LoopControl
  void RequestShutdown(const ShutdownRequest& request) override;
  std::vector<std::string> ListenAddresses() const override;

  // --- for connections ---
  UvIoThreads* io_threads() { return io_threads_.get(); }  // null: connections are this loop's
  // EndTurn shall be called in this turn.
  void WantEndOfTurn() { turn_has_work_ = true; }
  // Keeps turning while there is more to do, without waiting for sockets.
  void UpdateIdle();
  uv_loop_t* uv() { return &loop_; }
  Server& server() { return server_; }
  void FlushLater(UvConnection* connection) {
    turn_has_work_ = true;
    if (connection->flush_listed) return;
    connection->flush_listed = true;
    to_flush_.push_back(connection);
  }
  void RunLater(UvConnection* connection);
  void Forget(UvConnection* connection);
  RequestBatchPool& batches() { return batches_; }
  // The log's buffer is full: no client is executed until it has been written.
  bool InputStopped() const;

 private:
  static void OnSignal(int signal);
  void StartHandles();
  void OnTimer();
  void OnIdle();
  void OnAsync();
  void OnCheck();
  void SetBusyPollWindow(const Config& config);
  void EndTurn();
  void FlushConnections(uint64_t position);
  void OpenEngine();
  void WaitForShortOpening();
  void EngineOpened();
  void Stop();
  void CloseEngine();
  Status ListenTcp(std::vector<UvListener*>* opened);
  Status ListenAt(int port, bool cluster, std::vector<UvListener*>* opened);
  Status RebindTcp();
  Status OpenRing();
  void RegisterHooks();
  [[noreturn]] void FailLog(const Status& status);

  Server& server_;
  Settings& settings_;
  uv_loop_t loop_;
  uv_timer_t timer_;
  uv_prepare_t prepare_;
  uv_check_t check_;
  uv_idle_t idle_;
  uv_idle_t awake_;  // active: poll returns at once
  uv_async_t async_;
  std::vector<UvListener*> listeners_;
  std::vector<UvConnection*> to_flush_, to_run_, scratch_;
  RequestBatchPool batches_;
  std::unique_ptr<UvIoThreads> io_threads_;
  std::unique_ptr<Ring> ring_;               // null: a ring of one
  std::unique_ptr<UvPeerLinks> peer_links_;  // likewise
  bool turn_has_work_ = false;
  bool tick_has_more_ = false;
  bool idle_active_ = false;
  BusyPoll busy_poll_;

  std::thread opener_;
  std::atomic<bool> opened_{false};
  std::mutex opened_mutex_;
  std::condition_variable opened_signal_;
  std::optional<Result<std::unique_ptr<Engine>>> open_result_;
  std::function<void()> on_ready_;
  std::atomic<uint32_t> progress_permille_{0};
  std::atomic<uint64_t> progress_records_{0};

  std::optional<ShutdownRequest> shutdown_;
  bool stopped_ = false;
  int exit_code_ = 0;
};

}  // namespace redynamo
