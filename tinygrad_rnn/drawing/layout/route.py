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
    """All that matters for a piece along one line: found once, looked at for every way tried.

    boxes     (start, end, box, whether the line runs through it or only near it)
    crossing  (net, where): pieces that cross the line
    along     (net, start, end): pieces on it or hardly beside it
    """

    __slots__ = ("along", "boxes", "crossing")

    def __init__(self, boxes: list[tuple[float, float, Rect, bool]]) -> None:
        self.boxes = boxes
        self.crossing: list[tuple[Net, float]] = []
        self.along: list[tuple[Net, float, float]] = []


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
                    _enter(lane, horizontal, at, (net[0], step), moved)

    def _lane(self, horizontal: bool, at: float) -> _Lane:
        lane = self._lanes.get((horizontal, at))
        if lane is None:
            near = []
            for box in self.boxes:
                low, high = (box.top, box.bottom) if horizontal else (box.left, box.right)
                if low - NEAR_BOX < at < high + NEAR_BOX:
                    ends = (box.left, box.right) if horizontal else (box.top, box.bottom)
                    near.append((*ends, box, low - AT_BOX < at < high + AT_BOX))
            lane = self._lanes[horizontal, at] = _Lane(near)
            for net, piece in self.taken:
                _enter(lane, horizontal, at, net, piece)
        return lane

    def cost(self, nets: Collection[Net], way: Way, ends: Sequence[Rect], limit: float) -> float:
        """The faults of a way, beyond its length; not counted on beyond a limit.

        nets  its own, and those of absent boxes;  ends: the boxes of these
        """
        total = 0.0
        for piece in segments(way):
            a, b = piece.a, piece.b
            lane = self._lane(piece.horizontal, piece.at)
            for start, end, box, through in lane.boxes:
                if a < end + NEAR_BOX and b > start - NEAR_BOX and box not in ends:
                    hit = through and a < end + AT_BOX and b > start - AT_BOX
                    total += 100_000 if hit else 20
            for own in ends[:2]:
                if hits(piece, Rect(own.x, own.y, own.w - 2, own.h - 2), 0):
                    total += 100_000
            if total >= limit:
                break
            for net, start, end in lane.along:
                if a < end - 0.5 and start < b - 0.5 and net not in nets:
                    total += 2_000
            for net, where in lane.crossing:
                if a < where < b and net not in nets:
                    total += 30
            if total >= limit:
                break
        return total

    def best(
        self,
        net: Net,
        kinds: Iterable[Iterable[Way]],
        ends: Sequence[Rect],
        absent: Sequence[Any] = (),
        own: Sequence[Net] = (),
    ) -> Way:
        """The best of some ways, of the first kind that has a clean one; it is then taken."""
        nets = {net, *own, *(((key, 0), 0) for key in absent)}
        ends = [*ends, *(self.named[key] for key in absent)]
        chosen: Way = []
        lowest = inf
        for ways in map(list, kinds):
            ranked = sorted([(_distance(way), i) for i, way in enumerate(ways)])
            for distance, i in ranked:
                if distance >= lowest:
                    break
                way = simplified(ways[i])
                base = distance + CORNER_COST * (len(way) - 2)
                if base < lowest:
                    value = base + self.cost(nets, way, ends, lowest - base)
                    if value < lowest:
                        chosen, lowest = way, value
            if lowest < FOUL:
                break
        self.take(net, chosen)
        return chosen

    def link(self, net: Net, a: Rect, b: Rect, absent: Sequence[Any] = ()) -> Way:
        """From one box to another, where some others are absent."""
        kinds = (self._simple(a, b), self._winding(a, b), self._winding(a, b, inf))
        return self.best(net, kinds, (a, b), absent)

    def _near(self, *xs: float) -> list[float]:
        """The free vertical lines between some places and just beside them."""
        low, high = min(xs) - self.reach, max(xs) + self.reach
        return [x for x in self.channels if low <= x <= high]

    def _rows(self, *ys: float, reach: float = ROW_REACH) -> list[float]:
        """The free horizontal lines between some places and beside them."""
        return [y for y in self.tracks if min(ys) - reach <= y <= max(ys) + reach]

    def _simple(self, a: Rect, b: Rect) -> Iterator[Way]:
        """Ways with at most two corners."""
        rows = self._rows(a.y, b.y)
        for xa, xb in _sides(a, b):
            if a.y == b.y:
                yield [(xa, a.y), (xb, b.y)]
            for x in self._near(xa, xb):
                yield [(xa, a.y), (x, a.y), (x, b.y), (xb, b.y)]
        for xb, yb in _ports(b):
            for xa in (a.left, a.right):
                yield [(xa, a.y), (xb, a.y), (xb, yb)]
            for ya in (a.top, a.bottom):
                if a.x == xb:
                    yield [(a.x, ya), (xb, yb)]
            for xa, ya in _ports(a):
                for y in rows:
                    yield [(xa, ya), (xa, y), (xb, y), (xb, yb)]
        for xa, ya in _ports(a):
            for xb in (b.left, b.right):
                yield [(xa, ya), (xa, b.y), (xb, b.y)]

    def _winding(self, a: Rect, b: Rect, reach: float = ROW_REACH) -> Iterator[Way]:
        """Ways with three and four corners."""
        for y in self._rows(a.y, b.y, reach=reach):
            for x in self._near(a.x):
                xa = a.right if x > a.x else a.left
                for xb, yb in _ports(b):
                    yield [(xa, a.y), (x, a.y), (x, y), (xb, y), (xb, yb)]
                for x2 in self._near(b.x):
                    xb = b.right if x2 > b.x else b.left
                    yield [(xa, a.y), (x, a.y), (x, y), (x2, y), (x2, b.y), (xb, b.y)]
            for x in self._near(b.x):
                xb = b.right if x > b.x else b.left
                for ya in (a.top, a.bottom):
                    yield [(a.x, ya), (a.x, y), (x, y), (x, b.y), (xb, b.y)]

    def drop(self, net: Net, y: float, b: Rect, own: Sequence[Net] = ()) -> Way:
        """From somewhere on a horizontal rail to a box; it may lie on lines of its own nets."""
        straight = ([(x, y), (x, end)] for x, end in _ports(b) if (end == b.bottom) == (y > b.y))
        return self.best(net, (straight, self._winding_drops(y, b)), (b,), own=own)

    def _winding_drops(self, y: float, b: Rect) -> Iterator[Way]:
        for x in self._near(b.x):
            yield [(x, y), (x, b.y), (b.left if x < b.x else b.right, b.y)]
            for track in self._rows(y, b.y):
                for xb, yb in _ports(b):
                    yield [(x, y), (x, track), (xb, track), (xb, yb)]


NEAR_BOX, AT_BOX, BESIDE = 10.0, 3.0, 4.0
"""How near is near: to a box, so near that it counts as through it, and beside another line."""
STEP_GAP = 30.0
"""Between the last box of a step and the first of the next."""
NEAR = (0.5, 0.25, 0.75)
"""Where lines may run in a gap, in parts of it."""
PORT_PITCH = 24.0
"""How far apart lines enter a wide box."""
CORNER_COST = 25.0
FOUL = 2_000
"""From here on a way runs along another or through a box."""


def _enter(lane: _Lane, horizontal: bool, at: float, net: Net, piece: Segment) -> None:
    """Tell a line of a piece that was taken."""
    if piece.horizontal != horizontal:
        if piece.a < at < piece.b:
            lane.crossing.append((net, piece.at))
    elif abs(piece.at - at) < BESIDE:
        lane.along.append((net, piece.a, piece.b))


def _sides(a: Rect, b: Rect) -> list[tuple[float, float]]:
    if b.x >= a.x - 1:
        return [(a.right, b.left)]
    return [(xa, xb) for xa in (a.left, a.right) for xb in (b.right, b.left)]


def _ports(b: Rect) -> list[Point]:
    """Where a box can be entered from above and from below."""
    if b.round or b.w < 4 * PORT_PITCH:
        beside = (b.w - b.h) / 2 if b.round else 0.28 * b.w
        shifts = [0.0] if beside < 8 or b.w < 34 else [0.0, -beside, beside]
    else:
        n = min(int(0.42 * b.w / PORT_PITCH), 4)
        shifts = [PORT_PITCH * k for k in range(-n, n + 1)]
    return [(b.x + dx, y) for dx in shifts for y in (b.top, b.bottom)]


def _distance(way: Way) -> float:
    length = 0.0
    x1, y1 = way[0]
    for x2, y2 in way:
        length += abs(x1 - x2) + abs(y1 - y2)
        x1, y1 = x2, y2
    return length
