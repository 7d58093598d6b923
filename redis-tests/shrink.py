# SPDX-License-Identifier: Apache-2.0
"""Shortens a failing list of commands by deleting parts of it for as long as it still fails.

First a guess: mostly only commands on the same keys matter. Then delta debugging: cut the list
into n parts, try it without each part, and double n when none can go. Ends when no single command
can be deleted, or after DEADLINE_SECONDS with what there is.
"""

import time

DEADLINE_SECONDS = 60
STATEFUL = (b"SELECT", b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"HELLO", b"SWAPDB", b"FLUSHDB",
            b"FLUSHALL")


def shrink(history, still_shows, focus=None):
    """The shortest list found. history: (connection, command) pairs that still_shows accepts.

    focus: words that the commands that matter most likely have; default: those of the last one.
    """
    focus = set(focus or history[-1][1][1:])
    deadline = time.monotonic() + DEADLINE_SECONDS
    for guess in (related(history, focus, closure=False), related(history, focus, closure=True)):
        if len(guess) < len(history) and still_shows(guess):
            history = guess
            break
    parts = 2
    while len(history) > 1 and time.monotonic() < deadline:
        size = -(-len(history) // parts)
        for start in range(0, len(history), size):
            shorter = history[:start] + history[start + size:]
            if shorter and still_shows(shorter):
                history, parts = shorter, max(2, parts - 1)
                break
            if time.monotonic() > deadline:
                break
        else:
            if size == 1:
                break
            parts = min(len(history), parts * 2)
    return history


def related(history, focus, closure):
    """The commands that have words of `focus`, and those that set a connection's state."""
    wanted = set(focus)
    size = -1
    while closure and size != len(wanted):
        size = len(wanted)
        for _, command in history:
            # Only commands that carry data from one key to others.
            if command[0].upper() in (b"COPY", b"RENAME", b"RENAMENX", b"SMOVE", b"BITOP") or (
                    command[0].upper().endswith(b"STORE")):
                if wanted.intersection(command[1:]):
                    wanted.update(command[1:])
    return [(which, command) for which, command in history
            if command[0].upper() in STATEFUL or wanted.intersection(command[1:])]
