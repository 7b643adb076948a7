"""Pictures of the study functions' results: each takes one and gives a Figure.

The figures belong to nobody (`pyplot` is not touched): save one with `figure.savefig("W.svg")`, or
leave it as the last line of a notebook's cell. Colours are those of Okabe & Ito (2008) and viridis,
which hold for colour-blind readers and in grey print; no meaning rests on colour alone.

Matplotlib is imported when the first picture is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import tree
from ..extras import need
from ..graph import Array
from ..tensor import Tensor
from ..unrolled import Unrolled
from .contributions import Contributions
from .gates import Gate
from .influence import Reach
from .jacobians import (
    norms_against_lag,
    of_one_cell,
    pascanu_bound,
    products,
    singular_values,
    step_bound,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .truncation import Truncation

BLUE, VERMILLION, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#222222", "#6B6B6B"
DECADES = 12
"""How far down a logarithmic colour scale goes."""


def table(D: Contributions) -> Figure:
    """The (t, k) table as a map: |D[t, k]| on a logarithmic scale, blank where it is zero.

    D   from `contributions`

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> cell = tg.ElmanCell(1, 4, rng=0)
    >>> run = tg.unroll(cell, np.ones((8, 1, 1)))
    >>> D = study.contributions([s.sum() for s in run.steps], cell.W)
    >>> table(D).axes[0].get_ylabel()
    '$t$ of the loss $L_t$'
    """
    need("matplotlib", "draw", "plots.table")
    from matplotlib.colors import LogNorm

    shown = np.ma.masked_less_equal(D.norms, 0)
    if shown.count() == 0:
        raise ValueError("table: every entry is zero, so there is nothing to show")
    top = float(shown.max())
    bottom = max(float(shown.min()), top * 10.0**-DECADES)
    if bottom == top:
        bottom = top / 10
    figure, axes = new_figure(5.2, 4.3)
    image = axes.imshow(
        shown, "viridis", LogNorm(bottom, top), aspect="auto", interpolation="nearest"
    )
    if isinstance(D.gradient, list):
        axes.set_xlabel(f"$k$ of {_math(D.name, '_k')}")
        label = f"norm of {_derivative('L_t', D.name, '_k')}"
    else:
        axes.set_xlabel(f"$k$, the step in which {_math(D.name)} is used")
        label = f"norm of the part of {_derivative('L_t', D.name)} through step $k$"
    axes.set_ylabel("$t$ of the loss $L_t$")
    _ticks(axes.xaxis, ["none" if k is None else str(k) for k in D.columns])
    _ticks(axes.yaxis, [str(t) for t in D.rows])
    later = [[isinstance(k, int) and k > t for k in D.columns] for t in D.rows]
    if np.mean(later) > 0.3 and not D.norms[np.array(later)].any():
        axes.text(0.74, 0.78, "zero for $k > t$", transform=axes.transAxes, ha="center", color=GREY)
    extend = "min" if float(shown.min()) < bottom else "neither"
    _few_numbers(figure.colorbar(image, ax=axes, label=label, extend=extend), bottom, top)
    return finished(figure)


def shares(D: Contributions) -> Figure:
    """The share of every step in the gradient: bars one on the other, up to |dL/dW|.

    The height of bar k is sum_t <D[t, k], G> / |G|, the part of step k along the gradient G. The
    heights add up to |G|, the bar at the right; a step that pulls the other way goes down.

    D   from `contributions`, with a single tensor as wrt

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> cell = tg.ElmanCell(1, 4, rng=0)
    >>> run = tg.unroll(cell, np.ones((8, 1, 1)))
    >>> D = study.contributions([s.sum() for s in run.steps], cell.W)
    >>> *steps, total = shares(D).axes[0].patches
    >>> np.isclose(sum(bar.get_height() for bar in steps), total.get_height()).item()
    True
    """
    need("matplotlib", "draw", "plots.shares")
    if isinstance(D.gradient, list):
        raise ValueError(
            "shares: this table has a gradient of its own in every column, so there is no one "
            "total; ask contributions(losses, wrt) for a single tensor"
        )
    heights = D.shares.sum(0)
    ends = np.cumsum(heights)
    figure, axes = new_figure(5.2, 4.3)
    n = len(heights)
    for i, (height, end) in enumerate(zip(heights, ends, strict=True)):
        up = height >= 0
        axes.bar(
            i,
            height,
            bottom=end - height,
            width=0.8,
            color=BLUE if up else VERMILLION,
            hatch=None if up else "////",
            edgecolor="white",
            linewidth=0.4,
        )
        axes.plot([i + 0.4, i + 0.6], [end, end], color=GREY, linewidth=0.7)
    total = float(np.linalg.norm(D.gradient))
    axes.bar(n + 0.6, total, width=0.8, color=INK)
    axes.axhline(0, color=INK, linewidth=0.8)
    labels = ["none" if k is None else str(k) for k in D.columns]
    _ticks(axes.xaxis, labels)
    axes.set_xticks([*axes.get_xticks(), n + 0.6], [*axes.get_xticklabels(), "sum"])
    axes.set_xlabel(f"$k$, the step in which {_math(D.name)} is used")
    axes.set_ylabel(f"share of the norm of {_derivative('L', D.name)}")
    axes.set_xlim(-0.7, n + 1.3)
    axes.set_ylim(1.06 * min(0, *ends), 1.06 * max(*ends, total))
    if (heights < 0).any():
        _key(axes, [("adds to the gradient", BLUE, None), ("pulls against it", VERMILLION, "////")])
    return finished(figure)


def lags(J: Array, W: Tensor | ArrayLike | None = None, gamma: float = 1.0) -> Figure:
    """The norm |ds_T/ds_{T-lag}| against the lag, with its bounds.

    J         (T, B, N, N) from `jacobians`; the line is the geometric mean over the batch, the
              band goes from the least to the greatest
    W, gamma  of an Elman network, for Pascanu's bound (gamma sigma_max(W))^lag; left out without W

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> cell = tg.ElmanCell(1, 4, rng=0)
    >>> J = study.jacobians(cell, np.ones((8, 2, 1)))
    >>> len(lags(J, cell.W).axes[0].lines)
    4
    """
    need("matplotlib", "draw", "plots.lags")
    of_one_cell(J, "lags")
    if J.ndim != 4:
        raise ValueError(f"lags: given shape {J.shape}; wanted (T, B, N, N), as jacobians gives")
    norms, steps = norms_against_lag(J), step_bound(J)
    x = np.arange(len(norms))
    figure, axes = new_figure(5.6, 3.6)
    axes.axhline(1, color=GREY, linewidth=0.7)
    if W is not None:
        bound = r"$\sigma_{\max}(W)^{\mathrm{lag}}$"
        if gamma != 1:
            bound = rf"$({gamma:g}\,\sigma_{{\max}}(W))^{{\mathrm{{lag}}}}$"
        pascanu = pascanu_bound(W, len(J), gamma)
        axes.plot(x, pascanu, ":", color=VERMILLION, label=f"bound: {bound}")
    axes.plot(x, _mean(steps), "--", color=GREEN, label=r"bound: product of the steps' $\|J_i\|_2$")
    axes.plot(x, _mean(norms), color=BLUE, linewidth=2, label="measured, mean over the batch")
    if J.shape[1] > 1:
        band = {"color": BLUE, "alpha": 0.2, "linewidth": 0, "label": "least to greatest"}
        axes.fill_between(x, _shown(norms.min(1)), _shown(norms.max(1)), **band)
    _log(axes)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(r"lag: steps back from $s_T$")
    axes.set_ylabel(r"$\|\partial s_T / \partial s_{T-\mathrm{lag}}\|_2$")
    axes.set_xlim(0, len(J))
    figure.legend(frameon=False, loc="outside upper center", ncols=2)
    return finished(figure)


def truncation(found: Truncation, k2: int | None = None) -> Figure:
    """The cosine and bias of truncated gradients over k2, and the part of the table one k2 keeps.

    found  from `study.truncation`
    k2     of the table of (t, k); the middle one of those compared if left out

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> cell = tg.ElmanCell(1, 4, rng=0)
    >>> data = np.ones((8, 1, 1)), np.zeros((8, 1, 4))
    >>> found = study.truncation(
    ...     cell, data, lambda o, y: tg.square(o - y).sum(), k1=2, k2=[2, 4, 8]
    ... )
    >>> [axes.get_xlabel() for axes in truncation(found).axes]
    ['reach $k_2$', '$k$, the step in which a weight is used']
    """
    need("matplotlib", "draw", "plots.truncation")
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    k2 = found.k2[len(found.k2) // 2] if k2 is None else k2
    figure = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained", facecolor="white")
    axes, table = figure.subplots(1, 2, width_ratios=(1.35, 1))
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.axhline(1, color=GREY, linewidth=0.7, linestyle=":")
    axes.plot(found.k2, found.cosine(), "o-", color=BLUE, linewidth=2, label="cosine, all weights")
    for name, color in zip(
        found.full, (GREEN, VERMILLION, *[GREY] * len(found.full)), strict=False
    ):
        axes.plot(found.k2, found.cosine(name), color=color, linewidth=1, label=f"of {_math(name)}")
    axes.plot(found.k2, found.bias(), "s--", color=INK, linewidth=1, label="bias $|g - G|/|G|$")
    axes.set_xscale("log", base=2)
    axes.set_xticks(found.k2, list(map(str, found.k2)))
    axes.minorticks_off()
    axes.set_xlabel("reach $k_2$")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=3)
    kept = found.kept(k2)
    t, k = np.indices(kept.shape)
    shades = np.where(kept, 2, np.where(k <= t, 1, 0))
    edge = found.steps + 0.5
    table.imshow(
        shades, ListedColormap(["white", "#e3e6ea", BLUE]), vmin=0, vmax=2,
        extent=(0.5, edge, edge, 0.5), interpolation="nearest",
    )  # fmt: skip
    table.set_xlabel("$k$, the step in which a weight is used")
    table.set_ylabel("$t$ of the loss $L_t$")
    table.set_title(f"kept with $k_1={found.k1}$, $k_2={k2}$: blue; lost: grey")
    return finished(figure)


def spectra(J: Array) -> Figure:
    """The singular values of ds_T/ds_{T-lag}, for lags 1, 2, 4, ... T.

    A flat line lets every direction through alike; a steep one only the first few. Values that are
    nothing but rounding (below the largest times 2^-52) are left out.

    J   (T, B, N, N) from `jacobians`; the geometric mean over the batch is shown

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> J = study.jacobians(tg.GRUCell(1, 4, rng=0), np.ones((8, 2, 1)))
    >>> [line.get_label() for line in spectra(J).axes[0].lines]
    ['1', '2', '4', '8']
    """
    need("matplotlib", "draw", "plots.spectra")
    of_one_cell(J, "spectra")
    if J.ndim != 4:
        raise ValueError(f"spectra: given shape {J.shape}; wanted (T, B, N, N), as jacobians gives")
    T, N = len(J), J.shape[-1]
    chosen = sorted({*(2**i for i in range(T.bit_length()) if 2**i <= T), T})
    values = singular_values(products(J)[chosen])
    values = np.where(values > values[..., :1] * np.finfo(np.float64).eps, values, np.nan)
    figure, axes = new_figure(5.6, 3.6)
    index = np.arange(1, N + 1)
    for lag, one, alpha in zip(chosen, values, np.linspace(1, 0.3, len(chosen)), strict=True):
        style: Any = {"color": BLUE, "alpha": alpha, "marker": "o", "markersize": 3}
        axes.plot(index, _mean(one.T), label=str(lag), **style)
    _log(axes)
    axes.set_xlim(0.5, N + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("$i$, largest first")
    axes.set_ylabel(r"singular value $\sigma_i$ of $\partial s_T / \partial s_{T-\mathrm{lag}}$")
    figure.legend(frameon=False, loc="outside right upper", title="lag")
    return finished(figure)


def saturation(gates: Mapping[str, Gate]) -> Figure:
    """How much of every gate is saturated over time, shut from below and open from above.

    The part left free between the two lets a gradient through.

    gates   from `gates`

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> run = tg.unroll(tg.LSTMCell(1, 4, rng=0), np.ones((8, 2, 1)))
    >>> len(saturation(study.gates(run)).axes)
    5
    """
    need("matplotlib", "draw", "plots.saturation")
    if not gates:
        raise ValueError("saturation: no gates given; this cell has no activation")
    figure, *panels = new_figure(5.6, 0.6 + 0.95 * len(gates), rows=len(gates))
    for axes, gate in zip(panels, gates.values(), strict=True):
        edges = np.array([*gate.steps, gate.steps[-1] + 1]) - 0.5
        low, high = (np.append(part, part[-1]) for part in (gate.shut, gate.open))
        axes.fill_between(edges, 0, low, step="post", color=VERMILLION, linewidth=0)
        axes.fill_between(edges, 1 - high, 1, step="post", color=BLUE, linewidth=0)
        axes.set_ylim(0, 1)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_yticks([0, 1])
        axes.spines[["top", "right"]].set_visible(True)
        axes.set_ylabel(_gate_label(gate), rotation=0, ha="right", va="center", labelpad=2)
        if axes is not panels[-1]:
            axes.tick_params(labelbottom=False)
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    panels[-1].set_xlabel("step $t$")
    entries: list[Entry] = []
    for end, color in enumerate((VERMILLION, BLUE)):
        known = sorted(v for v in {gate.ends[end] for gate in gates.values()} if v is not None)
        values = [f"{value:g}".replace("-", "−") for value in known]
        parts = [(gate.shut, gate.open)[end] for gate in gates.values() if gate.ends[end] is None]
        if any(part.any() for part in parts):
            values.append(f"the {('low', 'high')[end]} end")
        if values:
            entries.append((f"part saturated at {' or '.join(values)}", color, None))
    figure.legend(handles=_patches(entries), loc="outside upper right", ncols=2, frameon=False)
    return finished(figure)


def units(run: Unrolled, sequence: int = 0) -> Figure:
    """The hidden units of one sequence over time, a panel for each tensor of the state.

    run       from `unroll` or `scan`; of two directions both are shown in the order of time
    sequence  which one of the batch, from 0

    >>> import numpy as np, tinygrad_rnn as tg
    >>> figure = units(tg.unroll(tg.LSTMCell(1, 4, rng=0), np.ones((8, 2, 1))))
    >>> [panel.get_ylabel() for panel in figure.axes]
    ['unit $i$', 'unit $i$', '$h_{t}[i]$', '$c_{t}[i]$']
    """
    need("matplotlib", "draw", "plots.units")
    histories = list(_histories(run))
    figure, *panels = new_figure(5.6, 0.8 + 2.2 * len(histories), rows=len(histories))
    left, right = np.inf, -np.inf
    for axes, (where, name, first, parts) in zip(panels, histories, strict=True):
        label = _math(name, "_t")
        values = np.stack([part.numpy()[sequence].ravel() for part in parts], axis=1)
        limit = float(np.abs(values).max()) or 1.0
        extent = (first - 0.5, first + len(parts) - 0.5, len(values) + 0.5, 0.5)
        axes.set_title(where)
        left, right = min(left, first - 0.5), max(right, first + len(parts) - 0.5)
        image = axes.imshow(
            values,
            "PuOr_r",
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
            extent=extent,
        )
        axes.set_ylabel("unit $i$")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=axes, label=f"{label}[i]".replace("$[i]", "[i]$"))
        if axes is not panels[-1]:
            axes.tick_params(labelbottom=False)
    for axes in panels:
        axes.set_xlim(left, right)
    panels[-1].set_xlabel("step $t$")
    return finished(figure)


def _histories(run: Unrolled) -> Iterator[tuple[str, str, int, list[Any]]]:
    """Scopes, name, time of the first value and values in the order of time, of each state."""
    for part in run.parts:
        yield from _histories(part)
    if run.parts:
        return
    reverse = run.times[0] > run.times[-1]
    scopes = [scope for made in getattr(run, "sequences", ()) for scope in made.scopes]
    paths = [path.lstrip(".") for path in tree.paths(run.state)]
    values = list(zip(*map(tree.leaves, run.states), strict=True))
    first = min(run.times) - (0 if reverse else 1)
    names = [
        (parts[-1].name or path or "s").removesuffix(f"_{run.times[-1]}")
        for path, parts in zip(paths, values, strict=True)
    ]
    alike = len(set(names)) < len(names)  # the same parts in each layer
    for path, name, parts in zip(paths, names, values, strict=True):
        layer = [word for word in path.split(".") if word.isdigit() and alike]
        where = [*scopes, *[f"layer {int(word) + 1}" for word in layer]]
        yield "/".join(where), name, first, list(parts[::-1] if reverse else parts)


# ------------------------------------------------------------------------------------------------
# Style, in one place


def reach(found: Reach | Mapping[str, Reach], t: int | None = None, columns: int = 40) -> Figure:
    """Inputs coloured by how much an output depends on them; several networks below each other.

    found    from `study.reach`; or by name, for several cells or times of training, which share
             one scale
    t        the output, 1 for the first; the last if left out. Its own input has a frame
    columns  inputs per line

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> xs = np.random.default_rng(0).normal(size=(30, 1, 2))
    >>> cells = {"Elman": tg.ElmanCell(2, 8, rng=0), "LSTM": tg.LSTMCell(2, 8, rng=0)}
    >>> figure = reach({name: study.reach(cell, xs) for name, cell in cells.items()})
    >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
    ['Elman', 'LSTM']
    """
    need("matplotlib", "draw", "plots.reach")
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    every = {"": found} if not isinstance(found, Mapping) else dict(found)
    if not every:
        raise ValueError("reach: nothing to show")
    rows = {
        name: one.norms[(len(one.norms) if t is None else t) - 1] for name, one in every.items()
    }
    seen = np.concatenate([row[row > 0] for row in rows.values()])
    if not len(seen):
        raise ValueError("reach: the output depends on no input")
    top = float(seen.max())
    bottom = min(max(float(seen.min()), top * 1e-4), 0.1 * top)
    scale = LogNorm(bottom, top)
    lines = {name: -(-len(row) // columns) for name, row in rows.items()}
    wide = min(columns, max(len(row) for row in rows.values()))
    height = 1.1 + sum(0.3 * n + (0.35 if name else 0.1) for name, n in lines.items())
    figure, first = new_figure(max(5.2, 0.21 * wide + 1.3), height)
    first.remove()
    grid = figure.add_gridspec(len(rows), 1, height_ratios=list(lines.values()))
    colours = "Blues"
    image = ScalarMappable(scale, colours)
    panels = []
    for i, (name, row) in enumerate(rows.items()):
        axes = figure.add_subplot(grid[i])
        panels.append(axes)
        axes.set_title(name, loc="left", fontsize=9)
        axes.set_xlim(-0.05, wide + 0.05)
        axes.set_ylim(lines[name] + 0.05, -0.05)
        axes.set_axis_off()
        last = (len(row) if t is None else t) - 1
        numbers = all(label.isdigit() for label in every[name].labels) and len(row) > 9
        for k, (norm, label) in enumerate(zip(row, every[name].labels, strict=True)):
            x, y = k % columns, k // columns
            fill = image.to_rgba(np.maximum(norm, bottom)) if norm > 0 else (1, 1, 1, 1)
            if norm > 0:
                axes.add_patch(Rectangle((x, y), 1, 1, facecolor=fill, edgecolor="none"))
            dark = float(np.dot(fill[:3], (0.3, 0.59, 0.11))) < 0.5
            shown = {"\n": "↵", "\t": "⇥", " ": "·"}.get(label, label)
            if numbers and (k + 1) % 5:
                shown = ""
            size = 8 if len(shown) < 3 else 6
            ink = GREY if norm == 0 else "white" if dark else "#08306B"  # on its own ground
            family = "sans-serif" if numbers else "monospace"
            axes.text(
                x + 0.5, y + 0.52, shown, ha="center", va="center", color=ink, fontsize=size,
                family=family, parse_math=False,
            )  # fmt: skip
        x, y = last % columns, last // columns
        axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=VERMILLION, linewidth=1.6))
    label = r"$\|\partial o_t / \partial x_k\|$, $t$ framed"
    extend = "min" if float(seen.min()) < bottom else "neither"
    bar = figure.colorbar(
        image, ax=panels, label=label, extend=extend, location="bottom", aspect=40, shrink=0.6
    )
    _few_numbers(bar, bottom, top)
    return finished(figure)


def _few_numbers(bar: Any, bottom: float, top: float) -> None:
    """On a scale of few powers of ten 1, 2 and 5 times these, which have room, written plainly."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if top < 1000 * bottom:
        bar.long_axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bar.long_axis.set_minor_locator(NullLocator())
        if bottom >= 1e-4 and top < 1e5:
            bar.long_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def new_figure(width: float, height: float, rows: int = 1) -> Any:
    from .figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    panels = [figure.add_subplot(rows, 1, i + 1) for i in range(rows)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return (figure, *panels)


def finished(figure: Figure) -> Figure:
    """One face for all text, that of the formulas, and one ink."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set(fontfamily="STIXGeneral", math_fontfamily="stix", fontsize=11)
        if text.get_color() == "black":
            text.set_color(INK)
    for axes in figure.axes:
        axes.tick_params("both", which="both", color=INK, labelcolor=INK, width=0.8)
        axes.tick_params(which="both", labelfontfamily="STIXGeneral", labelsize=10)
        for spine in axes.spines.values():
            spine.set(linewidth=0.8, color=INK)
    return figure


def _ticks(axis: Any, labels: list[str]) -> None:
    """A few labels: the first, the last, and round ones that keep away from those.

    Of steps of several sequences the first of each, and lines between the sequences.
    """
    n = len(labels)
    names = [label.rpartition(":")[0] for label in labels]
    if any(names):
        first = [i for i in range(n) if i == 0 or names[i] != names[i - 1]]
        axis.set_ticks(first, [labels[i] for i in first])
        for i in first[1:]:
            axis.axes.axvline(i - 0.5, color=GREY, linewidth=0.8, linestyle="--")
        return
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, n) if n / step <= 7)
    ends = (0, n - 1)
    round_ones = [
        i
        for i, label in enumerate(labels)
        if label.isdigit() and int(label) % every == 0 and every / 2 < i < n - every / 2
    ]
    at = sorted({*ends, *round_ones})
    axis.set_ticks(at, [labels[i] for i in at])


def _log(axes: Axes) -> None:
    """A logarithmic y axis from a power of ten to a power of ten."""
    from matplotlib.ticker import NullFormatter

    axes.set_yscale("log")
    low, high = np.log10(axes.get_ylim())
    axes.set_ylim(10.0 ** np.floor(low), 10.0 ** np.ceil(high))
    axes.yaxis.set_minor_formatter(NullFormatter())


Entry = tuple[str, str, str | None]
"""Of a legend: text, colour, hatch."""


def _key(axes: Axes, entries: list[Entry]) -> None:
    axes.legend(handles=_patches(entries), frameon=False)


def _patches(entries: list[Entry]) -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=color, edgecolor="white", hatch=hatch, label=label, linewidth=0)
        for label, color, hatch in entries
    ]


def _gate_label(gate: Gate) -> str:
    inner = re.fullmatch(r"(\w+)\((\w+)\)", gate.name)
    if inner:
        return f"{inner[1]} {_math(inner[2], '_t')}"
    return _math(gate.name, "_t")


def _formula(name: str, index: str = "") -> str | None:
    """A name as a formula, if it is a letter or a letter with an index."""
    plain = re.fullmatch(r"([^\W\d_])(?:_([^\W_]+))?", name)
    if plain is None:
        return None
    parts = [part for part in (plain[2], index.removeprefix("_")) if part]
    return f"{plain[1]}_{{{','.join(parts)}}}" if parts else plain[1]


def _math(name: str, index: str = "") -> str:
    """A name for a label: a formula where it can be one, else as it is."""
    formula = _formula(name, index)
    return name.replace("$", r"\$") if formula is None else f"${formula}$"


def _derivative(of: str, name: str, index: str = "") -> str:
    formula = _formula(name, index)
    if formula is None:
        return rf"$\partial {of} / \partial$ {_math(name)}"
    return rf"$\partial {of} / \partial {formula}$"


def _mean(values: Array) -> Array:
    """The geometric mean over the last axis; nan where there is a zero, which a log can't show."""
    return np.asarray(np.exp(np.log(_shown(values)).mean(-1)))


def _shown(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)


__all__ = ["lags", "saturation", "shares", "spectra", "table", "units"]
