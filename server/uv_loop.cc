// SPDX-License-Identifier: Apache-2.0
#include "server/uv_loop.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "server/exit_code.h"
#include "server/ring.h"
#include "server/uv_address.h"
#include "server/uv_peer_links.h"

namespace redynamo {
namespace {

constexpr int kSecondSignalExit = 1;
constexpr int kSilentOpeningMs = 1000;

// For the signal handler: async-signal-safe things only.
UvLoop* signal_loop = nullptr;
uv_async_t* signal_async = nullptr;
std::atomic<int> signal_count{0};
std::atomic<int> signal_number{0};

template <typename Handle>
uv_handle_t* any(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace

UvLoop::UvLoop(Server& server, Settings& settings) : server_(server), settings_(settings) {
  CHECK_THAT(uv_loop_init(&loop_) == 0);
  loop_.data = this;
  StartHandles();
  RegisterHooks();
  server_.loop = this;
  if (Ring::Wanted(server_.config())) {
    ring_ = std::make_unique<Ring>(server_, [this] { WantEndOfTurn(); });
    server_.SetRing(ring_.get());
  }
  int io_threads = server_.config().io_threads;
  if (io_threads > 1) io_threads_ = std::make_unique<UvIoThreads>(*this, settings_, io_threads - 1);
}

UvLoop::~UvLoop() {
  server_.loop = nullptr;
  if (opener_.joinable()) opener_.join();
  if (io_threads_) io_threads_->Stop();  // and its clients are gone
  while (!server_.clients().all().empty()) {
    static_cast<UvConnection&>(server_.clients().all().begin()->second->transport()).BeginClose();
  }
  for (UvListener* listener : listeners_) listener->Close();
  for (uv_handle_t* handle :
       {any(&timer_), any(&prepare_), any(&check_), any(&idle_), any(&awake_), any(&async_)}) {
    uv_close(handle, nullptr);
  }
  while (uv_run(&loop_, UV_RUN_DEFAULT) != 0) {
  }
  uv_loop_close(&loop_);
}

void UvLoop::StartHandles() {
  timer_.data = prepare_.data = check_.data = idle_.data = async_.data = this;
  awake_.data = this;
  uv_timer_init(&loop_, &timer_);
  uv_prepare_init(&loop_, &prepare_);
  uv_check_init(&loop_, &check_);
  uv_idle_init(&loop_, &idle_);
  uv_idle_init(&loop_, &awake_);
  uv_async_init(&loop_, &async_,
                [](uv_async_t* handle) { static_cast<UvLoop*>(handle->data)->OnAsync(); });
  auto period_ms = [](const Config& config) { return uint64_t(1000 / std::max(config.hz, 1)); };
  uint64_t period = period_ms(server_.config());
  auto tick = [](uv_timer_t* handle) { static_cast<UvLoop*>(handle->data)->OnTimer(); };
  uv_timer_start(&timer_, tick, period, period);
  settings_.OnChange({"hz"}, [this, period_ms](const Config& now) {
    uv_timer_set_repeat(&timer_, period_ms(now));
    return Status::Ok();
  });
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) {
    auto* self = static_cast<UvLoop*>(handle->data);
    if (self->turn_has_work_) self->EndTurn();
  });
  uv_check_start(&check_,
                 [](uv_check_t* handle) { static_cast<UvLoop*>(handle->data)->OnCheck(); });
  SetBusyPollWindow(server_.config());
  settings_.OnChange({"busy-poll-us"}, [this](const Config& now) {
    SetBusyPollWindow(now);
    return Status::Ok();
  });
}

// --- listening ---

Status UvLoop::ListenTcp(std::vector<UvListener*>* opened) {
  const Config& config = server_.config();
  if (config.cluster_port != 0 && config.cluster_port == config.port) {
    return InvalidArgument("port and cluster-port are both " + std::to_string(config.port) +
                           ": give cluster clients a port of their own");
  }
  Status status = ListenAt(config.port, false, opened);
  return status.ok() ? ListenAt(config.cluster_port, true, opened) : status;
}

Status UvLoop::ListenAt(int port, bool cluster, std::vector<UvListener*>* opened) {
  const Config& config = server_.config();
  if (port == 0) return Status::Ok();
  size_t before = opened->size();
  for (const std::string& word : config.bind) {
    Result<BindAddress> bound = ResolveBindAddress(word, port);
    bool optional = word.starts_with('-');
    if (!bound.ok()) {
      if (optional) continue;
      return {bound.status().code(), "cannot bind '" + word + "': " + bound.status().message()};
    }
    Result<UvListener*> listener = UvListener::OpenTcp(*this, *bound, config.tcp_backlog, cluster);
    if (listener.ok()) {
      opened->push_back(*listener);
    } else if (!optional) {
      return listener.status();
    }
  }
  if (opened->size() > before) return Status::Ok();
  return {StatusCode::kIoError, "none of the addresses of 'bind' could be listened on"};
}

Status UvLoop::Listen() {
  Status status = ListenTcp(&listeners_);
  if (!status.ok()) return status;
  const Config& config = server_.config();
  if (!config.unixsocket.empty()) {
    Result<UvListener*> listener =
        UvListener::OpenUnix(*this, config.unixsocket, config.unixsocketperm, config.tcp_backlog);
    if (!listener.ok()) return listener.status();
    listeners_.push_back(*listener);
  }
  return ring_ ? OpenRing() : Status::Ok();
}

// The ring document, and the port where other nodes come in.
Status UvLoop::OpenRing() {
  Status status = ring_->Load();
  if (!status.ok()) return status;
  const Config& config = server_.config();
  uint16_t port = Ring::PortOf(config);
  if (port == 0) {
    return InvalidArgument("port + 10000 is no port: give the ring one with ring-port");
  }
  peer_links_ = std::make_unique<UvPeerLinks>(&loop_, server_.clock(), *ring_, SystemRandom64() | 1,
                                              [this] { WantEndOfTurn(); });
  for (const std::string& word : config.bind) {
    bool optional = word.starts_with('-');
    Result<BindAddress> bound = ResolveBindAddress(word, port);
    status = bound.ok() ? peer_links_->Listen(bound->address, config.tcp_backlog) : bound.status();
    if (!status.ok() && !optional) return status;
  }
  ring_->SetLinks(peer_links_.get());
  return Status::Ok();
}

// CONFIG SET port, bind: the new sockets first, so that a failure changes nothing. A socket that
// stays the same cannot be opened twice, so the old ones of the same port are closed before.
Status UvLoop::RebindTcp() {
  std::vector<UvListener*> kept;
  for (UvListener* listener : listeners_) {
    if (listener->is_unix()) {
      kept.push_back(listener);
    } else {
      listener->Close();
    }
  }
  listeners_ = kept;
  std::vector<UvListener*> opened;
  Status status = ListenTcp(&opened);
  if (!status.ok()) {
    LogWarning(status.message());
    for (UvListener* listener : opened) listener->Close();
    return InvalidArgument("Unable to listen on this port. Check server logs.");
  }
  listeners_.insert(listeners_.end(), opened.begin(), opened.end());
  return Status::Ok();
}

void UvLoop::RegisterHooks() {
  settings_.OnChange({"port", "bind"}, [this](const Config&) { return RebindTcp(); });
}

std::vector<std::string> UvLoop::ListenAddresses() const {
  std::vector<std::string> addresses;
  for (const UvListener* listener : listeners_) addresses.push_back(listener->address());
  return addresses;
}

// --- running ---

int UvLoop::Run(std::function<void()> on_ready) {
  on_ready_ = std::move(on_ready);
  signal_async = &async_;
  signal_loop = this;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  OpenEngine();
  WaitForShortOpening();
  while (!stopped_) uv_run(&loop_, UV_RUN_ONCE);
  return exit_code_;
}

// The first signal asks for an orderly stop; the second one ends the process where it stands,
// which loses nothing that was answered.
void UvLoop::OnSignal(int signal) {
  signal_number = signal;
  if (signal_count.fetch_add(1) > 0) _exit(kSecondSignalExit);
  uv_async_send(signal_async);
}

void UvLoop::OpenEngine() {
  server_.loading().loading = true;
  server_.loading().started_unix_s = server_.unix_seconds();
  EngineHooks hooks = server_.MakeEngineHooks([this] { uv_async_send(&async_); },
                                              [this](const Status& status) { FailLog(status); });
  hooks.on_recovery_progress = [this](double fraction, uint64_t records) {
    progress_permille_ = uint32_t(fraction * 1000);
    progress_records_ = records;
    LogNotice(fmt::format("Recovery: {:.0f} % of the log, {} records", fraction * 100, records));
  };
  opener_ = std::thread([this, options = server_.MakeEngineOptions(), hooks = std::move(hooks)] {
    open_result_ = Engine::Open(options, hooks, &server_.clock());
    {
      std::lock_guard lock(opened_mutex_);
      opened_.store(true, std::memory_order_release);
    }
    opened_signal_.notify_one();
    uv_async_send(&async_);
  });
}

// Most openings are short: then no client ever sees -LOADING, it just waits in the backlog.
void UvLoop::WaitForShortOpening() {
  std::unique_lock lock(opened_mutex_);
  opened_signal_.wait_for(lock, std::chrono::milliseconds(kSilentOpeningMs),
                          [this] { return opened_.load() || signal_count.load() > 0; });
}

void UvLoop::EngineOpened() {
  opener_.join();
  Result<std::unique_ptr<Engine>> result = std::move(*open_result_);
  open_result_.reset();
  if (!result.ok()) {
    LogWarning("Cannot start: " + result.status().message());
    exit_code_ = ExitCodeOf(result.status());
    Stop();
    return;
  }
  server_.AttachEngine(std::move(*result));
  if (ring_) {
    Status joined = ring_->EngineReady(&server_.engine());
    if (!joined.ok()) {
      LogWarning("Cannot start: " + joined.message());
      exit_code_ = kExitStartRefused;
      Stop();
      return;
    }
  }
  on_ready_();
}

void UvLoop::OnAsync() {
  turn_has_work_ = true;
  if (!stopped_ && opened_.load(std::memory_order_acquire) && open_result_) EngineOpened();
  if (signal_count.load() > 0 && !shutdown_) {
    LogWarning(fmt::format("Received {} scheduling shutdown...",
                           signal_number.load() == SIGINT ? "SIGINT" : "SIGTERM"));
    RequestShutdown({});
  }
  if (!stopped_) server_.PollEngine();
}

void UvLoop::OnTimer() {
  LoadingProgress& loading = server_.loading();
  loading.fraction = progress_permille_.load() / 1000.0;
  loading.records = progress_records_.load();
  turn_has_work_ = true;
  if (io_threads_) io_threads_->Receive();
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  busy_poll_.Tick(int64_t(uv_hrtime()), usage.ru_nivcsw);
  tick_has_more_ = server_.Tick(Server::kTickBudgetUs);
  if (ring_) ring_->Tick();
  UpdateIdle();
}

void UvLoop::OnIdle() {
  turn_has_work_ = true;
  if (tick_has_more_) tick_has_more_ = server_.Tick(Server::kIdleTickBudgetUs);
  scratch_.swap(to_run_);
  for (UvConnection* connection : scratch_) connection->run_listed = false;
  // A connection that closes meanwhile takes itself out of both lists.
  for (size_t i = 0; i < scratch_.size(); ++i) {
    if (scratch_[i]) scratch_[i]->RunPipeline();
  }
  scratch_.clear();
  if (io_threads_) io_threads_->RunListed();
  UpdateIdle();
}

// With one processor, nobody could send while this thread is awake.
void UvLoop::SetBusyPollWindow(const Config& config) {
  bool alone = sysconf(_SC_NPROCESSORS_ONLN) < 2;
  busy_poll_.set_window_us(alone ? 0 : config.busy_poll_us);
}

void UvLoop::OnCheck() {
  bool worked = turn_has_work_;
  if (worked) EndTurn();
  if (!worked && !uv_is_active(any(&awake_))) return;
  int64_t now_ns = int64_t(uv_hrtime());
  if (worked) busy_poll_.Worked(now_ns);
  // Replies wait for the log's sync, commands for cold keys: other threads are at work.
  bool loads = server_.has_engine() && server_.engine().LoadsUnderWay();
  if (!to_flush_.empty() || loads) busy_poll_.Waits();
  if (busy_poll_.Awake(now_ns)) {
    uv_idle_start(&awake_, [](uv_idle_t*) {});
  } else {
    uv_idle_stop(&awake_);
  }
}

void UvLoop::UpdateIdle() {
  bool wanted = tick_has_more_ || !to_run_.empty() || (io_threads_ && io_threads_->has_listed());
  if (wanted == idle_active_) return;
  idle_active_ = wanted;
  if (wanted) {
    uv_idle_start(&idle_, [](uv_idle_t* handle) { static_cast<UvLoop*>(handle->data)->OnIdle(); });
  } else {
    uv_idle_stop(&idle_);
  }
}

void UvLoop::RunLater(UvConnection* connection) {
  if (connection->run_listed) return;
  connection->run_listed = true;
  to_run_.push_back(connection);
  UpdateIdle();
}

void UvLoop::EndTurn() {
  turn_has_work_ = false;
  if (ring_) ring_->ResumeSettled();
  Status status = server_.EndTurn();
  if (!status.ok()) FailLog(status);
  if (ring_) ring_->TurnWritten();
  uint64_t position = server_.ReleasablePosition();
  if (ring_) {  // first, for it completes replies of clients
    ring_->Flush(position);
    peer_links_->Flush();
  }
  FlushConnections(position);
  if (io_threads_) io_threads_->Flush(position);
  if (shutdown_ && !stopped_) Stop();
}

// Connections whose replies wait for a later position stay in the list.
void UvLoop::FlushConnections(uint64_t position) {
  size_t kept = 0;
  for (size_t i = 0; i < to_flush_.size(); ++i) {
    UvConnection* connection = to_flush_[i];
    if (!connection) continue;
    if (connection->Flush(position)) {
      connection->flush_listed = false;
    } else {
      to_flush_[kept++] = connection;
    }
  }
  to_flush_.resize(kept);
}

void UvLoop::Forget(UvConnection* connection) {
  if (connection->flush_listed) std::ranges::replace(to_flush_, connection, nullptr);
  if (connection->run_listed) std::erase(to_run_, connection);
  std::ranges::replace(scratch_, connection, nullptr);
  connection->flush_listed = connection->run_listed = true;  // closed: never listed again
}

bool UvLoop::InputStopped() const {
  if (stopped_) return true;  // the engine is closed; the process ends with this turn
  return server_.has_engine() && server_.engine().BufferedBytes() >= kLogBufferLimitBytes;
}

// --- the end ---

void UvLoop::RequestShutdown(const ShutdownRequest& request) {
  if (shutdown_) return;
  shutdown_ = request;
  turn_has_work_ = true;
}

void UvLoop::Stop() {
  stopped_ = true;
  for (UvListener* listener : listeners_) {
    if (listener->is_unix()) unlink(listener->address().c_str());
    listener->Close();
  }
  listeners_.clear();
  CloseEngine();
  if (exit_code_ == kExitOk) {  // all is on disk now
    FlushConnections(UINT64_MAX);
    if (io_threads_) io_threads_->Flush(UINT64_MAX);
  }
  if (io_threads_) io_threads_->Stop();
  uv_stop(&loop_);
}

// The thread that opens the engine may still be at it: the process then ends as a crash would end
// it, at any point of a recovery, which the next one is made for.
void UvLoop::CloseEngine() {
  if (!server_.has_engine()) {
    if (shutdown_)
      LogNotice("Stopped during recovery: nothing has changed, the next start does it");
    return;
  }
  LogNotice("User requested shutdown...");
  bool checkpoint = shutdown_ && shutdown_->checkpoint;
  Status status = server_.CloseEngine(checkpoint);
  if (!status.ok()) {
    LogWarning("Stopped with an error: " + status.message());
    exit_code_ = kExitIoError;
    return;
  }
  LogNotice("Everything is on disk, bye bye...");
}

void UvLoop::FailLog(const Status& status) {
  LogWarning("The log cannot be written, stopping at once: " + status.message());
  _exit(kExitIoError);
}

}  // namespace redynamo
