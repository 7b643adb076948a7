"""Rewriting for the NumPy backend: the same numbers, beyond rounding, by fewer calls in the loop.

In a loop of small steps every call costs as much as a few thousand entries, and parts of a matrix
(its columns of one gate) cost one inner loop a row. So

- an operation on every part of a value becomes one on the whole: sums, tanh, and sigmoid, which
  is tanh of half the argument, so gates of both kinds are one tanh;
- a constant factor of a sum goes to the matrices and to the terms that do not change in the loop;
- in the backward pass, which is linear in the cotangents, factors that come from the forward pass
  are multiplied with each other before the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Place
from ..ops.primitives import (
    ADD,
    CONCATENATE,
    DIVIDE,
    MATMUL,
    MULTIPLY,
    NEGATIVE,
    SIGMOID,
    SPLIT,
    SUBTRACT,
    TANH,
)
from ..program import Atom, Constant, Equation, Var
from .split import Level, Part, of_fixed_matrix


class _Rewrite:
    """A part that is being rewritten.

    ends   values of it that are read elsewhere
    """

    def __init__(self, part: Part, ends: Iterable[Var]) -> None:
        self.level = dict(part.level)
        self.once, self.before = list(part.once), list(part.before)
        self.loop, self.after = list(part.loop), part.after
        self.known: dict[Any, Var] = {}
        self.factors: list[Equation] = []
        read = [a for e in (*part.once, *part.before, *part.loop, *part.after) for a in e.inputs]
        self.uses = Counter(a for a in (*read, *ends) if isinstance(a, Var))

    def part(self) -> Part:
        """The rewritten part."""
        return Part(self.once, self.before, self.loop, self.after, self.level)

    def moves(self, atom: Atom) -> bool:
        """Whether it is a value of the loop."""
        return isinstance(atom, Var) and self.level[atom] == "loop"

    def fixed(self, primitive: Any, *inputs: Atom, name: str, **params: Any) -> Atom:
        """An operation that is done before the loop, or once; each is done once only."""
        key = (primitive, *[a if isinstance(a, Var) else id(a.value) for a in inputs])
        if not params and key in self.known:
            return self.known[key]
        levels = {self.level[a] for a in inputs if isinstance(a, Var)}
        own: Level = "before" if "before" in levels else "once"
        shape, dtype = _shape(primitive, inputs, params), _dtype(inputs)
        out = Var(name, shape, dtype)
        self.level[out] = own
        e = Equation(primitive, inputs, params, (out,), Place())
        (self.before if own == "before" else self.once).append(e)
        self.known[key] = out
        return out


def _shape(primitive: Any, inputs: Sequence[Atom], params: Any) -> tuple[int, ...]:
    shapes = [np.shape(a.value) if isinstance(a, Constant) else a.shape for a in inputs]
    if primitive is MATMUL:
        return (shapes[0][0], shapes[1][1])
    if primitive is CONCATENATE:
        axis = params["axis"]
        whole = list(shapes[0])
        whole[axis] = sum([shape[axis] for shape in shapes])
        return tuple(whole)
    return np.broadcast_shapes(*shapes)


def _dtype(inputs: Sequence[Atom]) -> Any:
    return next(a.dtype for a in inputs if isinstance(a, Var))


# ------------------------------------------------------------------------------------------------
# Whole values instead of their parts


def of_wholes(part: Part, ends: Iterable[Var]) -> Part:
    """Operations on all parts of a value as one on the value."""
    r = _Rewrite(part, ends)
    for equations in (r.before, r.loop):
        k = 0
        while k < len(equations):
            if not (_added(r, equations, k) or _activated(r, equations, k)):
                k += 1
    _scaled(r)
    return r.part()


def _users(r: _Rewrite, equations: list[Equation], e: Equation) -> list[Equation]:
    """The operations of the same level that read the parts of a split, if each has one reader."""
    if e.primitive is not SPLIT or any(r.uses[v] != 1 for v in e.outputs):
        return []
    if e.params["axis"] != len(e.outputs[0].shape) - 1:
        return []
    by_input = {a: u for u in equations for a in u.inputs if isinstance(a, Var)}
    found = [by_input[v] for v in e.outputs if v in by_input]
    same = all(
        len(u.outputs) == 1 and u.outputs[0].shape == v.shape and u.outputs[0].dtype == v.dtype
        for v, u in zip(e.outputs, found, strict=False)
    )
    return found if same and len(found) == len(e.outputs) == len(set(map(id, found))) else []


def _put(equations: list[Equation], gone: Sequence[Equation], new: Sequence[Equation]) -> None:
    """New operations in place of some, before the first of them."""
    numbers = set(map(id, gone))
    at = next(k for k, e in enumerate(equations) if id(e) in numbers)
    rest = [e for e in equations[at:] if id(e) not in numbers]
    equations[at:] = [*new, *rest]


def _added(r: _Rewrite, equations: list[Equation], k: int) -> bool:
    """Something added to every part of a value as a sum with the value."""
    e = equations[k]
    users = _users(r, equations, e)
    v = e.inputs[0] if users else None
    if not isinstance(v, Var) or any(u.primitive is not ADD for u in users):
        return False
    own = r.level[e.outputs[0]]
    others = []
    for part, u in zip(e.outputs, users, strict=True):
        a, b = u.inputs
        other = b if a is part else a
        if not isinstance(other, Var) or r.level[other] == own or r.level[other] == "after":
            return False
        others.append(other)
    joined = _joined(r, others, e)
    if joined is None:
        return False
    total = Var("_".join([u.outputs[0].name for u in users]), v.shape, v.dtype)
    r.level[total] = own
    r.uses[total] = 1
    _put(
        equations,
        [e, *users],
        [
            Equation(ADD, (joined, v), {}, (total,), Place()),
            e._replace(inputs=(total,), outputs=tuple([u.outputs[0] for u in users])),
        ],
    )
    return True


def _joined(r: _Rewrite, parts: Sequence[Var], cut: Equation) -> Atom | None:
    """Values side by side: the value they are parts of, or a new one."""
    for e in r.before:
        if e.primitive is SPLIT and list(e.outputs) == list(parts):
            return e.inputs[0]
    widths = [v.shape[-1] for v in cut.outputs]
    if any(not p.shape or p.shape[-1] != n for p, n in zip(parts, widths, strict=True)):
        return None
    if len({p.shape[:-1] for p in parts}) != 1 or len({p.dtype for p in parts}) != 1:
        return None
    axis = len(parts[0].shape) - 1
    name = "_".join([p.name for p in parts])
    return r.fixed(CONCATENATE, *parts, name=name, axis=axis, sizes=widths)


def _activated(r: _Rewrite, equations: list[Equation], k: int) -> bool:
    """Tanh, or sigmoid, of all parts of a value as one tanh."""
    e = equations[k]
    users = _users(r, equations, e)
    v = e.inputs[0] if users else None
    kinds = {u.primitive for u in users}
    if not isinstance(v, Var) or not kinds <= {TANH, SIGMOID} or len(v.shape) != 2:
        return False
    if equations is not r.loop:
        return False
    if kinds == {TANH, SIGMOID}:
        half = np.concatenate(
            [np.full(p.shape, 0.5 if u.primitive is SIGMOID else 1.0, v.dtype)
             for p, u in zip(e.outputs, users, strict=True)], axis=1,
        )  # fmt: skip
        out = Var(f"{v.name}_gates", v.shape, v.dtype)
        new = _by_tanh(r, v, out, half, 1 - half)
    else:
        out = Var(users[0].outputs[0].name, v.shape, v.dtype)
        r.level[out], r.uses[out] = r.level[e.outputs[0]], 1
        new = [Equation(kinds.pop(), (v,), {}, (out,), Place())]
    cut = e._replace(inputs=(out,), outputs=tuple([u.outputs[0] for u in users]))
    _put(equations, [e, *users], [*new, cut])
    return True


def _by_tanh(r: _Rewrite, v: Var, out: Var, factor: Any, shift: Any) -> list[Equation]:
    """out = factor * tanh(factor * v) + shift, which is a sigmoid where both are 1/2."""
    k, m = Constant(factor), Constant(shift)
    steps = [(MULTIPLY, (k,)), (TANH, ()), (MULTIPLY, (k,)), (ADD, (m,))]
    found: list[Equation] = []
    value = v
    for primitive, others in steps:
        new = out if primitive is ADD else Var(f"{v.name}_{len(found) + 1}", v.shape, v.dtype)
        r.level[new] = "loop"
        r.uses[new] = max(1, r.uses[new])
        found.append(Equation(primitive, (*others, value), {}, (new,), Place()))
        value = new
    r.factors.append(found[0])
    return found


def _scaled(r: _Rewrite) -> None:
    """Factors of arguments of tanh are moved out of the loop, where they can be."""
    loop: list[Equation] = []
    for e in r.loop:
        if e.primitive is SIGMOID and isinstance(e.inputs[0], Var):
            loop += _by_tanh(r, e.inputs[0], e.outputs[0], 0.5, 0.5)
        else:
            loop.append(e)
    makers = {v: e for e in loop for v in e.outputs}
    before = {v: e for e in r.before for v in e.outputs}
    instead: dict[int, list[Equation]] = {}
    for e in r.factors:
        k, v = e.inputs
        assert isinstance(k, Constant)
        assert isinstance(v, Var)
        terms = _terms(r, v, makers)
        if terms is None:
            continue
        row = Constant(k.value[:1]) if np.ndim(k.value) else k
        for own in terms:
            a, b = own.inputs
            inputs = (
                (a, r.fixed(MULTIPLY, row, b, name=f"{b}_scaled"))
                if own.primitive is MATMUL
                else tuple([x if r.moves(x) else _times_row(r, row, x, before) for x in (a, b)])
            )
            outputs = e.outputs if own.outputs[0] is v else own.outputs
            instead[id(own)] = [own._replace(inputs=inputs, outputs=outputs)]
        instead[id(e)] = []
    r.loop = [new for e in loop for new in instead.get(id(e), [e])]


def _terms(r: _Rewrite, v: Var, makers: dict[Var, Equation]) -> list[Equation] | None:
    """The sums and the products that a value is made of, if nothing else reads them."""
    todo, found = [v], []
    while todo:
        own = makers.get(todo.pop())
        if own is None or r.uses[own.outputs[0]] != 1 or own.outputs[0].shape != v.shape:
            return None
        if own.primitive is ADD:
            todo += [x for x in own.inputs if isinstance(x, Var) and r.moves(x)]
        elif not of_fixed_matrix(own, r.level):
            return None
        found.append(own)
    return found


def _times_row(r: _Rewrite, row: Constant, x: Atom, before: dict[Var, Equation]) -> Atom:
    """row * x, of a value that does not change in the loop: of its own terms, if it is a sum."""
    if isinstance(x, Constant):
        return Constant(x.value * row.value)
    e = before.get(x)
    if e is not None and r.uses[x] == 1 and x.shape == _shape(MULTIPLY, (row, x), {}):
        a, b = e.inputs[0], e.inputs[-1]
        name = f"{x}_scaled"
        if e.primitive is ADD:
            parts = [_times_row(r, row, y, before) for y in (a, b)]
            return r.fixed(ADD, *parts, name=name)
        if of_fixed_matrix(e, r.level):
            return r.fixed(MATMUL, a, r.fixed(MULTIPLY, row, b, name=f"{b}_scaled"), name=name)
    return r.fixed(MULTIPLY, row, x, name=f"{x}_scaled")


# ------------------------------------------------------------------------------------------------
# A backward pass is linear


class _Term(NamedTuple):
    """A value of the loop times one that does not change in it; None is 1."""

    root: Var
    factor: Atom | None


def factored(part: Part, ends: Iterable[Var]) -> Part:
    """Values of the loop as sums of other values of it times factors, multiplied before."""
    r = _Rewrite(part, ends)
    forms: dict[Var, list[_Term]] = {}
    for e in r.loop:
        found = _form(r, e, forms)
        if found is not None:
            forms[e.outputs[0]] = found
    needed = {a for a in (*ends, *(a for e in r.after for a in e.inputs)) if isinstance(a, Var)}
    loop: list[Equation] = []
    for e in reversed(r.loop):
        if needed.isdisjoint(e.outputs):
            continue
        terms = forms.get(e.outputs[0])
        if terms is None:
            needed.update(a for a in e.inputs if isinstance(a, Var))
            loop.append(e)
        else:
            needed.update(term.root for term in terms)
            loop += reversed(_sum(r, e, terms))
    loop.reverse()
    if len(loop) >= len(part.loop):
        return part
    r.loop = loop
    return r.part()


def _form(r: _Rewrite, e: Equation, forms: dict[Var, list[_Term]]) -> list[_Term] | None:
    """The terms of a result; None if it is not linear in values of the loop."""
    v = e.outputs[0]
    if v.dtype.kind != "f" or any(isinstance(a, Var) and a.dtype != v.dtype for a in e.inputs):
        return None

    def terms(a: Atom) -> list[_Term]:
        assert isinstance(a, Var)
        known = forms.get(a)
        return known if known and (len(known) == 1 or r.uses[a] == 1) else [_Term(a, None)]

    moving = [isinstance(a, Var) and r.moves(a) and a.shape == v.shape for a in e.inputs]
    if e.primitive in (ADD, SUBTRACT) and all(moving):
        one, other = (terms(a) for a in e.inputs)
        return _collected(r, one, _minus(r, other, v) if e.primitive is SUBTRACT else other, v)
    if e.primitive is NEGATIVE and all(moving):
        return _minus(r, terms(e.inputs[0]), v)
    if e.primitive in (MULTIPLY, DIVIDE) and sum(moving) == 1 == sum(map(r.moves, e.inputs)):
        a, b = e.inputs if moving[0] else e.inputs[::-1]
        assert isinstance(a, Var)
        if e.primitive is DIVIDE and not moving[0]:
            return None
        if len(forms.get(a, ())) > 1 and any(t.factor is None for t in forms[a]):
            return [_Term(a, _times(r, None, b, v, e.primitive))]  # no fewer calls without it
        return [_Term(t.root, _times(r, t.factor, b, v, e.primitive)) for t in terms(a)]
    return None


def _times(r: _Rewrite, factor: Atom | None, other: Atom, v: Var, primitive: Any) -> Atom:
    if factor is None and primitive is MULTIPLY:
        return other
    one = ONE if factor is None else factor
    if isinstance(one, Constant) and isinstance(other, Constant):
        return Constant(primitive.value(one.value, other.value))
    return r.fixed(primitive, one, other, name=f"{v.name}_factor")


def _minus(r: _Rewrite, terms: list[_Term], v: Var) -> list[_Term]:
    return [
        _Term(t.root, MINUS if t.factor is None else _times(r, t.factor, MINUS, v, MULTIPLY))
        for t in terms
    ]


MINUS = Constant(-1)
ONE = Constant(1)


def _collected(r: _Rewrite, one: list[_Term], other: list[_Term], v: Var) -> list[_Term]:
    """The sum of two sums: one term for every value."""
    found = {t.root: t.factor for t in one}
    for root, factor in other:
        if root in found:
            a, b = (ONE if f is None else f for f in (found[root], factor))
            both = isinstance(a, Constant) and isinstance(b, Constant)
            found[root] = (
                Constant(a.value + b.value)  # type: ignore[union-attr]
                if both
                else r.fixed(ADD, a, b, name=f"{v.name}_factor")
            )
        else:
            found[root] = factor
    return [_Term(root, factor) for root, factor in found.items()]


def _sum(r: _Rewrite, e: Equation, terms: list[_Term]) -> list[Equation]:
    """Operations that compute a sum of terms."""
    v = e.outputs[0]
    found: list[Equation] = []
    total: Var | None = None
    for k, (root, factor) in enumerate(terms):
        last = k == len(terms) - 1
        value = root
        minus = factor is MINUS and total is not None
        if factor is not None and not minus:
            value = v if last and total is None else Var(f"{v.name}_{k + 1}", v.shape, v.dtype)
            r.level[value] = "loop"
            found.append(Equation(MULTIPLY, (root, factor), {}, (value,), Place()))
        if total is None:
            total = value
            continue
        new = v if last else Var(f"{v.name}_sum{k + 1}", v.shape, v.dtype)
        r.level[new] = "loop"
        primitive = SUBTRACT if minus else ADD
        found.append(Equation(primitive, (total, value), {}, (new,), Place()))
        total = new
    return found


__all__ = ["factored", "of_wholes"]
