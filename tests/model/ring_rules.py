# SPDX-License-Identifier: Apache-2.0
"""The rules of the ring model, each of which can be left out, and what happens in a run."""
import replication_model

RULES = {
    # what a phase is
    "writes_reach_both": 1,        # phases 1 and 2 write enough for the old and the new homes
    "pending_not_read": 1,         # a node on its way in does not count for R in phase 1
    "pull_before_read_new": 1,     # phase 2 waits until who comes has pulled ...
    "pull_after_phase": 1,         # ... from homes that had come to phase 1 before
    "pull_from_enough": 1,         # ... from N - W + 1 of them, not from one
    "pull_skips_recovering": 1,    # ... none of which has lost what it acknowledged
    # how a phase is left
    "ring_register": 1,            # a view follows the one that its claimant knew, or is refused
    "claimant_waits": 1,           # until the phase before can form no quorum any more
    "phase_ack_durable": 1,        # a node that came to a phase does not fall back
    "lost_disk_asks_register": 1,  # a node without a disk learns its view from a majority
    # counting
    "count_by_newest": 1,          # by the newest view among all that are counted
    "acks_count_nodes": 1,         # two answers of one node count once
    "ack_when_durable": 1,
    "duplicate_ack_waits": 1,      # a known dot is acknowledged when it is durable, not at once
    "recovering_not_read": 1,      # I9
    "read_before_remove": 1,       # removals read R first
    "flush_asks_clocks": 1,        # a clear of everything holds the clocks of R
    # lost disks
    "lost_disk_forgets_clock": 1,
    "recover_from_all": 1,         # a node recovers from all other members, not from one
    # guests
    "guests_count_last": 1,        # for R only when fewer than R homes can be reached
    "guest_waits_for_all": 1,      # a guest (or who left) goes when all homes have what it has
    "reports_durable": 1,          # what a home reports to have, it cannot lose by a crash
    "guest_keeps_counter": 1,
    "guests_found_at_boot": 1,
    # what happens in a run
    "fence": 1,                    # views further apart than one phase refuse each other (I10);
                                   # not needed by who counts by the newest, not enough alone
    "sloppy": 0,                   # guests stand in for members that cannot be reached
    "changes": 1,
    "many_changes": 0,             # one after another
    "many_crashes": 0,             # more power losses, and a disk may go
    "any_quorum": 1,               # (R, W) is drawn, else it is (2, 2)
}
SETTINGS = ["fence", "sloppy", "changes", "many_changes", "many_crashes", "any_quorum"]
ALL_RULES = {**replication_model.RULES, "strings": 0, **RULES}
