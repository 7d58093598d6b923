#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Histories of the model of rows, for another implementation to replay: the same events, joined in
the same order, must give the same rows (tests/storage/model_replay_test.cc).

    export_histories.py RUNS STEPS [FIRST_SEED]

Commands run anywhere, events travel late, twice and out of order; there are no pulls and crashes,
whose counterparts are not of the join. The deadlines of hashes are left out: here they are cleared
with the kind, there they are the key's, whatever collection it holds. A total or deadline is
printed while its base is live: how long it waits for one that is known to be removed is no matter
of the rows that show. What it prints, a line each; a dot is actor:n, `-` nothing:

    run SEED
    event DOT HLC                                begins an event; then its clears and rows, in order
    clear all|ns|key|kind NS KEY KIND DOT...     the dots are its context
    row NS KEY KIND ELEMENT BASE VALUE DOT...    the dots are those that it removes; VALUE - removes
    join NODE                                    the event above, or one named again: again DOT
    rows NODE COUNT                              what the node shows then, so many lines:
    NS KEY KIND ELEMENT BASE ACTOR DOT=VALUE...  live versions, dots in order
    end                                          A, B and C have all
"""
import sys

from model_commands import IMPLICIT
from model_replica import NO_BASE, base_row
from replication_model import RULES, World

EXCHANGE_FREE = {**RULES, "amnesia": 0, "merkle": 0, "fragments": 0}


def dot_text(dot):
    return "-" if dot == NO_BASE else f"{dot[0]}:{dot[1]}"


def is_exported(row):
    return row[3] != "ttl" or row[4] != NO_BASE


def kind_and_element(row):
    """In the names of the other side: base, total, deadline, field."""
    part = row[3]
    if part.startswith("f:"):
        return "field", part[2:]
    return {"base": "base", "total": "total", "ttl": "deadline"}[part], "-"


def value_text(value):
    return "implicit" if value == IMPLICIT else str(value)


def print_event(event):
    print("event", dot_text(event.dot), event.hlc)
    for scope, context in event.clears:
        names = list(scope[1:]) + ["-"] * (4 - len(scope))
        print("clear", scope[0], *names, *map(dot_text, sorted(context)))
    for row, removed, value in event.rows:
        kind, element = kind_and_element(row)
        if not is_exported(row) or (kind == "total" and value is None):
            continue  # a total goes with its base: there, it is its actor's alone
        shown = "-" if value is None else value_text(value)
        print("row", row[0], row[1], kind, element, dot_text(row[4]), shown,
              *map(dot_text, sorted(removed)))


def print_rows(replica):
    lines = []
    for row, dots in replica.live.items():
        waits = row[4] != NO_BASE and row[4] not in replica.live_of(base_row(*row[:2]))
        if not dots or waits or not is_exported(row):
            continue
        kind, element = kind_and_element(row)
        versions = [f"{dot_text(dot)}={value_text(dots[dot][1])}" for dot in sorted(dots)]
        lines.append(" ".join([row[0], row[1], kind, element, dot_text(row[4]), str(row[5]),
                               *versions]))
    print("rows", replica.name, len(lines))
    print("\n".join(sorted(lines)), end="\n" if lines else "")


class Exporter(World):
    def run_at(self, at, command, by_name=False):
        before = dict(self.events)
        super().run_at(at, command, by_name)
        dot = next(dot for dot in self.events if dot not in before)
        print_event(self.events[dot][0])
        print("join", at.name)
        print_rows(at)

    def deliver(self):
        if not self.net:
            return
        at = self.rng.randrange(len(self.net))
        name, event = self.net[at]
        if self.rng.random() < .85:
            self.net.pop(at)
        self.take(name, event)

    def take(self, name, event):
        self.find(name).apply_event(event)
        print("again", dot_text(event.dot))
        print("join", name)
        print_rows(self.find(name))

    def step(self):
        self.now += 1
        dice = self.rng.random()
        if dice < .4:
            self.client_command()
        elif dice < .97:
            self.deliver()
        else:
            self.sweep(self.rng.randrange(3))

    def end(self):
        late = self.net + [(replica.name, event) for replica in self.homes
                           for events in self.events.values() for event in events]
        self.rng.shuffle(late)
        for name, event in late:
            self.take(name, event)
        print("end")


def main():
    runs, steps = int(sys.argv[1]), int(sys.argv[2])
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    for seed in range(first, first + runs):
        world = Exporter(seed, EXCHANGE_FREE)
        print("run", seed)
        for _ in range(steps):
            world.step()
        world.end()


if __name__ == "__main__":
    main()
