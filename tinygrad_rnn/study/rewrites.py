"""Small rewrites of an expression: the mistakes that can be made in one line.

`rewrites` visits every part of a line and asks the functions that know mistakes of its kind: in
sums, products, products of matrices, pieces, numbers, operands mistaken for others. The further
functions without an underscore are called by the search: mistakes at all places at once, at one use
of a value, in the order of parts. `COSTS` says which of several that fit is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..equations import vocabulary as V
from ..equations.expr import (
    Expr,
    Symbol,
    make,
    name,
    number,
    order,
    replaced,
    shifted,
    symbols,
)
from ..equations.sizes import grows
from ..primitive import Primitive
from ..tensor import tensor
from .lines import MASKS, Lines, Slope, pieces
from .terms import factors, product, terms, total
from .trial import MIXED

COSTS = {
    "missing term": 1.0,
    "missing transpose": 1.0,
    "missing factor": 1.1,
    "missing f'(a)": 1.1,
    "wrong sign": 1.2,
    "off by one in time": 1.0,
    "wrong constant factor": 1.5,
    "wrong f'(a)": 1.6,
    "missing sum over batch": 1.4,
    "wrong gate order": 1.6,
    "wrong operand": 2.0,
    "product for a quotient": 1.8,
    "exchanged gradients": 1.3,
    "extra factor": 2.4,
    "extra term": 2.6,
    "sum over another axis": 1.5,
    "order of operations": 1.5,
    "missing sum": 1.4,
}
"""Which of several explanations is said: the cheapest."""


class Rewrite(NamedTuple):
    """An expression in place of another.

    kind    a key of COSTS
    value   the new expression
    detail  the mistake in a few words, with symbols in it: (text, expressions)
    cost    how far-fetched it is
    """

    kind: str
    value: Expr
    detail: tuple[str, tuple[Expr, ...]]
    cost: float


class Scope(NamedTuple):
    """The values that somebody may write down in place of the right one.

    lines  the program
    k      the line that is rewritten
    """

    lines: Lines
    k: int

    def values(self, shape: Any, backward: bool) -> list[Expr]:
        """The symbols of a shape: of the forward pass, or of the backward pass above this line."""
        if not backward:
            return [s for s in self.lines.forward if s.shape == shape]
        above = self.lines.lines[: self.k]
        found = [line.target for line in above if line.kind in ("error", "backward")]
        found += [line.target for line in self.lines.lines if line.kind == "carry"]
        own = self.lines.lines[self.k].target
        return [s for s in found if s.shape == shape and s is not own]


def rewrites(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """Every rewrite of an expression and of its parts."""
    yield from _here(e, scope)
    if e.op in (V.ADD, V.SUBTRACT, V.NEGATIVE):
        parts = terms(e)
        if len(parts) > 1 or e.op is V.NEGATIVE:
            for i, (sign, part) in enumerate(parts):
                for r in rewrites(part, scope):
                    new = [*parts[:i], (sign, r.value), *parts[i + 1 :]]
                    yield r._replace(value=total(new, e.shape))
            return
    slope = scope.lines.slope(e)
    parts_ = factors(e)
    if len(parts_) > 1:
        for i, part in enumerate(parts_):
            if slope is not None and part in slope.factors:
                continue
            for r in rewrites(part, scope):
                yield r._replace(value=product([*parts_[:i], r.value, *parts_[i + 1 :]], e.shape))
        return
    for i, arg in enumerate(e.args):
        for r in rewrites(arg, scope):
            if r.value.shape == arg.shape:
                args = [*e.args[:i], r.value, *e.args[i + 1 :]]
                yield r._replace(value=make(e.op, args, e.shape, e.params))


def _rewrite(kind: str, value: Expr, text: str, *parts: Expr, more: float = 0.0) -> Rewrite:
    return Rewrite(kind, value, (text, parts), COSTS[kind] + more)


def _here(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    if e.op is V.SYMBOL:
        yield from _operands(e, scope)
    elif e.op in (V.ADD, V.SUBTRACT, V.NEGATIVE):
        yield from _of_sum(e, scope)
    elif e.op in (V.MULTIPLY, V.DIVIDE):
        yield from _of_product(e, scope)
    elif e.op is V.MATMUL:
        yield from _of_matmul(e)
    elif e.op is V.CONCATENATE:
        yield from _of_concatenation(e)
    elif e.op in (V.SUM, V.MEAN):
        yield from _of_total(e)
    elif e.op is V.SLICE:
        yield from _other_end(e)
        if e.args[0].op is V.SYMBOL:
            yield from _of_piece(e, scope)
    elif e.op.activation and len(e.args) == 1:
        yield from _outside(e)
    elif e.op is V.NUMBER:
        yield from _of_number(e)


def _of_sum(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    parts = terms(e)
    if len(parts) < 2:
        return
    for i, (sign, part) in enumerate(parts):
        rest = [*parts[:i], *parts[i + 1 :]]
        bare = all(other.op is V.NUMBER for _, other in rest)  # 1 - z without z: a factor, rather
        without = total(rest, e.shape)
        yield _rewrite("missing term", without, "without {}", part, more=0.5 * bare)
        flipped = [*parts[:i], (-sign, part), *parts[i + 1 :]]
        yield _rewrite("wrong sign", total(flipped, e.shape), "the sign of {}", part)
        twice = total([*parts, (sign, part)], e.shape)
        yield _rewrite("extra term", twice, "{} is added twice", part, more=-0.6)
    for kept in itertools.combinations(range(len(parts)), len(parts) - 2):
        if kept:
            gone = [part for i, (_, part) in enumerate(parts) if i not in kept]
            left = total([parts[i] for i in kept], e.shape)
            yield _rewrite("missing term", left, "without {} and {}", *gone, more=0.4)
    for (i, (_, lost)), (j, (_, again)) in itertools.permutations(enumerate(parts), 2):
        if lost.shape == again.shape and len(parts) < 5:
            copied = total([*parts[:i], parts[j], *parts[i + 1 :]], e.shape)
            text = "without {}, and {} is there twice"
            yield _rewrite("missing term", copied, text, lost, again, more=0.5)
    yield from _brackets(e, parts)
    if len(parts) == 2:
        (a, x), (b, y) = parts
        if x.shape == y.shape and a == b:
            yield _rewrite(
                "wrong operand", make(V.MULTIPLY, [x, y], e.shape), "a product in place of a sum"
            )


def _brackets(e: Expr, parts: Sequence[tuple[int, Expr]]) -> Iterator[Rewrite]:
    """A factor of one term that is one of the next term too: a bracket in another place."""
    for (i, (_, one)), (j, (sign, other)) in itertools.permutations(enumerate(parts), 2):
        rest = [part for k, part in enumerate(parts) if k not in (i, j)]
        if one.op is V.MATMUL and one.args[0].shape == other.shape:
            new = make(V.MATMUL, [other, one.args[1]], one.shape)
            both = [*rest, parts[i], (sign, new)]
            text = "{} is multiplied with {} too"
            yield _rewrite(
                "extra factor", total(both, e.shape), text, other, one.args[1], more=-0.8
            )
        mine = factors(one)
        for f in mine if len(mine) > 1 else ():
            if f.op is not V.DIVIDE and f not in factors(other):
                new = product([*factors(other), f], e.shape)
                both = [*rest, parts[i], (sign, new)]
                text = "{} is a factor of {} too"
                yield _rewrite("extra factor", total(both, e.shape), text, f, other, more=-0.6)


def _of_product(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    yield from _moved_in(e)
    parts = factors(e)
    if len(parts) == 2 and parts[0].shape == parts[1].shape and parts[1].op is not V.DIVIDE:
        new = make(V.ADD, parts, e.shape)
        yield _rewrite("wrong operand", new, "a sum in place of a product")
    slope = scope.lines.slope(e)
    for i, part in enumerate(parts):
        rest = [*parts[:i], *parts[i + 1 :]]
        inside = slope is not None and part in slope.factors
        kind = "missing factor" if not inside else "wrong f'(a)"
        yield _rewrite(kind, _shaped(product(rest, e.shape), e), "without the factor {}", part)
        if not inside:
            yield _rewrite(
                "extra factor", product([*parts, part], e.shape), "{} is a factor twice", part
            )
        if part.op is V.DIVIDE:
            inverse = part.args[1]
            yield _rewrite(
                "product for a quotient",
                product([*rest, inverse], e.shape),
                "times {} where it is divided",
                inverse,
            )
        elif part.op is not V.NUMBER:
            inverse = make(V.DIVIDE, [number(1), part], part.shape)
            yield _rewrite(
                "product for a quotient",
                product([*rest, inverse], e.shape),
                "divided by {} where it is a factor",
                part,
            )
        if part.op in (V.ADD, V.SUBTRACT) and not inside:
            for s in symbols([part]):
                if s.shape == part.shape:
                    new = product([*parts[:i], s, *parts[i + 1 :]], e.shape)
                    text = "{} where {} is wanted"
                    yield _rewrite("wrong operand", new, text, s, part, more=-0.4)
    if slope is not None:
        rest = [f for f in parts if f not in slope.factors]
        yield _rewrite(
            "missing f'(a)",
            _shaped(product(rest, e.shape), e),
            "without the slope of {}",
            slope.value,
        )
        for text, wrong in wrong_slopes(slope, scope.lines.slopes):
            new = _shaped(product([*rest, wrong], e.shape), e)
            yield _rewrite("wrong f'(a)", new, f"{text} for the slope of {{}}", slope.value)
        d = product(rest, slope.value.shape)
        if d.shape == slope.value.shape and any(_is_backward(s) for s in symbols([d])):
            for more, y in enumerate((make(slope.op, [d], d.shape), d)):
                at = replaced(product(slope.factors, d.shape), {slope.value: y, slope.before: d})
                new = product([*rest, at], e.shape)
                text = "the slope at the gradient for the slope of {}"
                yield _rewrite("wrong f'(a)", new, text, slope.value, more=0.2 + 0.2 * more)


def _shaped(new: Expr, e: Expr) -> Expr:
    """The same, with the shape of the right value."""
    if new.shape == e.shape:
        return new
    try:
        return make(V.BROADCAST_TO, [new], e.shape, {"shape": e.shape})
    except (TypeError, ValueError):
        return new


def primitive_of(operator: Callable[..., Any]) -> Primitive:
    """The primitive that an operator applies."""
    found = _primitives.get(id(operator))
    if found is None:
        node = operator(tensor([0.0]))._node
        assert node.primitive is not None
        found = _primitives[id(operator)] = node.primitive
    return found


_primitives: dict[int, Primitive] = {}  # the operators live as long as the library


def _within(x: Any) -> Any:
    return ops.clip(x, -1, 1)


def clipped(e: Expr, c: float) -> Expr:
    """A value between -c and c."""
    return make(primitive_of(_within), [e], e.shape, {"low": -c, "high": c})


def shortened(e: Expr, c: float, axes: tuple[int, ...]) -> Expr:
    """A value whose norm over some axes is c at most."""
    shape = tuple(1 if i - e.ndim in axes else n for i, n in enumerate(e.shape))
    squares = make(V.MULTIPLY, [e, e], e.shape)
    norm = make(V.SUM, [squares], shape, {"axis": axes, "keepdims": True})
    norm = make(primitive_of(ops.sqrt), [norm], shape)
    beyond = make(V.SUBTRACT, [make(V.DIVIDE, [norm, number(c)], shape), number(1)], shape)
    more = make(primitive_of(ops.relu), [beyond], shape)
    return make(V.DIVIDE, [e, make(V.ADD, [number(1), more], shape)], e.shape)


def wrong_slopes(slope: Slope, others: Sequence[Slope]) -> Iterator[tuple[str, Expr]]:
    """Expressions that are written for a slope."""
    y, a = slope.value, slope.before
    shape = y.shape
    one = number(1)

    def minus(x: Expr, z: Expr) -> Expr:
        return make(V.SUBTRACT, [x, z], shape)

    def times(x: Expr, z: Expr) -> Expr:
        return make(V.MULTIPLY, [x, z], shape)

    def plus(x: Expr, z: Expr) -> Expr:
        return make(V.ADD, [x, z], shape)

    right = product(slope.factors, shape)
    square = times(y, y)
    forms = [
        ("1 - y^2, that of tanh,", minus(one, square)),
        ("y (1 - y), that of sigma,", times(y, minus(one, y))),
        ("1 - y", minus(one, y)),
        ("y, the value,", y),
        ("1 + y^2", plus(one, square)),
        ("y (1 + y)", times(y, plus(one, y))),
        ("1 + y", plus(one, y)),
        ("y^2", square),
        ("y^2 - 1", minus(square, one)),
        ("y (y - 1)", times(y, minus(y, one))),
        ("1 - 2 y", minus(one, times(number(2), y))),
        ("(1 - y)^2", times(minus(one, y), minus(one, y))),
        ("1 - y^3", minus(one, times(y, square))),
        ("1[y > 0]", make(V.GREATER, [y, number(0)], shape)),
        ("the pre-activation", a),
        ("1 - a^2 of the pre-activation", minus(one, times(a, a))),
        ("a (1 - a) of the pre-activation", times(a, minus(one, a))),
    ]
    for op in (primitive_of(ops.tanh), primitive_of(ops.sigmoid)):
        function = op.notation.symbol or op.name
        again, of_a = make(op, [y], shape), make(op, [a], shape)
        forms += [(f"{function}(y)", again), (f"{function}(a)", of_a)]
        for where, v in ((f"of {function}(y)", again), (f"of {function}(a)", of_a)):
            forms.append((f"1 - y^2 {where}", minus(one, times(v, v))))
            forms.append((f"y (1 - y) {where}", times(v, minus(one, v))))
    forms.append(("its square", times(right, right)))
    forms.append(("its inverse", make(V.DIVIDE, [one, right], shape)))
    for other in others:
        if other.value is not y and other.value.shape == shape:
            wrong = product(other.factors, shape)
            forms.append((f"the slope of {other.value.symbol.name}", wrong))
    for k, f in enumerate(slope.factors):
        opposite = {V.GREATER: V.LESS, V.LESS: V.GREATER}.get(f.op)
        if opposite is not None:
            flipped = make(opposite, f.args, f.shape)
            parts = [*slope.factors[:k], flipped, *slope.factors[k + 1 :]]
            forms.append(("the opposite condition", product(parts, shape)))
    for shift in (-1, 1):
        moved = name(y.symbol._replace(time=(y.symbol.time or 0) + shift), shape)
        forms.append((f"that of step t{shift:+d}", replaced(right, {y: moved})))
        forms += _mixed(slope, moved, f"with {y.symbol.name} of step t{shift:+d} in one factor")
    for other in others:
        if other.value is not y and other.value.shape == shape and other.name == slope.name:
            of = other.value.symbol.name
            forms += _mixed(slope, other.value, f"with {of} for {y.symbol.name} in one factor")
    for text, form in forms:
        if form is not right:
            yield text, form


def _mixed(slope: Slope, other: Expr, text: str) -> Iterator[tuple[str, Expr]]:
    """The slope with another value in one of its factors."""
    for k, f in enumerate(slope.factors):
        new = replaced(f, {slope.value: other})
        if new is not f and len(slope.factors) > 1:
            parts = [*slope.factors[:k], new, *slope.factors[k + 1 :]]
            yield f"that {text}", product(parts, slope.value.shape)


def on_one_path(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """A factor or a slope that is wrong or missing for one of the terms that it belongs to."""
    parts = terms(e)
    if len(parts) > 1:
        for i, (sign, part) in enumerate(parts):
            for r in on_one_path(part, scope):
                others = [*parts[:i], (sign, r.value), *parts[i + 1 :]]
                yield r._replace(value=total(others, e.shape))
        return
    slope = scope.lines.slope(e)
    rest = [f for f in factors(e) if slope is None or f not in slope.factors]
    paths, rest = _paths(rest, scope.lines)
    if len(paths) < 2:
        return
    right = product(slope.factors, slope.value.shape) if slope is not None else None
    whole = [*rest, *([right] if right is not None else [])]

    def times(term: Expr, others: Sequence[Expr]) -> Expr:
        return product([term, *others], e.shape)

    for i, (sign, path) in enumerate(paths):
        remaining = times(total([*paths[:i], *paths[i + 1 :]], e.shape), whole)

        def instead(
            fs: Sequence[Expr], others: Expr = remaining, s: int = sign, p: Expr = path
        ) -> Expr:
            return total([(1, others), (s, times(p, fs))], e.shape)

        for j, f in enumerate(rest):
            new = instead([g for k, g in enumerate(whole) if k != j])
            text = "{} is there without the factor {}"
            yield _rewrite("missing factor", new, text, path, f, more=0.5)
        if slope is None:
            continue
        words = "for {} alone, none for the slope of {}"
        yield _rewrite("missing f'(a)", instead(rest), words, path, slope.value, more=0.5)
        for text, other in wrong_slopes(slope, scope.lines.slopes):
            words = f"for {{}} alone, {text} for the slope of {{}}"
            new = instead([*rest, other])
            yield _rewrite("wrong f'(a)", new, words, path, slope.value, more=0.5)


def _paths(parts: Sequence[Expr], lines: Lines) -> tuple[list[tuple[int, Expr]], list[Expr]]:
    """The terms of the cotangent among some factors, and the other factors.

    A cotangent that is a product is followed to the one in it.
    """
    made = {line.target: line.value for line in lines.lines if line.kind == "backward"}
    parts = list(parts)
    for _ in range(3):
        k = next((k for k, f in enumerate(parts) if f in made), None)
        if k is None:
            break
        inner, rest = made[parts[k]], [*parts[:k], *parts[k + 1 :]]
        if len(terms(inner)) > 1:
            return terms(inner), rest
        parts = [*factors(inner), *rest]
    for k, f in enumerate(parts):
        if len(terms(f)) > 1 and any(s.symbol.kind in _BACKWARD for s in symbols([f])):
            return terms(f), [*parts[:k], *parts[k + 1 :]]
    return [], parts


_BACKWARD = ("delta", "carry", "error", "cotangent")
"""The kinds of symbols in the backward pass."""


def _of_matmul(e: Expr) -> Iterator[Rewrite]:
    for i, arg in enumerate(e.args):
        turned = _transposed(arg)
        if turned.shape == arg.shape:
            args = [*e.args[:i], turned, *e.args[i + 1 :]]
            kind = "missing transpose"
            yield _rewrite(
                kind, make(V.MATMUL, args, e.shape), "{} where {} is wanted", turned, arg
            )
        elif arg.op is V.TRANSPOSE and arg.args[0].op is V.SYMBOL:
            yield from _reread(e, i, arg)
    yield from _moved_out(e)
    if e.args[0].shape == e.shape:
        yield _rewrite("missing factor", e.args[0], "without the factor {}", e.args[1])
    if e.ndim == 2 and e.shape[0] == e.shape[1]:
        yield _rewrite("missing transpose", _transposed(e), "the whole is transposed")
    elif e.ndim == 2 and e.shape[1] % e.shape[0] == 0 and e.shape[0] > 1:
        n, m = e.shape
        blocks = [
            _transposed(make(V.SLICE, [e], (n, n), {"axis": -1, "start": k, "stop": k + n}))
            for k in range(0, m, n)
        ]
        whole = make(V.CONCATENATE, blocks, e.shape, {"axis": -1})
        yield _rewrite("missing transpose", whole, "each block is transposed", more=0.2)


def _reread(e: Expr, i: int, arg: Expr) -> Iterator[Rewrite]:
    """W that is not square: its blocks untransposed, or its numbers read in another shape."""
    W = arg.args[0]
    if W.ndim != 2 or i != 1:
        return
    n, m = W.shape
    if n > 1 and m % n == 0:
        pieces = [
            make(V.SLICE, [W], (n, n), {"axis": -1, "start": k, "stop": k + n})
            for k in range(0, m, n)
        ]
        blocks = make(V.CONCATENATE, pieces, (m, n), {"axis": -2})
        new = make(V.MATMUL, [e.args[0], blocks], e.shape)
        yield _rewrite("missing transpose", new, "the blocks of {} are not transposed", W)
    reread = make(V.RESHAPE, [W], (m, n), {"shape": (m, n)})
    new = make(V.MATMUL, [e.args[0], reread], e.shape)
    yield _rewrite("missing transpose", new, "{} is reshaped, not transposed", W, more=0.1)


def _transposed(e: Expr) -> Expr:
    if e.op is V.TRANSPOSE:
        return e.args[0]
    if e.ndim != 2:
        return make(V.TRANSPOSE, [e], e.shape[:-2] + e.shape[-2:][::-1])
    return make(V.TRANSPOSE, [e], e.shape[::-1])


def _item(e: Expr, b: int) -> Expr:
    """One item of the batch, which is the first of two axes."""
    start = 0 if b == 0 else -1
    stop = 1 if b == 0 else None
    params = {"axis": -2, "start": start, "stop": stop}
    return make(V.SLICE, [e], (1, e.shape[-1]), params)


def _of_concatenation(e: Expr) -> Iterator[Rewrite]:
    n = len(e.args)
    if n <= 4 and len({arg.shape for arg in e.args}) == 1:
        for order_ in list(itertools.permutations(range(n)))[1:]:
            swapped = [e.args[k] for k in order_]
            moved = sum(k != j for j, k in enumerate(order_))
            yield _rewrite(
                "wrong gate order",
                make(V.CONCATENATE, swapped, e.shape, e.params),
                "in the order " + ", ".join("{}" for _ in order_),
                *swapped,
                more=0.1 * (moved - 2),
            )
    for k, arg in enumerate(e.args):
        parts = [*e.args[:k], number(0, arg.shape), *e.args[k + 1 :]]
        new = make(V.CONCATENATE, parts, e.shape, e.params)
        yield _rewrite("missing term", new, "zeros in the place of {}", arg, more=0.1)
        for other in e.args:
            if other is not arg and other.shape == arg.shape:
                parts = [*e.args[:k], other, *e.args[k + 1 :]]
                new = make(V.CONCATENATE, parts, e.shape, e.params)
                yield _rewrite("wrong operand", new, "{} where {} is wanted", other, arg)


def _moved_out(e: Expr) -> Iterator[Rewrite]:
    """A factor of the left operand of a matrix, as a factor of the product."""
    x, M = e.args
    text = "{} is a factor after the product with the matrix, not before"
    if x.op is V.TRANSPOSE:  # (r * h)^T d, the gradient of a matrix: h^T (r * d)
        parts = factors(x.args[0])
        for i, part in enumerate(parts):
            if len(parts) > 1 and part.shape == M.shape == x.args[0].shape:
                rest = product([*parts[:i], *parts[i + 1 :]], x.args[0].shape)
                args = [_transposed(rest), make(V.MULTIPLY, [M, part], M.shape)]
                yield _rewrite("order of operations", make(V.MATMUL, args, e.shape), text, part)
        return
    parts = factors(x)
    for i, part in enumerate(parts):
        if len(parts) > 1 and part.shape == e.shape:
            rest = product([*parts[:i], *parts[i + 1 :]], x.shape)
            new = make(V.MULTIPLY, [part, make(V.MATMUL, [rest, M], e.shape)], e.shape)
            yield _rewrite("order of operations", new, text, part)


def _moved_in(e: Expr) -> Iterator[Rewrite]:
    """A factor of a product with a matrix, as a factor of its left operand."""
    parts = factors(e)
    for (i, f), (j, g) in itertools.permutations(enumerate(parts), 2):
        if g.op is V.MATMUL and f.shape == g.args[0].shape and f.op is not V.NUMBER:
            inner = make(V.MULTIPLY, [f, g.args[0]], f.shape)
            rest = [part for k, part in enumerate(parts) if k not in (i, j)]
            new = product([*rest, make(V.MATMUL, [inner, g.args[1]], g.shape)], e.shape)
            text = "{} is a factor before the product with the matrix, not after"
            yield _rewrite("order of operations", new, text, f)


def _outside(e: Expr) -> Iterator[Rewrite]:
    """An activation of a part only: the other terms, or a factor, outside it."""
    (a,) = e.args
    parts = terms(a)
    if len(parts) > 1:
        for i, (sign, part) in enumerate(parts):
            rest = total([*parts[:i], *parts[i + 1 :]], a.shape)
            for inside, outside, sign_ in ((rest, part, sign), (part, rest, 1)):
                if inside is part and len(parts) == 2:
                    continue  # the other term says it
                if inside.shape != e.shape:
                    inside = _shaped(inside, e)
                new = total(
                    [(1, make(e.op, [inside], e.shape, e.params)), (sign_, outside)], e.shape
                )
                text = "{} is added after the activation, not before"
                yield _rewrite("order of operations", new, text, outside)
    whole = factors(a)
    for i, part in enumerate(whole):
        if len(whole) > 1:
            rest = product([*whole[:i], *whole[i + 1 :]], a.shape)
            new = product([part, make(e.op, [_shaped(rest, e)], e.shape, e.params)], e.shape)
            text = "{} is a factor after the activation, not before"
            yield _rewrite("order of operations", new, text, part)


def _other_end(e: Expr) -> Iterator[Rewrite]:
    """The first or the last rows or columns of something joined, as many as wanted."""
    axis = e.params["axis"]
    n, width = e.args[0].shape[axis], e.shape[axis]
    for start, text in ((0, "first"), (n - width, "last")):
        if start != e.params["start"] and not grows(n):
            params = {**e.params, "start": start, "stop": start + width}
            new = make(V.SLICE, e.args, e.shape, params)
            text = f"the {text} {width} of {n} are taken where others are wanted"
            yield _rewrite("wrong operand", new, text, more=-0.4)


def _of_piece(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """Another value, or another block, in the place of a block of a value."""
    backward = _is_backward(e.args[0])
    found = list(scope.lines.pieces.get(e.shape, ()))
    found += scope.values(e.shape, backward)
    for other in found:
        of = other.args[0] if other.op is V.SLICE else other
        if other is not e and _is_backward(of) == backward:
            yield _rewrite("wrong operand", other, "{} where {} is wanted", other, e)


def _is_backward(e: Expr) -> bool:
    return e.symbol.kind in _BACKWARD


def _of_number(e: Expr) -> Iterator[Rewrite]:
    """Another number."""
    c = float(e.value)
    others = [2 * c, c / 2, c * c, np.sqrt(abs(c)), 1 / c if c else c, c + 1, c - 1, -c]
    if 0 < abs(c) < 1e-2:
        others = [10.0**-k for k in range(1, 17)]
    for other in dict.fromkeys(others):
        if other != c:
            text = f"{other:.6g} where {c:.6g} is wanted"
            yield _rewrite("wrong constant factor", number(other, e.shape), text, more=0.2)


def _of_total(e: Expr) -> Iterator[Rewrite]:
    if e.op is V.MEAN:
        new = make(V.SUM, e.args, e.shape, e.params)
        yield _rewrite("wrong constant factor", new, "a sum where a mean is wanted")
        n = e.args[0].shape[e.params["axis"][0]] if e.params["axis"] else 0
        if n > 1 and not grows(n):
            new = make(V.MULTIPLY, [number(n / (n - 1)), e], e.shape)
            yield _rewrite("wrong constant factor", new, f"divided by {n - 1} where {n} is wanted")
    elif not any(grows(e.args[0].shape[axis]) for axis in e.params["axis"] or ()):
        new = make(V.MEAN, e.args, e.shape, e.params)
        yield _rewrite("wrong constant factor", new, "a mean where a sum is wanted")
    parts = factors(e.args[0])
    for i in range(len(parts) if 1 < len(parts) < 4 and e.op is V.SUM else 0):
        rest = product([*parts[:i], *parts[i + 1 :]], e.args[0].shape)
        if rest.shape == parts[i].shape == e.args[0].shape:
            sums = [make(e.op, [part], e.shape, e.params) for part in (rest, parts[i])]
            text = "sums are multiplied where the products are to be summed"
            new = make(V.MULTIPLY, sums, e.shape)
            yield _rewrite("order of operations", new, text, more=0.1)
    if e.params["keepdims"] and e.params["axis"] is not None:
        ndim = e.args[0].ndim
        axes: list[Any] = [(axis,) for axis in range(-ndim, 0)]
        for axis in [*axes, tuple(range(-ndim, 0))]:
            if axis != e.params["axis"]:
                new = make(e.op, e.args, e.shape, {**e.params, "axis": axis})
                over = "all entries" if len(axis) > 1 else f"axis {axis[0]}"
                text = f"a {e.op.name} over {over}"
                yield _rewrite("sum over another axis", new, text)
    if e.params["keepdims"]:
        yield _rewrite("missing sum", e.args[0], f"without the {e.op.name}")


def _operands(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """Other values of the same shape."""
    symbol = e.symbol
    if symbol.kind in ("parameter", "constant", "scalar"):
        for g in scope.lines.form.parameters:
            if g.of is not e and g.of.shape == e.shape:
                yield _rewrite("wrong operand", g.of, "{} where {} is wanted", g.of, e)
        if e.ndim < 2:
            opposite = make(V.SUBTRACT, [number(1), e], e.shape)
            yield _rewrite("wrong operand", opposite, "{} where {} is wanted", opposite, e)
        return
    if symbol.kind == "size":
        return
    backward = symbol.kind in _BACKWARD
    if not backward:
        for shift in (-1, 1, -2, 2):
            other = name(symbol._replace(time=(symbol.time or 0) + shift), e.shape)
            yield _rewrite(
                "off by one in time",
                other,
                "{} where {} is wanted",
                other,
                e,
                more=0.0 if abs(shift) == 1 else 0.6,
            )
            around = name(Symbol(symbol.name, "wrapped", (symbol.time or 0) + shift), e.shape)
            text = "{} where {} is wanted, and beyond the end the other end's"
            more = 0.1 if abs(shift) == 1 else 0.7
            yield _rewrite("off by one in time", around, text, around, e, more=more)
        time = symbol.time or 0
        for kind, t, text in (
            ("last", 0, "that of the last step"),
            ("first", 1, "that of the first step"),
            ("last", time, "that of the last step"),
            ("first", 1 + time, "that of the first step"),
        ):
            if time or t in (0, 1):
                other = name(Symbol(symbol.name, kind, t, True), e.shape)
                text += " in every step, where {} is wanted"
                yield _rewrite("off by one in time", other, text, e, more=0.5)
        back = name(Symbol(symbol.name, "reversed", symbol.time), e.shape)
        yield _rewrite("off by one in time", back, "time runs the other way in {}", e, more=0.8)
        if any(state is e for state in scope.lines.states):
            start = name(Symbol(symbol.name, "state", 0, True), e.shape)
            yield _rewrite("off by one in time", start, "{} where {} is wanted", start, e, more=0.4)
        opposite = make(V.SUBTRACT, [number(1), e], e.shape)
        yield _rewrite("wrong operand", opposite, "{} where {} is wanted", opposite, e, more=-0.2)
        if e.ndim == 2:
            yield _rewrite(
                "wrong operand",
                make(V.MULTIPLY, [e, e], e.shape),
                "the square of {}",
                e,
                more=0.2,
            )
            for more, function in enumerate((ops.tanh, ops.sigmoid, ops.relu)):
                op = primitive_of(function)
                text = f"{op.notation.symbol or op.name}({{}}) where {{}} is wanted"
                again = make(op, [e], e.shape)
                yield _rewrite("wrong operand", again, text, e, e, more=0.2 + 0.2 * more)
    if backward and symbol.kind == "delta":
        later = name(symbol._replace(time=1), e.shape)
        yield _rewrite("off by one in time", later, "{} where {} is wanted", later, e, more=0.3)
    if symbol.time is None and not backward:
        for g in scope.lines.form.parameters:
            if g.of.shape == e.shape:
                yield _rewrite("wrong operand", g.of, "{} where {} is wanted", g.of, e)
    for other in scope.values(e.shape, backward):
        if other.symbol.name == symbol.name:
            continue
        if backward:
            yield _instead(other, e, scope)
            continue
        for shift in (0, -1):
            moved = name(other.symbol._replace(time=shift), e.shape)
            more = 0.0 if shift == (symbol.time or 0) else 0.4
            same = other.symbol.name == symbol.name.replace(
                "_new", ""
            )  # the state, kept where it has ended
            if same and shift:
                text = "{} where {} is wanted"
                yield _rewrite("off by one in time", moved, text, moved, e, more=more)
            else:
                yield _instead(moved, e, scope, more)


def _instead(other: Expr, e: Expr, scope: Scope, more: float = 0.0) -> Rewrite:
    """One value for another; of a product a part, perhaps, which then lacks factors."""
    shift = e.symbol.time or 0
    for label, value in (
        *((line.target, line.value) for line in scope.lines.lines if line.kind == "backward"),
        *((eq.target, eq.value) for eq in scope.lines.form.forward if len(eq.targets) == 1),
    ):
        if label.symbol.name != e.symbol.name:
            continue
        parts = [shifted(f, shift) for f in factors(value)]
        if other in parts and len(parts) > 1:
            slope = scope.lines.slope(value)
            kind = "missing factor" if slope is None else "missing f'(a)"
            parts.remove(other)
            rest = product(parts, e.shape)
            text = "{} where {} is wanted, without the factor {}"
            return _rewrite(kind, other, text, other, e, rest, more=0.9 + more)
    return _rewrite("wrong operand", other, "{} where {} is wanted", other, e, more=more)


def insertions(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """Something more in a line: a factor, or a term."""
    lines = scope.lines.lines
    of = {line.target: line.of for line in lines if line.kind == "backward"}
    values = {v.symbol.name: v for v in scope.lines.forward}
    for part in (e, *(s for s in symbols([e]) if s in of)):  # an activation where there is none
        v = values.get(lines[scope.k].of if part is e else of[part])
        if v is None or v.shape != part.shape or scope.lines.slope(e) is not None:
            continue
        square = make(V.MULTIPLY, [v, v], v.shape)
        for text, f in (
            ("1 - {}^2", make(V.SUBTRACT, [number(1), square], v.shape)),
            ("{} (1 - {})", make(V.SUBTRACT, [v, square], v.shape)),
            ("1[{} > 0]", make(V.GREATER, [v, number(0)], v.shape)),
        ):
            new = replaced(e, {part: make(V.MULTIPLY, [part, f], part.shape)})
            yield _rewrite("extra factor", new, text + " is a factor", v, v)
    yield from _at_the_output(e, scope)
    for s in symbols([e]):
        if s is not e and s.shape == e.shape and _is_backward(s) and e.op is not V.ADD:
            text = "{} as it is, without the factors and terms beside it"
            yield _rewrite("missing factor", s, text, s, more=0.4)
    for s in symbols([e]):  # the error of a step that a sequence has not
        for error in scope.lines.form.errors if s.symbol.name in MASKS else ():
            inner = scope.lines.enter[error]
            if lines[scope.k].kind == "carry" and inner.shape == e.shape:
                opposite = make(V.SUBTRACT, [number(1), s], s.shape)
                new = make(V.ADD, [e, make(V.MULTIPLY, [opposite, inner], e.shape)], e.shape)
                text = "the losses after a sequence's end reach its last state"
                yield _rewrite("extra term", new, text, more=-0.6)
    for value in scope.lines.forward:
        if value.shape == e.shape:
            for shift in (0, -1):
                v = name(value.symbol._replace(time=shift), e.shape)
                new = make(V.MULTIPLY, [e, v], e.shape)
                yield _rewrite("extra factor", new, "{} is a factor", v, more=0.3)
            v = name(value.symbol._replace(time=0), e.shape)
            opposite = make(V.SUBTRACT, [number(1), v], e.shape)
            new = make(V.MULTIPLY, [e, opposite], e.shape)
            yield _rewrite("extra factor", new, "{} is a factor", opposite, more=0.3)
    for slope in scope.lines.slopes:
        if slope.value.shape == e.shape:
            f = product(slope.factors, e.shape)
            new = make(V.MULTIPLY, [e, f], e.shape)
            yield _rewrite("extra factor", new, "the slope of {} is a factor", slope.value)
    for other in scope.values(e.shape, True):
        text = "{} is added"
        yield _rewrite("extra term", make(V.ADD, [e, other], e.shape), text, other)
        for value in scope.lines.forward:
            if value.shape == e.shape:
                more = make(V.MULTIPLY, [other, value], e.shape)
                yield _rewrite("extra term", make(V.ADD, [e, more], e.shape), text, more, more=0.5)


def in_one_term(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """A factor more in one term of a line."""
    parts = terms(e)
    for i, (sign, part) in enumerate(parts if len(parts) > 1 else ()):
        for value in scope.lines.forward:
            for shift in (0, -1, 1) if value.shape == part.shape else ():
                v = name(value.symbol._replace(time=shift), part.shape)
                opposite = make(V.SUBTRACT, [number(1), v], part.shape)
                for f in (v, opposite):
                    new = make(V.MULTIPLY, [part, f], part.shape)
                    both = total([*parts[:i], (sign, new), *parts[i + 1 :]], e.shape)
                    yield _rewrite("extra factor", both, "{} is a factor of {} too", f, part)


def _at_the_output(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """dL/do times the slope of a function of the output, which the loss has been through."""
    form, line = scope.lines.form, scope.lines.lines[scope.k]
    if line.kind != "error" or e not in form.errors:
        return
    o = form.outputs[form.errors.index(e)]
    for function in (ops.softmax, ops.sigmoid, ops.tanh):
        op = primitive_of(function)
        params = {"axis": -1} if function is ops.softmax else {}
        y = make(op, [o], e.shape, params)
        square = make(V.MULTIPLY, [y, y], e.shape)
        first = number(1) if function is ops.tanh else y
        for text, factor in (
            (f"the slope of {op.name}", make(V.SUBTRACT, [first, square], e.shape)),
            (op.name, y),
        ):
            new = make(V.MULTIPLY, [e, factor], e.shape)
            yield _rewrite(
                "extra factor", new, f"{text} of the output is a factor of dL/do", more=-0.6
            )


def everywhere(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """One value exchanged for another wherever it stands in an equation."""
    made = {
        eq.targets[0]: eq.value.op
        for eq in scope.lines.form.forward
        if len(eq.targets) == len(eq.value.args) == 1 and eq.value.shape == eq.value.args[0].shape
    }
    for s in symbols([e]):
        if s.symbol.kind not in ("value", "state", "input"):
            continue
        negative = make(V.NEGATIVE, [s], s.shape)
        yield _rewrite("wrong sign", replaced(e, {s: negative}), "the sign of {}", s, more=0.3)
        for r in _operands(s, scope):
            more = r.cost + 0.3
            yield r._replace(value=replaced(e, {s: r.value}), cost=more)
        op = made.get(s)
        for other in scope.values(s.shape, False):
            if op is not None and other is not s:  # exp(h) where exp(a) is wanted
                new = replaced(e, {s: make(op, [other], s.shape)})
                text = f"{op.notation.symbol or op.name} of {{}}, not of its argument, for {{}}"
                yield _rewrite("wrong f'(a)", new, text, other, s, more=0.4)
    for a, b in itertools.combinations(symbols([e]), 2):
        if a.shape == b.shape and _is_backward(a) == _is_backward(b):
            new = replaced(e, {a: b, b: a})
            if new is not e:
                yield _rewrite("wrong operand", new, "{} and {} are exchanged", a, b, more=-0.3)


def reordered(e: Expr, targets: Sequence[Expr]) -> Iterator[Rewrite]:
    """The parts of a value, of equal size, under each other's names."""
    n = len(targets)
    if not 2 <= n <= 4 or len({target.shape for target in targets}) != 1:
        return
    shape = targets[0].shape
    axis = next(i - len(shape) for i, size in enumerate(e.shape) if size != shape[i])
    width = shape[axis]
    parts = [
        make(V.SLICE, [e], shape, {"axis": axis, "start": k * width, "stop": (k + 1) * width})
        for k in range(n)
    ]
    for order_ in list(itertools.permutations(range(n)))[1:]:
        new = make(V.CONCATENATE, [parts[k] for k in order_], e.shape, {"axis": axis})
        named = [targets[order_.index(k)] for k in range(n)]
        text = "the parts are taken for " + ", ".join("{}" for _ in order_)
        yield _rewrite("wrong gate order", new, text, *named)


def of_one_part(e: Expr, targets: Sequence[Expr]) -> Iterator[Rewrite]:
    """A term that is missing in one of the parts that a sum is cut into."""
    found = terms(e)
    if len(targets) < 2 or len(found) < 2:
        return
    start, shape = 0, targets[0].shape
    axis = next((i - len(shape) for i, size in enumerate(e.shape) if size != shape[i]), None)
    if axis is None:
        return
    cuts = []
    for target in targets:
        cuts.append((start, start + target.shape[axis], target))
        start += target.shape[axis]

    def cut(value: Expr, part: tuple[int, int, Expr]) -> Expr:
        params = {"axis": axis, "start": part[0], "stop": part[1]}
        return make(V.SLICE, [value], part[2].shape, params)

    for i, (_, gone) in enumerate(found):
        less = total([*found[:i], *found[i + 1 :]], e.shape)
        for j, part in enumerate(cuts):
            pieces = [cut(less if k == j else e, other) for k, other in enumerate(cuts)]
            new = make(V.CONCATENATE, pieces, e.shape, {"axis": axis})
            yield _rewrite("missing term", new, "without {} in {}", gone, part[2], more=0.3)


def other_functions(e: Expr) -> Iterator[Rewrite]:
    """Another activation function."""
    if e.op.activation and len(e.args) == 1:
        for function in (ops.tanh, ops.sigmoid, ops.relu):
            op = primitive_of(function)
            if op is not e.op:
                text = f"{op.name} where {e.op.name} is wanted"
                yield _rewrite("wrong operand", make(op, e.args, e.shape), text, more=-1.2)


def kept(
    lines: Lines,
) -> Iterator[tuple[str, tuple[str, tuple[Expr, ...]], float, dict[int, Expr]]]:
    """A value of the forward pass exchanged in every line of the backward pass: kept wrongly.

    Gives kind, detail, cost and the new value of each line that has it.
    """
    scope = Scope(lines, 0)
    used: dict[Expr, list[int]] = {}
    for k, line in enumerate(lines.lines):
        for s in symbols([line.value]):
            if s.symbol.kind in ("value", "state", "input"):
                used.setdefault(s, []).append(k)
    for s, at in used.items():
        if len(at) < 2:
            continue
        for r in _operands(s, scope):
            yield (
                r.kind,
                r.detail,
                r.cost + 0.4,
                {k: replaced(lines.lines[k].value, {s: r.value}) for k in at},
            )
    timed = [u for u in used if u.symbol.time is not None]
    inner = [u for u in timed if u.symbol.kind != "input"]
    for some, but in ((timed, ""), (inner, " but the input")):
        for kind, step in (("kept before", "before"), ("kept after", "after")):
            moved = {u: name(u.symbol._replace(kind=kind), u.shape) for u in some}
            text = f"all values kept from the forward pass{but} are those of the step {step}"
            at = sorted({k for u in some for k in used[u]})
            values = {k: replaced(lines.lines[k].value, moved) for k in at}
            yield "off by one in time", (text, ()), 1.7, values
    for label in dict.fromkeys(u.symbol.name for u in timed):  # a list that begins early or late
        uses = [u for u in used if u.symbol.name == label]
        if len(uses) < 2:
            continue
        for shift in (-1, 1):
            moved = {
                u: name(u.symbol._replace(time=(u.symbol.time or 0) + shift), u.shape) for u in uses
            }
            text = "in every line, {} where {} is wanted"
            at = sorted({k for u in uses for k in used[u]})
            yield (
                "off by one in time",
                (text, (moved[uses[0]], uses[0])),
                1.5,
                {k: replaced(lines.lines[k].value, moved) for k in at},
            )


def before_slopes(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """Cotangents before the slopes of activations in place of those after them, here only."""
    before: dict[Expr, Expr] = {}
    for line in scope.lines.lines:
        slope = scope.lines.slope(line.value)
        if slope is not None and line.kind == "backward":
            rest = [f for f in factors(line.value) if f not in slope.factors]
            before[line.target] = product(rest, line.value.shape)
    joined = {
        line.target: replaced(line.value, before)
        for line in scope.lines.lines
        if line.kind == "backward" and line.value.op is V.CONCATENATE
    }
    new = replaced(e, before | joined)
    if new is not e:
        yield _rewrite("missing f'(a)", new, "cotangents before the slopes are used here", more=0.5)


def of_gradient(k: int, lines: Lines) -> Iterator[Rewrite]:
    """A gradient as a whole: under another's name, its blocks in another order."""
    line = lines.lines[k]
    if line.kind != "sum":
        return
    e = line.value
    batched = [s for s in symbols([e]) if s.ndim == 2 and grows(s.shape[0])]
    for b in (0, -1) if batched else ():
        text = f"only the {'first' if b == 0 else 'last'} item of the batch is in dL/d{{}}"
        one = replaced(e, {s: _item(s, b) for s in batched})
        yield _rewrite("missing sum over batch", one, text, line.target)
    for s in batched:
        if s.symbol.kind in ("value", "state", "input"):
            for mixed in MIXED:
                new = replaced(e, {s: name(s.symbol._replace(kind=mixed), s.shape)})
                text = f"the rows of {{}} are made flat {mixed}, those of the gradient are not"
                yield _rewrite("wrong operand", new, text, s, more=-0.5)
        if s.symbol.kind == "input":
            new = replaced(e, {s: name(s.symbol._replace(kind="once"), s.shape)})
            text = "a token that several sequences of the batch have in one step is counted once"
            yield _rewrite("missing sum over batch", new, text, more=0.2)
    if e.op is V.MATMUL and e.args[0].op is V.TRANSPOSE and len(batched) > 1:
        x, d = e.args[0].args[0], e.args[1]
        sums = [
            make(V.SUM, [v], (1, v.shape[-1]), {"axis": (-2,), "keepdims": True}) for v in (x, d)
        ]
        new = make(V.MATMUL, [_transposed(sums[0]), sums[1]], e.shape)
        text = "sums over the batch are multiplied where the products are to be summed"
        yield _rewrite("order of operations", new, text, more=0.1)
    for other in lines.lines:
        if other.kind == "sum" and other.target is not line.target:
            if other.value.shape == e.shape:
                yield _rewrite(
                    "exchanged gradients", other.value, "dL/d{} is given for dL/d{}",
                    other.target, line.target,
                )  # fmt: skip
            elif e.ndim == 2 and other.value.shape == e.shape[::-1]:
                yield _rewrite(
                    "exchanged gradients", _transposed(other.value),
                    "the transpose of dL/d{} is given for dL/d{}", other.target, line.target,
                )  # fmt: skip
    width = lines.states[0].shape[-1] if lines.states and lines.states[0].ndim else 0
    n = e.shape[-1] // width if e.ndim and width and e.shape[-1] % width == 0 else 1
    if 2 <= n <= 4:
        shape = (*e.shape[:-1], width)
        blocks = [
            make(V.SLICE, [e], shape, {"axis": -1, "start": j * width, "stop": (j + 1) * width})
            for j in range(n)
        ]
        for order_ in list(itertools.permutations(range(n)))[1:]:
            new = make(V.CONCATENATE, [blocks[j] for j in order_], e.shape, {"axis": -1})
            text = f"the blocks of dL/d{{}} in the order {', '.join(str(j + 1) for j in order_)}"
            moved = sum(j != m for j, m in enumerate(order_))
            yield _rewrite("wrong gate order", new, text, line.target, more=0.1 * (moved - 2))


def at_one_use(e: Expr, scope: Scope) -> Iterator[Rewrite]:
    """The line of a value rewritten for this use of it only."""
    made: dict[Expr, Expr] = {}
    for eq in scope.lines.form.forward:
        if len(eq.targets) == 1:
            made[eq.target] = eq.value
            continue
        start = 0
        for target, axis, width in pieces(eq):
            params = {"axis": axis, "start": start, "stop": start + width}
            made[target] = make(V.SLICE, [eq.value], target.shape, params)
            start += width
    for s in symbols([e]):
        value = made.get(s)
        if value is not None and not value.op.activation:
            for r in rewrites(value, scope):
                yield r._replace(value=replaced(e, {s: r.value}), cost=r.cost + 0.5)
            inlined = replaced(e, {s: value})
            for part in order([inlined]):
                if part.op in (V.MATMUL, V.MULTIPLY):
                    for r in _moved_out(part) if part.op is V.MATMUL else _moved_in(part):
                        yield r._replace(value=replaced(inlined, {part: r.value}))
    own = {line.target: k for k, line in enumerate(scope.lines.lines)}
    for s in symbols([e]):
        k = own.get(s)
        if k is None or scope.lines.lines[k].kind not in ("backward", "error"):
            continue
        value = scope.lines.lines[k].value
        for r in rewrites(value, scope):
            yield r._replace(value=replaced(e, {s: r.value}), cost=r.cost + 0.5)
        for inner in symbols([value]):  # a cotangent before a slope is a part of the same equation
            if scope.lines.is_own(inner) and scope.lines.lines[scope.k].kind == "carry":
                for r in rewrites(scope.lines.lines[own[inner]].value, scope):
                    new = replaced(e, {s: replaced(value, {inner: r.value})})
                    yield r._replace(value=new, cost=r.cost + 0.5)


__all__ = [
    "COSTS",
    "Rewrite",
    "Scope",
    "at_one_use",
    "before_slopes",
    "clipped",
    "everywhere",
    "in_one_term",
    "insertions",
    "kept",
    "of_one_part",
    "on_one_path",
    "other_functions",
    "of_gradient",
    "primitive_of",
    "reordered",
    "rewrites",
    "shortened",
]
