#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redis-cli in its modes: redis_cli.py PORT"""

import re
import signal
import subprocess
import sys
import time

from checks import Checks, equal, holds

PORT = sys.argv[1]
SECONDS = 30


def cli(*arguments, data=None):
    """Runs redis-cli; returns its output, which must come in time and with exit code 0."""
    done = subprocess.run(["redis-cli", "-p", PORT, *arguments], input=data, timeout=SECONDS,
                          capture_output=True, text=not isinstance(data, bytes))
    if done.returncode != 0:
        raise AssertionError("exit code %d: %s %s" % (
            done.returncode, done.stdout[:500], done.stderr[:500]))
    return done.stdout


class Running:
    """A redis-cli that goes on until it is interrupted; `until` collects what it prints."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(["stdbuf", "-oL", "redis-cli", "-p", PORT, *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def until(self, pattern):
        """The lines up to the first that matches."""
        lines = []
        for raw in self.process.stdout:
            lines.append(raw.decode(errors="replace").rstrip("\n"))
            if re.search(pattern, lines[-1]):
                return lines
        raise AssertionError("ended before %r came: %s" % (pattern, lines))


def fill():
    """Ten thousand keys by --pipe."""
    commands = []
    for i in range(10000):
        commands.append("SET key:%d %s\r\n" % (i, "x" * (1 + i % 50)))
    commands.append("SADD a-set %s\r\n" % " ".join(map(str, range(500))))
    commands.append("HSET a-hash %s\r\n" % " ".join("f%d v" % i for i in range(300)))
    commands.append("SET long-string %s\r\n" % ("y" * 5000))
    return "".join(commands)


def pipe():
    """--pipe loads ten thousand inline commands, and counts replies and errors"""
    output = cli("--pipe", data=fill())
    holds("errors: 0, replies: 10003" in output, output)
    equal(cli("DBSIZE").strip(), "10003")


def pipe_binary():
    """--pipe loads commands in RESP with binary data, and reports errors"""
    value = bytes(range(256))
    data = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nb%d\r\n$256\r\n%b\r\n" % (
        len(str(i)) + 1, i, value) for i in range(5000))
    data += b"*2\r\n$4\r\nINCR\r\n$2\r\nb1\r\n"
    done = subprocess.run(["redis-cli", "-p", PORT, "--pipe"], input=data, timeout=SECONDS,
                          capture_output=True)
    holds(b"errors: 1, replies: 5001" in done.stdout, done.stdout.decode())


def bigkeys():
    """--bigkeys finds the biggest of each type"""
    cli("--pipe", data=fill())
    output = cli("--bigkeys")
    holds(re.search(r"Biggest string found ['\"]+long-string['\"]+ has 5000 bytes", output), output)
    holds(re.search(r"Biggest +set found ['\"]+a-set['\"]+ has 500 members", output), output)
    holds(re.search(r"Biggest +hash found ['\"]+a-hash['\"]+ has 300 fields", output), output)
    holds("Sampled 10003 keys" in output, output)


def memkeys():
    """--memkeys asks MEMORY USAGE for each key"""
    cli("--pipe", data=fill())
    output = cli("--memkeys")
    holds("Sampled 10003 keys" in output, output)
    holds("Biggest string found" in output, output)
    output = cli("--memkeys", "--memkeys-samples", "5")
    holds("Sampled 10003 keys" in output, output)


def scan():
    """--scan lists every key, with and without a pattern"""
    cli("--pipe", data=fill())
    lines = cli("--scan").split()
    equal(len(lines), 10003)
    equal(sorted(cli("--scan", "--pattern", "a-*").split()), ["a-hash", "a-set"])
    equal(len(set(cli("--scan", "--pattern", "key:1???").split())), 1000)


def stat():
    """--stat prints a line per interval"""
    with Running("--stat", "-i", "0.1") as running:
        lines = running.until(r"^\d+ +\d+(\.\d+)?[BKMG] +\d+ ")
        holds(any("keys" in line for line in lines), str(lines))


def latency():
    """--latency and --latency-history measure"""
    # Not on a terminal, --latency measures for one interval and prints one line.
    output = cli("--latency", "-i", "0.2", "--raw")
    figures = [float(word) for word in output.split()]
    holds(len(figures) >= 4 and figures[3] > 0, output)
    with Running("--latency-history", "-i", "0.2") as running:
        lines = running.until(r"\d+ \d+(\.\d+)? \d+|min: \d+")
        holds(lines, "no line")


def resp3():
    """-3 speaks RESP3: maps, sets, nulls, numbers"""
    cli("HSET", "h", "f", "v")
    cli("SADD", "s", "m")
    equal(cli("-3", "--no-raw", "HGETALL", "h").strip(), '1# "f" => "v"')
    equal(cli("-3", "--no-raw", "SMEMBERS", "s").strip(), '1~ "m"')
    equal(cli("-3", "--no-raw", "GET", "none").strip(), "(nil)")
    equal(cli("-3", "--json", "HGETALL", "h").strip(), '{"f":"v"}')
    equal(cli("-3", "--no-raw", "INCR", "n").strip(), "(integer) 1")


def monitor():
    """MONITOR shows what others do"""
    with Running("MONITOR") as running:
        running.until("^OK$")
        cli("SET", "seen", "by monitor")
        lines = running.until('"SET" "seen" "by monitor"')
        holds(re.search(r"\d+\.\d{6} \[0 127\.0\.0\.1:\d+\]", lines[-1]), lines[-1])


def subscribe():
    """SUBSCRIBE and PSUBSCRIBE print messages, in RESP2 and RESP3"""
    for options in ((), ("-3",)):
        with Running(*options, "PSUBSCRIBE", "ch*") as running:
            running.until("psubscribe")
            deadline = time.monotonic() + 5
            while cli("PUBLISH", "channel", "hello").strip() != "1":
                holds(time.monotonic() < deadline, "nobody subscribed")
            running.until("hello")


def forms():
    """output forms: raw, quoted, CSV; input from stdin, -x, -r, -n"""
    cli("SET", "k", 'a "b"\n')
    equal(cli("--no-raw", "GET", "k").strip(), r'"a \"b\"\n"')
    equal(cli("--csv", "MGET", "k", "none").strip(), r'"a \"b\"\n",NULL')
    equal(cli("-x", "SET", "from-stdin", data="text of stdin"), "OK\n")
    equal(cli("GET", "from-stdin"), "text of stdin\n")
    equal(cli(data="SET a 1\nINCR a\nGET a\n").split(), ["OK", "2", "2"])
    equal(cli("-r", "5", "INCR", "counter").split(), ["1", "2", "3", "4", "5"])
    equal(cli("-n", "3", "SET", "k", "three"), "OK\n")
    equal(cli("-n", "3", "DBSIZE"), "1\n")
    holds("WRONGTYPE" in cli("SADD", "k", "m"), "no error text")
    equal(cli("-2", "PING"), "PONG\n")
    equal(cli("-u", "redis://127.0.0.1:%s/3" % PORT, "GET", "k"), "three\n")
    equal(cli(data="MULTI\nSET m 1\nINCR m\nEXEC\n").split(), ["OK", "QUEUED", "QUEUED", "OK", "2"])


def information():
    """INFO, COMMAND DOCS, HELLO and MEMORY are printed"""
    holds("redis_version:7" in cli("INFO", "server"), "no version")
    holds("get" in cli("COMMAND", "DOCS", "get"), "no docs")
    holds("Usage" not in cli("COMMAND", "COUNT"), "no count")
    holds(cli("LOLWUT"), "no art")
    holds(cli("MEMORY", "DOCTOR"), "no doctor")


def hotkeys():
    """--hotkeys works under an lfu policy"""
    cli("--pipe", data=fill())
    cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    try:
        output = cli("--hotkeys")
        holds("Sampled 10003 keys" in output, output)
    finally:
        cli("CONFIG", "SET", "maxmemory-policy", "noeviction")


def main():
    checks = Checks()
    for check in (pipe, pipe_binary, bigkeys, memkeys, scan, stat, latency, resp3, monitor,
                  subscribe, forms, information, hotkeys):
        cli("FLUSHALL")
        checks.run(check)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
