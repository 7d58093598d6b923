// SPDX-License-Identifier: Apache-2.0
#include "base/log_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace redynamo {
namespace {

std::mutex g_mutex;
int g_fd = STDOUT_FILENO;
std::atomic<LogLevel> g_level{LogLevel::kNotice};

}  // namespace

Status OpenLog(const std::string& path, LogLevel level) {
  SetLogLevel(level);
  if (path.empty()) return Status::Ok();
  int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return IoError("cannot open log file '" + path + "'", errno);
  std::lock_guard lock(g_mutex);
  if (g_fd != STDOUT_FILENO) close(g_fd);
  g_fd = fd;
  return Status::Ok();
}

void SetLogLevel(LogLevel level) { g_level = level; }
LogLevel CurrentLogLevel() { return g_level; }

void LogLine(LogLevel level, std::string_view message) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm local;
  localtime_r(&now.tv_sec, &local);
  char stamp[40];
  size_t n = strftime(stamp, sizeof stamp, "%d %b %Y %H:%M:%S", &local);
  char head[96];
  int head_size = snprintf(head, sizeof head, "%d:M %.*s.%03ld %c ", getpid(), int(n), stamp,
                           now.tv_nsec / 1'000'000, ".-*#"[int(level)]);
  std::string line(head, head_size);
  line.append(message);
  line.push_back('\n');
  std::lock_guard lock(g_mutex);
  ssize_t written = write(g_fd, line.data(), line.size());
  (void)written;  // a full log disk must not stop the server
}

}  // namespace redynamo
