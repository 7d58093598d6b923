# SPDX-License-Identifier: Apache-2.0
"""Kills the server at random moments under concurrent writers, restarts it, and checks everything.

Data stays between rounds, so recovery, checkpoints and page-out mix as they do in a long life.
Options vary from round to round; some starts are killed before they are ready.
"""
import random
import signal
import subprocess
import threading

from history import FAR_FUTURE_MS, History, SharedCounter, commands_of, count_faults
from support import Failure, Scratch, Server, let_run

WRITERS = 6
KEYS_PER_KIND = 120
PIPELINE_MAX = 24
ROUND_SECONDS = (.05, .6)
# Collections of a few elements are sparse, and page-out takes elements.
SPARSE = ["--large-collection-entries", "4", "--hash-max-listpack-entries", "2",
          "--set-max-listpack-entries", "2", "--set-max-intset-entries", "2",
          "--maxmemory", "16mb", "--checkpoint-log-bytes", "256kb", "--warm-up", "no"]
VARIANTS = [[], ["--io-threads", "4"], ["--checkpoint-interval", "1"],
            ["--maxmemory", "48mb"], ["--warm-up", "no"],
            ["--checkpoint-log-bytes", "1mb", "--checkpoint-interval", "1"], SPARSE]


class Writer(threading.Thread):
    """Sends batches until the connection breaks or it is told to stop."""

    def __init__(self, history, shared, lock, port, seed):
        super().__init__(daemon=True)
        self.history = history
        self.shared = shared
        self.lock = lock
        self.port = port
        self.rng = random.Random(seed)
        self.stop = threading.Event()
        self.error = None

    def run(self):
        from support import Client
        try:
            with Client(self.port) as client:
                while not self.stop.is_set():
                    self.batch(client)
        except OSError:
            pass  # the server is gone, as it should be
        except Exception as error:  # anything else must reach the main thread
            self.error = error

    def batch(self, client):
        operations = [self.operation() for _ in range(self.rng.randint(1, PIPELINE_MAX))]
        counter = self.rng.choice(self.shared)
        self.history.sent(operations)
        with self.lock:
            counter.sent += 1
        client.send(*[words for operation in operations for words in commands_of(operation)],
                    ("INCR", counter.key))
        for operation in operations:
            if operation[0] == "MULTI":
                reply = [client.read() for _ in range(len(operation[1]) + 2)]
            else:
                reply = client.read()
            self.history.acknowledge(reply)
        if not isinstance(client.read(), int):
            self.history.faults.append(f"{counter.key!r}: INCR was refused")
            return
        with self.lock:
            counter.acknowledged += 1

    def key(self, kind):
        return f"{self.history.name}:{kind}:{self.rng.randrange(KEYS_PER_KIND)}".encode()

    def value(self):
        size = self.rng.choice([0, 1, 10, 100, 100, 100, 900, 5000])
        if self.rng.random() < .004:
            size = 300_000
        return self.rng.randbytes(size)

    def member(self):
        return b"m%d" % self.rng.randrange(200)

    def operation(self):
        if self.rng.random() < .12:
            return ("MULTI", [self.simple() for _ in range(self.rng.randint(1, 6))])
        return self.simple()

    def simple(self):
        dice = self.rng.random()
        if dice < .34:
            return ("SET", self.key("s"), self.value())
        if dice < .50:
            return ("INCR", self.key("c"))
        if dice < .64:
            pairs = [part for _ in range(self.rng.randint(1, 4))
                     for part in (self.member(), self.rng.randbytes(20))]
            return ("HSET", self.key("h"), *pairs)
        if dice < .70:
            return ("HDEL", self.key("h"), self.member(), self.member())
        if dice < .80:
            return ("SADD", self.key("t"), *{self.member() for _ in range(3)})
        if dice < .85:
            return ("SREM", self.key("t"), self.member())
        if dice < .875:
            return ("APPEND", self.key("s"), self.rng.choice([b"tail", b"long tail" * 300]))
        if dice < .90:  # long strings change by fragments
            return ("SETRANGE", self.key("s"), self.rng.randrange(20_000), b"part")
        if dice < .935:
            return ("PEXPIREAT", self.key(self.rng.choice("scht")),
                    FAR_FUTURE_MS + self.rng.randrange(1000))
        return ("DEL", self.key(self.rng.choice("scht")))


def read_state(client, keys):
    """key -> [kind, value, deadline] of every key given, as the server holds it."""
    keys = sorted(keys)
    reads = {"s": "GET", "c": "GET", "h": "HGETALL", "t": "SMEMBERS"}
    kinds = [key.split(b":")[1].decode() for key in keys]
    values = client.pipeline([(reads[kind], key) for kind, key in zip(kinds, keys)], 200)
    deadlines = client.pipeline([("PEXPIRETIME", key) for key in keys])
    state = {}
    for key, kind, value, deadline in zip(keys, kinds, values, deadlines):
        if kind == "h" and isinstance(value, list):
            value = dict(zip(value[::2], value[1::2]))
        elif kind == "t" and isinstance(value, list):
            value = set(value)
        state[key] = ["s" if kind == "c" else kind, value, None if deadline == -1 else deadline]
    return state


class CrashRun:
    def __init__(self, scratch, fsync, seed):
        self.rng = random.Random(seed)
        self.server = Server(scratch, ["--appendfsync", fsync])
        self.histories = [History(f"w{number}") for number in range(WRITERS)]
        self.shared = [SharedCounter(b"shared:%d" % number) for number in range(3)]
        self.lock = threading.Lock()
        self.checkpoints = 0

    def round(self, number):
        writers = [Writer(history, self.shared, self.lock, self.server.port,
                          self.rng.getrandbits(60)) for history in self.histories]
        for writer in writers:
            writer.start()
        length = self.rng.uniform(*ROUND_SECONDS)
        if self.rng.random() < .4:
            first = self.rng.uniform(0, length)
            let_run(first)
            self.checkpoint()
            length -= first
        let_run(length)
        self.server.kill()
        for writer in writers:
            writer.join(30)
            if writer.is_alive():
                raise Failure("a writer hangs although the server is gone")
            if writer.error:
                raise writer.error
        self.restart()
        self.check(number)

    def checkpoint(self):
        with self.server.client() as client:
            reply = client.call("BGSAVE")
        if not isinstance(reply, str) or "ackground sav" not in reply:
            raise Failure(f"BGSAVE answered {reply!r}")
        self.checkpoints += 1

    def restart(self):
        """Sometimes the start itself is killed, once or twice."""
        options = self.rng.choice(VARIANTS)
        while self.rng.random() < .2:
            self.server.launch(*options)
            try:
                self.server.process.wait(self.rng.uniform(0, .4))
                raise Failure("the server ended by itself:\n" + self.server.log()[-2000:])
            except subprocess.TimeoutExpired:
                self.server.process.send_signal(signal.SIGKILL)
                self.server.process.wait()
        self.server.start(*options)

    def check(self, number):
        with self.server.client() as client:
            dbsize = client.call("DBSIZE")
            scanned = client.scan_all()
            own = {history.name.encode(): set() for history in self.histories}
            for key in scanned:
                own.setdefault(key.split(b":")[0], set()).add(key)
            faults, known = [], set()
            for history in self.histories:
                # Keys that SCAN forgot would be taken for lost: ask for those by name as well.
                asked = own[history.name.encode()] | set(history.state)
                found = read_state(client, asked)
                found = {key: entry for key, entry in found.items()
                         if entry[1] not in (None, {}, set())}
                faults += history.settle(found)
                known |= set(found)
            for counter in self.shared:
                value = client.call("GET", counter.key)
                faults += counter.settle(int(value or 0))
                known |= {counter.key} if value is not None else set()
        faults += count_faults(dbsize, scanned, known)
        if faults:
            raise Failure(f"round {number}: " + "\n     ".join(faults[:12]))


def crash_rounds(fsync, rounds, seed):
    """A line of figures when all rounds were right."""
    with Scratch(f"crash-{fsync}") as scratch:
        run = CrashRun(scratch, fsync, seed)
        try:
            run.server.start()
            for number in range(rounds):
                run.round(number)
        finally:
            run.server.kill()
        answered = sum(history.acknowledged_count for history in run.histories)
        if answered < rounds:
            raise Failure(f"only {answered} operations were answered in {rounds} rounds")
        return (f"{rounds} kills, {run.server.starts} starts, {run.checkpoints} checkpoints asked "
                f"for, {answered} operations answered")
