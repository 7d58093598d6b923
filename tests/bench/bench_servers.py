# SPDX-License-Identifier: Apache-2.0
"""The two servers under comparison, filled and driven alike."""
import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.environ.get("REDYNAMO_SERVER", os.path.join(ROOT, "build", "redynamo-server"))
PORTS = {"redis": int(os.environ.get("BENCH_PORT", 7591)),
         "ours": int(os.environ.get("BENCH_PORT", 7591)) + 1}
SERVER_CORE, LOAD_CORE = "0", "1"
START_SECONDS_MAX = 600
MIB = 1 << 20


def wait_until(condition, seconds, step_seconds=.005):
    """Whether condition() became true in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(step_seconds)
    return True


class Server:
    """One server process in a directory of its own, pinned to a core, or to `cores`."""

    def __init__(self, kind, fsync, *options, cores=SERVER_CORE):
        self.cores = cores
        self.kind, self.fsync, self.options = kind, fsync, options
        self.port = PORTS[kind]
        self.dir = tempfile.mkdtemp(prefix=f"bench_{kind}_", dir=os.environ.get("BENCH_DIR"))
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", self.port)) == 0:
                sys.exit(f"port {self.port} is in use; BENCH_PORT names another one")
        atexit.register(self.remove)
        self.start()

    def start(self):
        """Starts, and gives the seconds until the first answer."""
        command = ["taskset", "-c", self.cores, OURS]
        if self.kind == "redis":
            command = ["taskset", "-c", self.cores, "redis-server", "--appendonly", "yes",
                       "--save", ""]
        command += ["--port", str(self.port), "--dir", self.dir, "--appendfsync", self.fsync,
                    *self.options]
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        if not wait_until(self.answers, START_SECONDS_MAX):
            sys.exit(f"{self.kind} did not start in {START_SECONDS_MAX} s")
        return time.monotonic() - started

    def answers(self):
        """True once a GET is answered with something that is not -LOADING."""
        if self.process.poll() is not None:
            sys.exit(f"{self.kind} did not start: exit code {self.process.returncode}")
        try:
            return self.command("GET", "no-such-key").startswith("$")
        except OSError:
            return False

    def command(self, *words):
        """The first line of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=600) as s:
            s.sendall(b"".join([b"*%d\r\n" % len(words)] +
                               [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]))
            return s.makefile("rb").readline().decode().strip()

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def disk_bytes(self):
        return int(subprocess.check_output(["du", "-s", "-B1", self.dir]).split()[0])

    def info(self, field):
        """A number of INFO."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=600) as s:
            s.sendall(b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n")
            reader = s.makefile("rb")
            text = reader.read(int(reader.readline()[1:])).decode()
        return int(re.search(rf"^{field}:(\d+)", text, re.M).group(1))

    def wait_settled(self, seconds_max, quiet_seconds=75):
        """Waits until the directory has not shrunk for a while, longer than a checkpoint takes to
        come by itself. Gives after how many seconds it had the size that it kept."""
        begin = last_change = time.monotonic()
        least = self.disk_bytes()

        def quiet():
            nonlocal least, last_change
            used = self.disk_bytes()
            if used < least:
                least, last_change = used, time.monotonic()
            return time.monotonic() - last_change > quiet_seconds

        wait_until(quiet, seconds_max, step_seconds=1)
        return last_change - begin

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def finish_background_work(self, seconds_max=120):
        """Redis rewrites its AOF, we checkpoint, and either is waited for: until the process has
        nothing to do any more, compactions included."""
        self.command("BGREWRITEAOF")
        before = -1.0

        def idle():
            nonlocal before
            now = self.cpu_seconds()
            quiet, before = now - before < .05, now
            return quiet and self.info("aof_rewrite_in_progress") == 0

        wait_until(idle, seconds_max, step_seconds=.5)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.resume()
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
        atexit.unregister(self.remove)


def benchmark(port, pipeline, requests, *arguments, connections=50):
    """One redis-benchmark run: requests a second and latencies in ms.

    The latencies come from its full report: its CSV stops at p99. It records percentiles by
    halving what is left, so p99.9 is the entry at 99.902 %.
    """
    command = ["taskset", "-c", LOAD_CORE, "redis-benchmark", "-p", str(port), "-c",
               str(connections), "-P", str(pipeline), "-n", str(requests), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    rate = re.search(r"throughput summary: ([\d.]+) requests per second", ended.stdout)
    if ended.returncode or not rate:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stdout[-500:]}{ended.stderr[-500:]}")
    steps = [(float(percent), float(ms)) for percent, ms in
             re.findall(r"^([\d.]+)% <= ([\d.]+) milliseconds",
                        ended.stdout.split("Cumulative distribution")[0], re.M)]
    figures = {"rps": float(rate.group(1)), "max_ms": steps[-1][1]}
    summary = re.search(r"avg +min +p50 +p95 +p99 +max\s+([\d. ]+)", ended.stdout)
    columns = [float(word) for word in summary.group(1).split()]
    figures["p50_ms"], figures["p99_ms"] = columns[2], columns[4]
    figures["p999_ms"] = next((ms for percent, ms in steps if percent >= 99.9), steps[-1][1])
    return figures


def feed(server, chunks):
    """Sends raw commands through redis-cli --pipe, the quickest way in."""
    pipe = subprocess.Popen(["redis-cli", "-p", str(server.port), "--pipe"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL)
    for chunk in chunks:
        pipe.stdin.write(chunk)
    pipe.stdin.close()
    if pipe.wait():
        sys.exit(f"filling {server.kind} failed")


def fill_strings(server, keys, value_bytes=100):
    """Exactly `keys` keys of 16 bytes, named as redis-benchmark names them."""
    value = b"v" * value_bytes
    feed(server, (b"".join(
        b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n" % (i, value_bytes, value)
        for i in range(start, min(start + 10_000, keys))) for start in range(0, keys, 10_000)))


def collection_command(name, i):
    """The i-th command that fills one set, one hash, or many hashes of ten fields."""
    if name == "set":
        return b"*3\r\n$4\r\nSADD\r\n$5\r\nmyset\r\n$16\r\nmem:%012d\r\n" % i
    if name == "hash":
        return b"*4\r\n$4\r\nHSET\r\n$6\r\nmyhash\r\n$16\r\nfld:%012d\r\n$8\r\n12345678\r\n" % i
    return b"*22\r\n$4\r\nHSET\r\n$14\r\nh:%012d\r\n" % i + b"".join(
        b"$6\r\nfield%d\r\n$10\r\nvalue%05d\r\n" % (f, i % 100000) for f in range(10))


def fill_collection(server, name, members):
    feed(server, (b"".join(collection_command(name, i)
                           for i in range(start, min(start + 10_000, members)))
                  for start in range(0, members, 10_000)))
