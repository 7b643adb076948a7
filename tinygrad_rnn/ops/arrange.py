"""Stacking, splitting and turning by the names of directions, and more axes: compositions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..graph import Array, Shape, current
from .join import concatenate, split
from .registry import in_parts, of_many, of_one, of_two, operator, shape_of, values
from .shape import checked_axis, flip, moveaxis, reshape, swapaxes

__all__ = [
    "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "column_stack", "dsplit",
    "dstack", "empty_like", "fliplr", "flipud", "full_like", "hsplit", "hstack", "linspace",
    "ones_like", "rollaxis", "rot90", "vsplit", "vstack", "zeros_like",
]  # fmt: skip


def _array(x: Any) -> Any:
    """Lists and numbers as arrays; everything else as it is."""
    return x if hasattr(x, "shape") else np.asarray(x)


def _one_or_all(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


# ------------------------------------------------------------------------------------------------
# More axes


@operator("x with at least one axis", "g in the shape of x")
def atleast_1d(*tensors: Any) -> Any:
    """Numbers as vectors of one entry; of several arguments, a tuple.

    >>> import tinygrad_rnn as tg
    >>> tg.atleast_1d(tg.tensor(2.0))
    tensor([2.], dtype=float32)
    """
    return _one_or_all([x if x.ndim else reshape(x, 1) for x in map(_array, tensors)])


@operator("x with at least two axes", "g in the shape of x")
def atleast_2d(*tensors: Any) -> Any:
    """Vectors as rows (1, n); of several arguments, a tuple.

    >>> import tinygrad_rnn as tg
    >>> tg.atleast_2d(tg.ones(3)).shape
    (1, 3)
    """
    return _one_or_all([x if x.ndim > 1 else reshape(x, (1, -1)) for x in map(_array, tensors)])


@operator("x with at least three axes", "g in the shape of x")
def atleast_3d(*tensors: Any) -> Any:
    """Vectors as (1, n, 1), matrices as (m, n, 1); of several arguments, a tuple.

    >>> import tinygrad_rnn as tg
    >>> tg.atleast_3d(tg.ones(3)).shape
    (1, 3, 1)
    """

    def deep(x: Any) -> Any:
        return x if x.ndim > 2 else reshape(x, (*((1, -1) if x.ndim < 2 else x.shape), 1))

    return _one_or_all([deep(x) for x in map(_array, tensors)])


# ------------------------------------------------------------------------------------------------
# Joining


@of_many("the x_i beside each other", "to each x_i its part of g")
def hstack(tensors: Sequence[Any]) -> Any:
    """Join along axis 1; vectors and numbers along axis 0.

    >>> import tinygrad_rnn as tg
    >>> tg.hstack([tg.ones(2), tg.zeros(1)])
    tensor([1., 1., 0.], dtype=float32)
    """
    wide = [atleast_1d(x) for x in tensors]
    return concatenate(wide, 1 if wide and wide[0].ndim > 1 else 0)


@of_many("the x_i below each other", "to each x_i its part of g")
def vstack(tensors: Sequence[Any]) -> Any:
    """Join along axis 0; vectors are rows.

    >>> import tinygrad_rnn as tg
    >>> tg.vstack([tg.ones(2), tg.zeros(2)])
    tensor([[1., 1.],
            [0., 0.]], dtype=float32)
    """
    return concatenate([atleast_2d(x) for x in tensors])


@of_many("the x_i behind each other", "to each x_i its part of g")
def dstack(tensors: Sequence[Any]) -> Any:
    """Join along axis 2, which matrices and vectors are given first (see `atleast_3d`).

    >>> import tinygrad_rnn as tg
    >>> tg.dstack([tg.ones((2, 3)), tg.ones((2, 3))]).shape
    (2, 3, 2)
    """
    return concatenate([atleast_3d(x) for x in tensors], 2)


@of_many("the x_i as columns", "to each x_i its part of g")
def column_stack(tensors: Sequence[Any]) -> Any:
    """Join along axis 1; vectors are columns.

    >>> import tinygrad_rnn as tg
    >>> tg.column_stack([tg.ones(2), tg.zeros(2)])
    tensor([[1., 0.],
            [1., 0.]], dtype=float32)
    """
    columns = [x if x.ndim > 1 else reshape(x, (-1, 1)) for x in map(_array, tensors)]
    return concatenate(columns, 1)


@of_two("a, then b", "to each its part of g")
def append(a: Any, b: Any, axis: int | None = None) -> Any:
    """`concatenate([a, b], axis)`: without an axis, of both as one row.

    In a loop this copies all that is there already, every time: keep a list and `stack` it.

    >>> import tinygrad_rnn as tg
    >>> tg.append(tg.ones(2), 0.0)
    tensor([1., 1., 0.], dtype=float32)
    """
    return concatenate([_array(a), _array(b)], axis)


# ------------------------------------------------------------------------------------------------
# Split


@in_parts("x in pieces", "the g_i after each other")
def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """`split` that need not come out even: the first sections are longer by one.

    >>> import tinygrad_rnn as tg
    >>> [part.shape for part in tg.array_split(tg.zeros(5), 2)]
    [(3,), (2,)]
    """
    at = indices_or_sections
    if isinstance(at, int | np.integer):
        if at < 1:
            raise ValueError(f"array_split{current().place}: {at} sections; wanted 1 or more")
        size, longer = divmod(x.shape[checked_axis("array_split", axis, x.shape)], int(at))
        at = [k * size + min(k, longer) for k in range(1, at)]
    return split(x, at, axis)


@in_parts("x in pieces", "the g_i beside each other")
def hsplit(x: Any, indices_or_sections: int | Sequence[int]) -> Any:
    """`split` along axis 1; of a vector, along axis 0.

    >>> import tinygrad_rnn as tg
    >>> [part.shape for part in tg.hsplit(tg.zeros((2, 6)), 3)]
    [(2, 2), (2, 2), (2, 2)]
    """
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@in_parts("x in pieces", "the g_i below each other")
def vsplit(x: Any, indices_or_sections: int | Sequence[int]) -> Any:
    """`split` along axis 0, of two or more axes.

    >>> import tinygrad_rnn as tg
    >>> [part.shape for part in tg.vsplit(tg.zeros((4, 3)), [1])]
    [(1, 3), (3, 3)]
    """
    checked_axis("vsplit", 1, x.shape)
    return split(x, indices_or_sections)


@in_parts("x in pieces", "the g_i behind each other")
def dsplit(x: Any, indices_or_sections: int | Sequence[int]) -> Any:
    """`split` along axis 2.

    >>> import tinygrad_rnn as tg
    >>> [part.shape for part in tg.dsplit(tg.zeros((2, 3, 4)), 2)]
    [(2, 3, 2), (2, 3, 2)]
    """
    return split(x, indices_or_sections, checked_axis("dsplit", 2, x.shape))


# ------------------------------------------------------------------------------------------------
# Turning


@of_one("y[i] = x[n - 1 - i]", "g, reversed again")
def flipud(x: Any) -> Any:
    """Upside down: `flip` along axis 0.

    >>> import tinygrad_rnn as tg
    >>> tg.flipud(tg.tensor([1.0, 2.0]))
    tensor([2., 1.], dtype=float32)
    """
    return flip(x, 0)


@of_one("y[:, i] = x[:, n - 1 - i]", "g, reversed again")
def fliplr(x: Any) -> Any:
    """Left to right: `flip` along axis 1.

    >>> import tinygrad_rnn as tg
    >>> tg.fliplr(tg.tensor([[1.0, 2.0]]))
    tensor([[2., 1.]], dtype=float32)
    """
    return flip(x, 1)


@of_one("x, turned", "g, turned back")
def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turn by k right angles, from the first of two axes towards the second.

    >>> import tinygrad_rnn as tg
    >>> tg.rot90(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[2., 4.],
            [1., 3.]], dtype=float32)
    """
    i, j = (checked_axis("rot90", axis, x.shape) for axis in axes)
    if i == j:
        raise ValueError(f"rot90{current().place}: axes {axes}; wanted two different ones")
    if k % 2 == 0:
        return flip(x, (i, j)) if k % 4 else x
    return swapaxes(flip(x, j), i, j) if k % 4 == 1 else flip(swapaxes(x, i, j), j)


@of_one("x with an axis moved", "g, moved back")
def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """Move an axis to just before another; `moveaxis` is clearer.

    >>> import tinygrad_rnn as tg
    >>> tg.rollaxis(tg.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    axis = checked_axis("rollaxis", axis, x.shape)
    if not -x.ndim <= start <= x.ndim:
        raise ValueError(
            f"rollaxis{current().place}: start {start} for shape {x.shape}; "
            f"wanted {-x.ndim} to {x.ndim}"
        )
    start += x.ndim if start < 0 else 0
    return moveaxis(x, axis, start - (axis < start))


# ------------------------------------------------------------------------------------------------
# New arrays


@of_two("y[i] = (1 - w[i]) a + w[i] b, w even from 0 to 1", "to a: sum((1 - w) g); to b: sum(w g)")
def linspace(a: Any, b: Any, num: int = 50, endpoint: bool = True, axis: int = 0) -> Any:
    """Evenly spaced from a to b, along a new axis.

    endpoint   whether b is the last of them

    >>> import tinygrad_rnn as tg
    >>> tg.linspace(tg.tensor(0.0), 1.0, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    if num < 0:
        raise ValueError(f"linspace{current().place}: num {num}; wanted 0 or more")
    ndim = len(np.broadcast_shapes(shape_of(a), shape_of(b)))
    w = (np.arange(num) / max(1, num - bool(endpoint))).reshape(-1, *[1] * ndim)
    y = (1 - w) * a + w * b
    return moveaxis(y, 0, axis) if axis else y


def _like(x: Any, dtype: DTypeLike | None, shape: int | Shape | None) -> Array:
    plain = np.asarray(values(x))
    size = plain.shape if shape is None else shape
    return np.empty(size, plain.dtype if dtype is None else dtype)


@operator("0 in the shape of x", "")
def zeros_like(x: Any, dtype: DTypeLike | None = None, shape: int | Shape | None = None) -> Array:
    """Zeros in the shape and dtype of x: a plain array, a constant beside tensors.

    >>> import tinygrad_rnn as tg
    >>> tg.zeros_like(tg.ones(2))
    array([0., 0.], dtype=float32)
    """
    return full_like(x, 0, dtype, shape)


@operator("1 in the shape of x", "")
def ones_like(x: Any, dtype: DTypeLike | None = None, shape: int | Shape | None = None) -> Array:
    """Ones in the shape and dtype of x: a plain array, a constant beside tensors.

    >>> import tinygrad_rnn as tg
    >>> tg.ones_like(tg.zeros(2))
    array([1., 1.], dtype=float32)
    """
    return full_like(x, 1, dtype, shape)


@operator("a number in the shape of x", "")
def full_like(
    x: Any, fill_value: Any, dtype: DTypeLike | None = None, shape: int | Shape | None = None
) -> Array:
    """A number in the shape and dtype of x: a plain array, a constant beside tensors.

    Raises TypeError for a tensor as the number: no derivative would reach it.

    >>> import tinygrad_rnn as tg
    >>> tg.full_like(tg.zeros(2), 0.5)
    array([0.5, 0.5], dtype=float32)
    """
    if hasattr(fill_value, "_value"):
        raise TypeError(
            f"full_like{current().place}: fill_value is a tensor; "
            "tg.broadcast_to(fill_value, x.shape) has a derivative"
        )
    y = _like(x, dtype, shape)
    y[...] = fill_value
    return y


@operator("anything in the shape of x", "")
def empty_like(x: Any, dtype: DTypeLike | None = None, shape: int | Shape | None = None) -> Array:
    """An array in the shape and dtype of x, to be filled with plain values.

    >>> import tinygrad_rnn as tg
    >>> tg.empty_like(tg.zeros((2, 3))).shape
    (2, 3)
    """
    return _like(x, dtype, shape)
