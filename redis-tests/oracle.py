# SPDX-License-Identifier: Apache-2.0
"""Sends the same commands to two servers and says where their replies differ.

Pair holds both servers; Pair.connect gives a PairConnection, which is one client connection to
each. PairConnection.call sends one command and compares; PairConnection.batch pipelines many.

Inside MULTI a command's reply comes with EXEC, so a PairConnection keeps the queued commands and
compares the elements of EXEC's reply, each by its own command's comparer:

    MULTI            +OK / +OK
    SMEMBERS s       +QUEUED / +QUEUED
    EXEC             *[ *[a, b] ] / *[ *[b, a] ]    same: SMEMBERS has no order
"""

import time

from compare import compare
from differences import find_known
from resp import (EOF, TIMEOUT, Connection, ProtocolError, encode, parse_all, show,
                  show_command, to_bytes)

OK = ("+", b"OK")
QUEUED = ("+", b"QUEUED")


class Difference:
    """One pair of replies that differ, and where."""

    def __init__(self, command, theirs, ours, reason, where=""):
        self.command = command
        self.theirs = theirs
        self.ours = ours
        self.reason = reason
        self.where = where

    def signature(self):
        """Equal for differences that are most likely the same bug."""
        name = self.command[0].upper() if self.command else b""
        texts = ()
        if name == b"OBJECT" or "-" in (self.theirs[0], self.ours[0]):
            texts = show(self.theirs, 30), show(self.ours, 30)
        return name, self.theirs[0], self.ours[0], self.reason, texts

    def __str__(self):
        return "%s%s\n    reason: %s\n    redis:  %s\n    ours:   %s" % (
            self.where + ": " if self.where else "", show_command(self.command), self.reason,
            show(self.theirs), show(self.ours))


class PairConnection:
    """The same client connection to both servers."""

    def __init__(self, pair, timeout_seconds=5.0):
        self.pair = pair
        self.theirs = Connection(pair.peer.port, timeout_seconds)
        self.ours = Connection(pair.ours.port, timeout_seconds)
        self.queued = None  # the commands since MULTI, or None outside a transaction

    def close(self):
        self.theirs.close()
        self.ours.close()

    def send(self, args_theirs, args_ours=None):
        self.theirs.send_raw(encode(args_theirs))
        self.ours.send_raw(encode(args_ours or args_theirs))

    def read(self, timeout_seconds=None):
        """The next reply of each side: (theirs, ours)."""
        return _read(self.theirs, timeout_seconds), _read(self.ours, timeout_seconds)

    def call(self, *args):
        """Sends one command to both; returns (theirs, ours) without comparing."""
        self.send([to_bytes(arg) for arg in args])
        return self.read()

    def check(self, command, theirs, ours, rule=None):
        """Compares one pair of replies to `command`; returns the Differences found."""
        name = command[0].upper() if command else b""
        if self.queued is not None and theirs == QUEUED == ours:
            self.queued.append(command)
            return []
        queued, found = self.queued, []
        if name in (b"EXEC", b"DISCARD", b"RESET", b"QUIT"):
            self.queued = None
        elif name == b"MULTI" and theirs == OK == ours:
            self.queued = []
        if name == b"EXEC" and queued and _same_length_arrays(theirs, ours, len(queued)):
            for i, (inner, a, b) in enumerate(zip(queued, theirs[1], ours[1])):
                found += _difference(inner, a, b, None, "EXEC, command %d" % (i + 1))
            return found
        return _difference(command, theirs, ours, rule)

    def batch(self, commands, token=b"end-of-batch"):
        """Pipelines commands to both and compares all replies. Returns (index, Difference) pairs.

        Each command must have exactly one reply. The batch must end outside MULTI: a DISCARD is
        added for that, then an ECHO, whose reply marks the end.
        """
        commands = commands + [[b"DISCARD"], [b"ECHO", token]]
        data = b"".join(map(encode, commands))
        tail = b"$%d\r\n%b\r\n" % (len(token), token)
        self.theirs.send_raw(data)
        self.ours.send_raw(data)
        texts, outcomes = zip(self.theirs.read_until(tail), self.ours.read_until(tail))
        if texts[0] == texts[1] and outcomes == (None, None):
            self.queued = None
            return []
        replies = []
        for text, outcome in zip(texts, outcomes):
            replies.append(_split(text, outcome, len(commands)))
        return self._check_batch(commands, *replies)

    def _check_batch(self, commands, theirs, ours):
        found = []
        for i, (command, a, b) in enumerate(zip(commands, theirs, ours)):
            if a != b or self.queued is not None or a == OK or a[0] == "*":
                found += [(i, difference) for difference in self.check(command, a, b)]
            if EOF in (a, b) or TIMEOUT in (a, b):
                break
        return found


def _split(text, outcome, count):
    """The replies in text, filled up with the outcome when it ended early."""
    try:
        replies = parse_all(text)
    except ProtocolError as error:
        return [("-", b"(oracle) not RESP: " + str(error).encode())] * count
    if len(replies) < count:
        replies += [outcome or ("-", b"(oracle) too few replies")] * (count - len(replies))
    elif len(replies) > count:
        replies[-1] = ("-", b"(oracle) too many replies")
    return replies


def _read(connection, timeout_seconds):
    try:
        return connection.read(timeout_seconds)
    except ProtocolError as error:
        connection.close()
        return ("-", b"(oracle) not RESP: " + str(error).encode())


def _same_length_arrays(theirs, ours, length):
    return all(reply[0] == "*" and reply[1] is not None and len(reply[1]) == length
               for reply in (theirs, ours))


def _difference(command, theirs, ours, rule, where=""):
    reason = compare(command, theirs, ours, rule)
    if reason is None or find_known(command, theirs, ours):
        return []
    return [Difference(command, theirs, ours, reason, where)]


class Pair:
    """Both running servers."""

    def __init__(self, peer, ours):
        self.peer = peer
        self.ours = ours

    def connect(self, protocol=2, timeout_seconds=5.0):
        connection = PairConnection(self, timeout_seconds)
        if protocol == 3:
            connection.call("HELLO", "3")
        return connection

    def alive(self, wait_seconds=0):
        """None, or a text about the server that has gone. A dying process is waited for."""
        deadline = time.monotonic() + wait_seconds
        while wait_seconds and time.monotonic() < deadline:
            if not (self.peer.alive() and self.ours.alive()):
                break
            time.sleep(0.01)
        for server in (self.peer, self.ours):
            if not server.alive():
                return "%s has ended by itself (exit code %s)\n%s" % (
                    server.name, server.process.returncode, server.log_tail())
        return None

    def stop(self):
        """Stops both; returns a text when ours did not end orderly, else None."""
        died = self.alive()
        code = self.ours.stop()
        self.peer.stop()
        if died:
            return died
        return None if code in (None, 0) else "ours stopped with exit code %d" % code
