// SPDX-License-Identifier: Apache-2.0
// Settings that Redis 7 has and this server takes, checks, keeps and shows, without acting on them:
// tools ask for them by name, and a redis.conf of today should start. Each says why it is idle.
#include <algorithm>

#include "server/config_row.h"

namespace redynamo {
namespace {

using Type = SettingType;

constexpr int64_t kInt32Max = 2147483647;
constexpr uint32_t kFixed = kAtStartOnly;

// Why a whole group has no effect.
constexpr std::string_view kNoReplicas = "this server follows no master and feeds no Redis replica";
constexpr std::string_view kNoCluster =
    "the ring takes the place of Redis' cluster; its clients have a port: cluster-port";
constexpr std::string_view kNoTls = "TLS is not served; put a TLS proxy in front";
constexpr std::string_view kNoDumps = "no RDB files are written; checkpoints take their place";
constexpr std::string_view kNoAof = "the storage engine's own log takes the AOF's place";
constexpr std::string_view kNoScripts = "there are no scripts yet";
constexpr std::string_view kNoAcl = "there are no ACL users; use requirepass";
constexpr std::string_view kNoDefrag = "memory is not moved to defragment it";
constexpr std::string_view kAlwaysLazy = "large values are always freed in the background";
constexpr std::string_view kNoSuchType = "values of this type are not served yet";
constexpr std::string_view kNoPinning = "pin threads from outside, with taskset or systemd";
constexpr std::string_view kNoSyslog = "the log goes to logfile or standard output";
constexpr std::string_view kNoTitle = "the process title is left alone";
constexpr std::string_view kLeftToSystem = "left to the operating system and its service manager";
constexpr std::string_view kNoTracking = "client-side caching is not offered yet";
constexpr std::string_view kNotDone = "this server does nothing of the kind";
constexpr std::string_view kAlwaysDurable =
    "every write is logged before it is answered, always; appendfsync says how firmly";
constexpr std::string_view kWholeEngine =
    "data live in dir, in the storage engine's own files, not in one named dump";

struct Names {
  std::string_view name;
  std::string_view alias = {};
};

constexpr SettingRow Bool(Names names, std::string_view value, std::string_view doc,
                          uint32_t flags = 0) {
  return {.name = names.name,
          .alias = names.alias,
          .type = Type::kBool,
          .default_text = value,
          .flags = kKept | flags,
          .doc = doc};
}

constexpr SettingRow Number(Names names, std::string_view value, int64_t min, int64_t max,
                            std::string_view doc, uint32_t flags = 0) {
  return {.name = names.name,
          .alias = names.alias,
          .type = Type::kInteger,
          .default_text = value,
          .flags = kKept | flags,
          .min = min,
          .max = max,
          .doc = doc};
}

constexpr SettingRow Memory(Names names, std::string_view value, std::string_view doc,
                            int64_t min = 0) {
  return {.name = names.name,
          .alias = names.alias,
          .type = Type::kMemory,
          .default_text = value,
          .flags = kKept,
          .min = min,
          .doc = doc};
}

constexpr SettingRow Text(Names names, std::string_view value, std::string_view doc,
                          uint32_t flags = 0, Status (*check)(std::string_view) = nullptr) {
  return {.name = names.name,
          .alias = names.alias,
          .type = Type::kString,
          .default_text = value,
          .flags = kKept | flags,
          .check = check,
          .doc = doc};
}

constexpr SettingRow Enum(Names names, std::string_view value, std::span<const Choice> choices,
                          std::string_view doc, uint32_t flags = 0) {
  return {.name = names.name,
          .alias = names.alias,
          .type = Type::kEnum,
          .default_text = value,
          .flags = kKept | flags,
          .choices = choices,
          .doc = doc};
}

constexpr SettingRow List(Names names, std::string_view value, const ListSlot* list,
                          std::string_view doc, uint32_t flags = 0) {
  return {.name = names.name,
          .alias = names.alias,
          .type = Type::kList,
          .default_text = value,
          .flags = kKept | flags,
          .list = list,
          .doc = doc};
}

Status CheckFileName(std::string_view value) {
  if (value.find('/') == std::string_view::npos) return Status::Ok();
  return InvalidArgument("dbfilename can't be a path, just a filename");
}

Status CheckAppendName(std::string_view value) {
  if (!value.empty() && value.find('/') == std::string_view::npos) return Status::Ok();
  return InvalidArgument("appendfilename and appenddirname can't be a path, just a name");
}

Status CheckHostName(std::string_view value) {
  for (const char c : value) {
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!allowed) {
      return InvalidArgument("Hostnames may only contain alphanumeric characters, hyphens or dots");
    }
  }
  return Status::Ok();
}

Status CheckTitle(std::string_view value) {
  constexpr std::string_view kVariables[] = {"title",    "listen-addr", "server-mode", "port",
                                             "tls-port", "unixsocket",  "config-file"};
  const Status bad = InvalidArgument("template format is invalid or contains unknown variables");
  if (value.empty()) return bad;
  while (value.find('{') != std::string_view::npos) {
    value.remove_prefix(value.find('{') + 1);
    const std::string_view variable = value.substr(0, value.find('}'));
    if (variable.size() == value.size() ||
        std::find(std::begin(kVariables), std::end(kVariables), variable) == std::end(kVariables)) {
      return bad;
    }
    value.remove_prefix(variable.size() + 1);
  }
  return Status::Ok();
}

Status CheckAclFile(std::string_view value) {
  if (value.empty()) return Status::Ok();
  return InvalidArgument(
      "ACL users are not supported, and ignoring them would leave the server open. Remove "
      "aclfile, and protect the server by requirepass");
}

constexpr Choice kFacilities[] = {{"user", 0},   {"local0", 1}, {"local1", 2},
                                  {"local2", 3}, {"local3", 4}, {"local4", 5},
                                  {"local5", 6}, {"local6", 7}, {"local7", 8}};
constexpr Choice kSanitize[] = {{"no", 0}, {"yes", 1}, {"clients", 2}};
constexpr Choice kDisklessLoad[] = {{"disabled", 0}, {"on-empty-db", 1}, {"swapdb", 2}};
constexpr Choice kAuthClients[] = {{"no", 0}, {"yes", 1}, {"optional", 2}};
constexpr Choice kOomAdjust[] = {{"no", 0}, {"yes", 1}, {"relative", 1}, {"absolute", 2}};
constexpr Choice kChannels[] = {{"allchannels", 0}, {"resetchannels", 1}};
constexpr Choice kPermission[] = {{"no", 0}, {"yes", 1}, {"local", 2}};
constexpr Choice kEndpoint[] = {{"ip", 0}, {"hostname", 1}, {"unknown-endpoint", 2}};
constexpr Choice kPropagation[] = {{"ignore", 0}, {"panic", 1}, {"panic-on-replicas", 2}};

constexpr SettingRow kRows[] = {
    // --- durability by other means ---
    Bool({"appendonly"}, "yes", kAlwaysDurable),
    Text({"appendfilename"}, "appendonly.aof", kNoAof, kFixed, CheckAppendName),
    Text({"appenddirname"}, "appendonlydir", kNoAof, kFixed, CheckAppendName),
    Bool({"no-appendfsync-on-rewrite"}, "no", kNoAof),
    Number({"auto-aof-rewrite-percentage"}, "100", 0, kInt32Max, kNoAof),
    Memory({"auto-aof-rewrite-min-size"}, "64mb", kNoAof),
    Bool({"aof-load-truncated"}, "yes", kNoAof),
    Bool({"aof-use-rdb-preamble"}, "yes", kNoAof),
    Bool({"aof-timestamp-enabled"}, "no", kNoAof),
    Bool({"aof-rewrite-incremental-fsync"}, "yes", kNoAof),
    Bool({"aof-disable-auto-gc"}, "no", kNoAof),
    List({"save"}, "3600 1 300 100 60 10000", &kSaveList, kNoDumps, kNotAlone),
    Text({"dbfilename"}, "dump.rdb", kWholeEngine, kProtected, CheckFileName),
    Bool({"rdbcompression"}, "yes", kNoDumps),
    Bool({"rdbchecksum"}, "yes", kNoDumps, kFixed),
    Bool({"rdb-del-sync-files"}, "no", kNoDumps),
    Bool({"rdb-save-incremental-fsync"}, "yes", kNoDumps),
    Bool({"stop-writes-on-bgsave-error"}, "yes", kNoDumps),
    Enum({"sanitize-dump-payload"}, "no", kSanitize, kNoDumps),

    // --- process and machine ---
    Bool({"dynamic-hz"}, "yes", "periodic work adapts by itself"),
    Bool({"always-show-logo"}, "no", kNotDone, kFixed),
    Bool({"set-proc-title"}, "yes", kNoTitle, kFixed),
    Text({"proc-title-template"}, "{title} {listen-addr} {server-mode}", kNoTitle, 0, CheckTitle),
    Bool({"syslog-enabled"}, "no", kNoSyslog, kFixed),
    Text({"syslog-ident"}, "redis", kNoSyslog, kFixed),
    Enum({"syslog-facility"}, "local0", kFacilities, kNoSyslog, kFixed),
    Bool({"crash-log-enabled"}, "yes", kLeftToSystem),
    Bool({"crash-memcheck-enabled"}, "yes", kLeftToSystem),
    Bool({"disable-thp"}, "yes", kLeftToSystem, kFixed),
    Enum({"oom-score-adj"}, "no", kOomAdjust, kLeftToSystem),
    List({"oom-score-adj-values"}, "0 200 800", &kOomScoreAdjList, kLeftToSystem),
    Text({"server_cpulist"}, "", kNoPinning, kFixed),
    Text({"bio_cpulist"}, "", kNoPinning, kFixed),
    Text({"aof_rewrite_cpulist"}, "", kNoPinning, kFixed),
    Text({"bgsave_cpulist"}, "", kNoPinning, kFixed),
    Number({"shutdown-timeout"}, "10", 0, kInt32Max, kNoReplicas),
    List({"shutdown-on-sigint"}, "default", &kShutdownOnSigintList,
         "a signal always stops in good order"),
    List({"shutdown-on-sigterm"}, "default", &kShutdownOnSigtermList,
         "a signal always stops in good order"),
    Text({"ignore-warnings"}, "", kNotDone),
    Text({"locale-collate"}, "", kNotDone),
    Text({"bind-source-addr"}, "", kNoReplicas),
    Number({"socket-mark-id"}, "0", 0, 4294967295, kLeftToSystem, kFixed),
    Bool({"io-threads-do-reads"}, "no", "I/O threads always read", kFixed),

    // --- memory ---
    Number({"maxmemory-eviction-tenacity"}, "10", 0, 100, "eviction paces itself"),
    Bool({"activerehashing"}, "yes", "tables grow in small steps by themselves"),
    Bool({"jemalloc-bg-thread"}, "yes", kLeftToSystem),
    Bool({"activedefrag"}, "no", kNoDefrag),
    Memory({"active-defrag-ignore-bytes"}, "100mb", kNoDefrag, 1),
    Number({"active-defrag-threshold-lower"}, "10", 0, 1000, kNoDefrag),
    Number({"active-defrag-threshold-upper"}, "100", 0, 1000, kNoDefrag),
    Number({"active-defrag-cycle-min"}, "1", 1, 99, kNoDefrag),
    Number({"active-defrag-cycle-max"}, "25", 1, 99, kNoDefrag),
    Number({"active-defrag-max-scan-fields"}, "1000", 1, INT64_MAX, kNoDefrag),
    Bool({"lazyfree-lazy-eviction"}, "no", kAlwaysLazy),
    Bool({"lazyfree-lazy-expire"}, "no", kAlwaysLazy),
    Bool({"lazyfree-lazy-server-del"}, "no", kAlwaysLazy),
    Bool({"lazyfree-lazy-user-del"}, "no", kAlwaysLazy),
    Bool({"lazyfree-lazy-user-flush"}, "no", kAlwaysLazy),
    Number({"list-max-listpack-size", "list-max-ziplist-size"}, "-2", -kInt32Max - 1, kInt32Max,
           kNoSuchType),
    Number({"list-compress-depth"}, "0", 0, kInt32Max, kNoSuchType),
    Number({"zset-max-listpack-entries", "zset-max-ziplist-entries"}, "128", 0, INT64_MAX,
           kNoSuchType),
    Memory({"zset-max-listpack-value", "zset-max-ziplist-value"}, "64", kNoSuchType),
    Memory({"hll-sparse-max-bytes"}, "3000", kNoSuchType),
    Memory({"stream-node-max-bytes"}, "4096", kNoSuchType),
    Number({"stream-node-max-entries"}, "100", 0, INT64_MAX, kNoSuchType),

    // --- access, scripts, modules ---
    Text({"aclfile"}, "", kNoAcl, kFixed, CheckAclFile),
    Number({"acllog-max-len"}, "128", 0, INT64_MAX, kNoAcl),
    Enum({"acl-pubsub-default"}, "resetchannels", kChannels, kNoAcl),
    Enum({"enable-module-command"}, "no", kPermission, "modules cannot be loaded", kFixed),
    Number({"busy-reply-threshold", "lua-time-limit"}, "5000", 0, INT64_MAX, kNoScripts),
    Number({"tracking-table-max-keys"}, "1000000", 0, INT64_MAX, kNoTracking),

    // --- replication ---
    List({"replicaof", "slaveof"}, "", &kReplicaOfList, kNoReplicas, kFixed),
    Text({"masteruser"}, "", kNoReplicas, kSensitive),
    Text({"masterauth"}, "", kNoReplicas, kSensitive),
    Bool({"replica-serve-stale-data", "slave-serve-stale-data"}, "yes", kNoReplicas),
    Bool({"replica-read-only", "slave-read-only"}, "yes", kNoReplicas),
    Number({"replica-priority", "slave-priority"}, "100", 0, kInt32Max, kNoReplicas),
    Bool({"replica-ignore-maxmemory", "slave-ignore-maxmemory"}, "yes", kNoReplicas),
    Bool({"replica-lazy-flush", "slave-lazy-flush"}, "no", kNoReplicas),
    Bool({"replica-announced"}, "yes", kNoReplicas),
    Text({"replica-announce-ip", "slave-announce-ip"}, "", kNoReplicas),
    Number({"replica-announce-port", "slave-announce-port"}, "0", 0, 65535, kNoReplicas),
    Bool({"replica-ignore-disk-write-errors"}, "no", kNoReplicas),
    Number({"min-replicas-to-write", "min-slaves-to-write"}, "0", 0, kInt32Max, kNoReplicas),
    Number({"min-replicas-max-lag", "min-slaves-max-lag"}, "10", 0, kInt32Max, kNoReplicas),
    Number({"repl-ping-replica-period", "repl-ping-slave-period"}, "10", 1, kInt32Max, kNoReplicas),
    Number({"repl-timeout"}, "60", 1, kInt32Max, kNoReplicas),
    Memory({"repl-backlog-size"}, "1mb", kNoReplicas, 1),
    Number({"repl-backlog-ttl"}, "3600", 0, INT64_MAX, kNoReplicas),
    Bool({"repl-diskless-sync"}, "yes", kNoReplicas),
    Number({"repl-diskless-sync-delay"}, "5", 0, kInt32Max, kNoReplicas),
    Number({"repl-diskless-sync-max-replicas"}, "0", 0, kInt32Max, kNoReplicas),
    Enum({"repl-diskless-load"}, "disabled", kDisklessLoad, kNoReplicas),
    Bool({"repl-disable-tcp-nodelay"}, "no", kNoReplicas),
    Enum({"propagation-error-behavior"}, "ignore", kPropagation, kNoReplicas),

    // --- Redis cluster ---
    Bool({"cluster-enabled"}, "no", kNoCluster, kFixed),
    Text({"cluster-config-file"}, "nodes.conf", kNoCluster, kFixed),
    Number({"cluster-node-timeout"}, "15000", 0, INT64_MAX, kNoCluster),
    Text({"cluster-announce-ip"}, "", kNoCluster),
    Text({"cluster-announce-hostname"}, "", kNoCluster, 0, CheckHostName),
    Text({"cluster-announce-human-nodename"}, "", kNoCluster),
    Number({"cluster-announce-port"}, "0", 0, 65535, kNoCluster),
    Number({"cluster-announce-bus-port"}, "0", 0, 65535, kNoCluster),
    Number({"cluster-announce-tls-port"}, "0", 0, 65535, kNoCluster),
    Enum({"cluster-preferred-endpoint-type"}, "ip", kEndpoint, kNoCluster),
    Number({"cluster-migration-barrier"}, "1", 0, kInt32Max, kNoCluster),
    Bool({"cluster-allow-replica-migration"}, "yes", kNoCluster),
    Number({"cluster-replica-validity-factor", "cluster-slave-validity-factor"}, "10", 0, kInt32Max,
           kNoCluster),
    Bool({"cluster-replica-no-failover", "cluster-slave-no-failover"}, "no", kNoCluster),
    Bool({"cluster-require-full-coverage"}, "yes", kNoCluster),
    Bool({"cluster-allow-reads-when-down"}, "no", kNoCluster),
    Bool({"cluster-allow-pubsubshard-when-down"}, "yes", kNoCluster),
    Memory({"cluster-link-sendbuf-limit"}, "0", kNoCluster),

    // --- TLS ---
    Number({"tls-port"}, "0", 0, 65535, kNoTls),
    Text({"tls-cert-file"}, "", kNoTls),
    Text({"tls-key-file"}, "", kNoTls),
    Text({"tls-key-file-pass"}, "", kNoTls, kSensitive),
    Text({"tls-client-cert-file"}, "", kNoTls),
    Text({"tls-client-key-file"}, "", kNoTls),
    Text({"tls-client-key-file-pass"}, "", kNoTls, kSensitive),
    Text({"tls-dh-params-file"}, "", kNoTls),
    Text({"tls-ca-cert-file"}, "", kNoTls),
    Text({"tls-ca-cert-dir"}, "", kNoTls),
    Enum({"tls-auth-clients"}, "yes", kAuthClients, kNoTls),
    Bool({"tls-replication"}, "no", kNoTls),
    Bool({"tls-cluster"}, "no", kNoTls),
    Text({"tls-protocols"}, "", kNoTls),
    Text({"tls-ciphers"}, "", kNoTls),
    Text({"tls-ciphersuites"}, "", kNoTls),
    Bool({"tls-prefer-server-ciphers"}, "no", kNoTls),
    Bool({"tls-session-caching"}, "yes", kNoTls),
    Number({"tls-session-cache-size"}, "20480", 0, kInt32Max, kNoTls),
    Number({"tls-session-cache-timeout"}, "300", 0, kInt32Max, kNoTls),
};

}  // namespace

std::span<const SettingRow> KeptSettings() { return kRows; }

}  // namespace redynamo
