"""Boxes and lines that meet: shared by the tests of the layout."""

import itertools
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.drawing import text
from tinygrad_rnn.drawing.layout.route import Rect, hits, meet, segments
from tinygrad_rnn.drawing.paint.shapes import Plate, Words


def overlapping(layout):
    """Pairs of boxes that are not apart."""
    return [
        (a.id, b.id)
        for (a, r), (b, q) in itertools.combinations(layout.rects.items(), 2)
        if not (r.right < q.left or q.right < r.left or r.bottom < q.top or q.bottom < r.top)
    ]


def lines(layout):
    """(source, target, way) of every link and every rail."""
    for link, way in layout.ways.items():
        yield link.source.id, link.target.id, way
    for rail in layout.rails:
        yield from ((link.source.id, link.target.id, way) for link, way in rail.ways)
        yield rail.box.id, "rail", [(rail.start, rail.y), (rail.end, rail.y)]
    for delay in layout.delays:
        yield "another step", delay.target.id, delay.way


def run_through(layout):
    """(source, target, box) of every line that runs through a box."""
    inside = {box: Rect(r.x, r.y, r.w - 1, r.h - 1) for box, r in layout.rects.items()}
    return [
        (a, b, box.id)
        for a, b, way in lines(layout)
        for piece in segments(way)
        for box, rect in inside.items()
        if hits(piece, rect, 0.0)
    ]


def words(scene):
    """(group, text, place) of every line of text; widths are bounds, most is a little narrower."""
    for group in scene.groups:
        for shape in group.shapes:
            if isinstance(shape, Words) and text.plain(shape.runs).strip():
                w = 0.85 * text.width(shape.runs, shape.size)
                middle = shape.x + w * {"start": 0.5, "middle": 0.0, "end": -0.5}[shape.anchor]
                yield group, text.plain(shape.runs), Rect(middle, shape.y, w, 0.7 * shape.size)


def words_on_words(scene):
    """Pairs of texts that lie on each other."""
    found = list(words(scene))
    return [(a, b) for (_, a, r), (_, b, q) in itertools.combinations(found, 2) if meet(r, q)]


def lines_through_words(scene, layout):
    """(text, source, target) of lines that run through words that have no plate under them."""
    open_ground = [
        (written, rect)
        for group, written, rect in words(scene)
        if group.data.get("kind") in ("band", "scope")
        or not any(isinstance(s, Plate) for s in group.shapes)
    ]
    return [
        (written, a, b)
        for a, b, way in lines(layout)
        if a != "another step"
        for piece in segments(way)
        for written, rect in open_ground
        if hits(piece, rect, 0.0)
    ]


def words_out_of_boxes(scene):
    """Labels that do not fit into their boxes."""
    return [
        written
        for group, written, rect in words(scene)
        if "id" in group.data
        for plate in [s for s in group.shapes if isinstance(s, Plate)][:1]
        if rect.left < plate.rect.left - 0.5 or rect.right > plate.rect.right + 0.5
    ]


class Line(NamedTuple):
    """A way, its name, the values it carries (a line into a rail that sums has two), and whether
    it ends in a head."""

    told: str
    values: frozenset[Any]
    way: list[tuple[float, float]]
    headed: bool = True


def carrying(layout):
    """Every link, rail and loop as a `Line`. Those that have a value in common are a tree."""
    for link, way in layout.ways.items():
        told = f"{link.source.id} -> {link.target.id}"
        yield Line(told, frozenset([value_of(link)]), way)
    for rail in layout.rails:
        own = ("into", rail.box) if rail.into else value_of(rail.ways[0][0])
        whole = [(rail.start, rail.y), (rail.end, rail.y)]
        yield Line(f"rail of {rail.box.id}", frozenset([own]), whole, False)
        for link, way in rail.ways:
            told = f"{link.source.id} -> {link.target.id}"
            yield Line(told, frozenset([own, value_of(link)]), way, not rail.into)
    for made, ghost, way in layout.delays if layout.model.rolled else ():
        told = f"{made.id} -> {ghost.id}, a step away"  # dashed: on no other line of its value
        yield Line(told, frozenset([("delay", made)]), way)


def value_of(link):
    """The box that a link leads away from, and which of its several results it carries."""
    node = link.source.node
    several = node is not None and node.primitive is not None and node.primitive.multiple
    several = several and link.node is not None and link.i >= 0
    return link.source, link.node.ports[link.i] if several else 0


def lines_on_lines(layout):
    """(line, other line) where two that carry different values lie on each other."""
    lanes = defaultdict(list)
    for line in carrying(layout):
        for piece in segments(line.way):
            lanes[piece.horizontal].append((piece, line))
    found = set()
    for pieces in lanes.values():
        pieces.sort(key=lambda entry: entry[0].at)
        for k, (p, one) in enumerate(pieces):
            for q, other in itertools.islice(pieces, k + 1, None):
                if q.at - p.at >= NEAR:
                    break
                together = min(p.b, q.b) - max(p.a, q.a) > 1.0
                if together and not one.values & other.values:
                    found.add((one.told, other.told))
    return found


def lines_through_heads(layout):
    """(line, other line) where a line of another value ends in, or runs through, a line's head."""
    every = list(carrying(layout))
    pieces = [(piece, line) for line in every for piece in segments(line.way)]
    level, at, a, b = np.array([piece for piece, _ in pieces], float).reshape(-1, 4).T
    level = level == 1
    found = set()
    for line in every:
        if not line.headed:
            continue
        (x1, y1), (x2, y2) = line.way[-2:]
        long = min(HEAD, abs(x2 - x1) + abs(y2 - y1))
        dx, dy = np.sign([x2 - x1, y2 - y1])
        wide, high = (long, 2 * HALF) if dx else (2 * HALF, long)
        r = Rect(x2 - dx * long / 2, y2 - dy * long / 2, wide, high)
        low, high = np.where(level, r.top, r.left), np.where(level, r.bottom, r.right)
        start, end = np.where(level, r.left, r.top), np.where(level, r.right, r.bottom)
        for k in np.nonzero((low < at) & (at < high) & (a < end) & (b > start))[0]:
            other = pieces[k][1]
            if not other.values & line.values:
                found.add((line.told, other.told))
    return found


def lines_along_edges(layout):
    """(line, thing) where a line runs along the edge of a box or of a step's plate."""
    steps = [c for c in layout.columns if c.step is not None]
    edges = {(x + 2 * side, f"step {c.step}") for c in steps
             for x, side in ((c.left, 1), (c.right, -1))}  # fmt: skip
    found = set()
    for line in carrying(layout):
        for p in segments(line.way):
            for box, r in layout.rects.items():
                low, high = (r.top, r.bottom) if p.horizontal else (r.left, r.right)
                start, end = (r.left, r.right) if p.horizontal else (r.top, r.bottom)
                beside = min(abs(p.at - low), abs(p.at - high)) < NEAR
                if beside and min(p.b, end) - max(p.a, start) > 2:
                    found.add((line.told, box.id))
            if not p.horizontal and p.b - p.a > 4:
                found |= {(line.told, step) for x, step in edges if abs(p.at - x) < NEAR}
    return found


NEAR = 2.5
"""Lines nearer to each other than this look like one."""
HEAD, HALF = 7.3, 3.3
"""Length, and half the width, of the head of a thin arrow."""
