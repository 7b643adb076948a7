"""The LSTM with a transition for every input (Krause et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from ..lstm import LSTMState
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class MultiplicativeLSTMCell(SizedCell):
    """Multiplicative LSTM.

        m = (x_t U_m) (h_{t-1} W_m)
        [i, f, g, o] = x_t U + m W + b   (sigma on i, f, o and tanh on g)
        c_t = f c_{t-1} + i g
        h_t = o tanh(c_t)

    Krause, Lu, Murray & Renals, "Multiplicative LSTM for sequence modelling", arXiv:1609.07959
    (2016).

    input_size   I
    hidden_size  H, also the size of m
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U_m (I, H), W_m (H, H); U (I, 4H), W (H, 4H), b (4H,). State: LSTMState(h, c), each
    (B, H). Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.MultiplicativeLSTMCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
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
        self.U_m, self.W_m = draw(input_size, H), draw(H, H)
        self.U, self.W, self.b = draw(input_size, 4 * H), draw(H, 4 * H), draw.bias("ifgo")

    def step(self, x: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """(x_t, (h_{t-1}, c_{t-1})) -> (h_t, (h_t, c_t))."""
        h, c = state
        m = ((x @ self.U_m) * (h @ self.W_m)).named("m")
        i, f, g, o = ops.split(plus(x @ self.U + m @ self.W, self.b), 4, axis=-1)
        i = ops.sigmoid(i).named("i")
        f = ops.sigmoid(f).named("f")
        g = ops.tanh(g).named("g")
        o = ops.sigmoid(o).named("o")
        c = (f * c + i * g).named("c")
        h = (o * ops.tanh(c)).named("h")
        return h, LSTMState(h, c)
