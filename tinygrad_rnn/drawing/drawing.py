"""The picture that `draw` gives: it shows, saves and explains itself."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from . import text
from .layout.positions import Layout
from .layout.route import crosses, segments
from .model import Model
from .paint import svg
from .paint.scene import Look, Painter
from .read.columns import AFTER, BEFORE

SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".html", ".json")


class Stats(NamedTuple):
    """The numbers of a picture.

    nodes      boxes that are drawn
    edges      links that are drawn
    steps      time steps of the record, drawn or not
    uses       uses of each parameter in the whole record
    crossings  places where two links cross
    """

    nodes: int
    edges: int
    steps: int
    uses: dict[str, int]
    crossings: int


class Drawing:
    """A picture of a record.

    In a notebook it shows itself. `save` writes it, `svg` and `html` are its text, `digraph` is a
    `graphviz.Digraph` to edit further, `stats` counts its parts.
    """

    def __init__(self, model: Model, title: str, theme: str, look: Look) -> None:
        self.model = model
        self.theme = theme
        self.title = title = text.clean(title)
        self.layout = Layout(model)
        self._painter = Painter(self.layout, title, look)
        self.scene = self._painter.scene()

    @cached_property
    def svg(self) -> str:
        """The picture as SVG; the same program gives the same text, to the byte."""
        return svg.write(self.scene, self.theme)

    @cached_property
    def html(self) -> str:
        """The picture as one page that needs no network: pan, zoom, search, highlight."""
        from .paint import html

        return html.page(self.scene, self.theme)

    @property
    def digraph(self) -> Any:
        """The picture as a `graphviz.Digraph` with fixed positions.

        Raises ModuleNotFoundError if the Python package graphviz is not there.
        """
        from .paint.dot import digraph

        try:
            return digraph(self.layout, self._painter, self.theme, self.title)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "a Digraph needs the Python package graphviz: python -m pip install graphviz "
                "(.svg, .html and .json need nothing)"
            ) from error

    @cached_property
    def stats(self) -> Stats:
        """Numbers of boxes, links, steps, uses of each parameter, and crossings."""
        model = self.model
        uses = {
            text.plain(box.name): model.uses[box.node]
            for box in model.boxes
            if box.kind == "parameter" and box.node is not None
        }
        steps = len(model.steps) if model.timed else 0
        return Stats(len(model.boxes), len(model.links), steps, uses, self._crossings())

    def _crossings(self) -> int:
        pieces = {
            (net, piece)
            for net, way in [
                *((link.source, way) for link, way in self.layout.ways.items()),
                *((rail.box, way) for rail in self.layout.rails for _, way in rail.ways),
                *((r.box, [(r.start, r.y), (r.end, r.y)]) for r in self.layout.rails),
            ]
            for piece in segments(way)
        }
        flat = [(net, p) for net, p in pieces if p.horizontal]
        upright = sorted(((p.at, id(net), net, p) for net, p in pieces if not p.horizontal))
        from bisect import bisect_left, bisect_right

        places = [at for at, _, _, _ in upright]
        count = 0
        for net, p in flat:
            for _, _, other, q in upright[bisect_right(places, p.a) : bisect_left(places, p.b)]:
                count += other is not net and crosses(p, q)
        return count

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg}</div>'

    def __repr__(self) -> str:
        s = self.stats
        return f"Drawing({s.nodes} nodes, {s.edges} edges, {s.steps} steps)"

    def save(self, path: str | Path) -> Path:
        """Write a file; its suffix says the format: .svg .png .pdf .dot .html .json.

        Gives the path. SVG, HTML and JSON need nothing else installed; .dot needs the Python
        package graphviz, .png and .pdf need matplotlib. A path that is there already is replaced.

        Raises ValueError (unknown suffix, picture too large for a PNG or PDF), OSError (the file
        can't be written) and ModuleNotFoundError (names the package).
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(
                f"{path.name}: the suffix says the format; given {path.suffix or 'none'!r}, "
                f"wanted one of {' '.join(SUFFIXES)}"
            )
        if suffix in (".png", ".pdf"):
            from .paint import raster

            raster.save(self.scene, self.theme, path)
            return path
        written = self.digraph.source if suffix == ".dot" else getattr(self, suffix[1:])
        path.write_text(written, encoding="utf-8", newline="\n")
        return path

    @property
    def json(self) -> str:
        """Boxes, links and positions as JSON text."""
        rects = self.layout.rects
        where: dict[int, int | str] = {BEFORE: "before", AFTER: "after"}
        nodes = [
            {
                "id": box.id,
                "kind": box.kind,
                "label": text.plain(box.label),
                "step": where.get(box.column, box.column),
                "x": round(rects[box].x, 2),
                "y": round(rects[box].y, 2),
                "facts": box.facts,
            }
            for box in self.model.boxes
        ]
        edges = [
            {"from": k.source.id, "to": k.target.id, "kind": k.kind, "norm": k.norm}
            for k in self.model.links
        ]
        whole = {"stats": self.stats._asdict(), "nodes": nodes, "edges": edges}
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
