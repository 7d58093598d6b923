# SPDX-License-Identifier: Apache-2.0
"""Commands at their coordinator: what a client sees, which event a command makes, and what Redis
would show afterwards.

Every event is checked on the spot: the view of all keys after it must be the one that plain Redis
rules give from the view before it. So a rule that breaks a single node's semantics fails here,
and a rule that breaks convergence fails in model_spec.py.
"""
from model_replica import NO_BASE, Event, Violation, base_row, covers, field_row

KEYS = [("n1", "k1"), ("n1", "k2"), ("n2", "k1")]
FIELDS = ["a", "b"]
FRAGMENTS = [0, 1]
KINDS = ["str", "hash"]
IMPLICIT = "implicit zero"


def base_number(value):
    return 0 if value == IMPLICIT else value


# --- what a client sees -----------------------------------------------------------------------


def winner(dots):
    """The dot that is shown among siblings: the largest (hlc, actor)."""
    return max(dots, key=lambda dot: (dots[dot][0], dot)) if dots else None


def shown_kind(replica, key):
    """The kind with the largest live (hlc, actor) of its base or fields; None: no such key."""
    best = None
    for kind, rows in (("str", [base_row(*key)]),
                       ("hash", [field_row(*key, field) for field in FIELDS])):
        for row in rows:
            for dot, (hlc, _) in replica.live_of(row).items():
                if best is None or (hlc, dot) > best[0]:
                    best = ((hlc, dot), kind)
    return best[1] if best else None


def ttl_row(replica, key, kind):
    if kind == "hash":
        return (*key, "hash", "ttl", NO_BASE, 0)
    base = winner(replica.live_of(base_row(*key)))
    return (*key, "str", "ttl", base if replica.rules["deadline_on_base"] else NO_BASE, 0)


def deadline_of(replica, key, kind):
    dots = replica.live_of(ttl_row(replica, key, kind))
    if not dots:
        return None
    if not replica.rules["latest_deadline_counts"]:
        return dots[winner(dots)][1]
    return max(value for _, value in dots.values())


def number_of(replica, key):
    """Base of the winner, plus the totals of the winner and of all implicit bases."""
    bases = replica.live_of(base_row(*key))
    shown = winner(bases)
    counted = {shown}
    if replica.rules["implicit_bases_count"]:
        counted |= {dot for dot, (_, value) in bases.items() if value == IMPLICIT}
    if not replica.rules["total_per_base"]:
        counted.add(NO_BASE)
    total = base_number(bases[shown][1])
    for row, dots in replica.live.items():
        if row[:2] == key and row[3] == "total" and row[4] in counted and dots:
            total += dots[winner(dots)][1]
    return total


def fragment_row(replica, key, index):
    base = winner(replica.live_of(base_row(*key)))
    on_base = replica.rules["fragment_on_base"]
    return (*key, "str", f"f:{index}", base if on_base else NO_BASE, 0)


def fragments_of(replica, key):
    shown = {}
    for index in FRAGMENTS:
        dots = replica.live_of(fragment_row(replica, key, index))
        if dots:
            shown[index] = dots[winner(dots)][1]
    return shown


def view(replica, key, now):
    """None, or (kind, number or fields, deadline, fragments): what a client of this replica
    sees of the key."""
    kind = shown_kind(replica, key)
    if kind is None:
        return None
    deadline = deadline_of(replica, key, kind)
    if replica.rules["hide_by_time"] and deadline is not None and deadline <= now + replica.skew:
        return None
    if kind == "str":
        return kind, number_of(replica, key), deadline, fragments_of(replica, key)
    fields = {}
    for field in FIELDS:
        dots = replica.live_of(field_row(*key, field))
        if dots:
            fields[field] = dots[winner(dots)][1]
    return kind, fields, deadline, {}


def views(replica, now):
    return {key: view(replica, key, now) for key in KEYS}


# --- what Redis would show --------------------------------------------------------------------


def expected_views(before, command):
    name, target, *arguments = command
    after = dict(before)
    if name in ("FLUSHDB", "FLUSHALL"):
        for key in KEYS:
            if name == "FLUSHALL" or key[0] == target:
                after[key] = None
        return after
    old = before[target]
    if name == "SET":
        new = ("str", arguments[0], None, {})
    elif name == "INCR":
        new = ("str", (old[1] if old else 0) + arguments[0], *(old[2:] if old else (None, {})))
    elif name == "SETRANGE":
        new = (*old[:3], {**old[3], arguments[0]: arguments[1]})
    elif name == "HSET":
        fields = dict(old[1]) if old else {}
        fields[arguments[0]] = arguments[1]
        new = ("hash", fields, old[2] if old else None, {})
    elif name == "HDEL":
        fields = {field: value for field, value in old[1].items() if field != arguments[0]}
        new = ("hash", fields, old[2], {}) if fields else None
    elif name in ("EXPIRE", "PERSIST"):
        new = (old[0], old[1], arguments[0] if name == "EXPIRE" else None, old[3])
    else:
        new = None  # DEL, and the removal of an expired key
    after[target] = new
    return after


# --- from a command to an event ---------------------------------------------------------------


class EventMaker:
    """Collects the effects of one command on one replica's present state."""

    def __init__(self, replica, command, also_seen=frozenset()):
        self.replica = replica
        self.command = command
        self.also_seen = also_seen  # by others whom the coordinator asked
        self.dot = (replica.actor, replica.counter + 1)
        self.rows = {}
        self.clears = []
        self.facts = {}

    def effect(self, row, value=None, also_removes=()):
        removed = frozenset(self.replica.live_of(row)) | frozenset(also_removes)
        if value is not None or removed:
            self.rows[row] = (row, removed, value)

    def named_bases(self, prefix):
        """Bases that totals or deadlines here hang on, although the base itself has not come
        yet: who removes what it saw of them removes the base as well."""
        if not self.replica.rules["removal_names_bases"]:
            return set()
        return {row[4] for row, dots in self.replica.live.items()
                if dots and row[:len(prefix)] == prefix and row[4] != NO_BASE}

    def clear(self, scope):
        replica = self.replica
        ctx = replica.clock | self.also_seen
        if replica.rules["ctx_holds_live"]:
            for row, dots in replica.live.items():
                if covers(scope, row):
                    ctx |= set(dots)
        ctx |= self.named_bases(scope[1:])
        self.clears.append((scope, frozenset(ctx)))

    def clear_other_kinds(self, key, kind):
        if not self.replica.rules["kind_clear"]:
            return
        for other in KINDS:
            if other != kind and any(row[:3] == (*key, other) and dots
                                     for row, dots in self.replica.live.items()):
                scope = ("kind", *key, other) if self.replica.rules["kind_scope"] else ("key", *key)
                self.clear(scope)

    def new_base(self, key, value):
        """The base alone: what hangs on the old ones dies with them."""
        self.effect(base_row(*key), value, self.named_bases((*key, "str")))
        for row in list(self.replica.live):
            if row[:3] == (*key, "str") and row[3] != "base" and row[4] == NO_BASE:
                self.effect(row)  # only with a rule left out: rows that hang on no base

    def increment(self, key, delta, fresh):
        replica = self.replica
        base = self.dot if fresh else winner(replica.live_of(base_row(*key)))
        if fresh:
            self.new_base(key, IMPLICIT)
        rules = replica.rules
        row = (*key, "str", "total", base if rules["total_per_base"] else NO_BASE,
               replica.actor if rules["total_per_actor"] else 0)
        own = {} if fresh else replica.live_of(row)
        total = (own[winner(own)][1] if own else 0) + delta
        self.effect(row, total)
        self.facts = {"incr": (key, base, delta)}

    def finish(self):
        replica = self.replica
        replica.counter += 1
        replica.hlc += 1
        event = Event(self.dot, replica.hlc, list(self.rows.values()), self.clears,
                      self.command, frozenset(replica.clock), self.facts)
        replica.apply_event(event)
        return event


def make_event(replica, command, old, by_name, also_seen):
    """`old` is the view of the key; `by_name`: a DEL that names dots instead of clearing."""
    name, target, *arguments = command
    maker = EventMaker(replica, command, also_seen)
    if name == "FLUSHALL":
        maker.clear(("all",))
        return maker.finish()
    if name == "FLUSHDB":
        maker.clear(("ns", target))
        return maker.finish()
    absent = old is None
    if absent and shown_kind(replica, target) and replica.rules["expired_write_clears"]:
        maker.clear(("key", *target))  # expired and hidden, but not yet removed
    if name == "SET":
        maker.new_base(target, arguments[0])
        maker.clear_other_kinds(target, "str")
    elif name == "INCR":
        maker.increment(target, arguments[0], absent)
        maker.clear_other_kinds(target, "str")
    elif name == "SETRANGE":
        maker.effect(fragment_row(replica, target, arguments[0]), arguments[1])
        maker.facts = {"fragment": (target, winner(replica.live_of(base_row(*target))),
                                    arguments[0])}
        maker.clear_other_kinds(target, "str")
    elif name == "HSET":
        maker.effect(field_row(*target, arguments[0]), arguments[1])
        if absent and replica.rules["create_drops_deadline"]:
            maker.effect((*target, "hash", "ttl", NO_BASE, 0))
        maker.clear_other_kinds(target, "hash")
    elif name == "HDEL":
        maker.effect(field_row(*target, arguments[0]))
        if set(old[1]) == {arguments[0]}:
            maker.effect((*target, "hash", "ttl", NO_BASE, 0))
        maker.clear_other_kinds(target, "hash")
    elif name in ("EXPIRE", "PERSIST"):
        row = ttl_row(replica, target, old[0])
        maker.effect(row, arguments[0] if name == "EXPIRE" else None)
        maker.facts = {"ttl": (target, winner(replica.live_of(base_row(*target)))
                               if old[0] == "str" else NO_BASE)}
        maker.clear_other_kinds(target, old[0])
    elif by_name and not maker.clears:
        for row in [row for row in replica.live if row[:2] == target]:
            maker.effect(row)
        maker.effect(base_row(*target), None, maker.named_bases((*target, "str")))
    elif not maker.clears:
        maker.clear(("key", *target))
    return maker.finish()


def execute(replica, command, now, by_name=False, also_seen=frozenset()):
    """Runs one command and checks what the coordinator shows afterwards. `also_seen`: dots that a
    clear covers, too."""
    before = views(replica, now)
    target = command[1]
    event = make_event(replica, command, before.get(target), by_name, also_seen)
    got, wanted = views(replica, now), expected_views(before, command)
    if got != wanted:
        raise Violation(f"INTENT {command}: {before} became {got}")
    return event


def random_command(rng, replica, now, unique, strings=True):
    """A command that makes sense for what the replica shows (no WRONGTYPE, nothing to remove)."""
    key = rng.choice(KEYS)
    old = view(replica, key, now)
    kind = old[0] if old else None
    dice = rng.random()
    if dice < .03:
        return ("FLUSHALL", "") if rng.random() < .4 else ("FLUSHDB", key[0])
    if dice < .13:
        return ("DEL", key)
    if dice < .28 and old:
        persist = old[2] is not None and rng.random() < .3
        return ("PERSIST", key) if persist else ("EXPIRE", key, now + rng.randint(4, 45))
    if dice < .42 and strings:
        return ("SET", key, 1000 * unique)
    if kind == "str" and replica.rules["fragments"] and rng.random() < .4:
        return ("SETRANGE", key, rng.choice(FRAGMENTS), f"v{unique}")
    if kind == "str" or (kind is None and strings and rng.random() < .5):
        return ("INCR", key, rng.choice([1, 1, 10]))
    if kind == "hash" and rng.random() < .35:
        return ("HDEL", key, rng.choice(sorted(old[1])))
    return ("HSET", key, rng.choice(FIELDS), f"v{unique}")
