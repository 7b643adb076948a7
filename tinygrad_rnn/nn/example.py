"""An example of the input that a cell's step takes, found by trying: an array, a tuple, a dict."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import tree
from ..graph import no_grad
from ..tensor import zeros
from .cell import Cell, InputSizeError, first_state

MOST = 2000
"""Runs of a step that are tried for the sizes of several inputs."""
BATCH = 2
"""More than one, so that an axis of the batch is not broadcast."""


class _Asked(dict[str, Any]):
    """A dict that remembers the keys it lacks."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__(known)
        self.missing: list[str] = []

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, str):
            self.missing.append(key)
        raise KeyError(key)


def example_input(cell: Cell) -> Any:
    """Zeros (1, size) as a step's input: one array, or a tuple or dict of them.

    The size of each part is the one that the step runs with, among the sizes of the cell's
    parameters and of its state, as for `cell.input_size`.

    Raises InputSizeError if none, or several, do.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> class TwoEyes(tg.Cell):
    ...     def __init__(self):
    ...         self.U, self.V = tg.Parameter(np.ones((3, 4))), tg.Parameter(np.ones((2, 4)))
    ...         self.W = tg.Parameter(np.eye(4))
    ...
    ...     def step(self, x, s):
    ...         left, right = x
    ...         s = tg.tanh(left @ self.U + right @ self.V + s @ self.W)
    ...         return s, s
    >>> [part.shape for part in example_input(TwoEyes())]
    [(1, 3), (1, 2)]
    """
    try:
        return zeros((1, cell.input_size), "x", cell.dtype)
    except (InputSizeError, AttributeError) as alone:
        fitting = _several(cell)
        if len(fitting) == 1:
            return fitting[0]
        if not fitting and isinstance(alone, InputSizeError):
            raise
        if not fitting:
            raise InputSizeError(
                f"{type(cell).__name__}: its input is not known: {alone}; give an example of a "
                "step's input, such as inputs=Timed(np.zeros((1, 3)), np.zeros((1, 1)))"
            ) from alone
        shown = [str(tree.map_leaves(lambda part: part.shape, given)) for given in fitting[:3]]
        example = tree.map_leaves(lambda part: _Written(part.shape), fitting[0])
        raise InputSizeError(
            f"{type(cell).__name__}: the sizes of its inputs are not known: {' and '.join(shown)} "
            f"fit{' among others' * (len(fitting) > 3)}; give an example of your own, such as "
            f"inputs={example}"
        ) from alone


class _Written:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __repr__(self) -> str:
        return f"np.zeros({self.shape})"


def _several(cell: Cell) -> list[Any]:
    """The tuples and dicts of zeros that a step runs with."""
    states = tree.leaves(copy.deepcopy(cell).initial_state(1))
    sizes = {n for p in cell.parameters().values() for n in p.shape} | {1}
    sizes |= {n for part in states for n in np.shape(part)[1:]}
    keys: list[str] = []
    while True:
        asked = _Asked({})
        found = [given for given in _choices(keys, sizes) if _runs(cell, given, asked)]
        new = [key for key in dict.fromkeys(asked.missing) if key not in keys]
        if not new:
            break
        keys += new
    for n in (2, 3, 4) if not keys else ():
        found = [given for given in _choices(n, sizes) if _runs(cell, given)]
        if found:
            break
    shape = (1,)
    return [
        tree.map_leaves(lambda p: zeros(shape + p.shape[1:], "x", cell.dtype), g) for g in found
    ]


def _choices(parts: int | Sequence[str], sizes: set[int]) -> list[Any]:
    """Every input of some parts, a number or keys, with all sizes of these."""
    n = parts if isinstance(parts, int) else len(parts)
    if not n:
        return [{}]
    if len(sizes) ** n > MOST:
        return []
    made = [
        [zeros((BATCH, size), "x") for size in chosen]
        for chosen in itertools.product(sorted(sizes), repeat=n)
    ]
    if isinstance(parts, int):
        return [tuple(arrays) for arrays in made]
    return [dict(zip(parts, arrays, strict=True)) for arrays in made]


def _runs(cell: Cell, given: Any, asked: _Asked | None = None) -> bool:
    """Whether a step runs on an input and gives a state of the shape that it had before."""
    cell = copy.deepcopy(cell)  # a step may count, or draw random numbers
    start = first_state(cell, BATCH)
    taken = _Asked(given) if isinstance(given, dict) else given
    try:
        with no_grad(), np.errstate(all="ignore"):
            _, end = cell.step(taken, start)
        return [np.shape(a) for a in tree.leaves(end)] == [np.shape(b) for b in tree.leaves(start)]
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        return False
    finally:
        if asked is not None and isinstance(taken, _Asked):
            asked.missing += taken.missing


__all__ = ["example_input"]
