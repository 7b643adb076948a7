"""Nested tuples, lists, named tuples, dicts and dataclasses of tensors: apart and together."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

_LEAVES: set[type] = set()
"""Types that were found to be no structures. Every operation on a sequence asks for its leaves."""


def entries(tree: Any) -> list[tuple[Any, Any]] | None:
    """The parts of a structure with their names, keys or positions; None for a leaf."""
    if type(tree) in _LEAVES:
        return None
    if isinstance(tree, (tuple, list)):
        if hasattr(tree, "_fields"):
            return list(zip(tree._fields, tree, strict=True))
        return list(enumerate(tree))
    if isinstance(tree, dict):
        return list(tree.items())
    if hasattr(type(tree), "__dataclass_fields__"):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    _LEAVES.add(type(tree))
    return None


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nested structure, in order.

    >>> leaves({"h": 1, "memory": (2, [3])})
    [1, 2, 3]
    """
    if type(tree) in _LEAVES:
        return [tree]
    if isinstance(tree, (tuple, list)):
        parts: Any = tree
    else:
        found = entries(tree)
        if found is None:
            return [tree]
        parts = [part for _, part in found]
    flat: list[Any] = []
    for part in parts:
        if type(part) in _LEAVES:
            flat.append(part)
        else:
            flat += leaves(part)
    return flat


def rebuild(tree: Any, new: Iterator[Any]) -> Any:
    """The same structure with other leaves, taken in order.

    Of a dataclass a copy is made and its fields are set, so `__post_init__` does not run.
    """
    if type(tree) is tuple:
        return tuple([next(new) if type(p) in _LEAVES else rebuild(p, new) for p in tree])
    found = entries(tree)
    if found is None:
        return next(new)
    parts = [(key, rebuild(part, new)) for key, part in found]
    if isinstance(tree, dict):
        return dict(parts)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[part for _, part in parts])
    if isinstance(tree, tuple | list):
        return type(tree)([part for _, part in parts])
    made = copy.copy(tree)
    for key, part in parts:
        object.__setattr__(made, key, part)  # a frozen dataclass refuses plain assignment
    return made


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every leaf.

    >>> map_leaves(lambda n: n + 1, (1, {"c": 2}))
    (2, {'c': 3})
    """
    if entries(tree) is None:
        return function(tree)
    return rebuild(tree, iter([function(leaf) for leaf in leaves(tree)]))


def below(path: str, key: Any) -> str:
    """The path of a part, from that of the whole."""
    return f"{path}.{key}" if path else str(key)


def paths(tree: Any, name: str = "") -> list[str]:
    """A name for every leaf: field names, keys and positions, joined by dots.

    >>> paths({"h": 1, "memory": (2, 3)}, "s")
    ['s.h', 's.memory.0', 's.memory.1']
    """
    found = entries(tree)
    if found is None:
        return [name]
    return [p for key, part in found for p in paths(part, below(name, key))]


def shapes(tree: Any, *before: int) -> str:
    """The shape of every leaf, with its name if there are several; `before`: axes before its own.

    >>> import numpy as np
    >>> shapes(np.ones((2, 3)), 5), shapes({"h": np.ones(3), "c": np.ones((2, 3))})
    ('(5, 2, 3)', 'h (3,), c (2, 3)')
    """
    found = zip(paths(tree), leaves(tree), strict=True)
    return ", ".join([f"{path} {(*before, *leaf.shape)}".strip() for path, leaf in found])
