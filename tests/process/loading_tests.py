# SPDX-License-Identifier: Apache-2.0
"""While a long recovery runs: what clients are told, and that a stop does not wait for its end."""
import os
import shutil
import signal
import subprocess
import time

from failure_tests import check_filled, fill
from support import Client, ReplyError, Scratch, Server, Skipped, expect, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
RECOVERY_SECONDS = 30
PROMPT_SECONDS = 3  # a tenth of that: on a busy machine a process takes a moment to end


def slow_reads(scratch):
    """What makes a server's recovery take RECOVERY_SECONDS: its environment."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
    if not compiler:
        raise Skipped("no C compiler for the library that makes reads slow")
    path = os.path.join(scratch, "slow_reads.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-x", "c",
                    os.path.join(HERE, "slow_reads.c"), "-o", path, "-ldl"], check=True)
    return dict(os.environ, LD_PRELOAD=path, SLOW_READS=str(RECOVERY_SECONDS * 1000))


def says_loading(port):
    try:
        with Client(port) as client:
            reply = client.call("GET", "k0")
            return isinstance(reply, ReplyError) and reply.startswith("LOADING")
    except OSError:
        return False


def stopped_while_loading():
    """By each signal and by SHUTDOWN; the next start finds everything."""
    notes = []
    with Scratch("loading") as scratch, Server(scratch) as server:
        usual = server.env
        server.start()
        with server.client() as client:
            fill(client, 3000)
        server.kill()
        slow = slow_reads(scratch)
        for how in "SIGTERM", "SIGINT", "SHUTDOWN NOSAVE":
            server.env = slow
            server.launch()
            wait_until(lambda: says_loading(server.port), 20, "a server that says LOADING")
            started = time.monotonic()
            if how.startswith("SIG"):
                server.process.send_signal(getattr(signal, how))
            else:
                with server.client() as client:
                    client.send(how.split())
            code = server.exit_code(RECOVERY_SECONDS)
            seconds = time.monotonic() - started
            expect(code == 0, f"{how} ended with {code}:\n{server.log()[-1500:]}")
            expect(seconds < PROMPT_SECONDS, f"{how} took {seconds:.1f} s")
            expect("recovery" in server.log(), f"no line about the recovery:\n{server.log()}")
            notes.append(f"{how} {seconds * 1000:.0f} ms")
        server.env = usual
        server.start()
        with server.client() as client:
            check_filled(client, 3000)
    return ", ".join(notes)


TESTS = [
    ("stop: during a long recovery it is prompt, and nothing is lost", stopped_while_loading),
]
