# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that spoils replies, to prove that the comparers notice.

It stands before a redis-server, parses what comes back, changes every n-th reply for which the
mutation applies, and passes everything else on byte for byte.
"""

import select
import socket
import threading

from resp import Incomplete, parse


def render(reply):
    """A reply as RESP bytes: the inverse of resp.parse."""
    kind, payload = reply
    head = kind.encode()
    if kind == "%":
        return b"%%%d\r\n" % len(payload) + b"".join(render(k) + render(v) for k, v in payload)
    if isinstance(payload, list):
        return head + b"%d\r\n" % len(payload) + b"".join(map(render, payload))
    if kind == "_":
        return b"_\r\n"
    if payload is None:
        return head + b"-1\r\n"
    if kind in ("$", "="):
        return head + b"%d\r\n%b\r\n" % (len(payload), payload)
    if kind == "#":
        return b"#t\r\n" if payload else b"#f\r\n"
    if kind == ":":
        return b":%d\r\n" % payload
    return head + payload + b"\r\n"


def off_by_one(reply):
    """Integers count one too many."""
    return (":", reply[1] + 1) if reply[0] == ":" and reply[1] >= 0 else None


def nil_to_empty(reply):
    """A missing value looks like an empty one."""
    return ("$", b"") if reply in (("$", None), ("_", None)) else None


def wrong_nil(reply):
    """The null of an array instead of the null of a bulk string."""
    return ("*", None) if reply == ("$", None) else None


def error_text(reply):
    """An error loses its last character."""
    return ("-", reply[1][:-1]) if reply[0] == "-" else None


def error_to_ok(reply):
    """An error is swallowed."""
    return ("+", b"OK") if reply[0] == "-" else None


def lost_element(reply):
    """A collection loses its last element."""
    if reply[0] in "*~%" and reply[1] and len(reply[1]) != 2:
        return reply[0], reply[1][:-1]
    return None


def changed_element(reply):
    """An element of a collection has one more byte."""
    if reply[0] in "*~" and reply[1] and reply[1][-1][0] == "$" and reply[1][-1][1] is not None:
        return reply[0], reply[1][:-1] + [("$", reply[1][-1][1] + b"!")]
    return None


def reversed_array(reply):
    """Elements in the wrong order."""
    if reply[0] == "*" and reply[1] and reply[1] != reply[1][::-1]:
        return "*", reply[1][::-1]
    return None


def set_to_array(reply):
    """A RESP3 set sent as an array."""
    return ("*", reply[1]) if reply[0] == "~" else None


def bulk_to_status(reply):
    """A bulk string sent as a simple string."""
    plain = reply[0] == "$" and reply[1] and b"\r" not in reply[1] and b"\n" not in reply[1]
    return ("+", reply[1]) if plain and not reply[1].startswith(b"end") else None


def cut_bulk(reply):
    """A value that loses its last byte."""
    if reply[0] == "$" and reply[1] and not reply[1].startswith(b"end"):
        return "$", reply[1][:-1]
    return None


MUTATIONS = [off_by_one, nil_to_empty, wrong_nil, error_text, error_to_ok, lost_element,
             changed_element, reversed_array, set_to_array, bulk_to_status, cut_bulk]


class Proxy:
    """Listens on `port` for clients of the server on `server_port`. Spoils when armed."""

    def __init__(self, port, server_port, mutation=None, every=50):
        self.port = port
        self.server_port = server_port
        self.mutation = mutation
        self.every = every
        self.applicable = 0
        self.spoiled = 0
        self.armed = True
        self._listener = socket.create_server(("127.0.0.1", port))
        self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stop[0].send(b"x")
        self._thread.join()
        self._listener.close()

    def _run(self):
        links = {}       # socket -> (the other side's socket, is it the server's side)
        pending = {}     # server socket -> bytes of an incomplete reply
        while True:
            ready, _, _ = select.select([self._listener, self._stop[1], *links], [], [])
            if self._stop[1] in ready:
                break
            for sock in ready:
                if sock is self._listener:
                    client, _ = sock.accept()
                    server = socket.create_connection(("127.0.0.1", self.server_port))
                    links[client], links[server] = (server, False), (client, True)
                    pending[server] = b""
                elif sock in links:
                    self._forward(sock, links, pending)
        for sock in links:
            sock.close()

    def _forward(self, sock, links, pending):
        other, from_server = links[sock]
        try:
            data = sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            for end in (sock, other):
                links.pop(end, None)
                end.close()
            return
        if from_server:
            data, pending[sock] = self._spoil(pending[sock] + data)
        try:
            other.sendall(data)
        except OSError:
            pass

    def _spoil(self, data):
        """(bytes to pass on, bytes of an incomplete reply)."""
        out, pos = [], 0
        while pos < len(data):
            try:
                reply, after = parse(data, pos)
            except Incomplete:
                break
            changed = self.mutation(reply) if self.mutation and self.armed else None
            text = data[pos:after]
            if changed is not None:
                self.applicable += 1
                if self.applicable % self.every == 0:
                    self.spoiled += 1
                    text = render(changed)
            out.append(text)
            pos = after
        return b"".join(out), data[pos:]
