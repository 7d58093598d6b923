#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redis-benchmark's default tests, as far as their commands exist: redis_benchmark.py PORT"""

import csv
import io
import subprocess
import sys

from checks import Checks, equal, holds

PORT = sys.argv[1]
REQUESTS = 20000
SECONDS = 120

# Tests of redis-benchmark -t, with the number of rows each prints. The second list waits for the
# commands it needs.
TESTS = {"ping_inline": 1, "ping_mbulk": 1, "set": 1, "get": 1, "incr": 1, "sadd": 1, "hset": 1,
         "spop": 1, "mset": 1}
LATER = ["lpush", "rpush", "lpop", "rpop", "lrange", "zadd", "zpopmin"]


def benchmark(*arguments):
    """Runs redis-benchmark; returns {test: requests per second}."""
    done = subprocess.run(["redis-benchmark", "-p", PORT, "--csv", *arguments], timeout=SECONDS,
                          capture_output=True, text=True)
    text = done.stdout + done.stderr
    holds(done.returncode == 0, "exit code %d: %s" % (done.returncode, text))
    holds("rror" not in text, text)
    rows = list(csv.reader(io.StringIO(done.stdout)))[1:]
    return {row[0]: float(row[1]) for row in rows if len(row) > 1}


def cli(*arguments):
    return subprocess.run(["redis-cli", "-p", PORT, *arguments], capture_output=True, text=True,
                          timeout=SECONDS).stdout.strip()


def defaults():
    """every default test whose commands exist"""
    rates = benchmark("-n", str(REQUESTS), "-t", ",".join(TESTS))
    equal(len(rates), sum(TESTS.values()))
    holds(all(rate > 0 for rate in rates.values()), str(rates))


def random_keys_and_pipelines():
    """random keys, pipelines, clients, large values"""
    benchmark("-n", str(REQUESTS), "-t", "set,get,incr,sadd,hset,spop", "-r", "1000", "-P", "16",
              "-c", "50", "-d", "100")
    holds(int(cli("DBSIZE")) >= 1000, "DBSIZE is " + cli("DBSIZE"))
    benchmark("-n", str(REQUESTS), "-t", "set,get", "-P", "64", "-r", "100000", "-d", "900")
    benchmark("-n", "2000", "-t", "set,get", "-d", "16384")


def counts_are_exact():
    """each request was carried out exactly once"""
    benchmark("-n", str(REQUESTS), "-P", "8", "-c", "20", "INCR", "exact")
    equal(cli("GET", "exact"), str(REQUESTS))


def own_commands():
    """commands of the user, and RESP3"""
    benchmark("-n", "1000", "-r", "100", "SET", "mine:__rand_int__", "v")
    holds(0 < int(cli("DBSIZE")) <= 100, "DBSIZE is " + cli("DBSIZE"))
    benchmark("-n", "1000", "-3", "-t", "set,get")


def main():
    checks = Checks()
    for check in (defaults, random_keys_and_pipelines, counts_are_exact, own_commands):
        cli("FLUSHALL")
        checks.run(check)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
