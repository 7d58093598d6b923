# SPDX-License-Identifier: Apache-2.0
"""Five nodes under a swarm of faults while clients write, over and over; afterwards nothing that
was answered may be missing, and what was deleted stays deleted.

Time is cut into epochs. In each, some kinds of faults are drawn, and come and go side by side:

    writers of epoch 3 ────────────────────────────────┐ all heals, the ring settles,
       kill two ──────┐   split ─────────┐             │ every node is asked for everything;
            one way ──────┐   full disk ─────┐         │ the keys are deleted, and those of
                 join, leave ──────────────────┐       │ epoch 2 must still be

RING_FAULT_MINUTES is how long each of the two tests takes (ring_hosts.py: namespaces, proxies);
RING_FAULT_SEED repeats the draws of a failed one, not its timing.
"""
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from failure_tests import SmallDisk
from ring_hosts import Namespaces, Proxies
from ring_members_tests import settle
from ring_tests import SETTLE_SECONDS, UNANSWERED, Writer, status
from support import Failure, Scratch, expect, let_run, wait_until

MINUTES = float(os.environ.get("RING_FAULT_MINUTES", "5"))
SEED = int(os.environ.get("RING_FAULT_SEED", random.randrange(1 << 30)))
EPOCH_SECONDS = 40
NODES, AWAY_MAX = 5, 2
WRITERS, CLUSTER_WRITERS = 3, 1
PAUSE_SECONDS = .002  # of each writer: its set is read at the end
ORDER_SECONDS = 60    # for the ring to take a change of members, once all is healed
MIB = 1 << 20
DISK_BYTES = 900 * MIB
HERE = os.path.dirname(os.path.abspath(__file__))


class SwarmWriter(Writer):
    pause_seconds = PAUSE_SECONDS
    refusals = (*UNANSWERED, "MISCONF")  # the disk is full: nothing was applied


class ClusterWriter(Writer):
    """The same by a cluster client library, in a process; started and ended like a thread."""

    def start(self):
        addresses = [":".join(map(str, server.cluster_address)) for server in self.servers]
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(HERE, "cluster_writer.py"), self.number,
             str(self.random.random()), str(PAUSE_SECONDS), *addresses],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def join(self, timeout=None):
        out, errors = self.process.communicate(timeout=timeout)
        if self.process.returncode:
            self.wrong = errors.decode()[-1000:]
            return
        said = json.loads(out)
        self.members, self.tried = set(said["members"]), set(said["tried"])
        self.registers = {key: (last, set(unknown))
                          for key, (last, unknown) in said["registers"].items()}
        self.counter = [said["counted"], float("inf")]  # the library may have asked twice
        self.errors = said["errors"]


class World:
    """The ring, its writers, and which faults are there at the moment."""

    def __init__(self, scratch, hosts, seed):
        self.scratch, self.hosts = scratch, hosts
        self.random = random.Random(seed)
        self.servers = []   # members; writers use this very list
        self.gone = []      # that have left, or whose disk was lost
        self.fresh = []     # that were started to be taken in
        self.taken = set()  # by a fault
        self.disk = None    # of the first server
        self.journal = []   # of the epoch

    def note(self, what, *servers):
        at = time.monotonic() - self.epoch_began
        self.journal.append(f"{at:5.1f} s: {what} " + ", ".join(map(self.name, servers)))

    def name(self, server):
        return os.path.basename(server.scratch)

    def take(self, count):
        """Some members that no other fault has; fewer, or none, when too many are away."""
        count = min(count, AWAY_MAX - len(self.taken))
        free = [server for server in self.servers if server not in self.taken]
        chosen = self.random.sample(free, max(0, min(count, len(free))))
        self.taken |= set(chosen)
        return chosen

    def give_back(self, servers):
        self.taken -= set(servers)

    def order(self, *command, settled=()):
        """A change of members by whichever node takes it; it may have been taken unheard."""
        deadline = time.monotonic() + ORDER_SECONDS
        while True:
            reply = None
            with contextlib.suppress(OSError), self.random.choice(self.servers).client(15) as c:
                reply = c.call(*command)
            if reply == "OK" or any(text in str(reply) for text in settled):
                return
            if time.monotonic() > deadline:
                raise Failure(f"{command}: {reply!r}")
            let_run(.2)

    def newcomer(self):
        self.fresh.append(self.hosts.blank())
        return self.fresh[-1].start()

    def enters(self, server):
        """Until it knows the ring: before that it would take writes as a node by itself."""
        def in_ring():
            with server.client() as client:
                return b"ring_formed:1" in client.call("INFO", "ring")
        wait_until(in_ring, SETTLE_SECONDS, f"{self.name(server)} is in the ring")
        self.servers.append(server)

    def form(self):
        for _ in range(NODES):
            self.servers.append(self.hosts.blank())
        seeds = ",".join(server.ring_address for server in self.servers)
        self.disk = SmallDisk(self.servers[0].scratch, DISK_BYTES, 0)
        self.servers[0].data = os.path.join(self.disk.path, "data")
        os.makedirs(self.servers[0].data)
        for server in self.servers:
            server.options += ["--ring-bootstrap", str(NODES), "--ring-seeds", seeds]
            server.start()
        settle(self.servers)

    def close(self):
        for server in self.servers + self.gone + self.fresh:
            if server.process:
                with contextlib.suppress(ProcessLookupError):
                    server.process.send_signal(signal.SIGCONT)
                server.kill()
        if self.disk:
            self.disk.__exit__()


# --- faults: each strikes, yields while it lasts, and mends what it did ---

def killed(world):
    victims = world.take(world.random.choice((1, 1, 2)))
    world.note("kill -9 of", *victims)
    for victim in victims:
        victim.kill()
    yield
    for victim in victims:
        victim.start()
    world.give_back(victims)


def stands_still(world):
    victims = world.take(1)
    world.note("SIGSTOP of", *victims)
    for victim in victims:
        victim.process.send_signal(signal.SIGSTOP)
    yield
    for victim in victims:
        victim.process.send_signal(signal.SIGCONT)
    world.give_back(victims)


def link_is_cut(world):
    """Both ways, or one."""
    a, b = world.random.sample(world.servers, 2)
    ways = world.random.choice(([(a, b), (b, a)], [(a, b)]))
    world.note("a cut between" if len(ways) == 2 else "nothing passes to the second of", a, b)
    for way in ways:
        world.hosts.cut(*way)
    yield
    for way in ways:
        world.hosts.mend(*way)


def parted(world):
    """One, or two, from the others."""
    apart = world.take(world.random.choice((1, 2)))
    others = [server for server in world.servers if server not in apart]
    world.note("from the others are parted", *apart)
    for a in apart:
        for b in others:
            world.hosts.cut_both(a, b)
    yield
    for a in apart:
        for b in others:
            world.hosts.mend_both(a, b)
    world.give_back(apart)


def slow(world):
    a, b = world.random.sample(world.servers, 2)
    seconds = world.random.choice((.005, .05, .2))
    world.note(f"{seconds} s of delay between", a, b)
    for way in ((a, b), (b, a)):
        world.hosts.delay(*way, seconds)
    yield
    for way in ((a, b), (b, a)):
        world.hosts.delay(*way, 0)


def reset(world):
    world.note("all connections are reset")
    world.hosts.reset()
    yield


def restarts_one_by_one(world):
    """As for an upgrade."""
    world.note("restarts of all that are up")
    for server in list(world.servers):
        if server in world.taken or len(world.taken) >= AWAY_MAX:
            continue
        world.taken.add(server)
        code = server.terminate()
        expect(code == 0, f"SIGTERM ended with {code}:\n{server.log()[-1500:]}")
        server.start()
        world.give_back([server])
    yield


def full_disk(world):
    """Of the one whose disk is small."""
    victims = [s for s in world.servers if s.data.startswith(world.disk.path)]
    victims = [] if world.taken & set(victims) or len(world.taken) >= AWAY_MAX else victims
    world.taken |= set(victims)
    if victims:
        world.note("the disk is full of", *victims)
        world.disk.fill()
    yield
    if victims:
        world.disk.make_room()
    world.give_back(victims)


def lost_disk(world):
    """A blank node takes the place of one whose disk is gone. Once an epoch, without other
    changes of members: two of three replicas have what was answered, and one of these is lost."""
    victims = world.take(1)
    world.note("the disk is lost of", *victims)
    for victim in victims:
        victim.kill()
        shutil.rmtree(victim.data)
    yield
    for victim in victims:
        fresh = world.newcomer()
        world.note("is replaced by", fresh)
        world.order("RING.REPLACE", victim.ring_address, fresh.ring_address, "COMMIT",
                    settled=["in the ring already", "is leaving already", "not in the ring"])
        world.servers.remove(victim)
        world.gone.append(victim)
        world.enters(fresh)
    world.give_back(victims)


def members_change(world):
    """One more comes, and later one goes."""
    fresh = world.newcomer()
    world.note("joins", fresh)
    world.order("RING.JOIN", fresh.ring_address, "COMMIT", settled=["in the ring already"])
    world.enters(fresh)
    yield
    leaver = world.random.choice([s for s in world.servers if s not in world.taken])
    world.note("leaves", leaver)
    world.servers.remove(leaver)
    world.gone.append(leaver)
    world.order("RING.LEAVE", leaver.ring_address, "COMMIT",
                settled=["is leaving already", "not in the ring"])


ANYWHERE = [killed, stands_still, link_is_cut, parted, restarts_one_by_one, full_disk]
DELAYING = [slow, reset]
ONCE = [lost_disk, members_change]  # at most one of them in an epoch, and once


# --- an epoch ---

def changes_members(fault):
    return fault.__name__ in [change.__name__ for change in ONCE]


def finish(faults):
    """Changes of members last: then a majority is there, which whoever is asked can reach."""
    for fault, _ in sorted(faults, key=lambda one: changes_members(one[0])):
        next(fault, None)


def strike_for(world, seconds):
    """Faults of some kinds, up to three at once; all are over when this returns."""
    kinds = ANYWHERE + (DELAYING if world.hosts.can_delay else [])
    kinds = world.random.sample(kinds, world.random.randint(2, len(kinds)))
    once = world.random.choice([*ONCE, None])
    now = time.monotonic()
    end, once_at = now + seconds, now + world.random.uniform(0, seconds / 2)
    current = []  # [fault, when it is over]
    while time.monotonic() < end:
        if once and time.monotonic() > once_at:
            fault, once = once(world), None
        elif len(current) < 3:
            fault = world.random.choice(kinds)(world)
        else:
            fault = None
        if fault:
            next(fault)
            lasts = world.random.choice((.3, 2, 2, 8, 8, 60))
            current.append((fault, time.monotonic() + world.random.uniform(0, lasts)))
        let_run(world.random.uniform(0, 3))
        over = [one for one in current if one[1] < time.monotonic()]
        if any(changes_members(fault) for fault, _ in over):
            over = current
        finish(over)
        current = [one for one in current if one not in over]
    finish(current)
    expect(not world.taken, "a fault has not given back its nodes")


def epoch(world, number, seconds):
    """The writers, with what they know."""
    world.epoch_began = time.monotonic()
    world.journal = []
    kinds = [SwarmWriter] * WRITERS + [ClusterWriter] * CLUSTER_WRITERS
    writers = [kind(world.servers, f"{number}-{i}", world.random.random())
               for i, kind in enumerate(kinds)]
    for writer in writers:
        writer.start()
    try:
        let_run(1)
        strike_for(world, seconds)
        let_run(1)
    finally:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.join(60)
    for writer in writers:
        expect(writer.wrong is None, f"a writer: {writer.wrong}")
        expect(writer.counter[0] > 0, f"writer {writer.number} had no answer at all: "
                                      f"{getattr(writer, 'errors', '')}")
    return writers


def keys_of(writer):
    return ([f"set-{writer.number}-{part}" for part in range(20)] + list(writer.registers)
            + [f"counter-{writer.number}"])


def settle_all(world):
    """Also stops those that have left, which have handed over all by then."""
    for server in world.gone:
        wait_until(lambda: removed(world, server), SETTLE_SECONDS,
                   lambda: f"{world.name(server)} is out:\n" + status(world.servers[0]))
        server.kill()
    settle(world.servers)
    for server in world.servers:
        with server.client() as client:
            info = client.call("INFO", "ring").decode()
        for field in ("ring_tree_mismatches", "ring_tree_undecided", "ring_unsettled_writes"):
            expect(f"{field}:0\r\n" in info, f"{world.name(server)} has {field} in\n{info}")


def check(world, writers, deleted):
    """On every node: all that was answered, and nothing that was deleted."""
    for server in world.servers:
        with server.client(60) as client:
            for writer in writers:
                try:
                    writer.check(client)
                except Failure as failure:
                    raise Failure(f"by {world.name(server)}, of writer {writer.number}: "
                                  f"{failure}") from None
            back = client.call("EXISTS", *deleted) if deleted else 0
            expect(back == 0, f"by {world.name(server)}: {back} deleted keys are back")


def delete(world, writers):
    """The keys, by any nodes; gives their names."""
    keys = [key for writer in writers for key in keys_of(writer)]
    for at in range(0, len(keys), 50):
        with world.random.choice(world.servers).client(60) as client:
            reply = client.call("DEL", *keys[at:at + 50])
            expect(isinstance(reply, int), f"DEL: {reply}")
    return keys


def forget_the_gone(world):
    for server in world.gone:
        shutil.rmtree(server.data, ignore_errors=True)
        world.order("RING.FORGET", server.ring_address, "COMMIT", settled=["no node of this ring"])
    world.gone = []


def removed(world, server):
    """As a member sees it: listed as removed, or not at all."""
    lines = [line for line in status(world.servers[0]).splitlines() if server.ring_address in line]
    return all(" removed " in line for line in lines)


def swarm(kind, fsync):
    with Scratch("swarm") as scratch, kind(scratch) as hosts:
        world = World(scratch, hosts, SEED)
        counted = epochs = 0
        deleted = []
        end = time.monotonic() + MINUTES * 60
        try:
            world.form()
            for server in world.servers:
                with server.client() as client:
                    expect(client.call("CONFIG", "SET", "appendfsync", fsync) == "OK", "CONFIG SET")
            while time.monotonic() < end or epochs == 0:
                left = end - time.monotonic()
                writers = epoch(world, epochs, max(5, min(EPOCH_SECONDS, left)))
                settle_all(world)
                check(world, writers, deleted)
                deleted = delete(world, writers)
                forget_the_gone(world)
                counted += sum(writer.counter[0] for writer in writers)
                epochs += 1
                if "RING_FAULT_MINUTES" in os.environ:
                    print(f"     epoch {epochs}: {counted} writes of each kind so far",
                          file=sys.stderr, flush=True)
            settle_all(world)
            check(world, [], deleted)
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            raise Failure(f"RING_FAULT_SEED={SEED}, epoch {epochs}: "
                          f"{type(failure).__name__}: {failure}\n     "
                          + "\n     ".join(world.journal)) from failure
        finally:
            world.close()
        return f"seed {SEED}: {epochs} epochs, {counted} writes of each kind answered"


TESTS = [
    ("ring faults: five hosts in network namespaces", lambda: swarm(Namespaces, "always")),
    ("ring faults: five hosts behind proxies", lambda: swarm(Proxies, "everysec")),
]
