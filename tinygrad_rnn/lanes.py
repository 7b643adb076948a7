"""Arrays that hide their batch axis, by NumPy's protocols for arrays of other libraries."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from . import tree
from .graph import Array, Shape
from .primitive import Recorded


class Lanes(NDArrayOperatorsMixin):
    """B arrays of one shape that look like one of them: an operation on it is one on each.

    data      (B, *shape)
    owner     whose they are: arrays of two owners have no batch axis in common and do not mix
    writable  whether it may be written to. A copy, where NumPy may give a view, may not: the
              writing would be lost

    NumPy's elementwise functions, matrix products and basic indexing work on all at once, any
    other function of NumPy's on one after the other. Any use as a value (a truth value, a number,
    an array) raises TypeError: it differs from one to the next.
    """

    __slots__ = ("data", "owner", "writable")

    def __init__(self, data: Any, owner: object, writable: bool = True) -> None:
        if isinstance(data, Lanes):
            raise TypeError("arrays that hide a batch axis already")
        self.data = data
        self.owner = owner
        self.writable = writable

    @property
    def shape(self) -> Shape:
        """Of one of the arrays, as everything that follows."""
        shape: Shape = self.data.shape[1:]
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.data.shape) - 1

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Of all of them."""
        return int(self.data.nbytes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the entries."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def T(self) -> Lanes:  # noqa: N802 - NumPy's name
        """The axes in reverse order."""
        return Lanes(
            np.transpose(self.data, (0, *range(self.ndim, 0, -1))), self.owner, self.writable
        )

    def reshape(self, *shape: Any) -> Lanes:
        """The entries in another shape."""
        to = shape[0] if len(shape) == 1 else shape
        to = (to,) if isinstance(to, int | np.integer) else tuple(to)
        return Lanes(self.data.reshape((len(self.data), *to)), self.owner, False)

    def astype(self, dtype: Any, copy: bool = True) -> Lanes:
        """In another precision."""
        return Lanes(self.data.astype(dtype, copy=copy), self.owner)

    def copy(self) -> Lanes:
        """Arrays of one's own."""
        return Lanes(self.data.copy(), self.owner)

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether any entry of each is not 0."""
        return np.any(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether no entry of each is 0."""
        return np.all(self, axis=axis, keepdims=keepdims)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum of each."""
        return np.sum(self, axis=axis, keepdims=keepdims)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of arrays without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Lanes]:
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, index: Any) -> Lanes:
        parts = index if isinstance(index, tuple) else (index,)
        if all(
            p is None or p is Ellipsis or isinstance(p, int | np.integer | slice) for p in parts
        ):
            return Lanes(self.data[(slice(None), *parts)], self.owner, self.writable)
        if len(parts) == 1 and isinstance(index, np.ndarray | list):
            return Lanes(self.data[:, index], self.owner)
        picked: Lanes = _each(operator.getitem, (self, index), {})
        return picked

    def __setitem__(self, index: Any, value: Any) -> None:
        self._written()
        _owner((self, index, value))
        for b, data in enumerate(self.data):
            data[_of(index, b)] = _of(value, b)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, Recorded) for x in inputs):
            return NotImplemented  # a tensor's work
        owner = _owner(inputs)
        out = options.pop("out", None)
        if method != "__call__" or (ufunc.signature and ufunc is not np.matmul):
            y = _each(getattr(ufunc, method), inputs, options)
        elif ufunc is np.matmul:
            y = Lanes(_product(*inputs), owner)
        else:
            ndim = max(np.ndim(x) for x in inputs)
            y = ufunc(*[_aligned(x, ndim) for x in inputs], **options)
            y = tuple([Lanes(part, owner) for part in y]) if ufunc.nout > 1 else Lanes(y, owner)
        if out is None:
            return y
        (target,) = out
        if not isinstance(target, Lanes) or target.owner is not owner:
            raise TypeError("the results for all examples do not fit into one array")
        target._written()
        target.data[...] = y.data
        return target

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in _LOOKS:
            return _LOOKS[function](args[0])
        _owner((args, options))
        if options.get("out") is not None:
            raise TypeError("the results for all examples do not fit into one array")
        if function is np.reshape and len(args) == 2 and not options:
            return args[0].reshape(args[1])
        if function in _MOVES:
            return _moved(function, *args, **options)
        if function in _JOINS:
            return _put_together(function, *args, **options)
        if function in _ALONG_AXES and isinstance(args[0], Lanes):
            return _along_axes(function, *args, **options)
        made = _each(function, args, options)
        if isinstance(made, Lanes):
            made.writable = function in _NEW
        return made

    def _written(self) -> None:
        if not self.writable:
            raise TypeError("writing to an array that may be a view of others")

    def _differs(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"arrays {self.shape} of {len(self.data)} examples have no value in common")

    __array__ = __bool__ = __float__ = __int__ = __index__ = item = tolist = __hash__ = _differs


def joined(x: Any, batch: int, axis: int) -> Array:
    """Arrays with their batch axis to be seen; values that are the same for all, repeated."""
    if isinstance(x, Lanes):
        return np.moveaxis(x.data, 0, axis)
    array = np.asarray(x)
    return np.moveaxis(np.broadcast_to(array, (batch, *array.shape)), 0, axis)


def added_up(x: Any, batch: int) -> Any:
    """The sum over all arrays; of a value that is the same for all, its multiple."""
    return x.data.sum(0) if isinstance(x, Lanes) else x * batch


_LOOKS: dict[Any, Callable[[Any], Any]] = {
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
}
"""Functions that look at sizes, which all arrays have in common."""

_ALONG_AXES = {np.sum, np.max, np.min, np.mean, np.prod, np.any, np.all}
"""Functions with `axis` and `keepdims`, which leave the other axes alone."""


_MOVES = {np.transpose, np.swapaxes, np.moveaxis}
"""Functions that give the axes another order."""

_JOINS = {np.concatenate: 0, np.stack: 1}
"""Functions of several arrays that join them along an axis, and by how much it is a new one."""

_NEW = {np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.copy}
"""Functions whose results are nobody else's."""


def _moved(function: Any, x: Any, *args: Any, **options: Any) -> Lanes:
    """By numbering the axes, and letting the function put the numbers in order."""
    order = function(np.empty(range(1, x.ndim + 1)), *args, **options).shape
    return Lanes(np.transpose(x.data, (0, *order)), x.owner, x.writable)


def _put_together(function: Any, arrays: Sequence[Any], axis: Any = 0, **options: Any) -> Lanes:
    first = next(x for x in arrays if isinstance(x, Lanes))
    data = [joined(x, len(first.data), 0) for x in arrays]
    ndim = data[0].ndim - 1 + _JOINS[function]
    if axis is None or not -ndim <= axis < ndim:
        return _each(function, (arrays, axis), options)  # type: ignore[no-any-return]
    return Lanes(function(data, axis % ndim + 1, **options), first.owner)


def _along_axes(function: Any, x: Lanes, axis: Any = None, **options: Any) -> Lanes:
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    counted = tuple([a + 1 if a >= 0 else a for a in axes])
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise np.exceptions.AxisError(f"axis {axis} of arrays {x.shape}")
    return Lanes(function(x.data, axis=counted, **options), x.owner)


def _aligned(x: Any, ndim: int) -> Any:
    """Data that broadcast as the single arrays would."""
    if not isinstance(x, Lanes):
        return x
    return x.data.reshape((len(x.data), *[1] * (ndim - x.ndim), *x.shape))


def _product(a: Any, b: Any) -> Any:
    """a @ b of every pair."""
    shapes = np.shape(a), np.shape(b)
    if isinstance(a, Lanes) and not isinstance(b, Lanes) and b.ndim == 2:
        if a.ndim == 1:
            return a.data @ b
        rows = a.data.reshape(-1, shapes[0][-1])
        return (rows @ b).reshape(*a.data.shape[:-1], b.shape[1])
    if min(map(len, shapes)) == 0:
        raise ValueError(f"{shapes[0]} @ {shapes[1]}: a product needs an axis on each side")
    vector_a, vector_b = len(shapes[0]) == 1, len(shapes[1]) == 1
    a = a[None] if vector_a else a
    b = b[:, None] if vector_b else b
    ndim = max(np.ndim(a), np.ndim(b))
    y = _aligned(a, ndim) @ _aligned(b, ndim)
    y = y[..., 0] if vector_b else y
    return (y[..., 0] if vector_b else y[..., 0, :]) if vector_a else y


def _of(value: Any, b: int) -> Any:
    """A structure of arguments as one example sees it."""
    return tree.map_leaves(lambda x: x.data[b] if isinstance(x, Lanes) else x, value)


def _owner(values: Any) -> object:
    """Whose the arrays in a structure of arguments are."""
    owners = {id(x.owner): x.owner for x in tree.leaves(values) if isinstance(x, Lanes)}
    if len(owners) > 1:
        raise TypeError("arrays that hide different batch axes meet")
    return next(iter(owners.values()))


def _each(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """A function of every example's arguments, one after the other."""
    args = tuple(args)
    first = next(x for x in tree.leaves((args, options)) if isinstance(x, Lanes))
    results = [function(*_of(args, b), **_of(options, b)) for b in range(len(first.data))]
    if results[0] is None:  # it wrote into its first argument
        if not isinstance(args[0], Lanes):
            raise TypeError("the results for all examples do not fit into one array")
        args[0]._written()
    parts = zip(*map(tree.leaves, results), strict=True)
    return tree.rebuild(results[0], iter([_together(part, first.owner) for part in parts]))


def _together(results: Sequence[Any], owner: object) -> Any:
    """The results for all examples; a dtype or a shape is the same for all."""
    if isinstance(results[0], np.ndarray | np.generic):
        return Lanes(np.stack(results), owner)
    if any(result != results[0] for result in results):
        raise TypeError(f"examples give different results: {results[0]}, ...")
    return results[0]
