# SPDX-License-Identifier: Apache-2.0
"""Clients that behave badly, or are many: each is answered as Redis answers, others do not notice,
and nothing is leaked. Every test runs with the data thread owning the sockets and with I/O threads.
"""
import contextlib
import os
import resource
import socket
import struct
import threading

from support import Client, ReplyError, Scratch, Server, encode, expect, wait_until

IDLE_CLIENTS = 10_000
MIB = 1 << 20
# Pools of buffers that are kept for the next use: of the data thread, and of each I/O thread.
POOL_BYTES_MAX, POOL_BYTES_PER_THREAD_MAX = 2 * MIB, 2 * MIB
BULK_MAX = 512 * MIB
ERROR = "ERR Protocol error: "


class Steady(threading.Thread):
    """A client that must be answered, and rightly, all the while."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client = Client(port)
        self.rounds, self.wrong = 0, None
        self.stop = threading.Event()

    def run(self):
        try:
            while not self.stop.is_set():
                self.client.send(*[("INCR", "steady")] * 20, ("ECHO", self.rounds))
                replies = [self.client.read() for _ in range(21)]
                first = self.rounds * 20 + 1
                if replies != [*range(first, first + 20), b"%d" % self.rounds]:
                    self.wrong = f"round {self.rounds}: {replies}"
                    return
                self.rounds += 1
        except OSError as error:
            self.wrong = f"round {self.rounds}: {error!r}"
        finally:
            self.client.close()


def info(client, field):
    text = client.call("INFO", "everything").decode()
    return int(next(line.split(":")[1] for line in text.splitlines()
                    if line.startswith(field + ":")))


def open_files(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


@contextlib.contextmanager
def unharmed(threads, *options):
    """A server with a steady client; at the end everything must be as it was before."""
    options = ("--io-threads", threads, "--checkpoint-interval", 3600, *options)
    pools = POOL_BYTES_MAX + (threads - 1) * POOL_BYTES_PER_THREAD_MAX
    with Scratch("network") as scratch, Server(scratch, options) as server:
        server.start()
        with server.client() as watcher:
            steady = Steady(server.port)
            steady.start()
            wait_until(lambda: steady.rounds > 20 or steady.wrong, 20, "the steady client")
            files, memory = open_files(server), info(watcher, "used_memory")
            yield server, watcher
            seen = steady.rounds
            wait_until(lambda: steady.rounds > seen + 1 or steady.wrong, 20, "the steady client")
            wait_until(lambda: info(watcher, "connected_clients") == 2, 20, "clients that go")
            wait_until(lambda: open_files(server) <= files + 4, 20,  # the log may have grown
                       f"{files} open files as before instead of {open_files(server)}")
            wait_until(lambda: info(watcher, "used_memory") < memory + pools, 20,
                       f"{memory} bytes as before")
            steady.stop.set()
            steady.join(20)
            expect(not steady.wrong, f"the steady client: {steady.wrong}")


def connect(server):
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def read_all(raw):
    """What comes until the connection ends, in whichever way."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while part := raw.recv(1 << 16):
            data += part
    return data


def idle(threads):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE_CLIENTS, hard - 1500)
    try:
        with unharmed(threads, "--maxclients", count + 10) as (server, watcher):
            before = info(watcher, "used_memory")
            clients = [connect(server) for _ in range(count)]
            for raw in clients[::10]:
                raw.sendall(b"PING\r\n")
            for raw in clients[::10]:
                expect(raw.recv(100) == b"+PONG\r\n", "an idle client was not answered")
            connected = info(watcher, "connected_clients")
            expect(connected == count + 2, f"{connected} clients instead of {count + 2}")
            each = (info(watcher, "used_memory") - before) // count
            expect(each < 4096, f"an idle client costs {each} bytes")
            for raw in clients:
                raw.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return f"{count} clients of {each} bytes"


def flood(threads):
    limit, connects = 60, 1500
    text = b"-ERR max number of clients reached\r\n"
    with unharmed(threads, "--maxclients", limit) as (server, watcher):
        held, refused = [], 0
        for _ in range(connects):
            raw = connect(server)
            if len(held) < limit - 2:
                raw.sendall(b"PING\r\n")
                expect(raw.recv(100) == b"+PONG\r\n", "no PONG below the limit")
                held.append(raw)
                continue
            refused += 1
            answer = read_all(raw)
            expect(answer == text, f"beyond the limit came {answer}")
            raw.close()
        counted = info(watcher, "rejected_connections")
        expect(counted == refused, f"{counted} rejected instead of {refused}")
        for raw in held:
            raw.close()
        wait_until(lambda: info(watcher, "connected_clients") == 2, 20, "clients that go")
        with server.client() as again:
            expect(again.call("PING") == "PONG", "no place is free afterwards")
    return f"{refused} refused"


def silent(threads):
    value = b"v" * 100_000
    with unharmed(threads, "--client-output-buffer-limit", "normal 8mb 0 0 pubsub 2mb 0 0") as (
            server, watcher):
        expect(watcher.call("SET", "value", value) == "OK", "SET")
        reader, listener = connect(server), connect(server)
        with contextlib.suppress(ConnectionError):
            reader.sendall(encode(("GET", "value")) * 500)
        listener.sendall(encode(("SUBSCRIBE", "news")))
        expect(b"subscribe" in listener.recv(100), "SUBSCRIBE")
        wait_until(lambda: watcher.call("PUBLISH", "news", value) == 0 or None, 30,
                   "the listener's end")
        wait_until(lambda: info(watcher, "client_output_buffer_limit_disconnections") == 2, 20,
                   "both clients over their limit")
        for raw in (reader, listener):
            expect(len(read_all(raw)) < 500 * len(value), "all came, though nothing was read")
            raw.close()
        watcher.call("DEL", "value")
    return ""


def huge_values(threads):
    chunk = bytes(range(256)) * 4096  # a MiB
    options = ("--appendfsync", "everysec", "--checkpoint-log-bytes", "8gb")
    with unharmed(threads, *options) as (server, watcher), server.client() as client:
        client.socket.settimeout(120)
        client.socket.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % BULK_MAX)
        for _ in range(BULK_MAX // MIB):
            client.socket.sendall(chunk)
        client.socket.sendall(b"\r\n")
        expect(client.read() == "OK", "SET of 512 MB")
        expect(watcher.call("STRLEN", "huge") == BULK_MAX, "STRLEN")
        client.send(("GET", "huge"))
        expect(client.file.readline() == b"$%d\r\n" % BULK_MAX, "GET of 512 MB")
        for at in range(BULK_MAX // MIB):
            expect(client.file.read(MIB) == chunk, f"GET: wrong bytes in MiB {at}")
        expect(client.file.read(2) == b"\r\n", "GET: the end")
        reply = client.call("APPEND", "huge", "x")
        expect(isinstance(reply, ReplyError) and "exceeds maximum allowed size" in reply,
               f"APPEND beyond 512 MB: {reply}")
        expect(client.call("DEL", "huge") == 1, "DEL")
        client.send(("PING",))
        expect(client.read() == "PONG", "PING")
        client.socket.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (BULK_MAX + 1))
        expect(client.read() == ERROR + "invalid bulk length", "a bulk beyond 512 MB")
    return ""


def malformed(threads):
    cases = [(b"*1\r\n$-1\r\n", "invalid bulk length"),
             (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
             (b"*99999999999999999999\r\n", "invalid multibulk length"),
             (b"*2147483648\r\n", "invalid multibulk length"),
             (b"*1" * 40_000, "too big mbulk count string"),
             (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
             (b"x" * 70_000, "too big inline request"),
             (b"SET k 'open\r\n", "unbalanced quotes in request"),
             (b"*1\r\nPING\r\n", "expected '$', got 'P'")]
    halves = [b"*2\r\n$4\r\nECHO\r\n$9\r\nhal", b"*3\r\n$3\r\nSET\r\n", b"PIN", b"*5\r",
              b"*2\r\n$4\r\nECHO\r\n$400000000\r\nhal", b"*2147483647\r\n$4\r\nECHO\r\n"]
    with unharmed(threads) as (server, watcher):
        for round_ in range(20):
            for request, text in cases:
                raw = connect(server)
                with contextlib.suppress(ConnectionError):
                    raw.sendall(b"PING\r\n" * round_ + request)
                answer, wanted = read_all(raw), f"-{ERROR}{text}\r\n".encode()
                # Input that is left unread makes the kernel reset, and that may eat the answer.
                expect(answer == b"+PONG\r\n" * round_ + wanted or
                       (len(request) > 65_536 and wanted.startswith(answer[7 * round_:])),
                       f"{request[:40]} got {answer[-100:]}, not {wanted}")
                raw.close()
            for request in halves:
                raw = connect(server)
                raw.sendall(b"PING\r\n" * round_ + request)
                raw.shutdown(socket.SHUT_WR)
                answer = read_all(raw)
                expect(answer == b"+PONG\r\n" * round_, f"{request} got {answer[-100:]}")
                raw.close()
            resets(server, halves)
    return f"{20 * (len(cases) + 2 * len(halves))} connections"


def resets(server, requests):
    """Clients that vanish in the middle of a request."""
    for request in requests:
        raw = connect(server)
        raw.sendall(request)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()


def input_limit(threads):
    with unharmed(threads, "--client-query-buffer-limit", "2mb") as (server, watcher):
        raw = connect(server)
        with contextlib.suppress(ConnectionError):
            raw.sendall(b"*2\r\n$4\r\nECHO\r\n$100000000\r\n" + b"x" * (8 * MIB))
        expect(read_all(raw) == b"", "an answer to half a request")
        raw.close()
        closed = info(watcher, "client_query_buffer_limit_disconnections")
        expect(closed == 1, f"{closed} clients closed for their input")
    return ""


SUBJECTS = [("10,000 idle clients", idle), ("a flood of connects beyond maxclients", flood),
            ("clients that never read", silent), ("values of 512 MB", huge_values),
            ("malformed and half requests", malformed),
            ("input beyond client-query-buffer-limit", input_limit)]
TESTS = [(f"network: {name}, io-threads {threads}",
          lambda test=test, threads=threads: test(threads))
         for name, test in SUBJECTS for threads in (1, 4)]
