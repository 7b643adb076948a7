"""The picture that `draw` gives: it shows, saves and explains itself."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..extras import need
from ..files import write
from ..notation import several
from ..unroll import rare_collections
from . import text
from .layout.positions import Layout
from .layout.route import crosses, segments
from .model import Model
from .paint import rendered, svg
from .paint.scene import Look, Painter
from .read.columns import AFTER, BEFORE
from .text import READABLE

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


class Interactive:
    """The page of a drawing in a frame, for a notebook; see `Drawing.interactive`."""

    def __init__(self, drawing: Drawing, height: int) -> None:
        self.drawing, self.height = drawing, height

    def _repr_html_(self) -> str:
        # its origin is none, so that the frame's script reaches nothing of the notebook
        edge = "box-sizing:border-box;border:1px solid #c9ced6;border-radius:6px"
        style = f"width:100%;height:{self.height}px;{edge}"
        return (
            f'<iframe title="{escape(self.drawing.title)}" sandbox="allow-scripts" '
            f'style="{style}" srcdoc="{escape(self.drawing.html)}"></iframe>'
        )

    def __repr__(self) -> str:
        nodes = self.drawing.stats.nodes
        use = 'for a notebook; drawing.save("picture.html") for a browser'
        return f"<interactive drawing of {nodes} nodes, {use}>"


class Drawing:
    """A picture of a record.

    In a notebook it shows itself, and `interactive()` a page to explore. `save` writes it, `svg`
    and `html` are its text, `digraph` and `structure` are `graphviz.Digraph`s to edit further,
    `stats` counts its parts.
    """

    def __init__(
        self,
        model: Model,
        title: str,
        theme: str,
        look: Look,
        width: float | None = None,
        widest: float | None = None,
        turned: bool = False,
    ) -> None:
        self.model = model
        self.theme = theme
        self.title = title = text.clean(title)
        self.layout = Layout(model, turned)
        self._painter = Painter(self.layout, title, look, widest)
        self.scene = self._painter.scene()
        self.rows = self._painter.rows
        self._shown = 1.0 if width is None else width / self.scene.width  # its size, in parts of it

    @cached_property
    def svg(self) -> str:
        """The picture as SVG; the same program gives the same text, to the byte."""
        with rare_collections:
            return svg.write(self.scene, self.theme, shown=self._shown)

    @cached_property
    def html(self) -> str:
        """The picture as one page that needs no network: pan, zoom, search, highlight.

        All steps are in one row there.
        """
        from .paint import html

        scene = self.scene
        if self.rows > 1:
            scene = Painter(self.layout, self.title, self._painter.look).scene()
        return html.page(scene, self.theme)

    @property
    def digraph(self) -> Any:
        """The picture as a `graphviz.Digraph`: boxes are nodes, links edges, steps clusters.

        Every position is fixed by `layout=nop2`, set in the graph, so `render()`, `pipe()`,
        `graphviz.Source`, `dot` and pygraphviz (`prog="nop2"`) draw this picture. From each
        parameter edges lead along its rail to a point per use, and from there to that use.

        Raises ModuleNotFoundError if the Python package graphviz is not there.
        """
        return self._digraph("nop2")

    @property
    def structure(self) -> Any:
        """The graph as a `graphviz.Digraph` without positions, to be laid out by `dot`.

        Each parameter is one node, with an edge to each of its uses.

        Raises ModuleNotFoundError if the Python package graphviz is not there.
        """
        return self._digraph("dot")

    def _digraph(self, layout: str) -> Any:
        need("graphviz", "draw", "a Digraph, which .dot is, unlike .svg, .html and .json,")
        from .paint.dot import digraph

        return digraph(self.scene, self.theme, layout)

    @cached_property
    def stats(self) -> Stats:
        """Numbers of boxes, links, steps, uses of each parameter, and crossings."""
        model = self.model
        uses = {
            text.plain(box.name): model.uses[box.node]
            for box in model.boxes
            if box.kind == "parameter" and box.node is not None
        }
        steps = len(model.span or model.steps) if model.timed else 0
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

    def interactive(self, height: int | None = None) -> Interactive:
        """The page of `html` in a frame, as the last line of a notebook's cell.

        The frame keeps the page's style and script to itself. The page is stored in the notebook.

        height  of the frame, in pixels; that of the picture, between 320 and 640, if left out

        Raises TypeError for a height that is no whole number.

        >>> import tinygrad_rnn as tg
        >>> tg.draw(tg.tanh(tg.Parameter([1.0], "W"))).interactive()
        <interactive drawing of 3 nodes, for a notebook; drawing.save("picture.html") for a browser>
        """
        if not isinstance(height, int | None):
            raise TypeError(f"interactive: height={height!r}; wanted pixels, a whole number")
        shown = self.scene.height * self._shown + 90  # and the page's bars
        return Interactive(self, round(min(max(shown, 320), 640)) if height is None else height)

    def _repr_html_(self) -> str:
        # as an image: no style of the notebook reaches it, nor its style the notebook
        width = self.scene.width * self._shown
        size = f"width:{width:.0f}px;max-width:100%;min-width:{READABLE * width:.0f}px;height:auto"
        source = b64encode(self.svg.encode()).decode()
        image = f'<img alt="{escape(self.title)}" style="{size}"'
        return (
            f'<div style="overflow-x:auto">{image} src="data:image/svg+xml;base64,{source}"></div>'
        )

    def __repr__(self) -> str:
        s = self.stats
        sizes = several(s.nodes, "node"), several(s.edges, "edge"), several(s.steps, "step")
        return f"Drawing({', '.join(sizes)})"

    def save(
        self,
        path: str | Path,
        *,
        renderer: Literal["own", "graphviz"] = "own",
        layout: Literal["own", "dot"] = "own",
    ) -> Path:
        """Write a file; its suffix says the format: .svg .png .pdf .dot .html .json.

        renderer  "graphviz": let Graphviz render it (.svg .png .pdf), by pygraphviz, or by `dot` on
                  the PATH
        layout    "dot": lay it out by `dot` too, each parameter one node with an edge to each use
                  (of .dot, and with renderer="graphviz")

        Gives the path. SVG, HTML and JSON need nothing else installed; .dot needs the Python
        package graphviz, .png and .pdf need matplotlib. A file that is there already is replaced,
        once all of the new one is written.

        Raises ValueError (unknown suffix, or one that does not go with `renderer` or `layout`;
        picture too large for a PNG or PDF), OSError (the file can't be written), RuntimeError
        (Graphviz fails) and ModuleNotFoundError (names the package).
        """
        path = Path(path)
        suffix = path.suffix.lower()
        wanted: tuple[str, ...] = SUFFIXES
        if renderer not in ("own", "graphviz") or layout not in ("own", "dot"):
            raise ValueError(
                f"save: renderer={renderer!r}, layout={layout!r}; wanted renderer 'own' or "
                "'graphviz', layout 'own' or 'dot'"
            )
        if renderer == "graphviz":
            wanted = rendered.SUFFIXES
        elif layout == "dot":
            wanted = (".dot",)
        if suffix not in wanted:
            options = [f"{k}={v!r}" for k, v in (("renderer", renderer), ("layout", layout))
                       if v != "own"]  # fmt: skip
            raise ValueError(
                f"{path.name}: the suffix says the format; given {path.suffix or 'none'!r}, "
                f"wanted one of {' '.join(wanted)}" + "".join(f", with {o}" for o in options)
            )
        graph = "dot" if layout == "dot" else "nop2"
        if renderer == "graphviz":
            rendered.render(self._digraph(graph).source, graph, path)
            return path
        if suffix in (".png", ".pdf"):
            from .paint import raster

            raster.save(self.scene, self.theme, path, raster.SCALE * self._shown)
            return path
        written = self._digraph(graph).source if suffix == ".dot" else getattr(self, suffix[1:])
        return write(path, written)

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
                "x": round(self.layout.stands(rects[box]).x, 2),
                "y": round(self.layout.stands(rects[box]).y, 2),
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
