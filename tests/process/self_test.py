# SPDX-License-Identifier: Apache-2.0
"""Proves that the checker of the crash test finds each kind of fault, in histories made up here."""
import copy

from history import History, SharedCounter, apply_operation, count_faults


def history_with(acknowledged, unanswered):
    history = History("w")
    for operation in acknowledged:
        history.sent([operation])
        history.acknowledge(apply_operation(copy.deepcopy(history.state), operation))
    history.sent(unanswered)
    return history


SET_A, SET_B = ("SET", b"a", b"1"), ("SET", b"b", b"2")
BLOCK = ("MULTI", [("SET", b"a", b"9"), ("INCR", b"c")])
HASH = ("HSET", b"h", b"f", b"1", b"g", b"2")

# what: (acknowledged, sent without answer, what the server holds, whether that is allowed)
CASES = {
    "all acknowledged writes": ([SET_A], [], {b"a": ["s", b"1", None]}, True),
    "an acknowledged write is gone": ([SET_A], [], {}, False),
    "an acknowledged write is old": (
        [SET_A, ("SET", b"a", b"2")], [], {b"a": ["s", b"1", None]}, False),
    "an unanswered write is there": ([], [SET_A], {b"a": ["s", b"1", None]}, True),
    "an unanswered write is not there": ([], [SET_A], {}, True),
    "a later unanswered write without the earlier": (
        [], [SET_A, SET_B], {b"b": ["s", b"2", None]}, False),
    "a whole transaction": (
        [SET_A], [BLOCK], {b"a": ["s", b"9", None], b"c": ["s", b"1", None]}, True),
    "no transaction": ([SET_A], [BLOCK], {b"a": ["s", b"1", None]}, True),
    "half a transaction": ([SET_A], [BLOCK], {b"a": ["s", b"9", None]}, False),
    "the other half": (
        [SET_A], [BLOCK], {b"a": ["s", b"1", None], b"c": ["s", b"1", None]}, False),
    "an acknowledged transaction by halves": (
        [SET_A, BLOCK], [], {b"a": ["s", b"9", None]}, False),
    "a key out of nowhere": ([], [], {b"x": ["s", b"1", None]}, False),
    "a deleted key is back": (
        [SET_A, ("DEL", b"a")], [], {b"a": ["s", b"1", None]}, False),
    "a field is missing": ([HASH], [], {b"h": ["h", {b"f": b"1"}, None]}, False),
    "a member too many": (
        [("SADD", b"t", b"m")], [], {b"t": ["t", {b"m", b"n"}, None]}, False),
    "an increment twice": ([("INCR", b"c")], [], {b"c": ["s", b"2", None]}, False),
    "a deadline is lost": (
        [SET_A, ("PEXPIREAT", b"a", 99)], [], {b"a": ["s", b"1", None]}, False),
    "a deadline too many": ([SET_A], [], {b"a": ["s", b"1", 99]}, False),
    "an emptied hash is gone": ([HASH, ("HDEL", b"h", b"f", b"g")], [], {}, True),
}


def run():
    """(number of checks, faults)."""
    wrong = []
    for name, (acknowledged, unanswered, found, allowed) in CASES.items():
        faults = history_with(acknowledged, unanswered).settle(found)
        if (not faults) != allowed:
            wrong.append(f"{name}: {faults or 'no fault found'}")
    history = History("w")
    history.sent([("INCR", b"c")])
    history.acknowledge(2)
    if not history.settle({b"c": ["s", b"1", None]}):
        wrong.append("a wrong answer was not noticed")
    for found, allowed in ((4, False), (5, True), (7, True), (8, False)):
        counter = SharedCounter(b"n")
        counter.acknowledged, counter.sent = 5, 7
        if (not counter.settle(found)) != allowed:
            wrong.append(f"a shared counter of {found} for 5 to 7")
    for dbsize, scanned, allowed in ((2, {b"a", b"b"}, True), (3, {b"a", b"b"}, False),
                                     (2, {b"a"}, False), (2, {b"a", b"c"}, False)):
        if (not count_faults(dbsize, scanned, {b"a", b"b"})) != allowed:
            wrong.append(f"DBSIZE {dbsize} and SCAN {scanned} for a and b")
    return len(CASES) + 9, wrong
