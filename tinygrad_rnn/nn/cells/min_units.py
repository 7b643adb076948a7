"""Units that read no hidden state in their gates: minGRU and minLSTM (Feng et al. 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class MinGRUCell(SizedCell):
    """minGRU.

        z = sigma(x_t U_z + b_z)
        n = x_t U_n + b_n
        h_t = (1 - z) h_{t-1} + z n

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", arXiv:2410.01201
    (2024), section 3.1.

    The gate and the candidate depend on the input alone, so h_t is linear in h_{t-1}.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U_z, U_n (I, H); b_z, b_n (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.MinGRUCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
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
        self.U_z, self.b_z = draw(input_size, H), draw.bias()
        self.U_n, self.b_n = draw(input_size, H), draw.bias()

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        z = ops.sigmoid(plus(x @ self.U_z, self.b_z)).named("z")
        n = plus(x @ self.U_n, self.b_n).named("n")
        h = ((1 - z) * h + z * n).named("h")
        return h, h


class MinLSTMCell(SizedCell):
    """minLSTM.

        f = sigma(x_t U_f + b_f)
        i = sigma(x_t U_i + b_i)
        n = x_t U_n + b_n
        h_t = f / (f + i) h_{t-1} + i / (f + i) n

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", arXiv:2410.01201
    (2024), section 3.2.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U_f, U_i, U_n (I, H); b_f, b_i, b_n (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.MinLSTMCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

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
        self.U_f, self.b_f = draw(input_size, H), draw.bias("f")
        self.U_i, self.b_i = draw(input_size, H), draw.bias("i")
        self.U_n, self.b_n = draw(input_size, H), draw.bias("n")

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        f = ops.sigmoid(plus(x @ self.U_f, self.b_f)).named("f")
        i = ops.sigmoid(plus(x @ self.U_i, self.b_i)).named("i")
        n = plus(x @ self.U_n, self.b_n).named("n")
        h = (f / (f + i) * h + i / (f + i) * n).named("h")
        return h, h
