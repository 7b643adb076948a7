"""Questions about values: comparisons, logic, positions. Recorded like everything else, without
derivative; their results are truth values or integers, which select and index.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array
from ..notation import Notation, call
from ..primitive import Primitive, apply, explain_broadcast, flat
from .registry import looked_at, of_one, of_two, operator
from .shape import Axis, explain_axis

__all__ = [
    "all", "allclose", "any", "argmax", "argmin", "argsort", "argwhere", "array_equal", "equal",
    "flatnonzero", "greater", "greater_equal", "isclose", "isfinite", "isinf", "isnan", "less",
    "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "nonzero", "not_equal",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Comparisons and logic


def _comparison(name: str, value: Any, sign: str, code: str) -> Primitive:
    notation = Notation("indicator", sign, numpy=code)
    return flat(name, value, arguments=2, notation=notation, explain=explain_broadcast)


GREATER = _comparison("greater", np.greater, ">", ">")
GREATER_EQUAL = _comparison("greater_equal", np.greater_equal, "≥", ">=")
LESS = _comparison("less", np.less, "<", "<")
LESS_EQUAL = _comparison("less_equal", np.less_equal, "≤", "<=")
EQUAL = _comparison("equal", np.equal, "=", "==")
NOT_EQUAL = _comparison("not_equal", np.not_equal, "≠", "!=")
_AND = _comparison("logical_and", np.logical_and, "∧", "&")
_OR = _comparison("logical_or", np.logical_or, "∨", "|")
_XOR = _comparison("logical_xor", np.logical_xor, "⊻", "^")
_NOT = flat("logical_not", np.logical_not, notation=Notation("sign", "¬", numpy="~"))
_ISNAN = flat("isnan", np.isnan)
_ISINF = flat("isinf", np.isinf)
_ISFINITE = flat("isfinite", np.isfinite)


@of_two("a > b", "")
def greater(a: Any, b: Any) -> Any:
    """Whether a > b, entry by entry: truth values, also as `a > b`.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([-1.0, 2.0])
    >>> tg.where(x > 0.5, x, 0.0)
    tensor([0., 2.], dtype=float32)
    """
    return apply(GREATER, (a, b), {})


@of_two("a >= b", "")
def greater_equal(a: Any, b: Any) -> Any:
    """Whether a >= b, entry by entry."""
    return apply(GREATER_EQUAL, (a, b), {})


@of_two("a < b", "")
def less(a: Any, b: Any) -> Any:
    """Whether a < b, entry by entry."""
    return apply(LESS, (a, b), {})


@of_two("a <= b", "")
def less_equal(a: Any, b: Any) -> Any:
    """Whether a <= b, entry by entry."""
    return apply(LESS_EQUAL, (a, b), {})


@of_two("a == b", "")
def equal(a: Any, b: Any) -> Any:
    """Whether a = b, entry by entry."""
    return apply(EQUAL, (a, b), {})


@of_two("a != b", "")
def not_equal(a: Any, b: Any) -> Any:
    """Whether a and b differ, entry by entry."""
    return apply(NOT_EQUAL, (a, b), {})


@of_two("a and b", "")
def logical_and(a: Any, b: Any) -> Any:
    """Whether both are true (not 0), entry by entry; also as `a & b`.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([-1.0, 0.5, 2.0])
    >>> ((x > 0) & (x < 1)).numpy()
    array([False,  True, False])
    """
    return apply(_AND, (a, b), {})


@of_two("a or b", "")
def logical_or(a: Any, b: Any) -> Any:
    """Whether either is true (not 0), entry by entry; also as `a | b`."""
    return apply(_OR, (a, b), {})


@of_two("either a or b", "")
def logical_xor(a: Any, b: Any) -> Any:
    """Whether one of the two is true (not 0), entry by entry; also as `a ^ b`."""
    return apply(_XOR, (a, b), {})


@of_one("not x", "")
def logical_not(x: Any) -> Any:
    """Whether an entry is 0 or false; also as `~x`."""
    return apply(_NOT, (x,), {})


@of_one("x is nan", "")
def isnan(x: Any) -> Any:
    """Whether an entry is nan."""
    return apply(_ISNAN, (x,), {})


@of_one("x is inf or -inf", "")
def isinf(x: Any) -> Any:
    """Whether an entry is inf or -inf."""
    return apply(_ISINF, (x,), {})


@of_one("x is neither nan nor inf", "")
def isfinite(x: Any) -> Any:
    """Whether an entry is neither nan nor infinite."""
    return apply(_ISFINITE, (x,), {})


# ------------------------------------------------------------------------------------------------
# Of whole axes

_ANY = flat("any", lambda x, axis, keepdims: np.any(x, axis, keepdims=keepdims),
            notation=call(numpy="np.any"), explain=explain_axis)  # fmt: skip
_ALL = flat("all", lambda x, axis, keepdims: np.all(x, axis, keepdims=keepdims),
            notation=call(numpy="np.all"), explain=explain_axis)  # fmt: skip
_ARGMAX = flat("argmax", lambda x, axis, keepdims: np.argmax(x, axis, keepdims=keepdims),
               notation=call(numpy="np.argmax"), explain=explain_axis)  # fmt: skip
_ARGMIN = flat("argmin", lambda x, axis, keepdims: np.argmin(x, axis, keepdims=keepdims),
               notation=call(numpy="np.argmin"), explain=explain_axis)  # fmt: skip
_ARGSORT = flat("argsort", lambda x, axis: np.argsort(x, axis, stable=True),
                notation=call(numpy="np.argsort(x, axis=axis, stable=True)"),
                explain=explain_axis)  # fmt: skip


def _truths(where: Any) -> Any:
    return where if hasattr(where, "shape") else np.asarray(where, bool)


@of_one("whether any entry is not 0", "")
def any(  # noqa: A001 - NumPy's name
    x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True
) -> Any:
    """Whether any entry over the given axes, or at all, is true (not 0).

    where   truth values that broadcast to x: the entries that count
    """
    x = x if where is True else logical_and(x, _truths(where))
    return apply(_ANY, (x,), {"axis": axis, "keepdims": keepdims})


@of_one("whether no entry is 0", "")
def all(  # noqa: A001 - NumPy's name
    x: Any, axis: Axis = None, keepdims: bool = False, *, where: Any = True
) -> Any:
    """Whether every entry over the given axes, or all of them, is true (not 0).

    where   truth values that broadcast to x: the entries that count
    """
    x = x if where is True else logical_or(x, logical_not(_truths(where)))
    return apply(_ALL, (x,), {"axis": axis, "keepdims": keepdims})


@of_one("the position of the largest entry", "")
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the largest entry (the first of several), as integers.

    >>> import tinygrad_rnn as tg
    >>> tg.argmax(tg.tensor([1.0, 3.0, 2.0])).item()
    1
    """
    return apply(_ARGMAX, (x,), {"axis": axis, "keepdims": keepdims})


@of_one("the position of the smallest entry", "")
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The position of the smallest entry (the first of several), as integers."""
    return apply(_ARGMIN, (x,), {"axis": axis, "keepdims": keepdims})


@of_one("the positions of the entries in order of size", "")
def argsort(
    x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None
) -> Any:
    """The positions that would put the entries along an axis in order, as integers.

    kind, stable   as in NumPy; entries that tie keep their order in any case

    >>> import tinygrad_rnn as tg
    >>> tg.argsort(tg.tensor([3.0, 1.0, 2.0])).numpy()
    array([1, 2, 0])
    """
    return apply(_ARGSORT, (x,), {"axis": axis})


# ------------------------------------------------------------------------------------------------
# Answers for `assert`, `if` and indexing: plain truth values and positions


def _plain(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    return looked_at(a, name), looked_at(b, name)


@operator("|a - b| <= atol + rtol |b|", "")
def isclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Array:
    """Whether entries are the same up to rounding, as a plain boolean array."""
    return np.asarray(np.isclose(*_plain("isclose", a, b), rtol, atol, equal_nan))


@operator("all |a - b| <= atol + rtol |b|", "")
def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all entries are the same up to rounding."""
    return bool(np.allclose(*_plain("allclose", a, b), rtol, atol, equal_nan))


@operator("all a = b", "")
def array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    """Whether shapes and all entries are the same."""
    return bool(np.array_equal(*_plain("array_equal", a, b), equal_nan))


@operator("the positions of entries that are not 0", "")
def nonzero(x: Any) -> tuple[Array, ...]:
    """Where entries are true (not 0): for each axis a plain array of positions, to index with.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([-1.0, 2.0, 3.0])
    >>> tg.nonzero(x > 0)
    (array([1, 2]),)
    """
    return np.nonzero(looked_at(x, "nonzero"))


@operator("the positions of entries that are not 0, one a row", "")
def argwhere(x: Any) -> Array:
    """Where entries are true (not 0): a plain array (n, axes) with one position a row."""
    return np.argwhere(looked_at(x, "argwhere"))


@operator("the positions in ravel(x) of entries that are not 0", "")
def flatnonzero(x: Any) -> Array:
    """Where entries of x as one row are true (not 0): a plain array of positions."""
    return np.flatnonzero(looked_at(x, "flatnonzero"))
