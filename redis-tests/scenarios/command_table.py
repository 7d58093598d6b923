# SPDX-License-Identifier: Apache-2.0
"""Every command of ours against Redis' entry of the same name: COMMAND INFO and COMMAND DOCS."""

from compare import compare_command_entry, is_docs

# What issue 2 promises; a name that is missing here would not be noticed elsewhere.
PROMISED = """
append bitcount bitfield bitfield_ro bitop bitpos copy dbsize debug decr decrby del discard echo
exec exists expire expireat expiretime flushall flushdb get getbit getdel getex getrange getset
hdel hello hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield hscan hset
hsetnx hstrlen hvals incr incrby incrbyfloat info keys lastsave latency lcs lolwut memory mget
monitor move mset msetnx multi object persist pexpire pexpireat pexpiretime ping psetex psubscribe
pttl publish pubsub punsubscribe quit randomkey rename renamenx replicaof reset sadd save scan
scard sdiff sdiffstore select set setbit setex setnx setrange shutdown sinter sintercard
sinterstore sismember slowlog smembers smismember smove spop spublish srandmember srem sscan
ssubscribe strlen subscribe substr sunion sunionstore sunsubscribe swapdb time touch ttl type
unlink unsubscribe unwatch wait watch auth bgrewriteaof bgsave client command config
"""

SUBCOMMANDS = {
    "client": "id info list kill getname setname pause unpause reply no-evict help",
    "config": "get set rewrite resetstat help",
    "command": "count docs info list getkeys getkeysandflags help",
    "object": "encoding refcount idletime freq help",
    "pubsub": "channels numsub numpat shardchannels shardnumsub help",
    "slowlog": "get len reset help",
    "latency": "history latest reset doctor histogram help",
    "memory": "usage stats doctor purge help",
}


def entries(reply):
    """{name: entry} of a COMMAND INFO reply, without those that are null."""
    return {item[1][0][1].decode(): item for item in reply[1] if item[1]}


def case_promised_commands_exist(run):
    """every promised command and subcommand is in the table"""
    ours = entries(run.both("COMMAND")[1])
    missing = [name for name in PROMISED.split() if name not in ours]
    for name, subcommands in SUBCOMMANDS.items():
        known = {entry[1][0][1].decode() for entry in ours[name][1][9][1]} if name in ours else {}
        missing += [name + "|" + sub for sub in subcommands.split()
                    if name + "|" + sub not in known]
    run.check(not missing, "missing: " + " ".join(missing), ["COMMAND"])


def case_entries_equal_those_of_redis(run):
    """arity, flags, keys and categories of every command are those of Redis"""
    theirs, ours = (entries(reply) for reply in run.both("COMMAND"))
    reasons = []
    for name, entry in sorted(ours.items()):
        if name in theirs:
            reason = compare_command_entry(theirs[name], entry)
            if reason:
                reasons.append(reason)
    run.check(not reasons, "%d entries differ: %s" % (len(reasons), "; ".join(reasons)),
              ["COMMAND"])


def case_count_and_list_agree(run):
    """COMMAND, COMMAND COUNT and COMMAND LIST name the same commands"""
    client = run.connect("c1").ours
    names = set(entries(client.call("COMMAND")))
    count = client.call("COMMAND", "COUNT")[1]
    listed = {item[1].decode() for item in client.call("COMMAND", "LIST")[1]}
    run.check(count == len(names), "COMMAND COUNT is %d of %d" % (count, len(names)))
    run.check({name for name in listed if "|" not in name} == names,
              "COMMAND LIST differs by %s" % sorted(listed ^ names))


def case_docs(run):
    """COMMAND DOCS has an entry with Redis' keys for each command that both have"""
    theirs, ours = (entries(reply) for reply in run.both("COMMAND"))
    reasons = []
    for name in sorted(set(theirs) & set(ours)):
        replies = run.both("COMMAND", "DOCS", name)
        reason = is_docs(None, *replies)
        if reason:
            reasons.append(reason)
    run.check(not reasons, "; ".join(reasons), ["COMMAND", "DOCS"])
