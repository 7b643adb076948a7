"""Cells with two stable states for a unit: BRC and nBRC (Vecoven et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell

if TYPE_CHECKING:
    from ..cell import Rng


class BRCCell(SizedCell):
    """Bistable cell, BRC.

        a = 1 + tanh(x_t U_a + w_a h_{t-1})
        c = sigma(x_t U_c + w_c h_{t-1})
        h_t = c h_{t-1} + (1 - c) tanh(x_t U + a h_{t-1})

    Vecoven, Ernst & Drion, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory", PLOS ONE 16 (2021), arXiv:2006.05252.

    A unit feeds back on itself alone; where a is above 1 it has two stable states and keeps one
    for as long as nothing pushes it.

    input_size   I
    hidden_size  H
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U, U_a, U_c (I, H); w_a, w_c (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.BRCCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, rng: Rng = None, dtype: DTypeLike = FLOAT
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype)
        self.U, self.U_a, self.U_c = draw(input_size, H), draw(input_size, H), draw(input_size, H)
        self.w_a, self.w_c = draw(H), draw(H)

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        a = (1 + ops.tanh(x @ self.U_a + self.w_a * h)).named("a")
        c = ops.sigmoid(x @ self.U_c + self.w_c * h).named("c")
        h = (c * h + (1 - c) * ops.tanh(x @ self.U + a * h)).named("h")
        return h, h


class NBRCCell(SizedCell):
    """Bistable cell with neuromodulation, nBRC.

        a = 1 + tanh(x_t U_a + h_{t-1} W_a)
        c = sigma(x_t U_c + h_{t-1} W_c)
        h_t = c h_{t-1} + (1 - c) tanh(x_t U + a h_{t-1})

    Vecoven, Ernst & Drion, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory", PLOS ONE 16 (2021), arXiv:2006.05252.

    The BRC whose a and c are set by all units.

    input_size   I
    hidden_size  H
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U, U_a, U_c (I, H); W_a, W_c (H, H). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.NBRCCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, rng: Rng = None, dtype: DTypeLike = FLOAT
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype)
        self.U, self.U_a, self.U_c = draw(input_size, H), draw(input_size, H), draw(input_size, H)
        self.W_a, self.W_c = draw(H, H), draw(H, H)

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        a = (1 + ops.tanh(x @ self.U_a + h @ self.W_a)).named("a")
        c = ops.sigmoid(x @ self.U_c + h @ self.W_c).named("c")
        h = (c * h + (1 - c) * ops.tanh(x @ self.U + a * h)).named("h")
        return h, h
