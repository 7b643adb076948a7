"""The operations that expressions are made of: the library's primitives, and a few more.

The further ones say in one word what primitives say in several: a slice along one axis, an entry
along one axis, the transpose of matrices, the position of a value that has several.
"""
# ruff: noqa: F403, F405

from __future__ import annotations

from typing import Any

import numpy as np

from ..notation import TIMES, Notation
from ..ops import primitives
from ..ops.primitives import *
from ..primitive import Primitive


def _own(name: str, value: Any, notation: Notation) -> Primitive:
    # expressions are evaluated and printed, never differentiated
    return Primitive(name, value, (), (), (), kind="structural", notation=notation)


def _refused(*args: Any, **params: Any) -> Any:
    raise AssertionError("a leaf of an expression is looked up, not computed")


def sliced(x: Any, axis: int, start: int, stop: int) -> Any:
    """x[..., start:stop] along an axis counted from the end."""
    return x[(..., slice(start, stop), *([slice(None)] * (-1 - axis)))]


SYMBOL = _own("symbol", _refused, Notation())
NUMBER = _own("number", _refused, Notation())
SLICE = _own("slice", sliced, Notation("entries"))
TAKE = _own("entry", lambda x, axis, index: np.take(x, index, axis), Notation("entries"))
TRANSPOSE = _own("transpose", lambda x: np.swapaxes(x, -1, -2), Notation("turned"))
PART = _own("part", lambda x, port: x[port], Notation("entries"))
OVER = _own(
    "over",
    lambda a, b: a * np.not_equal(b, 0) / (b + np.equal(b, 0)),
    Notation("fraction", "/", TIMES),
)
"""a / b, and 0 where b is 0: the derivative of a length."""
RAISED = _own("raised", lambda a, b, guard: a ** (b + guard), Notation("raised"))
"""a^b in the derivative of a power; where that has the factor 0, the guard is 1."""
LOGARITHM = _own("logarithm", lambda a, guard: np.log(a + guard), Notation())
"""log(a) in the derivative of a power; where that has the factor 0, the guard is 1."""

FRACTIONS = (DIVIDE, OVER)
SUMS = (ADD, SUBTRACT, NEGATIVE, MATMUL, EINSUM)
"""Operations that add."""
LOGICAL = (LOGICAL_AND, LOGICAL_OR, LOGICAL_XOR, LOGICAL_NOT)
SAME = (MULTIPLY, SLICE, TAKE, TRANSPOSE, RESHAPE, BROADCAST_TO, PERMUTE)
"""Operations that give truths if they are given truths."""

__all__ = ["FRACTIONS", "LOGARITHM", "LOGICAL", "NUMBER", "OVER", "PART", "RAISED"]
__all__ += ["SAME", "SLICE", "SUMS", "SYMBOL", "TAKE", "TRANSPOSE"]
__all__ += primitives.__all__
