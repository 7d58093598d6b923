#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench-ring`: three Redynamo nodes beside a Redis primary with two replicas, on one machine.

    tests/bench/ring_speed.py [--quick] [--only PART,...] [--rounds N] [--json FILE]

speed    SET and GET by way of one node at P = 1 and 16: throughput, latency, and CPU time of all
         server processes per operation; (R, W) = (1, 2) and (2, 2), everysec and always.
         Redis answers before its replicas have anything, so it is the same work with less promised.
wait     SETs in batches of 16: ours, of which each answer means two replicas, beside Redis' with
         WAIT 1 behind each batch. The clients are Python; compare CPU times, not rates.
kill     one of three nodes is killed under writers: the longest pause between two answers of one.
failover the same of a Redis Cluster of three masters with a replica each, as it comes.
absence  one node is away while 10,000 of a million keys change: seconds and bytes until agreement.

The groups that are not measured stand still (SIGSTOP). All processes share all cores.
"""
import argparse
import binascii
import json
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

from bench_servers import ROOT, benchmark, wait_until
from ring_groups import BASE_PORT, Group, Process

KEYS = 1_000_000
SETTLE_SECONDS = 300


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


WAIT_BATCH = 16


def send_batches(port, batches, number, tail, lines):
    """A client that sends SETs in batches, and waits for all answers of one before the next."""
    source = random.Random(number)
    with socket.create_connection(("127.0.0.1", port)) as s:
        reader = s.makefile("rb")
        for _ in range(batches):
            s.sendall(b"".join(
                b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$100\r\n%s\r\n" %
                (source.randrange(KEYS), b"v" * 100) for _ in range(WAIT_BATCH)) + tail)
            for _ in range(lines):
                answer = reader.readline()
                if answer[:1] not in b"+:" or answer == b":0\r\n":
                    sys.exit(f"a SET or WAIT was answered {answer!r}")


def wait(args, results):
    batches = 200 if args.quick else 2000
    wait_for_one = b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n1000\r\n"
    for fsync in ("everysec", "always"):
        row = {}
        for kind, tail, options in (("redis", wait_for_one, []), ("ours", b"", ["--ring-w", "2"])):
            group = Group(kind, fsync, *options)
            before, begin = group.cpu_seconds(), time.monotonic()
            clients = [multiprocessing.Process(target=send_batches, args=(
                group.nodes[0].port, batches, number, tail, WAIT_BATCH + bool(tail)))
                for number in range(20)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            if any(client.exitcode for client in clients):
                sys.exit("a client has failed")
            sets = len(clients) * batches * WAIT_BATCH
            row[kind] = {"cpu_us": (group.cpu_seconds() - before) / sets * 1e6,
                         "rps": sets / (time.monotonic() - begin)}
            group.remove()
        results["wait"][fsync] = row
        redis, ours = row["redis"], row["ours"]
        print(f"SET in batches of {WAIT_BATCH}, {fsync}: redis with WAIT 1 {redis['cpu_us']:.2f} "
              f"us of CPU each, {redis['rps']:.0f}/s; ours, W = 2, {ours['cpu_us']:.2f} us "
              f"({ours['cpu_us'] / redis['cpu_us']:.2f}), {ours['rps']:.0f}/s", flush=True)


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


class ClusterWriter(threading.Thread):
    """Writes keys of all slots to a Redis Cluster, each to the node that it was last told of."""

    def __init__(self, ports, number):
        super().__init__(daemon=True)
        self.ports, self.number = ports, number
        self.stop = threading.Event()
        self.longest_pause, self.answered, self.refused = 0.0, 0, 0
        self.connections, self.owners = {}, {}

    def ask(self, port, *words):
        try:
            if port not in self.connections:
                link = socket.create_connection(("127.0.0.1", port), timeout=2)
                self.connections[port] = link, link.makefile("rb")
            link, reader = self.connections[port]
            link.sendall(b"*%d\r\n" % len(words) +
                         b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            line = reader.readline()
            if not line:
                raise ConnectionError("the node has closed the connection")
            return line
        except OSError:
            self.connections.pop(port, None)
            raise

    def set(self, key):
        slot = binascii.crc_hqx(key, 0) % 16384
        port = self.owners.get(slot) or random.choice(self.ports)
        for _ in range(3):  # a client follows a redirection or two at once
            try:
                line = self.ask(port, b"SET", key, b"v")
            except OSError:
                self.owners.pop(slot, None)
                return False
            if not line.startswith(b"-MOVED"):
                return line == b"+OK\r\n"
            port = self.owners[slot] = int(line.rsplit(b":", 1)[1])
        return False

    def run(self):
        last = {}
        while not self.stop.is_set():
            # Answered or not, then the next key, as a service would serve its next user.
            key = b"w%d-%d" % (self.number, (self.answered + self.refused) % 100)
            if not self.set(key):
                self.refused += 1
                self.stop.wait(.01)
                continue
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - last.get(key, now))
            last[key] = now
            self.answered += 1


def failover(args, results):
    ports = [BASE_PORT + 20 + i for i in range(6)]
    nodes = [Process(port, ["redis-server", "--appendonly", "yes", "--save", "",
                            "--cluster-enabled", "yes"]) for port in ports]
    for node in nodes:
        if not wait_until(node.listens, 60):
            sys.exit(f"redis-server at port {node.port} does not answer; its output: {node.dir}")
    subprocess.run(["redis-cli", "--cluster", "create", "--cluster-yes", "--cluster-replicas", "1",
                    *(f"127.0.0.1:{port}" for port in ports)], check=True, capture_output=True)
    if not wait_until(lambda: all("cluster_state:ok" in node.command("CLUSTER", "INFO")
                                  for node in nodes), 60):
        sys.exit("the Redis Cluster has not formed")
    writers = [ClusterWriter(ports, number) for number in range(4)]
    for writer in writers:
        writer.start()
    wait_until(lambda: False, 5)
    if not all(writer.answered for writer in writers):
        sys.exit("a writer of the Redis Cluster got no answer at all")
    for writer in writers:
        writer.longest_pause = 0.0
    nodes[0].kill()
    wait_until(lambda: False, 40)
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.join(30)
    pause = max(writer.longest_pause for writer in writers)
    results["failover"] = {"pause_s": pause, "refused": sum(w.refused for w in writers)}
    print(f"Redis Cluster, a master killed: longest pause of any key {pause:.2f} s, "
          f"{results['failover']['refused']} writes refused")
    for node in nodes:
        if node.process.poll() is None:
            node.kill()
        subprocess.run(["rm", "-rf", node.dir], check=True)


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


PARTS = {"speed": speed, "wait": wait, "kill": kill, "failover": failover, "absence": absence}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer requests, keys and rounds")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default=os.path.join(ROOT, "build-bench", "ring_speed.json"))
    args = parser.parse_args()
    results = {"speed": [], "wait": {}}
    for part in args.only.split(","):
        PARTS[part](args, results)
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w") as out:
        json.dump(results, out, indent=1)
    print(f"figures: {args.json}")


if __name__ == "__main__":
    main()
