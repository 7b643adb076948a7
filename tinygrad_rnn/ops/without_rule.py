"""NumPy's functions that have no rule for tensors, and what does the same."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

INSTEAD = {
    "add.accumulate": "tg.cumsum",
    "add.at": "tg.index_add, which gives a new tensor",
    "add.reduce": "tg.sum",
    "maximum.reduce": "tg.max",
    "minimum.reduce": "tg.min",
    "multiply.accumulate": "tg.cumprod",
    "multiply.outer": "tg.outer",
    "multiply.reduce": "tg.prod",
    "subtract.at": "tg.index_add, which gives a new tensor",
    "copy": ".detach() (a value never changes, so there is nothing to protect by a copy)",
    "copyto": "tg.where or tg.index_update, which give a new tensor",
    "delete": "t[index] with the entries to keep",
    "fill_diagonal": "tg.index_update, which gives a new tensor",
    "insert": "tg.concatenate of the parts",
    "place": "tg.where or tg.index_update, which give a new tensor",
    "put": "tg.index_update, which gives a new tensor",
    "put_along_axis": "tg.index_update, which gives a new tensor",
    "putmask": "tg.where or tg.index_update, which give a new tensor",
    "resize": "tg.reshape or tg.tile",
}
"""By the name of NumPy's function, what to use for tensors."""


def without_rule(
    name: str, options: Collection[str], function: Callable[..., Any] | None
) -> TypeError:
    """The error for a function of NumPy that was called on a tensor.

    options    the keyword arguments it was given
    function   what does the same without those, if that is what stood in the way
    """
    instead = INSTEAD.get(name)
    if instead is None and function is not None:
        instead = f"tg.{function.__name__}, which gives a new tensor"
    given = f" with {', '.join(options)}" if options else ""
    use = "" if instead is None else f"{instead}, or "
    return TypeError(
        f"np.{name}{given} has no rule for tensors; "
        f"use {use}.numpy() if the value is all that is needed"
    )
