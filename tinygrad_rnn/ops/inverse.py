"""The inverse of matrices that have none: least squares, and the shortest of several solutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..notation import call
from ..primitive import apply, general
from .decompose import check_matrices
from .registry import of_one
from .shape import matrix_transpose as _t

__all__ = ["pinv"]


def _rest(product: Any) -> Any:
    """I - product."""
    return np.eye(product.shape[-1], dtype=product.dtype) - product


def _pull_pinv(g: Any, x: Any, y: Any) -> Any:
    back, g = _t(y), _t(g)
    return _rest(x @ y) @ g @ y @ back + back @ y @ g @ _rest(y @ x) - back @ _t(g) @ back


def _push_pinv(t: Any, x: Any, y: Any) -> Any:
    back, along = _t(y), _t(t)
    return y @ back @ along @ _rest(x @ y) + _rest(y @ x) @ along @ back @ y - y @ t @ y


_pinv = general(
    "pinv",
    lambda x, rcond: np.linalg.pinv(x, rcond),
    _pull_pinv,
    _push_pinv,
    notation=call(numpy="np.linalg.pinv"),
)


@of_one(
    "x^+",
    "(I - x y) g^T y y^T + y^T y g^T (I - y x) - y^T g y^T",
    "For a constant rank of x (Golub & Pereyra 1973, equation 4.12); equal singular values do not "
    "matter.",
)
def pinv(x: Any, rcond: float | None = None) -> Any:
    """The pseudoinverse of matrices (..., m, n): pinv(x) @ b solves x @ y = b by least squares.

    rcond   singular values below this share of the largest count as 0; NumPy's if left out

    >>> import tinygrad_rnn as tg
    >>> tg.pinv(tg.tensor([[2.0], [0.0]]))
    tensor([[0.5, 0. ]], dtype=float32)
    """
    check_matrices("pinv", x, square=False)
    return apply(_pinv, (x,), {"rcond": rcond})
