"""Expressions for readers: class numbers as an argument y, defaults left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...equations import vocabulary as V
from ...equations.expr import Expr, Symbol, make, name, rewritten
from ...graph import Node


def readable(expr: Expr) -> Expr:
    """The same without sums with 0 and without the last axis as a parameter; with targets y."""
    return rewritten(expr, _readable)


def has_targets(record: Sequence[Node]) -> bool:
    """Whether an operation of a record was given an array of numbers of classes."""
    return any(isinstance(v, np.ndarray) for node in record for v in node.params.values())


def _readable(e: Expr) -> Expr:
    if e.op is V.ADD and any(arg.op is V.NUMBER and not arg.value for arg in e.args):
        return next((arg for arg in e.args if arg.op is not V.NUMBER or arg.value), e.args[0])
    if e.op is V.INDEX_ADD and any(isinstance(part, str) for part in e.params["index"]):
        return _with_targets(e)
    told = {k: v for k, v in e.params.items() if (k, v) != ("axis", -1) or e.op.kind != "general"}
    given = [_targets(v, e) for v in told.values() if isinstance(v, str) and v[:1] == "y"]
    if not given and len(told) == len(e.params):
        return e
    rest = {k: v for k, v in told.items() if not (isinstance(v, str) and v[:1] == "y")}
    return make(e.op, [*e.args, *given], e.shape, rest)


def _targets(label: str, like: Expr) -> Expr:
    return name(Symbol(label, "input", 0), like.shape)


def _with_targets(e: Expr) -> Expr:
    """x + v in one place per row as x + v y, where y is 1 there and else 0."""
    (label,) = (part for part in e.params["index"] if isinstance(part, str))
    x, v = e.args
    y = _targets(label, x)
    if v.op is V.NEGATIVE:
        return make(V.SUBTRACT, [x, make(V.MULTIPLY, [v.args[0], y], x.shape)], x.shape)
    if v.op is V.NUMBER and v.value == -1:
        return make(V.SUBTRACT, [x, y], x.shape)
    return make(V.ADD, [x, make(V.MULTIPLY, [v, y], x.shape)], x.shape)
