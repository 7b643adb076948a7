"""A derived backward pass as short lines, of which one can be changed.

The equations of `derive` are cut finer: a cotangent before the slope of an activation has a line of
its own (dL/di = dL/dc * g, then dL/da_i = dL/di * i (1 - i)), dL/do_t enters by a line, and so does
each gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..equations import notation, print_text
from ..equations import vocabulary as V
from ..equations.expr import (
    Definition,
    Expr,
    Form,
    Gradient,
    Symbol,
    make,
    name,
    order,
    replaced,
    rewritten,
    symbols,
)
from ..graph import Array
from ..primitive import Primitive
from .terms import factors, product

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


_names: WeakKeyDictionary[Expr, frozenset[str]] = WeakKeyDictionary()


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


def pieces(equation: Definition) -> list[tuple[Expr, int, int]]:
    """The parts that a value is cut into: (symbol, axis from the end, width)."""
    first = equation.targets[0].shape
    unequal = [i - len(first) for i, n in enumerate(equation.value.shape) if n != first[i]]
    axis = unequal[0] if unequal else -1
    return [(target, axis, target.shape[axis]) for target in equation.targets]
