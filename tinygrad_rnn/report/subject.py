"""The subject of a report: a cell, a sequence for it and a loss per step, from a few words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import ops
from ..data import Vocabulary, read_text
from ..graph import Array, no_grad
from ..nn import Cell
from ..nn.load import cell_named, make_cell, takes_sizes
from ..unroll import unroll

BATCH, INPUTS, HIDDEN = 4, 8, 16


class SubjectError(ValueError):
    """No cell and sequence can be made as asked for."""


@dataclass(frozen=True)
class Subject:
    """A cell, its inputs, and its targets.

    cell     the cell
    name     of the cell, for titles
    xs       (T, B, I)
    targets  T of them
    loss     (o_t, y_t) -> L_t; None for the default of `study.compare`
    hand     its backward pass derived by hand, if `study.compare` does not know one itself
    about    the inputs and the loss in a sentence or two
    """

    cell: Cell
    name: str
    xs: Array
    targets: Array
    loss: Callable[[Any, Any], Any] | None
    hand: Callable[..., Any] | None
    about: str


def subject(
    cell: str,
    steps: int,
    text: Path | None = None,
    seed: int = 0,
    hidden: int | None = None,
    inputs: int | None = None,
    batch: int = BATCH,
) -> Subject:
    """A subject from words.

    cell    as for `nn.load.cell_named`
    steps   T
    text    characters to read, one-hot; random numbers if left out
    seed    of the parameters and of random numbers
    hidden  the cell's second argument, its H; 16 if left out
    inputs  its first, I; 8 if left out, or the number of the text's different characters
    batch   B

    Raises CellNameError, InputSizeError, SubjectError, OSError for files, and TextError for their
    contents.
    """
    rng = np.random.default_rng(seed)
    make, name = cell_named(cell)
    if not takes_sizes(make) and (hidden or inputs):
        raise SubjectError(f"{name}() takes no sizes: leave them out")
    hidden = hidden or HIDDEN
    if text is None:
        unit = make_cell(make, name, inputs or INPUTS, hidden, rng)
        xs = rng.normal(size=(steps, batch, unit.input_size))
        return Subject(
            unit,
            name,
            xs,
            rng.normal(size=(steps, batch, _output_size(unit, xs))),
            None,
            None,
            "Inputs and targets are random numbers with a normal distribution, and "
            "L_t is the squared error, summed over all entries.",
        )
    characters = read_text(text)
    vocabulary = Vocabulary.of(characters)
    unit = make_cell(make, name, len(vocabulary), hidden, rng)
    xs, targets = passages(characters, vocabulary, steps, text.name, batch)
    V = rng.normal(0, 1, (_output_size(unit, xs), len(vocabulary))) / np.sqrt(len(vocabulary))
    return Subject(
        unit,
        name,
        xs,
        targets,
        lambda o, y: ops.cross_entropy(o @ V, y, "sum"),
        None,
        f"It reads {text.name}, one character a step ({len(vocabulary)} different ones, one-hot), "
        "and is asked for the next. Its output is read by a fixed random matrix; "
        "L_t is the cross entropy, summed over the batch.",
    )


def passages(
    characters: str, vocabulary: Vocabulary, steps: int, source: str, batch: int = BATCH
) -> tuple[Array, Array]:
    """Passages from evenly spread places: one-hot inputs, and the characters that follow.

    source   of the characters, for the SubjectError if they are too few
    """
    ids = np.asarray(vocabulary.encode(characters))
    if len(ids) < batch * (steps + 1):
        raise SubjectError(
            f"{source}: {len(ids)} characters; wanted at least {batch * (steps + 1)}, "
            f"for {batch} passages of {steps} steps"
        )
    starts = np.arange(batch) * (len(ids) // batch)
    cut = np.stack([ids[start : start + steps + 1] for start in starts], axis=1)
    return np.eye(len(vocabulary))[cut[:-1]], cut[1:]


def _output_size(cell: Cell, xs: Array) -> int:
    with no_grad():
        output = unroll(cell, xs[:1].astype(cell.dtype)).steps[0]
    if not hasattr(output, "shape"):
        raise SubjectError(
            f"{type(cell).__name__}.step: its output is a {type(output).__name__}; the report is "
            "about cells whose output is one tensor (B, O)"
        )
    return int(output.shape[-1])
