"""The Legendre memory unit (Voelker, Kajic & Eliasmith 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...graph import Array
from ...tensor import FLOAT, Buffer, Tensor, zeros
from .base import Draw, SizedCell

if TYPE_CHECKING:
    from ..cell import Rng


class LMUState(NamedTuple):
    """The hidden state h (B, H), which is also the output, and the memory m (B, D)."""

    h: Tensor
    m: Tensor


class LMUCell(SizedCell):
    """Legendre memory unit.

        u = x_t e_x + h_{t-1} e_h + m_{t-1} e_m
        m_t = m_{t-1} A_m + u B_m
        h_t = tanh(x_t U + h_{t-1} W + m_t M)

    Voelker, Kajic & Eliasmith, "Legendre memory units: continuous-time representation in
    recurrent neural networks", NeurIPS 2019.

    A_m and B_m are fixed: m holds the first D Legendre coefficients of the last `theta` steps of
    u. They are those of theta m' = m A + u B with A[j, i] = (2i + 1) (-1 if i < j else
    (-1)^(i - j + 1)) and B[i] = (2i + 1) (-1)^i, where u stays for a step (zero-order hold):
    A_m = exp(A / theta), B_m = B A^-1 (A_m - 1).

    input_size   I
    hidden_size  H
    memory_size  D; H if left out
    theta        the span of time that m remembers, in steps
    rng          generator or seed that all parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: e_x (I, 1), e_h (H, 1), e_m (D, 1), U (I, H), W (H, H), M (D, H). Buffers:
    A_m (D, D), B_m (1, D). State: LMUState(h (B, H), m (B, D)). Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.nn.LMUCell(3, 4, memory_size=6, rng=0), np.zeros((5, 2, 3)))
    >>> run.outputs.shape, run.state.m.shape
    ((5, 2, 4), (2, 6))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        memory_size: int | None = None,
        theta: float = 10.0,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, draw = hidden_size, Draw(rng, hidden_size, dtype)
        self.memory_size = D = H if memory_size is None else memory_size
        self.theta = theta
        self.e_x, self.e_h, self.e_m = draw(input_size, 1), draw(H, 1), draw(D, 1)
        self.U, self.W, self.M = draw(input_size, H), draw(H, H), draw(D, H)
        A_m, B_m = delay(D, theta)
        self.A_m, self.B_m = Buffer(A_m, dtype=dtype), Buffer(B_m, dtype=dtype)

    def initial_state(self, batch_size: int) -> LMUState:
        """Zeros, named h_0 (B, H) and m_0 (B, D)."""
        return LMUState(
            zeros((batch_size, self.hidden_size), "h_0", self.dtype),
            zeros((batch_size, self.memory_size), "m_0", self.dtype),
        )

    def step(self, x: Any, state: LMUState) -> tuple[Tensor, LMUState]:
        """(x_t, (h_{t-1}, m_{t-1})) -> (h_t, (h_t, m_t))."""
        h, m = state
        u = (x @ self.e_x + h @ self.e_h + m @ self.e_m).named("u")
        m = (m @ self.A_m + u @ self.B_m).named("m")
        h = ops.tanh(x @ self.U + h @ self.W + m @ self.M).named("h")
        return h, LMUState(h, m)


def delay(size: int, theta: float) -> tuple[Array, Array]:
    """A_m (D, D) and B_m (1, D) of m_t = m_{t-1} A_m + u B_m."""
    i = np.arange(size)
    above, sign = i[None, :] < i[:, None], (-1.0) ** (i[None, :] - i[:, None] + 1)
    A, B = (2 * i + 1) * np.where(above, -1.0, sign), (2 * i + 1) * (-1.0) ** i
    A_m: Array = ops.expm(A / theta)
    return A_m, np.linalg.solve(A.T, (A_m - np.eye(size)).T @ B)[None]
