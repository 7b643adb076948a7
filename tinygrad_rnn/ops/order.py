"""Entries in order of size: the derivative goes to the entries that were picked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import current
from ..notation import call
from ..primitive import Recorded, apply, flat
from .compare import argsort, isnan
from .elementwise import where
from .index import take_along_axis
from .reduce import kept, mean
from .registry import of_one, values
from .shape import Axis, checked_axis, moveaxis, ravel, reshape

__all__ = ["median", "partition", "percentile", "quantile", "sort"]

_TIES = "Of entries that tie, the first has the place before the others."


@of_one("the entries of x, in order", "g, back where the entries came from", _TIES)
def sort(
    x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None
) -> Any:
    """From the smallest to the largest along an axis; without one, of x as one row. NaN comes last.

    kind, stable   as in NumPy; entries that tie keep their order in any case

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([3.0, 1.0, 2.0])
    >>> tg.sort(x)
    tensor([1., 2., 3.], dtype=float32)
    >>> tg.gradients(tg.sort(x)[0], x)
    array([0., 1., 0.], dtype=float32)
    """
    x, axis = (ravel(x), 0) if axis is None else (x, checked_axis("sort", axis, x.shape))
    return take_along_axis(x, argsort(x, axis), axis)


_argpartition = flat(
    "argpartition",
    lambda x, kth, axis: np.argpartition(x, kth, axis),
    notation=call(numpy="np.argpartition"),
)


@of_one("the entries of x, parted at places kth", "g, back where the entries came from")
def partition(x: Any, kth: int | Sequence[int], axis: int | None = -1) -> Any:
    """Entry kth where it would be if sorted, the smaller ones before it, the others behind.

    >>> import tinygrad_rnn as tg
    >>> tg.partition(tg.tensor([3.0, 1.0, 2.0]), 0)[0]
    tensor(1., dtype=float32)
    """
    x, axis = (ravel(x), 0) if axis is None else (x, checked_axis("partition", axis, x.shape))
    return take_along_axis(x, apply(_argpartition, (x,), {"kth": kth, "axis": axis}), axis)


def _rows(x: Any, axis: Axis) -> Any:
    """x with these axes brought together as the last one."""
    if axis is None:
        return ravel(x)
    x = x if x.ndim else reshape(x, (1,))  # NumPy lets a number be reduced over axis 0
    axes = (axis,) if isinstance(axis, int) else axis
    n = math.prod(x.shape[checked_axis("quantile", a, x.shape)] for a in axes)
    rest = x.ndim - len(axes)
    rows = moveaxis(x, axes, range(rest, x.ndim))
    return reshape(rows, (*rows.shape[:rest], n))


def _weight(at: Any, method: str) -> Any:
    """How much of the next entry, for places between two."""
    between = at - np.floor(at)
    match method:
        case "linear":
            return between
        case "lower":
            return 0 * between
        case "higher":
            return np.ceil(between)
        case "midpoint":
            return 0.5 * np.ceil(between)
        case "nearest":
            return np.round(at) - np.floor(at)
    raise ValueError(
        f"quantile{current().place}: method {method!r}; "
        'wanted "linear", "lower", "higher", "midpoint" or "nearest"'
    )


@of_one(
    "between the entries about place q (n - 1) of x in order",
    "g, shared between these two entries",
    _TIES,
)
def quantile(
    x: Any, q: Any, axis: Axis = None, keepdims: bool = False, method: str = "linear"
) -> Any:
    """The value that a share q of the entries lies below, over the given axes, or over all.

    q        a number from 0 to 1 or an array of those, whose axes come first in the result
    method   between two entries: "linear", "lower", "higher", "midpoint" or "nearest"

    NaN where there is a NaN among the entries. Raises ValueError where there are none.

    >>> import tinygrad_rnn as tg
    >>> tg.quantile(tg.tensor([4.0, 1.0, 2.0]), [0.5, 0.75])
    tensor([2., 3.], dtype=float32)
    """
    if isinstance(q, Recorded):
        raise TypeError(f"quantile{current().place}: q is a tensor; wanted plain numbers")
    shares = np.asarray(q, float)
    if not np.all((shares >= 0) & (shares <= 1)):
        raise ValueError(f"quantile{current().place}: q {q}; wanted numbers from 0 to 1")
    rows = _rows(x, axis)
    n = rows.shape[-1]
    if not n:
        raise ValueError(f"quantile{current().place}: no entries, given shape {x.shape}")
    at = shares.ravel() * (n - 1)
    weight = _weight(at, method)
    low = np.floor(at).astype(int)
    high = np.ceil(at).astype(int)
    rows = sort(rows)
    y = rows[..., low]
    if weight.any():
        y = y + weight * (rows[..., high] - y)
    last = rows[..., -1:]  # NaN is sorted behind everything else
    y = moveaxis(where(isnan(last), last, y), -1, 0)
    rest = kept(x.shape, axis) if keepdims else y.shape[1:]
    return reshape(y, (*shares.shape, *rest))


@of_one(
    "between the entries about place q (n - 1) / 100 of x in order",
    "g, shared between these two entries",
)
def percentile(
    x: Any, q: Any, axis: Axis = None, keepdims: bool = False, method: str = "linear"
) -> Any:
    """`quantile` with q from 0 to 100.

    >>> import tinygrad_rnn as tg
    >>> tg.percentile(tg.tensor([4.0, 1.0, 2.0]), 75)
    tensor(3., dtype=float32)
    """
    return quantile(x, np.true_divide(values(q), 100), axis, keepdims, method)


@of_one("the entry of x in the middle, or the mean of the two", "g, shared between those")
def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The value that half the entries lie below: `quantile` at 1/2; nan of no entries, as `mean`.

    >>> import tinygrad_rnn as tg
    >>> tg.median(tg.tensor([4.0, 1.0, 2.0, 8.0]))
    tensor(3., dtype=float32)
    """
    if not np.size(values(x)):
        return mean(x, axis, keepdims)
    return quantile(x, 0.5, axis, keepdims)
