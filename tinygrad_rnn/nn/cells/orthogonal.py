"""A network with an orthogonal matrix, by the matrix exponential (Lezcano-Casado 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Tensor
from .base import Draw, SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class OrthogonalCell(SizedCell):
    """Network with an orthogonal matrix, expRNN.

        S = upper(A) - upper(A)^T
        a = x_t U + h_{t-1} exp(S)
        h_t = sign(a) relu(|a| + b)

    Lezcano-Casado & Martinez-Rubio, "Cheap orthogonal constraints in neural networks: a simple
    parametrization of the orthogonal and unitary group", ICML 2019, arXiv:1901.08428; the
    activation (modReLU): Arjovsky, Shah & Bengio, ICML 2016, arXiv:1511.06464.

    The exponential of an antisymmetric matrix is a rotation, so that the state's own product keeps
    the norm of gradients at any length. Of A only the entries above the diagonal count. exp(S) is
    part of every step's record.

    input_size   I
    hidden_size  H
    bias         False leaves the biases out
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, H), A (H, H), b (H,). State: h (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.nn.OrthogonalCell(3, 4, rng=0), np.zeros((5, 2, 3))).outputs.shape
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
        self.U, self.A = draw(input_size, hidden_size), draw(hidden_size, hidden_size)
        self.b = draw.bias()

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        upper = ops.triu(self.A, 1)
        Q = ops.expm(upper - upper.T).named("Q")
        a = (x @ self.U + h @ Q).named("a")
        h = (ops.sign(a) * ops.relu(plus(ops.abs(a), self.b))).named("h")
        return h, h
