# SPDX-License-Identifier: Apache-2.0
"""The output of a client's test: one line "ok - name" or "not ok - name: reason" per check."""

import traceback


class Checks:
    def __init__(self):
        self.failed = 0

    def run(self, function, *arguments):
        """Runs one check; its docstring is its name."""
        self.record(function.__doc__, self._reason(function, *arguments))

    async def run_async(self, function, *arguments):
        try:
            await function(*arguments)
            self.record(function.__doc__, None)
        except Exception:
            self.record(function.__doc__, traceback.format_exc())

    def record(self, name, reason):
        if reason is None:
            print("ok - %s" % name, flush=True)
        else:
            self.failed += 1
            print("not ok - %s: %s" % (name, reason), flush=True)

    @staticmethod
    def _reason(function, *arguments):
        try:
            function(*arguments)
        except Exception:
            return traceback.format_exc()
        return None


def equal(got, wanted):
    if got != wanted:
        raise AssertionError("got %r, not %r" % (got, wanted))


def holds(condition, text):
    if not condition:
        raise AssertionError(text)
