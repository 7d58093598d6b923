# SPDX-License-Identifier: Apache-2.0
"""Rings of real processes that nodes join, leave, and are replaced in, while clients write; and
rings of more nodes than replicas, where others stand in for those that are away."""
import contextlib
import os
import random
import shutil

from ring_tests import SETTLE_SECONDS, RingOfThree, Writer, answered, status
from support import ReplyError, Scratch, Server, expect, free_port, let_run, wait_until


def blank(scratch, name, ring, *options):
    """A node that is not in the ring yet, and its ring address."""
    port = free_port()
    folder = os.path.join(scratch, name)
    os.makedirs(folder)
    server = Server(folder, ["--ring-port", port, *options])
    server.ring_address = f"127.0.0.1:{port}"
    return server


def members(server):
    with server.client() as client:
        nodes = client.call("RING.NODES")
    rows = [dict(zip(row[::2], row[1::2])) for row in nodes]
    return {row[b"ring-address"].decode(): row[b"is"].decode() for row in rows}


def at_rest(server, count):
    """As this node sees it: so many members, all there, nothing on its way, nothing kept."""
    text = status(server)
    return (text.count(" member ") == count and text.count(" up ") == count - 1
            and " joins " not in text and " leaves " not in text and "change " not in text
            and "hints    0 partitions kept" in text)


def settle(servers):
    for server in servers:
        wait_until(lambda: at_rest(server, len(servers)), SETTLE_SECONDS,
                   lambda: f"{len(servers)} members at rest:\n" + status(server))
    for server in servers:
        with server.client(SETTLE_SECONDS + 10) as client:
            reply = client.call("RING.SYNCPOINT", SETTLE_SECONDS * 1000)
            expect(reply == "OK", f"RING.SYNCPOINT: {reply}\n" + status(server))


@contextlib.contextmanager
def writers_at(servers, count=4):
    """Writers meanwhile, by way of all these servers."""
    threads = [Writer(servers, number, random.random())
               for number in range(count)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.stop.set()
    for thread in threads:
        thread.join(30)
        expect(thread.wrong is None, f"a writer: {thread.wrong}")


def check(threads, servers):
    for server in servers:
        with server.client() as client:
            for thread in threads:
                thread.check(client)


def more(threads, count, what):
    before = answered(threads)
    wait_until(lambda: answered(threads) > before + count, 30, what)


def call(server, *command, seconds=30):
    with server.client(seconds) as client:
        reply = client.call(*command)
    expect(not isinstance(reply, ReplyError), f"{command}: {reply}")
    return reply


def nodes_join_under_load():
    with Scratch("ring") as scratch, RingOfThree(scratch) as ring:
        seeds = ",".join(f"127.0.0.1:{port}" for port in ring.ring_ports)
        servers = list(ring.servers)
        with writers_at(servers) as threads:
            more(threads, 200, "writes before")
            for name in ("fourth", "fifth"):
                server = blank(scratch, name, ring, "--ring-join", seeds)
                ring.servers.append(server)
                servers.append(server.start())
                wait_until(lambda: len(members(servers[0])) == len(servers), 30, f"{name} is in")
                more(threads, 200, f"writes while {name} joins")
        settle(servers)
        check(threads, servers)
        text = status(servers[0])
        shares = [int(line.split()[-3]) for line in text.splitlines() if " member " in line]
        expect(len(shares) == 5 and max(shares) - min(shares) <= 1, f"uneven shares:\n{text}")
        return f"{answered(threads)} counted"


def a_node_leaves_under_load():
    with Scratch("ring") as scratch, RingOfThree(scratch, nodes=4) as ring:
        leaver, *rest = ring.servers
        with writers_at(rest) as threads:
            more(threads, 200, "writes before")
            plan = call(rest[0], "RING.LEAVE", f"127.0.0.1:{ring.ring_ports[0]}").decode()
            expect("Nothing is changed yet" in plan and "leaves" in plan, plan)
            expect(set(members(rest[0]).values()) == {"member"}, "the plan has changed something")
            reply = call(rest[0], "RING.LEAVE", f"127.0.0.1:{ring.ring_ports[0]}", "COMMIT")
            expect(reply == "OK", f"RING.LEAVE: {reply}")
            more(threads, 200, "writes while it leaves")
            wait_until(lambda: " removed " in status(rest[0]), SETTLE_SECONDS,
                       lambda: "it has left:\n" + status(rest[0]))
        with leaver.client() as client:
            reply = client.call("GET", "key")
            expect(isinstance(reply, ReplyError) and reply.startswith("CLUSTERDOWN"),
                   f"a removed node answers {reply!r}")
        leaver.kill()
        for server in rest:
            wait_until(lambda: status(server).count(" member ") == 3, SETTLE_SECONDS, "three left")
        with rest[0].client(SETTLE_SECONDS + 10) as client:
            expect(client.call("RING.SYNCPOINT", SETTLE_SECONDS * 1000) == "OK", "RING.SYNCPOINT")
        check(threads, rest)
        return f"{answered(threads)} counted"


def a_lost_disk_is_replaced():
    with Scratch("ring") as scratch, RingOfThree(scratch) as ring:
        first, second, lost = ring.servers
        with writers_at([first, second]) as threads:
            more(threads, 200, "writes before")
            lost.kill()
            shutil.rmtree(lost.data)
            more(threads, 200, "writes without it")
            fresh = blank(scratch, "fresh", ring)
            ring.servers.append(fresh)
            fresh.start()
            reply = call(first, "RING.REPLACE", f"127.0.0.1:{ring.ring_ports[2]}",
                         fresh.ring_address, "COMMIT")
            expect(reply == "OK", f"RING.REPLACE: {reply}")
            more(threads, 200, "writes while it is replaced")
        wait_until(lambda: "change " not in status(first) and " removed " in status(first),
                   SETTLE_SECONDS, lambda: "it is replaced:\n" + status(first))
        first.kill()  # its two copies are enough, one of which came by the replacement
        check(threads, [second, fresh])
        return f"{answered(threads)} counted"


def a_ring_grows_from_one_node():
    with Scratch("ring") as scratch:
        first = blank(scratch, "first", None)
        second = blank(scratch, "second", None)
        with first.start(), second.start():
            with first.client() as client:
                replies = client.pipeline([("SET", f"key-{i}", i) for i in range(3000)])
                expect(replies == ["OK"] * 3000, "SET on a ring of one")
            expect(call(first, "RING.JOIN", second.ring_address, "COMMIT") == "OK", "RING.JOIN")
            settle([first, second])
            with second.client() as client:
                expect(client.call("DBSIZE") == 3000, f"DBSIZE {client.call('DBSIZE')}")
                expect(client.call("SET", "key-0", "new") == "OK", "SET by the second")
            expect(call(first, "GET", "key-0") == b"new", "GET by the first")
            with first.client() as client:
                reply = client.call("RING.JOIN", second.ring_address)
                expect(isinstance(reply, ReplyError) and "in the ring already" in reply, reply)
                reply = client.call("RING.JOIN", f"127.0.0.1:{free_port()}")
                expect(isinstance(reply, ReplyError) and "no blank node answers" in reply, reply)
                reply = client.call("RING.LEAVE", "nobody")
                expect(isinstance(reply, ReplyError) and "no node of this ring" in reply, reply)


def a_node_in_use_is_not_taken_in():
    """It was blank when it was started, and clients have written to it since: that must not go."""
    with Scratch("ring") as scratch, RingOfThree(scratch) as ring:
        server = blank(scratch, "used", ring)
        ring.servers.append(server)
        server.start()
        address = server.ring_address
        call(ring.servers[0], "RING.JOIN", address)  # it is blank, so there is a plan
        expect(call(server, "SET", "key", "value") == "OK", "SET on a node by itself")
        def refused():
            with ring.servers[0].client() as client:
                reply = client.call("RING.JOIN", address)
            return isinstance(reply, ReplyError) and "no blank node answers" in reply
        wait_until(refused, SETTLE_SECONDS, "it is no candidate any more")
        expect(call(server, "GET", "key") == b"value", "what was written to it is gone")
        expect(len(members(ring.servers[0])) == 3, "the ring has taken it in")


def a_ring_of_few_partitions():
    """They are as many as the ring began with: on all nodes, after kill -9, and for who joins."""
    few = ["--ring-partitions", 128]
    with Scratch("ring") as scratch, RingOfThree(scratch, *few) as ring:
        servers = list(ring.servers)  # those that are written to: not who is not in yet
        seeds = ",".join(f"127.0.0.1:{port}" for port in ring.ring_ports)
        with writers_at(servers) as threads:
            more(threads, 200, "writes before")
            for server in servers:
                server.kill()
            for server in servers:
                server.start()
            more(threads, 200, "writes after all were killed")
            stranger = blank(scratch, "stranger", ring, "--ring-join", seeds)  # 1,024, as usual
            ring.servers.append(stranger)
            stranger.start()
            wait_until(lambda: "it has 1024 partitions, this node 128: give both the same "
                       "ring-partitions" in servers[0].log(), SETTLE_SECONDS, "the ring says why")
            expect(len(members(servers[0])) == 3, "a node with other partitions is taken in")
            stranger.kill()
            fourth = blank(scratch, "fourth", ring, *few, "--ring-join", seeds)
            ring.servers.append(fourth)
            servers.append(fourth.start())
            wait_until(lambda: len(members(servers[0])) == 4, SETTLE_SECONDS, "fourth is in")
            more(threads, 200, "writes meanwhile")
        settle(servers)
        check(threads, servers)
        info = call(fourth, "INFO", "ring").decode()
        expect("ring_partitions:128" in info, info)
        fourth.kill()
        code, log = fourth.start_refused("--ring-partitions", 1024)
        expect(code != 0 and "the ring of this node has 128" in log, log)
        return f"{answered(threads)} counted"


def others_stand_in():
    """Five nodes, three replicas: two neighbours are killed, and every write still has W places."""
    with Scratch("ring") as scratch, RingOfThree(scratch, nodes=5) as ring:
        with writers_at(ring.servers) as threads:
            more(threads, 200, "writes before")
            for server in ring.servers[:2]:
                server.kill()
            more(threads, 500, "writes without two of five")
            hints = sum(int(status(server).split("hints    ")[1].split()[0])
                        for server in ring.servers[2:])
            expect(hints > 0, "nobody stands in for those that are away")
            for server in ring.servers[:2]:
                server.start()
            more(threads, 200, "writes afterwards")
        settle(ring.servers)
        check(threads, ring.servers)
        return f"{answered(threads)} counted, {hints} partitions kept by others meanwhile"


def a_lost_document_is_noticed():
    with Scratch("ring") as scratch, RingOfThree(scratch) as ring:
        server = ring.servers[0]
        server.kill()
        os.remove(os.path.join(server.data, "ring"))
        code, log = server.start_refused()
        expect(code != 0 and "belongs to a ring" in log, log)
        shutil.copy(os.path.join(ring.servers[1].data, "ring"), server.data)
        server.start()
        wait_until(lambda: status(server).count(" up ") == 2, SETTLE_SECONDS, "it is back")


TESTS = [
    ("ring: nodes join under load, and get even shares", nodes_join_under_load),
    ("ring: a node leaves under load, and takes no commands afterwards", a_node_leaves_under_load),
    ("ring: a node whose disk was lost is replaced under load", a_lost_disk_is_replaced),
    ("ring: grows from one node that has data", a_ring_grows_from_one_node),
    ("ring: a node that clients have used is not taken in", a_node_in_use_is_not_taken_in),
    ("ring: a ring of few partitions keeps them", a_ring_of_few_partitions),
    ("ring: others stand in for two of five, and hand over", others_stand_in),
    ("ring: a lost ring document is noticed, and copied from another", a_lost_document_is_noticed),
]
