#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-redis in its cluster mode: cluster_python.py PORT PORT PORT (cluster ports of one ring).

Prints "kill" and "start" when one of the nodes shall die and come back, and reads a line then.
"""

import sys
import time

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from checks import Checks, equal, holds

PORTS = [int(port) for port in sys.argv[1:]]
KEYS = ["key-%d" % i for i in range(300)]
RECOVERY_SECONDS_MAX = 10


def connect(**options):
    return RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in PORTS],
                        socket_timeout=2, **options)


def nodes_and_slots():
    """the map: a master at each cluster port, every slot of one of them"""
    r = connect()
    nodes = r.get_primaries()
    equal(sorted(node.port for node in nodes), sorted(PORTS))
    equal(r.get_replicas(), [])
    equal(len(r.nodes_manager.slots_cache), 16384)
    equal(len(r.cluster_nodes()), 3)
    equal({info["cluster_state"] for info in r.cluster_info(target_nodes="all").values()}, {"ok"})
    equal(r.cluster_keyslot("{user}1"), 5474)
    r.close()


def values():
    """values of all slots, counters, hashes, sets"""
    r = connect()
    for key in KEYS:
        equal(r.set(key, "of " + key), True)
    for key in KEYS:
        equal(r.get(key), ("of " + key).encode())
    equal(r.incr("{user}n", 5), 5)
    equal(r.hset("{user}h", mapping={"a": 1, "b": 2}), 2)
    equal(r.sadd("{user}s", "x", "y"), 2)
    equal(r.mget("{user}n", "{user}none"), [b"5", None])
    equal(r.delete("{user}n", "{user}h", "{user}s"), 3)
    r.close()


def many_keys():
    """pipelines over all nodes; keys of several slots in one command are refused"""
    r = connect()
    pipe = r.pipeline()
    for key in KEYS:
        pipe.append(key, "!")
    equal(pipe.execute(), [len("of " + key) + 1 for key in KEYS])
    try:
        r.mget("a", "b")
    except RedisClusterException:
        pass
    else:
        raise AssertionError("MGET of two slots was not refused")
    equal(r.mget_nonatomic("key-1", "key-2"), [b"of key-1!", b"of key-2!"])
    equal(r.delete(*KEYS), len(KEYS))
    r.close()


def whole_ring():
    """DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHALL: every key once, of all nodes together"""
    r = connect()
    equal(set(r.flushall(target_nodes=RedisCluster.PRIMARIES).values()), {True})
    for key in KEYS:
        r.set(key, "v")
    names = sorted(key.encode() for key in KEYS)
    nodes = r.get_primaries()
    equal(sum(r.dbsize(target_nodes=node) for node in nodes), len(KEYS))
    equal(sorted(key for node in nodes for key in r.keys("key-*", target_nodes=node)), names)
    equal(sorted(r.scan_iter(count=7)), names)
    holds(r.randomkey() in names, "RANDOMKEY")
    equal(set(r.flushall(target_nodes=RedisCluster.PRIMARIES).values()), {True})
    equal(sum(r.dbsize(target_nodes=node) for node in nodes), 0)
    r.close()


def reads_from_replicas():
    """read_from_replicas: READONLY is taken"""
    r = connect(read_from_replicas=True)
    equal(r.set("k", "v"), True)
    equal(r.get("k"), b"v")
    equal(r.readonly(target_nodes=r.get_primaries()[0]), True)
    equal(r.delete("k"), 1)
    r.close()


def ask(word):
    print(word, flush=True)
    sys.stdin.readline()


class Insistent:
    """A client that goes on when a node dies. This version's map cannot always be read again by the
    same client (its copy of the settings meets a lock), and then a new one is made."""

    def __init__(self):
        self.r = connect()
        self.longest = 0

    def __call__(self, action):
        started = time.monotonic()
        while True:
            try:
                result = action(self.r)
                self.longest = max(self.longest, time.monotonic() - started)
                return result
            except (RedisError, RedisClusterException, OSError) as error:
                if time.monotonic() - started > RECOVERY_SECONDS_MAX:
                    raise AssertionError("still failing: %r" % error) from error
                if isinstance(error, RedisClusterException):
                    self.r = connect()


def node_lost():
    """a node is killed: all slots are served again within seconds, and all values are there"""
    insist = Insistent()
    for key in KEYS:
        insist(lambda r, key=key: r.set(key, "before"))
    ask("kill")
    insist.longest = 0
    for key in KEYS:
        insist(lambda r, key=key: r.set(key, "after"))
    for key in KEYS:
        equal(insist(lambda r, key=key: r.get(key)), b"after")
    print("# longest pause of python3-redis: %.2f s" % insist.longest)
    ask("start")
    for key in KEYS:
        insist(lambda r, key=key: r.append(key, "!"))
    fresh = connect()
    for key in KEYS:
        holds(fresh.get(key).startswith(b"after!"), "a value is lost")
    fresh.close()


def main():
    checks = Checks()
    for check in (nodes_and_slots, values, many_keys, whole_ring, reads_from_replicas, node_lost):
        checks.run(check)
    sys.exit(1 if checks.failed else 0)


main()
