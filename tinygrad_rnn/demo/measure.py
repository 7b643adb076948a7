"""The demo's measurements on its model: one small record, and the gradient flow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..data import Ids, Vocabulary
from ..graph import Array
from .model import CharElman

STEPS = 4
LAGS = 60
WARM_UP = 40
WINDOWS = 64


def excerpt(text: str) -> str:
    """STEPS characters to read and the one after them: the first word of that length, if any."""
    word = re.search(rf"(?<=\W)[^\W\d_]{{{STEPS + 1}}}\b", text)
    return word[0] if word else text[: STEPS + 1]


def recorded(model: CharElman, text: str) -> tg.Tensor:
    """The loss of the model reading a short text from s_0 = 0, every step of it on record.

    The inputs are one-hot rows, so that there is a dL/dx_t too.
    """
    ids = model.vocabulary.encode(text)
    xs = [tg.tensor(x, name="x") for x in tg.one_hot(ids[:-1, None], len(model.vocabulary))]
    run = tg.unroll(model, xs)
    loss: Any = 0.0
    for t, o in enumerate(run.steps, start=1):
        with tg.timestep(t):
            loss = loss + tg.cross_entropy(o, ids[t : t + 1], "sum").named("L")
    assert isinstance(loss, tg.Tensor)
    return loss


@dataclass(frozen=True)
class GradientFlow:
    """||dL_t/ds_k|| over the lag t - k, in several windows of a text.

    norms   (lags + 1, windows): norms[j] belongs to lag j
    """

    norms: Array

    @property
    def median(self) -> Array:
        """Over the windows, for every lag."""
        return np.asarray(np.median(self.norms, axis=1))

    @property
    def band(self) -> tuple[Array, Array]:
        """The 10th and the 90th percentile, for every lag."""
        low, high = np.percentile(self.norms, [10, 90], axis=1)
        return low, high

    @property
    def factor(self) -> float:
        """The factor of the norm for one more step back, on average over the lags.

        Over those before it is too small for a float; 0 where it is so at once.
        """
        median = self.median[self.median > 0]
        if len(median) < 2:
            return 0.0
        return float((median[-1] / median[0]) ** (1 / (len(median) - 1)))


def gradient_flow(model: CharElman, ids: Ids) -> GradientFlow:
    """Measure how the gradient of one step's loss falls in the backward pass through the states.

    L_t is the loss of the last character of a window alone, and dL_t/ds_k comes from one sweep for
    all k. The windows lie evenly spread over the text, and each begins with the state that the
    characters before it leave.

    ids   classes of the text's characters; fewer lags and windows if it is short
    """
    lags = min(LAGS, len(ids) - 1)
    warm_up = min(WARM_UP, len(ids) - 1 - lags)
    length = warm_up + lags
    count = min(WINDOWS, len(ids) - length)
    starts = np.linspace(0, len(ids) - length - 1, count).astype(int)
    inputs = ids[starts + np.arange(length)[:, None]]
    s = model.initial_state(count)
    if warm_up:
        with tg.no_grad():
            s = tg.tensor(tg.unroll(model, inputs[:warm_up]).state.numpy(), name="s_0")
    run = tg.unroll(model, inputs[warm_up:], s)
    loss = tg.cross_entropy(run.steps[-1], ids[starts + length], "sum")
    back = tg.gradients(loss, list(run.states))[::-1]
    return GradientFlow(np.stack([np.linalg.norm(g.astype(np.float64), axis=1) for g in back]))


def frequencies_loss(train: Ids, held_out: Ids, vocabulary: Vocabulary) -> float:
    """The loss per character of always answering how often each character occurs, in nats.

    Counted on the training text, each character once more than it was seen; measured on the other.
    """
    counts = np.bincount(train, minlength=len(vocabulary)) + 1.0
    return float(-np.log(counts / counts.sum())[held_out].mean())
