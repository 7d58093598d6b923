// SPDX-License-Identifier: Apache-2.0
// INFO's sections of counters: stats, commandstats, errorstats, latencystats.
#include "base/number.h"
#include "server/info_sections.h"

namespace redynamo {
namespace {

constexpr double kBytesPerKb = 1024;

void WriteRates(const ServerStats& stats, InfoWriter& out) {
  out.Field("instantaneous_ops_per_sec", stats.commands_rate.PerSecond());
  out.Field("total_net_input_bytes", stats.net_input_bytes);
  out.Field("total_net_output_bytes", stats.net_output_bytes);
  out.Field("total_net_repl_input_bytes", 0);
  out.Field("total_net_repl_output_bytes", 0);
  out.Fixed("instantaneous_input_kbps", double(stats.input_rate.PerSecond()) / kBytesPerKb, 2);
  out.Fixed("instantaneous_output_kbps", double(stats.output_rate.PerSecond()) / kBytesPerKb, 2);
  out.Field("instantaneous_input_repl_kbps", "0.00");
  out.Field("instantaneous_output_repl_kbps", "0.00");
}

// What Redis counts and nothing here does: forks, replicas, defragmentation, tracking.
void WriteFieldsWithoutMeaning(InfoWriter& out) {
  static constexpr std::string_view kZeros[] = {
      "latest_fork_usec",         "total_forks",
      "migrate_cached_sockets",   "slave_expires_tracked_keys",
      "active_defrag_hits",       "active_defrag_misses",
      "active_defrag_key_hits",   "active_defrag_key_misses",
      "total_active_defrag_time", "current_active_defrag_time",
      "tracking_total_keys",      "tracking_total_items",
      "tracking_total_prefixes"};
  for (std::string_view name : kZeros) out.Field(name, 0);
}

}  // namespace

void WriteStatsSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  const ServerStats& stats = server.stats();
  const EngineStats& engine = source.engine;
  out.Field("total_connections_received", stats.connections_received);
  out.Field("total_commands_processed", stats.commands_processed);
  WriteRates(stats, out);
  out.Field("rejected_connections", stats.rejected_connections);
  out.Field("sync_full", 0);
  out.Field("sync_partial_ok", 0);
  out.Field("sync_partial_err", 0);
  out.Field("expired_keys", engine.expired_keys);
  out.Field("expired_stale_perc", "0.00");
  out.Field("expired_time_cap_reached_count", 0);
  out.Field("expire_cycle_cpu_milliseconds", 0);
  out.Field("evicted_keys", engine.evicted_keys);
  out.Field("evicted_clients", stats.evicted_clients);
  out.Field("total_eviction_exceeded_time", 0);
  out.Field("current_eviction_exceeded_time", 0);
  out.Field("keyspace_hits", stats.keyspace_hits);
  out.Field("keyspace_misses", stats.keyspace_misses);
  out.Field("pubsub_channels", server.pubsub().channel_count());
  out.Field("pubsub_patterns", server.pubsub().pattern_count());
  out.Field("pubsubshard_channels", server.pubsub().shard_channel_count());
  WriteFieldsWithoutMeaning(out);
  out.Field("unexpected_error_replies", stats.unexpected_error_replies);
  out.Field("total_error_replies", stats.error_replies);
  out.Field("unknown_commands", stats.unknown_commands);
  out.Field("dump_payload_sanitizations", 0);
  out.Field("total_reads_processed", stats.reads_processed);
  out.Field("total_writes_processed", stats.writes_processed);
  out.Field("io_threaded_reads_processed", stats.threaded_reads_processed);
  out.Field("io_threaded_writes_processed", stats.threaded_writes_processed);
  out.Field("reply_buffer_shrinks", 0);
  out.Field("reply_buffer_expands", 0);
  out.Field("client_query_buffer_limit_disconnections", stats.query_limit_disconnections);
  out.Field("client_output_buffer_limit_disconnections", stats.output_limit_disconnections);
  out.Field("acl_access_denied_auth", stats.auth_denied);
  out.Field("acl_access_denied_cmd", 0);
  out.Field("acl_access_denied_key", 0);
  out.Field("acl_access_denied_channel", 0);
}

void WriteCommandStatsSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  for (const Command& command : server.commands().all()) {
    const CommandStats& figures = server.stats().commands[command.id];
    if (!figures.calls && !figures.rejected && !figures.failed) continue;
    uint64_t us = figures.microseconds();
    double us_per_call = figures.calls ? double(us) / double(figures.calls) : 0;
    out.Field(fmt::format("cmdstat_{}", command.name()),
              fmt::format("calls={},usec={},usec_per_call={:.2f},rejected_calls={},failed_calls={}",
                          figures.calls, us, us_per_call, figures.rejected, figures.failed));
  }
}

void WriteErrorStatsSection(const InfoSource& source, InfoWriter& out) {
  for (const auto& [code, count] : source.server.stats().errors) {
    out.Field("errorstat_" + code, fmt::format("count={}", count));
  }
}

void WriteLatencyStatsSection(const InfoSource& source, InfoWriter& out) {
  Server& server = source.server;
  for (const Command& command : server.commands().all()) {
    const CommandStats& figures = server.stats().commands[command.id];
    if (!figures.latency) continue;
    std::string values;
    for (double percentile : server.config().latency_tracking_info_percentiles) {
      if (!values.empty()) values += ',';
      values += fmt::format("p{}={:.3f}", FormatDouble(percentile),
                            double(figures.latency->PercentileNs(percentile)) / 1000);
    }
    out.Field(fmt::format("latency_percentiles_usec_{}", command.name()), values);
  }
}

}  // namespace redynamo
