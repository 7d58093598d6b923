// SPDX-License-Identifier: Apache-2.0
// The server's settings: what an operator may say in a redis.conf-like file, on the command line,
// and by CONFIG SET.
//
// `Config` holds the values as plain typed members, to be read directly on hot paths. `Settings`
// owns one Config and everything around it: parsing, CONFIG GET/SET/REWRITE, change hooks. Each
// setting is one row of data (config_row.h; the rows are in config_table.cc and, for those which
// Redis has and we only keep and show, in config_kept_table.cc).
//
// Thread: all of Settings belongs to the data thread (at start: the main thread, before others
// exist). Another thread never reads Config; it is told of changes by whoever registered a hook.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log_line.h"
#include "base/status.h"
#include "server/ring_policy.h"

namespace redynamo {

// When a write's answer may leave the node: after fdatasync, or after write(2) with an fdatasync
// every second, or after write(2) with the flushing left to the kernel.
enum class AppendFsync { kAlways, kEverySecond, kNo };

enum class MaxmemoryPolicy {
  kPageOut,  // clean objects leave memory only; nothing is lost
  kNoEviction,
  kAllKeysLru,
  kAllKeysLfu,
  kAllKeysRandom,
  kVolatileLru,
  kVolatileLfu,
  kVolatileRandom,
  kVolatileTtl,
};

enum class SupervisedMode { kNo, kUpstart, kSystemd, kAuto };
enum class Permission { kNo, kYes, kLocal };  // kLocal: only for clients of this machine

enum ClientClass { kClientNormal, kClientReplica, kClientPubsub, kClientClasses };

// A client whose pending replies exceed hard_bytes, or soft_bytes for soft_seconds without a
// break, is closed. 0 = no limit.
struct OutputBufferLimit {
  uint64_t hard_bytes = 0;
  uint64_t soft_bytes = 0;
  int64_t soft_seconds = 0;
  bool operator==(const OutputBufferLimit&) const = default;
};

struct SavePoint {
  int64_t seconds = 0;
  int64_t changes = 0;
};

enum ShutdownFlag : uint32_t {
  kShutdownSave = 1,
  kShutdownNoSave = 2,
  kShutdownNow = 4,
  kShutdownForce = 8,
};

// The values. Defaults come from the table (Settings' constructor), not from here.
struct Config {
  // network
  int port = 0;                   // 0: no TCP
  int cluster_port = 0;           // for cluster clients; 0: none
  std::vector<std::string> bind;  // addresses; a leading '-' = may be missing; "*", "::*" = all
  std::string unixsocket;         // empty: none
  int unixsocketperm = 0;         // 0: as umask gives it
  int tcp_backlog = 0;
  int64_t timeout_seconds = 0;  // idle clients are closed; 0: never
  int tcp_keepalive_seconds = 0;
  int64_t maxclients = 0;
  bool protected_mode = false;
  int io_threads = 0;
  int64_t busy_poll_us = 0;  // 0: sleep whenever there is nothing to do

  // ring
  int ring_port = 0;                    // 0: port + 10000
  std::string ring_announce;            // host by which other nodes reach this one; empty: as bound
  int ring_bootstrap = 0;               // form a ring of so many blank nodes; 0, 1: none
  std::vector<std::string> ring_seeds;  // "host:port" of them all
  std::vector<std::string> ring_join;   // "host:port" of members to join by; empty: none
  std::string ring_host, ring_zone;     // failure domains; empty: one of its own
  int ring_weight = 0;                  // share of replicas, relative to other nodes
  int ring_n = 0, ring_r = 0, ring_w = 0;
  int ring_partitions = 0;
  bool ring_sloppy = false;
  std::vector<RingPolicy> ring_policies;  // in order
  int64_t ring_transfer_p99_ms = 0;       // above it, others' pulls are held back
  uint64_t ring_hint_bytes = 0;           // kept for nodes that cannot be reached
  int64_t ring_timeout_ms = 0;
  uint64_t ring_index_bytes = 0;  // of memory, for what absent replicas are owed

  // clients' memory
  uint64_t client_query_buffer_limit_bytes = 0;
  uint64_t proto_max_bulk_len_bytes = 0;
  OutputBufferLimit client_output_buffer_limit[kClientClasses];

  // process
  bool daemonize = false;
  SupervisedMode supervised = SupervisedMode::kNo;
  std::string pidfile;
  LogLevel loglevel = LogLevel::kNotice;
  std::string logfile;  // empty: standard output
  std::string dir;      // the data directory: as given until MakeDirAbsolute
  int databases = 0;
  int hz = 0;  // periodic work, turns a second

  // security
  std::string requirepass;  // empty: none
  Permission enable_debug_command = Permission::kNo;
  Permission enable_protected_configs = Permission::kNo;
  std::vector<std::pair<std::string, std::string>> rename_commands;  // (from, to); to "" = off

  // durability and disk
  AppendFsync appendfsync = AppendFsync::kAlways;
  uint64_t checkpoint_log_bytes = 0;        // log since the last checkpoint that starts the next
  int64_t checkpoint_interval_seconds = 0;  // 0: by bytes and idle moments only
  uint64_t large_collection_entries = 0;
  uint64_t log_segment_bytes = 0;
  bool log_salvage = false;            // skip damaged log records at start instead of refusing
  int64_t scrub_interval_seconds = 0;  // one whole pass over the files; 0: never
  bool warm_up = false;                // stream cold data into memory after a start

  // memory
  uint64_t maxmemory_bytes = 0;   // 0: no limit
  std::string maxmemory_clients;  // bytes, or "5%" of maxmemory_bytes; "0": no limit
  MaxmemoryPolicy maxmemory_policy = MaxmemoryPolicy::kPageOut;
  int maxmemory_samples = 0;
  int lfu_log_factor = 0;
  int lfu_decay_time_minutes = 0;
  uint64_t block_cache_bytes = 0;  // counted in maxmemory
  int active_expire_effort = 0;    // 1..10
  int64_t hash_max_listpack_entries = 0;
  int64_t hash_max_listpack_value_bytes = 0;
  int64_t set_max_intset_entries = 0;
  int64_t set_max_listpack_entries = 0;
  int64_t set_max_listpack_value_bytes = 0;

  // what one can see
  int64_t slowlog_log_slower_than_us = 0;  // negative: off; 0: every command
  int64_t slowlog_max_len = 0;
  int64_t latency_monitor_threshold_ms = 0;  // 0: off
  bool latency_tracking = false;
  std::vector<double> latency_tracking_info_percentiles;
  uint32_t notify_keyspace_events = 0;  // NotifyClass bits (command.h)

  // Kept and shown only, but not of one word each, so that they need a form of their own.
  std::vector<SavePoint> save;
  std::vector<int> oom_score_adj_values;
  uint32_t shutdown_on_sigint = 0;  // ShutdownFlag bits; 0: default
  uint32_t shutdown_on_sigterm = 0;
};

// The word that `maxmemory-policy` and INFO use. INFO shows page-out as "noeviction" (frameworks
// ask for that, and page-out loses nothing); CONFIG GET shows "page-out".
std::string_view MaxmemoryPolicyName(MaxmemoryPolicy policy);

// What the command line asks for.
enum class StartAction {
  kRun,
  kShowVersion,  // -v, --version
  kShowHelp,     // -h, --help
  kCheckOnly,    // --check: the settings were fine; nothing is started
};

struct SettingRow;

class Settings {
 public:
  using NameValue = std::pair<std::string, std::string>;
  // Called after a change of one of its names, with the new values in config(). An error undoes
  // the whole CONFIG SET: old values return, hooks that had run are run again, and the client sees
  // the message ("Unable to listen on this port").
  using ChangeHook = std::function<Status(const Config& now)>;

  Settings();  // every setting at its default
  ~Settings();
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  const Config& config() const { return config_; }

  // --- At start ------------------------------------------------------------------------------
  // Reads `[file] [--directive value...]... [-]` as redis-server does: first the file, then (with
  // `-` as last argument) standard input, then the directives; later wins. `arguments` excludes
  // the program's name. Errors: a multi-line message, to be printed as it is before exit 1, that
  // names source, line, directive, what is wrong, what is allowed, and what to do.
  Result<StartAction> LoadArguments(std::span<const std::string> arguments,
                                    const std::function<std::string()>& read_standard_input);
  // One text; `source` names it in messages ("the configuration file /etc/x.conf").
  Status LoadText(std::string_view text, const std::string& source);
  // One line each, to be logged as warnings: directives without an effect here, and the like.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Asked for each rename-command; without it any name is taken. Set it before loading.
  void SetCommandExists(std::function<bool(std::string_view)> exists);
  // Absolute path of the file of LoadArguments; empty if there was none.
  const std::string& config_file() const { return config_file_; }
  // Makes `dir` absolute, as CONFIG GET dir shows it. Call once, before daemonize changes the
  // working directory.
  Status MakeDirAbsolute();

  // --- At run time ---------------------------------------------------------------------------
  // CONFIG GET: each setting (and alias) once whose name matches one of the globs, any case.
  std::vector<NameValue> Get(std::span<const std::string_view> globs) const;
  // One setting's value in CONFIG GET's form; kNotFound if there is none of that name.
  Result<std::string> GetOne(std::string_view name) const;

  // CONFIG SET: all or nothing. The error message is the whole reply line, "ERR ..." without the
  // leading '-'. `local_client`: it came over the unix socket or the loopback interface.
  Status Set(std::span<const std::pair<std::string_view, std::string_view>> pairs,
             bool local_client = false);
  void OnChange(std::initializer_list<std::string_view> names, ChangeHook hook);

  // CONFIG REWRITE: the file keeps comments and order, lines change only where values differ, new
  // ones go to the end under "# Generated by CONFIG REWRITE". Atomic (temporary file, fsync,
  // rename, fsync of the directory). The error message is the whole reply line.
  Status Rewrite();

  // True for settings whose value must not reach SLOWLOG or MONITOR (passwords). Any case.
  static bool IsSensitive(std::string_view name);

 private:
  friend class SettingsLoader;    // config_file.cc
  friend class SettingsRewriter;  // config_rewrite.cc

  struct Hook {
    std::vector<const SettingRow*> rows;
    ChangeHook call;
  };
  using Pairs = std::span<const std::pair<std::string_view, std::string_view>>;

  std::string ValueOf(const SettingRow& row) const;
  // Takes over the value that `words` say; `append`: an earlier line of the file spoke of it too.
  Status Assign(const SettingRow& row, std::span<const std::string> words, bool append);
  Result<std::vector<const SettingRow*>> FindAll(Pairs pairs, bool local_client) const;
  Status SetOne(const SettingRow& row, std::string_view value);
  bool HasHook(const SettingRow& row) const;
  // Runs the hooks of the changed rows. After a failure: `culprit` is the row to blame.
  Status RunHooks(const std::set<const SettingRow*>& changed, size_t* hooks_run,
                  const SettingRow** culprit);

  Config config_;
  std::map<const SettingRow*, std::string> kept_;  // values of rows without a member
  std::vector<Hook> hooks_;
  std::vector<std::string> warnings_;
  std::function<bool(std::string_view)> command_exists_;
  std::string config_file_;
  std::string dir_as_given_;  // before MakeDirAbsolute
};

// `--help` and `--version` texts, each ending with a newline.
std::string HelpText(std::string_view program);
std::string VersionText();

}  // namespace redynamo
