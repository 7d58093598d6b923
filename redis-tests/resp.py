# SPDX-License-Identifier: Apache-2.0
"""A small RESP2/RESP3 client that keeps replies exactly as they came.

A reply is a pair (kind, payload); the kind is the type byte of the protocol as a string:

    "+" simple string, bytes        "-" error, bytes             ":" integer, int
    "$" bulk string, bytes or None  "*" array, list or None      "_" RESP3 null, None
    "#" boolean, bool               "," double, bytes as sent    "(" big number, bytes
    "=" verbatim string, bytes      "~" set, list                ">" push, list
    "%" map, list of (key, value)   "EOF" connection closed, None
    "TIMEOUT" nothing came in time, None

Nothing is converted beyond that, so "$-1" and "*-1", or ",10" and "$2 10", stay different.
"""

import socket
import time

CRLF = b"\r\n"
EOF = ("EOF", None)
TIMEOUT = ("TIMEOUT", None)


class ProtocolError(Exception):
    """The server sent bytes which are no RESP."""


class Incomplete(Exception):
    """The buffer ends inside a reply; `needed` bytes at least must be there to get further."""

    def __init__(self, needed=0):
        super().__init__()
        self.needed = needed


def encode(args):
    """One command, given as a list of bytes, as a RESP array of bulk strings."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


_PAIRS = ord("%")
_LINES = {ord(c): c for c in "+-,("}
_BULKS = {ord("$"): "$", ord("="): "="}
_LISTS = {ord("*"): "*", ord("~"): "~", ord(">"): ">"}


def parse(buf, pos):
    """Reads one reply from buf at pos; returns (reply, position after it) or raises."""
    end = buf.find(CRLF, pos)
    if end < 0:
        raise Incomplete
    kind = buf[pos]
    after = end + 2
    if kind == 0x3A:  # ":"
        return (":", _int(buf, pos, end)), after
    if kind in _BULKS:
        size = _int(buf, pos, end)
        if size < 0:
            return (_BULKS[kind], None), after
        stop = after + size
        if len(buf) < stop + 2:
            raise Incomplete(stop + 2)
        if buf[stop:stop + 2] != CRLF:
            raise ProtocolError("bulk string without its final CRLF")
        return (_BULKS[kind], buf[after:stop]), stop + 2
    if kind in _LINES:
        return (_LINES[kind], buf[pos + 1:end]), after
    if kind in _LISTS:
        count = _int(buf, pos, end)
        if count < 0:
            return (_LISTS[kind], None), after
        return _parse_items(_LISTS[kind], buf, after, count)
    if kind == _PAIRS:
        items = []
        for _ in range(_int(buf, pos, end)):
            key, after = parse(buf, after)
            value, after = parse(buf, after)
            items.append((key, value))
        return ("%", items), after
    if kind == 0x5F:  # "_"
        return ("_", None), after
    if kind == 0x23:  # "#"
        return ("#", buf[pos + 1:end] == b"t"), after
    raise ProtocolError("unknown reply type %r" % buf[pos:pos + 40])


def _parse_items(kind, buf, pos, count):
    """The elements of a list. Most are short bulk strings, which need no call of parse."""
    items = []
    for _ in range(count):
        end = buf.find(CRLF, pos)
        if end > 0 and buf[pos] == 0x24 and buf[pos + 1] != 0x2D:  # "$", no "-"
            start = end + 2
            stop = start + _int(buf, pos, end)
            if buf[stop:stop + 2] == CRLF:
                items.append(("$", buf[start:stop]))
                pos = stop + 2
                continue
        item, pos = parse(buf, pos)
        items.append(item)
    return (kind, items), pos


def _int(buf, pos, end):
    try:
        return int(buf[pos + 1:end])
    except ValueError:
        raise ProtocolError("bad number %r" % buf[pos:end]) from None


def parse_all(buf):
    """All whole replies of a buffer."""
    pos, replies = 0, []
    while pos < len(buf):
        try:
            reply, pos = parse(buf, pos)
        except Incomplete:
            break
        replies.append(reply)
    return replies


def show(reply, limit=400):
    """The reply as one line of text for people."""
    text = _show(reply)
    return text if len(text) <= limit else text[:limit] + "... (%d characters)" % len(text)


def _show(reply):
    kind, payload = reply
    if kind in ("EOF", "TIMEOUT"):
        return "(connection closed)" if kind == "EOF" else "(no reply in time)"
    if payload is None:
        return {"$": "$nil", "*": "*nil", "_": "_nil"}.get(kind, kind + "nil")
    if kind == "%":
        return "%{" + ", ".join(_show(k) + ": " + _show(v) for k, v in payload) + "}"
    if isinstance(payload, list):
        return kind + "[" + ", ".join(_show(item) for item in payload) + "]"
    if isinstance(payload, bytes):
        return kind + '"' + escape(payload) + '"'
    return kind + str(payload)


def escape(data):
    """Bytes as the inside of a double-quoted argument of redis-cli."""
    out = []
    for byte in data:
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif 32 <= byte < 127:
            out.append(char)
        else:
            out.append({10: "\\n", 13: "\\r", 9: "\\t"}.get(byte, "\\x%02x" % byte))
    return "".join(out)


def show_command(args):
    """A command as a line that redis-cli would take."""
    words = []
    for arg in args:
        if len(arg) > 200:
            words.append('"%s..."(%d bytes)' % (escape(arg[:60]), len(arg)))
        elif arg and all(33 <= b < 127 and b not in b"\"'\\" for b in arg):
            words.append(arg.decode())
        else:
            words.append('"%s"' % escape(arg))
    return " ".join(words)


class Connection:
    """One client connection. Not thread-safe. A closed connection answers EOF for ever."""

    def __init__(self, port, timeout_seconds=5.0):
        self.timeout_seconds = timeout_seconds
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = "%s:%d" % self.socket.getsockname()
        self.peer_address = "%s:%d" % self.socket.getpeername()
        self.buffer = b""
        self.closed = False

    def close(self):
        self.socket.close()
        self.closed = True

    def send_raw(self, data):
        """Sends bytes as they are. A connection that the other side closed is no error here."""
        try:
            self.socket.settimeout(30)
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, *args):
        self.send_raw(encode([to_bytes(arg) for arg in args]))

    def read(self, timeout_seconds=None):
        """The next reply, EOF, or TIMEOUT."""
        deadline = time.monotonic() + (timeout_seconds or self.timeout_seconds)
        while True:
            needed = 0
            if self.buffer:
                try:
                    reply, used = parse(self.buffer, 0)
                    self.buffer = self.buffer[used:]
                    return reply
                except Incomplete as incomplete:
                    needed = incomplete.needed
            outcome = self._fill(deadline, needed)
            if outcome is not None:
                return outcome

    def read_until(self, tail, timeout_seconds=30.0):
        """All bytes up to and including `tail`, which must be the last bytes to arrive."""
        chunks = [self.buffer]
        last = self.buffer
        self.buffer = b""
        self.socket.settimeout(timeout_seconds)
        while not last.endswith(tail):
            try:
                chunk = self.socket.recv(1 << 18)
            except TimeoutError:
                return b"".join(chunks), TIMEOUT
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                self.closed = True
                return b"".join(chunks), EOF
            chunks.append(chunk)
            last = last[-len(tail):] + chunk
        return b"".join(chunks), None

    def read_to_end(self, timeout_seconds=None):
        """Everything until the server closes: (bytes, whether it closed in time)."""
        deadline = time.monotonic() + (timeout_seconds or self.timeout_seconds)
        outcome = None
        while outcome is None:
            outcome = self._fill(deadline)
        data, self.buffer = self.buffer, b""
        return data, outcome == EOF

    def _fill(self, deadline, needed=0):
        """Reads until the buffer has `needed` bytes; returns EOF or TIMEOUT when none come."""
        chunks, size, outcome = [self.buffer], len(self.buffer), None
        while outcome is None:
            left = deadline - time.monotonic()
            if self.closed or left <= 0:
                outcome = EOF if self.closed else TIMEOUT
                break
            self.socket.settimeout(left)
            try:
                chunk = self.socket.recv(1 << 20)
            except TimeoutError:
                continue
            except ConnectionResetError:
                chunk = b""
            self.closed = not chunk
            chunks.append(chunk)
            size += len(chunk)
            if chunk and size >= needed:
                break
        self.buffer = b"".join(chunks)
        return outcome

    def call(self, *args):
        """Sends one command of str, int or bytes arguments and returns its reply."""
        self.send(*args)
        return self.read()


def to_bytes(value):
    if isinstance(value, bytes):
        return value
    return str(value).encode()
