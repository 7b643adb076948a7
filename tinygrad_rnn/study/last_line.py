"""Mistakes in the last line of a backward pass, which makes one gradient from cotangents.

dL/dW = sum_t s_{t-1}^T d_t is such a line: the sum over time or batch, the transpose and the order
of the gates can be wrong in it while everything before is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..graph import Array, Leaf, Node
from .mistakes import Mistake, blocks_in_order, in_words, means, orders, sweep
from .recorded_steps import RecordedSteps


def in_last_line(
    steps: RecordedSteps, name: str, g: Array, mistake: Mistake
) -> Iterator[tuple[str, str, Array]]:
    """(kind, words, gradient) of every mistake in one gradient alone.

    g        the gradient, with the mistakes that were found on the way already made
    mistake  those
    """
    leaf = steps.problem.leaves()[name]._node
    T, B = steps.problem.T, steps.problem.B
    assert isinstance(leaf, Leaf)
    own: list[Array] = [np.zeros_like(g) for _ in range(T)]

    def visit(node: Node, i: int, part: Any) -> None:
        if node.inputs[i] is leaf and node.place.step is not None:
            own[node.place.step - 1] = own[node.place.step - 1] + part

    parameter = name in steps.problem.cell.parameters()
    if parameter:
        sweep(steps, mistake, visit)
        if T > 1:
            over = f"dL/d{name} is a sum over t = 1..{T}"
            for t in (1, T):
                alone, rest = own[t - 1], g - own[t - 1]
                yield "missing sum over time", f"only the term of step {t} is there; {over}", alone
                yield "missing sum over time", f"the term of step {t} is not there; {over}", rest
        for b in {0, B - 1} if B > 1 else ():
            weights = np.zeros((T, B))
            weights[:, b] = 1
            only = mistake + Mistake("", "", weights=weights)
            one = sweep(steps, only)[leaf]
            words = f"only item {b} of the batch is there; dL/d{name} is a sum over the batch"
            yield "missing sum over batch", words, one
        if g.ndim == 2:
            n, m = g.shape
            if m % n == 0 and n > 1:
                turned = g.reshape(n, m // n, n).transpose(2, 1, 0).reshape(n, m)
                yield "missing transpose", f"dL/d{name} is transposed", turned
        for order in orders(g.shape[-1], steps.states[0][0][0].shape[-1]):
            words = f"the blocks of dL/d{name} are {in_words(order)}"
            yield "wrong gate order", words, blocks_in_order(g, order)
    for scaled in means(T, B):
        assert scaled.weights is not None
        yield scaled.kind, scaled.words, g * scaled.weights[0, 0]
    yield "not computed", f"dL/d{name} is zero", np.zeros_like(g)


__all__ = ["in_last_line"]
