// SPDX-License-Identifier: Apache-2.0
// A whole server in this process: a real UvLoop in a thread of its own, and blocking clients that
// talk to it over loopback sockets.
//
//   LiveServer server("io-threads 4");
//   Socket a(server), b(server);
//   CHECK(a.Ask("SET k v\r\n", "+OK\r\n"));
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "server/server.h"
#include "server/tsc_clock.h"
#include "server/uv_loop.h"
#include "tests/support/scratch_directory.h"

namespace redynamo {

inline constexpr int kLiveSecondsMax = 30;

// Asks again until it is true; false when that takes too long.
inline bool Eventually(const std::function<bool()>& condition) {
  int64_t deadline_us = SystemClock().MonotonicUs() + kLiveSecondsMax * int64_t(1'000'000);
  while (!condition()) {
    if (SystemClock().MonotonicUs() > deadline_us) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

inline sockaddr_in LoopbackAddress(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(uint16_t(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class LiveServer {
 public:
  // `lines` are of the configuration file.
  explicit LiveServer(const std::string& lines) {
    port_ = FreePort();
    std::string text = "dir " + dir_.path() + "\nport " + std::to_string(port_) +
                       "\nbind 127.0.0.1\nloglevel warning\n" + lines + "\n";
    REQUIRE(settings_.LoadText(text, "the test").ok());
    TscClock::Calibrate();
    server_ = std::make_unique<Server>(&settings_, &SystemClock(), 1);
    loop_ = std::make_unique<UvLoop>(*server_, settings_);
    Status status = loop_->Listen();
    REQUIRE_MESSAGE(status.ok(), status.message());
    std::promise<void> ready;
    thread_ = std::thread([&] {
      exit_code_ = loop_->Run([&] { ready.set_value(); });
      ended_ = true;
    });
    ready.get_future().wait();
  }
  ~LiveServer();

  // After a SHUTDOWN: waits for the loop's end and gives its exit code.
  int WaitForEnd() {
    if (thread_.joinable()) thread_.join();
    return exit_code_;
  }
  int port() const { return port_; }

 private:
  static int FreePort() {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = LoopbackAddress(0);
    socklen_t size = sizeof address;
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    close(fd);
    return ntohs(address.sin_port);
  }

  ScratchDirectory dir_;
  Settings settings_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<UvLoop> loop_;
  std::thread thread_;
  int port_ = 0;
  int exit_code_ = -1;
  std::atomic<bool> ended_{false};
};

// A blocking client. Its functions give false or less than asked for when the server has closed the
// connection, or says nothing for too long; they may be used in any thread.
class Socket {
 public:
  explicit Socket(const LiveServer& server) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    timeval limit{kLiveSecondsMax, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int yes = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    sockaddr_in address = LoopbackAddress(server.port());
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Socket() { Close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool connected() const { return connected_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void ShutDownWriting() { shutdown(fd_, SHUT_WR); }

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(size_t(n));
    }
    return true;
  }
  // Exactly so many bytes; fewer at the end of the connection.
  std::string Read(size_t size) {
    while (input_.size() < size && ReadMore()) {
    }
    std::string bytes = input_.substr(0, size);
    input_.erase(0, size);
    return bytes;
  }
  // Up to and with the next "\r\n".
  std::string ReadLine() {
    size_t end;
    while ((end = input_.find("\r\n")) == std::string::npos) {
      if (!ReadMore()) return Read(input_.size());
    }
    return Read(end + 2);
  }
  std::string ReadBulk() {
    std::string line = ReadLine();
    if (line.size() < 4 || line[0] != '$') return line;
    std::string bulk = Read(std::stoul(line.substr(1)) + 2);
    return bulk.substr(0, bulk.size() < 2 ? 0 : bulk.size() - 2);
  }
  // All until the server closes.
  std::string ReadToEnd() {
    while (ReadMore()) {
    }
    return Read(input_.size());
  }
  bool Ask(std::string_view request, std::string_view reply) {
    return Send(request) && Read(reply.size()) == reply;
  }
  std::string AskBulk(std::string_view request) { return Send(request) ? ReadBulk() : ""; }

 private:
  bool ReadMore() {
    char bytes[16384];
    ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    input_.append(bytes, size_t(n));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string input_;
};

inline LiveServer::~LiveServer() {
  // More than once: clients that have just gone may still count for maxclients.
  while (!ended_) {
    Socket socket(*this);
    socket.Send("AUTH secret\r\nSHUTDOWN NOSAVE\r\n");  // a test may set that password
    for (int i = 0; i < 200 && !ended_; ++i) poll(nullptr, 0, 1);
  }
  WaitForEnd();
  server_->DetachEngine().reset();
  loop_.reset();
}

// A number that INFO shows, or -1.
inline int64_t InfoNumber(Socket& socket, const std::string& field) {
  std::string info = "\r\n" + socket.AskBulk("INFO everything\r\n");
  size_t at = info.find("\r\n" + field + ":");
  return at == std::string::npos ? -1 : std::stoll(info.substr(at + field.size() + 3));
}

}  // namespace redynamo
