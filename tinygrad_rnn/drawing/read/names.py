"""The time of values; the names of gradients; the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...equations import vocabulary as V
from ...equations.expr import Expr, at_step, name, rewritten
from ...graph import Node
from ..model import Model
from .columns import AFTER, BEFORE, is_parameter


def when(model: Model, column: int) -> dict[str, Any]:
    """The time of a value, for its symbol: none outside of steps."""
    outside = column in (BEFORE, AFTER) or not model.timed
    if model.rolled and not outside:
        return {"time": column - model.shown[0]}
    return {} if outside else {"time": column, "fixed": True}


def at_time(expr: Expr, model: Model, column: int) -> Expr:
    """An expression of a step with the step's number on it, if it has not its time already."""
    if model.rolled:
        return expr
    if when(model, column):
        return at_step(expr, column)

    def timeless(e: Expr) -> Expr:
        done = e.op is not V.SYMBOL or e.symbol.time is None or e.symbol.fixed
        return e if done else name(e.symbol._replace(time=None), e.shape)

    return rewritten(expr, timeless)


def needed(record: Sequence[Node]) -> set[Node]:
    """The operations that a gradient flows through to the parameters."""
    found: set[Node] = set()
    for node in record:
        if any(is_parameter(s) or s in found for s in node.inputs):
            found.add(node)
    return found


def batch_of(model: Model) -> int | None:
    """The size of the batch: of the first axis of most values that have several."""
    sizes: list[int] = []
    for node in model.order:
        if node.primitive is not None and model.column[node] not in (BEFORE, AFTER):
            shape = node.output(0)[0]
            sizes += shape[:1] if len(shape) > 1 else ()
    return max(set(sizes), key=sizes.count) if sizes else None
