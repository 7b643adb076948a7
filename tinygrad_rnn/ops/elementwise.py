"""Operations on matching entries. Shapes broadcast as in NumPy; dtypes follow the tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..graph import current
from ..notation import SIGN, SUM, TIMES, Notation, call, infix
from ..primitive import Recorded, apply, elementwise, explain_broadcast, general
from .registry import Binary, Plain, Unary, binary, looked_at, of_one, operator, unary, values

if TYPE_CHECKING:
    from ..graph import Array
    from ..tensor import Tensor

__all__ = [
    "abs", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "ceil", "clip", "cos", "cosh", "divide", "exp", "exp2", "expm1", "floor", "hypot", "log",
    "log10", "log1p", "log2", "logaddexp", "maximum", "minimum", "multiply", "negative",
    "power", "reciprocal", "round", "sign", "sin", "sinh", "sqrt", "square", "subtract", "tan",
    "tanh", "where",
]  # fmt: skip

HALF, ONE = (
    {np.dtype(t): np.array(number, t) for t in (np.float32, np.float64)} for number in (0.5, 1.0)
)
"""Numbers as arrays. Of Python's, NumPy makes arrays in every call, in the time of a product."""


def one_less(y: Any) -> Any:
    """1 - y."""
    one = ONE.get(y.dtype) if type(y) is np.ndarray else None
    return 1 - y if one is None else np.subtract(one, y)


POSITIVE = (0.2, 3.0)
UNIT = (-0.9, 0.9)

# ------------------------------------------------------------------------------------------------
# Masks: 1 or 0 in the dtype of the argument. They are recorded like everything else (a derivative
# that was recorded at one value must hold at others), with derivative zero.


def _indicator(sign: str, numpy: str) -> Notation:
    return Notation("indicator", sign, numpy=f"1.0 * ({numpy})")


is_zero = elementwise(
    "is_zero", lambda x: _like(np.equal(x, 0), x), 0, notation=_indicator("=", "x == 0")
)
is_positive = elementwise(
    "is_positive", lambda x: _like(np.greater(x, 0), x), 0, notation=_indicator(">", "x > 0")
)
is_equal = elementwise(
    "is_equal", lambda a, b: _like(np.equal(a, b), a, b), 0, 0, notation=_indicator("=", "a == b")
)
share = elementwise(
    # of maximum(a, b), how much is a's: all, half or nothing
    "share",
    lambda a, b: _like(np.greater(a, b) + 0.5 * np.equal(a, b), a, b),
    0,
    0,
    notation=_indicator(">", "(a > b) + 0.5 * (a == b)"),
)


def _like(mask: Any, *arguments: Any) -> Any:
    return mask.astype(np.result_type(*arguments))


def _mask(primitive: Any, *arguments: Any) -> Any:
    return apply(primitive, arguments, {})


# ------------------------------------------------------------------------------------------------
# Arithmetic

add = binary(
    "add", np.add, 1, 1, "a + b.", "a + b", ("1", "1"), ((2.0, 3.0), 5.0),
    notation=infix("+", SUM, "+"),
)  # fmt: skip
subtract = binary(
    "subtract", np.subtract, 1, -1, "a - b.", "a - b", ("1", "-1"), ((2.0, 3.0), -1.0),
    notation=infix("−", SUM, "-"),
)  # fmt: skip
multiply = binary(
    "multiply", np.multiply, lambda b: b, lambda a: a, "a * b, entry by entry.", "a * b",
    ("b", "a"), ((2.0, 3.0), 6.0), notation=infix("⊙", TIMES, "*"),
)  # fmt: skip


def _inverse(b: Any) -> Any:
    if isinstance(b, int | float) and not b:  # Python raises an error where NumPy has an answer
        return math.copysign(math.inf, b)
    return 1 / b


divide = binary(
    "divide", np.divide, lambda b: _inverse(b), lambda b, y: -y / b, "a / b.", "a / b",
    ("1 / b", "-a / b**2"), ((2.0, 4.0), 0.5), domain=((-3.0, 3.0), POSITIVE),
    notation=Notation("fraction", "÷", TIMES, "/"),
)  # fmt: skip
negative = unary(
    "negative", np.negative, -1, "-x.", "-x", "-1", (2.0, -2.0),
    notation=Notation("sign", "−", SIGN, "-"),
)  # fmt: skip
reciprocal = unary(
    "reciprocal", lambda x: np.divide(1, x), lambda y: -y * y, "1 / x.", "1 / x", "-1 / x**2",
    (4.0, 0.25), domain=POSITIVE,
)  # fmt: skip
square = unary(
    "square", np.square, lambda x: 2 * x, "x * x.", "x * x", "2 * x", (3.0, 9.0),
    notation=Notation("squared", "( )²"),
)  # fmt: skip
sqrt = unary(
    "sqrt", np.sqrt, lambda y: 0.5 / y, "The square root.", "sqrt(x)", "0.5 / y", (9.0, 3.0),
    "At 0 the derivative is inf.", domain=POSITIVE, notation=Notation("root", "√"),
)  # fmt: skip
sign = unary(
    "sign", np.sign, 0, "-1, 0 or 1.", "sign(x)", "0", (-2.0, -1.0),
    "The derivative is 0 everywhere, the jump included.",
)  # fmt: skip
abs = unary(  # noqa: A001 - NumPy's name
    "abs", np.abs, lambda x: sign(x), "|x|.", "abs(x)", "sign(x)", (-2.0, 2.0),
    "At 0 the derivative is 0.", notation=Notation("bars", "| |", numpy="np.abs"),
)  # fmt: skip
floor = unary(
    "floor", np.floor, 0, "The largest integer not above x.", "floor(x)", "0", (1.7, 1.0),
    "The derivative is 0 everywhere, the jumps included.",
)  # fmt: skip
ceil = unary(
    "ceil", np.ceil, 0, "The smallest integer not below x.", "ceil(x)", "0", (1.2, 2.0),
    "The derivative is 0 everywhere, the jumps included.",
)  # fmt: skip

_round = elementwise(
    "round", lambda x, decimals: np.round(x, decimals), 0, notation=call(numpy="np.round")
)


@of_one(
    "x rounded to a number of decimals",
    "0",
    "Halves go to the even neighbour. The derivative is 0 everywhere, the jumps included.",
)
def round(x: Any, decimals: int = 0) -> Any:  # noqa: A001 - NumPy's name
    """The nearest number with so many decimals.

    >>> import tinygrad_rnn as tg
    >>> tg.round(tg.tensor([0.5, 1.26, 2.5]))
    tensor([0., 1., 2.], dtype=float32)
    """
    return apply(_round, (x,), {"decimals": decimals})


def _power_value(a: Any, b: Any) -> Any:
    # the operator takes short cuts for small exponents, which the function does not
    return a**b if isinstance(a, np.ndarray) else np.power(a, b)


def _by_base(a: Any, b: Any) -> Any:
    if isinstance(b, int | float):  # stays a Python number, so that float32 stays float32
        if b == 2:
            return 2 * a
        return b * power(a, b - 1) if b else 0.0
    return b * power(a, b - 1 + _mask(is_zero, b))


def _by_exponent(a: Any, b: Any, y: Any) -> Any:
    return y * log(a + _mask(is_zero, a) * (1 - _mask(is_positive, 0.0 - b)))


power = binary(
    "power", _power_value, _by_base, _by_exponent, "a ** b.", "a**b",
    ("b * a**(b - 1)", "y * log(a)"), ((2.0, 3.0), 8.0),
    "0**0 is 1, and both derivatives are 0 there. The derivative with respect to b is 0 where"
    " a is 0 and b is not negative, and nan where a is negative.",
    domain=(POSITIVE, (-2.0, 2.0)), notation=Notation("raised", "^", SIGN, "**"),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Exponentials and logarithms

exp = unary("exp", np.exp, lambda y: y, "e ** x.", "e**x", "y", (1.0, 2.7183))
expm1 = unary(
    "expm1", np.expm1, lambda x: exp(x), "exp(x) - 1, exact near 0.", "exp(x) - 1", "exp(x)",
    (1.0, 1.7183),
)  # fmt: skip
exp2 = unary(
    "exp2", np.exp2, lambda y: math.log(2) * y, "2 ** x.", "2**x", "log(2) * y", (3.0, 8.0),
)  # fmt: skip
log = unary(
    "log", np.log, lambda x: 1 / x, "The natural logarithm.", "log(x)", "1 / x", (2.0, 0.6931),
    domain=POSITIVE,
)  # fmt: skip
log1p = unary(
    "log1p", np.log1p, lambda x: 1 / (1 + x), "log(1 + x), exact near 0.", "log(1 + x)",
    "1 / (1 + x)", (1.0, 0.6931), domain=(-0.8, 3.0),
)  # fmt: skip
log2 = unary(
    "log2", np.log2, lambda x: (1 / math.log(2)) / x, "The logarithm to base 2.", "log(x) / log(2)",
    "1 / (x * log(2))", (8.0, 3.0), domain=POSITIVE,
)  # fmt: skip
log10 = unary(
    "log10", np.log10, lambda x: (1 / math.log(10)) / x, "The logarithm to base 10.",
    "log(x) / log(10)", "1 / (x * log(10))", (100.0, 2.0), domain=POSITIVE,
)  # fmt: skip
logaddexp = binary(
    # exp(a - y) would lose the fraction of large y
    "logaddexp", np.logaddexp, lambda a, b: _chance(b - a), lambda a, b: _chance(a - b),
    "log(exp(a) + exp(b)), without overflow.", "log(exp(a) + exp(b))", ("exp(a - y)", "exp(b - y)"),
    ((0.0, 0.0), 0.6931),
)  # fmt: skip


def _chance(x: Any) -> Any:
    """1 / (1 + exp(x)), exact where it is small, without overflow."""
    return exp(-logaddexp(x, 0.0))


# ------------------------------------------------------------------------------------------------
# Trigonometric and hyperbolic

sin: Unary[[]] = unary(
    "sin", np.sin, lambda x: cos(x), "The sine.", "sin(x)", "cos(x)", (1.0, 0.8415)
)
cos: Unary[[]] = unary(
    "cos", np.cos, lambda x: -sin(x), "The cosine.", "cos(x)", "-sin(x)", (1.0, 0.5403)
)
tan = unary(
    "tan", np.tan, lambda y: 1 + y * y, "The tangent.", "sin(x) / cos(x)", "1 + y**2",
    (1.0, 1.5574), domain=(-1.2, 1.2),
)  # fmt: skip
arcsin = unary(
    "arcsin", np.arcsin, lambda x: 1 / sqrt(1 - x * x), "The angle with this sine.", "arcsin(x)",
    "1 / sqrt(1 - x**2)", (1.0, 1.5708), "At -1 and 1 the derivative is inf.", domain=UNIT,
)  # fmt: skip
arccos = unary(
    "arccos", np.arccos, lambda x: -1 / sqrt(1 - x * x), "The angle with this cosine.", "arccos(x)",
    "-1 / sqrt(1 - x**2)", (0.0, 1.5708), "At -1 and 1 the derivative is -inf.", domain=UNIT,
)  # fmt: skip
arctan = unary(
    "arctan", np.arctan, lambda x: 1 / (1 + x * x), "The angle with this tangent.", "arctan(x)",
    "1 / (1 + x**2)", (1.0, 0.7854),
)  # fmt: skip
sinh: Unary[[]] = unary(
    "sinh", np.sinh, lambda x: cosh(x), "The hyperbolic sine.", "(exp(x) - exp(-x)) / 2", "cosh(x)",
    (1.0, 1.1752),
)  # fmt: skip
cosh: Unary[[]] = unary(
    "cosh", np.cosh, lambda x: sinh(x), "The hyperbolic cosine.", "(exp(x) + exp(-x)) / 2",
    "sinh(x)", (1.0, 1.5431),
)  # fmt: skip
tanh = unary(
    "tanh", np.tanh, lambda y: one_less(y * y), "The hyperbolic tangent.", "sinh(x) / cosh(x)",
    "1 - y**2", (0.5, 0.4621), activation=True,
)  # fmt: skip
arcsinh = unary(
    "arcsinh", np.arcsinh, lambda x: 1 / sqrt(x * x + 1), "The inverse of sinh.",
    "log(x + sqrt(x**2 + 1))", "1 / sqrt(x**2 + 1)", (1.0, 0.8814),
)  # fmt: skip
arccosh = unary(
    "arccosh", np.arccosh, lambda x: 1 / sqrt(x * x - 1), "The inverse of cosh.",
    "log(x + sqrt(x**2 - 1))", "1 / sqrt(x**2 - 1)", (2.0, 1.317), "At 1 the derivative is inf.",
    domain=(1.2, 3.0),
)  # fmt: skip
arctanh = unary(
    "arctanh", np.arctanh, lambda x: 1 / (1 - x * x), "The inverse of tanh.",
    "log((1 + x) / (1 - x)) / 2", "1 / (1 - x**2)", (0.5, 0.5493), domain=UNIT,
)  # fmt: skip
arctan2 = binary(
    "arctan2", np.arctan2,
    lambda a, b: _by_square(b, hypot(a, b)), lambda a, b: -_by_square(a, hypot(a, b)),
    "The angle of the point (b, a), from -pi to pi.", "arctan2(a, b)",
    ("b / (a**2 + b**2)", "-a / (a**2 + b**2)"), ((1.0, -1.0), 2.3562),
    "At the origin both derivatives are 0.",
)  # fmt: skip


def _by_length(side: Any, length: Any) -> Any:
    zero = _mask(is_zero, length)
    return side * (1 - zero) / (length + zero)  # 0 at the origin, and so are its derivatives


def _by_square(side: Any, length: Any) -> Any:
    return _by_length(_by_length(side, length), length)


hypot: Binary[[]] = binary(
    "hypot", np.hypot, lambda a, y: _by_length(a, y), lambda b, y: _by_length(b, y),
    "sqrt(a^2 + b^2), without overflow.", "sqrt(a**2 + b**2)", ("a / y", "b / y"),
    ((3.0, 4.0), 5.0), "At the origin both derivatives are 0.",
)  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Choosing

maximum = binary(
    "maximum", np.maximum, lambda a, b: _mask(share, a, b), lambda a, b: _mask(share, b, a),
    "The larger of two.", "maximum(a, b)", ("a > b", "b > a"), ((2.0, 3.0), 3.0),
    "Where a = b, each has half the derivative.",
)  # fmt: skip
minimum = binary(
    "minimum", np.minimum, lambda a, b: _mask(share, b, a), lambda a, b: _mask(share, a, b),
    "The smaller of two.", "minimum(a, b)", ("a < b", "b < a"), ((2.0, 3.0), 2.0),
    "Where a = b, each has half the derivative.",
)  # fmt: skip

inside = elementwise(
    "inside",
    lambda x, low, high: _like(np.equal(x, np.clip(x, low, high)), x),
    0,
    notation=Notation("indicator", "inside", numpy="1.0 * (x == np.clip(x, low, high))"),
)
_clip = elementwise(
    "clip",
    lambda x, low, high: np.clip(x, low, high),
    lambda x, low, high: apply(inside, (x,), {"low": low, "high": high}),
    notation=call(numpy="np.clip(x, low, high)"),
    activation=False,
)


@of_one(
    "min(max(x, low), high)",
    "1 from low to high, both included, else 0",
)
def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """x, kept from `min` to `max`.

    min, max   numbers or arrays, which take the dtype of x; None for no bound. Their derivatives
               are not recorded: use `maximum` and `minimum` for tensors as bounds

    >>> import tinygrad_rnn as tg
    >>> tg.clip(tg.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ], dtype=float32)
    """
    if hasattr(min, "_value") or hasattr(max, "_value"):
        raise TypeError("clip: a bound is a tensor; use maximum(x, low) and minimum(x, high)")
    dtype = values(x).dtype if hasattr(x, "dtype") else None
    bounds = [
        bound.astype(dtype)
        if dtype is not None and dtype.kind == "f" and hasattr(bound, "astype")
        else bound
        for bound in (min, max)
    ]
    return apply(_clip, (x,), {"low": bounds[0], "high": bounds[1]})


@overload
def where(condition: Any) -> tuple[Array, ...]: ...
@overload
def where(condition: Any, a: Tensor, b: Tensor | Plain) -> Tensor: ...
@overload
def where(condition: Any, a: Plain, b: Tensor) -> Tensor: ...
@overload
def where(condition: Any, a: Plain, b: Plain) -> Array: ...
@operator(
    "a if condition else b",
    "1 or 0, as the condition says",
    "A NaN in the branch not taken does not leak: its cotangent is set to 0, not multiplied by 0. "
    "An operation in that branch whose own derivative is infinite still makes NaN of it, as in "
    "PyTorch and JAX: keep its argument valid, as in where(x > 0, sqrt(where(x > 0, x, 1)), 0).",
)
def where(condition: Any, a: Any = None, b: Any = None) -> Any:
    """a where the condition (truth values) holds, else b; all three broadcast together.

    With the condition alone, the positions where it holds, as `nonzero` gives them.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([-1.0, 4.0])
    >>> tg.where(x > 0, x, 0.0)
    tensor([0., 4.], dtype=float32)
    """
    if a is None and b is None:
        return np.nonzero(looked_at(condition, "where"))
    if a is None or b is None:
        raise TypeError(f"where{current().place}: given one of a and b; wanted both or none")
    if not isinstance(condition, Recorded):
        condition = np.asarray(condition, dtype=bool)
    return apply(_where, (condition, a, b), {})


_where = general(
    "where",
    lambda condition, a, b: np.where(condition, a, b),
    [
        None,
        lambda g, condition: where(condition, g, 0.0),
        lambda g, condition: where(condition, 0.0, g),
    ],
    [
        None,
        lambda t, condition: where(condition, t, 0.0),
        lambda t, condition: where(condition, 0.0, t),
    ],
    notation=Notation("choice", numpy="np.where"),
    explain=explain_broadcast,
)
