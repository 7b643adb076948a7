"""The LSTM whose input and forget gates are one (Greff et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from ..lstm import LSTMState
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class CIFGCell(SizedCell):
    """LSTM with coupled input and forget gates.

        [f, g, o] = x_t U + h_{t-1} W + b   (sigma on f, o and tanh on g)
        c_t = f c_{t-1} + (1 - f) g
        h_t = o tanh(c_t)

    Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber, "LSTM: a search space odyssey",
    arXiv:1503.04069 (2015), variant CIFG, here without peepholes.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, 3H), W (H, 3H), b (3H,). State: LSTMState(h, c), each (B, H). Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.CIFGCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        forget_bias: float | None = None,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias, forget_bias)
        self.U, self.W, self.b = draw(input_size, 3 * H), draw(H, 3 * H), draw.bias("fgo")

    def step(self, x: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """(x_t, (h_{t-1}, c_{t-1})) -> (h_t, (h_t, c_t))."""
        h, c = state
        f, g, o = ops.split(plus(x @ self.U + h @ self.W, self.b), 3, axis=-1)
        f = ops.sigmoid(f).named("f")
        g = ops.tanh(g).named("g")
        o = ops.sigmoid(o).named("o")
        c = (f * c + (1 - f) * g).named("c")
        h = (o * ops.tanh(c)).named("h")
        return h, LSTMState(h, c)
