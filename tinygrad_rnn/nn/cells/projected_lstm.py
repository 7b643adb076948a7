"""The LSTM whose hidden state is a projection (Sak, Senior & Beaufays 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor, zeros
from ..cell import Cell
from ..lstm import LSTMState
from .base import Draw, plus

if TYPE_CHECKING:
    from ..cell import Rng


class ProjectedLSTMCell(Cell):
    """LSTM with a projection of its output.

        [i, f, g, o] = x_t U + h_{t-1} W + b   (sigma on i, f, o and tanh on g)
        c_t = f c_{t-1} + i g
        h_t = (o tanh(c_t)) P

    Sak, Senior & Beaufays, "Long short-term memory recurrent neural network architectures for
    large scale acoustic modeling", Interspeech 2014; arXiv:1402.1128.

    The form of PyTorch, `nn.LSTM(proj_size=...)`; the paper has peepholes too.

    input_size   I
    hidden_size  H, of the memory
    proj_size    R, of the hidden state; half of H, at least 1, if left out
    bias         False leaves b out
    forget_bias  of the forget gate at first; drawn like the others if left out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, 4H), W (R, 4H), b (4H,), P (H, R). State: LSTMState(h (B, R), c (B, H)).
    Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.nn.ProjectedLSTMCell(3, 4, 2, rng=0), np.zeros((5, 2, 3)))
    >>> run.outputs.shape, run.state.c.shape
    ((5, 2, 2), (2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        proj_size: int | None = None,
        *,
        bias: bool = True,
        forget_bias: float | None = None,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        H, draw = hidden_size, Draw(rng, hidden_size, dtype, bias, forget_bias)
        self.input_size = input_size
        self.hidden_size = H
        self.proj_size = R = max(H // 2, 1) if proj_size is None else proj_size
        self.U, self.W = draw(input_size, 4 * H), draw(R, 4 * H)
        self.b = draw.bias("ifgo")
        self.P = draw(H, R)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Zeros, named h_0 (B, R) and c_0 (B, H)."""
        return LSTMState(
            zeros((batch_size, self.proj_size), "h_0", self.dtype),
            zeros((batch_size, self.hidden_size), "c_0", self.dtype),
        )

    def step(self, x: Any, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """(x_t, (h_{t-1}, c_{t-1})) -> (h_t, (h_t, c_t))."""
        h, c = state
        i, f, g, o = ops.split(plus(x @ self.U + h @ self.W, self.b), 4, axis=-1)
        i = ops.sigmoid(i).named("i")
        f = ops.sigmoid(f).named("f")
        g = ops.tanh(g).named("g")
        o = ops.sigmoid(o).named("o")
        c = (f * c + i * g).named("c")
        h = ((o * ops.tanh(c)) @ self.P).named("h")
        return h, LSTMState(h, c)
