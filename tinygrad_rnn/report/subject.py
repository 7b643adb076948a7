"""What a report is about: a cell, a sequence for it and a loss per step, from a few words."""

from __future__ import annotations

import importlib.util
import inspect
import sys
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
from ..nn import GRU, LSTM, Cell, Elman
from ..study import handwritten

BUILT_IN: dict[str, Callable[..., Cell]] = {
    "elman": Elman,
    "lstm": LSTM,
    "gru": GRU,
    "gru-before": lambda i, h, rng: GRU(i, h, reset="before", rng=rng),
}
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

    cell   "elman", "lstm", "gru", "gru-before"; "FILE.py:Class", a cell of one's own, made as
           Class(input_size, hidden_size, rng=...), or Class() if it takes none; or a model that
           `tinygrad-rnn demo` saved, "FILE.safetensors"
    steps  T
    text   characters to read, one-hot; random numbers if left out
    seed   of the parameters and of random numbers

    Raises SubjectError, OSError for files, TextError and ModelFileError for what is in them.
    """
    rng = np.random.default_rng(seed)
    if cell.endswith(".safetensors"):
        return _saved(Path(cell), steps, text, rng)
    make, name = _maker(cell)
    if text is None:
        made = _made(make, name, INPUTS, rng)
        xs = rng.normal(size=(steps, BATCH, _input_size(made) or INPUTS))
        return Subject(
            made,
            name,
            xs,
            rng.normal(size=(steps, BATCH, _output_size(made, xs))),
            None,
            None,
            "Inputs and targets are random numbers with a normal distribution, and "
            "L_t is the squared error, summed over all entries.",
        )
    characters = read_text(text)
    vocabulary = Vocabulary.of(characters)
    made = _made(make, name, len(vocabulary), rng)
    xs, targets = _characters(characters, vocabulary, steps, text)
    V = rng.normal(0, 1, (_output_size(made, xs), len(vocabulary))) / np.sqrt(len(vocabulary))
    return Subject(
        made,
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


def _maker(words: str) -> tuple[Callable[..., Cell], str]:
    if words in BUILT_IN:
        names = {"elman": "Elman", "gru-before": "GRU, reset before the product"}
        return BUILT_IN[words], names.get(words, words.upper())
    file, colon, name = words.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise SubjectError(
            f"--cell {words}: wanted one of {', '.join(BUILT_IN)}; FILE.py:Class; or a saved "
            "model, FILE.safetensors"
        )
    path = Path(file)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except OSError:
        raise
    except Exception as error:
        raise SubjectError(f"{file}: {type(error).__name__}: {error}") from error
    made = getattr(module, name, None)
    if not (inspect.isclass(made) and issubclass(made, Cell)):
        cells = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, Cell) and value.__module__ == path.stem
        ]
        raise SubjectError(f"{file} has no cell {name!r}; it has {', '.join(cells) or 'none'}")
    return made, name


def _made(make: Callable[..., Cell], name: str, input_size: int, rng: np.random.Generator) -> Cell:
    wanted = inspect.signature(make).parameters
    try:
        if not wanted:
            return make()
        return make(input_size, STATE, **({"rng": rng} if "rng" in wanted else {}))
    except TypeError as error:
        raise SubjectError(
            f"{name}{inspect.signature(make)}: cannot be made as "
            f"{name}(input_size, hidden_size, rng=...) nor as {name}(): {error}"
        ) from error


def _input_size(cell: Cell) -> int | None:
    size = getattr(cell, "input_size", None)
    U = cell.parameters().get("U")
    return size if size is not None else None if U is None else U.shape[0]


def _output_size(cell: Cell, xs: Array) -> int:
    with no_grad():
        output, _ = cell.step(xs[0].astype(cell.dtype), cell.initial_state(xs.shape[1]))
    return int(output.shape[-1])
