# SPDX-License-Identifier: MIT
"""The plots of delays: each law, and the correlation of each delay with the next."""

import itertools
import math
import statistics
from collections import Counter

from chart import (ASKED, ASKED_SAMPLE, BOTTOM, HEADWIND, HEADWIND_SAMPLE, LEFT, NETEM, NETEM_SAMPLE, RIGHT, TOP, Axis,
                   Row, axes, described, grid, legend, share_ticks)
from fate import Headwind, as_netem, lag_1, with_seed
from laws import DELAY, MEAN, SD, Law
from svg import document, line, outline, path, text, through

LONGEST = 100  # ms: where the plots of laws end
DELAY_CORRELATION = 0.75
SCATTERED = 1500  # points


class Histogram:
    def __init__(self, values: list[float], law: Law) -> None:
        edge = law.jumps[0] if law.jumps else 0.0  # between two bins, ms
        self.mean = statistics.fmean(values)
        self.sd = statistics.pstdev(values)
        self.beyond = sum(value > LONGEST for value in values) / len(values)
        bins = Counter(math.floor((value - edge) / law.bin) for value in values)
        last = min(max(bins), math.floor((LONGEST - edge) / law.bin) - 1)
        self.densities = [bins[i] / len(values) / law.bin for i in range(min(bins), last + 1)]
        self.edges = [edge + i * law.bin for i in range(min(bins), last + 2)]

    def path(self, x: Axis, y: Axis, **look: object) -> str:
        corners = [(x.at(self.edges[0]), y.start)]
        for density, (left, right) in zip(self.densities, itertools.pairwise(self.edges)):
            corners += [(x.at(left), y.at(density)), (x.at(right), y.at(density))]
        corners.append((x.at(self.edges[-1]), y.start))
        return path(outline(corners) + "z", **look)


def off_the_ground(points: list[tuple[float, float]], ground: float) -> list[tuple[float, float]]:
    """Without those at both ends that only follow the axis."""
    high = [i for i, (_, y) in enumerate(points) if ground - y > 0.2]
    return points[max(0, high[0] - 1):high[-1] + 2]


def asked_line(law: Law, x: Axis, y: Axis) -> str:
    hair = 1e-9  # ms to either side of a jump
    points = []
    for low, high in itertools.pairwise((0.0, *law.jumps, LONGEST)):
        count = max(1, round((high - low) * 2))
        places = [low + hair, *(low + (high - low) * i / count for i in range(1, count)), high - hair]
        points += [(x.at(ms), y.at(law.density(ms))) for ms in places]
    return line(off_the_ground(points, y.start), ASKED, 1.5)


def highest(law: Law) -> float:
    sides = (ms + side for ms in law.jumps for side in (-1e-9, 1e-9))
    return max(map(law.density, (*(i / 2 for i in range(1, LONGEST * 2)), *sides)))


def law_row(sample: str, name: str, histogram: Histogram) -> Row:
    return Row(sample, name, (f"{histogram.mean:.1f}", f"{histogram.sd:.1f}", f"{histogram.beyond:.2%}"))


def law_plot(headwind: Headwind, law: Law) -> str:
    given = Histogram(headwind.delays(with_seed([*DELAY, "--distribution", law.name]), headwind.packets), law)
    netem = Histogram(headwind.delays(as_netem(law.netem), headwind.packets), law) if law.netem else None
    top = 1.06 * max([highest(law), *given.densities, *(netem.densities if netem else [])])
    x, y = Axis(0, LONGEST, LEFT, RIGHT), Axis(0, top, BOTTOM, TOP)
    x_ticks, y_ticks = [(ms, f"{ms}") for ms in range(0, LONGEST + 1, 10)], share_ticks(top)
    columns = {"mean": 119, "sd": 153, f"> {LONGEST} ms": 222}
    rows = [
        Row(ASKED_SAMPLE, "asked", (f"{MEAN:.1f}", f"{law.sd:.1f}", f"{law.beyond(LONGEST):.2%}")),
        law_row(HEADWIND_SAMPLE, "Headwind", given),
        law_row(NETEM_SAMPLE, "netem", netem) if netem else Row(NETEM_SAMPLE, "netem", ("has no such law",)),
    ]
    parts = [
        grid(x, y, x_ticks, y_ticks),
        given.path(x, y, fill=HEADWIND, fill_opacity=0.6),
        *([netem.path(x, y, fill="none", stroke=NETEM)] if netem else []),
        asked_line(law, x, y),
        *axes(x, y, x_ticks, y_ticks, ("delay, ms", "share of packets per ms")),
        *legend(x.at(60) + 6, TOP + 14, columns, rows),
    ]
    return document(f"{' '.join(DELAY)} --distribution {law.name}",
                    f"The density of {headwind.packets:,} delays in ms: the law that was asked as a line, Headwind's "
                    f"as a filled histogram, netem's as an outline. {described(list(columns), rows)}", parts)


def scatter(x: Axis, y: Axis, values: list[float], marker: str) -> str:
    """Each value against the next. A path of markers takes a third of the bytes of a circle for each; some renderers
    draw markers only where there is a stroke."""
    pairs = sorted(itertools.pairwise(values[:SCATTERED + 1]))
    data = through([(x.at(value), y.at(following)) for value, following in pairs])
    return path(data, fill="none", stroke="#FFFFFF", stroke_opacity=0, marker_start=marker, marker_mid=marker,
                marker_end=marker)


def scatter_panel(left: float, name: str, color: str, values: list[float]) -> list[str]:
    lowest, most = MEAN - 4.5 * SD, MEAN + 4.5 * SD  # where Headwind's normal law ends; netem's ends before
    x, y = Axis(lowest, most, left, left + 234), Axis(lowest, most, BOTTOM, TOP + 24)
    ticks = [(ms, f"{ms}") for ms in range(10, 91, 20)]
    marker = f"m{color[1:]}"
    asked = [(x.at(ms), y.at(MEAN + DELAY_CORRELATION * (ms - MEAN))) for ms in (lowest + 5, most - 5)]
    return [
        f'<marker id="{marker}" markerUnits="userSpaceOnUse" markerWidth="4" markerHeight="4" refX="2" refY="2">'
        f'<circle cx="2" cy="2" r="1.5" fill="{color}" fill-opacity=".5"/></marker>',
        grid(x, y, ticks, ticks),
        scatter(x, y, values, f"url(#{marker})"),
        line(asked, ASKED, 1.5),
        *axes(x, y, ticks, ticks, ("delay, ms", "delay of the next, ms")),
        text(left, TOP + 14, f"{name}: correlation {lag_1(values):.1%}", fill=color, font_size=14, font_weight="bold"),
    ]


def correlation_plot(headwind: Headwind) -> str:
    flags = [*DELAY, "--distribution", "normal", "--delay-correlation", "75%"]
    given = headwind.delays(with_seed(flags), headwind.packets_per_point)
    netem = headwind.delays(as_netem("delay 50ms 10ms 75% distribution normal"), headwind.packets_per_point)
    sample = f'<g transform="translate({RIGHT - 48} 22)">{ASKED_SAMPLE}</g>'
    parts = [sample, text(RIGHT, 26, "asked", "end"), *scatter_panel(LEFT, "Headwind", HEADWIND, given),
             *scatter_panel(RIGHT - 234, "netem", NETEM, netem)]
    return document("--distribution normal --delay-correlation 75%",
                    f"{SCATTERED:,} delays, each against that of the next packet, and the line on which the next one "
                    f"is on average if the correlation is 75%, as asked. Over {headwind.packets_per_point:,} packets "
                    f"it is {lag_1(given):.1%} by Headwind and {lag_1(netem):.1%} by netem.", parts)
