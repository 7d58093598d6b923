// SPDX-License-Identifier: Apache-2.0
// Details of the commands on connections and the server.
#include "server/command_details_rows.h"

namespace redynamo {
namespace {

constexpr std::string_view kRandom = "nondeterministic_output";
constexpr std::string_view kAnyOrder = "nondeterministic_output_order";
constexpr std::string_view kEachShardSays =
    "nondeterministic_output request_policy:all_shards response_policy:special";
constexpr std::string_view kEachNodeSays =
    "nondeterministic_output request_policy:all_nodes response_policy:special";
constexpr std::string_view kAllNodesSucceed =
    "request_policy:all_nodes response_policy:all_succeeded";
constexpr std::string_view kAllShardsSucceed =
    "request_policy:all_shards response_policy:all_succeeded";

constexpr CommandDetails kRows[] = {
    // --- connection ---
    {"auth", "[username] password"},
    {"client|kill",
     "filter(ip:port:string | new-format([ID client-id] | "
     "[TYPE normal_master_slave_pubsub(NORMAL | MASTER | SLAVE | REPLICA | PUBSUB)] | "
     "[USER username] | [ADDR ip:port:string] | [LADDR ip:port:string] | "
     "[SKIPME yes/no:string])...)"},
    {.name = "client|info", .syntax = "", .tips = kRandom},
    {.name = "client|list",
     .syntax = "[TYPE normal_master_replica_pubsub(NORMAL | MASTER | REPLICA | PUBSUB)] "
               "[ID id{client-id...}]",
     .tips = kRandom},
    {"client|no-evict", "enabled(ON | OFF)"},
    {"client|no-touch", "enabled(ON | OFF)"},
    {"client|pause", "timeout [mode(WRITE | ALL)]"},
    {"client|reply", "on_off_skip(ON | OFF | SKIP)"},
    {.name = "client|setinfo",
     .syntax = "attr(LIB-NAME libname | LIB-VER libver)",
     .tips = kAllNodesSucceed},
    {"client|setname", "connection-name"},
    {"echo", "message"},
    {"hello",
     "[arguments{protover [AUTH username_password{username password}] [SETNAME clientname]}]"},
    {.name = "ping", .syntax = "[message]", .tips = kAllShardsSucceed},
    {"select", "index"},
    {.name = "wait",
     .syntax = "numreplicas timeout",
     .tips = "request_policy:all_shards response_policy:agg_min",
     .categories = "connection -keyspace"},
    {.name = "waitaof",
     .syntax = "numlocal numreplicas timeout",
     .tips = "request_policy:all_shards response_policy:agg_min",
     .categories = "connection -keyspace"},

    // --- publish and subscribe ---
    {"psubscribe", "pattern{pattern}..."},
    {"publish", "channel message"},
    {"pubsub|channels", "[pattern]"},
    {"pubsub|numsub", "[channel...]"},
    {"pubsub|shardchannels", "[pattern]"},
    {"pubsub|shardnumsub", "[shardchannel...]"},
    {"punsubscribe", "[pattern...]"},
    {"spublish", "shardchannel message", "not_key @1"},
    {"ssubscribe", "shardchannel...", "not_key @1..-1"},
    {"subscribe", "channel..."},
    {"sunsubscribe", "[shardchannel...]", "not_key @1..-1"},
    {"unsubscribe", "[channel...]"},
    {"watch", "key...", "RO @1..-1"},

    // --- cluster ---
    {.name = "asking", .syntax = "", .categories = "connection"},
    {"cluster|addslots", "slot:integer..."},
    {"cluster|addslotsrange", "start-slot_end-slot{start-slot:integer end-slot:integer}..."},
    {.name = "cluster|bumpepoch", .syntax = "", .tips = kRandom},
    {.name = "cluster|count-failure-reports", .syntax = "node-id", .tips = kRandom},
    {"cluster|countkeysinslot", "slot:integer"},
    {"cluster|delslots", "slot:integer..."},
    {"cluster|delslotsrange", "start-slot_end-slot{start-slot:integer end-slot:integer}..."},
    {"cluster|failover", "[options(FORCE | TAKEOVER)]"},
    {"cluster|forget", "node-id"},
    {.name = "cluster|getkeysinslot", .syntax = "slot:integer count", .tips = kRandom},
    {.name = "cluster|info", .syntax = "", .tips = kRandom},
    {"cluster|keyslot", "key:string"},
    {.name = "cluster|links", .syntax = "", .tips = kRandom},
    {"cluster|meet", "ip port [cluster_bus_port:integer]"},
    {.name = "cluster|myshardid", .syntax = "", .tips = kRandom},
    {.name = "cluster|nodes", .syntax = "", .tips = kRandom},
    {.name = "cluster|replicas", .syntax = "node-id", .tips = kRandom},
    {"cluster|replicate", "node-id"},
    {"cluster|reset", "[hard_soft(HARD | SOFT)]"},
    {"cluster|set-config-epoch", "config-epoch:integer"},
    {"cluster|setslot",
     "slot:integer subcommand(IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE)"},
    {.name = "cluster|shards", .syntax = "", .tips = kRandom},
    {.name = "cluster|slaves",
     .syntax = "node-id",
     .tips = kRandom,
     .replaced_by = "`CLUSTER REPLICAS`",
     .deprecated_since = "5.0.0"},
    {.name = "cluster|slots",
     .syntax = "",
     .tips = kRandom,
     .replaced_by = "`CLUSTER SHARDS`",
     .deprecated_since = "7.0.0"},
    {.name = "readonly", .syntax = "", .categories = "connection"},
    {.name = "readwrite", .syntax = "", .categories = "connection"},

    // --- server ---
    {"bgsave", "[SCHEDULE]"},
    {.name = "command", .syntax = "", .tips = kAnyOrder, .categories = "connection"},
    {.name = "command|count", .syntax = "", .categories = "connection"},
    {.name = "command|docs",
     .syntax = "[command-name...]",
     .tips = kAnyOrder,
     .categories = "connection"},
    {.name = "command|getkeys", .syntax = "command [arg...]", .categories = "connection"},
    {.name = "command|getkeysandflags", .syntax = "command [arg...]", .categories = "connection"},
    {.name = "command|help", .syntax = "", .categories = "connection"},
    {.name = "command|info",
     .syntax = "[command-name...]",
     .tips = kAnyOrder,
     .categories = "connection"},
    {.name = "command|list",
     .syntax = "[FILTERBY filterby(MODULE module-name | ACLCAT category | PATTERN pattern)]",
     .tips = kAnyOrder,
     .categories = "connection"},
    {"config|get", "parameter{parameter}..."},
    {.name = "config|set",
     .syntax = "parameter_value{parameter value}...",
     .tips = kAllNodesSucceed},
    {.name = "debug|digest-value", .syntax = "key...", .key_specs = "RO access @2..-1"},
    {.name = "debug|object", .syntax = "key", .key_specs = "RO @2"},
    {"debug|set-active-expire", "status"},
    {"debug|sleep", "seconds:double"},
    {.name = "info", .syntax = "[section...]", .tips = kEachShardSays, .categories = "dangerous"},
    {.name = "lastsave", .syntax = "", .tips = kRandom, .categories = "admin dangerous"},
    {.name = "latency|doctor", .syntax = "", .tips = kEachNodeSays},
    {.name = "latency|graph", .syntax = "event", .tips = kEachNodeSays},
    {.name = "latency|histogram", .syntax = "[command...]", .tips = kEachNodeSays},
    {.name = "latency|history", .syntax = "event", .tips = kEachNodeSays},
    {.name = "latency|latest", .syntax = "", .tips = kEachNodeSays},
    {.name = "latency|reset", .syntax = "[event...]", .tips = kAllNodesSucceed},
    {"lolwut", "[VERSION version]"},
    {.name = "memory|doctor", .syntax = "", .tips = kEachShardSays},
    {.name = "memory|malloc-stats", .syntax = "", .tips = kEachShardSays},
    {.name = "memory|purge", .syntax = "", .tips = kAllShardsSucceed},
    {.name = "memory|stats", .syntax = "", .tips = kEachShardSays},
    {"memory|usage", "key [SAMPLES count]", "RO @2"},
    {.name = "module|list", .syntax = "", .tips = kAnyOrder},
    {"replicaof", "args(host-port{host port} | no-one{NO ONE})"},
    {.name = "ring.ae", .syntax = "[what(partition:integer | STATUS)]", .tips = kEachNodeSays},
    {"ring.forget", "node:string [COMMIT]"},
    {"ring.get", "key", "RO access @1"},
    {.name = "ring.help", .syntax = ""},
    {.name = "ring.hints", .syntax = "", .tips = kEachNodeSays},
    {"ring.join", "ring-address:string [COMMIT]"},
    {"ring.leave", "node:string [COMMIT]"},
    {.name = "ring.nodes", .syntax = "", .tips = kEachNodeSays},
    {"ring.preflist", "key:string"},
    {"ring.put", "key context:string value", "RW access update @1"},
    {"ring.quorum", "[N n:integer] [R r:integer] [W w:integer] [SLOPPY yes-or-no:string] [RESET]"},
    {"ring.replace", "node:string ring-address:string [COMMIT]"},
    {"ring.siblings", "key", "RO @2"},
    {.name = "ring.status", .syntax = "", .tips = kEachNodeSays},
    {"ring.syncpoint", "[timeout-ms:integer]"},
    {"ring.why", "key", "RO @2"},
    {.name = "role", .syntax = "", .categories = "admin dangerous"},
    {"shutdown", "[nosave_save(NOSAVE | SAVE)] [NOW] [FORCE] [ABORT]"},
    {.name = "slaveof",
     .syntax = "args(host-port{host port} | no-one{NO ONE})",
     .replaced_by = "`REPLICAOF`",
     .deprecated_since = "5.0.0"},
    {.name = "slowlog|get",
     .syntax = "[count]",
     .tips = "request_policy:all_nodes nondeterministic_output"},
    {.name = "slowlog|len",
     .syntax = "",
     .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output"},
    {.name = "slowlog|reset", .syntax = "", .tips = kAllNodesSucceed},
    {.name = "time", .syntax = "", .tips = kRandom},
};

}  // namespace

std::span<const CommandDetails> ServerCommandDetails() { return kRows; }

}  // namespace redynamo
