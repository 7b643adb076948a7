"""How much each output of a network depends on each input: the norms of do_t/dx_k."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import tree
from ..autodiff import gradients
from ..data import Vocabulary
from ..graph import Array, timestep
from ..nn import Cell
from ..nn.cell import first_state
from ..notation import several
from ..sequence import Sequence
from ..tensor import Tensor, tensor
from ..unroll import for_one_state, run_steps
from .problem import state_in_double, studied
from .table import Table, Tabled, figures

FAR = 0.01
"""An input counts for an output from this part of the largest norm of its row on."""


@dataclass(frozen=True)
class Reach(Tabled):
    """How much output t depends on input k. Prints as a table of the last output.

    norms   (T, T): norms[t-1, k-1] is the Frobenius norm of do_t/dx_k, the mean over those
            sequences of a batch that have step t; 0 for k > t, unless something runs in reverse
    labels  of input k: characters, or numbers of steps

    `study.plots.reach` colours the text by it.
    """

    norms: Array
    labels: tuple[str, ...]

    def shares(self, t: int) -> Array:
        """The norms of output t (1 for the first) as parts of their sum, (T,)."""
        row = self.norms[t - 1]
        return np.asarray(row / (row.sum() or 1.0))

    def horizon(self, t: int) -> int:
        """How many steps away the furthest input lies that counts for output t: its norm is a
        hundredth of the row's largest or more.
        """
        row = self.norms[t - 1]
        counts = np.flatnonzero(row >= FAR * row.max()) if row.max() > 0 else np.array([t - 1])
        return int(np.abs(counts - (t - 1)).max())

    def table(self, t: int | None = None) -> Table:
        """The inputs of output t (the last if left out): step, lag, label, norm, share.

        Later inputs, which have negative lags, are there if any output depends on one.
        """
        t = len(self.norms) if t is None else t
        last = len(self.norms) if np.triu(self.norms, 1).any() else t
        rows = [
            (str(k), str(t - k), self.labels[k - 1], figures(n), f"{share:.1%}")
            for k, (n, share) in enumerate(
                zip(self.norms[t - 1, :last], self.shares(t), strict=False), start=1
            )
        ]
        heads = ("step k", "lag", "input", f"|do_{t}/dx_k|", "share")
        title = f"What output {t} depends on"
        return Table(heads, rows, title, numbers=(0, 1, 3, 4))

    def __repr__(self) -> str:
        T = len(self.norms)
        far = f"output {T} depends on inputs back to step {T - self.horizon(T)}"
        return f"<reach of {several(T, 'step')}: {far}; print it for the table>"


def reach(
    model: Cell,
    xs: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
) -> Reach:
    """How much output t of a network depends on input k, for real inputs.

    model  a cell, as it is: trained, untrained, or in training; computed in float64 on a copy
    xs     (T, B, I), or a tree of arrays with time first, whose floats count together; or a text
           if the model has a `vocabulary`: its characters go in one-hot
    state  s_0; `cell.initial_state(B)` if left out
    lengths, mask, reverse  as in `unroll`

    do_t/dx_k = (do_t/ds_{t-1}) J_{t-1} ... J_{k+1} (ds_k/dx_k), from the Jacobians of single steps;
    of a model that needs the whole sequence, from a sweep for every entry of an output.

    Raises TypeError for a text without a vocabulary, and for inputs that are class numbers, which
    have no derivative.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> found = reach(tg.ElmanCell(2, 4, rng=0), np.ones((6, 1, 2)))
    >>> found.norms.shape, bool(found.norms[0, 1] == 0), found.labels[:2]
    ((6, 6), True, ('1', '2'))
    """
    labels: list[str] | None = None
    if isinstance(xs, str):
        vocabulary = getattr(model, "vocabulary", None)
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(
                f"reach: given a text, but {type(model).__name__} has no vocabulary; "
                "give xs (T, B, I)"
            )
        labels = list(xs)
        xs = np.eye(len(vocabulary))[vocabulary.encode(xs)][:, None]
    cell, inputs = studied("reach", model, xs, lengths=lengths, mask=mask, reverse=reverse)
    leaves = tree.leaves(inputs.stacked())
    floats = [leaf for leaf in leaves if leaf.dtype.kind == "f"]
    if not floats or any(leaf.ndim < 2 for leaf in floats):
        given = ", ".join(f"shape {leaf.shape} and dtype {leaf.dtype}" for leaf in leaves)
        raise TypeError(
            f"reach: xs of {given}; wanted floats (T, B, I): class numbers have no derivative, "
            "give them one-hot"
        )
    T, B = len(inputs), inputs.batch_size
    squares = (_by_steps if getattr(cell, "over", None) is None else _by_sweeps)(
        cell, inputs, state
    )
    there = np.ones((T, B), bool) if inputs.active is None else inputs.active
    sums = (np.sqrt(squares) * there[:, None]).sum(-1)
    norms = sums / np.maximum(there.sum(1), 1)[:, None]
    named = labels or [str(k) for k in range(1, T + 1)]
    return Reach(norms, tuple(named))


def _by_steps(cell: Cell, xs: Sequence, state: Any) -> Array:
    """|do_t/dx_k|^2 of every sequence, (T, T, B), from Jacobians of single steps."""
    T, B = len(xs), xs.batch_size
    if state is None:
        state = first_state(cell, B)
    to_output: list[tuple[Array, Array]] = []
    to_state: list[tuple[Array, Array]] = []
    for i in xs.order():
        x = tree.map_leaves(_leaf, xs.step(i))
        before = state_in_double(state, "reach")
        with timestep(xs.time(i)):
            with for_one_state(cell, before, xs):
                output, after = cell.step(x, before)
            output, state = xs.settle(i, output, before, after)
        inputs = [part for part in tree.leaves(x) if isinstance(part, Tensor)]
        to_output.append(_jacobian(tree.leaves(output), inputs, tree.leaves(before), B))
        to_state.append(_jacobian(tree.leaves(state), inputs, tree.leaves(before), B))
    squares = np.zeros((T, T, B))
    order = list(xs.order())
    for t in range(T):
        of_x, P = to_output[t]
        squares[order[t], order[t]] = _squared(of_x)
        for k in range(t - 1, -1, -1):
            of_x, J = to_state[k]
            squares[order[t], order[k]] = _squared(P @ of_x)
            P = P @ J
    return squares


def _by_sweeps(model: Cell, xs: Sequence, state: Any) -> Array:
    """The same, from the record of the whole sequence."""
    T, B = len(xs), xs.batch_size
    given = tree.map_leaves(_leaf, xs.stacked())
    inputs = [part for part in tree.leaves(given) if isinstance(part, Tensor)]
    start = None if state is None else state_in_double(state, "reach")
    run = run_steps(model, xs.of(given), start)
    squares = np.zeros((T, T, B))
    for t, step in enumerate(run.steps):
        for output in tree.leaves(step):
            for seed in _seeds(output, B):
                for g in gradients(output, inputs, seed, keep_record=True):
                    squares[t] += (g**2).reshape(T, B, -1).sum(-1)
    return squares


def _leaf(part: Any) -> Any:
    """Floats as a tensor, to ask for the gradient of; class numbers as they are."""
    return tensor(part, "x") if part.dtype.kind == "f" else part


def _seeds(output: Any, B: int) -> Iterator[Array]:
    """For every entry of an output, a cotangent that is 1 there, in all sequences at once."""
    for entry in range(output.size // B):
        seed = np.zeros((B, output.size // B))
        seed[:, entry] = 1
        yield seed.reshape(output.shape)


def _jacobian(
    outputs: list[Any], inputs: list[Tensor], before: list[Tensor], B: int
) -> tuple[Array, Array]:
    """d(outputs)/d(inputs) and d(outputs)/d(state) of every sequence, (B, ..., ...)."""
    rows = [
        np.concatenate([g.reshape(B, -1) for g in found], axis=1)
        for output in outputs
        for seed in _seeds(output, B)
        for found in [gradients(output, [*inputs, *before], seed, keep_record=True)]
    ]
    whole = np.stack(rows, axis=1)
    size = sum(part.size for part in inputs) // B
    return whole[..., :size], whole[..., size:]


def _squared(matrices: Array) -> Array:
    """The square of the Frobenius norm, for each sequence."""
    return np.asarray((matrices**2).sum((-1, -2)))


__all__ = ["Reach", "reach"]
