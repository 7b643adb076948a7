"""The LSTM with layer normalisation (Ba, Kiros & Hinton 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Parameter, Tensor
from ..lstm import LSTMState
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class LayerNormLSTMCell(SizedCell):
    """LSTM with layer normalisation.

        [i, f, g, o] = LN(x_t U; x) + LN(h_{t-1} W; h) + b   (sigma on i, f, o and tanh on g)
        c_t = f c_{t-1} + i g
        h_t = o tanh(LN(c_t; c))
        LN(v; k) = alpha_k (v - mean(v)) / sqrt(var(v) + epsilon) + beta_k

    Ba, Kiros & Hinton, "Layer normalization", arXiv:1607.06450 (2016).

    Mean and variance are those of all 4H entries of a product, as in the paper; the memory is
    handed on as it is, and normalised only where it is read.

    input_size   I
    hidden_size  H
    epsilon      added to the variance
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that U, W and b are drawn with, evenly from +-1/sqrt(H); gains
                 alpha begin at 1 and shifts beta at 0
    dtype        float32 unless told otherwise

    Parameters: U (I, 4H), W (H, 4H), b (4H,); alpha_x, beta_x, alpha_h, beta_h (4H,), alpha_c,
    beta_c (H,). State: LSTMState(h, c), each (B, H). Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.LayerNormLSTMCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        epsilon: float = 1e-5,
        bias: bool = True,
        forget_bias: float | None = None,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias, forget_bias)
        self.epsilon = epsilon
        self.U, self.W, self.b = draw(input_size, 4 * H), draw(H, 4 * H), draw.bias("ifgo")
        for letter, size in (("x", 4 * H), ("h", 4 * H), ("c", H)):
            setattr(self, f"alpha_{letter}", Parameter(np.ones(size, dtype)))
            setattr(self, f"beta_{letter}", Parameter(np.zeros(size, dtype)))

    def step(self, x: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """(x_t, (h_{t-1}, c_{t-1})) -> (h_t, (h_t, c_t))."""
        h, c = state
        a = self.normalised(x @ self.U, "x") + self.normalised(h @ self.W, "h")
        i, f, g, o = ops.split(plus(a, self.b), 4, axis=-1)
        i = ops.sigmoid(i).named("i")
        f = ops.sigmoid(f).named("f")
        g = ops.tanh(g).named("g")
        o = ops.sigmoid(o).named("o")
        c = (f * c + i * g).named("c")
        h = (o * ops.tanh(self.normalised(c, "c"))).named("h")
        return h, LSTMState(h, c)

    def normalised(self, v: Tensor, letter: str) -> Tensor:
        """LN(v; k), with the gain and the shift of x, h or c."""
        gain, shift = getattr(self, f"alpha_{letter}"), getattr(self, f"beta_{letter}")
        result: Tensor = ops.layer_norm(v, gain, shift, eps=self.epsilon)
        return result
