"""The form that a derivation is kept in: equations over named expressions.

An expression is an operation on expressions, down to numbers and symbols. Equal expressions are
one object, so identity is equality and a common subexpression is found by being itself. The
operations are the library's primitives, and those of `vocabulary`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Array, Shape
from ..primitive import Primitive
from . import vocabulary as V
from .sizes import Size

SHAPES = ("shape", "to")
"""Parameters that say the shape of the result."""


class Symbol(NamedTuple):
    """A name, and the time it is taken at.

    name    as in the cell: "s", "W_n"; "delta_h" for the gradient with respect to h
    kind    "parameter", "constant", "input" (x), "cotangent" (e), "state", "value" (made in the
            forward pass), "carry" (handed from step t+1 to step t), "delta" (made in the backward
            pass), "size" (B, H, I), "scalar" (a float attribute of the cell), "start"
            (dL/ds_0)
    time    offset from t (-1 for s_{t-1}); None for a value that does not change over time
    fixed   the time is a step's number, not an offset: s_0
    """

    name: str
    kind: str
    time: int | None = None
    fixed: bool = False


class Expr:
    """One expression. Made by `make`, `name` and `number`; never changed.

    op      the primitive; V.SYMBOL or V.NUMBER for leaves
    args    expressions
    params  the operation's other arguments (axis, index, ...)
    shape   of the value, its sizes with their letters (`sizes.Size`)
    """

    __slots__ = ("__weakref__", "args", "op", "params", "shape")

    def __init__(
        self, op: Primitive, args: tuple[Expr, ...], params: dict[str, Any], shape: Shape
    ) -> None:
        self.op = op
        self.args = args
        self.params = params
        self.shape = shape

    @property
    def symbol(self) -> Symbol:
        """The symbol that this expression is."""
        found: Symbol = self.params["symbol"]
        return found

    @property
    def value(self) -> Any:
        """The number that this expression is, or None."""
        return self.params["value"] if self.op is V.NUMBER else None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        if self.op is V.SYMBOL:
            time = self.symbol.time
            return self.symbol.name + ("" if time is None else f"[{time:+d}]")
        if self.op is V.NUMBER:
            return str(self.value)
        params = [f"{k}={v}" for k, v in self.params.items()]
        return f"{self.op.name}({', '.join([*map(repr, self.args), *params])})"


_all: weakref.WeakValueDictionary[Any, Expr] = weakref.WeakValueDictionary()


def make(
    op: Primitive, args: Sequence[Expr], shape: Shape, params: dict[str, Any] | None = None
) -> Expr:
    """The expression op(*args, **params): the same object each time it is made."""
    args = tuple(args)
    params = params or {}
    key = (
        op,
        args,
        tuple(sorted((k, _frozen(v)) for k, v in params.items())),
        _frozen(tuple(shape)),
    )
    found = _all.get(key)
    if found is None:
        found = _all[key] = Expr(op, args, params, tuple(shape))
    return found


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ("array", value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return tuple(map(_frozen, value))
    if isinstance(value, Size):
        return ("size", value.key)
    return (type(value).__name__, value)


def name(symbol: Symbol, shape: Shape) -> Expr:
    """The expression that is just a symbol."""
    return make(V.SYMBOL, (), shape, {"symbol": symbol})


def number(value: Any, shape: Shape = ()) -> Expr:
    """A number, or an array full of it."""
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    return make(V.NUMBER, (), shape, {"value": float(value)})


class Definition(NamedTuple):
    """targets = value. With several targets the value is split into consecutive parts."""

    targets: tuple[Expr, ...]
    value: Expr

    @property
    def target(self) -> Expr:
        """The only target."""
        (target,) = self.targets
        return target


class Gradient(NamedTuple):
    """dL/d(of) as a sum over the steps of `term`, or as `term` itself if it is not summed."""

    of: Expr
    term: Expr


class Carry(NamedTuple):
    """A gradient handed back in time: `name`_{t-1} = value, step t's part of dL/d(state)_{t-1}.

    state   the state s_{t-1} it belongs to
    name    the symbol, at t
    value   of the symbol at t-1, in terms of step t
    whole   whether it is all of dL/ds_t: step t itself does not use s_t
    """

    state: Expr
    name: Expr
    value: Expr
    whole: bool


class Meaning(NamedTuple):
    """delta = dL/d(of); `definition` is the formula of `of` if no equation is.

    whole   False if it is the part from later steps only
    """

    delta: Expr
    of: Expr
    definition: Expr | None
    whole: bool = True


class Form(NamedTuple):
    """A cell's step and its gradient as equations.

    cell        the cell's name
    forward     equations of step t, in order
    outputs     the outputs o_t, by name
    errors      e_t = dL/do_t, one per output
    states      the new states s_t, as expressions over the forward names
    backward    equations of step t, in order, in terms of `errors` and the carries
    carries     how the recursion goes on to step t-1
    parameters  gradients that are sums over the steps
    inputs      gradients that every step has its own of
    initial     the part of dL/ds_0 in the gradients of parameters that s_0 is made of, in terms of
                `starts`
    starts      the symbols for dL/ds_0, in the order of `carries`
    meanings    the values that the deltas are the gradients with respect to
    constants   arrays that the cell uses and that are no parameters
    unnamed     those of them that have no name of the cell's own
    scalars     float attributes of the cell that occur, and their values
    sizes       letters of sizes and their values; that of the batch is not among them
    batch       the letter of the batch's size
    """

    cell: str
    forward: list[Definition]
    outputs: list[Expr]
    errors: list[Expr]
    states: list[Expr]
    backward: list[Definition]
    carries: list[Carry]
    parameters: list[Gradient]
    inputs: list[Gradient]
    initial: list[Gradient]
    starts: list[Expr]
    meanings: list[Meaning]
    constants: dict[str, Array]
    unnamed: set[str]
    scalars: dict[str, float]
    sizes: dict[str, int]
    batch: str


# ------------------------------------------------------------------------------------------------
# Walking and rewriting


def order(roots: Iterable[Expr]) -> list[Expr]:
    """Every expression that the roots are made of, parts before wholes."""
    seen: dict[Expr, None] = {}
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        expr, done = stack.pop()
        if done:
            seen[expr] = None
        elif expr not in seen:
            stack.append((expr, True))
            stack.extend((arg, False) for arg in reversed(expr.args) if arg not in seen)
    return list(seen)


def rewritten(root: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with `change` applied to every part, parts before wholes."""
    done: dict[Expr, Expr] = {}
    for expr in order([root]):
        args = tuple(done[arg] for arg in expr.args)
        same = args == expr.args
        done[expr] = change(expr if same else make(expr.op, args, expr.shape, expr.params))
    return done[root]


def replaced(root: Expr, by: Mapping[Expr, Expr]) -> Expr:
    """The expression with some parts replaced; a replaced part is not looked into."""
    done: dict[Expr, Expr] = {}
    for expr in order([root]):
        if expr in by:
            done[expr] = by[expr]
            continue
        args = tuple(done[arg] for arg in expr.args)
        done[expr] = expr if args == expr.args else make(expr.op, args, expr.shape, expr.params)
    return done[root]


def shifted(root: Expr, steps: int) -> Expr:
    """The same expression for another time: shifted(s_t, -1) is s_{t-1}."""
    return _at_time(root, steps, False)


def at_step(root: Expr, t: int) -> Expr:
    """The same expression for one step: at_step(s_{t-1}, 1) is s_0."""
    return _at_time(root, t, True)


def _at_time(root: Expr, steps: int, fixed: bool) -> Expr:
    def later(expr: Expr) -> Expr:
        if expr.op is not V.SYMBOL or expr.symbol.time is None or expr.symbol.fixed:
            return expr
        return name(expr.symbol._replace(time=expr.symbol.time + steps, fixed=fixed), expr.shape)

    return rewritten(root, later)


def symbols(roots: Iterable[Expr]) -> list[Expr]:
    """The symbols in some expressions."""
    return [expr for expr in order(roots) if expr.op is V.SYMBOL]


def results(form: Form) -> list[Expr]:
    """All that is computed: right-hand sides, outputs and gradients."""
    ends = [e.value for e in [*form.forward, *form.backward]] + [c.value for c in form.carries]
    gradients = [*form.parameters, *form.inputs, *form.initial]
    return [*ends, *form.outputs, *(g.term for g in gradients)]


class Recursion(NamedTuple):
    """The backward pass as it is printed: without carries, in terms of step t+1.

    equations   of step t, in order
    starts      dL/ds_0
    parameters  gradients that are sums over the steps
    inputs      gradients that every step has its own of
    meanings    of the deltas that stand for carries only
    """

    equations: list[Definition]
    starts: list[Gradient]
    parameters: list[Gradient]
    inputs: list[Gradient]
    meanings: list[Meaning]


def recursion(form: Form) -> Recursion:
    """The backward pass without carries.

    The gradient that step t+1 hands back is written where it is used, or, if it is used several
    times, in an equation of its own.
    """
    first: list[Definition] = []
    by: dict[Expr, Expr] = {}
    meanings: list[Meaning] = []
    uses = order([e.value for e in form.backward])
    ends = [g.term for g in [*form.parameters, *form.inputs]] + [c.value for c in form.carries]
    in_ends = set(symbols(ends))
    taken = {e.target.symbol.name for e in form.backward}
    for carry in form.carries:
        times = sum(expr.args.count(carry.name) for expr in uses)
        if carry.name in in_ends or times > 1 or any(e.value is carry.name for e in form.backward):
            label = f"delta_{carry.state.symbol.name}"
            while label in taken:
                label += "'"
            taken.add(label)
            by[carry.name] = name(Symbol(label, "delta", 0), carry.name.shape)
            meanings.append(Meaning(by[carry.name], shifted(carry.state, 1), None, carry.whole))
    values = {c.name: replaced(c.value, by) for c in form.carries}
    for carry in form.carries:
        later = shifted(values[carry.name], 1)  # zero, if the state before goes nowhere
        if carry.name in by:
            first.append(Definition((by[carry.name],), later))
        else:
            by[carry.name] = later
    nothing = {by[c.name] for c in form.carries if by[c.name].op is V.NUMBER}

    def summed(expr: Expr) -> Expr:
        if expr.op is not V.ADD or nothing.isdisjoint(expr.args):
            return expr
        return expr.args[0] if expr.args[1] in nothing else expr.args[1]

    bodies = [rewritten(replaced(e.value, by), summed) for e in form.backward]
    equations = first + [
        Definition(e.targets, b) for e, b in zip(form.backward, bodies, strict=True)
    ]
    starts = [Gradient(at_step(c.state, 1), at_step(values[c.name], 1)) for c in form.carries]
    sums, each = (
        [Gradient(g.of, replaced(g.term, by)) for g in gradients]
        for gradients in (form.parameters, form.inputs)
    )
    return Recursion(equations, starts, sums, each, meanings)


def labels(form: Form) -> list[str]:
    """The names of the gradients in a program: those of the parameters, x, and s_0."""
    found = [g.of.symbol.name for g in [*form.parameters, *form.inputs]]
    for carry in form.carries:
        label = f"{carry.state.symbol.name}_0"
        while label in found:  # a parameter, which the state begins with
            label = f"d{label}"
        found.append(label)
    return found


def initial_gradients(form: Form, starts: Sequence[Gradient]) -> list[Gradient]:
    """The part of dL/ds_0 in the gradients of parameters that s_0 is made of, written out."""
    by = {symbol: start.term for symbol, start in zip(form.starts, starts, strict=True)}
    return [Gradient(g.of, replaced(g.term, by)) for g in form.initial]
