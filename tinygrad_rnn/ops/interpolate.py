"""Differences, slopes and values between the entries of an axis: compositions."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..graph import current
from ..primitive import apply, flat
from .arithmetic import remainder
from .compare import argsort, greater, less
from .elementwise import where
from .index import section, take_along_axis
from .join import concatenate
from .registry import of_one, operator, values
from .shape import broadcast_to, checked_axis, reshape

__all__ = ["diff", "gradient", "interp"]


def _edge(end: Any, x: Any, axis: int) -> Any:
    """The entries put before or after x: a number stands for one entry per row."""
    if np.ndim(values(end)):
        return end
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return broadcast_to(end if hasattr(end, "shape") else np.asarray(end), shape)


@of_one("y[i] = x[i + 1] - x[i]", "g[i - 1] - g[i]")
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along an axis, n times over.

    prepend, append   a number or an array to put before or after x first

    >>> import tinygrad_rnn as tg
    >>> tg.diff(tg.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.], dtype=float32)
    """
    axis = checked_axis("diff", axis, x.shape)
    if n < 0:
        raise ValueError(f"diff{current().place}: n {n}; wanted 0 or more")
    ends = [None if end is None else _edge(end, x, axis) for end in (prepend, append)]
    parts = [part for part in (ends[0], x, ends[1]) if part is not None]
    x = concatenate(parts, axis) if len(parts) > 1 else x
    for _ in range(n):
        x = section(x, axis, 1, None) - section(x, axis, None, -1)
    return x


def _weights(h: Any) -> Any:
    """Per inner place, the weights of the neighbours and itself, for steps h[0], h[1], ..."""
    before, after = h[:-1], h[1:]
    both = before + after
    return -after / (before * both), (after - before) / (before * after), before / (after * both)


def _slope(x: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    """Along one axis: second order inside; at the ends of first or second order."""
    n = x.shape[axis]
    if n < edge_order + 1:
        raise ValueError(
            f"gradient{current().place}: axis {axis} of shape {x.shape}; "
            f"wanted {edge_order + 1} entries or more"
        )
    steps = np.full(n - 1, spacing) if np.ndim(spacing) == 0 else np.diff(spacing)
    if len(steps) != n - 1:
        raise ValueError(
            f"gradient{current().place}: {np.size(spacing)} places for axis {axis} of {x.shape}"
        )
    steps = steps.reshape(-1, *[1] * (x.ndim - axis - 1))

    def at(start: int, stop: int | None) -> Any:
        return section(x, axis, start, stop)

    first = (at(1, 2) - at(0, 1)) / steps[:1]
    last = (at(-1, None) - at(-2, -1)) / steps[-1:]
    if edge_order == 2:  # the slope of the parabola through the last three
        curve = (at(2, 3) - at(1, 2)) / steps[1:2] - first
        first = first - curve * (steps[:1] / (steps[:1] + steps[1:2]))
        curve = last - (at(-2, -1) - at(-3, -2)) / steps[-2:-1]
        last = last + curve * (steps[-1:] / (steps[-1:] + steps[-2:-1]))
    a, b, c = _weights(steps)
    inner = a * at(0, -2) + b * at(1, -1) + c * at(2, None)
    return concatenate([first, inner, last], axis)


@operator("(x[i + 1] - x[i - 1]) / 2h", "the transpose of that")
def gradient(x: Any, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by differences of neighbours, of second order inside (`numpy.gradient`).

    spacing      a step, or places along the axis, for all axes or one for each; plain numbers
    axis         along which axes; all if left out. Along one the result is an array, along several
                 a tuple
    edge_order   1 or 2: how exact it is at the ends

    For derivatives of functions see `grad`, for gradients of a loss `gradients`.

    >>> import tinygrad_rnn as tg
    >>> tg.gradient(tg.tensor([1.0, 4.0, 9.0]))
    tensor([3., 4., 5.], dtype=float32)
    """
    if edge_order not in (1, 2):
        raise ValueError(f"gradient{current().place}: edge_order {edge_order}; wanted 1 or 2")
    if builtins.any(hasattr(h, "_value") for h in spacing):
        raise TypeError(f"gradient{current().place}: a spacing is a tensor; wanted plain numbers")
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = [checked_axis("gradient", a, x.shape) for a in axes]
    if len(spacing) not in (0, 1, len(axes)):
        raise ValueError(f"gradient{current().place}: {len(spacing)} spacings, {len(axes)} axes")
    each = spacing if len(spacing) == len(axes) else (spacing or (1.0,)) * len(axes)
    steps = [np.asarray(h, float) for h in each]
    slopes = [_slope(x, a, h, edge_order) for a, h in zip(axes, steps, strict=True)]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


_piece = flat(
    "piece",  # the end, 0 or 1, of the piece between two points of xp that x lies in
    lambda x, xp, end: np.clip(np.searchsorted(xp, x, "right") - 1, 0, len(xp) - 2) + end,
    arguments=2,
)


def _ends(x: Any, xp: Any, points: Any) -> tuple[Any, Any]:
    """The entries of points at the two ends of the piece that each x lies in."""
    at = (reshape(apply(_piece, (x, xp), {"end": end}), -1) for end in (0, 1))
    left, right = (reshape(take_along_axis(points, i), x.shape) for i in at)
    return left, right


@operator(
    "fp[i] + (x - xp[i]) (fp[i+1] - fp[i]) / (xp[i+1] - xp[i]), xp[i] <= x < xp[i+1]",
    "to x: the slope of its piece times g; to fp: g, shared between the ends of the piece",
    "At a point of xp the derivative by x is that of the piece to the right; beyond the ends it "
    "is 0.",
)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None
) -> Any:
    """Straight lines through the points (xp[i], fp[i]).

    x             where to evaluate, any shape
    xp, fp        (n,), xp increasing
    left, right   results beyond the ends; fp[0] and fp[-1] if left out
    period        of x, if it is an angle; then xp need not be in order

    Any of x, xp and fp may be tensors.

    >>> import tinygrad_rnn as tg
    >>> tg.interp(tg.tensor([0.5, 3.0]), [0.0, 1.0, 2.0], [0.0, 10.0, 40.0])
    tensor([ 5., 40.], dtype=float32)
    """
    x, xp, fp = (a if hasattr(a, "shape") else np.asarray(a, float) for a in (x, xp, fp))
    if xp.shape != fp.shape or xp.ndim != 1 or not xp.shape[0]:
        raise ValueError(
            f"interp{current().place}: xp {xp.shape} and fp {fp.shape}; wanted two vectors of "
            "the same length, not empty"
        )
    if period is not None:
        x, xp = remainder(x, period), remainder(xp, period)
        order = argsort(xp)
        xp, fp = take_along_axis(xp, order), take_along_axis(fp, order)
        xp = concatenate([section(xp, 0, -1, None) - period, xp, section(xp, 0, 0, 1) + period])
        fp = concatenate([section(fp, 0, -1, None), fp, section(fp, 0, 0, 1)])
    if xp.shape[0] == 1:
        y = broadcast_to(fp[0], x.shape)
    else:
        (x0, x1), (y0, y1) = _ends(x, xp, xp), _ends(x, xp, fp)
        y = y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    if period is None:
        first, last = (fp[0] if left is None else left), (fp[-1] if right is None else right)
        y = where(less(x, xp[0]), first, where(greater(x, xp[-1]), last, y))
    return y
