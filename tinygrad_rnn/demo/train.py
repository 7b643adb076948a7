"""Training the demo's model: truncated backpropagation through time, and its learning curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

import tinygrad_rnn as tg

from ..data import Ids, Window, windows
from .model import CharElman

HIDDEN = 100
WINDOW = 32
BATCH = 16
RATE = 5e-3
CLIP = 5.0
STEPS = 2000
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


def window_loss(
    model: CharElman, window: Window, s: tg.Tensor | None
) -> tuple[tg.Tensor, tg.Tensor]:
    """The loss of a window, and the state after it.

    L = sum_t L_t, and L_t the mean over the batch of -log softmax(o_t)[target].
    """
    run = tg.unroll(model, window.inputs, s)
    loss = tg.zeros(())
    for t, (o, target) in enumerate(zip(run.steps, window.targets, strict=True), start=1):
        with tg.timestep(t):
            loss = loss + tg.cross_entropy(o, target)
    return loss, run.state


def evaluate(model: CharElman, ids: Ids) -> float:
    """The loss per character on a text, in nats; nothing is recorded."""
    total, count, s = 0.0, 0, None
    with tg.no_grad():
        for window in windows(ids, WINDOW, 64):
            loss, s = window_loss(model, window, s)
            total += loss.item()
            count += len(window.inputs)
    return total / count


def train(
    model: CharElman,
    ids: Ids,
    held_out: Ids,
    steps: int,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[History], None] = lambda history: None,
) -> History:
    """Train a model by Adam, with gradients clipped and a rate that falls linearly to zero.

    The state is carried from window to window, detached: its value goes on, no gradient comes back.

    ids, held_out   classes of the characters to train on, and of those to measure on only
    steps           number of updates
    stop            asked before every update; True ends training there
    progress        called after every update
    """
    history = History(steps)
    optimiser = tg.optim.Adam(model, RATE)
    every = max(1, steps // EVALUATIONS)
    s = None
    for step, window in zip(range(steps), _again_and_again(ids), strict=False):
        if stop():
            break
        if step % every == 0:
            history.held_out.append((step, evaluate(model, held_out)))
        loss, s = window_loss(model, window, None if window.first or s is None else s.detach())
        loss.backward()
        tg.optim.clip_by_norm(model, CLIP)
        optimiser.lr = RATE * (1 - step / steps)
        optimiser.step()
        history.train.append(loss.item() / len(window.inputs))
        progress(history)
    history.held_out.append((history.steps, evaluate(model, held_out)))
    return history


def _again_and_again(ids: Ids) -> Iterator[Window]:
    while True:
        yield from windows(ids, WINDOW, BATCH)
