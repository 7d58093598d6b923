# SPDX-License-Identifier: Apache-2.0
"""Rings of real processes: formed, written to by way of every node, killed, stopped, cut, healed.

A ring of three holds each key three times. Whatever was answered must be on every node once all
are back, whoever was away meanwhile.
"""
import contextlib
import os
import random
import signal
import threading
import time

from support import ReplyError, Scratch, Server, expect, free_port, let_run, wait_until

NODES = 3
SETTLE_SECONDS = 120  # a busy machine may take long
UNANSWERED = ("QUORUM", "TRYAGAIN", "NOREPLICAS", "CLUSTERDOWN", "LOADING")


class RingOfThree:
    """Servers, three or as many as said, that form a ring; `options` are for each of them."""

    def __init__(self, scratch, *options, nodes=NODES):
        self.ring_ports = [free_port() for _ in range(nodes)]
        seeds = ",".join(f"127.0.0.1:{port}" for port in self.ring_ports)
        self.servers = []
        for number, ring_port in enumerate(self.ring_ports):
            folder = os.path.join(scratch, f"node{number + 1}")
            os.makedirs(folder)
            self.servers.append(Server(folder, [
                "--ring-port", ring_port, "--ring-bootstrap", nodes, "--ring-seeds", seeds,
                *options]))

    def __enter__(self):
        for server in self.servers:
            server.start()
        for server in self.servers:
            wait_until(lambda: status(server).count(" up ") == len(self.servers) - 1,
                       SETTLE_SECONDS, "the ring forms")
        return self

    def __exit__(self, *_):
        for server in self.servers:
            if server.process:
                with contextlib.suppress(ProcessLookupError):
                    server.process.send_signal(signal.SIGCONT)
                server.kill()

    def settle(self):
        """Until all replicas have everything, and say so."""
        for server in self.servers:
            wait_until(lambda: status(server).count(" up ") == NODES - 1, SETTLE_SECONDS,
                       "all links are up")
        for server in self.servers:
            with server.client(SETTLE_SECONDS + 10) as client:
                reply = client.call("RING.SYNCPOINT", SETTLE_SECONDS * 1000)
                expect(reply == "OK", f"RING.SYNCPOINT: {reply}\n" + status(server))
        digests = []
        for server in self.servers:
            with server.client() as client:
                digests.append(client.call("DEBUG", "DIGEST"))
        expect(len(set(digests)) == 1, f"replicas differ: {digests}")


def status(server):
    try:
        with server.client() as client:
            reply = client.call("RING.STATUS")
            return reply.decode() if isinstance(reply, bytes) else str(reply)
    except OSError as error:
        return str(error)


def unanswered(reply):
    return isinstance(reply, ReplyError) and reply.split()[0] in UNANSWERED


class Writer(threading.Thread):
    """Writes by way of one node after another, and remembers what was answered. `servers` may
    change meanwhile; `number` is in the names of the keys."""

    pause_seconds = 0  # between two writes
    refusals = UNANSWERED  # errors that may come

    def __init__(self, servers, number, seed):
        super().__init__(daemon=True)
        self.servers = servers
        self.number = number
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.members = set()      # of the set, answered
        self.tried = set()        # and perhaps there
        self.registers = {}       # key -> [the one answered last, those with unknown outcome]
        self.counter = [0, 0]     # answered, tried
        self.longest_pause = 0.0  # between two answers
        self.wrong = None

    def run(self):
        last = time.monotonic()
        while not self.stop.is_set():
            try:
                with self.random.choice(self.servers).client(5) as client:
                    for _ in range(50):
                        if self.stop.is_set():
                            break
                        if not self.write(client):
                            break
                        now = time.monotonic()
                        self.longest_pause = max(self.longest_pause, now - last)
                        last = now
                        self.stop.wait(self.pause_seconds)
            except OSError:
                continue
            except Exception as error:  # must reach the main thread
                self.wrong = f"{type(error).__name__}: {error}"
                return

    def write(self, client):
        """False when the write was not answered, or refused."""
        n = self.random.randrange(1 << 40)
        member = f"{self.number}-{n}"
        key = f"register-{self.number}-{n % 50}"
        self.tried.add(member)
        self.counter[1] += 1
        known = self.registers.setdefault(key, [None, set()])
        known[1].add(str(n))
        client.send(("SADD", f"set-{self.number}-{n % 20}", member), ("SET", key, n),
                    ("INCR", f"counter-{self.number}"))
        added = client.read()
        put = client.read()
        counted = client.read()
        for reply in (added, put, counted):
            if isinstance(reply, ReplyError) and reply.split()[0] not in self.refusals:
                raise AssertionError(f"an unexpected error: {reply}")
        if added == 1:
            self.members.add(member)
        if put == "OK":
            known[0] = str(n)
            known[1].discard(str(n))
        if isinstance(counted, int):
            self.counter[0] += 1
        return not any(isinstance(reply, ReplyError) for reply in (added, put, counted))

    def check(self, client):
        here = set()
        for part in range(20):
            here |= {member.decode() for member in client.call("SMEMBERS",
                                                               f"set-{self.number}-{part}")}
        lost = self.members - here
        expect(not lost, f"{len(lost)} answered members are lost, such as {sorted(lost)[:3]}")
        expect(here <= self.tried, "members are there that nobody added")
        # A write without an answer may take effect later than one that was answered after it.
        for key, (last, unknown) in self.registers.items():
            value = client.call("GET", key)
            found = value.decode() if value is not None else None
            expect(found == last or found in unknown,
                   f"{key} is {found}, but {last} was answered last")
        count = int(client.call("GET", f"counter-{self.number}") or 0)
        expect(self.counter[0] <= count <= self.counter[1],
               f"the counter is {count}, {self.counter[0]} of {self.counter[1]} were answered")


@contextlib.contextmanager
def traffic(ring, writers=4):
    """Writers at all nodes meanwhile; afterwards the ring settles and everything is checked."""
    threads = [Writer(ring.servers, number, random.random()) for number in range(writers)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.stop.set()
    for thread in threads:
        thread.join(30)
        expect(thread.wrong is None, f"a writer: {thread.wrong}")
    ring.settle()
    for server in ring.servers:
        with server.client() as client:
            for thread in threads:
                thread.check(client)


def answered(threads):
    return sum(thread.counter[0] for thread in threads)


def every_node_serves():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        clients = [server.client() for server in ring.servers]
        for number, client in enumerate(clients):
            replies = client.pipeline([("SET", f"key-{i}", f"{number}-{i}") for i in range(300)])
            expect(replies == ["OK"] * 300, f"SET by way of node {number + 1}: {replies[:3]}")
            for other in clients:
                values = other.pipeline([("GET", f"key-{i}") for i in range(300)])
                expect(values == [b"%d-%d" % (number, i) for i in range(300)],
                       f"what node {number + 1} took is not read everywhere: {values[:3]}")
        for i in range(300):
            counts = {client.call("INCR", f"count-{i % 7}") for client in clients}
            expect(len(counts) == 3, "INCR gave the same number twice")
        expect(clients[0].call("DEL", *[f"key-{i}" for i in range(300)]) == 300, "DEL of many")
        expect(all(client.call("DBSIZE") == 7 for client in clients), "DBSIZE after DEL")
        expect(isinstance(clients[1].call("SWAPDB", 0, 1), ReplyError), "SWAPDB was not refused")
        expect(clients[2].call("FLUSHALL") == "OK", "FLUSHALL")
        ring.settle()
        expect(all(client.call("DBSIZE") == 0 for client in clients), "DBSIZE after FLUSHALL")


def one_node_is_killed():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        with traffic(ring) as threads:
            for round_number in range(4):
                victim = ring.servers[round_number % NODES]
                let_run(.7)
                victim.kill()
                before = answered(threads)
                wait_until(lambda: answered(threads) > before + 200, 20, "writes go on without it")
                let_run(.7)
                victim.start()
        pause = max(thread.longest_pause for thread in threads)
        return f"{answered(threads)} counted, longest pause {pause:.2f} s"


def one_node_stands_still():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        with traffic(ring) as threads:
            for seconds in (.5, 5):
                victim = random.choice(ring.servers)
                let_run(.5)
                victim.process.send_signal(signal.SIGSTOP)
                before = answered(threads)
                wait_until(lambda: answered(threads) > before + 100, 20, "writes go on without it")
                let_run(seconds)
                victim.process.send_signal(signal.SIGCONT)
        return f"{answered(threads)} counted"


def all_are_killed():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        with traffic(ring) as threads:
            let_run(1.5)
            for server in ring.servers:
                server.kill()
            for server in ring.servers:
                server.start()
            before = answered(threads)
            wait_until(lambda: answered(threads) > before + 100, 30, "writes go on")
        return f"{answered(threads)} counted"


def without_a_quorum():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        with ring.servers[0].client() as client:
            expect(client.call("SET", "key", "value") == "OK", "SET")
            ring.servers[1].kill()
            ring.servers[2].kill()
            def refused():
                reply = client.call("SET", "key", "other")
                return isinstance(reply, ReplyError) and reply.startswith("NOREPLICAS")
            wait_until(refused, 20, "SET is refused without replicas")
            reply = client.call("GET", "key")
            expect(isinstance(reply, ReplyError) and reply.startswith("NOREPLICAS"),
                   f"GET without a quorum: {reply!r}")
            ring.servers[1].start()
            wait_until(lambda: client.call("SET", "key", "third") == "OK", 20, "writes resume")
            ring.servers[2].start()
        ring.settle()


def wrong_settings_are_refused():
    """Each with the reason, before anything is written."""
    with Scratch("ring") as scratch:
        port = free_port()
        def refusal(number, *options):
            folder = os.path.join(scratch, f"wrong{number}")
            os.makedirs(folder)
            server = Server(folder, ["--ring-port", port, *options])
            code, log = server.start_refused()
            expect(code != 0, f"exit code {code}")
            return log
        seeds = f"127.0.0.1:{port},127.0.0.1:{port + 1}"
        log = refusal(1, "--ring-bootstrap", 3, "--ring-seeds", seeds)
        expect("ring-seeds names 2 nodes" in log, log)
        log = refusal(2, "--ring-bootstrap", 2, "--ring-seeds", seeds, "--ring-join", seeds)
        expect("set one of them" in log, log)
        log = refusal(3, "--ring-bootstrap", 2, "--ring-seeds", f"127.0.0.1:{port},192.0.2.1:7000")
        expect("ring-announce" in log, log)
        log = refusal(4, "--ring-bootstrap", 2, "--ring-seeds", "nonsense")
        expect("not host:port" in log, log)


def strangers_are_refused():
    with Scratch("ring") as scratch, RingOfThree(scratch) as ring:
        folder = os.path.join(scratch, "stranger")
        os.makedirs(folder)
        seeds = ",".join(f"127.0.0.1:{port}" for port in ring.ring_ports)
        stranger = Server(folder, ["--ring-port", free_port(), "--ring-bootstrap", NODES,
                                   "--ring-seeds", seeds])
        with stranger.start():
            wait_until(lambda: "does not list" in stranger.log(), 20, "it is told that it is none")
            with stranger.client() as client:
                reply = client.call("SET", "key", "value")
                expect(isinstance(reply, ReplyError) and reply.startswith("CLUSTERDOWN"),
                       f"a node without a ring took a write: {reply}")
        expect(all(status(server).count(" up ") == NODES - 1 for server in ring.servers),
               "the ring has changed")


def away_while_the_others_restart():
    """What it lacks was more than their indexes could hold: whole partitions are fetched."""
    options = ["--enable-debug-command", "yes", "--ring-index-bytes", "4kb"]
    with Scratch("ring") as scratch, RingOfThree(scratch, *options) as ring:
        first, second, away = ring.servers
        with first.client() as client:
            client.pipeline([("SET", f"old-{i}", "x" * 100) for i in range(2000)])
        ring.settle()
        away.kill()
        with first.client() as client:
            client.pipeline([("SET", f"key-{i}", "y" * 100) for i in range(2000)])
            client.pipeline([("SADD", "set", *range(i, i + 50)) for i in range(0, 5000, 50)])
            client.pipeline([("DEL", f"old-{i}") for i in range(0, 2000, 2)])
        for server in (first, second):
            with server.client() as client:
                expect(client.call("SAVE") == "OK", "SAVE")
            server.kill()
            server.start()
            wait_until(lambda: status(server).count(" up ") == 1, SETTLE_SECONDS, "two of three")
        away.start()
        ring.settle()
        with away.client() as client:
            expect(client.call("DBSIZE") == 3001, f"DBSIZE {client.call('DBSIZE')}")
            expect(client.call("SCARD", "set") == 5000, "SCARD")
            text = client.call("INFO", "ring").decode()
        syncs = next(line for line in text.splitlines() if line.startswith("ring_full_syncs:"))
        expect(int(syncs.split(":")[1]) > 0, f"no full sync was needed: {syncs}")
        return syncs


TESTS = [
    ("ring: every node takes every command, and all have the result", every_node_serves),
    ("ring: nodes are killed one after another under writers", one_node_is_killed),
    ("ring: a node stands still under writers, and goes on", one_node_stands_still),
    ("ring: all nodes are killed at once", all_are_killed),
    ("ring: a node is away while the others restart, and fetches all",
     away_while_the_others_restart),
    ("ring: without a quorum nothing is taken, and nothing is lost", without_a_quorum),
    ("ring: settings that cannot make a ring are refused", wrong_settings_are_refused),
    ("ring: a node that is not in the ring stays outside", strangers_are_refused),
]
