"""Highway layers between steps (Zilly et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class HighwayCell(SizedCell):
    """Recurrent highway network.

        for l = 1, ..., depth, from s = s_{t-1} to s_t:
        [n, r] = x_t U + s W_l + b_l   (tanh on n and sigma on r; x_t U for l = 1 only)
        s <- r n + (1 - r) s

    Zilly, Srivastava, Koutnik & Schmidhuber, "Recurrent highway networks", ICML 2017,
    arXiv:1607.03474; with the carry gate coupled to the transform gate (here r), c = 1 - t.

    input_size   I
    hidden_size  H
    depth        the number of highway layers within a step
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, 2H); for each layer W_l (H, 2H), b_l (2H,). State: s (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.HighwayCell(3, 4, depth=3, rng=0)
    >>> tg.unroll(cell, np.zeros((5, 2, 3))).outputs.shape, list(cell.parameters())
    ((5, 2, 4), ['U', 'W_1', 'b_1', 'W_2', 'b_2', 'W_3', 'b_3'])
    """

    letter = "s"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        depth: int = 2,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.depth = depth
        self.U = draw(input_size, 2 * H)
        for layer in range(1, depth + 1):
            setattr(self, f"W_{layer}", draw(H, 2 * H))
            setattr(self, f"b_{layer}", draw.bias("nr"))

    def step(self, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, s_{t-1}) -> (s_t, s_t)."""
        for layer in range(1, self.depth + 1):
            a = plus(s @ getattr(self, f"W_{layer}"), getattr(self, f"b_{layer}"))
            n, r = ops.split(x @ self.U + a if layer == 1 else a, 2, axis=-1)
            n = ops.tanh(n).named(f"n_{layer}")
            r = ops.sigmoid(r).named(f"r_{layer}")
            s = r * n + (1 - r) * s
            s = s.named("s" if layer == self.depth else f"s_{layer}")
        return s, s
