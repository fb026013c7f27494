# SPDX-License-Identifier: MIT
"""What 'headwind fate' tells of each packet. With a seed, the same binary tells the same."""

import json
import math
import shlex
import statistics
import subprocess
from dataclasses import dataclass

SEED = 7


class Failure(Exception):
    """What stops the work, and what to do about it."""


def with_seed(flags: list[str]) -> list[str]:
    return ["--seed", str(SEED), *flags]


def as_netem(words: str) -> list[str]:
    """netem's words, and its arithmetic and tables."""
    return ["--netem", f"{words} seed {SEED}", "--netem-compatible"]


@dataclass(frozen=True)
class Headwind:
    path: str
    packets: int  # of each series of a plot

    @property
    def packets_per_point(self) -> int:
        """Of plots with many series, or that show few packets of each."""
        return self.packets // 2

    def fates(self, flags: list[str], packets: int) -> list[dict]:
        command = [self.path, "fate", *flags, "-n", str(packets), "--json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Failure(f"cannot run {self.path}: {error.strerror}\nBuild it (cmake --preset release && cmake "
                          "--build --preset release), or name another one with --headwind PATH.") from error
        if done.returncode != 0:
            said = done.stderr.strip() or f"status {done.returncode}"
            raise Failure(f"this failed: {shlex.join(command)}\n{said}\nIf it does not know 'fate' or a flag, build "
                          "the headwind of this repository; if it lacks a table of netem's, install iproute2.")
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            raise Failure(f"this printed no JSON: {shlex.join(command)}\n{error}\nIs {self.path} Headwind? Build it, "
                          "or name another one with --headwind PATH.") from error

    def delays(self, flags: list[str], packets: int) -> list[float]:
        """In ms."""
        return [fate["delay_ns"] / 1e6 for fate in self.fates(flags, packets)]

    def losses(self, flags: list[str], packets: int) -> list[int]:
        """1 for each packet that is lost, 0 for each other."""
        return [int(fate["lost"]) for fate in self.fates(flags, packets)]


def lag_1(values: list[float]) -> float:
    """The correlation of each value with the next."""
    mean = statistics.fmean(values)
    off = [value - mean for value in values]
    variance = math.fsum(a * a for a in off)
    return math.fsum(a * b for a, b in zip(off, off[1:])) / variance if variance else 0.0
