"""A layout as a graphviz.Digraph with every position fixed, for users to edit further."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

from ..layout.positions import FONT, Layout
from ..layout.route import Way
from ..layout.wires import Rail
from ..model import Box, Link
from ..read.columns import AFTER
from ..text import Runs
from .scene import Painter
from .theme import THEMES

SHAPES = {"circle": "circle", "value": "ellipse", "input": "box", "constant": "box"}


def digraph(layout: Layout, painter: Painter, theme: str, title: str) -> Any:
    """The picture as a `graphviz.Digraph`; `neato -n2` draws it with these positions."""
    import graphviz

    styles = THEMES["dark" if theme == "dark" else "light"]
    graph = graphviz.Digraph(
        name=graphviz.nohtml(title or "unrolled network"),
        engine="neato",
        graph_attr={"splines": "true", "bgcolor": styles["page"].fill, "notranslate": "true"},
        node_attr={"fontsize": str(FONT), "fontname": "Times", "fixedsize": "true"},
        edge_attr={"color": styles["flow"].stroke, "arrowsize": "0.7"},
    )
    graph.graph_attr["inputscale"] = "72"
    for box, rect in layout.rects.items():
        style = styles[painter.style_of(box)]
        graph.node(
            box.id,
            label=_label(box.label),
            shape=SHAPES.get(box.kind, "box"),
            style="rounded,filled" if box.kind in ("op", "parameter") else "filled",
            fillcolor=style.fill,
            color=style.stroke,
            fontcolor=styles["text"].fill,
            penwidth=str(style.width),
            pos=f"{rect.x:g},{-rect.y:g}!",
            width=f"{rect.w / 72:.4f}",
            height=f"{rect.h / 72:.4f}",
            tooltip=graphviz.escape("; ".join(box.facts) or box.id),
        )
    for link, way in layout.ways.items():
        graph.edge(link.source.id, link.target.id, **_edge(link, way, painter, styles))
    for rail in layout.rails:
        _rail(graph, rail, painter, styles)
    for column in layout.columns:
        if layout.model.timed and column.step is not None:
            x, y = (column.left + column.right) / 2, -layout.box[3] - 28
            graph.node(
                f"step {column.step}", label=f"t = {column.step}", shape="plaintext",
                fontcolor=styles["soft"].fill, pos=f"{x:g},{y:g}!", width="1", height="0.3",
            )  # fmt: skip
    return graph


def _label(runs: Runs) -> str:
    """An HTML-like label; the XML library does the escaping."""
    parts = []
    for run in runs:
        node = ET.Element("I" if run.style == "i" else "FONT")
        if node.tag == "FONT":
            node.set("FACE", "Times")
        node.text = run.text
        if run.shift:
            outer = ET.Element("SUB" if run.shift < 0 else "SUP")
            outer.append(node)
            node = outer
        parts.append(ET.tostring(node, encoding="unicode"))
    return f"<{''.join(parts)}>"


def _spline(way: Way, tip: tuple[float, float] | None = None) -> str:
    """Graphviz's way to write straight pieces, and where the arrow's tip is."""
    points = [f"{x:g},{-y:g}" for x, y in way]
    out = [points[0]]
    for a, b in pairwise(points):
        out += [a, b, b]
    return (f"e,{tip[0]:g},{-tip[1]:g} " if tip else "") + " ".join(out)


def _edge(link: Link, way: Way, painter: Painter, styles: dict[str, Any]) -> dict[str, str]:
    name = painter.line_of(link)
    style = styles[name]
    attributes = {
        "pos": _spline(_shortened(way), way[-1]),
        "color": style.stroke,
        "penwidth": f"{painter.width_of(link):.3g}",
    }
    if style.dash:
        attributes["style"] = "dashed"
    return attributes


def _shortened(way: Way, by: float = 7.0) -> Way:
    """The same way, ending before its last point, where the arrowhead begins."""
    (x1, y1), (x2, y2) = way[-2], way[-1]
    length = abs(x2 - x1) + abs(y2 - y1) or 1.0
    part = max(length - by, 0.0) / length
    return [*way[:-1], (x1 + (x2 - x1) * part, y1 + (y2 - y1) * part)]


def _rail(graph: Any, rail: Rail, painter: Painter, styles: dict[str, Any]) -> None:
    """A rail as a chain of small points, one for each use."""
    at_the_end, into = rail.box.column == AFTER, rail.into
    name = painter.style_of(rail.box)
    color = styles[name].stroke if rail.box.kind == "parameter" else styles["flow"].stroke
    junctions: dict[float, str] = {}
    for _, way in rail.ways:
        x, _ = rail.junction(way)
        if x not in junctions:
            junctions[x] = f"{rail.box.id}.use{len(junctions) + 1}"
            graph.node(
                junctions[x], label="", shape="point", color=color, width="0.07", height="0.07",
                pos=f"{x:g},{-rail.y:g}!",
            )  # fmt: skip
    towards = sorted(junctions, reverse=not at_the_end)  # the box
    stops = [(x, junctions[x]) for x in towards]
    stops.append((rail.end if at_the_end else rail.start, rail.box.id))
    tip = 7.0 if at_the_end else -7.0
    for (x1, a), (x2, b) in pairwise(stops):
        last = into and b == rail.box.id
        pos = _spline([(x1, rail.y), (x2 - tip * last, rail.y)], (x2, rail.y) if last else None)
        graph.edge(a, b, pos=pos, color=color, dir="forward" if last else "none")
    for link, way in rail.ways:
        junction = junctions[rail.junction(way)[0]]
        if into:
            graph.edge(
                link.source.id, junction, color=color, pos=_spline(way), dir="none",
                penwidth=f"{painter.width_of(link):.3g}",
            )  # fmt: skip
        else:
            attributes = _edge(link, way, painter, styles) | {"color": color}
            graph.edge(junction, link.target.id, **attributes)


__all__ = ["Box", "digraph"]
