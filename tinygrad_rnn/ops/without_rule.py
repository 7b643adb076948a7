"""NumPy's functions that have no rule for tensors, and substitutes for them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

INSTEAD: dict[Any, str] = {
    np.average: "tg.sum(w * x) / tg.sum(w)",
    np.copy: "x, whose value never changes",
    np.copysign: "tg.where(np.signbit(b.numpy()), -tg.abs(a), tg.abs(a))",
    np.copyto: "tg.where(condition, b, x)",
    np.delete: "x[np.delete(np.arange(len(x)), indices)]",
    np.ediff1d: "tg.diff(tg.ravel(x))",
    np.extract: "x[condition]",
    np.fill_diagonal: "tg.index_update(x, np.diag_indices(n), b)",
    np.float_power: "a ** b",
    np.heaviside: "tg.where(a > 0, 1.0, tg.where(a < 0, 0.0, b))",
    np.insert: "tg.concatenate([x[:i], b, x[i:]])",
    np.ldexp: "a * 2.0 ** b",
    np.linalg.cond: "tg.svdvals(x).max() / tg.svdvals(x).min()",
    np.linalg.eig: "tg.eigh(x) for a symmetric matrix",
    np.linalg.eigvals: "tg.eigvalsh(x) for a symmetric matrix",
    np.linalg.lstsq: "tg.pinv(a) @ b",
    np.linalg.matrix_power: "x @ x",
    np.linalg.multi_dot: "a @ b @ c",
    np.modf: "(x - tg.trunc(x), tg.trunc(x))",
    np.nancumsum: "tg.cumsum(tg.nan_to_num(x))",
    np.nanmax: "tg.max(x, where=~np.isnan(x), initial=-np.inf)",
    np.nanmean: "tg.mean(x, where=~np.isnan(x))",
    np.nanmin: "tg.min(x, where=~np.isnan(x), initial=np.inf)",
    np.nanprod: "tg.prod(x, where=~np.isnan(x))",
    np.nanstd: "tg.std(x, where=~np.isnan(x))",
    np.nansum: "tg.sum(x, where=~np.isnan(x))",
    np.nanvar: "tg.var(x, where=~np.isnan(x))",
    np.place: "tg.index_update(x, condition, b)",
    np.polyval: "tg.dot(p, x ** np.arange(n - 1, -1, -1))",
    np.ptp: "tg.max(x) - tg.min(x)",
    np.put: "tg.index_update(x, indices, b)",
    np.put_along_axis: "tg.index_update(x, index, values)",
    np.putmask: "tg.where(condition, b, x)",
    np.resize: "tg.reshape(tg.tile(x, n), shape)",
    np.vander: "x[:, None] ** np.arange(n - 1, -1, -1)",
}
"""Substitutes for tensors: expressions in the arguments of NumPy's function."""

_METHODS = {
    "add.accumulate": "tg.cumsum(x, axis)",
    "add.at": "tg.index_add(x, indices, b)",
    "add.reduce": "tg.sum(x, axis)",
    "logaddexp.reduce": "tg.logsumexp(x, axis)",
    "maximum.accumulate": "tg.cummax(x, axis)",
    "maximum.reduce": "tg.max(x, axis)",
    "minimum.reduce": "tg.min(x, axis)",
    "multiply.accumulate": "tg.cumprod(x, axis)",
    "multiply.reduce": "tg.prod(x, axis)",
    "subtract.at": "tg.index_add(x, indices, -b)",
}

_COMPLEX = {np.angle, np.conjugate, np.imag, np.real}


def _instead(
    theirs: Any, method: str, options: Collection[str], ours: Callable[..., Any] | None
) -> str | None:
    if method == "outer" and ours is not None:
        return f"tg.{ours.__name__}(a[:, None], b)"
    if method != "__call__":
        return _METHODS.get(f"{theirs.__name__}.{method}")
    if ours is None:
        return INSTEAD.get(theirs)
    if "dtype" in options:
        return f"tg.{ours.__name__}(...).astype(dtype)"
    if "where" in options:
        return f"tg.where(condition, tg.{ours.__name__}(...), x)"
    return f"tg.{ours.__name__}, which gives a new tensor"


def without_rule(
    theirs: Any,
    ours: Callable[..., Any] | None = None,
    method: str = "__call__",
    options: Collection[str] = (),
) -> TypeError:
    """The error for a function of NumPy's that was called on a tensor.

    ours      our function of that name, if its method or its options stood in the way
    method    the ufunc's method, "__call__" for the ufunc itself
    options   the keyword arguments it was given
    """
    module = (getattr(theirs, "__module__", None) or "numpy").replace("numpy", "np", 1)
    name = f"{module}.{theirs.__name__}" + ("" if method == "__call__" else f".{method}")
    if options:
        name += f" with {', '.join(options)}"
    value = ".numpy() if the value is all that is needed"
    if module == "np.fft" or theirs in _COMPLEX:
        return TypeError(f"{name}: no rules for complex numbers, tensors are real; use {value}")
    instead = _instead(theirs, method, options, ours)
    use = "" if instead is None else f"{instead}, or "
    return TypeError(f"{name} has no rule for tensors; use {use}{value}")
