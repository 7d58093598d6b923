# SPDX-License-Identifier: Apache-2.0
"""Commands over the whole ring, and subscribers of all nodes, while nodes are killed and paused."""
import random
import signal
import threading
import time

from ring_tests import RingOfThree, SETTLE_SECONDS, status, unanswered
from support import Client, ReplyError, Scratch, expect, let_run, wait_until

KEYS = 2000
WATCH_SECONDS = 3
WATCH_ATTEMPTS = 5


def retried(client, *words, seconds=30):
    """The reply, once it is no error that asks to try again."""
    reply = None
    def answered():
        nonlocal reply
        reply = client.call(*words)
        return not unanswered(reply)
    wait_until(answered, seconds, f"an answer to {words[:2]}")
    return reply


def fill(client):
    replies = client.pipeline([("SET", f"stable-{i}", i) for i in range(KEYS)])
    expect(replies == ["OK"] * KEYS, f"SET: {replies[:3]}")


def scan_once(ports, calls):
    """One iteration, each call at another node; what it has given."""
    found, cursor = set(), b"0"
    def next_part():
        port = ports[calls[0] % len(ports)]
        calls[0] += 1
        try:
            with Client(port, seconds=10) as client:
                reply = client.call("SCAN", cursor, "COUNT", 50)
        except OSError:
            return None
        if not isinstance(reply, ReplyError):
            return reply
        expect(unanswered(reply), f"SCAN: {reply}")
        return None
    while True:
        cursor, keys = wait_until(next_part, SETTLE_SECONDS, "a node answers SCAN")
        found.update(key.decode() for key in keys)
        if cursor == b"0":
            return found


def scan_while_nodes_are_killed():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        with ring.servers[0].client() as client:
            fill(client)
        stop = threading.Event()
        def killer():
            number = 0
            while not stop.is_set():
                victim = ring.servers[number % len(ring.servers)]
                number += 1
                victim.kill()
                let_run(.3)
                victim.start()
                wait_until(lambda: all(status(server).count(" up ") == 2
                                       for server in ring.servers), SETTLE_SECONDS, "all are back")
        thread = threading.Thread(target=killer, daemon=True)
        thread.start()
        calls, rounds = [0], 0
        until = time.monotonic() + 12
        try:
            while time.monotonic() < until or rounds == 0:
                found = scan_once([server.port for server in ring.servers], calls)
                missing = {f"stable-{i}" for i in range(KEYS)} - found
                expect(not missing, f"SCAN has missed {len(missing)} keys that were there")
                rounds += 1
        finally:
            stop.set()
            thread.join(SETTLE_SECONDS)
        ring.settle()
        return f"{rounds} iterations, {calls[0]} calls"


def flushall_while_a_node_stands_still():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        with ring.servers[0].client() as client:
            fill(client)
            ring.settle()
            still = ring.servers[2]
            still.process.send_signal(signal.SIGSTOP)
            first = client.call("FLUSHALL")
            # Its share was on its way to it; or it was known already that it does not answer.
            expect(first == "OK" or (isinstance(first, ReplyError) and first.startswith("QUORUM ")),
                   f"FLUSHALL: {first}")
            expect(retried(client, "FLUSHALL") == "OK", "FLUSHALL without it")
            expect(retried(client, "DBSIZE") == 0, "DBSIZE after FLUSHALL")
            still.process.send_signal(signal.SIGCONT)
        ring.settle()
        for server in ring.servers:
            with server.client() as client:
                expect(retried(client, "DBSIZE") == 0, "keys are back after FLUSHALL")
                expect(retried(client, "KEYS", "*") == [], "KEYS after FLUSHALL")
        return str(first)[:60]


def many_keys_with_a_dead_node():
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        names = [f"key-{i}" for i in range(200)]
        pairs = [word for i, name in enumerate(names) for word in (name, i)]
        with ring.servers[0].client() as client:
            expect(client.call("MSET", *pairs) == "OK", "MSET")
            ring.servers[1].kill()
            values = retried(client, "MGET", *names)
            expect(values == [b"%d" % i for i in range(200)], f"MGET without a node: {values[:3]}")
            expect(retried(client, "MSET", *pairs) == "OK", "MSET without a node")
            expect(retried(client, "EXISTS", *names) == 200, "EXISTS without a node")
            expect(retried(client, "DBSIZE") == 200, "DBSIZE without a node")
            expect(len(retried(client, "KEYS", "*")) == 200, "KEYS without a node")
            expect(retried(client, "RANDOMKEY") is not None, "RANDOMKEY without a node")
            removed = client.call("DEL", *names)
            if unanswered(removed):
                retried(client, "DEL", *names)
            else:
                expect(removed == 200, f"DEL without a node: {removed}")
            ring.servers[1].start()
        ring.settle()
        for server in ring.servers:
            with server.client() as client:
                expect(retried(client, "DBSIZE") == 0, "DBSIZE at the end")


def read_messages(client, count):
    return [client.read() for _ in range(count)]


def subscribers_of_all_nodes():
    options = ["--notify-keyspace-events", "KEA"]
    with Scratch("ring") as scratch, RingOfThree(scratch, *options) as ring:
        listeners = [server.client() for server in ring.servers]
        for listener in listeners:
            listener.call("SUBSCRIBE", "news")
        publisher = ring.servers[0].client()
        replies = publisher.pipeline([("PUBLISH", "news", i) for i in range(1000)])
        expect(replies == [1] * 1000, f"PUBLISH: {replies[:3]}")
        for number, listener in enumerate(listeners):
            got = [message[2] for message in read_messages(listener, 1000)]
            expect(got == [b"%d" % i for i in range(1000)],
                   f"messages at node {number + 1}: {got[:5]}")
        events = [server.client() for server in ring.servers]
        for listener in events:
            listener.call("PSUBSCRIBE", "__keyevent@0__:*")
        let_run(.2)  # their nodes have said so
        keys = [f"key-{i}" for i in range(100)]
        publisher.pipeline([("SET", key, "v", "PX", 300) for key in keys])
        for number, listener in enumerate(events):
            seen = {}
            for message in read_messages(listener, 300):  # set, expire, expired
                name = message[2].decode().split(":")[1]
                seen.setdefault(name, []).append(message[3].decode())
            for name in ("set", "expire", "expired"):
                expect(sorted(seen.get(name, [])) == sorted(keys),
                       f"node {number + 1} has heard {len(seen.get(name, []))} times of {name}")


def count_by_watch(servers, keys):
    """Eight clients count for a while, each time at any node: (won of each key, lost)."""
    won, lost, wrong, lock = [0] * len(keys), [0], [], threading.Lock()
    until = time.monotonic() + WATCH_SECONDS

    def count(number):
        draw = random.Random(number)
        clients = [server.client() for server in servers]
        while time.monotonic() < until and not wrong:
            at, client = draw.randrange(len(keys)), draw.choice(clients)
            watch, shown = client.pipeline([("WATCH", keys[at]), ("GET", keys[at])])
            replies = client.pipeline([("MULTI",), ("SET", keys[at], int(shown or 0) + 1),
                                       ("EXEC",)])
            with lock:
                if watch != "OK" or replies[-1] not in (["OK"], None):
                    wrong.append((watch, replies))
                won[at] += replies[-1] == ["OK"]
                lost[0] += replies[-1] is None
        for client in clients:
            client.close()

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCH_SECONDS + 60)
    expect(not wrong, f"a reply: {wrong}")
    return won, lost[0]


def one_of_those_that_watch_wins():
    """Of clients of all nodes that have seen one value, one alone sets the next by EXEC."""
    with Scratch("ring") as scratch, RingOfThree(scratch, nodes=5) as ring:
        def doubts():  # of nodes that were slow: then two may coordinate a key for a moment
            return sum(server.log().count("requests go round it") for server in ring.servers)
        for attempt in range(WATCH_ATTEMPTS):
            before, keys = doubts(), [f"watched-{attempt}-{i}" for i in range(3)]
            won, lost = count_by_watch(ring.servers, keys)
            if doubts() == before:
                break
        else:
            expect(False, f"nodes were slow in each of {WATCH_ATTEMPTS} attempts")
        expect(min(won) > 0 and lost > 0, f"{won} times won, {lost} lost: no contest")
        for server in ring.servers:
            with server.client() as client:
                shown = [int(client.call("GET", key)) for key in keys]
                expect(shown == won, f"a node shows {shown} of {won}")
        return f"{sum(won)} counted, {lost} times somebody else was first"


TESTS = [
    ("ring: SCAN misses no key while nodes are killed", scan_while_nodes_are_killed),
    ("ring: FLUSHALL while a node stands still", flushall_while_a_node_stands_still),
    ("ring: commands of many keys while a node is dead", many_keys_with_a_dead_node),
    ("ring: subscribers of all nodes hear messages and events", subscribers_of_all_nodes),
    ("ring: one of those that watch a value sets the next", one_of_those_that_watch_wins),
]
