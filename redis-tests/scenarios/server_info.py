# SPDX-License-Identifier: Apache-2.0
"""Figures of INFO that must move with what happens: same deltas as in Redis."""

import time

from compare import info_fields
from resp import Connection

COUNTERS = {
    "stats": ("total_commands_processed", "keyspace_hits", "keyspace_misses", "expired_keys",
              "total_error_replies", "pubsub_channels", "pubsub_patterns"),
    "clients": ("connected_clients", "blocked_clients"),
}


def info(client, section="everything"):
    return info_fields(client.call("INFO", section)[1])


def deltas(before, after, names=COUNTERS):
    return {field: int(after[section][field]) - int(before[section][field])
            for section, fields in names.items() for field in fields}


def workload(client):
    client.call("SET", "k", "v")
    for _ in range(3):
        client.call("GET", "k")
    for _ in range(2):
        client.call("GET", "nothing")
    client.call("HSET", "h", "f", "v")
    client.call("HGET", "h", "f")
    client.call("MGET", "k", "nothing", "h")
    client.call("EXISTS", "k", "nothing")
    client.call("INCR", "k")
    client.call("NOSUCH")
    client.call("GET")
    client.call("SMEMBERS", "h")
    client.call("SET", "gone", "v", "EXAT", "1")
    client.call("SADD", "s", "m")
    client.call("TYPE", "s")
    client.call("TTL", "nothing")


def case_counters_move_as_in_redis(run):
    """hits, misses, errors and commands are counted as Redis counts them"""
    connection = run.connect("c1")
    moved = []
    for client in (connection.theirs, connection.ours):
        before = info(client)
        workload(client)
        moved.append(deltas(before, info(client)))
    for field, theirs in moved[0].items():
        run.check(moved[1][field] == theirs, "INFO %s moved by %d, not %d" % (
            field, moved[1][field], theirs))


def case_commandstats(run):
    """commandstats and errorstats have the lines and counts that Redis has"""
    connection = run.connect("c1")
    seen = []
    for client in (connection.theirs, connection.ours):
        client.call("CONFIG", "RESETSTAT")
        workload(client)
        client.call("CONFIG", "GET", "hz")
        client.call("CLIENT", "GETNAME")
        fields = info(client)
        commands = {}
        for name, text in fields["commandstats"].items():
            figures = dict(part.split("=") for part in text.split(","))
            commands[name] = tuple(int(figures[key]) for key in (
                "calls", "rejected_calls", "failed_calls"))
            run.check("usec" in figures and "usec_per_call" in figures, "no usec in " + name)
        seen.append((commands, fields["errorstats"]))
    for name, figures in seen[0][0].items():
        run.check(seen[1][0].get(name) == figures, "%s: %s, not %s" % (
            name, seen[1][0].get(name), figures))
    run.check(seen[0][1] == seen[1][1], "errorstats: %s, not %s" % (seen[1][1], seen[0][1]))


def case_latencystats(run):
    """latencystats has a line of percentiles for each command that ran"""
    connection = run.connect("c1")
    for client in (connection.theirs, connection.ours):
        client.call("CONFIG", "RESETSTAT")
        workload(client)
        lines = info(client).get("latencystats", {})
        text = lines.get("latency_percentiles_usec_get", "")
        run.check(all(part in text for part in ("p50=", "p99=", "p99.9=")),
                  "latency_percentiles_usec_get is %r" % text)


def case_keyspace(run):
    """keyspace counts keys and keys with deadlines for each database in use"""
    connection = run.connect("c1")
    seen = []
    for client in (connection.theirs, connection.ours):
        client.call("MSET", "a", 1, "b", 2, "c", 3)
        client.call("EXPIRE", "a", 1000)
        client.call("SELECT", 7)
        client.call("SET", "x", 1, "EX", 1000)
        seen.append({name: text.split(",avg_ttl")[0]
                     for name, text in info(client)["keyspace"].items()})
        client.call("SELECT", 0)
    run.check(seen[0] == seen[1], "keyspace: %s, not %s" % (seen[1], seen[0]))


def case_clients_and_channels(run):
    """connected clients, channels and patterns are counted"""
    connection = run.connect("c1")
    before = [info(client) for client in (connection.theirs, connection.ours)]
    extra = [[Connection(server.port) for _ in range(5)]
             for server in (run.pair.peer, run.pair.ours)]
    for side in extra:
        side[0].call("SUBSCRIBE", "ch")
        side[1].call("PSUBSCRIBE", "p*")
        for client in side:
            client.call("PING")
    after = [info(client) for client in (connection.theirs, connection.ours)]
    moved = [deltas(*pair, {"clients": ("connected_clients",),
                            "stats": ("pubsub_channels", "pubsub_patterns")})
             for pair in zip(before, after)]
    run.check(moved[0] == moved[1], "clients and channels: %s, not %s" % (moved[1], moved[0]))
    for side in extra:
        for client in side:
            client.close()


def case_server_identity(run):
    """frameworks find a version of at least 7.0.0, the right port and process"""
    client = run.connect("c1").ours
    fields = info(client)
    server = fields["server"]
    run.check([int(n) for n in server["redis_version"].split(".")] >= [7, 0, 0],
              "redis_version is " + server["redis_version"])
    run.check(server["tcp_port"] == str(run.pair.ours.port), "tcp_port is " + server["tcp_port"])
    if run.pair.ours.process:
        run.check(server["process_id"] == str(run.pair.ours.process.pid), "wrong process_id")
    run.check(server["redis_mode"] == "standalone", "redis_mode is " + server["redis_mode"])
    run.check(len(server["run_id"]) == 40, "run_id is " + server["run_id"])
    run.check(fields["replication"]["role"] == "master", "role is not master")
    run.check(fields["persistence"]["loading"] == "0", "loading is not 0")
    run.check(int(fields["memory"]["used_memory"]) > 0, "used_memory is not positive")
    run.check(fields["memory"]["maxmemory_policy"] == "noeviction", "policy is not noeviction")


def case_saves(run):
    """SAVE, BGSAVE and BGREWRITEAOF answer as in Redis, LASTSAVE moves, the data stays"""
    run.call("SET", "k", "v")
    before = [reply[1] for reply in run.both("LASTSAVE")]
    for command in (["SAVE"], ["BGSAVE"], ["BGSAVE", "SCHEDULE"], ["BGREWRITEAOF"], ["SAVE"]):
        wait_for_saves(run)
        run.call(*command)
    wait_for_saves(run)
    after = [reply[1] for reply in run.both("LASTSAVE")]
    run.check(all(a >= b > 0 for a, b in zip(after, before)), "LASTSAVE went back")
    run.call("GET", "k")


def wait_for_saves(run):
    """Until neither side saves or rewrites."""
    connection = run.connect("c1")
    deadline = time.monotonic() + 10
    for client in (connection.theirs, connection.ours):
        while True:
            fields = info(client)["persistence"]
            if fields["rdb_bgsave_in_progress"] == "0" == fields["aof_rewrite_in_progress"]:
                break
            run.check(time.monotonic() < deadline, "a background save never ends")
            time.sleep(0.01)
