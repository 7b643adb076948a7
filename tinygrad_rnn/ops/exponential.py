"""The exponential of matrices, which makes orthogonal matrices of skew ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..notation import call
from ..primitive import apply, general
from .decompose import check_matrices
from .join import concatenate
from .registry import of_one
from .shape import swapaxes

__all__ = ["expm"]

_PADE = (
    *(64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0),
    *(129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0),
    *(40840800.0, 960960.0, 16380.0, 182.0, 1.0),
)


def _expm_value(x: Any) -> Any:
    """Scaling and squaring with the Pade approximant of order 13 (Higham 2005, Algorithm 2.3)."""
    size = np.max(np.sum(np.abs(x), axis=-2), initial=0.0)
    if not np.isfinite(size):
        raise ValueError("an entry is not finite")
    halvings = max(0, int(np.ceil(np.log2(size / 5.371920351148152)))) if size > 0 else 0
    a = x / 2.0**halvings
    eye = np.eye(x.shape[-1], dtype=x.dtype)
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    c = _PADE
    odd = a6 @ (c[13] * a6 + c[11] * a4 + c[9] * a2) + c[7] * a6 + c[5] * a4 + c[3] * a2
    odd = a @ (odd + c[1] * eye)
    even = a6 @ (c[12] * a6 + c[10] * a4 + c[8] * a2) + c[6] * a6 + c[4] * a4 + c[2] * a2
    even = even + c[0] * eye
    y = np.linalg.solve(even - odd, even + odd)
    for _ in range(halvings):
        y = y @ y
    return y


def _blocks(a: Any, b: Any) -> Any:
    """[[a, b], [0, a]]."""
    zeros = np.zeros(a.shape, a.dtype)
    return concatenate([concatenate([a, b], -1), concatenate([zeros, a], -1)], -2)


def _along_value(x: Any, t: Any) -> Any:
    """A corner of expm([[x, t], [0, x]])."""
    n = x.shape[-1]
    return _expm_value(_blocks(x, t))[..., :n, n:]


def _along(x: Any, t: Any) -> Any:
    return apply(_expm_along, (x, t), {})


def _pull_along(g: Any, x: Any, t: Any) -> Any:
    """To x: both diagonal blocks of the derivative of expm([[x, t], [0, x]])."""
    n = x.shape[-1]
    whole = _along(swapaxes(_blocks(x, t), -1, -2), _blocks(0 * g, g))
    return whole[..., :n, :n] + whole[..., n:, n:]


def _push_along(d: Any, x: Any, t: Any) -> Any:
    n = x.shape[-1]
    return _along(_blocks(x, t), _blocks(d, 0 * d))[..., :n, n:]


_expm_along = general(
    "expm_along",
    _along_value,
    [_pull_along, lambda g, x: _along(swapaxes(x, -1, -2), g)],
    [_push_along, lambda d, x: _along(x, d)],
    notation=call("dexpm"),
)
"""The derivative of expm at x along t."""

_expm = general(
    "expm",
    _expm_value,
    lambda g, x: _along(swapaxes(x, -1, -2), g),
    lambda t, x: _along(x, t),
)


@of_one(
    "I + x + x^2 / 2! + x^3 / 3! + ...",
    "the upper right block of expm([[x^T, g], [0, x^T]])",
    "Computed by scaling and squaring with a Pade approximant (Higham 2005).",
)
def expm(x: Any) -> Any:
    """The matrix exponential of square matrices (..., n, n): orthogonal for x = A - A^T.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> turn = tg.expm(tg.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    >>> np.allclose((turn @ turn.T).numpy(), np.eye(2), atol=1e-6)
    True
    """
    check_matrices("expm", x)
    return apply(_expm, (x,), {})
