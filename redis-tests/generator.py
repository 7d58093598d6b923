#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random commands against both servers; stops at differences with a short reproduction.

A run is a list of epochs. An epoch begins with empty databases and fresh connections, sends some
thousand commands in pipelined batches over several connections (RESP2 and RESP3), and ends with a
comparison of all data. The commands of epoch E of seed S depend on nothing but S and E, and
commands of different connections never overlap, so a difference can be replayed. On a difference
the epoch's commands are shortened to a minimal list that still shows it, printed in the notation
of the scenario files, ready to be pasted into one.
"""

import argparse
import random
import sys
import time

import servers
from dataset import compare_data
from differences import use_suite
from grammar import BAD_NUMBERS, COMMANDS, MAKERS, RARE_COMMANDS, load_forms
from oracle import Pair
from resp import EOF, Connection, show_command
from shrink import shrink

BATCH = 300
EPOCH_COMMANDS = 15000
DYING_SECONDS = 5           # how long a process that closed its connections may take to end
PROTOCOLS = (2, 3, 2, 3)    # of the connections of an epoch
CASES_OF_A_WORD = (bytes.lower, bytes.title, bytes.swapcase)


class Generator:
    """The commands of one epoch."""

    def __init__(self, seed, epoch):
        self.random = random.Random("%s/%d" % (seed, epoch))
        self.forms, self.weights = _cumulative(load_forms(COMMANDS))
        self.rare, self.rare_weights = _cumulative(load_forms(RARE_COMMANDS))

    def batch(self, size):
        """A list of about `size` commands, each a list of bytes. MULTI blocks are whole."""
        commands = []
        while len(commands) < size:
            if self.random.random() < 0.015:
                self._transaction(commands)
            else:
                self._one(commands)
        return commands

    def _transaction(self, out):
        r = self.random
        if r.random() < 0.3:
            out.append([b"WATCH", MAKERS["key"](r)])
            if r.random() < 0.3:
                self._one(out)
        out.append([b"MULTI"])
        for _ in range(r.randrange(0, 8)):
            self._one(out)
        if r.random() < 0.05:
            out.append(r.choice(([b"NOSUCHCOMMAND"], [b"GET"], [b"MULTI"], [b"EXEC", b"x"])))
        out.append([b"EXEC"] if r.random() < 0.85 else [b"DISCARD"])

    def _one(self, out):
        r = self.random
        dice = r.random()
        if dice < 0.012:
            # Which member goes is random, so the rest of the set must go too.
            key = MAKERS["set"](r)
            out.append([b"SPOP", key, MAKERS["count"](r)] if r.random() < 0.6 else [b"SPOP", key])
            out.append([b"DEL", key])
            return
        command = []
        if dice < 0.03:
            r.choices(self.rare, cum_weights=self.rare_weights)[0](r, command)
        else:
            r.choices(self.forms, cum_weights=self.weights)[0](r, command)
        if r.random() < 0.06:
            self._spoil(command)
        out.append(command)

    def _spoil(self, command):
        """Makes the command wrong, or only unusual."""
        r = self.random
        dice = r.random()
        place = r.randrange(0, len(command))
        if dice < 0.2:
            command[0] = r.choice(CASES_OF_A_WORD)(command[0])
        elif dice < 0.4:
            if place:
                del command[place:len(command) if r.random() < 0.5 else place + 1]
        elif dice < 0.55:
            command.append(r.choice((b"NX", b"EX", b"GET", b"LIMIT", b"", b"extra", b"1")))
        elif dice < 0.65:
            command.insert(max(place, 1), command[place])
        elif dice < 0.7 and place:
            command[place], command[-1] = command[-1], command[place]
        elif place and not _amplifies(command):
            command[place] = r.choice(BAD_NUMBERS)


def _amplifies(command):
    """Commands where a huge count would be obeyed, by a huge reply."""
    return command[0].upper() in (b"SRANDMEMBER", b"HRANDFIELD")


def _cumulative(forms):
    weights, total = [], 0
    for weight, _ in forms:
        total += weight
        weights.append(total)
    return [form for _, form in forms], weights


def fresh_connections(pair):
    admin = pair.connect(timeout_seconds=30)
    admin.call("FLUSHALL")
    admin.close()
    return [pair.connect(protocol) for protocol in PROTOCOLS]


def disturb(pair, after_epoch):
    """What ours must survive at the end of an epoch; returns whether anything was done."""
    if after_epoch == "kill":
        pair.ours.kill_and_start()
    elif after_epoch == "reload":
        connection = Connection(pair.ours.port, timeout_seconds=60)
        connection.call("DEBUG", "RELOAD")
        connection.close()
    return after_epoch is not None


def data_differences(pair, after_epoch):
    """Compares all data, and again after what `after_epoch` says has happened to ours."""
    found = compare_data(pair.peer.port, pair.ours.port)
    if not found and disturb(pair, after_epoch):
        # Encodings may change: Redis' do too when it loads its data.
        found = compare_data(pair.peer.port, pair.ours.port, encodings=False)
        for difference in found:
            difference.where += ", after " + after_epoch
    return found


def run_epoch(pair, seed, epoch, budget, after_epoch):
    """Returns (commands sent, history, difference or None, whether it is one of the data)."""
    generator = Generator(seed, epoch)
    connections = fresh_connections(pair)
    history = []
    try:
        while len(history) < budget:
            which = generator.random.randrange(len(connections))
            commands = generator.batch(BATCH)
            found = connections[which].batch(commands)
            commands.append([b"DISCARD"])
            if found:
                index, difference = found[0]
                if difference.ours == EOF:
                    # A crash: the command that caused it may come after the first lost reply.
                    index = len(commands)
                history += [(which, command) for command in commands[:index + 1]]
                return len(history), history, difference, False
            history += [(which, command) for command in commands]
    finally:
        for connection in connections:
            connection.close()
    found = data_differences(pair, after_epoch)
    return len(history), history, found[0] if found else None, bool(found)


def replay(pair, history, of_data, after_epoch=None):
    """Runs a history on empty databases; returns the Differences of its last batch or the data."""
    connections = fresh_connections(pair)
    try:
        start = 0
        while start < len(history):
            which, end = history[start][0], start
            while end < len(history) and history[end][0] == which and end - start < 5000:
                end += 1
            found = connections[which].batch([command for _, command in history[start:end]])
            if found:
                return [] if of_data else [difference for _, difference in found]
            start = end
    finally:
        for connection in connections:
            connection.close()
    return data_differences(pair, after_epoch) if of_data else []


def report(pair, where, history, difference, of_data, after_epoch, out):
    """Shortens and prints one difference."""
    signature = difference.signature()
    if ", after " not in difference.where:
        after_epoch = None      # it shows without, which is quicker
    focus = difference.command[1:] if of_data else None

    def still_shows(candidate):
        return any(d.signature() == signature for d in replay(
            pair, candidate, of_data, after_epoch))

    print("DIFFERENCE in %s\n  %s" % (where, difference), file=out)
    if still_shows(history):
        print_history("reproduction", shrink(history, still_shows, focus), history, out)
    else:
        print_history("not seen again when replayed; the end", history[-10:], history, out)


def report_crash(pair, seed, epoch, history, out):
    """Says what ours left, and with which commands it ends again."""
    print("seed %s, epoch %d: %s" % (seed, epoch, pair.alive()), file=out)
    if pair.ours.binary is None:
        return
    pair.ours.restart()

    def still_ends(candidate):
        lost = False
        try:
            lost = any(d.ours == EOF for d in replay(pair, candidate, False))
            fresh_connections(pair)
        except OSError:
            lost = True
        ended = bool(pair.alive(DYING_SECONDS if lost else 0))
        if ended:
            pair.ours.restart()
        return ended

    if still_ends(history):
        print_history("reproduction", shrink(history, still_ends), history, out)
    else:
        print_history("not seen again when replayed; the end", history[-10:], history, out)


def print_history(title, short, history, out):
    print("  %s (%d of %d commands):" % (title, len(short), len(history)), file=out)
    for which, command in short:
        print("    c%d> %s" % (which + 1, show_command(command)), file=out)
    print("    (c1 and c3 speak RESP2, c2 and c4 RESP3)", file=out)
    out.flush()


def run(pair, seed, commands, differences_max=5, first_epoch=0, out=sys.stdout, shorten=True,
        after_epoch=None):
    """Sends about `commands` commands; returns the number of distinct differences.

    after_epoch: what happens to ours before data is compared again: None, "reload" or "kill".
    """
    before = use_suite("generator")
    try:
        return _run(pair, seed, commands, differences_max, first_epoch, out, shorten, after_epoch)
    finally:
        use_suite(before)


def _run(pair, seed, commands, differences_max, first_epoch, out, shorten, after_epoch):
    sent, epoch, seen = 0, first_epoch, {}
    busy = 0.0
    while sent < commands and len(seen) < differences_max:
        epoch_started = time.monotonic()
        budget = min(EPOCH_COMMANDS, commands - sent)
        count, history, difference, of_data = run_epoch(pair, seed, epoch, budget,
                                                         after_epoch)
        busy += time.monotonic() - epoch_started
        sent += count
        lost = difference is not None and difference.ours == EOF
        if pair.alive(DYING_SECONDS if lost else 0):
            report_crash(pair, seed, epoch, history, out)
            return len(seen) + 1
        if difference is not None:
            signature = difference.signature()
            seen[signature] = seen.get(signature, 0) + 1
            if seen[signature] == 1 and shorten:
                report(pair, "epoch %d of seed %s" % (epoch, seed), history, difference, of_data,
                       after_epoch, out)
        epoch += 1
    print("generator: seed %s, %d commands in %d epochs, %.0f commands/s, %d differences" % (
        seed, sent, epoch - first_epoch, sent / busy, len(seen)), file=out)
    return len(seen)


def add_arguments(parser):
    parser.add_argument("--seed", default=None, help="of the generator; default: a new one")
    parser.add_argument("--commands", type=int, default=200000, help="of the generator")
    parser.add_argument("--epoch", type=int, default=0, help="first epoch of the generator")
    parser.add_argument("--max-differences", type=int, default=5)
    parser.add_argument("--after-epoch", choices=("reload", "kill"), default=None,
                        help="reload or kill ours after each epoch, then compare its data again")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    servers.add_server_arguments(parser)
    add_arguments(parser)
    arguments = parser.parse_args()
    seed = arguments.seed or str(random.SystemRandom().randrange(1 << 32))
    print("generator: seed %s" % seed)
    pair = Pair(*servers.start_pair(arguments))
    try:
        found = run(pair, seed, arguments.commands, arguments.max_differences, arguments.epoch,
                    after_epoch=arguments.after_epoch)
    finally:
        stopped = pair.stop()
    if stopped:
        print(stopped)
    return 1 if found or stopped else 0


if __name__ == "__main__":
    sys.exit(main())
