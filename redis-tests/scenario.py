# SPDX-License-Identifier: Apache-2.0
"""Reads scenario files. scenarios/README.md explains the notation with examples.

A file is a list of cases; a case is a list of steps. Parsing knows no server: words keep their
$variables, which scenario_run.py replaces, since they may differ between the two servers.
"""

import re


class ScenarioError(Exception):
    """A scenario file is wrong; the text names file and line."""


class Step:
    """One line. `kind` is one of command, send, read, close, until, for, ours, config, let."""

    def __init__(self, kind, line_number, words=(), connection="c1"):
        self.kind = kind
        self.line_number = line_number
        self.words = list(words)        # list of (text, quoted) with variables still in place
        self.connection = connection
        self.rule = None                # name of a comparer, when the line asks for one
        self.error_expected = False     # the line began with "!"
        self.count = 0                  # how many replies to read; 0: as many as usual
        self.awaited = False            # `send`: a later step reads the reply
        self.expected = None            # `until` and `ours`: the reply in resp.show's notation
        self.name = None                # `let` and `for`: the variable
        self.range = (0, 0)             # `for`: first and last value


class Case:
    def __init__(self, file_name, title, line_number):
        self.file_name = file_name
        self.title = title
        self.line_number = line_number
        self.protocols = (2, 3)
        self.options = []               # extra start options: the case gets its own servers
        self.steps = []


_PREFIX = re.compile(r"(?P<name>c\d|ours)(?P<mode>>>-|>>|>|<)(?P<count>\d*)(?:\s+|$)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "\\": "\\", '"': '"',
            "$": "$"}


def parse_file(path, file_name):
    """All cases of a file. @resp and @server before the first case hold for all of them."""
    cases, head = [], Case(file_name, "", 0)
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            try:
                if not line or line.startswith("#"):
                    continue
                if line.startswith("== "):
                    case = Case(file_name, line[3:].strip(), number)
                    case.protocols, case.options = head.protocols, list(head.options)
                    cases.append(case)
                elif line.startswith("@"):
                    _directive(cases[-1] if cases else head, line, number)
                elif line.startswith("=> "):
                    cases[-1].steps[-1].expected = line[3:].strip()
                else:
                    cases[-1].steps.append(parse_step(line, number))
            except (ValueError, IndexError) as error:
                raise ScenarioError("%s:%d: %s: %s" % (path, number, line, error)) from None
    return cases


def _directive(case, line, number):
    words = line[1:].split()
    if words[0] == "resp":
        case.protocols = tuple(int(word) for word in words[1:])
    elif words[0] == "server":
        case.options += [word for word, _ in split_words(line[len("@server"):])]
    elif words[0] == "config":
        case.steps.append(Step("config", number, split_words(line[len("@config"):])))
    elif words[0] == "close":
        case.steps.append(Step("close", number, connection=words[1]))
    else:
        raise ValueError("unknown directive")


def parse_step(line, number):
    """One step; raises ValueError when the line is not understood."""
    step = Step("command", number)
    if line.startswith("!"):
        step.error_expected, line = True, line[1:].lstrip()
    if line.startswith("["):
        step.rule, _, line = line[1:].partition("]")
        line = line.lstrip()
    match = re.match(r"until (?P<expected>\S+) ", line)
    if match:
        step.kind, step.expected, line = "until", match["expected"], line[match.end():]
    match = re.match(r"for (?P<name>[a-z]) (?P<first>-?\d+) (?P<last>-?\d+) : ", line)
    if match:
        step.kind, step.name, line = "for", match["name"], line[match.end():]
        step.range = int(match["first"]), int(match["last"])
    match = re.match(r"let (?P<name>[a-z]\w*) ", line)
    if match:
        step.kind, step.name, line = "let", match["name"], line[match.end():]
    match = _PREFIX.match(line)
    if match:
        line = line[match.end():]
        if match["name"] == "ours":
            step.kind = "ours"
        else:
            step.connection = match["name"]
            step.count = int(match["count"] or 0)
            if match["mode"] != ">":
                step.kind = "read" if match["mode"] == "<" else "send"
                step.awaited = match["mode"] == ">>"
    if step.kind == "read":
        step.count = int(line or 1)
        return step
    step.words = split_words(line)
    if not step.words:
        raise ValueError("no command")
    return step


def split_words(text):
    """Splits as redis-cli does. Returns (word, may hold variables) pairs; words are latin-1."""
    words, pos = [], 0
    while True:
        while pos < len(text) and text[pos] == " ":
            pos += 1
        if pos == len(text):
            return words
        if text[pos] == '"':
            word, pos = _double_quoted(text, pos + 1)
            words.append((word, True))
        elif text[pos] == "'":
            end = text.index("'", pos + 1)
            words.append((text[pos + 1:end], False))
            pos = end + 1
        else:
            end = text.find(" ", pos)
            end = len(text) if end < 0 else end
            words.append((text[pos:end], True))
            pos = end
        if pos < len(text) and text[pos] != " ":
            raise ValueError("no space after a quoted word")


def _double_quoted(text, pos):
    out = []
    while text[pos] != '"':
        if text[pos] == "\\" and text[pos + 1] == "x":
            out.append(chr(int(text[pos + 2:pos + 4], 16)))
            pos += 4
        elif text[pos] == "\\":
            out.append(_ESCAPES[text[pos + 1]])
            pos += 2
        else:
            out.append(text[pos])
            pos += 1
    return "".join(out), pos + 1


_VARIABLE = re.compile(r"\$\((?P<unit>[^*)]+)\*(?P<times>\d+)\)"
                       r"|\$\{(?P<long>[a-z][\w.]*)\}|\$(?P<short>[a-z]\w*)")


def expand(word, variables):
    """The word as bytes, with $name, ${name} and $(text*times) replaced."""
    text, has_variables = word
    if has_variables and "$" in text:
        def replace(match):
            if match["unit"]:
                return match["unit"] * int(match["times"])
            return variables[match["long"] or match["short"]]
        try:
            text = _VARIABLE.sub(replace, text)
        except KeyError as error:
            raise ScenarioError("unknown variable $%s" % error.args[0]) from None
    return text.encode("latin-1") if all(ord(c) < 256 for c in text) else text.encode()
