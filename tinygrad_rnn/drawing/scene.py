"""A layout as shapes: what every format is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import log10
from typing import Any

from . import text
from .layout import FONT, LINE, MARGIN, Layout
from .model import Box, Link
from .route import Point, Rect, Way
from .steps import AFTER, BEFORE
from .text import Run, Runs
from .theme import OKABE_ITO
from .wires import Rail

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


@dataclass(frozen=True)
class Look:
    """What is drawn beside the graph itself; see `draw`."""

    edges: str = "plain"
    backward: bool = False
    shapes: bool = True


class Painter:
    """Turns a layout into shapes."""

    def __init__(self, layout: Layout, title: str, look: Look) -> None:
        self.layout = layout
        self.title = title
        self.look = look
        self.edges = look.edges
        self.groups: list[Group] = []
        self.widths = Widths(layout.model.links)

    def scene(self) -> Scene:
        """The whole picture."""
        layout = self.layout
        left, top, right, bottom = layout.box
        top -= 14
        bottom += 14
        self._bands(top, bottom)
        for rail in layout.rails:
            self._rail(rail)
        for ghost, way in layout.dotted:
            label = text.plain(ghost.label)
            if layout.model.rolled:
                y = min(y for _, y in way)
                x = sum(x for x, at in way if at == y) / 2
                words = Words(x, y, (Run("one step later"),), SMALL_FONT, "soft", face="sans")
                shapes = [
                    *arrow(way, "delay", "head", 1.4),
                    Plate(Rect(x, y, 104, 16), 4, "page"),
                    words,
                ]
                self.groups.append(Group(f"delay: {label}", "", shapes))
            else:
                self.groups.append(Group(f"to {label}", "", [Line(way, "dotted")]))
        for link, way in layout.ways.items():
            self._way(link, way)
        for box, rect in layout.rects.items():
            self._box(box, rect)
        if self.look.backward:
            self._backward()
        if self.look.shapes:
            left -= self._shapes()
        y = bottom + (26 if layout.model.timed else 6)
        y = self._legend(left, y + 22, max(right, left + 560))
        if self.title:
            top -= 34
            words = Words(left, top + 12, (Run(self.title),), 17, "title", "start", "sans")
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
        for column in self.layout.columns:
            middle = (column.left + column.right) / 2
            if column.step is None:
                few = f"{column.hidden} step" + "s" * (column.hidden != 1)
                shapes: list[Any] = [
                    Words(middle, y, (Run(words),), SMALL_FONT, "soft", face="sans")
                    for y, words in ((bottom + 10, few), (bottom + 24, "not drawn"))
                ]
                self.groups.append(Group(f"{few} not drawn", "", shapes))
            elif model.timed:
                rect = Rect(
                    middle, (top + bottom) / 2, column.right - column.left - 4, bottom - top
                )
                times = f" = {column.step}"
                if model.rolled:
                    span = f"{model.steps[0]}, \N{HORIZONTAL ELLIPSIS}, {model.steps[-1]}"
                    times = f" = {span}   (\N{MULTIPLICATION SIGN} {len(model.steps)})"
                label = (Run("t", "i"), Run(times))
                shapes = [Plate(rect, 8, "band"), Words(middle, bottom + 14, label, FONT, "soft")]
                data = {"kind": "band", "step": str(column.step)}
                self.groups.append(Group(f"time step t{times}", "", shapes, data))

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
        width = None if self.look.backward else self.widths(link.norm)
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
        ends = [(at, rail.y), (rail.end, rail.y)]
        if not rail.into:
            shapes.append(Line(ends, line, 1.5))
        else:
            shapes += arrow(ends if box.column == AFTER else ends[::-1], line, head, 1.5)
        name = text.plain(box.label)
        uses = f"{len(rail.ways)} uses drawn"
        self.groups.append(Group(f"{name}, shared", uses, shapes, {"kind": "rail", "of": box.id}))
        for link, way in rail.ways:
            width = 1.5 if self.look.backward else self.widths(link.norm) or 1.5
            x, y = rail.junction(way)
            parts: list[Any] = (
                [Line(way, line, width)] if rail.into else arrow(way, line, head, width)
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
        if link.source.column == link.target.column:
            data["step"] = str(link.source.column)
        return Group(f"{a} \N{RIGHTWARDS ARROW} {b}", "; ".join(about), shapes, data)

    def _box(self, box: Box, rect: Rect) -> None:
        style = self.style_of(box)
        radius = {
            "round": rect.h / 2,
            "value": rect.h / 2,
            "op": 6.0,
            "cell": 10.0,
            "parameter": 6.0,
        }.get(box.kind, 0.0)
        shapes: list[Any] = [Plate(rect, radius, style)]
        label = box.label
        if box.kind == "cell":
            y = rect.top + 7 + LINE / 2
            if label:
                shapes.append(Words(rect.x, y, label, SMALL_FONT, "soft", face="sans"))
                y += LINE
            for line in box.lines:
                shapes.append(Words(rect.left + 14, y, line, anchor="start"))
                y += LINE
        elif box.note:
            shapes.append(Words(rect.x, rect.y - 7, label))
            shapes.append(Words(rect.x, rect.y + 9, (Run(box.note),), 10.5, "soft", face="sans"))
        elif box.kind == "round" and len(label) == 1:
            shapes.append(Words(rect.x, rect.y, label, FONT + 3))
        else:
            shapes.append(Words(rect.x, rect.y, label))
        if box.keeps:
            corner = Rect(rect.right - 3, rect.top + 3, 7, 7)
            if box.kind == "round":
                corner = Rect(rect.right - 4, rect.top + 4, 7, 7)
            shapes.append(Plate(corner, 0, "kept"))
        step = "" if box.column in (BEFORE, AFTER) else str(box.column)
        self.groups.append(
            Group(
                text.plain(label),
                "; ".join(box.facts),
                shapes,
                {"kind": box.kind, "id": box.id, "step": step},
            )
        )

    def _backward(self) -> None:
        """The way of every contribution to a gradient, beside the link it flows back along."""
        layout = self.layout
        ways = [*layout.ways.items(), *(entry for rail in layout.rails for entry in rail.ways)]
        parts: dict[Box, int] = {}
        for link, way in ways:
            if link.norm is None or link.kind in ("constant", "cut"):
                continue
            parts[link.source] = parts.get(link.source, 0) + 1
            width = self.widths(link.norm) if self.edges == "gradient" else 1.4
            shapes = arrow(_beside(way, 5.0)[::-1], "back", "back-head", width or 1.4)
            group = self._link_group(link, shapes)
            group.title = f"back along {group.title}"
            group.about = f"gradient norm {link.norm:.4g}"
            self.groups.append(group)
        for box, n in parts.items():
            if n < 2 or box not in layout.rects:
                continue
            r = layout.rects[box]
            x, y = (r.right + 11, r.y - 11) if box.kind == "parameter" else (r.right - 2, r.top + 1)
            mark: list[Any] = [
                Plate(Rect(x, y, 15, 15), 7.5, "sum"),
                Words(x, y, (Run("\N{GREEK CAPITAL LETTER SIGMA}"),), 11, "back-head"),
            ]
            name = text.plain(box.label)
            data = {"kind": "sum", "of": box.id}
            about = f"{n} contributions drawn"
            self.groups.append(Group(f"gradient of {name}: a sum", about, mark, data))

    def _shapes(self) -> float:
        """Write the shapes of the parameters to their left; how much room that takes."""
        room = 0.0
        shapes: list[Any] = []
        for box, rect in self.layout.rects.items():
            if box.kind != "parameter" or box.node is None:
                continue
            sizes = (Run("\N{MULTIPLICATION SIGN}".join(map(str, box.node.shape)) or "1"),)
            room = max(room, text.width(sizes, SMALL_FONT) + 8)
            words = Words(rect.left - 7, rect.y, sizes, SMALL_FONT, "soft", "end", "sans")
            shapes.append(words)
        if shapes:
            self.groups.append(Group("shapes", "of the parameters", shapes))
        return room

    def _legend(self, left: float, y: float, right: float) -> float:
        """What the shapes mean; only those that are there. Gives where it ends."""
        boxes, links = self.layout.model.boxes, self.layout.model.links
        kinds = {b.kind for b in boxes}
        shapes: list[Any] = []
        x = left
        self.legend_right = left

        def entry(words: str, wide: float, *icon: Any) -> None:
            nonlocal x, y
            needed = wide + 6 * (wide > 0) + text.width((Run(words),), SMALL_FONT) * 1.08
            if x > left and x + needed > right:
                x, y = left, y + 28
            shapes.extend(_shifted(shape, x, y) for shape in icon)
            at = x + wide + 6 * (wide > 0)
            shapes.append(Words(at, y, (Run(words),), SMALL_FONT, "soft", "start", "sans"))
            x += needed + 20
            self.legend_right = max(self.legend_right, x - 20)

        if "input" in kinds:
            entry("input", 22, Plate(Rect(11, 0, 22, 16), 0.0, "input"))
        if kinds & {"op", "round"}:
            entry("operation", 22, Plate(Rect(11, 0, 22, 16), 5.0, "op"))
        if "value" in kinds:
            words = "state or output" if self.layout.model.timed else "output"
            entry(words, 20, Plate(Rect(10, 0, 20, 20), 10.0, "value"))
        if "parameter" in kinds:
            entry(
                "shared parameter, a dot per use",
                46,
                Plate(Rect(10, 0, 20, 16), 5, "parameter0"),
                Line([(20, 0), (46, 0)], "rail0"),
                Plate(Rect(36, 0, 6, 6), 3, "head0"),
            )
        if any(link.kind == "constant" for link in links):
            entry(
                "constant: no gradient", 34, *arrow([(0, 0), (34, 0)], "constant-link", "head", 1.0)
            )
        if any(link.kind == "cut" for link in links):
            marks = [Line([(13 + d, 8), (19 + d, -8)], "flow", 1.8) for d in (-3, 3)]
            entry(
                "detached: no gradient", 34, *arrow([(0, 0), (34, 0)], "cut", "head", 1.6), *marks
            )
        if self.look.backward:
            entry("gradient, flowing back", 34, *arrow([(34, 0), (0, 0)], "back", "back-head", 1.4))
            sign = Words(7, 0, (Run("\N{GREEK CAPITAL LETTER SIGMA}"),), 11, "back-head")
            entry("contributions are summed", 15, Plate(Rect(7, 0, 15, 15), 7.5, "sum"), sign)
        if any(b.note for b in boxes):
            entry("second line: norm of the value", 0)
        if any(b.keeps for b in boxes):
            entry("keeps values for the backward pass", 8, Plate(Rect(4, 0, 7, 7), 0, "kept"))
        if any(b.symbol == "CE" for b in boxes):
            entry("CE  cross entropy", 0)
        if self.edges != "plain" and any(link.norm for link in links):
            what = "gradient that flowed back" if self.edges == "gradient" else "value"
            x, y = left, y + 28
            entry(f"width: norm of the {what} along the edge, log scale", 0)
            low, high = self.widths.low, self.widths.high
            samples = [low] if high / low < 1.12 else [low, (low * high) ** 0.5, high]
            for norm in samples:
                line = Line([(0, 0), (30, 0)], "flow", self.widths(norm))
                entry(f"{norm:.2g}", 30, line)
        self.groups.append(Group("legend", "what the shapes mean", shapes))
        return y + 10


def _beside(way: Way, d: float) -> Way:
    """The same way, a little to its right."""
    sides = []
    for (x1, y1), (x2, y2) in pairwise(way):
        length = abs(x2 - x1) + abs(y2 - y1) or 1.0
        sides.append((-(y2 - y1) / length * d, (x2 - x1) / length * d))
    out = [(way[0][0] + sides[0][0], way[0][1] + sides[0][1])]
    for (x, y), a, b in zip(way[1:-1], sides, sides[1:], strict=False):
        out.append((x + a[0] + b[0], y + a[1] + b[1]))
    out.append((way[-1][0] + sides[-1][0], way[-1][1] + sides[-1][1]))
    return out


def _shifted(shape: Any, dx: float, dy: float) -> Any:
    """A copy of a shape elsewhere."""
    if isinstance(shape, Words):
        return replace(shape, x=shape.x + dx, y=shape.y + dy)
    if isinstance(shape, Plate):
        return Plate(shape.rect.moved(dx, dy), shape.radius, shape.style)
    points = [(x + dx, y + dy) for x, y in shape.points]
    return Line(points, shape.style, shape.width, shape.closed)


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
