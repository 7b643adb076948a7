"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..tensor import FLOAT, Parameter, Tensor, zeros
from .cell import Cell
from .init import uniform
from .module import check_sizes

if TYPE_CHECKING:
    from .cell import Rng


class GRUCell(Cell):
    """The gated recurrent unit, with the reset gate after the product or before it.

        r = sigma(x_t U_r + h_{t-1} W_r + b_r + d_r)
        z = sigma(x_t U_z + h_{t-1} W_z + b_z + d_z)
        n = tanh(x_t U_n + b_n + r (h_{t-1} W_n + d_n))   after
        n = tanh(x_t U_n + b_n + (r h_{t-1}) W_n)         before, without any d
        h_t = (1 - z) n + z h_{t-1}

    Cho et al., arXiv:1406.1078 (version 3 has the gate before the product). "after" is the form of
    cuDNN, PyTorch and Keras.

    input_size   I
    hidden_size  H
    reset        "after" or "before"
    bias         False leaves b and d out
    rng          generator or seed that the parameters are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters, gates in the order r, z, n: U (I, 3H), b (3H,); "after": W (H, 3H), d (3H,), the
    bias of the state's own product; "before": W (H, 2H) for r and z, W_n (H, H). State: h (B, H),
    also the output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.unroll(tg.GRUCell(3, 4, reset="before", rng=0), np.zeros((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: Literal["after", "before"] = "after",
        bias: bool = True,
        rng: Rng = None,
        dtype: DTypeLike = FLOAT,
    ) -> None:
        if reset not in ("after", "before"):
            raise ValueError(f'reset: given {reset!r}, wanted "after" or "before"')
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        rng = np.random.default_rng(rng)
        H, bound = hidden_size, hidden_size**-0.5
        self.reset = reset
        self.input_size = input_size
        self.hidden_size = H
        self.U = Parameter(uniform((input_size, 3 * H), rng, bound=bound, dtype=dtype))
        self.b: Any = None  # or a parameter
        if bias:
            self.b = Parameter(uniform((3 * H,), rng, bound=bound, dtype=dtype))
        if reset == "after":
            self.W = Parameter(uniform((H, 3 * H), rng, bound=bound, dtype=dtype))
            self.d: Any = None  # or a parameter
            if bias:
                self.d = Parameter(uniform((3 * H,), rng, bound=bound, dtype=dtype))
        else:
            self.W = Parameter(uniform((H, 2 * H), rng, bound=bound, dtype=dtype))
            self.W_n = Parameter(uniform((H, H), rng, bound=bound, dtype=dtype))

    def initial_state(self, batch_size: int) -> Tensor:
        """Zeros, named h_0."""
        return zeros((batch_size, self.hidden_size), "h_0", self.dtype)

    def step(self, x: Any, h: Tensor) -> tuple[Tensor, Tensor]:
        """(x_t, h_{t-1}) -> (h_t, h_t)."""
        H = self.hidden_size
        a = x @ self.U
        a_rz, a_n = ops.split(a if self.b is None else a + self.b, [2 * H], axis=-1)
        if self.reset == "after":
            u = h @ self.W
            u_rz, u_n = ops.split(u if self.d is None else u + self.d, [2 * H], axis=-1)
            r, z = ops.split(ops.sigmoid(a_rz + u_rz), 2, axis=-1)
            n = ops.tanh(a_n + r.named("r") * u_n)
        else:
            r, z = ops.split(ops.sigmoid(a_rz + h @ self.W), 2, axis=-1)
            n = ops.tanh(a_n + (r.named("r") * h) @ self.W_n)
        n.named("n")
        h = (n + z.named("z") * (h - n)).named("h")
        return h, h
