"""Long short-term memory (Hochreiter & Schmidhuber 1997)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..tensor import FLOAT, Parameter, Tensor, zeros
from .cell import Cell
from .init import uniform
from .module import check_sizes

if TYPE_CHECKING:
    from .cell import Rng


class LSTMState(NamedTuple):
    """The hidden state h (B, H), which is also the output, and the memory c (B, H)."""

    h: Tensor
    c: Tensor


class LSTMCell(Cell):
    """Long short-term memory with a forget gate.

        [i, f, g, o] = x_t U + h_{t-1} W + b   (sigma on i, f, o and tanh on g)
        c_t = f c_{t-1} + i g
        h_t = o tanh(c_t)

    Hochreiter & Schmidhuber, Neural Computation 9 (1997); forget gate: Gers, Schmidhuber &
    Cummins, Neural Computation 12 (2000). Gate order as in PyTorch.

    input_size   I
    hidden_size  H
    bias         False leaves b out
    forget_bias  of the forget gate's entries of b at first; drawn like the others if left out. 1
                 makes it remember from the start (Jozefowicz, Zaremba & Sutskever, ICML 2015)
    rng          generator or seed that U, W and b are drawn with, evenly from +-1/sqrt(H)
    dtype        float32 unless told otherwise

    Parameters: U (I, 4H), W (H, 4H), b (4H,). State: LSTMState(h, c), each (B, H). Output: h.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> run = tg.unroll(tg.LSTMCell(3, 4, rng=0), np.zeros((5, 2, 3)))
    >>> run.outputs.shape, run.state.c.shape
    ((5, 2, 4), (2, 4))
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
        if forget_bias is not None and not bias:
            raise ValueError(f"LSTMCell: forget_bias={forget_bias} with bias=False")
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        rng = np.random.default_rng(rng)
        bound = hidden_size**-0.5
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.U = Parameter(uniform((input_size, 4 * hidden_size), rng, bound=bound, dtype=dtype))
        self.W = Parameter(uniform((hidden_size, 4 * hidden_size), rng, bound=bound, dtype=dtype))
        self.b: Any = None  # or a parameter
        if bias:
            b = uniform((4 * hidden_size,), rng, bound=bound, dtype=dtype)
            if forget_bias is not None:
                b[hidden_size : 2 * hidden_size] = forget_bias
            self.b = Parameter(b)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Zeros, named h_0 and c_0."""
        shape = (batch_size, self.hidden_size)
        return LSTMState(zeros(shape, "h_0", self.dtype), zeros(shape, "c_0", self.dtype))

    def step(self, x: Any, state: tuple[Tensor, Tensor]) -> tuple[Tensor, LSTMState]:
        """(x_t, (h_{t-1}, c_{t-1})) -> (h_t, (h_t, c_t))."""
        h, c = state
        a = x @ self.U + h @ self.W
        i, f, g, o = ops.split(a if self.b is None else a + self.b, 4, axis=-1)
        i = ops.sigmoid(i).named("i")
        f = ops.sigmoid(f).named("f")
        g = ops.tanh(g).named("g")
        o = ops.sigmoid(o).named("o")
        c = (f * c + i * g).named("c")
        h = (o * ops.tanh(c)).named("h")
        return h, LSTMState(h, c)
