// SPDX-License-Identifier: Apache-2.0
// INFO's sections about durability. What Redis calls an RDB save or an AOF rewrite is a checkpoint
// here; what it calls the AOF is the log.
#include "server/info_sections.h"

namespace redynamo {
namespace {

constexpr int64_t kMsPerSecond = 1000;

std::string_view OkOrErr(bool ok) { return ok ? "ok" : "err"; }

void WriteLoading(const InfoSource& source, InfoWriter& out) {
  const LoadingProgress& loading = source.server.loading();
  if (!loading.loading) return;
  int64_t elapsed_s = source.server.unix_seconds() - loading.started_unix_s;
  int64_t eta_s = loading.fraction > 0
                      ? int64_t(double(elapsed_s) * (1 - loading.fraction) / loading.fraction)
                      : 1;
  out.Field("loading_start_time", loading.started_unix_s);
  out.Field("loading_records", loading.records);
  out.Fixed("loading_loaded_perc", loading.fraction * 100, 2);
  out.Field("loading_eta_seconds", eta_s);
}

void WriteCheckpointAsRdb(const InfoSource& source, InfoWriter& out) {
  const EngineStats& engine = source.engine;
  bool had_one = engine.checkpoints > 0;
  int64_t last_save = engine.last_checkpoint_unix_s != 0
                          ? engine.last_checkpoint_unix_s
                          : source.server.started_unix_ms() / kMsPerSecond;
  out.Field("rdb_changes_since_last_save", engine.changes_since_checkpoint);
  out.Field("rdb_bgsave_in_progress", int(engine.checkpoint_running));
  out.Field("rdb_last_save_time", last_save);
  out.Field("rdb_last_bgsave_status", OkOrErr(engine.last_checkpoint_ok));
  out.Field("rdb_last_bgsave_time_sec", had_one ? engine.last_checkpoint_ms / kMsPerSecond : -1);
  out.Field("rdb_current_bgsave_time_sec",
            engine.checkpoint_running ? engine.current_checkpoint_ms / kMsPerSecond : -1);
  out.Field("rdb_saves", engine.checkpoints);
  out.Field("rdb_last_cow_size", 0);
  out.Field("rdb_last_load_keys_expired", 0);
  out.Field("rdb_last_load_keys_loaded", 0);
}

void WriteLogAsAof(const InfoSource& source, InfoWriter& out) {
  const EngineStats& engine = source.engine;
  bool had_one = engine.checkpoints > 0;
  // With a byte asked for, the log says whether it could take a write now.
  bool writable = !source.server.has_engine() || source.server.engine().ReserveWrite(1).ok();
  out.Field("aof_enabled", 1);
  out.Field("aof_rewrite_in_progress", int(engine.checkpoint_running));
  out.Field("aof_rewrite_scheduled", 0);
  out.Field("aof_last_rewrite_time_sec", had_one ? engine.last_checkpoint_ms / kMsPerSecond : -1);
  out.Field("aof_current_rewrite_time_sec",
            engine.checkpoint_running ? engine.current_checkpoint_ms / kMsPerSecond : -1);
  out.Field("aof_last_bgrewrite_status", OkOrErr(engine.last_checkpoint_ok));
  out.Field("aof_rewrites", engine.checkpoints);
  out.Field("aof_rewrites_consecutive_failures", int(!engine.last_checkpoint_ok));
  out.Field("aof_last_write_status", OkOrErr(writable));
  out.Field("aof_last_cow_size", 0);
  out.Field("module_fork_in_progress", 0);
  out.Field("module_fork_last_cow_size", 0);
  out.Field("aof_current_size", engine.log_bytes_since_checkpoint);
  out.Field("aof_base_size", 0);
  out.Field("aof_pending_rewrite", 0);
  out.Field("aof_buffer_length",
            source.server.has_engine() ? source.server.engine().BufferedBytes() : 0);
  out.Field("aof_pending_bio_fsync", 0);
  out.Field("aof_delayed_fsync", 0);
}

}  // namespace

void WritePersistenceSection(const InfoSource& source, InfoWriter& out) {
  out.Field("loading", int(source.server.loading().loading));
  out.Field("async_loading", 0);
  WriteLoading(source, out);
  out.Field("current_cow_peak", 0);
  out.Field("current_cow_size", 0);
  out.Field("current_cow_size_age", 0);
  out.Field("current_fork_perc", "0.00");
  out.Field("current_save_keys_processed", 0);
  out.Field("current_save_keys_total", 0);
  WriteCheckpointAsRdb(source, out);
  WriteLogAsAof(source, out);
}

void WriteRedynamoSection(const InfoSource& source, InfoWriter& out) {
  const EngineStats& engine = source.engine;
  Server& server = source.server;
  out.Field("log_appended_position", server.has_engine() ? server.engine().NewestPosition() : 0);
  out.Field("log_reply_position", server.ReleasablePosition());
  out.Field("log_bytes_appended", engine.log_bytes_appended);
  out.Field("log_records", engine.log_records);
  out.Field("log_batches", engine.log_batches);
  out.Field("log_syncs", engine.log_syncs);
  out.Field("log_sync_max_usec", engine.log_sync_max_us);
  out.Field("log_segments", engine.log_segments);
  out.Field("log_bytes_since_checkpoint", engine.log_bytes_since_checkpoint);
  out.Field("checkpoint_in_progress", int(engine.checkpoint_running));
  out.Field("checkpoints", engine.checkpoints);
  out.Field("checkpoint_failures", engine.checkpoint_failures);
  out.Field("checkpoint_put_off_for_space", int(engine.checkpoint_put_off));
  out.Field("checkpoint_rows", engine.checkpoint_rows);
  out.Field("checkpoint_last_unix_time", engine.last_checkpoint_unix_s);
  out.Field("checkpoint_last_msec", engine.last_checkpoint_ms);
  out.Field("dirty_rows", engine.dirty_rows);
  out.Field("dirty_bytes", engine.dirty_bytes);
  out.Field("resident_keys", engine.resident_keys);
  out.Field("cold_keys", engine.cold_keys);
  out.Field("cold_loads", engine.cold_loads);
  out.Field("cold_load_batches", engine.cold_load_batches);
  out.Field("commands_waited_for_disk", server.stats().parked_for_load);
  out.Field("paged_out_keys", engine.paged_out_keys);
  out.Field("sparse_keys", engine.sparse_keys);
  out.Field("cold_elements", engine.cold_elements);
  out.Field("paged_out_elements", engine.paged_out_elements);
  out.Field("blocking_loads", engine.blocking_loads);
  out.Field("warming_up", int(engine.warming_up));
  out.Field("disk_bytes", engine.disk_bytes);
  out.Field("block_cache_bytes", engine.block_cache_bytes);
  out.Field("disk_index_bytes", engine.disk_index_bytes);
  out.Field("disk_settles", engine.settles);
  out.Field("scrub_rounds", engine.scrub_rounds);
  out.Field("scrub_rows", engine.scrub_rows);
  out.Field("scrub_errors", engine.scrub_errors);
  out.Field("scrub_leaves", engine.scrub_leaves);
  out.Field("scrub_mismatches", engine.scrub_mismatches);
  out.Field("leaves_counted", engine.leaves_counted);
  out.Field("recovered_records", engine.recovered_records);
  out.Field("recovered_cut_bytes", engine.recovered_cut_bytes);
  out.Field("salvaged_records", engine.salvaged_records);
  out.Field("recovery_msec", engine.recovery_ms);
  out.Field("loop_turns", server.stats().loop_turns);
  out.Field("loop_turn_max_usec", server.stats().loop_turn_max_us);
}

}  // namespace redynamo
