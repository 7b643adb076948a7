"""Ways for links: horizontal and vertical pieces that avoid boxes and each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

Point = tuple[float, float]
Way = list[Point]


class Rect(NamedTuple):
    """A box: its centre and its size. y grows downwards."""

    x: float
    y: float
    w: float
    h: float

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
        return Rect(self.x + dx, self.y + dy, self.w, self.h)


class Segment(NamedTuple):
    """A straight piece of a way, from a to b along the line at `at`."""

    horizontal: bool
    at: float
    a: float
    b: float


def segments(way: Sequence[Point]) -> Iterator[Segment]:
    """The straight pieces of a way."""
    for (x1, y1), (x2, y2) in zip(way, way[1:], strict=False):
        if y1 == y2:
            yield Segment(True, y1, min(x1, x2), max(x1, x2))
        else:
            yield Segment(False, x1, min(y1, y2), max(y1, y2))


def hits(piece: Segment, box: Rect, margin: float = 3.0) -> bool:
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


def crosses(p: Segment, q: Segment) -> bool:
    """Whether two pieces cross at right angles."""
    return p.horizontal != q.horizontal and p.a < q.at < p.b and q.a < p.at < q.b


def overlaps(p: Segment, q: Segment) -> bool:
    """Whether two pieces lie on, or hardly beside, each other."""
    return (
        p.horizontal == q.horizontal
        and abs(p.at - q.at) < 4
        and p.a < q.b - 0.5
        and q.a < p.b - 0.5
    )


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


class Router:
    """Finds ways in one step, and remembers what is taken.

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
        self.boxes = list(boxes.values())
        self.pitch = pitch
        self.channels = channels
        self.tracks = tracks
        self.taken: list[tuple[Any, Segment]] = []

    def take(self, net: Any, way: Sequence[Point]) -> None:
        """Remember a way; here, and in the steps before and after."""
        for piece in segments(way):
            for shift in (0.0, -self.pitch, self.pitch) if self.pitch else (0.0,):
                if piece.horizontal:
                    moved = piece._replace(a=piece.a + shift, b=piece.b + shift)
                else:
                    moved = piece._replace(at=piece.at + shift)
                self.taken.append((net, moved))

    def cost(self, net: Any, way: Way, ends: Sequence[Rect]) -> float:
        """What is wrong with a way beyond its length and its corners."""
        total = 0.0
        for piece in segments(way):
            for box in self.boxes:
                for shift in (0.0, -self.pitch, self.pitch) if self.pitch else (0.0,):
                    moved = box.moved(shift) if shift else box
                    if hits(piece, moved) and not any(moved == end for end in ends):
                        total += 10_000
            for end in ends:
                inner = Rect(end.x, end.y, end.w - 2, end.h - 2)
                if hits(piece, inner, 0):
                    total += 10_000
            for other, taken in self.taken:
                if other != net:
                    if overlaps(piece, taken):
                        total += 2_000
                    elif crosses(piece, taken):
                        total += 30
        return total

    def best(self, net: Any, ways: Iterable[Way], ends: Sequence[Rect]) -> Way:
        """The best of some ways; it is taken from now on."""
        ranked = sorted(((_length(way), i, way) for i, way in enumerate(map(simplified, ways))))
        chosen, lowest = ranked[0][2], float("inf")
        for base, _, way in ranked:
            if base >= lowest:
                break
            value = base + self.cost(net, way, ends)
            if value < lowest:
                chosen, lowest = way, value
        self.take(net, chosen)
        return chosen

    def link(self, net: Any, a: Rect, b: Rect) -> Way:
        """From one box to another."""
        return self.best(net, self._ways(a, b), (a, b))

    def _ways(self, a: Rect, b: Rect) -> Iterator[Way]:
        forwards = b.x >= a.x - 1
        sides_a = [a.right] if forwards else [a.left, a.right]
        sides_b = [b.left] if forwards else [b.right, b.left]
        ports_a = [(a.x, a.top), (a.x, a.bottom)]
        ports_b = [
            (b.x + dx, y)
            for dx in ((0.0,) if b.w < 34 else (0.0, -0.28 * b.w, 0.28 * b.w))
            for y in (b.top, b.bottom)
        ]
        for xa in sides_a:
            for xb in sides_b:
                if a.y == b.y:
                    yield [(xa, a.y), (xb, b.y)]
                for x in self.channels:
                    yield [(xa, a.y), (x, a.y), (x, b.y), (xb, b.y)]
            for xb, yb in ports_b:
                yield [(xa, a.y), (xb, a.y), (xb, yb)]
                for y in self.tracks:
                    for x in self.channels:
                        yield [(xa, a.y), (x, a.y), (x, y), (xb, y), (xb, yb)]
        for xa, ya in ports_a:
            for xb in sides_b:
                yield [(xa, ya), (xa, b.y), (xb, b.y)]
                for y in self.tracks:
                    for x in self.channels:
                        yield [(xa, ya), (xa, y), (x, y), (x, b.y), (xb, b.y)]
            for xb, yb in ports_b:
                if xa == xb:
                    yield [(xa, ya), (xb, yb)]
                for y in self.tracks:
                    yield [(xa, ya), (xa, y), (xb, y), (xb, yb)]

    def drop(self, net: Any, y: float, b: Rect) -> Way:
        """From somewhere on a horizontal rail to a box."""
        return self.best(net, self._drops(y, b), (b,))

    def _drops(self, y: float, b: Rect) -> Iterator[Way]:
        edge = b.bottom if y > b.y else b.top
        for dx in (0.0,) if b.w < 34 else (0.0, -0.28 * b.w, 0.28 * b.w):
            yield [(b.x + dx, y), (b.x + dx, edge)]
        for x in self.channels:
            yield [(x, y), (x, b.y), (b.left if x < b.x else b.right, b.y)]
            for track in self.tracks:
                for dx in (0.0, -0.28 * b.w):
                    for end in (b.top, b.bottom):
                        yield [(x, y), (x, track), (b.x + dx, track), (b.x + dx, end)]


def _length(way: Way) -> float:
    length = sum(
        abs(x1 - x2) + abs(y1 - y2) for (x1, y1), (x2, y2) in zip(way, way[1:], strict=False)
    )
    return length + 25.0 * (len(way) - 2)
