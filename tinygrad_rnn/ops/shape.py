"""Operations that move entries about without changing them."""

from __future__ import annotations

import operator as op
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..graph import Shape, current
from ..notation import Notation, call, hidden
from ..primitive import Recorded, apply, converts, linear, precision
from .registry import of_one

__all__ = [
    "astype", "broadcast_to", "expand_dims", "flip", "matrix_transpose", "moveaxis",
    "permute_dims", "ravel", "reshape", "roll", "squeeze", "swapaxes", "transpose",
]  # fmt: skip

Axis = int | tuple[int, ...] | None


def explain_axis(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    """For error messages: an axis that is not there."""
    ndim = len(shapes[0])
    for name in ("axis", "axis1", "axis2", "axes", "source", "destination"):
        axes = params.get(name)
        for axis in axes if isinstance(axes, tuple | list) else (axes,):
            if isinstance(axis, int) and not -ndim <= axis < ndim:
                there = f"its axes are {-ndim} to {ndim - 1}" if ndim else "it has no axes"
                return f"{name} {axis} of an argument of shape {shapes[0]}: {there}"
    return None


def checked_axis(name: str, axis: int, shape: Shape) -> int:
    if not -len(shape) <= op.index(axis) < len(shape):
        why = explain_axis([shape], {"axis": axis})
        raise np.exceptions.AxisError(f"{name}{current().place}: {why}")
    return op.index(axis) % len(shape)


# ------------------------------------------------------------------------------------------------
# Other shapes


def _explain_reshape(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    n = int(np.prod(shapes[0]))
    return f"{shapes[0]}, which is {n} entries, does not fit into {params['to']}"


@of_one("the entries of x, in order", "g in the shape of x")
def reshape(x: Any, shape: int | Shape, order: str = "C") -> Any:
    """The same entries in another shape; one size may be -1.

    order   "C": the last axis is counted through first, "F": the first is

    >>> import tinygrad_rnn as tg
    >>> tg.zeros((2, 6)).reshape(3, -1).shape
    (3, 4)
    """
    if order != "C":
        if order != "F":
            raise ValueError(f'reshape{current().place}: order {order!r}; wanted "C" or "F"')
        return transpose(reshape(transpose(x), tuple(np.ravel(shape).tolist()[::-1])))
    return apply(_reshape, (x,), {"to": shape})


_reshape = linear(
    "reshape",
    lambda x, to: np.reshape(x, to),
    lambda g, shape: reshape(g, shape),
    kind="structural",
    notation=hidden("np.reshape(x, to)"),
    explain=_explain_reshape,
)


_ravel = linear(
    "ravel",
    lambda x: np.ravel(x),
    lambda g, shape: reshape(g, shape),
    kind="structural",
    notation=hidden("np.ravel(x)"),
)


@of_one("the entries of x, in order", "g in the shape of x")
def ravel(x: Any, order: str = "C") -> Any:
    """All entries along one axis; in which `order`, see `reshape`."""
    return reshape(x, -1, order) if order != "C" else apply(_ravel, (x,), {})


_squeeze = linear(
    "squeeze",
    lambda x, axis: np.squeeze(x, axis),
    lambda g, shape: reshape(g, shape),
    kind="structural",
    notation=hidden("np.squeeze(x, axis)"),
    explain=explain_axis,
)


@of_one("x without those axes", "g in the shape of x")
def squeeze(x: Any, axis: Axis = None) -> Any:
    """Leave out axes of size 1: the given ones, or all."""
    return apply(_squeeze, (x,), {"axis": axis})


_expand_dims = linear(
    "expand_dims",
    lambda x, axis: np.expand_dims(x, axis),
    lambda g, shape: reshape(g, shape),
    kind="structural",
    notation=hidden("np.expand_dims(x, axis)"),
)


@of_one("x with more axes", "g in the shape of x")
def expand_dims(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Insert axes of size 1; `axis` counts in the result."""
    return apply(_expand_dims, (x,), {"axis": axis})


def _explain_broadcast_to(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    return f"{shapes[0]} does not broadcast to {params['to']}"


_broadcast_to = linear(
    # undoing a broadcast is the sweep's work, so the cotangent goes back as it is
    "broadcast_to",
    lambda x, to: np.broadcast_to(x, to),
    lambda g: g,
    kind="structural",
    notation=hidden("np.broadcast_to(x, to)"),
    explain=_explain_broadcast_to,
)


@of_one("x, repeated", "g, summed over the new entries")
def broadcast_to(x: Any, shape: Shape) -> Any:
    """Repeat along new axes and axes of size 1."""
    return apply(_broadcast_to, (x,), {"to": shape})


_astype = converts(
    linear(
        "astype",
        lambda x, dtype: x.astype(dtype),
        lambda g: g,
        kind="structural",
        notation=hidden("x.astype(dtype)"),
    )
)


@of_one("x", "g, in the dtype of x")
def astype(x: Any, dtype: DTypeLike) -> Any:
    """The same numbers in another precision: float32 or float64.

    dtype   Python's `float` makes numbers of truth values and integers, in the precision of the
            tensors they were computed from

    Raises TypeError for a tensor and another dtype: integers have no gradient, and half precision
    cannot count past 2048.
    """
    if dtype is float and isinstance(x, Recorded) and x._value.dtype.kind != "f":
        dtype = precision(x)
    wanted = np.dtype(dtype)
    if hasattr(x, "_value") and (wanted.kind != "f" or wanted.itemsize not in (4, 8)):
        raise TypeError(
            f"astype{current().place}: a tensor of {x.dtype} to {wanted}: tensors are float32 or "
            "float64; use .numpy().astype() for the numbers alone"
        )
    return apply(_astype, (x,), {"dtype": wanted})


# ------------------------------------------------------------------------------------------------
# Axes in another order, entries in another order


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(np.argsort(np.mod(axes, len(axes))).tolist()) if len(axes) else ()


@of_one("y[i_axes...] = x[i...]", "g, its axes back in place")
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; reversed if none is given.

    >>> import tinygrad_rnn as tg
    >>> tg.transpose(tg.zeros((2, 3, 4)), (1, 0, 2)).shape
    (3, 2, 4)
    """
    return apply(_transpose, (x,), {"axes": axes})


_transpose = linear(
    "transpose",
    lambda x, axes: np.transpose(x, axes),
    lambda g, axes: transpose(g, None if axes is None else _inverse(axes)),
    kind="structural",
    notation=Notation("turned", "( )ᵀ"),
    explain=lambda shapes, params: (
        explain_axis(shapes, params)
        or f"axes {params['axes']} are not an order of the {len(shapes[0])} axes of {shapes[0]}"
    ),
)


@of_one("y[i_axes...] = x[i...]", "g, its axes back in place")
def permute_dims(x: Any, axes: Sequence[int]) -> Any:
    """`transpose` by the name of the array API standard."""
    return transpose(x, axes)


@of_one("x with two axes exchanged", "g, exchanged back")
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes."""
    return apply(_swapaxes, (x,), {"axis1": axis1, "axis2": axis2})


_swapaxes = linear(
    "swapaxes",
    lambda x, axis1, axis2: np.swapaxes(x, axis1, axis2),
    lambda g, axis1, axis2: swapaxes(g, axis1, axis2),
    kind="structural",
    notation=Notation("turned", "( )ᵀ"),
    explain=explain_axis,
)


@of_one("y[..., i, j] = x[..., j, i]", "g, transposed")
def matrix_transpose(x: Any) -> Any:
    """The last two axes exchanged, as `x.mT`.

    >>> import tinygrad_rnn as tg
    >>> tg.matrix_transpose(tg.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    return swapaxes(x, -1, -2)


@of_one("x with axes moved", "g, moved back")
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Move axes to other places; the others stay in order."""
    return apply(_moveaxis, (x,), {"source": source, "destination": destination})


_moveaxis = linear(
    "moveaxis",
    lambda x, source, destination: np.moveaxis(x, source, destination),
    lambda g, source, destination: moveaxis(g, destination, source),
    kind="structural",
    explain=explain_axis,
)


@of_one("y[i] = x[n - 1 - i]", "g, reversed again")
def flip(x: Any, axis: Axis = None) -> Any:
    """Reverse the order along axes; along all if none is given."""
    return apply(_flip, (x,), {"axis": axis})


_flip = linear(
    "flip",
    lambda x, axis: np.flip(x, axis),
    lambda g, axis: flip(g, axis),
    kind="structural",
    notation=call(numpy="np.flip"),
    explain=explain_axis,
)


@of_one("y[i] = x[(i - shift) mod n]", "g, shifted back")
def roll(x: Any, shift: int | tuple[int, ...], axis: Axis = None) -> Any:
    """Shift along axes, the last entries coming in at the other end; without `axis`, as one row."""
    if isinstance(shift, tuple) and len(shift) == 1 and not isinstance(axis, tuple):
        shift = shift[0]
    return apply(_roll, (x,), {"shift": shift, "axis": axis})


_roll = linear(
    "roll",
    lambda x, shift, axis: np.roll(x, shift, axis),
    lambda g, shift, axis: roll(g, tuple(np.negative(shift).ravel().tolist()), axis),
    kind="structural",
    notation=call(numpy="np.roll"),
    explain=explain_axis,
)
