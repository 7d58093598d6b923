#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the replication model: all rules on must be right, each rule left out must go wrong.

    run_model.py              what continuous integration runs: about two minutes on two cores
    run_model.py --long N     N runs of everything, counted in full: the figures of RESULTS.txt

A rule whose absence nothing notices would be either superfluous or untested, so it fails here.
"""
import argparse
import multiprocessing
import sys
import time

from replication_model import RULES, run

STEPS = 140
RUNS_ALL_ON = 1500
RUNS_PER_ABLATION_MAX = 6000
CHUNK = 50
CLEAN = {"amnesia": 0, "merkle": 0}  # nothing repairs what a missing rule breaks

# Every mode in which all rules on must be right.
SOUND = {
    "all rules": {},
    "all rules, no crashes, no repair": CLEAN,
    "all rules, many full syncs": {**CLEAN, "many_syncs": 1},
    "all rules, fragments": {"fragments": 1},
    "all rules, fragments, no crashes, no repair": {**CLEAN, "fragments": 1},
    "all rules, pulls in order of time": {**CLEAN, "hlc_order": 1},
    "all rules, many comparisons": {**CLEAN, "many_compares": 1},
}
FORGETFUL = {"amnesia": 1, "merkle": 0}
LOSSY = {**CLEAN, "loss": 1, "merkle": 1, "strings": 0}
# Rules that need special weather to matter; the others are left out of CLEAN runs.
WEATHER = {
    "fragment_on_base": {**CLEAN, "fragments": 1},
    "rotate_actor": FORGETFUL,
    "log_floor": FORGETFUL,
    "sync_cursor": {**CLEAN, "many_syncs": 1},
    "captured_pairs": {**CLEAN, "many_compares": 1},
    "ahead_clock": {**CLEAN, "many_compares": 1},
}
# These only lower a rate (of what repair by union must mend after amnesia, or cannot mend after
# silent loss of rows), so they are measured with --long, beside the same weather with all rules.
RATES = [
    ("amnesia without repair", FORGETFUL, [None, "irregular_index"]),
    ("silent loss of rows", LOSSY, [None, "third_home_confirms", "repair_guard", "repair_infers",
                                    "repair_needs_equal_clocks"]),
    ("silent loss of rows, with counters", {**LOSSY, "strings": 1}, [None]),
]
RATE_RULES = {name for _, _, names in RATES for name in names}
SETTINGS = ["merkle", "amnesia", "loss", "strings", "many_syncs", "many_compares", "hlc_order",
            "fragments"]
FIRST_SEED_ABLATION = 900_000


def ablations():
    """(name, rules) of each rule turned to the wrong value."""
    for name, value in RULES.items():
        if name not in SETTINGS and name not in RATE_RULES:
            yield name, {**RULES, **WEATHER.get(name, CLEAN), name: 1 - value}


def run_chunk(task):
    """(name, {class: count}, an example) of some consecutive seeds."""
    name, rules, first, count = task
    found, example = {}, None
    for seed in range(first, first + count):
        wrong = run(seed, STEPS, rules)
        word = wrong.split()[0].rstrip(":") if wrong else "ok"
        found[word] = found.get(word, 0) + 1
        if wrong and example is None:
            example = f"seed {seed}: {wrong}"
    return name, found, example


def run_all(pool, name, rules, first, runs):
    tasks = [(name, rules, first + at, min(CHUNK, runs - at)) for at in range(0, runs, CHUNK)]
    total, example = {}, None
    for _, found, one in pool.imap(run_chunk, tasks):
        for word, count in found.items():
            total[word] = total.get(word, 0) + count
        example = example or one
    return total, example


def until_wrong(task):
    """Seeds in a row until one fails: (name, runs needed or None, what was wrong)."""
    name, rules = task
    for at in range(RUNS_PER_ABLATION_MAX):
        wrong = run(FIRST_SEED_ABLATION + at, STEPS, rules)
        if wrong:
            return name, at + 1, wrong
    return name, None, None


def in_ci(pool):
    failed = 0
    for name, settings in SOUND.items():
        runs = RUNS_ALL_ON if name == "all rules" else RUNS_ALL_ON // 3
        total, example = run_all(pool, name, {**RULES, **settings}, 0, runs)
        ok = set(total) == {"ok"}
        failed += not ok
        print(f"{'ok    ' if ok else 'FAILED'} {name}: {total} {example or ''}"[:300], flush=True)
    for name, runs, wrong in pool.imap_unordered(until_wrong, list(ablations())):
        failed += runs is None
        if runs is None:
            print(f"FAILED without {name}: nothing noticed in {RUNS_PER_ABLATION_MAX} runs")
        else:
            print(f"ok     without {name}: wrong in run {runs}: {wrong}"[:140], flush=True)
    return failed


def at_length(pool, runs):
    print(f"{runs} runs of {STEPS} steps each; seeds from 0, or {FIRST_SEED_ABLATION} for rules "
          "left out")
    failed = 0
    for name, settings in SOUND.items():
        total, example = run_all(pool, name, {**RULES, **settings}, 0, runs)
        failed += set(total) != {"ok"}
        print(f"{name}: {total} {example or ''}"[:300], flush=True)
    for name, rules in ablations():
        total, _ = run_all(pool, name, rules, FIRST_SEED_ABLATION, runs)
        failed += set(total) == {"ok"}
        print(f"without {name}: {total}", flush=True)
    for weather, settings, names in RATES:
        for name in names:
            rules = {**RULES, **settings}
            if name:
                rules[name] = 1 - RULES[name]
            total, _ = run_all(pool, weather, rules, FIRST_SEED_ABLATION, runs)
            print(f"{weather}, {'without ' + name if name else 'all rules'}: {total}", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", type=int, metavar="N")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    started = time.monotonic()
    with multiprocessing.Pool(arguments.jobs) as pool:
        failed = at_length(pool, arguments.long) if arguments.long else in_ci(pool)
    print(f"model: {failed} failed, {time.monotonic() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
