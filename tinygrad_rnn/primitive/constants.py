"""Constants and parameters as a record keeps them, though somebody may write to them."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Array

if TYPE_CHECKING:
    from .operation import Primitive


def plain_array(value: Any, who: str) -> Array:
    """The array in a container of numbers: a list, a subclass of NumPy's array, a data frame.

    A copy is made only where there is no array to refer to. Refuses a masked array with entries
    that are masked, because there is nothing they could stand for.
    """
    masked = int(np.sum(value.mask)) if hasattr(value, "mask") and hasattr(value, "filled") else 0
    if masked:
        raise TypeError(
            f"{who}: given a masked array of shape {value.shape} with {masked} masked entries; "
            "put numbers in their place (.filled(0)) or leave them out (.compressed())"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        if not isinstance(value, list | tuple):
            raise
        raise ValueError(f"{who}: the lists are no array: {error}") from error
    if array.dtype.kind in "OSU" and not hasattr(value, "__array__"):
        kind = type(value).__name__
        use = "; make a list(...) of it" if isinstance(value, Iterator) else ""
        raise TypeError(f"{who}: given a {kind}; wanted numbers, as an array or nested lists{use}")
    return array


COPIED_BYTES = 8192
"""Constant arrays up to this size are copied: it takes less time than two fingerprints."""


@cache
def _weights() -> Array:
    """Odd numbers that have nothing to do with each other (splitmix64: Steele et al. 2014)."""
    n = np.arange(1, (1 << 15) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ (n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    n = (n ^ (n >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((n ^ (n >> np.uint64(31))) | np.uint64(1))


def protect(array: Array, argument: int) -> tuple[Array, list[tuple[int, int]] | None]:
    """A constant as the record keeps it: a copy, or the array with a mark to know a change by."""
    if not array.flags.writeable and _nobody_writes(array.base):
        return array, None  # a copy that a record made, or a view of one, used by a rule
    if array.nbytes <= COPIED_BYTES:
        array = array.copy()
        array.setflags(write=False)
        return array, None
    return array, [(argument, fingerprint(array))]


def _nobody_writes(base: Any) -> bool:
    return base is None or (isinstance(base, np.ndarray) and not base.flags.writeable)


def protected(
    primitive: Primitive, recorded: tuple[bool, ...], given: Sequence[Any], values: list[Any]
) -> list[tuple[int, int]] | None:
    """`protect` for any number of arguments; the copies replace their values."""
    marks = []
    for i in primitive.reads(recorded):
        if type(values[i]) is np.ndarray and values[i] is given[i]:
            values[i], mark = protect(values[i], i)
            marks += mark or []
    return marks or None


def fingerprint(array: Array) -> int:
    """A number that changes whenever one entry does, and almost surely if several do.

    The entries' bits times odd numbers, added up modulo 2^64. It is read at the speed of memory.
    """
    flat = array.ravel("K")
    bits = flat.view(np.uint64 if flat.nbytes % 8 == 0 else f"u{flat.itemsize}")
    weights = _weights()
    found = 0
    for start in range(0, len(bits), len(weights)):
        part = bits[start : start + len(weights)]
        found = (31 * found + int(np.dot(part, weights[: len(part)]))) & 0xFFFF_FFFF_FFFF_FFFF
    return found


UNCHANGING = frozenset({int, float, bool, str, slice, type(None), type(...)})
"""Types of parameters that nobody can write to."""


def own(param: Any) -> Any:
    """An index, mask or target as the record's own, which nobody else can write to."""
    if isinstance(param, np.ndarray):
        return param.copy()
    if type(param) is list:
        return [own(part) for part in param]
    if type(param) is tuple:
        parts = tuple([own(part) for part in param])
        return param if all(map(operator.is_, parts, param)) else parts
    return param
