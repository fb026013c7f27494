# SPDX-License-Identifier: MIT
"""The plots of correlated losses: how many in a row, and what share of all packets."""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable

from chart import (ASKED, ASKED_SAMPLE, BOTTOM, HEADWIND, HEADWIND_SAMPLE, LEFT, NETEM, NETEM_SAMPLE, RIGHT, TOP, Axis,
                   Row, axes, described, grid, legend, share_ticks)
from fate import Headwind, as_netem, lag_1, with_seed
from svg import document, line, path, px

LONGEST_BURST = 8  # longer ones share a bar
LOSS = 0.25
LOSS_CORRELATION = 0.25
LOSSES_ASKED = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 35, 50, 70, 90)  # percent
NONE_LOST = 0.0004  # percent: where a logarithmic axis shows 0


def loss_columns(share: float, correlation: float, burst: float) -> tuple[str, ...]:
    return f"{share:.1%}", f"{correlation:.1%}", f"{burst:.2f}"


def bursts(lost: list[int]) -> list[int]:
    return [len(list(run)) for is_lost, run in itertools.groupby(lost) if is_lost]


def burst_shares(lengths: list[int]) -> list[float]:
    counts = Counter(min(length, LONGEST_BURST) for length in lengths)
    return [counts[length] / len(lengths) for length in range(1, LONGEST_BURST + 1)]


def asked_burst_shares(goes_on: float) -> list[float]:
    """Of bursts that each go on with this probability after every loss."""
    shares = [goes_on ** (length - 1) * (1 - goes_on) for length in range(1, LONGEST_BURST)]
    return [*shares, goes_on ** (LONGEST_BURST - 1)]


def bar(left: float, width: float, y: Axis, share: float, **look: object) -> str:
    return path(f"M{px(left)} {px(y.start)}V{px(y.at(share))}h{px(width)}V{px(y.start)}z", **look)


def burst_plot(headwind: Headwind) -> str:
    given = headwind.losses(with_seed(["--loss", "25%", "--loss-correlation", "25%"]), headwind.packets)
    netem = headwind.losses(as_netem("loss 25% 25%"), headwind.packets)
    goes_on = LOSS + (1 - LOSS) * LOSS_CORRELATION
    of_asked = asked_burst_shares(goes_on)
    of_given, of_netem = (burst_shares(bursts(lost)) for lost in (given, netem))
    top = 1.06 * max(*of_asked, *of_given, *of_netem)
    x, y = Axis(0.5, LONGEST_BURST + 0.5, LEFT, RIGHT), Axis(0, top, BOTTOM, TOP)
    names = [*(f"{length}" for length in range(1, LONGEST_BURST)), f"{LONGEST_BURST} and more"]
    x_ticks, y_ticks = list(enumerate(names, 1)), share_ticks(top)
    width = 22  # px
    bars = []
    for length, (asked, ours, theirs) in enumerate(zip(of_asked, of_given, of_netem), 1):
        middle = x.at(length)
        bars += [
            bar(middle - width, width - 1, y, ours, fill=HEADWIND, fill_opacity=0.6),
            bar(middle + 2, width - 2, y, theirs, fill="none", stroke=NETEM, stroke_width=1.5),
            line([(middle - width - 3, y.at(asked)), (middle + width + 3, y.at(asked))], ASKED, 2),
        ]

    def row(sample: str, name: str, lost: list[int]) -> Row:
        return Row(sample, name, loss_columns(statistics.fmean(lost), lag_1(lost), statistics.fmean(bursts(lost))))

    columns = {"lost": 138, "correlation": 218, "mean burst": 298}
    rows = [
        Row(ASKED_SAMPLE, "asked", loss_columns(LOSS, LOSS_CORRELATION, 1 / (1 - goes_on))),
        row(HEADWIND_SAMPLE, "Headwind", given),
        row(NETEM_SAMPLE, "netem", netem),
    ]
    parts = [
        grid(x, y, [], y_ticks),
        *bars,
        *axes(x, y, x_ticks, y_ticks, ("losses in a row", "share of bursts")),
        *legend(RIGHT - 310, TOP + 14, columns, rows),
    ]
    return document("--loss 25% --loss-correlation 25%",
                    f"How many packets are lost in a row, among {headwind.packets:,}: what was asked as lines, "
                    f"Headwind's as filled bars, netem's as outlines. {described(list(columns), rows)}", parts)


def given_losses(headwind: Headwind, flags: Callable[[float], list[str]]) -> dict[float, float]:
    """In percent, by what was asked."""
    return {asked: 100 * statistics.fmean(headwind.losses(flags(asked), headwind.packets_per_point))
            for asked in LOSSES_ASKED}


def loss_points(x: Axis, y: Axis, given: dict[float, float], shape: str, **look: object) -> str:
    places = ((x.at(asked), y.at(max(share, NONE_LOST))) for asked, share in given.items())
    return path("".join(f"M{px(left)} {px(base)}{shape}" for left, base in places), **look)


def loss_row(sample: str, name: str, given: dict[float, float]) -> Row:
    return Row(sample, name, tuple(f"{given[asked]:.1f}%" if given[asked] else "none" for asked in (1, 10, 50)))


def loss_plot(headwind: Headwind) -> str:
    given = given_losses(headwind, lambda asked: with_seed(["--loss", f"{asked}%", "--loss-correlation", "25%"]))
    netem = given_losses(headwind, lambda asked: as_netem(f"loss {asked}% 25%"))
    x = Axis(LOSSES_ASKED[0] / 1.3, 100, LEFT, RIGHT, logarithmic=True)
    y = Axis(NONE_LOST / 1.7, 100, BOTTOM, TOP, logarithmic=True)
    x_ticks = [(asked, f"{asked}%") for asked in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)]
    y_ticks = [(NONE_LOST, "none"), *((10.0 ** power, f"{10.0 ** power:g}%") for power in range(-3, 3))]
    dot = {"d": "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", "look": {"fill": HEADWIND}}
    square = {"d": "m-4-4h8v8h-8z", "look": {"fill": "none", "stroke": NETEM, "stroke_width": 1.8}}
    some = [(x.at(asked), y.at(share)) for asked, share in netem.items() if share]
    columns = {"of 1%": 122, "of 10%": 170, "of 50%": 218}
    rows = [
        Row(ASKED_SAMPLE, "asked", ("1.0%", "10.0%", "50.0%")),
        loss_row(path(f"M0 0{dot['d']}", **dot["look"]), "Headwind", given),
        loss_row(path(f"M0 0{square['d']}", **square["look"]), "netem", netem),
    ]
    parts = [
        grid(x, y, x_ticks, y_ticks),
        line([(x.start, y.at(x.low)), (x.end, y.at(x.high))], ASKED, 1.5),
        *([line(some, NETEM, 1)] if some else []),
        loss_points(x, y, netem, square["d"], **square["look"]),
        loss_points(x, y, given, dot["d"], **dot["look"]),
        *axes(x, y, x_ticks, y_ticks, ("asked", "lost")),
        *legend(x.at(5) + 8, y.at(0.05), columns, rows),
    ]
    return document("--loss P --loss-correlation 25%",
                    f"The share that is lost of {headwind.packets_per_point:,} packets, by the share that was asked: "
                    f"Headwind's as dots, netem's as squares. {described(list(columns), rows)}", parts)
