# SPDX-License-Identifier: Apache-2.0
"""Malformed and unusual protocol input: raw bytes in, raw bytes out, and whether it closes.

Each case is a name and the chunks to send; chunks are sent one after the other, so that a case
can split a request anywhere. Both servers must answer the same bytes, and both must close the
connection or both leave it open.

Zero bytes in a header, an inline command or an error are left out: Redis handles those with C
string functions, and so waits for ever for the line's end, or cuts the error, which no client can
want.
"""

import re
import select
import socket
import time

import servers
from oracle import Pair
from resp import Connection, encode, escape, show_command

MAX_BULK = 512 * 1024 * 1024
OPEN_SECONDS = 0.15     # how long a connection must stay open to count as open
PING = b"*1\r\n$4\r\nPING\r\n"
MARK = encode([b"ECHO", b"still-here"])
MARK_REPLY = b"$10\r\nstill-here\r\n"
# Redis 7.2 names <proto> in this sentence, 7.0 does not (see differences.py, HELLO before AUTH).
HELLO_SENTENCE = (b"otherwise the HELLO <proto> AUTH", b"otherwise the HELLO AUTH")
# What HELLO says of the server itself.
HELLO_IDENTITY = re.compile(rb"\$7\r\nversion\r\n\$\d+\r\n[0-9.]+\r\n"
                            rb"(\$5\r\nproto\r\n:\d\r\n\$2\r\nid\r\n):\d+\r\n")

# name, chunks. A case whose connection stays open ends with MARK, so that nothing waits.
CASES = [
    # --- inline commands ---
    ("inline", [b"PING\r\n", MARK]),
    ("inline with line feed only", [b"PING\n", MARK]),
    ("inline with arguments", [b"SET inline-key value\r\nGET inline-key\r\n", MARK]),
    ("inline, many spaces", [b"   SET    inline-key \t  v  \r\n", MARK]),
    ("inline, quotes", [b'SET inline-key "a \\"b\\" \\x41\\n"\r\nGET inline-key\r\n', MARK]),
    ("inline, single quotes", [b"SET inline-key 'a \\' \\n b'\r\nGET inline-key\r\n", MARK]),
    ("inline, unbalanced double quote", [b'SET inline-key "abc\r\n']),
    ("inline, unbalanced single quote", [b"SET inline-key 'abc\r\n"]),
    ("inline, text after a closing quote", [b'SET inline-key "a"b\r\n']),
    ("inline, empty lines", [b"\r\n\r\n\n\r\nPING\r\n", MARK]),
    ("inline, only spaces", [b"    \r\n", MARK]),
    ("inline, empty quotes", [b'SET inline-key ""\r\nGET inline-key\r\n', MARK]),
    ("inline, empty command name", [b'""\r\n', MARK]),
    ("inline, unknown command", [b"NOSUCH a b\r\n", MARK]),
    ("inline, split anywhere", [b"PI", b"NG", b"\r", b"\n", MARK]),
    ("inline, binary", [b"ECHO \xff\xfe\r\n", MARK]),
    ("inline, carriage return inside", [b"ECHO a\rb\r\n", MARK]),
    ("inline, too long", [b"A" * 65537]),
    ("inline, long but allowed", [b"ECHO " + b"a" * 60000 + b"\r\n", MARK]),
    ("inline, too long after a good command", [PING, b"B" * 70000]),
    ("inline, an HTTP POST", [b"POST / HTTP/1.1\r\n\r\n"]),
    ("inline, an HTTP GET with Host", [b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"]),
    ("a POST command as array", [encode([b"POST", b"x"])]),
    ("a Host: command as array", [encode([b"host:", b"x"])]),
    # --- array headers ---
    ("ping", [PING, MARK]),
    ("empty array", [b"*0\r\n", MARK]),
    ("null array", [b"*-1\r\n", MARK]),
    ("negative array", [b"*-10\r\n", MARK]),
    ("array of a huge count", [b"*1048577\r\n"]),
    ("array of a count beyond 32 bits", [b"*4294967296\r\n"]),
    ("array of a count beyond 64 bits", [b"*99999999999999999999\r\n"]),
    ("array of int max", [b"*2147483647\r\n"]),
    ("array of int max plus one", [b"*2147483648\r\n"]),
    ("array without a count", [b"*\r\n"]),
    ("array of a word", [b"*abc\r\n"]),
    ("array of a number with a blank", [b"* 1\r\n$4\r\nPING\r\n"]),
    ("array of a number with a sign", [b"*+1\r\n$4\r\nPING\r\n"]),
    ("array of a number with zeros", [b"*01\r\n$4\r\nPING\r\n"]),
    ("array of minus zero", [b"*-0\r\n", MARK]),
    ("array of a float", [b"*1.0\r\n"]),
    ("array header ends with line feed only", [b"*1\n$4\r\nPING\r\n"]),
    ("array header too long", [b"*" + b"1" * 70000]),
    # --- bulk headers ---
    ("no dollar", [b"*1\r\n:4\r\nPING\r\n"]),
    ("no dollar, inline text", [b"*2\r\nPING\r\n"]),
    ("no dollar, high byte", [b"*1\r\n\xff4\r\n"]),
    ("no dollar, after a first good argument", [b"*2\r\n$4\r\nECHO\r\nxyz\r\n"]),
    ("nested array", [b"*1\r\n*1\r\n$4\r\nPING\r\n"]),
    ("negative bulk", [b"*1\r\n$-1\r\n"]),
    ("bulk without length", [b"*1\r\n$\r\n"]),
    ("bulk with a word", [b"*1\r\n$abc\r\n"]),
    ("bulk with a blank", [b"*1\r\n$ 4\r\nPING\r\n"]),
    ("bulk with a sign", [b"*1\r\n$+4\r\nPING\r\n"]),
    ("bulk with zeros", [b"*1\r\n$04\r\nPING\r\n"]),
    ("bulk length beyond 512 MB", [b"*1\r\n$%d\r\n" % (MAX_BULK + 1)]),
    ("bulk length beyond 64 bits", [b"*1\r\n$99999999999999999999\r\n"]),
    ("bulk header too long", [b"*1\r\n$" + b"1" * 70000]),
    ("bulk length too small", [b"*2\r\n$4\r\nECHO\r\n$2\r\nabcd\r\n", MARK]),
    ("bulk with other ends than CRLF", [b"*2\r\n$4\r\nECHO\r\n$3\r\nabcXX", MARK]),
    ("empty bulk as command", [b"*1\r\n$0\r\n\r\n", MARK]),
    ("empty bulk as argument", [b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", MARK]),
    ("command name with blanks", [encode([b"PING ", b"x"]), MARK]),
    ("command name binary", [encode([b"\x01\xff\r\n", b"x"]), MARK]),
    ("command name very long", [encode([b"x" * 10000]), MARK]),
    ("unknown command with long arguments", [encode([b"NOSUCH"] + [b"y" * 50] * 10), MARK]),
    ("unknown command with newlines", [encode([b"NO\r\nSUCH", b"a\r\nb", b"\x01"]), MARK]),
    ("unknown command with quotes", [encode([b"NO'SUCH", b"'a'"]), MARK]),
    ("unknown subcommand binary", [encode([b"CLIENT", b"\r\n\x01\xff"]), MARK]),
    ("error text with newline from an argument", [encode([b"CONFIG", b"SET", b"a\r\nb", b"c"]),
                                                  MARK]),
    # --- pieces and pipelines ---
    ("byte by byte", [bytes([b]) for b in encode([b"ECHO", b"a\r\nb"])] + [MARK]),
    ("cut inside the count", [b"*", b"1", b"\r", b"\n$", b"4\r\nPI", b"NG\r", b"\n", MARK]),
    ("cut inside the last CRLF", [b"*1\r\n$4\r\nPING\r", b"\n", MARK]),
    ("pipeline of 1000", [PING * 1000, MARK]),
    ("pipeline with an error inside", [PING + encode([b"GET"]) + PING, MARK]),
    ("pipeline with inline and arrays mixed", [PING + b"PING\r\n" + PING + b"\r\nPING a\r\n",
                                               MARK]),
    ("good commands before a protocol error", [PING + PING + b"*1\r\n!\r\n" + PING]),
    ("nothing is run after a protocol error", [b"*1\r\n$abc\r\n" + PING]),
    ("quit stops the pipeline", [PING + encode([b"QUIT"]) + PING]),
    ("quit inline", [b"QUIT\r\nPING\r\n"]),
    ("reset", [encode([b"RESET"]), MARK]),
    ("protocol error inside MULTI", [encode([b"MULTI"]) + PING + b"*1\r\n$-5\r\n"]),
    ("inline inside MULTI", [encode([b"MULTI"]) + b"PING\r\n" + encode([b"EXEC"]), MARK]),
    ("a big argument", [encode([b"ECHO", b"z" * 300000]), MARK]),
    ("a big argument in pieces", [encode([b"ECHO", b"z" * 100000])[i:i + 30000]
                                  for i in range(0, 100100, 30000)] + [MARK]),
    ("many arguments", [encode([b"DEL"] + [b"k%d" % i for i in range(5000)]), MARK]),
    # --- RESP3 and HELLO ---
    ("hello with a bad version", [encode([b"HELLO", b"4"]), MARK]),
    ("hello with a word", [encode([b"HELLO", b"abc"]), MARK]),
    ("RESP3 types are no requests: map", [encode([b"HELLO", b"2", b"SETNAME"]),
                                          b"%1\r\n$4\r\nPING\r\n$1\r\na\r\n", MARK]),
    ("RESP3 types are no requests: set", [b"~1\r\n$4\r\nPING\r\n", MARK]),
    ("protocol error in RESP3", [encode([b"HELLO", b"3", b"AUTH", b"default", b"wrong-password"]),
                                 b"*1\r\n$-1\r\n"]),
    ("half a command at the end", [b"*2\r\n$4\r\nECHO\r\n$10\r\nabc"]),
]

# Before AUTH, Redis allows only small requests.
UNAUTHENTICATED_CASES = [
    ("unauthenticated: array of 11", [b"*11\r\n"]),
    ("unauthenticated: array of 10", [encode([b"x"] * 10)]),
    ("unauthenticated: bulk of 16385", [b"*2\r\n$4\r\nECHO\r\n$16385\r\n"]),
    ("unauthenticated: bulk of 16384", [encode([b"ECHO", b"x" * 16384])]),
    ("unauthenticated: ping", [PING]),
    ("unauthenticated: quit", [encode([b"QUIT"])]),
    ("unauthenticated: hello without AUTH", [encode([b"HELLO", b"3"])]),
    ("unauthenticated: unknown command", [encode([b"NOSUCH"])]),
    ("unauthenticated: wrong arity", [encode([b"GET"])]),
    ("unauthenticated: MULTI", [encode([b"MULTI"]), encode([b"EXEC"])]),
    ("unauthenticated: a wrong password", [encode([b"AUTH", b"nope"])]),
    ("unauthenticated: the password", [encode([b"AUTH", b"secret"]), MARK]),
]


def exchange(port, chunks):
    """Sends the chunks; returns (all bytes received, whether the server closed)."""
    connection = Connection(port)
    try:
        for i, chunk in enumerate(chunks):
            if i:
                # Until the server says something, or long enough for it to read the chunks apart,
                # which only makes a test stricter, never red.
                select.select([connection.socket], [], [], 0.001)
            connection.send_raw(chunk)
        received = b""
        deadline = time.monotonic() + (5 if chunks[-1] is MARK else OPEN_SECONDS)
        while time.monotonic() < deadline:
            connection.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = connection.socket.recv(1 << 18)
            except (TimeoutError, socket.timeout):
                break
            except ConnectionResetError:
                return received, True
            if not data:
                return received, True
            received += data
            if chunks[-1] is MARK and received.endswith(MARK_REPLY):
                break
        return received, False
    finally:
        connection.close()


def run_case(pair, name, chunks):
    """True when both servers behave the same."""
    theirs, ours = ((HELLO_IDENTITY.sub(rb"\1", data), closed) for data, closed in (
        exchange(server.port, chunks) for server in (pair.peer, pair.ours)))
    ours = ours[0].replace(*HELLO_SENTENCE), ours[1]
    if theirs == ours:
        return True
    print("FAILED protocol case: %s" % name)
    for side, (data, closed) in (("redis", theirs), ("ours", ours)):
        print("    %-6s \"%s\"%s" % (side, escape(data)[:300], ", then closed" if closed else ""))
    return False


def half_close(pair):
    """A client that stops sending still gets the replies to what it has sent, or a close."""
    results = []
    for server in (pair.peer, pair.ours):
        connection = Connection(server.port)
        connection.send_raw(PING * 3)
        first = [connection.read() for _ in range(3)]
        connection.socket.shutdown(socket.SHUT_WR)
        rest, closed = connection.read_to_end(3)
        results.append((first, rest, closed))
        connection.close()
    if results[0] != results[1]:
        print("FAILED protocol case: half close\n    redis %r\n    ours  %r" % tuple(results))
    return results[0] == results[1]


def deep_pipeline(pair):
    """100,000 commands sent before anything is read are all answered, in order."""
    count = 100000
    for server in (pair.peer, pair.ours):
        connection = Connection(server.port, timeout_seconds=60)
        connection.socket.setblocking(False)
        data = memoryview(b"".join(encode([b"ECHO", b"%d" % i]) for i in range(count)))
        wanted = b"".join(b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(count))
        received, sent = bytearray(), 0
        deadline = time.monotonic() + 60
        while len(received) < len(wanted) and time.monotonic() < deadline:
            # Reads only when nothing more can be sent.
            try:
                sent += connection.socket.send(data[sent:sent + 65536]) if sent < len(data) else 0
                if sent < len(data):
                    continue
            except BlockingIOError:
                pass
            try:
                received += connection.socket.recv(1 << 18)
            except BlockingIOError:
                writing = [connection.socket] if sent < len(data) else []
                select.select([connection.socket], writing, [], 1)
        connection.close()
        if bytes(received) != wanted:
            print("FAILED protocol case: deep pipeline: %s answered %d of %d bytes" % (
                server.name, len(received), len(wanted)))
            return False
    return True


def run(arguments):
    """(passed, failed) for all cases."""
    pair = Pair(*servers.start_pair(arguments))
    results = []
    try:
        for name, chunks in CASES:
            results.append(run_case(pair, name, chunks))
        results += [half_close(pair), deep_pipeline(pair)]
        admin = pair.connect()
        password = [b"CONFIG", b"SET", b"requirepass", b"secret"]
        admin.send(password)
        if admin.read()[1] == ("+", b"OK"):
            for name, chunks in UNAUTHENTICATED_CASES:
                results.append(run_case(pair, name, chunks))
        else:
            print("FAILED protocol cases: ours refused %s" % show_command(password))
            results.append(False)
        admin.close()
    finally:
        stopped = pair.stop()
    if stopped:
        print("FAILED: %s" % stopped)
        results.append(False)
    return results.count(True), results.count(False)
