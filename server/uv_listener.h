// SPDX-License-Identifier: Apache-2.0
// One listening socket: TCP, for plain or cluster clients, or unix. Owns itself from Open until
// libuv has closed it.
#pragma once

#include <uv.h>

#include <string>

#include "base/status.h"
#include "server/uv_address.h"

namespace redynamo {

class UvLoop;

class UvListener {
 public:
  // `cluster`: what comes here is a cluster client (SessionIdentity::cluster_client).
  static Result<UvListener*> OpenTcp(UvLoop& loop, const BindAddress& address, int backlog,
                                     bool cluster);
  // An old socket file of that name is removed. `mode` 0 leaves the permissions to umask.
  static Result<UvListener*> OpenUnix(UvLoop& loop, const std::string& path, int mode, int backlog);
  void Close();
  const std::string& address() const { return address_; }
  bool is_unix() const { return is_unix_; }

 private:
  UvListener(UvLoop& loop, bool is_unix);
  static void OnConnection(uv_stream_t* stream, int status);
  Result<UvListener*> Listen(int backlog, const std::string& what);

  UvLoop& loop_;
  const bool is_unix_;
  bool cluster_ = false;
  std::string address_;
  union {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } handle_;
};

}  // namespace redynamo
