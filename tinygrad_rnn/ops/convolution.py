"""Convolution along one axis as NumPy has it, and of images with channels as layers need it.

The three maps of a layer, its value and the cotangents of its input and of its kernel, belong to
one trilinear form sum(g * conv(x, w)): each is bilinear, and its transposes are the other two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape, current
from ..primitive import apply, apply2, bilinear
from .index import getitem
from .join import pad
from .registry import of_two, shape_of, values
from .shape import flip

__all__ = ["conv", "convolve", "correlate"]

# ------------------------------------------------------------------------------------------------
# One axis


def _pull_full(g: Any, other: Any) -> Any:
    """Of full(x, other), the cotangent of x: the places where `other` lies inside g."""
    n = other.shape[0]
    return getitem(apply2(_full, g, flip(other)), slice(n - 1, g.shape[0]))


_full = bilinear(
    "convolve",
    lambda a, b: np.convolve(a, b),
    lambda g, b: _pull_full(g, b),
    lambda g, a: _pull_full(g, a),
)


@of_two("y[n] = sum over k of a[n - k] b[k]", "to a: g correlated with b; to b: g with a")
def convolve(a: Any, b: Any, mode: str = "full") -> Any:
    """The convolution of two vectors, as `numpy.convolve`.

    mode   "full": all n + m - 1 places; "same": max(n, m) of them, from the middle; "valid": where
           the shorter lies inside the longer

    Raises ValueError for arguments that are empty or no vectors. Batches and channels: see `conv`.

    >>> import tinygrad_rnn as tg
    >>> tg.convolve(tg.tensor([1.0, 2.0, 3.0]), [1.0, 1.0])
    tensor([1., 3., 5., 3.], dtype=float32)
    """
    sizes = [shape_of(x) for x in (a, b)]
    if any(len(shape) != 1 or not shape[0] for shape in sizes):
        raise ValueError(
            f"convolve{current().place}: {sizes[0]} and {sizes[1]}; wanted two vectors, not empty"
        )
    y = apply2(_full, a, b)
    shorter, longer = sorted((sizes[0][0], sizes[1][0]))
    match mode:
        case "full":
            return y
        case "valid":
            return getitem(y, slice(shorter - 1, longer))
        case "same":
            return getitem(y, slice((shorter - 1) // 2, (shorter - 1) // 2 + longer))
    raise ValueError(f'convolve{current().place}: mode {mode!r}; wanted "full", "same" or "valid"')


@of_two("y[n] = sum over k of a[n + k] b[k]", "to a: g convolved with b; to b: a correlated with g")
def correlate(a: Any, b: Any, mode: str = "valid") -> Any:
    """The cross-correlation of two vectors, as `numpy.correlate`.

    >>> import tinygrad_rnn as tg
    >>> tg.correlate(tg.tensor([1.0, 2.0, 4.0]), [-1.0, 1.0])
    tensor([1., 2.], dtype=float32)
    """
    if np.size(values(a)) < np.size(values(b)):
        return flip(correlate(b, a, mode))
    return convolve(a, flip(b), mode)


# ------------------------------------------------------------------------------------------------
# Images with channels


def _tiles(x: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Any:
    """(B, C, *size) as a view (B, C, *kernel, *places): the entries under the kernel."""
    places = tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    )
    steps = x.strides[2:]
    strides = (
        *x.strides[:2],
        *(step * d for step, d in zip(steps, dilation, strict=True)),
        *(step * s for step, s in zip(steps, stride, strict=True)),
    )
    return np.lib.stride_tricks.as_strided(
        x, (*x.shape[:2], *kernel, *places), strides, writeable=False
    )


def _columns(x: Any, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Any, Shape]:
    """The tiles as matrices (B, C * kernel, places), and the shape of the places."""
    tiles = _tiles(x, kernel, stride, dilation)
    places = tiles.shape[2 + len(kernel) :]
    return tiles.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(places)), places


def _conv_value(x: Any, w: Any, stride: Shape, dilation: Shape) -> Any:
    columns, places = _columns(x, w.shape[2:], stride, dilation)
    y = w.reshape(w.shape[0], -1) @ columns
    return y.reshape(x.shape[0], w.shape[0], *places)


def _to_input_value(g: Any, w: Any, size: Shape, stride: Shape, dilation: Shape) -> Any:
    batch, places, kernel = g.shape[0], g.shape[2:], w.shape[2:]
    if max(stride) == 1 and w.shape[0] <= w.shape[1]:
        # a convolution with the kernel turned round, whose tiles have one entry for each channel
        # of the result; the sum below has one for each of the input
        frame = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        framed = np.zeros(
            (*g.shape[:2], *(n + 2 * f for n, f in zip(places, frame, strict=True))), g.dtype
        )
        inner = tuple(slice(f, f + n) for n, f in zip(places, frame, strict=True))
        framed[(slice(None), slice(None), *inner)] = g
        turned = np.flip(w, tuple(range(2, w.ndim))).swapaxes(0, 1)
        return _conv_value(framed, turned, stride, dilation)
    flat = g.reshape(batch, g.shape[1], math.prod(places))
    columns = w.reshape(w.shape[0], -1).T @ flat
    columns = columns.reshape(batch, w.shape[1], *kernel, *places)
    x = np.zeros((batch, w.shape[1], *size), columns.dtype)
    for offsets in itertools.product(*map(range, kernel)):
        seen = tuple(
            slice(o * d, o * d + s * (n - 1) + 1, s)
            for o, d, s, n in zip(offsets, dilation, stride, places, strict=True)
        )
        x[(slice(None), slice(None), *seen)] += columns[(slice(None), slice(None), *offsets)]
    return x


def _to_kernel_value(x: Any, g: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Any:
    columns, places = _columns(x, kernel, stride, dilation)
    flat = g.reshape(g.shape[0], g.shape[1], math.prod(places))
    w = np.sum(columns @ flat.transpose(0, 2, 1), axis=0)
    return w.T.reshape(g.shape[1], x.shape[1], *kernel)


def _conv(x: Any, w: Any, stride: Shape, dilation: Shape) -> Any:
    return apply(_CONV, (x, w), {"stride": stride, "dilation": dilation})


def _to_input(g: Any, w: Any, size: Shape, stride: Shape, dilation: Shape) -> Any:
    return apply(_TO_INPUT, (g, w), {"size": size, "stride": stride, "dilation": dilation})


def _to_kernel(x: Any, g: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Any:
    return apply(_TO_KERNEL, (x, g), {"kernel": kernel, "stride": stride, "dilation": dilation})


_CONV = bilinear(
    "conv",
    _conv_value,
    lambda h, w, shape, stride, dilation: _to_input(h, w, shape[2:], stride, dilation),
    lambda h, x, shape, stride, dilation: _to_kernel(x, h, shape[2:], stride, dilation),
)
_TO_INPUT = bilinear(
    "conv_to_input",
    _to_input_value,
    lambda h, w, stride, dilation: _conv(h, w, stride, dilation),
    lambda h, g, shape, stride, dilation: _to_kernel(h, g, shape[2:], stride, dilation),
)
_TO_KERNEL = bilinear(
    "conv_to_kernel",
    _to_kernel_value,
    lambda h, g, shape, stride, dilation: _to_input(g, h, shape[2:], stride, dilation),
    lambda h, x, stride, dilation: _conv(x, h, stride, dilation),
)


def _per_axis(name: str, given: Any, ndim: int, least: int) -> Shape:
    """One whole number for every axis."""
    each = (given,) * ndim if isinstance(given, int | np.integer) else tuple(given)
    if len(each) != ndim or any(not isinstance(n, int | np.integer) or n < least for n in each):
        raise ValueError(
            f"conv{current().place}: {name} {given!r}; wanted a whole number from {least} on, or "
            f"one for each of {ndim} axes"
        )
    return tuple(map(int, each))


def _frame(padding: Any, kernel: Shape, dilation: Shape) -> list[Shape]:
    """Zeros before and after, for every axis."""
    if padding == "same":  # as in PyTorch: if odd, one more behind
        extra = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(n // 2, n - n // 2) for n in extra]
    pairs = isinstance(padding, Sequence) and any(isinstance(p, Sequence) for p in padding)
    if pairs and len(padding) == len(kernel) and not isinstance(padding, str):
        return [_per_axis("padding", p, 2, 0) for p in padding]
    return [(n, n) for n in _per_axis("padding", padding, len(kernel), 0)]


@of_two(
    "y[b, o, p] = sum over c, k of x[b, c, stride p + dilation k] w[o, c, k]",
    "to x: the transposed convolution of g with w; to w: x correlated with g",
)
def conv(
    x: Any,
    w: Any,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
) -> Any:
    """The convolution of a layer, along any number of axes (a cross-correlation, as PyTorch's).

    x          (B, C, *size), a batch of images with C channels; or one, (C, *size)
    w          (O, C, *kernel), the kernels of O channels to come
    stride     how far a step is, of all axes or of each
    padding    zeros put around x: a number, one for each axis, or a pair for each axis; or "same",
               which with stride 1 keeps the size
    dilation   how far the entries of the kernel lie apart

    Gives (B, O, *places), places = (size + padding - dilation (kernel - 1) - 1) // stride + 1; or
    (O, *places). For NumPy's convolution of two vectors see `convolve`.

    >>> import tinygrad_rnn as tg
    >>> tg.conv(tg.ones((8, 3, 10, 10)), tg.ones((16, 3, 3, 3)), padding="same").shape
    (8, 16, 10, 10)
    """
    shape, kernel = shape_of(x), shape_of(w)[2:]
    single = len(shape) == len(kernel) + 1
    if not kernel or not (single or len(shape) == len(kernel) + 2):
        raise ValueError(
            f"conv{current().place}: x {shape} and w {shape_of(w)}; wanted "
            "(B, C, *size) or (C, *size), and (O, C, *kernel) with as many axes"
        )
    if single:
        return getitem(conv(getitem(x, None), w, stride, padding, dilation), 0)
    steps, apart = (
        _per_axis(name, n, len(kernel), 1)
        for name, n in (("stride", stride), ("dilation", dilation))
    )
    frame = _frame(padding, kernel, apart)
    size = [n + sum(ends) for n, ends in zip(shape[2:], frame, strict=True)]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, apart, strict=True)]
    if shape[1] != shape_of(w)[1]:
        raise ValueError(
            f"conv{current().place}: x {shape} has {shape[1]} channels, w {shape_of(w)} "
            f"wants {shape_of(w)[1]}"
        )
    if any(span < 1 or span > n for span, n in zip(spans, size, strict=True)):
        raise ValueError(
            f"conv{current().place}: a kernel that spans {tuple(spans)} does not fit into "
            f"{tuple(size)}, padding included"
        )
    if any(map(any, frame)):
        x = pad(x, [(0, 0), (0, 0), *frame])
    return _conv(x, w, steps, apart)
