"""Work of every training step that machine code does faster than NumPy, where there is any.

A scan that finds a compiler leaves functions here (`compiler/native_rows.py`); operations and the
backward sweep look for them, and do without in a process that has none. Their results are NumPy's,
beyond rounding. Each may give None: then NumPy does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Kernels:
    """The functions there are.

    product             (a, b) -> a @ b, for many rows a
    gathered            (a, g) -> a^T g, for as many rows
    cross_entropy       (x, classes) -> -log softmax(x)[class], over the last axis
    cross_entropy_pull  (g, x, classes) -> the cotangent of x
    """

    product: Callable[[Any, Any], Any] | None = None
    gathered: Callable[[Any, Any], Any] | None = None
    cross_entropy: Callable[[Any, Any], Any] | None = None
    cross_entropy_pull: Callable[[Any, Any, Any], Any] | None = None


KERNELS = Kernels()


def rows_product(a: Any, b: Any) -> Any:
    """a @ b for rows a and a matrix b."""
    found = None if KERNELS.product is None else KERNELS.product(a, b)
    return a @ b if found is None else found


def rows_gathered(a: Any, g: Any) -> Any:
    """a^T g for rows a and g."""
    found = None if KERNELS.gathered is None else KERNELS.gathered(a, g)
    return a.T @ g if found is None else found
