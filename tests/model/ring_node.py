# SPDX-License-Identifier: Apache-2.0
"""One node of the ring model: a replica, the view it knows, and what of both is durable.

Applying is not yet durable. `sync_log` makes all that was applied durable and only then lets the
acknowledgements go that waited for it; a power loss returns to the durable state, after events of
the node may have left it. A disk that is lost takes everything: the node is `recovering` until it
has pulled from all other members.
"""
from model_replica import Replica


class Node:
    def __init__(self, name, actor, rules, skew, view):
        self.name = name
        self.rules = rules
        self.replica = Replica(name, actor, rules, skew)
        self.view = view
        self.recovering = False
        self.pulled = set()      # (version, name): whose clock this node contained, when
        self.incarnation = 0
        self.up = True           # False: paused, or its machine is down
        self.offered = True      # a guest replica that the homes know of
        self.waiting = []        # (request, version): acknowledgements that wait for the disk
        self.durable = None
        self.sync_log()

    # --- the disk -----------------------------------------------------------------------------

    def sync_log(self):
        """Everything up to here is durable; answers the acknowledgements that may go now."""
        self.durable = (self.replica.clone(), self.view, self.recovering, set(self.pulled))
        released, self.waiting = self.waiting, []
        return released

    def durable_clock(self):
        return self.durable[0].clock

    def durable_version(self):
        return self.durable[1].version

    def lose_power(self, new_actor):
        """Back to the durable state; `new_actor` None: the old one goes on."""
        replica, self.view, self.recovering, pulled = self.durable
        self.pulled = set(pulled)
        self.restart(replica.clone(), new_actor)

    def restart(self, replica, new_actor):
        self.replica = replica
        if new_actor is not None:
            replica.actor, replica.counter = new_actor, 0
        self.waiting = []
        self.incarnation += 1
        if not self.rules["guests_found_at_boot"] and self.name not in self.view.members():
            self.offered = False
        self.durable = (replica.clone(), self.view, self.recovering, set(self.pulled))

    def lose_disk(self, new_actor, view):
        """Rows and clock are gone; `view` is what the node learns first."""
        fresh = Replica(self.name, new_actor, self.rules, self.replica.skew)
        if not self.rules["lost_disk_forgets_clock"]:
            fresh.clock = set(self.replica.clock)
        self.view = view
        self.recovering = True
        self.pulled = set()
        self.restart(fresh, None)

    def drop_guest(self):
        """What this replica holds is at all homes: only its counter stays, for ever."""
        old = self.replica
        self.replica = Replica(self.name, old.actor, self.rules, old.skew)
        self.replica.hlc = old.hlc
        if self.rules["guest_keeps_counter"]:
            self.replica.counter = old.counter
        self.offered = True
        self.durable = (self.replica.clone(), self.view, self.recovering, set(self.pulled))

    # --- views --------------------------------------------------------------------------------

    def learn(self, view):
        if view.version > self.view.version:
            self.view = view

    def is_home(self):
        return self.name in self.view.homes() and not self.recovering

    def is_guest(self):
        return self.name not in self.view.members()

    # --- events -------------------------------------------------------------------------------

    def take_event(self, event, request):
        """Applies and leaves an acknowledgement that waits for the disk; answers those that need
        not wait (only with a rule left out)."""
        known = event.dot in self.replica.clock
        self.replica.apply_event(event)
        ack = (request, self.view.version)
        waits = self.rules["duplicate_ack_waits"] if known else self.rules["ack_when_durable"]
        if waits:
            self.waiting.append(ack)
            return []
        return [ack]

    def covered_by(self, clock):
        """Whether somebody with this clock has all that the replica here knows."""
        mine = self.replica
        dots = set(mine.clock)
        for dots_here in [*mine.live.values(), *mine.gone.values(), *mine.pending.values()]:
            dots.update(dots_here)
        return dots <= clock
