"""The whole picture's geometry: steps are equal columns in time order, parameters are rails."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from . import text
from .model import Box, Link, Model
from .place import Template, band_of, place
from .route import Net, Point, Rect, Router, Segment, Way, hits, simplified
from .steps import AFTER, BEFORE

FONT = 14.0
COLUMN_GAP = 24.0
STEP_GAP = 30.0
ROW_GAP = 30.0
RAIL_PITCH = 32.0
SKIP_PITCH = 14.0
GAP_WIDTH = 104.0
MARGIN = 24.0
NEAR = (0.5, 0.25, 0.75)
"""Where lines may run in a gap, in parts of it."""
LINE = 22.0


@dataclass
class Rail:
    """A horizontal line from a box at the left (or to one at the right), with a way per use."""

    box: Box
    y: float
    ways: list[tuple[Link, Way]] = field(default_factory=list)
    start: float = 0.0
    end: float = 0.0


@dataclass
class Column:
    """A step (or, if `step` is None, a gap that stands for `hidden` steps)."""

    step: int | None
    left: float
    right: float
    hidden: int = 0


def size(box: Box) -> tuple[float, float, bool]:
    """Width and height of a box, and whether its sides are round."""
    w = text.width(box.label, FONT)
    if box.kind == "cell":
        widest = max([w, *(text.width(line, FONT) for line in box.lines)])
        return widest + 28, LINE * len(box.lines) + (24 if box.label else 4) + 14, False
    if box.kind == "round":
        return 24.0, 24.0, True
    if box.kind == "value":
        return max(44.0 if box.note else 36.0, w + 16), 44.0 if box.note else 36.0, True
    if box.kind == "parameter":
        return max(40.0, w + 20), 26.0, False
    return max(36.0, w + 16), 38.0 if box.note else 28.0, False


class Layout:
    """Positions of everything in a model.

    rects    {box: Rect};  ways: {link: corners};  rails;  columns
    dotted   ways across gaps, where steps are left out
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.rects: dict[Box, Rect] = {}
        self.ways: dict[Link, Way] = {}
        self.rails: list[Rail] = []
        self.columns: list[Column] = []
        self.dotted: list[tuple[Box, Way]] = []
        self.outside: dict[int, Router] = {}  # for BEFORE and AFTER
        self.rank = {step: k for k, step in enumerate(model.steps)}
        self.in_steps = [b for b in model.boxes if b.column in self.rank and not is_ghost(b)]
        self.ghosts = [b for b in model.boxes if is_ghost(b)]
        self._template()
        self._rows()
        self._columns()
        self._outside()
        self._route()
        self._bounds()

    # -- the step --------------------------------------------------------------------------------

    def _template(self) -> None:
        self.template = template_of(self.model)
        self.size: dict[Any, tuple[float, float, bool]] = {}
        for box in self.in_steps:
            w, h, is_round = size(box)
            old = self.size.get(box.key, (0.0, 0.0))
            self.size[box.key] = (max(w, old[0]), max(h, old[1]), is_round)
        self.cell = place(self.template)

    def _lag(self, a: Box, b: Box) -> int:
        """How many steps a link between two boxes goes forward; 0 within a step."""
        if a.column not in self.rank or b.column not in self.rank:
            return 0
        lag = self.rank[b.column] - self.rank[a.column]
        if a.key[0] == "first":  # it stands beside the step that reads it first
            lag += self.template.direction.get(stands_for(a), 1)
        return lag

    # -- rows ------------------------------------------------------------------------------------

    def _rows(self) -> None:
        rows = 1 + max((r for _, r in self.cell.values()), default=0)
        tracks: list[list[tuple[Any, float]]] = [[] for _ in range(rows + 1)]
        spans = [
            sorted((self.cell[a][1], self.cell[b][1]))
            for a, b in [*self.template.inside, *self.template.across]
        ]
        for box in self.model.boxes:
            if box.kind != "parameter":
                continue
            used = [
                self.cell[link.target.key][1]
                for link in self.model.links
                if link.source is box and link.target.key in self.cell
            ]
            if used:
                r = max(set(used), key=used.count)
                costs = [
                    (len(tracks[g]) + sum(low < g <= high for low, high in spans), i, g)
                    for i, g in enumerate((r, r + 1))
                ]
                beside = min(costs)[2]
            else:
                outside = [k.target.column for k in self.model.links if k.source is box]
                beside = 0 if BEFORE in outside else rows
            tracks[beside].insert(0, (box, RAIL_PITCH))
        self._skips(tracks)
        # from the bottom upwards
        y = 0.0
        heights: list[float] = [0.0] * rows
        for key, (_, r) in self.cell.items():
            heights[r] = max(heights[r], self.size[key][1])
        self.row_y: list[float] = []
        self.track_y: dict[Any, float] = {}
        self.tracks: list[float] = []
        for g in range(rows + 1):
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
                self.row_y.append(y - heights[g] / 2)
                y -= heights[g]
        self.top = y

    def _skips(self, tracks: list[list[tuple[Any, float]]]) -> None:
        """Give what is handed on further than to the next step a track above its row."""
        self.skip: dict[Box, tuple[str, int, int]] = {}
        spans: dict[Box, list[tuple[int, int]]] = {}  # (step, column in it) of both ends
        for link in self.model.links:
            a, b = link.source, link.target
            if abs(self._lag(a, b)) > 1 and stands_for(a) in self.cell:
                spans.setdefault(a, []).extend(
                    (self.rank[c.column], self.cell[stands_for(c)][0]) for c in (a, b)
                )
        free: dict[int, list[tuple[int, int]]] = {}  # gap -> from where each track is free again
        for a, ends in sorted(spans.items(), key=lambda entry: (min(entry[1]), max(entry[1]))):
            gap = self.cell[stands_for(a)][1] + 1
            known = free.setdefault(gap, [])
            k = next((k for k, end in enumerate(known) if end < min(ends)), len(known))
            known[k:] = [max(ends), *known[k + 1 :]]
            self.skip[a] = ("skip", gap, k)
        for gap, known in free.items():
            tracks[gap][:0] = [(("skip", gap, k), SKIP_PITCH) for k in range(len(known))]

    # -- columns ---------------------------------------------------------------------------------

    def _columns(self) -> None:
        count = 1 + max((c for c, _ in self.cell.values()), default=0)
        widths = [0.0] * count
        for key, (c, _) in self.cell.items():
            widths[c] = max(widths[c], self.size[key][0])
        x, self.column_x, self.channels = 0.0, [], []
        for c, w in enumerate(widths):
            self.column_x.append(x + w / 2)
            gap = COLUMN_GAP if c + 1 < count else STEP_GAP
            self.channels += [x + w + gap * part for part in NEAR]
            x += w + gap
        self.channels += [-STEP_GAP * part for part in NEAR]
        self.pitch = x

    def _rect(self, key: Any, size: tuple[float, float, bool], origin: float = 0.0) -> Rect:
        c, r = self.cell[key]
        return Rect(origin + self.column_x[c], self.row_y[r], *size)

    def _outside(self) -> None:
        """Give every box its place."""
        left_boxes = [b for b in self.model.boxes if b.kind == "parameter"]
        widest = max((size(b)[0] for b in left_boxes), default=0.0)
        x = 0.0
        for box in left_boxes:
            w, h, _ = size(box)
            self.rects[box] = Rect(x + widest - w / 2, self.track_y[box], w, h)
        x += widest + (STEP_GAP if left_boxes else 0)
        x = self._group(BEFORE, x)
        self.origin: dict[int, float] = {}
        shown = self.model.shown
        ghost_of: dict[int, list[tuple[Box, int]]] = {}
        for box in self.ghosts:
            users = [k.target for k in self.model.links if k.source is box]
            steps = [u.column for u in users if u.column in self.rank]
            way = self._lag(box, users[0])
            step = (min if way > 0 else max)(steps, default=shown[0])
            ghost_of.setdefault(step, []).append((box, way))
        at = 0
        for k, step in enumerate(shown):
            hidden = self.rank[step] - at
            if hidden and not self.model.rolled:
                self.columns.append(Column(None, x, x + GAP_WIDTH, hidden))
                x += GAP_WIDTH
            x = self._ghosts([b for b, way in ghost_of.get(step, ()) if way > 0], x)
            self.origin[step] = x
            self.columns.append(Column(step, x - STEP_GAP / 2, x + self.pitch - STEP_GAP / 2))
            for box in self.in_steps:
                if box.column == step:
                    self.rects[box] = self._rect(box.key, size(box), x)
            x += self.pitch
            x = self._ghosts([b for b, way in ghost_of.get(step, ()) if way < 0], x)
            at = self.rank[step] + 1
            if k + 1 == len(shown) and at < len(self.model.steps) and not self.model.rolled:
                self.columns.append(Column(None, x, x + GAP_WIDTH, len(self.model.steps) - at))
                x += GAP_WIDTH
        self._group(AFTER, x)

    def _ghosts(self, ghosts: list[Box], x: float) -> float:
        """Beside a step what stands for earlier (or later) ones, in the order of time."""
        by_step: dict[int, list[Box]] = {}
        for box in ghosts:
            by_step.setdefault(0 if box.key[0] == "first" else box.column, []).append(box)
        for _, boxes in sorted(by_step.items()):
            w = max(size(box)[0] for box in boxes)
            for box in boxes:
                row = self.cell.get(stands_for(box), (0, 0))[1]
                self.rects[box] = Rect(x + w / 2, self.row_y[row], *size(box))
            x += w + STEP_GAP
        return x

    def _group(self, column: int, x: float) -> float:
        """Boxes outside of time: a small grid of their own, below (before) or above (after)."""
        boxes = [b for b in self.model.boxes if b.column == column and b.kind != "parameter"]
        if not boxes:
            return x
        template = Template(list(boxes))
        for link in self.model.links:
            if link.source in boxes and link.target in boxes:
                template.inside.setdefault((link.source, link.target), set())
        template.nodes = self._sorted_boxes(boxes)
        template.finish()
        cells = band_of(template, template.nodes)
        self._alone_at_the_steps(cells, column)
        columns = 1 + max(c for c, _ in cells.values())
        rows = 1 + max(r for _, r in cells.values())
        widths = [
            max([size(b)[0] for b in boxes if cells[b][0] == c] or [0]) for c in range(columns)
        ]
        starts = [x + sum(widths[:c]) + COLUMN_GAP * c for c in range(columns)]
        pitch = 36.0 + ROW_GAP
        upwards = [pitch * r for r in range(rows)]
        ys = (
            [ROW_GAP + 18 + up for up in reversed(upwards)]
            if column == BEFORE
            else [self.top - ROW_GAP - 18 - up for up in upwards]
        )
        for box in boxes:
            c, r = cells[box]
            self.rects[box] = Rect(starts[c] + widths[c] / 2, ys[r], *size(box))
        ends = [start + w for start, w in zip(starts, widths, strict=True)]
        self.outside[column] = Router(
            {box: self.rects[box] for box in boxes},
            0.0,
            [x + COLUMN_GAP * part for x in (starts[0] - COLUMN_GAP, *ends) for part in NEAR],
            [y + pitch * part for y in (ys[0] + pitch, *ys) for part in (-0.5, -0.42, -0.58)],
        )
        return ends[-1] + STEP_GAP

    def _alone_at_the_steps(self, cells: dict[Any, tuple[int, int]], column: int) -> None:
        """Give what is linked to the steps a row on which nothing stands between."""
        for link in self.model.links:
            mine, other = (
                (link.source, link.target) if column == BEFORE else (link.target, link.source)
            )
            if mine not in cells or other in cells or other.kind == "parameter":
                continue
            c, r = cells[mine]
            same_row = [d for d, s in cells.values() if s == r]
            if any(d > c if column == BEFORE else d < c for d in same_row):
                cells[mine] = (c, 1 + max(s for _, s in cells.values()))

    def _sorted_boxes(self, boxes: list[Box]) -> list[Box]:
        return sorted(boxes, key=lambda b: b.node.serial if b.node is not None else 0)

    # -- ways ------------------------------------------------------------------------------------

    def _route(self) -> None:
        rects = {key: self._rect(key, self.size[key]) for key in self.template.nodes}
        router = Router(rects, self.pitch, self.channels, self.tracks)
        inside: dict[Any, Way] = {}
        for track, y in self.track_y.items():
            what = ("rail", track.key) if isinstance(track, Box) else "skip"
            router.take((what, None), [(-self.pitch, y), (2 * self.pitch, y)])
        wanted: dict[Any, tuple[Net, Rect, Rect]] = {}
        for link in self.model.links:
            a, b = link.source, link.target
            if b.key not in rects or b.column not in self.rank:
                continue
            if a.column == b.column and a.key in rects:
                wanted.setdefault(
                    (a.key, b.key, link.i, 0), (_net(link), rects[a.key], rects[b.key])
                )
            elif a.column in self.rank or is_ghost(a):
                delta, key = self._lag(a, b), stands_for(a)
                if abs(delta) == 1 and key in rects:
                    start = rects[key].moved(-delta * self.pitch)
                    wanted.setdefault(
                        (key, b.key, link.i, delta), (_net(link, -delta), start, rects[b.key])
                    )
        for name, (net, a_rect, b_rect) in sorted(
            wanted.items(),
            key=lambda e: (
                abs(e[1][1].y - e[1][2].y) > 0,
                abs(e[1][1].x - e[1][2].x) + abs(e[1][1].y - e[1][2].y),
            ),
        ):
            absent = self.template.bypassed(name[0], name[1])
            inside[name] = router.link(net, a_rect, b_rect, absent)
        drops: dict[Any, Way] = {}
        rails = {box: Rail(box, y) for box, y in self.track_y.items() if isinstance(box, Box)}
        for link in self.model.links:
            a, b = link.source, link.target
            if a.column == BEFORE and b.column == BEFORE and a.kind != "parameter":
                continue
            if a.column == BEFORE and b in self.rects:
                rail = rails.get(a)
                if rail is None:
                    rail = rails[a] = Rail(a, self.rects[a].y)
                name = (id(rail), b.key, link.i)
                if b.column in self.origin:
                    if name not in drops:
                        drops[name] = router.drop((("rail", a.key), None), rail.y, rects[b.key])
                    way = _moved(drops[name], self.origin[b.column])
                else:
                    way = self.outside[b.column].drop(
                        (("rail", a.key), None), rail.y, self.rects[b]
                    )
                rail.ways.append((link, self._fitted(way, b)))
        ends: dict[Box, Rail] = {}
        for link in self.model.links:
            a, b = link.source, link.target
            if a.column == BEFORE and a.column != b.column:
                continue
            if b.column in (BEFORE, AFTER):
                if a.column == b.column:
                    outside = self.outside[b.column]
                    self.ways[link] = outside.link(_net(link), self.rects[a], self.rects[b])
                elif b.column == AFTER:
                    rail = ends.setdefault(b, Rail(b, self.rects[b].y))
                    name = ("collect", b, a.key)
                    if name not in drops:
                        drops[name] = router.drop(((a.key, 0), 0), rail.y, rects[a.key])
                    way = _moved(drops[name], self.origin[a.column])[::-1]
                    rail.ways.append((link, self._fitted_start(way, a)))
                continue
            delta = self._lag(a, b)
            if abs(delta) > 1:
                self.ways[link] = self._skipping(router, rects, drops, a, b)
                continue
            way = _moved(inside[stands_for(a), b.key, link.i, delta], self.origin[b.column])
            self.ways[link] = self._joined(way, a, b)
        self.rails = [r for r in [*rails.values(), *ends.values()] if r.ways]
        for rail in self.rails:
            own = self.rects[rail.box]
            xs = [way[0][0] for _, way in rail.ways]
            if rail.box.column == AFTER:
                xs = [way[-1][0] for _, way in rail.ways]
                rail.start, rail.end = min(xs), own.left
            else:
                rail.start, rail.end = own.right, max(xs)
        if self.model.rolled:
            self._loops()
        else:
            self._dotted()

    def _loops(self) -> None:
        """From each state of the one step around to where it enters: the delay by one step."""
        values = {b.key: b for b in self.in_steps}
        for k, ghost in enumerate(sorted(self.ghosts, key=lambda g: self.rects[g].y)):
            made = values.get(stands_for(ghost))
            if made is None:
                continue
            a, b = self.rects[made], self.rects[ghost]
            self.top -= 24
            left = min(self.rects[g].left for g in self.ghosts)
            x1, x2 = self.columns[-1].right + 10 + 10 * k, left - 14 - 8 * k
            self.dotted.append(
                (
                    ghost,
                    [
                        (a.right, a.y),
                        (x1, a.y),
                        (x1, self.top),
                        (x2, self.top),
                        (x2, b.y),
                        (b.left, b.y),
                    ],
                )
            )

    def _joined(self, way: Way, a: Box, b: Box) -> Way:
        """A way of the template with its ends on the boxes themselves."""
        return self._fitted(self._fitted_start(way, a), b)

    def _fitted(self, way: Way, b: Box) -> Way:
        return self._fitted_start(way[::-1], b)[::-1]

    def _fitted_start(self, way: Way, a: Box) -> Way:
        """Begin at the edge of the box, which may be smaller or elsewhere than its template."""
        rect, way = self.rects[a], list(way)
        (x0, y0), (x1, y1) = way[0], way[1]
        if y0 == y1:
            way[0] = (rect.right if x1 >= rect.x else rect.left, y0)
        elif abs(x0 - rect.x) <= rect.w / 2:
            way[0] = (x0, rect.bottom if y1 > y0 else rect.top)
        else:
            for k, (x, y) in enumerate(way):
                if x != x0:
                    break
                way[k] = (rect.x, y)
            way[0] = (rect.x, rect.bottom if y1 > y0 else rect.top)
        return simplified(way)

    def _skipping(
        self, router: Router, rects: dict[Any, Rect], drops: dict[Any, Way], a: Box, b: Box
    ) -> Way:
        """Along a track above the row of what is handed on, over the steps between."""
        net, gap, k = self.skip[a]
        y = self.track_y[net, gap, k]
        highest = min(
            at for t, at in self.track_y.items() if not isinstance(t, Box) and t[1] == gap
        )

        def drop(box: Box) -> Way:
            name = (net, gap, box.key)
            if name not in drops:  # one for all tracks: they begin below each other
                drops[name] = router.drop((net, None), highest, rects[box.key])
            (x, _), *rest = drops[name]
            return self._fitted(_moved([(x, y), *rest], self.origin[box.column]), box)

        own = self.rects[a]
        up = [(own.x, own.top), (own.x, y)] if is_ghost(a) else drop(a)[::-1]
        return simplified([*up, *drop(b)])

    def _dotted(self) -> None:
        """Across each gap: from the last box of a state to its next, steps later."""
        steps = self.model.shown
        values = {(b.column, b.key): b for b in self.in_steps}
        for before, after in pairwise(steps):
            if self.rank[after] - self.rank[before] == 1:
                continue
            for ghost in self.ghosts:
                rect = self.rects[ghost]
                made = values.get((before, stands_for(ghost)))
                if made is None or not self.rects[made].right < rect.left < self.origin[after]:
                    continue
                start = self.rects[made]
                between = Segment(True, rect.y, start.right, rect.left)
                if not any(hits(between, self.rects[g], 0) for g in self.ghosts if g is not ghost):
                    self.dotted.append((ghost, [(start.right, start.y), (rect.left, start.y)]))

    def _bounds(self) -> None:
        xs = [r.left for r in self.rects.values()] + [c.left for c in self.columns]
        xs2 = [r.right for r in self.rects.values()] + [c.right for c in self.columns]
        ys = [r.top for r in self.rects.values()] + [self.top]
        ys2 = [r.bottom for r in self.rects.values()] + [0.0]
        self.box = (min(xs), min(ys), max(xs2), max(ys2))


def _net(link: Link, step: int = 0) -> Net:
    """What shares lines with a link: whatever else leads away from the same value."""
    a = link.source
    several = a.node is not None and a.node.primitive is not None and a.node.primitive.multiple
    port = link.node.ports[link.i] if several and link.node is not None and link.i >= 0 else 0
    return (stands_for(a), port), step


def is_ghost(box: Box) -> bool:
    """Whether a box stands for one of another step: a first state, or a state beside a gap."""
    return box.key[0] in ("first", "ghost")


def stands_for(box: Box) -> Any:
    """The key of a box, or of the one it stands for."""
    return box.key[1:] if is_ghost(box) else box.key


def template_of(model: Model) -> Template:
    """What the steps of a model have in common, taken together."""
    rank = {step: k for k, step in enumerate(model.steps)}
    known = dict.fromkeys(b.key for b in model.boxes if b.column in rank and not is_ghost(b))
    template = Template()
    for box in model.boxes:
        if box.key in known:
            template.steps.setdefault(box.key, set()).add(box.column)
    ghosts: list[tuple[Any, Any]] = []
    for link in model.links:
        a, b = link.source, link.target
        if b.column not in rank or b.key not in known:
            continue
        if is_ghost(a):
            ghosts.append((stands_for(a), b.key))
        elif a.column == b.column and a.key in known:
            template.inside.setdefault((a.key, b.key), set()).add(b.column)
        elif a.column in rank:
            lag = rank[b.column] - rank[a.column]
            known_lag = template.across.setdefault((a.key, b.key), lag)
            template.across[a.key, b.key] = min(lag, known_lag, key=abs)
            template.direction.setdefault(a.key, 1 if lag > 0 else -1)
    for made, user in ghosts:
        if made in known:
            delta = template.direction.setdefault(made, model.directions.get(made, 1))
            template.across.setdefault((made, user), delta)
    template.nodes = _topological(known, template)
    template.finish()
    return template


def _topological(known: dict[Any, None], template: Template) -> list[Any]:
    """Keys so that each comes after what it is made from, whatever steps have it."""
    waiting: dict[Any, list[Any]] = {key: [] for key in known}
    for a, b in template.inside:
        waiting[b].append(a)
    done: dict[Any, None] = {}
    stack = list(reversed(waiting))
    while stack:
        key = stack[-1]
        missing = [k for k in waiting[key] if k not in done]
        if key in done or not missing:
            done.setdefault(key)
            stack.pop()
        else:
            stack.extend(missing)
    return list(done)


def _moved(way: Way, dx: float) -> Way:
    return [(x + dx, y) for x, y in way]


__all__ = ["Column", "Layout", "Point", "Rail", "size"]
