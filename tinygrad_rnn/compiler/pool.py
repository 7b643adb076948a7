"""Memory that a scan has for itself, kept for the next one.

New memory of more than some hundred kilobytes comes from the system, page by page as it is first
written to, which costs as much as the computation of a small loop. Arrays that a user may see
(results, gradients) are never from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

SMALL = 1 << 16
"""Bytes below which NumPy has memory at hand."""
LIMIT = 1 << 26
"""Bytes that are kept at most while nobody uses them."""

_free: dict[int, list[Any]] = {}
_bytes = 0


def take(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array of this shape, with whatever stood there before."""
    global _bytes  # noqa: PLW0603
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    try:
        raw = _free[size].pop()
        _bytes -= size
    except (KeyError, IndexError):
        raw = np.empty(size, np.uint8)
    return raw.view(dtype).reshape(shape)


def give(arrays: Sequence[Any]) -> None:
    """Give back arrays that were taken, and that nobody uses any more."""
    global _bytes  # noqa: PLW0603
    for array in arrays:
        raw = array
        while raw.base is not None:
            raw = raw.base
        if raw.dtype == np.uint8 and raw.nbytes >= SMALL and _bytes + raw.nbytes <= LIMIT:
            _free.setdefault(raw.nbytes, []).append(raw)
            _bytes += raw.nbytes


class Held(list[Any]):
    """Arrays that are given back when this is no longer held."""

    __slots__ = ()

    def __del__(self) -> None:
        give(self)
