"""Products, and parts of matrices. Matrices are the last two axes; the others are a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape, current
from ..kernels import rows_product
from ..notation import PRODUCT, call, infix
from ..primitive import apply, apply2, bilinear, linear
from .elementwise import multiply
from .reduce import sum
from .registry import of_one, of_two, shape_of
from .shape import (
    checked_axis,
    expand_dims,
    explain_axis,
    moveaxis,
    ravel,
    reshape,
    roll,
    swapaxes,
    transpose,
)

__all__ = [
    "cross", "diag", "diagonal", "dot", "inner", "kron", "matmul", "outer", "tensordot", "trace",
    "tril", "triu", "vecdot",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------
# Products


def _of_first(g: Any, b: Any) -> Any:
    """The cotangent of a in a @ b, before broadcasting is undone."""
    if b.ndim == 2:
        return g @ b.T
    if b.ndim == 1:
        return g[..., None] * b
    if g.ndim < b.ndim:  # a is a vector
        return (g[..., None, :] @ swapaxes(b, -1, -2))[..., 0, :]
    return g @ swapaxes(b, -1, -2)


def _of_second(g: Any, a: Any) -> Any:
    """The cotangent of b in a @ b, before broadcasting is undone."""
    if a.ndim == 1:
        return g * a if g.ndim == 0 else a[:, None] * g[..., None, :]
    if g.ndim == a.ndim - 1:  # b is a vector
        return (swapaxes(a, -1, -2) @ g[..., None])[..., 0]
    return swapaxes(a, -1, -2) @ g


def _explain(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    a, b = shapes
    if not a or not b:
        return f"{a} @ {b}: a product needs at least one axis on each side; use * for numbers"
    inner_a, inner_b = a[-1], b[-2] if len(b) > 1 else b[0]
    if inner_a != inner_b:
        return f"{a} @ {b}: inner sizes {inner_a} and {inner_b} differ"
    return f"{a} @ {b}: the leading axes {a[:-2]} and {b[:-2]} do not broadcast together"


def _computed(a: Any, b: Any) -> Any:
    """np.matmul, which would take the leading axes of a one by one though b has none."""
    if a.ndim > 2 and type(a) is type(b) is np.ndarray and b.ndim == 2 and a.flags.c_contiguous:
        shape = a.shape
        if shape[-1] == b.shape[0] and a.size:
            return rows_product(a.reshape(-1, shape[-1]), b).reshape(*shape[:-1], b.shape[1])
    return np.matmul(a, b)


_matmul = bilinear(
    "matmul",
    np.matmul,
    _of_first,
    _of_second,
    notation=infix("@", PRODUCT, "@"),
    gathers=True,
    explain=_explain,
)
_matmul.computed = _computed


@of_two("a @ b", "to a: g @ b^T; to b: a^T @ g")
def matmul(a: Any, b: Any) -> Any:
    """The matrix product a @ b, with NumPy's rules for vectors and for leading axes.

    >>> import tinygrad_rnn as tg
    >>> (tg.ones((5, 2, 3)) @ tg.ones((3, 4))).shape
    (5, 2, 4)
    """
    return apply2(_matmul, a, b)


@of_two("sum over k of a[..., k] b[k] (or b[..., k, :])", "as for `matmul`")
def dot(a: Any, b: Any) -> Any:
    """NumPy's dot: a * b for numbers, a @ b up to two axes, beyond those a sum over the last axis
    of a and the last but one of b. `matmul` and `tensordot` are clearer about the latter.

    >>> import tinygrad_rnn as tg
    >>> tg.dot(tg.tensor([1.0, 2.0]), [3.0, 4.0])
    tensor(11., dtype=float32)
    """
    n, m = len(shape_of(a)), len(shape_of(b))
    if not (n and m):
        return multiply(a, b)
    if m <= 2 or n == 1:
        return matmul(a, b) if m <= 2 else tensordot(a, b, ((0,), (m - 2,)))
    return tensordot(a, b, ((n - 1,), (m - 2,)))


@of_two("sum over k of a[..., k] b[..., k], for all pairs of rows", "as for `tensordot`")
def inner(a: Any, b: Any) -> Any:
    """The products of every row of a with every row of b.

    >>> import tinygrad_rnn as tg
    >>> tg.inner(tg.ones((2, 3)), tg.ones((4, 3))).shape
    (2, 4)
    """
    n, m = len(shape_of(a)), len(shape_of(b))
    return tensordot(a, b, ((n - 1,), (m - 1,))) if n and m else multiply(a, b)


@of_two("y[i, j] = a[i] b[j]", "to a: g @ b; to b: a @ g")
def outer(a: Any, b: Any) -> Any:
    """Every entry of a times every entry of b; both are taken as one row.

    >>> import tinygrad_rnn as tg
    >>> tg.outer(tg.ones(2), tg.ones(3)).shape
    (2, 3)
    """
    return multiply(expand_dims(ravel(a), 1), ravel(b))


@of_two("sum over k of a[..., k] b[..., k]", "to a: g b; to b: g a")
def vecdot(a: Any, b: Any, axis: int = -1) -> Any:
    """The products of rows with rows along an axis; the other axes broadcast.

    >>> import tinygrad_rnn as tg
    >>> tg.vecdot(tg.ones((2, 3)), tg.ones(3))
    tensor([3., 3.], dtype=float32)
    """
    for shape in (shape_of(a), shape_of(b)):
        checked_axis("vecdot", axis, shape)
    if shape_of(a)[axis] != shape_of(b)[axis]:
        raise ValueError(
            f"vecdot{current().place}: {shape_of(a)} and {shape_of(b)} differ along axis {axis}"
        )
    return sum(multiply(a, b), axis)


@of_two("sum over the shared axes of a b", "the other factor times g, over the axes it shares")
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The product of two tensors, summed over pairs of axes.

    axes   how many: the last of a with the first of b; or (axes of a, axes of b)

    Gives the other axes of a, then the other axes of b.

    >>> import tinygrad_rnn as tg
    >>> tg.tensordot(tg.ones((2, 3, 4)), tg.ones((4, 3)), ((1, 2), (1, 0)))
    tensor([12., 12.], dtype=float32)
    """
    n, m = len(shape_of(a)), len(shape_of(b))
    if isinstance(axes, int):
        if not 0 <= axes <= min(n, m):
            raise ValueError(
                f"tensordot{current().place}: {axes} axes of {shape_of(a)} and {shape_of(b)}; "
                f"wanted 0 to {min(n, m)}"
            )
        axes = range(n - axes, n), range(axes)
    sums_a, sums_b = (
        [
            checked_axis("tensordot", axis, shape_of(x))
            for axis in ([side] if isinstance(side, int) else side)
        ]
        for x, side in zip((a, b), axes, strict=True)
    )
    common = [shape_of(a)[axis] for axis in sums_a]
    if common != [shape_of(b)[axis] for axis in sums_b]:
        raise ValueError(
            f"tensordot{current().place}: axes {sums_a} of {shape_of(a)} and {sums_b} of "
            f"{shape_of(b)} differ in size"
        )
    left = [axis for axis in range(n) if axis not in sums_a]
    right = [axis for axis in range(m) if axis not in sums_b]
    rows = tuple(shape_of(a)[axis] for axis in left)
    columns = tuple(shape_of(b)[axis] for axis in right)
    k = int(np.prod(common))
    a = reshape(transpose(a, left + sums_a), (int(np.prod(rows)), k))
    b = reshape(transpose(b, sums_b + right), (k, int(np.prod(columns))))
    return reshape(matmul(a, b), rows + columns)


@of_two("y[i n + k, j m + l] = a[i, j] b[k, l], b being (n, m)", "g times the other, summed")
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: b in the place of every entry of a, times that entry.

    >>> import tinygrad_rnn as tg
    >>> tg.kron(tg.tensor([1.0, 10.0]), [1.0, 2.0])
    tensor([ 1.,  2., 10., 20.], dtype=float32)
    """
    n = max(len(shape_of(a)), len(shape_of(b)))
    left, right = ((1,) * (n - len(shape_of(x))) + shape_of(x) for x in (a, b))
    a = reshape(a, tuple(size for k in left for size in (k, 1)))
    b = reshape(b, tuple(size for k in right for size in (1, k)))
    return reshape(multiply(a, b), tuple(i * k for i, k in zip(left, right, strict=True)))


@of_two("(a1 b2 - a2 b1, a2 b0 - a0 b2, a0 b1 - a1 b0)", "to a: cross(b, g); to b: cross(g, a)")
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The vector product of vectors with three entries; the other axes broadcast.

    axisa, axisb, axisc   where the vectors lie in a, in b and in the result; `axis` for all three

    >>> import tinygrad_rnn as tg
    >>> tg.cross(tg.tensor([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0])
    tensor([0., 0., 1.], dtype=float32)
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    for x, where in ((a, axisa), (b, axisb)):
        if shape_of(x)[checked_axis("cross", where, shape_of(x))] != 3:
            raise ValueError(
                f"cross{current().place}: {shape_of(a)} and {shape_of(b)}; wanted 3 entries along "
                f"axes {axisa} and {axisb}"
            )
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    y = roll(a, -1, -1) * roll(b, 1, -1) - roll(a, 1, -1) * roll(b, -1, -1)
    return moveaxis(y, -1, axisc)


# ------------------------------------------------------------------------------------------------
# Parts of matrices


def _diagonal_indices(shape: Shape, offset: int) -> tuple[Any, Any]:
    n = max(0, min(shape[-2] + min(offset, 0), shape[-1] - max(offset, 0)))
    i = np.arange(n)
    return i + max(-offset, 0), i + max(offset, 0)


def _on_diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, to: Shape = ()) -> Any:
    y = np.zeros_like(x, shape=to)
    matrices = np.moveaxis(y, (axis1, axis2), (-2, -1))
    i, j = _diagonal_indices(matrices.shape, offset)
    matrices[..., i, j] = x
    return y


def _pull_diagonal(g: Any, shape: Shape, offset: int, axis1: int, axis2: int) -> Any:
    params = {"offset": offset, "axis1": axis1, "axis2": axis2, "to": shape}
    return apply(_from_diagonal, (g,), params)


_diagonal = linear(
    "diagonal",
    lambda x, offset, axis1, axis2: np.diagonal(x, offset, axis1, axis2),
    _pull_diagonal,
    kind="structural",
    notation=call(numpy="np.diagonal"),
    explain=lambda shapes, params: (
        explain_axis(shapes, params)
        or (f"shape {shapes[0]}; wanted two axes or more" if len(shapes[0]) < 2 else None)
    ),
)


@of_one("y[..., i] = x[..., i, i + offset]", "zeros, with g on the diagonal")
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of the matrices in two axes, as the last axis of the result.

    >>> import tinygrad_rnn as tg
    >>> tg.diagonal(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.], dtype=float32)
    """
    return apply(_diagonal, (x,), {"offset": offset, "axis1": axis1, "axis2": axis2})


_from_diagonal = linear(
    "from_diagonal",
    _on_diagonal,
    lambda g, offset, axis1, axis2: diagonal(g, offset, axis1, axis2),
    kind="structural",
    notation=call("diag"),
)


@of_one("y[i, i + k] = x[i], or y[i] = x[i, i + k]", "g on, or from, the diagonal")
def diag(x: Any, k: int = 0) -> Any:
    """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix.

    >>> import tinygrad_rnn as tg
    >>> tg.diag(tg.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]], dtype=float32)
    """
    shape = shape_of(x)
    if len(shape) not in (1, 2):
        raise ValueError(f"diag{current().place}: shape {shape}; wanted a vector or a matrix")
    if len(shape) == 2:
        return diagonal(x, k)
    n = shape[0] + abs(k)
    return apply(_from_diagonal, (x,), {"offset": k, "axis1": 0, "axis2": 1, "to": (n, n)})


@of_one("sum over i of x[i, i + offset]", "g on the diagonal")
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of the diagonal of the matrices in two axes.

    >>> import tinygrad_rnn as tg
    >>> tg.trace(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5., dtype=float32)
    """
    return sum(diagonal(x, offset, axis1, axis2), -1)


def _explain_matrix(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    return f"shape {shapes[0]}; wanted matrices in the last two axes"


@of_one("y[i, j] = x[i, j] if j <= i + k else 0", "the same part of g")
def tril(x: Any, k: int = 0) -> Any:
    """The part of matrices on and below diagonal k; zeros above.

    >>> import tinygrad_rnn as tg
    >>> tg.tril(tg.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]], dtype=float32)
    """
    return apply(_tril, (x,), {"k": k})


_tril = linear(
    "tril",
    lambda x, k: np.tril(x, k),
    lambda g, k: tril(g, k),
    notation=call(numpy="np.tril"),
    explain=_explain_matrix,
)


@of_one("y[i, j] = x[i, j] if j >= i + k else 0", "the same part of g")
def triu(x: Any, k: int = 0) -> Any:
    """The part of matrices on and above diagonal k; zeros below.

    >>> import tinygrad_rnn as tg
    >>> tg.triu(tg.ones((2, 2)))
    tensor([[1., 1.],
            [0., 1.]], dtype=float32)
    """
    return apply(_triu, (x,), {"k": k})


_triu = linear(
    "triu",
    lambda x, k: np.triu(x, k),
    lambda g, k: triu(g, k),
    notation=call(numpy="np.triu"),
    explain=_explain_matrix,
)
