"""A reservoir: a network with fixed random weights (Jaeger 2001)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ... import ops
from ...tensor import FLOAT, Buffer, Tensor
from .. import init
from .base import SizedCell, plus

if TYPE_CHECKING:
    from ..cell import Rng


class ReservoirCell(SizedCell):
    """Echo state network.

        s_t = (1 - leak) s_{t-1} + leak tanh(x_t U + s_{t-1} W + b)

    Jaeger, "The 'echo state' approach to analysing and training recurrent neural networks", GMD
    report 148 (2001); leak: Lukosevicius, "A practical guide to applying echo state networks"
    (2012).

    U, W and b are drawn once and stay: only a linear read-out of the states is trained, by least
    squares. A spectral radius below 1 makes the states forget how they began.

    input_size   I
    hidden_size  H
    leak         how much of the state is new in a step
    radius       the spectral radius of W
    density      the part of the entries of W that are not 0
    scale        U and b are drawn evenly from +-scale
    bias         False leaves the biases out
    rng          generator or seed that U, W and b are drawn with
    dtype        float32 unless told otherwise

    No parameters; buffers: U (I, H), W (H, H), b (H,). State: s (B, H), also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.nn.ReservoirCell(3, 4, rng=0)
    >>> tg.unroll(cell, np.zeros((5, 2, 3))).outputs.shape, list(cell.buffers())
    ((5, 2, 4), ['U', 'W', 'b'])
    """

    letter = "s"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        leak: float = 1.0,
        radius: float = 0.9,
        density: float = 1.0,
        scale: float = 1.0,
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        super().__init__(input_size, hidden_size)
        H, rng = hidden_size, np.random.default_rng(rng)
        self.leak = leak
        W = init.spectral_radius((H, H), rng, radius=radius, density=density, dtype=dtype)
        self.U = Buffer(init.uniform((input_size, H), rng, bound=scale, dtype=dtype))
        self.W = Buffer(W)
        self.b: Any = None  # or a buffer
        if bias:
            self.b = Buffer(init.uniform((H,), rng, bound=scale, dtype=dtype))

    def step(self, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, s_{t-1}) -> (s_t, s_t)."""
        new = ops.tanh(plus(x @ self.U + s @ self.W, self.b))
        s = ((1 - self.leak) * s + self.leak * new).named("s")
        return s, s
