# SPDX-License-Identifier: Apache-2.0
"""Runs scenario cases against a Pair. One CaseRun is one case in one protocol."""

import importlib.util
import os
import re
import time
import traceback

from oracle import Difference
from resp import EOF, TIMEOUT, show, to_bytes
from scenario import Case, ScenarioError, expand, parse_file

UNTIL_DEADLINE_SECONDS = 10
DIFFERENCES_PER_CASE = 8
SUBSCRIBING = (b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE",
               b"SUNSUBSCRIBE")
MESSAGE = [b"(message)"]


class Abandon(Exception):
    """The rest of the case makes no sense any more."""


class CaseRun:
    """State of a running case: its connections, variables and the differences so far."""

    def __init__(self, pair, case, protocol):
        self.pair = pair
        self.case = case
        self.protocol = protocol
        self.connections = {}
        self.pending = {}              # connection name -> commands sent with ">>"
        self.variables = ({}, {})      # theirs, ours
        self.saved_config = []
        self.found = []
        self.where = ""

    # --- for Python scenarios ---

    def call(self, *args, connection="c1", rule=None):
        """Sends a command to both, compares, returns (theirs, ours)."""
        command = [to_bytes(arg) for arg in args]
        pair_connection = self.connect(connection)
        theirs, ours = pair_connection.call(*command)
        self.add(pair_connection.check(command, theirs, ours, rule))
        return theirs, ours

    def both(self, *args, connection="c1"):
        """Sends a command to both, returns (theirs, ours) without comparing."""
        return self.connect(connection).call(*args)

    def fail(self, reason, command=(), theirs=("+", b""), ours=("+", b"")):
        self.add([Difference([to_bytes(arg) for arg in command], theirs, ours, reason)])

    def check(self, condition, reason, command=(), theirs=("+", b""), ours=("+", b"")):
        if not condition:
            self.fail(reason, command, theirs, ours)

    # --- the run ---

    def connect(self, name):
        if name not in self.connections:
            connection = self.pair.connect(self.protocol)
            self.connections[name] = connection
            for variables, side in zip(self.variables, (connection.theirs, connection.ours)):
                variables[name + ".addr"] = side.address
                variables[name + ".laddr"] = side.peer_address
        return self.connections[name]

    def run(self):
        """Returns the Differences of the case."""
        self._reset()
        try:
            self.connect("c1")
            if callable(self.case.steps):
                self.case.steps(self)
            else:
                for step in self.case.steps:
                    self.where = "%s:%d" % (self.case.file_name, step.line_number)
                    try:
                        getattr(self, "_" + step.kind)(step)
                    except ScenarioError as error:
                        raise ScenarioError("%s: %s" % (self.where, error)) from None
            self._finish()
        except Abandon:
            pass
        except (ArithmeticError, LookupError, TypeError, ValueError):
            # A Python scenario met a reply of a form that it did not think of.
            self.found.append(Difference([], ("+", b""), ("+", b""), traceback.format_exc(),
                                         self.where))
        except OSError as error:
            self.found.append(Difference([], ("+", b""), EOF, "connection failed: %s" % error,
                                         self.where))
        finally:
            for connection in self.connections.values():
                connection.close()
            self._restore()
        gone = self.pair.alive()
        if gone:
            self.found.append(Difference([], ("+", b""), ("+", b""), gone, self.where))
        return self.found

    def add(self, differences):
        for difference in differences:
            if not difference.where or not self.where:
                difference.where = self.where
            else:
                difference.where = self.where + ", " + difference.where
            self.found.append(difference)
        gone = any(d.ours in (EOF, TIMEOUT) for d in differences)
        if gone or len(self.found) >= DIFFERENCES_PER_CASE:
            raise Abandon

    def _reset(self):
        admin = self.pair.connect()
        admin.call("CLIENT", "UNPAUSE")
        admin.call("FLUSHALL")
        _quit(admin)

    def _restore(self):
        if not self.saved_config:
            return
        admin = self.pair.connect()
        for name, values in reversed(self.saved_config):
            for side, value in zip((admin.theirs, admin.ours), values):
                side.call("CONFIG", "SET", name, value)
        _quit(admin)

    def _finish(self):
        """Nothing may be left unread on any connection."""
        self.where = "%s, at the end of '%s'" % (self.case.file_name, self.case.title)
        for name, connection in self.connections.items():
            if connection.theirs.closed or connection.theirs.socket.fileno() < 0:
                continue
            theirs, ours = _quit(connection)
            if theirs == ours != b"+OK\r\n":
                self.fail("the scenario is wrong: %s has unread replies" % name, ["QUIT"],
                          ("$", theirs), ("$", ours))
            self.add([] if theirs == ours else [Difference(
                [b"QUIT"], ("$", theirs), ("$", ours), "unread replies of %s differ" % name)])

    def _args(self, words):
        """The arguments for each side: (theirs, ours)."""
        return [[expand(word, variables) for word in words] for variables in self.variables]

    def _command(self, step):
        connection = self.connect(step.connection)
        args = self._args(step.words)
        connection.send(*args)
        count = step.count
        if not count:
            count = max(1, len(args[0]) - 1) if args[0][0].upper() in SUBSCRIBING else 1
        replies = [connection.read() for _ in range(count)]
        if step.rule == "unsubscribed":
            replies = [tuple(("*", list(side)) for side in zip(*replies))]
        for theirs, ours in replies:
            self._expect(step, theirs)
            self.add(connection.check(args[0], theirs, ours, step.rule))

    def _expect(self, step, theirs):
        """A scenario says where it expects an error, so that it cannot fail unnoticed."""
        if theirs == TIMEOUT:
            raise ScenarioError("Redis sent nothing")
        if (theirs[0] == "-") != step.error_expected and theirs != EOF:
            wanted = "an error" if step.error_expected else "no error"
            self.fail("the scenario is wrong: it expects %s of Redis" % wanted,
                      self._args(step.words)[0], theirs, theirs)

    def _send(self, step):
        args = self._args(step.words)
        self.connect(step.connection).send(*args)
        if step.awaited:
            self.pending.setdefault(step.connection, []).append(args[0])

    def _read(self, step):
        connection = self.connect(step.connection)
        if step.rule == "unordered":
            frames = zip(*[connection.read() for _ in range(step.count)])
            self.add(connection.check(MESSAGE, *[("*", list(side)) for side in frames],
                                      step.rule))
            return
        for _ in range(step.count):
            pending = self.pending.get(step.connection)
            command = pending.pop(0) if pending else MESSAGE
            theirs, ours = connection.read()
            self._expect(step, theirs)
            self.add(connection.check(command, theirs, ours, step.rule))

    def _close(self, step):
        self.connections.pop(step.connection).close()

    def _for(self, step):
        connection = self.connect(step.connection)
        commands = []
        for value in range(step.range[0], step.range[1] + 1):
            for variables in self.variables:
                variables[step.name] = str(value)
            commands.append(self._args(step.words))
            connection.send(*commands[-1])
        for args in commands:
            theirs, ours = connection.read()
            self._expect(step, theirs)
            self.add(connection.check(args[0], theirs, ours, step.rule))

    def _let(self, step):
        connection = self.connect(step.connection)
        args = self._args(step.words)
        connection.send(*args)
        theirs, ours = connection.read()
        self._expect(step, theirs)
        self.add(connection.check(args[0], theirs, ours, step.rule))
        for variables, reply in zip(self.variables, (theirs, ours)):
            payload = reply[1]
            text = payload.decode("latin-1") if isinstance(payload, bytes) else str(payload)
            variables[step.name] = text

    def _until(self, step):
        connection = self.connect(step.connection)
        args = self._args(step.words)
        deadline = time.monotonic() + UNTIL_DEADLINE_SECONDS
        while True:
            connection.send(*args)
            theirs, ours = connection.read()
            if show(theirs) == show(ours) == step.expected:
                return
            if time.monotonic() > deadline:
                self.add([Difference(args[0], theirs, ours, "never became " + step.expected)])
                return
            time.sleep(0.003)

    def _config(self, step):
        """CONFIG SET for the length of the case."""
        name, value = (args.decode() for args in self._args(step.words)[0])
        admin = self.pair.connect()
        before = admin.call("CONFIG", "GET", name)
        values = [reply[1][1][1] if reply[1] else b"" for reply in before]
        self.saved_config.append((name, values))
        theirs, ours = admin.call("CONFIG", "SET", name, value)
        _quit(admin)
        if theirs[0] == "-":
            raise ScenarioError("Redis answered %s" % show(theirs))
        self.add(admin.check([b"CONFIG", b"SET", to_bytes(name), to_bytes(value)], theirs, ours))

    def _ours(self, step):
        """A command that Redis 7.0 does not have: our reply is compared with the expected one."""
        connection = self.connect(step.connection).ours
        connection.send(*self._args(step.words)[1])
        reply, expected = connection.read(), step.expected
        if expected is None:
            raise ScenarioError("no line '=> reply' after 'ours>'")
        if expected.startswith("~"):
            same = re.fullmatch(expected[1:].strip(), show(reply, 100000))
        else:
            same = show(reply) == expected
        if not same:
            self.add([Difference(self._args(step.words)[1], ("+", expected.encode()), reply,
                                 "not the expected reply")])


def _quit(connection):
    """Ends a connection by QUIT; returns what was still unread on each side."""
    connection.send([b"QUIT"])
    rest = [side.read_to_end(2)[0] for side in (connection.theirs, connection.ours)]
    connection.close()
    return rest


def needs_ours(case):
    """Whether the case sends commands that Redis 7.0 does not have."""
    return not callable(case.steps) and any(step.kind == "ours" for step in case.steps)


def load_cases(directory, wanted=()):
    """The cases of all scenario files whose name contains one of the wanted words."""
    cases = []
    for name in sorted(os.listdir(directory)):
        stem, extension = os.path.splitext(name)
        if extension not in (".txt", ".py") or (wanted and not any(w in stem for w in wanted)):
            continue
        path = os.path.join(directory, name)
        if extension == ".txt":
            cases += parse_file(path, name)
        else:
            cases += load_python_cases(path, name)
    return cases


def load_python_cases(path, file_name):
    """Each function case_... of the module is a case; its docstring is the title."""
    spec = importlib.util.spec_from_file_location(file_name[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases = []
    for name, function in vars(module).items():
        if name.startswith("case_"):
            case = Case(file_name, (function.__doc__ or name).strip().split("\n")[0], 0)
            case.protocols = getattr(function, "protocols", (2, 3))
            case.steps = function
            cases.append(case)
    return cases
