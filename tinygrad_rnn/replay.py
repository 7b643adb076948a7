"""Running a function again: the same draws, and whether it gives the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import tree
from .outside import reached
from .tensor import Tensor


def seen(value: Any) -> list[tuple[Any, ...]]:
    """A summary of a result: (name, shape, dtype, sums) for every tensor in it."""
    return [
        (name, leaf.shape, leaf.dtype, _sums(leaf._value))
        if isinstance(leaf, Tensor)
        else (name, type(leaf).__name__, "", None)
        for name, leaf in zip(tree.paths(value), tree.leaves(value), strict=True)
    ]


def _sums(value: Any) -> tuple[float, float]:
    """Sums of all entries and of their sizes, each weighed by its place."""
    flat = np.ravel(value).astype(np.float64)
    weights = np.arange(1.0, flat.size + 1)
    return float(flat @ weights), float(np.abs(flat) @ weights)


def alike(before: tuple[float, float] | None, now: tuple[float, float] | None, dtype: Any) -> bool:
    """Whether sums are equal but for rounding; those that are not finite are not compared."""
    if before is None or now is None:
        return before is now
    if not np.isfinite(before).all():
        return not np.isfinite(now).all()
    tolerance = np.finfo(dtype).eps ** 0.75 * before[1] if dtype.kind == "f" else 0
    return bool(np.abs(np.subtract(before, now)).max() <= tolerance)


@contextmanager
def replayed(draws: Sequence[tuple[Any, Any]]) -> Iterator[None]:
    """Generators as they were once, and afterwards as they are now."""
    now = [generator.bit_generator.state for generator, _ in draws]
    for generator, state in draws:
        generator.bit_generator.state = state
    try:
        yield
    finally:
        for (generator, _), state in zip(draws, now, strict=True):
            generator.bit_generator.state = state


def generators(roots: Sequence[Any]) -> list[Any]:
    """Every NumPy generator among some values, or that a function among them can reach."""
    random = sys.modules.get("numpy.random")
    if random is None:  # nobody has asked for it, so there are none
        return []
    found = reached({str(k): root for k, root in enumerate(roots)})
    return [value for _, value in found if isinstance(value, random.Generator)]
