"""A scene as a graphviz.Digraph: its boxes are nodes, its lines edges.

With `layout="nop2"`, set in the graph itself, every position is fixed, and all of Graphviz's
programs and libraries draw the picture of the scene. Steps are clusters; the legend is drawn behind
the graph. A rail is a chain of points from its parameter to each use, so that a path leads from the
parameter to all that it is used for. With `layout="dot"` there are no positions, and no points.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from math import ceil
from typing import Any
from xml.sax.saxutils import escape

from ..layout.positions import LINE
from ..layout.route import Rect, Way
from ..text import SMALL, Run, plain, width
from .shapes import Group, Plate, Scene, Stroke, Words
from .svg import number, rounded
from .xdot import FACES, cubic, dashes, operations, point

TABLE = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
BRACKET = {"]": "&#93;"}
"""Text that ends in this sign, plainly written, is refused by older versions of Graphviz."""
ROOM = 1.5
"""Height of a line with sub- and superscripts in sizes of its letters: so much that letters of
`SMALL` size at its top and bottom stand where they stand in our own pictures."""
LEAST = 1.3
"""The same where lines are close: Graphviz takes letters for a quarter higher than their size."""
ROUND = 0.8
"""How much of an ellipse's width words may take; longer ones stand in a box with round corners."""
HEAD = 10.0
"""How long Graphviz draws an arrow's head of size 1, in points."""


def digraph(scene: Scene, theme: str, layout: str = "nop2") -> Any:
    """The scene as a `graphviz.Digraph`.

    Raises ModuleNotFoundError if the Python package graphviz is not there.
    """
    return _DotWriter(scene, theme, layout == "nop2").graph


class _DotWriter:
    """Writes one graph; `placed`: with every position."""

    def __init__(self, scene: Scene, theme: str, placed: bool) -> None:
        import graphviz

        self.escape = graphviz.escape
        self.scene, self.placed = scene, placed
        self.styles = scene.styles("dark" if theme == "dark" else "light")
        self.groups: dict[str, list[Group]] = {}
        for group in scene.groups:
            kind = group.data.get("kind") or ("beside" if group.of else "behind")
            self.groups.setdefault("box" if "id" in group.data else kind, []).append(group)
        self.outlines = {g.data["id"]: _outline(g).rect for g in self.groups["box"]}
        self.sizes = {g.of: g for g in self.groups.get("beside", ())}
        attributes = {"bgcolor": self.styles["page"].fill, "tooltip": self.escape(scene.about)}
        attributes |= self._page() if placed else {"layout": "dot", "rankdir": "LR"}
        size = "shape" if placed else "false"  # of the shape alone, whatever fonts there are
        self.graph = graphviz.Digraph(
            name=graphviz.nohtml(scene.title),
            graph_attr=attributes | self._title(),
            node_attr={"fontname": FACES["serif"], "label": "", "fixedsize": size},
            edge_attr={"arrowhead": "none" if placed else "normal"},
        )
        self._nodes()
        if placed:
            for group in self.groups.get("rail", ()):
                self._rail(group)
        for group in self.groups.get("delay", ()):
            self._edge(group, group.data["from"], group.data["to"])
        for group in self.groups.get("link", ()):
            if not (placed and group.of):
                self._edge(group, group.data["from"], group.data["to"])

    # -- the page ----------------------------------------------------------------------------------

    def _page(self) -> dict[str, str]:
        """The layout, and the drawing behind the graph: the page, the legend, words in gaps."""
        s = self.scene
        sheet = Plate(
            Rect(s.left + s.width / 2, s.top + s.height / 2, s.width, s.height), 0, "page"
        )
        groups = [g for g in self.groups["behind"] if g.title != "title"]
        behind = [sheet, *(shape for group in groups for shape in group.shapes)]
        drawn = " ".join(op for shape in behind for op in operations(shape, self.styles))
        return {"layout": "nop2", "pad": "0", "_background": drawn}

    def _title(self) -> dict[str, str]:
        for group in self.groups["behind"]:
            (words,) = group.shapes[:1]
            if group.title != "title" or not isinstance(words, Words):
                continue
            at = {"lp": self._middle(words)} if self.placed else {"labelloc": "t"}
            return {"label": self._label([words]), **at}
        return {}

    # -- boxes -------------------------------------------------------------------------------------

    def _nodes(self) -> None:
        boxes = {g.data["id"]: g for g in self.groups.get("box", ())}
        scopes = self.groups.get("scope", [])
        for band in self.groups.get("band", ()):
            mine = [scope for scope in scopes if scope.data["step"] == band.data["step"]]
            self._cluster(self.graph, band, f"t{band.data['step']}", mine, boxes)
            scopes = [scope for scope in scopes if scope not in mine]
        self._scopes(self.graph, "scope", scopes, boxes)  # of a graph without time
        for name, group in boxes.items():
            self._node(self.graph, name, group)

    def _scopes(self, graph: Any, name: str, scopes: list[Group], boxes: dict[str, Group]) -> None:
        """Scopes, those that lie in others as clusters of theirs."""
        while scopes:
            outer, *scopes = scopes
            r = _outline(outer).rect
            within = [scope for scope in scopes if _within(r, _outline(scope).rect)]
            scopes = [scope for scope in scopes if scope not in within]
            self._cluster(graph, outer, f"{name}_{len(scopes)}", within, boxes)

    def _cluster(
        self, graph: Any, band: Group, name: str, scopes: list[Group], boxes: dict[str, Group]
    ) -> None:
        """A step, or a scope in it, with the boxes that stand there; it takes them from `boxes`."""
        plate, words = _outline(band), _words(band)
        style, r = self.styles[plate.style], plate.rect
        with graph.subgraph(name=f"cluster_{name}") as cluster:
            cluster.attr(label=self._label(words), style="rounded,filled", fillcolor=style.fill)
            cluster.attr(color=style.stroke or style.fill, penwidth=number(style.width))
            cluster.attr(tooltip=self._tooltip(band))
            if self.placed:
                cluster.attr(bb=f"{point(r.left, r.bottom)},{point(r.right, r.top)}")
                cluster.attr(lp=self._middle(*words))
            self._scopes(cluster, name, scopes, boxes)
            for own, group in list(boxes.items()):
                rect = _outline(group).rect
                if band.data["kind"] == "scope":
                    held = _within(r, rect)
                else:
                    held = group.data["step"] == band.data["step"] and _holds(r, rect)
                if held:
                    self._node(cluster, own, boxes.pop(own))

    def _node(self, graph: Any, name: str, group: Group) -> None:
        plate = _outline(group)
        r, style = plate.rect, self.styles[plate.style]
        wide = max((width(line.runs, line.size) for line in _words(group)), default=0.0)
        round_ = plate.radius >= r.h / 2 and (r.w == r.h or wide < ROUND * r.w)
        shape = ("circle" if r.w == r.h else "ellipse") if round_ else "box"
        look = ["filled", *(["rounded"] if plate.radius and not round_ else []), dashes(style)]
        attributes = {
            "label": self._label(_words(group), r),
            "shape": shape,
            "style": ",".join(filter(None, look)),
            "fillcolor": style.fill,
            "color": style.stroke,
            "penwidth": number(style.width),
            "width": f"{r.w / 72:.4f}",
            "height": f"{r.h / 72:.4f}",
            "tooltip": self._tooltip(group),
            "class": group.data["kind"],
        }
        if self.placed:
            attributes["pos"] = point(r.x, r.y)
        else:
            attributes["margin"] = "0.1,0.05"
        graph.node(name, **attributes, **self._beside(name, group))

    def _beside(self, name: str, group: Group) -> dict[str, str]:
        """The words beside a node: the shape of a parameter, a mark that values are kept."""
        found: dict[str, str] = {}
        for mark in group.shapes:
            if isinstance(mark, Plate) and mark.style == "kept":
                size = f'FIXEDSIZE="TRUE" WIDTH="{mark.rect.w:g}" HEIGHT="{mark.rect.h:g}"'
                cell = f'<TD BGCOLOR="{self.styles["kept"].fill}" {size}></TD>'
                found["xlabel"] = f"<{TABLE}><TR>{cell}</TR></TABLE>>"
                found["xlp"] = point(mark.rect.x, mark.rect.y)
        if name in self.sizes:
            words = _words(self.sizes[name])
            found = {"xlabel": self._label(words), "xlp": self._middle(*words)}
        return found if self.placed else {k: v for k, v in found.items() if k != "xlp"}

    # -- lines -------------------------------------------------------------------------------------

    def _edge(self, group: Group, start: str, end: str) -> None:
        """A line, with its head, its words and the mark of a cut."""
        strokes = [s for s in group.shapes if isinstance(s, Stroke)]
        line, heads = strokes[0], [s for s in strokes if s.closed]
        words, style = _words(group), self.styles[line.style]
        attributes = {
            "color": style.stroke,
            "penwidth": number(style.width if line.width is None else line.width),
            "style": dashes(style) or "solid",
            "tooltip": self._tooltip(group),
            "class": group.data["kind"],
            "arrowhead": "normal" if heads else "none",
        }
        lines = [line, *(s for s in strokes[1:] if s.goes_on)]
        cut = [s for s in strokes[1:] if not s.closed and not s.goes_on]
        if cut:
            xs, ys = zip(*(p for mark in cut for p in mark.points), strict=True)
            middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
            words = [Words(*middle, (Run("//"),), 18.0)]
        if words:
            plates = [s for s in group.shapes if isinstance(s, Plate) and not group.of]
            attributes["label"] = self._label(words, ground=next(iter(plates), None))
        if heads:
            (x1, y1), (x2, y2), (x3, y3) = heads[0].points
            back = (x2 + x3) / 2, (y2 + y3) / 2
            size = abs(x1 - back[0]) + abs(y1 - back[1])  # one of them is 0
            attributes["arrowsize"] = number(size / HEAD)
        if self.placed:
            ways = [piece.points for piece in lines]
            if heads:
                ways[-1] = [*ways[-1][:-1], back]
            splines = [
                " ".join(point(*p) for p in cubic(rounded(Stroke(way, line.style)))) for way in ways
            ]
            splines[-1] = (f"e,{point(x1, y1)} " if heads else "") + splines[-1]
            attributes["pos"] = ";".join(splines)
            if words:
                attributes["lp"] = self._middle(*words)
        self.graph.edge(start, end, **attributes)

    def _rail(self, rail: Group) -> None:
        """A rail as a chain of points, with the links that begin or end there."""
        owner = rail.data["of"]
        strokes = [s for s in rail.shapes if isinstance(s, Stroke)]
        heads = [s for s in strokes if s.closed]
        lines = [s for s in strokes if not s.closed]
        style = next(s.style for s in lines if s.style != "dotted")
        color = self.styles[style].stroke
        rows: dict[float, tuple[float, float]] = {}  # y: from where to where
        for line in lines:
            (a, y), (b, _) = self._lying(line.points)
            low, high = rows.get(y, (a, a))
            rows[y] = min(low, a, b), max(high, a, b)
        places = {}
        for g in self.groups["link"]:
            if g.of == owner:
                dot = _dot(g)
                ((x, y),) = self._lying([(dot.x, dot.y)])
                if y in rows:
                    places[id(g)] = y, x
        links = [g for g in self.groups["link"] if id(g) in places]
        into = bool(heads)
        gaps = []
        for s in lines:
            if s.style == "dotted":
                points = self._lying(s.points)
                gaps.append((points[0][1], *sorted(x for x, _ in points)))
        uses = dict.fromkeys(places.values(), "")
        own = self.outlines[owner]
        if self.scene.turned:
            own = Rect(own.y, -own.x, own.h, own.w)
        first, last = min(rows), max(rows)
        after = min(x for _, x in uses) >= own.x
        if first < last:
            after = abs(own.y - first) < abs(own.y - last)
        stops = [(first, own.right, owner) if after else (last, own.left, owner)]
        ends = {*uses, *((y, x) for y, *gap in gaps for x in gap)}
        for y, x in sorted(ends, reverse=not after):
            kind = ("part" if into else "use") if (y, x) in uses else "gap"
            name = f"{owner}.{kind}{len(stops)}"
            size = f"{(_dot(links[0]).w if (y, x) in uses else 1.0) / 72:.4f}"
            ((across, down),) = self._standing([(x, y)])
            self.graph.node(
                name, shape="point", pos=point(across, down), width=size, height=size, color=color,
                style="filled" if (y, x) in uses else "invis", tooltip=self._tooltip(rail),
                **{"class": kind},
            )  # fmt: skip
            stops.append((y, x, name))
            if (y, x) in uses:
                uses[y, x] = name
        for (y1, x1, start), (y2, x2, end) in pairwise(stops):
            dotted = any(y == y1 == y2 and low <= min(x1, x2) and max(x1, x2) <= high
                         for y, low, high in gaps)  # fmt: skip
            pieces = _between((y1, x1), (y2, x2), rows)
            if into:
                pieces = [piece[::-1] for piece in pieces[::-1]]
            head = heads if into and start == owner else []
            strokes = [
                Stroke(self._standing(piece), "dotted" if dotted else style, 1.5, goes_on=k > 0)
                for k, piece in enumerate(pieces)
            ]
            chain = Group(rail.title, rail.about, [*strokes, *head], {"kind": "rail"})
            self._edge(chain, *((end, start) if into else (start, end)))
        for g in links:
            use = uses[places[id(g)]]
            self._edge(g, *((g.data["from"], use) if into else (use, g.data["to"])))

    def _lying(self, way: Way) -> Way:
        """Points as if time ran from left to right."""
        return [(y, -x) for x, y in way] if self.scene.turned else way

    def _standing(self, way: Way) -> Way:
        return [(-y, x) for x, y in way] if self.scene.turned else way

    # -- words -------------------------------------------------------------------------------------

    def _middle(self, *words: Words) -> str:
        """Where the middle of some words is."""
        one = words[0]
        shift = {"start": 0.5, "middle": 0.0, "end": -0.5}[one.anchor]
        wide = max(width(line.runs, line.size) for line in words)
        ys = [line.y for line in words]
        return point(one.x + shift * wide, (min(ys) + max(ys)) / 2)

    def _label(
        self, words: list[Words], box: Rect | None = None, ground: Plate | None = None
    ) -> str:
        """Lines of words as an HTML-like label; box: which they stand in; ground: under them."""
        if not any(plain(line.runs) for line in words):
            return ""
        flush = box is not None and any(line.anchor == "start" for line in words)
        if len(words) == 1 and ground is None and not flush:
            return f"<{self._line(words[0])}>"
        heights = [b.y - a.y for a, b in pairwise(words)]
        pitches = [*heights, *heights[-1:]] or [LINE if flush else 0.0]
        rows = [
            _row(self._line(line, pitch, box if flush else None, nested=True), pitch)
            for line, pitch in zip(words, pitches, strict=True)
        ]
        if box is not None and flush:  # the lines begin at the top, and the rest is filled
            above = words[0].y - pitches[0] / 2 - box.top
            below = box.bottom - words[-1].y - pitches[-1] / 2
            rows = [_row("", above - 1), *rows, _row("", below - 1)]
        back = ""
        if ground is not None:
            back = f' BGCOLOR="{self.styles[ground.style].fill}" WIDTH="{ground.rect.w:.0f}"'
        return f"<{TABLE}{back}>{''.join(rows)}</TABLE>>"

    def _line(
        self, line: Words, pitch: float = 0.0, box: Rect | None = None, nested: bool = False
    ) -> str:
        """A line of words; box: which it stands in, flush left, if it does.

        Sub- and superscripts are cells at the bottom and at the top of the line. As elements of
        a text, <SUB> and <SUP>, they are made smaller once more in some formats and not in others,
        and SVG programs place them differently.
        """
        parts = [
            (shift, "".join(self._run(run, line) for run in runs))
            for shift, runs in groupby(line.runs, key=lambda run: run.shift)
        ]
        indented = box is not None and line.anchor == "start"
        if not indented and all(shift == 0 for shift, _ in parts):
            return "".join(part for _, part in parts)
        high = max(LEAST, min(ROOM, pitch / line.size or ROOM)) * line.size
        size = f' HEIGHT="{high:.0f}"'
        table = TABLE
        if indented and box is not None:
            size += f' WIDTH="{line.x - box.left - 1:.0f}"'
            parts = [(0, ""), *parts]
            table += f' WIDTH="{box.w - 2:.0f}"'  # otherwise the cells are drawn apart
        elif nested:
            wide = ceil(width(line.runs, line.size)) + len(parts)  # Graphviz rounds each up
            table += f' FIXEDSIZE="TRUE" WIDTH="{wide}"{size}'
        stands = {-1: ' VALIGN="BOTTOM"', 0: "", 1: ' VALIGN="TOP"'}
        cells = [
            f'<TD ALIGN="LEFT"{stands[shift]}{size if k == 0 else ""}>{part}</TD>'
            for k, (shift, part) in enumerate(parts)
        ]
        return f"{table}><TR>{''.join(cells)}</TR></TABLE>"

    def _run(self, run: Run, line: Words) -> str:
        """Spaces at the beginning are an element of their own: SVG programs drop them else."""
        size = line.size * (SMALL if run.shift else 1.0)
        look = {"POINT-SIZE": number(size), "COLOR": self.styles[line.style].fill}
        if line.face != "serif":
            look["FACE"] = FACES[line.face]
        font = " ".join(f'{key}="{value}"' for key, value in look.items())
        text = run.text.lstrip(" ")
        before = "\N{NO-BREAK SPACE}" * (len(run.text) - len(text))
        parts = [f"<FONT {font}>{escape(part, BRACKET)}</FONT>" for part in (before, text) if part]
        if run.style == "i":
            parts = [f"<I>{part}</I>" for part in parts]
        return "".join(parts)

    def _tooltip(self, group: Group) -> str:
        told = [group.title, *([group.about] if group.about else [])]
        tooltip: str = self.escape("\n".join(told))
        return tooltip


def _row(inside: str, high: float) -> str:
    size = f' HEIGHT="{high:.0f}"' if high >= 1 else ""
    return f"<TR><TD{size}>{inside}</TD></TR>"


def _between(
    a: tuple[float, float], b: tuple[float, float], rows: dict[float, tuple[float, float]]
) -> list[Way]:
    """The pieces of a rail from one point, given as (y, x), to another, which may be rows apart."""
    (y1, x1), (y2, x2) = a, b
    if y1 == y2:
        return [[(x1, y1), (x2, y2)]]
    if y1 > y2:
        return [piece[::-1] for piece in _between(b, a, rows)[::-1]]
    whole = [[(low, y), (high, y)] for y, (low, high) in sorted(rows.items()) if y1 < y < y2]
    return [[(x1, y1), (rows[y1][1], y1)], *whole, [(rows[y2][0], y2), (x2, y2)]]


def _outline(group: Group) -> Plate:
    """The plate of a box."""
    return next(shape for shape in group.shapes if isinstance(shape, Plate))


def _words(group: Group) -> list[Words]:
    return [shape for shape in group.shapes if isinstance(shape, Words)]


def _dot(group: Group) -> Rect:
    """The dot of a link where it meets a rail."""
    return next(shape for shape in reversed(group.shapes) if isinstance(shape, Plate)).rect


def _within(outer: Rect, inner: Rect) -> bool:
    """Whether a rectangle lies within another."""
    upright = outer.top <= inner.top and inner.bottom <= outer.bottom
    return upright and outer.left <= inner.left and inner.right <= outer.right


def _holds(outer: Rect, inner: Rect) -> bool:
    upright = outer.top <= inner.y <= outer.bottom
    return upright and outer.left <= inner.x <= outer.right


__all__ = ["digraph"]
