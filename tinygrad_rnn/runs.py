"""One run of a function on stand-ins for its arguments: the beginning of every transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import tree
from .autodiff import gradients
from .graph import Leaf, Place, Shape, State, _Setting, current
from .lanes import Lanes
from .primitive import apply1, linear
from .sweep import pushforward
from .tensor import FLOAT, Tensor, real_array

same = linear("same", lambda x: x, lambda g: g)


class placed(_Setting):  # noqa: N801
    """Everything in this block is at this place."""

    __slots__ = ("_place",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def _changed(self, outer: State) -> State:
        return State(self._place, outer.recording, outer.inspectors, self, outer)


class recorded(_Setting):  # noqa: N801
    """Record in this block, in spite of settings outside; at a place, if one is given."""

    __slots__ = ("_place",)

    def __init__(self, place: Place | None = None) -> None:
        super().__init__()
        self._place = place

    def _changed(self, outer: State) -> State:
        return State(self._place or outer.place, True, outer.inspectors, self, outer)


class StandInRun:
    """One run of a function on stand-ins for the arguments that are differentiated.

    chosen   those arguments, as given: a tuple
    inputs   the stand-ins for their leaves
    value    the function's result
    aux      its second result, beside that value, if it has one (has_aux); None otherwise
    outputs  the leaves of the value as tensors
    outer    whether anything was used that had been recorded before
    """

    def __init__(
        self,
        who: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        argnums: Sequence[int],
        options: dict[str, Any],
        has_aux: bool = False,
    ) -> None:
        since = Leaf("tensor", (), FLOAT, None).serial  # this run's nodes have larger numbers
        self.who = who
        self.chosen = tuple([_argument(who, args, i) for i in argnums])
        names = [
            name
            for i, part in zip(argnums, self.chosen, strict=True)
            for name in tree.paths(part, f"argument {i}")
        ]
        self.inputs = [
            stand_in(leaf, f"{who}: {name}")
            for leaf, name in zip(tree.leaves(self.chosen), names, strict=True)
        ]
        full = list(args)
        for i, part in zip(argnums, tree.rebuild(self.chosen, iter(self.inputs)), strict=True):
            full[i] = part
        with recorded():
            self.value = f(*full, **options)
        self.aux: Any = None
        if has_aux:
            self.value, self.aux = _with_aux(who, self.value)
        self.outputs = [
            output(leaf, f"{who}: the function returned, at {name or 'the top'},")
            for leaf, name in zip(tree.leaves(self.value), tree.paths(self.value), strict=True)
        ]
        beside = [leaf for leaf in tree.leaves(self.aux) if isinstance(leaf, Tensor)]
        self.outer = _reaches_outside(self.outputs + beside, since)

    def recording(self, *given: Any) -> bool:
        """Whether a derivative is to be recorded, computed now from these (co)tangents."""
        return current().recording and (
            self.outer or any(isinstance(g, Tensor) and g.recorded for g in given)
        )

    def result(self) -> Any:
        """The value as it is handed out: tensors if it is recorded, arrays otherwise."""
        return self._out(self.value)

    def beside(self, *results: Any) -> tuple[Any, ...]:
        """Results with the function's second result (aux), handed out in the same way."""
        return (*results, self._out(self.aux))

    def _out(self, values: Any) -> Any:
        if self.recording():
            return values
        return tree.map_leaves(lambda v: _plain(v) if isinstance(v, Tensor) else v, values)

    def pull(self, cotangents: Sequence[Any], keep: bool) -> list[Any]:
        """Reverse mode: a cotangent per output (or None) to one per input."""
        record = self.recording(*cotangents)
        pairs = [
            (output, g)
            for output, g in zip(self.outputs, cotangents, strict=True)
            if g is not None and output.recorded
        ]
        if not pairs:
            return [handed_out(None, x.shape, x.dtype, record) for x in self.inputs]
        outputs, seeds = zip(*pairs, strict=True)
        if record:
            found: Any = gradients(outputs, self.inputs, seeds, create_graph=True)
        else:
            found = gradients(outputs, self.inputs, seeds, keep_record=keep)
        return list(found)

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """Forward mode: a tangent per input (or None) to one per output."""
        record = self.recording(*tangents)
        seeds = [
            (x, _tangent(t, record))
            for x, t in zip(self.inputs, tangents, strict=True)
            if t is not None
        ]
        found = pushforward(seeds, self.outputs, record=record)
        return [
            handed_out(t, y.shape, y.dtype, record)
            for t, y in zip(found, self.outputs, strict=True)
        ]


def _with_aux(who: str, returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        size = f" of {len(returned)}" if isinstance(returned, tuple) else ""
        raise TypeError(
            f"{who}: has_aux=True wants a function that returns a pair (value, aux); "
            f"this one returned a {type(returned).__name__}{size}"
        )
    return returned


def _argument(who: str, args: Sequence[Any], i: int) -> Any:
    if not -len(args) <= i < len(args):
        raise TypeError(
            f"{who}: asked to differentiate argument {i}, but the call has {len(args)} "
            "positional arguments"
        )
    return args[i]


def stand_in(leaf: Any, who: str) -> Tensor:
    """A tensor of the same value that only this run knows, linked to the source of the value."""
    if isinstance(leaf, Tensor):
        if leaf.recorded and current().recording:
            linked: Tensor = apply1(same, leaf)
            return linked
        array = leaf._value
    elif isinstance(leaf, Lanes):
        array = leaf
    else:
        array = real_array(leaf, None, who)
    return Tensor(array, Leaf("tensor", array.shape, array.dtype, None), 0)


def output(leaf: Any, who: str) -> Tensor:
    """The function's result as a tensor; a number or array is a constant."""
    if isinstance(leaf, Tensor):
        return leaf
    if isinstance(leaf, Lanes):
        return Tensor(leaf, None, 0)
    dtype = None if getattr(leaf, "dtype", FLOAT).kind == "f" else FLOAT
    return Tensor(real_array(leaf, dtype, who), None, 0)


def _reaches_outside(outputs: Sequence[Tensor], since: int) -> bool:
    """Whether the record of the outputs goes back to before a serial number."""
    stack = [y._node for y in outputs if y._node is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.serial < since:
            return True
        for source in node.inputs:
            if source is not None and source not in seen:
                seen.add(source)
                stack.append(source)
    return False


def _plain(x: Tensor) -> Any:
    """The value by itself."""
    return x._value if isinstance(x._value, Lanes) else x.numpy()


def _tangent(t: Any, record: bool) -> Any:
    if record:
        return t if isinstance(t, Tensor) else Tensor(t, None, 0)
    return _plain(t) if isinstance(t, Tensor) else t


def handed_out(derivative: Any, shape: Shape, dtype: Any, record: bool) -> Any:
    """A derivative as it is handed out; zeros where there is no dependence."""
    if derivative is None:
        derivative = np.zeros(shape, dtype)
    if record:
        return derivative if isinstance(derivative, Tensor) else Tensor(derivative, None, 0)
    if isinstance(derivative, Lanes):
        return derivative
    array = np.asarray(derivative).view()
    array.flags.writeable = False
    return array


def matched(given: Any, pattern: Any, like: Sequence[Tensor], who: str) -> list[Any]:
    """The leaves of tangents or cotangents, checked against the values they belong to."""
    names = tree.paths(pattern, who)
    if tree.paths(given, who) != names:
        raise ValueError(f"{who}: given {tree.paths(given, who)}, wanted the structure {names}")
    return [
        _as_vector(leaf, x, name)
        for leaf, x, name in zip(tree.leaves(given), like, names, strict=True)
    ]


def _as_vector(given: Any, like: Tensor, name: str) -> Any:
    """A tangent or cotangent of the shape and dtype of the value it belongs to."""
    if not isinstance(given, Tensor | Lanes):
        given = real_array(given, like.dtype, name)
    elif given.dtype != like.dtype:
        given = given.astype(like.dtype)
    if given.shape != like.shape:
        raise ValueError(f"{name}: given shape {given.shape}, wanted {like.shape}")
    return given
