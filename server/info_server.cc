// SPDX-License-Identifier: Apache-2.0
// INFO's sections about the process and its surroundings.
#include <unistd.h>

#include "base/version.h"
#include "server/info_sections.h"
#include "server/process_figures.h"

namespace redynamo {
namespace {

constexpr int64_t kSecondsPerDay = 86'400;
// Redis counts accesses in seconds of 24 bits.
constexpr int64_t kLruClockMask = (1 << 24) - 1;

std::string_view SupervisedName(SupervisedMode mode) {
  switch (mode) {
    case SupervisedMode::kUpstart: return "upstart";
    case SupervisedMode::kSystemd: return "systemd";
    case SupervisedMode::kAuto:
    case SupervisedMode::kNo: break;
  }
  return "no";
}

// "1.2.3.4:6379", "[::1]:6379" or "/path" as INFO tells it.
std::string ListenerText(std::string_view address) {
  if (address.starts_with('/')) return "name=unix,bind=" + std::string(address);
  size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::string_view port = colon == std::string_view::npos ? "" : address.substr(colon + 1);
  return fmt::format("name=tcp,bind={},port={}", host, port);
}

// What the programs were made with, as Redis names it.
std::string CompilerVersion() {
  return fmt::format("{}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
}

}  // namespace

void WriteServerSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  const Config& config = server.config();
  out.Field("redis_version", kRedisVersion);
  out.Field("redynamo_version", kRedynamoVersion);
  out.Field("redis_git_sha1", "00000000");
  out.Field("redis_git_dirty", 0);
  out.Field("redis_build_id", server.run_id().substr(0, 16));
  out.Field("redis_mode", source.cluster_client ? "cluster" : "standalone");
  out.Field("os", OperatingSystemName());
  out.Field("arch_bits", int(sizeof(void*) * 8));
  out.Field("monotonic_clock", "POSIX clock_gettime");
  out.Field("multiplexing_api", "epoll");
  out.Field("atomicvar_api", "c11-builtin");
  out.Field("gcc_version", CompilerVersion());
  out.Field("process_id", int64_t(getpid()));
  out.Field("process_supervised", SupervisedName(config.supervised));
  out.Field("run_id", server.run_id());
  out.Field("tcp_port", source.cluster_client ? config.cluster_port : config.port);
  out.Field("server_time_usec", server.now_us());
  out.Field("uptime_in_seconds", server.uptime_seconds());
  out.Field("uptime_in_days", server.uptime_seconds() / kSecondsPerDay);
  out.Field("hz", config.hz);
  out.Field("configured_hz", config.hz);
  out.Field("lru_clock", server.unix_seconds() & kLruClockMask);
  out.Field("executable", server.executable);
  out.Field("config_file", server.settings().config_file());
  out.Field("io_threads_active", int(config.io_threads > 1));
  int listener = 0;
  if (server.loop) {
    for (const std::string& address : server.loop->ListenAddresses()) {
      out.Field(fmt::format("listener{}", listener++), ListenerText(address));
    }
  }
}

void WriteClientsSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  const ServerStats& stats = server.stats();
  int64_t pubsub_clients = 0;
  for (const auto& [id, session] : server.clients().all()) pubsub_clients += session->is_pubsub();
  out.Field("connected_clients", server.clients().size());
  out.Field("cluster_connections", 0);
  out.Field("maxclients", server.config().maxclients);
  out.Field("client_recent_max_input_buffer", stats.recent_max_input_bytes);
  out.Field("client_recent_max_output_buffer", stats.recent_max_output_bytes);
  out.Field("blocked_clients", server.clients().deferred_count);
  out.Field("tracking_clients", 0);
  out.Field("pubsub_clients", pubsub_clients);
  out.Field("watching_clients", server.watches().watching_clients());
  out.Field("clients_in_timeout_table", 0);
  out.Field("total_watched_keys", server.watches().watched_keys());
  out.Field("total_blocking_keys", 0);
}

void WriteReplicationSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  out.Field("role", "master");
  out.Field("connected_slaves", 0);
  out.Field("master_failover_state", "no-failover");
  out.Field("master_replid", server.run_id());
  out.Field("master_replid2", std::string(40, '0'));
  out.Field("master_repl_offset", server.has_engine() ? server.engine().NewestPosition() : 0);
  out.Field("second_repl_offset", -1);
  out.Field("repl_backlog_active", 0);
  out.Field("repl_backlog_size", 1048576);
  out.Field("repl_backlog_first_byte_offset", 0);
  out.Field("repl_backlog_histlen", 0);
}

void WriteCpuSection(const InfoSource&, InfoWriter& out) {
  CpuSeconds process = CpuOfProcess(), children = CpuOfChildren(), thread = CpuOfThisThread();
  out.Fixed("used_cpu_sys", process.system, 6);
  out.Fixed("used_cpu_user", process.user, 6);
  out.Fixed("used_cpu_sys_children", children.system, 6);
  out.Fixed("used_cpu_user_children", children.user, 6);
  out.Fixed("used_cpu_sys_main_thread", thread.system, 6);
  out.Fixed("used_cpu_user_main_thread", thread.user, 6);
}

void WriteModulesSection(const InfoSource&, InfoWriter&) {}

void WriteClusterSection(const InfoSource& source, InfoWriter& out) {
  out.Field("cluster_enabled", int(source.cluster_client));
}

void WriteKeyspaceSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  if (!server.has_engine()) return;
  for (int database = 0; database < server.config().databases; database++) {
    Keyspace keys = server.engine().Database(database);
    if (keys.size() == 0) continue;
    out.Field(fmt::format("db{}", database),
              fmt::format("keys={},expires={},avg_ttl={}", keys.size(), keys.volatile_keys(),
                          keys.average_ttl_ms()));
  }
}

}  // namespace redynamo
