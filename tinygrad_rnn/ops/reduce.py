"""Operations that bring whole axes down to one entry, or weigh the entries of an axis."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from ..graph import Shape
from ..notation import Notation, call
from ..primitive import Primitive, apply, apply1, apply2, elementwise, general, linear
from .compare import not_equal
from .elementwise import add, divide, exp, is_equal, is_zero, maximum, minimum, square
from .elementwise import where as choice
from .registry import of_one, shape_of, values
from .shape import Axis, broadcast_to, explain_axis, reshape

__all__ = [
    "count_nonzero", "log_softmax", "logsumexp", "max", "mean", "min",
    "softmax", "std", "sum", "var",
]  # fmt: skip


def kept(shape: Shape, axis: Axis) -> Shape:
    """The shape after a reduction that keeps the reduced axes, with size 1."""
    if axis is None or not shape:  # NumPy lets a number be reduced over axis 0
        return (1,) * len(shape)
    gone = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
    return tuple(1 if i in gone else n for i, n in enumerate(shape))


def only(x: Any, where: Any, fill: float) -> Any:
    """x, with a number in place of the entries that are not to count."""
    shape = shape_of(x)
    y = choice(where, x, fill)
    if y.shape != shape:
        raise ValueError(f"where of shape {shape_of(where)} does not broadcast to {shape}")
    return y


def _count(x: Any, axis: Axis) -> int:
    """How many entries come together in one."""
    shape = values(x).shape if hasattr(x, "shape") else np.shape(x)
    if axis is None or not shape:
        return math.prod(shape)
    axes = (axis,) if isinstance(axis, int) else axis
    return math.prod(shape[a] for a in axes)


def _counting(x: Any, axis: Axis, where: Any, keepdims: bool) -> Any:
    """How many entries that count come together in one."""
    return sum(only(np.ones(shape_of(x)), where, 0.0), axis, keepdims)


def _spread(g: Any, shape: Shape, axis: Axis) -> Any:
    return broadcast_to(reshape(g, kept(shape, axis)), shape)


def _kept(g: Any, x: Any, axis: Axis) -> Any:
    """A result or its cotangent, with the reduced axes at size 1 so that it broadcasts to x."""
    return reshape(g, kept(x.shape, axis))


# ------------------------------------------------------------------------------------------------
# Sums and means

_sum = linear(
    "sum",
    lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
    lambda g, shape, axis: _spread(g, shape, axis),
    kind="reduction",
    notation=Notation("total", "Σ", word="repeat"),
    explain=explain_axis,
)


@of_one("sum over the axes of x", "g, spread over the axes")
def sum(  # noqa: A001 - NumPy's name
    x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True, initial: Any = None
) -> Any:
    """The sum over the given axes, or over all.

    where     truth values that broadcast to x: the entries that count
    initial   the start of the sum, if not 0

    >>> import tinygrad_rnn as tg
    >>> tg.ones((2, 3)).sum(axis=0)
    tensor([2., 2., 2.], dtype=float32)
    """
    if where is not True:
        x = only(x, where, 0.0)
    y = apply(_sum, (x,), {"axis": axis, "keepdims": keepdims})
    return y if initial is None else add(y, initial)


@of_one("how many entries over the axes are not 0", "")
def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many entries over the given axes, or at all, are true (not 0), as integers.

    >>> import tinygrad_rnn as tg
    >>> tg.count_nonzero(tg.tensor([1.0, 0.0, -2.0])).item()
    2
    """
    return sum(not_equal(x, 0), axis, keepdims)


def _mean_value(x: Any, axis: Axis, keepdims: bool) -> Any:
    return np.divide(np.sum(x, axis=axis, keepdims=keepdims), float(_count(x, axis)))


_mean: Primitive = linear(
    "mean",
    _mean_value,
    lambda g, shape, axis: _spread_evenly(g, axis, shape),
    kind="reduction",
    notation=Notation("total", "mean", word="repeat"),
    explain=explain_axis,
)
_evenly = linear(
    # n entries get the n-th part each
    "spread evenly",
    lambda g, axis, to: np.broadcast_to(
        np.reshape(np.divide(g, float(_count(np.empty(to, bool), axis))), kept(to, axis)), to
    ),
    lambda g, axis, shape: reshape(apply(_mean, (g,), {"axis": axis, "keepdims": True}), shape),
)


def _spread_evenly(g: Any, axis: Axis, to: Shape) -> Any:
    return apply(_evenly, (g,), {"axis": axis, "to": to})


@of_one("sum over the axes of x / n, n entries coming together", "g / n, spread over the axes")
def mean(x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """The mean over the given axes, or over all; nan, with NumPy's warning, of no entries.

    where   truth values that broadcast to x: the entries that count

    >>> import tinygrad_rnn as tg
    >>> tg.mean(tg.tensor([1.0, 2.0, 6.0]))
    tensor(3., dtype=float32)
    """
    if where is True:
        if hasattr(x, "_value") and x.dtype.kind != "f":  # NumPy's mean of those is float64
            return divide(sum(x, axis, keepdims), float(_count(x, axis)))
        return apply(_mean, (x,), {"axis": axis, "keepdims": keepdims})
    return divide(sum(x, axis, keepdims, where=where), _counting(x, axis, where, keepdims))


def _deviation_value(x: Any, axis: Axis) -> Any:
    n = _count(x, axis)
    if not n:
        return x
    y = x - np.sum(x, axis=axis, keepdims=True) / n
    y -= np.sum(y, axis=axis, keepdims=True) / n  # large x: the mean's rounding error
    return y


_deviation = linear(
    "deviation",
    _deviation_value,
    lambda g, axis: deviation(g, axis),
    notation=call(numpy="x - np.mean(x, axis=axis, keepdims=True)"),
    explain=explain_axis,
)


def deviation(x: Any, axis: Axis) -> Any:
    """x - mean(x) over axes: linear, and its own transpose."""
    return apply(_deviation, (x,), {"axis": axis})


@of_one("mean of (x - mean(x))^2, times n / (n - ddof)", "2 (x - mean(x)) / (n - ddof) g")
def var(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    ddof: float = 0,
    *,
    where: Any = True,
    correction: float | None = None,
) -> Any:
    """The variance over the given axes, or over all.

    ddof         taken off the number of entries; 1 for the estimate from a sample. From n on the
                 divisor is 0, so that the result is nan or inf, with NumPy's warning
    where        truth values that broadcast to x: the entries that count
    correction   the same as ddof, by the name of the array API standard

    >>> import tinygrad_rnn as tg
    >>> tg.var(tg.tensor([1.0, 3.0]))
    tensor(1., dtype=float32)
    """
    if correction is not None:
        if ddof:
            raise ValueError(f"var: ddof {ddof} and correction {correction}; wanted one of them")
        ddof = correction
    if where is not True:
        from_mean = only(x - mean(x, axis, True, where=where), where, 0.0)
        n = _counting(x, axis, where, keepdims)
        return divide(sum(square(from_mean), axis, keepdims), maximum(n - ddof, 0.0))
    if not ddof:
        return mean(square(deviation(x, axis)), axis, keepdims)
    degrees = builtins.max(_count(x, axis) - ddof, 0)
    return divide(sum(square(deviation(x, axis)), axis, keepdims), float(degrees))


def _safe_half(y: Any) -> Any:
    zero = apply1(is_zero, y)
    return 0.5 * (1 - zero) / (y + zero)


root = elementwise("sqrt", np.sqrt, _safe_half, notation=Notation("root", "√"), activation=False)
"""The square root for lengths: its derivative at 0 is 0."""


@of_one("sqrt(var(x))", "(x - mean(x)) / ((n - ddof) y) g", "Where y is 0, the derivative is 0.")
def std(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    ddof: float = 0,
    *,
    where: Any = True,
    correction: float | None = None,
) -> Any:
    """The standard deviation over the given axes, or over all; see `var`.

    >>> import tinygrad_rnn as tg
    >>> tg.std(tg.tensor([1.0, 5.0]))
    tensor(2., dtype=float32)
    """
    return apply1(root, var(x, axis, keepdims, ddof, where=where, correction=correction))


# ------------------------------------------------------------------------------------------------
# Extremes


def _winners(x: Any, y: Any, axis: Axis) -> Any:
    """The share of each entry of x in the extreme value: 1 over the number of ties, or 0."""
    tied = apply2(is_equal, x, _kept(y, x, axis))
    return tied / sum(tied, axis, True)


def _pull_extreme(g: Any, x: Any, y: Any, axis: Axis) -> Any:
    return _kept(g, x, axis) * _winners(x, y, axis)


def _push_extreme(t: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    return sum(t * _winners(x, y, axis), axis, keepdims)


_max = general(
    "max",
    lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    _pull_extreme,
    _push_extreme,
    notation=call(numpy="np.max"),
    explain=explain_axis,
)
_min = general(
    "min",
    lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
    _pull_extreme,
    _push_extreme,
    notation=call(numpy="np.min"),
    explain=explain_axis,
)


def _extreme(
    best: Any, other: Any, x: Any, axis: Axis, keepdims: bool, where: Any, initial: Any
) -> Any:
    """The extreme entry of x where that counts, and of `initial`: `other` of the two."""
    if initial is None:
        if where is not True:
            raise ValueError(f"{best.name}: where=... needs an initial=... for rows of no entries")
        return apply(best, (x,), {"axis": axis, "keepdims": keepdims})
    if not _count(x, axis):
        return sum(x, axis, keepdims, initial=initial)
    if where is not True:
        x = only(x, where, -np.inf if other is maximum else np.inf)
    y = apply(best, (x,), {"axis": axis, "keepdims": keepdims})
    return other(y, initial)


@of_one("the largest entry of x", "g where x = y", "Entries that tie share the derivative evenly.")
def max(  # noqa: A001 - NumPy's name
    x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True, initial: Any = None
) -> Any:
    """The largest entry over the given axes, or over all.

    where     truth values that broadcast to x: the entries that count
    initial   the least the result may be; needed with `where`

    Raises ValueError where there are no entries and no `initial`.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([1.0, 3.0, 3.0])
    >>> tg.gradients(tg.max(x), x)
    array([0. , 0.5, 0.5], dtype=float32)
    """
    return _extreme(_max, maximum, x, axis, keepdims, where, initial)


@of_one("the smallest entry of x", "g where x = y", "Entries that tie share the derivative evenly.")
def min(  # noqa: A001 - NumPy's name
    x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True, initial: Any = None
) -> Any:
    """The smallest entry over the given axes, or over all.

    where     truth values that broadcast to x: the entries that count
    initial   the most the result may be; needed with `where`

    Raises ValueError where there are no entries and no `initial`.
    """
    return _extreme(_min, minimum, x, axis, keepdims, where, initial)


# ------------------------------------------------------------------------------------------------
# Exponentials


def _top(x: Any, axis: Axis) -> Any:
    """max(x) with the axes kept; -inf of no entries, where NumPy has no answer."""
    if type(x) is np.ndarray and axis == -1 and x.ndim and x.size:
        # NumPy looks for the place faster than for the value
        n = x.shape[-1]
        places = x.argmax(-1).ravel() + np.arange(0, x.size, n)
        return x.ravel()[places].reshape(*x.shape[:-1], 1)
    initial = None if np.size(x) else -np.inf
    return np.maximum.reduce(x, axis=axis, keepdims=True, initial=initial)


def below_top(x: Any, axis: Axis) -> Any:
    """x - max(x), the same to a softmax: its exponentials do not overflow."""
    y = x - _top(x, axis)
    return y if y.dtype.kind == "f" else y.astype(float)


MODERATE = 30.0
"""Numbers up to this size, of either sign, whose exponentials add up without loss of digits."""


def is_moderate(x: Any) -> bool:
    """Whether exponentials of the entries need no top taken off: it takes long in short rows."""
    if type(x) is not np.ndarray or x.dtype.kind != "f" or not x.size or not x.ndim:
        return False
    return bool(x.max() < MODERATE and x.min() > -MODERATE)


def softmax_value(x: Any, axis: Axis) -> Any:
    """Its value; the array returned is new."""
    if is_moderate(x):
        y = np.exp(x)
    else:
        y = below_top(x, axis)
        y = np.exp(y, out=y) if y.ndim else np.exp(y)
    if axis == -1 and y.ndim:
        ones = np.ones_like(y, shape=y.shape[-1:])  # a product adds up short rows faster
        y /= (y @ ones)[..., None]
    else:
        y /= np.sum(y, axis=axis, keepdims=True)
    return y


def log_softmax_value(x: Any, axis: Axis) -> Any:
    """Its value; the array returned is new."""
    y = below_top(x, axis)
    if y.size:
        y -= np.log(np.sum(np.exp(y), axis=axis, keepdims=True))
    return y


_softmax = general(
    "softmax",
    softmax_value,
    lambda g, y, axis: y * (g - sum(g * y, axis, True)),
    lambda t, y, axis: y * (t - sum(t * y, axis, True)),
    notation=call(
        numpy="np.exp(x - np.max(x, axis=axis, keepdims=True))"
        " / np.sum(np.exp(x - np.max(x, axis=axis, keepdims=True)), axis=axis, keepdims=True)"
    ),
    explain=explain_axis,
    activation=True,
)
_log_softmax = general(
    "log_softmax",
    log_softmax_value,
    lambda g, y, axis: g - exp(y) * sum(g, axis, True),
    lambda t, y, axis: t - sum(exp(y) * t, axis, True),
    notation=call("log softmax", "x - np.logaddexp.reduce(x, axis=axis, keepdims=True)"),
    explain=explain_axis,
)


@of_one("exp(x) / sum(exp(x))", "y (g - sum(g y))")
def softmax(x: Any, axis: Axis = -1) -> Any:
    """Exponentials that add up to 1 along an axis: probabilities from logits.

    >>> import tinygrad_rnn as tg
    >>> tg.softmax(tg.tensor([5.0, 5.0]))
    tensor([0.5, 0.5], dtype=float32)
    """
    return apply(_softmax, (x,), {"axis": axis})


@of_one("x - log(sum(exp(x)))", "g - softmax(x) sum(g)")
def log_softmax(x: Any, axis: Axis = -1) -> Any:
    """The logarithm of `softmax`, exact where probabilities are small.

    >>> import tinygrad_rnn as tg
    >>> tg.log_softmax(tg.tensor([0.0, -1000.0]))
    tensor([    0., -1000.], dtype=float32)
    """
    return apply(_log_softmax, (x,), {"axis": axis})


def _logsumexp_value(x: Any, axis: Axis, keepdims: bool) -> Any:
    top = _top(x, axis)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # nothing but -inf adds up to log(0) = -inf
        y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, tuple(range(y.ndim)) if axis is None else axis)


_logsumexp = general(
    "logsumexp",
    _logsumexp_value,
    # not exp(x - y), which loses the fraction of large y
    lambda g, x, axis: _kept(g, x, axis) * softmax(x, axis),
    lambda t, x, axis, keepdims: sum(t * softmax(x, axis), axis, keepdims),
    notation=call(numpy="np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)"),
    explain=explain_axis,
)


@of_one("log(sum(exp(x)))", "softmax(x) g")
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The logarithm of the sum of exponentials over axes, without overflow; -inf of no entries.

    >>> import tinygrad_rnn as tg
    >>> tg.logsumexp(tg.tensor([1000.0, 1000.0]))
    tensor(1000.6932, dtype=float32)
    """
    return apply(_logsumexp, (x,), {"axis": axis, "keepdims": keepdims})
