"""Rounding made visible: every result of an operation is off by a little, at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Inspector, Node, Place, State, _Setting
from ..ops.primitives import ADD, DIVIDE, MULTIPLY, NEGATIVE, SUBTRACT
from ..primitive import Primitive

ARITHMETIC = (ADD, SUBTRACT, NEGATIVE, MULTIPLY, DIVIDE)
WHOLE = 2.0**24
"""Whole numbers below this are numbers of float32 too."""


class _Rounding(Inspector):
    """Multiplies results by random numbers close to 1, in place: the one inspector that does."""

    def __init__(self, size: float, seed: int) -> None:
        self._size = size
        self._rng = np.random.default_rng(seed)

    def operation(
        self, primitive: Primitive, place: Place, values: Sequence[Any], y: Any, node: Node | None
    ) -> None:
        if primitive.multiple or primitive.kind == "structural":
            return  # parts of a value: nothing is computed
        if not any(y is value or np.may_share_memory(y, value) for value in values):
            self._round(y, _exact(primitive, values, y))

    def cotangent(self, node: Node, part: Any, g: Any) -> None:
        if part is not g and not isinstance(g, list | tuple) and not np.may_share_memory(part, g):
            self._round(part)

    def _round(self, y: Any, exact: Any = False) -> None:
        if type(y) is np.ndarray and y.dtype.kind == "f" and y.base is None and y.flags.writeable:
            y *= 1 + self._size * self._rng.uniform(-1, 1, y.shape) * ~np.asarray(exact)


def _exact(primitive: Primitive, values: Sequence[Any], y: Any) -> Any:
    """Which entries of a result have no rounding in any precision: whole numbers made of whole
    numbers, as those of a counter, and functions with steps.
    """
    if primitive.kind == "flat":
        return True
    if primitive not in ARITHMETIC:
        return False
    whole: Any = _whole(y)
    for value in values:
        whole = whole & _whole(value)
    return whole


def _whole(x: Any) -> Any:
    x = np.asarray(x)
    return (np.abs(x) < WHOLE) & (x == np.floor(x))


class rounded(_Setting):  # noqa: N801 - reads as a statement: `with rounded(1e-7, 0):`
    """Every result computed in this block, forward and backward, is off by a random factor.

    size   the factor lies within 1 +- size
    seed   of the random numbers
    """

    __slots__ = ("_inspector",)

    def __init__(self, size: float, seed: int) -> None:
        self._inspector = _Rounding(size, seed)

    def _changed(self, outer: State) -> State:
        inspectors = (*outer.inspectors, self._inspector)
        return State(outer.place, outer.recording, inspectors, self, outer)


__all__ = ["rounded"]
