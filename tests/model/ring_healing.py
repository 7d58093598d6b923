# SPDX-License-Identifier: Apache-2.0
"""The end of a run of the ring model: everybody is back, the change under way is finished, all
pull from all, and what was acknowledged must be there."""
from model_replica import Violation
from ring_view import View

ROUNDS = 2


def heal(world):
    world.proposals.clear()
    late, world.net = world.net, []
    world.requests.clear()
    for node in world.nodes:
        node.up = True
        node.sync_log()
    world.cut.clear()
    for exchange in list(world.exchanges):
        world.abort(exchange)
    finish_change(world)
    pull_all(world)
    world.repair_all()
    for sender, receiver, event, _, _ in late:  # very late duplicates must be harmless
        if event.dot in world.find(receiver).clock:
            world.find(receiver).apply_event(event)
    check_acknowledged(world)


def finish_change(world):
    """By the same rules as during the run; a change that cannot be finished is a fault, too."""
    while True:
        view = world.register()
        for node in world.nodes:
            node.learn(view)
            node.sync_log()
        pull_all(world)
        for node in world.nodes:
            node.sync_log()
        if view.phase in (0, 3):
            return
        if not world.may_leave_phase(world.node(view.new[0])):
            raise Violation(f"STUCK in {view}")
        world.views.append(View(view.version + 1, view.old, view.new, view.phase + 1,
                                world.quorum, world.rules))


def pull_all(world):
    members = world.register().members()
    for _ in range(ROUNDS):
        for to in world.nodes:
            for source in world.nodes:
                if to.name in members and to is not source and source.offered:
                    world.begin_pull(to.replica, source.replica)
                    while world.exchanges:
                        world.exchange_step(world.exchanges[0])


def check_acknowledged(world):
    for node in world.nodes:
        if node.recovering and node.name in world.register().members():
            raise Violation(f"STUCK: {node.name} is still recovering")
    for home in world.homes:
        for _, event, _ in world.promises.acked:
            if event.dot not in home.clock:
                raise Violation(f"FORGOTTEN {event.dot} {event.command}, acknowledged, not at "
                                f"{home.name}")
