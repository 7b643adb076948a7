"""The LSTM whose gates see the memory (Gers & Schmidhuber 2000)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from ..lstm import LSTMState
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class PeepholeLSTMCell(SizedCell):
    """LSTM with peepholes.

        [a_i, a_f, a_g, a_o] = x_t U + h_{t-1} W + b
        i = sigma(a_i + p_i c_{t-1}),   f = sigma(a_f + p_f c_{t-1}),   g = tanh(a_g)
        c_t = f c_{t-1} + i g
        o = sigma(a_o + p_o c_t),   h_t = o tanh(c_t)

    Gers, Schraudolph & Schmidhuber, "Learning precise timing with LSTM recurrent networks", JMLR 3
    (2002).

    The input and the forget gate see the old memory, the output gate sees the new one.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, 4H), W (H, 4H), b (4H,); p_i, p_f, p_o (H,). State: LSTMState(h, c), each
    (B, H). Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.PeepholeLSTMCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
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
        self.U, self.W, self.b = draw(input_size, 4 * H), draw(H, 4 * H), draw.bias("ifgo")
        self.p_i, self.p_f, self.p_o = draw(H), draw(H), draw(H)

    def step(self, x: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """(x_t, (h_{t-1}, c_{t-1})) -> (h_t, (h_t, c_t))."""
        h, c = state
        i, f, g, o = ops.split(plus(x @ self.U + h @ self.W, self.b), 4, axis=-1)
        i = ops.sigmoid(i + self.p_i * c).named("i")
        f = ops.sigmoid(f + self.p_f * c).named("f")
        g = ops.tanh(g).named("g")
        c = (f * c + i * g).named("c")
        o = ops.sigmoid(o + self.p_o * c).named("o")
        h = (o * ops.tanh(c)).named("h")
        return h, LSTMState(h, c)
