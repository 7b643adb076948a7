"""What a report is about: a cell, a sequence for it and a loss per step, from a few words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import ops
from ..data import Vocabulary, read_text
from ..demo.model import CharElman
from ..demo.model import load as load_model
from ..graph import Array, no_grad
from ..nn import Cell
from ..nn.load import cell_named, made
from ..study import handwritten

BATCH, INPUTS, STATE = 4, 8, 16


class SubjectError(ValueError):
    """What was asked for cannot be made into a cell and a sequence."""


@dataclass(frozen=True)
class Subject:
    """A cell, what it reads, and what is wanted of it.

    cell     the cell
    name     what to call it
    xs       (T, B, I)
    targets  T of them
    loss     (o_t, y_t) -> L_t; None for what `study.compare` does without one
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


def subject(cell: str, steps: int, text: Path | None = None, seed: int = 0) -> Subject:
    """A subject from words.

    cell   as for `nn.by_name.cell_named`; or a model that `tinygrad-rnn demo` saved,
           "FILE.safetensors"
    steps  T
    text   characters to read, one-hot; random numbers if left out
    seed   of the parameters and of random numbers

    Raises CellNameError, SubjectError, OSError for files, TextError and ModelFileError for what is
    in them.
    """
    rng = np.random.default_rng(seed)
    if cell.endswith(".safetensors"):
        return _saved(Path(cell), steps, text, rng)
    make, name = cell_named(cell)
    if text is None:
        unit = made(make, name, INPUTS, STATE, rng)
        xs = rng.normal(size=(steps, BATCH, unit.input_size))
        return Subject(
            unit,
            name,
            xs,
            rng.normal(size=(steps, BATCH, _output_size(unit, xs))),
            None,
            None,
            "Inputs and targets are random numbers with a normal distribution, and "
            "L_t is the squared error, summed over all entries.",
        )
    characters = read_text(text)
    vocabulary = Vocabulary.of(characters)
    unit = made(make, name, len(vocabulary), STATE, rng)
    xs, targets = _characters(characters, vocabulary, steps, text)
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


def _saved(path: Path, steps: int, text: Path | None, rng: np.random.Generator) -> Subject:
    model: CharElman = load_model(path)
    if text is not None:
        characters = read_text(text)
        what = f"It reads {text.name}"
    else:
        size = len(model.vocabulary)
        drawn = rng.integers(0, size, BATCH * (steps + 1))
        characters = model.vocabulary.decode([int(i) for i in drawn])
        what = "It reads random characters (give --text for a real one)"
    xs, targets = _characters(characters, model.vocabulary, steps, text or path)
    return Subject(
        model,
        f"the model {path.name}",
        xs,
        targets,
        None,
        handwritten.elman,
        f"{what}, one a step, and is asked for the next. "
        "L_t is the cross entropy, summed over the batch.",
    )


def _characters(
    characters: str, vocabulary: Vocabulary, steps: int, path: Path
) -> tuple[Array, Array]:
    """BATCH passages from evenly spread places: one-hot inputs, and the characters that follow."""
    ids = np.asarray(vocabulary.encode(characters))
    if len(ids) < BATCH * (steps + 1):
        raise SubjectError(
            f"{path}: {len(ids)} characters; wanted at least {BATCH * (steps + 1)}, "
            f"for {BATCH} passages of {steps} steps"
        )
    starts = np.arange(BATCH) * (len(ids) // BATCH)
    passages = np.stack([ids[start : start + steps + 1] for start in starts], axis=1)
    return np.eye(len(vocabulary))[passages[:-1]], passages[1:]


def _output_size(cell: Cell, xs: Array) -> int:
    with no_grad():
        output, _ = cell.step(xs[0].astype(cell.dtype), cell.initial_state(xs.shape[1]))
    return int(output.shape[-1])
