#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: redis-server and redynamo-server side by side, on one machine, in one run.

    tests/bench/end_to_end.py [--quick] [--only PART,...] [--rounds N] [--json FILE]

Parts: speed, background, memory, restart, pageout, disk. Both servers run with the same durability,
the data thread on one core and redis-benchmark on the other; the one that is not measured stands
still (SIGSTOP). Rounds alternate, twice as many without pipelines, where the machine's noise is
larger than the difference. Before each test both have done what the one before it has left to do
in the background: the part `background` measures what that costs. Printed are ratios of medians,
ours / Redis', with both sides' latencies. All figures also go to build-bench/end_to_end.json.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading

from bench_servers import (LOAD_CORE, MIB, PORTS, ROOT, SERVER_CORE, Server, benchmark,
                           fill_collection, fill_strings, wait_until)

KEYS = 1_000_000
SETTLE_SECONDS = 600
FIELDS = ["rps", "p50_ms", "p99_ms", "p999_ms", "max_ms"]
# appendfsync, bytes of a value, tests of redis-benchmark, depths of pipelines
SPEED_CASES = [
    ("everysec", 100, ["set", "get", "incr", "hset", "sadd", "spop", "mset"], (1, 16, 64)),
    ("always", 100, ["set"], (1, 16, 64)),
    ("everysec", 900, ["set", "get"], (1, 16, 64)),
    ("everysec", 16384, ["set", "get"], (1, 16)),
]
SPEED_HEAD = (f"{'test':12} {'fsync':9} {'bytes':>6} {'P':>3} {'redis/s':>9} {'ours/s':>9} "
              f"{'ratio':>6}  {'p50 ms r/o':>13}  {'p99 ms r/o':>13}  {'p99.9 ms r/o':>15}")


def requests_of(args, test, size, pipeline):
    requests = (20_000 if args.quick else 100_000) * min(pipeline, 16)
    if size > 4096:
        requests //= 10
    return requests // 4 if test == "mset" else requests


def run_one(server, test, size, pipeline, requests):
    """One measured run. SPOP gets a full set first, and never more pops than it has members."""
    common = ["-r", str(KEYS), "-d", str(size)]
    if test == "spop":
        benchmark(server.port, 64, 600_000, *common, "-t", "sadd")
        requests = min(requests, 400_000)
    return benchmark(server.port, pipeline, requests, *common, "-t", test)


def alternate(servers, rounds, measure):
    """{kind: [figures of each round]}; whoever is not measured is stopped."""
    runs = {kind: [] for kind in servers}
    for number in range(rounds):
        order = list(servers) if number % 2 == 0 else list(servers)[::-1]
        for kind in order:
            others = [server for other, server in servers.items() if other != kind]
            for other in others:
                other.pause()
            runs[kind].append(measure(servers[kind]))
            for other in others:
                other.resume()
    return runs


def medians(runs):
    return {kind: {field: statistics.median(run[field] for run in rows) for field in FIELDS}
            for kind, rows in runs.items()}


def report(results, section, test, fsync, size, pipeline, runs):
    figures = medians(runs)
    redis, ours = figures["redis"], figures["ours"]
    ratio = ours["rps"] / redis["rps"]
    results[section].append({"test": test, "fsync": fsync, "bytes": size, "pipeline": pipeline,
                             "ratio": ratio, **figures})
    pair = "{:6.2f}/{:6.2f}".format
    print(f"{test:12} {fsync:9} {size:6} {pipeline:3} {redis['rps']:9.0f} {ours['rps']:9.0f} "
          f"{ratio:6.2f}  {pair(redis['p50_ms'], ours['p50_ms']):>13}  "
          f"{pair(redis['p99_ms'], ours['p99_ms']):>13}  "
          f"{pair(redis['p999_ms'], ours['p999_ms']):>15}", flush=True)


def speed(args, results):
    print(SPEED_HEAD)
    for fsync, size, tests, pipelines in SPEED_CASES:
        servers = {kind: Server(kind, fsync) for kind in PORTS}
        for server in servers.values():
            fill_strings(server, KEYS // 10 if size > 4096 or args.quick else KEYS, size)
        for pipeline in pipelines:
            for test in tests:
                for server in servers.values():
                    server.finish_background_work()
                requests = requests_of(args, test, size, pipeline)
                rounds = args.rounds * (2 if pipeline == 1 else 1) + (pipeline == 1)
                runs = alternate(servers, rounds, lambda server: run_one(
                    server, test, size, pipeline, requests))
                report(results, "speed", test, fsync, size, pipeline, runs)
        for server in servers.values():
            server.remove()


def background(args, results):
    """SET while Redis rewrites its log and we checkpoint, both asked at the start of the run."""
    print("while BGREWRITEAOF (redis) or a checkpoint (ours) runs:\n" + SPEED_HEAD)
    for fsync in ("everysec", "always"):
        servers = {kind: Server(kind, fsync) for kind in PORTS}
        for server in servers.values():
            fill_strings(server, KEYS)

        def measure(server):
            asker = threading.Timer(.2, server.command, ["BGREWRITEAOF"])
            asker.start()
            figures = benchmark(server.port, 16, 400_000 if args.quick else 2_000_000,
                                "-r", str(KEYS), "-d", "100", "-t", "set")
            asker.join()
            return figures

        runs = alternate(servers, args.rounds, measure)
        report(results, "background", "set", fsync, 100, 16, runs)
        for server in servers.values():
            server.remove()


def memory(args, results):
    scale = 10 if args.quick else 1
    cases = {"strings": 5_000_000, "hashes": 1_000_000, "set": 5_000_000, "hash": 5_000_000}
    for name, count in cases.items():
        rss = {}
        for kind in PORTS:
            server = Server(kind, "everysec")
            if name == "strings":
                fill_strings(server, count // scale)
            else:
                fill_collection(server, name, count // scale)
            rss[kind] = server.rss_bytes()
            server.remove()
        ratio = rss["ours"] / rss["redis"]
        results["memory"][name] = {**rss, "ratio": ratio}
        what = {"strings": "keys", "hashes": "hashes of 10 fields", "set": "members of one set",
                "hash": "fields of one hash"}[name]
        print(f"resident after {count // scale} {what}: redis {rss['redis'] // MIB} MiB, "
              f"ours {rss['ours'] // MIB} MiB, ratio {ratio:.2f}", flush=True)


IDLE_SECONDS = 60


def restart(args, results):
    """kill -9 right after the filling, and after an idle minute: for Redis the same file."""
    keys = 5_000_000 // (10 if args.quick else 1)
    for kind in PORTS:
        server = Server(kind, "everysec")
        fill_strings(server, keys)
        server.kill()
        entry = {"keys": keys, "after_kill_s": server.start()}
        wait_until(lambda: False, IDLE_SECONDS)
        server.kill()
        entry["after_idle_minute_s"] = server.start()
        found = int(server.command("DBSIZE")[1:])
        if found != keys and kind == "ours":
            sys.exit(f"lost keys: {found} of {keys}")
        entry["lost_keys"] = keys - found
        results["restart"][kind] = entry
        seconds = ", ".join(f"{name} {value:.2f}" for name, value in entry.items()
                            if name.endswith("_s"))
        # While the kernel is busy, Redis' everysec keeps what it has answered in its own memory.
        lost = f"; {keys - found} answered keys lost" if found != keys else ""
        print(f"first answer, {keys} keys: {kind} {seconds}{lost}", flush=True)
        server.remove()


def pageout(args, results):
    """Data of four times maxmemory, files in the page cache. The threads that read cold keys may
    use the load's core too; a first run, not measured, lets compactions of the filling end. Beside
    it, Redis' GETs with all of it in memory: the same load, as a measure of the machine."""
    limit = (64 if args.quick else 256) * MIB
    keys = 4 * limit // 150
    server = Server("ours", "everysec", "--maxmemory", str(limit), "--maxmemory-policy", "page-out",
                    cores=f"{SERVER_CORE},{LOAD_CORE}")
    fill_strings(server, keys)
    server.command("SAVE")
    server.wait_settled(SETTLE_SECONDS)
    servers = {"ours": server, "redis": Server("redis", "everysec")}
    fill_strings(servers["redis"], keys)
    misses_before = server.info("keyspace_misses")  # by the wait for its first answer
    resident = 0

    def measure(server):
        nonlocal resident
        figures = benchmark(server.port, 16, 400_000, "-r", str(keys), "GET", "key:__rand_int__")
        if server.kind == "ours":
            resident = max(resident, server.rss_bytes())
        return figures

    runs = alternate(servers, args.rounds + 1, measure)
    figures = medians({kind: rows[1:] for kind, rows in runs.items()})
    misses = server.info("keyspace_misses") - misses_before
    ours = figures["ours"]
    results["pageout"] = {"keys": keys, "maxmemory": limit, "rss": resident, "misses": misses,
                          "redis_rps": figures["redis"]["rps"], **ours}
    print(f"page-out: {keys} keys in {limit // MIB} MiB, GET P=16 {ours['rps']:.0f}/s "
          f"(redis, all in memory, {figures['redis']['rps']:.0f}/s), p99 {ours['p99_ms']} ms, "
          f"p99.9 {ours['p999_ms']} ms, {misses} of the keys not found, resident at most "
          f"{resident // MIB} MiB", flush=True)
    for server in servers.values():
        server.remove()


def disk(args, results):
    """Every key written, then overwritten ten times; then nobody asks for anything until the
    directory has stopped shrinking. Two log segments of 64 MiB stand beside the rows."""
    keys = KEYS // 10 if args.quick else 5 * KEYS
    server = Server("ours", "everysec")
    for _ in range(11):
        fill_strings(server, keys)
    raw = keys * 116
    at_end = server.disk_bytes()
    seconds = server.wait_settled(SETTLE_SECONDS)
    used = server.disk_bytes()
    results["disk"] = {"raw": raw, "used_at_end": at_end, "used": used, "ratio": used / raw,
                       "settled_after_s": seconds}
    print(f"disk: {raw // MIB} MiB of data overwritten ten times stand in {used // MIB} MiB, "
          f"ratio {used / raw:.2f}; {at_end // MIB} MiB at the last write, settled {seconds:.0f} s "
          f"later", flush=True)
    server.remove()


PARTS = {"speed": speed, "background": background, "memory": memory, "restart": restart,
         "pageout": pageout, "disk": disk}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, one round")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--json", default=os.path.join(ROOT, "build-bench", "end_to_end.json"))
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    redis_version = subprocess.check_output(["redis-server", "--version"], text=True).split()[2]
    results = {"redis": redis_version, "machine": platform.platform(), "cores": os.cpu_count(),
               "rounds": args.rounds, "speed": [], "background": [], "memory": {}, "restart": {},
               "pageout": {}, "disk": {}}
    for name in args.only.split(","):
        if name not in PARTS:
            parser.error(f"no part {name}; there are: {', '.join(PARTS)}")
        PARTS[name](args, results)
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w") as out:
        json.dump(results, out, indent=1)
    print(f"figures: {args.json}")


if __name__ == "__main__":
    main()
