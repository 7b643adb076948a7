"""How much each output of a network depends on each input: the norms of do_t/dx_k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import tree
from ..autodiff import gradients
from ..data import Vocabulary
from ..graph import Array, timestep
from ..nn import Cell
from ..nn.cell import first_state
from ..tensor import Tensor, tensor
from .problem import in_double, inputs_in_double, state_in_double
from .table import Table, figures

FAR = 0.01
"""An input counts for an output from this part of the largest norm of its row on."""


@dataclass(frozen=True)
class Reach:
    """How much output t depends on input k. Prints as a table of the last output.

    norms   (T, T): norms[t-1, k-1] is the Frobenius norm of do_t/dx_k, 0 for k > t; the mean over
            the sequences of a batch
    labels  what input k is: characters, or numbers of steps

    `study.plots.reach` colours the text by it.
    """

    norms: Array
    labels: tuple[str, ...]

    def shares(self, t: int) -> Array:
        """The norms of output t (1 for the first) as parts of their sum, (T,)."""
        row = self.norms[t - 1]
        return np.asarray(row / (row.sum() or 1.0))

    def horizon(self, t: int) -> int:
        """How many steps back the furthest input lies that counts for output t: its norm is a
        hundredth of the row's largest or more.
        """
        row = self.norms[t - 1]
        counts = np.flatnonzero(row >= FAR * row.max()) if row.max() > 0 else [t - 1]
        return int(t - 1 - counts[0])

    def table(self, t: int | None = None) -> Table:
        """The inputs of output t (the last if left out): step, lag, what it is, norm, share."""
        t = len(self.norms) if t is None else t
        rows = [
            (str(k), str(t - k), self.labels[k - 1], figures(n), f"{share:.1%}")
            for k, (n, share) in enumerate(
                zip(self.norms[t - 1, :t], self.shares(t), strict=False), start=1
            )
        ]
        heads = ("step k", "lag", "input", f"|do_{t}/dx_k|", "share")
        title = f"What output {t} depends on"
        return Table(heads, rows, title, numbers=(0, 1, 3, 4))

    def __str__(self) -> str:
        return str(self.table())


def reach(model: Cell, xs: str | ArrayLike, state: Any = None) -> Reach:
    """How much output t of a network depends on input k, for real inputs.

    model  a cell, as it is: trained, untrained, or in training; computed in float64 on a copy
    xs     (T, B, I), or a text if the model has a `vocabulary`; its characters go in one-hot
    state  s_0; `cell.initial_state(B)` if left out

    do_t/dx_k = (do_t/ds_{t-1}) J_{t-1} ... J_{k+1} (ds_k/dx_k), from the Jacobians of single steps.

    Raises TypeError for a text without a vocabulary, and for inputs that are class numbers, which
    have no derivative.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> found = reach(tg.ElmanCell(2, 4, rng=0), np.ones((6, 1, 2)))
    >>> found.norms.shape, bool(found.norms[0, 1] == 0), found.labels[:2]
    ((6, 6), True, ('1', '2'))
    """
    labels: Sequence[str] | None = None
    if isinstance(xs, str):
        vocabulary = getattr(model, "vocabulary", None)
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(
                f"reach: given a text, but {type(model).__name__} has no vocabulary; "
                "give xs (T, B, I)"
            )
        labels = list(xs)
        xs = np.eye(len(vocabulary))[vocabulary.encode(xs)][:, None]
    cell = in_double(model)
    sequence = inputs_in_double(xs, "reach")
    if sequence.dtype.kind != "f" or sequence.ndim < 3:
        raise TypeError(
            f"reach: xs of shape {sequence.shape} and dtype {sequence.dtype}; wanted floats "
            "(T, B, I): class numbers have no derivative, give them one-hot"
        )
    T, B = sequence.shape[:2]
    if state is None:
        state = first_state(cell, B)
    to_output: list[tuple[Array, Array]] = []
    to_state: list[tuple[Array, Array]] = []
    for t, value in enumerate(sequence, start=1):
        x = tensor(value, "x")
        before = state_in_double(state, "reach")
        with timestep(t):
            output, state = cell.step(x, before)
        inputs = [x, *tree.leaves(before)]
        to_output.append(_jacobian(tree.leaves(output), inputs, B))
        to_state.append(_jacobian(tree.leaves(state), inputs, B))
    norms = np.zeros((T, T))
    for t in range(T):
        of_x, P = to_output[t]
        norms[t, t] = _norm(of_x)
        for k in range(t - 1, -1, -1):
            of_x, J = to_state[k]
            norms[t, k] = _norm(P @ of_x)
            P = P @ J
    named = labels or [str(k) for k in range(1, T + 1)]
    return Reach(norms, tuple(named))


def _jacobian(outputs: list[Any], inputs: list[Tensor], B: int) -> tuple[Array, Array]:
    """d(outputs)/d(x) and d(outputs)/d(state) of every sequence, (B, ..., ...)."""
    rows: list[Array] = []
    for output in outputs:
        for entry in range(output.size // B):
            seed = np.zeros((B, output.size // B))
            seed[:, entry] = 1
            found = gradients(output, inputs, seed.reshape(output.shape), keep_record=True)
            rows.append(np.concatenate([g.reshape(B, -1) for g in found], axis=1))
    whole = np.stack(rows, axis=1)
    size = inputs[0].size // B
    return whole[..., :size], whole[..., size:]


def _norm(matrices: Array) -> float:
    """The Frobenius norm, as a mean over the sequences."""
    return float(np.sqrt((matrices**2).sum((-1, -2))).mean())


__all__ = ["Reach", "reach"]
