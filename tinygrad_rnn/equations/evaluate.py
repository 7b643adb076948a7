"""Evaluating: the numbers that expressions have, and the passes that a derivation describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..graph import Array
from . import vocabulary as V
from .expr import Definition, Expr, Form, labels, order, results, symbols
from .sizes import Size

Values = dict[Expr, Any]


def evaluate(root: Expr, known: Mapping[Expr, Any], batch: int) -> Any:
    """The value of an expression, from those of its symbols; `known` may hold whole expressions."""
    values: Values = {}
    for expr in order([root]):
        if expr in known:
            values[expr] = known[expr]
        elif expr.op is V.NUMBER:
            shape = _sized(expr.shape, batch)
            values[expr] = np.full(shape, expr.value) if shape else expr.value
        else:
            values[expr] = computing(expr, batch)([values[arg] for arg in expr.args])
    return values[root]


def _sized(value: Any, batch: int) -> Any:
    """A parameter with the batch's size put in."""
    if isinstance(value, Size):
        return value.at(batch)
    if isinstance(value, tuple):
        return tuple(_sized(part, batch) for part in value)
    if isinstance(value, slice):
        return slice(*(_sized(end, batch) for end in (value.start, value.stop, value.step)))
    return value


def computing(expr: Expr, batch: int) -> Callable[[list[Any]], Any]:
    """The operation of an expression, as a function of its operands' values."""
    shape, op = _sized(expr.shape, batch), expr.op
    if op is V.RESHAPE:
        return lambda args: np.reshape(args[0], shape)
    if op is V.BROADCAST_TO:
        return lambda args: np.broadcast_to(args[0], shape)
    params = {k: _sized(v, batch) for k, v in expr.params.items()}

    def compute(args: list[Any]) -> Any:
        if op in V.SUMS:  # truths count as 1 and 0, which NumPy's do not
            args = [1.0 * arg if np.asarray(arg).dtype.kind == "b" else arg for arg in args]
        result = op.value(*args, **params)
        return result if op.together is None else result[0]

    return compute


def passes(
    form: Form,
    given: Mapping[str, Array],
    xs: list[Array],
    starts: list[Array],
    errors: list[Array],
) -> tuple[list[Array], dict[str, Array]]:
    """One forward and one backward pass by the equations, as they stand.

    given    parameters and constants, by name
    xs       the inputs, (T, B, ...) each
    starts   s_0, in the order of `form.carries`
    errors   e = dL_t/do_t for every step, (T, B, ...) for each output

    Gives the outputs (T, ...) and the gradients by name, those of s_0 as `s_0`.
    """
    T, batch = xs[0].shape[:2]
    fixed: Values = {g.of: given[g.of.symbol.name] for g in form.parameters}
    steps: list[Values] = []
    before = starts
    for expr in symbols(results(form)):
        if expr.symbol.kind == "constant":
            fixed[expr] = form.constants[expr.symbol.name]
        elif expr.symbol.kind == "scalar":
            fixed[expr] = form.scalars[expr.symbol.name]
        elif expr.symbol.kind == "size":
            letter = expr.symbol.name
            fixed[expr] = batch if letter == form.batch else form.sizes[letter]
    for t in range(T):
        known = fixed | {g.of: x[t] for g, x in zip(form.inputs, xs, strict=True)}
        known |= {c.state: s for c, s in zip(form.carries, before, strict=True)}
        for equation in form.forward:
            _assign(equation, known, batch)
        before = [evaluate(state, known, batch) for state in form.states]
        steps.append(known)
    outputs = [
        np.stack([np.asarray(evaluate(o, known, batch)) for known in steps]) for o in form.outputs
    ]
    sums = {g.of: np.zeros(np.shape(given[g.of.symbol.name])) for g in form.parameters}
    each = {g.of: np.zeros(x.shape) for g, x in zip(form.inputs, xs, strict=True)}
    carried: list[Any] = [np.zeros(np.shape(s)) for s in starts]
    for t in reversed(range(T)):
        known = steps[t]
        known |= {e: error[t] for e, error in zip(form.errors, errors, strict=True)}
        known |= {c.name: d for c, d in zip(form.carries, carried, strict=True)}
        for equation in form.backward:
            _assign(equation, known, batch)
        for g in form.parameters:
            sums[g.of] = sums[g.of] + evaluate(g.term, known, batch)
        for g in form.inputs:
            each[g.of][t] = evaluate(g.term, known, batch)
        carried = [evaluate(c.value, known, batch) for c in form.carries]
    known = fixed | dict(zip(form.starts, carried, strict=True))
    for g in form.initial:
        sums[g.of] = sums[g.of] + evaluate(g.term, known, batch)
    gradients = [np.asarray(total) for total in {**sums, **each}.values()]
    gradients += [np.broadcast_to(d, np.shape(s)) for d, s in zip(carried, starts, strict=True)]
    return outputs, dict(zip(labels(form), gradients, strict=True))


def _assign(equation: Definition, known: Values, batch: int) -> None:
    value = evaluate(equation.value, known, batch)
    if len(equation.targets) == 1:
        known[equation.target] = value
        return
    shapes = [target.shape for target in equation.targets]
    axis = next(i for i, n in enumerate(equation.value.shape) if n != shapes[0][i])
    ends = np.cumsum([shape[axis] for shape in shapes])[:-1]
    known.update(zip(equation.targets, np.split(value, ends.tolist(), axis), strict=True))
