// SPDX-License-Identifier: Apache-2.0
#include "server/uv_io_threads.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/log_line.h"
#include "server/server.h"
#include "server/uv_address.h"
#include "server/uv_io_socket.h"
#include "server/uv_loop.h"

namespace redynamo {
namespace {

// A connection between accept and its thread: libuv binds a handle to a loop, so the descriptor
// moves on as a copy.
struct AcceptedSocket {
  union {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } handle;

  void Close() {
    handle.any.data = this;
    uv_close(&handle.any,
             [](uv_handle_t* closed) { delete static_cast<AcceptedSocket*>(closed->data); });
  }
};

}  // namespace

UvIoThreads::UvIoThreads(UvLoop& loop, Settings& settings, int threads) : loop_(loop) {
  async_.data = this;
  uv_async_init(loop.uv(), &async_,
                [](uv_async_t* handle) { static_cast<UvIoThreads*>(handle->data)->Receive(); });
  SetLimits();
  settings.OnChange({"proto-max-bulk-len", "client-query-buffer-limit"}, [this](const Config&) {
    SetLimits();
    return Status::Ok();
  });
  for (int i = 0; i < threads; ++i) {
    threads_.push_back(std::make_unique<UvIoThread>(limits_, [this] { uv_async_send(&async_); }));
  }
}

UvIoThreads::~UvIoThreads() { Stop(); }

Server& UvIoThreads::server() { return loop_.server(); }

void UvIoThreads::SetLimits() {
  const Config& config = server().config();
  limits_.bulk_bytes = int64_t(config.proto_max_bulk_len_bytes);
  limits_.query_buffer_bytes = config.client_query_buffer_limit_bytes;
}

void UvIoThreads::Accept(uv_stream_t* listener, bool unix_socket, bool cluster_client) {
  auto* accepted = new AcceptedSocket;
  if (unix_socket) {
    uv_pipe_init(loop_.uv(), &accepted->handle.pipe, 0);
  } else {
    uv_tcp_init(loop_.uv(), &accepted->handle.tcp);
  }
  if (uv_accept(listener, &accepted->handle.stream) != 0) return accepted->Close();
  SessionIdentity who;
  who.cluster_client = cluster_client;
  DescribePeer(&accepted->handle.any, server().config().unixsocket, &who);
  std::optional<std::string_view> refusal = RefusalOf(server(), who);
  if (refusal) {
    uv_buf_t text = {const_cast<char*>(refusal->data()), refusal->size()};
    uv_try_write(&accepted->handle.stream, &text, 1);  // best effort: a fresh socket has room
    return accepted->Close();
  }
  if (!unix_socket) SetTcpOptions(&accepted->handle.tcp, server().config().tcp_keepalive_seconds);
  who.fd = fcntl(who.fd, F_DUPFD_CLOEXEC, 0);
  accepted->Close();
  if (who.fd < 0) {
    LogWarning(std::string("Accepting client connection: ") + std::strerror(errno));
    return;
  }
  who.id = server().clients().NextId();
  auto fewest = std::ranges::min_element(
      threads_, {}, [](const std::unique_ptr<UvIoThread>& thread) { return thread->sockets; });
  UvIoThread& thread = **fewest;
  thread.sockets++;
  auto* socket = new UvIoSocket(thread, unix_socket);  // deletes itself when closed
  clients_.insert(new IoClient(*this, socket, std::move(who)));
  MailWaits();
}

// --- a turn ---

void UvIoThreads::Receive() {
  ServerStats& stats = server().stats();
  for (const auto& thread : threads_) {
    IoFigures figures;
    thread->Receive(&events_, &figures);
    stats.reads_processed += figures.reads;
    stats.threaded_reads_processed += figures.reads;
    stats.writes_processed += figures.writes;
    stats.threaded_writes_processed += figures.writes;
    stats.net_input_bytes += figures.read_bytes;
    stats.net_output_bytes += figures.written_bytes;
    stats.recent_max_input_bytes = std::max(stats.recent_max_input_bytes, figures.max_input_bytes);
    for (const FromSocket& told : events_) {
      if (told.event == SocketEvent::kClosed) {
        Remove(told.client);
      } else {
        told.client->Hear(told);
      }
    }
    events_.clear();
  }
}

void UvIoThreads::RunListed() {
  running_.swap(to_run_);
  for (IoClient* client : running_) {
    client->run_listed = false;
    client->RunPipeline();
  }
  running_.clear();
}

// Clients whose replies wait for a later position stay in the list.
void UvIoThreads::Flush(uint64_t position) {
  size_t kept = 0;
  for (size_t i = 0; i < to_flush_.size(); ++i) {
    IoClient* client = to_flush_[i];
    if (client->Flush(position)) {
      client->flush_listed = false;
    } else {
      to_flush_[kept++] = client;
    }
  }
  to_flush_.resize(kept);
  for (const auto& thread : threads_) thread->Send();
}

void UvIoThreads::FlushLater(IoClient* client) {
  MailWaits();
  if (client->flush_listed) return;
  client->flush_listed = true;
  to_flush_.push_back(client);
}

void UvIoThreads::RunLater(IoClient* client) {
  if (client->run_listed) return;
  client->run_listed = true;
  to_run_.push_back(client);
  loop_.UpdateIdle();
}

void UvIoThreads::MailWaits() { loop_.WantEndOfTurn(); }

bool UvIoThreads::InputStopped() const { return loop_.InputStopped(); }

// --- the end ---

void UvIoThreads::Remove(IoClient* client) {
  client->thread().sockets--;
  if (client->flush_listed) std::erase(to_flush_, client);
  if (client->run_listed) std::erase(to_run_, client);
  clients_.erase(client);
  delete client;
}

void UvIoThreads::Stop() {
  if (threads_.empty()) return;
  for (const auto& thread : threads_) thread->Stop();
  threads_.clear();
  for (IoClient* client : clients_) delete client;
  clients_.clear();
  to_flush_.clear();
  to_run_.clear();
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
}

}  // namespace redynamo
