"""Ways for links: horizontal and vertical pieces that avoid boxes and each other.

Corners of a way lie on few free lines only: channels between the columns of boxes and tracks
between their rows. So the ways from one box to another with up to four corners can be listed, and
the cheapest is taken: length, a price per corner and per crossing, and a price that no detour
outweighs for running through a box or along the line of another value. A way is found once, in the
step that stands for all, and repeated in every step; so a way that is taken is entered in the steps
before and after too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ...graph import Array

ROW_REACH = 120.0
"""How far above and below its ends a way is looked for at first."""
Point = tuple[float, float]
Way = list[Point]


class Rect(NamedTuple):
    """A box: its centre, its size, and whether its sides are half circles. y grows downwards."""

    x: float
    y: float
    w: float
    h: float
    round: bool = False

    @property
    def left(self) -> float:
        """The left edge."""
        return self.x - self.w / 2

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.w / 2

    @property
    def top(self) -> float:
        """The upper edge."""
        return self.y - self.h / 2

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.h / 2

    def moved(self, dx: float, dy: float = 0.0) -> Rect:
        """The same box elsewhere."""
        return self._replace(x=self.x + dx, y=self.y + dy)


Net = tuple[Any, int | None]
"""The owner of lines that may lie on each other: a value, and how many steps away it was made (None
if all steps share it)."""


class Segment(NamedTuple):
    """A straight piece of a way, from a to b along the line at `at`."""

    horizontal: bool
    at: float
    a: float
    b: float


def segments(way: Sequence[Point]) -> Iterator[Segment]:
    """The straight pieces of a way."""
    for (x1, y1), (x2, y2) in pairwise(way):
        if y1 == y2:
            yield Segment(True, y1, min(x1, x2), max(x1, x2))
        else:
            yield Segment(False, x1, min(y1, y2), max(y1, y2))


def hits(piece: Segment, box: Rect, margin: float) -> bool:
    """Whether a piece runs through a box or too near to it."""
    if piece.horizontal:
        return (
            box.top - margin < piece.at < box.bottom + margin
            and piece.a < box.right + margin
            and piece.b > box.left - margin
        )
    return (
        box.left - margin < piece.at < box.right + margin
        and piece.a < box.bottom + margin
        and piece.b > box.top - margin
    )


def meet(a: Rect, b: Rect) -> bool:
    """Whether two boxes have a part in common."""
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def crosses(p: Segment, q: Segment) -> bool:
    """Whether two pieces cross at right angles."""
    return p.horizontal != q.horizontal and p.a < q.at < p.b and q.a < p.at < q.b


def simplified(way: Sequence[Point]) -> Way:
    """The same way without points that are no corners."""
    out: Way = []
    for point in way:
        if out and out[-1] == point:
            continue
        if len(out) > 1 and (
            out[-2][0] == out[-1][0] == point[0] or out[-2][1] == out[-1][1] == point[1]
        ):
            out[-1] = point
        else:
            out.append(point)
    return out


class _Intervals:
    """Some intervals, of which those that meet others are counted."""

    __slots__ = ("ends", "starts")

    def __init__(self, intervals: Any) -> None:
        self.starts, self.ends = np.sort(np.array(intervals, float).reshape(-1, 2), axis=0).T

    def meeting(self, a: Array, b: Array) -> Array:
        """How many begin before b, and do not end before a."""
        found: Array = self.starts.searchsorted(b, "left") - self.ends.searchsorted(a, "right")
        return found


class _Lane:
    """All that matters for pieces along one line.

    boxes    {box near it: (start, end, whether the line runs through it or only near it)}
    near     where all of these are;  through: and those that the line runs through
    across   {net: where its pieces cross the line}
    along    {net: (start, end) of its pieces on the line or hardly beside it}
    """

    __slots__ = ("_along", "_places", "across", "along", "boxes", "near", "through")

    def __init__(self, boxes: list[tuple[Rect, float, float, bool]]) -> None:
        self.boxes = {box: (start, end, through) for box, start, end, through in boxes}
        self.near = _Intervals([(start, end) for _, start, end, _ in boxes])
        self.through = _Intervals([(start, end) for _, start, end, through in boxes if through])
        self.across: dict[Net, list[float]] = {}
        self.along: dict[Net, list[tuple[float, float]]] = {}
        self._places: Array | None = None
        self._along: _Intervals | None = None

    def enter_across(self, net: Net, piece: Segment) -> None:
        """Tell the line of a piece that crosses it."""
        self.across.setdefault(net, []).append(piece.at)
        self._places = None

    def enter_along(self, net: Net, piece: Segment) -> None:
        """Tell the line of a piece on it."""
        self.along.setdefault(net, []).append((piece.a, piece.b))
        self._along = None

    def cost(self, a: Array, b: Array, nets: Collection[Net], ends: Collection[Rect]) -> Array:
        """The faults of some pieces from a to b, but for lines of some nets and some boxes."""
        total = np.zeros(len(a))
        if self.boxes:
            total += NEARBY * self.near.meeting(a - NEAR_BOX, b + NEAR_BOX)
            total += (THROUGH - NEARBY) * self.through.meeting(a - AT_BOX, b + AT_BOX)
            for start, end, through in [self.boxes[box] for box in {*ends} if box in self.boxes]:
                total -= NEARBY * ((a < end + NEAR_BOX) & (b > start - NEAR_BOX))
                if through:
                    total -= (THROUGH - NEARBY) * ((a < end + AT_BOX) & (b > start - AT_BOX))
        if self.along:
            if self._along is None:
                self._along = _Intervals(
                    [ends_ for found in self.along.values() for ends_ in found]
                )
            total += TOUCHING * self._along.meeting(
                a - TOUCH, b + TOUCH
            )  # would look like one line
            total += (ALONG - TOUCHING) * np.maximum(self._along.meeting(a + 0.5, b - 0.5), 0)
            for start, end in [ends_ for net in nets for ends_ in self.along.get(net, ())]:
                total -= TOUCHING * ((a < end + TOUCH) & (start < b + TOUCH))
                total -= (ALONG - TOUCHING) * ((a < end - 0.5) & (start < b - 0.5))
        if self.across:
            if self._places is None:
                self._places = np.sort([x for found in self.across.values() for x in found])
            total += CROSSING * _between(self._places, a, b)
            own = [x for net in nets for x in self.across.get(net, ())]
            if own:
                total -= CROSSING * _between(np.sort(own), a, b)
        return total


def _between(places: Array, a: Array, b: Array) -> Array:
    """How many places lie between a and b."""
    inside = places.searchsorted(b, "left") - places.searchsorted(a, "right")
    found: Array = np.maximum(inside, 0)
    return found


class Router:
    """Finds ways in one step, and remembers those that are taken.

    boxes     {key: Rect}
    pitch     how far the next step is; its boxes and ways are in the way too
    channels  free vertical lines; `tracks`: free horizontal ones
    """

    def __init__(
        self,
        boxes: dict[Any, Rect],
        pitch: float,
        channels: Sequence[float],
        tracks: Sequence[float],
    ) -> None:
        self.shifts = (0.0, -pitch, pitch) if pitch else (0.0,)
        self.named = boxes
        self.boxes = [box.moved(shift) for box in boxes.values() for shift in self.shifts]
        self.reach = 70 + max((box.w for box in self.boxes), default=0.0) / 2
        self.channels = channels
        self.tracks = tracks
        edges = [(b.left, b.right, b.top, b.bottom) for b in self.boxes]
        self._edges = np.array(edges).reshape(-1, 4).T
        self.clear()

    def clear(self) -> None:
        """Forget all ways."""
        self.foul = False  # of the way that was found last: it lies on another, or is in a box
        self.taken: list[tuple[Net, Segment]] = []
        self._pieces = np.zeros((0, 4))  # the same, but for their nets
        self._lanes: dict[tuple[bool, float], _Lane] = {}
        self._places: dict[bool, list[float]] = {True: [], False: []}  # of the lanes, in order

    def take(self, net: Net, way: Sequence[Point]) -> None:
        """Remember a way; here, and in the steps before and after. Its head counts twice more."""
        (x1, y1), (x2, y2) = way[-2:]
        away = min(1.0, HEAD / (abs(x2 - x1) + abs(y2 - y1) or 1.0))
        head = [(x2 + away * (x1 - x2), y2 + away * (y1 - y2)), (x2, y2)]
        for piece in [*segments(way), *2 * list(segments(head))]:
            for k, shift in enumerate(self.shifts):
                if piece.horizontal:
                    moved = piece._replace(a=piece.a + shift, b=piece.b + shift)
                else:
                    moved = piece._replace(at=piece.at + shift)
                step = None if net[1] is None else net[1] + (0, -1, 1)[k]
                self._enter((net[0], step), moved)

    def _enter(self, net: Net, piece: Segment) -> None:
        """Remember a piece, and tell the lines that it crosses or lies on."""
        self.taken.append((net, piece))
        across, along = self._places[not piece.horizontal], self._places[piece.horizontal]
        for at in across[bisect_right(across, piece.a) : bisect_left(across, piece.b)]:
            self._lanes[not piece.horizontal, at].enter_across(net, piece)
        first = bisect_right(along, piece.at - BESIDE)
        for at in along[first : bisect_left(along, piece.at + BESIDE)]:
            self._lanes[piece.horizontal, at].enter_along(net, piece)

    def _lane(self, horizontal: bool, at: float) -> _Lane:
        lane = self._lanes.get((horizontal, at))
        if lane is None:
            left, right, top, bottom = self._edges
            low, high = (top, bottom) if horizontal else (left, right)
            start, end = (left, right) if horizontal else (top, bottom)
            near = np.nonzero((low - NEAR_BOX < at) & (at < high + NEAR_BOX))[0]
            through = (low - AT_BOX < at) & (at < high + AT_BOX)
            lane = self._lanes[horizontal, at] = _Lane(
                [(self.boxes[k], float(start[k]), float(end[k]), bool(through[k])) for k in near]
            )
            insort(self._places[horizontal], at)
            if len(self._pieces) < len(self.taken):
                new = [piece for _, piece in self.taken[len(self._pieces) :]]
                self._pieces = np.concatenate([self._pieces, np.array(new, float)])
            level, places, a, b = self._pieces.T
            same = level == horizontal
            for k in np.nonzero(~same & (a < at) & (at < b))[0]:
                lane.enter_across(*self.taken[k])
            for k in np.nonzero(same & (abs(places - at) < BESIDE))[0]:
                lane.enter_along(*self.taken[k])
        return lane

    def _costs(self, ways: Array, nets: Collection[Net], ends: Sequence[Rect]) -> Array:
        """The faults of some ways, beyond their lengths.

        nets  their own, and those of absent boxes;  ends: the boxes of these
        """
        (x, y), (x2, y2) = np.moveaxis(ways[:, :-1], -1, 0), np.moveaxis(ways[:, 1:], -1, 0)
        level = y == y2
        at = np.where(level, y, x)
        a = np.where(level, np.minimum(x, x2), np.minimum(y, y2))
        b = np.where(level, np.maximum(x, x2), np.maximum(y, y2))
        way, piece = np.nonzero(a < b)
        level, at, a, b = (part[way, piece] for part in (level, at, a, b))
        costs = np.zeros(len(way))
        for own in ends[:2]:
            w, h = own.w / 2, own.h / 2
            middle, half = np.where(level, own.y, own.x), np.where(level, h, w) + AT_BOX
            centre, reach = np.where(level, own.x, own.y), np.where(level, w, h) - 1
            inside = (abs(at - middle) < half) & (a < centre + reach) & (b > centre - reach)
            costs += THROUGH * inside
        order = np.lexsort((at, level))
        new = (np.diff(at[order]) != 0) | np.diff(level[order])
        for lane in np.split(order, np.nonzero(new)[0] + 1):
            first = lane[0]
            found = self._lane(bool(level[first]), float(at[first]))
            costs[lane] += found.cost(a[lane], b[lane], nets, ends)
        return np.bincount(way, costs, minlength=len(ways))

    def best(
        self,
        net: Net,
        kinds: Iterable[Iterable[Array]],
        ends: Sequence[Rect],
        absent: Sequence[Any] = (),
        own: Sequence[Net] = (),
    ) -> Way:
        """The best of some ways, of the first kind that has a clean one; it is then taken.

        kinds  of each some arrays (ways, corners, 2)
        """
        nets = {net, *own, *(((key, 0), 0) for key in absent)}
        ends = [*ends, *(self.named[key] for key in absent)]
        chosen: Way = []
        lowest = worst = inf
        for kind in kinds:
            ways = np.concatenate([_padded(some) for some in kind])
            distance, corners = _measures(ways)
            base = distance + CORNER_COST * corners
            (short,) = np.nonzero(base < lowest)
            if len(short):
                faults = self._costs(ways[short], nets, ends)
                value = base[short] + faults
                k = np.lexsort((distance[short], value))[0]
                if value[k] < lowest:
                    lowest, worst = float(value[k]), float(faults[k])
                    chosen = simplified([(float(x), float(y)) for x, y in ways[short[k]]])
            if worst < FOUL:
                break
        self.foul = worst >= FOUL
        self.take(net, chosen)
        return chosen

    def link(self, net: Net, a: Rect, b: Rect, absent: Sequence[Any] = ()) -> Way:
        """From one box to another, where some others are absent."""
        kinds = (self._simple(a, b), self._winding(a, b), self._winding(a, b, inf))
        return self.best(net, kinds, (a, b), absent)

    def _near(self, *xs: float) -> Array:
        """The free vertical lines between some places and just beside them."""
        low, high = min(xs) - self.reach, max(xs) + self.reach
        return np.array([x for x in self.channels if low <= x <= high])

    def _rows(self, *ys: float, reach: float = ROW_REACH) -> Array:
        """The free horizontal lines between some places and beside them."""
        return np.array([y for y in self.tracks if min(ys) - reach <= y <= max(ys) + reach])

    def _simple(self, a: Rect, b: Rect) -> Iterator[Array]:
        """Ways with at most two corners."""
        rows = self._rows(a.top, a.bottom, b.top, b.bottom)
        for xa, xb in _sides(a, b):
            if a.y == b.y:
                yield _ways((xa, a.y), (xb, b.y))
            x = self._near(xa, xb)
            yield _ways((xa, a.y), (x, a.y), (x, b.y), (xb, b.y))
        xs, ys = _ports(a)
        ports, ends = _ports(b)
        for side in (a.left, a.right):
            yield _ways((side, a.y), (ports, a.y), (ports, ends))
        for side in (a.top, a.bottom):
            above = ports == a.x
            yield _ways((a.x, side), (a.x, ends[above]))
        here, there, y = _grid(np.arange(len(xs)), np.arange(len(ports)), rows)
        here, there = here.astype(int), there.astype(int)
        x, x2 = xs[here], ports[there]
        yield _ways((x, ys[here]), (x, y), (x2, y), (x2, ends[there]))
        for side in (b.left, b.right):
            yield _ways((xs, ys), (xs, b.y), (side, b.y))

    def _winding(self, a: Rect, b: Rect, reach: float = ROW_REACH) -> Iterator[Array]:
        """Ways with three and four corners."""
        rows, by_a, by_b = self._rows(a.y, b.y, reach=reach), self._near(a.x), self._near(b.x)
        ports, bottoms = _ports(b)
        y, x, k = _grid(rows, by_a, np.arange(len(ports)))
        (xb, yb), xa = (ports[k.astype(int)], bottoms[k.astype(int)]), _side(a, x)
        yield _ways((xa, a.y), (x, a.y), (x, y), (xb, y), (xb, yb))
        y, x, x2 = _grid(rows, by_a, by_b)
        xa, xb = _side(a, x), _side(b, x2)
        yield _ways((xa, a.y), (x, a.y), (x, y), (x2, y), (x2, b.y), (xb, b.y))
        y, x, ya = _grid(rows, by_b, np.array([a.top, a.bottom]))
        yield _ways((a.x, ya), (a.x, y), (x, y), (x, b.y), (_side(b, x), b.y))

    def drop(
        self, net: Net, y: float, b: Rect, own: Sequence[Net] = (), absent: Sequence[Any] = ()
    ) -> Way:
        """From somewhere on a horizontal rail to a box; it may lie on lines of its own nets."""
        x, end = _ports(b)
        facing = (end == b.bottom) == (y > b.y)
        straight = _ways((x[facing], y), (x[facing], end[facing]))
        return self.best(net, ([straight], self._winding_drops(y, b)), (b,), absent, own)

    def _winding_drops(self, y: float, b: Rect) -> Iterator[Array]:
        by_b = self._near(b.x)
        yield _ways((by_b, y), (by_b, b.y), (_side(b, by_b), b.y))
        ports, ends = _ports(b)
        x, track, k = _grid(by_b, self._rows(y, b.y), np.arange(len(ports)))
        xb, yb = ports[k.astype(int)], ends[k.astype(int)]
        yield _ways((x, y), (x, track), (xb, track), (xb, yb))


def _ways(*points: tuple[Any, Any]) -> Array:
    """Ways through some points, of which coordinates may be arrays: (ways, corners, 2)."""
    coordinates = np.broadcast_arrays(*(c for point in points for c in point), np.zeros(1))[:-1]
    return np.stack(coordinates, axis=-1).reshape(-1, len(points), 2).astype(float)


def _padded(ways: Array) -> Array:
    """Ways with as many corners as any has, the last ones in one place."""
    more = [(0, 0), (0, MOST_CORNERS - ways.shape[1]), (0, 0)]
    return np.pad(ways, more, mode="edge") if len(ways) else np.zeros((0, MOST_CORNERS, 2))


def _grid(*axes: Array) -> list[Array]:
    """All combinations of some numbers."""
    return [part.ravel() for part in np.meshgrid(*axes, indexing="ij")]


def _side(box: Rect, x: Array) -> Array:
    """The side of a box that is nearer to some places."""
    return np.where(x > box.x, box.right, box.left)


def _measures(ways: Array) -> tuple[Array, Array]:
    """Lengths, and numbers of corners; an end that is too short for a head counts as one."""
    steps = np.diff(ways, axis=1)
    distance = abs(steps).sum(axis=(1, 2))
    last = np.full(len(ways), -1)
    end = np.zeros(len(ways))
    corners = np.zeros(len(ways), int)
    for dx, dy in np.moveaxis(steps, 0, -1):
        real, level = (dx != 0) | (dy != 0), (dy == 0).astype(int)
        corners += real & (last >= 0) & (last != level)
        last = np.where(real, level, last)
        end = np.where(real, abs(dx) + abs(dy), end)
    return distance, corners + (end < HEAD)


NEAR_BOX, AT_BOX, BESIDE = 10.0, 3.0, 4.0
"""How near is near: to a box, so near that it counts as through it, and beside another line."""
STEP_GAP = 36.0
"""Between the last box of a step and the first of the next."""
NEAR = (0.5, 0.25, 0.75)
"""Where lines may run in a gap, in parts of it."""
PORT_PITCH, ROUND_PITCH = 24.0, 12.0
"""How far apart lines enter a wide box, and one with round sides."""
CORNER_COST = 25.0
HEAD = 10.0
"""How long the end of a way should be, for an arrow's head with a shaft."""
MOST_CORNERS = 6
"""Of a way, its ends among them."""
CROSSING = 30.0
TOUCH, TOUCHING, ALONG = 8.0, 60.0, 2_000.0
NEARBY, THROUGH = 20.0, 100_000.0
FOUL = 2_000
"""From here on a way runs along another or through a box."""


def _sides(a: Rect, b: Rect) -> list[tuple[float, float]]:
    if b.x >= a.x - 1:
        return [(a.right, b.left)]
    return [(xa, xb) for xa in (a.left, a.right) for xb in (b.right, b.left)]


def _ports(b: Rect) -> tuple[Array, Array]:
    """Where a box can be entered from above and from below."""
    if b.round:
        flat = (b.w - b.h) / 2
        n = max(int(flat / ROUND_PITCH), int(flat >= 8))
        shifts = [flat / n * k for k in range(-n, n + 1)] if n else [0.0]
    elif b.w < 4 * PORT_PITCH:
        beside = 0.28 * b.w
        shifts = [0.0] if beside < 7 else [0.0, -beside, beside]
    else:
        n = min(int(0.42 * b.w / PORT_PITCH), 8)
        shifts = [PORT_PITCH * k for k in range(-n, n + 1)]
    xs = b.x + np.repeat(shifts, 2)
    return xs, np.tile([b.top, b.bottom], len(shifts))
