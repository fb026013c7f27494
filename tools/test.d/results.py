# SPDX-License-Identifier: MIT
"""What tests said: GoogleTest's output read line by line, or one exit status."""
import collections
import re
import time

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

# `reason`: of a skip. `seconds`: of this machine, also where the test's own clock is a virtual one.
Test = collections.namedtuple("Test", "name outcome seconds reason")

RUN = re.compile(r"\[ RUN      \] (\S+)")
END = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] ([^ ,]+)(, where .*)? \(\d+ ms\)$")
SKIP = re.compile(r": Skipped$")
CLOSING = re.compile(r"\[==========\] \d+ tests? from .* ran\.")


class GoogleTest:
    """The results of one test program, fed with its lines as they come."""

    def __init__(self):
        self.tests = []
        self.closed = False
        self._running = None
        self._reason = ""
        self._reason_follows = False

    def feed(self, line):
        if self._reason_follows:
            self._reason, self._reason_follows = line.strip(), False
        if SKIP.search(line):
            self._reason_follows = True
        if match := RUN.match(line):
            self._running = (match[1], time.monotonic())
            self._reason = ""
        elif (match := END.match(line)) and self._running and match[2] == self._running[0]:
            outcome = {"OK": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}[match[1]]
            self.tests.append(Test(match[2], outcome, time.monotonic() - self._running[1], self._reason))
            self._running = None
        elif CLOSING.match(line):
            self.closed = True

    def finish(self, name, status, _seconds):
        """`status`: the program's. A test that never ended has failed; so has a program that ran none."""
        if self._running:
            self.tests.append(Test(self._running[0], FAILED, time.monotonic() - self._running[1], ""))
        elif not self.tests:
            self.tests.append(Test(name, FAILED, 0, ""))
        elif not any(test.outcome == FAILED for test in self.tests) and (status or not self.closed):
            self.tests.append(Test(f"{name}: its exit status was {status}", FAILED, 0, ""))


class Command:
    """One test: a command that ends with exit status 0."""

    def __init__(self):
        self.tests = []

    def feed(self, line):
        pass

    def finish(self, name, status, seconds):
        self.tests.append(Test(name, FAILED if status else PASSED, seconds, ""))


def why(log, lines=60):
    """What tells why a part failed: failures with their values, errors, the end."""
    shown, left = [], 0
    with open(log, errors="replace") as file:
        content = file.read().splitlines()
    for line in content:
        if line.endswith(": Failure") or "Sanitizer" in line or "terminate called" in line:
            left = 20
        if left > 0 or line.startswith("FAIL") or "error:" in line:
            shown.append(line)
        left -= 1
        if line.startswith("[  FAILED"):
            left = 0
    return shown[:lines] + ["..."] + content[-5:]
