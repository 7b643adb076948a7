"""The error function and its complement, which NumPy has not.

For x >= 0, (1 + 2x) exp(x^2) erfc(x) is close to 1 throughout and smooth, so one polynomial in
t = (x - 3) / (x + 3) does for all x (Shepherd & Laframboise 1981); exp(-x^2) is taken of x^2 in
two parts, so that its rounding is not magnified. Below 1, erf(x) / x is a polynomial in x^2. The
coefficients are those of the Chebyshev series, for float32 of fewer terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..notation import call
from .elementwise import exp
from .registry import unary

__all__ = ["erf", "erfc"]

_COMPLEMENT = (
    *(1.2530080582697296, -0.13562110612458061, -0.04756229435344841, 0.1296451587026973),
    *(-0.1192736634154297, 0.06830802734607423, -0.02377051491607952, 0.0025293917841178225),
    *(0.001888690329315299, -0.000779832002262127, -0.00010515958190779737),
    *(0.000125097965509496, 4.948433018699799e-06, -2.0096018723295167e-05),
    *(-7.280985917812367e-07, 3.4627241277855352e-06, 3.4943938729576356e-07),
    *(-6.033800839117097e-07, -1.3112847728820647e-07, 9.070297672355419e-08),
    *(3.263473428258455e-08, -8.145990246298742e-09, -4.05838756520954e-09),
)
_COMPLEMENT_32 = (
    *(1.2530080586331416, -0.13562114274513104, -0.04756235601096924, 0.12964652529649362),
    *(-0.11927154229436335, 0.06829461354416683, -0.02379536530751171, 0.002572200298750737),
    *(0.0020003550844943548, -0.0007844065504113021, -0.0002713589427388254),
)
_NEAR_0 = (
    *(1.1283791670955126, -0.37612638903183543, 0.1128379167094513, -0.026866170643256995),
    *(0.005223977607269946, -0.0008548325982543225, 0.00012055295112667001),
    *(-1.4924740785377576e-05, 1.6447471190594618e-06, -1.6208829856810202e-07),
    *(1.3721520406351094e-08, -7.798543850549947e-10),
)
_NEAR_0_32 = (
    *(1.1283791273927473, -0.3761234978454141, 0.11280364408032745, -0.02671638509664073),
    *(0.004923277665221193, -0.0005654105859760388),
)
_FEW, _BLOCK = 200, 8192
"""Up to so many entries, the standard library's functions, one entry at a time, are as fast; and
so many at a time stay in the processor's cache."""


def _polynomial(coefficients: tuple[float, ...], t: Any) -> Any:
    y = t * coefficients[-1]
    for c in coefficients[-2:0:-1]:
        y += c
        y *= t
    return y + coefficients[0]


def _beyond(x: Any, narrow: bool) -> Any:
    """erfc of x >= 0; the result of `narrow` is for rounding to float32."""
    x = np.minimum(x, 28)  # where it is 0
    y = _polynomial(_COMPLEMENT_32 if narrow else _COMPLEMENT, (x - 3) / (x + 3)) / (1 + 2 * x)
    if narrow:
        y *= np.exp(-x * x)
        return y
    shifted = x * (2.0**27 + 1)
    head = shifted - (shifted - x)  # the upper half of the digits, whose square is exact
    y *= np.exp(-head * head)
    y *= np.exp((head - x) * (head + x))
    return y


def _erfc(x: Any, narrow: bool) -> Any:
    y = _beyond(np.abs(x), narrow)
    return np.where(np.less(x, 0), 2 - y, y)


def _erf(x: Any, narrow: bool) -> Any:
    size = np.abs(x)
    near = x * _polynomial(_NEAR_0_32 if narrow else _NEAR_0, np.square(x))
    return np.where(np.less(size, 1), near, np.copysign(1 - _beyond(size, narrow), x))


def _value(few: Callable[[float], float], many: Callable[[Any, bool], Any], x: Any) -> Any:
    """Computed in float64, and given in the dtype of x."""
    dtype = np.result_type(x.dtype, np.float32) if hasattr(x, "dtype") else np.dtype(np.float64)
    size = np.size(x)
    if size <= _FEW:
        flat = [few(v) for v in np.ravel(x).tolist()]
        return np.array(flat, dtype).reshape(np.shape(x))[()]
    flat = x.reshape(-1)
    y = np.empty(size, dtype)
    for i in range(0, size, _BLOCK):
        part = flat[i : i + _BLOCK].astype(np.float64)
        y[i : i + _BLOCK] = many(part, dtype == np.float32)
    return y.reshape(x.shape)


def erf_value(x: Any) -> Any:
    """erf of an array, or of a number."""
    return _value(math.erf, _erf, x)


def erfc_value(x: Any) -> Any:
    """erfc of an array, or of a number."""
    return _value(math.erfc, _erfc, x)


_SLOPE = 2 / math.sqrt(math.pi)

erf = unary(
    "erf", erf_value, lambda x: _SLOPE * exp(-x * x), "The error function.", "erf(x)",
    "2 / sqrt(pi) * exp(-x**2)", (1.0, 0.8427),
    "2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x; right to within four units in the "
    "last place.", notation=call(numpy="np.vectorize(math.erf)(x)"),
)  # fmt: skip
erfc = unary(
    "erfc", erfc_value, lambda x: -_SLOPE * exp(-x * x), "1 - erf(x), exact where that is small.",
    "erfc(x)", "-2 / sqrt(pi) * exp(-x**2)", (1.0, 0.1573),
    "Right to within four units in the last place, relative to its own size.",
    notation=call(numpy="np.vectorize(math.erfc)(x)"),
)  # fmt: skip
