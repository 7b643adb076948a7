"""Remainders, angles in degrees, and functions that forgive NaN. Broadcasts as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..primitive import apply, apply2, elementwise
from .compare import equal, isnan
from .elementwise import exp2, sign, where
from .registry import Interval, binary, of_one, operator, unary, values

__all__ = [
    "cbrt", "deg2rad", "degrees", "divmod", "fabs", "floor_divide", "fmax", "fmin", "fmod",
    "logaddexp2", "mod", "nan_to_num", "positive", "rad2deg", "radians", "remainder", "sinc",
    "trunc",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Remainders

_JUMPS = "The derivative is 0 everywhere, the jumps included."
_BESIDE_0: tuple[Interval, Interval] = ((-3.0, 3.0), (0.2, 3.0))

trunc = unary(
    "trunc", np.trunc, 0, "x without its decimals.", "sign(x) * floor(abs(x))", "0", (-1.7, -1.0),
    _JUMPS,
)  # fmt: skip
floor_divide = binary(
    "floor_divide", np.floor_divide, 0, 0, "The largest integer not above a / b: a // b.",
    "floor(a / b)", ("0", "0"), ((7.0, 2.0), 3.0), _JUMPS, domain=_BESIDE_0,
)  # fmt: skip
remainder, mod = (
    binary(
        name, np.remainder, 1, lambda a, b: -floor_divide(a, b),
        "The rest of a after whole b, with the sign of b: a % b.", "a - floor(a / b) * b",
        ("1", "-floor(a / b)"), ((-7.0, 3.0), 2.0), "At the jumps, the derivative beside them.",
        domain=_BESIDE_0,
    )
    for name in ("remainder", "mod")
)  # fmt: skip
fmod = binary(
    "fmod", np.fmod, 1, lambda a, b: -trunc(a / b),
    "The rest of a after whole b, with the sign of a.",
    "a - sign(a) * floor(abs(a / b)) * b", ("1", "-sign(a) * floor(abs(a / b))"),
    ((-7.0, 3.0), -1.0), "At the jumps, the derivative beside them.", domain=_BESIDE_0,
)  # fmt: skip


@operator("floor(a / b) and a - floor(a / b) * b", "those of `floor_divide` and `remainder`")
def divmod(a: Any, b: Any) -> tuple[Any, Any]:  # noqa: A001 - NumPy's name
    """a // b and a % b, as a pair.

    >>> import tinygrad_rnn as tg
    >>> divmod(tg.tensor(7.0), 2)
    (tensor(3., dtype=float32), tensor(1., dtype=float32))
    """
    return floor_divide(a, b), remainder(a, b)


# ------------------------------------------------------------------------------------------------
# Angles

deg2rad, radians = (
    unary(
        name, np.deg2rad, math.pi / 180, "Degrees as radians.", "x * pi / 180", "pi / 180",
        (180.0, 3.1416),
    )
    for name in ("deg2rad", "radians")
)  # fmt: skip
rad2deg, degrees = (
    unary(
        name, np.rad2deg, 180 / math.pi, "Radians as degrees.", "x * 180 / pi", "180 / pi",
        (math.pi, 180.0),
    )
    for name in ("rad2deg", "degrees")
)  # fmt: skip

# ------------------------------------------------------------------------------------------------
# sinc, whose derivatives near 0 would cancel if they were written as quotients


def _sinc_value(x: Any, order: int) -> Any:
    """A derivative of sin(pi x) / (pi x)."""
    if order == 0:
        return np.sinc(x)
    small = np.less(np.abs(x), 1)
    far = np.where(small, 1, x)
    y = np.sinc(far)
    for k in range(1, order + 1):  # (x y)' = cos(pi x), differentiated k - 1 times
        y = (math.pi ** (k - 1) * np.sin(math.pi * far + k * (math.pi / 2)) - k * y) / far
    near = np.where(small, x, 0)
    series = 0 * near
    for n in range(order + order % 2, order + 32, 2):
        factor = math.pi**n / math.factorial(n - order) / (n + 1) * (-1) ** (n // 2)
        series = series + factor * near ** (n - order)
    return np.where(small, series, y)


def _sinc_slope(x: Any, order: int = 0) -> Any:
    return apply(_sinc, (x,), {"order": order + 1})


_sinc = elementwise("sinc", _sinc_value, _sinc_slope)

sinc = unary(
    "sinc", np.sinc, lambda x: _sinc_slope(x), "sin(pi x) / (pi x).",
    "sin(pi * x) / (pi * x)", "(cos(pi * x) - y) / x", (0.5, 0.6366),
    "At 0 it is 1 and its derivative 0; derivatives near 0 are computed by their series.",
)  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Others

positive = unary("positive", np.positive, 1, "x itself.", "x", "1", (2.0, 2.0))
fabs = unary(
    "fabs", np.fabs, lambda x: sign(x), "|x|, as `abs`.", "abs(x)", "sign(x)", (-2.0, 2.0),
    "At 0 the derivative is 0.",
)  # fmt: skip
cbrt = unary(
    "cbrt", np.cbrt, lambda y: 1 / (3 * y * y), "The cube root, of negative numbers too.",
    "sign(x) * abs(x)**(1 / 3)", "1 / (3 * y**2)", (-8.0, -2.0), "At 0 the derivative is inf.",
)  # fmt: skip
logaddexp2 = binary(
    "logaddexp2", np.logaddexp2, lambda a, y: exp2(a - y), lambda b, y: exp2(b - y),
    "log2(2^a + 2^b), without overflow.", "log(2**a + 2**b) / log(2)",
    ("2**(a - y)", "2**(b - y)"), ((1.0, 1.0), 2.0),
)  # fmt: skip


def _share_value(a: Any, b: Any) -> Any:
    larger = np.greater(a, b) + 0.5 * np.equal(a, b)
    known = np.where(np.isnan(b), np.where(np.isnan(a), 0.5, 1.0), larger)
    return known.astype(np.result_type(a, b))


_share = elementwise("share", _share_value, 0, 0)

fmax = binary(
    "fmax", np.fmax, lambda a, b: apply2(_share, a, b), lambda a, b: apply2(_share, b, a),
    "The larger of two; of a number and NaN, the number.", "maximum(a, b)", ("a > b", "b > a"),
    ((2.0, 3.0), 3.0), "Where a = b, each has half the derivative.",
)  # fmt: skip
fmin = binary(
    "fmin", np.fmin,
    lambda a, b: apply2(_share, 0.0 - a, 0.0 - b), lambda a, b: apply2(_share, 0.0 - b, 0.0 - a),
    "The smaller of two; of a number and NaN, the number.", "minimum(a, b)", ("a < b", "b < a"),
    ((2.0, 3.0), 2.0), "Where a = b, each has half the derivative.",
)  # fmt: skip


@of_one("x where x is finite, else a number", "g where x is finite, else 0")
def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """x with numbers in place of NaN and infinities.

    posinf, neginf   for inf and -inf; if left out, the largest and smallest number of the dtype

    >>> import tinygrad_rnn as tg
    >>> tg.nan_to_num(tg.tensor([1.0, float("nan")]))
    tensor([1., 0.], dtype=float32)
    """
    dtype = values(x).dtype if hasattr(x, "dtype") else np.dtype(float)
    if dtype.kind in "biu":
        return x
    range_of = np.finfo(dtype)
    high = float(range_of.max) if posinf is None else posinf
    low = float(range_of.min) if neginf is None else neginf
    known = where(isnan(x), nan, x)
    return where(equal(x, np.inf), high, where(equal(x, -np.inf), low, known))
