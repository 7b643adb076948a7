"""Sums and products with any number of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..equations import vocabulary as V
from ..equations.expr import (
    Expr,
    make,
    number,
)
from ..equations.sizes import broadcast


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


__all__ = ["factors", "product", "terms", "total"]
