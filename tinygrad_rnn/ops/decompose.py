"""Inverses, determinants and factors of matrices. Matrices are the last two axes; the rest is a
batch. All of it is for real matrices.

The rules are those of Giles, "An extended collection of matrix derivative results" (2008), and for
the factors with several results of Seeger et al., "Auto-differentiating linear algebra" (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Shape, current
from ..notation import call
from ..primitive import apply, apply2, general
from .linalg import diagonal, tril
from .reduce import sum
from .registry import of_one, of_two, operator, shape_of, values
from .shape import expand_dims
from .shape import matrix_transpose as _t

__all__ = [
    "cholesky", "det", "eigh", "eigvalsh", "inv", "qr", "slogdet", "solve", "svd",
    "svdvals",
]  # fmt: skip


def _column(x: Any) -> Any:
    """Numbers, one per matrix, so that they broadcast over the matrix."""
    return x[..., None, None]


def _sym(x: Any) -> Any:
    return 0.5 * (x + _t(x))


def _eye(x: Any, n: int | None = None) -> Any:
    return np.eye(x.shape[-1] if n is None else n, dtype=x.dtype)


def _explain_square(why: str) -> Callable[[Sequence[Shape], dict[str, Any]], str | None]:
    def explain(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
        shape = shapes[0]
        if len(shape) < 2 or shape[-1] != shape[-2]:
            return f"shape {shape}; wanted square matrices in the last two axes"
        if len(shapes) == 2:
            b = shapes[1]
            if len(b) < 2 or b[-2] != shape[-1]:
                return f"{shape} and {b}: wanted {shape[-1]} rows on the right"
        return f"shape {shape}: {why}"

    return explain


def check_matrices(name: str, x: Any, square: bool = True) -> None:
    shape = shape_of(x)
    if len(shape) < 2 or (square and shape[-1] != shape[-2]):
        raise ValueError(
            f"{name}{current().place}: shape {shape}; wanted {'square ' if square else ''}"
            "matrices in the last two axes"
        )


# ------------------------------------------------------------------------------------------------
# Solving

_SINGULAR = "a singular matrix, which has no inverse"

_inv = general(
    "inv",
    np.linalg.inv,
    lambda g, y: -(_t(y) @ g @ _t(y)),
    lambda t, y: -(y @ t @ y),
    explain=_explain_square(_SINGULAR),
)


@of_one("x^-1", "-y^T g y^T")
def inv(x: Any) -> Any:
    """The inverse of square matrices (..., n, n).

    Raises LinAlgError for a singular matrix. `solve` is faster and more exact for inv(x) @ b.

    >>> import tinygrad_rnn as tg
    >>> tg.inv(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]], dtype=float32)
    """
    return apply(_inv, (x,), {})


@of_two("a^-1 b", "to b: h = a^-T g; to a: -h y^T")
def solve(a: Any, b: Any) -> Any:
    """The y for which a @ y = b.

    a   (..., n, n), not singular
    b   (..., n, m), or one vector (n,)

    Raises LinAlgError for a singular matrix.

    >>> import tinygrad_rnn as tg
    >>> tg.solve(tg.tensor([[2.0, 0.0], [0.0, 4.0]]), [1.0, 1.0])
    tensor([0.5 , 0.25], dtype=float32)
    """
    if np.ndim(values(b)) == 1:
        return solve(a, expand_dims(b, 1))[..., 0]
    return apply2(_solve, a, b)


_solve = general(
    "solve",
    np.linalg.solve,
    [lambda g, a, y: -(solve(_t(a), g) @ _t(y)), lambda g, a: solve(_t(a), g)],
    [lambda t, a, y: -solve(a, t @ y), lambda t, a: solve(a, t)],
    explain=_explain_square(_SINGULAR),
)


_det = general(
    "det",
    lambda x: np.linalg.det(x),  # whose own argument is called a
    lambda g, x, y: _column(g * y) * _t(inv(x)),
    lambda t, x, y: y * sum(t * _t(inv(x)), (-2, -1)),
    notation=call(numpy="np.linalg.det"),
    explain=_explain_square(_SINGULAR),
)


@of_one("det(x)", "g y x^-T", "The derivative raises LinAlgError where x is singular.")
def det(x: Any) -> Any:
    """The determinant of square matrices (..., n, n).

    >>> import tinygrad_rnn as tg
    >>> tg.det(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(8., dtype=float32)
    """
    return apply(_det, (x,), {})


class SlogdetResult(NamedTuple):
    """The result of `slogdet`: the sign of the determinant, and the logarithm of its size."""

    sign: Any
    logabsdet: Any


_slogdet = general(
    "slogdet",
    lambda x: tuple(np.linalg.slogdet(x)),
    lambda g, x: _column(g[1]) * _t(inv(x)),
    lambda t, x, y: (0.0 * y[0], sum(t * _t(inv(x)), (-2, -1))),
    multiple=True,
    explain=_explain_square(_SINGULAR),
)


@operator("sign(det(x)), log(|det(x)|)", "of the second: g x^-T; of the first: 0")
def slogdet(x: Any) -> SlogdetResult:
    """The determinant of square matrices (..., n, n) as its sign and the logarithm of its size.

    Of a singular matrix: 0 and -inf, and the derivative raises LinAlgError.

    >>> import tinygrad_rnn as tg
    >>> sign, size = tg.slogdet(tg.tensor([[1.0, 0.0], [0.0, -1.0]]))
    >>> sign.item(), size.item()
    (-1.0, 0.0)
    """
    return SlogdetResult(*apply(_slogdet, (x,), {}))


# ------------------------------------------------------------------------------------------------
# Factors


def _lower_half(x: Any) -> Any:
    """The lower triangle with the diagonal halved."""
    return tril(x) * (1 - 0.5 * _eye(x))


def _pull_cholesky(g: Any, y: Any) -> Any:
    inner = _lower_half(_t(y) @ g)
    return _sym(solve(_t(y), _t(solve(_t(y), _t(inner)))))


def _push_cholesky(t: Any, y: Any) -> Any:
    return y @ _lower_half(solve(y, _t(solve(y, _sym(t)))))


_cholesky = general(
    "cholesky",
    np.linalg.cholesky,
    _pull_cholesky,
    _push_cholesky,
    explain=_explain_square("a matrix that is not positive definite"),
)


@of_one(
    "lower triangular, y @ y^T = x",
    "sym(y^-T low(y^T g) y^-1), low: the lower triangle with half the diagonal",
)
def cholesky(x: Any) -> Any:
    """The Cholesky factor of symmetric positive definite matrices (..., n, n).

    Only the lower triangle of x is read; the derivative is shared between the triangles.
    Raises LinAlgError for a matrix that is not positive definite.

    >>> import tinygrad_rnn as tg
    >>> tg.cholesky(tg.tensor([[4.0, 0.0], [0.0, 9.0]]))
    tensor([[2., 0.],
            [0., 3.]], dtype=float32)
    """
    return apply(_cholesky, (x,), {})


class QRResult(NamedTuple):
    """The result of `qr`: orthonormal columns (..., m, n), and an upper triangle (..., n, n)."""

    Q: Any
    R: Any


def _copy_lower(x: Any) -> Any:
    """The symmetric matrix with this lower triangle."""
    low = tril(x, -1)
    return low + _t(low) + x * _eye(x)


def _pull_qr(g: Any, y: Any) -> Any:
    gq, gr = g
    q, r = y
    inner = gq + q @ _copy_lower(r @ _t(gr) - _t(gq) @ q)
    return _t(solve(r, _t(inner)))


def _push_qr(t: Any, y: Any) -> Any:
    q, r = y
    scaled = _t(solve(_t(r), _t(t)))  # t r^-1
    inside = _t(q) @ scaled
    low = tril(inside, -1)
    turn = low - _t(low)
    dq = q @ turn + scaled - q @ inside
    return dq, (inside - turn) @ r


_qr = general("qr", lambda x: tuple(np.linalg.qr(x)), _pull_qr, _push_qr, multiple=True)


@operator(
    "Q, R: Q^T Q = I, R upper triangular, Q R = x",
    "(gQ + Q sym_low(R gR^T - gQ^T Q)) R^-T, sym_low: lower triangle mirrored",
    "Needs at least as many rows as columns, and columns that are linearly independent.",
)
def qr(x: Any) -> QRResult:
    """The reduced QR factors of matrices (..., m, n), m >= n; the signs are LAPACK's.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> q, r = tg.qr(tg.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> np.allclose((q @ r).numpy(), [[3, 1], [4, 2]], atol=1e-6)
    True
    """
    check_matrices("qr", x, square=False)
    shape = shape_of(x)
    if shape[-2] < shape[-1]:
        raise ValueError(
            f"qr{current().place}: shape {shape}; wanted at least as many rows as columns"
        )
    return QRResult(*apply(_qr, (x,), {}))


def _gaps(w: Any) -> Any:
    """F[i, j] = 1 / (w[j] - w[i]), and 0 on the diagonal."""
    eye = _eye(w)
    return (1 - eye) / (w[..., None, :] - w[..., :, None] + eye)


class EighResult(NamedTuple):
    """The result of `eigh`: eigenvalues (..., n), ascending, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


def _pull_eigh(g: Any, y: Any) -> Any:
    gw, gv = g
    w, v = y
    inner = gw[..., None] * _eye(v) + _gaps(w) * (_t(v) @ gv)
    return _sym(v @ inner @ _t(v))


def _push_eigh(t: Any, y: Any) -> Any:
    w, v = y
    inside = _t(v) @ _sym(t) @ v
    return diagonal(inside, 0, -2, -1), v @ (_gaps(w) * inside)


_eigh = general(
    "eigh",
    lambda x, triangle: tuple(np.linalg.eigh(x, triangle)),
    _pull_eigh,
    _push_eigh,
    multiple=True,
    explain=_explain_square("the eigenvalues did not converge"),
)


@operator(
    "w, V: x V = V diag(w), V^T V = I",
    "V (diag(gw) + F * (V^T gV)) V^T, F[i, j] = 1 / (w[j] - w[i]), 0 if i = j",
    "The eigenvectors' derivative needs distinct eigenvalues; it is inf or nan at equal ones.",
)
def eigh(x: Any, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices (..., n, n).

    UPLO   which triangle of x is read, "L" (lower) or "U" (upper)

    The derivative is shared between the triangles. The signs of eigenvectors are LAPACK's: a loss
    should not depend on them.

    >>> import tinygrad_rnn as tg
    >>> tg.eigh(tg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.], dtype=float32)
    """
    return EighResult(*apply(_eigh, (x,), {"triangle": UPLO}))


@of_one("w: x V = V diag(w), V^T V = I", "V diag(g) V^T")
def eigvalsh(x: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices, as `eigh` has them.

    >>> import tinygrad_rnn as tg
    >>> tg.eigvalsh(tg.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.], dtype=float32)
    """
    return eigh(x, UPLO).eigenvalues


class SVDResult(NamedTuple):
    """The result of `svd`: U (..., m, k), S (..., k) descending, Vh (..., k, n), k = min(m, n)."""

    U: Any
    S: Any
    Vh: Any


def _pull_svd(g: Any, y: Any) -> Any:
    gu, gs, gvh = g
    u, s, vh = y
    v, gv = _t(vh), _t(gvh)
    f = _gaps(s * s)
    row, column = s[..., None, :], s[..., :, None]
    a, b = _t(u) @ gu, vh @ gv
    inner = gs[..., None] * _eye(vh, s.shape[-1])
    inner = inner + (f * (a - _t(a))) * row + column * (f * (b - _t(b)))
    result = u @ inner @ vh
    if u.shape[-2] > u.shape[-1]:
        result = result + ((gu - u @ a) / row) @ vh
    if v.shape[-2] > v.shape[-1]:
        result = result + u @ _t((gv - v @ b) / row)
    return result


def _push_svd(t: Any, y: Any) -> Any:
    u, s, vh = y
    v = _t(vh)
    f = _gaps(s * s)
    row, column = s[..., None, :], s[..., :, None]
    inside = _t(u) @ t @ v
    du = u @ (f * (inside * row + column * _t(inside)))
    dv = v @ (f * (column * inside + _t(inside) * row))
    if u.shape[-2] > u.shape[-1]:
        rest = t @ v
        du = du + (rest - u @ (_t(u) @ rest)) / row
    if v.shape[-2] > v.shape[-1]:
        rest = _t(t) @ u
        dv = dv + (rest - v @ (vh @ rest)) / row
    return du, diagonal(inside, 0, -2, -1), _t(dv)


_svd = general(
    "svd",
    lambda x: tuple(np.linalg.svd(x, full_matrices=False)),
    _pull_svd,
    _push_svd,
    multiple=True,
    explain=lambda shapes, params: f"shape {shapes[0]}: the singular values did not converge",
)


@operator(
    "U, S, Vh: U diag(S) Vh = x, U^T U = I, Vh Vh^T = I",
    "U (diag(gS) + (F * (U^T gU - gU^T U)) S + S (F * (V^T gV - gV^T V))) V^T, "
    "F[i, j] = 1 / (S[j]^2 - S[i]^2), and terms for a matrix that is not square",
    "The derivative of U and Vh needs distinct singular values; it is inf or nan at equal ones.",
)
def svd(x: Any, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """The reduced singular value decomposition of matrices (..., m, n).

    full_matrices  NumPy's default; refused here (ValueError) unless m = n, because the
                   vectors it adds are arbitrary and have no derivative
    compute_uv     False for the singular values alone, as `svdvals` gives them

    The signs of the vectors are LAPACK's: a loss should not depend on them.

    >>> import tinygrad_rnn as tg
    >>> tg.svd(tg.tensor([[0.0, 2.0], [3.0, 0.0]])).S
    tensor([3., 2.], dtype=float32)
    """
    check_matrices("svd", x, square=False)
    shape = shape_of(x)
    if not compute_uv:
        return apply(_svd, (x,), {})[1]
    if full_matrices and shape[-1] != shape[-2]:
        raise ValueError(
            f"svd{current().place}: shape {shape} with full_matrices=True: the vectors that this "
            "adds have no derivative; wanted full_matrices=False"
        )
    return SVDResult(*apply(_svd, (x,), {}))


@of_one("S: U diag(S) Vh = x", "U diag(g) Vh")
def svdvals(x: Any) -> Any:
    """The singular values of matrices (..., m, n), descending.

    >>> import tinygrad_rnn as tg
    >>> tg.svdvals(tg.tensor([[0.0, 2.0], [3.0, 0.0]]))
    tensor([3., 2.], dtype=float32)
    """
    return svd(x, compute_uv=False)
