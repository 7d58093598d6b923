# SPDX-License-Identifier: Apache-2.0
"""A server process under test, a raw client for it, and how to wait without sleeping."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("REDYNAMO_SERVER", os.path.join(ROOT, "build", "redynamo-server"))
READY_LINE = "Ready to accept connections"
START_SECONDS_MAX = 60


class Failure(Exception):
    """What was promised does not hold."""


class Skipped(Exception):
    """This machine cannot do what the test needs; the reason is shown."""


def wait_until(condition, seconds, what):
    """The first true value of condition(); asks again every 5 ms until the deadline. `what` is a
    text, or gives one when the time is over."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Failure(f"waited {seconds} s in vain: {text}")
        pause.wait(.005)


def let_run(seconds):
    """The traffic of other threads goes on for so long: a length of a test, not a guess."""
    threading.Event().wait(seconds)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Scratch:
    """A directory that goes when the test succeeded and stays, named, when it failed."""

    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix=f"redynamo-{name}-")

    def __enter__(self):
        return self.path

    def __exit__(self, kind, *_):
        if kind is None or kind is Skipped:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            print(f"     data and logs are kept in {self.path}")


class ReplyError(str):
    """An error reply, without its leading `-`."""


class Client:
    """RESP2 over a plain socket. Replies: bytes, int, None, list, ReplyError, str for `+`."""

    def __init__(self, port, seconds=20, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, *commands):
        self.socket.sendall(b"".join(encode(command) for command in commands))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)
            if len(data) != int(rest) + 2:
                raise ConnectionError("the server closed the connection")
            return data[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise Failure(f"not RESP: {line[:80]!r}")

    def call(self, *words):
        self.send(words)
        return self.read()

    def pipeline(self, commands, chunk=500):
        replies = []
        for at in range(0, len(commands), chunk):
            part = commands[at:at + chunk]
            self.send(*part)
            replies += [self.read() for _ in part]
        return replies

    def scan_all(self):
        """Every key that a whole SCAN gives, once each."""
        keys, cursor = set(), b"0"
        while True:
            cursor, part = self.call("SCAN", cursor, "COUNT", 1000)
            keys.update(part)
            if cursor == b"0":
                return keys


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if not isinstance(word, bytes):
            word = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


class Server:
    """The real binary in a directory of its own; survives restarts of the process. `prefix` is a
    command that runs it, in another network namespace say, and becomes it."""

    def __init__(self, scratch, options=(), port=None, env=None, host="127.0.0.1", prefix=()):
        self.host = host
        self.prefix = list(prefix)
        self.scratch = scratch
        self.data = os.path.join(scratch, "data")
        os.makedirs(self.data, exist_ok=True)
        self.port = port or free_port()
        self.options = [str(option) for option in options]
        self.env = dict(os.environ, **(env or {}))
        self.binary = BINARY
        self.process = None
        self.starts = 0

    def command(self, more=()):
        return [*self.prefix, self.binary, "--port", str(self.port), "--bind", self.host,
                "--dir", self.data, *self.options, *[str(option) for option in more]]

    def launch(self, *more):
        """Starts the process without waiting for anything."""
        self.starts += 1
        self.log_path = os.path.join(self.scratch, f"server-{self.starts:03}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command(more), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, env=self.env)

    def start(self, *more):
        """Starts and waits for the line that says so."""
        self.launch(*more)
        wait_until(lambda: READY_LINE in self.log() or self.process.poll() is not None,
                   START_SECONDS_MAX, f"'{READY_LINE}' in {self.log_path}")
        if self.process.poll() is not None:
            raise Failure(f"the server ended with {self.process.returncode} instead of starting:\n"
                          + self.log()[-2000:])
        if f"PID: {self.process.pid}" not in self.log():
            raise Failure(f"no line 'PID: {self.process.pid}' in the log")
        return self

    def start_refused(self, *more, seconds=START_SECONDS_MAX):
        """Expects the start to fail: (exit code, log)."""
        self.launch(*more)
        wait_until(lambda: READY_LINE in self.log() or self.process.poll() is not None, seconds,
                   "a refusal to start")
        if self.process.poll() is None:
            self.kill()
            raise Failure("the server started although it should have refused")
        return self.process.returncode, self.log()

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def client(self, seconds=20):
        return Client(self.port, seconds, self.host)

    def kill(self):
        """SIGKILL: what a crash of the process leaves."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self, seconds=60):
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.exit_code(seconds)

    def exit_code(self, seconds=60):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not end within {seconds} s") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def expect(holds, what):
    if not holds:
        raise Failure(what)


def log_segments(data):
    """Paths of the log's segments, in order."""
    folder = os.path.join(data, "log")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                  if re.fullmatch(r"log-\d{20}\.rdlog", name))
