"""Operations that bring a whole axis, or several, down to one entry."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Shape
from ..primitive import apply, linear
from .shape import broadcast_to, reshape

Axis = int | tuple[int, ...] | None


def kept(shape: Shape, axis: Axis) -> Shape:
    """The shape after a reduction that keeps the reduced axes, with size 1."""
    if axis is None:
        return (1,) * len(shape)
    gone = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
    return tuple(1 if i in gone else n for i, n in enumerate(shape))


def _spread(g: Any, shape: Shape, axis: Axis) -> Any:
    return broadcast_to(reshape(g, kept(shape, axis)), shape)


_sum = linear(
    "sum",
    lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
    lambda g, shape, axis: _spread(g, shape, axis),
)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A001 - NumPy's name
    """The sum over the given axes, or over all."""
    return apply(_sum, (x,), {"axis": axis, "keepdims": keepdims})


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over the given axes, or over all."""
    total = sum(x, axis, keepdims)
    return total * (total.size / x.size)
