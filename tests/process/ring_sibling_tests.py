# SPDX-License-Identifier: Apache-2.0
"""Concurrent versions in a ring of real processes: made on two sides that do not see each other,
shown on every node, and merged by whoever has read them.
"""
from ring_tests import RingOfThree
from support import Scratch, expect, wait_until


def put(client, key, context, value):
    """The new context. A node that has just lost the others may refuse for a moment."""
    return wait_until(lambda: answered(client.call("RING.PUT", key, context, value)), 20,
                      f"RING.PUT {key} is answered")


def answered(reply):
    return reply if isinstance(reply, bytes) else None


def values_of(client, key):
    values, context = client.call("RING.GET", key)
    return sorted(values), context


def both_sides_write_and_one_merges():
    """With R = W = 1 each side goes on alone: the nodes take turns in being there."""
    options = ["--enable-debug-command", "yes", "--ring-r", 1, "--ring-w", 1]
    keys = [f"key-{number}" for number in range(20)]
    with Scratch("ring") as scratch, RingOfThree(scratch, *options) as ring:
        first, second, third = ring.servers
        with first.client() as client:
            seen = {key: put(client, key, "", "old") for key in keys}
        ring.settle()
        second.kill()
        third.kill()
        with first.client() as client:
            for key in keys:
                put(client, key, seen[key], "left")
        first.kill()
        second.start()
        with second.client() as client:
            for key in keys:
                put(client, key, seen[key], "right")
        first.start()
        third.start()
        ring.settle()
        for server in ring.servers:
            with server.client() as client:
                for key in keys:
                    values, _ = values_of(client, key)
                    expect(values == [b"left", b"right"], f"{key} has {values}")
                    expect(client.call("GET", key) == b"right", "the later one is not shown")
        with third.client() as client:
            for key in keys:
                _, context = values_of(client, key)
                put(client, key, context, "left+right")
        ring.settle()
        for server in ring.servers:
            with server.client() as client:
                for key in keys:
                    values, _ = values_of(client, key)
                    expect(values == [b"left+right"], f"{key} has {values} after it was merged")


def contexts_work_by_way_of_every_node():
    """Without failures: the node that coordinates a key decides, whoever was asked."""
    with Scratch("ring") as scratch, RingOfThree(scratch, "--enable-debug-command", "yes") as ring:
        clients = [server.client() for server in ring.servers]
        expect(clients[0].call("RING.GET", "key") is None, "a key that is not there")
        for number in range(60):
            key = f"key-{number}"
            one, two, three = (clients[(number + at) % 3] for at in range(3))
            context = put(one, key, "", "x")
            beside = put(two, key, "", "y")
            put(three, key, context, "z")
            for client in clients:
                values, _ = values_of(client, key)
                expect(values == [b"y", b"z"], f"{key} has {values}")
            put(one, key, beside, "w")
            values, context = values_of(two, key)
            expect(values == [b"w", b"z"], f"{key} has {values}")
            put(three, key, context, "merged")
            expect(values_of(one, key)[0] == [b"merged"], f"{key} is not merged")
        for client in clients:
            reply = client.call("RING.PUT", "other", context, "value")
            expect("the context is none" in str(reply), f"a context of another key: {reply}")
        ring.settle()


TESTS = [
    ("ring: what two sides have written is shown on all nodes, and merged by a context",
     both_sides_write_and_one_merges),
    ("ring: contexts are good by way of every node", contexts_work_by_way_of_every_node),
]
