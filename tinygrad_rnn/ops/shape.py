"""Operations that move entries about, and the sums and spreads over whole axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import DTypeLike

from ..graph import Node, Shape
from ..primitive import apply, linear, variadic

_reshape = linear("reshape", lambda x, to: np.reshape(x, to), lambda g, shape: reshape(g, shape))
_transpose = linear(
    "transpose", lambda x, axes: np.transpose(x, axes), lambda g, axes: _transpose_back(g, axes)
)
_swapaxes = linear(
    "swapaxes",
    lambda x, axis1, axis2: np.swapaxes(x, axis1, axis2),
    lambda g, axis1, axis2: swapaxes(g, axis1, axis2),
)
_expand_dims = linear(
    "expand_dims", lambda x, axis: np.expand_dims(x, axis), lambda g, shape: reshape(g, shape)
)
_broadcast_to = linear(
    # undoing a broadcast is the sweep's work, so the cotangent goes back as it is
    "broadcast_to",
    lambda x, to: np.broadcast_to(x, to),
    lambda g: g,
)
_astype = linear("astype", lambda x, dtype: x.astype(dtype), lambda g: g)


def reshape(x: Any, shape: int | Shape) -> Any:
    """The same entries in another shape; one size may be -1."""
    return apply(_reshape, (x,), {"to": shape})


def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order; reversed if none is given."""
    return apply(_transpose, (x,), {"axes": axes})


def _transpose_back(g: Any, axes: Any) -> Any:
    return transpose(g, None if axes is None else tuple(np.argsort(np.mod(axes, len(axes)))))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes."""
    return apply(_swapaxes, (x,), {"axis1": axis1, "axis2": axis2})


def expand_dims(x: Any, axis: int | tuple[int, ...]) -> Any:
    """Insert axes of size 1."""
    return apply(_expand_dims, (x,), {"axis": axis})


def broadcast_to(x: Any, shape: Shape) -> Any:
    """Repeat along new axes and axes of size 1."""
    return apply(_broadcast_to, (x,), {"to": shape})


def astype(x: Any, dtype: DTypeLike) -> Any:
    """The same numbers in another precision."""
    return apply(_astype, (x,), {"dtype": np.dtype(dtype)})


# ------------------------------------------------------------------------------------------------
# Joining and parting


def _own_slice(i: int, node: Node) -> tuple[Any, ...]:
    axis, sizes = node.params["axis"], node.params["sizes"]
    before = sum(sizes[:i])
    return (*([slice(None)] * axis), slice(before, before + sizes[i]))


def _amid_zeros(t: Any, index: Any, node: Node) -> Any:
    return scatter(t, index, node.shape)


_concatenate = variadic(
    "concatenate",
    lambda *arrays, axis, sizes: np.concatenate(arrays, axis),
    lambda g, i, node: getitem(g, _own_slice(i, node)),
    lambda t, i, node: _amid_zeros(t, _own_slice(i, node), node),
)


def _own_index(i: int, node: Node) -> tuple[Any, ...]:
    return (*([slice(None)] * node.params["axis"]), i)


_stack = variadic(
    "stack",
    lambda *arrays, axis: np.stack(arrays, axis),
    lambda g, i, node: getitem(g, _own_index(i, node)),
    lambda t, i, node: _amid_zeros(t, _own_index(i, node), node),
)
_split = linear(
    "split",
    lambda x, at, axis: tuple(np.split(x, at, axis)),
    lambda g, axis: concatenate(g, axis),
    multiple=True,
)
_unstack = linear(
    "unstack",
    lambda x, axis: tuple(np.moveaxis(x, axis, 0)),
    lambda g, axis: stack(g, axis),
    multiple=True,
)


def concatenate(tensors: Sequence[Any], axis: int = 0) -> Any:
    """Join along an axis that is there already."""
    shapes = [np.shape(getattr(t, "_value", t)) for t in tensors]
    axis = normalize_axis_index(axis, len(shapes[0]) if shapes else 0)
    sizes = [shape[axis] if axis < len(shape) else 0 for shape in shapes]
    return apply(_concatenate, tuple(tensors), {"axis": axis, "sizes": sizes})


def stack(tensors: Sequence[Any], axis: int = 0) -> Any:
    """Join along a new axis."""
    ndim = np.ndim(getattr(tensors[0], "_value", tensors[0])) if len(tensors) else 0
    return apply(_stack, tuple(tensors), {"axis": normalize_axis_index(axis, ndim + 1)})


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """Part into equal sections, or at the given places; a tuple, as `numpy.split` makes a list."""
    axis = normalize_axis_index(axis, x.ndim)
    return apply(_split, (x,), {"at": indices_or_sections, "axis": axis})


def unstack(x: Any, axis: int = 0) -> Any:
    """The parts along an axis, as a tuple; that axis is gone from them."""
    return apply(_unstack, (x,), {"axis": normalize_axis_index(axis, x.ndim)})


# ------------------------------------------------------------------------------------------------
# Indexing


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, int | np.integer | slice)
        for part in parts
    )


def _add_into(buffer: Any, g: Any, params: dict[str, Any]) -> None:
    """buffer[index] += g, counting an entry as often as the index names it."""
    index = params["index"]
    if _is_basic(index):
        buffer[index] += g
    else:
        np.add.at(buffer, index, g)


def _scatter_value(x: Any, index: Any, to: Shape) -> Any:
    buffer = np.zeros(to, x.dtype)
    _add_into(buffer, x, {"index": index})
    return buffer


_getitem = linear(
    "getitem",
    lambda x, index: x[index],
    lambda g, shape, index: scatter(g, index, shape),
    into=_add_into,
)
_scatter = linear("scatter", _scatter_value, lambda g, index: getitem(g, index))


def getitem(x: Any, index: Any) -> Any:
    """x[index], with NumPy's meaning of every kind of index."""
    return apply(_getitem, (x,), {"index": index})


def scatter(x: Any, index: Any, shape: Shape) -> Any:
    """Zeros of a shape with x added in at an index: the transpose of `getitem`."""
    return apply(_scatter, (x,), {"index": index, "to": shape})
