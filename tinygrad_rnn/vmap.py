"""A function of one example, made a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import ops, tree
from .checkpoint import Call, Inside
from .graph import Node, current
from .lanes import Lanes, added_up, joined
from .primitive import of_precision, precision, wrap
from .sweep import as_tensors
from .tensor import Tensor

Axes = Any
"""An axis, None, or a structure of those: one entry per part of the value it belongs to."""


def vmap(
    f: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0, *, loop: bool | None = None
) -> Callable[..., Any]:
    """The function that applies f to every example along an axis: y[b] = f(x[b]) for all b.

    f         a function of one example: it sees no batch axis
    in_axes   which axis of the arguments to map over; None for an argument that is the same for
              all. One for all arguments, or a tuple with one per argument; for an argument that is
              nested, a structure of them. Keyword arguments are mapped over axis 0
    out_axes  where the results' new axis goes; None for a result that is the same for all. One
              for all, or a structure like the result
    loop      None: all examples at once where that is possible, else one after the other.
              False: at once, or an error that says why not. True: one after the other

    **At once**, f runs a single time on arrays that hide their batch axis, and NumPy's and the
    rules' own broadcasting does the rest; a NumPy function that has no axis to spare is applied
    to each example. A recorded call is then one node, as that of `checkpoint`: f runs once more in
    the backward pass, and everything that is said there holds. **One after the other**, f runs and
    is recorded B times. That happens if f asks for values (`if x > 0`, `.numpy()`), draws random
    numbers, so that each example gets its own, or calls a function that knows no arrays but
    NumPy's; it has then run once in vain. Of a map in a map, the inner one is a loop where it uses
    arguments of the outer one.
    Derivatives that are recorded themselves (`create_graph`) take the loop, too.

    Raises ValueError for axes that are not there or differ in size, for results that differ in
    structure or shape, and, with loop=False, where a loop would be needed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Parameter([[1.0, 2.0], [3.0, 4.0]], "W")
    >>> xs = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> tg.vmap(lambda x: (x @ W).sum())(xs)
    tensor([ 3.,  7., 10.], dtype=float32)
    >>> with tg.no_grad():
    ...     tg.vmap(tg.grad(lambda x: (x @ W).prod()))(xs)
    array([[ 4., 10.],
           [10., 24.],
           [14., 34.]])
    >>> tg.vmap(lambda a, b: a * b, in_axes=(0, None), out_axes=1)(xs, np.ones(2)).shape
    (2, 3)
    """

    @functools.wraps(f)
    def mapped(*args: Any, **options: Any) -> Any:
        mapping = _Mapping(f, args, options, in_axes, out_axes)
        if loop:
            return mapping.looped(*args, **options)
        return mapping.at_once(args, options, must=loop is False)

    return mapped


class _Mapping:
    """One call of a mapped function: which leaves of its arguments are mapped, and where to.

    axes   axis of every leaf of the arguments, or None
    batch  the number of examples
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        in_axes: Axes,
        out_axes: Axes,
    ) -> None:
        self.f = f
        self.out_axes = out_axes
        if isinstance(in_axes, list):
            in_axes = tuple(in_axes)
        given = (args, options)
        names = tree.paths(args, "argument") + tree.paths(options)
        asked = _spread(in_axes, args, "in_axes") + [0] * len(tree.leaves(options))
        self.axes = [
            None if axis is None or leaf is None else _checked(axis, leaf, name)
            for axis, leaf, name in zip(asked, tree.leaves(given), names, strict=True)
        ]
        sizes = {
            name: leaf.shape[axis]
            for axis, leaf, name in zip(self.axes, tree.leaves(given), names, strict=True)
            if axis is not None
        }
        if not sizes:
            raise ValueError("vmap: no argument is mapped; wanted an axis for at least one")
        if len(set(sizes.values())) > 1 or 0 in sizes.values():
            raise ValueError(
                f"vmap: the mapped axes have sizes {sizes}; wanted one size for all, 1 or more"
            )
        self.batch = next(iter(sizes.values()))

    def looped(self, *args: Any, **options: Any) -> Any:
        """One example after the other."""
        given = (args, options)
        columns = [
            [leaf] * self.batch if axis is None else _along(leaf, axis)
            for leaf, axis in zip(tree.leaves(given), self.axes, strict=True)
        ]
        results = []
        for row in zip(*columns, strict=True):
            own, named = tree.rebuild(given, iter(row))
            results.append(self.f(*own, **named))
        structure = tree.paths(results[0])
        for b, result in enumerate(results):
            if tree.paths(result) != structure:
                raise ValueError(
                    f"vmap: f gave {structure} for the first example and {tree.paths(result)} for "
                    f"example {b}; wanted the same structure"
                )
        parts = zip(*[tree.leaves(result) for result in results], strict=True)
        axes = _spread(self.out_axes, results[0], "out_axes")
        return tree.rebuild(
            results[0],
            iter([_stacked(*entry) for entry in zip(parts, axes, structure, strict=True)]),
        )

    def at_once(self, args: Any, options: Any, *, must: bool) -> Any:
        """All examples at once, if f allows it."""
        given = (args, options)
        call = _AtOnce(self, given)
        try:
            if current().recording:
                result = call.first(tree.leaves(given))
            else:
                result = call.unrecorded(tree.leaves(given))
            if any(repr(g.bit_generator.state) != repr(state) for g, state in call.draws):
                raise TypeError("random numbers were drawn, which every example has its own of")
        except Exception as error:
            for generator, state in call.draws:
                generator.bit_generator.state = state
            if must:
                raise ValueError(
                    f"vmap: {call.name} would need a loop over the examples: {error}"
                ) from error
            return self.looped(*args, **options)
        return result


class _AtOnce(Call):
    """A call of a function on arrays that hide their batch axis."""

    kind = "vmap"

    def __init__(self, mapping: _Mapping, given: Any) -> None:
        super().__init__(mapping.looped, given)
        self.name = getattr(mapping.f, "__qualname__", None) or repr(mapping.f)
        self.mapping = mapping
        self.out_axes: list[int | None] = []

    def unrecorded(self, leaves: Sequence[Any]) -> Any:
        """Run it, with no record of anything."""
        stand_ins: list[Any] = []
        for k in self.arrays:
            x = leaves[k]
            is_tensor = isinstance(x, Tensor)
            value = self.entering(k, x._value if is_tensor else x)
            if is_tensor:
                value = of_precision(Tensor(value, None, 0), self.precisions[k])
            stand_ins.append(value)
        return self.run(stand_ins)[0]

    def run(self, stand_ins: Sequence[Any], linked: bool = False) -> tuple[Any, list[Tensor]]:
        if linked:
            return super().run(stand_ins, linked)
        args, options = self.arguments(stand_ins)
        value = self.mapping.f(*args, **options)
        axes = _spread(self.mapping.out_axes, value, "out_axes")
        entries = list(zip(tree.leaves(value), axes, tree.paths(value), strict=True))
        outputs = [leaf for leaf in tree.leaves(value) if isinstance(leaf, Tensor)]
        self.out_axes = [axis for leaf, axis, _ in entries if isinstance(leaf, Tensor)]
        seen = [self._seen(*entry) for entry in entries]
        return tree.rebuild(value, iter(seen)), outputs

    def _seen(self, leaf: Any, axis: int | None, name: str) -> Any:
        """A result with its batch axis."""
        where = f", at {name}," if name else ""
        value = leaf._value if isinstance(leaf, Tensor) else leaf
        if not isinstance(value, Lanes) and np.asarray(value).dtype.kind not in "fiub":
            raise TypeError(f"f gave{where} a {type(leaf).__name__}")
        if axis is None:
            if isinstance(value, Lanes):
                raise TypeError(f"out_axes is None{where} but the results may differ")
        else:
            _check_out(axis, np.ndim(value), where)
            value = joined(value, self.mapping.batch, axis)
        if not isinstance(leaf, Tensor):
            return value
        return of_precision(Tensor(value, leaf._node, leaf._port), precision(leaf))

    def entering(self, k: int | None, value: Any) -> Any:
        axis = None if k is None else self.mapping.axes[k]
        return value if axis is None else Lanes(np.moveaxis(value, axis, 0), self)

    def leaving(self, k: int | None, g: Any) -> Any:
        axis = None if k is None else self.mapping.axes[k]
        if axis is None:
            return added_up(g, self.mapping.batch)
        return joined(g, self.mapping.batch, axis)

    def result_entering(self, j: int, g: Any) -> Any:
        axis = self.out_axes[j]
        # a value that is the same for all is a result once, of one example as good as of any other
        return g / self.mapping.batch if axis is None else Lanes(np.moveaxis(g, axis, 0), self)

    def result_leaving(self, j: int, t: Any) -> Any:
        axis = self.out_axes[j]
        return t if axis is None else joined(t, self.mapping.batch, axis)

    def pulled(self, g: Any, saved: Sequence[Any], node: Node) -> list[Any]:
        try:
            return super().pulled(g, saved, node)
        except Exception:  # a rule that knows no arrays but NumPy's; or a fault, which comes again
            if _tensors((g, saved)):
                raise
            given = tree.map_leaves(lambda part: wrap(part, None, 0), g)
            found: list[Any] = _values(super().pulled(given, as_tensors(node, saved), node))
            return found

    def pushed(self, i: int, t: Any, inside: Inside, record: bool) -> Any:
        try:
            return super().pushed(i, t, inside, record)
        except Exception:
            if record:
                raise
            node = inside.node
            looped = self.again(as_tensors(node, inside.saved), node, True)
            return _values(super().pushed(i, wrap(t, None, 0), looped, True))


def _tensors(values: Any) -> bool:
    return any(isinstance(x, Tensor) for x in tree.leaves(values))


def _values(results: Any) -> Any:
    return tree.map_leaves(lambda x: x._value if isinstance(x, Tensor) else x, results)


def _spread(axes: Axes, over: Any, who: str) -> list[int | None]:
    """An axis for every leaf, from axes that may stand for whole parts of the structure."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(tree.leaves(over))
    own, theirs = tree.entries(axes), tree.entries(over)
    if own is None:
        raise TypeError(f"vmap: {who} has a {type(axes).__name__}; wanted axes (int) and None")
    if theirs is None or [key for key, _ in own] != [key for key, _ in theirs]:
        has = "a leaf" if theirs is None else f"parts {[key for key, _ in theirs]}"
        raise ValueError(
            f"vmap: {who} has parts {[key for key, _ in own]}; the value it is for has {has}"
        )
    pairs = zip(own, theirs, strict=True)
    return [axis for (_, a), (_, part) in pairs for axis in _spread(a, part, who)]


def _checked(axis: int, leaf: Any, name: str) -> int:
    """The axis counted from the front."""
    shape = getattr(leaf, "shape", None)
    if shape is None or not -len(shape) <= axis < len(shape):
        given = f"a {type(leaf).__name__}" if shape is None else f"of shape {shape}"
        raise ValueError(
            f"vmap: {name} is {given} and has no axis {axis} to map over; in_axes is None for "
            "values that are the same for all examples"
        )
    return axis % len(shape)


def _along(leaf: Any, axis: int) -> Sequence[Any]:
    """The examples of an argument."""
    parts: Sequence[Any] = ops.unstack(leaf, axis)
    return parts


def _stacked(parts: Sequence[Any], axis: int | None, name: str) -> Any:
    """The results of all examples as one."""
    where = f", at {name}," if name else ""
    arrays = [x if isinstance(x, Tensor) else np.asarray(x) for x in parts]
    kinds = {x.dtype.kind for x in arrays}
    if kinds - set("fiub"):
        raise TypeError(
            f"vmap: f gave{where} a {type(parts[0]).__name__}; wanted tensors, arrays or numbers"
        )
    shapes: dict[Any, int] = {}
    for b, x in enumerate(arrays):
        shapes.setdefault(x.shape, b)
    if len(shapes) > 1:
        raise ValueError(
            f"vmap: f gave{where} results of shapes "
            f"{', '.join(f'{shape} (example {b})' for shape, b in shapes.items())}; "
            "wanted one shape for all"
        )
    if axis is None:
        values = [x.numpy() if isinstance(x, Tensor) else x for x in arrays]
        if any(not np.array_equal(v, values[0], equal_nan=True) for v in values):
            raise ValueError(
                f"vmap: out_axes is None{where} but the results differ from example to example"
            )
        return parts[0]
    _check_out(axis, arrays[0].ndim, where)
    return ops.stack(arrays, axis)


def _check_out(axis: int, ndim: int, where: str) -> None:
    if not -ndim - 1 <= axis <= ndim:
        raise ValueError(f"vmap: out_axes is {axis}{where} where results have {ndim} axes")
