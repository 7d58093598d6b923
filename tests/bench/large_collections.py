#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one large hash and one large set cost: writes of one field, and the waiting of others.

    tests/bench/large_collections.py [--fields 10000000] [--members 2000000] [--nice -10]

A second client sends GETs of a small key in a loop, in a process of its own, and its longest and
99.9th percentile waits are shown beside those of a quiet server. On a machine that is busy with
other work, a negative --nice (as root) keeps that work out of the figures.
"""
import argparse
import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.environ.get("REDYNAMO_SERVER", os.path.join(ROOT, "build", "redynamo-server"))
PORT = int(os.environ.get("BENCH_PORT", 7595))
CHUNK = 200  # elements of one command


def encode(words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=600)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        self.socket.sendall(encode(words))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            if rest == b"-1":
                return None
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest

    def pipeline(self, commands):
        """Sends all, a thousand under way at a time."""
        pending = 0
        for command in commands:
            self.socket.sendall(command)
            pending += 1
            while pending >= 50:
                self.read()
                pending -= 1
        for _ in range(pending):
            self.read()

    def info(self):
        lines = self.call("INFO", "everything").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def probe(stop, out, nice):
    os.nice(nice)
    client = Client()
    waits = []
    while not stop.is_set():
        begin = time.perf_counter()
        client.call("GET", "small")
        waits.append(time.perf_counter() - begin)
    waits.sort()
    out.put((len(waits), waits[len(waits) // 2], waits[int(len(waits) * .999)], waits[-1]))


class Bench:
    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="bench_large_", dir=os.environ.get("BENCH_DIR"))
        self.process = None

    def start(self, *more):
        command = [OURS, "--port", str(PORT), "--dir", self.dir, "--appendfsync", "everysec",
                   "--checkpoint-interval", "0", "--warm-up", "no", "--daemonize", "no", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        preexec_fn=lambda: os.nice(self.options.nice))
        begin = time.monotonic()
        while True:
            try:
                self.client = Client()
                self.client.call("GET", "small")
                return time.monotonic() - begin
            except (OSError, RuntimeError):
                threading.Event().wait(.01)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir)

    def checkpoint(self):
        self.client.call("SAVE")

    def probed(self, what, body):
        stop, out = multiprocessing.Event(), multiprocessing.Queue()
        prober = multiprocessing.Process(target=probe, args=(stop, out, self.options.nice))
        prober.start()
        threading.Event().wait(.3)
        begin = time.monotonic()
        note = body()
        seconds = time.monotonic() - begin
        threading.Event().wait(.2)
        stop.set()
        count, median, high, longest = out.get()
        prober.join()
        print(f"{what:44} {seconds:7.2f} s  GETs {count:7} median {median * 1e6:5.0f} us  "
              f"p99.9 {high * 1e3:6.2f} ms  longest {longest * 1e3:6.2f} ms  {note or ''}",
              flush=True)

    def fill(self):
        fields, members = self.options.fields, self.options.members
        self.client.call("SET", "small", "x")
        self.client.pipeline(
            encode(["HSET", "hash"] + [w for i in range(at, min(at + CHUNK, fields))
                                       for w in (f"field:{i:08}", f"value:{i:08}")])
            for at in range(0, fields, CHUNK))
        self.client.pipeline(
            encode(["SADD", "set"] + [f"member:{i:08}"
                                      for i in range(at, min(at + CHUNK, members))])
            for at in range(0, members, CHUNK))

    def one_field(self, label):
        before = self.client.info()
        self.client.call("HSET", "hash", "field:00000123", "another")
        middle = self.client.info()
        self.checkpoint()
        after = self.client.info()
        log = int(middle["log_bytes_appended"]) - int(before["log_bytes_appended"])
        rows = int(after["checkpoint_rows"]) - int(middle["checkpoint_rows"])
        print(f"{label}: one HSET appends {log} bytes to the log; "
              f"the next checkpoint writes {rows} rows", flush=True)

    def run(self):
        c = lambda: self.client
        self.start()
        self.fill()
        memory = int(c().info()["used_memory"])
        print(f"filled: {self.options.fields} fields, {self.options.members} members, "
              f"{memory >> 20} MiB", flush=True)
        self.probed("quiet", lambda: threading.Event().wait(3))
        self.probed("checkpoint of everything", self.checkpoint)
        self.one_field("resident")
        self.probed("checkpoint after 100 changes", lambda: (
            [c().call("HSET", "hash", f"field:{i * 997:08}", "x") for i in range(100)],
            self.checkpoint())[0] and "")
        self.kill()
        print(f"restart after kill: first answer after {self.start():.2f} s", flush=True)
        self.one_field("cold")
        self.probed("2,000 cold HGETs", lambda: [
            c().call("HGET", "hash", f"field:{i * 4391:08}") for i in range(2000)] and "")
        self.probed("2,000 cold HSETs", lambda: [
            c().call("HSET", "hash", f"field:{i * 4393:08}", "y") for i in range(2000)] and "")
        self.probed("2,000 SPOPs of a cold set", lambda: [
            c().call("SPOP", "set") for _ in range(2000)] and "")
        self.probed("500 HSCANs", self.scan)
        length = c().call("HLEN", "hash")
        self.kill()
        seconds = self.start()
        print(f"restart after kill: first answer after {seconds:.2f} s, HLEN right: "
              f"{c().call('HLEN', 'hash') == length}, in memory "
              f"{int(c().info()['used_memory']) >> 20} MiB", flush=True)
        self.probed("HRANDFIELD of all (loads the hash whole)",
                    lambda: c().call("HRANDFIELD", "hash", 300) and "")
        self.probed("paging it out", self.page_out)
        c().call("CONFIG", "SET", "maxmemory", "0")
        c().call("HRANDFIELD", "hash", 300)
        self.probed("DEL", lambda: c().call("DEL", "hash") and "")
        self.probed("after DEL: memory and space come back", self.checkpoint)
        self.probed("FLUSHALL with the set", lambda: c().call("FLUSHALL") and "")
        print(f"keys {c().call('DBSIZE')}, blocking loads {c().info()['blocking_loads']}")
        self.remove()

    def scan(self):
        cursor, seen = b"0", 0
        for _ in range(500):
            cursor, found = self.client.call("HSCAN", "hash", cursor, "COUNT", 100)
            seen += len(found) // 2
        return f"{seen} fields"

    def page_out(self):
        self.client.call("CONFIG", "SET", "maxmemory", "100mb")
        begin = time.monotonic()
        while int(self.client.info()["used_memory"]) > 130 << 20:
            if time.monotonic() - begin > 120:
                return "still going"
            threading.Event().wait(.05)
        info = self.client.info()
        return f"to {int(info['used_memory']) >> 20} MiB, {info['paged_out_elements']} elements"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=10_000_000)
    parser.add_argument("--members", type=int, default=2_000_000)
    parser.add_argument("--nice", type=int, default=0)
    Bench(parser.parse_args()).run()


if __name__ == "__main__":
    main()
