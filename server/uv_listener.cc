// SPDX-License-Identifier: Apache-2.0
#include "server/uv_listener.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log_line.h"
#include "server/uv_connection.h"
#include "server/uv_loop.h"

namespace redynamo {
namespace {

Status UvError(const std::string& what, int error) {
  return {StatusCode::kIoError, what + ": " + uv_strerror(error)};
}

}  // namespace

UvListener::UvListener(UvLoop& loop, bool is_unix) : loop_(loop), is_unix_(is_unix) {
  if (is_unix) {
    uv_pipe_init(loop.uv(), &handle_.pipe, 0);
  } else {
    uv_tcp_init(loop.uv(), &handle_.tcp);
  }
  handle_.any.data = this;
}

Result<UvListener*> UvListener::OpenTcp(UvLoop& loop, const BindAddress& bound, int backlog,
                                        bool cluster) {
  auto* listener = new UvListener(loop, false);  // lives until Close's callback
  listener->cluster_ = cluster;
  listener->address_ = AddressText(bound.address);
  std::string what = "Could not create server TCP listening socket " + listener->address_;
  unsigned flags = bound.address.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
  int error =
      uv_tcp_bind(&listener->handle_.tcp, reinterpret_cast<const sockaddr*>(&bound.address), flags);
  if (error == 0) return listener->Listen(backlog, what);
  listener->Close();
  return UvError(what, error);
}

Result<UvListener*> UvListener::OpenUnix(UvLoop& loop, const std::string& path, int mode,
                                         int backlog) {
  auto* listener = new UvListener(loop, true);
  listener->address_ = path;
  std::string what = "Could not create the unix socket '" + path + "'";
  unlink(path.c_str());
  int error = uv_pipe_bind(&listener->handle_.pipe, path.c_str());
  if (error == 0) {
    Result<UvListener*> opened = listener->Listen(backlog, what);
    if (opened.ok() && mode != 0) chmod(path.c_str(), mode_t(mode));
    return opened;
  }
  listener->Close();
  return UvError(what, error);
}

Result<UvListener*> UvListener::Listen(int backlog, const std::string& what) {
  int error = uv_listen(&handle_.stream, backlog, OnConnection);
  if (error == 0) return this;
  Close();
  return UvError(what, error);
}

void UvListener::OnConnection(uv_stream_t* stream, int status) {
  auto* self = static_cast<UvListener*>(stream->data);
  if (status < 0) {
    LogWarning(std::string("Accepting client connection: ") + uv_strerror(status));
    return;
  }
  if (UvIoThreads* threads = self->loop_.io_threads()) {
    return threads->Accept(stream, self->is_unix_, self->cluster_);
  }
  auto* connection = new UvConnection(self->loop_, self->is_unix_);  // deletes itself when closed
  if (uv_accept(stream, connection->stream()) != 0) return connection->BeginClose();
  connection->Open(self->cluster_);
}

void UvListener::Close() {
  uv_close(&handle_.any,
           [](uv_handle_t* handle) { delete static_cast<UvListener*>(handle->data); });
}

}  // namespace redynamo
