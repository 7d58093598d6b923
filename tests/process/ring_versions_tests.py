# SPDX-License-Identifier: Apache-2.0
"""A ring of an older build and this one, and how it is upgraded: node by node, under writers.

REDYNAMO_OLD_SERVER names the older binary, for instance one that is built from an earlier commit;
without it there is nothing to compare with. (The simulator has nodes that lack what newer versions
can in a part of its seeds: kMixedVersions in tests/sim/swarm.h.)
"""
import os

from ring_members_tests import blank, call, check, members, more, settle, writers_at
from ring_tests import SETTLE_SECONDS, RingOfThree
from support import BINARY, Scratch, Skipped, expect, wait_until

OLD = os.environ.get("REDYNAMO_OLD_SERVER")


class OlderRing(RingOfThree):
    def __init__(self, scratch):
        super().__init__(scratch)
        for server in self.servers:
            server.binary = OLD


def upgraded_node_by_node():
    if not OLD:
        raise Skipped("REDYNAMO_OLD_SERVER names no older build")
    with Scratch("versions") as scratch, OlderRing(scratch) as ring:
        counted = 0
        for server in ring.servers:
            with writers_at(ring.servers) as threads:
                more(threads, 500, "writes by the older and the newer")
                code = server.terminate()
                expect(code == 0, f"SIGTERM ended with {code}:\n{server.log()[-1500:]}")
                more(threads, 200, "writes while one is upgraded")
                server.binary = BINARY
                server.start()
                more(threads, 500, "writes afterwards")
            settle(ring.servers)
            check(threads, ring.servers)
            counted += sum(thread.counter[0] for thread in threads)
            for each in ring.servers:  # other names would be needed for the next writers' keys
                call(each, "FLUSHALL")
        return f"{counted} counted"


def a_newer_node_joins_older_ones():
    if not OLD:
        raise Skipped("REDYNAMO_OLD_SERVER names no older build")
    with Scratch("versions") as scratch, OlderRing(scratch) as ring:
        seeds = ",".join(f"127.0.0.1:{port}" for port in ring.ring_ports)
        with writers_at(ring.servers) as threads:
            more(threads, 500, "writes before")
            newer = blank(scratch, "newer", ring, "--ring-join", seeds)
            ring.servers.append(newer.start())
            wait_until(lambda: len(members(ring.servers[0])) == 4, SETTLE_SECONDS, "it is in")
            more(threads, 500, "writes afterwards")
        settle(ring.servers)
        check(threads, ring.servers)


TESTS = [
    ("ring versions: nodes are upgraded one by one, under writers", upgraded_node_by_node),
    ("ring versions: a newer node joins older ones", a_newer_node_joins_older_ones),
]
