"""Local rewriting: the roundabout terms of a recorded backward pass, said directly.

Every rule takes an expression and gives an equal one, or None where it does not apply. `TIDY` are
the rules that only remove operations without effect; they are used on the forward pass too, which
is otherwise left as the cell's author wrote it.

`Simplifier` applies them from the parts to the whole until none applies. The rules follow in three
groups: operations without effect; numbers, signs and zeros; parts of gates. The lists stand at the
end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..graph import Shape
from ..primitive import Primitive
from . import vocabulary as V
from .expr import Expr, make, number, order, symbols
from .sizes import between, broadcast, grows


def by_entries(op: Primitive) -> bool:
    """Whether an operation works on matching entries: broadcasting and cutting pass through it."""
    return op.kind == "elementwise" or op is V.WHERE or (op.kind == "flat" and len(op.pulls) == 2)


_OPPOSITE = {
    V.EQUAL: V.NOT_EQUAL,
    V.NOT_EQUAL: V.EQUAL,
    V.GREATER: V.LESS_EQUAL,
    V.LESS_EQUAL: V.GREATER,
    V.LESS: V.GREATER_EQUAL,
    V.GREATER_EQUAL: V.LESS,
}

LONG = 24
"""Terms of sums that are looked through for equal ones."""
Rule = Callable[[Expr, "Simplifier"], Expr | None]


class Simplifier:
    """Makes expressions and applies rules to them until none applies.

    parts   {expression: {(axis from the end, start, stop): its slice}}, as far as slices of it
            have been made
    count   the expression of how many entries some axes have, if that is known
    forward the values of the forward pass
    whole   cotangents of values of the forward pass, which are to stay in one piece
    truths  symbols that are 1 or 0
    named   values of the forward pass that the cell gives names
    """

    def __init__(self) -> None:
        self.parts: dict[Expr, dict[tuple[int, int, int], Expr]] = {}
        self.rules: Sequence[Rule] = RULES
        self.count: Callable[[list[int]], Expr] | None = None
        self.forward: set[Expr] = set()
        self.whole: set[Expr] = set()
        self.truths: set[Expr] = set()
        self.named: set[Expr] = set()

    def make(
        self,
        op: Primitive,
        args: Sequence[Expr],
        shape: Shape,
        params: dict[str, Any] | None = None,
    ) -> Expr:
        """The simplest expression for op(*args, **params) that the rules lead to."""
        expr = make(op, args, shape, params)
        for rule in self.rules:
            new = rule(expr, self)
            if new is not None and new is not expr:
                return new
        if op is V.SLICE:
            found = self.parts.setdefault(args[0], {})
            found[_range(expr)] = expr
        return expr

    def part(self, expr: Expr, axis: int, start: int, stop: int) -> Expr | None:
        """A slice of an expression, if it can be had without cutting an array."""
        if start == stop:
            return number(0, _with_size(expr.shape, axis, 0))  # nothing
        if -axis > expr.ndim or expr.shape[axis] == 1:
            return expr  # it is broadcast along that axis
        if (start, stop) == (0, expr.shape[axis]):
            return expr
        shape = _with_size(expr.shape, axis, between(expr.shape[axis], start, stop))
        if expr.op is V.NUMBER:
            return number(expr.value, shape)
        if (axis, start, stop) in self.parts.get(expr, {}):
            return self.parts[expr][axis, start, stop]
        if expr.op is V.CONCATENATE and expr.params["axis"] == axis:
            inside, at = [], 0
            for arg in expr.args:
                first, last = max(start, at) - at, min(stop, at + arg.shape[axis]) - at
                at += arg.shape[axis]
                if first < last:
                    piece = self.part(arg, axis, first, last)
                    if piece is None:
                        return None
                    inside.append(piece)
            return (
                inside[0]
                if len(inside) == 1
                else self.make(V.CONCATENATE, inside, shape, {"axis": axis})
            )
        if by_entries(expr.op):
            pieces = [self.part(arg, axis, start, stop) for arg in expr.args]
            known = [piece for piece in pieces if piece is not None]
            if len(known) == len(pieces):
                return self.make(expr.op, known, shape, expr.params)
        return None


def _range(expr: Expr) -> tuple[int, int, int]:
    return expr.params["axis"], expr.params["start"], expr.params["stop"]


def simplified(root: Expr) -> Expr:
    """An expression rewritten from its parts to the whole."""
    s, done = Simplifier(), dict[Expr, Expr]()
    for expr in order([root]):
        args = [done[arg] for arg in expr.args]
        done[expr] = s.make(expr.op, args, expr.shape, expr.params) if args else expr
    return done[root]


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    axis %= len(shape)
    return (*shape[:axis], size, *shape[axis + 1 :])


def cut(
    s: Simplifier, expr: Expr, axis: int, start: int, stop: int, shape: Shape | None = None
) -> Expr:
    """expr[..., start:stop] along an axis counted from the end."""
    if shape is None:
        shape = _with_size(expr.shape, axis, between(expr.shape[axis], start, stop))
    return s.make(V.SLICE, [expr], shape, {"axis": axis, "start": start, "stop": stop})


def _fits(expr: Expr, value: Expr) -> Expr:
    """`value` standing for `expr`: broadcast to its shape where the shapes differ."""
    if value.shape == expr.shape:
        return value
    op = V.RESHAPE if math.prod(value.shape) == math.prod(expr.shape) else V.BROADCAST_TO
    return make(op, [value], expr.shape)


def _is(expr: Expr, value: float) -> bool:
    return expr.op is V.NUMBER and expr.value == value


# ------------------------------------------------------------------------------------------------
# Nothing happens here


def without_effect(e: Expr, s: Simplifier) -> Expr | None:
    """Reshaping to the same shape, summing over no axis, converting: the argument itself."""
    if e.op in (V.RESHAPE, V.BROADCAST_TO) and e.args[0].shape == e.shape:
        return e.args[0]
    if e.op is V.SUM and e.params["axis"] == ():
        return e.args[0]
    return None


def reshape_twice(e: Expr, s: Simplifier) -> Expr | None:
    """reshape(reshape(x)) is one reshape, and so is that of a row turned to a column; a sum that
    keeps its axes, without them, is a sum.
    """
    if e.op is not V.RESHAPE:
        return None
    (x,) = e.args
    if x.op is V.RESHAPE or (x.op is V.TRANSPOSE and 1 in x.shape[-2:]):
        return s.make(V.RESHAPE, x.args, e.shape)
    if x.op is V.SLICE:
        axis, start, stop = _range(x)
        if stop == start + 1 and e.shape == (*x.shape[:axis], *x.shape[x.ndim + axis + 1 :]):
            return s.make(V.TAKE, x.args, e.shape, {"axis": axis, "index": start})
    if x.op in (V.SUM, V.MEAN):
        (inner,), axes, keeps = x.args, x.params["axis"], x.params["keepdims"]
        whole = [1 if i - inner.ndim in axes else n for i, n in enumerate(inner.shape)]
        rest = [n for i, n in enumerate(inner.shape) if i - inner.ndim not in axes]
        if list(e.shape) == (rest if keeps else whole):
            return s.make(x.op, [inner], e.shape, {**x.params, "keepdims": not keeps})
    return None


def transposed_twice(e: Expr, s: Simplifier) -> Expr | None:
    """Transposing twice does nothing; a row becomes a column by an index."""
    if e.op is not V.TRANSPOSE:
        return None
    (x,) = e.args
    if x.op is V.TRANSPOSE:
        return x.args[0]
    if x.op is V.RESHAPE and 1 in e.shape[-2:]:
        return s.make(V.RESHAPE, x.args, e.shape)
    return None


def flipped_twice(e: Expr, s: Simplifier) -> Expr | None:
    """Turning entries round twice along the same axis does nothing."""
    twice = e.op is V.FLIP and e.args[0].op is V.FLIP and e.params == e.args[0].params
    return e.args[0].args[0] if twice else None


def transposed_product(e: Expr, s: Simplifier) -> Expr | None:
    """(a^T b)^T is b^T a."""
    if e.op is not V.TRANSPOSE or e.args[0].op is not V.MATMUL:
        return None
    a, b = e.args[0].args
    if V.TRANSPOSE not in (a.op, b.op) or a.ndim < 2 or b.ndim < 2:
        return None
    turned = [
        x.args[0]
        if x.op is V.TRANSPOSE
        else make(V.TRANSPOSE, [x], (*x.shape[:-2], x.shape[-1], x.shape[-2]))
        for x in (b, a)
    ]
    return s.make(V.MATMUL, turned, e.shape)


def leading_ones(e: Expr, s: Simplifier) -> Expr | None:
    """Axes of size 1 before the others are left out of the arguments, not of the result."""
    x = e.args[0] if e.args else e
    if e.op is not V.RESHAPE or not by_entries(x.op):
        return None
    more = x.ndim - e.ndim
    if more <= 0 or tuple(x.shape) != (*[1] * more, *e.shape):
        return None
    args = [
        arg if arg.ndim <= e.ndim else s.make(V.RESHAPE, [arg], arg.shape[arg.ndim - e.ndim :])
        for arg in x.args
    ]
    return s.make(x.op, args, e.shape, x.params)


def matrix_product(e: Expr, s: Simplifier) -> Expr | None:
    """An einsum of two matrices over one letter is a matrix product, unless it is broadcast."""
    if e.op is not V.EINSUM:
        return None
    left, right, to = (e.params[key] for key in ("left", "right", "to"))
    if left == right == to:
        return s.make(V.MULTIPLY, e.args, e.shape)
    sizes = dict(zip(left, e.args[0].shape, strict=True))
    if any(sizes.get(c, n) != n for c, n in zip(right, e.args[1].shape, strict=True)):
        return None
    summed = set(left) & set(right) - set(to)
    if not (len(left) == len(right) == len(to) == 2 and len(summed) == 1):
        return None
    (over,) = summed
    (row,), (column,) = set(left) - summed, set(right) - summed
    a, b = e.args
    if left != row + over:
        a = s.make(V.TRANSPOSE, [a], a.shape[::-1])
    if right != over + column:
        b = s.make(V.TRANSPOSE, [b], b.shape[::-1])
    product = s.make(V.MATMUL, [a, b], (a.shape[0], b.shape[1]))
    return product if to == row + column else s.make(V.TRANSPOSE, [product], e.shape)


def broadcast_by_itself(e: Expr, s: Simplifier) -> Expr | None:
    """An elementwise operation broadcasts its arguments: doing it before is not needed."""
    if not by_entries(e.op):
        return None
    for i, arg in enumerate(e.args):
        args = [*e.args[:i], _not_broadcast(arg, s), *e.args[i + 1 :]]
        together = broadcast(*(arg.shape for arg in args))
        if args[i] is not arg and together == tuple(e.shape):
            return s.make(e.op, args, e.shape, e.params)
    return None


def _not_broadcast(e: Expr, s: Simplifier) -> Expr:
    """An expression before a reshaping that broadcasting makes superfluous."""
    if e.op is V.BROADCAST_TO or (e.op is V.RESHAPE and _led_by_ones(e)):
        return e.args[0]
    if e.op is V.NUMBER:
        return number(e.value)
    if e.op in (V.SUM, V.MEAN) and _led_by_sums(e):
        rest = e.shape[len(e.params["axis"]) :]
        return make(e.op, e.args, rest, {**e.params, "keepdims": False})
    alone = e.shape[:1] == (1,) or sum(arg.shape != () for arg in e.args) == 1
    if by_entries(e.op) and e not in s.named and alone:
        args = [_not_broadcast(arg, s) for arg in e.args]
        shape = broadcast(*(arg.shape for arg in args))
        return e if shape == e.shape else s.make(e.op, args, shape, e.params)
    return e


def _led_by_ones(e: Expr) -> bool:
    """Whether a reshape only puts axes of size 1 before the others, as broadcasting does."""
    more = e.ndim - e.args[0].ndim
    return more > 0 and tuple(e.shape) == (*[1] * more, *e.args[0].shape)


def _led_by_sums(e: Expr) -> bool:
    """Whether a sum or mean over the first axes keeps them, in which broadcasting does the same."""
    axes = e.params["axis"]
    return bool(e.params["keepdims"]) and axes == tuple(range(-e.ndim, len(axes) - e.ndim))


def concatenated_again(e: Expr, s: Simplifier) -> Expr | None:
    """A slice of concatenated parts is the parts in it; all slices concatenated are the whole."""
    if e.op is V.SLICE:
        (x,) = e.args
        if x.op is V.SLICE and x.params["axis"] == e.params["axis"]:
            axis, start, stop = _range(e)
            before = x.params["start"]
            return cut(s, x.args[0], axis, before + start, before + stop, e.shape)
        if e.shape == x.shape:
            return x
        return s.part(x, *_range(e)) if x.op in (V.CONCATENATE, V.NUMBER) else None
    if e.op is not V.CONCATENATE:
        return None
    if len(e.args) == 1:
        return e.args[0]
    axis, first = e.params["axis"], e.args[0]
    if any(arg.op is V.CONCATENATE and arg.params["axis"] == axis for arg in e.args):
        flat = [
            part
            for arg in e.args
            for part in (
                arg.args if arg.op is V.CONCATENATE and arg.params["axis"] == axis else (arg,)
            )
        ]
        return s.make(V.CONCATENATE, flat, e.shape, e.params)
    if first.op is V.SLICE and first.args[0].shape == e.shape:
        at = 0
        for arg in e.args:
            if arg.op is not V.SLICE or arg.args != first.args or _range(arg)[:2] != (axis, at):
                return None
            at = arg.params["stop"]
        return first.args[0]
    return None


def stacked_again(e: Expr, s: Simplifier) -> Expr | None:
    """An entry of a stack is the value put there, one of concatenated arrays is an entry of one."""
    found: tuple[int, int] | None
    if e.op is V.TAKE:
        found = e.params["axis"], e.params["index"]
    elif e.op is V.GETITEM and e.args[0].op in (V.STACK, V.CONCATENATE):
        found = _one_entry(e.params["index"], e.args[0].ndim)
    else:
        return None
    (x,) = e.args
    if found is None or x.op not in (V.STACK, V.CONCATENATE) or x.params["axis"] != found[0]:
        return None
    axis, k = found
    if x.op is V.STACK:
        return x.args[k]
    sizes = [part.shape[axis] for part in x.args]
    if any(grows(n) for n in sizes):
        return None
    k %= sum(sizes)
    i = next(i for i in range(len(sizes)) if k < sum(sizes[: i + 1]))
    part, n, k = x.args[i], sizes[i], k - sum(sizes[:i])
    if part.op is V.NUMBER:
        return number(part.value, e.shape)
    if n == 1:
        return s.make(V.RESHAPE, [part], e.shape)
    return s.make(V.TAKE, [part], e.shape, {"axis": axis, "index": k})


# ------------------------------------------------------------------------------------------------
# Numbers, signs and zeros


def of_numbers(e: Expr, s: Simplifier) -> Expr | None:
    """Arithmetic on numbers is done; moving entries leaves a full array full."""
    if not e.args or any(arg.op is not V.NUMBER for arg in e.args):
        return None
    values = [arg.value for arg in e.args]
    if e.op in (V.RESHAPE, V.TRANSPOSE, V.PERMUTE, V.BROADCAST_TO, V.SLICE, V.TAKE, V.GETITEM):
        return number(values[0], e.shape)
    if e.op in (V.CONCATENATE, V.STACK) and len(set(values)) == 1:
        return number(values[0], e.shape)
    arithmetic: dict[Primitive, Callable[..., float]] = {
        V.ADD: lambda a, b: a + b,
        V.SUBTRACT: lambda a, b: a - b,
        V.MULTIPLY: lambda a, b: a * b,
        V.NEGATIVE: lambda a: -a,
    }
    if e.op in arithmetic:
        return number(arithmetic[e.op](*values), e.shape)
    if e.op is V.DIVIDE and values[1] and math.isfinite(values[0] / values[1]):
        return number(values[0] / values[1], e.shape)
    return None


def zeros_and_ones(e: Expr, s: Simplifier) -> Expr | None:
    """x + 0, 1 x, x / 1, x^1 are x; 0 x is 0."""
    if not e.args:
        return None
    a, b = e.args[0], e.args[-1]
    if e.op is V.ADD and _is(a, 0):
        return _fits(e, b)
    if e.op in (V.ADD, V.SUBTRACT) and _is(b, 0):
        return _fits(e, a)
    if e.op is V.SUBTRACT and _is(a, 0):
        return _fits(e, s.make(V.NEGATIVE, [b], b.shape))
    if e.op is V.MULTIPLY and _is(a, 1):
        return _fits(e, b)
    if e.op in (V.MULTIPLY, V.DIVIDE, V.POWER) and _is(b, 1):
        return _fits(e, a)
    if e.op in (V.MULTIPLY, V.MATMUL) and (_is(a, 0) or _is(b, 0)):
        return number(0, e.shape)
    if e.op is V.DIVIDE and _is(a, 0):
        return number(0, e.shape)
    if e.op in (V.SUM, V.MEAN, V.SCATTER, V.SLICE, V.TAKE) and _is(a, 0):
        return number(0, e.shape)
    return None


def known_condition(e: Expr, s: Simplifier) -> Expr | None:
    """`where` with a number for a condition takes that branch; where(c, g, 0) is g times 1[c]."""
    if e.op is V.WHERE and e.args[0].op is V.NUMBER:
        return _fits(e, e.args[1] if e.args[0].value else e.args[2])
    if e.op is not V.WHERE:
        return None
    condition, a, b = e.args
    if not (is_truth(condition) or condition in s.truths):
        return None  # any number but 0 counts as true
    if _is(b, 0):
        return s.make(V.MULTIPLY, [a, condition], e.shape)
    if _is(a, 0):
        if condition.op in _OPPOSITE and condition not in s.named:
            opposite = make(_OPPOSITE[condition.op], condition.args, condition.shape)
            return s.make(V.MULTIPLY, [b, opposite], e.shape)
        opposite = make(V.SUBTRACT, [number(1), condition], condition.shape)
        return s.make(V.MULTIPLY, [b, opposite], e.shape)
    return None


def is_truth(e: Expr) -> bool:
    """Whether an expression is a truth value, 1 or 0."""
    if e.op in V.LOGICAL or e.op.notation.form == "indicator":
        return True
    return e.op in V.SAME and all(map(is_truth, e.args))


def numbers_first(e: Expr, s: Simplifier) -> Expr | None:
    """x 2 and 2 (3 x) and (2 x) y are written 2 x, 6 x and 2 (x y)."""
    if e.op is not V.MULTIPLY:
        return None
    a, b = e.args
    if (b.op is V.NUMBER and a.op is not V.NUMBER) or (_given(b) and not _given(a)):
        return s.make(V.MULTIPLY, [b, a], e.shape)
    if a.op is V.NUMBER and a.value < 0:
        positive = s.make(V.MULTIPLY, [number(-a.value), b], e.shape)
        return s.make(V.NEGATIVE, [positive], e.shape)
    if _numbered(b) and a.op is V.NUMBER:
        return s.make(V.MULTIPLY, [number(a.value * b.args[0].value), b.args[1]], e.shape)
    if _scaled(b) and b not in s.whole | s.named and not _given(a):
        rest = s.make(V.MULTIPLY, [a, b.args[1]], e.shape)
        return s.make(V.MULTIPLY, [b.args[0], rest], e.shape)
    if _scaled(a) and a not in s.whole and not _given(b):
        rest = s.make(V.MULTIPLY, [a.args[1], b], e.shape)
        return s.make(V.MULTIPLY, [a.args[0], rest], e.shape)
    return None


def _numbered(e: Expr) -> bool:
    """Whether an expression is a number times something."""
    return e.op is V.MULTIPLY and e.args[0].op is V.NUMBER and e.args[0].shape == ()


def _scaled(e: Expr) -> bool:
    """Whether an expression is a number, or an attribute of the cell, times something."""
    return e.op is V.MULTIPLY and _given(e.args[0])


def _given(e: Expr) -> bool:
    """Whether an expression is made of numbers and attributes of the cell."""
    return e.shape == () and all(
        part.args or part.op is V.NUMBER or part.symbol.kind == "scalar" for part in order([e])
    )


def numbers_outside(e: Expr, s: Simplifier) -> Expr | None:
    """A number before an operand of a sum, reshaping or product stands before the whole."""
    if not _moves(e) and e.op not in (V.MATMUL, V.EINSUM):
        return None
    for i, arg in enumerate(e.args):
        if _scaled(arg) and arg not in s.whole:
            k, rest = arg.args
            if rest.shape == arg.shape:
                whole = s.make(e.op, [*e.args[:i], rest, *e.args[i + 1 :]], e.shape, e.params)
                return s.make(V.MULTIPLY, [k, whole], e.shape)
    return None


def _moves(e: Expr) -> bool:
    """Whether an operation only moves, repeats or adds entries of its one argument.

    Zeros beside a part are left to the rules for parts, which know the part's name.
    """
    linear = e.op.kind in ("structural", "linear") and e.op is not V.SCATTER
    return len(e.args) == 1 and (linear or e.op in (V.SUM, V.MEAN))


def signs_outside(e: Expr, s: Simplifier) -> Expr | None:
    """Minus signs go outwards, and a + (-b) is a - b."""
    if not e.args:
        return None
    a, b = e.args[0], e.args[-1]
    if e.op is V.NEGATIVE:
        if a.op is V.NEGATIVE:
            return a.args[0]
        if a.op is V.SUBTRACT:
            return s.make(V.SUBTRACT, [a.args[1], a.args[0]], e.shape)
    elif e.op is V.ADD:
        if b.op is V.NEGATIVE:
            return s.make(V.SUBTRACT, [a, b.args[0]], e.shape)
        if a.op is V.NEGATIVE:
            return s.make(V.SUBTRACT, [b, a.args[0]], e.shape)
    elif e.op is V.SUBTRACT:
        if b.op is V.NEGATIVE:
            return s.make(V.ADD, [a, b.args[0]], e.shape)
        if a.op is V.NEGATIVE and a not in s.whole:
            return s.make(V.NEGATIVE, [s.make(V.ADD, [a.args[0], b], e.shape)], e.shape)
    elif e.op in (V.MULTIPLY, V.DIVIDE, V.OVER, V.MATMUL, V.EINSUM):
        for i, arg in enumerate(e.args):
            own = arg in s.whole and arg.args and arg.args[0] not in s.whole
            if arg.op is V.NEGATIVE and not own:
                args = [*e.args[:i], arg.args[0], *e.args[i + 1 :]]
                return s.make(V.NEGATIVE, [s.make(e.op, args, e.shape, e.params)], e.shape)
    elif _moves(e) and a.op is V.NEGATIVE:
        return s.make(V.NEGATIVE, [s.make(e.op, [a.args[0]], e.shape, e.params)], e.shape)
    return None


def collected(e: Expr, s: Simplifier) -> Expr | None:
    """x + x is 2 x, and x - y + y is x, however far apart the terms of a sum stand."""
    if e.op not in (V.ADD, V.SUBTRACT):
        return None
    terms = [*_terms(e, 1, s)]
    found: dict[Expr, float] = {}
    for k, term in terms:
        found[term] = found.get(term, 0) + k
    if len(found) == len(terms) or len(terms) > LONG:
        return None
    left = [(k, term) for term, k in found.items() if k]
    left.sort(key=lambda pair: pair[0] < 0)  # a minus sign does not come first
    total = number(0)
    for k, term in left:
        one = s.make(V.MULTIPLY, [number(abs(k)), term], term.shape)
        shape = broadcast(total.shape, one.shape)
        total = s.make(V.SUBTRACT if k < 0 else V.ADD, [total, one], shape)
    return _fits(e, total)


def _terms(e: Expr, k: float, s: Simplifier, inside: bool = False) -> Iterator[tuple[float, Expr]]:
    """The terms of a sum, and how often each is there."""
    if e.op is V.NEGATIVE and not (inside and e in s.whole):
        yield from _terms(e.args[0], -k, s, True)
    elif e.op in (V.ADD, V.SUBTRACT) and not (inside and e in s.whole):
        yield from _terms(e.args[0], k, s, True)
        yield from _terms(e.args[1], k if e.op is V.ADD else -k, s, True)
    elif _numbered(e) and e not in s.whole:
        yield k * e.args[0].value, e.args[1]
    else:
        yield k, e


def common_factor(e: Expr, s: Simplifier) -> Expr | None:
    """a b + a c is a (b + c)."""
    if e.op not in (V.ADD, V.SUBTRACT) or any(arg.op is not V.MULTIPLY for arg in e.args):
        return None
    (left, right) = e.args
    for a in left.args:
        if a in right.args and not (_given(a) and (left in s.whole or right in s.whole)):
            b, c = (
                product.args[1] if product.args[0] is a else product.args[0]
                for product in (left, right)
            )
            shape = broadcast(b.shape, c.shape)
            if shape in (b.shape, c.shape):
                return s.make(V.MULTIPLY, [a, s.make(e.op, [b, c], shape)], e.shape)
    return None


def common_matrix(e: Expr, s: Simplifier) -> Expr | None:
    """a @ c + b @ c is (a + b) @ c."""
    if e.op not in (V.ADD, V.SUBTRACT):
        return None
    left, right = e.args
    if left.op is right.op is V.MATMUL and left.shape == right.shape:
        for i in (0, 1):
            a, b = left.args[i], right.args[i]
            if left.args[1 - i] is right.args[1 - i] and a.shape == b.shape:
                pair = [s.make(e.op, [a, b], a.shape)]
                pair.insert(1 - i, left.args[1 - i])
                return s.make(V.MATMUL, pair, e.shape)
    if left.op is V.ADD and left not in s.whole and right.op is V.MATMUL:
        for i, term in enumerate(left.args):
            if term.op is V.MATMUL and any(
                a is b for a, b in zip(term.args, right.args, strict=True)
            ):
                both = common_matrix(make(e.op, [term, right], e.shape), s)
                if both is not None:
                    rest = left.args[1 - i]
                    return s.make(V.ADD, [rest, both] if i else [both, rest], e.shape)
    return None


def sum_of_columns(e: Expr, s: Simplifier) -> Expr | None:
    """The sum over concatenated columns is the sum of these."""
    if e.op is not V.SUM or e.args[0].op is not V.CONCATENATE or not e.params["keepdims"]:
        return None
    (x,), axes = e.args, e.params["axis"]
    if axes != (x.params["axis"],) or any(part.shape[axes[0]] != 1 for part in x.args):
        return None
    total = x.args[0]
    for part in x.args[1:]:
        total = s.make(V.ADD, [total, part], e.shape)
    return total


def logistic(e: Expr, s: Simplifier) -> Expr | None:
    """exp(-log(exp(x) + 1)) is the logistic function of -x."""
    if e.op is not V.EXP or e.args[0].op is not V.NEGATIVE:
        return None
    (y,) = e.args[0].args
    if y.op is not V.LOGADDEXP or not _is(y.args[1], 0):
        return None
    return s.make(V.SIGMOID, [s.make(V.NEGATIVE, [y.args[0]], e.shape)], e.shape)


def of_fractions(e: Expr, s: Simplifier) -> Expr | None:
    """Numbers stand before a fraction, and sizes under the innermost: a sum over n is a mean."""
    if e.op is not V.DIVIDE:
        return None
    a, b = e.args
    if a.op is V.MULTIPLY and a.args[0].op is V.NUMBER and a.args[0].shape == ():
        rest = s.make(V.DIVIDE, [a.args[1], b], e.shape)
        return s.make(V.MULTIPLY, [a.args[0], rest], e.shape)
    if a.op in V.FRACTIONS and b.shape == () and a.args[1].shape != ():
        inner = s.make(V.DIVIDE, [a.args[0], b], a.args[0].shape)
        return s.make(a.op, [inner, a.args[1]], e.shape)
    if a.op is V.SUM and s.count is not None:
        sizes = [a.args[0].shape[axis] for axis in a.params["axis"]]
        if s.count(sizes) is b:
            return s.make(V.MEAN, a.args, a.shape, a.params)
    return None


def over_the_same(e: Expr, s: Simplifier) -> Expr | None:
    """a / c - b / c is (a - b) / c, and a / c / c is a / c^2."""
    if e.op in (V.ADD, V.SUBTRACT) and all(arg.op in V.FRACTIONS for arg in e.args):
        (a, c), (b, d) = (arg.args for arg in e.args)
        if c is d and c.op is not V.NUMBER and s.forward.isdisjoint(e.args):
            shape = broadcast(a.shape, b.shape)
            if shape in (a.shape, b.shape):
                both = {arg.op for arg in e.args}  # a / 0 has no value, whatever is added
                above = s.make(e.op, [a, b], shape)
                return s.make(both.pop() if len(both) == 1 else V.DIVIDE, [above, c], e.shape)
    if e.op is V.DIVIDE and e.args[0].op is V.DIVIDE and e.args[1] is e.args[0].args[1]:
        a, c = e.args[0].args
        if c.op is not V.NUMBER and e.args[0] not in s.whole | s.forward:
            return s.make(V.DIVIDE, [a, s.make(V.SQUARE, [c], c.shape)], e.shape)
    return None


def outside_of_sums(e: Expr, s: Simplifier) -> Expr | None:
    """A sum over an axis leaves out factors constant along it; the mean of x - mean(x) is 0."""
    if e.op not in (V.SUM, V.MEAN):
        return None
    (x,), axes = e.args, e.params["axis"]
    if _centred(x, axes):
        return number(0, e.shape)
    if x.op in V.FRACTIONS and x.args[0].shape == x.shape:
        kept = e.params["keepdims"] or -min(axes) > x.args[1].ndim
        if not (kept and _constant_along(x.args[1], axes)):
            return None
        return s.make(x.op, [s.make(e.op, [x.args[0]], e.shape, e.params), x.args[1]], e.shape)
    terms = x.args if x.op in (V.ADD, V.SUBTRACT) else ()
    if any(_centred(term, axes) for term in terms) and all(t.shape == x.shape for t in terms):
        return s.make(x.op, [s.make(e.op, [t], e.shape, e.params) for t in terms], e.shape)
    return None


def _constant_along(e: Expr, axes: tuple[int, ...]) -> bool:
    return all(-axis > e.ndim or e.shape[axis] == 1 for axis in axes)


def fraction_outside(e: Expr, s: Simplifier) -> Expr | None:
    """a (b / c) is a b / c, unless b / c is a value of its own."""
    if e.op is not V.MULTIPLY or any(arg.op is V.NUMBER for arg in e.args):
        return None
    for i, quotient in enumerate(e.args):
        if quotient.op is V.DIVIDE and quotient not in s.whole | s.forward:
            b, c = quotient.args
            size = c.op is V.NUMBER or all(x.symbol.kind == "size" for x in symbols([c]))
            if b.op is V.NUMBER or size or b.shape != quotient.shape:
                continue
            product = [b, e.args[1]] if i == 0 else [e.args[0], b]
            return s.make(V.DIVIDE, [s.make(V.MULTIPLY, product, e.shape), c], e.shape)
    return None


def _centred(e: Expr, axes: tuple[int, ...]) -> bool:
    """Whether an expression is x - mean(x), times or over a factor constant along the axes."""
    if e.op is V.SUBTRACT and e.args[1].op is V.MEAN:
        mean = e.args[1]
        return mean.args[0] is e.args[0] and mean.params["axis"] == axes
    if e.op in V.FRACTIONS:
        return _centred(e.args[0], axes) and _constant_along(e.args[1], axes)
    if e.op is V.MULTIPLY:
        a, b = e.args
        return any(_centred(x, axes) and _constant_along(y, axes) for x, y in ((a, b), (b, a)))
    return False


def known_fraction(e: Expr, s: Simplifier) -> Expr | None:
    """(a b) / c is a (b / c), where b / c is a value of the forward pass."""
    if e.op is not V.DIVIDE or e in s.forward or e.args[0].op is not V.MULTIPLY:
        return None
    c = e.args[1]
    for a, b in (e.args[0].args, e.args[0].args[::-1]):
        if c.op is V.SQUARE:
            known = make(V.DIVIDE, [b, c.args[0]], b.shape)
            if known in s.forward:
                product = s.make(V.MULTIPLY, [a, known], e.args[0].shape)
                return s.make(V.DIVIDE, [product, c.args[0]], e.shape)
        known = make(V.DIVIDE, [b, c], b.shape)
        if known in s.forward:
            return s.make(V.MULTIPLY, [a, known], e.shape)
    return None


def _factors(e: Expr, s: Simplifier) -> list[Expr]:
    if e.op is not V.MULTIPLY or e in s.whole | s.named:
        return [e]
    return [f for arg in e.args for f in _factors(arg, s)]


def _product(factors: Sequence[Expr], s: Simplifier) -> Expr:
    product = number(1)
    for f in factors:
        product = s.make(V.MULTIPLY, [product, f], broadcast(product.shape, f.shape))
    return product


def cancelled_factor(e: Expr, s: Simplifier) -> Expr | None:
    """(a b) / b is a."""
    if e.op is not V.DIVIDE or e in s.forward or e.args[1].op is V.NUMBER:
        return None
    factors = _factors(e.args[0], s)
    if e.args[1] not in factors:
        return None
    factors.remove(e.args[1])
    return _fits(e, _product(factors, s))


def over_length(e: Expr, s: Simplifier) -> Expr | None:
    """x 1[y != 0] / (y + 1[y = 0]) is x / y, but 0 where y is, for the length y of x."""
    if e.op is V.DIVIDE and _guarded(e.args[1]):
        (y, zero), above = e.args[1].args, e.args[0]
        twice = above.op is V.OVER and above.args[1] is y
        factors = _factors(above.args[0] if twice else above, s)
        apart = make(V.NOT_EQUAL, zero.args, zero.shape)
        if zero.args[0] is y and apart in factors:
            factors.remove(apart)
            below = s.make(V.SQUARE, [y], y.shape) if twice else y
            return s.make(V.OVER, [_product(factors, s), below], e.shape)
    if e.op is V.MULTIPLY and V.OVER in (arg.op for arg in e.args):
        i = 1 if e.args[1].op is V.OVER else 0
        x, (a, y) = e.args[1 - i], e.args[i].args
        if x.op is not V.NUMBER and (e.args[i] not in s.whole or a.op is V.NUMBER):
            pair = [a, x] if i == 0 else [x, a]
            above = s.make(V.MULTIPLY, pair, broadcast(x.shape, a.shape))
            return s.make(V.OVER, [above, y], e.shape)
    if e.op is not V.OVER or e.args[0].op is not V.MULTIPLY:
        return None
    (a, b), y = e.args[0].args, e.args[1]
    if a.op is V.NUMBER and a.shape == ():
        return s.make(V.MULTIPLY, [a, s.make(V.OVER, [b, y], e.shape)], e.shape)
    for x, unit in ((a, make(V.DIVIDE, [b, y], b.shape)), (b, make(V.DIVIDE, [a, y], a.shape))):
        if unit in s.forward:  # a vector of length 1
            return s.make(V.MULTIPLY, [x, unit], e.shape)
    return None


def _guarded(e: Expr) -> bool:
    """Whether 1 is added to an expression where something is 0."""
    return e.op is V.ADD and e.args[1].op is V.EQUAL and _is(e.args[1].args[1], 0)


def of_powers(e: Expr, s: Simplifier) -> Expr | None:
    """The derivatives of a power a^b have factors a^(b - 1) and log(a), guarded where they have no
    value and b, or a^b, is 0.
    """
    if e.op is V.POWER and _guarded(e.args[1]):
        return make(V.RAISED, [e.args[0], *e.args[1].args], e.shape)
    if e.op is V.LOG and e.args[0].op is V.ADD:
        a, guard = e.args[0].args
        if guard.op is V.MULTIPLY and make(V.EQUAL, [a, number(0)], a.shape) in guard.args:
            return make(V.LOGARITHM, [a, guard], e.shape)
    return None


def factored(e: Expr, s: Simplifier) -> Expr | None:
    """g - g b is g (1 - b), and g (k / b) is k (g / b)."""
    if e.op is V.SUBTRACT and e.args[1].op is V.MULTIPLY:
        g, product = e.args
        if g in product.args and g.shape == e.shape:
            b = product.args[0] if product.args[1] is g else product.args[1]
            rest = s.make(V.SUBTRACT, [number(1), b], b.shape)
            return s.make(V.MULTIPLY, [g, rest], e.shape)
    if e.op is V.SUBTRACT and e.args[0].op is V.NUMBER and e.args[0].value == 1:
        relation = e.args[1]
        if relation.op in _OPPOSITE and relation.shape == e.shape and relation not in s.named:
            return make(_OPPOSITE[relation.op], relation.args, e.shape)
    if e.op is V.MULTIPLY:
        g, d = e.args
        if d.op is V.DIVIDE and d.args[0].op is V.NUMBER and d.args[0].shape == ():
            fraction = s.make(V.DIVIDE, [g, d.args[1]], e.shape)
            return s.make(V.MULTIPLY, [d.args[0], fraction], e.shape)
    return None


# ------------------------------------------------------------------------------------------------
# Gates: cotangents of slices


def amid_zeros(s: Simplifier, part: Expr, axis: int, start: int, stop: int, shape: Shape) -> Expr:
    """Zeros, but for one slice along an axis: the transpose of a slice."""
    total = shape[axis]
    parts = [part]
    if start:
        parts.insert(0, number(0, _with_size(shape, axis, between(total, 0, start))))
    if stop < total:
        parts.append(number(0, _with_size(shape, axis, between(total, stop, total))))
    return s.make(V.CONCATENATE, parts, shape, {"axis": axis})


def scattered_entry(e: Expr, s: Simplifier) -> Expr | None:
    """The transpose of taking one entry along an axis: zeros beside it."""
    if e.op is not V.SCATTER:
        return None
    found = _one_entry(e.params["index"], e.ndim)
    if found is None:
        return None
    axis, k = found
    k = k + e.shape[axis] if k < 0 else k
    one = s.make(V.RESHAPE, e.args, _with_size(e.shape, axis, 1))
    return amid_zeros(s, one, axis, k, k + 1, e.shape)


def _one_entry(index: Any, ndim: int) -> tuple[int, int] | None:
    """(axis from the end, position) if an index takes one entry along one axis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [p for p in parts if p is Ellipsis]:
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (ndim - len(parts) + 1)
    parts += [slice(None)] * (ndim - len(parts))
    whole = [isinstance(p, slice) and p == slice(None) for p in parts]
    taken = [i for i, w in enumerate(whole) if not w]
    if len(taken) != 1 or len(parts) != ndim or not isinstance(parts[taken[0]], int | np.integer):
        return None
    return taken[0] - ndim, int(parts[taken[0]])


def stacked(e: Expr, s: Simplifier) -> Expr | None:
    """Concatenated slices of size 1 are a stack; of those along the features, if they were none."""
    if e.op is not V.CONCATENATE or len(e.args) < 2:
        return None
    axis = e.params["axis"]
    if any(arg.shape[axis] != 1 or arg.op is V.NUMBER for arg in e.args):
        return None
    if axis == -1 and any(a.op is not V.RESHAPE or a.args[0].shape != a.shape[:-1] for a in e.args):
        return None
    without = tuple(n for i, n in enumerate(e.shape) if i - e.ndim != axis)
    parts = [s.make(V.RESHAPE, [arg], without) for arg in e.args]
    return s.make(V.STACK, parts, e.shape, {"axis": axis})


def gathered(e: Expr, s: Simplifier) -> Expr | None:
    """([a, 0] + x) + [0, b] is [a, b] + x."""
    if e.op is not V.ADD or e.args[1].op is not V.CONCATENATE or e.args[0].op is not V.ADD:
        return None
    last, axis = e.args[1], e.args[1].params["axis"]
    for i, term in enumerate(e.args[0].args):
        if term.op is V.CONCATENATE and term.params["axis"] == axis and e.args[0] not in s.whole:
            both = by_parts(make(V.ADD, [term, last], e.shape), s)
            if both is not None:
                rest = e.args[0].args[1 - i]
                return s.make(V.ADD, [both, rest] if i == 0 else [rest, both], e.shape)
    return None


def by_parts(e: Expr, s: Simplifier) -> Expr | None:
    """An elementwise operation on concatenated parts, done on each, if nothing has to be cut."""
    concatenated = [arg for arg in e.args if arg.op is V.CONCATENATE]
    if not by_entries(e.op) or not concatenated:
        return None
    axis = concatenated[0].params["axis"]
    if any(arg.shape != e.shape or arg.params["axis"] != axis for arg in concatenated):
        return None
    if e.op in V.FRACTIONS and _constant_along(e.args[1], (axis,)):
        return None  # it is as short before
    ends = {0}
    for arg in concatenated:
        ends |= set(itertools.accumulate(part.shape[axis] for part in arg.args))
    cuts = sorted(ends)
    if len(cuts) == 2:
        return None  # all parts but one are empty: nothing is cut
    parts = []
    for start, stop in itertools.pairwise(cuts):
        pieces = [s.part(arg, axis, start, stop) for arg in e.args]
        known = [piece for piece in pieces if piece is not None]
        if len(known) < len(pieces):
            return None
        shape = _with_size(e.shape, axis, between(e.shape[axis], start, stop))
        parts.append(s.make(e.op, known, shape, e.params))
    return s.make(V.CONCATENATE, parts, e.shape, {"axis": axis})


TIDY: tuple[Rule, ...] = (
    without_effect,
    reshape_twice,
    transposed_twice,
    matrix_product,
    broadcast_by_itself,
    concatenated_again,
    stacked_again,
    zeros_and_ones,
)
RULES: tuple[Rule, ...] = (
    *TIDY,
    flipped_twice,
    transposed_product,
    leading_ones,
    known_condition,
    of_numbers,
    numbers_first,
    numbers_outside,
    signs_outside,
    cancelled_factor,
    over_length,
    of_powers,
    known_fraction,
    fraction_outside,
    factored,
    collected,
    common_factor,
    common_matrix,
    sum_of_columns,
    logistic,
    of_fractions,
    over_the_same,
    outside_of_sums,
    scattered_entry,
    by_parts,
    gathered,
    stacked,
)
