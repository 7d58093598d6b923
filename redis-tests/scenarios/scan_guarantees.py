# SPDX-License-Identifier: Apache-2.0
"""What SCAN promises over a whole scan: what stays is seen, what never was is not."""


def full_scan(run, side, command, *options):
    """All elements of a whole scan of one side (0: Redis, 1: ours), in order of arrival."""
    connection = run.connect("c1")
    client = (connection.theirs, connection.ours)[side]
    cursor, seen, pages = b"0", [], 0
    while True:
        position = 1 if command[0] == "SCAN" else 2
        reply = client.call(*command[:position], cursor, *command[position:], *options)
        if reply[0] != "*":
            run.fail("a page is an error", command, ours=reply)
            return seen
        cursor = reply[1][0][1]
        seen += [item[1] for item in reply[1][1][1]]
        pages += 1
        if cursor == b"0":
            return seen
        if pages > 100000:
            run.fail("the scan never ends", command)
            return seen


def check_sides(run, command, wanted, *options):
    for side in (0, 1):
        seen = full_scan(run, side, command, *options)
        run.check(set(seen) == wanted, "the whole scan has wrong elements", [*command, *options],
                  ("*", [("$", e) for e in sorted(wanted)[:20]]),
                  ("*", [("$", e) for e in sorted(set(seen))[:20]]))


def fill(run, count):
    """Keys of three types and three sizes on both sides."""
    connection = run.connect("c1")
    connection.batch([[b"SET", b"string:%d" % i, b"v"] for i in range(count)]
                     + [[b"SADD", b"set:%d" % i, b"m"] for i in range(count // 10)]
                     + [[b"HSET", b"hash:%d" % i, b"f", b"v"] for i in range(count // 10)]
                     + [[b"SADD", b"big-set", b"m%d" % i] for i in range(count)]
                     + [[b"HSET", b"big-hash", b"f%d" % i, b"v%d" % i] for i in range(count)])


def case_scan_sees_everything(run):
    """whole scans with every kind of option see exactly what is there"""
    fill(run, 3000)
    strings = {b"string:%d" % i for i in range(3000)}
    sets = {b"set:%d" % i for i in range(300)} | {b"big-set"}
    hashes = {b"hash:%d" % i for i in range(300)} | {b"big-hash"}
    for options in ((), ("COUNT", 1000), ("COUNT", 7)):
        check_sides(run, ["SCAN"], strings | sets | hashes, *options)
    check_sides(run, ["SCAN"], sets, "TYPE", "set")
    check_sides(run, ["SCAN"], hashes, "TYPE", "hash", "COUNT", 50)
    check_sides(run, ["SCAN"], {b"string:%d" % i for i in range(1000, 1100)},
                "MATCH", "string:10??")
    check_sides(run, ["SSCAN", "big-set"], {b"m%d" % i for i in range(3000)})
    check_sides(run, ["SSCAN", "big-set"], {b"m%d" % i for i in range(10)}, "MATCH", "m?")
    pairs = {b"f%d" % i for i in range(3000)} | {b"v%d" % i for i in range(3000)}
    check_sides(run, ["HSCAN", "big-hash"], pairs, "COUNT", 100)


def case_scan_under_change(run):
    """what stays during a scan is seen, whatever comes and goes meanwhile"""
    fill(run, 1000)
    stay = {b"string:%d" % i for i in range(0, 1000, 2)}
    connection = run.connect("c1")
    for side in (0, 1):
        client = (connection.theirs, connection.ours)[side]
        cursor, seen, step = b"0", set(), 0
        while True:
            reply = client.call("SCAN", cursor, "COUNT", 20, "MATCH", "string:*")
            cursor = reply[1][0][1]
            seen |= {item[1] for item in reply[1][1][1]}
            if cursor == b"0":
                break
            client.call("DEL", "string:%d" % (step * 2 + 1))
            client.call("SET", "string:new:%d" % step, "v")
            step += 1
        run.check(stay <= seen, "a key that stayed was not seen", ["SCAN"])


def case_element_scans_under_change(run):
    """members and fields that stay during a scan are seen"""
    fill(run, 1000)
    connection = run.connect("c1")
    for command, key, prefix in (("SSCAN", "big-set", b"m"), ("HSCAN", "big-hash", b"f")):
        stay = {prefix + b"%d" % i for i in range(0, 1000, 2)}
        for side in (0, 1):
            client = (connection.theirs, connection.ours)[side]
            cursor, seen, step = b"0", set(), 0
            while True:
                reply = client.call(command, key, cursor, "COUNT", 20)
                cursor = reply[1][0][1]
                seen |= {item[1] for item in reply[1][1][1]}
                if cursor == b"0":
                    break
                gone, new = prefix + b"%d" % (step * 2 + 1), prefix + b"new%d" % step
                if command == "SSCAN":
                    client.call("SREM", key, gone)
                    client.call("SADD", key, new)
                else:
                    client.call("HDEL", key, gone)
                    client.call("HSET", key, new, "v")
                step += 1
            run.check(stay <= seen, "an element that stayed was not seen", [command])


def case_random_members(run):
    """random commands give members, and in time all of them"""
    run.call("SADD", "s", *range(20))
    run.call("HSET", "h", *[word for i in range(20) for word in ("f%d" % i, i)])
    connection = run.connect("c1")
    members = {b"%d" % i for i in range(20)}
    for client in (connection.theirs, connection.ours):
        seen = set()
        for _ in range(100):
            seen.add(client.call("SRANDMEMBER", "s")[1])
            seen |= {item[1] for item in client.call("SRANDMEMBER", "s", -5)[1]}
            seen |= {item[1] for item in client.call("SRANDMEMBER", "s", 5)[1]}
        run.check(seen == members, "SRANDMEMBER gave %d different members of 20" % len(seen))
        fields = set()
        for _ in range(100):
            fields |= {item[1] for item in client.call("HRANDFIELD", "h", 5)[1]}
            fields.add(client.call("HRANDFIELD", "h")[1])
        run.check(fields == {b"f%d" % i for i in range(20)}, "HRANDFIELD missed a field")
        keys = {client.call("RANDOMKEY")[1] for _ in range(200)}
        run.check(keys == {b"s", b"h"}, "RANDOMKEY missed a key")


def case_spop_takes_members_away(run):
    """SPOP gives each member once, and the set has the rest"""
    run.call("SADD", "s", *["m%d" % i for i in range(200)])
    connection = run.connect("c1")
    for client in (connection.theirs, connection.ours):
        popped = [client.call("SPOP", "s")[1] for _ in range(20)]
        popped += [item[1] for item in client.call("SPOP", "s", 80)[1]]
        rest = [item[1] for item in client.call("SMEMBERS", "s")[1]]
        run.check(len(popped) == 100 == len(set(popped)), "SPOP repeated a member")
        run.check(sorted(popped + rest) == sorted(b"m%d" % i for i in range(200)),
                  "SPOP lost or invented a member")
