"""Products of many entries, and running sums, products and extremes along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..notation import Notation, call
from ..primitive import apply, flat, general, linear
from .elementwise import multiply
from .index import section, take_along_axis
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


def _later(x: Any, axis: int, first: float) -> Any:
    """x one place later along an axis, which begins with a number."""
    shape = [*x.shape]
    shape[axis] = 1
    return concatenate([np.full(shape, first, x.dtype), section(x, axis, None, -1)], axis)


def _ahead_value(a: Any, x: Any, axis: int) -> Any:
    """y[i] = x[i] + a[i+1] y[i+1], in log2(n) passes (Hillis & Steele 1986)."""
    y = np.flip(np.moveaxis(x, axis, -1), -1)
    turned = np.flip(np.moveaxis(a, axis, -1), -1)
    decay = np.concatenate([np.zeros_like(turned[..., :1]), turned[..., :-1]], -1)
    step = 1
    while step < y.shape[-1]:
        later = y[..., step:] + decay[..., step:] * y[..., :-step]
        y = np.concatenate([y[..., :step], later], -1)
        decay = np.concatenate([decay[..., :step], decay[..., step:] * decay[..., :-step]], -1)
        step *= 2
    return np.moveaxis(np.flip(y, -1), -1, axis)


def _behind(a: Any, x: Any, axis: int) -> Any:
    """y[i] = x[i] + a[i] y[i-1]."""
    turned = _later(flip(a, axis), axis, 0)
    return flip(apply(_ahead, (turned, flip(x, axis)), {"axis": axis}), axis)


_ahead = general(
    "discounted",
    _ahead_value,
    (
        lambda g, a, y, axis: _later(_behind(a, g, axis), axis, 0) * y,
        lambda g, a, axis: _behind(a, g, axis),
    ),
    notation=call(
        numpy="""\
y, a = np.moveaxis(np.array(x), axis, 0), np.moveaxis(a, axis, 0)
for i in range(len(y) - 2, -1, -1):
    y[i] += a[i + 1] * y[i + 1]
return np.moveaxis(y, 0, axis)"""
    ),
)


@of_one(
    "y[i] = x[0] * ... * x[i]",
    "sum over j >= i of g[j] times the product of x[0..j] without x[i]",
    "Right where entries are 0 too.",
)
def cumprod(x: Any, axis: int | None = None) -> Any:
    """Running products along an axis; without one, of x as one row.

    >>> import tinygrad_rnn as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2., 6.], dtype=float32)
    """
    x, axis = _along("cumprod", x, axis)
    return apply(_cumprod, (x,), {"axis": axis})


_cumprod = general(
    "cumprod",
    lambda x, axis: np.cumprod(x, axis),
    lambda g, x, y, axis: _later(y, axis, 1) * apply(_ahead, (x, g), {"axis": axis}),
    notation=call(numpy="np.cumprod"),
)


def _as_rows(x: Any, axis: Axis) -> tuple[Any, Any]:
    """The axes in question as one, the last one; and how to part them again."""
    ndim = x.ndim
    axes = range(ndim) if axis is None or not ndim else (axis,) if isinstance(axis, int) else axis
    last = [a % ndim for a in axes]
    order = [a for a in range(ndim) if a not in last] + last
    moved = transpose(x, order)
    back = tuple(np.argsort(order).tolist())
    rows = reshape(moved, (*moved.shape[: ndim - len(last)], -1))
    return rows, lambda rows: transpose(reshape(rows, moved.shape), back)


def _before(rows: Any) -> Any:
    """The product of the entries before each."""
    return _later(cumprod(rows, -1), rows.ndim - 1, 1)


def _pull_before(g: Any, rows: Any) -> Any:
    last = rows.ndim - 1
    none = np.zeros((*rows.shape[:-1], 1), rows.dtype)
    later = concatenate([section(g, last, 1, None), none], last)
    return _before(rows) * apply(_ahead, (rows, later), {"axis": last})


def _others_value(x: Any, axis: Axis) -> Any:
    if not x.size:
        return x
    rows, back = _as_rows(x, axis)
    return back(_before(rows) * flip(_before(flip(rows, -1)), -1))


def _pull_others(g: Any, x: Any, axis: Axis) -> Any:
    if not values(x).size:
        return g
    (rows, back), (g, _) = _as_rows(x, axis), _as_rows(g, axis)
    turned = flip(rows, -1)
    one = _pull_before(g * flip(_before(turned), -1), rows)
    return back(one + flip(_pull_before(flip(g * _before(rows), -1), turned), -1))


_others = general(
    "prod_others",
    _others_value,
    _pull_others,
    notation=call(
        numpy="""\
axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
last = range(-len(axes), 0)
moved = np.moveaxis(x, axes, last)
rows = moved.reshape(*moved.shape[:x.ndim - len(axes)], 1, -1)
others = np.prod(np.where(np.eye(rows.shape[-1]), 1, rows), axis=-1)
return np.moveaxis(others.reshape(moved.shape), last, axes)"""
    ),
)
"""For each entry, the product of its partners; without a division, so zeros are fine."""


_prod = general(
    "prod",
    lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims),
    lambda g, x, axis: reshape(g, kept(x.shape, axis)) * apply(_others, (x,), {"axis": axis}),
    lambda t, x, axis, keepdims: sum(t * apply(_others, (x,), {"axis": axis}), axis, keepdims),
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
    places = np.arange(x.shape[axis]).reshape([-1] + [1] * (x.ndim - axis % x.ndim - 1))
    new = x == np.maximum.accumulate(x, axis)
    return np.maximum.accumulate(np.where(new, places, 0), axis)


_LATEST = flat(
    "latest_maximum",
    _latest_value,
    notation=call(
        numpy="""\
new = x == np.maximum.accumulate(x, axis)
places = np.arange(x.shape[axis]).reshape([-1] + [1] * (x.ndim - axis % x.ndim - 1))
return np.maximum.accumulate(np.where(new, places, 0), axis)"""
    ),
)
