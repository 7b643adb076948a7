"""Units that are recurrent each by itself: IndRNN (Li et al. 2018) and SRU (Lei et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class IndRNNCell(SizedCell):
    """Independently recurrent network.

        h_t = relu(x_t U + w h_{t-1} + b)

    Li, Li, Cook, Zhu & Gao, "Independently recurrent neural network (IndRNN): building a longer
    and deeper RNN", CVPR 2018, arXiv:1803.04831.

    Every unit sees only its own past; units meet in the next layer. A gradient over n steps is at
    most |w|^n.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), w (H,), b (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.IndRNNCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
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
        draw = Draw(rng, hidden_size, dtype, bias)
        self.U, self.w = draw(input_size, hidden_size), draw(hidden_size)
        self.b = draw.bias()

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        h = ops.relu(plus(x @ self.U + self.w * h, self.b)).named("h")
        return h, h


class SRUCell(SizedCell):
    """Simple recurrent unit.

        [n, a_f, a_r] = x_t U
        f = sigma(a_f + v_f c_{t-1} + b_f)
        r = sigma(a_r + v_r c_{t-1} + b_r)
        c_t = f c_{t-1} + (1 - f) n
        h_t = r c_t + (1 - r) x_t

    Lei, Zhang, Wang, Dai & Artzi, "Simple recurrent units for highly parallelizable recurrence",
    EMNLP 2018, arXiv:1709.02755.

    Where I is not H, a fourth product x_t U_x stands for x_t in the last line, as in the authors'
    program.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, 3H); v_f, v_r, b_f, b_r (H,); U_x (I, H) where I is not H. State: c (B, H).
    Output: h (B, H).

    >>> import numpy as np, tinygrad_rnn as tg
    >>> list(tg.nn.SRUCell(4, 4, rng=0).parameters())
    ['U', 'v_f', 'b_f', 'v_r', 'b_r']
    >>> tg.unroll(tg.nn.SRUCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    letter = "c"

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
        self.U = draw(input_size, 3 * H)
        self.v_f, self.b_f = draw(H), draw.bias("f")
        self.v_r, self.b_r = draw(H), draw.bias("r")
        self.U_x = None if input_size == H else draw(input_size, H)

    def step(self, x: Any, c: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, c_{t-1}) -> (h_t, c_t)."""
        n, f, r = ops.split(x @ self.U, 3, axis=-1)
        f = ops.sigmoid(plus(f + self.v_f * c, self.b_f)).named("f")
        r = ops.sigmoid(plus(r + self.v_r * c, self.b_r)).named("r")
        c = (f * c + (1 - f) * n.named("n")).named("c")
        h = (r * c + (1 - r) * (x if self.U_x is None else x @ self.U_x)).named("h")
        return h, c
