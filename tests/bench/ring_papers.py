#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of the Dynamo papers, measured on three nodes of this machine.

    tests/bench/ring_papers.py [--only PART,...] [--quick] [--json FILE]

versions      concurrent versions that a read sees (Dynamo, section 6.3), with 8 writers that merge
              what they have read, by contexts, by way of all nodes: all nodes up, and one that is
              killed and comes back
coordination  by the server (any node takes the request and forwards it) and by the client (a
              cluster client that knows the coordinator): Dynamo, table 2
durability    SET with W = 1, 2, 3, everysec and always: Dynamo, figure 5 (writes in a buffer, or
              durable, before they are answered)
staleness     R = W = 1 of N = 3: how many reads at another replica, some time after the answer of a
              write, do not see it; beside the prediction of Probabilistically Bounded Staleness
              (Bailis et al., 2012: the WARS model) from measured delays
load          latency at 10 % to 100 % of the greatest throughput (DynamoDB 2022, section 5)

Clients and servers share the machine's cores, so that figures compare modes, not systems.
"""
import argparse
import json
import os
import random
import socket
import statistics
import threading
import time

from bench_servers import ROOT, benchmark, wait_until
from ring_groups import CLUSTER_PORTS_ABOVE, Group

KEYS = 100_000


class Client:
    """RESP2 over one connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def call(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.read()

    def read(self):
        line = self.reader.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.reader.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise ValueError(rest.decode())
        if not line:
            raise OSError("the connection has ended")
        return rest


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


# --- versions ---

def shop(ports, number, spread, stop, seen):
    """Reads a cart of few popular ones and puts it back with something more in it."""
    source = random.Random(number)
    turn = number
    while not stop.is_set():
        try:
            client = Client(ports[turn % len(ports)])
            while not stop.is_set():
                key = f"cart{int(source.paretovariate(1.2) * spread)}"
                read = client.call("RING.GET", key)
                values, context = read if read else ([], b"")
                seen.append(len(values))
                client.call("RING.PUT", key, context, f"{number}-{len(seen)}")
        except (OSError, ValueError):
            turn += 1  # the next node; what was not answered may have happened


def versions(args, results):
    seconds = 5 if args.quick else 30
    for name, spread in (("carts, all nodes up", 1000),
                         ("carts, one node killed and back, over and over", 1000),
                         ("one hot key, all nodes up", 1)):
        group = Group("ours", "everysec")
        ports = [node.port for node in group.nodes]
        stop, seen = threading.Event(), [[] for _ in range(8)]
        shoppers = [threading.Thread(target=shop, args=(ports, i, spread, stop, counts),
                                     daemon=True) for i, counts in enumerate(seen)]
        for shopper in shoppers:
            shopper.start()
        end = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < end:
            wait_until(lambda: False, 2)
            if "killed" in name:
                victim = group.nodes[turn % 3]
                turn += 1
                victim.kill()
                wait_until(lambda: False, 1)
                victim.start()
                wait_until(victim.answers, 30)
        stop.set()
        for shopper in shoppers:
            shopper.join(20)
        group.remove()
        counts = [count for one in seen for count in one if count > 0]
        shares = {n: counts.count(n) / len(counts) for n in sorted(set(counts))}
        results["versions"][name] = {"reads": len(counts), "shares": shares}
        print(f"versions per read, {name}: {len(counts)} reads; " + ", ".join(
            f"{n}: {share * 100:.3f} %" for n, share in shares.items()), flush=True)


# --- coordination, durability, load ---

def coordination(args, results):
    ports = [["--cluster-port", str(Group.port_of("ours", i) + CLUSTER_PORTS_ABOVE)]
             for i in range(3)]
    group = Group("ours", "everysec", per_node=ports)
    requests = 20_000 if args.quick else 200_000
    for test in ("set", "get"):
        for name, port, extra in (("server", group.nodes[0].port, []),
                                  ("client", int(ports[0][1]), ["--cluster"])):
            rows = [benchmark(port, 1, requests, "-r", str(KEYS), "-d", "100", "-t", test, *extra,
                              connections=30) for _ in range(3)]
            row = {field: statistics.median(one[field] for one in rows)
                   for field in ("rps", "p50_ms", "p99_ms", "p999_ms")}
            results["coordination"][f"{test} {name}"] = row
            print(f"coordination by the {name}, {test}: {row['rps']:.0f}/s, p50 "
                  f"{row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, p99.9 "
                  f"{row['p999_ms']:.2f} ms", flush=True)
    group.remove()


def durability(args, results):
    requests = 10_000 if args.quick else 100_000
    for fsync in ("everysec", "always"):
        for w in (1, 2, 3):
            group = Group("ours", fsync, "--ring-w", str(w))
            row = benchmark(group.nodes[0].port, 1, requests, "-r", str(KEYS), "-d", "100", "-t",
                            "set")
            group.remove()
            results["durability"][f"{fsync} W={w}"] = row
            print(f"durability {fsync:9} W={w}: {row['rps']:.0f}/s, p50 {row['p50_ms']:.2f} ms, "
                  f"p99 {row['p99_ms']:.2f} ms, p99.9 {row['p999_ms']:.2f} ms", flush=True)


def load(args, results):
    requests = 10_000 if args.quick else 100_000
    group = Group("ours", "everysec")
    port = group.nodes[0].port
    benchmark(port, 16, KEYS * 2, "-r", str(KEYS), "-d", "100", "-t", "set")
    for test in ("set", "get"):
        rows = [(clients, benchmark(port, 1, requests, "-r", str(KEYS), "-d", "100", "-t", test,
                                    connections=clients))
                for clients in (1, 2, 4, 8, 16, 32, 64, 128)]
        most = max(row["rps"] for _, row in rows)
        for clients, row in rows:
            results["load"].append({"test": test, "clients": clients, **row})
            print(f"load {test} {clients:4} clients {row['rps'] / most * 100:4.0f} % of "
                  f"{most:.0f}/s: p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, "
                  f"p99.9 {row['p999_ms']:.2f} ms", flush=True)
    group.remove()


# --- staleness ---

def predicted(delays_ms, after_ms, draws=100_000):
    """WARS for N = 3, R = W = 1, the read going to a replica that does not coordinate: it is stale
    when the read's request is there before the write is. The write's answer comes to the client
    with its own delay, as do all messages: half a round trip each, drawn from those measured."""
    source = random.Random(1)
    stale = 0
    for _ in range(draws):
        to_replica, answer, request = (source.choice(delays_ms) for _ in range(3))
        stale += answer + after_ms + request < to_replica
    return stale / draws


def staleness(args, results):
    ports = [["--cluster-port", str(Group.port_of("ours", i) + CLUSTER_PORTS_ABOVE)]
             for i in range(3)]
    group = Group("ours", "everysec", "--ring-r", "1", "--ring-w", "1", per_node=ports)
    clients = [Client(int(port[1])) for port in ports]
    for client in clients:
        client.call("READONLY")
    key = next(f"key{i}" for i in range(1000) if coordinates(clients[0], f"key{i}"))
    delays_ms = []
    for _ in range(2000):
        begin = time.perf_counter()
        clients[1].call("PING")
        delays_ms.append((time.perf_counter() - begin) * 1000 / 2)
    serial = 0
    for after_ms in (0, .1, .2, .5, 1, 2, 5):
        rounds, stale = 500 if args.quick else 5000, 0
        for _ in range(rounds):
            serial += 1
            clients[0].call("SET", key, serial)
            until = time.perf_counter() + after_ms / 1000
            while time.perf_counter() < until:
                pass
            stale += int(clients[1 + serial % 2].call("GET", key) or 0) < serial
        guess = predicted(delays_ms, after_ms)
        results["staleness"].append({"after_ms": after_ms, "stale": stale / rounds,
                                     "predicted": guess})
        print(f"staleness, R = W = 1, {after_ms} ms after the answer: {stale / rounds * 100:.2f} % "
              f"of {rounds} reads; predicted {guess * 100:.2f} %", flush=True)
    group.remove()


def coordinates(client, key):
    try:
        client.call("SET", key, 0)
        return True
    except ValueError:
        return False


PARTS = {"versions": versions, "coordination": coordination, "durability": durability,
         "staleness": staleness, "load": load}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer requests and less time")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--json", default=os.path.join(ROOT, "build-bench", "ring_papers.json"))
    args = parser.parse_args()
    results = {"versions": {}, "coordination": {}, "durability": {}, "staleness": [], "load": []}
    for part in args.only.split(","):
        PARTS[part](args, results)
    os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w") as out:
        json.dump(results, out, indent=1)
    print(f"figures: {args.json}")


if __name__ == "__main__":
    main()
