"""The inputs of an unrolled cell: trees with time first, lengths, and the order of the steps.

Every executor (`unroll`, windows, checkpointed and compiled ones) takes its inputs through
`sequence` and asks the result for one step, for a window of steps, or for all of them with time
first.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from . import ops, tree
from .graph import Array
from .notation import several
from .tensor import FLOAT, Tensor

NOT_ARRAYS = (str, bytes, bool, int, float, complex)


class Sequence:
    """T steps of inputs for a batch of B sequences, in their true time order.

    batch_size  B
    active      (T, B), truth values: which steps each sequence has; None if all have all
    start       the number of the first step
    reverse     whether the steps are run from the last to the first

    `len(it)` is T; `it.step(i)` is the input of step i, counted from 0; `it.window(a, b)` the steps
    a to b - 1 as a sequence; `it.stacked()` all of them as one tree with time first; `it.order()`
    the positions in the order in which they are run, and `it.time(i)` the number of a step.

    >>> import numpy as np
    >>> xs = sequence((np.ones((4, 2, 3)), np.ones((4, 2))), lengths=[4, 1], reverse=True)
    >>> len(xs), xs.batch_size, [part.shape for part in xs.step(0)], xs.active[:, 1]
    (4, 2, [(2, 3), (2,)], array([ True, False, False, False]))
    >>> [xs.time(i) for i in xs.order()], len(xs.window(1, 3))
    ([4, 3, 2, 1], 2)
    """

    __slots__ = ("_listed", "_stacked", "active", "batch_size", "reverse", "start")

    def __init__(
        self,
        listed: list[Any] | None,
        stacked: Any,
        batch_size: int,
        active: Array | None,
        start: int,
        reverse: bool,
    ) -> None:
        self._listed = listed
        self._stacked = stacked
        self.batch_size = batch_size
        self.active = active
        self.start = start
        self.reverse = reverse

    def __len__(self) -> int:
        return len(tree.leaves(self._stacked)[0]) if self._listed is None else len(self._listed)

    def __repr__(self) -> str:
        return f"Sequence({several(len(self), 'step')}, {self.batch_size} in the batch)"

    def step(self, i: int) -> Any:
        """The input of step i, counted from 0."""
        if self._listed is None:  # one step needs no list of all
            return tree.map_leaves(lambda leaf: leaf[i], self._stacked)
        return self._listed[i]

    def steps(self) -> list[Any]:
        """The inputs of all steps, in time order."""
        if self._listed is None:
            names = tree.paths(self._stacked, "x")
            leaves = [
                self._apart(leaf, name) if isinstance(leaf, Tensor) else leaf
                for leaf, name in zip(tree.leaves(self._stacked), names, strict=True)
            ]
            if len(leaves) == 1 and tree.entries(self._stacked) is None:
                self._listed = list(leaves[0])
            else:
                rows = zip(*leaves, strict=True)
                self._listed = [tree.rebuild(self._stacked, iter(row)) for row in rows]
        return self._listed

    def _apart(self, leaf: Tensor, name: str) -> tuple[Tensor, ...]:
        """x_t of all steps, called so after the tensor that they are parts of."""
        parts = ops.unstack(leaf)
        for i, part in enumerate(parts):
            if part._node is not None:
                part.named(f"{leaf.name or name}_{self.time(i)}")
        return parts

    def stacked(self) -> Any:
        """The inputs of all steps as one tree of arrays and tensors with time first."""
        if self._stacked is None:
            assert self._listed is not None
            self._stacked = joined(self._listed)
        return self._stacked

    def window(self, begin: int, end: int) -> Sequence:
        """The steps from position `begin` to `end` - 1, with the numbers that they have here."""
        part = copy.copy(self)
        if self._listed is not None:
            part._listed, part._stacked = self._listed[begin:end], None
        else:
            part._stacked = tree.map_leaves(lambda leaf: leaf[begin:end], self._stacked)
        part.active = None if self.active is None else self.active[begin:end]
        part.start = self.start + begin
        return part

    def reversed(self) -> Sequence:
        """The same steps, run in the other direction."""
        other = copy.copy(self)
        other.reverse = not self.reverse
        return other

    def with_inputs(self, steps: list[Any]) -> Sequence:
        """Other inputs for the same steps, as those of a layer above."""
        other = copy.copy(self)
        other._listed, other._stacked = steps, None
        return other

    def of(self, stacked: Any) -> Sequence:
        """The same steps with these inputs, a tree with time first."""
        other = copy.copy(self)
        other._listed, other._stacked = None, stacked
        return other

    def order(self) -> range:
        """The positions of the steps in the order in which they are run."""
        n = len(self)
        return range(n - 1, -1, -1) if self.reverse else range(n)

    def time(self, i: int) -> int:
        """The number of the step at position i."""
        return self.start + i

    def settle(self, i: int, output: Any, before: Any, after: Any) -> tuple[Any, Any]:
        """Output and state after step i: zeros, and the state before, for sequences that lack it.

        Raises ValueError for a part of the state or the output that has no axis for the batch.
        """
        if self.active is None:
            return output, after
        active, t = self.active[i], self.time(i)

        def chosen(of: str, new: Any, old: Any, path: str) -> Any:
            shape = np.shape(new)
            if len(shape) == 0 or shape[0] != self.batch_size:
                raise ValueError(
                    f"unroll in timestep {t}: {of}{' ' + path if path else ''} has shape {shape}, "
                    f"which is not one for each of {self.batch_size} sequences, so it cannot stay "
                    f"as it is for those that have ended; wanted ({self.batch_size}, ...)"
                )
            mask = active.reshape(-1, *[1] * (len(shape) - 1))
            return ops.where(mask, new, old)

        def all_chosen(of: str, new: Any, old: Iterator[Any]) -> Any:
            parts = zip(tree.leaves(new), old, tree.paths(new), strict=False)
            return tree.rebuild(new, iter([chosen(of, *part) for part in parts]))

        shown = all_chosen("the output", output, itertools.repeat(0.0))
        state = all_chosen("the state", after, iter(tree.leaves(before)))
        for new, kept in zip(tree.leaves(after), tree.leaves(state), strict=True):
            _rename(new, kept, t)
        return shown, state


def _rename(new: Any, kept: Any, t: int) -> None:
    """The state that a step hands on has the name of the state that was computed."""
    node = getattr(new, "_node", None)
    if node is not None and node.primitive is not None and node.place.step == t and new.name:
        kept.named(new.name)
        del node.names[new._port]


def sequence(
    xs: Any,
    dtype: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    start: int = 1,
    time_axis: int = 0,
    batch_size: int | None = None,
    who: str = "unroll",
) -> Sequence:
    """Inputs as every executor takes them.

    xs          an array or a tensor with time first, (T, B, ...); or a tree of them (a tuple, a
                named tuple, a dict, a dataclass), whose leaves may lack the batch, (T,). Or the
                inputs of the steps, one after the other: a list or an iterator of trees of arrays
                (B, ...). A tuple is always a tree: a list is a list of steps
    dtype       floats take this dtype; None leaves them as they are
    lengths     (B,) integers, 0 to T: how many steps each sequence has
    mask        (T, B) truth values instead: which steps each sequence has
    reverse     run the last step first
    start       the number of the first step in time
    time_axis   where time is in xs and mask
    batch_size  B, if the inputs do not tell it

    A sequence's padding is replaced by an input that it really has, the last one before, so nothing
    that stands there is computed with: neither a NaN, nor a class number that there is not.

    Raises ValueError for shapes that do not fit together, no steps, lengths out of range; TypeError
    for anything but arrays.
    """
    if not hasattr(start, "__index__"):
        raise TypeError(f"{who}: start={start!r}; wanted an integer, the number of the first step")
    usual = (type(xs) is np.ndarray or type(xs) is Tensor) and xs.ndim > 2 and len(xs) > 0
    if usual and not time_axis and lengths is mask is batch_size is None:
        return Sequence(None, _of(xs, dtype, f"{who}: xs"), xs.shape[1], None, start, reverse)
    steps, stacked = _apart(xs, dtype, time_axis, who)
    if steps is not None:
        steps = [_arrays(step, dtype, f"{who}: step {start + i}") for i, step in enumerate(steps)]
        _alike(steps, start, who)
        found = _batch(steps[0], 0, batch_size, who, f"x_{start}")
    else:
        stacked = _arrays(stacked, dtype, f"{who}: xs")
        stacked = _time_first(stacked, time_axis, who)
        found = _batch(stacked, 1, batch_size, who, "xs")
    made = Sequence(steps, stacked, found, None, start, reverse)
    active = _active(lengths, mask, len(made), found, time_axis, who)
    if active is None or active.all():
        return made
    return _filled(made, active)


# ------------------------------------------------------------------------------------------------
# A list of steps, or a tree with time first


def _apart(xs: Any, dtype: Any, time_axis: int, who: str) -> tuple[list[Any] | None, Any]:
    """(the inputs of the steps, None), or (None, a tree with time in it)."""
    if isinstance(xs, Iterator) or (
        isinstance(xs, Iterable)
        and tree.entries(xs) is None
        and not _is_array(xs)
        and not isinstance(xs, NOT_ARRAYS)
    ):
        xs = list(xs)
    if not isinstance(xs, list):
        if isinstance(xs, tuple) and not hasattr(xs, "_fields"):
            _refuse_ambiguous(xs, who)
        return None, xs
    if not xs:
        raise ValueError(f"{who}: the sequence is empty; wanted at least one step")
    first = xs
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, NOT_ARRAYS):
        try:
            numbers = np.asarray(xs)  # lists of numbers, nested as an array
        except ValueError as error:
            raise ValueError(
                f"{who}: lists of numbers that are not of one length; pad them "
                "(tg.data.pad) and pass lengths="
            ) from error
        return None, _of(numbers, dtype or FLOAT, who)
    if time_axis != 0:
        raise ValueError(
            f"{who}: time_axis={time_axis} with a list of step inputs, whose place in the list is "
            "their time; wanted an array, or time_axis=0"
        )
    return xs, None


def _refuse_ambiguous(xs: tuple[Any, ...], who: str) -> None:
    if not xs:
        raise ValueError(f"{who}: the sequence is empty; wanted at least one step")
    if len(xs) == 1 and _is_array(xs[0]):
        raise ValueError(
            f"{who}: a tuple of one array {np.shape(xs[0])}, which would be an input of one part; "
            "give the array, xs[0], or [xs[0]] if it is the input of one step"
        )
    shapes = {np.shape(x) for x in xs if _is_array(x) and _kind(x) == "f"}
    if len(shapes) == 1 and all(map(_is_array, xs)):
        (shape,) = shapes
        if len(shape) == 2:
            a, b = shape
            raise ValueError(
                f"{who}: a tuple of {len(xs)} arrays {shape} may be {len(xs)} steps or, as tuples "
                f"are, one input of {len(xs)} parts over {a} steps; for steps give a list, "
                f"list(xs); for parts a dict, or arrays ({a}, {b}, 1)"
            )


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _kind(x: Any) -> str:
    return str(getattr(x.dtype, "kind", np.asarray(x).dtype.kind if _is_foreign(x) else ""))


def _is_foreign(x: Any) -> bool:
    """Whether this is another library's array that NumPy's functions would not leave as it is."""
    return not isinstance(x, Tensor | np.ndarray) and not hasattr(x, "__array_function__")


def _arrays(part: Any, dtype: Any, who: str) -> Any:
    """A tree whose leaves are arrays and tensors, its floats of a dtype."""
    if type(part) is np.ndarray or isinstance(part, Tensor):
        return _of(part, dtype, who)

    def leaf(x: Any) -> Any:
        if _is_array(x) and not _is_foreign(x):
            return _of(x, dtype, who)
        try:
            array = np.asarray(x)
        except Exception as error:
            raise TypeError(
                f"{who}: a {type(x).__module__.split('.')[0]} {type(x).__name__} that does not "
                f"turn into an array ({error})"
            ) from error
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"{who}: given a {type(x).__name__}; wanted arrays or tensors of numbers, "
                "(T, B, ...) with time first, or a list of step inputs (B, ...)"
            )
        return _of(array, dtype, who)

    return tree.map_leaves(leaf, part)


def _of(array: Any, dtype: Any, who: str) -> Any:
    if dtype is None or isinstance(array, Tensor) or array.dtype.kind != "f":
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype, copy=False)
    except FloatingPointError:
        largest = float(np.abs(array[np.isfinite(array)]).max())
        raise ValueError(
            f"{who}: {largest:.4g} is too large for {np.dtype(dtype)}, the dtype of the cell; "
            f"scale the data, or compute in {array.dtype}: cell.astype({str(array.dtype)!r})"
        ) from None


def _time_first(stacked: Any, time_axis: int, who: str) -> Any:
    leaves, paths = tree.leaves(stacked), tree.paths(stacked, "xs")
    if not leaves:
        raise ValueError(f"{who}: xs has no arrays in it")
    for leaf, path in zip(leaves, paths, strict=True):
        if leaf.ndim == 0:
            raise ValueError(shape_wanted(np.shape(leaf), path, who))
        if not -leaf.ndim <= time_axis < leaf.ndim:
            raise ValueError(f"{who}: time_axis={time_axis}, but {path} has shape {leaf.shape}")
    if time_axis:
        stacked = tree.map_leaves(lambda leaf: _moved(leaf, time_axis), stacked)
        leaves = tree.leaves(stacked)
    if 0 in {leaf.shape[0] for leaf in leaves}:
        raise ValueError(shape_wanted(leaves[0].shape, paths[0], who))
    if len({leaf.shape[0] for leaf in leaves}) > 1:
        shapes = ", ".join(f"{p} {leaf.shape}" for p, leaf in zip(paths, leaves, strict=True))
        raise ValueError(
            f"{who}: the arrays differ in their number of steps: {shapes}; wanted time first in "
            "all of them (the inputs of steps, one after the other, are given as a list)"
        )
    return stacked


def _moved(leaf: Any, time_axis: int) -> Any:
    move = ops.moveaxis if isinstance(leaf, Tensor) else np.moveaxis
    return move(leaf, time_axis, 0)


def _alike(steps: list[Any], start: int, who: str) -> None:
    """Refuse step inputs that are not structured as the first."""
    if all(tree.entries(step) is None for step in steps):
        return
    wanted = tree.paths(steps[0])
    for i, step in enumerate(steps):
        if tree.paths(step) != wanted:
            raise ValueError(
                f"{who}: the input of step {start + i} has the parts "
                f"{', '.join(tree.paths(step, 'x'))}; wanted those of step {start}: "
                f"{', '.join(tree.paths(steps[0], 'x'))}"
            )


def _batch(tree_of: Any, axis: int, given: int | None, who: str, name: str) -> int:
    """B: the size of the arrays along their batch axis."""
    if given is not None:
        return given
    leaves, paths = tree.leaves(tree_of), tree.paths(tree_of, name)
    if len(leaves) == 1 and tree.entries(tree_of) is None:
        (leaf,) = leaves
        if leaf.ndim < axis + (2 if _kind(leaf) == "f" else 1):
            raise ValueError(shape_wanted(leaf.shape, name, who, axis))
        return int(leaf.shape[axis])
    sizes = {leaf.shape[axis] for leaf in leaves if leaf.ndim > axis}
    if len(sizes - {1}) > 1:
        shapes = ", ".join(f"{p} {leaf.shape}" for p, leaf in zip(paths, leaves, strict=True))
        raise ValueError(
            f"{who}: the inputs do not tell the size of the batch, axis {axis}: {shapes}; "
            "pass batch_size="
        )
    return int(next(iter(sizes - {1} or sizes or {1})))


def joined(steps: list[Any]) -> Any:
    """Trees of equal structure as one tree, their leaves stacked with time first."""
    first = steps[0]
    if tree.entries(first) is None:
        return _stack(steps)
    parts = zip(*map(tree.leaves, steps), strict=True)
    return tree.rebuild(first, iter([_stack(part) for part in parts]))


def _stack(parts: Any) -> Any:
    stack: Callable[[Any], Any] = (
        ops.stack if any(isinstance(part, Tensor) for part in parts) else np.stack
    )
    return stack(list(parts))


# ------------------------------------------------------------------------------------------------
# Lengths


def _active(lengths: Any, mask: Any, T: int, B: int, time_axis: int, who: str) -> Array | None:
    """(T, B) truth values, or None."""
    if lengths is None and mask is None:
        return None
    if lengths is not None and mask is not None:
        raise ValueError(f"{who}: given lengths and a mask; wanted one of them")
    if mask is not None:
        active = np.asarray(mask.numpy() if isinstance(mask, Tensor) else mask)
        active = np.moveaxis(active, time_axis, 0) if time_axis and active.ndim > 1 else active
        if active.shape != (T, B) or not np.isin(active, (0, 1)).all():
            hint = ""
            if active.shape == (B, T) and T != B:
                hint = _other_way(T, B)
            raise ValueError(
                f"{who}: mask of shape {active.shape}, {active.dtype}; wanted ({T}, {B}) truth "
                f"values, one for each step and sequence{hint}"
            )
        return active.astype(bool)
    numbers = np.asarray(lengths.numpy() if isinstance(lengths, Tensor) else lengths)
    if numbers.shape != (B,) or numbers.dtype.kind not in "iu":
        hint = ""
        if numbers.shape == (T,) and T != B:
            hint = _other_way(T, B)
        raise ValueError(
            f"{who}: lengths of shape {numbers.shape}, {numbers.dtype}; wanted ({B},) integers, "
            f"one for each sequence{hint}"
        )
    if B and not (numbers.min() >= 0 and numbers.max() <= T):
        raise ValueError(
            f"{who}: lengths from {numbers.min()} to {numbers.max()}; wanted 0 to {T}, the number "
            "of steps of xs"
        )
    return np.arange(T)[:, None] < numbers


def _other_way(T: int, B: int) -> str:
    return (
        f"; xs has {T} steps of {B} sequences: if it is the other way, time_axis=1 "
        "(batch_first=True of a layer)"
    )


def _filled(made: Sequence, active: Array) -> Sequence:
    """The sequence with inputs in its padding that it really has."""
    T, B = active.shape
    times = np.where(active, np.arange(T)[:, None], -1)
    last = np.maximum.accumulate(times, axis=0)
    first = np.argmax(active, axis=0)
    t = np.where(last < 0, first, last)
    has = active.any(axis=0)
    b = np.broadcast_to(np.arange(B), (T, B))
    if not has.all() and has.any():  # a sequence without steps borrows those of another
        other = int(np.argmax(has))
        b = np.where(has, b, other)
        t = np.where(has, t, t[:, other : other + 1])

    def fill(leaf: Any) -> Any:
        if leaf.ndim < 2 or leaf.shape[1] != B:
            return leaf
        if not has.any():
            return np.zeros(leaf.shape, leaf.dtype)
        return leaf[t, b]

    made._stacked = tree.map_leaves(fill, made.stacked())
    made._listed = None
    made.active = active
    return made


def shape_wanted(shape: tuple[int, ...], name: str, who: str, axis: int = 1) -> str:
    """Of an error: a shape that cannot be inputs."""
    if axis == 0:
        return (
            f"{who}: {name} of shape {shape}; wanted (B, I), the input of one step (for one "
            "sequence without a batch, x[None]), or class numbers (B,)"
        )
    return (
        f"{who}: {name} of shape {shape}; wanted (T, B, I) with at least one step, T >= 1 "
        "(time first; for one sequence without a batch use xs[:, None])"
    )
