"""Names for the arrays of a record that are no tensors; their time; the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...equations import vocabulary as V
from ...equations.expr import Expr, Symbol, at_step, name, rewritten
from ...graph import Node
from ..model import Model
from .columns import AFTER, BEFORE, is_parameter


class Constants:
    """Names for constants: their letter, else const."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.known: dict[int, dict[Any, Symbol]] = {}  # of one step

    def symbol(self, node: Node, i: int) -> Symbol:
        """The name of an argument of an operation; the same array has one name in a step."""
        assert node.primitive is not None
        column = self.model.column[node]
        known = self.known.setdefault(column, {})
        value = None if node.saved is None else node.saved[i]
        key = (node, i) if value is None else identity(value)
        if key not in known:
            data = letter(node, i)
            label = data or "const"
            same = sum(s.name.partition("_")[0] == label for s in known.values())
            time = when(self.model, column) if data else {}
            first = self.model.first(node, i) if column in self.model.near else None
            known[key] = first or Symbol(f"{label}_{same + 1}" if same else label, "input", **time)
        return known[key]


def letter(node: Node, i: int) -> str | None:
    """x for a step's input and what a matrix multiplies, m for a mask that chooses; else None."""
    sequence, value = node.place.sequence, None if node.saved is None else node.saved[i]
    if value is not None and sequence is not None and any(value is x for x in sequence.inputs):
        return "x"
    if i == 0 and node.primitive is not None:
        if node.primitive.kind == "bilinear":
            return "x"
        if node.primitive.notation.form == "choice":
            return "m"
    return None


def identity(value: Any) -> Any:
    """The same for the same numbers."""
    array = np.asarray(value)
    return array.shape, array.dtype.str, array.tobytes()


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
