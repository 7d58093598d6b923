// SPDX-License-Identifier: Apache-2.0
// Details of the commands on keys.
#include "server/command_details_rows.h"

namespace redynamo {
namespace {

// Key specifications that many share.
constexpr std::string_view kUpdate = "RW access update @1";
constexpr std::string_view kBlindUpdate = "RW update @1";
constexpr std::string_view kInsert = "RW insert @1";
constexpr std::string_view kDelete = "RW delete @1";
constexpr std::string_view kPop = "RW access delete @1";
constexpr std::string_view kReplace = "OW update @1";
constexpr std::string_view kInspect = "RO @1";  // tells of the key, not of what it holds
constexpr std::string_view kStoreOfMany = "OW update @1; RO access @2..-1";

// Tips that many share.
constexpr std::string_view kRandom = "nondeterministic_output";
constexpr std::string_view kAnyOrder = "nondeterministic_output_order";
constexpr std::string_view kSumOfShards = "request_policy:multi_shard response_policy:agg_sum";
constexpr std::string_view kAllShardsSucceed =
    "request_policy:all_shards response_policy:all_succeeded";

constexpr CommandDetails kRows[] = {
    // --- strings ---
    {"append", "key value", kInsert},
    {"decr", "key", kUpdate},
    {"decrby", "key decrement", kUpdate},
    {"get", "key"},
    {"getdel", "key", kPop},
    {"getex",
     "key [expiration(EX seconds | PX milliseconds | EXAT unix-time-seconds | "
     "PXAT unix-time-milliseconds | PERSIST)]",
     kUpdate},
    {"getrange", "key start end"},
    {.name = "getset",
     .syntax = "key value",
     .key_specs = kUpdate,
     .replaced_by = "`SET` with the `!GET` argument",
     .deprecated_since = "6.2.0"},
    {"incr", "key", kUpdate},
    {"incrby", "key increment", kUpdate},
    {"incrbyfloat", "key increment:double", kUpdate},
    {"lcs", "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]", "RO access @1..+1"},
    {.name = "mget", .syntax = "key...", .tips = "request_policy:multi_shard"},
    {"mset", "key_value{key value}...", "OW update @1..-1/2",
     "request_policy:multi_shard response_policy:all_succeeded"},
    {"msetnx", "key_value{key value}...", "OW insert @1..-1/2",
     "request_policy:multi_shard response_policy:agg_min"},
    {"psetex", "key milliseconds value", kReplace},
    {"set",
     "key value [condition(NX | XX)] [GET] [expiration(EX seconds | PX milliseconds | "
     "EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL)]",
     "RW access update variable_flags @1"},
    {"setex", "key seconds value", kReplace},
    {"setnx", "key value", "OW insert @1"},
    {"setrange", "key offset value", kBlindUpdate},
    {"strlen", "key", kInspect},
    {.name = "substr",
     .syntax = "key start end",
     .replaced_by = "`GETRANGE`",
     .deprecated_since = "2.0.0"},

    // --- bitmaps ---
    {"bitcount", "key [index{start end [index_unit(BYTE | BIT)]}]"},
    {"bitfield",
     "key [operation(GET encoding_offset{encoding offset} | "
     "write{[OVERFLOW wrap_sat_fail(WRAP | SAT | FAIL)] "
     "write_operation(SET encoding_offset_value{encoding offset value:integer} | "
     "INCRBY encoding_offset_increment{encoding offset increment})})...]",
     "RW access update variable_flags @1"},
    {"bitfield_ro", "key [GET encoding_offset{encoding offset}...!]"},
    {"bitop", "operation destkey key...", "OW update @2; RO access @3..-1"},
    {"bitpos", "key bit [index{start [end_index{end [index_unit(BYTE | BIT)]}]}]"},
    {"getbit", "key offset"},
    {"setbit", "key offset value:integer", kUpdate},

    // --- hashes ---
    {"hdel", "key field...", kDelete},
    {"hexists", "key field", kInspect},
    {"hget", "key field"},
    {.name = "hgetall", .syntax = "key", .tips = kAnyOrder},
    {"hincrby", "key field increment", kUpdate},
    {"hincrbyfloat", "key field increment:double", kUpdate},
    {.name = "hkeys", .syntax = "key", .tips = kAnyOrder},
    {"hlen", "key", kInspect},
    {"hmget", "key field..."},
    {.name = "hmset",
     .syntax = "key field_value{field value}...",
     .key_specs = kBlindUpdate,
     .replaced_by = "`HSET` with multiple field-value pairs",
     .deprecated_since = "4.0.0"},
    {.name = "hrandfield", .syntax = "key [options{count [WITHVALUES]}]", .tips = kRandom},
    {.name = "hscan", .syntax = "key cursor [MATCH pattern] [COUNT count]", .tips = kRandom},
    {"hset", "key field_value{field value}...", kBlindUpdate},
    {"hsetnx", "key field value", kInsert},
    {"hstrlen", "key field", kInspect},
    {.name = "hvals", .syntax = "key", .tips = kAnyOrder},

    // --- sets ---
    {"sadd", "key member...", kInsert},
    {"scard", "key", kInspect},
    {.name = "sdiff", .syntax = "key...", .tips = kAnyOrder},
    {"sdiffstore", "destination:key key...", kStoreOfMany},
    {.name = "sinter", .syntax = "key...", .tips = kAnyOrder},
    {"sintercard", "numkeys key... [LIMIT limit]", "RO access @1#"},
    {"sinterstore", "destination:key key...", "RW update @1; RO access @2..-1"},
    {"sismember", "key member", kInspect},
    {.name = "smembers", .syntax = "key", .tips = kAnyOrder},
    {"smismember", "key member..."},
    {"smove", "source:key destination:key member", "RW access delete @1; RW insert @2"},
    {"spop", "key [count]", kPop, kRandom},
    {.name = "srandmember", .syntax = "key [count]", .tips = kRandom},
    {"srem", "key member...", kDelete},
    {.name = "sscan", .syntax = "key cursor [MATCH pattern] [COUNT count]", .tips = kRandom},
    {.name = "sunion", .syntax = "key...", .tips = kAnyOrder},
    {"sunionstore", "destination:key key...", kStoreOfMany},

    // --- keys ---
    {"copy", "source:key destination:key [DB destination-db] [REPLACE]",
     "RO access @1; OW update @2"},
    {"del", "key...", "RM delete @1..-1", kSumOfShards},
    {"exists", "key...", "RO @1..-1", kSumOfShards},
    {"expire", "key seconds [condition(NX | XX | GT | LT)]", kBlindUpdate},
    {"expireat", "key unix-time-seconds [condition(NX | XX | GT | LT)]", kBlindUpdate},
    {"expiretime", "key"},
    {.name = "keys",
     .syntax = "pattern",
     .tips = "request_policy:all_shards nondeterministic_output_order",
     .categories = "dangerous"},
    {"move", "key db", kUpdate},
    {"object|encoding", "key", "RO @2", kRandom},
    {"object|freq", "key", "RO @2", kRandom},
    {"object|idletime", "key", "RO @2", kRandom},
    {"object|refcount", "key", "RO @2", kRandom},
    {"persist", "key", kBlindUpdate},
    {"pexpire", "key milliseconds [condition(NX | XX | GT | LT)]", kBlindUpdate},
    {"pexpireat", "key unix-time-milliseconds [condition(NX | XX | GT | LT)]", kBlindUpdate},
    {"pexpiretime", "key"},
    {.name = "pttl", .syntax = "key", .tips = kRandom},
    {.name = "randomkey",
     .syntax = "",
     .tips = "request_policy:all_shards nondeterministic_output"},
    {"rename", "key newkey", "RW access delete @1; OW update @2"},
    {"renamenx", "key newkey", "RW access delete @1; OW insert @2"},
    {.name = "scan",
     .syntax = "cursor [MATCH pattern] [COUNT count] [TYPE type]",
     .tips = "nondeterministic_output request_policy:special"},
    {"touch", "key...", "RO @1..-1", kSumOfShards},
    {.name = "ttl", .syntax = "key", .tips = kRandom},
    {"type", "key", kInspect},
    {"unlink", "key...", "RM delete @1..-1", kSumOfShards},

    // --- whole databases ---
    {.name = "dbsize",
     .syntax = "",
     .tips = "request_policy:all_shards response_policy:agg_sum",
     .categories = "keyspace"},
    {.name = "flushall",
     .syntax = "[async(ASYNC | SYNC)]",
     .tips = kAllShardsSucceed,
     .categories = "keyspace dangerous"},
    {.name = "flushdb",
     .syntax = "[async(ASYNC | SYNC)]",
     .tips = kAllShardsSucceed,
     .categories = "keyspace dangerous"},
    {.name = "swapdb", .syntax = "index1 index2", .categories = "keyspace dangerous"},
};

}  // namespace

std::span<const CommandDetails> DataCommandDetails() { return kRows; }

}  // namespace redynamo
