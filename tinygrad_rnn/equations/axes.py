"""Axes that have one size because of what they are, not by chance.

A size is written with a letter, H or I, where it is that of the state or of the input. That two
axes have 4 entries each does not make them the same; that one is added to the other does. Every
operation of a record says which of its axes go together, and a letter given to one axis is that of
all that belong to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..graph import Node, Shape
from ..tensor import Tensor
from . import vocabulary as V
from .simplify import by_entries

Axis = tuple[Node, int, int]
"""A node, which of its outputs, and which axis of that."""
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
        self._letters: dict[Axis, str] = {}
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
        free = [axis for axis in found if axis not in self._letters]
        for k, axis in enumerate(free, start=1):
            self._letters[axis] = letter if len(free) == 1 else f"{letter}_{k}"

    def letter(self, axis: Axis) -> str | None:
        """The letter of an axis."""
        return self._letters.get(self.of(axis))

    # -- operations ------------------------------------------------------------------------------

    def _join(self, a: Axis, b: Axis) -> None:
        """Two axes belong together, unless one is broadcast to the other."""
        sizes = [node.output(port)[0][axis] for node, port, axis in (a, b)]
        if sizes[0] == sizes[1] != 1:
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
        elif op.notation.form == "total" or op.kind == "reduction":
            self._reduced(whole, known[0], axis)
        elif op.kind == "structural" and len(given) == 1:
            self._copied(node, known[0], first, shape)
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


__all__ = ["Axes", "Axis"]
