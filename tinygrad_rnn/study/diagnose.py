"""A verdict on the gradient flow through a recurrent cell, and remedies."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import tree
from ..autodiff import gradients
from ..graph import Array, Node, record_order
from ..nn import Cell
from ..nn.cell import first_state
from ..notation import several
from ..sequence import Sequence
from ..sweep import pullback
from ..tensor import Tensor
from ..unroll import run_steps
from ..unrolled import Unrolled
from .gates import FLAT, Gate, gates
from .problem import in_double, runs_studied, state_in_double
from .retention import ForgetFactor, forget_factors, retention
from .table import Table, as_markdown

Verdict = Literal["vanishing", "healthy", "exploding"]

PER_STEP = 1.05
"""Growth per step beyond which (or below one over which) a gradient is not healthy."""
OVERALL = 10.0
"""The same over the whole sequence."""
LEFT = 0.01
"""The part of a gradient that counts as nothing left."""
LARGE, CROWDED = 3.0, 0.3
"""From which root mean square, and part of saturated activations, on inputs are too large."""
_PROBES = 16
_OPEN = 4.0
_REMEMBERED = 50
"""A gate that is tried keeps so many steps, at least: one that is healthy by itself."""


class Remedy(NamedTuple):
    """One thing that may be done: whether it would help here, how that is known, and whether the
    gradient flow would be healthy then.
    """

    name: str
    helps: bool
    evidence: str
    enough: bool = True

    @property
    def answer(self) -> str:
        """In a word: "yes", "in part" if it helps and is not enough, or "no"."""
        return "no" if not self.helps else "yes" if self.enough else "in part"


@dataclass(frozen=True)
class Diagnosis:
    """The gradient flow through a cell, and its causes. Printing it gives the whole in words.

    verdict   "vanishing", "healthy" or "exploding"
    growth    the factor of the gradient's norm per step back
    norms     (T + 1,): norm after going back 0..T steps, as a part of that at s_T: the root
              mean square over random directions and over the batch. With lengths each sequence
              counts from its own end, and T is the length of the longest
    horizon   steps after which less than a hundredth is left; read off `norms` if that happens
              within the sequence, else from `growth`; infinite if the gradient does not shrink
    gates     every activation by name, with its values over time
    retention the forget factors of the old state on its way into the new: name -> mean
    remedies  clipping, gating, initialisation, truncation; and the inputs' scale, if large inputs
              saturate activations
    parts     of a model that needs the whole sequence, the diagnoses of its cells by their place:
              "forward", "layer 2/backward"; empty for a cell
    exponent  the largest Lyapunov exponent and its standard error, from `norms`: the growth per
              step as a logarithm, without the transient; the error of a short sequence is infinite
    """

    verdict: Verdict
    growth: float
    norms: Array
    horizon: float
    gates: dict[str, Gate]
    retention: dict[str, float]
    remedies: tuple[Remedy, ...]
    parts: dict[str, Diagnosis] = field(default_factory=dict)
    exponent: tuple[float, float] = (math.nan, math.inf)

    def __repr__(self) -> str:
        return f"<diagnosis: {self.verdict}, {self.growth:.3g} per step; print it for the rest>"

    def _repr_html_(self) -> str:
        if self.parts:
            return "".join(
                f"<h4>{escape(label)}</h4>{part._repr_html_()}"
                for label, part in self.parts.items()
            )
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.observations())
        return f"<p>{escape(self._summary())}</p><ul>{lines}</ul>{self.table()._repr_html_()}"

    def _repr_markdown_(self) -> str:
        if self.parts:
            return "\n\n".join(
                f"#### {as_markdown(label)}\n\n{part._repr_markdown_()}"
                for label, part in self.parts.items()
            )
        lines = [f"- {as_markdown(line)}" for line in self.observations()]
        table = self.table()._repr_markdown_()
        return "\n\n".join([as_markdown(self._summary()), "\n".join(lines), table])

    def _summary(self) -> str:
        by = f"{self.growth:.3g} per step"
        return f"{self.verdict}: going back, the gradient's norm is multiplied by {by}"

    def __str__(self) -> str:
        if self.parts:
            return "\n\n".join(f"{label}: {part}" for label, part in self.parts.items())
        remedies = [
            f"{remedy.name}: {remedy.answer}; {remedy.evidence}" for remedy in self.remedies
        ]
        return "\n".join(
            [
                self._summary(),
                *(f"  {line}" for line in self.observations()),
                "remedies:",
                *(f"  {line}" for line in remedies),
            ]
        )

    def observations(self) -> list[str]:
        """The norms, the horizon, every activation and the forget factors, a line each."""
        T = len(self.norms) - 1
        zeros = np.flatnonzero(self.norms == 0)
        lines = [
            f"over {_steps(T)}: from 1 at s_{T} to {self.norms[-1]:.2g} at s_0"
            + (f"; exactly 0 from {_steps(int(zeros[0]))} back on" if zeros.size else ""),
            f"effective horizon: {self._reach()}",
            *self._stability(),
        ]
        if not self.gates:
            lines.append("activations: none recorded")
        for gate in self.gates.values():
            lines.append(f"{gate.name} ({gate.kind}): {_condition(gate)}")
        if self.retention:
            means = [f"{name} = {mean:.2f} on average" for name, mean in self.retention.items()]
            lines.append(f"forget factor, from the old state to the new: {', '.join(means)}")
        return lines

    def table(self) -> Table:
        """The remedies, a row each."""
        rows = [(r.name, r.answer, r.evidence) for r in self.remedies]
        return Table(("remedy", "helps", "evidence"), rows)

    def _stability(self) -> list[str]:
        """The largest Lyapunov exponent, and whether steps could run in parallel."""
        value, error = self.exponent
        if not math.isfinite(value) or not math.isfinite(error):
            return []
        text = f"largest Lyapunov exponent {value:.2g} ± {error:.1g} per step".replace("-", "−")
        if value + 2 * error < 0:
            return [
                f"{text}: below 0, so states forget where they began, and the network could be "
                "evaluated in parallel over time (Newton's method on all steps at once converges)"
            ]
        if value - 2 * error > 0:
            return [
                f"{text}: above 0, so close states part, and the network could not be evaluated in "
                "parallel over time (Newton's method on all steps at once diverges)"
            ]
        return [f"{text}: not to be told from 0 on {_steps(len(self.norms) - 1)}"]

    def _reach(self) -> str:
        T = len(self.norms) - 1
        part = f"less than {LEFT:.0%} of the gradient is left"
        if self.horizon <= T:
            return f"{_steps(int(self.horizon))}; further back {part}"
        if self.horizon < 100 * T:
            return f"about {_steps(round(self.horizon))}, by the growth per step; then {part}"
        return f"longer than can be told from {_steps(T)}"


def diagnose(
    cell: Cell,
    xs: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
) -> Diagnosis:
    """Look at the gradient flow through a cell on a batch, and try remedies.

    Random gradients are started at s_T and followed to s_0. "vanishing" or "exploding": the norm
    changes by more than 5 percent per step or by more than a factor of 10 over the sequence.
    Gating and initialisation have been tried: the figure given is that of this cell
    with its gate opened (or a constant one put around it), or with its weights drawn anew. No
    loss is involved; see `contributions`.

    cell   the cell; computed in float64 on a copy
    xs     (T, B, ...), or a tree of arrays (T, B, ...): a batch of typical inputs, T as long as in
           training
    state  s_0; `cell.initial_state(B)` if left out
    lengths, mask, reverse  as in `unroll`: steps that a sequence does not have count nowhere

    Of two directions, or layers of them, each cell is looked at by itself, a reversed one in its
    own order of time: `parts`. So is each cell that a module without a step, as an encoder-decoder,
    unrolls when it is called with xs (or with these arguments, if they are a tuple). The result is
    that of the one whose growth is furthest from 1.

    Raises TypeError for something that is not a cell, ValueError for xs without (T, B) or without
    a step, and FloatingPointError where a state is not finite.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.ElmanCell(2, 8, activation="identity", rng=0)
    >>> cell.W.assign(0.5 * np.eye(8))
    >>> print(diagnose(cell, np.ones((20, 4, 2))))
    vanishing: going back, the gradient's norm is multiplied by 0.5 per step
      over 20 steps: from 1 at s_20 to 9.5e-07 at s_0
      effective horizon: 7 steps; further back less than 1% of the gradient is left
      ...
    """
    options = {"lengths": lengths, "mask": mask, "reverse": reverse}
    runs = runs_studied("diagnose", cell, xs, state, **options)
    found = {run.label: _of_cell(run.cell, run.xs, run.state) for run in runs}
    if list(found) == [""]:
        return found[""]
    worst = max(found.values(), key=lambda part: abs(math.log(max(part.growth, 1e-300))))
    return replace(worst, parts=found)


def _of_cell(cell: Cell, xs: Sequence, state: Any) -> Diagnosis:
    if xs.active is not None and not xs.active.any():
        raise ValueError("diagnose: no sequence has a step")
    start = first_state(cell, xs.batch_size) if state is None else state
    start = state_in_double(start, "diagnose")
    run, norms = _followed(cell, xs, start)
    growth = _growth(norms)
    verdict = _verdict(growth, norms)
    factors = retention(run)
    remedies = (
        _clipping(norms, growth),
        _gating(cell, xs, start, run, verdict, growth, factors),
        _initialisation(cell, xs, start, run, verdict, growth),
        _truncation(norms, verdict, growth),
        *_inputs(cell, xs, start, run, verdict, growth),
    )
    return Diagnosis(
        verdict,
        growth,
        norms,
        _horizon(norms, growth),
        gates(run),
        factors,
        remedies,
        exponent=_exponent(norms),
    )


# ------------------------------------------------------------------------------------------------
# Measuring


def _followed(cell: Cell, xs: Sequence, start: Any) -> tuple[Unrolled, Array]:
    """The unrolled cell, and the norm of random gradients along the backward pass."""
    with np.errstate(over="ignore", invalid="ignore"):  # reported just below, with the step
        run = run_steps(cell, xs, start)
    for t, state in zip((None, *run.times), run.states, strict=True):
        for part in tree.leaves(state):
            if not np.isfinite(part.numpy()).all():
                where = "to begin with" if t is None else f"from step {t} on"
                raise FloatingPointError(
                    f"diagnose: the state is not finite {where}; run the forward pass "
                    "under tg.detect_anomaly() to see which operation did it"
                )
    last = tree.leaves(run.state)
    if not any(part.recorded for part in last):
        raise ValueError("diagnose: nothing was recorded; do not call it under no_grad()")
    last = [part for part in last if part.recorded]
    rng = np.random.default_rng(0)
    B = len(last[0].numpy())
    squares = np.zeros((len(run.states), B))
    sweeps = math.ceil(_PROBES / B)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(sweeps):
            seeds = [rng.normal(size=part.shape) for part in last]
            length = np.sqrt(sum(np.sum(seed**2) for seed in seeds))
            squares += _swept(run, last, [seed / length for seed in seeds])
        return run, np.sqrt(_by_lag(squares, xs))


def _swept(run: Unrolled, last: list[Tensor], seeds: list[Array]) -> Array:
    """|dL/ds|^2 of each sequence for every state of a run, (T + 1, B), from cotangents of the last.

    A part of a state counts as the next step is given it: not values made from it within the
    step that made it, as c in h = o tanh(c).
    """
    order: dict[int | None, int] = {t: k for k, t in enumerate(run.times)}
    made: dict[tuple[Node | None, int], dict[int, Array]] = {
        (part._node, part._port): {} for state in run.states for part in tree.leaves(state)
    }

    def visit(node: Node, argument: int, part: Any) -> None:
        uses = made.get((node.inputs[argument], node.ports[argument]))
        at = order.get(node.place.step)
        if uses is not None and at is not None:
            uses[at] = uses[at] + part if at in uses else part

    nodes = [node for node, _ in made if node is not None]
    pullback(zip(last, seeds, strict=True), nodes, keep=True, visit=visit)
    end = {(part._node, part._port): seed for part, seed in zip(last, seeds, strict=True)}
    squares = np.zeros((len(run.states), len(seeds[0])))
    for k, state in enumerate(run.states):
        for part in tree.leaves(state):
            key = (part._node, part._port)
            later = [g for at, g in made[key].items() if at >= k]
            later += [end[key]] if key in end else []
            if later:
                total = functools.reduce(np.add, later)
                squares[k] += (total**2).reshape(len(total), -1).sum(1)
    return squares


def _by_lag(squares: Array, xs: Sequence) -> Array:
    """Sums over the batch by how many steps a sequence has gone back, as parts of those at its end.

    squares  (T + 1, B): of a state, in the order in which the steps are run
    """
    if xs.active is None:
        total = squares[::-1].sum(1)
        return np.asarray(total / total[0])
    ran = xs.active[list(xs.order())][::-1]  # the last step first
    lags = np.concatenate([np.zeros_like(ran[:1], int), np.cumsum(ran, axis=0)])
    found, begun = np.zeros(lags.max() + 1), np.zeros(lags.max() + 1)
    for lag in range(len(found)):
        has = (lags == lag).any(0)
        k = np.argmax(lags == lag, axis=0)
        found[lag] = squares[::-1][k, np.arange(len(k))][has].sum()
        begun[lag] = squares[-1][has].sum()
    return found / begun


def _growth(norms: Array) -> float:
    """The factor per step: slope of ln(norm) against lag, over the lags where there is a norm."""
    usable = (norms > 0) & np.isfinite(norms)
    lags, logs = np.flatnonzero(usable), np.log(norms[usable])
    if len(lags) < 2:
        return 0.0
    centred = lags - lags.mean()
    return float(np.exp((centred * logs).sum() / (centred**2).sum()))


def _exponent(norms: Array) -> tuple[float, float]:
    """The largest Lyapunov exponent from the norms over the lag, and its standard error.

    The first tenth of the lags is left out, while the random directions turn; the rest is cut into
    up to ten blocks, whose means count as independent.
    """
    usable = np.flatnonzero((norms > 1e-290) & np.isfinite(norms))
    if len(usable) < 2 or usable[-1] + 1 != len(usable):
        return math.nan, math.inf
    logs = np.diff(np.log(norms))[len(norms) // 10 :]
    blocks = min(10, len(logs) // 2)
    if blocks < 2:
        return float(logs.mean()) if len(logs) else math.nan, math.inf
    means = np.array([block.mean() for block in np.array_split(logs, blocks)])
    return float(logs.mean()), float(means.std(ddof=1) / math.sqrt(blocks))


def _verdict(growth: float, norms: Array) -> Verdict:
    if growth > PER_STEP or not norms[-1] <= OVERALL:
        return "exploding"
    if growth < 1 / PER_STEP or norms[-1] < 1 / OVERALL:
        return "vanishing"
    return "healthy"


def _horizon(norms: Array, growth: float) -> float:
    there = np.flatnonzero(~(norms < LEFT))
    if there[-1] + 1 < len(norms):
        return float(there[-1] + 1)
    return math.log(LEFT) / math.log(growth) if 0 < growth < 1 else math.inf


# ------------------------------------------------------------------------------------------------
# Remedies


def _clipping(norms: Array, growth: float) -> Remedy:
    largest = float(norms.max())
    lag = int(norms.argmax())
    if largest <= OVERALL:
        why = f"in the backward pass the norm never exceeds {largest:.3g} times its first value"
        return Remedy("clipping", False, why)
    why = (
        f"{_steps(lag)} back the norm is {largest:.3g} times its first value; scaling the "
        f"whole gradient down bounds the update (it does not change the growth of {growth:.3g})"
    )
    return Remedy("clipping", True, why)


class _Gated(Cell):
    """A constant gate around a cell: s_t = keep s_{t-1} + (1 - keep) cell(x_t, s_{t-1})."""

    def __init__(self, cell: Cell, keep: float) -> None:
        self.cell = cell
        self.keep = keep

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        output, new = self.cell.step(x, state)
        pairs = zip(tree.leaves(state), tree.leaves(new), strict=True)
        mixed = [self.keep * a + (1 - self.keep) * b for a, b in pairs]
        return output, tree.rebuild(new, iter(mixed))


def _opened(cell: Cell, of_state: list[ForgetFactor]) -> tuple[Cell, str] | None:
    """The same cell keeping more of its state, and how; None if no bias changes its forget factors.

    In the first step the forget factors depend on the biases directly, not through earlier steps.
    """
    opened = in_double(cell)
    biases = {name: p for name, p in cell.parameters().items() if p.ndim == 1}
    signs: set[float] = set()
    for forget in of_state:
        factor = forget.by_step[0]
        if not biases or not isinstance(factor, Tensor):
            continue
        ones = np.ones(factor.shape)
        found = gradients(factor, list(biases.values()), ones, keep_record=True)
        for name, g in zip(biases, found, strict=True):
            if g.any():  # one bias is enough, where a cell has two that do the same
                parameter = opened.parameters()[name]
                parameter.assign(parameter.numpy() + _OPEN * np.sign(g))
                signs.update(np.sign(g[g != 0]))
                break
    if not signs:
        return None
    done = " or ".join({1.0: "added to", -1.0: "taken off"}[sign] for sign in sorted(signs))
    return opened, f"{_OPEN:g} {done} the bias"


def _gating(
    cell: Cell,
    xs: Sequence,
    start: Any,
    run: Unrolled,
    verdict: Verdict,
    growth: float,
    factors: dict[str, float],
) -> Remedy:
    if verdict == "healthy":
        return Remedy("gating", False, f"not needed: the growth is {growth:.3g} per step")
    if factors:
        kept = ", ".join(f"{name} keeps {mean:.2f}" for name, mean in factors.items())
        why = f"the state has a forget factor already: {kept}"
        opened = _opened(cell, forget_factors(run)) if verdict == "vanishing" else None
        if opened is None:
            return Remedy("gating", False, why)
        helps, enough, found = _tried(opened[0], xs, start, growth)
        return Remedy("gating", helps, f"{why}; with {opened[1]} {found}", enough)
    keep = 1 - 1 / max(len(run), _REMEMBERED)
    helps, enough, found = _tried(_Gated(cell, keep), xs, start, growth)
    why = f"with a gate that keeps {keep:.3g} of the state {found}"
    return Remedy("gating", helps, why, enough)


def _initialisation(
    cell: Cell, xs: Sequence, start: Any, run: Unrolled, verdict: Verdict, growth: float
) -> Remedy:
    if verdict == "healthy":
        return Remedy("initialisation", False, f"not needed: the growth is {growth:.3g} per step")
    recurrent = _multiply_the_state(run)
    rng = np.random.default_rng(0)
    anew = in_double(cell)
    old = cell.parameters()
    added = _added(run)
    for name, parameter in anew.parameters().items():
        node = old[name]._node
        if parameter.ndim == 2 or node in added:
            parameter.assign(_drawn(rng, parameter.shape, node in recurrent))
    helps, enough, found = _tried(anew, xs, start, growth)
    why = (
        "with the weights drawn anew (orthogonal from state to state, the others within "
        f"1/sqrt(rows), biases 0) {found}"
    )
    return Remedy("initialisation", helps, why, enough)


def _truncation(norms: Array, verdict: Verdict, growth: float) -> Remedy:
    T = len(norms) - 1
    horizon = _horizon(norms, growth)
    if verdict == "exploding":
        k2 = int(np.argmax(norms > OVERALL)) - 1 if norms.max() > OVERALL else T
        why = f"going back at most k2 = {k2} of {_steps(T)} keeps the growth below {OVERALL:.0f}"
        if k2 < 1 or k2 >= T:
            why = f"no window of fewer than {_steps(T)} makes a difference"
        return Remedy("truncation", 1 <= k2 < T, why)
    if horizon < T:
        why = (
            f"it saves work and cures nothing: k2 = {horizon:.0f} of {_steps(T)} loses less than "
            f"{LEFT:.0%} of a gradient"
        )
    else:
        why = f"it would lose something: at s_0 the norm is still {norms[-1]:.2g}"
    return Remedy("truncation", False, why)


def _inputs(
    cell: Cell, xs: Sequence, start: Any, run: Unrolled, verdict: Verdict, growth: float
) -> list[Remedy]:
    """Smaller inputs, where large ones saturate the activations."""
    given = xs.stacked()
    floats = isinstance(given, np.ndarray) and given.dtype.kind == "f"
    real = given if xs.active is None or not floats else given[xs.active]
    size = float(np.sqrt(np.mean(real**2))) if floats else 0.0
    saturated = _saturated(run)
    if size < LARGE or saturated < CROWDED or verdict != "vanishing":
        return []
    smaller = xs.of(given / size)
    helps, enough, found = _tried(cell, smaller, start, growth)
    less = _saturated(_followed(cell, smaller, start)[0])
    why = (
        f"they are large, {size:.3g} on average (root mean square), and {saturated:.0%} of the "
        f"activations are saturated; divided by {size:.3g}, {less:.0%} are: {found}"
    )
    return [Remedy("inputs", helps or less < saturated / 2, why, enough)]


def _saturated(run: Unrolled) -> float:
    """The part of the activations that is saturated."""
    found = [float(g.saturated.mean()) for g in gates(run).values() if g.ends != (0, None)]
    return float(np.mean(found)) if found else 0.0


def _tried(cell: Cell, xs: Sequence, start: Any, before: float) -> tuple[bool, bool, str]:
    """Whether the growth of a changed cell is at most half as far from 1 (as logarithms), whether
    it is healthy; words.
    """
    try:
        run, norms = _followed(cell, xs, start)
    except FloatingPointError:
        return False, False, "the states overflow (tried)"
    after = _growth(norms)
    dead = sum(len(gate.dead) for gate in gates(run).values() if gate.ends != (0, 1))
    still = f", {_units(dead, 'still dead')}" if dead else ""
    verdict = _verdict(after, norms)
    closer = after > 0 and (before == 0 or abs(math.log(after)) <= abs(math.log(before)) / 2)
    more = "still " if closer and verdict != "healthy" else ""
    found = f"the growth is {after:.3g} ({more}{verdict}{still}; tried)"
    return closer, verdict == "healthy", found


def _multiply_the_state(run: Unrolled) -> set[Node]:
    """The leaves that a state, or something computed from one, is multiplied with as a matrix."""
    reached = {part._node for part in tree.leaves(run.states[0])}
    found: set[Node] = set()
    for node in record_order([p._node for p in tree.leaves(run.state) if p._node is not None]):
        if any(source in reached for source in node.inputs):
            reached.add(node)
            if node.primitive is not None and node.primitive.kind == "bilinear":
                found.update(s for s in node.inputs if s is not None and s.primitive is None)
    return found - {part._node for part in tree.leaves(run.states[0])}


def _added(run: Unrolled) -> set[Node]:
    """The leaves that are added to something: biases. Gains are factors, and stay as they are."""
    found: set[Node] = set()
    for node in record_order([p._node for p in tree.leaves(run.state) if p._node is not None]):
        if node.primitive is not None and node.primitive.notation.symbol == "+":
            found.update(s for s in node.inputs if s is not None and s.primitive is None)
    return found


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], recurrent: bool) -> Array:
    """Weights as they are usually drawn (Saxe, McClelland & Ganguli 2014 for the orthogonal)."""
    if len(shape) != 2:
        return np.zeros(shape)
    rows, columns = shape
    if not recurrent:
        bound = rows**-0.5
        return rng.uniform(-bound, bound, shape)
    if columns % rows:
        return _orthogonal(rng, max(shape))[:rows, :columns]
    return np.concatenate([_orthogonal(rng, rows) for _ in range(columns // rows)], axis=1)


def _orthogonal(rng: np.random.Generator, size: int) -> Array:
    Q, R = np.linalg.qr(rng.normal(size=(size, size)))
    return np.asarray(Q * np.sign(np.diagonal(R)))


# ------------------------------------------------------------------------------------------------
# Words


def _condition(gate: Gate) -> str:
    low, high = gate.ends
    if (
        low == 0
        and high is None
        and not gate.values[gate.active][gate.slopes[gate.active] < FLAT].any()
    ):  # as relu
        zeros = f"{gate.shut.mean():.0%} of its values are 0"
        return f"{zeros}; {_units(len(gate.dead), 'always 0: dead') or 'no unit dead'}"
    ends = f"saturated {gate.saturated.mean():.0%}"
    if gate.ends == (0, 1):
        ends += f" (shut {gate.shut.mean():.0%}, open {gate.open.mean():.0%})"
        high = int((gate.values[gate.active].mean(axis=0)[list(gate.dead)] > 0.5).sum())
        low = len(gate.dead) - high
        stuck = [_units(low, "always shut"), _units(high, "always open")]
    else:
        stuck = [_units(len(gate.dead), "saturated in every step")]
    slope = f"slope {gate.slopes[gate.active].mean():.2g} of its greatest on average"
    return f"{ends}, {slope}; {', '.join(filter(None, stuck)) or 'no unit stuck'}"


def _units(n: int, condition: str) -> str:
    return f"{several(n, 'unit')} {condition}" if n else ""


def _steps(n: int) -> str:
    return several(n, "step")


__all__ = ["Diagnosis", "Remedy", "diagnose"]
