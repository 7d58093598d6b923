#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A randomised model of one partition on a ring: changes of its homes under load, and quorums.

Five nodes, of which up to three are homes. The homes change by replacement, join and leave while
clients write and read with (R, W) = (2, 2), (1, 3) or (3, 1); claimants propose the next view to
the register and may be late, slow or dead; nodes pause, lose power with what was not yet durable,
lose a disk, are cut off from some others and know old views. Below it is the model of
replication_model.py: rows, clocks, pulls, full syncs, collection of log entries.

Checked in strict mode: a read shows every write that was acknowledged before it began, unless
somebody removed it, and nothing whose removal was acknowledged; a removal removes all that was
acknowledged before it began. In sloppy mode the same for writes that enough members had, read by
enough homes. In both, when all is healed: no acknowledged write is lost, and rows are those of the
exact specification (model_spec.py). No dot is used twice; one owner list per version.

    ring_model.py RUNS STEPS [FIRST_SEED] [RULE=0|1 ...]
    ring_model.py 1000 260                            all rules: every run is ok
    ring_model.py 1000 260 900000 count_by_newest=0   runs must fail
"""
import random
import sys

import model_commands
import model_spec
import replication_model
import ring_checks
from model_replica import Violation
from ring_healing import heal
from ring_node import Node
from ring_request import Promises, Read, Reply, Write, checked_rows
from ring_rules import ALL_RULES
from ring_view import View, no_quorum_left

NAMES = "ABCDE"
QUORUMS = [(2, 2), (2, 2), (2, 2), (1, 3), (3, 1)]
CROSSINGS = 6  # requests under way at a time


class RingWorld(replication_model.World):
    """The pulls and syncs are those of World, between the nodes' replicas."""

    def __init__(self, seed, rules):
        self.rng = random.Random(seed)
        self.rules = rules
        self.actors = 0
        self.quorum = self.rng.choice(QUORUMS) if rules["any_quorum"] else (2, 2)
        count = 3 if rules["many_changes"] else self.rng.choice([1, 2, 3, 3, 3, 3, 3])
        homes = self.rng.sample(NAMES, count)
        first = View(0, homes, homes, 0, self.quorum, rules)
        self.views = [first]       # what the register decided, by version
        self.proposals = []        # (view that the claimant knew, next view)
        self.nodes = [Node(name, self.new_actor(), rules, self.rng.randint(-2, 2), first)
                      for name in NAMES]
        self.guest = None
        self.forgot = False
        self.cut = set()           # pairs that cannot reach each other
        self.slow_disk, straggler = (self.rng.choice([*map(self.node, homes), None])
                                     for _ in range(2))
        self.straggler = straggler if rules["many_changes"] else None
        self.now, self.tick, self.unique = 100, 0, 0
        self.net = []              # (sender, receiver, event, view, request or None)
        self.requests = []
        self.events, self.exchanges, self.reported = {}, [], {}
        self.promises = Promises()
        self.disks_lost = 0
        self.weights = [weight * self.rng.choice([.3, 1, 1, 2]) for _, weight in self.STEPS]
        if rules["many_changes"]:
            for name, factor in self.MANY_CHANGES.items():
                self.weights[self.NAMES_OF_STEPS.index(name)] *= factor
        self.loss = self.rng.choice([.05, .3, .5, .7])
        self.recovery = self.rng.choice([.05, 1])
        self.stats = {"merkle": 0, "acked": 0, "reads": 0, "views": 0, "disks": 0, "refused": 0}

    @property
    def homes(self):
        return [node.replica for node in self.nodes if node.name in self.register().homes()]

    def register(self):
        return self.views[-1]

    def replicas(self):
        return [node.replica for node in self.nodes]

    def node(self, name):
        return self.nodes[NAMES.index(name)]

    def reachable(self, one, other):
        return (self.node(one).up and self.node(other).up
                and (one, other) not in self.cut)

    # --- one step -----------------------------------------------------------------------------

    STEPS = [("client_write", 30), ("client_read", 16), ("deliver", 50), ("sync_logs", 14),
             ("gossip", 12), ("claim", 18), ("decide", 18), ("begin_exchange", 3),
             ("go_on_exchange", 14), ("recover", 8), ("collect_log", 2), ("drop_guest", 5),
             ("lose_power", 1.2), ("lose_disk", 2), ("cut_off", 2), ("join_again", 2),
             ("pause", 1.5), ("go_on", 3), ("check_what_is_possible", 25)]
    MANY_CHANGES = {"claim": 3, "decide": 3, "gossip": 3, "recover": 3, "begin_exchange": .3,
                    "client_write": 2, "deliver": 2}
    NAMES_OF_STEPS = [name for name, _ in STEPS]

    def step(self):
        self.now += 1
        self.tick += 1
        getattr(self, self.rng.choices(self.NAMES_OF_STEPS, self.weights)[0])()
        self.go_on_request()

    def any_node(self):
        return self.rng.choice(self.nodes)

    def pause(self):
        self.any_node().up = False

    def go_on(self):
        for node in self.nodes:
            node.up = node.up or self.rng.random() < .5

    def cut_off(self):
        """One node from some others; whole sides come about by several of these."""
        one, share = self.rng.choice(NAMES), self.rng.choice([.4, .7, 1])
        if self.straggler and self.rng.random() < .5:
            one = self.straggler.name
        for other in NAMES:
            if other != one and self.rng.random() < share:
                self.cut |= {(one, other), (other, one)}

    def join_again(self):
        self.cut.clear()

    def sync_logs(self):
        for node in self.nodes:
            if node.up and self.rng.random() < (.12 if node is self.slow_disk else .5):
                self.release(node, node.sync_log())

    def lose_power(self):
        if not self.rules["many_crashes"] and self.rng.random() < .5:
            return
        node = self.any_node()
        self.forget_work_of(node)
        node.lose_power(self.new_actor())

    def forget_work_of(self, node):
        for exchange in list(self.exchanges):
            if node.name in (exchange["to"], exchange["source"]):
                self.abort(exchange)
        self.requests = [request for request in self.requests if request.at != node.name]

    def disks_that_may_go(self):
        return min(self.quorum[1], *(len(view.homes()) for view in self.views)) - 1

    def rare_copies(self, node):
        """Of how many acknowledged events the node has one of at most two copies."""
        dots = [event.dot for _, event, _ in self.promises.acked
                if event.dot in node.durable_clock()]
        return sum(sum(dot in other.replica.clock for other in self.nodes) <= 2 for dot in dots)

    def lose_disk(self):
        """W - 1 lost disks lose nothing, and here no disk is lost twice."""
        if not self.rules["many_crashes"] or self.disks_lost >= self.disks_that_may_go():
            return
        view = self.register()
        if self.rules["many_changes"] and (view.phase != 1 or self.rng.random() < .5):
            return  # a bad moment is chosen: somebody comes and pulls from the others
        self.disks_lost += 1
        self.stats["disks"] += 1
        node = max(map(self.node, view.homes()), key=self.rare_copies) \
            if self.rng.random() < .8 else self.any_node()
        self.forget_work_of(node)
        if not self.rules["lost_disk_asks_register"]:
            view = min((node.view for node in self.nodes), key=lambda one: one.version)
        node.lose_disk(self.new_actor(), view)

    # --- views --------------------------------------------------------------------------------

    def gossip(self):
        one, other = self.rng.sample(self.nodes, 2)
        if self.straggler in (one, other) and self.rng.random() < .9:
            return
        if self.reachable(one.name, other.name):
            one.learn(other.view)
            other.learn(one.view)

    def claim(self):
        """Any node may carry the change on, or begin one; what it proposes may come late."""
        node = self.any_node()
        if not node.up or not self.rules["changes"] or not self.may_leave_phase(node):
            return
        view, rng = node.view, self.rng
        if view.phase in (1, 2):
            old, new, phase = view.old, view.new, view.phase + 1
        else:
            old, phase = view.homes(), 1
            others = [name for name in NAMES if name not in old]
            new = list(old)
            if len(old) == 3:
                new.remove(rng.choice(old))
            if len(old) < 3 or rng.random() < .8:
                new.append(rng.choice(others))
        view_after = View(view.version + 1, old, new, phase, self.quorum, self.rules)
        self.proposals.append((view, view_after))

    def may_leave_phase(self, claimant):
        """Asks whom it can reach: may the view that the claimant knows be followed by the next?"""
        view = claimant.view
        asked = [node for node in self.nodes if self.reachable(claimant.name, node.name)]
        arrived = {node.name for node in asked if self.version_of(node) >= view.version}
        if view.version:
            before = self.views[view.version - 1]
            if self.rules["claimant_waits"]:
                if not no_quorum_left(before, arrived):
                    return False
            elif any(node.name not in arrived for node in asked):
                return False
        if view.phase != 1 or not self.rules["pull_before_read_new"]:
            return True
        needed = view.sources_needed(self.quorum) if self.rules["pull_from_enough"] else 1
        return all(name in (node.name for node in asked)
                   and self.sources_pulled(self.node(name), view) >= needed
                   for name in view.pullers())

    def version_of(self, node):
        if self.rules["phase_ack_durable"]:
            return node.durable_version()
        return node.view.version

    def sources_pulled(self, node, view):
        if node.recovering:
            return 0
        names = {name for version, name in node.durable[3]
                 if version >= view.version or not self.rules["pull_after_phase"]}
        return len((names | {node.name}) & set(view.old))

    def decide(self):
        """The register takes a view that follows the one it holds."""
        if not self.proposals:
            return
        known, view = self.proposals.pop(self.rng.randrange(len(self.proposals)))
        if self.rng.random() < .2:
            return  # the claimant died
        if known is not self.register():
            if self.rules["ring_register"]:
                return
            if not view.same_as(self.views[view.version]):
                raise Violation(f"TWO owner lists: {view} and {self.views[view.version]}")
            return
        self.views.append(view)
        ring_checks.check_pulled(self, view)
        self.stats["views"] += 1
        for node in self.rng.sample(self.nodes, 2):
            if node.up and node is not self.straggler:
                node.learn(view)

    # --- writes -------------------------------------------------------------------------------

    def client_write(self):
        node = self.coordinator()
        if node is None or len(self.requests) >= CROSSINGS:
            return
        self.unique += 1
        command = model_commands.random_command(self.rng, node.replica, self.now, self.unique,
                                                self.rules["strings"])
        name = command[0]
        if name in ("DEL", "HDEL") and self.rules["read_before_remove"]:
            self.begin_read(node, checked_rows(command[1]), command)
        elif name in ("FLUSHDB", "FLUSHALL") and self.rules["flush_asks_clocks"]:
            self.begin_read(node, [], command)
        else:
            self.execute(node, command, self.tick)

    def coordinator(self):
        """Homes coordinate; in sloppy mode a guest does when it can reach no home."""
        able = [node for node in self.nodes if node.up and (node.is_home() or (
            self.rules["sloppy"] and node.is_guest() and not any(
                self.reachable(node.name, name) for name in node.view.members())))]
        if self.straggler in able and self.rng.random() < .5:
            return self.straggler
        return self.rng.choice(able) if able else None

    def execute(self, node, command, started, ctx=frozenset()):
        event = model_commands.execute(node.replica, command, self.now, self.rng.random() < .4,
                                       ctx)
        self.events.setdefault(event.dot, []).append(event)
        if len(self.events[event.dot]) > 1 and self.rules["rotate_actor"]:
            raise Violation(f"REUSED {event.dot}")
        self.promises.issue(event)
        self.check_removal(event, started)
        request = Write(self.tick, node, self.tick, self.rules["sloppy"], event)
        self.requests.append(request)
        self.release(node, node.take_event(event, request))
        self.send(request)

    def send(self, request):
        """To all members; in sloppy mode also to guests, for those that cannot be reached."""
        node = self.node(request.at)
        members = [name for name in request.view.write_set if name != node.name]
        down = [name for name in members if not self.reachable(node.name, name)]
        guests = [name for name in NAMES if name != node.name
                  and name not in request.view.members() and self.reachable(node.name, name)]
        for name in members + (guests[:len(down)] if request.sloppy else []):
            if name not in request.acknowledged():
                self.net.append((node.name, name, request.event, node.view, request))

    def deliver(self):
        for _ in range(4):
            if self.net:
                self.deliver_one()

    def deliver_one(self):
        at = self.rng.randrange(len(self.net))
        sender, receiver, event, view, request = self.net[at]
        if self.rng.random() < .85:
            self.net.pop(at)
        if not self.reachable(sender, receiver) or self.rng.random() < self.loss:
            return
        node = self.node(receiver)
        if self.too_far(node, view, self.node(sender)):
            return
        self.release(node, node.take_event(event, request))

    def too_far(self, node, view, sender):
        """I10: the one who is behind learns the newer view, nothing else happens."""
        if not self.rules["fence"] or abs(node.view.version - view.version) <= 1:
            return False
        self.stats["refused"] += 1
        node.learn(view)
        sender.learn(node.view)
        return True

    def release(self, node, acks):
        for request, version in acks:
            if request in self.requests and self.rng.random() < .9:
                self.answer(node, request, version)

    def answer(self, node, request, version):
        """An acknowledgement; it carries the view in which the event was applied."""
        coordinator = self.node(request.at)
        if not coordinator.up or (node is not coordinator
                                  and not self.reachable(node.name, coordinator.name)):
            return
        request.acks.append((node.name, version))
        request.meet(self.views[version], self.rules)
        request.meet(coordinator.view, self.rules)
        self.try_finish_write(request)

    def try_finish_write(self, request):
        if request.enough(self.rules):
            self.requests.remove(request)
            self.stats["acked"] += 1
            strict = len(request.acknowledged() & set(request.view.write_set))
            self.promises.acknowledge(self.tick, request.event, strict >= request.view.writes,
                                      request.view.version)

    def check_removal(self, event, started):
        """A removal takes along all that was acknowledged before it began."""
        name, target = event.command[0], event.command[1]
        if self.rules["sloppy"] or name not in ("DEL", "HDEL", "FLUSHDB", "FLUSHALL"):
            return
        keys = [key for key in model_commands.KEYS
                if name == "FLUSHALL" or target in (key, key[0])]
        for key in keys:
            rows = checked_rows(key)
            for row in rows if name != "HDEL" else [row for row in event.removes if row in rows]:
                missed = self.promises.missing_in(row, (), started)
                if missed:
                    raise Violation(f"REMOVAL {event.command} passes by {missed.dot} of {row}")

    # --- reads --------------------------------------------------------------------------------

    def client_read(self):
        node = self.coordinator()
        if node is not None and len(self.requests) < CROSSINGS:
            key = self.rng.choice(model_commands.KEYS)
            self.begin_read(node, [self.rng.choice(checked_rows(key)[1 - self.rules["strings"]:])])

    def begin_read(self, node, rows, command=None):
        request = Read(self.tick, node, self.tick, self.rules["sloppy"], rows, command)
        self.requests.append(request)
        self.ask(request, node)

    def go_on_request(self):
        """A read asks one more, a write is sent again, or the client's patience ends."""
        if not self.requests:
            return
        request = self.rng.choice(self.requests)
        node = self.node(request.at)
        if not node.up:
            return
        if self.rng.random() < .02:
            self.requests.remove(request)
            return
        request.meet(node.view, self.rules)
        if isinstance(request, Write):
            self.try_finish_write(request)
            if self.rng.random() < .5:
                self.send(request)
        else:
            self.ask(request, self.any_node())

    def ask(self, request, node):
        coordinator = self.node(request.at)
        guest = node.name not in request.view.members()
        if node is not coordinator and (not self.reachable(node.name, request.at)
                                        or (guest and not request.sloppy)
                                        or self.too_far(node, coordinator.view, coordinator)):
            return
        request.replies[node.name] = Reply(node, request.rows)
        request.meet(node.view, self.rules)
        homes_up = sum(self.reachable(request.at, name) and not self.node(name).recovering
                       for name in request.view.read_set)
        if request.enough(self.rules, homes_up):
            self.requests.remove(request)
            self.finish_read(request, homes_up)

    def finish_read(self, request, homes_up):
        self.stats["reads"] += 1
        said = f"{request.rows} by {request.at} in {request.view}: {list(request.replies)}"
        promised = not request.sloppy or homes_up >= request.view.reads
        if promised and not request.command:
            self.check_row(request, said)
        if promised:
            unseen = self.promises.unseen_by(request.union_clock(), request.started)
            if unseen:
                raise Violation(f"UNSEEN {unseen.dot} in {said}")
        if request.command:
            self.go_on_with_command(request)

    def check_row(self, request, said):
        row = request.rows[0]
        live, _ = request.merged(row)
        missed = self.promises.missing_in(row, live, request.started)
        if missed:
            raise Violation(f"INVISIBLE {missed.dot} in {said}")
        back = self.promises.back_in(row, live, request.started)
        if back:
            raise Violation(f"BACK although {back.dot} removed it: {said}")

    def go_on_with_command(self, request):
        """Joins what was read into the coordinator's own rows, then does as on one node."""
        node, command = self.node(request.at), request.command
        for row in request.rows:
            live, removed = request.merged(row)
            node.replica.apply_row(row, live, removed)
        node.replica.settle()
        if command[0] == "HDEL":
            old = model_commands.view(node.replica, command[1], self.now)
            if not old or old[0] != "hash" or command[2] not in old[1]:
                return
        ctx = request.union_clock() if not request.rows else frozenset()
        self.execute(node, command, request.started, ctx)

    def check_what_is_possible(self):
        """Part of the world's steps, so that it is not always done."""
        ring_checks.check(self)

    # --- exchanges ----------------------------------------------------------------------------

    def begin_exchange(self):
        source, to = self.rng.sample(self.nodes, 2)
        self.pull(to, source)

    def pull(self, to, source):
        """Members pull from members and from guests that they know of."""
        if (self.reachable(to.name, source.name) and to.name in to.view.members()
                and source.offered and len(self.exchanges) < 4):
            self.begin_pull(to.replica, source.replica)

    def recover(self):
        """Who comes or recovers pulls more often than others."""
        view = self.register()
        hungry = [node for node in self.nodes if view.phase == 1 and node.name in view.pullers()
                  or (node.recovering and self.rng.random() < self.recovery)]
        if hungry:
            to = self.rng.choice(hungry)
            to.learn(view)
            others = [name for name in to.view.members() if name != to.name]
            hurt = [name for name in others if self.node(name).recovering]
            if others:
                source = self.rng.choice(hurt if hurt and self.rng.random() < .5 else others)
                self.pull(to, self.node(source))
                while self.exchanges and self.rng.random() < .8:
                    self.exchange_step(self.exchanges[-1])

    def go_on_exchange(self):
        for _ in range(2):
            if self.exchanges and self.rng.random() < .96:
                exchange = self.rng.choice(self.exchanges)
                if self.reachable(exchange["to"], exchange["source"]):
                    self.exchange_step(exchange)
            elif self.exchanges:
                self.abort(self.rng.choice(self.exchanges))

    def find(self, name):
        return self.node(name).replica

    def pull_end(self, to, source):
        """Now `to` has all that `source` has; who needs it notes from whom, and when."""
        super().pull_end(to, source)
        if not source.clock <= to.clock:
            return
        to, source = self.node(to.name), self.node(source.name)
        if not source.recovering or not self.rules["pull_skips_recovering"]:
            to.pulled.add((source.view.version, source.name))
        if to.recovering and self.has_recovered(to):
            to.recovering = False

    def has_recovered(self, node):
        """It has pulled from all members that have not lost anything themselves, and these are
        enough to have met each write that counted the lost disk."""
        view = node.view
        others = [name for name in view.members() if name != node.name]
        sound = [name for name in others if not self.node(name).recovering]
        have = {name for _, name in node.pulled}
        if not self.rules["recover_from_all"]:
            return bool(have & set(others))
        enough = len(view.write_set) - view.writes + 1
        return have >= set(sound) and len(sound) >= min(enough, len(others))

    def collect_log(self):
        """I7: all members of the view have it, and have said so since they last started."""
        at = self.any_node()
        self.report(at)
        known = [self.reported[name][1] if name in self.reported else set()
                 for name in at.view.members()]
        if known and not at.is_guest():
            everywhere = set.intersection(*known)
            for dot in [dot for dot in at.replica.log if dot in everywhere]:
                del at.replica.log[dot]
                at.replica.collected.add(dot)

    def report(self, to):
        for name in to.view.members():
            node = self.node(name)
            if self.reachable(to.name, name) or node is to:
                clock = node.durable_clock() if self.rules["reports_durable"] \
                    else node.replica.clock
                self.reported[name] = (node.incarnation, set(clock))
            elif self.reported.get(name, (None,))[0] != node.incarnation:
                self.reported.pop(name, None)

    def drop_guest(self):
        """Also who left the homes goes this way."""
        guests = [node for node in self.nodes if node.up and node.is_guest()
                  and node.replica.clock and not node.recovering]
        if not guests:
            return
        node = self.rng.choice(guests)
        self.report(node)
        clocks = [self.reported[name][1] for name in node.view.homes() if name in self.reported]
        has_it = [node.covered_by(clock) for clock in clocks]
        enough = len(node.view.homes()) if self.rules["guest_waits_for_all"] else 1
        if sum(has_it) < enough:
            return
        for exchange in list(self.exchanges):
            if node.name in (exchange["to"], exchange["source"]):
                self.abort(exchange)
        node.drop_guest()


def run(seed, steps, rules, stats=None):
    """None when all is well, else what is wrong, beginning with one word for its class."""
    world = RingWorld(seed, rules)
    try:
        for _ in range(steps):
            world.step()
        heal(world)
        model_spec.check_at_rest(world)
        return None
    except Violation as violation:
        return str(violation)
    finally:
        if stats is not None:
            for name, count in world.stats.items():
                stats[name] = stats.get(name, 0) + count


if __name__ == "__main__":
    replication_model.main(ALL_RULES, run, __doc__)
