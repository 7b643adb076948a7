"""A layout as shapes, from which every format is written.

Shapes are painted from the back to the front: plates of steps and scopes, rails, lines, boxes, then
the legend. Points are those of the layout, turned by a quarter if time runs downwards; only words
are placed here, beside the shape that they belong to. A scene that is too wide is cut into rows
when all is placed (`rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .. import text
from ..layout.bands import TITLE
from ..layout.positions import FONT, LINE, MARGIN, SMALL_FONT, Layout, shape_of
from ..layout.route import Rect, Way, segments
from ..layout.wires import WORDS, Rail
from ..model import RAILED, Box, Link
from ..read.columns import AFTER, BEFORE
from ..read.union import ALL_LISTED
from ..text import Run, Runs
from .legend import Legend, Widths
from .rows import BETWEEN, Rows
from .shapes import INDENT, Group, Plate, Scene, Stroke, Words, arrow
from .theme import PARAMETERS, THEMES, Style


@dataclass(frozen=True)
class Look:
    """Options beside the graph itself; see `draw`."""

    edges: str = "plain"
    shapes: bool = True
    style: Callable[[Box | Link], Mapping[str, Any] | None] | None = None


class Painter:
    """Turns a layout into shapes, in rows if it is wider than `widest`."""

    def __init__(self, layout: Layout, title: str, look: Look, widest: float | None = None) -> None:
        self.layout = layout
        self.title = title
        self.look = look
        self.widest = widest
        self.rows = 1
        self.edges = look.edges
        self.groups: list[Group] = []
        self.own: dict[str, Style] = {}
        self.widths = Widths(layout.model.links)

    def scene(self) -> Scene:
        """The whole picture."""
        layout = self.layout
        left, top, right, bottom = layout.box
        top -= 14
        bottom += 14
        self._bands(top, bottom)
        if layout.turned:
            whole = layout.stands(Rect((left + right) / 2, (top + bottom) / 2,
                                       right - left, bottom - top))  # fmt: skip
            left, top, right, bottom = whole.left, whole.top, whole.right, whole.bottom
        self._scopes()
        for rail in layout.rails:
            self._rail(rail)
        lower_last = reversed if layout.model.rolled else iter  # its words may lie on a higher one
        for made, ghost, way in lower_last(layout.delays):
            label = text.plain(ghost.label)
            ends = {"kind": "delay", "from": made.id, "to": ghost.id}
            if layout.model.rolled:
                line, head = ("turn", "back-head") if ghost.back else ("delay", "head")
                shapes = self._arrow(way, line, head, 1.4)
                if ghost.kind == "point":  # the line goes on there
                    shapes = [self._stroke(way, line, 1.4)]
                shapes += self._delay_words(way, self._delay_by(made, ghost))
                self.groups.append(Group(f"delay: {label}", "", shapes, ends))
            else:
                self.groups.append(Group(f"to {label}", "", [self._stroke(way, "dotted")], ends))
        for link, way in layout.ways.items():
            self._way(link, way)
        for box, rect in layout.rects.items():
            self._box(box, layout.stands(rect))
        captions = any(c.step in self.layout.model.captions for c in layout.columns)
        room = self._shapes() if self.look.shapes else 0.0
        y = bottom + (26 if layout.model.timed else 6) + (14 if captions else 0)
        if layout.turned:
            top -= 16 if room else 0
            left -= self.beside
            y = bottom + 6
        else:
            left -= room
        if self.widest is not None:
            rows = Rows(layout, left, right, self.widest, y - top + BETWEEN)
            self.rows = len(rows)
            if len(rows) > 1:
                self.groups = [*rows.cut(self.groups), *rows.labels(layout, SMALL_FONT)]
                y += rows.pitch * (len(rows) - 1)
                right = rows.right
        legend = Legend(
            layout.model, self.edges, self.widths, left, y + 22, max(right, left + 560), self.rows
        )
        self.groups.append(Group("legend", "the meanings of the shapes", legend.shapes))
        y = legend.bottom
        if self.title:
            top -= 34
            words = Words(left, top + 12, (Run(self.title),), 17, "title", "start", "sans")
            self.groups.append(Group("title", "", [words]))
        widest = max(right, legend.right) - left
        return Scene(
            self.title or "Unrolled network",
            self.about(),
            left - MARGIN,
            top - MARGIN / 2,
            widest + 2 * MARGIN,
            y - top + MARGIN,
            self.groups,
            self.own,
            layout.turned,
        )

    def _stroke(self, way: Way, style: str, width: float | None = None) -> Stroke:
        return Stroke(self.layout.upright(way), style, width)

    def _arrow(self, way: Way, style: str, head: str, width: float) -> list[Any]:
        return arrow(self.layout.upright(way), style, head, width)

    def about(self) -> str:
        """The picture in a sentence, for those who cannot see it."""
        m = self.layout.model
        names = ", ".join(
            f"{text.plain(b.label)} ({m.uses[b.node]} uses)"
            for b in m.boxes
            if b.kind == "parameter" and b.node in m.uses
        )
        steps = f"{len(m.span or m.steps)} time steps" if m.timed else "no time steps"
        return f"A computation graph with {steps}" + (
            f" and the parameters {names}." if names else "."
        )

    def _bands(self, top: float, bottom: float) -> None:
        model, layout = self.layout.model, self.layout
        self.beside = 0.0  # room for words left of the steps, if time runs downwards
        for column in layout.columns:
            middle = (column.left + column.right) / 2
            plate = Rect(middle, (top + bottom) / 2, column.right - column.left - 4, bottom - top)
            plate = layout.stands(plate)
            if column.step is None:
                few = f"{column.hidden} step" + "s" * (column.hidden != 1)
                told = [(few, 10.0), ("not drawn", 24.0)]
                words: list[Any] = [
                    self._beside(plate, (Run(line),), y, "sans") for line, y in told
                ]
                self.groups.append(Group(f"{few} not drawn", "", words))
            elif model.timed:
                times = f" = {column.step}"
                if model.rolled:
                    steps = model.span
                    span = ", ".join(map(str, steps))
                    if len(steps) > ALL_LISTED:
                        span = f"{steps[0]}, \N{HORIZONTAL ELLIPSIS}, T = {steps[-1]}"
                    times = f" = {span}   (\N{MULTIPLICATION SIGN} {len(steps)})"
                label = (Run("t", "i"), Run(times))
                shapes: list[Any] = [Plate(plate, 8, "band"), self._beside(plate, label, 14.0)]
                if caption := model.captions.get(column.step):
                    shapes.append(self._beside(plate, (Run(text.cut(caption)),), 30.0, "sans"))
                data = {"kind": "band", "step": str(column.step)}
                self.groups.append(Group(f"time step t{times}", "", shapes, data))

    def _beside(self, plate: Rect, runs: Runs, down: float, face: str = "serif") -> Words:
        """Words under a step; left of it, if time runs downwards."""
        size = FONT if face == "serif" else SMALL_FONT
        if not self.layout.turned:
            return Words(plate.x, plate.bottom + down, runs, size, "soft", face=face)
        self.beside = max(self.beside, text.width(runs, size) + 16)
        return Words(plate.left - 10, plate.y + down - 14, runs, size, "soft", "end", face)

    def _scopes(self) -> None:
        """The operations of a scope, on a plate with its name."""
        layout = self.layout
        upright: dict[int, list[tuple[float, float, float]]] = {}
        for link, way in [*layout.ways.items(), *(w for rail in layout.rails for w in rail.ways)]:
            for piece in segments(layout.upright(way)):
                if not piece.horizontal:
                    for column in {link.source.column, link.target.column}:
                        upright.setdefault(column, []).append((piece.at, piece.a, piece.b))
        for band in layout.bands:
            rect = layout.stands(layout.plate(band))
            y = rect.top + TITLE / 2 + 2
            crossing = sorted(
                x for x, a, b in upright.get(band.step, ()) if a < y + 7 and b > y - 7
                and rect.left < x < rect.right
            )  # fmt: skip
            gaps = list(pairwise([rect.left, *crossing, rect.right]))
            name: Runs = (Run(text.cut(band.scope[-1])),)
            room = text.width(name, SMALL_FONT) + 12
            wide = [gap for gap in gaps if gap[1] - gap[0] >= room]
            left, right = wide[0] if wide else max(gaps, key=lambda gap: gap[1] - gap[0])
            name = text.fitting(name, right - left - 12, SMALL_FONT)
            shapes: list[Any] = [Plate(rect, 8, f"scope{band.depth % 2}")]
            if name:
                shapes.append(Words(left + 8, y, name, SMALL_FONT, "soft", "start", "sans"))
            path = "/".join(band.scope)
            about = {"kind": "scope", "step": str(band.step), "scope": path}
            self.groups.append(Group(path, "", shapes, about))

    def _delay_by(self, made: Box, ghost: Box) -> str:
        """How long a value is handed on, and in which steps a gradient is not."""
        by = self.layout.rank[made.column] - self.layout.rank[ghost.column]
        count = {1: "one step", 2: "two steps", 3: "three steps"}.get(abs(by), f"{abs(by)} steps")
        way = "later" if by > 0 else "earlier"
        rule = ghost.node.params["of"] if ghost.kind == "point" and ghost.node else None
        told = f"to all {way} steps" if rule in self.layout.model.past else f"{count} {way}"
        return f"{told}; {ghost.note}" if ghost.kind == "point" and ghost.note else told

    def _delay_words(self, way: Way, told: str) -> list[Any]:
        """Words on the longest part of a delay's upper edge that no other delay crosses; over
        others, if all parts are too short.
        """
        if len(way) == 2:  # between a state and the one before it, both with their names
            return []
        y = min(y for _, y in way)
        ends = sorted(x for x, at in way if at == y)
        crossing = [
            piece.at
            for other in self.layout.delays
            for piece in segments(other.way)
            if not piece.horizontal and piece.a < y < piece.b and ends[0] < piece.at < ends[-1]
        ]
        stops = sorted([ends[0], *crossing, ends[-1]])
        a, b = max(pairwise(stops), key=lambda gap: gap[1] - gap[0])
        line = (Run(told),)
        wide = max(104.0, text.width(line, SMALL_FONT) + 16)
        middle = (a + b) / 2
        if b - a < wide + 16:  # within the picture, which the line's far end bounds
            right = way[-1][0] > way[0][0]
            middle = ends[-1] - wide / 2 - 8 if right else ends[0] + wide / 2 + 8
        rect = Rect(middle, y, wide, 16)
        words = Words(rect.x, y, line, SMALL_FONT, "soft", face="sans")
        return [Plate(rect, 4, "page"), words]

    def _users(self, part: Box | Link, usual: str) -> str:
        """The class that a user wants for a box or a link, else the usual one."""
        wanted = None if self.look.style is None else self.look.style(part)
        if not wanted:
            return usual
        unknown = set(wanted) - set(Style._fields)
        if unknown:
            raise ValueError(
                f"draw: style gave {sorted(unknown)} for {part.__class__.__name__.lower()}; wanted "
                f"some of {', '.join(Style._fields)}"
            )
        made = THEMES["light"][usual]._replace(**wanted)
        same = next((name for name, style in self.own.items() if style == made), None)
        name = same or f"own{len(self.own)}"
        self.own[name] = made
        return name

    def style_of(self, box: Box) -> str:
        """The class a box is painted in."""
        return self._users(box, self._usual_style(box))

    def _usual_style(self, box: Box) -> str:
        if box.kind in RAILED:
            return f"parameter{box.color % PARAMETERS}"
        if box.kind == "point":
            return "back-head"
        if box.back and box.kind in ("circle", "value", "cell"):
            return f"back-{box.kind}"
        return box.kind

    def line_of(self, link: Link) -> str:
        """The class a link is painted in."""
        return self._users(link, self._usual_line(link))

    def _usual_line(self, link: Link) -> str:
        for box in (link.source, link.target):
            if box.kind in RAILED:
                return f"rail{box.color % PARAMETERS}"
        return "constant-link" if link.kind == "constant" else link.kind

    def width_of(self, link: Link) -> float:
        """How thick a link is."""
        width = self.widths(link.norm) if self.edges != "plain" else None
        wanted = (self.look.style and self.look.style(link)) or {}
        if "width" in wanted:
            return float(wanted["width"])
        if width is None:
            width = {"state": 1.6, "constant": 1.0, "cut": 1.6}.get(link.kind, 1.2)
        return width

    def _rail(self, rail: Rail) -> None:
        box = rail.box
        line, head, wide = "flow", "head", 1.5
        if all(link.kind == "constant" for link, _ in rail.ways):
            line, wide = "constant-link", 1.0
        if box.kind in RAILED:
            line, head = f"rail{box.color % PARAMETERS}", f"head{box.color % PARAMETERS}"
        elif box.back:
            line, head = "back", "back-head"
        shapes: list[Any] = []
        pieces: list[Way] = []
        at = rail.start
        for gap in self.layout.columns:
            if gap.step is None and at < gap.left and rail.end > gap.right:
                pieces.append([(at, rail.y), (gap.left + 10, rail.y)])
                between = [(gap.left + 16, rail.y), (gap.right - 10, rail.y)]
                shapes.append(self._stroke(between, "dotted", 1.5))
                at = gap.right - 8
        pieces.append([(at, rail.y), (rail.end, rail.y)])
        if rail.into:  # the head is at the box
            behind = rail.end <= self.layout.rects[box].x
            piece = pieces.pop(-1 if behind else 0)
            shapes += self._arrow(piece if behind else piece[::-1], line, head, wide)
        shapes += [self._stroke(piece, line, wide) for piece in pieces]
        name = text.plain(box.label)
        uses = f"{len(rail.ways)} uses drawn"
        self.groups.append(Group(f"{name}, shared", uses, shapes, {"kind": "rail", "of": box.id}))
        for link, way in rail.ways:
            width = (self.widths(link.norm) if self.edges != "plain" else None) or wide
            ((x, y),) = self.layout.upright([rail.junction(way)])
            own = self._users(link, line)
            width = self.own[own].width if own != line else width
            parts: list[Any] = (
                [self._stroke(way, own, width)] if rail.into else self._arrow(way, own, head, width)
            )
            parts.append(Plate(Rect(x, y, 6, 6), 3, head))
            parts += self._words_at(link)
            self.groups.append(self._link_group(link, parts, box.id))

    def _way(self, link: Link, way: Way) -> None:
        head = "back-head" if link.kind in ("back", "turn") else "head"
        shapes = self._arrow(way, self.line_of(link), head, self.width_of(link))
        shapes += self._words_at(link)
        if link.kind == "cut":
            (x1, y1), (x2, y2) = way[0], way[1]
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            for d in (-3, 3):
                shapes.append(self._stroke([(x + d - 3, y + 9), (x + d + 3, y - 9)], "flow", 1.8))
            if link.lost is not None:
                lost = (Run(f"{link.lost:.2g}"),)
                away = 14 + (text.width(lost, SMALL_FONT) / 2 if self.layout.turned else 4)
                ((x, y),) = self.layout.upright([(x, y - away)])
                shapes.append(Words(x, y, lost, SMALL_FONT, "soft", face="sans"))
        self.groups.append(self._link_group(link, shapes))

    def _words_at(self, link: Link) -> list[Any]:
        """The words beside a link, if there is room."""
        if link not in self.layout.words:
            return []
        ((x, y),) = self.layout.upright([self.layout.words[link]])
        return [Words(x, y, link.label, WORDS)]

    def _link_group(self, link: Link, shapes: list[Any], rail: str = "") -> Group:
        a, b = text.plain(link.source.label), text.plain(link.target.label)
        about = []
        if link.norm is not None:
            value = "value" if self.edges == "magnitude" else "gradient"
            about.append(f"{value} norm {link.norm:.4g}")
        if link.kind == "constant":
            about.append("constant: no gradient")
        if link.kind == "cut":
            about.append("cut by detach(): no gradient flows back")
            if link.lost is not None:
                about.append(f"norm of the gradient that would have gone on {link.lost:.4g}")
        data = {"kind": "link", "from": link.source.id, "to": link.target.id}
        if link.source.column == link.target.column:
            data["step"] = str(link.source.column)
        title = f"{a} \N{RIGHTWARDS ARROW} {b}"
        return Group(title, "; ".join(about), shapes, data, of=rail)

    def _box(self, box: Box, rect: Rect) -> None:
        style = self.style_of(box)
        radius = {
            "circle": rect.h / 2,
            "value": rect.h / 2,
            "op": 6.0,
            "cell": 10.0,
            "pullback": 6.0,
            "parameter": 6.0,
            "gradient": 6.0,
            "point": rect.h / 2,
        }.get(box.kind, 0.0)
        shapes: list[Any] = [Plate(rect, radius, style)]
        label = box.label
        if box.kind == "point":
            pass
        elif box.kind == "cell":
            y = rect.top + 7 + LINE / 2
            if label:
                shapes.append(Words(rect.x, y, label, SMALL_FONT, "soft", face="sans"))
                y += LINE
            for line in box.lines:
                shapes.append(Words(rect.left + INDENT, y, line, anchor="start"))
                y += LINE
        elif box.name and box.kind == "op":
            lines = [(box.name, FONT, "serif"), (label, SMALL_FONT, "serif")]
            lines += [((Run(box.note),), 10.5, "sans")] if box.note else []
            y = rect.y - 8.5 * (len(lines) - 1)
            for line, font, face in lines:
                style = "text" if line is box.name else "soft"
                shapes.append(Words(rect.x, y, line, font, style, face=face))
                y += 17
        elif box.note:
            shapes.append(Words(rect.x, rect.y - 7, label))
            shapes.append(Words(rect.x, rect.y + 9, (Run(box.note),), 10.5, "soft", face="sans"))
        elif box.kind == "circle" and len(label) == 1:
            shapes.append(Words(rect.x, rect.y, label, FONT + 3))
        else:
            shapes.append(Words(rect.x, rect.y, label))
        if box.keeps:
            corner = Rect(rect.right - 3, rect.top + 3, 7, 7)
            if box.kind == "circle":
                corner = Rect(rect.right - 4, rect.top + 4, 7, 7)
            shapes.append(Plate(corner, 0, "kept"))
        step = "" if box.column in (BEFORE, AFTER) else str(box.column)
        self.groups.append(
            Group(
                _title(box),
                "; ".join(box.facts),
                shapes,
                {"kind": box.kind, "id": box.id, "step": step},
            )
        )

    def _shapes(self) -> float:
        """Write the shapes of the parameters to their left, or above; how wide the widest is."""
        room = 0.0
        for box, rect in self.layout.rects.items():
            if box.kind != "parameter" or box.node is None:
                continue
            sizes = (Run(shape_of(box)),)
            room = max(room, text.width(sizes, SMALL_FONT) + 8)
            at = self.layout.stands(rect)
            where = (at.left - 7, at.y, "end")
            if self.layout.turned:
                where = (at.x, at.top - 11, "middle")
            x, y, anchor = where
            words = Words(x, y, sizes, SMALL_FONT, "soft", anchor, "sans")
            about = f"of {text.plain(box.label)}"
            self.groups.append(Group("shapes", about, [words], of=box.id))
        return room


def _title(box: Box) -> str:
    """The name of a box for those who point at it."""
    called = box.name if box.kind == "op" else ()
    return " = ".join(text.plain(words) for words in (called, box.label) if words) or "readout"
