#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the project's test suites, group by group, and says what each took.

    scripts/run_suites.py [--jobs N] [--only TEXT] GROUP...

Groups: standard (release build, unit tests, tidy, models, oracle, real processes), asan (the unit
tests under AddressSanitizer and UBSan), tsan (the threaded parts under ThreadSanitizer).

Suites that neither measure time nor start servers on fixed ports run side by side, as many as
there are jobs. A suite is one command with a time limit. Its output goes to
build/suites/NAME.log; the end of it is shown when the suite fails. One line per suite is appended
to the file that the environment variable SUITE_RESULTS names, so that .ci/run can add several
calls up. The last line printed is `N passed, M failed`; the exit code is 0 only when M is 0.
"""
import argparse
import concurrent.futures
import glob
import os
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "suites")
SHOWN_LINES_ON_FAILURE = 80
ORACLE_SEED = "3811126065"
SANITIZER_ENV = {
    "SIM_SEEDS": "60",  # of thousands: they are slow under sanitizers
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1:"
                    "suppressions=" + os.path.join(ROOT, "tests", "support", "tsan.supp"),
}
SLOWEST = ["sim", "storage", "cluster", "server"]
# What has threads worth a race detector: folder -> doctest filter (empty: all of it).
TSAN_FILTERS = {"storage": "*log*,*thread*,*engine*,*pool*", "server": ""}


class Runner:
    def __init__(self, jobs, only):
        self.jobs = jobs
        self.only = only
        self.results = []

    def run(self, name, command, limit_s, env=None):
        """Runs one suite; True when it passed. A suite not selected by --only counts as passed."""
        if self.only and self.only not in name:
            return True
        print(f"== {name}", flush=True)
        log_path = os.path.join(LOGS, name.replace("/", "_") + ".log")
        started = time.monotonic()
        code = run_logged(command, limit_s, log_path, env)
        seconds = time.monotonic() - started
        passed = code == 0
        with open(log_path, errors="replace") as log:
            lines = log.read().splitlines()
        shown = [line[:150] for line in lines[-1:]] if passed else lines[-SHOWN_LINES_ON_FAILURE:]
        verdict = ("passed in" if passed else f"FAILED ({code}) after") + f" {seconds:.1f} s"
        # One write, so that suites that run beside this one do not come between its lines.
        print("\n".join(["   " + line for line in shown] + [f"== {name}: {verdict}"]), flush=True)
        self.results.append((name, passed, seconds))
        return passed

    def run_beside(self, suites):
        """Runs suites (arguments of `run`) side by side."""
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for future in [pool.submit(self.run, *suite) for suite in suites]:
                future.result()

    def build(self, directory, options, targets=()):
        """Configures and builds; counts as a suite of its own."""
        cmake = ["cmake", "-S", ".", "-G", "Ninja", "-B", directory, *options]
        ninja = ["ninja", "-C", directory, f"-j{self.jobs}", *targets]
        saved, self.only = self.only, None
        script = " ".join(cmake) + " && " + " ".join(ninja)
        ok = self.run(f"build {directory}", ["sh", "-c", script], 2400)
        self.only = saved
        return ok

    def unit_tests(self, directory, label, limit_s, filters=None, env=None):
        """The suites of a build, those that take longest first."""
        suites = []
        for path in sorted(glob.glob(os.path.join(ROOT, directory, "*_test"))):
            folder = os.path.basename(path)[: -len("_test")]
            if filters is not None and folder not in filters:
                continue
            command = [path]
            if filters and filters[folder]:
                command.append("--test-case=" + filters[folder])
            suites.append((f"{label} {folder}", command, limit_s, env))
        slow = [f"{label} {folder}" for folder in SLOWEST]
        return sorted(suites, key=lambda s: slow.index(s[0]) if s[0] in slow else len(slow))

    def standard(self):
        options = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
        python = sys.executable
        self.script("tidy self-test", [python, "tests/tidy/tidy.py", "--self-test"], 120)
        self.script("tidy", [python, "tests/tidy/tidy.py"], 120)
        if not self.build("build", options):
            return
        # Mostly waits for what it has broken, so it goes beside all the others.
        process = [python, "tests/process/run_process_tests.py"]
        faults = threading.Thread(
            target=self.run, args=("ring faults", [*process, "--only", "ring faults"], 1500))
        faults.start()
        self.run_beside(self.unit_tests("build", "unit", 1200) + [
            ("model", [python, "tests/model/run_model.py"], 600),
            ("spin", [python, "tests/spin/run_spin.py"], 300),
        ])
        # A fixed seed: what turns a run red must be the change. Hunts with random seeds are
        # `redis-tests/run generator`.
        self.script("oracle", ["redis-tests/run", "--seed", ORACLE_SEED], 1200)
        self.script("process", [*process, "--skip", "ring faults"], 1200)
        faults.join()

    def script(self, name, command, limit_s):
        """A suite that lives in a script; one that is not there yet is named, not counted."""
        path = next(part for part in command if "/" in part and part != sys.executable)
        if not os.path.exists(os.path.join(ROOT, path)):
            print(f"== {name}: SKIPPED, there is no {path}", flush=True)
            return
        self.run(name, command, limit_s)

    def asan(self):
        if self.build("build-asan", ["-DREDYNAMO_SANITIZE=address,undefined"]):
            self.run_beside(self.unit_tests("build-asan", "asan", 1200, env=SANITIZER_ENV))

    def tsan(self):
        targets = [f"{folder}_test" for folder in TSAN_FILTERS
                   if glob.glob(os.path.join(ROOT, "tests", folder, "*_test.cc"))]
        if not targets:
            print("== tsan: SKIPPED, no tests of threaded parts yet", flush=True)
        elif self.build("build-tsan", ["-DREDYNAMO_SANITIZE=thread"], targets):
            self.run_beside(
                self.unit_tests("build-tsan", "tsan", 1200, TSAN_FILTERS, SANITIZER_ENV))


def run_logged(command, limit_s, log_path, extra_env):
    """The exit code; 124 when the limit was reached (the whole process group is killed then)."""
    env = dict(os.environ, **(extra_env or {}))
    with open(log_path, "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            log.write(f"\nkilled: over its limit of {limit_s} s\n")
            return 124
        finally:
            stop_group(process)


def stop_group(process):
    """Ends what a suite left running, so that nothing outlives the run or keeps a port."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="+", choices=["standard", "asan", "tsan"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--only", help="run only the suites whose name contains this")
    arguments = parser.parse_args()
    os.makedirs(LOGS, exist_ok=True)
    runner = Runner(arguments.jobs, arguments.only)
    started = time.monotonic()
    for group in arguments.groups:
        getattr(runner, group)()
    failed = [name for name, passed, _ in runner.results if not passed]
    if os.environ.get("SUITE_RESULTS"):
        with open(os.environ["SUITE_RESULTS"], "a") as out:
            for name, passed, seconds in runner.results:
                out.write(f"{'passed' if passed else 'failed'}\t{seconds:.1f}\t{name}\n")
    print(f"total {time.monotonic() - started:.0f} s")
    for name in failed:
        print(f"failed: {name} (build/suites/{name.replace('/', '_')}.log)")
    print(f"{len(runner.results) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
