"""Leaves of states and inputs, as a record is to begin or to end with them."""

from __future__ import annotations

from typing import Any

from ..graph import Leaf
from ..primitive import of_precision, precision
from ..tensor import Tensor


def differentiable(leaf: Any) -> bool:
    """Whether this is a tensor of floating-point numbers."""
    return isinstance(leaf, Tensor) and leaf.dtype.kind == "f"


def as_leaf(leaf: Any) -> Any:
    """A tensor of the same value to begin a record with."""
    if not differentiable(leaf):
        return leaf
    return Tensor(leaf._value, Leaf("tensor", leaf.shape, leaf.dtype, leaf.name), 0)


def constant(leaf: Any) -> Any:
    """A tensor's value without its past."""
    if not isinstance(leaf, Tensor):
        return leaf
    return of_precision(Tensor(leaf._value, None, 0), precision(leaf))
