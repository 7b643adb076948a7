"""Where a pass goes wrong by the record alone, for a cell that has no equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..graph import Array, Node, record_order
from ..sweep import pullback
from .finding import Finding
from .problem import Problem


def recorded(
    problem: Problem,
    gradients: Mapping[str, Array],
    between: Mapping[str, Array],
    allowed: Mapping[str, float],
    close: float,
) -> Finding:
    """The first wrong gradient of a named quantity, walking the record back from the loss.

    gradients, between, allowed, close  as in `locate`
    """
    autodiff = problem.gradients()
    wrong = [
        name
        for name, g in gradients.items()
        if not bool((np.abs(g - autodiff[name]) <= allowed.get(name, 0.0)).all())
    ]
    right = [name for name in gradients if name not in wrong]
    words = f"Right: {', '.join(f'dL/d{n}' for n in right) or 'none'}. "
    words += f"Wrong: {', '.join(f'dL/d{n}' for n in wrong) or 'none'}."
    seen: list[str] = []
    for name, t, cotangent in _walk(problem, between):
        given = between[name][t - 1]
        scale = max(float(np.abs(cotangent).max(initial=0.0)), 1e-300)
        if given.shape == cotangent.shape and (np.abs(given - cotangent) <= close * scale).all():
            seen.append(name)
            continue
        words += " All named gradients that come before it, walking back, are right."
        return Finding("unknown", name, t, words, right=tuple(dict.fromkeys(seen)))
    if between:
        words += f" The gradients of {', '.join(dict.fromkeys(seen))} are right."
    else:
        words += (
            " To have the place found, let your function also give the gradients of quantities "
            "that the cell names with .named(...), as a second dict {name: (T, ...)}."
        )
    return Finding("unknown", wrong[0] if len(wrong) == 1 else "", None, words)


def _walk(problem: Problem, names: Mapping[str, Array]) -> list[tuple[str, int, Array]]:
    """The named quantities with their gradients by autodiff, from the loss back."""
    ends = [loss._node for loss in problem.losses if loss._node is not None]
    places: list[tuple[str, int, Node, int]] = [
        (name, node.place.step, node, port)
        for node in reversed(record_order(ends))
        for port, name in sorted((node.names or {}).items())
        if name in names and node.place.step is not None and 0 < node.place.step <= problem.T
    ]
    seeds = [(loss, np.ones(())) for loss in problem.losses if loss._node is not None]
    found = pullback(seeds, [node for _, _, node, _ in places], keep=True)
    walked = []
    for name, t, node, port in places:
        g = found.get(node)
        g = g[port] if isinstance(g, list) else g
        if g is not None:
            walked.append((name, t, np.asarray(g)))
    return walked


__all__ = ["recorded"]
