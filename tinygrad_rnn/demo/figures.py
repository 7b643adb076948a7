"""The demo's two plots, as SVG that takes its colours from the page around it."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Array
from .measure import Fading
from .train import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib wants real colours; in the SVG each becomes a variable of the page's style sheet, so
# that a plot follows the page from light to dark
INK, MUTED, RULE, BLUE, ORANGE = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", BLUE: "blue", ORANGE: "orange"}

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "tinygrad_rnn",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def learning_curve(history: History, uniform: float, frequencies: float) -> str:
    """Loss per character over updates: an SVG element.

    uniform       ln V, marked
    frequencies   the loss of answering with the characters' frequencies, marked
    """
    return _svg(lambda axes: _learning_curve(axes, history, uniform, frequencies))


def _learning_curve(axes: Axes, history: History, uniform: float, frequencies: float) -> None:
    last = max(history.steps, 1)
    for value, text in ((uniform, "ln V, all alike"), (frequencies, "by frequency alone")):
        axes.axhline(value, color=INK, linewidth=0.9, dashes=(5, 3))
        axes.text(last, value + 0.04, f"{text}: {value:.2f}", ha="right", va="bottom")
    train = np.array(history.train)
    if len(train):
        axes.plot(train, color=BLUE, linewidth=0.5, alpha=0.3)
        mean = _smoothed(train)
        axes.plot(mean, color=BLUE, linewidth=1.8)
        axes.text(0.4 * last, mean[len(mean) * 2 // 5] - 0.5, "training", color=BLUE, va="top")
    steps, losses = zip(*history.held_out, strict=True)
    axes.plot(steps, losses, color=ORANGE, marker="o", markersize=3.5, linewidth=1.2)
    i = len(steps) * 2 // 3
    axes.text(steps[i], losses[i] + 0.22, "held out", color=ORANGE, ha="center")
    axes.set_xlim(0, last)
    axes.set_ylim(min(1.0, 0.8 * min(losses)), 1.1 * max(uniform, *losses))
    axes.set_xlabel("updates")
    axes.set_ylabel("loss per character (nats)")


def fading(before: Fading, after: Fading) -> str:
    """||dL_t/ds_k|| over the lag t - k, before and after training: an SVG element."""
    return _svg(lambda axes: _fading(axes, before, after))


def _fading(axes: Axes, before: Fading, after: Fading) -> None:
    axes.set_yscale("log")
    lags = np.arange(len(after.median))
    for what, text, colour, dashes in (
        (before, "untrained", ORANGE, (4, 2)),
        (after, "trained", BLUE, (1, 0)),
    ):
        axes.fill_between(lags, *what.band, color=colour, alpha=0.18, linewidth=0)
        axes.plot(lags, what.median, color=colour, linewidth=1.8, dashes=dashes)
        i = len(lags) * 3 // 5
        axes.annotate(
            text, (lags[i], what.median[i]), (5, 5), textcoords="offset points", color=colour
        )
    axes.set_xlim(0, max(lags[-1], 1))
    axes.set_xlabel("lag t − k (steps back)")
    axes.set_ylabel("‖dL$_t$/ds$_k$‖")


def _smoothed(values: Array, reach: int = 25) -> Array:
    """Means over the neighbours on both sides; over fewer near the start, which stays in place."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    low = i - np.minimum(reach, i)
    high = np.minimum(2 * i - low + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _svg(draw: Any) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure: Figure = Figure(figsize=(5.2, 3.5), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]  # without the XML header, which HTML does not know
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text
