"""Units with one gate: MGU, UGRNN, JANET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class MGUCell(SizedCell):
    """Minimal gated unit.

        f = sigma(x_t U_f + h_{t-1} W_f + b_f)
        n = tanh(x_t U_n + (f h_{t-1}) W_n + b_n)
        h_t = (1 - f) h_{t-1} + f n

    Zhou, Wu, Zhang & Zhou, "Minimal gated unit for recurrent neural networks", arXiv:1603.09420
    (2016).

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U_f, U_n (I, H); W_f, W_n (H, H); b_f, b_n (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.MGUCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.U_f, self.W_f, self.b_f = draw(input_size, H), draw(H, H), draw.bias()
        self.U_n, self.W_n, self.b_n = draw(input_size, H), draw(H, H), draw.bias()

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        f = ops.sigmoid(plus(x @ self.U_f + h @ self.W_f, self.b_f)).named("f")
        n = ops.tanh(plus(x @ self.U_n + (f * h) @ self.W_n, self.b_n)).named("n")
        h = ((1 - f) * h + f * n).named("h")
        return h, h


class UGRNNCell(SizedCell):
    """Update gate network.

        c = tanh(x_t U_c + h_{t-1} W_c + b_c)
        g = sigma(x_t U_g + h_{t-1} W_g + b_g)
        h_t = g h_{t-1} + (1 - g) c

    Collins, Sohl-Dickstein & Sussillo, "Capacity and trainability in recurrent neural networks",
    ICLR 2017, arXiv:1611.09913.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U_c, U_g (I, H); W_c, W_g (H, H); b_c, b_g (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.UGRNNCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias)
        self.U_c, self.W_c, self.b_c = draw(input_size, H), draw(H, H), draw.bias()
        self.U_g, self.W_g, self.b_g = draw(input_size, H), draw(H, H), draw.bias()

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        c = ops.tanh(plus(x @ self.U_c + h @ self.W_c, self.b_c)).named("c")
        g = ops.sigmoid(plus(x @ self.U_g + h @ self.W_g, self.b_g)).named("g")
        h = (g * h + (1 - g) * c).named("h")
        return h, h


class JANETCell(SizedCell):
    """JANET, an LSTM with nothing but its forget gate.

        f = x_t U_f + h_{t-1} W_f + b_f
        c = tanh(x_t U_c + h_{t-1} W_c + b_c)
        h_t = sigma(f) h_{t-1} + (1 - sigma(f - beta)) c

    van der Westhuizen & Lasenby, "The unreasonable effectiveness of the forget gate",
    arXiv:1804.04849 (2018).

    input_size   I
    hidden_size  H
    beta         how much more is let in than forgotten; the paper has 1. At 0 it is the UGRNN
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U_f, U_c (I, H); W_f, W_c (H, H); b_f, b_c (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.JANETCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        beta: float = 1.0,
        bias: bool = True,
        forget_bias: float | None = None,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias, forget_bias)
        self.beta = beta
        self.U_f, self.W_f, self.b_f = draw(input_size, H), draw(H, H), draw.bias("f")
        self.U_c, self.W_c, self.b_c = draw(input_size, H), draw(H, H), draw.bias("c")

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        f = plus(x @ self.U_f + h @ self.W_f, self.b_f).named("f")
        c = ops.tanh(plus(x @ self.U_c + h @ self.W_c, self.b_c)).named("c")
        h = (ops.sigmoid(f) * h + (1 - ops.sigmoid(f - self.beta)) * c).named("h")
        return h, h
