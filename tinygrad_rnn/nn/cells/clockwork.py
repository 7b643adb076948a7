"""Modules that run at different speeds (Koutnik et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Buffer, Tensor, zeros
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class Clocked(NamedTuple):
    """The hidden state h (B, H) and the number of steps t (B, 1) that it has seen."""

    h: Tensor
    t: Tensor


class ClockworkCell(SizedCell):
    """Clockwork network.

        n = tanh(x_t U + h_{t-1} (W M) + b)
        h_t = n where t mod period = 0, else h_{t-1}, unit by unit

    Koutnik, Greff, Gomez & Schmidhuber, "A clockwork RNN", ICML 2014, arXiv:1402.3511.

    The units are parted into modules, each with a period. M holds 1 where W leads from a module
    to itself or to a faster one, and 0 where it leads to a slower one.

    input_size   I
    hidden_size  H
    periods      of the modules, in steps; they share the units as evenly as possible
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), W (H, H), b (H,). Buffers: M (H, H), period (H,), that of each
    unit. State: Clocked(h (B, H), t (B, 1)). Output: h.

    Raises ValueError for fewer units than periods, or periods below 1.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.ClockworkCell(1, 4, periods=(1, 2), rng=0)
    >>> h = tg.unroll(cell, np.ones((4, 1, 1))).outputs.numpy()[:, 0]
    >>> (h[1:] != h[:-1]).astype(int)
    array([[1, 1, 1, 1],
           [1, 1, 0, 0],
           [1, 1, 1, 1]])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        periods: Sequence[int] = (1, 2, 4),
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        if not 0 < len(periods) <= hidden_size or min(periods) < 1:
            raise ValueError(
                f"periods: given {tuple(periods)} for {hidden_size} units, wanted numbers of steps "
                "from 1, at most one for each unit"
            )
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.U, self.W, self.b = draw(input_size, H), draw(H, H), draw.bias()
        units = [len(part) for part in np.array_split(np.arange(H), len(periods))]
        period = np.repeat(np.array(periods), units)
        self.period = Buffer(period, dtype=dtype)
        self.M = Buffer(period[:, None] >= period, dtype=dtype)

    def initial_state(self, batch_size: int) -> Clocked:
        """Zeros, named h_0 (B, H) and t_0 (B, 1)."""
        h = zeros((batch_size, self.hidden_size), "h_0", self.dtype)
        return Clocked(h, zeros((batch_size, 1), "t_0", self.dtype))

    def step(self, x: Any, state: Clocked) -> tuple[Tensor, Clocked]:
        """(x_t, (h_{t-1}, t - 1)) -> (h_t, (h_t, t))."""
        h, t = state
        t = (ops.floor(t) + 1).named("t")  # a whole number: floor gives it no derivative
        n = ops.tanh(plus(x @ self.U + h @ (self.W * self.M), self.b)).named("n")
        on = (ops.remainder(t, self.period) == 0).named("on")
        h = ops.where(on, n, h).named("h")
        return h, Clocked(h, t)
