"""Axes that have one size by their meaning, not by chance.

A size is written with a letter, H or I, where it is that of the state or of the input. That two
axes have 4 entries each does not make them the same; that one is added to the other does. Every
operation of a record says which of its axes go together, and a letter given to one axis is that of
all that belong to it.

Sizes of parts follow from there: three parts of H entries that make up a whole axis make it 3H, and
the second one begins at H. A part whose entries meet nothing of a known size has a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..graph import Node, Shape
from ..tensor import Tensor
from . import vocabulary as V
from .simplify import by_entries
from .sizes import NOTHING, Count, Size

Axis = tuple[Node, int, int]
"""A node, which of its outputs, and which axis of that."""
Part = tuple[int, int, Axis | None]
"""From which entry of an axis to which, and the axis that these are, if it is in the record."""
PROBED = 4096
"""Structural operations on more entries are not looked into."""


class Axes:
    """The axes of a record, put together by its operations.

    record      its nodes
    cotangents  of nodes: their axes are those of the node
    same        further pairs of tensors of one shape
    """

    def __init__(
        self,
        record: Iterable[Node],
        cotangents: dict[Node, Any],
        same: Iterable[tuple[Tensor, Tensor]],
    ) -> None:
        self._parent: dict[Axis, Axis] = {}
        self._parts: dict[Axis, list[Part]] = {}
        self._products: list[tuple[Axis, list[Axis]]] = []
        self._of_factors: dict[tuple[Axis, ...], Axis] = {}
        self._from_the_end: list[tuple[Axis, int]] = []
        self._counts: dict[Axis, Count] = {}
        self._places: dict[Axis, dict[int, Count]] = {}
        for node in record:
            if node.primitive is not None:
                self._read(node)
        for node, g in cotangents.items():
            for port, part in enumerate(g if isinstance(g, list | tuple) else [g]):
                if isinstance(part, Tensor) and part._node is not None:
                    self._alike((node, port), (part._node, part._port))
        for a, b in same:
            if a._node is not None and b._node is not None:
                self._alike((a._node, a._port), (b._node, b._port))

    def of(self, axis: Axis) -> Axis:
        """One axis that stands for all that belong together."""
        while axis in self._parent:
            axis = self._parent[axis]
        return axis

    def name(self, letter: str, tensors: Iterable[Tensor]) -> None:
        """Give the last axes of some tensors, and all that belong to them, a letter: H, or H_1 and
        H_2 if they do not all belong together. Those that have a letter keep it.
        """
        found: dict[Axis, None] = {}
        for t in tensors:
            if t._node is not None and t.ndim > 1 and t.shape[-1] > 1:
                found[self.of((t._node, t._port, t.ndim - 1))] = None
        free = [axis for axis in found if axis not in self._counts]
        for k, axis in enumerate(free, start=1):
            self._counts[axis] = Count.of(letter if len(free) == 1 else f"{letter}_{k}")

    def count(self, axis: Axis, count: Count) -> None:
        """Say how many entries an axis has."""
        self._counts.setdefault(self.of(axis), count)

    def size(self, axis: Axis) -> int:
        """The size of an axis, with its letters as far as they are known."""
        count, places = self._counts.get(self.of(axis)), self._places.get(self.of(axis))
        return Size(_size(axis), count, places) if count or places else _size(axis)

    # -- sums and products -----------------------------------------------------------------------

    def solve(self) -> None:
        """Find all sizes and places that follow from those that are known."""
        parts: dict[Axis, list[Part]] = {}
        for axis, found in self._parts.items():
            own = parts.setdefault(self.of(axis), [])
            for start, stop, part in found:
                of = None if part is None else self.of(part)
                if (start, stop, of) not in own:
                    own.append((start, stop, of))
        products = dict.fromkeys(
            (self.of(whole), tuple(map(self.of, factors))) for whole, factors in self._products
        )
        while True:
            before = self._known()
            for axis, k in self._from_the_end:
                count = self._counts.get(self.of(axis))
                if count is not None:
                    places = self._places.setdefault(self.of(axis), {})
                    places.setdefault(_size(axis) + k, count.plus(Count({(): k})))
            for axis, own in parts.items():
                self._add_up(axis, own)
            if self._known() == before:
                for whole, factors in products:
                    self._multiply(whole, factors)
            if self._known() == before:
                for axis, own in parts.items():
                    self._begin_at_numbers(axis, own)
            if self._known() == before:
                return

    def _known(self) -> int:
        return len(self._counts) + sum(map(len, self._places.values()))

    def _add_up(self, axis: Axis, parts: list[Part]) -> None:
        """Places along one axis, from the sizes of its parts, and the other way round."""
        n, places = _size(axis), self._places.setdefault(axis, {})
        places.setdefault(0, NOTHING)
        if axis in self._counts:
            places.setdefault(n, self._counts[axis])
        for start, stop, part in parts:
            size = None if part is None else self._counts.get(part)
            if size is not None and stop in places:
                places.setdefault(start, places[stop].plus(size, -1))
            if size is None and stop - start == 1:
                size = Count({(): 1})  # one entry more; the last but one may have another origin
            if size is not None and start in places:
                places.setdefault(stop, places[start].plus(size))
            if part is None or start not in places:
                continue
            if stop in places and stop - start > 1:
                self._counts.setdefault(part, places[stop].plus(places[start], -1))
            inner = self._places.setdefault(part, {})
            for k, count in list(places.items()):
                if start < k < stop:
                    inner.setdefault(k - start, count.plus(places[start], -1))
            for k, count in list(inner.items()):
                places.setdefault(start + k, places[start].plus(count))
        if n in places and n > 1:
            self._counts.setdefault(axis, places[n])
        self._share(axis, parts)

    def _share(self, axis: Axis, parts: list[Part]) -> None:
        """A known axis that is made up of equal parts, among them."""
        row = sorted({part[:2]: part for part in parts}.values(), key=lambda part: part[:2])
        ends = [0, *(stop for _, stop, _ in row)]
        same = {part for _, _, part in row}
        if axis not in self._counts or len(same) > 1 or [p[0] for p in row] != ends[:-1]:
            return
        (part,) = same or {None}
        if part is not None and ends[-1] == _size(axis) and _size(part) > 1:
            self._counts.setdefault(part, self._counts[axis].over(len(row)))

    def _begin_at_numbers(self, axis: Axis, parts: list[Part]) -> None:
        """A part that begins at an entry of unknown origin begins at that number: of [:, 1:] there
        are H - 1."""
        for start, stop, part in parts:
            if part is not None and part not in self._counts and stop in self._places[axis]:
                self._places[axis].setdefault(start, Count({(): start}))

    def _multiply(self, whole: Axis, factors: Iterable[Axis]) -> None:
        """An axis that others were joined to, or parted from; numbers count how often. Two such
        axes with the same factors are of one size."""
        known = [self._counts[f] for f in factors if f in self._counts]
        rest = [_size(f) for f in factors if f not in self._counts]
        same = self._of_factors.setdefault(tuple(factors), whole)
        if whole not in self._counts and same in self._counts:
            self._counts[whole] = self._counts[same]
        elif same not in self._counts and whole in self._counts:
            self._counts[same] = self._counts[whole]
        elif whole not in self._counts and known:
            count = Count({(): int(np.prod(rest, dtype=int))})
            for factor in known:
                count = count.times(factor)
            self._counts[whole] = count

    # -- operations ------------------------------------------------------------------------------

    def _join(self, a: Axis, b: Axis) -> None:
        """Two axes belong together, unless one is broadcast to the other."""
        if _size(a) == _size(b) != 1:
            a, b = self.of(a), self.of(b)
            if a != b:
                self._parent[b] = a

    def _alike(self, a: tuple[Node, int], b: tuple[Node, int]) -> None:
        """Axes counted from the last one."""
        m, n = (len(node.output(port)[0]) for node, port in (a, b))
        for k in range(1, min(m, n) + 1):
            self._join((*a, m - k), (*b, n - k))

    def _read(self, node: Node) -> None:
        op = node.primitive
        assert op is not None
        whole = (node, 0)
        given = [
            None if source is None else (source, port)
            for source, port in zip(node.inputs, node.ports, strict=True)
        ]
        known = [value for value in given if value is not None]
        if not known:
            return
        shape, first = node.output(0)[0], known[0][0].output(known[0][1])[0]
        axis: Any = node.params.get("axis")
        if by_entries(op):
            for value in known:
                self._alike(whole, value)
        elif op is V.MATMUL:
            self._product(whole, given)
        elif op is V.EINSUM:
            letters = [node.params[key] for key in ("left", "right")]
            self._lettered([*zip(given, letters, strict=True), (whole, node.params["to"])])
        elif op in (V.CONCATENATE, V.STACK, V.UNSTACK, V.SPLIT):
            parts = [(node, port) for port in range(len(node.shape) if op.multiple else 1)]
            apart = op in (V.STACK, V.UNSTACK)
            axis %= len(shape) + (op is V.UNSTACK)
            for value in known:
                for part in parts:
                    pair = (value, part) if op in (V.STACK, V.CONCATENATE) else (part, value)
                    self._beside(*pair, axis, apart)
            if op is V.SPLIT:
                along = [(*output, axis) for output in parts]
                self._in_a_row((*known[0], axis), along)
                if not isinstance(node.params["at"], list | tuple):  # into equal sections
                    for own in along[1:]:
                        self._join(along[0], own)
            elif op is V.CONCATENATE:
                held = node.saved or ()
                parts_of = [
                    np.shape(held[i])[axis] if value is None else (*value, axis)
                    for i, value in enumerate(given)
                ]
                self._in_a_row((*whole, axis), parts_of)
        elif op in (V.TAKE_ALONG_AXIS, V.PUT_ALONG_AXIS) and len(known) == 2:
            x, positions = known
            picked, within = (whole, x) if op is V.TAKE_ALONG_AXIS else (x, whole)
            self._alike(picked, positions)
            self._beside(picked, within, axis % len(shape), False)
        elif op.notation.form == "total" or op.kind == "reduction":
            self._reduced(whole, known[0], axis)
        elif op.kind == "structural" and len(given) == 1:
            self._copied(node, known[0], first, shape)
            if op is V.RESHAPE:
                self._folded(known[0], whole)
            elif op is V.GETITEM:
                self._cut(known[0], whole, node.params["index"])
            elif op is V.SCATTER:
                self._cut(whole, known[0], node.params["index"])
        elif shape == first and len(known) == 1:
            self._alike(whole, known[0])

    def _product(self, whole: Any, given: list[Any]) -> None:
        shapes = [None if v is None else v[0].output(v[1])[0] for v in given]
        a, b = given
        m, n = (len(s) if s is not None else 0 for s in shapes)
        k = len(whole[0].output(0)[0])
        if a and b:
            self._join((*a, m - 1), (*b, max(n - 2, 0)))
        if a and m > 1:
            self._join((*whole, k - (1 if n == 1 else 2)), (*a, m - 2))
        if b and n > 1:
            self._join((*whole, k - 1), (*b, n - 1))
        for value, size in ((a, m), (b, n)):
            for j in range(3, size + 1):
                if value and k >= j:
                    self._join((*whole, k - j), (*value, size - j))

    def _lettered(self, values: list[tuple[Any, str]]) -> None:
        first: dict[str, Axis] = {}
        for value, letters in values:
            for i, letter in enumerate(letters if value else ""):
                self._join(first.setdefault(letter, (*value, i)), (*value, i))

    def _beside(self, part: Any, whole: Any, axis: int, apart: bool) -> None:
        """The axes of a part and of the whole, without the one that it is a part along."""
        n = len(whole[0].output(whole[1])[0])
        others = [k for k in range(n) if k != axis]
        for i, k in enumerate(others):
            self._join((*part, i if apart else k), (*whole, k))

    def _in_a_row(self, whole: Axis, parts: Iterable[Axis | int]) -> None:
        """Parts that make up an axis one after the other; a number is one of no axis here."""
        at = 0
        for part in parts:
            n, of = (part, None) if isinstance(part, int) else (_size(part), part)
            self._parts.setdefault(whole, []).append((at, at + n, of))
            at += n

    def _cut(self, whole: Any, part: Any, index: Any) -> None:
        """Ranges of the axes of an array, which an index takes."""
        for i, j, entries in taken_ranges(index, len(whole[0].output(whole[1])[0])):
            start, stop, step = entries.indices(_size((*whole, i)))
            if step == 1 and start < stop:
                self._parts.setdefault((*whole, i), []).append((start, stop, (*part, j)))
                ends = [k for k in (entries.start, entries.stop) if k is not None and k < 0]
                self._from_the_end.extend(((*whole, i), int(k)) for k in ends)

    def _folded(self, before: Any, after: Any) -> None:
        """Axes that are joined to one, or parted, by a reshape."""
        left, right = (
            [axis for k in range(len(v[0].output(v[1])[0])) if _size(axis := (*v, k)) != 1]
            for v in (before, after)
        )
        while left and right:
            ones, others = [left.pop(0)], [right.pop(0)]
            while (m := _sizes(ones)) != (n := _sizes(others)):
                (ones if m < n else others).append((left if m < n else right).pop(0))
            for few, many in ((ones, others), (others, ones)):
                if len(few) == 1 < len(many):
                    self._products.append((few[0], many))

    def _reduced(self, whole: Any, value: Any, axis: Any) -> None:
        n, m = (len(v[0].output(v[1])[0]) for v in (value, whole))
        axes = range(n) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
        gone = {a % n for a in axes}
        rest = [k for k in range(n) if k not in gone]
        if m == n:
            for k in rest:
                self._join((*whole, k), (*value, k))
        elif m == len(rest):
            for i, k in enumerate(rest):
                self._join((*whole, i), (*value, k))

    def _copied(self, node: Node, value: Any, before: Shape, after: Shape) -> None:
        """Entries at other places: an axis is the same if its positions come out in a row."""
        assert node.primitive is not None
        if np.prod(before) > PROBED or np.prod(after) > PROBED or not (before and after):
            return
        try:
            places = [node.primitive.value(at, **node.params) for at in np.indices(before)]
        except (TypeError, ValueError, IndexError):
            return
        for j, n in enumerate(after):
            row = np.arange(n).reshape([-1 if k == j else 1 for k in range(len(after))])
            for i, place in enumerate(places):
                if before[i] == n > 1 and np.shape(place) == after and (place == row).all():
                    self._join((node, 0, j), (*value, i))


def _size(axis: Axis) -> int:
    node, port, k = axis
    return int(node.output(port)[0][k])


def _sizes(axes: Iterable[Axis]) -> int:
    return math.prod(map(_size, axes))


def taken_ranges(index: Any, ndim: int) -> list[tuple[int, int, slice]]:
    """The slices of an index that is made of numbers, slices, None and ... only: the axis that each
    is taken from, the axis of the result, and the slice. Nothing for an index of other kinds.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    kinds = (slice, int, np.integer, type(None), type(...))
    if not all(isinstance(part, kinds) and not isinstance(part, bool) for part in parts):
        return []
    missing = ndim - sum(part is not None and part is not Ellipsis for part in parts)
    at = next((k for k, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[at : at + 1] = [slice(None)] * missing
    found, i, j = [], 0, 0
    for part in parts:
        if isinstance(part, slice):
            found.append((i, j, part))
        i += part is not None
        j += part is None or isinstance(part, slice)
    return found


__all__ = ["Axes", "Axis", "taken_ranges"]
