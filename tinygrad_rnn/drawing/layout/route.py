"""Ways for links: horizontal and vertical pieces that avoid boxes and each other.

Corners of a way lie on few free lines only: channels between the columns of boxes and tracks
between their rows. So the ways from one box to another with up to four corners can be listed, and
the cheapest is taken: length, a price per corner and per crossing, and a price that no detour
outweighs for running through a box or along the line of another value. A way is found once, in the
step that stands for all, and repeated in every step; so a way that is taken is entered in the steps
before and after too.
"""

from __future__ import annotations

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


class _Lane:
    """All that matters for pieces along one line.

    boxes   near it: start, end, and whether the line runs through it or only near it
    across  {net: where its pieces cross the line}
    along   {net: (start, end) of its pieces on the line or hardly beside it}
    """

    __slots__ = ("_places", "across", "along", "boxes", "ends", "through")

    def __init__(self, boxes: list[Rect], ends: list[tuple[float, float]], through: list[bool]):
        self.boxes, self.ends, self.through = boxes, np.array(ends).reshape(-1, 2), through
        self.across: dict[Net, list[float]] = {}
        self.along: dict[Net, list[tuple[float, float]]] = {}
        self._places: Array | None = None

    def enter(self, horizontal: bool, at: float, net: Net, piece: Segment) -> None:
        """Tell the line of a piece that was taken."""
        if piece.horizontal != horizontal:
            if piece.a < at < piece.b:
                self.across.setdefault(net, []).append(piece.at)
                self._places = None
        elif abs(piece.at - at) < BESIDE:
            self.along.setdefault(net, []).append((piece.a, piece.b))

    def cost(self, a: Array, b: Array, nets: Collection[Net], ends: Collection[Rect]) -> Array:
        """The faults of some pieces from a to b, but for lines of some nets and some boxes."""
        total = np.zeros(len(a))
        left, right = a[:, None], b[:, None]
        near = (self.ends[:, 0] < b.max() + NEAR_BOX) & (self.ends[:, 1] > a.min() - NEAR_BOX)
        others = [k for k in np.nonzero(near)[0] if self.boxes[k] not in ends]
        if others:
            start, end = self.ends[others].T
            hit = (left < end + AT_BOX) & (right > start - AT_BOX)
            hit &= np.array([self.through[k] for k in others])
            touched = (left < end + NEAR_BOX) & (right > start - NEAR_BOX)
            total += np.where(hit, THROUGH, np.where(touched, 20.0, 0.0)).sum(axis=1)
        on = [ends_ for net, found in self.along.items() if net not in nets for ends_ in found]
        if on:
            start, end = np.array(on).T
            upon = (left < end - 0.5) & (start < right - 0.5)
            touch = (left < end + TOUCH) & (start < right + TOUCH)  # would look like one line
            total += np.where(upon, ALONG, np.where(touch, 60.0, 0.0)).sum(axis=1)
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
    inside = np.searchsorted(places, b, "left") - np.searchsorted(places, a, "right")
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
        self.taken: list[tuple[Net, Segment]] = []
        self._lanes: dict[tuple[bool, float], _Lane] = {}

    def take(self, net: Net, way: Sequence[Point]) -> None:
        """Remember a way; here, and in the steps before and after."""
        for piece in segments(way):
            for k, shift in enumerate(self.shifts):
                if piece.horizontal:
                    moved = piece._replace(a=piece.a + shift, b=piece.b + shift)
                else:
                    moved = piece._replace(at=piece.at + shift)
                step = None if net[1] is None else net[1] + (0, -1, 1)[k]
                self.taken.append(((net[0], step), moved))
                for (horizontal, at), lane in self._lanes.items():
                    lane.enter(horizontal, at, (net[0], step), moved)

    def _lane(self, horizontal: bool, at: float) -> _Lane:
        lane = self._lanes.get((horizontal, at))
        if lane is None:
            near, ends, through = [], [], []
            for box in self.boxes:
                low, high = (box.top, box.bottom) if horizontal else (box.left, box.right)
                if low - NEAR_BOX < at < high + NEAR_BOX:
                    near.append(box)
                    ends.append((box.left, box.right) if horizontal else (box.top, box.bottom))
                    through.append(low - AT_BOX < at < high + AT_BOX)
            lane = self._lanes[horizontal, at] = _Lane(near, ends, through)
            for net, piece in self.taken:
                lane.enter(horizontal, at, net, piece)
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
            w, h = own.w / 2 - 1, own.h / 2 - 1
            middle, half = np.where(level, own.y, own.x), np.where(level, h, w)
            centre, reach = np.where(level, own.x, own.y), np.where(level, w, h)
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
        lowest = inf
        for kind in kinds:
            ways = np.concatenate([_padded(some) for some in kind])
            distance, corners = _measures(ways)
            base = distance + CORNER_COST * corners
            (short,) = np.nonzero(base < lowest)
            if len(short):
                value = base[short] + self._costs(ways[short], nets, ends)
                k = np.lexsort((distance[short], value))[0]
                if value[k] < lowest:
                    lowest = float(value[k])
                    chosen = simplified([(float(x), float(y)) for x, y in ways[short[k]]])
            if lowest < FOUL:
                break
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
        rows = self._rows(a.y, b.y)
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

    def drop(self, net: Net, y: float, b: Rect, own: Sequence[Net] = ()) -> Way:
        """From somewhere on a horizontal rail to a box; it may lie on lines of its own nets."""
        x, end = _ports(b)
        facing = (end == b.bottom) == (y > b.y)
        straight = _ways((x[facing], y), (x[facing], end[facing]))
        return self.best(net, ([straight], self._winding_drops(y, b)), (b,), own=own)

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
    """Lengths, and numbers of corners."""
    steps = np.diff(ways, axis=1)
    distance = abs(steps).sum(axis=(1, 2))
    last = np.full(len(ways), -1)
    corners = np.zeros(len(ways), int)
    for dx, dy in np.moveaxis(steps, 0, -1):
        real, level = (dx != 0) | (dy != 0), (dy == 0).astype(int)
        corners += real & (last >= 0) & (last != level)
        last = np.where(real, level, last)
    return distance, corners


NEAR_BOX, AT_BOX, BESIDE = 10.0, 3.0, 4.0
"""How near is near: to a box, so near that it counts as through it, and beside another line."""
STEP_GAP = 30.0
"""Between the last box of a step and the first of the next."""
NEAR = (0.5, 0.25, 0.75)
"""Where lines may run in a gap, in parts of it."""
PORT_PITCH = 24.0
"""How far apart lines enter a wide box."""
CORNER_COST = 25.0
MOST_CORNERS = 6
"""Of a way, its ends among them."""
CROSSING = 30.0
TOUCH, ALONG = 8.0, 2_000.0
THROUGH = 100_000.0
FOUL = 2_000
"""From here on a way runs along another or through a box."""


def _sides(a: Rect, b: Rect) -> list[tuple[float, float]]:
    if b.x >= a.x - 1:
        return [(a.right, b.left)]
    return [(xa, xb) for xa in (a.left, a.right) for xb in (b.right, b.left)]


def _ports(b: Rect) -> tuple[Array, Array]:
    """Where a box can be entered from above and from below."""
    if b.round or b.w < 4 * PORT_PITCH:
        beside = (b.w - b.h) / 2 if b.round else 0.28 * b.w
        shifts = [0.0] if beside < (8 if b.round else 7) else [0.0, -beside, beside]
    else:
        n = min(int(0.42 * b.w / PORT_PITCH), 8)
        shifts = [PORT_PITCH * k for k in range(-n, n + 1)]
    xs = b.x + np.repeat(shifts, 2)
    return xs, np.tile([b.top, b.bottom], len(shifts))
