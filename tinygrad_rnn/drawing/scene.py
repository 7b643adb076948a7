"""A layout as shapes: what every format is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log10
from typing import Any

from . import text
from .layout import FONT, MARGIN, Layout, Rail
from .model import Box, Link
from .route import Point, Rect, Way
from .steps import AFTER, BEFORE
from .text import Run, Runs
from .theme import OKABE_ITO

SMALL_FONT = 12.0
CORNER = 6.0


@dataclass
class Line:
    """A line with rounded corners; `width` overrides that of its class."""

    points: Way
    style: str
    width: float | None = None
    closed: bool = False


@dataclass
class Plate:
    """A rectangle with rounded corners."""

    rect: Rect
    radius: float
    style: str


@dataclass
class Words:
    """One line of typeset text. anchor: "middle" or "start"."""

    x: float
    y: float
    runs: Runs
    size: float = FONT
    style: str = "text"
    anchor: str = "middle"
    face: str = "serif"


@dataclass
class Group:
    """Shapes that are one thing: with a title and a description, and what a page searches by."""

    title: str
    about: str
    shapes: list[Line | Plate | Words]
    data: dict[str, str] = field(default_factory=dict)


@dataclass
class Scene:
    """All shapes, in the order of painting, and the part of the plane they cover."""

    title: str
    about: str
    left: float
    top: float
    width: float
    height: float
    groups: list[Group]


class Widths:
    """From norms to line widths, on a log scale."""

    def __init__(self, links: Sequence[Link]) -> None:
        norms = [k.norm for k in links if k.norm]
        self.low, self.high = (min(norms), max(norms)) if norms else (1.0, 1.0)

    def __call__(self, norm: float | None) -> float | None:
        """The width for a norm; None if there is no norm."""
        if norm is None:
            return None
        if norm <= 0:
            return 0.6
        low, high = log10(self.low), log10(self.high)
        if high - low < 0.05:
            return 2.5
        return 0.8 + 4.7 * (log10(norm) - low) / (high - low)


class Painter:
    """Turns a layout into shapes."""

    def __init__(self, layout: Layout, title: str, edges: str) -> None:
        self.layout = layout
        self.title = title
        self.edges = edges
        self.groups: list[Group] = []
        self.widths = Widths(layout.model.links)

    def scene(self) -> Scene:
        layout = self.layout
        left, top, right, bottom = layout.box
        top -= 14
        bottom += 14
        self._bands(top, bottom)
        for rail in layout.rails:
            self._rail(rail)
        for ghost, way in layout.dotted:
            label = text.plain(ghost.label)
            self.groups.append(Group(f"to {label}", "", [Line(way, "dotted")]))
        for link, way in layout.ways.items():
            self._way(link, way)
        for box, rect in layout.rects.items():
            self._box(box, rect)
        y = bottom + (26 if layout.model.timed else 6)
        y = self._legend(left, y + 22)
        if self.title:
            top -= 34
            words = Words(
                left, top + 12, (Run(text.clean(self.title)),), 17, "title", "start", "sans"
            )
            self.groups.append(Group("title", "", [words]))
        widest = max(right - left, self.legend_right - left)
        return Scene(
            self.title or "Unrolled network",
            self.about(),
            left - MARGIN,
            top - MARGIN / 2,
            widest + 2 * MARGIN,
            y - top + MARGIN,
            self.groups,
        )

    def about(self) -> str:
        """The picture in a sentence, for those who cannot see it."""
        m = self.layout.model
        names = ", ".join(
            f"{text.plain(b.label)} ({m.uses[b.node]} uses)"
            for b in m.boxes
            if b.kind == "parameter" and b.node in m.uses
        )
        steps = f"{len(m.steps)} time steps" if m.timed else "no time steps"
        return f"A computation graph with {steps}" + (
            f" and the parameters {names}." if names else "."
        )

    def _bands(self, top: float, bottom: float) -> None:
        model = self.layout.model
        shapes: list[Any] = []
        for k, column in enumerate(self.layout.columns):
            middle = (column.left + column.right) / 2
            if column.step is None:
                few = f"{column.hidden} step" + "s" * (column.hidden != 1)
                shapes.append(
                    Words(
                        middle, bottom + 14, (Run("\N{MIDLINE HORIZONTAL ELLIPSIS}"),), FONT, "soft"
                    )
                )
                shapes.append(Words(middle, top + 10, (Run(few),), SMALL_FONT, "soft", face="sans"))
                shapes.append(
                    Words(middle, top + 25, (Run("not drawn"),), SMALL_FONT, "soft", face="sans")
                )
            elif model.timed:
                rect = Rect(
                    middle, (top + bottom) / 2, column.right - column.left - 4, bottom - top
                )
                shapes.append(Plate(rect, 8, "band"))
                label = (Run("t", "i"), Run(f" = {column.step}"))
                shapes.append(Words(middle, bottom + 14, label, FONT, "soft"))
        self.groups.append(Group("time", "columns are time steps", shapes))

    def _color(self, box: Box) -> int:
        return box.color % len(OKABE_ITO)

    def style_of(self, box: Box) -> str:
        """The class a box is painted in."""
        return f"parameter{self._color(box)}" if box.kind == "parameter" else box.kind

    def line_of(self, link: Link) -> str:
        """The class a link is painted in."""
        if link.source.kind == "parameter":
            return f"rail{self._color(link.source)}"
        return "constant-link" if link.kind == "constant" else link.kind

    def width_of(self, link: Link) -> float:
        """How thick a link is."""
        width = self.widths(link.norm)
        if width is None:
            width = {"state": 1.6, "constant": 1.0, "cut": 1.6}.get(link.kind, 1.2)
        return width

    def _rail(self, rail: Rail) -> None:
        box = rail.box
        parameter = box.kind == "parameter"
        line = f"rail{self._color(box)}" if parameter else "flow"
        head = f"head{self._color(box)}" if parameter else "head"
        shapes: list[Any] = []
        gaps = [c for c in self.layout.columns if c.step is None]
        at = rail.start
        for gap in gaps:
            if at < gap.left and rail.end > gap.right:
                shapes.append(Line([(at, rail.y), (gap.left + 10, rail.y)], line, 1.5))
                shapes.append(
                    Line([(gap.left + 16, rail.y), (gap.right - 10, rail.y)], "dotted", 1.5)
                )
                at = gap.right - 8
        collects = box.column == AFTER
        if collects:
            shapes += arrow([(at, rail.y), (rail.end, rail.y)], line, head, 1.5)
        else:
            shapes.append(Line([(at, rail.y), (rail.end, rail.y)], line, 1.5))
        name = text.plain(box.label)
        uses = f"{len(rail.ways)} uses drawn"
        self.groups.append(Group(f"{name}, shared", uses, shapes, {"kind": "rail", "of": box.id}))
        for link, way in rail.ways:
            width = self.widths(link.norm) or 1.5
            x, y = way[-1] if collects else way[0]
            parts: list[Any] = (
                [Line(way, line, width)] if collects else arrow(way, line, head, width)
            )
            parts.append(Plate(Rect(x, y, 6, 6), 3, head))
            self.groups.append(self._link_group(link, parts))

    def _way(self, link: Link, way: Way) -> None:
        shapes = arrow(way, self.line_of(link), "head", self.width_of(link))
        if link.kind == "cut":
            (x1, y1), (x2, y2) = way[0], way[1]
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            for d in (-3, 3):
                shapes.append(Line([(x + d - 3, y + 9), (x + d + 3, y - 9)], "flow", 1.8))
        self.groups.append(self._link_group(link, shapes))

    def _link_group(self, link: Link, shapes: list[Any]) -> Group:
        a, b = text.plain(link.source.label), text.plain(link.target.label)
        about = []
        if link.norm is not None:
            what = "gradient" if self.edges == "gradient" else "value"
            about.append(f"{what} norm {link.norm:.4g}")
        if link.kind == "constant":
            about.append("constant: no gradient")
        if link.kind == "cut":
            about.append("cut by detach(): no gradient flows back")
        data = {"kind": "link", "from": link.source.id, "to": link.target.id}
        return Group(f"{a} \N{RIGHTWARDS ARROW} {b}", "; ".join(about), shapes, data)

    def _box(self, box: Box, rect: Rect) -> None:
        style = self.style_of(box)
        radius = {"round": rect.h / 2, "value": rect.h / 2, "op": 6.0, "parameter": 6.0}.get(
            box.kind, 0.0
        )
        shapes: list[Any] = [Plate(rect, radius, style)]
        label = box.label
        if box.kind == "round" and len(label) == 1:
            shapes.append(Words(rect.x, rect.y, label, FONT + 3))
        else:
            shapes.append(Words(rect.x, rect.y, label))
        step = "" if box.column in (BEFORE, AFTER) else str(box.column)
        self.groups.append(
            Group(
                text.plain(label),
                "; ".join(box.facts),
                shapes,
                {"kind": box.kind, "id": box.id, "step": step},
            )
        )

    def _legend(self, left: float, y: float) -> float:
        """What the shapes mean; only those that are there."""
        boxes, links = self.layout.model.boxes, self.layout.model.links
        kinds = {b.kind for b in boxes}
        x = left
        shapes: list[Any] = []

        def say(words: str) -> None:
            nonlocal x
            shapes.append(Words(x, y, (Run(words),), SMALL_FONT, "soft", "start", "sans"))
            x += text.width((Run(words),), SMALL_FONT) * 1.08 + 20

        for kind, words, w, r in (
            ("input", "input", 22, 0.0),
            ("op", "operation", 22, 5.0),
            ("value", "state or output" if self.layout.model.timed else "output", 20, 10.0),
        ):
            if kind in kinds or (kind == "op" and "round" in kinds):
                shapes.append(Plate(Rect(x + w / 2, y, w, 16 if kind != "value" else 20), r, kind))
                x += w + 6
                say(words)
        if "parameter" in kinds:
            shapes.append(Plate(Rect(x + 10, y, 20, 16), 5, "parameter0"))
            shapes.append(Line([(x + 20, y), (x + 46, y)], "rail0"))
            shapes.append(Plate(Rect(x + 36, y, 6, 6), 3, "head0"))
            x += 52
            say("shared parameter, a dot per use")
        if any(link.kind == "cut" for link in links):
            shapes += arrow([(x, y), (x + 34, y)], "cut", "head", 1.6)
            for d in (-3, 3):
                shapes.append(Line([(x + 13 + d, y + 8), (x + 19 + d, y - 8)], "flow", 1.8))
            x += 40
            say("detached: no gradient")
        abbreviations = {"CE": "cross entropy"}
        for short, full in abbreviations.items():
            if any(
                plain.startswith(short)
                for plain in (text.plain(b.label) for b in boxes if b.kind == "op")
            ):
                say(f"{short}  {full}")
        if self.edges != "plain" and self.widths.high > 0:
            y += 30
            x = left
            say(
                "width: norm of the gradient on the edge"
                if self.edges == "gradient"
                else "width: norm of the value on the edge"
            )
            low, high = self.widths.low, self.widths.high
            samples = [low] if high / low < 1.12 else [low, (low * high) ** 0.5, high]
            for norm in samples:
                shapes.append(Line([(x, y), (x + 30, y)], "flow", self.widths(norm)))
                x += 36
                say(f"{norm:.2g}")
        self.legend_right = x
        self.groups.append(Group("legend", "", shapes))
        return y + 10


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
    return [Line([*way[:-1], stem], style, width), Line(tip, head, closed=True)]
