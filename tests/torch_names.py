"""PyTorch's way to say what NumPy has further names for; see oracle/test_operators_torch.py."""

from typing import Any

import numpy as np
import torch

F = torch.nn.functional
linalg = torch.linalg


def T(x: Any) -> Any:
    return x if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x))


def counted(function: Any, fill: float, join: Any) -> Any:
    """A reduction with NumPy's `where` and `initial`."""

    def run(x: Any, *args: Any, where: Any = True, initial: Any = None, **kwargs: Any) -> Any:
        if initial is not None and not x.numel():
            return x.sum(*args, **kwargs) + initial
        y = function(x if where is True else torch.where(T(where), x, fill), *args, **kwargs)
        return y if initial is None else join(y, torch.full_like(y, initial))

    return run


def mean(x: Any, dims: Any, keepdims: bool, where: Any = True) -> Any:
    if where is True:
        return torch.mean(x, dims, keepdims)
    return torch.where(T(where), x, torch.nan).nanmean(dims, keepdims)


def var(x: Any, dims: Any, keepdims: bool, ddof: float = 0, **more: Any) -> Any:
    where = more.pop("where", True)
    ddof = more.pop("correction", ddof)
    if where is True:
        return torch.var(x, dims, correction=ddof, keepdim=keepdims)
    n = T(where).expand(x.shape).sum(dims, keepdims)
    deviation = torch.where(T(where), x - mean(x, dims, True, where), 0.0)
    return (deviation**2).sum(dims, keepdims) / (n - ddof)


def reshape(x: Any, shape: Any, order: str = "C") -> Any:
    if order == "C":
        return x.reshape(shape)
    ndim = len(shape) if isinstance(shape, tuple) else 1
    y = x.permute(*range(x.ndim)[::-1]).reshape(shape[::-1] if ndim > 1 else shape)
    return y.permute(*range(ndim)[::-1])


def concatenate(tensors: Any, axis: int | None = 0) -> Any:
    return torch.cat([x.ravel() for x in tensors] if axis is None else tensors, axis or 0)


def append(a: Any, b: Any, axis: int | None = None) -> Any:
    return concatenate([a, b], axis)


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    order = [d for d in range(x.ndim) if d != axis % x.ndim]
    start += x.ndim if start < 0 else 0
    order.insert(start - (axis % x.ndim < start), axis % x.ndim)
    return x.permute(order)


def linspace(a: Any, b: Any, num: int, endpoint: bool = True, axis: int = 0) -> Any:
    steps = torch.linspace(0, 1, num if endpoint else num + 1, dtype=a.dtype)[:num]
    return torch.stack([a + (b - a) * w for w in steps], axis)


def select(conditions: Any, choices: Any, default: Any = 0.0) -> Any:
    y = default
    for condition, x in zip(conditions[::-1], choices[::-1], strict=True):
        y = torch.where(T(condition), x, y)
    return y


def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    n = len(choices)
    a = np.clip(a, 0, n - 1) if mode == "clip" else np.mod(a, n)
    stacked = torch.stack(torch.broadcast_tensors(*choices, torch.zeros(np.shape(a)))[:-1])
    return torch.gather(stacked, 0, T(a).expand(stacked.shape[1:])[None])[0]


def quantile(
    x: Any, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear"
) -> Any:
    q = T(np.asarray(q, float))
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    rest = [d for d in range(x.ndim) if d not in axes]
    rows = x.permute((*rest, *axes)).reshape((*[x.shape[d] for d in rest], -1))
    y = torch.quantile(rows, q.ravel(), -1, interpolation=method)
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    return y.reshape((*q.shape, *(shape if keepdims else y.shape[1:])))


def percentile(x: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    return quantile(x, np.asarray(q) / 100, *args, **kwargs)


def divmod(a: Any, b: Any) -> Any:  # noqa: A001
    return torch.div(T(a), T(b), rounding_mode="floor"), torch.remainder(T(a), T(b))


def sort(x: Any, axis: int | None = -1, kind: Any = None) -> Any:
    return torch.sort(x.ravel() if axis is None else x, axis or 0 if axis is None else axis).values


def partition(x: Any, kth: int, axis: int | None = -1) -> Any:
    x, axis = (x.ravel(), 0) if axis is None else (x, axis)
    order = np.argpartition(x.detach().numpy(), kth, axis)
    return torch.take_along_dim(x, T(order), axis)


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    ends = [None if e is None else torch.atleast_1d(T(e)) for e in (prepend, append)]
    return torch.diff(x, n, axis, *ends)


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """As a sum of hats, which has nothing in common with ours."""
    x, xp = T(x), T(xp)
    if period is not None:
        x, xp = x % period, xp % period
        xp, order = torch.sort(xp)
        fp = fp[order]
        xp = torch.cat([xp[-1:] - period, xp, xp[:1] + period])
        fp = torch.cat([fp[-1:], fp, fp[:1]])
    y = torch.zeros_like(x)
    for i in range(len(xp)):
        hat = torch.ones_like(x)
        if i > 0:
            hat = torch.where(x < xp[i], (x - xp[i - 1]) / (xp[i] - xp[i - 1]), hat)
        if i < len(xp) - 1:
            hat = torch.where(x >= xp[i], (xp[i + 1] - x) / (xp[i + 1] - xp[i]), hat)
        y = y + fp[i] * torch.clamp(hat, 0, 1)
    y = y if left is None else torch.where(x < xp[0], left, y)
    return y if right is None else torch.where(x > xp[-1], right, y)


def correlate(a: Any, b: Any, mode: str = "valid") -> Any:
    if len(a) < len(b):
        return correlate(b, a, mode).flip(0)
    n = len(b)
    before = {"full": n - 1, "same": n // 2, "valid": 0}[mode]
    after = {"full": n - 1, "same": n - 1 - n // 2, "valid": 0}[mode]
    return F.conv1d(F.pad(a, (before, after))[None, None], b[None, None])[0, 0]


def convolve(a: Any, b: Any, mode: str = "full") -> Any:
    a, b = (b, a) if len(a) < len(b) else (a, b)
    return correlate(a, b.flip(0), mode)


def conv(x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    if padding == "same":  # said as numbers, PyTorch gives no warning
        padding = tuple(((k - 1) // 2, k // 2) for k in w.shape[2:])
    if isinstance(padding, tuple) and isinstance(padding[0], tuple):
        x, padding = F.pad(x, [n for pair in padding[::-1] for n in pair]), 0
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[w.ndim - 2]
    return function(x, w, None, stride, padding, dilation)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = a.movedim(axisa, -1), b.movedim(axisb, -1)
    a, b = torch.broadcast_tensors(a, b)
    return linalg.cross(a, b).movedim(-1, axisc)


def cbrt(x: Any) -> Any:
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return linalg.vector_norm(x, ord, axis, keepdims)


def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    return linalg.matrix_norm(x, ord, keepdim=keepdims)


def gradient(x: Any, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    each = (spacing or (1.0,)) * (len(axes) if len(spacing) < 2 else 1)
    places = tuple(
        T(h) if np.ndim(h) else torch.arange(x.shape[d], dtype=x.dtype) * h
        for d, h in zip(axes, each, strict=True)
    )
    slopes = torch.gradient(x, spacing=places, dim=tuple(axes), edge_order=edge_order)
    return slopes[0] if len(slopes) == 1 else slopes


COUNTERPARTS: dict[str, Any] = {
    "append": append,
    "array_split": lambda x, at, axis=0: torch.tensor_split(x, at, axis),
    "cbrt": cbrt,
    "choose": choose,
    "conv": conv,
    "convolve": convolve,
    "correlate": correlate,
    "cross": cross,
    "degrees": torch.rad2deg,
    "diff": diff,
    "eigvalsh": linalg.eigvalsh,
    "fabs": torch.abs,
    "floor_divide": lambda a, b: torch.floor(a / b),
    "interp": interp,
    "linspace": linspace,
    "gradient": gradient,
    "matrix_norm": matrix_norm,
    "matrix_transpose": lambda x: x.mT,
    "median": lambda x, axis=None, keepdims=False: quantile(x, 0.5, axis, keepdims),
    "mod": torch.remainder,
    "nan_to_num": lambda x, nan=0.0: torch.nan_to_num(x, nan),
    "partition": partition,
    "percentile": percentile,
    "pinv": lambda x, rcond=None: linalg.pinv(x),
    "quantile": quantile,
    "radians": torch.deg2rad,
    "rollaxis": rollaxis,
    "select": select,
    "divmod": divmod,
    "sort": sort,
    "svdvals": linalg.svdvals,
    "vector_norm": vector_norm,
}
