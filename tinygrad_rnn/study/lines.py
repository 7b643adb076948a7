"""A derived backward pass as short lines that can be run with one of them changed.

The equations of `derive` are cut finer: a cotangent before the slope of an activation has a line of
its own (dL/di = dL/dc * g, then dL/da_i = dL/di * i (1 - i)), dL/do_t enters by a line, and so does
each gradient. Values are kept, so that a run with a change computes only the lines behind it.

`Lines` makes the list of lines from a derivation, the functions after it take sums and products
apart and put them together, and `Trial` runs the lines.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from .. import ops
from ..autodiff import gradients
from ..equations import notation, print_text
from ..equations import vocabulary as V
from ..equations.evaluate import _sized, computing, evaluate
from ..equations.expr import (
    Definition,
    Expr,
    Form,
    Gradient,
    Symbol,
    make,
    name,
    number,
    order,
    replaced,
    rewritten,
    symbols,
)
from ..equations.sizes import broadcast
from ..graph import Array
from ..primitive import Primitive, apply
from ..tensor import tensor

SENSELESS = (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""Errors in the evaluation of a rewrite that makes no sense."""
EXTENTS: dict[str, Callable[[int, int], bool]] = {
    "": lambda t, T: True,
    "at step 1 only": lambda t, T: t == 1,
    "at all steps but the first": lambda t, T: t > 1,
    "at the last step only": lambda t, T: t == T,
    "at all steps but the last": lambda t, T: t < T,
    "at all steps but the last two": lambda t, T: t < T - 1,
    "at all steps but the first two": lambda t, T: t > 2,
}
"""The steps a change is made at."""


class Line(NamedTuple):
    """target = value, at every step.

    kind    "error" (dL/do enters), "backward", "carry" (handed to step t-1), "sum" (the gradient of
            a parameter: a sum over the steps), "input" (dL/dx_t)
    target  its symbol
    value   in terms of the lines above, the carries of step t+1 and the forward pass
    of      the quantity that this is the gradient of
    """

    kind: str
    target: Expr
    value: Expr
    of: str


class Change(NamedTuple):
    """One line computed otherwise.

    line     its number
    value    the expression there
    extent   a key of EXTENTS: the steps where it is so
    weights  factors of the steps' parts of a sum, from (t, T)
    """

    line: int
    value: Expr
    extent: str = ""
    weights: Callable[[int, int], float] | None = None


class Slope(NamedTuple):
    """The slope of an activation where it is a factor.

    value    y = f(a)
    before   a
    factors  of f'(a) as they are written
    op       the activation
    """

    value: Expr
    before: Expr
    factors: tuple[Expr, ...]
    op: Primitive

    @property
    def name(self) -> str:
        """Of the activation."""
        return self.op.name


class Lines:
    """The lines of a derivation.

    form      the equations
    inputs    the names of the inputs' gradients
    lines     in the order in which a step computes them
    slopes    the slopes of activations in them
    states    those that are handed on, one per carry
    pieces    blocks of values in them, by shape
    helpers   the names of lines that are no quantity's gradient: common parts of others
    """

    def __init__(self, form: Form, inputs: Sequence[str] = ("x",)) -> None:
        self.form = form
        self.inputs = list(inputs)
        self.slopes = _slopes(form)
        self.helpers: set[str] = set()
        self._own: dict[Expr, Expr] = {}  # cotangents that have no line in the derivation
        lines: list[Line] = []
        enter: dict[Expr, Expr] = {}
        outputs = [o.symbol.name if o.op is V.SYMBOL else "o" for o in form.outputs]
        for error, of in zip(form.errors, outputs, strict=True):
            inner = name(Symbol(f"enters {error.symbol.name}", "error", 0), error.shape)
            enter[error] = inner
            lines.append(Line("error", inner, error, f"loss's {of}"))
        self.enter = enter
        meaning = {m.delta: _of(m.of) for m in form.meanings}
        for equation in form.backward:
            target = equation.targets[0]
            if len(equation.targets) != 1:
                raise ValueError(
                    f"the derivation of {form.cell} computes several cotangents in one equation, "
                    "where mistakes are not looked for"
                )
            value = self._split(replaced(equation.value, enter), lines)
            of = meaning.get(target) or _short(target)
            if target not in meaning:
                self.helpers.add(of)
            lines.append(Line("backward", target, value, of))
        for carry in form.carries:
            value = self._split(replaced(carry.value, enter), lines)
            lines.append(Line("carry", carry.name, value, carry.state.symbol.name))
        for g in form.parameters:
            lines.append(Line("sum", g.of, replaced(g.term, enter), g.of.symbol.name))
        if form.inputs and len(form.inputs) != len(self.inputs):
            raise ValueError(
                "some of the inputs have no gradient, where mistakes are not looked for"
            )
        for g, of in zip(form.inputs, self.inputs, strict=False):
            lines.append(Line("input", g.of, replaced(g.term, enter), of))
        self.lines = lines
        self.backward = {line.target.symbol.name for line in lines if line.kind != "sum"}
        self.backward |= {e.symbol.name for e in form.errors}
        states = [carry.state for carry in form.carries]
        self.forward = [t for e in form.forward for t in e.targets]
        seen = {t.symbol.name for t in self.forward}
        self.forward += [
            name(s.symbol._replace(time=0), s.shape) for s in states if s.symbol.name not in seen
        ]
        self.states = states
        self.pieces: dict[Any, list[Expr]] = {}
        values = [e.value for e in form.forward] + [line.value for line in lines]
        for e in order(values):
            if e.op is V.SLICE and e.args[0].op is V.SYMBOL:
                self.pieces.setdefault(e.shape, []).append(e)

    def _split(self, value: Expr, lines: list[Line]) -> Expr:
        """The value with each cotangent before a slope as a line of its own, which is added."""

        def split(e: Expr) -> Expr:
            slope = self.slope(e)
            if slope is None:
                return e
            rest = [f for f in factors(e) if f not in slope.factors]
            if not rest or (len(rest) == 1 and rest[0].op is V.SYMBOL):
                return e
            before = product(rest, e.shape)
            if before.shape != e.shape or not any(_is_cotangent(s) for s in symbols([before])):
                return e
            target = name(Symbol(f"d({slope.value.symbol.name})", "delta", 0), e.shape)
            if target in self._own:
                return e
            self._own[target] = before
            lines.append(Line("backward", target, before, slope.value.symbol.name))
            return product([target, *slope.factors], e.shape)

        return rewritten(value, split)

    def is_own(self, e: Expr) -> bool:
        """Whether it is a cotangent that has no line in the derivation."""
        return e in self._own

    def slope(self, e: Expr) -> Slope | None:
        """The slope among the factors of a product, if there is one."""
        if e.op is not V.MULTIPLY:
            return None
        found = factors(e)
        for slope in self.slopes:
            if all(f in found for f in slope.factors):
                return slope
        return None

    def derived(self, e: Expr) -> Expr:
        """The expression in the symbols of the derivation only."""
        own = {
            line.target: line.value
            for line in self.lines
            if line.target in self._own or line.kind == "error"
        }
        for _ in range(len(own)):
            again = replaced(e, own)
            if again is e:
                break
            e = again
        return e

    def reach(self, k: int, further: bool) -> set[str]:
        """The names of the gradients that change if a line does, as `Trial.run` calls them.

        further  whether there is a step before the one where it is changed
        """
        inner = ("error", "backward", "carry") if further else ("error", "backward")
        reached = {k}
        values = {line.target.symbol.name for line in self.lines[k : k + 1] if line.kind in inner}
        while True:
            size = len(reached)
            for j, line in enumerate(self.lines):
                if j not in reached and not values.isdisjoint(names_in(line.value)):
                    reached.add(j)
                    if line.kind in inner:
                        values.add(line.target.symbol.name)
            if len(reached) == size:
                break
        found: set[str] = set()
        for line in (self.lines[j] for j in reached):
            if line.kind == "sum":
                found.add(line.target.symbol.name)
            elif line.kind == "input":
                found.add(line.of)
            elif line.kind == "carry":
                found.add(f"{line.of}_0")
                found |= {g.of.symbol.name for g in self.form.initial}
            elif line.kind == "backward":
                found.add(f"{line.of}_t")
        return found

    def changed(self, changes: Iterable[Change]) -> Lines:
        """The same with some lines changed for good, at all steps."""
        other = copy.copy(self)
        values = {c.line: c.value for c in changes if not c.extent and c.weights is None}
        other.lines = [
            line._replace(value=values.get(k, line.value)) for k, line in enumerate(self.lines)
        ]
        return other

    def changed_form(
        self, changes: Iterable[Change], forward: Mapping[int, Expr] | None = None
    ) -> Form:
        """The derivation with some lines changed."""
        values = {k: line.value for k, line in enumerate(self.lines)}
        for change in changes:
            values[change.line] = change.value
        own = {
            line.target: values[k]
            for k, line in enumerate(self.lines)
            if line.target in self._own or line.kind == "error"
        }

        def written(e: Expr) -> Expr:
            for _ in range(len(own)):
                again = replaced(e, own)
                if again is e:
                    break
                e = again
            return e

        backward, carries, sums, inputs = [], [], [], []
        for k, line in enumerate(self.lines):
            value = written(values[k])
            if line.kind == "backward" and line.target not in self._own:
                backward.append(Definition((line.target,), value))
            elif line.kind == "carry":
                carries.append(value)
            elif line.kind == "sum":
                sums.append(Gradient(line.target, value))
            elif line.kind == "input":
                inputs.append(Gradient(line.target, value))
        return self.form._replace(
            forward=[
                e._replace(value=(forward or {}).get(k, e.value))
                for k, e in enumerate(self.form.forward)
            ],
            backward=backward,
            carries=[c._replace(value=v) for c, v in zip(self.form.carries, carries, strict=True)],
            parameters=sums,
            inputs=inputs,
        )

    def written(
        self, changes: Iterable[Change], forward: Mapping[int, Expr] | None = None
    ) -> list[tuple[str, str]]:
        """The printed equations that some changes alter: (as they are, as they become)."""
        return _altered(self.changed_form(()), self.changed_form(changes, forward))


def _altered(form: Form, changed: Form) -> list[tuple[str, str]]:
    def printed(form: Form) -> dict[str, str]:
        return {
            print_text.text(line.left): print_text.text(line.right)
            for section in notation.page(form)
            for line in section.lines
            if line.left is not None and not section.title.startswith("Names")
        }

    right, wrong = printed(form), printed(changed)
    new = {left: value for left, value in wrong.items() if left not in right}
    return [
        (f"{left} = {value}", f"{left} = {new.get(wrong[left], wrong[left])}")
        for left, value in right.items()
        if left in wrong and wrong[left] != value
    ]


def _of(e: Expr) -> str:
    """The name of the value that a delta belongs to."""
    if e.op is V.SYMBOL:
        return e.symbol.name
    parts = [p.symbol.name for p in e.args if p.op is V.SYMBOL]
    stems = {part.partition("_")[0] for part in parts}
    if parts and len(stems) == 1:
        return stems.pop()
    return f"[{', '.join(parts)}]" if parts else "a"


def _short(target: Expr) -> str:
    label = target.symbol.name
    return label.removeprefix("delta_") if label.startswith("delta_") else label


def _is_cotangent(e: Expr) -> bool:
    return e.symbol.kind in ("delta", "carry", "cotangent", "error")


# ------------------------------------------------------------------------------------------------
# Sums and products with any number of parts


def terms(e: Expr) -> list[tuple[int, Expr]]:
    """The terms of a sum, with their signs."""
    if e.op is V.ADD:
        return terms(e.args[0]) + terms(e.args[1])
    if e.op is V.SUBTRACT:
        return terms(e.args[0]) + [(-s, t) for s, t in terms(e.args[1])]
    if e.op is V.NEGATIVE:
        return [(-s, t) for s, t in terms(e.args[0])]
    return [(1, e)]


def total(parts: Sequence[tuple[int, Expr]], shape: Any) -> Expr:
    """The sum of some terms."""
    if not parts:
        return number(0, shape)
    parts = [(-s, p.args[0]) if p.op is V.NEGATIVE else (s, p) for s, p in parts]
    first = [p for p in parts if p[0] > 0][:1]
    sum_ = first[0][1] if first else None
    for sign, part in parts:
        if first and part is first[0][1] and sign > 0:
            first = []
            continue
        if sum_ is None:
            sum_ = make(V.NEGATIVE, [part], part.shape)
        else:
            op = V.ADD if sign > 0 else V.SUBTRACT
            sum_ = make(op, [sum_, part], _larger(sum_.shape, part.shape, shape))
    assert sum_ is not None
    return sum_


def factors(e: Expr) -> list[Expr]:
    """The factors of a product, entry by entry; 1/b is one of a / b."""
    if e.op is V.MULTIPLY:
        return factors(e.args[0]) + factors(e.args[1])
    if e.op is V.DIVIDE and e.args[0].value != 1:
        return [*factors(e.args[0]), make(V.DIVIDE, [number(1), e.args[1]], e.args[1].shape)]
    return [e]


def product(parts: Sequence[Expr], shape: Any) -> Expr:
    """The product of some factors."""
    if not parts:
        return number(1, shape)
    whole = parts[0]
    for part in parts[1:]:
        shape_ = _larger(whole.shape, part.shape, shape)
        if part.op is V.DIVIDE and part.args[0].value == 1 and part.args[0].shape == ():
            whole = make(V.DIVIDE, [whole, part.args[1]], shape_)
        else:
            whole = make(V.MULTIPLY, [whole, part], shape_)
    return whole


def _larger(a: Any, b: Any, whole: Any) -> Any:
    if b in (a, ()):
        return a
    if a == ():
        return b
    try:
        return broadcast(a, b)
    except ValueError:
        return whole


def _slopes(form: Form) -> list[Slope]:
    """The slopes of the activations of a cell, as its backward equations write them."""
    every = [e.value for e in form.backward] + [c.value for c in form.carries]
    every += [g.term for g in form.parameters]
    products = [factors(e) for e in order(every) if e.op is V.MULTIPLY]
    found: list[Slope] = []
    for equation in form.forward:
        for value in order([equation.value]):
            if not (value.op.activation and len(value.args) == 1):
                continue
            targets = equation.targets if value is equation.value else ()
            start = 0
            for y in targets:
                a = value.args[0]
                if len(targets) > 1:
                    stop = start + y.shape[-1]
                    params = {"axis": -1, "start": start, "stop": stop}
                    a, start = make(V.SLICE, [a], y.shape, params), stop
                    if value.args[0].shape[:-1] != y.shape[:-1]:
                        continue
                own = {y} | ({a} if a.op is V.SYMBOL else set())
                for parts in products:
                    group = tuple(f for f in parts if (s := {*symbols([f])}) and s <= own)
                    known = any(slope.factors == group for slope in found)
                    if group and not known and _is_slope(value, y, a, group):
                        found.append(Slope(y, a, group, value.op))
    return found


def _is_slope(value: Expr, y: Expr, a: Expr, group: Sequence[Expr]) -> bool:
    """Whether some factors are f'(a), on numbers."""
    x = np.array([-1.3, -0.4, 0.3, 0.9, 1.7])
    h = 1e-5

    def f(x: Array) -> Array:
        result: Array = value.op.value(x, **value.params)
        return result

    try:
        flat = {y: f(x), a: x}
        got = np.prod([np.broadcast_to(_flat(g, flat), x.shape) for g in group], axis=0)
        return bool(np.allclose(got, (f(x + h) - f(x - h)) / (2 * h), atol=1e-6))
    except (TypeError, ValueError, IndexError):
        return False


def _flat(e: Expr, known: Mapping[Expr, Any]) -> Any:
    if e in known:
        return known[e]
    if e.op is V.NUMBER:
        return e.value
    if e.op is V.SYMBOL:
        raise ValueError(e)
    return e.op.value(*[_flat(arg, known) for arg in e.args], **e.params)


# ------------------------------------------------------------------------------------------------
# Running

_names: WeakKeyDictionary[Expr, frozenset[str]] = WeakKeyDictionary()


KEPT = {"kept before": -1, "kept after": 1}
"""Kinds of symbols: values as another step kept them, and how far away that is."""

MIXED: dict[str, Callable[[Array], Array]] = {
    "by sequence": lambda v: v.swapaxes(0, 1).reshape(v.shape),
    "by step": lambda v: v.reshape(v.shape[1], v.shape[0], *v.shape[2:]).swapaxes(0, 1),
}
"""Kinds of symbols: (T, B, ...) made flat after an exchange of the axes, or read as (B, T, ...)."""

MASKS = ("mask", "mask_back")
"""Inputs that say which sequences have the step, in each direction."""

AT_THE_LOSS = "at the loss"
"""The name of values of the loss's step, in the step that it is followed to."""


def names_in(e: Expr) -> frozenset[str]:
    """The names of the values that an expression depends on."""
    found = _names.get(e)
    if found is None:
        if e.op is V.SYMBOL:
            found = frozenset([AT_THE_LOSS if e.symbol.kind == "at the loss" else e.symbol.name])
        else:
            found = frozenset().union(*map(names_in, e.args))
        _names[e] = found
    return found


@dataclass(frozen=True)
class Numbers:
    """A problem: parameters, inputs (T, B, I), first states, and dL/do_t (T, B, O) per output.

    others  what dL/do_t would be with other targets, by the mistake in them
    """

    parameters: dict[str, Array]
    inputs: list[Array]
    starts: list[Array]
    errors: list[Array]
    others: dict[str, list[Array]] = field(default_factory=dict)


def other_error(error: Expr, label: str) -> Expr:
    """The symbol of dL/do_t with other targets."""
    symbol = error.symbol
    return name(symbol._replace(name=f"{symbol.name}, {label}"), error.shape)


def pieces(equation: Definition) -> list[tuple[Expr, int, int]]:
    """The parts that a value is cut into: (symbol, axis from the end, width)."""
    first = equation.targets[0].shape
    unequal = [i - len(first) for i, n in enumerate(equation.value.shape) if n != first[i]]
    axis = unequal[0] if unequal else -1
    return [(target, axis, target.shape[axis]) for target in equation.targets]


def _taped(e: Expr, known: Mapping[Expr, Any], fixed: Mapping[str, Any], batch: int) -> Any:
    """One operation on tensors, recorded."""
    if e.op is V.SYMBOL:
        return fixed[e.symbol.name]
    if e.op is V.NUMBER:
        return np.full(_sized(e.shape, batch), e.value) if e.shape else e.value
    args = [known[arg] for arg in e.args]
    if e.op is V.SLICE:
        return V.sliced(args[0], e.params["axis"], e.params["start"], e.params["stop"])
    if e.op is V.TAKE:
        return args[0][(..., e.params["index"], *([slice(None)] * (-1 - e.params["axis"])))]
    if e.op is V.TRANSPOSE:
        return ops.swapaxes(args[0], -1, -2)
    if e.op is V.PART:
        return args[0][e.params["port"]]
    if e.op is V.RESHAPE:
        return ops.reshape(args[0], _sized(e.shape, batch))
    if e.op is V.BROADCAST_TO:
        return ops.broadcast_to(args[0], _sized(e.shape, batch))
    return apply(e.op, args, {k: _sized(v, batch) for k, v in e.params.items()})


class Trial:
    """A problem, its forward pass, and runs of the backward pass with changes.

    right   the gradients of the unchanged lines by name: of parameters, "x", the first states by
            the names of the carries' states with _0, and (T, ...) of intermediate values
    """

    def __init__(
        self, lines: Lines, numbers: Numbers, forward: Mapping[int, Expr] | None = None
    ) -> None:
        self.lines, self.numbers = lines, numbers
        form = lines.form
        self.T, self.B = numbers.inputs[0].shape[:2]
        self._fixed: dict[str, Any] = dict(numbers.parameters)
        self._fixed |= form.constants | form.scalars | form.sizes | {form.batch: self.B}
        self._values: dict[tuple[str, int], Any] = {}
        self._cache: dict[tuple[Expr, int], Any] = {}
        self._now: dict[tuple[str, int], Any] = self._values
        self._dirty: frozenset[str] = frozenset()
        self._zeros: dict[Any, Any] = {}
        self._loss = 0
        self._names: dict[Expr, frozenset[str]] = {}
        self._known: dict[Any, tuple[frozenset[str], list[int]]] = {}
        self._numbers: dict[Expr, Any] = {}
        self._computing: dict[Expr, Callable[[list[Any]], Any]] = {}
        changed = self.changed = dict(forward or {})
        self._before = [carry.state for carry in form.carries]
        names = [g.of.symbol.name for g in form.inputs] or lines.inputs
        for state, start in zip(lines.states, numbers.starts, strict=True):
            self._values[state.symbol.name, 0] = start
        now = {state.symbol.name for state in lines.states} | set(self._fixed)
        for equation in form.forward:  # tanh(c_0), where a list begins with it
            if len(equation.targets) == 1 and names_in(equation.value) <= now:
                times = {s.symbol.time for s in symbols([equation.value])}
                label = equation.target.symbol.name
                if times <= {0, None} and label not in now:
                    self._keep(equation.target, 0, self._ev(equation.value, 0))
                    now.add(label)
        for x, xs in zip(names, numbers.inputs, strict=True):
            self._values |= {(x, t): values for t, values in enumerate(xs, 1)}
        for t in range(1, self.T + 1):
            for error, e in zip(form.errors, numbers.errors, strict=True):
                self._values[error.symbol.name, t] = e[t - 1]
            for label, es in numbers.others.items():
                for error, e in zip(form.errors, es, strict=True):
                    self._values[other_error(error, label).symbol.name, t] = e[t - 1]
        for t in range(1, self.T + 1):
            for k, equation in enumerate(form.forward):
                value = self._ev(changed.get(k, equation.value), t)
                if len(equation.targets) == 1:
                    self._keep(equation.target, t, value)
                else:
                    at = 0
                    for target, axis, width in pieces(equation):
                        self._keep(target, t, V.sliced(value, axis, at, at + width))
                        at += width
            after = [self._ev(state, t) for state in form.states]
            for state, value in zip(lines.states, after, strict=True):
                self._values[state.symbol.name, t] = value
        self._cache.clear()
        self._sums: dict[str, Array] = {}
        self._needs = [
            (line.target.symbol.name, names_in(line.value))
            for line in lines.lines
            if line.kind not in ("sum", "input")
        ]
        self.right = self.run(())

    def _keep(self, target: Expr, t: int, value: Any) -> None:
        """A value of the forward pass; one made of parameters alone is that of every step."""
        label = target.symbol.name
        if target.symbol.time is None:
            self._fixed[label] = value
        else:
            self._values[label, t] = value

    def value(self, e: Expr, t: int) -> Any:
        """An expression at step t, from the right values."""
        return self._ev(e, t)

    def value_among(self, e: Expr, t: int, now: dict[tuple[str, int], Any]) -> Any:
        """An expression at step t, from other values of the lines."""
        self._now, self._dirty = now, frozenset(label for label, _ in now)
        try:
            return self._ev(e, t)
        finally:
            self._now, self._dirty = self._values, frozenset()

    def values(self) -> dict[str, Array]:
        """The values of the forward pass, (T, ...)."""
        return {
            f"{s.symbol.name} value": np.stack(
                [np.asarray(self._look(s, t)) for t in range(1, self.T + 1)]
            )
            for s in self.lines.forward
        }

    def parted(
        self, given: Mapping[str, Array], close: float, sticky: Sequence[Change] = ()
    ) -> tuple[Line, int | None] | None:
        """The first line that gives another value than was given, from the given ones before it.

        A line is passed over whose given value is the right one.
        """
        all_lines = self.lines.lines
        right = self.run(sticky)
        self._dirty = frozenset(line.target.symbol.name for line in all_lines)
        now: dict[tuple[str, int], Any] = {}
        self._now = now

        def apart(a: Any, b: Any, whole: Any) -> bool:
            scale = max(float(np.abs(whole).max(initial=0.0)), 1e-300)
            return not bool((np.abs(a - b) <= close * scale).all())

        try:
            for t in range(self.T, 0, -1):
                for line in all_lines:
                    label = line.target.symbol.name
                    if line.kind in ("error", "backward"):
                        value = self._ev(line.value, t)
                        told = given.get(f"{line.of}_t") if line.kind == "backward" else None
                        if told is not None:
                            whole = right[f"{line.of}_t"]
                            if apart(value, told[t - 1], told) and apart(
                                whole[t - 1], told[t - 1], whole
                            ):
                                return line, t
                            value = told[t - 1]
                        now[label, t] = value
                    elif line.kind == "carry":
                        now[label, t - 1] = self._ev(line.value, t)
            for line in all_lines:
                told = given.get(line.of)
                if line.kind == "sum" and told is not None:
                    value = sum(self._ev(line.value, t) for t in range(1, self.T + 1))
                    off = apart(value, told, told) and apart(right[line.of], told, right[line.of])
                    if off and any(f"{other.of}_t" in given for other in all_lines):
                        return line, None
            return None
        finally:
            self._now = self._values
            self._dirty = frozenset()

    def _zero(self, shape: Any) -> Any:
        found = self._zeros.get(shape)
        if found is None:
            found = self._zeros[shape] = np.zeros(_sized(shape, self.B))
        return found

    def _look(self, e: Expr, t: int) -> Any:
        symbol = e.symbol
        if symbol.time is None:
            return self._fixed[symbol.name]
        at: int = symbol.time if symbol.fixed else t + symbol.time
        if symbol.kind == "last":
            at = self.T + symbol.time
        elif symbol.kind in MIXED:
            return self._mixed(e, t)
        elif symbol.kind == "flipped":
            return self._flipped(e, t)
        elif symbol.kind == "once":  # of equal rows of zeros and a one, the last alone
            x = self._values[symbol.name, at]
            return x * (np.cumsum(x[::-1], 0)[::-1] == 1)
        elif symbol.kind == "at the loss":
            at = self._loss + symbol.time
        elif symbol.kind in KEPT:  # kept in another step, the last for the one before 1
            at = (t + KEPT[symbol.kind] - 1) % self.T + 1 + symbol.time
        elif symbol.kind == "reversed":
            at = self.T + 1 - at
        elif symbol.kind == "wrapped" and not (0 < at <= self.T):
            # as Python's lists do: before the first is the last; states begin with s_0
            at = at % (self.T + 1) if (symbol.name, 0) in self._values else (at - 1) % self.T + 1
        key = (symbol.name, at)
        value = self._now.get(key)
        if value is None:
            value = self._values.get(key)
        if value is None and symbol.name in self._fixed:
            return self._fixed[symbol.name]
        return self._zero(e.shape) if value is None else value

    def _mixed(self, e: Expr, t: int) -> Any:
        """A value's rows of all steps and sequences in the other order, those that step t gets."""
        symbol = e.symbol
        right = name(symbol._replace(kind="value"), e.shape)
        found = self._cache.get((e, 0))
        if found is None:
            every = np.stack([np.asarray(self._look(right, k)) for k in range(1, self.T + 1)])
            found = self._cache[e, 0] = MIXED[symbol.kind](every)
        return found[t - 1]

    def _flipped(self, e: Expr, t: int) -> Any:
        """dL/do_t with the steps that each sequence has in the other order."""
        found = self._cache.get((e, 0))
        if found is None:
            right = name(e.symbol._replace(kind="error"), e.shape)
            found = np.stack([np.asarray(self._look(right, k)) for k in range(1, self.T + 1)])
            names = [m for m in MASKS if (m, 1) in self._values]
            of = min(
                [error.symbol.name for error in self.lines.form.errors].index(e.symbol.name), 1
            )
            mask = np.stack([self._values[names[of % len(names)], k] for k in range(1, self.T + 1)])
            for b in range(self.B):
                own = np.flatnonzero(mask[:, b, 0])
                found[own, b] = found[own[::-1], b]
            self._cache[e, 0] = found
        return found[t - 1]

    def _ev(self, e: Expr, t: int) -> Any:
        op = e.op
        if op is V.SYMBOL:
            return self._look(e, t)
        if op is V.NUMBER:
            found = self._numbers.get(e)
            if found is None:
                full = np.full(_sized(e.shape, self.B), e.value) if e.shape else np.float64(e.value)
                found = self._numbers[e] = full
            return found
        names = self._names.get(e)
        if names is None:
            names = self._names[e] = names_in(e)
        clean = self._dirty.isdisjoint(names)
        if clean:
            found = self._cache.get((e, t))
            if found is not None:
                return found
        args = e.args
        if op is V.MULTIPLY:
            value = self._ev(args[0], t) * self._ev(args[1], t)
        elif op is V.ADD:
            value = self._ev(args[0], t) + self._ev(args[1], t)
        elif op is V.SUBTRACT:
            value = self._ev(args[0], t) - self._ev(args[1], t)
        elif op is V.MATMUL:
            value = self._ev(args[0], t) @ self._ev(args[1], t)
        elif op is V.TRANSPOSE:
            value = self._ev(args[0], t).swapaxes(-1, -2)
        else:
            compute = self._computing.get(e)
            if compute is None:
                compute = self._computing[e] = computing(e, self.B)
            value = compute([self._ev(arg, t) for arg in args])
            if op.notation.form == "indicator":
                value = 1.0 * value  # 1 and 0, as they are written
        if clean:
            self._cache[e, t] = value
        return value

    def behind(self, changes: Sequence[Change]) -> int:
        """How many lines depend on the changed ones."""
        return len(self._behind(changes)[1])

    def _behind(self, changes: Sequence[Change]) -> tuple[frozenset[str], list[int]]:
        """The names of the lines that depend on the changed ones, and the lines to compute."""
        all_lines = self.lines.lines
        key = tuple((c.line, names_in(c.value)) for c in changes)
        found = self._known.get(key)
        if found is not None:
            return found
        dirty: set[str] = set()
        more: list[tuple[str, frozenset[str]]] = []
        for c in changes:
            if all_lines[c.line].kind not in ("sum", "input"):
                dirty.add(all_lines[c.line].target.symbol.name)
                more.append((all_lines[c.line].target.symbol.name, names_in(c.value)))
        size = -1
        while len(dirty) != size and dirty:
            size = len(dirty)
            for target, needs in [*self._needs, *more]:
                if target not in dirty and not dirty.isdisjoint(needs):
                    dirty.add(target)
        lines = {c.line for c in changes}
        todo = [
            k
            for k, line in enumerate(all_lines)
            if k in lines or not dirty.isdisjoint(names_in(line.value))
        ]
        self._known[key] = frozenset(dirty), todo
        return self._known[key]

    def table(
        self, changes: Sequence[Change] = (), more: Mapping[str, Expr] | None = None
    ) -> dict[tuple[int, int], dict[str, Array]]:
        """The part of each gradient from loss t through the uses in step k, by (t, k).

        more  further expressions to evaluate there, {name: expression}
        """
        all_lines = self.lines.lines
        values = {c.line: c.value for c in changes if not c.extent and c.weights is None}
        self._dirty = frozenset(
            line.target.symbol.name for line in all_lines if line.kind not in ("sum", "input")
        ) | {AT_THE_LOSS}
        found: dict[tuple[int, int], dict[str, Array]] = {}
        try:
            for t in range(1, self.T + 1):
                self._loss = t
                now: dict[tuple[str, int], Any] = {}
                self._now = now
                for line in all_lines:
                    if line.kind == "carry":
                        now[line.target.symbol.name, t] = self._zero(line.target.shape)
                for k in range(t, 0, -1):
                    parts: dict[str, Array] = {}
                    for number_, line in enumerate(all_lines):
                        label = line.target.symbol.name
                        if line.kind == "error" and k < t:
                            now[label, k] = self._zero(line.target.shape)
                            continue
                        value = self._ev(values.get(number_, line.value), k)
                        if line.kind == "input":
                            parts[line.of] = np.asarray(value)
                        elif line.kind == "sum":
                            parts[label] = np.asarray(value)
                        else:
                            now[label, k - 1 if line.kind == "carry" else k] = value
                    for label, e in (more or {}).items():
                        parts[label] = np.asarray(self._ev(e, k))
                    found[t, k] = parts
        finally:
            self._now = self._values
            self._dirty = frozenset()
        return found

    def chained(self, steps: Callable[[int, int], Iterable[int]]) -> dict[str, Array]:
        """The gradients if what loss t hands to step k goes through the Jacobians of some steps.

        steps  (t, k) -> the steps, in order; right is t, t - 1, ..., k + 1
        """
        all_lines = self.lines.lines
        inner = [line for line in all_lines if line.kind not in ("sum", "input")]
        outer = [line for line in all_lines if line.kind in ("sum", "input")]
        carries = [line.target for line in all_lines if line.kind == "carry"]
        self._dirty = frozenset(line.target.symbol.name for line in inner)
        found = {
            label: np.zeros(g.shape)
            for label, g in self.right.items()
            if label in self.lines.inputs or label in self.numbers.parameters
        }
        try:
            for t in range(1, self.T + 1):
                for k in range(1, t + 1):
                    came: dict[str, Any] = {}
                    for n, j in enumerate([*steps(t, k), k]):
                        self._now = now = {
                            (c.symbol.name, j): came.get(c.symbol.name, self._zero(c.shape))
                            for c in carries
                        }
                        for line in inner:
                            label = line.target.symbol.name
                            if line.kind == "carry":
                                came[label] = self._ev(line.value, j)
                            elif line.kind == "error":
                                here = self._ev(line.value, t) if n == 0 else None
                                now[label, j] = self._zero(line.target.shape) if n else here
                            else:
                                now[label, j] = self._ev(line.value, j)
                    for line in outer:
                        part = self._ev(line.value, k)
                        if line.kind == "sum":
                            found[line.of] = found[line.of] + part
                        else:
                            found[line.of][k - 1] += part
        finally:
            self._now = self._values
            self._dirty = frozenset()
        return found

    def differentiated(self) -> dict[str, Array]:
        """The gradients of the forward pass as it is, whatever the lines say: by autodiff.

        Raises ValueError if the first state is made of parameters.
        """
        form, numbers = self.lines.form, self.numbers
        if form.initial:
            raise ValueError("the first state is made of parameters")
        leaves: dict[str, Any] = {n: tensor(p) for n, p in numbers.parameters.items()}
        starts = [tensor(s) for s in numbers.starts]
        inputs = [[tensor(x) for x in xs] for xs in numbers.inputs]
        xs = [x for each in inputs for x in each]
        fixed = self._fixed | leaves
        before, ends, errors = starts, [], []
        for t in range(self.T):
            known: dict[Expr, Any] = dict(zip(self._before, before, strict=True))
            known |= {g.of: each[t] for g, each in zip(form.inputs, inputs, strict=False)}

            def value(e: Expr, known: dict[Expr, Any] = known) -> Any:
                for part in order([e]):
                    if part not in known:
                        known[part] = _taped(part, known, fixed, self.B)
                return known[e]

            for k, equation in enumerate(form.forward):
                whole = value(self.changed.get(k, equation.value))
                if len(equation.targets) == 1:
                    known[equation.target] = whole
                    continue
                at = 0
                for target, axis, width in pieces(equation):
                    known[target] = V.sliced(whole, axis, at, at + width)
                    at += width
            before = [value(state) for state in form.states]
            ends += [value(o) for o in form.outputs]
            errors += [e[t] for e in numbers.errors]
        found = gradients(ends, [*leaves.values(), *xs, *starts], errors)
        result = dict(zip(leaves, found, strict=False))
        for k, of in enumerate(self.lines.inputs if form.inputs else []):
            start = len(leaves) + k * self.T
            result[of] = np.stack(found[start : start + self.T])
        rest = found[len(leaves) + len(xs) :]
        named = [f"{s.symbol.name}_0" for s in self.lines.states]
        return result | dict(zip(named, rest, strict=True))

    def leaking(self, changes: Sequence[Change], order: Sequence[int]) -> dict[str, Array]:
        """The gradients if every sequence begins with the leftovers of the one before it.

        order  of the sequences
        """
        carries = [line for line in self.lines.lines if line.kind == "carry"]
        after = {
            line.target.symbol.name: np.array(self._zero(line.value.shape)) for line in carries
        }
        got: dict[str, Array] = {}
        for _ in range(self.B):
            got = self.run(changes, after=after)
            for line in carries:
                left = got[f"{line.of}_0"]
                for a, b in pairwise(order):
                    after[line.target.symbol.name][b] = left[a]
        return got

    def run(
        self,
        changes: Sequence[Change],
        only: Container[str] | None = None,
        after: Mapping[str, Array] | None = None,
        onward: bool = False,
        more: Mapping[tuple[int, int], Array] | None = None,
        into: dict[tuple[str, int], Any] | None = None,
    ) -> dict[str, Array]:
        """The gradients, with some lines changed.

        only    of intermediate values, these alone
        after   gradients from step T + 1, by the name of a carry; zeros if left out
        onward  the steps from the first to the last: each hands on to the one after it
        more    {(number of a changed line, step): what is added to its value there}
        into    is filled with the values of the lines, {(name, step): value}
        """
        all_lines, T = self.lines.lines, self.T
        first = not self._sums
        by_line: dict[int, list[Change]] = {}
        for change in changes:
            by_line.setdefault(change.line, []).append(change)
        if first or onward or after is not None:
            todo = list(range(len(all_lines)))
            dirty = frozenset(
                line.target.symbol.name for line in all_lines if line.kind not in ("sum", "input")
            )
        else:
            dirty, todo = self._behind(changes)
        self._dirty = dirty
        now: dict[tuple[str, int], Any] = {} if into is None else into
        self._now = now
        now |= {(label, T): g for label, g in (after or {}).items()}
        sums: dict[str, Any] = {}
        inputs: dict[tuple[str, int], Any] = {}
        for k in todo:
            if all_lines[k].kind == "sum":
                symbol = all_lines[k].target.symbol
                sums[symbol.name] = np.zeros(np.shape(self._fixed[symbol.name]))
        through: dict[str, Array] = {}
        steps, back = (range(1, T + 1), -1) if onward else (range(T, 0, -1), 1)
        if onward:
            carries = [line for line in all_lines if line.kind == "carry"]
            now |= {(c.target.symbol.name, 1): self._zero(c.value.shape) for c in carries}
        for t in steps:
            for k in todo:
                line = all_lines[k]
                value, weight = line.value, 1.0
                for change in by_line.get(k, ()):
                    if EXTENTS[change.extent](t, T):
                        value = change.value
                        if change.weights is not None:
                            weight = change.weights(t, T)
                got = self._ev(value, t)
                if weight != 1.0:
                    got = weight * got
                if more is not None and (k, t) in more:
                    got = np.add(got, more[k, t])
                label = line.target.symbol.name
                if line.kind == "sum":
                    sums[label] = sums[label] + got
                elif line.kind == "input":
                    inputs[line.of, t] = got
                elif line.kind == "carry":
                    now[label, t - back] = got
                else:
                    now[label, t] = got
        if onward:
            now |= {(c.target.symbol.name, 0): now[c.target.symbol.name, T + 1] for c in carries}
        for g in self.lines.form.initial:  # parameters that the first state is made of
            label = g.of.symbol.name
            known: dict[Expr, Any] = {g.of: self._fixed[label]}
            for start, carry in zip(self.lines.form.starts, self.lines.form.carries, strict=True):
                key = carry.name.symbol.name, 0
                known[start] = now[key] if key in now else self._values[key]
            start_part = evaluate(g.term, known, self.B)
            through[label] = sums.get(label, self._sums.get(label)) + start_part
        if first:
            self._values.update(now)
            self._sums = sums
            self._dirty = frozenset()
            self._cache.clear()
        result: dict[str, Array] = {}
        for k in todo:
            line = all_lines[k]
            label = line.target.symbol.name
            if line.kind == "sum":
                result[label] = np.asarray(sums[label])
            elif line.kind == "input":
                own = [np.asarray(inputs[line.of, t]) for t in range(1, T + 1)]
                result[line.of] = np.stack(own)
            elif line.kind == "carry":
                result[f"{line.of}_0"] = np.asarray(now[label, 0])
            elif line.kind == "backward" and (only is None or f"{line.of}_t" in only):
                result[f"{line.of}_t"] = np.stack(
                    [np.asarray(now[label, t]) for t in range(1, T + 1)]
                )
        result |= through
        self._now = self._values
        return result if first else {**self.right, **result}
