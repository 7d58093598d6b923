# SPDX-License-Identifier: Apache-2.0
"""Limits on clients: maxclients, output buffers, idle time, many connections."""

import time

from resp import Connection, encode


def sides(run):
    connection = run.connect("c1")
    return ((run.pair.peer, connection.theirs), (run.pair.ours, connection.ours))


def case_maxclients(run):
    """a connection beyond maxclients gets Redis' error and is closed; others go on"""
    outcomes = []
    for server, client in sides(run):
        client.call("CONFIG", "SET", "maxclients", "10")
        extra, answers = [], []
        for _ in range(15):
            connection = Connection(server.port, timeout_seconds=3)
            extra.append(connection)
            connection.send("PING")
            answers.append(connection.read())
        refused = [answer for answer in answers if answer != ("+", b"PONG")]
        closed = sum(connection.read(0.5)[0] == "EOF" for connection, answer
                     in zip(extra, answers) if answer != ("+", b"PONG"))
        outcomes.append((len(refused), set(refused), closed, client.call("PING")))
        for connection in extra:
            connection.close()
        client.call("CONFIG", "SET", "maxclients", "10000")
    run.check(outcomes[0] == outcomes[1], "maxclients: %s, not %s" % (outcomes[1], outcomes[0]))


def case_a_client_that_never_reads(run):
    """a client that does not read its replies is closed at its buffer limit; others are unharmed"""
    for server, client in sides(run):
        client.call("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0")
        client.call("SET", "big", b"x" * 100000)
        before = int(client.call("DBSIZE")[1])
        lazy = Connection(server.port, timeout_seconds=10)
        lazy.send_raw(encode([b"GET", b"big"]) * 3000)     # 300 MB of replies
        data, closed = lazy.read_to_end(10)
        run.check(closed, "%s: the lazy client is still there" % server.name)
        run.check(len(data) < 300000000, "%s: everything was sent" % server.name)
        run.check(client.call("PING") == ("+", b"PONG"), "%s: others suffer" % server.name)
        run.check(client.call("DBSIZE")[1] == before, "%s: data changed" % server.name)
        client.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")
        lazy.close()


def case_a_slow_subscriber(run):
    """a subscriber that never reads is closed at the pubsub limit"""
    for server, client in sides(run):
        client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
        lazy = Connection(server.port, timeout_seconds=5)
        lazy.call("SUBSCRIBE", "ch")
        deadline, receivers = time.monotonic() + 10, 1
        while receivers and time.monotonic() < deadline:
            receivers = client.call("PUBLISH", "ch", b"x" * 500000)[1]
        run.check(receivers == 0, "%s: the subscriber is still there" % server.name)
        client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
        lazy.close()


def case_many_idle_connections(run):
    """a thousand idle connections disturb nobody, and all of them still work"""
    for server, client in sides(run):
        idle = [Connection(server.port) for _ in range(1000)]
        run.check(client.call("SET", "k", "v") == ("+", b"OK"), "%s: SET fails" % server.name)
        answers = {connection.call("GET", "k") for connection in idle}
        run.check(answers == {("$", b"v")}, "%s: %s" % (server.name, answers))
        for connection in idle:
            connection.close()


def case_connections_come_and_go(run):
    """two thousand short connections leave nothing behind"""
    for server, client in sides(run):
        for _ in range(2000):
            connection = Connection(server.port)
            connection.send("PING")
            connection.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            lines = client.call("CLIENT", "LIST")[1].count(b"\n")
            if lines <= 2:
                break
        run.check(lines <= 2, "%s: %d clients are left" % (server.name, lines))


def case_idle_timeout(run):
    """`timeout` closes idle clients, but no subscribers"""
    for server, client in sides(run):
        idle, subscriber = Connection(server.port), Connection(server.port)
        idle.call("PING")
        subscriber.call("SUBSCRIBE", "ch")
        client.call("CONFIG", "SET", "timeout", "1")
        run.check(idle.read(8)[0] == "EOF", "%s: the idle client stays" % server.name)
        client = Connection(server.port)
        client.call("CONFIG", "SET", "timeout", "0")
        run.check(client.call("PUBLISH", "ch", "x") == (":", 1),
                  "%s: the subscriber was closed" % server.name)
        for connection in (idle, subscriber, client):
            connection.close()
    run.connections.pop("c1").close()


for function in (case_maxclients, case_a_client_that_never_reads, case_a_slow_subscriber,
                 case_many_idle_connections, case_connections_come_and_go, case_idle_timeout):
    function.protocols = (2,)
