#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench-ring`: three Redynamo nodes beside a Redis primary with two replicas, on one machine.

    tests/bench/ring_speed.py [--quick] [--only speed,kill,absence] [--rounds N] [--json FILE]

speed    SET and GET by way of one node at P = 1 and 16: throughput, latency, and CPU time of all
         server processes per operation; (R, W) = (1, 2) and (2, 2), everysec and always.
         Redis answers before its replicas have anything, so it is the same work with less promised.
kill     one of three nodes is killed under writers: the longest pause between two answers of one.
absence  one node is away while 10,000 of a million keys change: seconds and bytes until agreement.

The groups that are not measured stand still (SIGSTOP). All processes share all cores.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench_servers import OURS, ROOT, benchmark, wait_until

KEYS = 1_000_000
BASE_PORT = int(os.environ.get("BENCH_PORT", 7591)) + 20
SETTLE_SECONDS = 300


class Process:
    """A server; what it writes goes to its directory."""

    def __init__(self, port, command):
        self.port = port
        self.dir = tempfile.mkdtemp(prefix="bench_ring_", dir=os.environ.get("BENCH_DIR"))
        self.line = [*command, "--port", str(port), "--dir", self.dir]
        self.start()

    def start(self):
        with open(os.path.join(self.dir, "output"), "ab") as log:
            self.process = subprocess.Popen(self.line, stdout=log, stderr=log)

    def command(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=600) as s:
            s.sendall(b"".join([b"*%d\r\n" % len(words)] +
                               [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]))
            reader = s.makefile("rb")
            line = reader.readline().decode().strip()
            if line.startswith("$") and line != "$-1":
                return reader.read(int(line[1:])).decode()
            return line

    def answers(self):
        try:
            return not self.command("GET", "no-such-key").startswith("-")
        except OSError:
            return False

    def info(self, section, field):
        for line in self.command("INFO", section).splitlines():
            if line.startswith(field + ":"):
                return int(line.split(":")[1])
        return 0

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, name):
        subprocess.run(["kill", f"-{name}", str(self.process.pid)], check=True)

    def kill(self):
        self.signal("CONT")
        self.process.kill()
        self.process.wait()


class Group:
    """Three processes that hold the same data."""

    def __init__(self, kind, fsync, *options):
        self.kind = kind
        ports = [BASE_PORT + (10 if kind == "redis" else 0) + i for i in range(3)]
        if kind == "redis":
            command = ["redis-server", "--appendonly", "yes", "--save", "", "--appendfsync", fsync]
            self.nodes = [Process(ports[0], command)]
            wait_until(self.nodes[0].answers, 60)
            self.nodes += [Process(port, command + ["--replicaof", f"127.0.0.1 {ports[0]}"])
                           for port in ports[1:]]
            ready = wait_until(lambda: self.nodes[0].info("replication", "connected_slaves") == 2,
                               60)
        else:
            seeds = ",".join(f"127.0.0.1:{port + 1000}" for port in ports)
            self.nodes = [Process(port, [OURS, "--appendfsync", fsync, "--ring-port",
                                         str(port + 1000), "--ring-bootstrap", "3", "--ring-seeds",
                                         seeds, *options]) for port in ports]
            ready = wait_until(lambda: all(node.answers() for node in self.nodes), 60)
        if not ready:
            sys.exit(f"the three of {kind} did not come up")

    def cpu_seconds(self):
        return sum(node.cpu_seconds() for node in self.nodes)

    def signal(self, name):
        for node in self.nodes:
            node.signal(name)

    def remove(self):
        for node in self.nodes:
            node.kill()
            subprocess.run(["rm", "-rf", node.dir], check=True)


def measure(group, test, pipeline, requests):
    before = group.cpu_seconds()
    figures = benchmark(group.nodes[0].port, pipeline, requests, "-r", str(KEYS), "-d", "100", "-t",
                        test)
    figures["cpu_us"] = (group.cpu_seconds() - before) / requests * 1e6
    return figures


def speed(args, results):
    print(f"{'test':5} {'fsync':9} {'R,W':4} {'P':>3} {'redis/s':>9} {'ours/s':>9} {'ratio':>6} "
          f"{'cpu us r/o':>15} {'ratio':>6}  {'p50 ms r/o':>13}  {'p99 ms r/o':>13}  "
          f"{'p99.9 ms r/o':>15}")
    for fsync in ("everysec", "always"):
        for reads in (1, 2):
            groups = {"redis": Group("redis", fsync),
                      "ours": Group("ours", fsync, "--ring-r", str(reads), "--ring-w", "2")}
            for pipeline in (1, 16):
                for test in ("set", "get"):
                    report(args, results, groups, fsync, reads, pipeline, test)
            for group in groups.values():
                group.remove()


def report(args, results, groups, fsync, reads, pipeline, test):
    requests = (10_000 if args.quick else 50_000) * pipeline
    runs = {kind: [] for kind in groups}
    for _ in range(args.rounds):
        for kind, group in groups.items():
            others = [other for name, other in groups.items() if name != kind]
            for other in others:
                other.signal("STOP")
            runs[kind].append(measure(group, test, pipeline, requests))
            for other in others:
                other.signal("CONT")
    mid = {kind: {field: statistics.median(run[field] for run in rows) for field in rows[0]}
           for kind, rows in runs.items()}
    redis, ours = mid["redis"], mid["ours"]
    results["speed"].append({"test": test, "fsync": fsync, "r": reads, "w": 2,
                             "pipeline": pipeline, **mid})
    pair = "{:6.2f}/{:6.2f}".format
    print(f"{test:5} {fsync:9} {reads},2  {pipeline:3} {redis['rps']:9.0f} {ours['rps']:9.0f} "
          f"{ours['rps'] / redis['rps']:6.2f} {pair(redis['cpu_us'], ours['cpu_us']):>15} "
          f"{ours['cpu_us'] / redis['cpu_us']:6.2f}  "
          f"{pair(redis['p50_ms'], ours['p50_ms']):>13}  "
          f"{pair(redis['p99_ms'], ours['p99_ms']):>13}  "
          f"{pair(redis['p999_ms'], ours['p999_ms']):>15}", flush=True)


class Writer(threading.Thread):
    """Writes by way of one node, by the next when that is gone."""

    def __init__(self, ports, number):
        super().__init__(daemon=True)
        self.ports, self.number = ports, number
        self.stop = threading.Event()
        self.longest_pause, self.answered, self.refused = 0.0, 0, 0

    def run(self):
        last, turn = time.monotonic(), self.number
        while not self.stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.ports[turn % 3]), timeout=2) as s:
                    reader = s.makefile("rb")
                    while not self.stop.is_set():
                        key = b"w%d-%d" % (self.number, self.answered % 1000)
                        s.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nv\r\n" % (len(key), key))
                        line = reader.readline()
                        if not line:
                            break
                        if line != b"+OK\r\n":
                            self.refused += 1
                            continue
                        now = time.monotonic()
                        self.longest_pause = max(self.longest_pause, now - last)
                        last = now
                        self.answered += 1
            except OSError:
                pass
            turn += 1


def kill(args, results):
    group = Group("ours", "everysec")
    writers = [Writer([node.port for node in group.nodes], number) for number in range(6)]
    for writer in writers:
        writer.start()
    pauses = []
    for round_number in range(2 if args.quick else 5):
        victim = group.nodes[round_number % 3]
        wait_until(lambda: False, 3)
        for writer in writers:
            writer.longest_pause = 0.0
        victim.kill()
        wait_until(lambda: False, 3)
        pauses.append(max(writer.longest_pause for writer in writers))
        victim.start()
        wait_until(victim.answers, 60)
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.join(10)
    results["kill"] = {"pauses_s": pauses, "answered": sum(w.answered for w in writers),
                       "refused": sum(w.refused for w in writers)}
    print(f"one of three killed: longest pause of any client {max(pauses):.2f} s "
          f"(each time: {', '.join(f'{p:.2f}' for p in pauses)}), "
          f"{results['kill']['answered']} writes answered, {results['kill']['refused']} refused")
    group.remove()


def absence(args, results):
    keys = KEYS // 10 if args.quick else KEYS
    group = Group("ours", "everysec")
    first, _, away = group.nodes
    benchmark(first.port, 64, keys, "-r", str(keys), "-d", "100", "-t", "set")
    first.command("RING.SYNCPOINT", str(SETTLE_SECONDS * 1000))
    away.kill()
    benchmark(first.port, 16, 10_000, "-r", str(keys), "-d", "100", "-t", "set")
    bytes_before = first.info("ring", "ring_bytes_out") + first.info("ring", "ring_bytes_in")
    away.start()
    begin = time.monotonic()
    wait_until(away.answers, SETTLE_SECONDS)
    served = time.monotonic() - begin
    links_up = wait_until(lambda: first.info("ring", "ring_links_up") == 2, SETTLE_SECONDS)
    answer = first.command("RING.SYNCPOINT", str(SETTLE_SECONDS * 1000))
    if not links_up or answer != "+OK":
        sys.exit(f"the node that was away has not caught up: {answer}")
    seconds = time.monotonic() - begin
    pulled = away.info("ring", "ring_pulled_bytes")
    both = first.info("ring", "ring_bytes_out") + first.info("ring", "ring_bytes_in")
    results["absence"] = {"keys": keys, "seconds": seconds, "served_after_s": served,
                          "pulled_bytes": pulled, "link_bytes_of_first": both - bytes_before}
    print(f"away while 10,000 of {keys} keys changed: it serves after {served:.2f} s, all agree "
          f"after {seconds:.2f} s; {pulled} bytes pulled, {both - bytes_before} in and out at "
          "another node")
    group.remove()


PARTS = {"speed": speed, "kill": kill, "absence": absence}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer requests, keys and rounds")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default=os.path.join(ROOT, "build-bench", "ring_speed.json"))
    args = parser.parse_args()
    results = {"speed": []}
    for part in args.only.split(","):
        PARTS[part](args, results)
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w") as out:
        json.dump(results, out, indent=1)
    print(f"figures: {args.json}")


if __name__ == "__main__":
    main()
