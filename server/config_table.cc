// SPDX-License-Identifier: Apache-2.0
// The settings that mean something here. conf/redynamo.conf documents each of them for operators;
// a test holds the two together.
#include <algorithm>

#include "server/config_row.h"

namespace redynamo {
namespace {

using Type = SettingType;

constexpr int64_t kInt32Max = 2147483647;
constexpr int64_t kKiB = 1 << 10;
constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kGiB = 1 << 30;
constexpr int64_t kWeekSeconds = 7 * 24 * 3600;
constexpr size_t kPasswordBytesMax = 512;

template <typename Enum>
constexpr Choice Word(std::string_view word, Enum value) {
  return {word, static_cast<int64_t>(value)};
}

constexpr Choice kAppendFsyncWords[] = {
    Word("everysec", AppendFsync::kEverySecond),
    Word("always", AppendFsync::kAlways),
    Word("no", AppendFsync::kNo),
};

constexpr Choice kPolicyWords[] = {
    Word("volatile-lru", MaxmemoryPolicy::kVolatileLru),
    Word("volatile-lfu", MaxmemoryPolicy::kVolatileLfu),
    Word("volatile-random", MaxmemoryPolicy::kVolatileRandom),
    Word("volatile-ttl", MaxmemoryPolicy::kVolatileTtl),
    Word("allkeys-lru", MaxmemoryPolicy::kAllKeysLru),
    Word("allkeys-lfu", MaxmemoryPolicy::kAllKeysLfu),
    Word("allkeys-random", MaxmemoryPolicy::kAllKeysRandom),
    Word("noeviction", MaxmemoryPolicy::kNoEviction),
    Word("page-out", MaxmemoryPolicy::kPageOut),
};

constexpr Choice kLogLevelWords[] = {
    Word("debug", LogLevel::kDebug),
    Word("verbose", LogLevel::kVerbose),
    Word("notice", LogLevel::kNotice),
    Word("warning", LogLevel::kWarning),
};

constexpr Choice kSupervisedWords[] = {
    Word("upstart", SupervisedMode::kUpstart),
    Word("systemd", SupervisedMode::kSystemd),
    Word("auto", SupervisedMode::kAuto),
    Word("no", SupervisedMode::kNo),
};

constexpr Choice kPermissionWords[] = {
    Word("no", Permission::kNo),
    Word("yes", Permission::kYes),
    Word("local", Permission::kLocal),
};

// hz outside of 1..500 is taken and bounded, as Redis does.
constexpr NumberSlot kHzSlot = {
    [](const Config& config) { return static_cast<int64_t>(config.hz); },
    [](Config& config, int64_t value) {
      config.hz = static_cast<int>(std::clamp<int64_t>(value, 1, 500));
    }};

Status CheckPassword(std::string_view value) {
  if (value.size() <= kPasswordBytesMax) return Status::Ok();
  return InvalidArgument("Password is longer than 512 bytes");
}

Status CheckDir(std::string_view value) {
  if (!value.empty()) return Status::Ok();
  return InvalidArgument("No such file or directory");
}

constexpr SettingRow kRows[] = {
    // --- network ---
    {.name = "port", .type = Type::kInteger, .default_text = "6379", .flags = kNeedsHook,
     .max = 65535, .number = Slot<&Config::port>(),
     .doc = "TCP port of clients; 0 for none"},
    {.name = "bind", .type = Type::kList, .default_text = "* -::*", .flags = kNeedsHook,
     .list = &kBindList,
     .doc = "addresses of this machine to listen on"},
    {.name = "unixsocket", .type = Type::kString, .default_text = "", .flags = kAtStartOnly,
     .text = &Config::unixsocket,
     .doc = "path of a unix socket to listen on; empty for none"},
    {.name = "unixsocketperm", .type = Type::kOctal, .default_text = "0", .flags = kAtStartOnly,
     .max = 0777, .number = Slot<&Config::unixsocketperm>(),
     .doc = "file mode of the unix socket; 0 leaves it to the umask"},
    {.name = "protected-mode", .type = Type::kBool, .default_text = "yes",
     .number = Slot<&Config::protected_mode>(),
     .doc = "without a password, serve clients of this machine only"},
    {.name = "tcp-backlog", .type = Type::kInteger, .default_text = "511", .flags = kAtStartOnly,
     .max = kInt32Max, .unit = "connections", .number = Slot<&Config::tcp_backlog>(),
     .doc = "connections that may wait to be accepted"},
    {.name = "timeout", .type = Type::kInteger, .default_text = "0", .max = kInt32Max,
     .unit = "seconds", .number = Slot<&Config::timeout_seconds>(),
     .doc = "close a client that is idle this long; 0 for never"},
    {.name = "tcp-keepalive", .type = Type::kInteger, .default_text = "300", .max = kInt32Max,
     .unit = "seconds", .number = Slot<&Config::tcp_keepalive_seconds>(),
     .doc = "probe silent connections this often; 0 for never"},
    {.name = "maxclients", .type = Type::kInteger, .default_text = "10000", .min = 1,
     .max = 4294967295, .unit = "clients", .number = Slot<&Config::maxclients>(),
     .doc = "clients served at a time; more are refused with an error"},
    {.name = "io-threads", .type = Type::kInteger, .default_text = "1", .flags = kAtStartOnly,
     .min = 1, .max = 128, .unit = "threads", .number = Slot<&Config::io_threads>(),
     .doc = "threads for sockets; 1 lets the data thread own them"},

    // --- clients' memory ---
    {.name = "client-output-buffer-limit", .type = Type::kList,
     .default_text = "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
     .list = &kOutputBufferLimitList,
     .doc = "close a client whose unread replies outgrow this, by class"},
    {.name = "client-query-buffer-limit", .type = Type::kMemory, .default_text = "1gb",
     .min = kMiB, .number = Slot<&Config::client_query_buffer_limit_bytes>(),
     .doc = "longest unfinished request of a client"},
    {.name = "proto-max-bulk-len", .type = Type::kMemory, .default_text = "512mb", .min = kMiB,
     .number = Slot<&Config::proto_max_bulk_len_bytes>(),
     .doc = "longest single argument, hence longest string value"},

    // --- process ---
    {.name = "daemonize", .type = Type::kBool, .default_text = "no", .flags = kAtStartOnly,
     .number = Slot<&Config::daemonize>(),
     .doc = "run in the background"},
    {.name = "supervised", .type = Type::kEnum, .default_text = "no", .flags = kAtStartOnly,
     .choices = kSupervisedWords, .number = Slot<&Config::supervised>(),
     .doc = "tell the service manager when ready"},
    {.name = "pidfile", .type = Type::kString, .default_text = "", .flags = kAtStartOnly,
     .text = &Config::pidfile,
     .doc = "file that holds the process id while the server runs"},
    {.name = "loglevel", .type = Type::kEnum, .default_text = "notice", .flags = kNeedsHook,
     .choices = kLogLevelWords, .number = Slot<&Config::loglevel>(),
     .doc = "least severe level that is logged"},
    {.name = "logfile", .type = Type::kString, .default_text = "", .flags = kAtStartOnly,
     .text = &Config::logfile,
     .doc = "the server's log; empty for standard output"},
    {.name = "databases", .type = Type::kInteger, .default_text = "16", .flags = kAtStartOnly,
     .min = 1, .max = kInt32Max, .number = Slot<&Config::databases>(),
     .doc = "numbered databases that SELECT knows"},
    {.name = "hz", .type = Type::kInteger, .default_text = "10", .max = kInt32Max,
     .unit = "turns a second, bounded to 1 to 500", .number = kHzSlot,
     .doc = "how often periodic work is done"},

    // --- security ---
    {.name = "requirepass", .type = Type::kString, .default_text = "", .flags = kSensitive,
     .text = &Config::requirepass, .check = CheckPassword,
     .doc = "password that clients must give with AUTH; empty for none"},
    {.name = "rename-command", .type = Type::kList, .default_text = "",
     .flags = kAtStartOnly | kFileOnly | kNotAlone, .list = &kRenameCommandList,
     .doc = "give a command another name, or none"},
    {.name = "enable-debug-command", .type = Type::kEnum, .default_text = "no",
     .flags = kAtStartOnly, .choices = kPermissionWords,
     .number = Slot<&Config::enable_debug_command>(),
     .doc = "who may use DEBUG"},
    {.name = "enable-protected-configs", .type = Type::kEnum, .default_text = "no",
     .flags = kAtStartOnly, .choices = kPermissionWords,
     .number = Slot<&Config::enable_protected_configs>(),
     .doc = "who may change protected settings by CONFIG SET"},

    // --- durability and disk ---
    {.name = "dir", .type = Type::kString, .default_text = ".",
     .flags = kAtStartOnly | kProtected, .text = &Config::dir, .check = CheckDir,
     .doc = "the data directory: log, checkpoints, rows"},
    {.name = "appendfsync", .type = Type::kEnum, .default_text = "always",
     .flags = kNeedsHook, .choices = kAppendFsyncWords, .number = Slot<&Config::appendfsync>(),
     .doc = "what must have happened to a write before it is answered"},
    {.name = "checkpoint-log-bytes", .type = Type::kMemory, .default_text = "1gb",
     .flags = kNeedsHook, .min = 64 * kKiB, .max = 1024 * kGiB,
     .number = Slot<&Config::checkpoint_log_bytes>(),
     .doc = "log since the last checkpoint that starts the next one"},
    {.name = "checkpoint-interval", .type = Type::kInteger, .default_text = "60",
     .flags = kNeedsHook, .max = kWeekSeconds, .unit = "seconds",
     .number = Slot<&Config::checkpoint_interval_seconds>(),
     .doc = "longest time between checkpoints while there are writes; 0 for no limit"},
    {.name = "log-segment-bytes", .type = Type::kMemory, .default_text = "64mb",
     .flags = kAtStartOnly, .min = 64 * kKiB, .max = 4 * kGiB,
     .number = Slot<&Config::log_segment_bytes>(),
     .doc = "size of one file of the log, set aside before it is needed"},
    {.name = "log-salvage", .type = Type::kBool, .default_text = "no", .flags = kAtStartOnly,
     .number = Slot<&Config::log_salvage>(),
     .doc = "start in spite of damaged log records, and lose those"},
    {.name = "scrub-interval", .type = Type::kInteger, .default_text = "604800",
     .flags = kNeedsHook, .max = 365 * 24 * 3600, .unit = "seconds",
     .number = Slot<&Config::scrub_interval_seconds>(),
     .doc = "how often all rows on disk are re-read and checked; 0 for never"},
    {.name = "warm-up", .type = Type::kBool, .default_text = "yes", .flags = kAtStartOnly,
     .number = Slot<&Config::warm_up>(),
     .doc = "after a start, read data into memory before it is asked for"},

    // --- memory ---
    {.name = "maxmemory", .type = Type::kMemory, .default_text = "0", .flags = kNeedsHook,
     .number = Slot<&Config::maxmemory_bytes>(),
     .doc = "memory for data and what serves them; 0 for no limit"},
    {.name = "maxmemory-policy", .type = Type::kEnum, .default_text = "page-out",
     .flags = kNeedsHook, .choices = kPolicyWords, .number = Slot<&Config::maxmemory_policy>(),
     .doc = "what happens at maxmemory"},
    {.name = "maxmemory-samples", .type = Type::kInteger, .default_text = "5",
     .flags = kNeedsHook, .min = 1, .max = kInt32Max, .unit = "keys",
     .number = Slot<&Config::maxmemory_samples>(),
     .doc = "keys compared to find one to let go"},
    {.name = "lfu-log-factor", .type = Type::kInteger, .default_text = "10",
     .flags = kNeedsHook, .max = kInt32Max, .number = Slot<&Config::lfu_log_factor>(),
     .doc = "how slowly a key's use counter rises"},
    {.name = "lfu-decay-time", .type = Type::kInteger, .default_text = "1",
     .flags = kNeedsHook, .max = kInt32Max, .unit = "minutes",
     .number = Slot<&Config::lfu_decay_time_minutes>(),
     .doc = "time in which a key's use counter loses one; 0 for never"},
    {.name = "block-cache-bytes", .type = Type::kMemory, .default_text = "64mb",
     .flags = kAtStartOnly, .min = kMiB, .max = 1024 * kGiB,
     .number = Slot<&Config::block_cache_bytes>(),
     .doc = "cache for blocks of the files on disk, counted in maxmemory"},
    {.name = "active-expire-effort", .type = Type::kInteger, .default_text = "1", .min = 1,
     .max = 10, .number = Slot<&Config::active_expire_effort>(),
     .doc = "how hard to look for expired keys that nobody asks for"},

    // --- when a collection stops being packed into one blob ---
    {.name = "hash-max-listpack-entries", .alias = "hash-max-ziplist-entries",
     .type = Type::kInteger, .default_text = "512", .flags = kNeedsHook, .unit = "fields",
     .number = Slot<&Config::hash_max_listpack_entries>(),
     .doc = "a hash of more fields is no longer packed"},
    {.name = "hash-max-listpack-value", .alias = "hash-max-ziplist-value",
     .type = Type::kMemory, .default_text = "64", .flags = kNeedsHook,
     .number = Slot<&Config::hash_max_listpack_value_bytes>(),
     .doc = "a hash with a longer field or value is no longer packed"},
    {.name = "set-max-intset-entries", .type = Type::kInteger, .default_text = "512",
     .flags = kNeedsHook, .unit = "members", .number = Slot<&Config::set_max_intset_entries>(),
     .doc = "a set of more numbers is no longer packed as numbers"},
    {.name = "set-max-listpack-entries", .type = Type::kInteger, .default_text = "128",
     .flags = kNeedsHook, .unit = "members",
     .number = Slot<&Config::set_max_listpack_entries>(),
     .doc = "a set of more members is no longer packed"},
    {.name = "set-max-listpack-value", .type = Type::kMemory, .default_text = "64",
     .flags = kNeedsHook, .number = Slot<&Config::set_max_listpack_value_bytes>(),
     .doc = "a set with a longer member is no longer packed"},

    // --- what one can see ---
    {.name = "slowlog-log-slower-than", .type = Type::kInteger, .default_text = "10000",
     .min = -1, .unit = "microseconds", .number = Slot<&Config::slowlog_log_slower_than_us>(),
     .doc = "commands slower than this go to SLOWLOG; 0 for all, -1 for none"},
    {.name = "slowlog-max-len", .type = Type::kInteger, .default_text = "128",
     .unit = "entries", .number = Slot<&Config::slowlog_max_len>(),
     .doc = "entries that SLOWLOG keeps"},
    {.name = "latency-monitor-threshold", .type = Type::kInteger, .default_text = "0",
     .unit = "milliseconds", .number = Slot<&Config::latency_monitor_threshold_ms>(),
     .doc = "events slower than this go to LATENCY; 0 for none"},
    {.name = "latency-tracking", .type = Type::kBool, .default_text = "yes",
     .number = Slot<&Config::latency_tracking>(),
     .doc = "keep a histogram of each command's time"},
    {.name = "latency-tracking-info-percentiles", .type = Type::kList,
     .default_text = "50 99 99.9", .list = &kPercentilesList,
     .doc = "percentiles that INFO latencystats shows"},
    {.name = "notify-keyspace-events", .type = Type::kList, .default_text = "",
     .list = &kNotifyEventsList,
     .doc = "classes of key changes that are published to subscribers"},
};

}  // namespace

std::span<const SettingRow> MeaningfulSettings() { return kRows; }

std::string_view MaxmemoryPolicyName(MaxmemoryPolicy policy) {
  for (const Choice& choice : kPolicyWords) {
    if (choice.value == static_cast<int64_t>(policy)) return choice.word;
  }
  return "unknown";
}

}  // namespace redynamo
