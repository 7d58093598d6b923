# SPDX-License-Identifier: Apache-2.0
"""The known differences from Redis 7.0.15, each with its reason. Keep this list short.

A difference is covered when the command matches and both replies match the patterns, which see
the replies in the notation of resp.show, for example -"ERR syntax error" or :1. Every run prints
how often each entry was used, so that dead ones are noticed.
"""

import re

from resp import show, show_command


class Known:
    """One entry. Patterns are regular expressions that must match the whole text."""

    def __init__(self, name, reason, command, theirs, ours):
        self.name = name
        self.reason = reason
        self.command = re.compile(command, re.DOTALL | re.IGNORECASE)
        self.theirs = re.compile(theirs, re.DOTALL)
        self.ours = re.compile(ours, re.DOTALL)
        self.used = 0

    def covers(self, command, theirs, ours):
        return bool(self.command.fullmatch(show_command(command))
                    and self.theirs.fullmatch(show(theirs)) and self.ours.fullmatch(show(ours)))


KNOWN = [
]


def find_known(command, theirs, ours):
    """The entry that covers this difference (counted as used), or None."""
    for known in KNOWN:
        if known.covers(command, theirs, ours):
            known.used += 1
            return known
    return None
