#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the models of replication: all rules on must be right, each rule left out must go wrong.

    run_model.py              what continuous integration runs: about two minutes on two cores
    run_model.py --long N     N runs of everything, counted in full: the figures of RESULTS.txt
    run_model.py --only ring  one of the two models: rows (replication_model.py), ring

export_histories.py writes histories down, for the server's own join to replay.

A rule whose absence nothing notices would be either superfluous or untested, so it fails here.
"""
import argparse
import multiprocessing
import sys
import time

import replication_model
import ring_model
import ring_rules
from replication_model import RULES

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

# The ring: changes of the homes, and what is counted.
RING_RUNS_ALL_ON = 250
CHANGING = {"many_changes": 1, "any_quorum": 0}
CHANGING_AND_CRASHING = {**CHANGING, "many_crashes": 1}
CRASHING = {"many_crashes": 1, "changes": 0}
GUESTS = {**CRASHING, "sloppy": 1}
RING_SOUND = {
    "ring": {},
    "ring, many changes, crashes": {"many_changes": 1, "many_crashes": 1},
    "ring, many changes, crashes, no fence": {**CHANGING_AND_CRASHING, "fence": 0},
    "ring, many changes, crashes, guests": {**CHANGING_AND_CRASHING, "sloppy": 1},
    "ring, crashes, guests, no changes": GUESTS,
    "ring, strings, crashes, guests": {"strings": 1, "many_crashes": 1, "sloppy": 1},
}
RING_WEATHER = {
    **dict.fromkeys(["writes_reach_both", "pending_not_read", "pull_before_read_new",
                     "pull_after_phase", "ring_register", "count_by_newest"], CHANGING),
    **dict.fromkeys(["pull_from_enough", "pull_skips_recovering", "claimant_waits",
                     "phase_ack_durable", "lost_disk_asks_register"], CHANGING_AND_CRASHING),
    **dict.fromkeys(["guests_count_last", "guest_waits_for_all", "reports_durable",
                     "guest_keeps_counter", "guests_found_at_boot"], GUESTS),
}

# Which model, and how many steps a run has.
MODELS = {"rows": (replication_model.run, 140), "ring": (ring_model.run, 400)}
SETTINGS = ["merkle", "amnesia", "loss", "strings", "many_syncs", "many_compares", "hlc_order",
            "fragments"]
FIRST_SEED_ABLATION = 900_000
RING_RULES = ring_rules.ALL_RULES


def sound(models):
    """(model, name, rules) of each mode in which all rules on must be right."""
    for model, all_rules, modes in (("rows", RULES, SOUND), ("ring", RING_RULES, RING_SOUND)):
        if model in models:
            for name, settings in modes.items():
                yield model, name, {**all_rules, **settings}


def ablations(models):
    """(model, name, rules) of each rule turned to the wrong value."""
    if "rows" in models:
        for name, value in RULES.items():
            if name not in SETTINGS and name not in RATE_RULES:
                yield "rows", name, {**RULES, **WEATHER.get(name, CLEAN), name: 1 - value}
    if "ring" in models:
        for name, value in ring_rules.RULES.items():
            if name not in ring_rules.SETTINGS:
                weather = RING_WEATHER.get(name, CRASHING)
                yield "ring", name, {**RING_RULES, **weather, name: 1 - value}


def run_chunk(task):
    """(name, {class: count}, an example) of some consecutive seeds."""
    model, name, rules, first, count = task
    run, steps = MODELS[model]
    found, example = {}, None
    for seed in range(first, first + count):
        wrong = run(seed, steps, rules)
        word = wrong.split()[0].rstrip(":") if wrong else "ok"
        found[word] = found.get(word, 0) + 1
        if wrong and example is None:
            example = f"seed {seed}: {wrong}"
    return name, found, example


def run_all(pool, model, name, rules, first, runs):
    tasks = [(model, name, rules, first + at, min(CHUNK, runs - at))
             for at in range(0, runs, CHUNK)]
    total, example = {}, None
    for _, found, one in pool.imap(run_chunk, tasks):
        for word, count in found.items():
            total[word] = total.get(word, 0) + count
        example = example or one
    return total, example


def until_wrong(task):
    """Seeds in a row until one fails: (name, runs needed or None, what was wrong)."""
    model, name, rules = task
    run, steps = MODELS[model]
    for at in range(RUNS_PER_ABLATION_MAX):
        wrong = run(FIRST_SEED_ABLATION + at, steps, rules)
        if wrong:
            return name, at + 1, wrong
    return name, None, None


def in_ci(pool, models):
    failed = 0
    for model, name, rules in sound(models):
        runs = RUNS_ALL_ON if name == "all rules" else RUNS_ALL_ON // 3
        if model == "ring":
            runs = RING_RUNS_ALL_ON
        total, example = run_all(pool, model, name, rules, 0, runs)
        ok = set(total) == {"ok"}
        failed += not ok
        print(f"{'ok    ' if ok else 'FAILED'} {name}: {total} {example or ''}"[:300], flush=True)
    for name, runs, wrong in pool.imap_unordered(until_wrong, list(ablations(models))):
        failed += runs is None
        if runs is None:
            print(f"FAILED without {name}: nothing noticed in {RUNS_PER_ABLATION_MAX} runs")
        else:
            print(f"ok     without {name}: wrong in run {runs}: {wrong}"[:140], flush=True)
    return failed


def at_length(pool, models, runs):
    steps = ", ".join(f"{name}: {steps}" for name, (_, steps) in MODELS.items())
    print(f"{runs} runs of each; steps of a run: {steps}; seeds from 0, or {FIRST_SEED_ABLATION} "
          "for rules left out")
    failed = 0
    for model, name, rules in sound(models):
        total, example = run_all(pool, model, name, rules, 0, runs)
        failed += set(total) != {"ok"}
        print(f"{name}: {total} {example or ''}"[:300], flush=True)
    for model, name, rules in ablations(models):
        total, _ = run_all(pool, model, name, rules, FIRST_SEED_ABLATION, runs)
        failed += set(total) == {"ok"}
        print(f"without {name}: {total}", flush=True)
    for weather, settings, names in RATES if "rows" in models else ():
        for name in names:
            rules = {**RULES, **settings}
            if name:
                rules[name] = 1 - RULES[name]
            total, _ = run_all(pool, "rows", weather, rules, FIRST_SEED_ABLATION, runs)
            print(f"{weather}, {'without ' + name if name else 'all rules'}: {total}", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", type=int, metavar="N")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=MODELS)
    arguments = parser.parse_args()
    models = [arguments.only] if arguments.only else list(MODELS)
    started = time.monotonic()
    with multiprocessing.Pool(arguments.jobs) as pool:
        failed = at_length(pool, models, arguments.long) if arguments.long \
            else in_ci(pool, models)
    print(f"model: {failed} failed, {time.monotonic() - started:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
