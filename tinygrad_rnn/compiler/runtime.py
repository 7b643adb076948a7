"""Functions for generated code: an operation for all steps at once, or its sum over the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..lanes import Lanes


def batch(
    f: Callable[..., Any], n: int, given: Sequence[Any], by_step: Sequence[bool], params: Any
) -> Any:
    """An operation on the values of n steps at once; if it can't, on one after the other.

    by_step   which arguments have a first axis of steps
    """
    owner = object()
    arguments = [Lanes(a, owner) if s else a for a, s in zip(given, by_step, strict=True)]
    try:
        y = f(*arguments, **params)
    except TypeError:  # a use as a value, or a function that knows NumPy's own arrays only
        return each(f, n, given, by_step, params)
    if isinstance(y, tuple):
        return tuple([_seen(part, n) for part in y])
    return _seen(y, n)


def _seen(y: Any, n: int) -> Any:
    return y.data if isinstance(y, Lanes) else np.broadcast_to(y, (n, *np.shape(y)))


def each(
    f: Callable[..., Any], n: int, given: Sequence[Any], by_step: Sequence[bool], params: Any
) -> Any:
    """An operation on the values of n steps, one after the other."""
    rows = [_step(f, i, given, by_step, params) for i in range(n)]
    if isinstance(rows[0], tuple):
        return tuple([np.stack(part) for part in zip(*rows, strict=True)])
    return np.stack(rows)


def total(
    f: Callable[..., Any], n: int, given: Sequence[Any], by_step: Sequence[bool], params: Any
) -> Any:
    """The sum over n steps of an operation, without keeping its results."""
    so_far = np.array(_step(f, 0, given, by_step, params))
    for i in range(1, n):
        so_far += _step(f, i, given, by_step, params)
    return so_far


def _step(f: Any, i: int, given: Sequence[Any], by_step: Sequence[bool], params: Any) -> Any:
    return f(*[a[i] if s else a for a, s in zip(given, by_step, strict=True)], **params)


def rows(a: Any) -> Any:
    """Matrices of several steps as one."""
    return a.reshape(-1, a.shape[-1])


def pack(b: Any, width: int) -> Any:
    """A matrix in panels of a width, one after the other, filled up with zeros."""
    depth, across = b.shape
    panels = -(-across // width)
    if panels * width != across:
        wide = np.zeros((depth, panels * width), b.dtype)
        wide[:, :across] = b
        b = wide
    return np.ascontiguousarray(b.reshape(depth, panels, width).swapaxes(0, 1))
