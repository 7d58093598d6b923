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

    def __init__(self, name, reason, command, theirs, ours, suite=None):
        self.name = name
        self.reason = reason
        self.command = re.compile(command, re.DOTALL | re.IGNORECASE)
        self.theirs = re.compile(theirs, re.DOTALL)
        self.ours = re.compile(ours, re.DOTALL)
        self.suite = suite      # None: everywhere
        self.used = 0

    def covers(self, command, theirs, ours):
        return bool(self.command.fullmatch(show_command(command))
                    and self.theirs.fullmatch(show(theirs)) and self.ours.fullmatch(show(ours)))


KNOWN = [
    Known("sets of words are listpacks",
          "Redis 7.2 keeps small sets of other members than integers as listpacks; 7.0 does not "
          "know that form. Keys of hashes begin with h in all tests, and stay exact.",
          r"(object encoding|\(key\)) (?!h).*", r'\$"hashtable"', r'\$"listpack"'),
    Known("DEBUG OBJECT of such a set", "As above.",
          r"debug object .*", r'.*encoding:hashtable.*', r".*encoding:listpack.*"),
    Known("HELLO before AUTH", "The sentence of Redis 7.2, which names <proto> too.",
          r"hello.*", r'-"NOAUTH HELLO must .*', r'-"NOAUTH HELLO must .*<proto> AUTH.*'),
    Known("flags of the key that a set operation stores to",
          "Redis 7.2 says OW (overwrite), which is right; 7.0 said RW.",
          r"command getkeysandflags (sinter|sunion|sdiff)store .*", r'.*\+"RW", \+"update".*',
          r'.*\+"OW", \+"update".*'),
    Known("page-out is a policy of ours", "The list of policies has one more name.",
          r"config set maxmemory-policy .*", r".*allkeys-random, noeviction\"",
          r".*allkeys-random, noeviction, page-out\""),
    Known("encodings of strings that look alike",
          "Redis unpacks a string that SETBIT or BITFIELD only looks at, and never packs the sum "
          "of INCRBYFLOAT; we hold both as SET would. Only OBJECT ENCODING shows it.",
          r"(object encoding|\(key\)) [^htn].*", r'\$"(raw|embstr)"', r'\$"(embstr|int)"'),
    Known("encodings of strings after a long history",
          "Redis' forms depend on how a value came to be, and stay through COPY and RENAME; the "
          "scenarios pin the rules, the generator compares types and values.",
          r"(object encoding|\(key\)) .*", r'\$"(raw|embstr|int)"', r'\$"(raw|embstr|int)"',
          suite="generator"),
    Known("encodings of collections after a long history", "As above.",
          r"(object encoding|\(key\)) .*", r'\$"(hashtable|listpack|intset)"',
          r'\$"(hashtable|listpack|intset)"', suite="generator"),
    Known("zero bytes in errors",
          "Redis cuts an argument that it puts into an error at its first zero byte, since it "
          "prints it as a C string; we show it whole.",
          r".*\\x00.*", r'-"ERR (unknown|Unsupported) .*', r'-"ERR (unknown|Unsupported) .*'),
]


# The suite that runs now; entries for another suite do not hold.
_running = None


def use_suite(name):
    """Says which suite's own entries hold from now on (None: of none); returns the one before."""
    global _running
    before, _running = _running, name
    return before


def find_known(command, theirs, ours):
    """The entry that covers this difference (counted as used), or None."""
    for known in KNOWN:
        if known.suite in (None, _running) and known.covers(command, theirs, ours):
            known.used += 1
            return known
    return None
