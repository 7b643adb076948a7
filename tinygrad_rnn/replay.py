"""Running a function again: the same draws, and whether it gives the same."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from . import tree
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
    found = []
    met: dict[int, Any] = {}
    stack = list(roots)
    while stack:
        value = stack.pop()
        if id(value) in met:
            continue
        met[id(value)] = value
        if isinstance(value, random.Generator):
            found.append(value)
        else:
            stack += _reached_from(value)
    return found


def _reached_from(value: Any) -> list[Any]:
    """The values a function closes over or looks up, or the attributes of an object."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, FunctionType):
        if value.__module__.partition(".")[0] in _NOT_THEIRS:
            return []
        # a cell is empty as long as the variable has no value
        cells = [c.cell_contents for c in value.__closure__ or () if c != CellType()]
        named = [value.__globals__.get(name) for name in _names(value.__code__)]
        return [*cells, value.__defaults__, value.__kwdefaults__, *named]
    if isinstance(value, _PLAIN) or value is None:
        return []
    methods = [m for m in vars(type(value)).values() if isinstance(m, FunctionType)]
    return [*getattr(value, "__dict__", {}).values(), *methods]


_PLAIN = (Tensor, np.ndarray, np.generic, str, bytes, int, float, complex, ModuleType, type)

_NOT_THEIRS = {__name__.partition(".")[0], "numpy"}
"""Packages whose functions have no generators of their own."""


def _names(code: CodeType) -> set[str]:
    """The names that a function's text, and functions written in it, look up."""
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inner)
