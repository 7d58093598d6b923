// SPDX-License-Identifier: Apache-2.0
// The data thread's side of `io-threads N`, N > 1: N - 1 I/O threads share the clients' sockets,
// the data thread accepts and executes.
//
// A turn of the data thread's loop: Receive hears what the sockets have told and executes their
// parcels, Flush hands replies over once the log is written, and Send gives each I/O thread what
// has gathered for it, with one wake-up.
#pragma once

#include <uv.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "server/io_client.h"
#include "server/uv_io_thread.h"

namespace redynamo {

class Server;
class Settings;
class UvLoop;

class UvIoThreads {
 public:
  UvIoThreads(UvLoop& loop, Settings& settings, int threads);
  ~UvIoThreads();

  // Takes the connection that waits at a listening socket.
  void Accept(uv_stream_t* listener, bool unix_socket, bool cluster_client);
  void Receive();
  // Clients that asked to go on executing.
  void RunListed();
  bool has_listed() const { return !to_run_.empty(); }
  void Flush(uint64_t position);
  // Hands the last replies over, lets the threads write what the sockets take at once, and ends
  // them. Nothing is accepted or heard afterwards.
  void Stop();

  // --- for clients ---
  Server& server();
  void FlushLater(IoClient* client);
  void RunLater(IoClient* client);
  void MailWaits();
  bool InputStopped() const;
  std::vector<std::string>& pieces() { return pieces_; }  // empty; for a moment's use

 private:
  void Hear(const FromSocket& told);
  void Remove(IoClient* client);
  void SetLimits();

  UvLoop& loop_;
  IoLimits limits_;
  uv_async_t async_;
  std::vector<std::unique_ptr<UvIoThread>> threads_;
  std::unordered_set<IoClient*> clients_;  // owned
  std::vector<IoClient*> to_flush_, to_run_, running_;
  std::vector<FromSocket> events_;
  std::vector<std::string> pieces_;
};

}  // namespace redynamo
