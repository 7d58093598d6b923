# SPDX-License-Identifier: Apache-2.0
"""The exact specification, computed from the events alone, and the checks at rest.

U is the clock that all homes share at rest. A row's live dots are those that events of U added,
minus those that events of U removed by name or under a clear, minus what hangs on a base that U
contains and that is not live. Events that amnesia took from everybody may have left removals
behind (repair spread them before): such an absence is no fault.
"""
from model_commands import (FIELDS, FRAGMENTS, IMPLICIT, KEYS, KINDS, base_number, fragments_of,
                            shown_kind, view, winner)
from model_replica import NO_BASE, Violation, base_row, covers, field_row


class Specification:
    def __init__(self, world):
        self.world = world
        self.clock = world.homes[0].clock
        self.rules = world.rules
        self.adds, self.removed = {}, {}        # row -> dots
        self.clears = []                        # (scope, ctx) of U
        self.vanished, self.vanished_clears = {}, []
        for dot, events in world.events.items():
            for event in events:
                self._take(event, dot in self.clock)

    def _take(self, event, known):
        if known:
            self.clears += event.clears
        else:
            self.vanished_clears += event.clears
        for row, removed, value in event.rows:
            if known and value is not None:
                self.adds.setdefault(row, set()).add(event.dot)
            table = self.removed if known else self.vanished
            table.setdefault(row, set()).update(removed)

    def removed_by_vanished(self, row, dot):
        return (dot in self.vanished.get(row, ())
                or any(dot in ctx and covers(scope, row) for scope, ctx in self.vanished_clears))

    def dead(self, row, base, live_bases):
        """True, False, or None when a vanished event may have killed it (or half killed it: a
        repair brought the base back, what hung on it had been dropped)."""
        if base in live_bases:
            return None if self.removed_by_vanished(row, base) else False
        if base in self.clock or base in self.removed.get(row, ()):
            return True
        if any(base in ctx and covers(scope, row) for scope, ctx in self.clears):
            return True
        return None if self.removed_by_vanished(row, base) else False

    def live(self, row):
        dots = self.adds.get(row, set()) - self.removed.get(row, set())
        return {dot for dot in dots
                if not any(dot in ctx and covers(scope, row) for scope, ctx in self.clears)}

    def event(self, dot):
        return self.world.events[dot][-1]


def check_at_rest(world):
    first = world.homes[0]
    if any(home.clock != first.clock for home in world.homes):
        raise Violation("CLOCKS differ at rest")
    rows = [{row: frozenset(dots) for row, dots in home.live.items() if dots}
            for home in world.homes]
    if any(other != rows[0] for other in rows):
        raise Violation("DIVERGED: rows differ with equal clocks")
    if world.rules["rotate_actor"] and any(len(events) > 1 for events in world.events.values()):
        raise Violation("REUSED a dot")
    spec = Specification(world)
    check_rows(spec, rows[0])
    check_counts(spec, rows[0])
    check_views(spec, rows[0])
    check_fragments(spec)


def check_rows(spec, rows):
    for row in {*spec.adds, *rows}:
        got, wanted = rows.get(row, frozenset()), spec.live(row)
        base = row[4]
        if base != NO_BASE:
            home = base_row(row[0], row[1])
            dead = spec.dead(home, base, rows.get(home, ()))
            if dead and got:
                raise Violation(f"DEAD base, yet {row} is there")
            if dead is not False:
                wanted = set(got)
        missing = [dot for dot in wanted - got if not spec.removed_by_vanished(row, dot)]
        if missing:
            raise Violation(f"LOST {row} {missing}")
        back = [dot for dot in got - wanted if dot in spec.clock]
        if back:
            raise Violation(f"RESURRECTED {row} {back}")


def check_counts(spec, rows):
    """A number is its winner's base plus every increment on the winner and on implicit bases
    that nobody who had seen it removed: counted from commands, not from totals."""
    home = spec.world.homes[0]
    for key in KEYS:
        if shown_kind(home, key) != "str":
            continue
        bases = home.live_of(base_row(*key))
        if any(dot not in spec.clock for row, dots in rows.items()
               if row[:3] == (*key, "str") for dot in dots):
            continue  # what an event left behind by repair before amnesia took it
        if any(spec.removed_by_vanished(row, dot)
               for row in spec.adds if row[:3] == (*key, "str") for dot in spec.adds[row]):
            continue
        shown = max(bases, key=lambda dot: (bases[dot][0], dot))
        counted = {shown} | {dot for dot, (_, value) in bases.items() if value == IMPLICIT}
        wanted = base_number(bases[shown][1]) + sum(
            increments(spec, key, base) for base in counted)
        now = min(spec.world.now, 0)  # a time before every deadline
        seen = view(home, key, now)
        got = seen[1] if seen and seen[0] == "str" else None
        if got != wanted:
            raise Violation(f"COUNT {key}: {got} instead of {wanted}")


def increments(spec, key, base):
    """Sum of the increments on one base. A total carries its actor's earlier increments with it,
    so those count although amnesia may have taken their events."""
    own = {}
    for dot, events in spec.world.events.items():
        fact = events[-1].facts.get("incr")
        if fact and fact[:2] == (key, base):
            own.setdefault(dot[0], {})[dot[1]] = fact[2]
    total = 0
    for actor, deltas in own.items():
        known = [n for n in deltas if (actor, n) in spec.clock]
        for n, delta in deltas.items():
            if known and n <= max(known) and not removed_after_seen(spec, key, (actor, n)):
                total += delta
    return total


def removed_after_seen(spec, key, dot):
    """Whether a command of U that replaces the key's string had seen this increment."""
    for later, events in spec.world.events.items():
        event = events[-1]
        if later not in spec.clock or dot not in event.seen:
            continue
        if event.command[0] in ("SET", "DEL", "EXPIRED") and event.command[1] == key:
            return True
        if any(covers(scope, base_row(*key)) for scope, _ in event.clears):
            return True
    return False


def check_views(spec, rows):
    """What each home shows: hidden by the latest deadline that was meant for what is shown."""
    for home in spec.world.homes:
        for key in KEYS:
            kind = shown_kind(home, key)
            if kind is None:
                continue
            deadline = spec_deadline(spec, home, key, kind)
            now = spec.world.now
            wanted = deadline is None or deadline > now + home.skew
            got = view(home, key, now)
            if (got is not None) != wanted or (got and got[2] != deadline):
                raise Violation(f"VIEW {key} at {now}: {got}, deadline {deadline}")


def check_fragments(spec):
    """What is shown of a string are the fragments that were meant for the shown base."""
    for home in spec.world.homes:
        for key in KEYS:
            if shown_kind(home, key) != "str":
                continue
            base = winner(home.live_of(base_row(*key)))
            wanted = {}
            for index in FRAGMENTS:
                dots = {dot: entry for row, entries in home.live.items()
                        if row[:4] == (*key, "str", f"f:{index}") for dot, entry in entries.items()
                        if spec.event(dot).facts["fragment"] == (key, base, index)}
                if dots:
                    wanted[index] = dots[winner(dots)][1]
            got = fragments_of(home, key)
            if got != wanted:
                raise Violation(f"FRAGMENTS of {key}: {got} instead of {wanted}")


def spec_deadline(spec, home, key, kind):
    bases = home.live_of(base_row(*key))
    target = max(bases, key=lambda dot: (bases[dot][0], dot)) if kind == "str" else NO_BASE
    found = []
    for row, dots in home.live.items():
        if row[:4] != (*key, kind, "ttl"):
            continue
        for dot, (_, value) in dots.items():
            if spec.event(dot).facts["ttl"] == (key, target):
                found.append(value)
    return max(found) if found else None


def check_space_and_kinds(world):
    """Deadlines pass: rank 0 gives the space back. Then one write a key leaves one kind."""
    world.now += 1000
    world.sweep(0)
    world.exchange_all(2)
    for home in world.homes:
        for key in KEYS:
            kind = shown_kind(home, key)
            if kind and any(row[:4] == (*key, kind, "ttl") and dots
                            for row, dots in home.live.items()):
                if view(home, key, world.now) is None:
                    raise Violation(f"SPACE of {key} was not given back")
    for number, key in enumerate(KEYS):
        home = world.homes[number % 3]
        seen = view(home, key, world.now)
        if seen is None or seen[0] == "str":
            world.run_at(home, ("INCR", key, 1))
        else:
            world.run_at(home, ("HSET", key, FIELDS[0], "last"))
    world.net.clear()
    world.exchange_all(2)
    for home in world.homes:
        for key in KEYS:
            kinds = [kind for kind in KINDS
                     if any(row[:3] == (*key, kind) and dots and
                            (row[3] in ("base", "ttl") or kind == "hash")
                            for row, dots in home.live.items())]
            if len(kinds) > 1:
                raise Violation(f"KINDS of {key}: {kinds}")
    check_at_rest(world)
