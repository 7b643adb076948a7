"""Products of many entries, and running sums, products and extremes along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..notation import Notation, call
from ..primitive import apply, flat, general, linear
from .elementwise import multiply
from .index import getitem, take_along_axis
from .join import concatenate
from .reduce import kept, only, sum
from .registry import of_one, values
from .shape import Axis, checked_axis, explain_axis, flip, ravel, reshape, transpose

__all__ = ["cummax", "cumprod", "cumsum", "prod"]


def _along(name: str, x: Any, axis: int | None) -> tuple[Any, int]:
    """x and the axis to run over, or x as one row."""
    if axis is None or not np.ndim(values(x)):  # NumPy lets a number run over axis 0
        x = ravel(x)
    return x, 0 if axis is None else checked_axis(name, axis, x.shape)


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (*([slice(None)] * axis), slice(start, stop)))


@of_one("y[i] = x[0] + ... + x[i]", "g[i] + g[i+1] + ... + g[n-1]")
def cumsum(x: Any, axis: int | None = None) -> Any:
    """Running sums along an axis; without one, of x as one row.

    >>> import tinygrad_rnn as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.], dtype=float32)
    """
    x, axis = _along("cumsum", x, axis)
    return apply(_cumsum, (x,), {"axis": axis})


_cumsum = linear(
    "cumsum",
    lambda x, axis: np.cumsum(x, axis),
    lambda g, axis: flip(cumsum(flip(g, axis), axis), axis),
    notation=call(numpy="np.cumsum"),
)


@of_one(
    "y[i] = x[0] * ... * x[i]",
    "sum over j >= i of g[j] times the product of x[0..j] without x[i]",
    "Right where entries are 0 too. Recorded as log2(n) products (Hillis & Steele 1986).",
)
def cumprod(x: Any, axis: int | None = None) -> Any:
    """Running products along an axis; without one, of x as one row.

    >>> import tinygrad_rnn as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2., 6.], dtype=float32)
    """
    x, axis = _along("cumprod", x, axis)
    if not hasattr(x, "_value"):  # an array
        return np.cumprod(x, axis)
    step = 1
    while step < x.shape[axis]:
        # x[i] is the product of `step` entries up to i; after this, of twice as many
        longer = _part(x, axis, step, None) * _part(x, axis, None, -step)
        x = concatenate([_part(x, axis, None, step), longer], axis)
        step *= 2
    return x


def _others(x: Any, axis: Axis) -> Any:
    """For each entry, the product of its partners; without a division, so zeros are fine."""
    if not values(x).size:
        return x
    ndim = x.ndim
    axes = range(ndim) if axis is None or not ndim else (axis,) if isinstance(axis, int) else axis
    last = [a % ndim for a in axes]
    order = [a for a in range(ndim) if a not in last] + last
    moved = transpose(x, order)
    rows = reshape(moved, (*moved.shape[: ndim - len(last)], -1))
    n = rows.ndim - 1
    one = np.ones((*rows.shape[:-1], 1), x.dtype)
    before = concatenate([one, _part(cumprod(rows, -1), n, None, -1)], -1)
    after = concatenate([one, _part(cumprod(flip(rows, -1), -1), n, None, -1)], -1)
    back = tuple(np.argsort(order).tolist())
    return transpose(reshape(before * flip(after, -1), moved.shape), back)


_prod = general(
    "prod",
    lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims),
    lambda g, x, axis: reshape(g, kept(x.shape, axis)) * _others(x, axis),
    lambda t, x, axis, keepdims: sum(t * _others(x, axis), axis, keepdims),
    notation=Notation("total", "Π", numpy="np.prod"),
    explain=explain_axis,
)


@of_one("product over the axes of x", "g times the product of the others", "Right where x is 0.")
def prod(
    x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True, initial: Any = None
) -> Any:
    """The product over the given axes, or over all.

    where     booleans that broadcast to x: the entries that count
    initial   the start of the product, if not 1

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([0.0, 2.0, 3.0])
    >>> tg.gradients(tg.prod(x), x)
    array([6., 0., 0.], dtype=float32)
    """
    if where is not True:
        x = only(x, where, 1.0)
    y = apply(_prod, (x,), {"axis": axis, "keepdims": keepdims})
    return y if initial is None else multiply(y, initial)


@of_one("y[i] = max(x[0], ..., x[i])", "g[j] added to the entry that y[j] came from")
def cummax(x: Any, axis: int = 0) -> Any:
    """The largest entry so far along an axis; of entries that tie, the latest counts (as PyTorch).

    >>> import tinygrad_rnn as tg
    >>> tg.cummax(tg.tensor([1.0, 3.0, 2.0]))
    tensor([1., 3., 3.], dtype=float32)
    """
    axis = checked_axis("cummax", axis, x.shape)
    return take_along_axis(x, apply(_LATEST, (x,), {"axis": axis}), axis)


def _latest_value(x: Any, axis: int) -> Any:
    places = np.arange(x.shape[axis]).reshape([-1] + [1] * (x.ndim - axis - 1))
    new = x == np.maximum.accumulate(x, axis)
    return np.maximum.accumulate(np.where(new, places, 0), axis)


_LATEST = flat("position of the latest maximum", _latest_value)
