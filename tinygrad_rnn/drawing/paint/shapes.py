"""The shapes a picture is made of, whatever it is written as."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..layout.positions import FONT
from ..layout.route import Point, Rect, Way
from ..text import Runs
from .theme import THEMES, Style

CORNER = 6.0
INDENT = 14.0
"""Between the edge of a box and the equations in it."""


@dataclass
class Stroke:
    """A line with rounded corners, or (closed) an arrow's head; `width` overrides its style's.

    goes_on  it is the rest of the stroke before it, in another row
    """

    points: Way
    style: str
    width: float | None = None
    closed: bool = False
    goes_on: bool = False


@dataclass
class Plate:
    """A rectangle with rounded corners."""

    rect: Rect
    radius: float
    style: str


@dataclass
class Words:
    """One line of typeset text. anchor: "start", "middle" or "end"."""

    x: float
    y: float
    runs: Runs
    size: float = FONT
    style: str = "text"
    anchor: str = "middle"
    face: str = "serif"


@dataclass
class Group:
    """Shapes that are one thing.

    title, about  for people who point at it
    data          for programs: `kind` and `id` of a box, `from` and `to` of a line
    of            the box it belongs to, where its data do not say so: on whose rail a line begins
    """

    title: str
    about: str
    shapes: list[Stroke | Plate | Words]
    data: dict[str, str] = field(default_factory=dict)
    of: str = ""


@dataclass
class Scene:
    """All shapes, in the order of painting, and the part of the plane they cover.

    turned  time runs downwards
    """

    title: str
    about: str
    left: float
    top: float
    width: float
    height: float
    groups: list[Group]
    own: dict[str, Style] = field(default_factory=dict)
    turned: bool = False

    def styles(self, theme: str) -> dict[str, Style]:
        """The styles of a theme, and those of this scene alone."""
        return THEMES[theme] | self.own


def arrow(way: Way, style: str, head: str, width: float) -> list[Any]:
    """A line that ends in a filled triangle, however thick it is."""
    (x1, y1), (x2, y2) = way[-2], way[-1]
    length = abs(x2 - x1) + abs(y2 - y1) or 1.0
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    long = min(6.0 + 1.1 * width, length)
    half = 2.6 + 0.85 * width
    back: Point = (x2 - dx * long, y2 - dy * long)
    tip = [(x2, y2), (back[0] - dy * half, back[1] + dx * half),
           (back[0] + dy * half, back[1] - dx * half)]  # fmt: skip
    stem: Point = (x2 - dx * long * 0.8, y2 - dy * long * 0.8)
    return [Stroke([*way[:-1], stem], style, width), Stroke(tip, head, closed=True)]


def shifted(shape: Any, dx: float, dy: float) -> Any:
    """A copy of a shape elsewhere."""
    if isinstance(shape, Words):
        return replace(shape, x=shape.x + dx, y=shape.y + dy)
    if isinstance(shape, Plate):
        return Plate(shape.rect.moved(dx, dy), shape.radius, shape.style)
    points = [(x + dx, y + dy) for x, y in shape.points]
    return replace(shape, points=points)
