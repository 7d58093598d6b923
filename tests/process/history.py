# SPDX-License-Identifier: Apache-2.0
"""What writers did, and whether a restarted server may look the way it does.

Each writer owns its keys and sends its operations over one connection, in order, so what the
server holds afterwards must be the state after some prefix of what the writer sent, and that
prefix must contain everything that was acknowledged. Example: SET a 1 (acknowledged), INCR b (no
answer), MULTI SET a 2, INCR b EXEC (no answer). Allowed are {a:1}, {a:1, b:1}, {a:2, b:2}; not
{} (an acknowledged write is gone), and not {a:2, b:1} (half a transaction).

Nothing here talks to a server; self_test.py proves that each kind of fault is found.
"""
import copy

# State of a key: [kind, value, deadline in ms or None]; kind 's' bytes, 'h' dict, 't' set.
# Names of keys carry their kind, so no command meets a key of another kind.
FAR_FUTURE_MS = 4_000_000_000_000


def apply_operation(state, operation):
    """Changes the state as Redis would, and gives the reply that Redis would send."""
    name, key, *rest = operation
    if name == "MULTI":
        return ["OK", *["QUEUED"] * len(key), [apply_operation(state, inner) for inner in key]]
    entry = state.get(key)
    if name == "SET":
        state[key] = ["s", rest[0], None]
        return "OK"
    if name == "DEL":
        return 1 if state.pop(key, None) else 0
    if name == "PEXPIREAT":
        if entry:
            entry[2] = rest[0]
        return 1 if entry else 0
    if name in ("INCR", "APPEND"):
        entry = state.setdefault(key, ["s", b"0" if name == "INCR" else b"", None])
        if name == "INCR":
            entry[1] = b"%d" % (int(entry[1]) + 1)
            return int(entry[1])
        entry[1] += rest[0]
        return len(entry[1])
    if name == "SETRANGE":
        entry = state.setdefault(key, ["s", b"", None])
        offset, part = rest
        padded = entry[1].ljust(offset, b"\0")
        entry[1] = padded[:offset] + part + padded[offset + len(part):]
        return len(entry[1])
    if name in ("HSET", "SADD"):
        value = state.setdefault(key, ["h", {}, None] if name == "HSET" else ["t", set(), None])[1]
        before = len(value)
        if name == "HSET":
            value.update(zip(rest[::2], rest[1::2]))
        else:
            value.update(rest)
        return len(value) - before
    return remove_members(state, key, rest)


def remove_members(state, key, members):
    """HDEL and SREM: a collection that became empty is no key any more."""
    entry = state.get(key)
    if not entry:
        return 0
    before = len(entry[1])
    for member in members:
        entry[1].pop(member, None) if entry[0] == "h" else entry[1].discard(member)
    removed = before - len(entry[1])
    if not entry[1]:
        del state[key]
    return removed


def commands_of(operation):
    """The commands that an operation is on the wire."""
    if operation[0] == "MULTI":
        return [("MULTI",), *operation[1], ("EXEC",)]
    return [operation]


def keys_of(operation):
    if operation[0] == "MULTI":
        return {key for inner in operation[1] for key in keys_of(inner)}
    return {operation[1]}


class History:
    """One writer's: the state after all that was acknowledged, and what was sent since."""

    def __init__(self, name):
        self.name = name
        self.state = {}
        self.unacknowledged = []
        self.acknowledged_count = 0
        self.faults = []

    def sent(self, operations):
        self.unacknowledged += operations

    def acknowledge(self, reply):
        """The reply to the oldest operation that waits for one."""
        operation = self.unacknowledged.pop(0)
        wanted = apply_operation(self.state, operation)
        self.acknowledged_count += 1
        if reply != wanted:
            self.faults.append(f"{self.name}: {operation!r:.200} answered {reply!r:.200} "
                               f"instead of {wanted!r:.200}")

    def settle(self, found):
        """Compares with what the server holds (key -> state); gives the faults, and takes over
        what the server holds as the new truth."""
        faults, self.faults = self.faults, []
        touched = {key for operation in self.unacknowledged for key in keys_of(operation)}
        for key in {*self.state, *found}:
            if key not in touched and self.state.get(key) != found.get(key):
                faults.append(f"{self.name}: {key!r}: acknowledged {self.state.get(key)!r:.200}, "
                              f"found {found.get(key)!r:.200}")
        if not self._some_prefix_fits(found, touched):
            faults.append(f"{self.name}: no prefix of {len(self.unacknowledged)} unanswered "
                          f"operations gives what was found: {self._explain(found, touched)}")
        self.state = copy.deepcopy(found)
        self.unacknowledged = []
        return faults

    def _some_prefix_fits(self, found, touched):
        part = {key: copy.deepcopy(self.state[key]) for key in touched if key in self.state}
        wanted = {key: found[key] for key in touched if key in found}
        if part == wanted:
            return True
        for operation in self.unacknowledged:
            apply_operation(part, operation)
            if part == wanted:
                return True
        return False

    def _explain(self, found, touched):
        return "; ".join(f"{key!r} acknowledged {self.state.get(key)!r:.80} found "
                         f"{found.get(key)!r:.80}" for key in sorted(touched)[:6])


class SharedCounter:
    """A number that everybody increments: between what was answered and what was sent."""

    def __init__(self, key):
        self.key = key
        self.acknowledged = 0
        self.sent = 0

    def settle(self, found):
        """`found`: the number the server holds. It becomes the new truth."""
        low, high = self.acknowledged, self.sent
        self.acknowledged = self.sent = found
        if low <= found <= high:
            return []
        return [f"{self.key!r} is {found}: {low} increments were answered, {high} sent"]


def count_faults(dbsize, scanned, known):
    """DBSIZE, the keys of a whole SCAN and the keys that should be there must agree."""
    faults = []
    if dbsize != len(known):
        faults.append(f"DBSIZE is {dbsize}, {len(known)} keys should be there")
    if scanned != known:
        missing, extra = sorted(known - scanned)[:5], sorted(scanned - known)[:5]
        faults.append(f"SCAN gives {len(scanned)} keys; missing {missing}, unexpected {extra}")
    return faults
