#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A randomised model of the replication of one partition, with single rules that can be left out.

Three home replicas and one fallback guest on a lossy, duplicating, reordering network, with read
repair, interrupted pulls, full syncs with a cursor, collection of log entries, captures, clocks
that are askew, expiry, and crashes that forget (amnesia). Clients run SET, INCR, HSET, HDEL, DEL,
EXPIRE, PERSIST, SETRANGE, FLUSHDB and FLUSHALL anywhere. Checked: each command at its coordinator
(model_commands.py), captured sums whenever two replicas are comparable, and at rest rows, counts,
deadlines, kinds and space against an exact specification (model_spec.py).

    replication_model.py RUNS STEPS [FIRST_SEED] [RULE=0|1 ...]
    replication_model.py 2000 140                                    all rules: every run is ok
    replication_model.py 2000 140 900000 amnesia=0 merkle=0 dead_base=0   runs must fail

run_model.py does this for every rule. View changes, W and R counting: ring_model.py.
"""
import random
import sys

import model_commands
import model_spec
from model_replica import NO_BASE, Replica, Violation, base_row

GRACE = 8  # a home of rank i removes what expired i * GRACE ago

RULES = {
    # rows and clocks
    "remember_gone": 1,          # R outside the clock is kept: a late original stays removed
    "removed_dots_to_clock": 0,  # wrong: R's dots become seen
    "rotate_actor": 1,           # a replica that forgot writes under a new actor
    # exchange
    "explicit_removals": 1,      # a pull carries removals; absence is never evidence
    "irregular_index": 1,        # a pull ends with what the clock does not describe
    "log_floor": 1,              # dots without log entry are not pulled: full sync
    "sync_cursor": 1,            # rows already synced count the source's clock as seen
    "third_home_confirms": 1,    # a full sync drops nothing that a third home shows
    "repair_guard": 1,           # a contained clock is no witness of a removal
    "repair_infers": 0,          # wrong: read repair spreads inferred removals
    # clears
    "ctx_holds_live": 1, "remember_ctx_key": 1, "remember_ctx_kind": 1, "remember_ctx_ns": 1,
    "remember_ctx_all": 1,
    "range_delete_checks_irregular": 1,  # clock within ctx alone does not allow a range delete
    # counters
    "total_per_base": 1, "total_per_actor": 1, "implicit_bases_count": 1,
    "dead_base": 1, "dead_base_needs_seen": 1,
    "removal_names_bases": 1,    # who removes a total removes its base, even one not yet come
    # deadlines
    "deadline_on_base": 1, "latest_deadline_counts": 1, "hide_by_time": 1, "removal_by_event": 1,
    "expired_write_clears": 1, "create_drops_deadline": 1,
    "fragment_on_base": 1,
    # kinds
    "kind_clear": 1, "kind_scope": 1,
    # sums
    "captured_pairs": 1, "sums_follow_drops": 1, "ahead_clock": 1,
    "repair_needs_equal_clocks": 1,  # sums are of the past: rows are united only if still equal
    # what happens in a run
    "merkle": 1,                 # union of rows where comparable sums differ
    "amnesia": 1,                # crashes that return to an older state
    "loss": 0,                   # single rows vanish silently
    "strings": 1,                # SET, INCR and what hangs on bases, besides hashes
    "many_syncs": 0,             # most exchanges are full syncs
    "many_compares": 0,          # pairs of homes are brought together and compared often
    "fragments": 0,              # SETRANGE on strings
    "hlc_order": 0,              # pulls go in order of time, not at random
}


class World:
    def __init__(self, seed, rules):
        self.rng = random.Random(seed)
        self.rules = rules
        self.actors = 0
        self.homes = [self.new_replica(name) for name in "ABC"]
        self.guest = self.new_replica("F")
        self.now = 100
        self.unique = 0
        self.net = []        # (name of the receiver, event)
        self.events = {}     # dot -> [events]; two for a dot that was used twice
        self.exchanges = []
        self.snapshots = {}
        self.reported = {}
        self.forgot = False  # amnesia or loss happened
        self.stats = {"merkle": 0, "lost": 0, "compared": 0, "events": 0}

    def new_actor(self):
        self.actors += 1
        return self.actors

    def new_replica(self, name):
        return Replica(name, self.new_actor(), self.rules, self.rng.randint(-2, 2))

    def replicas(self):
        return self.homes + [self.guest]

    def find(self, name):
        return next(replica for replica in self.replicas() if replica.name == name)

    # --- one step -----------------------------------------------------------------------------

    def step(self):
        dice = self.rng.random()
        self.now += 1
        if self.rules["loss"] and self.rng.random() < .02:
            self.lose_row()
        if self.rules["many_compares"] and self.rng.random() < .05:
            self.calm_pair(*self.rng.sample(self.homes, 2))
        if dice < .28:
            self.client_command()
        elif dice < .58:
            self.deliver()
        elif dice < .64:
            self.read_repair()
        elif dice < .72:
            self.begin_exchange()
        elif dice < .87:
            self.go_on_exchange()
        elif dice < .90:
            self.collect_log()
        elif dice < .92:
            self.sweep(self.rng.randrange(3))
        elif dice < .95:
            self.rng.choice(self.homes).capture()
        elif dice < .958:
            self.compare(*self.rng.sample(self.homes, 2))
        elif dice < .965:
            self.calm_pair(*self.rng.sample(self.homes, 2))
        elif dice < .98:
            home = self.rng.choice(self.homes)
            self.snapshots[home.name] = home.clone()
        elif dice < .99 and self.rules["amnesia"]:
            self.crash()
        else:
            self.begin_sync(*self.rng.sample(self.homes, 2))

    def client_command(self):
        at = self.rng.choice(self.homes) if self.rng.random() < .9 else self.guest
        self.unique += 1
        command = model_commands.random_command(self.rng, at, self.now, self.unique,
                                                self.rules["strings"])
        self.run_at(at, command, by_name=self.rng.random() < .4)

    def run_at(self, at, command, by_name=False):
        event = model_commands.execute(at, command, self.now, by_name)
        self.stats["events"] += 1
        self.events.setdefault(event.dot, []).append(event)
        for to in self.replicas():
            if to is not at and (to is not self.guest or self.rng.random() < .3):
                self.net.append((to.name, event))

    def deliver(self):
        if not self.net:
            return
        at = self.rng.randrange(len(self.net))
        name, event = self.net[at]
        if self.rng.random() < .9:
            self.net.pop(at)
        if self.rng.random() < .7:
            self.find(name).apply_event(event)

    def sweep(self, rank):
        """Removal events for what expired, from rank 0 at the deadline, the others later."""
        home = self.homes[rank]
        for key in model_commands.KEYS:
            kind = model_commands.shown_kind(home, key)
            deadline = model_commands.deadline_of(home, key, kind) if kind else None
            if deadline is None or deadline + rank * GRACE > self.now + home.skew:
                continue
            if self.rules["removal_by_event"]:
                self.run_at(home, ("EXPIRED", key))
            else:
                for row in [row for row in home.live if row[:2] == key]:
                    home.apply_row(row, {}, set(home.live[row]), set(home.live[row]))
                home.settle()

    def crash(self):
        """A home returns to an older durable state, with what went out since still about."""
        if not self.snapshots:
            return
        self.forgot = True
        name = self.rng.choice(sorted(self.snapshots))
        old = self.snapshots[name].clone()
        if self.rules["rotate_actor"]:
            old.actor, old.counter = self.new_actor(), 0
        for exchange in list(self.exchanges):
            if name in (exchange["to"], exchange["source"]):
                self.abort(exchange)
        self.homes[[home.name for home in self.homes].index(name)] = old
        if self.rng.random() < .5:
            self.reported.pop(name, None)

    def lose_row(self):
        home = self.rng.choice(self.homes)
        others = [other for other in self.homes if other is not home]
        rows = [row for row, dots in sorted(home.live.items())
                if dots and all(any(dot in other.live_of(row) for other in others)
                                for dot in dots)]
        if rows:
            home.live[self.rng.choice(rows)].clear()
            self.forgot = True
            self.stats["lost"] += 1

    # --- read repair --------------------------------------------------------------------------

    def read_repair(self):
        """Merges one row of two replicas and sends back live and explicitly removed dots."""
        pair = self.rng.sample(self.replicas(), 2)
        rows = sorted({row for replica in pair for row in [*replica.live, *replica.gone]})
        if not rows:
            return
        row = self.rng.choice(rows)
        messages = [(replica, *replica.row_message(row)) for replica in pair]
        live, removed = {}, set()
        for mine, other in (messages, messages[::-1]):
            for dot, value in mine[1].items():
                if self.shows_removed(mine[0], other, dot):
                    if self.rules["repair_infers"]:
                        removed.add(dot)
                else:
                    live[dot] = value
            removed |= mine[2]
        removed -= set(live)
        for replica in pair:
            if self.rng.random() < .6:
                other = pair[0] if replica is pair[1] else pair[1]
                replica.apply_row(row, live, removed)
                replica.take_removals_of(other)
                replica.settle()

    def shows_removed(self, holder, other, dot):
        replica, live, gone = other
        if dot in live:
            return False
        contained = self.rules["repair_guard"] and replica.clock <= holder.clock
        return dot in gone or (dot in replica.clock and not contained)

    # --- exchanges ----------------------------------------------------------------------------

    def begin_exchange(self):
        source, to = self.rng.sample(self.replicas(), 2)
        if to is self.guest:
            return
        if self.rules["many_syncs"] and source is not self.guest and self.rng.random() < .6:
            self.begin_sync(to, source)
        else:
            self.begin_pull(to, source)

    def begin_pull(self, to, source):
        self.exchanges.append({"kind": "pull", "to": to.name, "source": source.name})

    def go_on_exchange(self):
        if not self.exchanges:
            return
        exchange = self.rng.choice(self.exchanges)
        if self.rng.random() < (.03 if exchange["kind"] == "sync" else .12):
            self.abort(exchange)
        else:
            self.exchange_step(exchange)

    def abort(self, exchange):
        if exchange["kind"] == "sync":
            self.find(exchange["to"]).sync = None
        self.exchanges.remove(exchange)

    def exchange_step(self, exchange):
        if exchange["kind"] == "sync":
            self.sync_step(exchange)
        else:
            self.pull_batch(exchange)

    def pull_batch(self, exchange):
        """Some missing dots, each with its rows as they are at the source now."""
        to, source = self.find(exchange["to"]), self.find(exchange["source"])
        missing = source.clock - to.clock
        if self.rules["log_floor"] and missing & source.collected:
            self.exchanges.remove(exchange)
            self.begin_sync(to, source)
            return
        missing = sorted(dot for dot in missing if dot in source.log)
        if self.rules["hlc_order"]:
            missing.sort(key=lambda dot: (source.log[dot].hlc, dot))
        else:
            self.rng.shuffle(missing)
        batch = missing[:self.rng.choice([1, 1, 2, 3])]
        arriving = frozenset(batch)
        events = [source.log[dot] for dot in batch]
        for event in events:
            for scope, ctx in event.clears:
                to.apply_clear(scope, ctx)
        for event in events:
            for row, removed, _ in event.rows:
                self.take_row(to, source, row, removed, arriving)
        for event in events:
            to.hlc = max(to.hlc, event.hlc)
            to.clock.add(event.dot)
            to.log[event.dot] = event
        to.take_removals_of(source)
        to.settle()
        if len(batch) == len(missing):
            self.pull_end(to, source)
            self.exchanges.remove(exchange)

    def take_row(self, to, source, row, removed=frozenset(), arriving=frozenset()):
        if self.rules["explicit_removals"]:
            live, gone = source.row_message(row)
            to.apply_row(row, live, (set(removed) | gone) - set(live), arriving)
        else:
            infer_row(to, row, source.row_message(row), source.clock, arriving, [])

    def pull_end(self, to, source):
        if not self.rules["irregular_index"]:
            return
        for row in sorted(source.irregular()):
            self.take_row(to, source, row)
        for scope, dots in list(source.pending.items()):
            to.apply_clear(scope, frozenset(dots))
        to.settle()

    def begin_sync(self, to, source):
        if to.sync or source is self.guest:
            return
        pinned = source.clone()
        to.sync = [frozenset(pinned.clock), None]
        self.exchanges.append({"kind": "sync", "to": to.name, "source": source.name,
                               "pinned": pinned})

    def sync_step(self, exchange):
        """One row, in order; with the last one the source's clock is taken over."""
        to, pinned = self.find(exchange["to"]), exchange["pinned"]
        rows = sorted({*to.live, *to.gone, *pinned.live, *pinned.gone})
        rest = [row for row in rows if to.sync[1] is None or row > to.sync[1]]
        if rest:
            row = rest[0]
            third = []
            if self.rules["third_home_confirms"]:
                third = [home for home in self.homes
                         if home.name not in (exchange["to"], exchange["source"])
                         and home.clock >= pinned.clock]
            arriving = frozenset(pinned.clock) if self.rules["sync_cursor"] else frozenset()
            infer_row(to, row, pinned.row_message(row), pinned.clock, arriving, third)
            to.sync[1] = row
            to.take_removals_of(pinned)
            to.settle()
        if len(rest) > 1:
            return
        to.clock |= pinned.clock
        to.collected |= pinned.collected | {dot for dot in pinned.clock if dot not in to.log}
        for dot, event in pinned.log.items():
            to.log.setdefault(dot, event)
            to.collected.discard(dot)
        to.hlc = max(to.hlc, pinned.hlc)
        for scope, dots in list(pinned.pending.items()):
            to.apply_clear(scope, frozenset(dots))
        to.sync = None
        to.settle()
        self.exchanges.remove(exchange)

    def collect_log(self):
        """A home forgets log entries that every home has reported to have."""
        at = self.rng.choice(self.homes)
        for home in self.homes:
            if self.rng.random() < .7:
                self.reported[home.name] = set(home.clock)
        known = [self.reported.get(home.name, set()) for home in self.homes]
        everywhere = set.intersection(*known)
        for dot in [dot for dot in at.log if dot in everywhere and dot in at.clock]:
            del at.log[dot]
            at.collected.add(dot)

    # --- sums ---------------------------------------------------------------------------------

    def calm_pair(self, one, other):
        """Two homes pull from each other to the end and capture; they may be compared later."""
        for to, source in ((one, other), (other, one)):
            exchange = {"kind": "pull", "to": to.name, "source": source.name}
            self.exchanges.append(exchange)
            while exchange in self.exchanges:
                self.exchange_step(exchange)
        one.capture()
        if self.rng.random() < .5:
            self.client_command()
        other.capture()
        self.compare(one, other)

    def compare(self, one, other):
        """Captured pairs of two replicas: equal clocks must mean equal sums."""
        for home in (one, other):
            if not self.forgot and home.sums_from_rows() != home.sums:
                raise Violation(f"SUM of {home.name} is not that of its rows")
        mine, theirs = one.pair_to_compare(), other.pair_to_compare()
        if mine is None or theirs is None or mine[:2] != theirs[:2]:
            return
        self.stats["compared"] += 1
        if mine[2] != theirs[2]:
            if not self.forgot:
                raise Violation(f"ALARM: {one.name} and {other.name} differ with equal clocks")
            self.unite(one, other)

    def unite(self, one, other):
        """Repair of a real mismatch: live dots of both, never a removal."""
        if not self.rules["merkle"]:
            return
        if self.rules["repair_needs_equal_clocks"] and not (
                one.clock == other.clock and not one.ahead and not other.ahead):
            return
        self.stats["merkle"] += 1
        for to, source in ((one, other), (other, one)):
            for row, dots in source.live.items():
                for dot, value in dots.items():
                    if dot not in to.live_of(row) and not to.known_removed(row, dot):
                        to._add_live(row, dot, value)
            to.settle()

    # --- the end of a run ---------------------------------------------------------------------

    def exchange_all(self, rounds):
        for exchange in list(self.exchanges):
            self.abort(exchange)
        for _ in range(rounds):
            for to in list(self.homes):
                for source in self.replicas():
                    if source is not to:
                        self.begin_pull(to, source)
                        while self.exchanges:
                            self.exchange_step(self.exchanges[0])

    def repair_all(self):
        """After complete exchanges nothing is under way: what differs now is real."""
        if not self.rules["merkle"]:
            return
        for home in self.homes:
            home.ahead.clear()
        for one in self.homes:
            for other in self.homes:
                if one is not other and one.clock == other.clock:
                    rows = {*one.live, *other.live}
                    if any(set(one.live_of(row)) != set(other.live_of(row)) for row in rows):
                        self.unite(one, other)

    def rest(self):
        late, self.net = self.net, []
        self.exchange_all(6)
        self.repair_all()
        for name, event in late:  # very late duplicates must be harmless
            if event.dot in self.find(name).clock:
                self.find(name).apply_event(event)


def infer_row(to, row, message, source_clock, arriving, third):
    """Join of a row by clocks: what the source has seen and does not show was removed, unless a
    third home with at least the source's clock still shows it."""
    live, gone = message
    live = dict(live)
    for home in third:
        for dot, value in home.live_of(row).items():
            if dot not in gone and dot in source_clock:
                live.setdefault(dot, value)
    removed = set(gone) | {dot for dot in to.live_of(row) if dot in source_clock}
    to.apply_row(row, live, removed - set(live), arriving)


def run(seed, steps, rules, stats=None):
    """None when all is well, else what is wrong, beginning with one word for its class."""
    world = World(seed, rules)
    try:
        for _ in range(steps):
            world.step()
        world.rest()
        model_spec.check_at_rest(world)
        model_spec.check_space_and_kinds(world)
        return None
    except Violation as violation:
        return str(violation)
    finally:
        if stats is not None:
            for name, count in world.stats.items():
                stats[name] = stats.get(name, 0) + count


def main(rules, run_one, usage):
    if len(sys.argv) < 3:
        sys.exit(usage)
    runs, steps = int(sys.argv[1]), int(sys.argv[2])
    rest = sys.argv[3:]
    first = int(rest.pop(0)) if rest and "=" not in rest[0] else 0
    rules = dict(rules)
    for word in rest:
        name, value = word.split("=")
        if name not in rules:
            sys.exit(f"no rule {name}; there are: {' '.join(rules)}")
        rules[name] = int(value)
    results, examples, stats = {}, {}, {}
    for seed in range(first, first + runs):
        wrong = run_one(seed, steps, rules, stats)
        word = wrong.split()[0] if wrong else "ok"
        results[word] = results.get(word, 0) + 1
        examples.setdefault(word, (seed, wrong))
    for word, count in sorted(results.items()):
        print(f"{count:7} {word:12} seed {examples[word][0]}: {examples[word][1] or ''}"[:300])
    print(stats)
    sys.exit(0 if set(results) == {"ok"} else 1)


if __name__ == "__main__":
    main(RULES, run, __doc__)
