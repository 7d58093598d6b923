#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redis-cli -c and --cluster: cluster_redis_cli.py PORT PORT PORT (cluster ports of one ring)."""

import subprocess
import sys
import time

from checks import Checks, equal, holds

PORTS = sys.argv[1:]
KEYS = ["key-%d" % i for i in range(200)]
SECONDS = 30
RECOVERY_SECONDS_MAX = 10


def cli(*arguments, data=None):
    done = subprocess.run(["redis-cli", *arguments], input=data, timeout=SECONDS, text=True,
                          capture_output=True)
    return done.returncode, done.stdout + done.stderr


def follow(port, lines):
    """The replies to these commands by `redis-cli -c`, which follows MOVED."""
    code, output = cli("-c", "-p", port, data="\n".join(lines) + "\n")
    equal(code, 0)
    return [line for line in output.split("\n")[:-1] if not line.startswith("-> Redirected")]


def redirections():
    """-c: values are written by way of one node, read by way of another"""
    equal(set(follow(PORTS[0], ["SET %s %s" % (key, key) for key in KEYS])), {"OK"})
    equal(follow(PORTS[1], ["GET " + key for key in KEYS]), KEYS)
    equal(follow(PORTS[2], ["DEL " + key for key in KEYS]), ["1"] * len(KEYS))


def without_redirections():
    """without -c a write by way of another node is answered MOVED"""
    replies = {cli("-p", port, "SET", "k", "v")[1].strip() for port in PORTS}
    holds("OK" in replies, "nobody coordinates k: %s" % replies)
    moved = replies - {"OK"}
    equal(len(moved), 1)
    words = moved.pop().split()
    equal(words[:2], ["MOVED", "7629"])
    equal(cli("-p", words[2].rpartition(":")[2], "SET", "k", "v")[1].strip(), "OK")


def cluster_check():
    """--cluster check and info: every slot is covered, and all nodes agree"""
    code, output = cli("--cluster", "check", "127.0.0.1:" + PORTS[0])
    holds(code == 0, output)
    holds("[OK] All 16384 slots covered." in output, output)
    holds("[OK] All nodes agree about slots configuration." in output, output)
    code, output = cli("--cluster", "info", "127.0.0.1:" + PORTS[1])
    holds(code == 0 and "in 3 masters." in output, output)
    code, output = cli("--cluster", "call", "127.0.0.1:" + PORTS[2], "PING")
    equal(output.count("PONG"), 3)


def ask(word):
    print(word, flush=True)
    sys.stdin.readline()


def insist(action):
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while True:
        try:
            return action()
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def node_lost():
    """a node is killed: the others serve its slots within seconds"""
    ask("kill")
    alive = [port for port in PORTS if cli("-p", port, "PING")[0] == 0]
    equal(len(alive), 2)
    writes = ["SET %s after" % key for key in KEYS]
    insist(lambda: equal(set(follow(alive[0], writes)), {"OK"}))
    insist(lambda: equal(set(follow(alive[1], ["GET " + key for key in KEYS])), {"after"}))
    code, output = cli("--cluster", "check", "127.0.0.1:" + alive[0])
    holds("[OK] All 16384 slots covered." in output, output)
    ask("start")
    insist(lambda: equal(set(follow(alive[0], writes)), {"OK"}))


def main():
    checks = Checks()
    for check in (redirections, without_redirections, cluster_check, node_lost):
        checks.run(check)
    sys.exit(1 if checks.failed else 0)


main()
