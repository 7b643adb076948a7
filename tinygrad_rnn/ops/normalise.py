"""Lengths, and layers of numbers brought to a common size."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import current
from ..notation import call
from ..primitive import apply1, general
from .decompose import svd
from .elementwise import abs, is_zero, power, sqrt, square
from .reduce import deviation, kept, max, mean, min, root, sum
from .registry import of_one, shape_of, values
from .shape import Axis, expand_dims, moveaxis, reshape, swapaxes

__all__ = ["layer_norm", "matrix_norm", "norm", "rms_norm", "vector_norm"]


def _length(x: Any, axis: Axis, keepdims: bool) -> Any:
    return apply1(root, sum(square(x), axis, keepdims))


def _vector_norm(x: Any, order: float, axis: Axis, keepdims: bool) -> Any:
    if order == 1:
        return sum(abs(x), axis, keepdims)
    if order == np.inf:
        return max(abs(x), axis, keepdims)
    if order == -np.inf:
        return min(abs(x), axis, keepdims)
    # neither powers nor the root have a derivative at 0: go round it
    size = abs(x)
    zero = apply1(is_zero, size)
    powers = power(size + zero, float(order))
    if order < 0:  # one 0 makes all of it 0
        return power(sum(powers, axis, keepdims), 1 / order) * (1 - max(zero, axis, keepdims))
    total = sum(powers - zero, axis, keepdims)
    zero = apply1(is_zero, total)
    return power(total + zero, 1 / order) - zero


def _pull_singular(g: Any, x: Any) -> Any:
    u, _, vh = svd(x)
    return (u * expand_dims(g, -2)) @ vh


def _push_singular(t: Any, x: Any) -> Any:
    u, _, vh = svd(x)
    return sum(u * (t @ swapaxes(vh, -1, -2)), -2)


_singular_values = general(
    # without the vectors' derivatives, which are infinite where values are equal (orthogonal x)
    "singular_values",
    lambda x: np.linalg.svd(x, compute_uv=False),
    _pull_singular,
    _push_singular,
    notation=call(numpy="np.linalg.svd(x, compute_uv=False)"),
)


def _matrix_norm(x: Any, order: Any, keepdims: bool) -> Any:
    """Of the matrices in the last two axes."""
    if order in (1, -1, np.inf, -np.inf):
        rows = order in (1, -1)
        totals = sum(abs(x), -2 if rows else -1, True)
        return (max if order > 0 else min)(totals, (-2, -1), keepdims)
    s = apply1(_singular_values, x)
    y = sum(s, -1) if order == "nuc" else (max if order == 2 else min)(s, -1)
    y = y * (1 - apply1(is_zero, y))
    return expand_dims(y, (-2, -1)) if keepdims else y


@of_one(
    "sqrt(sum(x^2)); with ord p: sum(|x|^p)^(1/p)",
    "x g / y",
    "Where y is 0, the derivative is 0. So it is at entries that are 0.",
)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """The length of vectors or the size of matrices, with the meaning of `numpy.linalg.norm`.

    ord    None for the Euclidean length of all entries over the axes. Of vectors: any number but 0,
           or inf, -inf. Of matrices: "fro", "nuc", 1, -1, 2, -2, inf or -inf
    axis   one for vectors, a pair for matrices; without it x is one vector or one matrix

    >>> import tinygrad_rnn as tg
    >>> tg.norm(tg.tensor([3.0, 4.0]))
    tensor(5., dtype=float32)
    """
    if ord is None:
        return _length(x, axis, keepdims)
    ndim = np.ndim(values(x))
    axes = tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    numbers = isinstance(ord, int | float)
    if len(axes) == 1 and numbers and ord != 0:
        return _length(x, axis, keepdims) if ord == 2 else _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2 and ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        if ord == "fro":
            return _length(x, axes, keepdims)
        y = _matrix_norm(moveaxis(x, axes, (-2, -1)), ord, keepdims)
        return moveaxis(y, (-2, -1), axes) if keepdims else y
    raise ValueError(
        f"norm{current().place}: ord={ord!r} over {len(axes)} axes of shape {shape_of(x)}; "
        'wanted a number but 0 over one axis, or "fro", "nuc", 1, -1, 2, -2, inf, -inf over two'
    )


@of_one("sum(|x|^p)^(1/p)", "|x|^(p-1) sign(x) g / y^(p-1)", "Where y is 0, the derivative is 0.")
def vector_norm(x: Any, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    """The length of vectors, whose entries may lie along several axes; of all of x without an axis.

    >>> import tinygrad_rnn as tg
    >>> tg.vector_norm(tg.tensor([[3.0], [-4.0]]), ord=1)
    tensor(7., dtype=float32)
    """
    shape = shape_of(x)
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    moved = moveaxis(x, axes, range(len(axes)))
    y = norm(reshape(moved, (-1, *shape_of(moved)[len(axes) :])), ord, 0)
    return reshape(y, kept(shape, axis)) if keepdims else y


@of_one("the size of matrices", "as for `norm`", "Where y is 0, the derivative is 0.")
def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The size of the matrices in the last two axes, see `norm`.

    >>> import tinygrad_rnn as tg
    >>> tg.matrix_norm(tg.tensor([[3.0, 0.0], [4.0, 0.0]]))
    tensor(5., dtype=float32)
    """
    return norm(x, ord, (-2, -1), keepdims)


def _scaled(name: str, x: Any, weight: Any, bias: Any) -> Any:
    n = shape_of(x)[-1]
    for factor, given in (("weight", weight), ("bias", bias)):
        if given is not None and shape_of(given) != (n,):
            raise ValueError(
                f"{name}{current().place}: {factor} of shape {shape_of(given)} for x of "
                f"shape {shape_of(x)}; wanted ({n},)"
            )
    y = x if weight is None else x * weight
    return y if bias is None else y + bias


@of_one(
    "(x - mean(x)) / sqrt(var(x) + eps) * weight + bias",
    "(h - mean(h) - n mean(h n)) / sqrt(var(x) + eps); h = g weight, n the normalised x",
)
def layer_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Every row (the last axis) brought to mean 0 and variance 1 (Ba, Kiros & Hinton 2016, eq. 3).

    x              (..., H)
    weight, bias   (H,); left out, they are 1 and 0
    eps            keeps rows of equal entries finite

    >>> import tinygrad_rnn as tg
    >>> tg.layer_norm(tg.tensor([[1.0, 3.0]]), eps=0.0)
    tensor([[-1.,  1.]], dtype=float32)
    """
    centred = deviation(x, -1)
    y = centred / sqrt(mean(square(centred), -1, True) + eps)
    return _scaled("layer_norm", y, weight, bias)


@of_one(
    "x / sqrt(mean(x^2) + eps) * weight",
    "(h - n mean(h n)) / sqrt(mean(x^2) + eps); h = g weight, n the normalised x",
)
def rms_norm(x: Any, weight: Any = None, eps: float = 1e-5) -> Any:
    """Every row (the last axis) brought to mean square 1 (Zhang & Sennrich 2019, equation 4).

    x        (..., H)
    weight   (H,); left out, it is 1
    eps      keeps rows of zeros finite

    >>> import tinygrad_rnn as tg
    >>> tg.rms_norm(tg.tensor([[2.0, -2.0]]), eps=0.0)
    tensor([[ 1., -1.]], dtype=float32)
    """
    y = x / sqrt(mean(square(x), -1, True) + eps)
    return _scaled("rms_norm", y, weight, None)
