# SPDX-License-Identifier: Apache-2.0
"""The views of one partition: who is asked, and how many must answer, in each phase of a change.

A change leads from the homes `old` to the homes `new` (a replacement, a join or a leave) in steps
that the ring's register decides one after another; each decided view has the next version:

  phase 0  at rest             read old   write old
  phase 1  write both          read old   write old + new, enough of them for both
  phase 2  write both          read new   write old + new, enough of them for both
  phase 3  at rest again       read new   write new         (phase 0 of the next change)

Example, N = 3, R = W = 2, C makes room for X: phase 0 writes 2 of ABC; phases 1 and 2 write 3 of
ABCX, of which at least 2 are in ABC and at least 2 in ABX; phase 3 writes 2 of ABX. So each read
meets each write of its own and of both neighbouring phases. It does not meet those two phases
away: a write of phase 0 at A and C is in neither B nor X. Two things stand in for that: X has
pulled from enough old homes, each of them after it came to phase 1; and a phase is left only when
so many have durably come to it that the one before can form no quorum any more.
"""


class View:
    """Immutable. `reads` and `writes`: how many of read_set and write_set must answer."""

    def __init__(self, version, old, new, phase, quorum, rules):
        self.version = version
        self.old, self.new, self.phase = tuple(old), tuple(new), phase
        self.read_set = self.old if phase <= 1 else self.new
        both = tuple(sorted({*old, *new}))
        self.write_set = {0: self.old, 1: both, 2: both, 3: self.new}[phase]
        self.reads = min(quorum[0], len(self.read_set))
        self.writes = min(quorum[1], len(self.write_set))
        if phase in (1, 2) and rules["writes_reach_both"]:
            reads = min(quorum[0], len(old), len(new))
            leaving = len(both) - len(self.new)
            self.writes = max(min(quorum[1], len(new)) + leaving, len(both) - reads + 1)

    def __repr__(self):
        return f"v{self.version}.{self.phase} {''.join(self.old)}>{''.join(self.new)}"

    def same_as(self, other):
        return (self.old, self.new, self.phase) == (other.old, other.new, other.phase)

    def members(self):
        return sorted({*self.read_set, *self.write_set})

    def homes(self):
        """Those that are read and coordinate; the others of write_set only apply."""
        return self.read_set

    def pullers(self):
        """Who must have what the old homes acknowledged before phase 2: those that come, or, when
        none comes, all that stay."""
        return [name for name in self.new if name not in self.old] or list(self.new)

    def sources_needed(self, quorum):
        """So many old homes meet each write quorum of phase 0."""
        return len(self.old) - min(quorum[1], len(self.old)) + 1


def no_quorum_left(view, arrived):
    """Whether nothing can be read or written in `view` any more when `arrived` have left it."""
    return all(len(members) - sum(name in arrived for name in members) < needed
               for members, needed in ((view.read_set, view.reads), (view.write_set, view.writes)))
