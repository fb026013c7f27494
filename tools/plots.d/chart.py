# SPDX-License-Identifier: MIT
"""What the plots have in common: axes, a legend, and the looks of what was asked, of Headwind and of netem."""

import math
from dataclasses import dataclass

from svg import path, px, text

LEFT, RIGHT, TOP, BOTTOM = 72, 616, 44, 266  # of the axes, px
ASKED, HEADWIND, NETEM, GRID = "#000000", "#0072B2", "#D55E00", "#DDDDDD"  # differ for the color-blind, too


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    start: float  # px, where `low` is
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        scaled = math.log if self.logarithmic else float
        part = (scaled(value) - scaled(self.low)) / (scaled(self.high) - scaled(self.low))
        return self.start + part * (self.end - self.start)


Ticks = list[tuple[float, str]]


def grid(x: Axis, y: Axis, x_ticks: Ticks, y_ticks: Ticks) -> str:
    across = (f"M{px(x.start)} {px(y.at(value))}H{px(x.end)}" for value, _ in y_ticks)
    down = (f"M{px(x.at(value))} {px(y.start)}V{px(y.end)}" for value, _ in x_ticks)
    return path("".join([*across, *down]), stroke=GRID)


def axes(x: Axis, y: Axis, x_ticks: Ticks, y_ticks: Ticks, titles: tuple[str, str]) -> list[str]:
    marks = [f"M{px(x.start)} {px(y.end)}V{px(y.start)}H{px(x.end)}"]
    marks += (f"M{px(x.at(value))} {px(y.start)}v5" for value, _ in x_ticks)
    marks += (f"M{px(x.start)} {px(y.at(value))}h-5" for value, _ in y_ticks)
    middle, left = (y.start + y.end) / 2, x.start - 56
    return [
        path("".join(marks), fill="none", stroke="#000000"),
        *(text(x.at(value), y.start + 18, label, "middle") for value, label in x_ticks),
        *(text(x.start - 8, y.at(value) + 4, label, "end") for value, label in y_ticks),
        text((x.start + x.end) / 2, y.start + 38, titles[0], "middle"),
        text(left, middle, titles[1], "middle", transform=f"rotate(-90 {px(left)} {px(middle)})"),
    ]


def share_ticks(top: float) -> Ticks:
    """At most six, from 0 up to `top`, in percent."""
    magnitude = 10 ** math.floor(math.log10(top))
    apart = next(nice * magnitude for nice in (0.2, 0.5, 1, 2) if top / (nice * magnitude) < 6)
    return [(i * apart, f"{i * apart * 100:g}%") for i in range(math.floor(top / apart) + 1)]


@dataclass(frozen=True)
class Row:
    sample: str  # what it looks like: SVG, around 0, 0
    name: str
    values: tuple[str, ...]


def legend(x: float, y: float, columns: dict[str, float], rows: list[Row]) -> list[str]:
    """The columns end at these px from x on."""
    height = 18
    out = [text(x + end, y, name, "end") for name, end in columns.items()]
    for number, row in enumerate(rows, 1):
        base = y + number * height
        out.append(f'<g transform="translate({px(x + 9)} {px(base - 4)})">{row.sample}</g>')
        out.append(text(x + 22, base, row.name))
        if len(row.values) == len(columns):
            out += (text(x + end, base, value, "end") for end, value in zip(columns.values(), row.values))
        else:
            out.append(text(x + 88, base, ", ".join(row.values)))
    return out


def box(color: str, filled: bool) -> str:
    look = {"fill": color, "fill_opacity": 0.6} if filled else {"fill": "none", "stroke": color, "stroke_width": 1.5}
    return path("M-8-5h16v10h-16z", **look)


ASKED_SAMPLE = path("M-8 0h16", stroke=ASKED, stroke_width=2)
HEADWIND_SAMPLE = box(HEADWIND, filled=True)
NETEM_SAMPLE = box(NETEM, filled=False)


def described(columns: list[str], rows: list[Row]) -> str:
    def values(row: Row) -> str:
        if len(row.values) != len(columns):
            return " ".join(row.values)
        return ", ".join(f"{name} {value}" for name, value in zip(columns, row.values))

    return " ".join(f"{row.name}: {values(row)}." for row in rows)
