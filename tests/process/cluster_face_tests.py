# SPDX-License-Identifier: Apache-2.0
"""The cluster port of real processes: against a real redis-server in cluster mode, by the rules of
MOVED on a ring of three, and with the cluster modes of real clients, one node of which is killed.
"""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys

from ring_tests import NODES, SETTLE_SECONDS, RingOfThree, status
from support import (ROOT, Client, Failure, ReplyError, Scratch, Server, Skipped, expect,
                     free_port, let_run, wait_until)

REDIS_TESTS = os.path.join(ROOT, "redis-tests")
sys.path.insert(0, REDIS_TESTS)
import resp  # noqa: E402

CLIENT_SECONDS = 120
SLOTS = 16384
MOVED_MEMORY_SECONDS = 1.0
CLIENTS = {
    "redis-cli": ["/usr/bin/python3", "cluster_redis_cli.py"],
    "python3-redis": ["/usr/bin/python3", "cluster_python.py"],
    "ioredis": ["node", "cluster_ioredis.js"],
    "node-redis": ["node", "cluster_node_redis.js"],
}


class ClusterRing(RingOfThree):
    """A ring of three whose nodes have cluster ports."""

    def __init__(self, scratch, *options):
        super().__init__(scratch, *options)
        for server in self.servers:
            server.cluster_port = free_port()
            server.options += ["--cluster-port", str(server.cluster_port)]

    def by_port(self, port):
        return next(server for server in self.servers if server.cluster_port == port)


def shape(reply):
    """A reply with its types, names and numbers of elements; what differs by server is left out."""
    kind, payload = reply
    if isinstance(payload, list):
        return kind, [tuple(map(shape, item)) if kind == "%" else shape(item) for item in payload]
    if payload in (b"slots", b"nodes", b"id", b"port", b"ip", b"endpoint", b"role", b"master",
                   b"replication-offset", b"health", b"online", 0, SLOTS - 1):
        return kind, payload
    return kind, None


def fields(text):
    return [line.partition(":")[0] for line in text.decode().splitlines()]


def compare_with_redis(ours, theirs):
    for version in (2, 3):
        for side in (ours, theirs):
            side.call("HELLO", version)
        for command in ("SLOTS", "SHARDS"):
            a, b = (side.call("CLUSTER", command) for side in (theirs, ours))
            expect(shape(a) == shape(b), f"CLUSTER {command}: {resp.show(b)}, not {resp.show(a)}")
        a, b = (side.call("CLUSTER", "NODES") for side in (theirs, ours))
        expect(a[0] == b[0] and len(a[1].split()) == len(b[1].split()), f"NODES: {b}, not {a}")
        expect(a[1].split()[2:4] + a[1].split()[7:] == b[1].split()[2:4] + b[1].split()[7:],
               f"NODES: {b}, not {a}")
        a, b = (side.call("CLUSTER", "INFO") for side in (theirs, ours))
        expect(a[0] == b[0] and fields(a[1]) == fields(b[1]), f"INFO: {b}, not {a}")
        hello = [side.call("HELLO") for side in (theirs, ours)]
        expect(all((b"cluster" in [text[1] for text in flat(reply)]) for reply in hello), "HELLO")
    for line in SAME_REPLIES.strip().splitlines():
        a, b = (side.call(*line.split()) for side in (theirs, ours))
        expect(a == b, f"{line}: {resp.show(b)}, not {resp.show(a)}")


def flat(reply):
    return [part for pair in reply[1] for part in (pair if reply[0] == "%" else [pair])]


# Each on a connection of its own speaking RESP3, in this order.
SAME_REPLIES = """
FLUSHALL
CLUSTER KEYSLOT foo{bar}
CLUSTER KEYSLOT a b
CLUSTER FOO
CLUSTER COUNTKEYSINSLOT x
CLUSTER COUNTKEYSINSLOT 16384
CLUSTER COUNTKEYSINSLOT -1
CLUSTER GETKEYSINSLOT 1 -1
CLUSTER GETKEYSINSLOT 1 x
CLUSTER GETKEYSINSLOT 16384 1
SET {bar}1 v
SET {bar}2 v
CLUSTER COUNTKEYSINSLOT 5061
CLUSTER GETKEYSINSLOT 5061 0
CLUSTER GETKEYSINSLOT 5060 9
CLUSTER REPLICAS x
CLUSTER SLAVES x
CLUSTER COUNT-FAILURE-REPORTS x
CLUSTER LINKS
CLUSTER SAVECONFIG
READONLY
READWRITE
ASKING
SELECT 1
SELECT 0
SWAPDB 0 1
MOVE a 1
COPY a a DB 1
MGET a b
MSET a 1 b 1
WATCH a b
MGET {a}1 {a}2
MULTI
GET a
GET b
EXEC
EXEC
MULTI
MGET a b
EXEC
MULTI
GET {a}1
SET {a}2 v
EXEC
"""


def same_as_redis_in_cluster_mode():
    redis = shutil.which("redis-server")
    if not redis:
        raise Skipped("there is no redis-server to compare with")
    with Scratch("face") as scratch:
        port, cluster_port = free_port(), free_port()
        process = subprocess.Popen(  # its bus would be at port + 10000, and that may be no port
            [redis, "--port", str(port), "--cluster-enabled", "yes", "--cluster-port",
             str(free_port()), "--save", "", "--dir", scratch, "--cluster-announce-ip",
             "127.0.0.1"], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(port), 20, "redis-server")
            with Client(port) as client:
                expect(client.call("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1) == "OK", "ADDSLOTS")
                wait_until(lambda: b"cluster_state:ok" in client.call("CLUSTER", "INFO"), 20,
                           "redis-server's cluster is there")
            for threads in (1, 2):
                folder = os.path.join(scratch, f"ours{threads}")
                os.makedirs(folder)
                with Server(folder, ["--cluster-port", cluster_port, "--io-threads", threads]
                            ).start() as server:
                    compare_with_redis(resp.Connection(cluster_port), resp.Connection(port))
                    with server.client() as client:
                        expect(b"cluster_enabled:0" in client.call("INFO"), "INFO, plain port")
                        expect(client.call("MSET", "a", 1, "b", 2) == "OK", "MSET, plain port")
        finally:
            process.kill()
            process.wait()


def answers(port):
    with contextlib.suppress(OSError):
        with Client(port) as client:
            return client.call("PING") == "PONG"
    return False


# --- a ring of three ---

def slot_map(port):
    """{slot: cluster port} as the node at this cluster port says."""
    with Client(port) as client:
        slots = {}
        for first, last, owner, *others in client.call("CLUSTER", "SLOTS"):
            expect(not others, "a range has two nodes")
            expect(first not in slots, "a slot is there twice")
            slots.update(dict.fromkeys(range(first, last + 1), owner[1]))
        return slots


def agreed_map(ring, servers):
    """Once all of these nodes say the same of every slot, what they say."""
    ports = {server.cluster_port for server in servers}

    def agreed():
        maps = [slot_map(server.cluster_port) for server in servers]
        good = all(seen == maps[0] for seen in maps) and set(maps[0].values()) == ports
        return maps[0] if good else None
    slots = wait_until(agreed, SETTLE_SECONDS, "all nodes name the same coordinators")
    expect(len(slots) == SLOTS, "not every slot is somebody's")
    return slots


def key_at(slots, port, client, prefix="key"):
    """A key that the node at this cluster port coordinates."""
    for number in range(10_000):
        key = f"{prefix}-{number}"
        if slots[client.call("CLUSTER", "KEYSLOT", key)] == port:
            return key
    raise Failure("no key is there")


def moved(reply):
    """The port that a MOVED names, or None."""
    if not isinstance(reply, ReplyError) or not reply.startswith("MOVED "):
        return None
    return int(reply.rpartition(":")[2])


def commands_are_sent_to_their_coordinators():
    with Scratch("face") as scratch, ClusterRing(scratch) as ring:
        slots = agreed_map(ring, ring.servers)
        for server in ring.servers:
            jedis_and_go_redis_can_read(server.cluster_port)
            lettuce_can_read(server.cluster_port)
        here, there = ring.servers[0].cluster_port, ring.servers[1].cluster_port
        with Client(here) as client, Client(there) as other:
            own, others = key_at(slots, here, client), key_at(slots, there, client)
            expect(client.call("SET", own, 1) == "OK", "SET at the coordinator")
            expect(moved(client.call("SET", others, 1)) == there, "SET elsewhere")
            expect(client.call("GET", others) is None, "a read at any home is served")
            expect(client.call("SET", others, 2) == "OK", "who comes again is served")
            expect(other.call("GET", others) == b"2", "and by the coordinator")
            let_run(MOVED_MEMORY_SECONDS + .1)
            expect(moved(client.call("INCR", others)) == there, "a second later MOVED again")
            expect(other.call("INCR", others) == 3, "INCR at the coordinator")
            same_slot = [f"{{{others}}}{i}" for i in range(20)]
            replies = client.pipeline([("SET", key, "v") for key in same_slot])
            expect(replies == ["OK"] * 20, f"a pipeline within the second: {replies}")
            expect(client.call("READONLY") == "OK", "READONLY")
            expect(client.call("MGET", *same_slot) == [b"v"] * 20, "MGET after READONLY")
            reply = client.call("MGET", own, others)
            expect(isinstance(reply, ReplyError) and reply.startswith("CROSSSLOT"), f"{reply!r}")
        transactions_are_sent_whole(slots, here, there)
        with ring.servers[0].client() as plain:
            expect(plain.call("INCR", others) == 4, "the plain port forwards")
            expect(b"redis_mode:standalone" in plain.call("INFO"), "INFO on the plain port")
        shares_make_the_whole(ring)


def transactions_are_sent_whole(slots, here, there):
    with Client(here) as client:
        key = key_at(slots, there, client, "multi")
        watched = key_at(slots, there, client, "watched")
        expect(moved(client.call("WATCH", key)) == there, "WATCH elsewhere")
    with Client(here) as client, Client(there) as other:
        expect(client.call("MULTI") == "OK", "MULTI")
        expect(moved(client.call("SET", key, 1)) == there, "SET in MULTI elsewhere")
        expect(client.call("EXEC").startswith("EXECABORT"), "EXEC after MOVED")
        expect(client.pipeline([("MULTI",), ("SET", key, 1), ("INCR", key), ("EXEC",)])
               == ["OK", "QUEUED", "QUEUED", ["OK", 2]], "who comes again may do it here")
        expect(other.call("INCR", key) == 3, "and the coordinator sees it")
        expect(other.pipeline([("WATCH", watched), ("MULTI",), ("INCR", watched), ("EXEC",)])
               == ["OK", "OK", "QUEUED", [1]], "WATCH, MULTI, EXEC at the coordinator")


def shares_make_the_whole(ring):
    """Each node answers for what it is shown to have, so that clients may add up."""
    with ring.servers[0].client() as plain:
        expect(plain.call("FLUSHALL") == "OK", "FLUSHALL")
        names = {f"name-{number}".encode() for number in range(500)}
        plain.pipeline([("SET", name, 1) for name in names])
        clients = [Client(server.cluster_port) for server in ring.servers]
        sizes = [client.call("DBSIZE") for client in clients]
        expect(sum(sizes) == 500 and min(sizes) > 50, f"DBSIZE: {sizes}")
        seen = [name for client in clients for name in client.scan_all()]
        expect(len(seen) == 500 and set(seen) == names, "SCAN")
        listed = [name for client in clients for name in client.call("KEYS", "*")]
        expect(len(listed) == 500 and set(listed) == names, "KEYS")
        counted = clients[0].pipeline([("MULTI",), ("DBSIZE",), ("EXEC",)])[2]
        expect(counted == [sizes[0]], f"DBSIZE in EXEC: {counted}")
        expect(clients[0].call("FLUSHALL") == "OK", "FLUSHALL of a share")
        expect(plain.call("DBSIZE") == 500 - sizes[0], "FLUSHALL took others' keys")
        for client in clients:
            expect(client.call("FLUSHDB") == "OK", "FLUSHDB")
        expect(plain.call("DBSIZE") == 0, "DBSIZE after FLUSHDB at all nodes")


def coordinators_change_with_the_nodes():
    with Scratch("face") as scratch, ClusterRing(scratch) as ring:
        before = agreed_map(ring, ring.servers)
        victim, *rest = ring.servers
        victim.kill()
        during = agreed_map(ring, rest)
        lettuce_can_read(rest[0].cluster_port)
        kept = all(during[slot] == port for slot, port in before.items()
                   if port != victim.cluster_port)
        expect(kept, "slots of living nodes have moved")
        with Client(rest[0].cluster_port) as client:
            def line_of_lost():
                lines = client.call("CLUSTER", "NODES").decode().splitlines()
                return next(line for line in lines if f":{victim.cluster_port}@" in line).split()

            lost = line_of_lost()  # doubted by this node at once, given up by all when it is sure
            expect(lost[2] in ("master,fail?", "master,fail"), f"{lost}")
            wait_until(lambda: line_of_lost()[2] == "master,fail", 30,
                       "the ring calls it down")
            expect(line_of_lost()[7:] == ["disconnected"], f"{lost}")
            expect(b"cluster_state:ok" in client.call("CLUSTER", "INFO"), "cluster_state")
            key = key_at(during, rest[1].cluster_port, client)
            expect(moved(client.call("SET", key, 1)) == rest[1].cluster_port, "MOVED to the next")
        # It comes back with another cluster port, and what it says now counts.
        victim.options[victim.options.index(str(victim.cluster_port))] = str(free_port())
        victim.cluster_port = int(victim.options[-1])
        victim.start()
        after = agreed_map(ring, ring.servers)
        for slot, port in before.items():
            stands = during[slot] == port or after[slot] == victim.cluster_port
            expect(stands, f"slot {slot} has not come home")


def node_stands_still():
    """A client that goes on asking another node is served as soon as that node has noticed."""
    with Scratch("face") as scratch, ClusterRing(scratch) as ring:
        slots = agreed_map(ring, ring.servers)
        here, still = ring.servers[0], ring.servers[1]
        with Client(here.cluster_port) as client:
            key = key_at(slots, still.cluster_port, client)
            still.process.send_signal(signal.SIGSTOP)
            expect(moved(client.call("SET", key, 1)) == still.cluster_port, "MOVED to it at first")
            answers = []

            def served():
                answers.append(client.call("SET", key, 1))
                expect(not isinstance(answers[-1], ReplyError)
                       or answers[-1].split()[0] in ("MOVED", "QUORUM", "TRYAGAIN"),
                       f"an unexpected error: {answers[-1]}")
                return answers[-1] == "OK"
            wait_until(served, 10, "SET at another node")
            expect(client.call("GET", key) == b"1", "GET")
            still.process.send_signal(signal.SIGCONT)
        agreed_map(ring, ring.servers)


# What libraries that are not run here read, and refuse otherwise. From their sources: Jedis'
# JedisClusterInfoCache, go-redis' newClusterState, Lettuce's ClusterPartitionParser (and likewise
# Redisson, StackExchange.Redis).
NODE_FLAGS = {"myself", "master", "slave", "fail?", "fail", "handshake", "noaddr", "nofailover",
              "noflags"}


def jedis_and_go_redis_can_read(port):
    with Client(port) as client:
        covered = []
        for first, last, *nodes in client.call("CLUSTER", "SLOTS"):
            covered += range(first, last + 1)
            host, node_port, node_id = nodes[0][:3]
            expect(host and 0 < node_port < 65536 and len(node_id) == 40, f"a node: {nodes}")
        expect(sorted(covered) == list(range(SLOTS)), "holes or doubles in CLUSTER SLOTS")


def lettuce_can_read(port):
    with Client(port) as client:
        covered, ids, myself = set(), set(), 0
        for line in client.call("CLUSTER", "NODES").decode().splitlines():
            node_id, place, flags, master, ping, pong, epoch, link, *ranges = line.split(" ")
            host, node_port = place.partition("@")[0].rsplit(":", 1)
            expect(host and 0 < int(node_port) < 65536, f"an address: {line}")
            expect(set(flags.split(",")) <= NODE_FLAGS and "master" in flags.split(","), line)
            expect(master == "-" and link in ("connected", "disconnected"), line)
            expect(all(int(number) >= 0 for number in (ping, pong, epoch)), line)
            for text in ranges:
                first, _, last = text.partition("-")
                covered.update(range(int(first), int(last or first) + 1))
            ids.add(node_id)
            myself += "myself" in flags.split(",")
        expect(len(covered) == SLOTS and myself == 1, "CLUSTER NODES: slots or myself")
        shards = [dict(zip(shard[::2], shard[1::2])) for shard in client.call("CLUSTER", "SHARDS")]
        nodes = [dict(zip(node[::2], node[1::2])) for shard in shards for node in shard[b"nodes"]]
        expect({node[b"id"].decode() for node in nodes} == ids and len(nodes) == len(ids),
               "a node is not in exactly one shard")
        expect(sum(last - first + 1 for shard in shards for first, last
                   in zip(shard[b"slots"][::2], shard[b"slots"][1::2])) == SLOTS, "SHARDS' slots")


def node_without_a_port():
    """Its slots are shown at another home, and served there."""
    with Scratch("face") as scratch:
        ring = ClusterRing(scratch)
        hidden = ring.servers[2]
        del hidden.options[-2:]
        with ring:
            shown = ring.servers[:2]
            slots = agreed_map(ring, shown)
            for server in shown:
                with Client(server.cluster_port) as client:
                    keys = [f"key-{number}" for number in range(300)]
                    for key in keys:
                        reply = client.call("SET", key, 1)
                        port = slots[client.call("CLUSTER", "KEYSLOT", key)]
                        expect(reply == "OK" or moved(reply) == port, f"{key}: {reply!r}")
                        expect(port != server.cluster_port or reply == "OK",
                               f"{key} is shown here and not served: {reply!r}")
            with hidden.client() as client:
                reply = client.call("CLUSTER", "SLOTS")
                expect(reply == "ERR This instance has cluster support disabled", f"{reply!r}")


def wrong_ports_are_refused():
    with Scratch("face") as scratch:
        port = free_port()
        server = Server(scratch, ["--cluster-port", port], port=port)
        code, log = server.start_refused()
        expect(code != 0 and "are both" in log, log)


# --- real clients ---

def real_client(name):
    command = CLIENTS[name]
    if command[0] == "node" and not os.path.isdir(
            os.path.join(REDIS_TESTS, "clients", "node_modules")):
        raise Skipped("run scripts/install-clients.sh")
    with Scratch("face") as scratch, ClusterRing(scratch) as ring:
        agreed_map(ring, ring.servers)
        ports = [str(server.cluster_port) for server in ring.servers]
        process = subprocess.Popen(
            [*command, *ports], cwd=os.path.join(REDIS_TESTS, "clients"), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        limit = signal.SIGALRM
        previous = signal.signal(limit, lambda *_: process.kill())
        signal.alarm(CLIENT_SECONDS)
        try:
            return follow_client(process, ring)
        finally:
            signal.alarm(0)
            signal.signal(limit, previous)
            process.kill()
            process.wait()


def follow_client(process, ring):
    """Does what the client asks for, until it has ended; gives its notes."""
    victim = random.choice(ring.servers)
    passed, others, notes = 0, [], []
    for line in process.stdout:
        if line.strip() == "kill":
            victim.kill()
        elif line.strip() == "start":
            victim.start()
            for server in ring.servers:
                wait_until(lambda: status(server).count(" up ") == NODES - 1, SETTLE_SECONDS,
                           "all links are up")
        elif line.startswith("ok - "):
            passed += 1
            continue
        elif line.startswith("# "):
            notes.append(line[2:].strip())
            continue
        else:
            others.append(line.rstrip())  # a failure, or what a library logs
            continue
        process.stdin.write("done\n")
        process.stdin.flush()
    code = process.wait()
    expect(code == 0 and passed,
           f"exit code {code}, {passed} passed:\n" + "\n".join(others)[:1000] + "\n...\n" +
           "\n".join(others)[-2000:])
    return "; ".join([f"{passed} checks"] + notes)


TESTS = [
    ("cluster port: a node alone answers as redis-server in cluster mode",
     same_as_redis_in_cluster_mode),
    ("cluster port: commands are sent to their coordinators",
     commands_are_sent_to_their_coordinators),
    ("cluster port: coordinators change when a node is lost and comes back",
     coordinators_change_with_the_nodes),
    ("cluster port: a node stands still, and clients go round it", node_stands_still),
    ("cluster port: the slots of a node without one are served for it", node_without_a_port),
    ("cluster port: a port that is taken twice is refused", wrong_ports_are_refused),
    *[(f"cluster port: {name}, and a node is killed", lambda name=name: real_client(name))
      for name in CLIENTS],
]
