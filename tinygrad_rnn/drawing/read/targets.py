"""Expressions for readers: numbers of classes are targets y, default parameters left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...equations import vocabulary as V
from ...equations.expr import Expr, Symbol, make, name, number, rewritten
from ...equations.read import ROWS
from ...graph import Node

PLACE = "k"
"""Stands for positions that were given as numbers."""
LETTERS = ("y", "k", "target")


def target_letter(order: Sequence[Node]) -> str:
    """A letter for targets that nothing else in the record is called by."""
    names = {name for node in order for name in (node.names or {}).values()}
    return next((letter for letter in LETTERS if letter not in names), LETTERS[-1])


def has_targets(order: Sequence[Node]) -> bool:
    """Whether an operation of a record was given numbers of classes."""
    return any(isinstance(v, np.ndarray) for node in order for v in node.params.values())


def readable(expr: Expr, letter: str) -> Expr:
    """The same without sums with 0 and without the last axis as a parameter; with targets."""

    def change(e: Expr) -> Expr:
        if e.op is V.ADD and any(arg.op is V.NUMBER and not arg.value for arg in e.args):
            return next((arg for arg in e.args if arg.op is not V.NUMBER or arg.value), e.args[0])
        if e.op is V.INDEX_ADD and any(map(_is_rows, e.params["index"])):
            return _with_targets(e, letter)
        if e.op.notation.form == "entries" and "index" in e.params:
            index = e.params["index"]
            parts = index if isinstance(index, tuple) else (index,)
            if not any(map(_is_rows, parts)):
                return e
            named = tuple(PLACE if _is_rows(part) else part for part in parts)
            return make(e.op, e.args, e.shape, {**e.params, "index": named})
        rest = {
            key: v
            for key, v in e.params.items()
            if not _is_rows(v) and ((key, v) != ("axis", -1) or e.op.kind != "general")
        }
        given = [_targets(v, letter, e) for v in e.params.values() if _is_rows(v)]
        same = len(rest) == len(e.params)
        return e if same else make(e.op, [*e.args, *given], e.shape, rest)

    return rewritten(expr, change)


def _is_rows(param: object) -> bool:
    return isinstance(param, str) and param.startswith(ROWS)


def _targets(rows: str, letter: str, like: Expr) -> Expr:
    return name(Symbol(rows.replace(ROWS, letter), "input", 0), like.shape)


def _with_targets(e: Expr, letter: str) -> Expr:
    """x + v in one place per row as x + v y, where y is 1 there and else 0."""
    rows = next(part for part in e.params["index"] if _is_rows(part))
    x, v = e.args
    y = _targets(rows, letter, x)
    sign = V.ADD
    if v.op is V.NEGATIVE:
        sign, v = V.SUBTRACT, v.args[0]
    elif v.op is V.NUMBER and v.value < 0:
        sign, v = V.SUBTRACT, number(-v.value)
    if v.op is not V.NUMBER or v.value != 1:
        v = number(v.value) if v.op is V.NUMBER else v
        y = make(V.MULTIPLY, [v, y], x.shape)
    return make(sign, [x, y], x.shape)
