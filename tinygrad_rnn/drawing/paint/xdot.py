"""Shapes as Graphviz's "xdot" operations, which a graph can have drawn behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..layout.route import Point
from ..text import BASELINE, RISE, SMALL, width
from .shapes import Plate, Stroke, Words
from .svg import number, rounded, rounded_plate
from .theme import Style

FACES = {"serif": "Times-Roman", "sans": "Helvetica"}
"""Fonts whose measures Graphviz knows, wherever it runs."""
DOTTED = 3.5
"""Dashes shorter than this are dots; Graphviz has one pattern of dashes and one of dots."""


def point(x: float, y: float) -> str:
    """A place; y grows upwards in Graphviz."""
    return f"{number(x)},{number(-y)}"


def dashes(style: Style) -> str:
    """Graphviz's word for a pattern of dashes."""
    if not style.dash:
        return ""
    return "dotted" if style.dash[0] < DOTTED else "dashed"


def cubic(commands: Iterable[tuple[str, list[Point]]]) -> Iterator[Point]:
    """Straight and curved pieces as the control points of one cubic spline."""
    start = at = (0.0, 0.0)
    for command, points in commands:
        if command == "M":
            start = points[0]
            yield start
        elif command == "L":
            yield from (at, points[0], points[0])
        elif command == "Q":  # of degree 2, as one of degree 3
            (cx, cy), (x, y) = points
            yield (at[0] + (cx - at[0]) * 2 / 3, at[1] + (cy - at[1]) * 2 / 3)
            yield (x + (cx - x) * 2 / 3, y + (cy - y) * 2 / 3)
            yield (x, y)
        elif command == "C":
            yield from points
        elif command == "Z":
            yield from (at, start, start)
        at = points[-1] if points else at


def operations(shape: Stroke | Plate | Words, styles: Mapping[str, Style]) -> Iterator[str]:
    """The operations that draw a shape."""
    style = styles[shape.style]
    if isinstance(shape, Words):
        yield from _written(shape, style.fill)
        return
    own = shape.width if isinstance(shape, Stroke) else None
    yield _named("c", style.stroke or style.fill)
    yield _named("S", f"setlinewidth({number((own or style.width) if style.stroke else 0.0)})")
    yield _named("S", dashes(style) or "solid")
    closed = isinstance(shape, Plate) or shape.closed
    if closed:
        yield _named("C", style.fill or style.stroke)
    if isinstance(shape, Plate):
        points = list(cubic(rounded_plate(shape)))
    else:
        points = list(cubic(rounded(shape)))
    yield f"{'b' if closed else 'B'} {len(points)} " + " ".join(
        f"{number(x)} {number(-y)}" for x, y in points
    )


def _written(words: Words, color: str) -> Iterator[str]:
    """A line of text; each run stands where the one before ends."""
    wide = width(words.runs, words.size)
    x = words.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor] * wide
    yield _named("c", color)
    for run in words.runs:
        size = words.size * (SMALL if run.shift else 1.0)
        own = width((run,), words.size)
        y = words.y + (BASELINE - RISE[run.shift]) * words.size
        yield f"F {number(size)} " + _named("", FACES[words.face]).lstrip()
        yield f"t {2 if run.style == 'i' else 0}"
        side, at = (-1, x) if words.anchor == "start" else (0, x + own / 2)
        yield f"T {number(at)} {number(-y)} {side} {number(own)} {_named('', run.text).lstrip()}"
        x += own


def _named(operation: str, text: str) -> str:
    """An operation with a text, whose length in bytes comes first."""
    return f"{operation} {len(text.encode())} -{text}"
