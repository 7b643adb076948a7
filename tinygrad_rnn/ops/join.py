"""Operations that join, part and repeat."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Node, Shape, current
from ..notation import Notation, call
from ..primitive import apply, linear, variadic
from .index import getitem, scatter, take
from .reduce import sum
from .registry import in_parts, of_many, of_one, shape_of
from .shape import checked_axis, ravel, reshape

__all__ = ["concatenate", "pad", "repeat", "split", "stack", "tile", "unstack"]

# ------------------------------------------------------------------------------------------------
# Concatenate and split


def _own_slice(i: int, node: Node) -> tuple[Any, ...]:
    axis, sizes = node.params["axis"], node.params["sizes"]
    before = builtins.sum(sizes[:i])
    return (*([slice(None)] * axis), slice(before, before + sizes[i]))


def _amid_zeros(t: Any, index: Any, node: Node) -> Any:
    return scatter(t, index, node.shape)


def _shapes(name: str, tensors: Sequence[Any]) -> list[Shape]:
    if not len(tensors):
        raise ValueError(f"{name}{current().place}: given no tensors; wanted at least one")
    return [t.shape if hasattr(t, "shape") else np.shape(t) for t in tensors]


def _explain_concatenate(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    shown = ", ".join(map(str, shapes))
    if "sizes" in params:
        return f"{shown} along axis {params['axis']}: all other sizes must be the same"
    return f"{shown}: all shapes must be the same"


_concatenate = variadic(
    "concatenate",
    lambda *arrays, axis, sizes=(): np.concatenate(arrays, axis),
    lambda g, i, node: getitem(g, _own_slice(i, node)),
    lambda t, i, node: _amid_zeros(t, _own_slice(i, node), node),
    kind="structural",
    notation=Notation("brackets", "[ , ]", word="split"),
    parts=lambda g, node: _parts(
        g, list(itertools.accumulate(node.params["sizes"][:-1])), node.params["axis"]
    ),
    explain=_explain_concatenate,
)


def _own_index(i: int, node: Node) -> tuple[Any, ...]:
    return (*([slice(None)] * node.params["axis"]), i)


_stack = variadic(
    "stack",
    lambda *arrays, axis: np.stack(arrays, axis),
    lambda g, i, node: getitem(g, _own_index(i, node)),
    lambda t, i, node: _amid_zeros(t, _own_index(i, node), node),
    kind="structural",
    notation=Notation("brackets", "[ , ]", word="unstack"),
    parts=lambda g, node: list(np.moveaxis(g, node.params["axis"], 0)),
    explain=_explain_concatenate,
)


@of_many("the x_i after each other", "to each x_i its part of g")
def concatenate(tensors: Sequence[Any], axis: int | None = 0) -> Any:
    """Join along an axis that is there already; with None, of all as one row.

    >>> import tinygrad_rnn as tg
    >>> tg.concatenate([tg.zeros((2, 3)), tg.ones((2, 1))], axis=1).shape
    (2, 4)
    """
    shapes = _shapes("concatenate", tensors)
    if axis is None:
        return concatenate([ravel(x) for x in tensors])
    axis = checked_axis("concatenate", axis, shapes[0])
    sizes = [shape[axis] if axis < len(shape) else 0 for shape in shapes]
    return apply(_concatenate, tuple(tensors), {"axis": axis, "sizes": sizes})


@of_many("y[i] = x_i", "to x_i the part g[i]")
def stack(tensors: Sequence[Any], axis: int = 0) -> Any:
    """Join along a new axis.

    >>> import tinygrad_rnn as tg
    >>> tg.stack([tg.zeros(3), tg.ones(3)]).shape
    (2, 3)
    """
    axis = checked_axis("stack", axis, (1, *_shapes("stack", tensors[:1])[0]))
    return apply(_stack, tuple(tensors), {"axis": axis})


def _parts(x: Any, at: int | Sequence[int], axis: int) -> tuple[Any, ...]:
    # as numpy.split does it, which takes several times as long for the gates of a cell
    n = x.shape[axis]
    if isinstance(at, int | np.integer):
        if at < 1 or n % at:
            raise ValueError(f"axis {axis} of size {n} does not part into {at} equal sections")
        at = [k * (n // at) for k in range(1, at)]
    before = (slice(None),) * axis
    cuts = [0, *at, n]
    return tuple([x[(*before, slice(*cut))] for cut in itertools.pairwise(cuts)])


def _joined(g: Sequence[Any], axis: int) -> Any:
    """The parts after each other again; of arrays at once, as every step of a cell has gates."""
    return np.concatenate(g, axis) if type(g[0]) is np.ndarray else concatenate(g, axis)


_split = linear(
    "split",
    _parts,
    lambda g, axis: _joined(g, axis),
    kind="structural",
    notation=Notation("hidden", word="concatenate"),
    multiple=True,
    explain=lambda shapes, params: (
        f"axis {params['axis']} of shape {shapes[0]} does not part into "
        f"{params['at']} equal sections"
    ),
)
_unstack = linear(
    "unstack",
    lambda x, axis: tuple(np.moveaxis(x, axis, 0)),
    lambda g, axis: stack(g, axis),
    kind="structural",
    notation=Notation("hidden", word="stack"),
    multiple=True,
)


@in_parts("x in pieces", "the g_i after each other")
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """Part into equal sections, or at the given places; a tuple, as `numpy.split` makes a list.

    >>> import tinygrad_rnn as tg
    >>> [part.shape for part in tg.split(tg.zeros((2, 6)), 3, axis=1)]
    [(2, 2), (2, 2), (2, 2)]
    """
    axis = checked_axis("split", axis, x.shape)
    return apply(_split, (x,), {"at": indices_or_sections, "axis": axis})


@in_parts("y_i = x[i]", "the g_i, stacked")
def unstack(x: Any, axis: int = 0) -> Any:
    """The parts along an axis, as a tuple; that axis is gone from them.

    >>> import tinygrad_rnn as tg
    >>> len(tg.unstack(tg.zeros((5, 2))))
    5
    """
    return apply(_unstack, (x,), {"axis": checked_axis("unstack", axis, x.shape)})


# ------------------------------------------------------------------------------------------------
# More entries

_pad = linear(
    "pad",
    lambda x, widths: np.pad(x, widths),
    lambda g, shape, widths: getitem(
        g, tuple(slice(w[0], w[0] + n) for w, n in zip(widths, shape, strict=True))
    ),
    kind="structural",
    notation=call(numpy="np.pad(x, widths)"),
)


@of_one("x in a frame", "g without the frame; copied entries add up")
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    """Put a frame around x.

    pad_width        entries before and after along each axis: one number, one pair for every
                     axis, or a pair per axis
    mode             "constant", or where the frame copies from x: "edge", "reflect", "symmetric"
                     or "wrap"
    constant_values  the entries of a constant frame

    >>> import tinygrad_rnn as tg
    >>> tg.pad(tg.ones(2), (1, 2))
    tensor([0., 1., 1., 0., 0.], dtype=float32)
    """
    shape = shape_of(x)
    try:
        widths = tuple(map(tuple, np.broadcast_to(pad_width, (len(shape), 2)).tolist()))
    except ValueError:
        raise ValueError(
            f"pad{current().place}: pad_width {pad_width} for shape {shape}; "
            "wanted a number, a pair, or a pair per axis"
        ) from None
    if mode == "constant":
        y = apply(_pad, (x,), {"widths": widths})
        if constant_values:
            y = y + np.pad(np.zeros(shape), widths, constant_values=constant_values)
        return y
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(
            f'pad{current().place}: mode {mode!r}; wanted "constant", "edge", "reflect", '
            '"symmetric" or "wrap"'
        )
    for axis, (n, width) in enumerate(zip(shape, widths, strict=True)):
        if any(width):
            x = take(x, np.pad(np.arange(n), width, mode), axis)  # type: ignore[call-overload]
    return x


_tile = linear(
    "tile",
    lambda x, reps: np.tile(x, reps),
    lambda g, shape, reps: _untile(g, shape, reps),
    kind="structural",
    notation=call(numpy="np.tile"),
)


def _untile(g: Any, shape: Shape, reps: tuple[int, ...]) -> Any:
    ndim = builtins.max(len(shape), len(reps))
    sizes = (1,) * (ndim - len(shape)) + shape
    counts = (1,) * (ndim - len(reps)) + reps
    pairs = tuple(n for pair in zip(counts, sizes, strict=True) for n in pair)
    return reshape(sum(reshape(g, pairs), tuple(range(0, 2 * ndim, 2))), shape)


@of_one("x beside x beside x", "the copies of g, added up")
def tile(x: Any, reps: int | tuple[int, ...]) -> Any:
    """x so many times along each axis.

    >>> import tinygrad_rnn as tg
    >>> tg.tile(tg.tensor([1.0, 2.0]), 2)
    tensor([1., 2., 1., 2.], dtype=float32)
    """
    return apply(_tile, (x,), {"reps": (reps,) if isinstance(reps, int) else tuple(reps)})


@of_one("each entry so many times", "the copies of g, added up")
def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Every entry several times in a row, along an axis; without one, of x as one row.

    repeats  one number, or one per entry of the axis

    >>> import tinygrad_rnn as tg
    >>> tg.repeat(tg.tensor([1.0, 2.0]), 2)
    tensor([1., 1., 2., 2.], dtype=float32)
    """
    if axis is None:
        x, axis = ravel(x), 0
    axis = checked_axis("repeat", axis, x.shape)
    return take(x, np.repeat(np.arange(x.shape[axis]), repeats), axis)
