# SPDX-License-Identifier: MIT
"""The laws of delays that the plots ask for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

MEAN, SD = 50.0, 10.0  # ms, of all laws of delays but uniform, whose jitter SD is
DELAY = ["--delay", "50ms", "--jitter", "10ms"]


@dataclass(frozen=True)
class Law:
    name: str
    density: Callable[[float], float]  # per ms
    beyond: Callable[[float], float]  # the share of delays above so many ms
    jumps: tuple[float, ...] = ()  # ms: where the density is not continuous
    sd: float = SD
    netem: str | None = None  # its words
    bin: float = 0.5  # ms: the width of a bar


def normal_density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def normal_beyond(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def uniform() -> Law:
    low, high = MEAN - SD, MEAN + SD
    return Law("uniform", lambda ms: 1 / (high - low) if low <= ms <= high else 0.0,
               lambda ms: min(1.0, max(0.0, (high - ms) / (high - low))), (low, high), (high - low) / math.sqrt(12),
               "delay 50ms 10ms")


def normal() -> Law:
    return Law("normal", lambda ms: normal_density((ms - MEAN) / SD) / SD, lambda ms: normal_beyond((ms - MEAN) / SD),
               netem="delay 50ms 10ms distribution normal")


def exponential() -> Law:
    floor = MEAN - SD
    return Law("exponential", lambda ms: math.exp(-(ms - floor) / SD) / SD if ms >= floor else 0.0,
               lambda ms: math.exp(-max(0.0, ms - floor) / SD), (floor,))


def lognormal() -> Law:
    sigma = math.sqrt(math.log1p((SD / MEAN) ** 2))
    center = math.log(MEAN) - sigma * sigma / 2

    def score(ms: float) -> float:
        return (math.log(ms) - center) / sigma

    return Law("lognormal", lambda ms: normal_density(score(ms)) / (sigma * ms) if ms > 0 else 0.0,
               lambda ms: normal_beyond(score(ms)))


# Headwind ends each tail where the normal law has this score: 1 packet in 294,000 would be beyond. Only where tails are
# heavy does that move the rest, since the mean and the deviation are those that were asked.
END = 4.5
SHAPE = 3  # of Pareto's law, which begins at 1


def pareto() -> Law:
    longest = normal_beyond(END) ** (-1 / SHAPE)
    mean = 3 / 2 - longest ** -2 / 2
    scale = SD / math.sqrt(3 - 2 / longest - mean * mean)
    floor = MEAN + scale * (1 - mean)

    def value(ms: float) -> float:
        return 1 + (ms - floor) / scale

    return Law("pareto", lambda ms: SHAPE * value(ms) ** (-SHAPE - 1) / scale if ms >= floor else 0.0,
               lambda ms: min(1.0, max(1.0, value(ms)) ** -SHAPE), (floor,),
               netem="delay 50ms 10ms distribution pareto", bin=0.25)


def mixed_value(z: float) -> float:
    """A quarter of a normal score and three of the standardized value that Pareto's law has in its place."""
    return z / 4 + 3 / 4 * (normal_beyond(z) ** (-1 / SHAPE) - 3 / 2) / math.sqrt(3 / 4)


def mixed_slope(z: float) -> float:
    beyond = normal_beyond(z)
    return 1 / 4 + 3 / 4 * normal_density(z) * beyond ** (-1 / SHAPE - 1) / SHAPE / math.sqrt(3 / 4)


def mixed_moments() -> tuple[float, float]:
    """The mean and the standard deviation."""
    fine = 64  # steps to a score of 1
    scores = [i / fine for i in range(-8 * fine, 8 * fine + 1)]
    weights = [normal_density(z) / fine for z in scores]
    values = [mixed_value(min(END, max(-END, z))) for z in scores]
    mean = math.fsum(weight * value for weight, value in zip(weights, values))
    return mean, math.sqrt(math.fsum(weight * (value - mean) ** 2 for weight, value in zip(weights, values)))


def paretonormal() -> Law:
    mean, sd = mixed_moments()
    scale = SD / sd

    def score(ms: float) -> float:
        low, high = -30.0, 30.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if MEAN + scale * (mixed_value(middle) - mean) < ms else (low, middle)
        return low

    def density(ms: float) -> float:
        z = score(ms)
        return normal_density(z) / (scale * mixed_slope(z))

    return Law("paretonormal", density, lambda ms: normal_beyond(score(ms)),
               netem="delay 50ms 10ms distribution paretonormal")


LAWS = (uniform(), normal(), pareto(), paretonormal(), exponential(), lognormal())
