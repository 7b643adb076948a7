"""What lies on what: shared by the tests of the layout."""

import itertools

from tinygrad_rnn.drawing.route import Rect, hits, segments


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
    for ghost, way in layout.dotted:
        yield "another step", ghost.id, way


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
