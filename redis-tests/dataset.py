# SPDX-License-Identifier: Apache-2.0
"""Compares the whole data of both servers: per database DBSIZE, keys, types, values, deadlines."""

from differences import find_known
from oracle import Difference
from resp import Connection

TTL_TOLERANCE_MS = 10000
READERS = {b"string": [b"GET"], b"hash": [b"HGETALL"], b"set": [b"SMEMBERS"]}
PIPELINE = 500


def compare_data(peer_port, ours_port, encodings=True, databases=16):
    """All Differences between the data of the servers on the two ports."""
    found = []
    connections = [Connection(port, timeout_seconds=30) for port in (peer_port, ours_port)]
    try:
        for database in range(databases):
            snapshots = []
            for connection in connections:
                connection.call("SELECT", database)
                snapshots.append(read_database(connection))
            where = "data of database %d" % database
            found += compare_snapshots(where, *snapshots, encodings)
    finally:
        for connection in connections:
            connection.close()
    return found


def read_database(connection):
    """{key: (type, value, encoding, deadline in ms)}, plus what DBSIZE says under None."""
    size = connection.call("DBSIZE")
    keys, cursor = set(), b"0"
    while True:
        page = connection.call("SCAN", cursor, "COUNT", 1000)
        if page[0] != "*":
            return {None: page}
        cursor = page[1][0][1]
        keys.update(item[1] for item in page[1][1][1])
        if cursor == b"0":
            break
    snapshot = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), PIPELINE):
        chunk = ordered[start:start + PIPELINE]
        types = pipeline(connection, [[b"TYPE", key] for key in chunk])
        values = pipeline(connection, [READERS.get(kind[1], [b"TYPE"]) + [key]
                                       for kind, key in zip(types, chunk)])
        encodings = pipeline(connection, [[b"OBJECT", b"ENCODING", key] for key in chunk])
        deadlines = pipeline(connection, [[b"PEXPIRETIME", key] for key in chunk])
        for key, *row in zip(chunk, types, values, encodings, deadlines):
            snapshot[key] = (row[0], canonical(row[0], row[1]), row[2], row[3])
    # An expired key may still count in DBSIZE, so only a database without deadlines is exact.
    if all(row[3] == (":", -1) for row in snapshot.values()):
        snapshot[None] = size
    return snapshot


def pipeline(connection, commands):
    for command in commands:
        connection.send(*command)
    return [connection.read() for _ in commands]


def canonical(kind, value):
    if value[0] == "*" and kind[1] == b"set":
        return "set", sorted(value[1])
    if value[0] == "*" and kind[1] == b"hash":
        return "hash", sorted(zip(value[1][::2], value[1][1::2]))
    return value


def compare_snapshots(where, theirs, ours, encodings):
    found = []
    for key in sorted(set(theirs) | set(ours), key=lambda k: k or b""):
        absent = ("$", None)
        command = [b"(key)", key] if key is not None else [b"DBSIZE"]
        if key not in theirs or key not in ours:
            if key is not None:
                pair = [("+", b"present") if key in side else absent for side in (theirs, ours)]
                found.append(Difference(command, *pair, "key on one side only", where))
            continue
        a, b = theirs[key], ours[key]
        if key is None:
            if a != b:
                found.append(Difference(command, a, b, "sizes differ", where))
            continue
        for part, x, y in zip(("type", "value", "encoding"), a, b):
            if x != y and (encodings or part != "encoding"):
                if not find_known(command, _text(x), _text(y)):
                    found.append(Difference(command, _text(x), _text(y), part + " differs", where))
                break
        if abs(a[3][1] - b[3][1]) > TTL_TOLERANCE_MS:
            found.append(Difference(command, a[3], b[3], "deadline differs", where))
    return found


def _text(value):
    return value if value[0] in "+-:$" else ("+", repr(value).encode()[:400])
