"""The demo's model as the subject of a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import read_text
from ..report.subject import BATCH, Subject, passages
from ..study.handwritten import elman
from .model import CharElman, load


def reading(
    model: CharElman, name: str, characters: str, source: str, steps: int, batch: int = BATCH
) -> Subject:
    """A model that reads characters and is asked, at every step, for the next.

    name    of the model, for titles
    source  of the characters, in words
    """
    xs, targets = passages(characters, model.vocabulary, steps, source, batch)
    about = (
        f"It reads {source}, one character a step, and is asked for the next. "
        "L_t is the cross entropy, summed over the batch."
    )
    return Subject(model, name, xs, targets, None, elman, about)


def saved_subject(
    path: Path, steps: int, text: Path | None = None, seed: int = 0, batch: int = BATCH
) -> Subject:
    """A model that `tinygrad-rnn demo` saved, reading a text, or random characters without one.

    Raises SubjectError for a text that is too short, OSError for files, and TextError and
    ModelFileError for their contents.
    """
    model, name = load(path), f"the model {path.name}"
    if text is not None:
        return reading(model, name, read_text(text), text.name, steps, batch)
    size = len(model.vocabulary)
    drawn = np.random.default_rng(seed).integers(0, size, batch * (steps + 1))
    characters = model.vocabulary.decode([int(i) for i in drawn])
    source = "random characters (give --text for a text)"
    return reading(model, name, characters, source, steps, batch)
