# SPDX-License-Identifier: Apache-2.0
"""One replica of one partition: rows, clock, what it knows to be removed, captured sums.

Terms, as in the design of replication:

  dot      (actor, n): who wrote, and its how-many-th write. An actor's dots are dense.
  event    one command's effects under one dot: row effects (row, R, value or None), where R names
           the dots that the effect replaces, and clear effects (scope, ctx), where ctx is all that
           the coordinator had seen.
  row      live {dot: (hlc, value)} and gone: dots known to be removed that the clock has not seen.
  clock    the exact set of dots whose effects were applied here.

A row's key is (namespace, key, kind, part, base dot, actor), so a scope is a prefix of it:

  ('all',)  ('ns', n)  ('key', n, k)  ('kind', n, k, kind)

  n k 'str'  'base'  NONE 0      a string's value; several live dots are siblings
  n k 'str'  'total' e    actor  what `actor` added to the base with dot e
  n k 'str'  'ttl'   e    0      the deadline of the base with dot e
  n k 'str'  'f:0'   e    0      a fragment of the base with dot e
  n k 'hash' 'f:x'   NONE 0      a field
  n k 'hash' 'ttl'   NONE 0      the deadline of the hash

The dead-base rule: a total, deadline or fragment whose base was seen and is not live is dropped
by every replica for itself; it is a pure function of rows and clock. Example: A has base e with
total 3; B, not having seen the third INCR, SETs a new base with R = {e}. When both meet, e is seen
and dead, so A's total goes too, wherever it arrives and however late.
"""

NO_BASE = (0, 0)


class Violation(Exception):
    """A rule of the design was broken in this run."""


def base_row(namespace, key):
    return (namespace, key, "str", "base", NO_BASE, 0)


def field_row(namespace, key, field):
    return (namespace, key, "hash", "f:" + field, NO_BASE, 0)


def covers(scope, row):
    return row[:len(scope) - 1] == scope[1:]


class Event:
    """Immutable. `command` and `seen` are for the checker; a replica never looks at them."""

    def __init__(self, dot, hlc, rows, clears, command=None, seen=frozenset(), facts=None):
        self.dot = dot
        self.hlc = hlc
        self.rows = rows
        self.clears = clears
        self.command = command
        self.seen = seen
        self.facts = facts or {}
        self.removes = {row: removed for row, removed, _ in rows}


class Replica:
    def __init__(self, name, actor, rules, skew=0):
        self.name = name
        self.actor = actor
        self.rules = rules
        self.skew = skew
        self.counter = 0       # own events so far
        self.hlc = 0
        self.clock = set()
        self.live = {}         # row -> {dot: (hlc, value)}
        self.gone = {}         # row -> set of dots
        self.pending = {}      # scope -> dots that were cleared before they were seen
        self.log = {}          # dot -> event, for as long as somebody may lack it
        self.collected = set()  # dots whose log entry went
        self.sync = None       # inbound full sync: [clock of the source, last row done]
        self.ahead = set()     # clocks of those whose removals we took without their events
        self.clean = {}        # row -> hash, as counted in sums
        self.dirty = set()
        self.sums = [0, 0]     # per leaf, over clean rows
        self.captured = None   # (clock, irregular, sums) of the last capture

    def clone(self):
        other = Replica(self.name, self.actor, self.rules, self.skew)
        other.counter, other.hlc = self.counter, self.hlc
        other.clock = set(self.clock)
        other.live = {row: dict(dots) for row, dots in self.live.items()}
        other.gone = {row: set(dots) for row, dots in self.gone.items()}
        other.pending = {scope: set(dots) for scope, dots in self.pending.items()}
        other.log = dict(self.log)
        other.collected = set(self.collected)
        other.ahead = set(self.ahead)
        other.clean, other.dirty = dict(self.clean), set(self.dirty)
        other.sums, other.captured = list(self.sums), self.captured
        return other

    # --- what is known here -------------------------------------------------------------------

    def live_of(self, row):
        return self.live.get(row, {})

    def known_removed(self, row, dot):
        if dot in self.gone.get(row, ()):
            return True
        return any(dot in dots and covers(scope, row) for scope, dots in self.pending.items())

    def seen(self, row, dot):
        if dot in self.clock or self.known_removed(row, dot):
            return True
        return bool(self.rules["sync_cursor"] and self.sync and self.sync[1] is not None
                    and row <= self.sync[1] and dot in self.sync[0])

    def is_dead(self, row):
        """A total, deadline or fragment that hangs on a base which was seen and is not live."""
        base = row[4]
        if base == NO_BASE:
            return False
        base_key = base_row(row[0], row[1])
        if base in self.live_of(base_key):
            return False
        if not self.rules["dead_base_needs_seen"]:
            return True
        return base in self.clock or self.known_removed(base_key, base)

    def irregular(self):
        """Rows that say more than the clock does, and scopes that still wait for dots."""
        rows = {row for row, dots in self.gone.items() if dots}
        rows |= {row for row, dots in self.live.items() if any(d not in self.clock for d in dots)}
        return rows

    def irregular_print(self):
        return frozenset(
            (row, frozenset(self.live_of(row)), frozenset(self.gone.get(row, ())))
            for row in self.irregular()) | frozenset(
            (scope, frozenset(dots)) for scope, dots in self.pending.items())

    # --- changing rows; each change makes its row dirty ----------------------------------------

    def _touch(self, row):
        if row in self.clean:
            self.sums[leaf_of(row)] -= self.clean.pop(row)
        self.dirty.add(row)

    def _add_live(self, row, dot, value):
        self._touch(row)
        self.live.setdefault(row, {})[dot] = value

    def _drop_live(self, row, dots):
        here = self.live.get(row)
        if here and any(dot in here for dot in dots):
            self._touch(row)
            for dot in dots:
                here.pop(dot, None)

    def apply_row(self, row, adds, removes, arriving=frozenset()):
        """Joins into one row; `arriving` are dots that the clock is about to take in."""
        self._drop_live(row, removes)
        for dot, value in adds.items():
            self.hlc = max(self.hlc, value[0])
            if dot in self.live_of(row) or dot in removes:
                continue
            if not self.seen(row, dot):
                self._add_live(row, dot, value)
        if self.rules["remember_gone"]:
            fresh = {d for d in removes if d not in self.clock and d not in arriving}
            if fresh:
                self.gone.setdefault(row, set()).update(fresh)
        if self.rules["removed_dots_to_clock"]:
            self.clock |= set(removes)

    def apply_clear(self, scope, ctx):
        in_scope = [row for row in self.live if covers(scope, row)]
        if self.clock <= ctx and not self._irregular_in(scope):
            for row in in_scope:  # the range delete: nothing here is newer than ctx
                self._drop_live(row, list(self.live[row]))
            for row in [row for row in self.gone if covers(scope, row)]:
                del self.gone[row]
        else:
            for row in in_scope:
                self._drop_live(row, [dot for dot in self.live[row] if dot in ctx])
        if self.rules["remember_ctx_" + scope[0]]:
            waiting = {dot for dot in ctx if dot not in self.clock}
            if waiting:
                self.pending.setdefault(scope, set()).update(waiting)

    def _irregular_in(self, scope):
        if not self.rules["range_delete_checks_irregular"]:
            return False
        return any(covers(scope, row) for row in self.irregular())

    def settle(self):
        """Forgets what the clock covers now, and drops what hangs on dead bases."""
        for table in (self.gone, self.pending):
            for name in list(table):
                table[name] -= self.clock
                if not table[name]:
                    del table[name]
        for row in list(self.live):
            if self.rules["dead_base"] and self.live[row] and self.is_dead(row):
                if self.rules["sums_follow_drops"]:
                    self._drop_live(row, list(self.live[row]))
                else:
                    self.live[row].clear()
                    self.clean.pop(row, None)
            if not self.live[row]:
                del self.live[row]

    def apply_event(self, event):
        if event.dot in self.clock:
            return
        self.hlc = max(self.hlc, event.hlc)
        for scope, ctx in event.clears:
            self.apply_clear(scope, ctx)
        for row, removed, value in event.rows:
            adds = {} if value is None else {event.dot: (event.hlc, value)}
            self.apply_row(row, adds, removed)
        self.clock.add(event.dot)
        self.log[event.dot] = event
        self.settle()

    # --- messages -----------------------------------------------------------------------------

    def row_message(self, row):
        """A row as it is now: live dots, and every dot known to be removed from it."""
        gone = set(self.gone.get(row, ()))
        for scope, dots in self.pending.items():
            if covers(scope, row):
                gone |= dots
        return dict(self.live_of(row)), gone

    def take_removals_of(self, other):
        """Rows here may now lack what only `other`'s events remove: not comparable until seen."""
        self.ahead |= other.clock | other.ahead
        self.ahead -= self.clock

    # --- captured sums ------------------------------------------------------------------------

    def capture(self):
        for row in self.dirty:
            if self.live_of(row):
                self.clean[row] = row_hash(row, self.live[row])
                self.sums[leaf_of(row)] += self.clean[row]
        self.dirty.clear()
        comparable = not self.rules["ahead_clock"] or self.ahead <= self.clock
        self.captured = None
        if comparable:
            self.captured = (frozenset(self.clock), self.irregular_print(), tuple(self.sums))

    def sums_from_rows(self):
        """What a scrub finds: the sums computed from the rows themselves."""
        sums = [0, 0]
        for row, dots in self.live.items():
            if dots and row not in self.dirty:
                sums[leaf_of(row)] += row_hash(row, dots)
        return sums

    def pair_to_compare(self):
        if self.rules["captured_pairs"]:
            return self.captured
        return (frozenset(self.clock), self.irregular_print(), tuple(self.sums))


def leaf_of(row):
    return 0 if row[1] == "k1" else 1


def row_hash(row, dots):
    return hash((row, tuple(sorted(dots))))
