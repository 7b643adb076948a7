"""Picking entries out, putting entries in. Indices are plain integers, slices, arrays or masks."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..graph import Array, Shape, current
from ..notation import Notation
from ..primitive import Primitive, Recorded, apply, general, linear, wrap
from .compare import equal
from .elementwise import where
from .registry import looked_at, of_one, of_two, operator, values
from .shape import astype, broadcast_to, checked_axis, expand_dims, ravel, reshape

__all__ = [
    "choose", "embedding", "getitem", "index_add", "index_update", "one_hot", "scatter", "select",
    "take", "take_along_axis",
]  # fmt: skip


def is_basic(index: Any) -> bool:
    """Whether an index is made of numbers, slices, None and ... only: it makes a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return builtins.all(
        part is None or part is Ellipsis or isinstance(part, int | np.integer | slice)
        for part in parts
    )


def section(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """x[..., start:stop] along an axis counted from the front."""
    return getitem(x, (*([slice(None)] * axis), slice(start, stop)))


def _explain(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    index = params["index"]
    for part in index if isinstance(index, tuple) else (index,):
        kind = part.dtype if hasattr(part, "dtype") else None
        if isinstance(part, Recorded):
            return (
                f"an index is a tensor of {kind}; wanted integers: .numpy().astype(int) makes some"
            )
        if isinstance(part, float) or (kind is not None and kind.kind not in "iub"):
            return f"an index is {part if kind is None else f'an array of {kind}'}; wanted integers"
    return None


def _add_into(buffer: Any, g: Any, params: dict[str, Any]) -> None:
    """buffer[index] += g, counting an entry as often as the index names it."""
    index = params["index"]
    if is_basic(index):
        buffer[index] += g
    else:
        np.add.at(buffer, index, g)


def _scatter_value(x: Any, index: Any, to: Shape) -> Any:
    buffer = np.zeros_like(x, shape=to)
    _add_into(buffer, x, {"index": index})
    return buffer


@of_one("x[index]", "zeros, with g added in at the index")
def getitem(x: Any, index: Any) -> Any:
    """The entries at an index, with NumPy's meaning of every kind of index: `x[index]`.

    index   integers, slices, None, ..., integer arrays, boolean masks, and tuples of those

    Raises IndexError for an index that is out of bounds or no integer.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([1.0, 2.0, 3.0])
    >>> x[[0, 0, 2]]
    tensor([1., 1., 3.], dtype=float32)
    >>> tg.gradients(x[[0, 0, 2]].sum(), x)
    array([2., 0., 1.], dtype=float32)
    """
    return apply(_getitem, (x,), {"index": plain_index(index)})


def plain_index(index: Any) -> Any:
    """An index without tensors: positions and truth values are taken as they are now."""
    if type(index) is int or type(index) is slice:
        return index
    if isinstance(index, tuple):
        return tuple([plain_index(part) for part in index]) if _has_tensor(index) else index
    if isinstance(index, Recorded) and index._value.dtype.kind in "iub":
        return looked_at(index, "an index")
    return index


def _has_tensor(index: tuple[Any, ...]) -> bool:
    return builtins.any(isinstance(part, Recorded) for part in index)


_scatter = linear(
    "scatter",
    _scatter_value,
    lambda g, index: getitem(g, index),
    kind="structural",
    explain=_explain,
)


@of_one("zeros, with x added in at the index", "g[index]")
def scatter(x: Any, index: Any, shape: Shape) -> Any:
    """Zeros of a shape with x added in at an index: the transpose of `getitem`.

    >>> import tinygrad_rnn as tg
    >>> tg.scatter(tg.tensor([1.0, 2.0, 3.0]), ([0, 0, 2],), (4,))
    tensor([3., 0., 3., 0.], dtype=float32)
    """
    return apply(_scatter, (x,), {"index": plain_index(index), "to": shape})


_getitem = linear(
    "getitem",
    lambda x, index: x[index],
    lambda g, shape, index: scatter(g, index, shape),
    kind="structural",
    notation=Notation("entries", "[ ]", word="scatter"),
    into=_add_into,
    explain=_explain,
)


# ------------------------------------------------------------------------------------------------
# Putting in, without changing the original


def _updated(x: Any, new: Any, index: Any) -> Any:
    y = x.copy()
    y[index] = new
    return y


def _added(x: Any, new: Any, index: Any) -> Any:
    y = x.copy()
    if not is_basic(index):  # of values with more axes than the entries, NumPy's add.at crashes
        new = np.broadcast_to(new, np.empty(x.shape, bool)[index].shape)
    _add_into(y, new, {"index": index})
    return y


def _explain_put(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    why = _explain(shapes, params)
    if why is None:
        try:
            there = np.empty(shapes[0], bool)[params["index"]].shape
        except IndexError:
            return None
        why = f"values of shape {shapes[1]} do not broadcast to the entries, of shape {there}"
    return why


def _winners(shape: Shape, index: Any) -> Any:
    """1 for the values that an index keeps, 0 for those that a later one overwrites; or just 1."""
    if is_basic(index):
        return 1.0
    order = np.zeros(shape, int)
    numbers = np.arange(order[index].size).reshape(order[index].shape)
    order[index] = numbers
    return order[index] == numbers


def _spread(t: Any, a: Any, index: Any) -> Any:
    there = np.empty(a.shape, bool)[index].shape
    if t.ndim > len(there):  # an assignment drops leading axes of size 1
        t = reshape(t, t.shape[t.ndim - len(there) :])
    return broadcast_to(t, there)


@of_one(
    "x, but y[index] = values",
    "to x: g with 0 at the index; to the values: g[index]",
    "Where an index names an entry twice, the last value stays and alone has a derivative.",
)
def index_update(x: Any, index: Any, values: Any) -> Any:
    """A copy of x with some entries replaced, as by `x[index] = values`.

    index    as for `getitem`
    values   broadcast to the shape of x[index]

    >>> import tinygrad_rnn as tg
    >>> tg.index_update(tg.zeros(3), 1, 5.0)
    tensor([0., 5., 0.], dtype=float32)
    """
    return apply(_index_update, (x, values), {"index": plain_index(index)})


_index_update = general(
    "index_update",
    _updated,
    [
        lambda g, index: index_update(g, index, 0.0),
        lambda g, index: getitem(g, index) * _winners(g.shape, index),
    ],
    [
        lambda t, index: index_update(t, index, 0.0),
        lambda t, x, index: scatter(
            _spread(t, x, index) * _winners(x.shape, index), index, x.shape
        ),
    ],
    explain=_explain_put,
)


@of_one("x, but y[index] += values", "to x: g; to the values: g[index]")
def index_add(x: Any, index: Any, values: Any) -> Any:
    """A copy of x with values added to some entries, as by `x[index] += values`.

    Unlike NumPy's `+=`, an entry that the index names twice gets both values.

    >>> import tinygrad_rnn as tg
    >>> tg.index_add(tg.zeros(3), [1, 1], [5.0, 2.0])
    tensor([0., 7., 0.], dtype=float32)
    """
    return apply(_index_add, (x, values), {"index": plain_index(index)})


_index_add = general(
    "index_add",
    _added,
    [lambda g: g, lambda g, index: getitem(g, index)],
    [lambda t: t, lambda t, x, index: scatter(_spread(t, x, index), index, x.shape)],
    explain=_explain_put,
)


# ------------------------------------------------------------------------------------------------
# By position


def _integers(name: str, indices: Any) -> Array:
    found = np.asarray(values(plain_index(indices)))
    if found.dtype.kind not in "iu" and not (found.size == 0 and found.dtype == np.float64):
        raise IndexError(
            f"{name}{current().place}: indices of {found.dtype}, shape {found.shape}; "
            "wanted integers"
        )
    return found.astype(np.intp, copy=False)


def _checked(name: str, indices: Any, n: int, taken: str) -> Array:
    found = _integers(name, indices)
    if found.size and not (found.min() >= -n and found.max() < n):
        raise IndexError(
            f"{name}{current().place}: indices from {found.min()} to {found.max()}, "
            f"wanted {-n} to {n - 1}, {taken}"
        )
    return found


@of_one("y[..., j, ...] = x[..., indices[j], ...]", "zeros, with g added in at the indices")
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The entries at integer positions along an axis; without one, of x as one row.

    >>> import tinygrad_rnn as tg
    >>> tg.take(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0], axis=1)
    tensor([[2., 2., 1.],
            [4., 4., 3.]], dtype=float32)
    """
    if axis is None:
        x, axis = ravel(x), 0
    axis = checked_axis("take", axis, x.shape)
    indices = looked_at(indices, "an index")
    found = _checked("take", indices, x.shape[axis], f"axis {axis} of shape {x.shape}")
    return getitem(x, (*([slice(None)] * axis), found))


@of_one("y[i] = x[indices[i]] along the axis", "zeros, with g added in at the indices")
def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    """For every place, one entry along an axis, as `argsort` and `argmax` name them.

    indices  integers, with as many axes as x; the others broadcast. Those that are tensors (of
             `argsort`, `argmax`) are recorded

    >>> import tinygrad_rnn as tg
    >>> tg.take_along_axis(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), [[1], [0]], axis=1)
    tensor([[2.],
            [3.]], dtype=float32)
    """
    axis = checked_axis("take_along_axis", axis, x.shape)
    # as an argument of an operation, positions may be a tensor
    plain = values(indices)
    found = _checked("take_along_axis", plain, x.shape[axis], f"axis {axis} of shape {x.shape}")
    try:
        if found.ndim != x.ndim:
            raise ValueError
        others = [
            1 if i == axis else n
            for i, n in enumerate(
                np.broadcast_shapes(
                    *[(*shape[:axis], 1, *shape[axis + 1 :]) for shape in (x.shape, found.shape)]
                )
            )
        ]
    except ValueError:
        raise ValueError(
            f"take_along_axis{current().place}: x {x.shape} and indices {found.shape} want "
            f"the same number of axes and, but for axis {axis}, matching sizes"
        ) from None
    whole = (*others[:axis], x.shape[axis], *others[axis + 1 :])
    if whole != x.shape:
        x = broadcast_to(x, whole)
    if isinstance(indices, Recorded):
        return _by_position(_pick, x, indices, axis=axis)
    index = tuple(
        found if i == axis else np.arange(n).reshape([-1 if j == i else 1 for j in range(x.ndim)])
        for i, n in enumerate(x.shape)
    )
    return getitem(x, index)


def _put_value(g: Any, indices: Any, axis: int, to: Shape) -> Any:
    y = np.zeros(to, g.dtype)
    places = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    np.add.at(y, tuple(places), g)
    return y


_pick: Primitive = general(
    "take_along_axis",
    lambda x, indices, axis: np.take_along_axis(x, indices, axis),
    [lambda g, indices, axis, shape: _by_position(_put, g, indices, axis=axis, to=shape), None],
    [lambda t, indices, axis: _by_position(_pick, t, indices, axis=axis), None],
    notation=Notation("call", numpy="np.take_along_axis"),
)
_put: Primitive = general(
    "put_along_axis",
    _put_value,
    [lambda g, indices, axis: _by_position(_pick, g, indices, axis=axis), None],
    [lambda t, indices, axis, to: _by_position(_put, t, indices, axis=axis, to=to), None],
)


@operator("choices[k] where a = k", "to choices[k]: g where a = k, else 0")
def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    """For every place, the entry there of one of several arrays; all of them broadcast together.

    a         integers from 0 to len(choices) - 1
    choices   the tensors or arrays
    mode      for other integers: "raise" (IndexError), "wrap" or "clip"

    >>> import tinygrad_rnn as tg
    >>> tg.choose([0, 1, 0], [tg.tensor([1.0, 2.0, 3.0]), 10.0])
    tensor([ 1., 10.,  3.], dtype=float32)
    """
    n = len(choices)
    found = _integers("choose", values(a) if mode == "raise" else a)
    if mode == "raise":
        if found.size and not (found.min() >= 0 and found.max() < n):
            raise IndexError(
                f"choose{current().place}: integers from {found.min()} to {found.max()}, "
                f"wanted 0 to {n - 1}"
            )
    elif mode in ("wrap", "clip"):
        found = _integers("choose", looked_at(a, f"choose(mode={mode!r})"))
        a = found % n if mode == "wrap" else np.clip(found, 0, n - 1)
    else:
        raise ValueError(f'choose{current().place}: mode {mode!r}; wanted "raise", "wrap", "clip"')
    return select([equal(a, k) for k in range(n)], choices)


@operator("choices[k] for the first k whose condition holds", "to choices[k]: g there, else 0")
def select(conditions: Sequence[Any], choices: Sequence[Any], default: Any = 0.0) -> Any:
    """For every place, the entry of the first array whose condition holds there, or a default.

    Raises ValueError if there are not as many conditions as choices, or none.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([-3.0, 0.5, 2.0])
    >>> tg.select([x < 0, x < 1], [-x, x * x], 1.0)
    tensor([3.  , 0.25, 1.  ], dtype=float32)
    """
    if len(conditions) != len(choices) or not len(conditions):
        raise ValueError(
            f"select{current().place}: {len(conditions)} conditions for {len(choices)} choices; "
            "wanted as many, and at least one"
        )
    y = default
    for k in range(len(choices) - 1, -1, -1):
        y = where(conditions[k], choices[k], y)
    return y


@operator("y[..., k] = 1 if k == indices[...] else 0", "")
def one_hot(indices: Any, num_classes: int, dtype: DTypeLike | None = None) -> Any:
    """Class numbers (...) as rows (..., num_classes) of zeros with a single 1.

    A plain array; or a tensor if the class numbers are one (`argmax`), so that it is recorded.

    dtype   left out, float32, or the precision of the tensors that the class numbers come from

    Raises IndexError for class numbers outside 0..num_classes-1.

    >>> import tinygrad_rnn as tg
    >>> tg.one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    found = _integers("one_hot", values(indices))
    if found.size and not (found.min() >= 0 and found.max() < num_classes):
        raise IndexError(
            f"one_hot{current().place}: class numbers from {found.min()} to {found.max()}, "
            f"wanted 0 to {num_classes - 1}"
        )
    if isinstance(indices, Recorded):
        positions: Any = indices
        hot = equal(expand_dims(positions, -1), np.arange(num_classes))
        return astype(hot, float if dtype is None else dtype)
    return np.equal(found[..., None], np.arange(num_classes)).astype(dtype or np.float32)


@of_two("y[...] = weight[indices[...]]", "zeros, with g added in at the rows")
def embedding(indices: Any, weight: Any) -> Any:
    """The rows of a table that class numbers name: one_hot(indices, V) @ weight, without the zeros.

    indices  integers (...), from 0 to V-1. Those that are a tensor are recorded
    weight   (V, D)

    Gives (..., D).

    >>> import tinygrad_rnn as tg
    >>> table = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.embedding([1, 1], table)
    tensor([[3., 4.],
            [3., 4.]], dtype=float32)
    """
    found = _integers("embedding", values(indices))
    n = weight.shape[0]
    if found.size and not (found.min() >= 0 and found.max() < n):
        raise IndexError(
            f"embedding{current().place}: class numbers from {found.min()} to {found.max()}, "
            f"wanted 0 to {n - 1} for a table of shape {weight.shape}"
        )
    if isinstance(indices, Recorded):
        return _by_position(_rows, weight, indices)
    return getitem(weight, found)


def _by_position(primitive: Primitive, x: Any, indices: Any, **params: Any) -> Any:
    """Apply an operation to x and positions, which beside a tensor stay integers as a tensor."""
    if isinstance(x, Recorded) and not isinstance(indices, Recorded):
        indices = wrap(indices, None, 0)
    return apply(primitive, (x, indices), params)


_rows: Primitive = general(
    "embedding",
    lambda weight, indices: weight[indices],
    [lambda g, indices, shape: _by_position(_put_rows, g, indices, to=shape), None],
    [lambda t, indices: _by_position(_rows, t, indices), None],
    notation=Notation("call", numpy="weight[(indices)]"),
)
_put_rows: Primitive = general(
    "put_rows",
    lambda g, indices, to: _scatter_value(g, indices, to),
    [lambda g, indices: _by_position(_rows, g, indices), None],
    [lambda t, indices, to: _by_position(_put_rows, t, indices, to=to), None],
)
