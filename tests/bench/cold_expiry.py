#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast expired keys go that are on disk only, and how long others wait meanwhile.

    tests/bench/cold_expiry.py [--keys 300000] [--delay-ms 20000]

Keys with one deadline are written, and the server is started anew without a warm-up, so that none
of them is in memory when their time comes. A second connection sends GETs all the while; its waits
while keys go are shown beside those before.
"""
import argparse
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.environ.get("REDYNAMO_SERVER", os.path.join(ROOT, "build", "redynamo-server"))
PORT = int(os.environ.get("BENCH_PORT", 7597))
CHUNK = 1000  # commands of one pipeline


class Link:
    def __init__(self):
        deadline = time.monotonic() + 60
        pause = threading.Event()
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=60)
                self.file = self.socket.makefile("rb")
                if self.call("PING").startswith(b"+"):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
            pause.wait(.005)

    def send(self, commands):
        self.socket.sendall(b"".join(
            b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in c)
            for c in ([str(w).encode() for w in command] for command in commands)))

    def call(self, *words):
        self.send([words])
        line = self.file.readline()
        if line.startswith(b"$") and not line.startswith(b"$-1"):
            return self.file.read(int(line[1:]) + 2)
        return line

    def info(self, section, field):
        text = self.call("INFO", section).decode()
        return next((line.split(":", 1)[1].strip() for line in text.splitlines()
                     if line.startswith(field + ":")), "")


def launch(directory):
    return subprocess.Popen([OURS, "--port", str(PORT), "--dir", directory, "--warm-up", "no",
                             "--appendfsync", "no"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def fill(link, keys, at_ms):
    for start in range(0, keys, CHUNK):
        numbers = range(start, min(start + CHUNK, keys))
        link.send([("SET", f"key:{n}", "v" * 100, "PXAT", at_ms) for n in numbers])
        for _ in numbers:
            link.file.readline()


def waits(link, until):
    """Milliseconds of GETs, one after another, while not until()."""
    took = []
    while not until():
        for _ in range(200):
            begin = time.perf_counter()
            link.call("GET", "nothing")
            took.append((time.perf_counter() - begin) * 1000)
    took.sort()
    return f"p50 {took[len(took) // 2]:.3f}, p99 {took[len(took) * 99 // 100]:.3f}, " \
           f"max {took[-1]:.2f} ms of {len(took)} GETs"


def measure(keys, delay_ms):
    directory = tempfile.mkdtemp(prefix="bench_cold_")
    server = launch(directory)
    try:
        due_ms = int(time.time() * 1000) + delay_ms
        fill(Link(), keys, due_ms)
        server.send_signal(signal.SIGTERM)
        server.wait()
        server = launch(directory)
        link, other = Link(), Link()
        print("keys, with deadlines:", link.info("keyspace", "db0"))
        print("before:", waits(link, lambda: time.time() * 1000 >= due_ms))
        begin = time.monotonic()
        gone = lambda: int(other.info("stats", "expired_keys")) >= keys  # noqa: E731
        print("while keys go:", waits(link, gone))
        seconds = time.monotonic() - begin
        print(f"{keys} keys in {seconds:.2f} s: {keys / seconds:,.0f} a second")
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=300_000)
    parser.add_argument("--delay-ms", type=int, default=20_000)
    options = parser.parse_args()
    measure(options.keys, options.delay_ms)
