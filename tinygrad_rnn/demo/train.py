"""Training the demo's model: truncated backpropagation through time, and its learning curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..data import Ids, windows
from .model import CharElman

HIDDEN = 100
WINDOW = 32
BATCH = 16
RATE = 5e-3
CLIP = 5.0
EVALUATIONS = 20
RECENT = 50


@dataclass
class History:
    """The measurements of training: losses in nats per character.

    train      of every window, before the update it led to
    held_out   [(updates so far, loss of the text held out)]
    asked      the number of updates asked for
    """

    asked: int
    train: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """The number of updates done."""
        return len(self.train)

    @property
    def stopped(self) -> bool:
        """Whether training was stopped early."""
        return self.steps < self.asked

    @property
    def first(self) -> float:
        """The loss before the first update: of the first window, if there was one."""
        return self.train[0] if self.train else self.held_out[0][1]

    @property
    def recent(self) -> float:
        """The mean training loss of the last windows; NaN before the first."""
        return float(np.mean(self.train[-RECENT:])) if self.train else float("nan")


def window_loss(outputs: tg.Tensor, targets: Ids) -> tg.Tensor:
    """The loss of a window, L = sum_t L_t; L_t is the mean of -log softmax(o_t)[target].

    outputs  (n, B, V)
    targets  (n, B) classes
    """
    loss: tg.Tensor = tg.cross_entropy(outputs, targets, "sum") / targets.shape[1]
    return loss


def evaluate(model: CharElman, ids: Ids) -> float:
    """The loss per character on a text, in nats; nothing is recorded."""
    total, count, s = 0.0, 0, None
    with tg.no_grad():
        for window in windows(ids, WINDOW, 64):
            outputs, s = tg.unroll(model, window.inputs, s)
            total += window_loss(outputs, window.targets).item()
            count += len(window.inputs)
    return total / count


def train(
    model: CharElman,
    ids: Ids,
    held_out: Ids,
    steps: int,
    k1: int = WINDOW,
    k2: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[History], None] = lambda history: None,
) -> History:
    """Train a model by Adam, with gradients clipped and a rate that falls linearly to zero.

    By truncated BPTT: an update every k1 characters, with gradients that reach back k2. The state
    goes on from window to window, and begins anew with the text.

    ids, held_out   classes of the characters to train on, and of those to measure on only
    steps           number of updates
    k1, k2          see `truncated`; k2 is k1 if left out
    stop            asked before every update; True ends training there
    progress        called after every update
    """
    history = History(steps)
    optimiser = tg.optim.Adam(model, RATE)
    every = max(1, steps // EVALUATIONS)
    characters = _again_and_again(ids)
    coming = tg.truncated(model, characters, window_loss, k1=k1, k2=k2)
    for step, window in zip(range(steps), coming, strict=False):
        if stop():
            break
        if step % every == 0:
            history.held_out.append((step, evaluate(model, held_out)))
        window.backward()
        tg.optim.clip_by_norm(model, CLIP)
        optimiser.lr = RATE * (1 - step / steps)
        optimiser.step()
        history.train.append(window.loss.item() / len(window.steps))
        progress(history)
    history.held_out.append((history.steps, evaluate(model, held_out)))
    return history


def _again_and_again(ids: Ids) -> Iterator[tuple[Ids, Ids, np.ndarray[Any, Any]]]:
    """The characters and those that follow, BATCH at a time; and whether the text begins anew."""
    while True:
        for window in windows(ids, WINDOW, BATCH):
            for t, (x, y) in enumerate(zip(window.inputs, window.targets, strict=True)):
                yield x, y, np.full(len(x), window.first and t == 0)
