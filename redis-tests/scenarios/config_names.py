# SPDX-License-Identifier: Apache-2.0
"""Every parameter name of Redis 7.0 is known; those that can be set can be set."""

# Setting these to their own value has effects of its own.
LEFT_ALONE = {b"dir", b"bind", b"port", b"requirepass", b"masterauth", b"masteruser",
              b"tls-port", b"user", b"bind-source-addr"}


def case_every_name_of_redis_is_known(run):
    """CONFIG GET * has every name that Redis has"""
    theirs, ours = run.both("CONFIG", "GET", "*")
    names, known = ([item[0][1] for item in pairs(side)] for side in (theirs, ours))
    missing = sorted(set(names) - set(known))
    run.check(not missing, "missing: " + b" ".join(missing).decode(), ["CONFIG", "GET", "*"])
    doubled = sorted(name for name in set(known) if known.count(name) > 1)
    run.check(not doubled, "more than once: " + b" ".join(doubled).decode())


def case_every_name_can_be_set(run):
    """CONFIG SET of each parameter to the value that Redis has answers as Redis does"""
    theirs = run.both("CONFIG", "GET", "*")[0]
    found = []
    for name, value in pairs(theirs):
        if name[1] in LEFT_ALONE:
            continue
        a, b = run.both("CONFIG", "SET", name[1], value[1])
        if a != b and not (a[0] == b[0] == "-"):
            found.append("%s %s: %s, not %s" % (name[1].decode(), value[1].decode(), b, a))
    run.check(not found, "CONFIG SET differs: " + "; ".join(found))


def pairs(reply):
    if reply[0] == "%":
        return reply[1]
    return list(zip(reply[1][::2], reply[1][1::2]))
