"""Operations on matching entries. Shapes broadcast as in NumPy; dtypes follow the tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import apply, apply1, apply2, elementwise, explain_broadcast, general

_add = elementwise("add", np.add, 1, 1)
_subtract = elementwise("subtract", np.subtract, 1, -1)
_multiply = elementwise("multiply", np.multiply, lambda b: b, lambda a: a)
_divide = elementwise("divide", np.divide, lambda b: 1 / b, lambda b, y: -y / b)
_negative = elementwise("negative", np.negative, -1)
_tanh = elementwise("tanh", np.tanh, lambda y: 1 - y * y)
_exp = elementwise("exp", np.exp, lambda y: y)
_log = elementwise("log", np.log, lambda x: 1 / x)
_sqrt = elementwise("sqrt", np.sqrt, lambda y: 0.5 / y)
_square = elementwise("square", np.square, lambda x: 2 * x)


def _logistic(x: Any) -> Any:
    # through tanh: no overflow at either end, and NumPy's tanh is vectorised
    y = np.tanh(0.5 * x)
    y *= 0.5
    y += 0.5
    return y


_sigmoid = elementwise("sigmoid", _logistic, lambda y: y * (1 - y))
_relu = elementwise("relu", lambda x: np.maximum(x, 0), lambda y: y > 0)
_abs = elementwise("abs", np.abs, lambda x: np.sign(values(x)))


def values(x: Any) -> Any:
    """The plain array behind a tensor, for parts of a rule that have no derivative."""
    return getattr(x, "_value", x)


def add(a: Any, b: Any) -> Any:
    """a + b."""
    return apply2(_add, a, b)


def subtract(a: Any, b: Any) -> Any:
    """a - b."""
    return apply2(_subtract, a, b)


def multiply(a: Any, b: Any) -> Any:
    """a * b, entry by entry."""
    return apply2(_multiply, a, b)


def divide(a: Any, b: Any) -> Any:
    """a / b."""
    return apply2(_divide, a, b)


def power(a: Any, b: Any) -> Any:
    """a ** b."""
    return apply2(_power, a, b)


def negative(x: Any) -> Any:
    """-x."""
    return apply1(_negative, x)


def tanh(x: Any) -> Any:
    """tanh(x)."""
    return apply1(_tanh, x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return apply1(_sigmoid, x)


def relu(x: Any) -> Any:
    """max(x, 0); the derivative at 0 is 0."""
    return apply1(_relu, x)


def exp(x: Any) -> Any:
    """e ** x."""
    return apply1(_exp, x)


def log(x: Any) -> Any:
    """The natural logarithm."""
    return apply1(_log, x)


def sqrt(x: Any) -> Any:
    """The square root."""
    return apply1(_sqrt, x)


def square(x: Any) -> Any:
    """x * x."""
    return apply1(_square, x)


def abs(x: Any) -> Any:  # noqa: A001 - NumPy's name
    """|x|; the derivative at 0 is 0."""
    return apply1(_abs, x)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition (a boolean array) holds, else b.

    No NaN leaks from the branch not taken: its cotangent is set to zero, not multiplied by it.
    """
    return apply(_where, (a, b), {"condition": np.asarray(values(condition), dtype=bool)})


_where = general(
    "where",
    lambda a, b, condition: np.where(condition, a, b),
    [lambda g, condition: where(condition, g, 0.0), lambda g, condition: where(condition, 0.0, g)],
    [lambda t, condition: where(condition, t, 0.0), lambda t, condition: where(condition, 0.0, t)],
    explain=lambda shapes, params: explain_broadcast([*shapes, params["condition"].shape], params),
)


def _by_base(a: Any, b: Any) -> Any:
    if isinstance(b, int | float):  # stays a Python number, so that float32 stays float32
        return b * power(a, b - 1) if b else 0.0
    return b * power(a, where(values(b) == 0, 1.0, b - 1))


_power = elementwise(
    "power", np.power, _by_base, lambda a, y: y * log(where(values(a) == 0, 1.0, a))
)
