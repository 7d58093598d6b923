# SPDX-License-Identifier: Apache-2.0
"""What bad luck gets: stops by signal, wrong options, a directory in use, damage, full disks and
clocks that jump. Each test is a function that gives a short note, or raises Failure or Skipped."""
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

from support import (BINARY, Client, Failure, ReplyError, Scratch, Server, Skipped, encode,
                     expect, log_segments, wait_until)

EXIT_START_REFUSED, EXIT_USAGE, EXIT_DATA_DAMAGED = 1, 64, 78
HERE = os.path.dirname(os.path.abspath(__file__))


def fill(client, count, prefix="k", size=100):
    """SETs prefix0 ... with values that name their key."""
    replies = client.pipeline([("SET", f"{prefix}{n}", value_of(prefix, n, size))
                               for n in range(count)])
    expect(all(reply == "OK" for reply in replies), f"SET answered {set(map(str, replies))}")


def value_of(prefix, number, size=100):
    return f"{prefix}{number}:".encode().ljust(size, b".")


def check_filled(client, count, prefix="k", size=100):
    values = client.pipeline([("GET", f"{prefix}{n}") for n in range(count)])
    wrong = [n for n, value in enumerate(values) if value != value_of(prefix, n, size)]
    expect(not wrong, f"{len(wrong)} of {count} values are wrong, first {prefix}{wrong[:3]}: "
                      f"{values[wrong[0]] if wrong else ''!r:.100}")


class Flood(threading.Thread):
    """SETs numbered keys one after another, and knows how many were answered OK."""

    def __init__(self, port, size=100):
        super().__init__(daemon=True)
        self.port, self.size = port, size
        self.answered = 0
        self.refusals = []
        self.stop = threading.Event()

    def run(self):
        try:
            with Client(self.port) as client:
                while not self.stop.is_set():
                    numbers = range(self.answered, self.answered + 20)
                    client.send(*[("SET", f"flood{n}", value_of("flood", n, self.size))
                                  for n in numbers])
                    for reply in [client.read() for _ in numbers]:
                        if reply == "OK" and not self.refusals:
                            self.answered += 1
                        elif reply != "OK":
                            self.refusals.append(reply)
                    if self.refusals:
                        return
        except OSError:
            pass


def orderly_stop():
    with Scratch("stop") as scratch, Server(scratch) as server:
        server.start()
        flood = Flood(server.port)
        flood.start()
        wait_until(lambda: flood.answered > 2000, 30, "traffic")
        code = server.terminate()
        flood.join(10)
        expect(code == 0, f"SIGTERM ended with {code}:\n{server.log()[-1500:]}")
        server.start()
        with server.client() as client:
            check_filled(client, flood.answered, "flood")
        server.process.send_signal(signal.SIGINT)
        expect(server.exit_code() == 0, "SIGINT did not end with 0")
        return f"{flood.answered} answered writes under the signal"


def shutdown_command():
    """With and without a checkpoint: nothing answered is lost, and the start shows which it was."""
    notes = []
    with Scratch("shutdown") as scratch, Server(scratch) as server:
        for words, replays in (("SHUTDOWN",), False), (("SHUTDOWN", "NOSAVE"), True):
            server.start()
            with server.client() as client:
                fill(client, 3000)
                try:
                    reply = client.call(*words)
                    raise Failure(f"{' '.join(words)} was answered {reply!r}")
                except ConnectionError:
                    pass
            expect(server.exit_code() == 0, f"{' '.join(words)} did not end with 0")
            server.start()
            with server.client() as client:
                check_filled(client, 3000)
                info = client.call("INFO", "redynamo").decode()
            server.terminate()
            replayed = int(info.partition("recovered_records:")[2].split()[0])
            expect((replayed > 0) == replays, f"{replayed} records replayed after {words}")
            notes.append(f"{' '.join(words)}: {replayed} records replayed")
    return "; ".join(notes)


def second_signal():
    """Two at once: the process must be gone in a moment, and nothing answered is lost."""
    with Scratch("second") as scratch, Server(scratch) as server:
        server.start()
        with server.client() as client:
            fill(client, 3000)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        code = server.exit_code(20)
        seconds = time.monotonic() - started
        server.start()
        with server.client() as client:
            check_filled(client, 3000)
        return f"exit code {code} after {seconds:.2f} s"


def directory_in_use():
    with Scratch("in-use") as scratch, Server(scratch) as first:
        first.start()
        os.makedirs(os.path.join(scratch, "second"))
        second = Server(os.path.join(scratch, "second"))
        second.data = first.data
        code, log = second.start_refused()
        expect(code == EXIT_START_REFUSED, f"exit code {code}:\n{log}")
        expect(first.data in log and "in use" in log, f"no reason in:\n{log}")
        with first.client() as client:
            expect(client.call("SET", "k", "v") == "OK", "the first server was disturbed")


def port_in_use():
    with Scratch("port") as scratch, Server(scratch) as first:
        first.start()
        os.makedirs(os.path.join(scratch, "second"))
        code, log = Server(os.path.join(scratch, "second"), port=first.port).start_refused()
        expect(code == EXIT_START_REFUSED, f"exit code {code}:\n{log}")
        expect(str(first.port) in log, f"the port is not named in:\n{log}")


def wrong_options():
    cases = [  # arguments or lines of a file, and what the message must contain
        (["--port", "abc"], None, ["port", "65535"]),
        (["--port", "70000"], None, ["port", "65535"]),
        (["--no-such-thing", "1"], None, ["no-such-thing"]),
        (["--appendfsync", "sometimes"], None, ["always", "everysec"]),
        ([], "port 7777\n\n# fine\nmaxmemory lots\n", ["line 4", "maxmemory lots"]),
        ([], "hz 10\nnonsense yes\n", ["line 2", "nonsense"]),
    ]
    with Scratch("options") as scratch:
        for number, (arguments, lines, wanted) in enumerate(cases):
            if lines is not None:
                path = os.path.join(scratch, f"{number}.conf")
                with open(path, "w") as file:
                    file.write(lines)
                arguments, wanted = [path], [*wanted, path]
            ended = subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, timeout=20,
                                   cwd=scratch, capture_output=True, text=True)
            said = ended.stdout + ended.stderr
            expect(ended.returncode == EXIT_USAGE, f"{arguments}: code {ended.returncode}\n{said}")
            for word in wanted:
                expect(word in said, f"{arguments}: no '{word}' in:\n{said}")
    return f"{len(cases)} wrong settings"


def last_written_byte(path):
    """Offset of the last byte that is not zero (segments are set aside in advance)."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0")) - 1


def written_segments(data):
    """Segments that hold more than their header."""
    return [path for path in log_segments(data) if last_written_byte(path) > 64]


def torn_tail():
    """The last record is damaged: it is cut with one line, and all before it are there."""
    with Scratch("torn") as scratch, Server(scratch) as server:
        for times, damage in enumerate((b"", b"\0\0\0\0", b"\xff")):
            server.start()
            with server.client() as client:
                fill(client, 300, f"r{times}-")
                expect(client.call("SET", "last", f"v{times}") == "OK", "SET last")
            server.kill()
            path = written_segments(server.data)[-1]
            with open(path, "r+b") as file:
                at = last_written_byte(path) - 3
                file.seek(at)
                file.write(damage or b"")
                if not damage:
                    file.truncate(at)
            server.start()
            cuts = [line for line in server.log().splitlines() if "cut the unfinished" in line]
            expect(len(cuts) == 1 and os.path.basename(path) in cuts[0],
                   f"not one line that tells of the cut in {path}:\n{server.log()}")
            with server.client() as client:
                check_filled(client, 300, f"r{times}-")
                expect(client.call("GET", "last") != f"v{times}".encode(), "cut, yet there")
                expect(client.call("SET", "last", "again") == "OK", "SET after the cut")
            server.kill()
            server.start()
            with server.client() as client:
                expect(client.call("GET", "last") == b"again", "written after the cut, and lost")
            server.kill()
    return "cut short, zeroed and garbled"


def corruption():
    """Damage before the tail refuses the start, and names file and place; salvage starts."""
    with Scratch("corrupt") as scratch, Server(scratch) as server:
        server.start()
        with server.client() as client:
            for n in range(400):  # one by one: many batches, so many know of earlier syncs
                expect(client.call("SET", f"k{n}", value_of("k", n)) == "OK", "SET")
        server.kill()
        path = written_segments(server.data)[0]
        with open(path, "r+b") as file:
            middle = last_written_byte(path) // 2
            file.seek(middle)
            byte = file.read(1)[0]
            file.seek(middle)
            file.write(bytes([byte ^ 0x55]))
        code, log = server.start_refused()
        expect(code == EXIT_DATA_DAMAGED, f"exit code {code}:\n{log}")
        expect(path in log or os.path.basename(path) in log, f"file not named in:\n{log}")
        named = [int(word) for word in log.replace(",", " ").split() if word.isdigit()]
        expect(any(middle - 300 <= number <= middle + 300 for number in named),
               f"no place near byte {middle} in:\n{log}")
        server.start("--log-salvage", "yes")
        with server.client() as client:
            values = client.pipeline([("GET", f"k{n}") for n in range(400)])
            kept = sum(value == value_of("k", n) for n, value in enumerate(values))
            expect(values[0], "the first record was not damaged")
            expect(kept >= 395, f"salvage kept {kept} of 400")
            expect(all(value in (None, value_of("k", n)) for n, value in enumerate(values)),
                   "salvage gave wrong values")
            # Until a checkpoint has what was kept, the damaged segment is needed.
            expect(client.call("SET", "k0", value_of("k", 0)) == "OK", "SET after salvage")
            expect("ackground sav" in str(client.call("BGSAVE")), "BGSAVE")
            wait_until(lambda: not os.path.exists(path), 60, "the damaged segment to go")
        server.kill()
        server.start()
        with server.client() as client:
            expect(client.call("DBSIZE") == kept, "after salvage, another start differs")
        return f"salvage kept {kept} of 400"


def half_commands_and_idle_start():
    """A client that dies within a command changes nothing; a kill right after a start neither."""
    with Scratch("half") as scratch, Server(scratch) as server:
        server.start()
        with server.client() as client:
            whole = encode(("SET", "half", "x" * 1000))
            client.send(("SET", "whole", "1"))
            client.socket.sendall(whole[:700])
            expect(client.read() == "OK", "SET")
        with server.client() as client:
            client.send(("MULTI",), ("SET", "half", "1"))
            expect([client.read(), client.read()] == ["OK", "QUEUED"], "MULTI")
        server.kill()
        for _ in range(3):
            server.start()
            server.kill()
        server.start()
        with server.client() as client:
            expect(client.scan_all() == {b"whole"}, f"found {client.scan_all()}")


class SmallDisk:
    """A tmpfs of its own, with a ballast file that can be taken away."""

    def __init__(self, scratch, disk_bytes, ballast_bytes):
        self.path = os.path.join(scratch, "disk")
        os.makedirs(self.path)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_bytes}", "tmpfs",
                                  self.path], capture_output=True, text=True)
        if mounted.returncode:
            raise Skipped(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
        self.ballast = os.path.join(self.path, "ballast")
        with open(self.ballast, "wb") as file:
            if ballast_bytes:
                os.posix_fallocate(file.fileno(), 0, ballast_bytes)

    def fill(self):
        """The ballast takes what is left."""
        with contextlib.suppress(OSError), open(self.ballast, "wb", buffering=0) as file:
            while file.write(bytes(1 << 20)):
                pass

    def make_room(self):
        os.unlink(self.ballast)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=False)


def full_disk():
    """Writes are refused with -MISCONF, reads go on, and writes resume when there is room."""
    megabyte = 1 << 20
    with Scratch("full") as scratch, SmallDisk(scratch, 420 * megabyte, 200 * megabyte) as disk:
        with Server(scratch, ["--log-segment-bytes", "16mb"]) as server:
            server.data = os.path.join(disk.path, "data")
            os.makedirs(server.data)
            server.start()
            flood = Flood(server.port, size=20_000)
            flood.start()
            wait_until(lambda: flood.refusals or not flood.is_alive(), 120, "the disk to be full")
            expect(flood.refusals, f"the server went away:\n{server.log()[-1500:]}")
            refusal = flood.refusals[0]
            expect(isinstance(refusal, ReplyError) and refusal.startswith("MISCONF"),
                   f"a full disk was answered with {refusal!r}")
            with server.client() as client:
                check_filled(client, flood.answered, "flood", 20_000)
                expect(client.call("PING") == "PONG", "PING")
                disk.make_room()
                wait_until(lambda: client.call("SET", "after", "room") == "OK", 30,
                           "writes to resume when there is room again")
                fill(client, 500, "later")
            server.kill()
            server.start()
            with server.client() as client:
                check_filled(client, flood.answered, "flood", 20_000)
                check_filled(client, 500, "later")
                expect(client.call("GET", "after") == b"room", "lost after the disk was full")
            expect(server.terminate() == 0, "no orderly stop after a full disk")
        return f"{flood.answered} writes of 20 kB, then: {refusal[:60]}"


def info_of(client, section="redynamo"):
    text = client.call("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def checkpoint_reserve():
    """With little disk left checkpoints are put off, with one line, while writes go on until the
    log has no room; with room again both go on by themselves."""
    megabyte = 1 << 20
    with Scratch("reserve") as scratch, SmallDisk(scratch, 400 * megabyte, 250 * megabyte) as disk:
        options = ["--log-segment-bytes", "8mb", "--checkpoint-log-bytes", "40mb"]
        with Server(scratch, options) as server:
            server.data = os.path.join(disk.path, "data")
            os.makedirs(server.data)
            server.start()
            written = 0

            def write(client):
                nonlocal written
                replies = client.pipeline([("SET", f"k{n}", value_of("k", n, 20_000))
                                           for n in range(written, written + 20)])
                answered = [reply == "OK" for reply in replies]
                written += answered.index(False) if False in answered else len(replies)
                return None if all(answered) else replies[answered.index(False)]

            with server.client() as client:
                while info_of(client)["checkpoint_put_off_for_space"] == "0":
                    refusal = write(client)
                    wait_until(lambda: info_of(client)["checkpoint_in_progress"] == "0", 60,
                               "the checkpoint under way")
                    expect(refusal is None, f"full before a checkpoint was put off: {refusal!r}")
                put_off_at = written
                save = client.call("SAVE")
                expect(isinstance(save, ReplyError) and "put off" in save, f"SAVE: {save!r}")
                refusal = None
                while refusal is None:
                    refusal = write(client)
                expect(refusal.startswith("MISCONF"), f"full: {refusal!r}")
                expect(written > put_off_at + 100, "writes did not go on without checkpoints")
                lines = server.log().count("checkpoint put off")
                expect(lines == 1, f"{lines} lines tell that a checkpoint was put off")
                before = int(info_of(client)["checkpoints"])
                disk.make_room()
                wait_until(lambda: int(info_of(client)["checkpoints"]) > before, 60,
                           "a checkpoint once there is room")
                expect(info_of(client)["checkpoint_put_off_for_space"] == "0", "still put off")
                wait_until(lambda: client.call("SET", "after", "room") == "OK", 30, "writes")
                check_filled(client, written, "k", 20_000)
            server.kill()
            server.start()
            with server.client() as client:
                check_filled(client, written, "k", 20_000)
                expect(client.call("GET", "after") == b"room", "lost after the disk was full")
        return f"put off after {put_off_at} writes of 20 kB, full after {written}"


def full_disk_from_the_start():
    """No room for the very first segment: a clear refusal, no crash; with room it starts."""
    megabyte = 1 << 20
    with Scratch("tight") as scratch, SmallDisk(scratch, 40 * megabyte, 39 * megabyte) as disk:
        with Server(scratch, ["--log-segment-bytes", "4mb"]) as server:
            server.data = os.path.join(disk.path, "data")
            os.makedirs(server.data)
            server.launch()
            wait_until(lambda: server.process.poll() is not None
                       or "Ready to accept" in server.log(), 30, "a start or a refusal")
            if server.process.poll() is None:
                with server.client() as client:
                    reply = client.call("SET", "k", "v" * 100)
                expect(isinstance(reply, ReplyError) and reply.startswith("MISCONF"),
                       f"no room for a log, and SET answers {reply!r}")
                note = "started, writes refused"
            else:
                expect(server.process.returncode > 0, f"died of {server.process.returncode}")
                expect("space" in server.log(), f"no reason in:\n{server.log()}")
                note = f"refused with {server.process.returncode}"
            server.kill()
            disk.make_room()
            server.start()
            with server.client() as client:
                fill(client, 100)
        return note


def clock_library(scratch):
    """A preloaded library whose wall clock is ahead by what the file $CLOCK_OFFSET says."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
    if not compiler:
        raise Skipped("no C compiler for the library that moves the clock")
    path = os.path.join(scratch, "clock.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-x", "c",
                    os.path.join(HERE, "clock_offset.c"), "-o", path, "-ldl"], check=True)
    return path


def clock_jump():
    """The wall clock jumps a day ahead and back: deadlines follow it, nothing hangs or is lost."""
    with Scratch("clock") as scratch:
        offset = os.path.join(scratch, "offset")
        env = {"LD_PRELOAD": clock_library(scratch), "CLOCK_OFFSET": offset}
        set_offset(offset, 0)
        with Server(scratch, env=env) as server:
            server.start()
            with server.client() as client:
                fill(client, 200)
                expect(client.call("SET", "hour", "1", "EX", 3600) == "OK", "SET EX")
                expect(client.call("SET", "week", "1", "EX", 7 * 86400) == "OK", "SET EX")
                set_offset(offset, 86400)
                wait_until(lambda: client.call("GET", "hour") is None, 10,
                           "a key of one hour to expire after a day")
                expect(5 * 86400 < client.call("TTL", "week") <= 6 * 86400, "TTL a day later")
                expect(client.call("SET", "ahead", "1") == "OK", "SET a day ahead")
                set_offset(offset, 0)
                wait_until(lambda: client.call("TTL", "week") > 6 * 86400, 10, "the clock back")
                expect(client.call("GET", "hour") is None, "an expired key came back")
                expect(client.call("SET", "ahead", "2") == "OK", "SET after the jump back")
                expect(client.call("GET", "ahead") == b"2", "an older clock won")
                check_filled(client, 200)
            server.kill()
            set_offset(offset, -86400)
            server.start()
            with server.client() as client:
                expect(client.call("GET", "ahead") == b"2", "the last write lost by the clock")
                expect(client.call("SET", "ahead", "3") == "OK", "SET a day behind")
                check_filled(client, 200)
            server.kill()
            set_offset(offset, 0)
            server.start()
            with server.client() as client:
                expect(client.call("GET", "ahead") == b"3", "a write of a slow clock is lost")
                expect(client.call("DBSIZE") == 202, f"DBSIZE {client.call('DBSIZE')}")
        return "one day ahead, back, and one behind over restarts"


def set_offset(path, seconds):
    with open(path + ".new", "w") as file:
        file.write(str(seconds))
    os.rename(path + ".new", path)


TESTS = [
    ("stop: SIGTERM and SIGINT end with 0 and lose nothing answered", orderly_stop),
    ("stop: SHUTDOWN with and without a checkpoint loses nothing answered", shutdown_command),
    ("stop: a second signal ends at once", second_signal),
    ("start: a directory in use is refused", directory_in_use),
    ("start: a port in use is refused", port_in_use),
    ("start: wrong settings are refused with place, value and range", wrong_options),
    ("clients: half a command and an open MULTI leave nothing", half_commands_and_idle_start),
    ("log: a torn tail is cut with one line", torn_tail),
    ("log: damage before the tail refuses the start; salvage starts", corruption),
    ("disk: full, writes refused, reads go on, writes resume", full_disk),
    ("disk: checkpoints keep a reserve, and are put off without it", checkpoint_reserve),
    ("disk: full from the start", full_disk_from_the_start),
    ("clock: jumps of a day", clock_jump),
]
