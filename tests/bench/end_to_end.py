#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: redis-server and redynamo-server side by side, on one machine, in one run.

    tests/bench/end_to_end.py [--quick] [--only speed,memory,restart,pageout,disk] [--rounds N]

Both run with the same durability, the data thread on one core and redis-benchmark on the other;
the one that is not measured stands still (SIGSTOP). Rounds alternate, and what is printed are
ratios of medians, ours / Redis', with both sides' latencies as redis-benchmark gives them (its
CSV has p50, p95, p99 and the maximum). The figures also go to build-bench/end_to_end.json.
"""
import argparse
import csv
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.path.join(ROOT, "build", "redynamo-server")
PORTS = {"redis": 7591, "ours": 7592}
SERVER_CORE, LOAD_CORE = "0", "1"
MIB = 1 << 20


class Server:
    """One server process in a directory of its own, pinned to a core."""

    def __init__(self, kind, fsync, *options):
        self.kind, self.fsync, self.options = kind, fsync, options
        self.port = PORTS[kind]
        self.dir = tempfile.mkdtemp(prefix=f"bench_{kind}_", dir=os.environ.get("BENCH_DIR"))
        self.start()

    def start(self):
        command = ["taskset", "-c", SERVER_CORE, OURS]
        if self.kind == "redis":
            command = ["taskset", "-c", SERVER_CORE, "redis-server", "--appendonly", "yes",
                       "--save", ""]
        command += ["--port", str(self.port), "--dir", self.dir, "--appendfsync", self.fsync,
                    *self.options]
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.wait_ready()

    def wait_ready(self):
        """Until a GET is answered with something that is not -LOADING; gives the seconds."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            try:
                if self.command("GET", "no-such-key").startswith("$"):
                    return time.monotonic() - self.started
            except OSError:
                pass
            if self.process.poll() is not None:
                sys.exit(f"{self.kind} did not start: exit code {self.process.returncode}")
            time.sleep(0.005)
        sys.exit(f"{self.kind} did not start in time")

    def command(self, *words):
        """The first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=600) as s:
            s.sendall(b"".join([b"*%d\r\n" % len(words)] +
                               [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]))
            return s.makefile("rb").readline().decode().strip()

    def info(self, field):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s:
            s.sendall(b"INFO everything\r\nQUIT\r\n")
            text = s.makefile("rb").read().decode(errors="replace")
        found = re.search(rf"^{field}:(.*?)\r?$", text, re.M)
        return found.group(1) if found else ""

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def disk_bytes(self):
        return int(subprocess.check_output(["du", "-s", "-B1", self.dir]).split()[0])

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.resume()
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def benchmark(port, pipeline, requests, *arguments):
    """One redis-benchmark run; {test name: row of its CSV}."""
    command = ["taskset", "-c", LOAD_CORE, "redis-benchmark", "-p", str(port), "-c", "50", "-P",
               str(pipeline), "-n", str(requests), "--csv", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = csv.DictReader([line for line in output.splitlines() if line.startswith('"')])
    return {row["test"].split(" ")[0]: row for row in rows}


def median_of(rows, field):
    return statistics.median(float(row[field]) for row in rows)


def speed(args, results):
    cases = [("everysec", "100", "set,get,incr,hset,sadd,spop,mset", (1, 16, 64)),
             ("always", "100", "set", (1, 16, 64)),
             ("everysec", "900", "set,get", (1, 16)), ("everysec", "16384", "set,get", (1, 16))]
    print(f"{'test':22} {'fsync':9} {'bytes':>6} {'P':>3} {'redis/s':>10} {'ours/s':>10} "
          f"{'ratio':>6}  {'p99 ms r/o':>15}  {'max ms r/o':>15}")
    for fsync, size, tests, pipelines in cases:
        servers = {kind: Server(kind, fsync) for kind in PORTS}
        for pipeline in pipelines:
            requests = (20_000 if args.quick else 100_000) * min(pipeline, 16)
            if int(size) > 4096:
                requests //= 10
            for test in tests.split(","):
                runs = {kind: [] for kind in PORTS}
                for _ in range(args.rounds):
                    for kind, server in servers.items():
                        other = servers["ours" if kind == "redis" else "redis"]
                        other.pause()
                        count = requests // 4 if test == "mset" else requests
                        rows = benchmark(server.port, pipeline, count, "-r", "1000000", "-d", size,
                                         "-t", test)
                        runs[kind].append(next(iter(rows.values())))
                        other.resume()
                report_speed(results, test, fsync, size, pipeline, runs)
        for server in servers.values():
            server.remove()


def report_speed(results, test, fsync, size, pipeline, runs):
    rate = {k: median_of(r, "rps") for k, r in runs.items()}
    tail = {k: median_of(r, "p99_latency_ms") for k, r in runs.items()}
    worst = {k: median_of(r, "max_latency_ms") for k, r in runs.items()}
    results["speed"].append({
        "test": test, "fsync": fsync, "bytes": int(size), "pipeline": pipeline, "rps": rate,
        "ratio": rate["ours"] / rate["redis"], "p99_ms": tail, "max_ms": worst,
        "p50_ms": {k: median_of(r, "p50_latency_ms") for k, r in runs.items()}})
    print(f"{test:22} {fsync:9} {size:>6} {pipeline:>3} {rate['redis']:10.0f} {rate['ours']:10.0f} "
          f"{rate['ours'] / rate['redis']:6.2f}  {tail['redis']:7.2f}/{tail['ours']:7.2f}  "
          f"{worst['redis']:7.1f}/{worst['ours']:7.1f}", flush=True)


def fill_strings(server, keys):
    """Exactly `keys` keys of 16 bytes with 100-byte values."""
    pipe = subprocess.Popen(["redis-cli", "-p", str(server.port), "--pipe"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL)
    value = b"v" * 100
    for start in range(0, keys, 10_000):
        pipe.stdin.write(b"".join(
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$100\r\n%s\r\n" % (i, value)
            for i in range(start, min(start + 10_000, keys))))
    pipe.stdin.close()
    pipe.wait()


def fill_collection(server, name, members):
    pipe = subprocess.Popen(["redis-cli", "-p", str(server.port), "--pipe"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL)
    for start in range(0, members, 10_000):
        out = []
        for i in range(start, min(start + 10_000, members)):
            if name == "set":
                out.append(b"*3\r\n$4\r\nSADD\r\n$5\r\nmyset\r\n$16\r\nmem:%012d\r\n" % i)
            elif name == "hash":
                out.append(b"*4\r\n$4\r\nHSET\r\n$6\r\nmyhash\r\n"
                           b"$16\r\nfld:%012d\r\n$8\r\n12345678\r\n" % i)
            else:  # hashes of ten fields
                out.append(b"*22\r\n$4\r\nHSET\r\n$14\r\nh:%012d\r\n" % i +
                           b"".join(b"$6\r\nfield%d\r\n$10\r\nvalue%05d\r\n" % (f, i % 100000)
                                    for f in range(10)))
        pipe.stdin.write(b"".join(out))
    pipe.stdin.close()
    pipe.wait()


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
        results["memory"][name] = rss
        print(f"resident after {count // scale} {name}: redis {rss['redis'] // MIB} MiB, "
              f"ours {rss['ours'] // MIB} MiB, ratio {rss['ours'] / rss['redis']:.2f}", flush=True)


def restart(args, results):
    keys = 5_000_000 // (10 if args.quick else 1)
    for kind in PORTS:
        server = Server(kind, "everysec")
        fill_strings(server, keys)
        server.kill()
        server.start()
        at_once = server.wait_ready()
        entry = {"after_kill_s": at_once}
        if kind == "ours":
            server.command("SAVE")
            server.kill()
            server.start()
            entry["after_checkpoint_s"] = server.wait_ready()
        results["restart"][kind] = entry
        print(f"first answer after kill -9 with {keys} keys: {kind} {entry}", flush=True)
        server.remove()


def pageout(args, results):
    limit = (64 if args.quick else 256) * MIB
    keys = 4 * limit // 150
    server = Server("ours", "everysec", "--maxmemory", str(limit), "--maxmemory-policy", "page-out")
    fill_strings(server, keys)
    server.command("SAVE")
    rows = benchmark(server.port, 16, 400_000, "-r", str(keys), "GET", "key:__rand_int__")
    row = next(iter(rows.values()))
    resident = server.rss_bytes()
    results["pageout"] = {"keys": keys, "maxmemory": limit, "get_rps": float(row["rps"]),
                          "rss": resident}
    print(f"page-out: {keys} keys in {limit // MIB} MiB, GET P=16 {float(row['rps']):.0f}/s, "
          f"p99 {row['p99_latency_ms']} ms, resident {resident // MIB} MiB", flush=True)
    server.remove()


def disk(args, results):
    keys = 1_000_000 // (10 if args.quick else 1)
    server = Server("ours", "everysec", "--checkpoint-interval", "5")
    for _ in range(10):
        fill_strings(server, keys)
    server.command("SAVE")
    raw = keys * 116
    deadline = time.monotonic() + 120
    used = server.disk_bytes()
    while time.monotonic() < deadline and used > 1.8 * raw:  # settling
        server.command("PING")
        used = server.disk_bytes()
    results["disk"] = {"raw": raw, "used": used, "ratio": used / raw}
    print(f"disk: {raw // MIB} MiB of data written ten times stand in {used // MIB} MiB, "
          f"ratio {used / raw:.2f}", flush=True)
    server.remove()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, one round")
    parser.add_argument("--only", default="speed,memory,restart,pageout,disk")
    parser.add_argument("--rounds", type=int, default=0)
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    results = {"speed": [], "memory": {}, "restart": {}, "pageout": {}, "disk": {}}
    for name in args.only.split(","):
        {"speed": speed, "memory": memory, "restart": restart, "pageout": pageout,
         "disk": disk}[name](args, results)
    path = os.path.join(ROOT, "build-bench", "end_to_end.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        json.dump(results, out, indent=1)
    print(f"figures: {path}")


if __name__ == "__main__":
    main()
