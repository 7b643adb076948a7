"""The model of the demo: a character-level Elman network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import tinygrad_rnn as tg

from .. import io
from ..data import Vocabulary

KIND = "character-level Elman network"


class CharElman(tg.ElmanCell):
    """s_t = tanh(x_t U + s_{t-1} W + b),  o_t = s_t V + c: scores for the character that follows.

    vocabulary    the V characters it reads and writes
    hidden_size   H
    rng           generator or seed; V is drawn small, so that an untrained network finds all
                  characters about equally likely and its loss is ln V
    dtype         float32 unless told otherwise

    Inputs x are classes, (B,) integers, or one-hot rows, (B, V) floats: x U is then the row of U
    that the class picks, which is faster, or the product, which has a gradient for x too.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        hidden_size: int,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        size = len(vocabulary)
        super().__init__(size, hidden_size, rng=rng, dtype=dtype)
        self.vocabulary = vocabulary
        self.V = tg.Parameter(rng.normal(0.0, 0.01, (hidden_size, size)).astype(dtype))
        self.c = tg.Parameter(np.zeros(size, dtype))

    def step(self, x: Any, s: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """(x_t, s_{t-1}) -> (o_t, s_t)."""
        picks_rows = isinstance(x, np.ndarray) and x.dtype.kind in "iu"
        from_x = self.U[x] if picks_rows else x @ self.U
        s = tg.tanh(from_x + s @ self.W + self.b).named("s")
        return (s @ self.V + self.c).named("o"), s


def sample(
    model: CharElman, length: int, seed: int, temperature: float = 0.8, start: str | None = None
) -> str:
    """Text written by the model, one character after the other.

    Each next character is drawn with the probabilities softmax(o_t / temperature) and becomes the
    next input.

    length        of the text, without the start
    seed          of the draws: the same model and seed give the same text
    temperature   1 draws as the model was trained; near 0, always its first choice
    start         characters to read before writing, and part of the result; a line end, which is
                  not shown, if left out

    Raises TextError for a character in `start` that is not in the vocabulary.
    """
    rng = np.random.default_rng(seed)
    vocabulary = model.vocabulary
    begin = "\n" if "\n" in vocabulary.characters else vocabulary.characters[0]
    ids = list(vocabulary.encode(start or begin))
    read = len(ids)
    with tg.no_grad():
        s = model.initial_state(1)
        for t in range(read + length - 1):
            o, s = model.step(np.array([ids[t]]), s)
            if t >= read - 1:
                scores = o.numpy()[0].astype(np.float64)
                with np.errstate(over="ignore"):  # of a temperature near 0: exp(-inf) = 0
                    p = np.exp((scores - scores.max()) / temperature)
                ids.append(int(rng.choice(len(vocabulary), p=p / p.sum())))
    return vocabulary.decode(ids if start else ids[read:])


def save(model: CharElman, path: str | Path) -> Path:
    """Write the model to a safetensors file, with its size and vocabulary for `load`."""
    description = {
        "kind": KIND,
        "hidden_size": model.hidden_size,
        "vocabulary": model.vocabulary.characters,
    }
    return io.save(model, path, description)


def load(path: str | Path) -> CharElman:
    """The model in a file that `save` wrote.

    Raises ModelFileError for any other file, OSError if it cannot be read.
    """
    arrays, description = io.read(path)
    kind = description.get("kind") if isinstance(description, dict) else None
    if kind != KIND:
        raise io.ModelFileError(f"{path}: a model of kind {kind!r:.80}, wanted {KIND!r}")
    try:
        vocabulary, size = Vocabulary(description["vocabulary"]), description["hidden_size"]
        # looked at first: a wrong size could ask for any memory
        if type(size) is not int or arrays["b"].shape != (size,):
            raise ValueError(f"hidden_size {size!r:.40}, but b has shape {arrays['b'].shape!s:.80}")
        model = CharElman(vocabulary, size, rng=0)
    except (KeyError, TypeError, ValueError) as error:
        raise io.ModelFileError(f"{path}: its metadata cannot be used: {error!r:.200}") from None
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        raise io.ModelFileError(f"{path}: {error}") from None
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise io.ModelFileError(f"{path}: {name} has numbers that are NaN or infinite")
    return model
