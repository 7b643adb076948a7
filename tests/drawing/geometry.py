"""Boxes and lines that meet: shared by the tests of the layout."""

import itertools

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
