"""Transforms: from a function to its gradient, its Jacobian, its derivative along a direction.

Arguments that are differentiated are tensors, arrays or numbers, or nested tuples, lists, dicts
and dataclasses of them; results have the same structure. Each call puts stand-ins in place of its
arguments, runs the function once and differentiates with respect to those stand-ins and nothing
else. That is why transforms nest in any order without mixing up levels.

One rule holds for results, that of every operation: **tensors if something recorded went
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
from .graph import current
from .notation import call
from .primitive import apply, flat
from .runs import StandInRun, handed_out, matched
from .tensor import Tensor

Argnums = int | tuple[int, ...]
"""Which positional arguments to differentiate: one, or several."""

# ------------------------------------------------------------------------------------------------
# Of functions with a single number as result


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """The function x -> (f(x), df/dx), for an f that returns a single number.

    f        any function; arguments that are not differentiated are passed as they are
    argnums  number of the argument to differentiate, or a tuple of several: then the gradient is
             a tuple
    has_aux  f returns (number, aux), with anything as aux: x -> ((f(x), aux), df/dx)

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
    return _value_and_grad("value_and_grad", f, argnums, has_aux)


def _value_and_grad(
    who: str, f: Callable[..., Any], argnums: Argnums, has_aux: bool
) -> Callable[..., tuple[Any, Any]]:
    several = (argnums,) if isinstance(argnums, int) else argnums

    def value_and_gradient(*args: Any, **options: Any) -> tuple[Any, Any]:
        run = StandInRun(who, f, args, several, options, has_aux)
        if len(run.outputs) != 1 or run.outputs[0].size != 1:
            shapes = [y.shape for y in run.outputs]
            raise ValueError(
                f"{who}: the function returned {type(run.value).__name__} of shape "
                f"{', '.join(map(str, shapes))}; wanted a single number (reduce it, for example "
                "with .sum(), or use vjp or jacobian)"
            )
        y = run.outputs[0]
        found = tree.rebuild(run.chosen, iter(run.pull([np.ones(y.shape, y.dtype)], keep=False)))
        value = run.beside(run.result()) if has_aux else run.result()
        return value, found[0] if isinstance(argnums, int) else found

    return value_and_gradient


def grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The function x -> df/dx, for an f that returns a single number; see `value_and_grad`.

    has_aux  f returns (number, aux), with anything as aux: x -> (df/dx, aux)

    >>> import tinygrad_rnn as tg
    >>> cube = lambda x: x * x * x
    >>> float(tg.grad(cube)(2.0)), float(tg.grad(tg.grad(cube))(2.0))
    (12.0, 12.0)
    """
    both = _value_and_grad("grad", f, argnums, has_aux)

    def gradient(*args: Any, **options: Any) -> Any:
        value, found = both(*args, **options)
        return (found, value[1]) if has_aux else found

    return gradient


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


def vjp(f: Callable[..., Any], *args: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(f(x), pullback): pullback(g) = g J takes a cotangent of the result to the arguments'.

    f        returns a tensor or a nested structure of tensors
    args     all are differentiated
    has_aux  f returns (result, aux), with anything as aux: (f(x), pullback, aux)

    `pullback` takes one cotangent of the structure and shapes of the result, gives a tuple with one
    entry per argument, and may be called again.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> y, pullback = tg.vjp(lambda a, b: a * b, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    run = StandInRun("vjp", f, args, range(len(args)), {}, has_aux)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        seeds = matched(cotangent, run.value, run.outputs, "cotangent")
        found: tuple[Any, ...] = tree.rebuild(run.chosen, iter(run.pull(seeds, keep=True)))
        return found

    return run.beside(run.result(), pullback) if has_aux else (run.result(), pullback)


def linearize(f: Callable[..., Any], *args: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(f(x), pushforward): pushforward(v) = J v takes tangents of the arguments to the result's.

    f        returns a tensor or a nested structure of tensors
    args     all are differentiated
    has_aux  f returns (result, aux), with anything as aux: (f(x), pushforward, aux)

    `pushforward` takes one tangent per argument, of its structure and shapes, and may be called
    again: f itself is not run any more.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> y, pushforward = tg.linearize(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pushforward(np.array([1.0, 0.0])), pushforward(np.array([0.0, 1.0]))
    (array([2., 0.]), array([0., 4.]))
    """
    return _linearize("linearize", f, args, has_aux)


def _linearize(
    who: str, f: Callable[..., Any], args: tuple[Any, ...], has_aux: bool = False
) -> tuple[Any, ...]:
    run = StandInRun(who, f, args, range(len(args)), {}, has_aux)

    def pushforward(*tangents: Any) -> Any:
        _pair(who, args, tangents)
        seeds = matched(tangents, run.chosen, run.inputs, "tangent")
        return tree.rebuild(run.value, iter(run.push(seeds)))

    return run.beside(run.result(), pushforward) if has_aux else (run.result(), pushforward)


def jvp(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """(f(x), J v): the value, and its change per unit of change of the arguments along v.

    args, tangents   tuples with one entry per argument, of the same structure and shapes
    has_aux          f returns (result, aux), with anything as aux: (f(x), J v, aux)

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    (array([1., 4.]), array([2., 4.]))
    """
    _pair("jvp", args, tangents)
    value, pushforward, *aux = _linearize("jvp", f, args, has_aux)
    return (value, pushforward(*tangents), *aux)


def _pair(who: str, args: Any, vectors: Any) -> None:
    for given in (args, vectors):
        if not isinstance(given, tuple | list):
            raise TypeError(
                f"{who}: given a {type(given).__name__}, wanted a tuple with one entry per "
                "argument, as in (x,)"
            )
    if len(args) != len(vectors):
        raise ValueError(f"{who}: {len(args)} arguments, but {len(vectors)} tangents")


def jacobian(
    f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The function x -> J, with J[i, j] = d f(x)[i] / d x[j].

    f        returns a tensor or a nested structure of tensors
    argnums  number of the argument to differentiate, or a tuple of several
    has_aux  f returns (result, aux), with anything as aux: x -> (J, aux)

    J has the shape of the result followed by that of the argument, and the dtype of the result.
    Where they are nested, it has the structure of the result and, in each place, that of the
    argument (inside a tuple, if argnums is one). One backward sweep per entry of
    the result, or one forward sweep per entry of the argument, whichever are fewer.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.jacobian(lambda s: tg.tanh(s @ W))(np.zeros(2))
    array([[1., 3.],
           [2., 4.]])
    """
    several = (argnums,) if isinstance(argnums, int) else argnums

    def jacobian_of_f(*args: Any, **options: Any) -> Any:
        run = StandInRun("jacobian", f, args, several, options, has_aux)
        xs, ys = run.inputs, run.outputs
        if sum(x.size for x in xs) <= sum(y.size for y in ys):
            columns = [[run.push(v) for v in _basis(xs, k)] for k in range(len(xs))]
            rows = [
                [_stacked(run, [c[j] for c in columns[k]], -1, y, x) for k, x in enumerate(xs)]
                for j, y in enumerate(ys)
            ]
        else:
            pulled = [[run.pull(g, keep=True) for g in _basis(ys, j)] for j in range(len(ys))]
            rows = [
                [_stacked(run, [r[k] for r in pulled[j]], 0, y, x) for k, x in enumerate(xs)]
                for j, y in enumerate(ys)
            ]
        pattern = run.chosen[0] if isinstance(argnums, int) else run.chosen
        J = tree.rebuild(run.value, iter([tree.rebuild(pattern, iter(row)) for row in rows]))
        return run.beside(J) if has_aux else J

    return jacobian_of_f


def _basis(tensors: Sequence[Tensor], i: int) -> Iterator[list[Any]]:
    """Every unit vector of the i-th of some tensors, with None for the others."""
    for entry in range(tensors[i].size):
        unit = np.zeros(tensors[i].shape, tensors[i].dtype)
        unit.flat[entry] = 1
        vectors: list[Any] = [None] * len(tensors)
        vectors[i] = unit
        yield vectors


def _stacked(run: StandInRun, parts: list[Any], axis: int, y: Tensor, x: Tensor) -> Any:
    """The block of the Jacobian of y by x, from its rows or columns."""
    block = None
    if parts:
        block = ops.reshape(ops.stack(parts, axis), (*y.shape, *x.shape))
        block = block if block.dtype == y.dtype else ops.astype(block, y.dtype)
    return handed_out(block, (*y.shape, *x.shape), y.dtype, run.recording())


def hessian(
    f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """The function x -> H, with H[i, j] = d^2 f(x) / d x[i] d x[j], for an f that returns a number.

    Forward over reverse: `jacobian` of `grad`, whose structure it has. With `has_aux`, f returns
    (number, aux), with anything as aux: x -> (H, aux).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.hessian(lambda x: x[0] * x[0] * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnums, has_aux=has_aux), argnums, has_aux=has_aux)


def stop_gradient(values: Any) -> Any:
    """The same values (a tensor or a nested structure), through which no gradient flows.

    A program (`trace`, `study.derive`) has it as an operation; elsewhere it is `detach`.

    >>> import tinygrad_rnn as tg
    >>> float(tg.grad(lambda x: x * tg.stop_gradient(x))(3.0))
    3.0
    """
    return tree.map_leaves(lambda v: _stopped(v) if isinstance(v, Tensor) else v, values)


_stop = flat("stop_gradient", lambda x: x, notation=call("stop", "np.asarray"))


def _stopped(x: Tensor) -> Any:
    if any(inspector.whole for inspector in current().inspectors):
        return apply(_stop, (x,), {})
    return x.detach()


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
