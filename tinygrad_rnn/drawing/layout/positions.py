"""The whole picture's geometry: steps are equal columns in time order, parameters are rails.

One step is laid out that stands for all (`grid`), with room in each place for the largest box that
any step has there; a step's boxes are its rectangles, moved by one pitch per step. Rows of the grid
and tracks share the height: a track is a level line between two rows, for the rail of a parameter
or for a value that is handed on over several steps. Boxes outside of time form grids of their own,
at the left, at the right, or in the gap where steps are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from .. import text
from ..model import RAILED, Box, Model
from ..read.columns import AFTER, BEFORE
from ..read.template import Template, is_ghost, stands_for, template_of
from .bands import PAD, TITLE, Band, bands_of
from .grid import band_of, grid_of
from .route import NEAR, ROUND_PITCH, STEP_GAP, Rect, Router, Way
from .wires import BESIDE, LOOP_ROOM, Wires, port_of

FONT = 14.0
SMALL_FONT = 12.0
NOTE = 10.5
"""Size of type of a second line."""
COLUMN_GAP = 24.0
ROW_GAP = 30.0
RAIL_PITCH = 32.0
SKIP_PITCH = 14.0
GAP_WIDTH = 104.0
MARGIN = 24.0
LINE = 22.0


@dataclass
class Column:
    """A step (or, if `step` is None, a gap that stands for `hidden` steps)."""

    step: int | None
    left: float
    right: float
    hidden: int = 0


def shape_of(box: Box) -> str:
    """The shape of a parameter, as it is written beside it; those of several layers."""
    assert box.node is not None
    shapes = box.shapes or (box.node.shape,)
    return ", ".join("\N{MULTIPLICATION SIGN}".join(map(str, shape)) or "1" for shape in shapes)


def size(box: Box) -> tuple[float, float, bool]:
    """Width and height of a box, and whether its sides are round."""
    w = max(
        text.width(box.label, FONT), text.width((text.Run(box.note),), NOTE) if box.note else 0.0
    )
    if box.kind == "cell":
        widest = max([w, *(text.width(line, FONT) for line in box.lines)])
        return widest + 28, LINE * len(box.lines) + (24 if box.label else 4) + 14, False
    if box.kind == "circle":
        return 24.0, 24.0, True
    if box.kind == "point":
        return 6.0, 6.0, True
    if box.kind == "value":
        return max(44.0 if box.note else 36.0, w + 16), 44.0 if box.note else 36.0, True
    if box.name and box.kind == "op":  # its name stands above the operation
        w = max(w, text.width(box.name, FONT))
        return max(36.0, w + 16), 56.0 if box.note else 42.0, False
    if box.kind == "parameter":
        return max(40.0, w + 20), 26.0, False
    return max(36.0, w + 16), 38.0 if box.note else 28.0, False


class Layout:
    """Positions of everything in a model.

    rects    {box: Rect};  columns
    turned   for a picture whose time runs downwards: boxes lie on their sides here, and `upright`
             gives the places in the picture, a quarter of a turn on
    ways, rails, delays, words   of `Wires`
    """

    def __init__(self, model: Model, turned: bool = False) -> None:
        self.model = model
        self.turned = turned
        self.rects: dict[Box, Rect] = {}
        self.columns: list[Column] = []
        self.outside: dict[Box, Router] = {}  # for boxes outside of the steps, those of a group one
        self.rank = {step: k for k, step in enumerate(model.steps)}
        self.in_steps = [b for b in model.boxes if b.column in self.rank and not is_ghost(b)]
        self.ghosts = [b for b in model.boxes if is_ghost(b)]
        self.terms: dict[Any, set[Any]] = {}
        for link in model.links:
            railed = link.target.column not in self.rank and link.source.column in self.rank
            if link.source.kind != "parameter" and not railed:
                term = stands_for(link.source), link.i, self.lag(link.source, link.target)
                self.terms.setdefault(link.target.key, set()).add(term)
        self._template()
        self._rows()
        self._columns()
        self._outside()
        wires = Wires(self)
        self.ways, self.rails, self.delays = wires.ways, wires.rails, wires.delays
        self.words = wires.words
        self._bounds()

    # -- the step --------------------------------------------------------------------------------

    def _size(self, box: Box) -> tuple[float, float, bool]:
        w, h, is_round = size(box)
        if box.kind == "circle":  # an end of its own for each of many terms
            w += ROUND_PITCH * 2 * ceil(max(len(self.terms.get(box.key, ())) - 3, 0) / 4)
        return (h, w, is_round) if self.turned else (w, h, is_round)

    def upright(self, way: Way) -> Way:
        """The places of some points in the picture."""
        return [(-y, x) for x, y in way] if self.turned else way

    def stands(self, rect: Rect) -> Rect:
        """The place of a rectangle in the picture."""
        return Rect(-rect.y, rect.x, rect.h, rect.w, rect.round) if self.turned else rect

    def _template(self) -> None:
        self.template = template_of(self.model)
        self.size: dict[Any, tuple[float, float, bool]] = {}
        for box in self.in_steps:
            w, h, is_round = self._size(box)
            old = self.size.get(box.key, (0.0, 0.0, False))
            self.size[box.key] = (max(w, old[0]), max(h, old[1]), is_round or old[2])
        self.cell = grid_of(self.template)
        self.bands = bands_of(self.in_steps, self.cell, self.model.rolled)

    def _deep(self, side: int) -> dict[int, int]:
        """How many bands end beside each other at a side: {their last row or column: how many}."""
        deep: dict[int, int] = {}
        for band in self.bands:
            at = band.block[side]
            deep[at] = max(deep.get(at, 0), 1 + band.inside)
        return deep

    def lag(self, a: Box, b: Box) -> int:
        """How many steps a link between two boxes goes forward; 0 within a step."""
        if a.column not in self.rank or b.column not in self.rank:
            return 0
        return self.when(b) - self.when(a)

    def when(self, box: Box) -> int:
        """Which step a box belongs to, by number; a first state to one before all others."""
        return self.rank[box.column] - box.lag

    # -- rows ------------------------------------------------------------------------------------

    def _rows(self) -> None:
        rows = 1 + max((r for _, r in self.cell.values()), default=0)
        tracks: list[list[tuple[Any, float]]] = [[] for _ in range(rows + 1)]
        spans = [
            sorted((self.cell[a][1], self.cell[b][1]))
            for a, b in [*self.template.inside, *self.template.across]
        ]
        back = [b.key for b in self.in_steps if b.back and b.key in self.cell]
        highest = max((self.cell[key][1] for key in back), default=0)
        for box in self.model.boxes:
            if box.kind not in RAILED:
                continue
            others = [
                link.target if link.source is box else link.source
                for link in self.model.links
                if box in (link.source, link.target)
            ]
            used = [self.cell[other.key][1] for other in others if other.key in self.cell]
            if used and box.kind == "gradient":  # all beside each other, above the backward pass
                beside = highest + 1
            elif used:
                r = max(set(used), key=used.count)
                costs = [
                    (len(tracks[g]) + sum(low < g <= high for low, high in spans), i, g)
                    for i, g in enumerate((r, r + 1))
                ]
                beside = min(costs)[2]
            else:
                outside = [other.column for other in others]
                beside = 0 if BEFORE in outside else rows
            pitch = RAIL_PITCH
            if self.turned:  # their names, and their shapes above, stand beside each other
                told = text.width((text.Run(shape_of(box)),), SMALL_FONT) if box.node else 0.0
                pitch = max(pitch, 8 + max(told, size(box)[0]))
            tracks[beside].insert(0, (box, pitch))
        self._skips(tracks)
        # from the bottom upwards
        y = 0.0
        heights: list[float] = [0.0] * rows
        for key, (_, r) in self.cell.items():
            heights[r] = max(heights[r], self.size[key][1])
        self.row_y: list[float] = []
        self.track_y: dict[Any, float] = {}
        self.tracks: list[float] = []
        self.row_ends: list[tuple[float, float]] = []
        below, above = self._deep(2), self._deep(3)
        for g in range(rows + 1):
            y -= (PAD if self.turned else TITLE) * above.get(g - 1, 0)
            outer = g in (0, rows)
            free = 22.0 if tracks[g] else 0.0 if outer else ROW_GAP
            at = y - free / 2
            if not outer:
                self.tracks.append(y - 8 if tracks[g] else at)
            for track, pitch in tracks[g]:
                self.track_y[track] = at - pitch / 2
                at -= pitch
                if not outer and isinstance(track, Box) and track is not tracks[g][-1][0]:
                    self.tracks.append(at)
            y = at - free / 2
            if not outer and tracks[g]:
                self.tracks.append(y + 8)
            if g < rows:
                y -= PAD * below.get(g, 0)
                self.row_y.append(y - heights[g] / 2)
                self.row_ends.append((y - heights[g], y))
                y -= heights[g]
        self.top = y
        self.tracks += [12.0] if not tracks[0] else []  # below all, and above all
        self.tracks += [y - 12.0] if not tracks[rows] else []

    def _skips(self, tracks: list[list[tuple[Any, float]]]) -> None:
        """Give a value that is handed on further than to the next step a track above its row."""
        self.skip: dict[tuple[Box, int], tuple[str, int, int]] = {}
        spans: dict[tuple[Box, int], list[tuple[int, int]]] = {}  # (step, column in it) of ends
        for link in self.model.links:
            a, b = link.source, link.target
            if abs(self.lag(a, b)) > 1 and stands_for(a) in self.cell:
                spans.setdefault((a, port_of(link)), []).extend(
                    (self.when(c), self.cell[stands_for(c)][0]) for c in (a, b)
                )
        free: dict[int, list[tuple[int, int]]] = {}  # gap -> from where each track is free again
        for (a, port), ends in sorted(
            spans.items(), key=lambda entry: (min(entry[1]), max(entry[1]))
        ):
            gap = self.cell[stands_for(a)][1] + 1
            known = free.setdefault(gap, [])
            k = next((k for k, end in enumerate(known) if end < min(ends)), len(known))
            known[k:] = [max(ends), *known[k + 1 :]]
            self.skip[a, port] = ("skip", gap, k)
        for gap, known in free.items():
            tracks[gap][:0] = [(("skip", gap, k), SKIP_PITCH) for k in range(len(known))]

    # -- columns ---------------------------------------------------------------------------------

    def _columns(self) -> None:
        count = 1 + max((c for c, _ in self.cell.values()), default=0)
        widths = [0.0] * count
        for key, (c, _) in self.cell.items():
            widths[c] = max(widths[c], self.size[key][0])
        x, self.column_x, self.channels = 0.0, [], []
        self.column_ends: list[tuple[float, float]] = []
        left, right = self._deep(0), self._deep(1)
        before = TITLE if self.turned else PAD
        edges = [before * left.get(0, 0) + 4, PAD * right.get(count - 1, 0) + 4]
        self.lead = max(STEP_GAP / 2, edges[0])  # from the edge of a step to its first column
        between = self.lead + max(STEP_GAP / 2, edges[1])
        for c, w in enumerate(widths):
            self.column_x.append(x + w / 2)
            self.column_ends.append((x, x + w))
            beside = PAD * right.get(c, 0) + before * left.get(c + 1, 0)
            gap = max(COLUMN_GAP, beside + 12) if c + 1 < count else between
            if c + 1 < count:
                self.channels += [x + w + gap * part for part in NEAR]
            x += w + gap
        for end in (0.0, x):
            self.channels += [end - self.lead * part for part in BESIDE[::-1]]
            self.channels += [end - between + (between - self.lead) * part for part in BESIDE[::-1]]
        self.pitch = x

    def plate(self, band: Band) -> Rect:
        """The rectangle of a band."""
        first, last, low, high = band.block
        n = 1 + band.inside
        x, pad, title = self.origin[band.step], PAD * n, TITLE * n + 2
        before, above = (title, pad) if self.turned else (pad, title)
        left, right = self.column_ends[first][0] - before, self.column_ends[last][1] + pad
        top, bottom = self.row_ends[high][0] - above, self.row_ends[low][1] + pad
        return Rect(x + (left + right) / 2, (top + bottom) / 2, right - left, bottom - top)

    def rect(self, key: Any) -> Rect:
        """The rectangle of a box in the step that stands for all."""
        c, r = self.cell[key]
        return Rect(self.column_x[c], self.row_y[r], *self.size[key])

    def _outside(self) -> None:
        """Give every box its rectangle."""
        left_boxes = [b for b in self.model.boxes if b.kind in RAILED]
        widest = max((self._size(b)[0] for b in left_boxes), default=0.0)
        x = 0.0
        for box in left_boxes:
            w, h, _ = self._size(box)
            self.rects[box] = Rect(x + widest - w / 2, self.track_y[box], w, h)
        x += widest + (STEP_GAP if left_boxes else 0)
        if self.model.rolled:
            x += LOOP_ROOM + 8.0 * len(self.ghosts)
        between = self._between()
        x = self._group(BEFORE, x)
        self.origin: dict[int, float] = {}
        shown = self.model.shown
        ghost_of: dict[int, list[tuple[Box, int]]] = {}
        for box in self.ghosts:
            users = [k.target for k in self.model.links if k.source is box]
            steps = [u.column for u in users if u.column in self.rank]
            way = self.lag(box, users[0])
            step = (min if way > 0 else max)(steps, default=shown[0])
            ghost_of.setdefault(step, []).append((box, way))
        of_step: dict[int, list[Box]] = {}
        for box in self.in_steps:
            of_step.setdefault(box.column, []).append(box)
        at = 0
        for k, step in enumerate(shown):
            hidden = self.rank[step] - at
            if hidden and not self.model.rolled:
                self.columns.append(Column(None, x, x + GAP_WIDTH, hidden))
                x += GAP_WIDTH
            early = [b for b, first in between.items() if first == step]
            x = self._group(AFTER, x, early, between=True)
            x = self._ghosts([b for b, way in ghost_of.get(step, ()) if way > 0], x)
            self.origin[step] = x
            self.columns.append(Column(step, x - self.lead, x + self.pitch - self.lead))
            for box in of_step.get(step, ()):
                rect = self.rect(box.key).moved(x)
                if box.kind == "circle":  # a circle, whatever stands there in other steps
                    rect = Rect(rect.x, rect.y, *self._size(box))
                self.rects[box] = rect
            x += self.pitch
            x = self._ghosts([b for b, way in ghost_of.get(step, ()) if way < 0], x)
            at = self.rank[step] + 1
            if k + 1 == len(shown) and at < len(self.model.steps) and not self.model.rolled:
                self.columns.append(Column(None, x, x + GAP_WIDTH, len(self.model.steps) - at))
                x += GAP_WIDTH
        self._group(AFTER, x, [b for b, first in between.items() if first is None])

    def _ghosts(self, ghosts: list[Box], x: float) -> float:
        """Beside a step the boxes that stand for earlier (or later) ones, in the order of time."""
        columns: list[tuple[int, dict[int, Box]]] = []  # of one step each, a box in a row
        for box in sorted(ghosts, key=self.when):
            step = self.when(box)
            row = self.cell.get(stands_for(box), (0, 0))[1]
            free = [boxes for at, boxes in columns if at == step and row not in boxes]
            if not free:
                free = [{}]
                columns.append((step, free[0]))
            free[0][row] = box
        for _, boxes in columns:
            w = max(self._size(box)[0] for box in boxes.values())
            for row, box in boxes.items():
                self.rects[box] = Rect(x + w / 2, self.row_y[row], *self._size(box))
            x += w + STEP_GAP
        return x

    def _between(self) -> dict[Box, int | None]:
        """The boxes that stand after some steps, and before which drawn step: that of their first
        use, in the backward pass the one after their last; None for those that no step uses.
        """
        boxes = [b for b in self.model.boxes if b.column == AFTER and b.kind not in RAILED]
        first: dict[Box, int | None] = dict.fromkeys(boxes)
        for box in reversed(self._sorted_boxes(boxes)):
            places: list[int | None] = []
            for user in (link.target for link in self.model.links if link.source is box):
                if user in first:
                    places.append(first[user])
                elif user.column in self.rank:
                    after = user.column + box.back
                    places.append(next((t for t in self.model.shown if t >= after), None))
            known = [t for t in places if t is not None]
            if known and (len(known) == len(places) or not box.back):
                first[box] = max(known) if box.back else min(known)
        for box in self._sorted_boxes([b for b in boxes if b.back and first[b] is None]):
            before = [k.source for k in self.model.links if k.target is box]
            own = [first.get(b, b.column) for b in before]
            first[box] = min((t for t in own if t in self.model.shown), default=None)
        return first

    def _group(
        self, column: int, x: float, boxes: list[Box] | None = None, between: bool = False
    ) -> float:
        """Boxes outside of time: a small grid of their own, below (before) or above (after)."""
        if boxes is None:
            boxes = [b for b in self.model.boxes if b.column == column and b.kind not in RAILED]
        if not boxes:
            return x
        template = Template(list(boxes))
        for link in self.model.links:
            if link.source in boxes and link.target in boxes:
                template.inside.setdefault((link.source, link.target), set())
        template.nodes = self._sorted_boxes(boxes)
        template.finish()
        cells = band_of(template, template.nodes)
        self._alone_at_the_steps(cells, column, between)
        columns = 1 + max(c for c, _ in cells.values())
        rows = 1 + max(r for _, r in cells.values())
        widths = [
            max([self._size(b)[0] for b in boxes if cells[b][0] == c] or [0])
            for c in range(columns)
        ]
        starts = [x + sum(widths[:c]) + COLUMN_GAP * c for c in range(columns)]
        high = max([36.0, *(self._size(b)[1] for b in boxes)]) if self.turned else 36.0
        pitch = high + ROW_GAP
        upwards = [pitch * r for r in range(rows)]
        ys = (
            [ROW_GAP + high / 2 + up for up in reversed(upwards)]
            if column == BEFORE
            else [self.top - ROW_GAP - high / 2 - up for up in upwards]
        )
        for box in boxes:
            c, r = cells[box]
            self.rects[box] = Rect(starts[c] + widths[c] / 2, ys[r], *self._size(box))
        ends = [start + w for start, w in zip(starts, widths, strict=True)]
        router = Router(
            {box: self.rects[box] for box in boxes},
            0.0,
            [x + COLUMN_GAP * part for x in (starts[0] - COLUMN_GAP, *ends) for part in NEAR],
            [y + pitch * part for y in (ys[0] + pitch, *ys) for part in (-0.5, -0.42, -0.58)],
        )
        self.outside.update(dict.fromkeys(boxes, router))
        return ends[-1] + STEP_GAP

    def _alone_at_the_steps(
        self, cells: dict[Any, tuple[int, int]], column: int, between: bool
    ) -> None:
        """Give a box with a rail to elsewhere a row on which nothing stands in its way."""
        for link in self.model.links:
            inside = [box for box in (link.source, link.target) if box in cells]
            railed = link.source.kind in RAILED or link.target.kind in RAILED
            if len(inside) != 1 or railed:
                continue
            (mine,) = inside
            c, r = cells[mine]
            same_row = [d for d, s in cells.values() if s == r]
            beside = [d > c if column == BEFORE else d < c for d in same_row]
            if any(beside) or (between and len(same_row) > 1):
                cells[mine] = (c, 1 + max(s for _, s in cells.values()))

    def _sorted_boxes(self, boxes: list[Box]) -> list[Box]:
        return sorted(boxes, key=lambda b: b.node.serial if b.node is not None else 0)

    def _bounds(self) -> None:
        """The part of the plane that is covered: (left, top, right, bottom)."""
        rects = self.rects.values()
        ways = [*self.ways.values(), *(delay.way for delay in self.delays)]
        corners = [point for way in ways for point in way]
        xs = [x for x, _ in corners]
        xs += [x for r in rects for x in (r.left, r.right)]
        xs += [x for c in self.columns for x in (c.left, c.right)]
        ys = [y for _, y in corners] + [y for r in rects for y in (r.top, r.bottom)]
        self.box = (min(xs), min(*ys, self.top), max(xs), max(*ys, 0.0))
