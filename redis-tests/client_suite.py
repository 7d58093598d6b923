# SPDX-License-Identifier: Apache-2.0
"""Runs the real clients of clients/ against the server under test.

A client is a program that is given the port and prints "ok - name" or "not ok - name: reason" for
each of its checks. One that cannot start, prints nothing or takes too long has failed.
"""

import os
import shutil
import subprocess
import tempfile

import servers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")
CLIENT_SECONDS = 300

# name: (program and its first arguments, a path that must exist first, how to get it)
CLIENTS = {
    "redis_cli": (["python3", "redis_cli.py"], None, None),
    "redis_benchmark": (["python3", "redis_benchmark.py"], None, None),
    "python_sync": (["/usr/bin/python3", "python_sync.py"],
                    "/usr/lib/python3/dist-packages/redis", "apt-get install python3-redis"),
    "python_async": (["/usr/bin/python3", "python_async.py"],
                     "/usr/lib/python3/dist-packages/redis", "apt-get install python3-redis"),
    "ioredis": (["node", "ioredis.js"], os.path.join(HERE, "node_modules", "ioredis"),
                "npm ci --prefix redis-tests/clients"),
    "node_redis": (["node", "node_redis.js"], os.path.join(HERE, "node_modules", "redis"),
                   "npm ci --prefix redis-tests/clients"),
    "hiredis": (["./hiredis_client"], "/usr/include/hiredis/hiredis.h",
                "apt-get install libhiredis-dev gcc"),
}


def run_client(name, port, scratch):
    """(passed, failed) of one client; prints what failed."""
    command, needed, remedy = CLIENTS[name]
    if needed and not os.path.exists(needed):
        print("FAILED client %s: %s is missing: %s" % (name, needed, remedy))
        return 0, 1
    if name == "hiredis":
        program = os.path.join(scratch, "hiredis_client")
        compiler = os.environ.get("CC") or shutil.which("gcc") or "cc"
        built = subprocess.run([compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-o", program,
                                os.path.join(HERE, "hiredis_client.c"), "-lhiredis"],
                               capture_output=True, text=True)
        if built.returncode != 0:
            print("FAILED client hiredis: it does not compile:\n%s" % built.stderr[:2000])
            return 0, 1
        command = [program]
    try:
        done = subprocess.run([*command, str(port)], cwd=HERE, capture_output=True, text=True,
                              errors="replace", timeout=CLIENT_SECONDS,
                              env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        output, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
        code = "none: it took more than %d s" % CLIENT_SECONDS
    except OSError as error:
        output, code = "", "none: %s" % error
    return judge(name, output, code)


def judge(name, output, code):
    """Counts the lines of checks; an exit code that does not fit them is one failure more."""
    lines = output.splitlines()
    passed = sum(line.startswith("ok - ") for line in lines)
    failed = sum(line.startswith("not ok - ") for line in lines)
    if failed or not passed or code != 0:
        failed = max(failed, 1)
        print("FAILED client %s, exit code %s" % (name, code))
        for line in lines:
            if not line.startswith("ok - "):
                print("    %s" % line[:500])
    return passed, failed


def run(arguments):
    """(passed, failed) of all chosen clients."""
    names = [name for name in CLIENTS
             if (not arguments.client or any(word in name for word in arguments.client))
             and not any(word in name for word in arguments.without)]
    server = servers.Server("ours", arguments.ours_port) if arguments.ours_port else (
        servers.Server("ours", servers.free_port(arguments.first_port, arguments.last_port),
                       arguments.server, ["--appendfsync", "everysec"]))
    server.start()
    passed = failed = 0
    scratch = tempfile.mkdtemp(prefix="redis-tests-clients-")
    try:
        for name in names:
            good, bad = run_client(name, server.port, scratch)
            print("client %s: %d passed, %d failed" % (name, good, bad), flush=True)
            passed, failed = passed + good, failed + bad
            if not server.alive():
                print("FAILED: ours has ended by itself\n%s" % server.log_tail())
                return passed, failed + 1
    finally:
        code = server.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    if code not in (None, 0):
        print("FAILED: ours stopped with exit code %s" % code)
        failed += 1
    return passed, failed
