#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the Promela models exhaustively: as they are they must hold, with a rule left out not.

    run_spin.py [--only TEXT]

A model's rules are left out by -D; its head says what each means. Every check is a complete search
of the states (no hashing away, no depth cut off), or it counts as failed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# model -> (what may be defined and still holds, what must be caught)
MODELS = {
    "ring_register": ([], ["ANY_VALUE", "NO_PROMISE", "VOLATILE"]),
    "actor_rotation": ([], ["NO_ROTATION", "VOLATILE_REPORT", "NO_GONE", "JUMP", "ONE_REPORT"]),
    "view_phases": (["NO_FENCE"],
                    ["OWN_VIEW", "NO_WAIT", "PULL_ONE", "PULL_EARLY", "TWO_OF_FOUR"]),
}
DEPTH_MAX = 2_000_000


def check(model, define):
    """(states, errors, complete) of one search."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-D{define}"] if define else []
        subprocess.run(["spin", "-a", *options, os.path.join(HERE, model + ".pml")], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-DNOCLAIM", "-o", "pan",
                        "pan.c"], cwd=folder, check=True)
        said = subprocess.run(["./pan", f"-m{DEPTH_MAX}", "-E"], cwd=folder, capture_output=True,
                              text=True, check=False).stdout
    states = re.search(r"(\d+) states, stored", said)
    errors = re.search(r"errors: (\d+)", said)
    if not states or not errors:
        raise RuntimeError(f"{model}: the search ended without a result:\n{said}")
    whole = "Search not completed" not in said and "max search depth" not in said
    return int(states.group(1)), int(errors.group(1)), whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="models whose name contains this")
    arguments = parser.parse_args()
    if not shutil.which("spin"):
        print("spin: SKIPPED, the Debian package spin is not installed")
        return 0
    started, failed, done = time.monotonic(), 0, 0
    for model, (sound, broken) in MODELS.items():
        if arguments.only not in model:
            continue
        for define in ["", *sound, *broken]:
            states, errors, whole = check(model, define)
            ok = errors > 0 if define in broken else errors == 0 and whole
            failed += not ok
            done += 1
            found = "caught" if errors else "holds" if whole else "search not completed"
            print(f"{'ok    ' if ok else 'FAILED'} {model} {define or 'as it is'}: {found}, "
                  f"{states} states", flush=True)
    print(f"spin: {done} searches, {failed} failed, {time.monotonic() - started:.0f} s")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
