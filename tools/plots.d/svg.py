# SPDX-License-Identifier: MIT
"""SVG in few bytes: paths, text, the document. All places are in px."""

import itertools
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 320


def short(tenths: int) -> str:
    """A number of px, as short as SVG allows."""
    text = f"{tenths / 10:.1f}".removesuffix(".0")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def px(value: float) -> str:
    return short(round(value * 10))


def step(across: int, down: int) -> str:
    """In tenths of a px. A minus sign separates, and so does the point of a number that follows one with a point."""
    first, second = short(across), short(down)
    apart = second[0] == "-" or (second[0] == "." and "." in first)
    return first + second if apart else f"{first} {second}"


def steps(points: list[tuple[float, float]]) -> tuple[str, list[tuple[int, int]]]:
    """To the first point, and from each to the next, in tenths of a px: rounding errors do not add up."""
    tenths = [(round(x * 10), round(y * 10)) for x, y in points]
    return f"M{step(*tenths[0])}", [(x - a, y - b) for (a, b), (x, y) in itertools.pairwise(tenths)]


def through(points: list[tuple[float, float]]) -> str:
    """Path data: a line from point to point."""
    first, rest = steps(points)
    return f"{first}l" + " ".join(step(*each) for each in rest)


def outline(points: list[tuple[float, float]]) -> str:
    """The same, where all lines are upright or level."""
    first, rest = steps(points)
    return first + "".join((f"h{short(x)}" if x else "") + (f"v{short(y)}" if y else "") for x, y in rest)


def path(data: str, **attributes: object) -> str:
    return f'<path d="{data}"{written(attributes)}/>'


def line(points: list[tuple[float, float]], color: str, width: float) -> str:
    return path(through(points), fill="none", stroke=color, stroke_width=width)


def text(x: float, y: float, words: str, anchor: str = "start", **attributes: object) -> str:
    at_end = {} if anchor == "start" else {"text_anchor": anchor}
    return f'<text x="{px(x)}" y="{px(y)}"{written(at_end | attributes)}>{escape(words)}</text>'


def written(attributes: dict[str, object]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())


def document(title: str, description: str, parts: list[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="12">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#FFFFFF"/>',
        text(16, 26, title, font_size=15, font_weight="bold"),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])
