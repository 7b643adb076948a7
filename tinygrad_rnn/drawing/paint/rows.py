"""Long pictures in several rows, as music is written: a line that ends on the right goes on below.

Nothing is laid out anew. The finished shapes are cut between two steps, and the rest is moved
to the left and down, so every line goes on at the height at which it ended.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ..layout.positions import Column, Layout
from ..layout.route import Point, Way
from .shapes import Group, Plate, Stroke, Words, shifted

BEYOND = 9.0
"""How far a line that is cut goes on beyond the step."""
PARTS = 8
"""Into how many parts the range of widths is divided in which one for all rows is looked for."""
BETWEEN = 26.0
"""Between two rows."""


class Rows:
    """Where a picture is cut, and where its parts are put.

    most    how wide a row may be;  left, pitch: where the picture begins, and how high a row is
    cuts    between the rows;  right: how far the widest row reaches
    """

    def __init__(self, layout: Layout, left: float, right: float, most: float, pitch: float):
        self.pitch = pitch
        steps = layout.columns
        self.indent = steps[0].left if steps else left
        self.cuts = self._cuts(steps, left, right, most)
        count = len(self.cuts)
        narrow = (right - left) / (count + 1)
        for k in range(1, PARTS):  # as many rows, but of one length
            cuts = self._cuts(steps, left, right, narrow + (most - narrow) * k / PARTS)
            if len(cuts) == count:
                self.cuts = cuts
                break
        ends = [*self.cuts, right]
        self.right = max(self._moved(end, k)[0] for k, end in enumerate(ends))

    def _cuts(self, steps: Sequence[Column], left: float, right: float, most: float) -> list[float]:
        cuts: list[float] = []
        start = left
        for before, column in pairwise(steps):
            end = right if column is steps[-1] else column.right
            if end - start > most - (self.indent - left if cuts else 0.0):
                cuts.append(before.right)
                start = before.right
        return cuts

    def __len__(self) -> int:
        return 1 + len(self.cuts)

    def _row(self, x: float) -> int:
        return bisect_right(self.cuts, x - 1e-6)

    def _moved(self, x: float, row: int, y: float = 0.0) -> Point:
        return (x - self.cuts[row - 1] + self.indent, y + row * self.pitch) if row else (x, y)

    def cut(self, groups: list[Group]) -> list[Group]:
        """The same groups in rows."""
        return [replace(g, shapes=[s for shape in g.shapes for s in self._shapes(shape)])
                for g in groups]  # fmt: skip

    def _shapes(self, shape: Any) -> list[Any]:
        if isinstance(shape, Stroke) and not shape.closed:
            pieces = self._pieces(shape.points)
            return [replace(shape, points=way, goes_on=k > 0) for k, way in enumerate(pieces)]
        if isinstance(shape, Stroke):
            x = sum(x for x, _ in shape.points) / len(shape.points)
        else:
            x = shape.rect.x if isinstance(shape, Plate) else shape.x
        dx, dy = self._moved(0.0, self._row(x))
        return [shifted(shape, dx, dy)]

    def _pieces(self, way: Way) -> list[Way]:
        """A way, cut wherever it goes from one row to another.

        One that goes hardly beyond the first step of its row, and back, is not cut.
        """
        row = self._row(way[0][0])
        inner = [x + BEYOND for x, _ in way]
        if row and row == self._row(way[-1][0]) == self._row(min(inner)) == self._row(max(inner)):
            return [[self._moved(x, row, y) for x, y in way]]
        pieces = [[self._moved(way[0][0], row, way[0][1])]]
        for x, y in way[1:]:
            end = self._row(x)
            while row != end:
                on = 1 if end > row else -1
                cut = self.cuts[row if on > 0 else row - 1]
                pieces[-1].append(self._moved(cut + BEYOND * on, row, y))
                row += on
                pieces.append([self._moved(cut - BEYOND * on, row, y)])
            pieces[-1].append(self._moved(x, row, y))
        return pieces

    def labels(self, layout: Layout, size: float) -> list[Group]:
        """The names of rails, where they go on in a row."""
        found = []
        for rail in layout.rails:
            left, right = sorted((rail.start, rail.end))
            shapes: list[Any] = []
            for k, cut in enumerate(self.cuts, start=1):
                if left < cut < right:
                    x, y = self._moved(cut - BEYOND - 5, k, rail.y)
                    name = rail.box.name or rail.box.label
                    shapes.append(Words(x, y, name, size, "soft", "end"))
            if shapes:
                found.append(Group("goes on", "the same parameter", shapes))
        return found


__all__ = ["BETWEEN", "Rows"]
