"""Nested states: tuples, lists, named tuples and dicts of tensors, taken apart and put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nested structure, in order.

    >>> leaves({"h": 1, "memory": (2, [3])})
    [1, 2, 3]
    """
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    return [tree]


def rebuild(tree: Any, new: Iterator[Any]) -> Any:
    """The same structure with other leaves, taken in order."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[rebuild(part, new) for part in tree])
    if isinstance(tree, tuple | list):
        return type(tree)([rebuild(part, new) for part in tree])
    if isinstance(tree, dict):
        return {key: rebuild(part, new) for key, part in tree.items()}
    return next(new)


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to every leaf.

    >>> map_leaves(lambda n: n + 1, (1, {"c": 2}))
    (2, {'c': 3})
    """
    return rebuild(tree, iter([function(leaf) for leaf in leaves(tree)]))


def paths(tree: Any, name: str = "") -> list[str]:
    """A name for every leaf: field names, keys and positions, joined by dots.

    >>> paths({"h": 1, "memory": (2, 3)}, "s")
    ['s.h', 's.memory.0', 's.memory.1']
    """
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        entries: Any = zip(tree._fields, tree, strict=True)
    elif isinstance(tree, tuple | list):
        entries = enumerate(tree)
    elif isinstance(tree, dict):
        entries = tree.items()
    else:
        return [name]
    return [p for key, part in entries for p in paths(part, f"{name}.{key}" if name else str(key))]
