#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the real server process: crashes, restarts, damage, full disks, signals, options.

    run_process_tests.py [--rounds N] [--seed S] [--only TEXT] [--skip TEXT] [--list]

The binary is build/redynamo-server, or what REDYNAMO_SERVER names. A failing crash run prints its
seed (threads and the kernel's timing are not part of it, so a seed makes a fault likely again,
not certain). The last line is `N passed, M failed`.
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import self_test  # noqa: E402
import support  # noqa: E402
from crash_test import crash_rounds  # noqa: E402
import cluster_face_tests  # noqa: E402
import failure_tests  # noqa: E402
import loading_tests  # noqa: E402
import memory_tests  # noqa: E402
import network_tests  # noqa: E402
import ring_faults_tests  # noqa: E402
import ring_members_tests  # noqa: E402
import ring_sibling_tests  # noqa: E402
import ring_tests  # noqa: E402
import ring_versions_tests  # noqa: E402
import ring_whole_tests  # noqa: E402


def checker_bites():
    count, wrong = self_test.run()
    support.expect(not wrong, "\n     ".join(wrong))
    return f"{count} made-up histories"


def tests(rounds, seed):
    yield "the checker finds every kind of fault", checker_bites
    yield from failure_tests.TESTS
    yield from loading_tests.TESTS
    yield from memory_tests.TESTS
    yield from network_tests.TESTS
    yield from ring_tests.TESTS
    yield from ring_members_tests.TESTS
    yield from ring_sibling_tests.TESTS
    yield from ring_whole_tests.TESTS
    yield from cluster_face_tests.TESTS
    yield from ring_versions_tests.TESTS
    yield from ring_faults_tests.TESTS
    for fsync in ("always", "everysec"):
        yield (f"kill -9 under writers, appendfsync {fsync}: nothing answered is lost",
               lambda fsync=fsync: crash_rounds(fsync, rounds, seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", default="")
    parser.add_argument("--skip", help="leave out the tests whose name contains this")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if not os.access(support.BINARY, os.X_OK):
        sys.exit(f"no server binary at {support.BINARY}: run make")
    print(f"seed {arguments.seed}")
    passed = failed = 0
    for name, test in tests(arguments.rounds, arguments.seed):
        if arguments.only not in name or (arguments.skip and arguments.skip in name):
            continue
        if arguments.list:
            print(name)
            continue
        started = time.monotonic()
        try:
            note = test()
            passed += 1
            print(f"ok   {name} ({time.monotonic() - started:.1f} s) {note or ''}", flush=True)
        except support.Skipped as reason:
            print(f"SKIPPED {name}: {reason}", flush=True)
        except (support.Failure, OSError) as error:
            failed += 1
            print(f"FAIL {name} ({time.monotonic() - started:.1f} s)\n     "
                  f"{type(error).__name__}: {error}", flush=True)
    if not arguments.list:
        print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
