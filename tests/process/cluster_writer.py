# SPDX-License-Identifier: Apache-2.0
"""Writes by way of a Redis Cluster client library (python3-redis) until its input ends, then
prints what was answered, as JSON: for ring_faults_tests.py.

    cluster_writer.py NUMBER SEED PAUSE_SECONDS HOST:PORT...

A process of its own, since the library belongs to the system's python3. The library sends a command
again, up to five times, when an answer does not come: then the first one may still take effect,
late, after others. It says so to its log only, so that is listened to.
"""
import json
import logging
import random
import select
import sys

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterDownError, ConnectionError, ResponseError, TimeoutError

RETRIES = 2  # of the library, after five at one node
USABLE_AFTER = (ClusterDownError, ConnectionError, ResponseError, TimeoutError)


class Repeats(logging.Handler):
    """Counts what the library may have sent twice, and keeps its log off the screen."""

    def __init__(self):
        super().__init__()
        self.count = 0
        library = logging.getLogger("redis.cluster")
        library.addHandler(self)
        library.propagate = False

    def emit(self, record):
        kind = record.exc_info[0] if record.exc_info else None
        self.count += kind is not None and issubclass(kind, (ConnectionError, TimeoutError))


def connect(addresses):
    nodes = [ClusterNode(*address.rsplit(":", 1)) for address in addresses]
    for node in nodes:
        node.port = int(node.port)
    return RedisCluster(startup_nodes=nodes, socket_timeout=5, socket_connect_timeout=2,
                        cluster_error_retry_attempts=RETRIES, decode_responses=True)


def write(client, numbers, number, said, repeats):
    """One of each kind. An exception leaves the rest out."""
    n = numbers.randrange(1 << 40)
    member, key = f"{number}-{n}", f"register-{number}-{n % 50}"
    said["tried"].append(member)
    if client.sadd(f"set-{number}-{n % 20}", member) == 1:
        said["members"].append(member)
    known = said["registers"].setdefault(key, [None, []])
    known[1].append(str(n))
    before = repeats.count
    if client.set(key, n):
        known[0] = str(n)
        if repeats.count == before:
            known[1].remove(str(n))  # it cannot come once more
    client.incr(f"counter-{number}")
    said["counted"] += 1


def main():
    number, seed, pause_seconds, *addresses = sys.argv[1:]
    numbers = random.Random(float(seed))
    said = {"members": [], "tried": [], "registers": {}, "counted": 0, "errors": {}}
    client, repeats = None, Repeats()
    while not select.select([sys.stdin], [], [], float(pause_seconds))[0]:
        try:
            client = client or connect(addresses)
            write(client, numbers, number, said, repeats)
        except Exception as error:  # 4.3.4 has more kinds than its documentation, and TypeErrors
            name = f"{type(error).__name__}: {str(error)[:60]}"
            said["errors"][name] = said["errors"].get(name, 0) + 1
            if not isinstance(error, USABLE_AFTER):
                client = None  # it may have lost all nodes that it knew
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
