# SPDX-License-Identifier: Apache-2.0
"""Data beyond maxmemory: page-out keeps every key, and the process stays small."""
import re

from failure_tests import value_of
from support import Scratch, Server, expect

MIB = 1 << 20
LIMIT_MIB = 24
# What a process is resident with beside its data: code, threads, RocksDB's buffers.
FIXED_MIB = 40


def high_water_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) // 1024


def page_out():
    """A fill of several times maxmemory waits for checkpoints, stays small and loses nothing."""
    keys = 600_000
    options = ("--maxmemory", f"{LIMIT_MIB}mb", "--maxmemory-policy", "page-out")
    with Scratch("page_out") as scratch, Server(scratch, options) as server:
        server.start()
        with server.client() as client:
            for start in range(0, keys, 10_000):
                replies = client.pipeline([("SET", f"k{n}", value_of("k", n))
                                           for n in range(start, start + 10_000)])
                expect(set(replies) == {"OK"}, f"SET answered {set(map(str, replies))}")
            peak_mib = high_water_mib(server.process.pid)
            expect(client.call("DBSIZE") == keys, f"DBSIZE {client.call('DBSIZE')}")
            for start in range(0, keys, 50_000):
                numbers = range(start, start + 50_000, 7)
                values = client.pipeline([("GET", f"k{n}") for n in numbers])
                wrong = [n for n, v in zip(numbers, values) if v != value_of("k", n)]
                expect(not wrong, f"{len(wrong)} wrong values, first k{wrong[:3]}")
        server.kill()
        server.start()
        with server.client() as client:
            expect(client.call("DBSIZE") == keys, f"DBSIZE {client.call('DBSIZE')} after kill -9")
        limit_mib = LIMIT_MIB * 115 // 100 + FIXED_MIB
        expect(peak_mib <= limit_mib, f"{peak_mib} MiB resident, {limit_mib} allowed")
        return f"{keys * 116 // MIB} MiB of data, at most {peak_mib} MiB resident"


TESTS = [("memory: page-out of a fill several times maxmemory", page_out)]
