#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that the oracle bites: it must find spoiled replies, and nothing where nothing is wrong.

Both sides are redis-server here. A proxy before one of them spoils replies in one way at a time;
or one of them is configured differently; each time the generator must report a difference.
"""

import argparse
import io
import os
import sys

import compare
import generator
import servers
from oracle import Pair
from proxy import MUTATIONS, Proxy
from resp import parse_all
from scenario_run import CaseRun, load_cases

COMMANDS = 9000

# Start options of one side only, and the sentence that the report must contain.
DIFFERENT_CONFIGURATIONS = [
    (["--databases", "2"], "DB index is out of range"),
    (["--rename-command", "GETSET", "OLDGETSET"], "unknown command"),
    (["--maxmemory", "1", "--maxmemory-policy", "noeviction"], "OOM"),
    (["--proto-max-bulk-len", "512mb"], None),  # the default: LCS compares its table with it
]


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, condition, text, details=""):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED self-test: %s\n%s" % (text, details))


def check_comparers(checks):
    """The comparers one by one, on replies written by hand."""
    def same(command, theirs, ours):
        a, b = (parse_all(text.encode())[0] for text in (theirs, ours))
        return compare.compare([word.encode() for word in command.split()], a, b) is None

    table = [
        ("SMEMBERS s", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n", True),
        ("SMEMBERS s", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\nb\r\n", False),
        ("SMEMBERS s", "~1\r\n$1\r\na\r\n", "*1\r\n$1\r\na\r\n", False),
        ("SINTER s", "*1\r\n$1\r\n1\r\n", "*1\r\n:1\r\n", False),
        ("HMGET h", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n", False),
        ("HGETALL h", "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
         "*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\n1\r\n", True),
        ("HGETALL h", "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
         "*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n1\r\n", False),
        ("GET k", "$-1\r\n", "*-1\r\n", False),
        ("GET k", "$-1\r\n", "$0\r\n\r\n", False),
        ("TTL k", ":100\r\n", ":99\r\n", True),
        ("TTL k", ":100\r\n", ":50\r\n", False),
        ("TTL k", ":-1\r\n", ":-2\r\n", False),
        ("TTL k", ":-1\r\n", ":1\r\n", False),
        ("SRANDMEMBER s 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n$1\r\na\r\n", False),
        ("SRANDMEMBER s -2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n$1\r\na\r\n", True),
        ("SRANDMEMBER s", "$1\r\na\r\n", "$-1\r\n", False),
        ("MEMORY USAGE k", ":56\r\n", ":60\r\n", True),
        ("MEMORY USAGE k", ":56\r\n", ":0\r\n", False),
        ("INCR k", ":1\r\n", "+1\r\n", False),
        ("INCR k", "-ERR a\r\n", "-ERR b\r\n", False),
        ("SMEMBERS s", "-WRONGTYPE a\r\n", "*0\r\n", False),
        ("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n",
         "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n", False),
        ("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", "*2\r\n$1\r\n7\r\n*0\r\n", True),
        ("KEYS *", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n", True),
    ]
    for command, theirs, ours, expected in table:
        checks.that(same(command, theirs, ours) == expected,
                    "comparer of %s: %r and %r" % (command, theirs, ours))


def check_mutations(checks, arguments):
    """Each mutation of replies is found by the generator; a plain proxy is not noticed."""
    peer, other = (servers.Server(name, servers.free_port(arguments.first_port,
                                                          arguments.last_port), arguments.redis)
                   for name in ("redis", "spoiled"))
    peer.start()
    other.port = servers.free_port(peer.port + 1, arguments.last_port)
    other.start()
    try:
        for mutation in [None, *MUTATIONS]:
            port = servers.free_port(other.port + 1, arguments.last_port)
            proxy = Proxy(port, other.port, mutation)
            out = io.StringIO()
            try:
                pair = Pair(peer, servers.Server("spoiled", port))
                found = generator.run(pair, "self-test", COMMANDS, 1, out=out,
                                      shorten=False)
            finally:
                proxy.stop()
            name = mutation.__name__ if mutation else "none"
            checks.that(bool(found) == bool(mutation), "mutation " + name, out.getvalue())
    finally:
        peer.stop()
        other.stop()


def check_configurations(checks, arguments):
    """A server that is configured differently is found, with the reproduction made short."""
    for options, sentence in DIFFERENT_CONFIGURATIONS:
        peer = servers.Server("redis", servers.free_port(arguments.first_port,
                                                         arguments.last_port), arguments.redis)
        peer.start()
        other = servers.Server("different", servers.free_port(peer.port + 1, arguments.last_port),
                               arguments.redis, options)
        other.start()
        out = io.StringIO()
        pair = Pair(peer, other)
        try:
            found = generator.run(pair, "self-test", 2 * COMMANDS, 1, out=out)
        finally:
            pair.stop()
        text = out.getvalue()
        if sentence is None:
            checks.that(not found, "harmless option " + options[0], text)
            continue
        checks.that(found and sentence in text, "different option " + options[0], text)
        commands = [line for line in text.splitlines() if line.startswith("    c")]
        checks.that(1 <= len(commands) <= 8, "short reproduction of " + options[0], text)


def check_scenarios(checks, arguments):
    """Redis against itself passes every scenario; through a spoiling proxy most cases fail."""
    cases = [case for case in load_cases(scenarios_directory(), ["strings", "hashes"])
             if not case.options]
    peer, other = servers.start_pair(argparse.Namespace(
        **{**vars(arguments), "server": arguments.redis, "ours_port": 0}))
    proxy = Proxy(servers.free_port(other.port + 1, arguments.last_port), other.port,
                  MUTATIONS[0], every=1)
    try:
        for case in cases:
            found = CaseRun(Pair(peer, other), case, 2).run()
            checks.that(not found, "Redis against itself: " + case.title, str(found and found[0]))
        spoiled = Pair(peer, servers.Server("spoiled", proxy.port))
        caught = sum(bool(CaseRun(spoiled, case, 2).run()) for case in cases)
        checks.that(caught > len(cases) / 2,
                    "spoiled integers seen in %d of %d cases" % (caught, len(cases)))
    finally:
        proxy.stop()
        peer.stop()
        other.stop()


def check_encodings(checks, arguments):
    """The scenarios see that a server has other sizes of its small forms."""
    cases = [case for case in load_cases(scenarios_directory(), ["sets", "hashes"])
             if case.title == "encodings"]
    checks.that(len(cases) == 2, "the scenarios of encodings are there")
    options = ["--set-max-intset-entries", "4", "--hash-max-listpack-entries", "3"]
    peer = servers.Server("redis", servers.free_port(arguments.first_port, arguments.last_port),
                          arguments.redis)
    peer.start()
    other = servers.Server("different", servers.free_port(peer.port + 1, arguments.last_port),
                           arguments.redis, options)
    other.start()
    pair = Pair(peer, other)
    try:
        for case in cases:
            checks.that(CaseRun(pair, case, 2).run(), "other sizes seen in " + case.file_name)
    finally:
        pair.stop()


def scenarios_directory():
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios")


def run(arguments):
    """(passed, failed)."""
    checks = Checks()
    check_comparers(checks)
    check_mutations(checks, arguments)
    check_configurations(checks, arguments)
    check_encodings(checks, arguments)
    check_scenarios(checks, arguments)
    return checks.passed, checks.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    servers.add_server_arguments(parser)
    passed, failed = run(parser.parse_args())
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
