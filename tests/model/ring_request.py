# SPDX-License-Identifier: Apache-2.0
"""Requests of the ring model: what they wait for, how answers are counted, how replies merge.

The rule of counting: members and numbers are those of the *newest* view among the coordinator's
and those in which the counted ones answered. Example: C still coordinates in phase 0 and has its
own acknowledgement and A's. If A applied the event in phase 1, two are not enough: 3 of ABCX are
needed. Counted by C's own view, X, from which phase 2 reads, might never hear of the write.
"""
from model_replica import covers, field_row, base_row
from model_commands import FIELDS


class Request:
    def __init__(self, number, node, started, sloppy):
        self.number = number
        self.at = node.name
        self.incarnation = node.incarnation
        self.view = node.view      # the newest that this request has met
        self.first_view = node.view
        self.started = started     # the world's step
        self.sloppy = sloppy
        self.known_up = ()         # members that the coordinator does not suspect, of late

    def meet(self, view, rules):
        if view.version > self.view.version and rules["count_by_newest"]:
            self.view = view


class Write(Request):
    """Done when enough replicas have durably applied the event."""

    def __init__(self, number, node, started, sloppy, event):
        super().__init__(number, node, started, sloppy)
        self.event = event
        self.acks = []             # (name, version); more than one of a node after resending

    def acknowledged(self):
        return {name for name, _ in self.acks}

    def member_acks(self, rules):
        names = [name for name, _ in self.acks if name in self.view.write_set]
        return len(set(names)) if rules["acks_count_nodes"] else len(names)

    def enough(self, rules):
        count = self.member_acks(rules)
        if self.sloppy:
            guests = len(self.acknowledged() - set(self.view.write_set))
            count += min(guests, len(self.view.write_set) - count)
        return count >= self.view.writes


class Reply:
    """What one replica knows of some rows; `rows` None: its clock only."""

    def __init__(self, node, rows):
        self.name = node.name
        self.version = node.view.version
        self.recovering = node.recovering
        self.clock = frozenset(node.replica.clock)
        self.rows = {row: node.replica.row_message(row) for row in rows}


class Read(Request):
    """Done when enough homes have replied. `command` is what the coordinator does with it: None
    for a client's read, else a command that first wants to know what it removes."""

    def __init__(self, number, node, started, sloppy, rows, command=None):
        super().__init__(number, node, started, sloppy)
        self.rows = rows
        self.command = command
        self.replies = {}

    def counted(self, rules):
        members = set(self.view.read_set)
        if not rules["pending_not_read"]:
            members |= set(self.view.write_set)
        return sum(reply.name in members and not (reply.recovering
                                                  and rules["recovering_not_read"])
                   for reply in self.replies.values())

    def enough(self, rules, homes_up):
        """`homes_up`: how many homes could be counted as the coordinator sees it."""
        count = self.counted(rules)
        if count >= self.view.reads:
            return True
        if not self.sloppy or (rules["guests_count_last"] and homes_up >= self.view.reads):
            return False
        guests = sum(name not in self.view.members() for name in self.replies)
        return count + guests >= self.view.reads

    def merged(self, row):
        """(live, removed): a dot stays when every replier that lacks it has neither seen nor
        removed it."""
        live, removed = {}, set()
        for reply in self.replies.values():
            removed |= reply.rows[row][1]
            for dot, value in reply.rows[row][0].items():
                if not any(dot in other.rows[row][1]
                           or (dot in other.clock and dot not in other.rows[row][0])
                           for other in self.replies.values()):
                    live[dot] = value
        return live, removed - set(live)

    def union_clock(self):
        return frozenset().union(*(reply.clock for reply in self.replies.values()))


def checked_rows(key):
    """The rows of a key that live and die by explicit removals alone."""
    return [base_row(*key)] + [field_row(*key, field) for field in FIELDS]


class Promises:
    """What was promised to clients, and the checks of it."""

    def __init__(self):
        self.issued_removals = set()   # (row, dot)
        self.issued_clears = []
        self.acked = []                # (step, event, whether enough members had it)
        self.counted_in = {}           # dot -> version of the view, for those

    def issue(self, event):
        for row, removed, _ in event.rows:
            self.issued_removals.update((row, dot) for dot in removed)
        self.issued_clears += event.clears

    def acknowledge(self, step, event, strict, version):
        self.acked.append((step, event, strict))
        if strict:
            self.counted_in[event.dot] = version

    def may_be_gone(self, row, dot):
        return (row, dot) in self.issued_removals or any(
            dot in ctx and covers(scope, row) for scope, ctx in self.issued_clears)

    def strictly_acked(self):
        return [event for _, event, strict in self.acked if strict]

    def missing_in(self, row, live, before):
        """An acknowledged value that a later read of the row does not show, or None."""
        for step, event, strict in self.acked:
            if strict and step < before and any(row == name and value is not None
                                                for name, _, value in event.rows):
                if event.dot not in live and not self.may_be_gone(row, event.dot):
                    return event
        return None

    def unseen_by(self, clock, before):
        """An acknowledged event that no replier of a later read has: quorums that do not meet.
        Rows may still look right, as when a newer event replaced what it wrote."""
        for step, event, strict in self.acked:
            if strict and step < before and event.dot not in clock:
                return event
        return None

    def back_in(self, row, live, before):
        """An acknowledged removal that a later read of the row does not know, or None."""
        for step, event, strict in self.acked:
            if strict and step < before:
                removed = set(event.removes.get(row, ()))
                for scope, ctx in event.clears:
                    if covers(scope, row):
                        removed |= ctx
                if removed & set(live):
                    return event
        return None
