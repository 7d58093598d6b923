# SPDX-License-Identifier: Apache-2.0
"""Starts and stops the servers under comparison, each in its own directory and port."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Connection

START_DEADLINE_SECONDS = 30
STOP_DEADLINE_SECONDS = 15

# What both servers get; the rest is their defaults.
COMMON_OPTIONS = [
    "--bind", "127.0.0.1",
    "--enable-debug-command", "yes",
    "--save", "",
]


class StartError(Exception):
    """A server did not come up; the text says why."""


def free_port(first, last):
    """The first port of the range on which nobody listens."""
    for port in range(first, last + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise StartError("no free port between %d and %d" % (first, last))


class Server:
    """A running server process, or a port that somebody else serves (binary None)."""

    def __init__(self, name, port, binary=None, options=(), directory=None,
                 config_file=None):
        self.name = name
        self.port = port
        self.binary = binary and os.path.abspath(binary)
        self.options = list(options)
        self.directory = directory
        self.config_file = config_file      # in place of all other options
        self.process = None
        self.log_path = None

    def start(self):
        if self.binary is None:
            return self
        if not os.access(self.binary, os.X_OK):
            raise StartError("%s: no such program: %s" % (self.name, self.binary))
        if self.directory is None:
            self.directory = tempfile.mkdtemp(prefix="redis-tests-%s-" % self.name)
        self.log_path = os.path.join(self.directory, "server.out")
        command = [self.binary, "--port", str(self.port), "--dir", self.directory,
                   *COMMON_OPTIONS, *self.options]
        if self.config_file:
            command = [self.binary, self.config_file]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.directory)
        self._wait_until_ready(command)
        return self

    def _wait_until_ready(self, command):
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StartError("%s ended with exit code %d: %s\n%s" % (
                    self.name, self.process.returncode, " ".join(command), self.log_tail()))
            try:
                connection = Connection(self.port, timeout_seconds=2)
                if "--requirepass" in self.options:
                    password = self.options[self.options.index("--requirepass") + 1]
                    connection.call("AUTH", password)
                reply = connection.call("DBSIZE")
                connection.close()
                # Any other error also shows that commands are being answered.
                if reply[0] == ":" or (reply[0] == "-" and not reply[1].startswith(b"LOADING")):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise StartError("%s did not answer within %d s\n%s" % (
            self.name, START_DEADLINE_SECONDS, self.log_tail()))

    def restart(self):
        """Starts again with an empty directory of its own."""
        self.stop()
        self.directory = None
        self.start()

    def kill_and_start(self):
        """SIGKILL, then a start on the data that it left."""
        self.process.kill()
        self.process.wait()
        self.start()

    def alive(self):
        return self.process is None or self.process.poll() is None

    def log_tail(self, lines=15):
        try:
            with open(self.log_path, errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        except (OSError, TypeError):
            return ""

    def stop(self):
        """Ends the process; returns its exit code (None when it was not ours)."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        code = self.process.returncode
        self.process = None
        if self.directory and os.path.basename(self.directory).startswith("redis-tests-"):
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        return code


def start_pair(arguments, extra_options=()):
    """The peer (redis-server) and the server under test, started as the arguments say."""
    peer = Server("redis", free_port(arguments.first_port, arguments.last_port),
                  arguments.redis, list(extra_options))
    peer.start()
    try:
        if arguments.ours_port:
            return peer, Server("ours", arguments.ours_port)
        ours = Server("ours", free_port(peer.port + 1, arguments.last_port), arguments.server,
                      ["--appendfsync", "everysec", *extra_options,
                       *shlex.split(arguments.ours_options)])
        return peer, ours.start()
    except BaseException:
        peer.stop()
        raise


def find_redis():
    """Debian's redis-server, wherever PATH has it."""
    return shutil.which("redis-server") or "/usr/bin/redis-server"


def add_server_arguments(parser):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--server", default=os.path.join(root, "build", "redynamo-server"),
                        help="the server under test (default: build/redynamo-server)")
    parser.add_argument("--ours-port", type=int, default=0,
                        help="compare with a server that already runs on this port")
    parser.add_argument("--ours-options", default="",
                        help="more options for the server under test, e.g. '--io-threads 2'")
    parser.add_argument("--redis", default=find_redis(), help="the redis-server to compare with")
    parser.add_argument("--first-port", type=int, default=7400)
    parser.add_argument("--last-port", type=int, default=7499)
