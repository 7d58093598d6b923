# SPDX-License-Identifier: Apache-2.0
"""What must hold at every moment of a run of the ring model, whatever the clients do next.

A single read seldom hits the moment at which a rule is missing. So these look at all reads and
writes that the nodes could serve as they are now, however the network lets them meet:

  THIN        an acknowledged event is durable on fewer nodes than W less the disks lost since
  DISJOINT    some write and some read could be counted now that have no node in common
              (or after a power loss of all)
  OVERLOOKED  a read could be counted now, none of whose homes has seen an acknowledged write
  UNPULLED    phase 2 begins, and who comes lacks what phase 0 acknowledged
"""
from model_replica import Violation


def check(world):
    check_copies(world)
    check_overlap(world, {node.name: node.view for node in world.nodes})
    check_overlap(world, {node.name: node.durable[1] for node in world.nodes})
    check_reads(world)


def check_copies(world):
    copies = world.disks_that_may_go() - world.disks_lost + 1
    for _, event, _ in world.promises.acked:
        if sum(event.dot in node.durable_clock() for node in world.nodes) < copies:
            raise Violation(f"THIN: {event.dot} is durable on too few nodes")


def quorums(world, nodes, views, names_of, needed_of, recovering):
    """[(names, how many of them are needed, view)] of what these nodes could count, for each
    coordinator and each view that could be the newest among those counted. `views`: which each
    node knows."""
    rules, found = world.rules, {}
    for at in nodes:
        own = views[at.name]
        if at.name not in own.homes() or at.recovering:
            continue
        near = [node for node in nodes
                if not rules["fence"] or abs(views[node.name].version - own.version) <= 1]
        newest = {views[node.name].version: views[node.name] for node in near}
        for version, view in sorted(newest.items()):
            if version < own.version or (version > own.version and not rules["count_by_newest"]):
                continue
            able = frozenset(
                node.name for node in near if node.name in names_of(view)
                and (views[node.name].version <= view.version or not rules["count_by_newest"])
                and (recovering or not node.recovering))
            if len(able) >= needed_of(view):
                found[able, view.version] = (able, needed_of(view), view)
    return list(found.values())


def possible_reads(world, nodes, views):
    all_members = not world.rules["pending_not_read"]
    return quorums(world, nodes, views,
                   lambda view: view.members() if all_members else view.read_set,
                   lambda view: view.reads, not world.rules["recovering_not_read"])


def check_overlap(world, views):
    writes = quorums(world, world.nodes, views, lambda view: view.write_set,
                     lambda view: view.writes, True)
    for read in possible_reads(world, world.nodes, views):
        for write in writes:
            if len(read[0] | write[0]) >= read[1] + write[1]:
                raise Violation(f"DISJOINT: {write[1]} of {sorted(write[0])} write in {write[2]}, "
                                f"{read[1]} of {sorted(read[0])} read in {read[2]}")


def check_reads(world):
    views = {node.name: node.view for node in world.nodes}
    for event in world.promises.strictly_acked():
        without = [node for node in world.nodes if event.dot not in node.replica.clock]
        for able, _, view in possible_reads(world, without, views):
            raise Violation(f"OVERLOOKED {event.dot}: {sorted(able)} can answer in {view}")


def check_pulled(world, view):
    """A node that lost its disk after the claimant had asked it is not read before it recovers."""
    if view.phase != 2:
        return
    for name in view.pullers():
        node = world.node(name)
        _, _, recovering, _ = node.durable
        for dot, version in world.promises.counted_in.items():
            if version < view.version - 1 and dot not in node.durable_clock() and not recovering:
                raise Violation(f"UNPULLED: {name} lacks {dot} when {view} begins")
