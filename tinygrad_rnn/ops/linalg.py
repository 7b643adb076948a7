"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape
from ..primitive import apply2, bilinear
from .shape import swapaxes


def _of_first(g: Any, b: Any) -> Any:
    """The cotangent of a in a @ b, before broadcasting is undone."""
    if b.ndim == 2:
        return g @ b.T
    if b.ndim == 1:
        return g[..., None] * b
    if g.ndim < b.ndim:  # a is a vector
        return (g[..., None, :] @ swapaxes(b, -1, -2))[..., 0, :]
    return g @ swapaxes(b, -1, -2)


def _of_second(g: Any, a: Any) -> Any:
    """The cotangent of b in a @ b, before broadcasting is undone."""
    if a.ndim == 1:
        return g * a if g.ndim == 0 else a[:, None] * g[..., None, :]
    if g.ndim == a.ndim - 1:  # b is a vector
        return (swapaxes(a, -1, -2) @ g[..., None])[..., 0]
    return swapaxes(a, -1, -2) @ g


def _explain(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    a, b = shapes
    if not a or not b:
        return f"{a} @ {b}: a product needs at least one axis on each side; use * for numbers"
    inner_a, inner_b = a[-1], b[-2] if len(b) > 1 else b[0]
    if inner_a != inner_b:
        return f"{a} @ {b}: inner sizes {inner_a} and {inner_b} differ"
    return f"{a} @ {b}: the leading axes {a[:-2]} and {b[:-2]} do not broadcast together"


_matmul = bilinear("matmul", np.matmul, _of_first, _of_second, gathers=True, explain=_explain)


def matmul(a: Any, b: Any) -> Any:
    """The matrix product a @ b, with NumPy's rules for vectors and for leading axes."""
    return apply2(_matmul, a, b)
