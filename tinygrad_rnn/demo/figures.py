"""The demo's two plots: its learning curve, and the gradient flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph import Array
from ..study.plots import BLUE, INK, VERMILLION, finished, new_figure
from .measure import GradientFlow
from .train import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curve(history: History, uniform: float, frequencies: float) -> Figure:
    """Loss per character over updates.

    uniform       ln V, marked
    frequencies   the loss of answering with the characters' frequencies, marked
    """
    figure, axes = new_figure(5.6, 3.8)
    last = max(history.steps, 1)
    for value, text in ((uniform, "ln V, all alike"), (frequencies, "by frequency alone")):
        axes.axhline(value, color=INK, linewidth=0.9, dashes=(5, 3))
        axes.text(last, value + 0.04, f"{text}: {value:.2f}", ha="right", va="bottom")
    train = np.array(history.train)
    if len(train):
        axes.plot(train, color=BLUE, linewidth=0.5, alpha=0.3)
        axes.plot(_smoothed(train), color=BLUE, linewidth=1.8, label="training")
    steps, losses = zip(*history.held_out, strict=True)
    style = {"color": VERMILLION, "marker": "o", "markersize": 3.5, "linewidth": 1.2}
    axes.plot(steps, losses, label="held out", **style)
    axes.set_xlim(0, last)
    axes.set_ylim(min(1.0, 0.8 * min(losses)), 1.1 * max(uniform, *losses))
    axes.set_xlabel("updates")
    axes.set_ylabel("loss per character (nats)")
    figure.legend(frameon=False, loc="outside upper center", ncols=2)
    return finished(figure)


def gradient_flow(before: GradientFlow, after: GradientFlow) -> Figure:
    """||dL_t/ds_k|| over the lag t - k, before and after training."""
    figure, axes = new_figure(5.6, 3.8)
    axes.set_yscale("log")
    lags = np.arange(len(after.median))
    for found, text, colour, dashes in (
        (before, "untrained", VERMILLION, (4, 2)),
        (after, "trained", BLUE, (1, 0)),
    ):
        axes.fill_between(lags, *found.band, color=colour, alpha=0.18, linewidth=0)
        axes.plot(lags, found.median, color=colour, linewidth=1.8, dashes=dashes, label=text)
    axes.set_xlim(0, max(lags[-1], 1))
    axes.set_xlabel("lag $t - k$: steps back")
    axes.set_ylabel(r"$\|\partial L_t / \partial s_k\|$")
    figure.legend(frameon=False, loc="outside upper center", ncols=2)
    return finished(figure)


def _smoothed(values: Array, reach: int = 25) -> Array:
    """Means over the neighbours on both sides; over fewer near the start, which stays in place."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    low = i - np.minimum(reach, i)
    high = np.minimum(2 * i - low + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
