"""The functions that bend a layer's sums: gates, rectifiers and their smooth relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..notation import call
from ..primitive import apply, apply1, elementwise
from .elementwise import HALF, clip, exp, is_positive, one_less, sign, tanh
from .registry import of_one, unary
from .special import erfc_value

__all__ = [
    "elu", "gelu", "hard_sigmoid", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu",
    "selu", "sigmoid", "silu", "softplus", "softsign",
]  # fmt: skip


def _positive(x: Any) -> Any:
    return apply1(is_positive, x)


# ------------------------------------------------------------------------------------------------
# Between two bounds


def _logistic(x: Any) -> Any:
    half = HALF.get(x.dtype, 0.5) if type(x) is np.ndarray else 0.5
    y = np.tanh(half * x)
    y *= half
    y += half
    return y


sigmoid = unary(
    "sigmoid", _logistic, lambda y: y * one_less(y), "The logistic function.", "1 / (1 + exp(-x))",
    "y * (1 - y)", (1.0, 0.7311),
    "Computed as (1 + tanh(x / 2)) / 2, which is fast and overflows nowhere. Its error is "
    "below one rounding of 1 everywhere, so far below -17 (float32) the result is exactly 0: "
    "use `log_sigmoid` for logarithms of small probabilities.",
    activation=True, notation=call("σ", "0.5 + 0.5 * np.tanh(0.5 * x)"),
)  # fmt: skip
softsign = unary(
    "softsign", lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + x * sign(x)) ** 2,
    "x, bent towards -1 and 1.", "x / (1 + abs(x))", "1 / (1 + abs(x))**2", (1.0, 0.5),
    activation=True, notation=call(numpy="x / (1 + np.abs(x))"),
)  # fmt: skip
hard_sigmoid = unary(
    "hard_sigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1),
    lambda x: _positive(3 - x * sign(x)) * (1 / 6), "A sigmoid of three straight lines.",
    "clip(x / 6 + 1/2, 0, 1)", "(abs(x) < 3) / 6", (1.0, 0.6667),
    "At -3 and 3 the derivative is 0 (as in PyTorch; Keras 2 used the slope 0.2).",
    domain=(-5.0, 5.0), activation=True, notation=call(numpy="np.clip(x / 6 + 0.5, 0, 1)"),
)  # fmt: skip
hard_tanh = unary(
    "hard_tanh", lambda x: np.clip(x, -1, 1), lambda x: _positive(1 - x * sign(x)),
    "A tanh of three straight lines.", "clip(x, -1, 1)", "(abs(x) < 1) * 1", (2.0, 1.0),
    "At -1 and 1 the derivative is 0.", activation=True, notation=call(numpy="np.clip(x, -1, 1)"),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Rectifiers


relu = unary(
    "relu", lambda x: np.maximum(x, 0), lambda y: _positive(y), "max(x, 0).", "maximum(x, 0)",
    "(x > 0) * 1", (-2.0, 0.0), "At 0 the derivative is 0.",
    activation=True, notation=call("ReLU", "np.maximum(x, 0)"),
)  # fmt: skip

_leaky_relu = elementwise(
    "leaky_relu",
    lambda x, slope: np.where(np.greater(x, 0), x, slope * x),
    lambda x, slope: slope + (1 - slope) * _positive(x),
    notation=call(numpy="np.where(x > 0, x, slope * x)"),
)


@of_one("x if x > 0 else slope * x", "1 if x > 0 else slope", "At 0 the derivative is the slope.")
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x, with a small slope on the negative side.

    >>> import tinygrad_rnn as tg
    >>> tg.leaky_relu(tg.tensor([-2.0, 3.0]), 0.5)
    tensor([-1.,  3.], dtype=float32)
    """
    return apply(_leaky_relu, (x,), {"slope": slope})


def _exponential_tail(x: Any, alpha: float) -> Any:
    return np.where(np.greater(x, 0), x, alpha * np.expm1(np.minimum(x, 0)))


_elu = elementwise(
    "elu",
    _exponential_tail,
    lambda x, alpha: _positive(x) + (1 - _positive(x)) * alpha * exp(clip(x, max=0)),
    notation=call(numpy="np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))"),
)


@of_one(
    "x if x > 0 else alpha * (exp(x) - 1)",
    "1 if x > 0 else alpha * exp(x)",
    "At 0 the derivative is alpha. (Clevert, Unterthiner & Hochreiter 2016, equation 16.)",
)
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x, bent towards -alpha on the negative side.

    >>> import tinygrad_rnn as tg
    >>> tg.elu(tg.tensor([-1.0, 2.0]))
    tensor([-0.63212055,  2.        ], dtype=float32)
    """
    return apply(_elu, (x,), {"alpha": alpha})


_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772

selu = unary(
    "selu", lambda x: _SCALE * _exponential_tail(x, _ALPHA),
    lambda x: _SCALE * (_positive(x) + (1 - _positive(x)) * (_ALPHA * exp(clip(x, max=0)))),
    "The elu that keeps mean 0 and variance 1 (Klambauer et al. 2017, equation 2).",
    "1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * (exp(x) - 1))",
    "1.0507009873554805 * where(x > 0, 1, 1.6732632423543772 * exp(x))", (1.0, 1.0507),
    "At 0 the derivative is that of the negative side.", activation=True,
    notation=call(
        numpy=f"{_SCALE} * np.where(x > 0, x, {_ALPHA} * np.expm1(np.minimum(x, 0)))"
    ),
)  # fmt: skip


def _softplus_value(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


softplus = unary(
    "softplus", _softplus_value, lambda x: sigmoid(x), "A smooth max(x, 0).", "log(1 + exp(x))",
    "sigmoid(x)", (0.0, 0.6931), activation=True, notation=call(numpy="np.logaddexp(x, 0)"),
)  # fmt: skip
log_sigmoid = unary(
    "log_sigmoid", lambda x: -_softplus_value(-x), lambda x: sigmoid(-x),
    "The logarithm of the sigmoid.", "-log(1 + exp(-x))", "sigmoid(-x)", (0.0, -0.6931),
    activation=True, notation=call("log σ", "-np.logaddexp(-x, 0)"),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------
# x times a gate


def _silu_slope(x: Any) -> Any:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


silu = unary(
    "silu", lambda x: x * _logistic(x), _silu_slope, "x times its sigmoid, also called swish.",
    "x / (1 + exp(-x))", "sigmoid(x) * (1 + x * (1 - sigmoid(x)))", (1.0, 0.7311),
    activation=True, notation=call(numpy="x * (0.5 + 0.5 * np.tanh(0.5 * x))"),
)  # fmt: skip


def _normal_cdf_value(x: Any) -> Any:
    return 0.5 * erfc_value(x * -math.sqrt(0.5))


_CDF = "np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)))(x)"


def _normal_density(x: Any) -> Any:
    return exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


_normal_cdf = elementwise(
    "normal_cdf",
    _normal_cdf_value,
    _normal_density,
    notation=call("Φ", _CDF),
    activation=False,
)

gelu = unary(
    "gelu", lambda x: x * _normal_cdf_value(x),
    lambda x: apply1(_normal_cdf, x) + x * _normal_density(x),
    "x times the normal distribution up to x (Hendrycks & Gimpel 2016), exact.",
    "x * normal_cdf(x)", "normal_cdf(x) + x * exp(-x**2 / 2) / sqrt(2 * pi)", (1.0, 0.8413),
    activation=True, notation=call(numpy=f"x * {_CDF}"),
)  # fmt: skip


def _mish_slope(x: Any) -> Any:
    t = tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


mish = unary(
    "mish", lambda x: x * np.tanh(_softplus_value(x)), _mish_slope,
    "x times the tanh of its softplus (Misra 2019).", "x * tanh(log(1 + exp(x)))",
    "y / x + x * (1 - (y / x)**2) * sigmoid(x)", (1.0, 0.8651),
    activation=True, notation=call(numpy="x * np.tanh(np.logaddexp(x, 0))"),
)  # fmt: skip
