"""A gated unit with one matrix for gate and candidate: FastGRNN (Kusupati et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Parameter, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class FastGRNNCell(SizedCell):
    """FastGRNN.

        a = x_t U + h_{t-1} W
        z = sigma(a + b_z)
        n = tanh(a + b_n)
        h_t = (sigma(zeta) (1 - z) + sigma(nu)) n + z h_{t-1}

    Kusupati, Singh, Bhatia, Kumar, Jain & Varma, "FastGRNN: a fast, accurate, stable and tiny
    kilobyte sized gated recurrent neural network", NeurIPS 2018, arXiv:1901.02358.

    The paper's zeta and nu lie between 0 and 1; here, as in the authors' program, they are the
    sigmoids of two parameters that begin at 1 and -4.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that U, W, b_z and b_n are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), W (H, H), b_z, b_n (H,), zeta and nu, numbers. State: h (B, H), also the
    output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.FastGRNNCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
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
        self.U, self.W = draw(input_size, H), draw(H, H)
        self.b_z, self.b_n = draw.bias(), draw.bias()
        self.zeta, self.nu = Parameter(np.array(1.0, dtype)), Parameter(np.array(-4.0, dtype))

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        a = x @ self.U + h @ self.W
        z = ops.sigmoid(plus(a, self.b_z)).named("z")
        n = ops.tanh(plus(a, self.b_n)).named("n")
        h = ((ops.sigmoid(self.zeta) * (1 - z) + ops.sigmoid(self.nu)) * n + z * h).named("h")
        return h, h
