"""Transforms: from a function to its gradient, its Jacobian, its derivative along a direction.

Arguments that are differentiated are tensors, arrays or numbers, or nested tuples, lists, dicts
and dataclasses of them; results have the same structure. Each call puts stand-ins in place of its
arguments, runs the function once and differentiates with respect to those stand-ins and nothing
else. That is why transforms nest in any order without mixing up levels.

One rule says what comes out, the rule of every operation: **tensors if something recorded went
in, plain arrays otherwise.** Something recorded is a tensor or parameter, given as an argument or
used by the function from outside; then the derivative is itself recorded and can be differentiated
again. Arrays in and nothing recorded used, or a call under `no_grad()`: read-only arrays out, at
the speed of a plain backward pass.

A closed-over parameter counts as recorded, so that a gradient penalty reaches it:

>>> import numpy as np, tinygrad_rnn as tg
>>> w = tg.Parameter([3.0], "w")
>>> x = np.array([2.0], np.float32)
>>> slope = tg.grad(lambda x: (w * x * x).sum())(x)      # 2 w x, a tensor
>>> tg.gradients((slope * slope).sum(), w)               # 8 w x^2
array([96.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import ops, tree
from .autodiff import gradients
from .graph import Leaf, Shape, State, _Setting, current
from .primitive import apply1, linear
from .sweep import pushforward
from .tensor import FLOAT, Tensor, real_array

Argnums = int | tuple[int, ...]
"""Which positional arguments to differentiate: one, or several."""

_same = linear("same", lambda x: x, lambda g: g)


class _recorded(_Setting):  # noqa: N801
    """Record what happens in this block, whatever was set outside."""

    __slots__ = ()

    def _changed(self, outer: State) -> State:
        return State(outer.place, True, outer.anomalies, self, outer)


class _Run:
    """One run of a function on stand-ins for the arguments that are differentiated.

    chosen   those arguments, as given: a tuple
    inputs   the stand-ins for their leaves
    value    what the function returned
    outputs  its leaves as tensors
    outer    whether anything was used that had been recorded before
    """

    def __init__(
        self,
        who: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        argnums: Sequence[int],
        options: dict[str, Any],
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
            _stand_in(leaf, f"{who}: {name}")
            for leaf, name in zip(tree.leaves(self.chosen), names, strict=True)
        ]
        full = list(args)
        for i, part in zip(argnums, tree.rebuild(self.chosen, iter(self.inputs)), strict=True):
            full[i] = part
        with _recorded():
            self.value = f(*full, **options)
        self.outputs = [
            _output(leaf, f"{who}: the function returned, at {name or 'the top'},")
            for leaf, name in zip(tree.leaves(self.value), tree.paths(self.value), strict=True)
        ]
        self.outer = _reaches_outside(self.outputs, since)

    def recording(self, *given: Any) -> bool:
        """Whether a derivative is to be recorded, computed now from these (co)tangents."""
        return current().recording and (
            self.outer or any(isinstance(g, Tensor) and g.recorded for g in given)
        )

    def result(self) -> Any:
        """The value as it is handed out: tensors if it is recorded, arrays otherwise."""
        if self.recording():
            return self.value
        return tree.map_leaves(lambda v: v.numpy() if isinstance(v, Tensor) else v, self.value)

    def pull(self, cotangents: Sequence[Any], keep: bool) -> list[Any]:
        """Reverse mode: a cotangent per output (or None) to one per input."""
        record = self.recording(*cotangents)
        pairs = [
            (output, g)
            for output, g in zip(self.outputs, cotangents, strict=True)
            if g is not None and output.recorded
        ]
        if not pairs:
            return [_handed_out(None, x.shape, x.dtype, record) for x in self.inputs]
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
            _handed_out(t, y.shape, y.dtype, record)
            for t, y in zip(found, self.outputs, strict=True)
        ]


def _argument(who: str, args: Sequence[Any], i: int) -> Any:
    if not -len(args) <= i < len(args):
        raise TypeError(
            f"{who}: asked to differentiate argument {i}, but the call has {len(args)} "
            "positional arguments"
        )
    return args[i]


def _stand_in(leaf: Any, who: str) -> Tensor:
    """A tensor of the same value that only this run knows, linked to what the value came from."""
    if isinstance(leaf, Tensor):
        if leaf.recorded and current().recording:
            linked: Tensor = apply1(_same, leaf)
            return linked
        array = leaf.numpy()
    else:
        array = real_array(leaf, None, who)
    return Tensor(array, Leaf("tensor", array.shape, array.dtype, None), 0)


def _output(leaf: Any, who: str) -> Tensor:
    """What the function returned, as a tensor; a number or array is a constant."""
    if isinstance(leaf, Tensor):
        return leaf
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


def _tangent(t: Any, record: bool) -> Any:
    if record:
        return t if isinstance(t, Tensor) else Tensor(t, None, 0)
    return t.numpy() if isinstance(t, Tensor) else t


def _handed_out(derivative: Any, shape: Shape, dtype: Any, record: bool) -> Any:
    """A derivative as it is handed out; zeros where there is no dependence."""
    if derivative is None:
        derivative = np.zeros(shape, dtype)
    if record:
        return derivative if isinstance(derivative, Tensor) else Tensor(derivative, None, 0)
    array = np.asarray(derivative).view()
    array.flags.writeable = False
    return array


def _matched(given: Any, pattern: Any, like: Sequence[Tensor], who: str) -> list[Any]:
    """The leaves of tangents or cotangents, checked against what they belong to."""
    names = tree.paths(pattern, who)
    if tree.paths(given, who) != names:
        raise ValueError(f"{who}: given {tree.paths(given, who)}, wanted the structure {names}")
    return [
        _as_vector(leaf, x, name)
        for leaf, x, name in zip(tree.leaves(given), like, names, strict=True)
    ]


def _as_vector(given: Any, like: Tensor, name: str) -> Any:
    """A tangent or cotangent of the shape and dtype of what it belongs to."""
    if not isinstance(given, Tensor):
        given = real_array(given, like.dtype, name)
    elif given.dtype != like.dtype:
        given = given.astype(like.dtype)
    if given.shape != like.shape:
        raise ValueError(f"{name}: given shape {given.shape}, wanted {like.shape}")
    return given


# ------------------------------------------------------------------------------------------------
# Of functions with a single number as result


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., tuple[Any, Any]]:
    """The function x -> (f(x), df/dx), for an f that returns a single number.

    f        any function; arguments that are not differentiated are passed as they are
    argnums  number of the argument to differentiate, or a tuple of several: then the gradient is
             a tuple

    The gradient has the structure, shapes and dtypes of the argument. Tensors if something
    recorded went in, read-only arrays otherwise (see this module's text).

    Raises ValueError (the result is not a single number) and TypeError (an argument that is not
    made of real floats).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> def loss(p, x):
    ...     return ((x * p["w"] + p["b"]) ** 2).sum()
    >>> p = {"w": np.array([2.0, 3.0]), "b": np.array(1.0)}
    >>> tg.value_and_grad(loss)(p, np.array([1.0, -1.0]))
    (array(13.), {'w': array([6., 4.]), 'b': array(2.)})
    """
    return _value_and_grad("value_and_grad", f, argnums)


def _value_and_grad(
    who: str, f: Callable[..., Any], argnums: Argnums
) -> Callable[..., tuple[Any, Any]]:
    several = (argnums,) if isinstance(argnums, int) else argnums

    def value_and_gradient(*args: Any, **options: Any) -> tuple[Any, Any]:
        run = _Run(who, f, args, several, options)
        if len(run.outputs) != 1 or run.outputs[0].size != 1:
            shapes = [y.shape for y in run.outputs]
            raise ValueError(
                f"{who}: the function returned {type(run.value).__name__} of shape "
                f"{', '.join(map(str, shapes))}; wanted a single number (reduce it, for example "
                "with .sum(), or use vjp or jacobian)"
            )
        y = run.outputs[0]
        found = tree.rebuild(run.chosen, iter(run.pull([np.ones(y.shape, y.dtype)], keep=False)))
        return run.result(), found[0] if isinstance(argnums, int) else found

    return value_and_gradient


def grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function x -> df/dx, for an f that returns a single number; see `value_and_grad`.

    >>> import tinygrad_rnn as tg
    >>> cube = lambda x: x * x * x
    >>> float(tg.grad(cube)(2.0)), float(tg.grad(tg.grad(cube))(2.0))
    (12.0, 12.0)
    """
    both = _value_and_grad("grad", f, argnums)
    return lambda *args, **options: both(*args, **options)[1]


def hvp(f: Callable[..., Any], args: tuple[Any, ...], vectors: tuple[Any, ...]) -> tuple[Any, ...]:
    """The product of the Hessian of f (a single number) with a vector, without the Hessian.

    H v = d/dr grad f(x + r v) at r = 0, forward over reverse (Pearlmutter, Neural Computation 6
    (1994), eq. 3): some four times the cost of f.

    args, vectors   tuples with one entry per argument, of the same structure and shapes

    Gives a tuple of the same structure.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    >>> tg.hvp(lambda x: (x * x).sum() ** 2, (x,), (v,))    # H = 4 |x|^2 I + 8 x x^T
    (array([28., 16.]),)
    """
    _pair("hvp", args, vectors)
    gradient = grad(f, argnums=tuple(range(len(args))))
    product: tuple[Any, ...] = _linearize("hvp", gradient, args)[1](*vectors)
    return product


# ------------------------------------------------------------------------------------------------
# Products with the Jacobian, and the Jacobian itself


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[..., tuple[Any, ...]]]:
    """(f(x), pull): pull(g) = g J takes a cotangent of the result to those of the arguments.

    f     returns a tensor or a nested structure of tensors
    args  all are differentiated

    `pull` takes one cotangent of the structure and shapes of the result, gives a tuple with one
    entry per argument, and may be called again.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> y, pull = tg.vjp(lambda a, b: a * b, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    run = _Run("vjp", f, args, range(len(args)), {})

    def pull(cotangent: Any) -> tuple[Any, ...]:
        seeds = _matched(cotangent, run.value, run.outputs, "cotangent")
        found: tuple[Any, ...] = tree.rebuild(run.chosen, iter(run.pull(seeds, keep=True)))
        return found

    return run.result(), pull


def linearize(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[..., Any]]:
    """(f(x), push): push(v) = J v takes tangents of the arguments to that of the result.

    f     returns a tensor or a nested structure of tensors
    args  all are differentiated

    `push` takes one tangent per argument, of its structure and shapes, and may be called again:
    f itself is not run any more.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> y, push = tg.linearize(lambda x: x * x, np.array([1.0, 2.0]))
    >>> push(np.array([1.0, 0.0])), push(np.array([0.0, 1.0]))
    (array([2., 0.]), array([0., 4.]))
    """
    return _linearize("linearize", f, args)


def _linearize(
    who: str, f: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Any, Callable[..., Any]]:
    run = _Run(who, f, args, range(len(args)), {})

    def push(*tangents: Any) -> Any:
        _pair(who, args, tangents)
        seeds = _matched(tangents, run.chosen, run.inputs, "tangent")
        return tree.rebuild(run.value, iter(run.push(seeds)))

    return run.result(), push


def jvp(f: Callable[..., Any], args: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """(f(x), J v): the value, and its change per unit of change of the arguments along v.

    args, tangents   tuples with one entry per argument, of the same structure and shapes

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    (array([1., 4.]), array([2., 4.]))
    """
    _pair("jvp", args, tangents)
    value, push = _linearize("jvp", f, args)
    return value, push(*tangents)


def _pair(who: str, args: Any, vectors: Any) -> None:
    for given in (args, vectors):
        if not isinstance(given, tuple | list):
            raise TypeError(
                f"{who}: given a {type(given).__name__}, wanted a tuple with one entry per "
                "argument, as in (x,)"
            )
    if len(args) != len(vectors):
        raise ValueError(f"{who}: {len(args)} arguments, but {len(vectors)} tangents")


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function x -> J, with J[i, j] = d f(x)[i] / d x[j].

    f        returns a tensor or a nested structure of tensors
    argnums  number of the argument to differentiate, or a tuple of several

    J has the shape of the result followed by that of the argument, and the dtype of the result.
    Where they are nested, it has the structure of the result and, in each place, that of the
    argument (inside a tuple, if argnums is one). One sweep per entry, of the result backwards or
    of the argument forwards, whichever are fewer.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.jacobian(lambda s: tg.tanh(s @ W))(np.zeros(2))
    array([[1., 3.],
           [2., 4.]])
    """
    several = (argnums,) if isinstance(argnums, int) else argnums

    def jacobian_of_f(*args: Any, **options: Any) -> Any:
        run = _Run("jacobian", f, args, several, options)
        xs, ys = run.inputs, run.outputs
        if sum(x.size for x in xs) <= sum(y.size for y in ys):
            columns = [[run.push(v) for v in _basis(xs, k)] for k in range(len(xs))]
            rows = [
                [_joined(run, [c[j] for c in columns[k]], -1, y, x) for k, x in enumerate(xs)]
                for j, y in enumerate(ys)
            ]
        else:
            pulled = [[run.pull(g, keep=True) for g in _basis(ys, j)] for j in range(len(ys))]
            rows = [
                [_joined(run, [r[k] for r in pulled[j]], 0, y, x) for k, x in enumerate(xs)]
                for j, y in enumerate(ys)
            ]
        pattern = run.chosen[0] if isinstance(argnums, int) else run.chosen
        return tree.rebuild(run.value, iter([tree.rebuild(pattern, iter(row)) for row in rows]))

    return jacobian_of_f


def _basis(tensors: Sequence[Tensor], i: int) -> Iterator[list[Any]]:
    """Every unit vector of the i-th of some tensors, with None for the others."""
    for entry in range(tensors[i].size):
        unit = np.zeros(tensors[i].shape, tensors[i].dtype)
        unit.flat[entry] = 1
        vectors: list[Any] = [None] * len(tensors)
        vectors[i] = unit
        yield vectors


def _joined(run: _Run, parts: list[Any], axis: int, y: Tensor, x: Tensor) -> Any:
    """The block of the Jacobian of y by x, from its rows or columns."""
    block = None
    if parts:
        block = ops.reshape(ops.stack(parts, axis), (*y.shape, *x.shape))
        block = block if block.dtype == y.dtype else ops.astype(block, y.dtype)
    return _handed_out(block, (*y.shape, *x.shape), y.dtype, run.recording())


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function x -> H, with H[i, j] = d^2 f(x) / d x[i] d x[j], for an f that returns a number.

    Forward over reverse: `jacobian` of `grad`, whose structure it has.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.hessian(lambda x: x[0] * x[0] * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnums), argnums)


def stop_gradient(values: Any) -> Any:
    """The same values (a tensor or a nested structure), through which no gradient flows.

    >>> import tinygrad_rnn as tg
    >>> float(tg.grad(lambda x: x * tg.stop_gradient(x))(3.0))
    3.0
    """
    return tree.map_leaves(lambda v: v.detach() if isinstance(v, Tensor) else v, values)


__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
