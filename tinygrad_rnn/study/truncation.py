"""The price of truncating BPTT: how far the gradient is from the full one, over k2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bptt import truncated
from ..graph import Array
from ..nn.cell import Cell
from ..notation import several
from ..tensor import Tensor
from ..unroll import check_cell
from .table import Table, Tabled

WHOLE = 10**9
"""A window as long as any sequence."""


@dataclass(frozen=True)
class Truncation(Tabled):
    """Gradients of truncated BPTT beside the full one, for several reaches k2.

    steps      T
    k1         after how many steps a window ends
    k2         how many steps gradients go back from there, one after the other
    full       {parameter: dL/d(parameter)} by BPTT
    gradients  {parameter: that of each k2}, (len(k2), ...)
    """

    steps: int
    k1: int
    k2: tuple[int, ...]
    full: Mapping[str, Array]
    gradients: Mapping[str, Array]

    def _flat(self, name: str | None) -> tuple[Array, Array]:
        """The full gradient and those of each k2, as vectors: of one parameter, or of all."""
        names = list(self.full) if name is None else [name]
        rows = [self.gradients[n].reshape(len(self.k2), -1) for n in names]
        return np.concatenate([self.full[n].ravel() for n in names]), np.concatenate(rows, 1)

    def bias(self, name: str | None = None) -> Array:
        """|g - G| / |G| for each k2: of one parameter, or of all together."""
        full, found = self._flat(name)
        return np.asarray(np.linalg.norm(found - full, axis=1) / np.linalg.norm(full))

    def cosine(self, name: str | None = None) -> Array:
        """<g, G> / (|g| |G|) for each k2; negative where a step along g leads uphill."""
        full, found = self._flat(name)
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(full)
        return np.asarray(found @ full / np.where(norms > 0, norms, 1))

    def kept(self, k2: int) -> Array:
        """Which parts D[t, k] of the full gradient a reach keeps, (T, T) truth values.

        Blocks for k2 = k1, so that the first steps of a window see almost no past; a band for
        k1 = 1.
        """
        t, k = np.arange(1, self.steps + 1)[:, None], np.arange(1, self.steps + 1)
        end = np.minimum(-(-t // self.k1) * self.k1, self.steps)
        return np.asarray((k <= t) & (k > end - k2))

    def __repr__(self) -> str:
        reaches = ", ".join(map(str, self.k2))
        steps = several(self.steps, "step")
        return f"<truncation of {steps}: k1 = {self.k1}, k2 = {reaches}; print it>"

    def table(self) -> Table:
        """Length, bias and cosine, a row for each k2."""
        heads = ["k2", "|g|/|G|", "bias", "cosine", *[f"cosine {name}" for name in self.full]]
        full, found = self._flat(None)
        lengths = np.linalg.norm(found, axis=1) / np.linalg.norm(full)
        columns = [lengths, self.bias(), self.cosine(), *map(self.cosine, self.full)]
        rows = [
            [str(k2), *(f"{column[i]:.3f}" for column in columns)] for i, k2 in enumerate(self.k2)
        ]
        title = (
            f"Truncated against full gradient over {several(self.steps, 'step')}, a window every "
            f"{self.k1}: bias |g - G|/|G|"
        )
        return Table(heads, rows, title, numbers=range(len(heads)))


def truncation(
    model: Cell,
    data: Any,
    loss: Callable[[Any, Any], Tensor],
    *,
    k1: int,
    k2: Sequence[int],
    state: Any = None,
    lengths: Any = None,
    mask: Any = None,
) -> Truncation:
    """The gradient of truncated BPTT: its bias and its direction against BPTT's.

    The weights stay as they are, so that the gradients of all windows of a sequence add up to one
    that can be compared with the full gradient G = dL/dW.

    model  the cell
    data   (xs, ys), as in `truncated`; or an iterator of steps (x_t, y_t) that ends
    loss   (outputs, targets) -> the loss of a window's new steps, a sum over steps
    k1     after how many steps a window ends
    k2     the reaches to compare
    state  s_0
    lengths, mask  as in `truncated`

    Raises ValueError where `truncated` does, and for a model whose full gradient is zero.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> rng = np.random.default_rng(0)
    >>> cell = tg.ElmanCell(1, 4, rng=1, dtype=np.float64)
    >>> xs = rng.normal(size=(12, 8, 1))
    >>> def loss(outputs, targets):
    ...     return tg.square(outputs.sum(-1, keepdims=True) - targets).sum()
    >>> found = truncation(cell, (xs, np.cumsum(xs, 0)), loss, k1=1, k2=[1, 2, 4, 12])
    >>> list(found.full), int(found.bias().argmin()), round(float(found.cosine()[-1]), 6)
    (['U', 'W', 'b'], 3, 1.0)
    """
    check_cell("truncation", model)
    weights = model.parameters()
    if not weights:
        raise ValueError(f"truncation: {type(model).__name__} has no parameters")

    def gradients(k1: int, k2: int) -> tuple[int, dict[str, Array]]:
        total = {name: np.zeros(p.shape, p.dtype) for name, p in weights.items()}
        end = 0
        options = {"state": state, "lengths": lengths, "mask": mask}
        for window in truncated(model, data, loss, k1=k1, k2=k2, **options):
            for name, g in zip(total, window.gradients(list(weights.values())), strict=True):
                total[name] = total[name] + g
            end = window.steps.stop - 1
        return end, total

    if not isinstance(data, tuple):
        data = list(data)  # it is run through several times
    T, full = gradients(WHOLE, WHOLE)
    if not any(g.any() for g in full.values()):
        raise ValueError("truncation: the full gradient is zero: nothing to compare with")
    found = [gradients(k1, k)[1] for k in k2]
    rows = {name: np.stack([g[name] for g in found]) for name in weights}
    return Truncation(T, k1, tuple(k2), full, rows)
